#!/usr/bin/env bash
# Runs that must not succeed, and what they leave behind: bad scenarios and traces, disks that are full,
# folders that may not be written, Ctrl-C, expectations that are missed.
. "$(dirname "$0")/../cli/kit.sh"
json_value=$4

cat >good.yaml <<'END'
eep: 1
name: good
seed: 1
model: deepseek-v2-lite
hardware: {profile: constant-step, nodes: 1, step_time: 10ms}
deployment:
  data_parallel_size: 2
  num_gpu_blocks_override: 1000
traffic:
  trace: {path: trace.csv, format: azure}
END
cat >trace.csv <<'END'
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:00:00.0000000,100,10
2023-11-16 18:00:01.0000000,200,20
2023-11-16 18:00:02.0000000,300,30
2023-11-16 18:00:03.0000000,400,40
END
eep run good.yaml --out good
exits 0

left_nothing() { [ ! -e "$1" ] || fail "left $1: $(ls -A "$1" | tr '\n' ' ')"; }

# -- bad scenarios: FILE:LINE:COL: what is wrong: what is allowed; the line; a caret -----------------
bad() { # bad LINE:COL WORD SED_SCRIPT
    sed "$3" good.yaml >bad.yaml
    cmp -s good.yaml bad.yaml && fail "the change does not change anything: $3"
    for command in check run; do
        if [ $command = run ]; then eep run bad.yaml --out bad; else eep check bad.yaml; fi
        exits 2
        out_is_empty
        left_nothing bad
        grep -qE "^bad\.yaml:$1: .*$2" "$scratch/err" || fail "no bad.yaml:$1: with $2"
        sed -n 3p "$scratch/err" | grep -qE '^ *\^$' || fail "no caret below the line"
    done
}
bad '4:1' 'unknown key "modl".*try model' 's/^model/modl/'
bad '3:1' 'seed' 's/^name: good/seed: 2/'
bad '3:7' 'whole number' 's/^seed: 1/seed: one/'
bad '7:23' 'whole number' 's/data_parallel_size: 2/data_parallel_size: two/'
bad '7:23' '' 's/data_parallel_size: 2/data_parallel_size: 0/'
bad '7:23' '' 's/data_parallel_size: 2/data_parallel_size: 9/'
bad '5:57' 'unit' 's/step_time: 10ms/step_time: 10/'
bad '5:57' '' 's/step_time: 10ms/step_time: 10MS/'
bad '7:23' 'divide' 's/data_parallel_size: 2/data_parallel_size: 3\n  enable_eplb: true/'
bad '4:8' 'deepseek-v2-lit' 's/deepseek-v2-lite/deepseek-v2-lit/'
bad '8:28' '' 's/override: 1000/override: yes/'
bad '1:6' '' 's/^eep: 1/eep: 2/'
bad '10:17' 'no file' 's/path: trace.csv/path: gone.csv/'

# -- bad traces ----------------------------------------------------------------------------------------
bad_row() { # bad_row LINE WORD SED_SCRIPT
    sed "$3" trace.csv >bad.csv
    eep run good.yaml --set traffic.trace.path=bad.csv --out bad
    exits 2
    out_is_empty
    left_nothing bad
    grep -qE "^bad\.csv:$1(:[0-9]+)?: .*$2" "$scratch/err" || fail "no bad.csv:$1: with $2"
    # Skipped instead, and counted.
    eep run good.yaml --set traffic.trace.path=bad.csv --set traffic.trace.on_error=skip --out skipped --quiet
    exits 0
    [ "$("$json_value" skipped/summary.json submitted completed notes.0 | tr '\n' ' ')" = \
        '3 3 1 bad rows of the trace were skipped ' ] ||
        fail "skipped: $("$json_value" skipped/summary.json submitted completed notes | tr '\n' ' ')"
    eep run good.yaml --set traffic.trace.path=bad.csv --set traffic.trace.on_error=skip --out skipped
    exits 0
    grep -qE "^Skipped   first: bad\.csv:$1(:[0-9]+)?: .*$2" "$scratch/out" || fail "does not say that row $1 was skipped"
    eep check good.yaml --set traffic.trace.path=bad.csv
    exits 2
}
bad_row 5 '' '5s/,40$//'
bad_row 4 '' '4s/18:00:02/17:00:02/'
bad_row 3 '' '3s/,20$/,0/'
bad_row 3 '' '3s/,200,/,0,/'
bad_row 4 '' '4s/300/-300/'
bad_row 4 '' '4s/300/3e2/'
bad_row 4 '' '4s/2023-11-16/2023-13-16/'
head -c -3 trace.csv >torn.csv
sed -i '$s/,4$/,/' torn.csv
printf '2023-11-16 18:00:03.000' >>torn.csv
eep run good.yaml --set traffic.trace.path=torn.csv --out bad
exits 2
left_nothing bad
: >empty.csv
eep run good.yaml --set traffic.trace.path=empty.csv --out bad
exits 2
left_nothing bad

