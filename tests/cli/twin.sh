#!/usr/bin/env bash
# --twin: what a resize cost beside the same run in which it cost nothing.
. "$(dirname "$0")/kit.sh"

small=(--set traffic.synthetic.duration=5min --seed 3 --quiet)

# figure RUN PATH: a number of its first resize, or what stands there.
figure() { sed -n "/\"resizes\": \[/,\$s/^ *\"$2\": \(.*[^,]\),\{0,1\}\$/\1/p" "$1/summary.json" | head -n 1; }
is_positive() { awk -v x="$1" 'BEGIN { exit !(x + 0 > 0) }'; }

eep run resize-g2.1 "${small[@]}" --out plain
exits 0
eep run resize-g2.1 "${small[@]}" --twin --out twin
exits 0
err_is_empty
[ "$(figure plain dip_tokens)" = null ] && [ "$(figure plain recover_s)" = null ] || fail "figures without a twin"
is_positive "$(figure twin dip_tokens)" || fail "dip_tokens is $(figure twin dip_tokens)"
is_positive "$(figure twin recover_s)" || fail "recover_s is $(figure twin recover_s)"
# It is behind for longer than forwards stood still.
awk -v r="$(figure twin recover_s)" -v s="$(figure twin stall_s)" 'BEGIN { exit !(r > s) }' || fail "recovered within the stall"

# The run itself is the same; only that there was a twin is written down.
grep -q 'twin: true' twin/scenario.yaml || fail "scenario.yaml does not say run.twin"
for file in requests.csv timeline.csv events.jsonl trace.json; do
    cmp -s plain/$file twin/$file || fail "$file is another with a twin"
done
[ "$(ls -A twin | wc -l)" -eq 7 ] || fail "a twin leaves files"
eep run resize-g2.1 "${small[@]}" --set run.twin=true --out again
exits 0
cmp -s twin/summary.json again/summary.json || fail "run.twin is not --twin"

# Another generation is measured beside a twin that does the same: it pays more.
eep run resize-g2.1 "${small[@]}" --twin --set deployment.resize.generation=restart \
    --set deployment.resize.commit_deadline=10min --out restart
exits 0
awk -v a="$(figure restart dip_tokens)" -v b="$(figure twin dip_tokens)" 'BEGIN { exit !(a > 2 * b) }' ||
    fail "restart loses $(figure restart dip_tokens) tokens, g2.1 $(figure twin dip_tokens)"

# As part of the screen and of --json; expectations see it; without resizes there is nothing to do.
eep run resize-g2.1 --set traffic.synthetic.duration=5min --seed 3 --twin --out twin
exits 0
out_has ' 1 beside its twin: '
out_lacks 'no twin'
eep run resize-g2.1 "${small[@]}" --twin --json --out twin --set 'expect=[resizes.grow.dip_tokens < 1]'
exits 3
out_is_json
eep run constant-step --twin --quiet --out still
exits 0

# A journal is of the run alone, and its replay has a twin of its own.
eep run resize-g2.1 "${small[@]}" --twin --journal j --out twin
exits 0
eep run resize-g2.1 "${small[@]}" --twin --replay j --out replayed
exits 0
cmp -s twin/summary.json replayed/summary.json || fail "a replay compares with another twin"

# Nobody can ask for the twin's generation.
refused 'resize.generation' run resize-g2.1 --set deployment.resize.generation=instant
finish
