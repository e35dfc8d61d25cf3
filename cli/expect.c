#include "cli/expect.h"

#include "cli/summary.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

typedef enum { LESS, AT_MOST, EQUAL, UNEQUAL, AT_LEAST, MORE, OPERATOR_COUNT } Operator;

static const char *const operators[OPERATOR_COUNT] = {"<", "<=", "==", "!=", ">=", ">"};

typedef struct {
    char *key;
    Operator sign;
    char *value;
} Comparison;

static void comparison_clear(Comparison *comparison)
{
    g_free(comparison->key);
    g_free(comparison->value);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Comparison, comparison_clear)

void eep_expectation_free(EepExpectation *expectation)
{
    if (expectation == NULL)
        return;
    g_free(expectation->expression);
    g_free(expectation->value);
    g_free(expectation);
}

static gboolean parse(const char *expression, Comparison *ret_comparison, GError **error)
{
    gsize key = strcspn(expression, "<>=!"), width = strspn(expression + key, "<>=!");
    const char *text = expression + key + width;
    guint sign = 0;

    while (sign < OPERATOR_COUNT && (strlen(operators[sign]) != width ||
                                     strncmp(operators[sign], expression + key, width) != 0))
        sign++;
    ret_comparison->key = g_strstrip(g_strndup(expression, key));
    ret_comparison->value = g_strstrip(g_strdup(text));
    ret_comparison->sign = sign;
    gsize length = strlen(ret_comparison->value);
    if (length >= 2 && strchr("\"'", ret_comparison->value[0]) != NULL &&
        ret_comparison->value[length - 1] == ret_comparison->value[0]) {
        ret_comparison->value[length - 1] = '\0';
        memmove(ret_comparison->value, ret_comparison->value + 1, length - 1);
    }
    if (sign < OPERATOR_COUNT && *ret_comparison->key != '\0' && length > 0)
        return TRUE;
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                "\"%s\" is no comparison: write KEY OP VALUE with OP one of < <= == != >= >, for "
                "example \"slo_attainment >= 0.99\"",
                expression);
    return FALSE;
}

/* `any_id`: an id that no element has stands for the first one. */
static json_t *list_element(json_t *list, const char *name, gboolean any_id)
{
    gsize i;
    json_t *element;
    char *end;

    json_array_foreach(list, i, element)
    {
        const char *id = json_string_value(json_object_get(element, "id"));
        if (id != NULL && *id != '\0' && strcmp(id, name) == 0)
            return element;
    }
    guint64 index = g_ascii_strtoull(name, &end, 10);
    if (g_ascii_isdigit(*name) && *end == '\0' && index < json_array_size(list))
        return json_array_get(list, (gsize)index);
    return any_id ? json_array_get(list, 0) : NULL;
}

static char *known_names(json_t *parent)
{
    GString *names = g_string_new(NULL);
    const char *key;
    json_t *value;
    gsize i;

    if (json_is_object(parent)) {
        json_object_foreach(parent, key, value)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", key);
    } else if (json_is_array(parent)) {
        json_array_foreach(parent, i, value)
        {
            const char *id = json_string_value(json_object_get(value, "id"));
            g_string_append(names, names->len > 0 ? ", " : "");
            if (id != NULL && *id != '\0')
                g_string_append(names, id);
            else
                g_string_append_printf(names, "%" G_GSIZE_FORMAT, i);
        }
    }
    if (names->len == 0)
        g_string_append(names, "nothing");
    return g_string_free(names, FALSE);
}

/* Borrowed. Elements of lists come and go with the run, so one that is not there is null; with
 * `any_id` every list's first element has every id. */
static json_t *find(json_t *root, const char *expression, const char *key, gboolean any_id,
                    GError **error)
{
    g_auto(GStrv) names = g_strsplit(key, ".", -1);
    json_t *at = root;

    for (guint i = 0; names[i] != NULL; i++) {
        json_t *next = json_is_object(at)  ? json_object_get(at, names[i])
                       : json_is_array(at) ? list_element(at, names[i], any_id)
                                           : NULL;
        if (next == NULL && json_is_array(at) && !any_id)
            return json_null();
        if (next == NULL) {
            g_autofree char *known = known_names(at);
            g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_UNKNOWN,
                        "\"%s\": summary.json has no %s: there is %s", expression, key, known);
            return NULL;
        }
        at = next;
    }
    if (json_is_object(at) && json_object_get(at, "total") != NULL)
        at = json_object_get(at, "total");
    if (json_is_object(at) || json_is_array(at)) {
        g_autofree char *known = known_names(at);
        g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_UNKNOWN,
                    "\"%s\": %s is no single figure: compare one of its members: %s", expression,
                    key, known);
        return NULL;
    }
    return at;
}

static gboolean is_met(Operator sign, int order)
{
    switch (sign) {
    case LESS:
        return order < 0;
    case AT_MOST:
        return order <= 0;
    case EQUAL:
        return order == 0;
    case UNEQUAL:
        return order != 0;
    case AT_LEAST:
        return order >= 0;
    default:
        return order > 0;
    }
}

