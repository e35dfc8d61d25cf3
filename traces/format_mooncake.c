/* Mooncake traces (kvcache-ai/Mooncake, FAST'25): one JSON object a line,
 *
 *   {"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2, ..., 13]}
 *
 * timestamp in ms, whole or with decimals; hash_ids (may be missing) has one id for each 512 prompt
 * tokens begun, an id naming its block together with all blocks before it; priority (optional) is
 * vLLM's. A line of just these keys with plain numbers, which is every line of the published
 * traces, is read by the scanner here; any other line goes to jansson (mooncake_json.c), so that
 * all valid JSON reads right. A file in seconds reads right with rate_scale 0.001. */
#include <string.h>

#include "traces/format.h"
#include "traces/mooncake.h"
#include "traces/scan.h"

#define BLOCK_TOKENS 512

static void *mooncake_state_new(void)
{
    return g_new0(EepMooncakeFields, 1);
}

static void mooncake_state_free(void *state)
{
    EepMooncakeFields *fields = state;
    g_free(fields->hashes);
    g_free(fields);
}

static gboolean mooncake_accepts(const char *line, gsize length)
{
    while (length > 0 && (*line == ' ' || *line == '\t'))
        line++, length--;
    return length > 0 && *line == '{';
}

static inline const char *skip_blanks(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

/* A whole number as JSON spells it: no leading zero. */
static inline gboolean scan_whole(const char **cursor, guint64 *ret_value)
{
    if (**cursor == '0' && g_ascii_isdigit((*cursor)[1]))
        return FALSE;
    return eep_scan_u64(cursor, ret_value);
}

/* The scanners below read one key's value and return FALSE, without saying why, for anything that
 * is not the usual spelling; jansson then decides. */
static gboolean scan_timestamp(const char **cursor, EepMooncakeFields *fields)
{
    guint64 ms;
    guint32 fraction_ns = 0;
    if (!scan_whole(cursor, &ms) || ms >= 9200000000000)
        return FALSE;
    if (**cursor == '.') {
        ++*cursor;
        if (!eep_scan_fraction(cursor, 6, &fraction_ns))
            return FALSE;
    }
    fields->timestamp = (EepTime)ms * EEP_NS_PER_MS + fraction_ns;
    return TRUE;
}

static gboolean scan_input_length(const char **cursor, EepMooncakeFields *fields)
{
    return scan_whole(cursor, &fields->input_length);
}

static gboolean scan_output_length(const char **cursor, EepMooncakeFields *fields)
{
    return scan_whole(cursor, &fields->output_length);
}

static gboolean scan_hash_ids(const char **cursor, EepMooncakeFields *fields)
{
    const char *p = *cursor;
    guint64 id;
    if (*p++ != '[')
        return FALSE;
    do {
        p = skip_blanks(p);
        if (!scan_whole(&p, &id))
            return FALSE;
        eep_mooncake_add_hash(fields, id);
        p = skip_blanks(p);
    } while (*p++ == ',');
    if (p[-1] != ']')
        return FALSE;
    *cursor = p;
    return TRUE;
}

static gboolean scan_priority(const char **cursor, EepMooncakeFields *fields)
{
    gboolean negative = **cursor == '-';
    guint64 value;
    *cursor += negative;
    if (!scan_whole(cursor, &value) || value > G_MAXINT32)
        return FALSE;
    fields->priority = negative ? -(gint32)value : (gint32)value;
    return TRUE;
}

static const struct {
    const char *key; /* with its quotes */
    gsize length;
    EepMooncakeKey bit;
    gboolean (*scan)(const char **cursor, EepMooncakeFields *fields);
} keys[] = {
    {"\"timestamp\"", 11, EEP_MOONCAKE_TIMESTAMP, scan_timestamp},
    {"\"input_length\"", 14, EEP_MOONCAKE_INPUT_LENGTH, scan_input_length},
    {"\"output_length\"", 15, EEP_MOONCAKE_OUTPUT_LENGTH, scan_output_length},
    {"\"hash_ids\"", 10, EEP_MOONCAKE_HASH_IDS, scan_hash_ids},
    {"\"priority\"", 10, EEP_MOONCAKE_PRIORITY, scan_priority},
};

/* Reads the usual line. FALSE: not one, whether right or wrong. */
static gboolean scan_line(EepMooncakeFields *fields, const char *line, gsize length)
{
    const char *p = skip_blanks(line);
    fields->found = 0;
    fields->n_hashes = 0;
    fields->priority = 0;
    if (*p++ != '{')
        return FALSE;
    do {
        p = skip_blanks(p);
        gsize i = 0;
        while (i < G_N_ELEMENTS(keys) && strncmp(p, keys[i].key, keys[i].length) != 0)
            i++;
        if (i == G_N_ELEMENTS(keys) || (fields->found & keys[i].bit) != 0)
            return FALSE;
        fields->found |= keys[i].bit;
        p = skip_blanks(p + keys[i].length);
        if (*p++ != ':')
            return FALSE;
        p = skip_blanks(p);
        if (!keys[i].scan(&p, fields))
            return FALSE;
        p = skip_blanks(p);
    } while (*p++ == ',');
    return p[-1] == '}' && skip_blanks(p) == line + length;
}

static gboolean check_fields(const EepMooncakeFields *fields, const char *line, gsize length,
                             EepRowFault *fault)
{
    static const guint required =
        EEP_MOONCAKE_TIMESTAMP | EEP_MOONCAKE_INPUT_LENGTH | EEP_MOONCAKE_OUTPUT_LENGTH;
    if ((fields->found & required) != required)
        return eep_row_fault_set(
            fault, 0, "an object with timestamp, input_length and output_length", "%s is missing",
            !(fields->found & EEP_MOONCAKE_TIMESTAMP)      ? "timestamp"
            : !(fields->found & EEP_MOONCAKE_INPUT_LENGTH) ? "input_length"
                                                           : "output_length");
    if (fields->input_length == 0 || fields->input_length > G_MAXUINT32)
        return eep_row_fault_set(fault, eep_mooncake_key_offset(line, length, "input_length"),
                                 EEP_MOONCAKE_TOKENS_ALLOWED, "input_length is %" G_GUINT64_FORMAT,
                                 fields->input_length);
    if (fields->output_length == 0 || fields->output_length > G_MAXUINT32)
        return eep_row_fault_set(fault, eep_mooncake_key_offset(line, length, "output_length"),
                                 EEP_MOONCAKE_TOKENS_ALLOWED, "output_length is %" G_GUINT64_FORMAT,
                                 fields->output_length);
    if ((fields->found & EEP_MOONCAKE_HASH_IDS) &&
        fields->n_hashes != (fields->input_length + BLOCK_TOKENS - 1) / BLOCK_TOKENS)
        return eep_row_fault_set(fault, eep_mooncake_key_offset(line, length, "hash_ids"),
                                 "one id for each 512 prompt tokens begun, or no hash_ids,",
                                 "hash_ids has %u ids for %" G_GUINT64_FORMAT " tokens",
                                 fields->n_hashes, fields->input_length);
    if (fields->n_hashes > EEP_TRACE_MAX_HASHES)
        return eep_row_fault_set(fault, eep_mooncake_key_offset(line, length, "hash_ids"),
                                 "at most 65535 ids", "hash_ids has %u ids", fields->n_hashes);
    return TRUE;
}

static gboolean mooncake_parse(void *state, const char *line, gsize length, EepTraceRow *ret_row,
                               EepRowFault *fault)
{
    EepMooncakeFields *fields = state;
    if (!scan_line(fields, line, length) && !eep_mooncake_read_json(fields, line, length, fault))
        return FALSE;
    if (!check_fields(fields, line, length, fault))
        return FALSE;
    *ret_row = (EepTraceRow){
        .arrival = fields->timestamp,
        .prompt_tokens = (guint32)fields->input_length,
        .output_tokens = (guint32)fields->output_length,
        .priority = fields->priority,
        .n_hashes = fields->n_hashes,
        .hashes = fields->n_hashes > 0 ? fields->hashes : NULL,
    };
    return TRUE;
}

const EepTraceFormat eep_trace_format_mooncake = {
    .name = "mooncake",
    .hash_tokens = BLOCK_TOKENS,
    .first_line = "a JSON object",
    .accepts = mooncake_accepts,
    .state_new = mooncake_state_new,
    .state_free = mooncake_state_free,
    .parse = mooncake_parse,
};
