/* What the readers of load files share (load_file.c, load_json.c, load_table.c): the check of one
 * load and the readers themselves. Not for others. */
#ifndef EEP_TRACES_LOAD_FORMAT_H
#define EEP_TRACES_LOAD_FORMAT_H

#include "traces/load_file.h"
#include "traces/trace.h"

G_BEGIN_DECLS

#define EEP_LOAD_ALLOWED "loads are finite numbers from 0 to 2^53"

/* What is wrong with a load, to stand behind the number: "is negative"; NULL: nothing. */
const char *eep_load_fault(double value);

EepLoadRecord *eep_load_json_read(const char *name, const char *text, gsize size,
                                  json_t **ret_fields, GError **error);
EepLoadRecord *eep_load_csv_read(const char *name, const char *text, gsize size, GError **error);
EepLoadRecord *eep_load_routes_read(const char *name, const guint8 *ids, gsize size,
                                    const EepLoadFileOptions *options, GError **error);

/* Loads [n_cells] become those of a new record of T, L, E with T * L * E = n_cells. */
EepLoadRecord *eep_load_record_of(const double *loads, guint n_windows, guint n_layers,
                                  guint n_experts);

G_END_DECLS

#endif
