#!/usr/bin/env bash
# Figures that are each in their bounds and together beyond what can be held or counted: refused
# with the arithmetic, by check and by run alike, and nothing is left behind.
. "$(dirname "$0")/kit.sh"

few='traffic={synthetic: {arrivals: constant, rate: 10/s, requests: 5, input_tokens: 20, output_tokens: 5}}'
plain=(--set 'events=[]' --set measure.warmup=0s)

both_refuse() { # MESSAGE ARGUMENT...
    local message=$1
    shift
    refused "$message" check quickstart "${plain[@]}" "$@"
    refused "$message" run quickstart "${plain[@]}" "$@" --out run
    [ ! -e run ] || fail "a run folder is left"
}

traffic() { echo "traffic={synthetic: {$1, input_tokens: 20, output_tokens: 5}}"; }

# The time line: 4 arrivals, one every 10^6 s, are 3 * 10^6 rows of a second; of a minute they fit.
rare=$(traffic 'arrivals: constant, rate: 0.000001/s, requests: 4')
both_refuse 'rows of the time line of 1s each: at most 1000000 rows; try measure.bucket: 10s' \
    --set "$rare"
eep run quickstart "${plain[@]}" --set "$rare" --set measure.bucket=1min --out minutes --quiet
exits 0
# An event after all traffic counts as well, and 2^62 ns are the end of all time.
both_refuse 'the run reaches 2000000 s, which are 2000000 rows of the time line' --set "$few" \
    --set 'events=[{at: 2000000s, scale_elastic_ep: {new_data_parallel_size: 16}}]'
cat >far.csv <<'END'
TIMESTAMP,ContextTokens,GeneratedTokens
1800-01-01 00:00:00,10,10
1990-01-01 00:00:00,10,10
END
both_refuse 'years of virtual time: below 146 years' --set 'traffic={trace: {path: far.csv}}' \
    --set measure.bucket=1000000s
# A cut that comes first is no reason to refuse.
eep run quickstart "${plain[@]}" --set "$rare" --set 'run={end: cut, duration: 10s}' --out cut --quiet
exits 0

# Waits that double 20 times stay in 64 bits, and the run that they would make is refused.
refused 'rows of the time line' run quickstart "${plain[@]}" --out run --set deployment.queue_limit=1 \
    --set deployment.max_num_seqs=1 --set "$(traffic 'rate: 1e9/s, requests: 2000')" \
    --set 'traffic.retry={attempts: 1000, backoff: 1000000s}'

# 4/s for 10^8 s, and 10^9/s for a second.
both_refuse 'the traffic is 4e+08 requests: at most 1e+08' --set "$(traffic 'rate: 4/s, duration: 100000000s')"
both_refuse 'the traffic is 1e+09 requests' --set "$(traffic 'rate: 1e9/s, duration: 1s')"
both_refuse 'the traffic is 1e+12 requests' --set "$(traffic 'rate: 1e9/s, requests: 1000000000000')"
eep check quickstart "${plain[@]}" --set "$(traffic 'rate: 1e9/s, requests: 5')"
exits 0

# Models of more bytes than 64 bits hold, or more experts than memory.
both_refuse '10000 layers of 256 experts, hidden_size 1000000' --set model.hidden_size=1000000 \
    --set model.moe_intermediate_size=10000000 --set model.n_layers=10000
both_refuse '10000 layers x 100000 experts are 1e+09 experts: at most 2e+06' --set model.hidden_size=1 \
    --set model.moe_intermediate_size=1 --set model.n_layers=10000 --set model.n_routed_experts=100000 \
    --set hardware.hbm=1000TB

# Prefixes that fill no block, or more than the cache counts.
both_refuse '1 tokens are 0 whole blocks of 16: 1 to 65535 blocks, 16 to 1048560 tokens; try 16' \
    --set "$(traffic 'rate: 1/s, requests: 5, prefix: {groups: 2, tokens: 1}')"
both_refuse 'whole blocks of 16: 1 to 65535 blocks' \
    --set "$(traffic 'rate: 1/s, requests: 5, prefix: {groups: 2, tokens: 1000000000}')"
eep run quickstart "${plain[@]}" --set deployment.enable_prefix_caching=false --out prefix --quiet \
    --set "$(traffic 'rate: 1/s, requests: 5, prefix: {groups: 2, tokens: 1}')"
exits 0
# A trace whose format only its first line tells, and a row of more hashes than a request keeps.
echo '{"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}' >two.jsonl
both_refuse 'blocks of 1024 tokens do not divide' --set 'traffic={trace: {path: two.jsonl}}' \
    --set deployment.block_size=1024
{
    printf '{"timestamp": 0, "input_length": %d, "output_length": 5, "hash_ids": [0' $((512 * 65536))
    yes ,0 | head -n 65535 | tr -d '\n'
    echo ']}'
} >many.jsonl
both_refuse 'hash_ids has 65536 ids: at most 65535 ids' --set 'traffic={trace: {path: many.jsonl}}'

# Files without an end.
both_refuse '/dev/zero: cannot open: Not a regular file' --set 'traffic={trace: {path: /dev/zero}}'
refused '/dev/zero: is no file: a journal' run quickstart "${plain[@]}" --set "$few" --out run --replay /dev/zero

# Said before the run.
both_refuse 'generation g2.1 has no way back' --set "$few" \
    --set deployment.resize.on_busy=supersede

both_refuse '"0s" is too small: at least 1ns' --set "$few" --set deployment.resize.drain_timeout=0s

# A cluster larger than any deployment is only that.
eep run quickstart "${plain[@]}" --set "$few" --set hardware.nodes=100000 --out large --quiet
exits 0
finish
