#include "cli/gantt_rows.h"

#include <math.h>
#include <string.h>

/* In the order of their rows. */
static const char *const roles[] = {"coordinator", "existing", "remaining",
                                    "removing",    "new",      "all"};
enum { ROLE_EXISTING = 1, ROLE_REMAINING, ROLE_REMOVING, ROLE_NEW };

/* A label names so many stretches of ranks. */
#define MAX_STRETCHES 3

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static guint role_of(const json_t *object, const char *key)
{
    const char *name = json_string_value(json_object_get(object, key));
    guint role = 0;

    while (role < G_N_ELEMENTS(roles) - 1 && g_strcmp0(name, roles[role]) != 0)
        role++;
    return role;
}

static guint count_of(const json_t *object, const char *key)
{
    return (guint)CLAMP(json_integer_value(json_object_get(object, key)), 0, G_MAXUINT16 + 1);
}

static EepGanttRow *row_at(const GArray *rows, guint index)
{
    return &g_array_index(rows, EepGanttRow, index);
}

static void clear_row(gpointer data)
{
    EepGanttRow *row = data;

    g_free(row->label);
    g_array_unref(row->ranks);
    g_array_unref(row->bars);
}

static GArray *rows_new(void)
{
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(EepGanttRow));

    g_array_set_clear_func(rows, clear_row);
    return rows;
}

static EepGanttRow *add_row(GArray *rows, guint role)
{
    EepGanttRow row = {.role = role,
                       .ranks = g_array_new(FALSE, FALSE, sizeof(guint)),
                       .bars = g_array_new(FALSE, FALSE, sizeof(EepGanttBar))};

    g_array_append_val(rows, row);
    return row_at(rows, rows->len - 1);
}

static gint compare_rows(gconstpointer a, gconstpointer b)
{
    const EepGanttRow *x = a, *y = b;

    if (x->role != y->role)
        return x->role < y->role ? -1 : 1;
    if (x->ranks->len == 0 || y->ranks->len == 0)
        return (x->ranks->len > 0) - (y->ranks->len > 0);
    return g_array_index(x->ranks, guint, 0) < g_array_index(y->ranks, guint, 0) ? -1 : 1;
}

static GArray *read_ranks(const json_t *resize)
{
    GArray *rows = rows_new();
    gsize i;
    json_t *item;

    json_array_foreach(json_object_get(resize, "ranks"), i, item)
    {
        guint first = count_of(item, "first"), n = count_of(item, "count");
        for (guint rank = first; rank < first + n; rank++) {
            EepGanttRow *row = add_row(rows, role_of(item, "role"));
            g_array_append_val(row->ranks, rank);
        }
    }
    g_array_sort(rows, compare_rows);
    return rows;
}

/* -- what they did ------------------------------------------------------------------------------
 */

static gboolean has_rank(const EepGanttRow *row, guint role, guint first, guint n)
{
    return row->role == role && row->ranks->len > 0 &&
           g_array_index(row->ranks, guint, 0) - first < n;
}

/* The row of a role as a whole, made when it is first used. */
static EepGanttRow *role_row(GArray *rows, guint role)
{
    for (guint i = 0; i < rows->len; i++)
        if (row_at(rows, i)->role == role && row_at(rows, i)->ranks->len == 0)
            return row_at(rows, i);
    return add_row(rows, role);
}

static void read_phase(GArray *rows, const json_t *phase, EepGanttBar bar, double accepted)
{
    const json_t *parts = json_object_get(phase, "ranks");
    gsize i;
    json_t *part;

    json_array_foreach(parts, i, part)
    {
        guint role = role_of(part, "role");
        guint first = count_of(part, "first"), n = count_of(part, "count");
        bar.end_s = number(part, "end_s") - accepted;
        for (guint k = 0; k < rows->len; k++)
            if (has_rank(row_at(rows, k), role, first, n))
                g_array_append_val(row_at(rows, k)->bars, bar);
    }
    if (json_array_size(parts) == 0) {
        bar.end_s = number(phase, "end_s") - accepted;
        g_array_append_val(role_row(rows, role_of(phase, "who"))->bars, bar);
    }
}

static void read_phases(GArray *rows, const json_t *resize)
{
    double accepted = number(resize, "accepted_s");
    gsize i;
    json_t *phase;

    json_array_foreach(json_object_get(resize, "phases"), i, phase)
    {
        EepGanttBar bar = {.phase = (guint)i, .start_s = number(phase, "start_s") - accepted};
        if (!isnan(bar.start_s))
            read_phase(rows, phase, bar, accepted);
    }
}

/* -- their names ---------------------------------------------------------------------------------
 */

