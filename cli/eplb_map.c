#include "cli/eplb_map.h"

#include "cli/command.h"
#include "core/eplb/bound.h"
#include "traces/json_text.h"
#include "traces/whole_file.h"

static const char *const keys[] = {"phy2log", "physical_to_logical_map"};

typedef struct {
    const char *name, *key;
    const EepEplbProblem *problem;
    gsize n_slots; /* R0, of every layer */
} Map;

static gboolean fail_at(const Map *map, const char *place, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
static gboolean fail_at(const Map *map, const char *place, GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    const gboolean has_path = *map->key != '\0' || *place != '\0';
    g_set_error(error, EEP_COMMAND_ERROR, EEP_COMMAND_ERROR_USAGE, "%s: %s%s%s%s", map->name,
                map->key, place, has_path ? ": " : "", what);
    return FALSE;
}

static const json_t *find_list(Map *map, const json_t *root, GError **error)
{
    map->key = "";
    if (json_is_array(root))
        return root;
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        if (json_object_get(root, keys[i]) != NULL) {
            map->key = keys[i];
            return json_object_get(root, keys[i]);
        }
    fail_at(map, "", error, "there is no map: a list, or a key phy2log or physical_to_logical_map");
    return NULL;
}

/* Layers, and slots of the first: the others are compared with it. */
static gboolean check_shape(Map *map, const json_t *list, GError **error)
{
    const EepEplbProblem *p = map->problem;
    const gsize S = p->n_replicas / p->n_ranks;
    const json_t *first = json_array_get(list, 0);
    if (!json_is_array(list) || !json_is_array(first))
        return fail_at(map, "", error, "a map is a list of %u layers, each a list of slots",
                       p->n_layers);
    if (json_array_size(list) != p->n_layers)
        return fail_at(map, "", error, "%" G_GSIZE_FORMAT " layers: %u, as the loads have",
                       json_array_size(list), p->n_layers);
    map->n_slots = json_array_size(first);
    if (map->n_slots == 0 || map->n_slots % S != 0)
        return fail_at(map, "[0]", error,
                       "%" G_GSIZE_FORMAT " slots: a multiple of %" G_GSIZE_FORMAT
                       ", the slots of a rank (%u slots on %u ranks)",
                       map->n_slots, S, p->n_replicas, p->n_ranks);
    return TRUE;
}

static gboolean read_slot(const Map *map, const json_t *value, guint layer, gsize slot,
                          gint32 *ret_expert, GError **error)
{
    const json_int_t expert = json_integer_value(value);
    if (json_is_integer(value) && expert >= -1 && expert < (json_int_t)map->problem->n_experts) {
        *ret_expert = (gint32)expert;
        return TRUE;
    }
    g_autofree char *place = g_strdup_printf("[%u][%" G_GSIZE_FORMAT "]", layer, slot);
    g_autofree char *what = eep_json_text_describe(value);
    return fail_at(map, place, error, "%s is no expert: -1 (empty) to %u", what,
                   map->problem->n_experts - 1);
}

/* ret_map [L][R]; what the file has beyond it is looked at all the same. */
static gboolean read_layers(const Map *map, const json_t *list, gint32 *ret_map, GError **error)
{
    const guint R = map->problem->n_replicas;
    for (guint layer = 0; layer < map->problem->n_layers; layer++, ret_map += R) {
        const json_t *row = json_array_get(list, layer);
        g_autofree char *place = g_strdup_printf("[%u]", layer);
        if (!json_is_array(row) || json_array_size(row) != map->n_slots)
            return fail_at(map, place, error,
                           "%" G_GSIZE_FORMAT " slots: %" G_GSIZE_FORMAT ", as the layers before",
                           json_array_size(row), map->n_slots);
        for (guint slot = 0; slot < R; slot++)
            ret_map[slot] = -1;
        for (gsize slot = 0; slot < map->n_slots; slot++) {
            gint32 expert = -1;
            if (!read_slot(map, json_array_get(row, slot), layer, slot, &expert, error))
                return FALSE;
            if (slot < R)
                ret_map[slot] = expert;
        }
    }
    return TRUE;
}

gint32 *eep_eplb_map_read(const char *path, const EepEplbProblem *problem, GError **error)
{
    gsize size;
    g_autofree char *text = eep_whole_file_read(path, &size, error);
    if (text == NULL)
        return NULL;
    g_autofree char *name = eep_whole_file_name(path);
    Map map = {.name = name, .problem = problem};
    json_t *root = eep_json_text_parse(name, text, size, error);
    if (root == NULL)
        return NULL;
    gint32 *slots = NULL;
    const json_t *list = find_list(&map, root, error);
    if (list != NULL && check_shape(&map, list, error)) {
        slots = g_new(gint32, (gsize)problem->n_layers * problem->n_replicas);
        if (!read_layers(&map, list, slots, error))
            g_clear_pointer(&slots, g_free);
    }
    json_decref(root);
    return slots;
}

/* Whether every group of the layer lies on one node, and every node has as many. */
static gboolean layer_keeps_groups(const EepEplbProblem *p, const gint32 *map)
{
    const guint group_experts = p->n_experts / p->n_groups;
    const guint node_slots = p->n_replicas / p->n_nodes;
    g_autofree guint *node_of = g_new0(guint, p->n_groups); /* + 1; 0: not seen */
    g_autofree guint *count = g_new0(guint, p->n_nodes);
    for (guint slot = 0; slot < p->n_replicas; slot++) {
        if (map[slot] < 0)
            continue;
        guint *seen = &node_of[(guint)map[slot] / group_experts];
        if (*seen == 0)
            count[slot / node_slots]++;
        else if (*seen != slot / node_slots + 1)
            return FALSE;
        *seen = slot / node_slots + 1;
    }
    for (guint node = 0; node < p->n_nodes; node++)
        if (count[node] != p->n_groups / p->n_nodes)
            return FALSE;
    return TRUE;
}

void eep_eplb_map_lower_bound(const EepEplbProblem *problem, const gint32 *map, double *ret_bound)
{
    EepEplbProblem p = *problem;
    gboolean keeps_groups =
        p.n_experts % p.n_groups == 0 && p.n_groups % p.n_nodes == 0 && p.n_ranks % p.n_nodes == 0;
    for (guint layer = 0; layer < p.n_layers && keeps_groups; layer++)
        keeps_groups = layer_keeps_groups(&p, map + (gsize)layer * p.n_replicas);
    if (!keeps_groups)
        p.n_groups = p.n_nodes = 1;
    eep_eplb_lower_bound(&p, ret_bound);
}
