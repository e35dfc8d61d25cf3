/* What one expert costs a rank when n tokens reach it: the part of a MoE layer that is random.
 *
 *   c(0) = 0,  c(n) = max(weights, flops * n) + activations * n
 *
 * weights: seconds to read the expert once; flops: seconds of arithmetic a token; activations:
 * seconds of activation traffic a token. Both expert_load (expectations) and expert_sample (draws)
 * use exactly this function, so that they can be compared. The constants come from cost_gemm.c.
 * Source of the form: a roofline an expert, which is how grouped-GEMM kernels tile; fits the
 * memory-bound and the compute-bound ends of the measured DeepSeek-V3 layers (docs/costs.md).
 * Plain values, any thread. */
#ifndef EEP_SIM_SLOT_COST_H
#define EEP_SIM_SLOT_COST_H

#include <glib.h>
#include <math.h>

G_BEGIN_DECLS

typedef struct {
    double weights_s, flops_s, activations_s;
} EepSlotCost;

static inline double eep_slot_cost_seconds(const EepSlotCost *cost, double n)
{
    return n > 0 ? fmax(cost->weights_s, cost->flops_s * n) + cost->activations_s * n : 0.0;
}

/* Mean, variance and third central moment of something random; all three add up over independent
 * parts, and all three are 0 for a constant 0. */
typedef struct {
    double mean, variance, third;
} EepMoments;

static inline void eep_moments_add(EepMoments *sum, const EepMoments *part)
{
    sum->mean += part->mean;
    sum->variance += part->variance;
    sum->third += part->third;
}

/* Of c(n), n a count with these moments and p_none = P(n = 0). ret_rest: of c(n) - weights * [n >
 * 0], its third moment without the cross terms. The part of n above the roofline's ridge is taken
 * as normal: a ridge lies at tens of tokens or more. */
void eep_slot_cost_moments(const EepSlotCost *cost, const EepMoments *n, double p_none,
                           EepMoments *ret_moments, EepMoments *ret_rest);

G_END_DECLS

#endif
