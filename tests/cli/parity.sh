#!/usr/bin/env bash
# compare of a simulation with a run on workers: planted differences are found and named. The run on
# workers is the simulation's folder with another label, so that all ratios are known.
. "$(dirname "$0")/kit.sh"

eep run hw-smoke --out sim --quiet
exits 0
plant() { # plant FILE SED-SCRIPT: a fresh hw, changed
    rm -rf hw
    cp -r sim hw
    sed -i 's/"label": "SIMULATED"/"label": "EMULATED"/' hw/summary.json
    sed -i "$2" "hw/$1"
}
is_same() { # is_same KIND: the line of the decisions
    grep -qE "^  $1 .* the same\$" "$scratch/out" || fail "$1 are not the same"
}
ratios() { # ratios WANTED: all distinct ratios in the JSON
    local got
    got=$(sed -n 's/^ *"ratio": \([^,]*\),\{0,1\}$/\1/p' "$scratch/out" | sort -u | tr '\n' ' ')
    [ "${got% }" = "$1" ] || fail "ratios are $got"
}

# Nothing differs: every ratio is 1, or there is none.
plant summary.json ''
eep compare sim hw
exits 0
out_has 'Measured / predicted                                 SIMULATED        EMULATED  ratio'
out_has 'EMULATED: the ratios say nothing about a GPU'
for kind in resizes phases reshuffles incidents recoveries; do is_same $kind; done
grep -qE '^  grow launch \(new\) +[0-9.]+ +[0-9.]+  1\.00$' "$scratch/out" || fail 'no phase'
grep -qE '^  prefill, 8 to 15 tokens an engine +[0-9.]+ +[0-9.]+  1\.00$' "$scratch/out" || fail 'no class of steps'
grep -qE '^  decode, p99 +[0-9.]+ +[0-9.]+  1\.00$' "$scratch/out" || fail 'no distribution of steps'
grep -qE '^  TTFT p90 +[0-9.]+ +[0-9.]+  1\.00$' "$scratch/out" || fail 'no latency'
! grep -E '^.{101}' "$scratch/out" >"$scratch/diff" || fail "wider than 100 columns: $(cat "$scratch/diff")"
eep compare sim hw --json
exits 0
out_is_json
ratios 1
# Of two simulations there is none of it.
eep compare sim sim
out_lacks 'Measured / predicted'

# A figure that is four times as large, whichever run comes first.
plant summary.json 's/^\(  "p90_ttft_ms": \).*/\14000,/'
sed -i 's/^\(  "p90_ttft_ms": \).*/\11000,/' sim/summary.json
eep compare hw sim --json
exits 0
ratios '1 4'
eep compare hw sim
grep -qE '^  TTFT p90 +1,000 +4,000  4\.00$' "$scratch/out" || fail 'no ratio of 4'

# Decisions stand side by side, each with its time; what differs is marked, and what follows it
# stands beside its like.
differs() { # differs PREDICTED MEASURED: a marked line of the screen with these
    grep -qE "^! *[0-9.-]+ $1 +! *[0-9.-]+ $2\$" "$scratch/out" || fail "no line says that $1 and $2 differ"
}
# A phase that is another, a decision that is missing, one more: the first is named.
plant events.jsonl '0,/"phase":"kv_sync"/s//"phase":"offload"/'
eep compare sim hw
exits 0
is_same resizes
differs 'phase main grow kv_sync' 'phase main grow offload'
grep -qE '^ +4\.000 accepted main grow 2 4 [^ ]+ +4\.000 accepted main grow 2 4 [^ ]+$' "$scratch/out" ||
    fail 'no decision beside its like'
