#!/usr/bin/env bash
# Every header compiles alone, as C11 and as C++17, without a warning. CUDA's headers are those of the
# emulation, which every machine has.
# Usage: headers.sh ROOT COMPILER [FLAG...] | headers.sh --self-test ROOT COMPILER [FLAG...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

warnings="-Wall -Wextra -Wno-missing-field-initializers -Wno-unused-parameter -Werror"

check() {
    local root=$1
    shift
    (
        cd "$root" || exit 2
        c_files . h >"$list"
        [ -s "$list" ] || exit 0
        # One compiler run a header and language: what one header drags in must not help the next.
        export warnings
        xargs -P 2 -I HEADER bash -c '
            header=$1
            shift
            alone() {
                echo "#include \"$header\"" |
                    "$@" -fsyntax-only -D_GNU_SOURCE -DEEP_EMULATED=1 -I. -Igpu/emulation $warnings - 2>&1 || {
                    echo "$header: does not compile alone as $language"
                    failed=1
                }
            }
            failed=0
            language=C11 alone "$@" -x c -std=gnu11
            language=C++17 alone "$@" -x c++ -std=gnu++17
            exit $failed' bash HEADER "$@" <"$list"
    )
}

self_test() {
    local root=$1
    shift
    planted=$scratch/tree
    mkdir "$planted"
    echo 'typedef struct { int class_id; } EepPlanted;' | plant core/planted.h
    expect_silent planted "$0" "$planted" "$@"
    echo 'guint64 eep_planted_time(void);' | plant core/planted.h
    expect_found 'core/planted.h: does not compile alone as C11' "$0" "$planted" "$@"
    echo 'typedef struct { int class; } EepPlanted;' | plant core/planted.h
    expect_found 'core/planted.h: does not compile alone as C++17' "$0" "$planted" "$@"
    expect_silent C11 "$0" "$planted" "$@"
}

case ${1-} in
--self-test)
    shift
    self_test "$@"
    ;;
*)
    check "$@" || exit 1
    echo "headers: $(wc -l <"$list") compile alone"
    ;;
esac
