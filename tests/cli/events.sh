#!/usr/bin/env bash
# What eep check says of events: sizes, GPUs with spares and reserve counted, whom a fault names, what it waits for.
. "$(dirname "$0")/kit.sh"

eep check rank-failure
exits 0
err_is_empty
out_has '5.00 min  main: fail rank 11, of 16  death'
out_has '9.00 min  main: slow rank 3 x 2 for 60.0 s, of 16'
out_has '11.0 min  main: DP 16 -> 20, 21 of 24 GPUs with 1 spare  grow'
out_has 'commit of grow + 200 ms  main: fail engine 2, of 20  death2'
out_has 'Elastic   DP 11..23: ceil(256 * 16 / (256 + 128)) = 11, at most 23 by GPUs'
out_has 'Note      recovery replace (eep): hypothetical'

# The same sizes at the head of a run.
eep run rank-failure --set 'events=[]' --set 'expect=[]' --set traffic.synthetic.duration=5s
exits 0
out_has 'elastic range DP 11..23'

eep check rank-failure --json
exits 0
out_is_json
out_has '"kind": "scale_elastic_ep",'
out_has '"gpus": 21'
out_has '"what": "fail engine 2, of 20"'
out_has '"after_s": 0.200000000'
out_has '"recovery replace (eep): hypothetical"'

eep check rank-failure --set 'events[0]={at: 1s, hang: {engine: 18}}'
exits 0
out_has 'hang engine 18: nobody unless the size has changed, DP 16 has 16'
eep check rank-failure --set 'events[0]={at: 1s, phase_fail: {phase: switch, nth: 0}}' \
    --set 'events[1]={at: 2s, phase_hang: {phase: kv_sync, nth: 2}}' \
    --set 'events[3]={during: {resize: grow, phase: preload}, cancel: {resize: grow}}'
exits 0
out_has 'main: phase_fail, every switch'
out_has 'main: phase_hang, kv_sync number 2 from then on'
out_has 'preload of grow  main: cancel grow'

# A reserve is taken from the start, and no resize goes beyond it.
eep check resize-v2-lite --set deployment.resize.generation=masked --set deployment.resize.reserve=8
exits 0
out_has 'DP 4 -> 5, 8 of 8 GPUs  up1'
out_has 'DP 8 -> 4, 8 of 8 GPUs  down4'
refused 'generation masked runs the engines of its reserve and no more: at most 6' check resize-v2-lite \
    --set deployment.resize.generation=masked --set deployment.resize.reserve=6
refused 'need 25 GPUs (5 of them spare)' check rank-failure --set deployment.fault_tolerance.spares.engines=5

eep check resize-v2-lite --set deployment.resize.generation=masked
exits 0
out_has 'DP 4 -> 5, 8 of 8 GPUs  up1'
out_has 'DP 8 -> 4, 8 of 8 GPUs  down4'

# What cannot happen is refused where it is written; what only the run knows is a note of its end.
sed 's/^  - {id: up1.*/&\n  - {during: {resize: up1, phase: destroy}, fail: {rank: 0}}/' \
    "$root/scenarios/resize-v2-lite.yaml" >never.yaml
refused 'never.yaml:39:35: "up1" (up, generation g2.1) has no phase "destroy": prepare,' check never.yaml
refused 'never.yaml:39:35: "up1" (up, generation g2.1) has no phase "destroy": prepare,' run never.yaml
few=(--set deployment.resize.generation=eep --set traffic.synthetic.duration=60s --set measure.warmup=0s)
up='{id: up, at: 5s, scale_elastic_ep: {new_data_parallel_size: 5}}, {id: broken, at: 1s, phase_fail: {phase: preload}}'
vain='{id: again, at: 2s, phase_hang: {phase: preload, nth: 2}}, {id: late, during: {resize: up, phase: commit}, fail: {rank: 0}}'
eep run resize-v2-lite "${few[@]}" --set "events=[$up, $vain, {at: 59s, slow: {rank: 4, factor: 2}}]"
exits 0
out_has 'Note      an event (slow) did nothing at 00:59: its target was not there, or gone'
out_has '          event again broke nothing: no such preload began after it'
out_has '          event late never came: up did not reach commit'
grep -qE '^ 1 4->5 +00:05 scenario +[0-9.]+ s .* rolled_back$' "$scratch/out" ||
    fail "a preparation that was undone has no length"
grep -q '"event late never came: up did not reach commit"' runs/latest/summary.json ||
    fail "summary.json lacks a note"

# What a restart with other slots can reach.
few='events=[{at: 1min, scale_elastic_ep: {new_data_parallel_size: 3}}]'
refused 'minimum is ceil(64 * 4 / (64 + 0)) = 4' check resize-v2-lite --set "$few"
eep check resize-v2-lite --set "$few" --set 'deployment.resize={generation: restart, restart: {refit: true}}'
exits 0
out_has 'DP 4 -> 3, 3 of 8 GPUs'
finish
