#include "cli/csv_table.h"

#include "cli/command.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct EepCsvTable {
    char *path;
    FILE *file;
    char *line, *header; /* getline's buffer; a copy of the first line */
    gsize capacity;
    guint64 row;       /* line number of `line`, from 1 */
    GPtrArray *names;  /* point into header */
    GPtrArray *fields; /* point into line */
};

/* Splits `line` in place; quotes are taken off. */
static void split(char *line, GPtrArray *ret_fields)
{
    char *from = line, *to = line;

    g_ptr_array_set_size(ret_fields, 0);
    for (;;) {
        g_ptr_array_add(ret_fields, to);
        gboolean quoted = *from == '"';
        from += quoted;
        while (*from != '\0' && (quoted || *from != ',')) {
            if (quoted && *from == '"') {
                from++;
                quoted = *from == '"';
                if (!quoted)
                    continue;
            }
            *to++ = *from++;
        }
        char separator = *from++;
        *to++ = '\0';
        if (separator == '\0')
            return;
    }
}

/* The next line without its end; FALSE at the end of the file. */
static gboolean read_line(EepCsvTable *table)
{
    gssize length = getline(&table->line, &table->capacity, table->file);

    while (length > 0 && (table->line[length - 1] == '\n' || table->line[length - 1] == '\r'))
        table->line[--length] = '\0';
    table->row++;
    return length >= 0;
}

EepCsvTable *eep_csv_table_open(const char *path, GError **error)
{
    g_autoptr(EepCsvTable) table = g_new0(EepCsvTable, 1);

    table->path = g_strdup(path);
    table->names = g_ptr_array_new();
    table->fields = g_ptr_array_new();
    table->file = fopen(path, "re");
    if (table->file == NULL) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s: cannot be read: %s",
                    path, g_strerror(errno));
        return NULL;
    }
    if (!read_line(table) || *table->line == '\0') {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s:1:1: no header: a row with the names of the columns", path);
        return NULL;
    }
    table->header = g_strdup(table->line);
    split(table->header, table->names);
    return g_steal_pointer(&table);
}

void eep_csv_table_close(EepCsvTable *table)
{
    if (table == NULL)
        return;
    if (table->file != NULL)
        fclose(table->file);
    g_ptr_array_unref(table->names);
    g_ptr_array_unref(table->fields);
    free(table->line);
    g_free(table->header);
    g_free(table->path);
    g_free(table);
}

gint eep_csv_table_find(const EepCsvTable *table, const char *column)
{
    guint index;

    return g_ptr_array_find_with_equal_func(table->names, column, g_str_equal, &index) ? (gint)index
                                                                                       : -1;
}

gboolean eep_csv_table_require(const EepCsvTable *table, const char *column, gint *ret_index,
                               GError **error)
{
    gint index = eep_csv_table_find(table, column);

    if (index < 0) {
        g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                    "%s:1:1: there is no column %s: a file of a run folder of this version",
                    table->path, column);
        return FALSE;
    }
    *ret_index = index;
    return TRUE;
}

gboolean eep_csv_table_next(EepCsvTable *table, GError **error)
{
    if (!read_line(table))
        return FALSE;
    split(table->line, table->fields);
    if (table->fields->len == table->names->len)
        return TRUE;
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE,
                "%s:%" G_GUINT64_FORMAT ":1: %u fields: %u, as in the header", table->path,
                table->row, table->fields->len, table->names->len);
    return FALSE;
}

const char *eep_csv_table_text(const EepCsvTable *table, gint column)
{
    return column < 0 ? "" : (const char *)table->fields->pdata[column];
}

double eep_csv_table_number(const EepCsvTable *table, gint column)
{
    const char *text = eep_csv_table_text(table, column);
    char *end;
    double value = g_ascii_strtod(text, &end);

    return *text == '\0' || *end != '\0' || !isfinite(value) ? NAN : value;
}
