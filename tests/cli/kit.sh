# Shared by the tests of this folder; sourced with the test's own arguments: ROOT EEP JSON_CHECK.
# Each expectation is about the last `eep ...`: its exit status and what it wrote to out and err.

root=$1 program=$2 json_check=$3
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-cli.XXXXXX") || exit 2
trap 'chmod -R u+rwX "$scratch"; rm -rf "$scratch"' EXIT
mkdir "$scratch/work"
cd "$scratch/work" || exit 2
unset EEP_DATA_DIR NO_COLOR
export LC_ALL=C
failures=0

fail() {
    failures=$((failures + 1))
    printf 'eep %s\n    exit %s; %s\n' "$last" "$status" "$*"
    sed 's/^/    out: /' "$scratch/out" | head -n 20
    sed 's/^/    err: /' "$scratch/err" | head -n 20
}

eep() {
    last=$*
    "$program" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
}

exits() { [ "$status" -eq "$1" ] || fail "expected exit $1"; }
out_has() { grep -qF -- "$1" "$scratch/out" || fail "out lacks: $1"; }
err_has() { grep -qF -- "$1" "$scratch/err" || fail "err lacks: $1"; }
until_err_has() { # until_err_has TEXT: of what runs in the background, at most 10 s
    local i
    for i in {1..100}; do
        ! grep -qF -- "$1" "$scratch/err" || return 0
        sleep 0.1
    done
    fail "within 10 s err lacks: $1"
}
out_lacks() { ! grep -qF -- "$1" "$scratch/out" || fail "out has: $1"; }
out_is_empty() { [ ! -s "$scratch/out" ] || fail "out is not empty"; }
err_is_empty() { [ ! -s "$scratch/err" ] || fail "err is not empty"; }
out_is() { # standard input is what was to be printed
    diff - "$scratch/out" >"$scratch/diff" || fail "out differs:
$(cat "$scratch/diff")"
}
err_is() { [ "$(cat "$scratch/err")" = "$1" ] || fail "expected on err: $1"; }
out_is_json() { "$json_check" <"$scratch/out" 2>"$scratch/diff" || fail "out is no JSON: $(cat "$scratch/diff")"; }

# refused MESSAGE ARGUMENT...: exit 2, nothing on out, the message once on err.
refused() {
    local message=$1
    shift
    eep "$@"
    exits 2
    out_is_empty
    err_has "$message"
    [ "$(grep -cF -- "$message" "$scratch/err")" -eq 1 ] || fail "not printed once: $message"
}

finish() {
    [ $failures -eq 0 ] || exit 1
    echo "as expected"
}
