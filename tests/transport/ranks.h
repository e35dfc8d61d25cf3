/* Ranks for the tests of the transports: processes for NCCL, threads for loopback.
 *
 * The test's process itself never touches CUDA, so that it may fork. What ranks tell each other and
 * the test lies in shared memory. A rank's body returns FALSE after saying what was wrong. */
#ifndef EEP_TESTS_TRANSPORT_RANKS_H
#define EEP_TESTS_TRANSPORT_RANKS_H

#include "core/gpu_options.h"
#include "gpu/worker/transport.h"

#include <stdio.h>

#define MAX_RANKS 8
#define MS        G_GINT64_CONSTANT(1000000)

typedef struct {
    gint has_id, n_at_gate[8]; /* atomic */
    EepCommId id;
} Shared;

typedef struct Rank Rank;

typedef struct {
    EepTransportKind kind;
    guint n_ranks;
    gint64 wait_ns;
    guint dies;                        /* rank; n_ranks: nobody */
    gboolean no_join;                  /* the body joins by itself */
    gint variant;                      /* for the body */
    void (*prepare)(const Rank *rank); /* in the rank, before CUDA; nullable */
    gboolean (*body)(Rank *rank);
} Plan;

struct Rank {
    const Plan *plan;
    Shared *shared;
    guint rank;
    EepTransport *transport;
    EepDevice *device;
    EepStream stream;
    EepComm *comm;
};

#define EXPECT(rank, condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            g_autofree char *said = g_strdup_printf(" " __VA_ARGS__);                              \
            fprintf(stderr, "%s:%d: rank %u of %u (%s): not %s: %s\n", __FILE__, __LINE__,         \
                    (rank)->rank, (rank)->plan->n_ranks, eep_transport_names[(rank)->plan->kind],  \
                    #condition, said);                                                             \
            return FALSE;                                                                          \
        }                                                                                          \
    } while (0)

#define TEXT(error) "%s", (error) != NULL ? (error)->message : "no error"

/* Runs all ranks to their end; returns how many failed, hung or died who should not. */
guint ranks_run(const Plan *plan);

/* Ends this rank without a word to the others. */
gboolean rank_dies(Rank *rank);

/* Waits until so many ranks are at the gate. */
void rank_gate(Rank *rank, guint gate, guint n);

gboolean rank_put(Rank *rank, gpointer device, gconstpointer host, gsize bytes);
gboolean rank_get(Rank *rank, gpointer host, gconstpointer device, gsize bytes);
gpointer rank_alloc(Rank *rank, gsize bytes);

/* Everybody's words to everybody, summed (the sums show the order of the ranks), and the least of
 * one word each, which has to be 100. At most four ranks. */
#define RANK_N_WORDS 64
gboolean rank_compute(Rank *rank, EepComm *comm, gint64 wait_ns, gfloat ret_sums[RANK_N_WORDS],
                      guint64 *ret_least);

#endif
