#include "scenarios/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

static EepYaml *node_new(EepYamlKind kind)
{
    EepYaml *node = g_new0(EepYaml, 1);
    node->kind = kind;
    if (kind == EEP_YAML_MAP)
        node->keys = g_ptr_array_new_with_free_func((GDestroyNotify)eep_yaml_free);
    if (kind != EEP_YAML_SCALAR)
        node->items = g_ptr_array_new_with_free_func((GDestroyNotify)eep_yaml_free);
    return node;
}

EepYaml *eep_yaml_new_scalar(const char *text)
{
    EepYaml *node = node_new(EEP_YAML_SCALAR);
    node->text = g_strdup(text);
    return node;
}

EepYaml *eep_yaml_new_list(void)
{
    return node_new(EEP_YAML_LIST);
}

EepYaml *eep_yaml_new_map(void)
{
    return node_new(EEP_YAML_MAP);
}

void eep_yaml_free(EepYaml *node)
{
    if (node == NULL)
        return;
    g_clear_pointer(&node->keys, g_ptr_array_unref);
    g_clear_pointer(&node->items, g_ptr_array_unref);
    g_free(node->text);
    g_free(node->set);
    g_free(node);
}

static gint key_index(const EepYaml *map, const char *key)
{
    for (guint i = 0; i < map->keys->len; i++)
        if (strcmp(((EepYaml *)map->keys->pdata[i])->text, key) == 0)
            return (gint)i;
    return -1;
}

EepYaml *eep_yaml_find(const EepYaml *map, const char *key)
{
    if (map == NULL || map->kind != EEP_YAML_MAP)
        return NULL;
    gint i = key_index(map, key);
    return i < 0 ? NULL : map->items->pdata[i];
}

void eep_yaml_put(EepYaml *map, const char *key, EepYaml *item)
{
    g_return_if_fail(map->kind == EEP_YAML_MAP);

    gint i = key_index(map, key);
    if (i >= 0) {
        eep_yaml_free(map->items->pdata[i]);
        map->items->pdata[i] = item;
        EepYaml *written = map->keys->pdata[i];
        g_free(written->set);
        written->set = g_strdup(item->set);
        return;
    }
    EepYaml *name = eep_yaml_new_scalar(key);
    name->line = item->line;
    name->column = item->column;
    name->set = g_strdup(item->set);
    g_ptr_array_add(map->keys, name);
    g_ptr_array_add(map->items, item);
}

void eep_yaml_append(EepYaml *list, EepYaml *item)
{
    g_return_if_fail(list->kind == EEP_YAML_LIST);
    g_ptr_array_add(list->items, item);
}

gboolean eep_yaml_remove(EepYaml *map, const char *key)
{
    gint i = map->kind == EEP_YAML_MAP ? key_index(map, key) : -1;
    if (i < 0)
        return FALSE;
    g_ptr_array_remove_index(map->keys, (guint)i);
    g_ptr_array_remove_index(map->items, (guint)i);
    return TRUE;
}

gboolean eep_yaml_is_null(const EepYaml *node)
{
    return node->kind == EEP_YAML_SCALAR && !node->quoted &&
           (node->text[0] == '\0' || strcmp(node->text, "null") == 0 ||
            strcmp(node->text, "~") == 0);
}

/* A line of the source as it can be shown: no control characters, valid UTF-8, cut when long. */
static char *source_line(const char *text, guint line)
{
    for (; line > 1 && text != NULL; line--) {
        text = strchr(text, '\n');
        if (text != NULL)
            text++;
    }
    if (text == NULL)
        return NULL;
    gsize length = strcspn(text, "\r\n");
    g_autofree char *raw = g_strndup(text, MIN(length, 4096));
    char *shown = g_utf8_make_valid(raw, -1);
    for (char *at = shown; *at != '\0'; at++)
        if (g_ascii_iscntrl(*at))
            *at = ' ';
    return shown;
}

/* "\n  SOURCE LINE\n  <spaces>^"; a window of it when the column lies far to the right. */
static void append_caret(GString *message, const char *text, guint line, guint column)
{
    const glong window = 96, before = 48;
    g_autofree char *shown = source_line(text, line);
    if (shown == NULL)
        return;
    glong length = g_utf8_strlen(shown, -1), at = MIN((glong)column - 1, length);
    glong from = at > window - 8 ? at - before : 0;
    g_autofree char *part = g_utf8_substring(shown, from, MIN(length, from + window));
    g_string_append_printf(message, "\n  %s\n  %*s^", part, (int)(at - from), "");
}

