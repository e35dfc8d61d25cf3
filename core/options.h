/* Options: one table of keys a module drives the loader, `eep explain`, docs and the JSON Schema.
 *
 * Each module declares the keys that it reads as rows of an EepOptionTable beside the struct that
 * they fill. The loader fills structs from tables, so a key that nobody reads cannot exist. This
 * file holds no parser of scenario files (scenarios/) and no values of a run: values live in the
 * modules' structs. Tables are constant; structs are owned by whoever embeds them; strings in them
 * are g_malloc'ed and released by eep_options_clear(). */
#ifndef EEP_CORE_OPTIONS_H
#define EEP_CORE_OPTIONS_H

#include "core/time.h"

G_BEGIN_DECLS

typedef enum {
    EEP_OPTION_BOOL,        /* gboolean; true|false */
    EEP_OPTION_INT,         /* gint64 */
    EEP_OPTION_DOUBLE,      /* double */
    EEP_OPTION_STRING,      /* char *, nullable */
    EEP_OPTION_PATH,        /* char *, nullable; relative to the file that says it */
    EEP_OPTION_WORD,        /* gint: index into `words` */
    EEP_OPTION_TIME,        /* EepTime; ns us ms s min h d */
    EEP_OPTION_BYTES,       /* gint64 bytes; B kB MB GB TB KiB MiB GiB TiB */
    EEP_OPTION_BYTES_PER_S, /* double; the same per s, and Gb/s for bits */
    EEP_OPTION_RATE,        /* double per second; "40/s", "3/min" */
} EepOptionType;

typedef struct {
    const char *key; /* below the table's prefix, dots between levels: "eplb_config.window_size" */
    EepOptionType type;
    gsize offset; /* of the value in the table's struct */
    const char
        *fallback;   /* default, written as in a file; NULL: unset (0, NULL or -1 as documented) */
    double min, max; /* inclusive bounds in the option's base unit; min > max: unbounded */
    const char *words; /* EEP_OPTION_WORD: "sim|cuda", in the order of the enum; else NULL */
    const char *flag;  /* vLLM's command-line flag, nullable */
    const char *help;  /* one line */
} EepOption;

typedef struct {
    const char *prefix; /* where the keys live in a scenario: "deployment" */
    gsize size;         /* of the struct */
    const EepOption *options;
    guint n_options;
} EepOptionTable;

#define EEP_NO_BOUNDS 1.0, 0.0
#define EEP_HUGE      1e300 /* as a maximum: none */

/* Error domain of everything that a user can get wrong in a scenario, a profile or a flag. */
#define EEP_OPTION_ERROR (eep_option_error_quark())
GQuark eep_option_error_quark(void);
typedef enum {
    EEP_OPTION_ERROR_SYNTAX,  /* not a value of the type: a unit is missing, not a number */
    EEP_OPTION_ERROR_BOUNDS,  /* outside [min, max], or not one of the words */
    EEP_OPTION_ERROR_UNKNOWN, /* no such key */
} EepOptionError;

/* Parses `text` as `option` says and stores it in the struct at `base`. On error nothing is stored
 * and the message says what is wrong and what is allowed ("…: what is wrong: what is allowed"). */
gboolean eep_option_parse(const EepOption *option, gpointer base, const char *text, GError **error);

/* The value in `base` written as a file would say it (exact: parsing it again gives the same
 * value). Returns a new string; NULL for an unset string. */
char *eep_option_format(const EepOption *option, gconstpointer base);

/* Fills the struct with the table's defaults. The struct's own memory may be uninitialised. */
void eep_options_init(const EepOptionTable *table, gpointer base);

/* Releases strings; the struct may be initialised again. */
void eep_options_clear(const EepOptionTable *table, gpointer base);

/* Deep copy into uninitialised memory. */
void eep_options_copy(const EepOptionTable *table, gpointer ret_base, gconstpointer base);

/* What the option accepts, for a message: "a whole number of at least 1". New string. */
char *eep_option_allowed(const EepOption *option);

/* TRUE for a number without default whose bounds exclude 0, so that unset would be out of bounds.
 */
gboolean eep_option_is_required(const EepOption *option);

/* NULL when the table has no such key. */
const EepOption *eep_options_find(const EepOptionTable *table, const char *key);

G_END_DECLS

#endif
