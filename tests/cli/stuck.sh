#!/usr/bin/env bash
# Resizes that fail between two sizes: a run says which invariant broke and by which flaw, accounts for what was
# left behind up to its end, and gives every request one. Requests for a size that are taken back; spares that run out.
. "$(dirname "$0")/kit.sh"

scale='scale_elastic_ep: {new_data_parallel_size:'
cat >stuck.yaml <<END
eep: 1
name: stuck
seed: 1
model: deepseek-v2-lite
hardware: {profile: constant-step, nodes: 1, step_time: 10ms}
deployment:
  data_parallel_size: 2
  num_gpu_blocks_override: 1000
  enable_elastic_ep: true
  enable_eplb: true
  eplb_config: {num_redundant_experts: 64}
  fault_tolerance: {detect: {watchdog: 20s}}
traffic:
  synthetic: {duration: 60s, rate: 3/s, input_tokens: 100, output_tokens: 50}
events:
  - {id: broken, at: 1s, phase_fail: {phase: switch, nth: 1}}
  - {id: grow, at: 10s, $scale 3}}
END
figure() { sed -n "/\"$1\": \[/,\$s/^ *\"$2\": \(.*[^,]\),\{0,1\}\$/\1/p" run/summary.json | head -n 1; }
at_least() { awk -v x="$1" -v least="$2" 'BEGIN { exit !(x + 0 >= least) }' || fail "$3 is $1"; }

# 503 and standstill up to the watchdog, which ends it.
eep run stuck.yaml --set deployment.resize.generation=g2 --out run
exits 0
out_has 'invariant I8 broken: resize grow left 503 for 20.0 s, forwards blocked for 20.0 s'
out_has 'known flaw of g2: 503 left after a failed commit (vllm #50778)'
out_has 'unfinished 0'
grep -q 'invariant I8 broken' run/summary.json || fail 'summary.json has no note'
grep -q '"event":"resize_closed","id":"grow"' run/events.jsonl || fail 'no resize_closed'
at_least "$(figure resizes reject_s)" 20 reject_s
at_least "$(figure resizes downtime_s)" 20 downtime_s
at_least "$(figure resizes rejected)" 30 rejected
at_least "$(figure incidents degraded_s)" 20 degraded_s
[ "$(figure incidents outcome)" = '"exited"' ] || fail "the incident is $(figure incidents outcome)"

# g1 clears the 503; whoever comes waits, and ends with the deployment.
eep run stuck.yaml --set deployment.resize.generation=g1 --out run
exits 0
out_has 'invariant I8 broken: resize grow left forwards blocked for 20.0 s'
out_has 'known flaw of g1: no way back from a failed resize, later ones are refused (vllm #53947)'
out_has 'unfinished 0'

# With a recovery nothing is left, and with eep's way back there is nothing to recover from.
for recovery in restart shrink; do
    eep run stuck.yaml --set deployment.resize.generation=g2 --set deployment.fault_tolerance.recovery=$recovery --out run
    exits 0
    out_lacks 'invariant'
    out_has 'unfinished 0'
    [ "$(figure incidents outcome)" = '"recovered"' ] || fail "the incident is $(figure incidents outcome)"
done
eep run stuck.yaml --set deployment.resize.generation=eep --out run
exits 0
out_lacks 'invariant'
[ "$(figure resizes outcome)" = '"rolled_back"' ] || fail "the resize is $(figure resizes outcome)"

# Where nobody would ever end it, it is not begun.
for kind in phase_fail phase_hang; do
    refused 'try fault_tolerance.detect.watchdog: 10min' run stuck.yaml --out refused \
        --set deployment.fault_tolerance.detect.watchdog=0s --set "events=[{at: 1s, $kind: {phase: switch, nth: 1}}]"
done

# What waits can be taken back, and what runs goes on.
eep run stuck.yaml --set deployment.resize.generation=eep --out run --quiet --set "events=[\
{id: one, at: 10s, $scale 3}}, {id: two, at: 10s, $scale 4}}, {id: stop, at: 10001ms, cancel: {resize: two}}]"
exits 0
grep -q '"event":"resize_ended","id":"two",.*"outcome":"cancelled"' run/events.jsonl || fail 'two is not cancelled'
grep -q '"event":"resize_ended","id":"one",.*"outcome":"complete"' run/events.jsonl || fail 'one is not complete'

# A node that takes all engines along; a spare that is not there.
eep run stuck.yaml --out run --set deployment.fault_tolerance.recovery=restart --set 'events=[{id: dead, at: 10s, fail: {node: 0}}]'
exits 0
[ "$(figure incidents outcome)" = '"recovered"' ] || fail "the incident is $(figure incidents outcome)"
eep run stuck.yaml --out run --set deployment.fault_tolerance.recovery=replace \
    --set deployment.fault_tolerance.spares='{engines: 1, state: warm}' \
    --set 'events=[{id: first, at: 10s, fail: {engine: 1}}, {id: second, at: 30s, fail: {engine: 0}}]'
exits 0
out_has 'shrunk: no spare was left'
grep -q '"note": "shrunk: no spare was left"' run/summary.json || fail 'summary.json does not say so'
grep -q '"event":"no_spare_left","id":"second"' run/events.jsonl || fail 'no no_spare_left'
finish
