#!/usr/bin/env bash
# Who may include whom (docs/architecture.md, "The house"), checked on every #include of the tree.
# Usage: layers.sh ROOT | layers.sh --self-test ROOT
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

check() {
    local root=$1
    c_files "$root" >"$list"
    (
        cd "$root" || exit 2
        {
            cat "$list"
            echo "==="
            xargs -r grep -HnE '^[[:space:]]*#[[:space:]]*include' <"$list"
        } | awk '
    function bad(where, text) { printf "%s: %s\n", where, text; failed = 1 }
    function row(folder, folders, headers) { may[folder] = " " folders " "; libs[folder] = headers }
    BEGIN {
        # What a deterministic folder needs of the C library: values and memory, no clock, file or thread.
        pure = "assert|errno|float|inttypes|limits|math|stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|string"
        # The rest of it, POSIX and Linux.
        libc = pure "|ctype|dirent|dlfcn|fcntl|fnmatch|ftw|getopt|glob|ifaddrs|libgen|linux/.*|locale|netdb|net/.*|netinet/.*" \
            "|arpa/inet|poll|pthread|pwd|regex|sched|search|semaphore|setjmp|signal|spawn|stdatomic|strings|sys/.*" \
            "|syslog|termios|time|ucontext|unistd|wchar|wctype|execinfo|malloc|link|elf"
        glib = "|glib|glib/(gi18n|gprintf)"
        posix = libc glib "|glib-unix|glib/gstdio|gmodule"
        #   folder         may include                 and the libraries
        row("core",       "core",                      pure glib)
        row("sim",        "core sim",                  pure glib)
        row("live",       "core live",                 posix "|microhttpd|jansson")
        row("gpu",        "core live gpu",             posix "|cuda.*|cublas.*|nccl.*|cooperative_groups.*|mma|sanitizer/.*")
        row("traces",     "core traces",               posix "|jansson|zlib")
        row("scenarios",  "core scenarios",            posix "|yaml")
        row("cli",        "core sim live gpu traces scenarios cli", ".*")
        row("tests",      "core sim live gpu traces scenarios cli tests", ".*")
        row("tests/unit", "core tests",                posix "|check")
    }
    !split_seen && $0 == "===" { split_seen = 1; next }
    !split_seen {
        known[$0] = 1
        depth = split($0, part, "/")
        if (part[1] == "plots") bad($0, "plots/ holds no C")
        else if (depth == 1) bad($0, "C sources live in a folder of the house")
        else if (!(part[1] in may)) bad($0, part[1] "/ is no folder of the house that holds C")
        if (depth > 3) bad($0, "one level of folders below the top, no more")
        next
    }
    {
        match($0, /^[^:]*:[0-9]+:/)
        where = substr($0, 1, RLENGTH - 1)
        text = substr($0, RLENGTH + 1)
        file = where; sub(/:[0-9]+$/, "", file)
        split(file, part, "/")
        folder = (part[1] "/" part[2]) in may ? part[1] "/" part[2] : part[1]
        if (!(folder in may)) next
        sub(/^[ \t]*#[ \t]*include[ \t]*/, "", text)
        if (text ~ /^"/) {
            target = substr(text, 2); sub(/".*/, "", target)
            split(target, to, "/")
            if (!(target in known)) bad(where, "\"" target "\" is no file of the tree: includes are written from the root")
            else if (index(may[folder], " " to[1] " ") == 0) bad(where, folder "/ may not include " to[1] "/ (\"" target "\")")
        } else if (text ~ /^</) {
            target = substr(text, 2); sub(/>.*/, "", target)
            split(target, to, "/")
            if (target in known) bad(where, "<" target "> is ours: write it in quotes")
            else if (target !~ ("^(" libs[folder] ")(\\.h|\\.hpp)?$")) bad(where, folder "/ may not include <" target ">")
        } else bad(where, "an include that is neither \"...\" nor <...>")
    }
    END { exit failed }'
    )
}

self_test() {
    plant_tree "$1"
    try() { # try FILE INCLUDE MESSAGE
        echo "#include $2" | plant "$1"
        expect_found "$3" "$0" "$planted"
        rm "$planted/$1"
    }
    for header in core/core_planted.h sim/sim_planted.h gpu/gpu_planted.h cli/cli_planted.h; do
        plant $header </dev/null
    done
    try core/loop/planted.c '"sim/sim_planted.h"' 'core/loop/planted.c:1: core/ may not include sim/'
    try core/planted.c '<yaml.h>' 'core/planted.c:1: core/ may not include <yaml.h>'
    try core/planted.c '<time.h>' 'core/ may not include <time.h>'
    try core/planted.c '"core_planted.h"' 'written from the root'
    try sim/planted.c '"gpu/gpu_planted.h"' 'sim/ may not include gpu/'
    try gpu/planted.cu '"sim/sim_planted.h"' 'gpu/ may not include sim/'
    try live/planted.c '"sim/sim_planted.h"' 'live/ may not include sim/'
    try traces/planted.c '<yaml.h>' 'traces/ may not include <yaml.h>'
    try scenarios/planted.c '"cli/cli_planted.h"' 'scenarios/ may not include cli/'
    try tests/unit/planted.c '"sim/sim_planted.h"' 'tests/unit/ may not include sim/'
    try plots/planted.h '<stdint.h>' 'plots/ holds no C'
    try core/loop/deep/planted.c '<stdint.h>' 'one level of folders'
    try misc/planted.c '<stdint.h>' 'misc/ is no folder of the house'
    printf '#include "core/core_planted.h"\n#include <glib.h>\n#include <math.h>\n' | plant sim/planted.c
    printf '#include "sim/sim_planted.h"\n#include <yaml.h>\n' | plant cli/planted.c
    expect_silent planted "$0" "$planted"
}

case ${1-} in
--self-test) self_test "$2" ;;
*) check "$1" && echo "layers: $(wc -l <"$list") files keep the rules" ;;
esac
