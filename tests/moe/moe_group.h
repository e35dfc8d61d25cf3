/* A group of logical ranks on one emulated device, each with a thread of its own while it works. */
#ifndef EEP_TESTS_MOE_GROUP_H
#define EEP_TESTS_MOE_GROUP_H

#include "gpu/worker/moe_internal.h"

#define MAX_RANKS 8

typedef struct MoeGroup MoeGroup;

typedef struct {
    MoeGroup *group;
    guint rank;
    EepDevice *device;
    EepTransport *transport;
    EepComm *comm;
    EepMoe *moe;
    EepStream stream; /* of the moves */
    EepWireStep step;
    EepMoeResult result;
    guint suspect;
    char *failure; /* NULL: what it did last went well */
} MoeRank;

struct MoeGroup {
    EepWireModel shape;
    EepGemmKind gemm;
    guint n_ranks;
    EepCommId id;
    MoeRank ranks[MAX_RANKS];
};

/* A small model. */
EepWireModel moe_group_shape(void);

/* slots_per_rank 0 in the shape: as many as hold every expert once, and one more. */
MoeGroup *moe_group_new(guint n_ranks, const EepWireModel *shape, EepGemmKind gemm);
void moe_group_free(MoeGroup *group);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MoeGroup, moe_group_free)

/* All ranks do `work`, each in its own thread; FALSE: one of them failed (rank->failure). */
gboolean moe_group_run(MoeGroup *group, gboolean (*work)(MoeRank *, gpointer, GError **),
                       gpointer data);

/* The first slots hold the experts in order, the rest the first ones again, turned by `shift`. */
guint32 *moe_group_placement(const MoeGroup *group, guint shift);
gboolean moe_group_map(MoeGroup *group, guint layer, guint version, const guint32 *experts,
                       gboolean may_load);
/* The placement in every layer, loaded. */
void moe_group_place(MoeGroup *group, const guint32 *experts);
void moe_group_popularity(MoeGroup *group, const gfloat *popularity);

/* A step; rank r has n_tokens[r] (NULL: none, a dummy). */
gboolean moe_group_forward(MoeGroup *group, guint64 step, const guint *n_tokens);

/* The rows after the last layer, [n_rows][hidden], from the device. */
guint16 *moe_group_rows(MoeRank *rank, guint n_rows);

#endif