[ "$(grep -c '^!' "$scratch/out")" = 1 ] || fail 'more than the planted phase differs'
grep -qE '^  phases +([0-9]+) +\1  1 differs$' "$scratch/out" || fail 'no number of phases'
plant events.jsonl '0,/"phase":"kv_sync"/{/"phase":"kv_sync"/d}'
eep compare sim hw
differs 'phase main grow kv_sync' -
[ "$(grep -c '^!' "$scratch/out")" = 1 ] || fail 'what follows a missing phase differs'
plant events.jsonl '/"event":"resize_ended","id":"shrink"/d'
eep compare sim hw
differs 'ended main shrink 4 2 complete' -
is_same phases
plant events.jsonl '1i {"t_ns":1,"pool":"main","event":"fault","id":"death","fault":"fail","detail":""}'
eep compare sim hw
grep -qE '^! +- - +! +0\.000 fault main death fail$' "$scratch/out" || fail 'no fault beside nothing'
eep compare sim hw --json
grep -q '"measured": "fault main death fail"' "$scratch/out" || fail 'JSON has no first difference'
grep -q '"measured_s": 1e-09' "$scratch/out" || fail 'JSON has no time'
# More than a screen shows: what is left out is counted, and JSON has all.
plant summary.json ''
for ((i = 0; i < 100; i++)); do
    echo '{"t_ns":'$i',"pool":"main","event":"eplb_rearranged","trigger":"interval"}'
done | tee extra >>hw/events.jsonl
cp -r sim long && cat extra >>long/events.jsonl
eep compare long hw
is_same reshuffles
grep -qE '^ +\.\.\. [0-9]+ more, all the same$' "$scratch/out" || fail 'nothing is counted'
eep compare sim hw
grep -qE '^ +\.\.\. [0-9]+ more, [0-9]+ of them differ: --json has all$' "$scratch/out" || fail 'no difference is counted'
eep compare sim hw --json
[ "$(grep -c '"measured": "eplb_rearranged main interval"' "$scratch/out")" -ge 100 ] || fail 'JSON has not all'
# Another order of the same decisions: of the lines of two kinds it is a clock's, of one it is not.
plant events.jsonl '/"phase":"map_broadcast"/{h;d};/"phase":"switch"/{G}'
eep compare sim hw
differs 'phase main grow map_broadcast' 'phase main grow switch'
differs 'phase main grow switch' 'phase main grow map_broadcast'

# Only what workers and the folder heed may differ between the scenarios.
plant scenario.yaml 's/heartbeat_interval: 500ms/heartbeat_interval: 900ms/'
grep -q 900ms hw/scenario.yaml || fail 'nothing was changed'
eep compare sim hw
exits 0
plant scenario.yaml 's/events: decisions/events: steps/'
eep compare sim hw
exits 0
plant scenario.yaml 's/max_num_seqs: 32/max_num_seqs: 16/'
refused 'sim and hw are runs of different scenarios: deployment.max_num_seqs: 32 and 16' compare sim hw
eep compare sim hw --force
exits 0
out_has 'NOT THE SAME SCENARIO: deployment.max_num_seqs: 32 and 16'
eep compare sim hw --force --json
out_has '"scenario_difference": "deployment.max_num_seqs: 32 and 16"'
plant scenario.yaml '/id: shrink/d'
refused 'are runs of different scenarios: events' compare sim hw
plant scenario.yaml '/^seed:/a extra: 1'
refused 'are runs of different scenarios: extra: nothing and 1' compare sim hw

# Folders that are not whole.
plant summary.json ''
rm hw/scenario.yaml
refused 'hw/scenario.yaml' compare sim hw
plant events.jsonl '3s/.*/{"t_ns":/'
refused 'hw/events.jsonl:3:' compare sim hw
rm hw/events.jsonl
refused 'hw/events.jsonl' compare sim hw
refused 'give one of each' compare sim sim --plot plots

if command -v gnuplot >/dev/null; then
    plant summary.json ''
    eep compare sim hw --plot plots
    exits 0
    err_is_empty
    out_has 'Picture: plots/parity.png'
    grep -q '</svg>' plots/parity.svg || fail 'parity.svg is not whole'
    grep -q 'says nothing about a GPU' plots/parity.svg || fail 'parity.svg does not say that it is emulated'
    [ "$(head -c 8 plots/parity.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail 'parity.png is no PNG'
    plant summary.json '/"step_time"/,$d'
    echo '  "resizes": [] }' >>hw/summary.json
    eep compare sim hw --plot bare
    exits 0
    grep -q 'nothing that both have' bare/parity.svg || fail 'no note in an empty picture'
fi
finish