/* FALSE with an error when the two cannot be compared. */
static gboolean compare(const Comparison *comparison, json_t *value, const char *expression,
                        gboolean *ret_met, GError **error)
{
    char *end;
    double wanted = g_ascii_strtod(comparison->value, &end);
    gboolean is_number = *end == '\0' && isfinite(wanted);
    const char *word = json_is_true(value)    ? "true"
                       : json_is_false(value) ? "false"
                       : json_is_null(value)  ? "null"
                                              : json_string_value(value);

    if (json_is_number(value) && is_number) {
        double actual = json_number_value(value);
        *ret_met = is_met(comparison->sign, (actual > wanted) - (actual < wanted));
        return TRUE;
    }
    gboolean by_equality = comparison->sign == EQUAL || comparison->sign == UNEQUAL;
    gboolean is_null = json_is_null(value) || strcmp(comparison->value, "null") == 0;
    if (is_null) {
        gboolean same = json_is_null(value) && strcmp(comparison->value, "null") == 0;
        *ret_met = (comparison->sign == EQUAL && same) ||
                   (comparison->sign == UNEQUAL && !same && !json_is_null(value));
        return TRUE;
    }
    if (word != NULL && by_equality) {
        *ret_met = is_met(comparison->sign, strcmp(word, comparison->value) != 0);
        return TRUE;
    }
    g_set_error(error, EEP_OPTION_ERROR, EEP_OPTION_ERROR_SYNTAX,
                "\"%s\": %s is a %s: compare it with %s", expression, comparison->key,
                word != NULL ? "word" : "number",
                word != NULL ? "== or != and a word" : "a number, without a unit");
    return FALSE;
}

static char *show(json_t *value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];

    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) /* enough to tell 0.9899 from a limit of 0.99 */
        return g_strdup(g_ascii_formatd(digits, sizeof digits, "%.4g", json_number_value(value)));
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    return g_strdup(json_is_true(value) ? "true" : json_is_false(value) ? "false" : "-");
}

GPtrArray *eep_expect_judge(const char *const *expressions, const char *summary,
                            gboolean *ret_all_met, GError **error)
{
    g_autoptr(GPtrArray) list =
        g_ptr_array_new_with_free_func((GDestroyNotify)eep_expectation_free);
    json_error_t place;
    gboolean all_met = TRUE, is_right = TRUE;
    json_t *root = json_loads(summary, 0, &place);

    g_return_val_if_fail(root != NULL, NULL);
    for (guint i = 0; is_right && expressions != NULL && expressions[i] != NULL; i++) {
        g_auto(Comparison) comparison = {0};
        gboolean met = FALSE;
        json_t *value = NULL;

        is_right = parse(expressions[i], &comparison, error) &&
                   (value = find(root, expressions[i], comparison.key, FALSE, error)) != NULL &&
                   compare(&comparison, value, expressions[i], &met, error);
        if (!is_right)
            break;
        EepExpectation *expectation = g_new0(EepExpectation, 1);
        expectation->expression = g_strdup(expressions[i]);
        expectation->value = show(value);
        expectation->is_met = met;
        g_ptr_array_add(list, expectation);
        all_met &= met;
    }
    json_decref(root);
    if (!is_right)
        return NULL;
    *ret_all_met = all_met;
    return g_steal_pointer(&list);
}

/* A summary that has every key: of a run in which nothing happened but one resize and one fault. */
static json_t *empty_summary(void)
{
    const EepSloOptions slo = {0};
    const EepMeasureOptions measure = {.bucket = EEP_NS_PER_S};
    const EepMetricsEnd end = {0};
    const EepRunFacts facts = {.name = "",
                               .version = "",
                               .backend = "",
                               .label = "",
                               .model = "",
                               .hardware = "",
                               .scenario_sha256 = "",
                               .traffic_sha256 = "",
                               .trace_sha256 = "",
                               .model_sha256 = "",
                               .hardware_sha256 = ""};
    const EepIncident incident = {
        .fault = "", .detected_by = "-", .recovery_by = "-", .outcome = ""};
    EepResizeRecord resize;
    g_autoptr(EepMetrics) metrics = eep_metrics_new(&slo, &measure);
    g_auto(EepText) text = {0};
    EepObserver *observer = eep_metrics_observer(metrics);

    eep_resize_record_init(&resize, 0, NULL, NULL, 0);
    resize.generation = "";
    observer->ops->resize_ended(observer, &resize);
    eep_metrics_add_incident(metrics, &incident);
    eep_metrics_finish(metrics, &end);
    eep_summary_write(&text, metrics, &facts, NULL);
    return json_loads(eep_text_string(&text), 0, NULL);
}

gboolean eep_expect_check(const char *expression, GError **error)
{
    g_auto(Comparison) comparison = {0};

    if (!parse(expression, &comparison, error))
        return FALSE;
    json_t *root = empty_summary();
    json_t *value = find(root, expression, comparison.key, TRUE, error);
    gboolean met, is_right = value != NULL;
    if (json_is_null(value)) {
        /* A figure that only some runs have. */
        json_t *number = json_integer(0);
        is_right = compare(&comparison, number, expression, &met, error);
        json_decref(number);
    } else if (value != NULL) {
        is_right = compare(&comparison, value, expression, &met, error);
    }
    json_decref(root);
    return is_right;
}
