#include "cli/journal_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/journal_header.h"
#include "cli/output_file.h"

struct EepJournalFile {
    EepJournal *journal;
    FILE *stream; /* NULL: a replay */
    char *path;
};

static gboolean write_bytes(gpointer self, gconstpointer bytes, gsize n_bytes, GError **error)
{
    EepJournalFile *file = self;

    if (fwrite(bytes, 1, n_bytes, file->stream) == n_bytes)
        return TRUE;
    g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot write: %s", file->path,
                g_strerror(errno));
    return FALSE;
}

EepJournalFile *eep_journal_file_create(const char *path, const EepRunFacts *facts, GError **error)
{
    g_autofree char *header = eep_journal_header_new(facts);
    EepJournalFile *file = g_new0(EepJournalFile, 1);

    file->path = g_strdup(path);
    file->stream = fopen(path, "wb");
    if (file->stream == NULL) {
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot be created: %s",
                    path, g_strerror(errno));
        eep_journal_file_free(file);
        return NULL;
    }
    file->journal = eep_journal_new_recording(write_bytes, file, header);
    return file;
}

EepJournalFile *eep_journal_file_open(const char *path, GError **error)
{
    g_autofree char *contents = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(EepJournalFile) file = g_new0(EepJournalFile, 1);
    gsize length, n_dropped = 0;

    file->path = g_strdup(path);
    if (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT,
                    "%s: is no file: a journal that eep run --journal has written", path);
        return NULL;
    }
    if (!g_file_get_contents(path, &contents, &length, error))
        return NULL;
    bytes = g_bytes_new_take(g_steal_pointer(&contents), length);
    file->journal = eep_journal_new_replay(bytes, &n_dropped, error);
    if (file->journal == NULL) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    if (n_dropped > 0)
        fprintf(stderr, "%s: the last %" G_GSIZE_FORMAT " bytes are torn and are left out\n", path,
                n_dropped);
    return g_steal_pointer(&file);
}

char *eep_journal_file_label(const EepJournalFile *file)
{
    return eep_journal_header_label(eep_journal_header(file->journal));
}

gboolean eep_journal_file_check(const EepJournalFile *file, const EepRunFacts *facts,
                                GError **error)
{
    g_autofree char *header = eep_journal_header_new(facts);
    g_autofree char *difference =
        eep_journal_header_difference(eep_journal_header(file->journal), header);

    if (difference == NULL)
        return TRUE;
    g_set_error(error, EEP_JOURNAL_ERROR, EEP_JOURNAL_ERROR_FORMAT,
                "%s: was recorded from another run: %s: give the scenario, the files and the --set "
                "of the recording",
                file->path, difference);
    return FALSE;
}

EepJournal *eep_journal_file_journal(EepJournalFile *file)
{
    return file->journal;
}

gboolean eep_journal_file_close(EepJournalFile *file, GError **error)
{
    gboolean is_closed;

    if (file->stream == NULL)
        return TRUE;
    if (!eep_journal_flush(file->journal, error))
        return FALSE;
    is_closed = fclose(file->stream) == 0;
    file->stream = NULL;
    if (!is_closed)
        g_set_error(error, EEP_OUTPUT_ERROR, EEP_OUTPUT_ERROR_WRITE, "%s: cannot write: %s",
                    file->path, g_strerror(errno));
    return is_closed;
}

void eep_journal_file_free(EepJournalFile *file)
{
    if (file == NULL)
        return;
    if (file->journal != NULL)
        eep_journal_free(file->journal);
    if (file->stream != NULL)
        fclose(file->stream);
    g_free(file->path);
    g_free(file);
}
