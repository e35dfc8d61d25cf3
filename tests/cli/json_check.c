/* json_check: exit 0 if standard input is one JSON value, 1 with the place of the error if not. */
#include <jansson.h>
#include <stdio.h>

int main(void)
{
    json_error_t error;
    json_t *value = json_loadf(stdin, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

    if (value == NULL) {
        fprintf(stderr, "line %d, column %d: %s\n", error.line, error.column, error.text);
        return 1;
    }
    json_decref(value);
    return 0;
}
