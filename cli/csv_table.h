/* EepCsvTable: reads a CSV file with a header row by row, columns by name.
 *
 * For the files of a run folder. RFC 4180 without line breaks inside of fields. Not a reader of
 * traces (traces/), writes nothing, keeps one row at a time. Owned by whoever opened it; one
 * thread. */
#ifndef EEP_CLI_CSV_TABLE_H
#define EEP_CLI_CSV_TABLE_H

#include <glib.h>

G_BEGIN_DECLS

typedef struct EepCsvTable EepCsvTable;

/* Opens the file and reads its header. NULL with an error (exit 2) when it cannot be read or has no
 * header. */
EepCsvTable *eep_csv_table_open(const char *path, GError **error);
void eep_csv_table_close(EepCsvTable *table); /* NULL is allowed */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EepCsvTable, eep_csv_table_close)

/* The index of the column; -1 when the file has none of that name. */
gint eep_csv_table_find(const EepCsvTable *table, const char *column);

/* The index of the column, which must be there: FALSE with an error that names file and column. */
gboolean eep_csv_table_require(const EepCsvTable *table, const char *column, gint *ret_index,
                               GError **error);

/* Goes to the next row. FALSE at the end, or with an error for a row with another number of fields
 * than the header. */
gboolean eep_csv_table_next(EepCsvTable *table, GError **error);

/* A field of the row, valid until the next one; "" for index -1. */
const char *eep_csv_table_text(const EepCsvTable *table, gint column);

/* The field as a number; NAN where it is empty, no number or the column is -1. */
double eep_csv_table_number(const EepCsvTable *table, gint column);

G_END_DECLS

#endif
