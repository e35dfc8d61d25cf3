#!/usr/bin/env bash
# The bundled scenarios on the public traces, whole: nothing is lost, no token too many or too few, and
# prefix hits are those that can be counted in the trace. Skipped where the traces are not there.
. "$(dirname "$0")/../cli/kit.sh"
json_value=$4
traces=$root/../shared/traces
if [ ! -d "$traces" ]; then
    echo "SKIP: no traces at $traces"
    exit 77
fi

value() { "$json_value" "$run/summary.json" "$@" | tr '\n' ' ' | sed 's/ $//'; }
is() { # is "VALUES" PATH...
    local expected=$1
    shift
    [ "$(value "$@")" = "$expected" ] || fail "$*: expected $expected, got $(value "$@")"
}

# azure NAME ROWS: counts and sums of the trace are taken from its rows here.
azure() {
    local trace=$traces/azure/AzureLLMInferenceTrace_$1.csv rows prompt output
    read -r rows prompt output < <(tail -n +2 "$trace" |
        awk -F, '{ p += $2; o += $3 } END { printf "%d %d %d\n", NR, p, o }')
    [ "$rows" = "$2" ] || fail "the trace has $rows rows"
    run=azure-$1
    eep run "$root/scenarios/azure-$1.yaml" --set traffic.trace.path="$trace" --out "$run" --quiet
    exits 0
    err_is_empty
    is "$rows $rows 0 0 0 0" submitted completed rejected.total aborted.total unfinished \
        outside_window.submitted
    is "$prompt $output" total_input_tokens total_output_tokens
    [ "$(tail -n +2 "$run/requests.csv" | cut -d, -f1 | sort -n | uniq | wc -l)" = "$rows" ] ||
        fail "a request is missing or twice in requests.csv"
}
azure conv 19366
azure code 8819

# mooncake NAME ROWS TOO_LONG
mooncake() {
    local trace=$traces/mooncake/$1_trace.jsonl output
    run=mooncake-$1
    eep run "$root/scenarios/mooncake-$1.yaml" --set traffic.trace.path="$trace" --out "$run" --quiet
    exits 0
    err_is_empty
    is "$2 $(($2 - $3)) $3 $3 0 0" submitted completed rejected.total rejected.too_long \
        aborted.total unfinished
    # Tokens of all rows that the model's 163840 positions hold.
    output=$(sed -E 's/.*"input_length": ([0-9]+).*"output_length": ([0-9]+).*/\1 \2/' "$trace" |
        awk '$1 + $2 <= 163840 { o += $2 } END { printf "%d\n", o }')
    is "$output" total_output_tokens
}
mooncake conversation 12031 0
mooncake synthetic 3993 9

# One engine, room for every block and one request after the other: a block is hit exactly where a
# request before had it too. Blocks of 512 tokens, as the trace's; a request computes its last token
# anew, and a block that is not full has no identity.
hits() { # hits NAME: blocks found, of how many
    sed -E 's/.*"input_length": ([0-9]+).*"hash_ids": \[([^]]*)\].*/\1,\2/; s/ //g' \
        "$traces/mooncake/$1_trace.jsonl" | awk -F, '{
            limit = int(($1 - 1) / 512); hit = 0
            while (hit < limit && ($(hit + 2) in seen)) hit++
            for (i = 0; i < int($1 / 512); i++) seen[$(i + 2)] = 1
            found += hit; all += NF - 1 }
        END { printf "%d %d\n", found, all }'
}
unbounded() { # unbounded NAME BLOCKS BOUND: BOUND in tenths of a percent, of blocks with a full or part
    local found all cached
    read -r found all < <(hits "$1")
    [ "$all" = "$2" ] || fail "$1 has $all blocks"
    run=unbounded-$1
    eep run "$root/scenarios/mooncake-$1.yaml" --out "$run" --quiet \
        --set traffic.trace.path="$traces/mooncake/$1_trace.jsonl" \
        --set traffic.trace.rate_scale=0.0005 --set measure.bucket=1h --set traffic.trace.spread_batches=3s \
        --set 'hardware={profile: constant-step, nodes: 1, step_time: 1ms}' \
        --set 'deployment={data_parallel_size: 1, block_size: 512, max_num_batched_tokens: 8192, num_gpu_blocks_override: 1000000}'
    exits 0
    cached=$(tail -n +2 "$run/requests.csv" | awk -F, '{ c += $13 } END { printf "%d\n", c }')
    [ "$cached" = $((found * 512)) ] || fail "$1: $((found * 512)) tokens could be hit, $cached were"
    is "$cached" cached_tokens
    [ $((found * 1000)) -le $((all * $3)) ] || fail "$1: more hits than any cache can have"
    [ $((found * 1000)) -ge $((all * ($3 - 20))) ] || fail "$1: only $found of $all blocks hit"
}
unbounded conversation 288500 367
finish
