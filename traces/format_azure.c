/* Azure LLM inference traces (2023 and 2024, Azure/AzurePublicDataset): CSV with one header,
 *
 *   TIMESTAMP,ContextTokens,GeneratedTokens
 *   2023-11-16 18:15:46.6805900,374,44
 *
 * CRLF or LF. The 2023 files have 7 fractional digits (units of 100 ns), those of 2024 6 or none
 * and
 * "+00:00": 0 to 9 digits and an optional UTC zone are read. A file without a zone is taken as UTC.
 */
#include <string.h>

#include "traces/format.h"
#include "traces/scan.h"

#define HEADER "TIMESTAMP,ContextTokens,GeneratedTokens"

#define TIME_ALLOWED                                                                               \
    "YYYY-MM-DD HH:MM:SS from 1678 to 2261 with up to 9 decimals, then nothing, Z or +00:00,"
#define TOKENS_ALLOWED "a whole number from 1 to 4294967295"

static gboolean azure_accepts(const char *line, gsize length)
{
    return length == strlen(HEADER) && memcmp(line, HEADER, length) == 0;
}

/* Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so that the leap
 * day is a year's last; 153 days are five months from March on, 146,097 are 400 years. year > 0. */
static gint64 days_from_civil(guint year, guint month, guint day)
{
    guint y = month <= 2 ? year - 1 : year;
    guint month_from_march = (month + 9) % 12;
    guint day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return (gint64)y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static guint days_in_month(guint year, guint month)
{
    static const guint8 days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    gboolean leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

static inline guint digit(const char *p)
{
    return (guint)(unsigned char)*p - '0';
}

/* Reads the two digits at p into *ret_value. */
static inline gboolean two_digits(const char *p, guint low, guint high, guint *ret_value)
{
    *ret_value = digit(p) * 10 + digit(p + 1);
    return digit(p) <= 9 && digit(p + 1) <= 9 && *ret_value >= low && *ret_value <= high;
}

/* Moves *cursor behind the timestamp at it, which has `left` bytes to the line's end. On FALSE it
 * points at what is wrong. ret_time is ns since 1970. */
static gboolean scan_timestamp(const char **cursor, gsize left, EepTime *ret_time)
{
    static const guint8 separators[][2] = {{4, '-'}, {7, '-'}, {13, ':'}, {16, ':'}};
    const char *p = *cursor;
    guint century, years, month, day, hour, minute, second;
    if (left < strlen("YYYY-MM-DD HH:MM:SS"))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(separators); i++)
        if (p[separators[i][0]] != (char)separators[i][1]) {
            *cursor += separators[i][0];
            return FALSE;
        }
    if (!two_digits(p, 16, 22, &century) || !two_digits(p + 2, 0, 99, &years) ||
        century * 100 + years < 1678 || century * 100 + years > 2261)
        return FALSE;
    guint year = century * 100 + years;
    if (!two_digits(*cursor = p + 5, 1, 12, &month) ||
        !two_digits(*cursor = p + 8, 1, days_in_month(year, month), &day))
        return FALSE;
    *cursor = p + 10;
    if (p[10] != ' ' && p[10] != 'T')
        return FALSE;
    if (!two_digits(*cursor = p + 11, 0, 23, &hour) ||
        !two_digits(*cursor = p + 14, 0, 59, &minute) ||
        !two_digits(*cursor = p + 17, 0, 59, &second))
        return FALSE;
    *cursor = p += 19;
    guint32 fraction_ns = 0;
    if (*p == '.') {
        p++;
        if (!eep_scan_fraction(&p, 9, &fraction_ns) || p - *cursor > 10)
            return FALSE;
    }
    if (*p == 'Z')
        p++;
    else if (strncmp(p, "+00:00", 6) == 0)
        p += 6;
    *cursor = p;
    gint64 seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ret_time = seconds * EEP_NS_PER_S + fraction_ns;
    return TRUE;
}

/* Reads the count in column `name`; FALSE with `fault` set. */
static gboolean scan_tokens(const char *line, const char **cursor, const char *name,
                            guint32 *ret_tokens, EepRowFault *fault)
{
    guint64 value;
    const char *from = *cursor;
    if (!eep_scan_u64(cursor, &value))
        return eep_row_fault_set(fault, (gsize)(from - line), TOKENS_ALLOWED,
                                 "%s is not a whole number%s", name,
                                 g_ascii_isdigit(*from) ? " in range" : "");
    if (value == 0 || value > G_MAXUINT32)
        return eep_row_fault_set(fault, (gsize)(from - line), TOKENS_ALLOWED,
                                 "%s is %" G_GUINT64_FORMAT, name, value);
    *ret_tokens = (guint32)value;
    return TRUE;
}

static gboolean azure_parse(void *state, const char *line, gsize length, EepTraceRow *ret_row,
                            EepRowFault *fault)
{
    const char *p = line, *end = line + length;
    *ret_row = (EepTraceRow){0};
    if (!scan_timestamp(&p, length, &ret_row->arrival))
        return eep_row_fault_set(fault, (gsize)(p - line), TIME_ALLOWED,
                                 "TIMESTAMP is not a date and time");
    if (*p != ',')
        return eep_row_fault_set(fault, (gsize)(p - line), HEADER,
                                 p == end ? "the row ends after TIMESTAMP"
                                          : "TIMESTAMP is not UTC");
    p++;
    if (!scan_tokens(line, &p, "ContextTokens", &ret_row->prompt_tokens, fault))
        return FALSE;
    if (*p != ',')
        return eep_row_fault_set(fault, (gsize)(p - line), HEADER,
                                 p == end ? "the row ends after ContextTokens"
                                          : "ContextTokens is not a whole number");
    p++;
    if (!scan_tokens(line, &p, "GeneratedTokens", &ret_row->output_tokens, fault))
        return FALSE;
    if (p != end)
        return eep_row_fault_set(fault, (gsize)(p - line), HEADER,
                                 "the row goes on after GeneratedTokens");
    return TRUE;
}

const EepTraceFormat eep_trace_format_azure = {
    .name = "azure",
    .has_header = TRUE,
    .first_line = HEADER,
    .accepts = azure_accepts,
    .parse = azure_parse,
};
