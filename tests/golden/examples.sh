#!/usr/bin/env bash
# The scheduler worked out by hand: the 13 worked examples of the step semantics under the profile
# constant-step, as traces through `eep run`. A step lasts 10 us and a tick of the examples is 1 us,
# since Azure's timestamps have units of 100 ns; every time is 1000 times the example's.
. "$(dirname "$0")/../cli/kit.sh"

cat >base.yaml <<'END'
eep: 1
name: example
seed: 1
model: deepseek-v2-lite
hardware: {profile: constant-step, nodes: 1, step_time: 10us}
deployment:
  data_parallel_size: 1
  async_scheduling: false
  enable_prefix_caching: false
  max_num_seqs: 64
  max_num_batched_tokens: 100
  block_size: 4
  num_gpu_blocks_override: 1000
  router: {policy: round_robin, staleness: 0s}
traffic:
  trace: {path: trace, format: azure}
END

azure() { # azure ARRIVAL/PROMPT/OUTPUT...; arrivals in us after 18:00:00
    echo 'TIMESTAMP,ContextTokens,GeneratedTokens'
    local request arrival prompt output
    for request; do
        IFS=/ read -r arrival prompt output <<<"$request"
        printf '2023-11-16 18:00:00.%06d0,%d,%d\n' "$arrival" "$prompt" "$output"
    done
}

# example NAME "REQUESTS" "EXPECTED" [--set KEY=VALUE...]: expected is one word a request, in the
# order of their ids: FIRST/FINISH/PREEMPTIONS in us, or "rejected". Time zero of a trace is its
# earliest row, so the times expected are after that.
example() {
    local name=$1 requests=$2 expected=$3 got
    shift 3
    azure $requests >trace
    eep run base.yaml --out run --quiet "$@"
    exits 0
    got=$(tail -n +2 run/requests.csv | sort -t, -n -k1,1 | awk -F, '
        $11 != "completed" { printf "%s ", $11; next }
        { printf "%s/%s/%d ", $3, $4, $10 }')
    # Nanoseconds to microseconds by taking three zeros off: others would show.
    got=$(sed -E 's/000(\/| |$)/\1/g; s/ $//' <<<"$got")
    [ "$got" = "$expected" ] || fail "example $name: $requests: expected $expected, got $got"
}

set_to() { printf -- '--set deployment.%s ' "$@"; }

# 1 begins at its arrival: 7/5/3 has its first token at 17 and ends at 37, 10 and 30 after it.
example 1 '7/5/3' '10/30/0'
example 2 '0/25/2' '30/40/0' $(set_to max_num_batched_tokens=10)
example 2b '0/20/2' '20/30/0' $(set_to max_num_batched_tokens=10)
example 2c '0/21/2' '30/40/0' $(set_to max_num_batched_tokens=10)
example 3 '0/6/2 0/8/1' '10/20/0 20/20/0' $(set_to max_num_batched_tokens=10)
example 4 '0/1/4 0/9/1' '10/40/0 30/30/0' $(set_to max_num_batched_tokens=4)
example 5 '0/3/3 10/3/1 11/3/1' '10/30/0 20/20/0 30/30/0'
example 5b '0/3/1 33/3/1' '10/10/0 43/43/0'
example 6 '0/3/5 4/3/1' '10/50/0 20/20/0' $(set_to data_parallel_size=2)
example 7 '0/8/4 0/8/3' '10/40/0 10/60/1' $(set_to num_gpu_blocks_override=4)
example 8 '0/4/3 0/4/5 0/4/2 0/4/2' '10/30/0 10/50/0 10/40/1 10/50/1' \
    $(set_to num_gpu_blocks_override=4)
example 9 '0/6/4 0/8/2 5/1/1' '10/40/0 10/50/1 50/50/0' $(set_to num_gpu_blocks_override=4)
example 10 '0/8/2 0/20/1' '10/20/0 50/50/0' \
    $(set_to num_gpu_blocks_override=6 max_num_batched_tokens=8)
example 11 '0/2/5 0/8/1' '10/50/0 70/70/1' \
    $(set_to block_size=1 num_gpu_blocks_override=10 max_num_batched_tokens=4)
# 12 from its first row, at 3, on: the rejected request starts no step, the others begin at 4.
example 12 '3/10/7 7/10/6 8/1/1' 'rejected 14/64/0 24/24/0' \
    $(set_to num_gpu_blocks_override=4 data_parallel_size=2)
example 13 '0/3/2 0/3/1 9/3/3 10/3/3 10/3/3' '10/20/0 10/10/0 20/40/0 20/40/0 20/40/0' \
    $(set_to data_parallel_size=2 router.policy=waiting4_running)
# Who went where in 13: A and C to the first engine, B, D and E to the second.
[ "$(tail -n +2 run/requests.csv | sort -t, -n -k1,1 | cut -d, -f7 | tr '\n' ' ')" = '0 1 0 1 1 ' ] ||
    fail 'example 13: other engines'

# The same through the other format, whose ticks are milliseconds: example 7 with steps of 10 ms.
cat >mooncake <<'END'
{"timestamp": 0, "input_length": 8, "output_length": 4, "hash_ids": [1]}
{"timestamp": 0, "input_length": 8, "output_length": 3, "hash_ids": [2]}
END
eep run base.yaml --out run --quiet --set traffic.trace.path=mooncake \
    --set traffic.trace.format=mooncake --set hardware.step_time=10ms \
    --set deployment.num_gpu_blocks_override=4
exits 0
cut -d, -f1-11 run/requests.csv >"$scratch/out"
out_is <<'END'
id,arrival_ns,first_token_ns,finish_ns,prompt_tokens,output_tokens,engine,pool,attempts,preemptions,fate
0,0,10000000,40000000,8,4,0,main,1,0,completed
1,0,10000000,60000000,8,3,0,main,1,1,completed
END
finish
