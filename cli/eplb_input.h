/* EepEplbInput: what an `eep eplb` command works on: loads, sizes, dead ranks, the present map.
 *
 * From the load file's fields (num_replicas, num_groups, num_nodes, num_gpus, active_ranks,
 * expert_bytes; others are ignored), which flags override. Everything is checked here, so that what
 * a policy still refuses are sizes of its own. Plain values, one thread. */
#ifndef EEP_CLI_EPLB_INPUT_H
#define EEP_CLI_EPLB_INPUT_H

#include "core/eplb/policy.h"
#include "core/load_record.h"
#include "core/model.h"
#include "traces/load_file.h"

G_BEGIN_DECLS

/* Slots of a layer, and of all layers together, that are taken: far beyond any deployment, and what
 * they need in memory is there. */
#define EEP_EPLB_MAX_SLOTS     65536u
#define EEP_EPLB_MAX_ALL_SLOTS (1u << 24)

/* The flags that the commands share, as they were written; NULL: not given. Strings are owned. */
typedef struct {
    char *load, *format, *layers, *top_k, *window_tokens;
    char *replicas, *groups, *nodes, *gpus, *active_ranks, *from, *expert_bytes, *budget, *model;
} EepEplbFlags;

void eep_eplb_flags_clear(EepEplbFlags *flags);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepEplbFlags, eep_eplb_flags_clear)

/* Rows of a GOptionEntry table, for the load and for the sizes. */
#define EEP_EPLB_LOAD_ENTRIES(flags)                                                                 \
    {"load", 0, 0, G_OPTION_ARG_FILENAME, &(flags).load, "recorded loads; - is standard input",      \
     "FILE"},                                                                                        \
        {"format", 0, 0, G_OPTION_ARG_STRING, &(flags).format, "auto, json, csv or routes", "WORD"}, \
        {"layers", 0, 0, G_OPTION_ARG_STRING, &(flags).layers, "of raw routes (*.u8)", "N"},         \
        {"top-k", 0, 0, G_OPTION_ARG_STRING, &(flags).top_k, "experts a token, of raw routes", "N"}, \
        {"window-tokens",                                                                            \
         0,                                                                                          \
         0,                                                                                          \
         G_OPTION_ARG_STRING,                                                                        \
         &(flags).window_tokens,                                                                     \
         "tokens of a window, of raw routes (512)",                                                  \
         "N"},                                                                                       \
    {                                                                                                \
        "model", 0, 0, G_OPTION_ARG_STRING, &(flags).model,                                          \
            "model profile: bytes of an expert, shape of raw routes", "NAME"                         \
    }

#define EEP_EPLB_SIZE_ENTRIES(flags)                                                               \
    {"replicas", 0, 0, G_OPTION_ARG_STRING, &(flags).replicas, "slots of a layer (num_replicas)",  \
     "R"},                                                                                         \
        {"groups", 0, 0, G_OPTION_ARG_STRING, &(flags).groups, "expert groups (num_groups, 1)",    \
         "G"},                                                                                     \
        {"nodes", 0, 0, G_OPTION_ARG_STRING, &(flags).nodes, "hosts (num_nodes, 1)", "N"},         \
        {"gpus", 0, 0, G_OPTION_ARG_STRING, &(flags).gpus, "ranks (num_gpus)", "D"},               \
        {"budget",                                                                                 \
         0,                                                                                        \
         0,                                                                                        \
         G_OPTION_ARG_STRING,                                                                      \
         &(flags).budget,                                                                          \
         "bytes that a plan of policy eep may move, auto or none",                                 \
         "BYTES"},                                                                                 \
    {                                                                                              \
        "expert-bytes", 0, 0, G_OPTION_ARG_STRING, &(flags).expert_bytes,                          \
            "of one expert of one layer, with or without unit", "N"                                \
    }

typedef struct {
    char *name;             /* of the load file, for messages */
    EepLoadRecord *record;  /* the loads */
    EepEplbProblem problem; /* weight: the sum over windows; windows where there are several;
                               old_phy2log cut or padded to its slots; max_moves of --budget */
    gint64 expert_bytes;    /* 0: unknown */
    EepModel model;         /* of --model, where has_model */
    gboolean has_model;
    /*< private >*/
    double *weight;
    guint8 *active;
    gint32 *old;
} EepEplbInput;

/* Without `needs_sizes` only the loads are read. FALSE with an error of exit status 2; the input is
 * to be cleared all the same. */
gboolean eep_eplb_input_read(EepEplbInput *input, const EepEplbFlags *flags, gboolean needs_sizes,
                             GError **error);
void eep_eplb_input_clear(EepEplbInput *input);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(EepEplbInput, eep_eplb_input_clear)

/* eep_eplb_place() with errors that are the user's to mend as exit status 2, in the file's name. */
gboolean eep_eplb_input_place(const EepEplbInput *input, const EepEplbProblem *problem,
                              const EepEplbPolicy *policy, gint32 *ret_phy2log, GError **error);

/* TRUE when the loads have at least n_windows windows. */
gboolean eep_eplb_input_needs_windows(const EepEplbInput *input, guint n_windows, GError **error);

/* The policies of a flag, names with commas; NULL: all. New array of const EepEplbPolicy *; NULL
 * with an error. */
GPtrArray *eep_eplb_flag_policies(const char *flag, const char *text, GError **error);

/* The policy of a flag by name or alias; NULL with an error. */
const EepEplbPolicy *eep_eplb_flag_policy(const char *flag, const char *name, GError **error);

/* The whole number that a flag has, with the bounds in the message. FALSE with an error. */
gboolean eep_eplb_flag_count(const char *flag, const char *text, gint64 min, gint64 max,
                             gint64 *ret_value, GError **error);

G_END_DECLS

#endif
