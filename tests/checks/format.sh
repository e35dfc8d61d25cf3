#!/usr/bin/env bash
# The C sources are what clang-format makes of them with the tree's .clang-format.
# Usage: format.sh ROOT | format.sh --self-test ROOT
# Other releases of clang-format disagree about details, so only the one named here judges.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
release=14

formatter=clang-format
command -v clang-format-$release >/dev/null && formatter=clang-format-$release
version=$($formatter --version 2>/dev/null) || skip "no clang-format"
grep -qE "version $release\." <<<"$version" || skip "clang-format $release is needed, this is: $version"

check() {
    local root=$1
    (
        cd "$root" || exit 2
        c_files . >"$list"
        xargs -r -n 20 -P 2 $formatter --dry-run --Werror --ferror-limit=1 <"$list" 2>&1 |
            grep -E '^[^ ].*: (error|warning):' | sort >"$scratch/found"
        [ ! -s "$scratch/found" ] && return 0
        cat "$scratch/found"
        echo "mend with: $formatter -i $(cut -d: -f1 "$scratch/found" | sort -u | tr '\n' ' ')"
        return 1
    )
}

self_test() {
    plant_tree "$1"
    printf 'int eep_planted_good(void)\n{\n    return 1;\n}\n' | plant core/planted.c
    expect_silent planted "$0" "$planted"
    printf 'int eep_planted_bad(void) { return   1; }\n' | plant core/planted.c
    expect_found 'core/planted.c:1:' "$0" "$planted"
}

case ${1-} in
--self-test) self_test "$2" ;;
*) check "$1" && echo "format: $(wc -l <"$list") files" ;;
esac