static char *name_ranks(const GArray *ranks)
{
    GString *name = g_string_new(ranks->len > 1 ? "ranks " : "rank ");
    guint n_stretches = 0;

    for (guint i = 0, end; i < ranks->len; i = end) {
        guint first = g_array_index(ranks, guint, i);
        for (end = i + 1; end < ranks->len && g_array_index(ranks, guint, end) == first + end - i;)
            end++;
        if (n_stretches++ == MAX_STRETCHES) {
            g_string_append(name, ", ...");
            break;
        }
        g_string_append_printf(name, i > 0 ? ", %u" : "%u", first);
        if (end > i + 1)
            g_string_append_printf(name, "-%u", first + end - i - 1);
    }
    return g_string_free(name, FALSE);
}

static gboolean stays(const EepGanttRow *row)
{
    return row->ranks->len > 0 && (row->role == ROLE_EXISTING || row->role == ROLE_REMAINING);
}

/* Who stays moves up where one below leaves. `n_below`: how many below it stay. */
static char *label_of(const EepGanttRow *row, guint n_below)
{
    if (row->ranks->len == 0)
        return g_strdup(roles[row->role]);
    g_autofree char *name = name_ranks(row->ranks);
    if (!stays(row))
        return g_strdup_printf("%s (%s)", name, roles[row->role]);
    if (row->ranks->len == 1 && g_array_index(row->ranks, guint, 0) != n_below)
        return g_strdup_printf("%s, then %u", name, n_below);
    return g_steal_pointer(&name);
}

/* While each rank has a row of its own; in order. */
static void label_single(GArray *rows)
{
    guint n_staying = 0;

    for (guint i = 0; i < rows->len; i++) {
        EepGanttRow *row = row_at(rows, i);
        row->label = label_of(row, n_staying);
        n_staying += stays(row);
    }
}

/* -- those that do the same ---------------------------------------------------------------------
 */

static gboolean does_the_same(const EepGanttRow *a, const EepGanttRow *b)
{
    if (a->role != b->role || a->bars->len != b->bars->len || a->ranks->len == 0 ||
        b->ranks->len == 0)
        return FALSE;
    for (guint i = 0; i < a->bars->len; i++)
        if (g_array_index(a->bars, EepGanttBar, i).phase !=
            g_array_index(b->bars, EepGanttBar, i).phase)
            return FALSE;
    return TRUE;
}

/* A part that never ended is the last, as far as that can be drawn. */
static void join(EepGanttRow *row, const EepGanttRow *other)
{
    g_array_append_vals(row->ranks, other->ranks->data, other->ranks->len);
    for (guint i = 0; i < row->bars->len; i++) {
        double *end = &g_array_index(row->bars, EepGanttBar, i).end_s;
        double other_end = g_array_index(other->bars, EepGanttBar, i).end_s;
        if (isnan(other_end) || other_end > *end)
            *end = other_end;
    }
}

static GArray *join_rows(GArray *rows)
{
    GArray *joined = rows_new();

    for (guint i = 0; i < rows->len; i++) {
        const EepGanttRow *row = row_at(rows, i);
        guint k = 0;
        while (k < joined->len && !does_the_same(row_at(joined, k), row))
            k++;
        if (k == joined->len) {
            EepGanttRow *copy = add_row(joined, row->role);
            g_array_append_vals(copy->bars, row->bars->data, row->bars->len);
            g_array_append_vals(copy->ranks, row->ranks->data, row->ranks->len);
            copy->label = g_strdup(row->label);
        } else {
            join(row_at(joined, k), row);
        }
    }
    g_array_unref(rows);
    for (guint i = 0; i < joined->len; i++) {
        EepGanttRow *row = row_at(joined, i);
        if (row->ranks->len > 1) {
            g_free(row->label);
            row->label = label_of(row, 0);
        }
    }
    return joined;
}

/* -- how they are shown -------------------------------------------------------------------------
 */

/* The lowest lane in which nothing lies at its start. */
static void set_lanes(EepGanttRow *row)
{
    row->n_lanes = 1;
    for (guint i = 0; i < row->bars->len; i++) {
        EepGanttBar *bar = &g_array_index(row->bars, EepGanttBar, i);
        for (guint k = 0; k < i;) {
            const EepGanttBar *other = &g_array_index(row->bars, EepGanttBar, k);
            gboolean overlaps = other->lane == bar->lane && !(other->end_s <= bar->start_s);
            bar->lane += overlaps;
            k = overlaps ? 0 : k + 1;
        }
        row->n_lanes = MAX(row->n_lanes, bar->lane + 1);
    }
}

GArray *eep_gantt_rows_read(const json_t *resize)
{
    GArray *rows = read_ranks(resize);
    gboolean is_large = rows->len > EEP_GANTT_MAX_SINGLE;

    read_phases(rows, resize);
    g_array_sort(rows, compare_rows);
    label_single(rows);
    if (is_large)
        rows = join_rows(rows);
    for (guint i = 0; i < rows->len; i++)
        set_lanes(row_at(rows, i));
    return rows;
}
