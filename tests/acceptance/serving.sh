#!/usr/bin/env bash
# Scheduling under steps of 20 ms, by cases that can be worked out by hand.
. "$(dirname "$0")/acceptance_kit.sh"

cat >base.yaml <<'END'
eep: 1
name: base
model: deepseek-v2-lite
hardware: {profile: constant-step, nodes: 1, step_time: 20ms}
deployment: {num_gpu_blocks_override: 4096, max_num_batched_tokens: 8192, async_scheduling: false, router: {staleness: 0s}}
traffic: {trace: {path: trace.jsonl, format: mooncake}}
END
# requests TIME/PROMPT/OUTPUT[/PRIORITY]...
requests() {
    local request
    for request; do
        IFS=/ read -r time prompt output priority <<<"$request"
        echo "{\"timestamp\":$time,\"input_length\":$prompt,\"output_length\":$output,\"priority\":${priority:-0}}"
    done >trace.jsonl
}
on() { # --set deployment.KEY=VALUE for each
    local set sets=()
    for set; do sets+=(--set "deployment.$set"); done
    runs base.yaml "${sets[@]}"
}

# An arrival during step n is in step n + 1; with async scheduling, which has planned that, in n + 2.
requests 0/5/10 10/5/2
on
is 'first tokens' "$(column 3)" '20000000 40000000'
on async_scheduling=true
is 'first tokens, async' "$(column 3)" '20000000 60000000'

# A holds 5 of 10 blocks when B, of 5, could join: exactly enough, but not with one kept free.
requests 0/64/5 20/80/1
on num_gpu_blocks_override=10
is 'no watermark' "$(column 3)" '20000000 40000000'
on num_gpu_blocks_override=10 watermark=0.1
is 'watermark 0.1' "$(column 3)" '20000000 120000000'

# Prefills are admitted in steps 0, 4, 8 ... only.
on prefill_schedule_interval=4
is 'interval 4' "$(column 3)" '20000000 100000000'

# The more urgent of two that wait goes first, whatever their order.
requests 0/5/5 20/5/1/3 20/5/1/-1
on max_num_seqs=1
is fcfs "$(column 3)" '20000000 120000000 140000000'
on max_num_seqs=1 scheduling_policy=priority
is priority "$(column 3)" '20000000 140000000 120000000'

# A full queue rejects; a prompt beyond max_model_len or beyond all blocks does.
requests 0/5/5 20/5/1 20/5/1
on max_num_seqs=1 queue_limit=1
is 'queue limit' "$(column 12)" '  queue_limit'
on max_model_len=9
is 'too long' "$(column 12)" 'too_long  '
requests 0/64/5
on num_gpu_blocks_override=4
is 'never fits' "$(column 12)" 'never_fits'

# Prefix hits end with a block before the prompt's last token; only what is computed is hit.
hash() { echo "{\"timestamp\":$1,\"input_length\":$2,\"output_length\":2,\"hash_ids\":[$3]}"; }
{ hash 0 1024 1,2; hash 0 1024 1,2; hash 1000 1024 1,2; hash 2000 1030 1,2,3; hash 3000 513 1,9; hash 4000 512 1; } >trace.jsonl
on
is 'cached tokens' "$(column 13)" '0 0 1008 1024 512 496'
on block_size=64
is 'cached tokens, blocks of 64' "$(column 13)" '0 0 960 1024 512 448'
on enable_prefix_caching=false
is 'cached tokens, off' "$(column 13)" '0 0 0 0 0 0'
# Caches are each engine's own: in turn, the second engine computes the same prompt anew.
on data_parallel_size=2 router.policy=round_robin
is 'cached tokens of two engines' "$(column 13)" '0 0 1008 1024 512 496'
is 'engines in turn' "$(column 7)" '0 1 0 1 0 1'
on data_parallel_size=4 router.policy=round_robin
is 'cached tokens of four engines' "$(column 13)" '0 0 0 0 512 496'
on data_parallel_size=4 router.policy=prefix_affinity
is 'affinity finds the caches' "$(column 13)" '0 0 1008 1024 512 496'

# Waiting * 4 + running: at 10 ms A runs on engine 0 (1) and B waits for engine 1 (4); at 500 ms each
# has one that runs. Before the first statistics are published only the router's own count tells.
requests 0/5/100 5/5/100 10/5/1 500/5/1 505/5/1
on data_parallel_size=2 router.policy=waiting4_running
is 'least loaded' "$(column 7)" '0 1 0 0 1'
on data_parallel_size=2 router.policy=waiting4_running router.staleness=10s
is 'stale' "$(column 7)" '0 1 0 1 0'

# 400 steps with work; the check every 32 steps ends the wave after 416.
cat >wave.yaml <<'END'
eep: 1
name: wave
model: deepseek-v2-lite
hardware: {profile: h200-sxm, nodes: 1}
deployment: {data_parallel_size: 2, max_num_batched_tokens: 16384, router: {policy: round_robin, staleness: 0s}}
traffic: {trace: {path: trace.jsonl, format: mooncake}}
END
requests 0/10/400
runs wave.yaml
is steps "$(figure steps)" 416
is 'dummy steps' "$(figure dummy_steps)" 16
alone=$(column 17)
# Another rank's prefill of 16,000 tokens is in this rank's longest gap.
requests 0/10/400 500/16000/2
runs wave.yaml
is 'two engines' "$(column 7)" '0 1'
beside=$(column 17)
holds "a prefill beside" "${beside%% *} > 20 * $alone && ${beside%% *} < 40 * $alone"

# A run that is cut: what is unfinished is counted, and rates are of the time that there was.
runs "$keys/moe.yaml" --set run.end=cut --set run.duration=10s
is window "$(figure window_s)" 8
is 'end of traffic' "$(figure end_of_traffic_s)" 10
holds 'rate of the window' "$(figure request_throughput) == $(figure completed) / 8"
holds conservation "$(figure submitted) == $(figure completed) + $(figure unfinished)"
holds 'some unfinished' "$(figure unfinished) > 0"

# Forwards that stand still for a synchronous rearrangement are GPU time, but not of serving.
runs "$keys/moe.yaml"
is 'asynchronous: stalled' "$(figure stalled)" 0
runs "$keys/moe.yaml" --set deployment.eplb_config.use_async=false
holds 'synchronous: stalled' "$(figure stalled) > 0 && $(figure serving) + $(figure stalled) <= 1.000001 * $(figure gpu_hours) && $(figure max_itl_ms) > 1000"

eep run "$keys/rates.yaml" --set 'expect=["completed >= 1", "completed < 1"]' --out run --quiet
exits 3
refused 'has no nonsense' run "$keys/rates.yaml" --set 'expect=["nonsense >= 1"]' --out other
# One instant of arrivals has no rates; a trace that is cut goes on until the cut.
requests 0/5/10 0/5/10
on
is 'completed' "$(figure completed)" 2
is 'no rate over an instant' "$(figure request_goodput) $(figure output_throughput_per_gpu)" 'null null'
requests 0/5/10 60000/5/10
runs base.yaml --set run.end=cut --set run.duration=1s
is 'traffic until the cut' "$(figure window_s) $(figure request_throughput)" '1 1'

# What an operator does long after the last request has ended is no overload.
eep run quickstart --set measure.warmup=0s --set traffic.synthetic=null --set traffic.trace.path=trace.jsonl --out late
exits 0
! grep -q OVERLOADED "$scratch/out" || fail 'overloaded by a late resize'
finish
