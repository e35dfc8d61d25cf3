#!/usr/bin/env bash
# Help, version, unknown words, exit statuses.
. "$(dirname "$0")/kit.sh"

eep --help
exits 0
err_is_empty
for command in run init check explain list show plot compare eplb explore generations calibrate; do
    out_has "  $command "
    eep $command --help
    exits 0
    err_is_empty
    out_has "Usage: eep $command"
    out_has "  --json "
    out_has "  --help "
    columns=$(awk '/^Options:/ { on = 1; next } on { match($0, /[^ ]  +[^ ]/); print RSTART + RLENGTH }' "$scratch/out" | sort -u)
    [ "$(wc -l <<<"$columns")" -eq 1 ] || fail "the options' columns differ: $(tr '\n' ' ' <<<"$columns")"
    eep --help
done
for later in report trace cost sweep serve import validate; do
    out_lacks "  $later "
done
[ "$(wc -L <"$scratch/out")" -le 100 ] || fail "lines of more than 100 columns"

eep
exits 2
out_is_empty
err_has "Usage: eep COMMAND"

eep --version
exits 0
grep -qE '^eep [0-9]+\.[0-9]+\.[0-9]+' "$scratch/out" || fail "no version"
grep -q '^built by ' "$scratch/out" || fail "no compiler"
eep --version --json
exits 0
out_is_json
eep --json --version
out_is_json

refused 'unknown option --verison before the command' --verison
refused 'there is no command rn: did you mean `eep run`' rn x.yaml
refused 'there is no command zzzzzz: try `eep --help`' zzzzzz
refused 'validate is not yet in this version: did you mean `eep check s.yaml`' validate s.yaml
refused 'validate is not yet in this version: try' validate
for later in report trace cost sweep serve import; do
    refused "$later is not yet in this version" $later x
done
refused 'check: something is missing: eep check SCENARIO' check
refused 'check: too many arguments: eep check SCENARIO' check a b
refused 'check: unknown option --jsno' check quickstart --jsno
err_has 'did you mean --json'
refused 'Missing argument for --set' check quickstart --set
refused 'something is missing' show models
refused 'something is missing' list
refused 'something is missing' plot
refused 'something is missing' compare

# --json before the command belongs to it.
eep --json list generations
exits 0
out_is_json
err_is_empty

# Colour only where a terminal asks for it: never in a file.
eep check nope
grep -q $'\033' "$scratch/err" && fail "colour in a file"

# What cannot be written is an error, not a silence.
if [ -e /dev/full ]; then
    "$program" list models >/dev/full 2>"$scratch/err"
    status=$?
    last='list models >/dev/full'
    exits 1
    err_has 'cannot write to standard output'
fi

EEP_DATA_DIR=$scratch/nowhere "$program" list models >"$scratch/out" 2>"$scratch/err"
status=$?
last='list models, EEP_DATA_DIR wrong'
exits 2
err_has "EEP_DATA_DIR: $scratch/nowhere is no folder"
finish
