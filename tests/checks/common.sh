# Shared by the checks of this folder: which files are ours, and how a check proves that it can fail.
# Sourced, never run; $scratch is a folder that goes when the check ends. Bash, POSIX awk and findutils
# only, so that a fresh machine can run the checks.

scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-check.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
list=$scratch/list

skip() {
    echo "SKIP: $*"
    exit 77
}

# c_files ROOT [EXTENSION...]: the C sources below ROOT, relative to it, one a line. In a git checkout
# these are the files that git tracks or would offer to track; elsewhere (release archive, the copies
# of the self-tests) everything but build trees and run folders.
c_files() {
    local root=$1 pattern
    shift
    pattern=$(IFS='|' && echo "${*:-c|h|cu|cuh}")
    (
        cd "$root" || exit 2
        if [ -e .git ] && git rev-parse --git-dir >/dev/null 2>&1; then
            git ls-files --cached --others --exclude-standard
        else
            find . \( -path './build*' -o -path ./runs -o -path ./.git \) -prune -o -type f -print |
                sed 's,^\./,,'
        fi | grep -E "\.($pattern)\$" | sort -u | while IFS= read -r file; do
            [ -f "$file" ] && printf '%s\n' "$file"
        done
    )
}

# plant_tree ROOT: copies ROOT's C sources into the scratch folder; sets $planted.
plant_tree() {
    planted=$scratch/tree
    mkdir "$planted" && cp -p "$1/.clang-format" "$planted" || exit 2
    c_files "$1" | (cd "$1" && tar -cf - -T -) | tar -xf - -C "$planted"
}

# plant PATH: standard input becomes PATH in the scratch copy.
plant() {
    mkdir -p "$planted/$(dirname "$1")" && cat >"$planted/$1"
}

# expect_found TEXT COMMAND...: COMMAND must exit 1 and say TEXT; both are what the plant was for.
expect_found() {
    local text=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    if [ $status -ne 1 ] || ! grep -qF -- "$text" <<<"$output"; then
        echo "self-test: expected exit 1 and \"$text\"; got exit $status and:"
        echo "$output"
        exit 1
    fi
    echo "self-test: found \"$text\""
}

# expect_silent TEXT COMMAND...: COMMAND must not say TEXT (what it guards against being too eager).
expect_silent() {
    local text=$1 output
    shift
    output=$("$@" 2>&1)
    if grep -qF -- "$text" <<<"$output"; then
        echo "self-test: \"$text\" is allowed, but was reported:"
        echo "$output"
        exit 1
    fi
    echo "self-test: \"$text\" passes"
}
