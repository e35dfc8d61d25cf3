/* The whole forward once more, a number at a time: no kernels, no ranks, no order of rows.
 *
 * What a token comes to depends on its rank, its row and the step, on the weights and on which
 * experts have a slot at all, on nothing else. Hash, bf16 and weights are written down again here;
 * the router's keys and the exponential are those of the worker, tested on their own. */
#ifndef EEP_TESTS_MOE_LAYER_REFERENCE_H
#define EEP_TESTS_MOE_LAYER_REFERENCE_H

#include "gpu/wire.h"

typedef struct {
    const EepWireModel *shape;
    const gfloat *popularity;  /* [n_experts] of every layer; NULL: uniform */
    const gboolean *is_missing; /* [n_layers][n_experts]; NULL: none */
    guint64 step;
    guint rank;
} ReferenceStep;

/* Rows [0, n_rows) after the last layer into ret_rows ([n_rows][hidden] bf16), the batch's pairs by
 * layer and expert into ret_load, and how many were dropped. */
void reference_forward(const ReferenceStep *step, guint n_rows, guint16 *ret_rows,
                       guint64 *ret_load, guint64 *ret_n_dropped);

/* One value of an expert: which 0 gate, 1 up, 2 down. */
float reference_weight(const EepWireModel *shape, guint layer, guint expert, guint which, guint row,
                       guint column);

#endif
