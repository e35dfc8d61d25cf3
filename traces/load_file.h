/* Files of recorded expert load: who read how often from which expert, by layer and piece of time.
 *
 *   json    an object with `weight` (eep eplb place), `logical_count` (SGLang's expert distribution
 *           dump, what its --init-expert-location takes) or `counts`, each [L][E] or [T][L][E];
 *           `top_k` or `topk` beside it is taken; or such a list alone
 *   csv     window,layer,e0,e1,...: a line a window and layer, in that order; the first window and
 *           layer may have any number
 *   routes  uint8 [tokens][L][k], the expert ids of each token; counted in windows of
 * window_tokens. A last window that is not full is left out unless it is the only one
 *
 * gzip is told by its magic number. Messages are "FILE: weight[3][17]: what is wrong: what is
 * allowed", with FILE:LINE:COL: where the file is broken as text. Not maps of experts (cli/eplb)
 * and not popularity (core/skew.h). SGLang's format: python/sglang/srt/eplb/expert_location.py and
 * expert_distribution.py; its .pt files are pickles and not read. One thread, nothing is kept. */
#ifndef EEP_TRACES_LOAD_FILE_H
#define EEP_TRACES_LOAD_FILE_H

#include <jansson.h>

#include "core/load_record.h"

G_BEGIN_DECLS

typedef enum {
    EEP_LOAD_FILE_AUTO, /* a name with .u8: routes; else JSON if it begins with { or [, else CSV */
    EEP_LOAD_FILE_JSON,
    EEP_LOAD_FILE_CSV,
    EEP_LOAD_FILE_ROUTES,
} EepLoadFileFormat;

/* Words of the enum above, in its order, NULL at the end. */
extern const char *const eep_load_file_format_words[];

/* Loads above it are not exact as doubles. */
#define EEP_LOAD_FILE_MAX_LOAD 9007199254740992.0 /* 2^53 */

/* Files of routes are read with what they cannot say themselves. */
typedef struct {
    EepLoadFileFormat format;
    guint n_layers, top_k; /* routes: of each token; both > 0 */
    guint n_experts;       /* routes: 0 = the highest id + 1 */
    guint window_tokens;   /* routes: tokens of a window, > 0 */
} EepLoadFileOptions;

#define EEP_LOAD_FILE_OPTIONS_INIT                                                                 \
    {                                                                                              \
        EEP_LOAD_FILE_AUTO, 0, 0, 0, 512                                                           \
    }

/* The record in the file at `path`, "-" = standard input. `options` may be NULL for
 * EEP_LOAD_FILE_OPTIONS_INIT. Memory is at most a small multiple of the (unpacked) file's size.
 * NULL with an EEP_TRACE_ERROR (exit 2). Free with eep_load_record_free(). */
EepLoadRecord *eep_load_file_read(const char *path, const EepLoadFileOptions *options,
                                  GError **error);

/* The same; ret_fields becomes the file's JSON object, a reference of the caller's, or NULL where
 * the file is none. */
EepLoadRecord *eep_load_file_read_fields(const char *path, const EepLoadFileOptions *options,
                                         json_t **ret_fields, GError **error);

/* The same for `size` bytes in memory, no gzip; `name` stands for the file in messages and for
 * EEP_LOAD_FILE_AUTO. */
EepLoadRecord *eep_load_file_read_bytes(const char *name, const void *data, gsize size,
                                        const EepLoadFileOptions *options, json_t **ret_fields,
                                        GError **error);

G_END_DECLS

#endif
