#!/usr/bin/env bash
# Sizes and names: a file name stands for one object of the tree, so it is unique (a .c and a .h of
# one folder are one object); no file is longer than 700 lines, no function than 70.
# Usage: names.sh ROOT | names.sh --self-test ROOT
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

check() {
    local root=$1
    (
        cd "$root" || exit 2
        c_files . >"$list"
        awk '
            {
                folder = stem = $0
                sub(/\/?[^\/]*$/, "", folder)
                sub(/.*\//, "", stem)
                sub(/\.[^.]*$/, "", stem)
                if (!(stem in home)) home[stem] = folder
                else if (home[stem] != folder) {
                    printf "%s: the name %s is taken by %s/\n", $0, stem, home[stem]
                    failed = 1
                }
            }
            END { exit failed }' "$list"
        names=$?
        # .clang-format puts the braces of a function, and nothing else, alone into the first column. The
        # length counts every line between them.
        xargs -r awk '
            function file_end() {
                if (lines > 700) { printf "%s: %d lines, 700 at most\n", file, lines; failed = 1 }
            }
            FNR == 1 { file_end(); file = FILENAME; start = 0; head = "" }
            { lines = FNR }
            /^\{[ \t]*$/ { start = FNR; next }
            /^\}/ && start {
                if (FNR - start - 1 > 70) {
                    printf "%s:%d: %s() is %d lines long, 70 at most\n", file, start, head, FNR - start - 1
                    failed = 1
                }
                start = 0
                next
            }
            !start && /^[A-Za-z_].*\(/ { head = $0; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head) }
            END { file_end(); exit failed }' <"$list"
        lengths=$?
        [ $names -eq 0 ] && [ $lengths -eq 0 ]
    )
}

self_test() {
    plant_tree "$1"
    plant core/planted.h </dev/null
    plant core/planted.c </dev/null
    expect_silent planted "$0" "$planted"
    plant sim/planted.h </dev/null
    expect_found 'sim/planted.h: the name planted is taken by core/' "$0" "$planted"
    rm "$planted/sim/planted.h"

    body() { # body LINES
        printf 'static int first(void)\n{\n    return 0;\n}\n\nint eep_planted_run(int a,\n                    int b)\n{\n'
        for ((i = 0; i < $1; i++)); do echo '    ;'; done
        printf '}\n'
    }
    body 71 | plant core/planted.c
    expect_found 'core/planted.c:8: eep_planted_run() is 71 lines long' "$0" "$planted"
    body 70 | plant core/planted.c
    expect_silent planted "$0" "$planted"
    yes '' | head -n 701 | plant core/planted.c
    expect_found 'core/planted.c: 701 lines' "$0" "$planted"
    yes '' | head -n 700 | plant core/planted.c
    expect_silent planted "$0" "$planted"
}

case ${1-} in
--self-test) self_test "$2" ;;
*) check "$1" && echo "names: $(wc -l <"$list") files keep the rules" ;;
esac
