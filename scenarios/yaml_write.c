#include "scenarios/yaml.h"

#include <string.h>

#define LINE_COLUMNS 100

/* A plain scalar must not be read as anything else, neither here nor by other YAML readers. */
static gboolean needs_quotes(const char *text)
{
    static const char *const words[] = {"null", "~",    "yes", "no",  "on", "off", "Yes",
                                        "No",   "On",   "Off", "YES", "NO", "ON",  "OFF",
                                        "Null", "NULL", "y",   "n",   "Y",  "N",   NULL};
    if (*text == '\0' || g_strv_contains(words, text))
        return TRUE;
    if (strchr("-?:,[]{}#&*!|>'\"%@` ", *text) != NULL &&
        !(*text == '-' && g_ascii_isdigit(text[1])))
        return TRUE;
    for (const char *at = text; *at != '\0'; at++)
        if (strchr(",[]{}#\"\\", *at) != NULL || (guchar)*at < 0x20 || (guchar)*at >= 0x7f ||
            (*at == ':' && (at[1] == ' ' || at[1] == '\0')))
            return TRUE;
    return text[strlen(text) - 1] == ' ';
}

static void append_quoted(GString *out, const char *text)
{
    g_string_append_c(out, '"');
    while (*text != '\0') {
        gunichar c = g_utf8_get_char(text);
        if (c == '"' || c == '\\')
            g_string_append_printf(out, "\\%c", (char)c);
        else if (c == '\n')
            g_string_append(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            g_string_append_printf(out, "\\x%02x", c);
        else if (c > 0x7f && !g_unichar_isprint(c))
            g_string_append_printf(out, "\\U%08x", c);
        else
            g_string_append_unichar(out, c);
        text = g_utf8_next_char(text);
    }
    g_string_append_c(out, '"');
}

static void append_scalar(GString *out, const EepYaml *node)
{
    if (node->quoted ? needs_quotes(node->text)
                     : needs_quotes(node->text) && !eep_yaml_is_null(node))
        append_quoted(out, node->text);
    else
        g_string_append(out, node->text[0] == '\0' ? "null" : node->text);
}

static void append_flow(GString *out, const EepYaml *node)
{
    if (node->kind == EEP_YAML_SCALAR) {
        append_scalar(out, node);
        return;
    }
    g_string_append_c(out, node->kind == EEP_YAML_MAP ? '{' : '[');
    for (guint i = 0; i < node->items->len; i++) {
        if (i > 0)
            g_string_append(out, ", ");
        if (node->kind == EEP_YAML_MAP) {
            append_scalar(out, node->keys->pdata[i]);
            g_string_append(out, ": ");
        }
        append_flow(out, node->items->pdata[i]);
    }
    g_string_append_c(out, node->kind == EEP_YAML_MAP ? '}' : ']');
}

static void append_block(GString *out, const EepYaml *node, guint indent);

/* One entry behind "KEY:" or "-" at `column`: in flow style when the line holds it. */
static void append_item(GString *out, const EepYaml *item, guint indent, gsize column)
{
    GString *flow = g_string_new(NULL);
    append_flow(flow, item);
    gboolean fits = column + 1 + flow->len <= LINE_COLUMNS;
    if (item->kind == EEP_YAML_SCALAR || item->items->len == 0 || fits) {
        g_string_append_printf(out, " %s\n", flow->str);
    } else {
        g_string_append_c(out, '\n');
        append_block(out, item, indent + 2);
    }
    g_string_free(flow, TRUE);
}

static void append_block(GString *out, const EepYaml *node, guint indent)
{
    for (guint i = 0; i < node->items->len; i++) {
        gsize start = out->len;
        g_string_append_printf(out, "%*s", (int)indent, "");
        if (node->kind == EEP_YAML_MAP) {
            append_scalar(out, node->keys->pdata[i]);
            g_string_append_c(out, ':');
        } else {
            g_string_append_c(out, '-');
        }
        append_item(out, node->items->pdata[i], indent, out->len - start);
    }
}

char *eep_yaml_to_text(const EepYaml *map)
{
    GString *out = g_string_new(NULL);
    append_block(out, map, 0);
    return g_string_free(out, FALSE);
}
