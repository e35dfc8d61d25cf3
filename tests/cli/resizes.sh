#!/usr/bin/env bash
# What a resize or a recovery must not do to the books: who waits is told of an end, no GPU is counted twice, and a
# start is not cut short by the deadlines of the resizes; and who waits in a resize for a dead engine finds it.
. "$(dirname "$0")/kit.sh"

short=(--set 'traffic={synthetic: {rate: 2/s, duration: 2min, input_tokens: 100, output_tokens: 20}}'
    --set measure.warmup=0s --out run --quiet)
scale='scale_elastic_ep: {new_data_parallel_size:'
ended() { # ID OUTCOME REASON: told once, so
    grep -c "\"event\":\"resize_ended\",\"id\":\"$1\",.*\"outcome\":\"$2\",\"reason\":\"$3" run/events.jsonl |
        grep -qx 1 || fail "resize $1 has not ended as $2: $3"
}

# The deployment exits while one runs and two wait.
eep run quickstart "${short[@]}" --set deployment.fault_tolerance.detect.watchdog=10s \
    --set "events=[{id: one, at: 10s, $scale 12}}, {id: two, at: 11s, $scale 8}}, {id: three, at: 12s, $scale 9}}, \
{at: 13s, fail: {engine: 1}}, {id: late, at: 90s, $scale 9}}]"
exits 0
ended one failed 'the deployment has exited'
for id in two three late; do
    ended $id refused 'the deployment has exited'
done
# The same at a cut.
eep run quickstart "${short[@]}" --set run='{end: cut, duration: 20s}' \
    --set "events=[{id: one, at: 10s, $scale 12}}, {id: two, at: 11s, $scale 8}}]"
exits 0
ended one unfinished 'the run ended before the resize did'
ended two unfinished 'the run ended before the resize began'

# A restart of so large a model takes two minutes; commit_deadline has 1.
eep run quickstart "${short[@]}" --set deployment.resize.generation=eep \
    --set deployment.fault_tolerance.recovery=restart --set 'events=[{id: dead, at: 30s, fail: {engine: 2}}]'
exits 0
ended dead complete ''

# Nobody sends anything, so that no step waits for the dead one: the others do, where their resize meets. For the same
# reason a new one that dies while it is launched is found.
quiet=(--set 'traffic={synthetic: {rate: 1/h, duration: 1min, input_tokens: 100, output_tokens: 20}}'
    --set measure.warmup=0s --out run --quiet --set deployment.resize.generation=g2
    --set 'deployment.fault_tolerance.detect={process_exit: 0s, watchdog: 10s}')
for fault in '{id: dead, at: 5s, fail: {engine: 2}}' \
    '{id: dead, during: {resize: grow, phase: launch, after: 1s}, fail: {engine: 9}}'; do
    eep run quickstart "${quiet[@]}" --set "events=[$fault, {id: grow, at: 10s, $scale 12}}]"
    exits 0
    grep -q '"event":"fault_detected","id":"dead","fault":"fail","detail":"watchdog"' run/events.jsonl ||
        fail 'nobody has found the dead engine'
    ended grow failed 'the deployment has exited'
done

# Masked engines, spares and other pools share the GPUs that there are.
lite=(--set model=deepseek-v2-lite --set hardware='{profile: h100-sxm, nodes: 2}')
pool='data_parallel_size: 4, enable_elastic_ep: true, all2all_backend: nixl_ep, enable_eplb: true'
masked='resize: {generation: masked'
spares='fault_tolerance: {recovery: replace, spares: {engines: 2, state: warm}}'
within() { # GPUS: so many all the time
    awk -F '[:,]' -v n="$1" '$1 ~ /"gpu_hours"/ { h = $2 } $1 ~ /"duration"/ { d = $2 }
        END { x = h * 3600 / d; exit !(x > n - 1e-6 && x < n + 1e-6) }' run/summary.json || fail "not $1 GPUs"
}
eep run quickstart "${short[@]}" "${lite[@]}" --set events=[] --set "deployment={$pool, $masked}, $spares}"
exits 0
within 16
eep run quickstart "${short[@]}" "${lite[@]}" --set events=[] \
    --set "deployment={pools: {a: {$pool, $masked}}, b: {$pool, $masked, reserve: 6}, $spares}}}"
exits 0
within 16
refused 'two pools keep all GPUs that are left in reserve' run quickstart "${short[@]}" "${lite[@]}" \
    --set events=[] --set "deployment={pools: {a: {$pool, $masked}}, b: {$pool, $masked}}}}"
# The spare takes the place of the lost one, and the reserve stays as it was.
eep run quickstart "${short[@]}" "${lite[@]}" --set "events=[{id: dead, at: 10s, fail: {engine: 1}}, \
{id: grow, at: 1min, $scale 6}}]" --set "deployment={$pool, eplb_config: {num_redundant_experts: 64}, \
$masked, reserve: 6}, $spares}"
exits 0
ended grow complete ''
finish
