/* The scenario loader on any bytes: the first line may be an override, "--set KEY=VALUE". What it
 * accepts it must write, and load again to the same text. */
#include "tests/fuzz/fuzz_target.h"

#include <string.h>

#include "scenarios/scenario.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const folders[] = {"scenarios", NULL};
    static const char flag[] = "--set ";
    const char *sets[] = {NULL, NULL};
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autofree char *set = NULL;
    const char *body = text;
    gssize length = (gssize)size;

    if (g_str_has_prefix(text, flag)) {
        const char *end = strchr(text, '\n');
        if (end != NULL) {
            set = g_strndup(text + strlen(flag), (gsize)(end - text) - strlen(flag));
            sets[0] = set;
            body = end + 1;
            length -= body - text;
        }
    }
    g_autofree char *copy = g_malloc((gsize)length + 1);
    memcpy(copy, data + (body - text), (gsize)length);
    g_autoptr(GError) error = NULL;
    g_autoptr(EepScenario) scenario =
        eep_scenario_parse("fuzz.yaml", copy, length, folders, sets, -1, &error);
    if (scenario == NULL) {
        g_assert(error != NULL && *error->message != '\0');
        return 0;
    }
    g_autofree char *written = eep_scenario_write(scenario);
    g_autoptr(EepScenario) again =
        eep_scenario_parse("fuzz.yaml", written, -1, folders, NULL, -1, &error);
    if (again == NULL)
        g_error("does not load again: %s\n%s", error->message, written);
    g_autofree char *twice = eep_scenario_write(again);
    g_assert_cmpstr(written, ==, twice);
    return 0;
}