# Hashes of 512 tokens and blocks that do not divide them, whether the format is said or seen.
for format in auto mooncake; do
    refused 'do not divide the trace' run "$root/tests/golden/prefix.yaml" --out bad \
        --set deployment.block_size=1024 --set traffic.trace.format=$format
    left_nothing bad
done
# A prefix is cached in whole blocks: one of none, or of more than there can be, is refused.
prefix=(--set 'traffic={synthetic: {arrivals: constant, rate: 10/s, requests: 10, input_tokens: 100, output_tokens: 2, prefix: {groups: 1, tokens: 4}}}')
refused '4 tokens are 0 whole blocks of 16' run good.yaml "${prefix[@]}" --out bad
refused '1100000 tokens are 68750 whole blocks of 16' run good.yaml "${prefix[@]}" --out bad \
    --set traffic.synthetic.prefix.tokens=1100000

# -- places that cannot be written -----------------------------------------------------------------------
eep run good.yaml --out good/requests.csv/inside
exits 1
mkdir -p other && echo mine >other/notes.txt
refused 'holds no earlier run' run good.yaml --out other
[ "$(ls -A other)" = notes.txt ] || fail "touched a folder that is not a run"
if [ "$(id -u)" -ne 0 ]; then # root writes everywhere
    mkdir locked && chmod 500 locked
    eep run good.yaml --out locked/run
    exits 1
    err_has 'locked/run'
    chmod 700 locked
fi
# The earlier run stays as it is when the new one fails.
cp -r good before
sed 's/,300,/,0,/' trace.csv >bad.csv
eep run good.yaml --set traffic.trace.path=bad.csv --out good
exits 2
diff -r before good >"$scratch/diff" || fail "the earlier run folder changed: $(cat "$scratch/diff")"

# -- a disk that is full ------------------------------------------------------------------------------------
eep run good.yaml --journal /dev/full --out full
exits 1
err_has '/dev/full: '
left_nothing full
(
    ulimit -f 64 # KiB a file: the journal or requests.csv does not fit
    eep run quickstart --out full --quiet
    exits 1
    err_has 'full/'
    left_nothing full
    eep run quickstart --out full --journal too-long --quiet
    exits 1
    left_nothing full
    [ $failures -eq 0 ]
) || failures=$((failures + 1))
eep run good.yaml --out good --json >/dev/null
"$program" run good.yaml --out good >/dev/full 2>"$scratch/err"
status=$?
[ $status -eq 0 ] || [ $status -eq 1 ] || fail "standard output is full"

# -- Ctrl-C ---------------------------------------------------------------------------------------------------
long=(--set 'traffic={synthetic: {arrivals: poisson, rate: 20/s, requests: 100000000, input_tokens: 100, output_tokens: 20}}')
"$program" run good.yaml "${long[@]}" --journal interrupted.journal --out interrupted --quiet \
    >"$scratch/out" 2>"$scratch/err" &
pid=$!
for ((i = 0; i < 200; i++)); do
    [ -s interrupted.journal ] && break
    sleep 0.05
done
kill -INT $pid
wait $pid
status=$?
last='run, interrupted'
exits 130
[ "$("$json_value" interrupted/summary.json interrupted)" = true ] || fail "not marked as interrupted"
rows=$(($(wc -l <interrupted/requests.csv) - 1))
[ "$("$json_value" interrupted/summary.json submitted)" = $rows ] && [ $rows -gt 100 ] ||
    fail "$rows rows of requests"
# Its journal gives the same folder.
eep run good.yaml "${long[@]}" --replay interrupted.journal --out replayed --quiet
exits 130
diff -r --exclude wallclock.json interrupted replayed >"$scratch/diff" ||
    fail "the replay differs: $(head -c 300 "$scratch/diff")"

# -- expectations ---------------------------------------------------------------------------------------------
eep run good.yaml --out expected --quiet --set 'expect=["completed == 4", "aborted == 0", "p99_ttft_ms == null"]'
exits 0
eep run good.yaml --out expected --quiet --set 'expect=["completed == 4", "mean_ttft_ms < 1"]'
exits 3
[ "$("$json_value" expected/summary.json expect.0.met expect.1.met | tr '\n' ' ')" = 'true false ' ] ||
    fail "expect in summary.json"
refused 'completd' run good.yaml --out expected2 --set 'expect=["completd == 4"]'
left_nothing expected2

# -- every bundled scenario ------------------------------------------------------------------------------------
for scenario in "$root"/scenarios/*.yaml; do
    eep check "$scenario"
    if grep -q '^  trace:' "$scenario" && [ ! -e "$root/scenarios/traces/$(basename "$scenario" .yaml).csv" ]; then
        exits 2 # it says what to get
        err_has 'there is no file'
        err_has '--set traffic.trace.path='
    else
        exits 0
    fi
done
finish
