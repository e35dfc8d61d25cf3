/* Sums of float32 values in the orders in which torch and numpy add them.
 *
 * Below 2^24 whole numbers add up exactly in any order. Above it the order decides the last bits,
 * and with them which of two nearly equal groups of experts counts as the hotter one: a placement
 * that equals the published one has to add as its library does. Pure functions, any thread; every
 * value must be a float32. */
#ifndef EEP_CORE_EPLB_FLOAT_SUM_H
#define EEP_CORE_EPLB_FLOAT_SUM_H

#include <glib.h>

G_BEGIN_DECLS

/* torch.sum() over the last axis of a contiguous tensor on a CPU: eight lanes of a vector, four
 * vectors at a time (aten/src/ATen/native/cpu/SumKernel.cpp; checked against torch 1.13). */
float eep_float_sum_torch(const float *values, guint n);

/* torch.sum() over an outer axis, n values that lie stride apart: in their order, but every 16 to a
 * sum of their own (same file). What torch does where the inner axes together are a multiple of 32
 * long; the last columns of other shapes it adds as eep_float_sum_torch() does. */
float eep_float_sum_torch_outer(const float *values, gsize stride, guint n);

/* numpy's sum() over the last axis of a contiguous array: eight partial sums for up to 128 values,
 * halves of more (numpy/core/src/umath/loops_utils.h.src, pairwise sum). */
float eep_float_sum_numpy(const float *values, guint n);

G_END_DECLS

#endif
