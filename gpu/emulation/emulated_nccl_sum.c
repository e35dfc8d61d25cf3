#include "gpu/emulation/emulated_nccl_sum.h"

gsize eep_nccl_type_bytes(ncclDataType_t type)
{
    static const guint8 bytes[ncclNumTypes] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return (guint)type < ncclNumTypes ? bytes[type] : 0;
}

#define DEFINE_REDUCE(type, name)                                                                  \
    static void name(gpointer out, gconstpointer blocks, guint n_blocks, gsize count,              \
                     ncclRedOp_t op)                                                               \
    {                                                                                              \
        type *to = out;                                                                            \
        for (gsize i = 0; i < count; i++) {                                                        \
            type value = ((const type *)blocks)[i];                                                \
            for (guint b = 1; b < n_blocks; b++) {                                                 \
                const type next = ((const type *)blocks)[b * count + i];                           \
                value = op == ncclSum   ? (type)(value + next)                                     \
                        : op == ncclMin ? MIN(value, next)                                         \
                                        : MAX(value, next);                                        \
            }                                                                                      \
            to[i] = value;                                                                         \
        }                                                                                          \
    }

DEFINE_REDUCE(gint32, reduce_int32)
DEFINE_REDUCE(guint32, reduce_uint32)
DEFINE_REDUCE(gint64, reduce_int64)
DEFINE_REDUCE(guint64, reduce_uint64)
DEFINE_REDUCE(gfloat, reduce_float32)
DEFINE_REDUCE(gdouble, reduce_float64)

static void (*const reduces[ncclNumTypes])(gpointer, gconstpointer, guint, gsize, ncclRedOp_t) = {
    [ncclInt32] = reduce_int32,   [ncclUint32] = reduce_uint32,   [ncclInt64] = reduce_int64,
    [ncclUint64] = reduce_uint64, [ncclFloat32] = reduce_float32, [ncclFloat64] = reduce_float64,
};

gboolean eep_nccl_can_sum(ncclDataType_t type, ncclRedOp_t op)
{
    return (guint)type < ncclNumTypes && reduces[type] != NULL &&
           (op == ncclSum || op == ncclMin || op == ncclMax);
}

void eep_nccl_sum(gpointer out, gconstpointer blocks, guint n_blocks, gsize count,
                  ncclDataType_t type, ncclRedOp_t op)
{
    reduces[type](out, blocks, n_blocks, count, op);
}
