#!/usr/bin/env bash
# Popularity that changes, differs by kind of token, or comes from a file, in whole runs.
. "$(dirname "$0")/acceptance_kit.sh"

cat >shift.yaml <<'END'
eep: 1
name: shift
model: deepseek-v3
hardware: {profile: h200-sxm, nodes: 2}
deployment:
  data_parallel_size: 16
  enable_expert_parallel: true
  max_num_seqs: 256
  max_num_batched_tokens: 8192
  enable_eplb: true
  eplb_config: {policy: deepseek, num_redundant_experts: 32, window_size: 50, step_interval: 1000}
traffic: {synthetic: {arrivals: constant, rate: 40/s, duration: 120s, input_tokens: 200, output_tokens: 200}}
skew: {law: zipf, exponent: 0.9, drift: {kind: shift, at: 60s, period: 10}}
measure: {warmup: 0s, bucket: 1s}
END

# imbalance FROM TO: mean of the time line's over these seconds
imbalance() {
    awk -F, -v from="$1" -v to="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == "imbalance") at = i; next }
        $1 >= from && $1 < to { sum += $at; n++ }
        END { print sum / n }' run/timeline.csv
}
# rearranged FROM TO: end of the first rearrangement that moved experts between these seconds
rearranged() {
    sed -n 's/^{"t_ns":\([0-9]*\),.*"eplb_rearranged".*"experts_moved":\([0-9]*\).*/\1 \2/p' run/events.jsonl |
        awk -v from="$1" -v to="$2" '$2 > 0 && $1 >= from * 1e9 && $1 < to * 1e9 { print $1 / 1e9; exit }'
}

# Balanced, then not, at the shift; balanced again after the next rearrangement behind it.
runs shift.yaml
again=$(rearranged 60.1 120)
[ -n "$again" ] || fail "nothing was rearranged after the shift"
before=$(imbalance 50 60) during=$(imbalance 61 "$again") after=$(imbalance "$(awk "BEGIN { print $again + 2 }")" 119)
holds 'the shift unbalances' "$during > 1.3 * $before"
holds 'rearranging mends it' "$after < 1.05 * $before"
is 'before, the load is what it was' "$(rearranged 45 60)" ''
runs shift.yaml --set skew.drift.kind=none --set skew.drift.at=0s
is 'without drift nothing moves later' "$(rearranged 45 120)" ''

# Kinds of tokens: a replay decides the same.
mixed=(--set skew.classes=2 --set skew.decode_correlation=0.3 --set skew.stickiness=0.3
    --set traffic.synthetic.duration=80s)
eep run shift.yaml --out run --quiet "${mixed[@]}" --journal mixed.journal
exits 0
eep run shift.yaml --out again --quiet "${mixed[@]}" --replay mixed.journal
exits 0
cmp -s run/requests.csv again/requests.csv || fail "a replay has other requests"
cmp -s run/events.jsonl again/events.jsonl || fail "a replay has other events"

# A file of loads: its digest stands in the summary, its faults are told with their place.
row=$(seq -s, 1 256)
printf '{"counts": [[%s]], "top_k": 8}' "$row" >loads.json
printf '{"counts": [[%s]]}' "$(seq -s, 256 -1 1)" >other.json
recorded=(--set skew.law=recorded --set skew.load.path=loads.json --set traffic.synthetic.duration=5s
    --set skew.drift.at=3s)
runs shift.yaml "${recorded[@]}" --set skew.drift.load.path=other.json
is 'digest' "$(figure load)" "\"$(sha256sum loads.json | cut -d' ' -f1)\""
is 'digest' "$(figure drift_load)" "\"$(sha256sum other.json | cut -d' ' -f1)\""
grep -q 'path: loads.json' run/scenario.yaml || fail "the effective scenario names no file"
runs shift.yaml --set traffic.synthetic.duration=5s
is 'no digest' "$(figure load)" ''
printf '{"counts": [[%s]]}' "$(seq -s, 1 64)" >few.json
printf '{"counts": [[1,-2]]}' >bad.json
for command in check run; do
    refused 'is of 64 experts' $command shift.yaml "${recorded[@]}" --set skew.load.path=few.json
    refused 'bad.json: counts[0][1]' $command shift.yaml "${recorded[@]}" --set skew.load.path=bad.json
    refused 'there is no file' $command shift.yaml "${recorded[@]}" --set skew.load.path=none.json
done
finish