gboolean eep_yaml_fail(const EepYamlDocument *document, const EepYaml *node, EepOptionError code,
                       GError **error, const char *format, ...)
{
    GString *message = g_string_new(NULL);
    va_list arguments;

    if (node != NULL && node->set != NULL)
        g_string_append_printf(message, "--set %s: ", node->set);
    else if (node != NULL && node->line > 0)
        g_string_append_printf(message, "%s:%u:%u: ", document->name, node->line, node->column);
    else
        g_string_append_printf(message, "%s: ", document->name);
    va_start(arguments, format);
    g_string_append_vprintf(message, format, arguments);
    va_end(arguments);
    if (node != NULL && node->set == NULL && node->line > 0)
        append_caret(message, document->text, node->line, node->column);
    g_set_error_literal(error, EEP_OPTION_ERROR, code, message->str);
    g_string_free(message, TRUE);
    return FALSE;
}

gboolean eep_yaml_fail_with(const EepYamlDocument *document, const EepYaml *node, GError *cause,
                            GError **error)
{
    eep_yaml_fail(document, node, (EepOptionError)cause->code, error, "%s", cause->message);
    g_error_free(cause);
    return FALSE;
}

typedef struct {
    yaml_parser_t parser;
    const EepYamlDocument *document;
    guint depth, n_nodes;
    GError **error;
} Reader;

static gboolean fail_at(Reader *reader, yaml_mark_t mark, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean fail_at(Reader *reader, yaml_mark_t mark, const char *format, ...)
{
    EepYaml place = {.line = (guint)mark.line + 1, .column = (guint)mark.column + 1};
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return eep_yaml_fail(reader->document, &place, EEP_OPTION_ERROR_SYNTAX, reader->error, "%s",
                         text);
}

static gboolean next_event(Reader *reader, yaml_event_t *ret_event)
{
    if (yaml_parser_parse(&reader->parser, ret_event))
        return TRUE;
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "out of memory";
    if (parser->error == YAML_READER_ERROR)
        eep_yaml_fail(reader->document, NULL, EEP_OPTION_ERROR_SYNTAX, reader->error,
                      "%s at byte %zu: YAML in UTF-8", problem, parser->problem_offset);
    else if (parser->context != NULL)
        fail_at(reader, parser->problem_mark, "%s (%s that begins in line %zu): YAML", problem,
                parser->context, parser->context_mark.line + 1);
    else
        fail_at(reader, parser->problem_mark, "%s: YAML", problem);
    return FALSE;
}

static EepYaml *read_node(Reader *reader, const yaml_event_t *event);

/* Refuses what scenarios do not use, so that nothing is silently ignored. */
static gboolean check_event(Reader *reader, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return fail_at(reader, event->start_mark,
                       "aliases (*%s) are not supported: write the value out",
                       event->data.alias.anchor);
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return fail_at(reader, event->start_mark,
                       "anchors (&%s) are not supported: write the value out", anchor);
    if (tag != NULL)
        return fail_at(reader, event->start_mark, "tags (%s) are not supported: leave it out", tag);
    if (++reader->n_nodes > EEP_YAML_MAX_NODES)
        return fail_at(reader, event->start_mark, "the file is too large: at most %d values",
                       EEP_YAML_MAX_NODES);
    return TRUE;
}

/* Takes over `key`, also on failure. */
static gboolean add_entry(Reader *reader, EepYaml *map, EepYaml *key, const yaml_event_t *event)
{
    g_autoptr(EepYaml) owned = key;
    gint earlier = key_index(map, key->text);
    if (earlier >= 0)
        return eep_yaml_fail(reader->document, key, EEP_OPTION_ERROR_SYNTAX, reader->error,
                             "\"%s\" is given twice: once; the first is in line %u", key->text,
                             ((EepYaml *)map->keys->pdata[earlier])->line);
    if (map->keys->len >= EEP_YAML_MAX_KEYS)
        return eep_yaml_fail(reader->document, key, EEP_OPTION_ERROR_SYNTAX, reader->error,
                             "the map is too large: at most %d keys", EEP_YAML_MAX_KEYS);
    EepYaml *item = read_node(reader, event);
    if (item == NULL)
        return FALSE;
    g_ptr_array_add(map->keys, g_steal_pointer(&owned));
    g_ptr_array_add(map->items, item);
    return TRUE;
}

static gboolean read_map_entry(Reader *reader, EepYaml *map, const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, event->start_mark, "a key is no plain word: KEY: VALUE");
    EepYaml *key = read_node(reader, event);
    if (key == NULL)
        return FALSE;
    yaml_event_t value;
    if (!next_event(reader, &value)) {
        eep_yaml_free(key);
        return FALSE;
    }
    gboolean ok = add_entry(reader, map, key, &value);
    yaml_event_delete(&value);
    return ok;
}

