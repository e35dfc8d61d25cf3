#include "gpu/unix_name.h"

#include <stddef.h>
#include <string.h>

#define PATH_AT offsetof(struct sockaddr_un, sun_path)

const char *eep_unix_name(const char *address)
{
    return g_str_has_prefix(address, EEP_UNIX_PREFIX) ? address + strlen(EEP_UNIX_PREFIX) : NULL;
}

gboolean eep_unix_name_address(const char *name, struct sockaddr_un *ret_at, socklen_t *ret_size)
{
    gsize length = strlen(name);

    *ret_at = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0 || length >= sizeof ret_at->sun_path)
        return FALSE;
    memcpy(ret_at->sun_path, name, length);
    *ret_size = sizeof *ret_at;
    if (name[0] == '@') {
        /* An abstract name has no end but its size; without a name the kernel finds one. */
        ret_at->sun_path[0] = '\0';
        *ret_size = (socklen_t)(PATH_AT + (length > 1 ? length : 0));
    }
    return TRUE;
}

char *eep_unix_name_describe(const struct sockaddr_un *at, socklen_t size)
{
    if (size > PATH_AT && at->sun_path[0] == '\0')
        return g_strdup_printf(EEP_UNIX_PREFIX "@%.*s", (int)(size - PATH_AT - 1),
                               at->sun_path + 1);
    return g_strconcat(EEP_UNIX_PREFIX, at->sun_path, NULL);
}