static gboolean read_children(Reader *reader, EepYaml *node)
{
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return FALSE;
        gboolean end =
            event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        gboolean ok = TRUE;
        if (!end && node->kind == EEP_YAML_MAP) {
            ok = read_map_entry(reader, node, &event);
        } else if (!end) {
            EepYaml *item = read_node(reader, &event);
            ok = item != NULL;
            if (ok)
                g_ptr_array_add(node->items, item);
        }
        yaml_event_delete(&event);
        if (end || !ok)
            return ok;
    }
}

static EepYaml *read_node(Reader *reader, const yaml_event_t *event)
{
    if (!check_event(reader, event))
        return NULL;
    EepYamlKind kind = event->type == YAML_SCALAR_EVENT           ? EEP_YAML_SCALAR
                       : event->type == YAML_SEQUENCE_START_EVENT ? EEP_YAML_LIST
                                                                  : EEP_YAML_MAP;
    g_autoptr(EepYaml) node = node_new(kind);
    node->line = (guint)event->start_mark.line + 1;
    node->column = (guint)event->start_mark.column + 1;
    if (kind == EEP_YAML_SCALAR) {
        const char *text = (const char *)event->data.scalar.value;
        if (strlen(text) != event->data.scalar.length) {
            fail_at(reader, event->start_mark, "the text holds a zero character: text");
            return NULL;
        }
        node->text = g_strdup(text);
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return g_steal_pointer(&node);
    }
    if (++reader->depth > EEP_YAML_MAX_DEPTH) {
        fail_at(reader, event->start_mark, "too deep: at most %d levels", EEP_YAML_MAX_DEPTH);
        return NULL;
    }
    if (!read_children(reader, node))
        return NULL;
    reader->depth--;
    return g_steal_pointer(&node);
}

/* Stream start, document start, the root, document end, stream end. */
static EepYaml *read_document(Reader *reader)
{
    g_autoptr(EepYaml) root = NULL;
    for (;;) {
        yaml_event_t event;
        if (!next_event(reader, &event))
            return NULL;
        yaml_event_type_t type = event.type;
        gboolean ok = TRUE;
        if (type == YAML_DOCUMENT_START_EVENT && root != NULL) {
            ok = fail_at(reader, event.start_mark, "a second document begins: one document");
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            root = read_node(reader, &event);
            ok = root != NULL;
        }
        yaml_event_delete(&event);
        if (!ok)
            return NULL;
        if (type == YAML_STREAM_END_EVENT)
            return g_steal_pointer(&root);
    }
}

EepYamlDocument *eep_yaml_parse(const char *name, const char *text, gssize length, GError **error)
{
    g_autoptr(EepYamlDocument) document = g_new0(EepYamlDocument, 1);
    gsize size = length < 0 ? strlen(text) : (gsize)length;
    Reader reader = {.document = document, .error = error};

    document->name = g_strdup(name);
    document->text = g_strndup(text, size);
    if (size > EEP_YAML_MAX_BYTES) {
        eep_yaml_fail(document, NULL, EEP_OPTION_ERROR_SYNTAX, error,
                      "the file is too large: at most %d bytes", EEP_YAML_MAX_BYTES);
        return NULL;
    }
    if (!yaml_parser_initialize(&reader.parser))
        g_error("out of memory");
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
    g_autoptr(GError) problem = NULL;
    reader.error = &problem;
    document->root = read_document(&reader);
    yaml_parser_delete(&reader.parser);
    if (problem != NULL) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    if (document->root == NULL || document->root->kind != EEP_YAML_MAP) {
        eep_yaml_fail(document, document->root, EEP_OPTION_ERROR_SYNTAX, error,
                      "the file is %s: a map of keys",
                      document->root == NULL                  ? "empty"
                      : document->root->kind == EEP_YAML_LIST ? "a list"
                                                              : "one value");
        return NULL;
    }
    return g_steal_pointer(&document);
}

EepYamlDocument *eep_yaml_load(const char *path, GError **error)
{
    EepYamlDocument place = {.name = (char *)path};
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        eep_yaml_fail(&place, NULL, EEP_OPTION_ERROR_SYNTAX, error, "cannot be opened: %s",
                      g_strerror(errno));
        return NULL;
    }
    g_autofree char *text = g_malloc(EEP_YAML_MAX_BYTES + 2);
    gsize length = fread(text, 1, EEP_YAML_MAX_BYTES + 1, file);
    int failed = ferror(file) ? errno : 0;
    fclose(file);
    if (failed != 0) {
        eep_yaml_fail(&place, NULL, EEP_OPTION_ERROR_SYNTAX, error, "cannot be read: %s",
                      g_strerror(failed));
        return NULL;
    }
    text[length] = '\0';
    return eep_yaml_parse(path, text, (gssize)length, error);
}

void eep_yaml_document_free(EepYamlDocument *document)
{
    if (document == NULL)
        return;
    g_free(document->name);
    g_free(document->text);
    eep_yaml_free(document->root);
    g_free(document);
}
