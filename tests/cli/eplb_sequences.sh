#!/usr/bin/env bash
# eplb compare, replay and fit: figures that can be told beforehand, pictures, bad input.
. "$(dirname "$0")/kit.sh"

# value KEY: the first figure of that name in the JSON printed last.
value() { grep -o "\"$1\": [^,}]*" "$scratch/out" | head -n 1 | cut -d' ' -f2; }
is() { [ "$(value "$1")" = "$2" ] || fail "$1 is $(value "$1"), not $2"; }
near() { # near A B: equal up to rounding
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; b += 0; exit !((d < 0 ? -d : d) <= 1e-9 * (b < 0 ? -b : b) + 1e-12) }' ||
        fail "$1 is not $2"
}

sizes='"num_replicas": 10, "num_gpus": 2'
layers='[[8, 1, 1, 1, 4, 1, 1, 3], [1, 2, 3, 4, 5, 6, 7, 8]]'
echo "{\"weight\": $layers, $sizes}" >one.json
echo "{\"weight\": [$layers, $layers, $layers], $sizes}" >same.json
echo '[[0,1,2,3,4,5,6,7,0,1],[0,1,2,3,4,5,6,7,0,1]]' >naive.json

# Windows that are alike: what is planned on the past is what place says of one of them, and what
# was moved once need not move again.
for policy in vllm deepseek; do
    eep eplb place --load one.json --policy $policy --from naive.json
    balance=$(grep -o '"balancedness":[^,]*' "$scratch/out" | cut -d: -f2)
    moved=$(grep -o '"experts_moved":[0-9]*' "$scratch/out" | cut -d: -f2)
    eep eplb compare --load same.json --policies $policy --json --expert-bytes 10
    exits 0
    out_is_json
    near "$(value balancedness_mean)" "$balance"
    near "$(value balancedness_worst)" "$balance"
    [ "$policy" = deepseek ] || is experts_moved "$moved"
    is bytes_moved $(($(value experts_moved) * 10))
done
eep eplb compare --load same.json --policies naive --json
is experts_moved 0
is bytes_moved null
eep eplb compare --load same.json
exits 0
err_is_empty
out_has 'same.json: 3 windows of 2 layers, 8 experts; 10 slots on 2 ranks'
"$program" list policies >"$scratch/policies"
for policy in $(awk '/eplb/ { print $1 }' "$scratch/policies"); do
    out_has "$policy "
done
[ "$(wc -L <"$scratch/out")" -le 100 ] || fail "lines of more than 100 columns"
# A budget bounds each plan of the policies that keep to one.
if grep -q '^eep ' "$scratch/policies"; then
    eep eplb compare --load same.json --policies eep --json --expert-bytes 10 --budget 20
    exits 0
    [ "$(grep -c '"experts_moved": [3-9]' "$scratch/out")" -eq 0 ] || fail "more than two experts moved by a plan"
    eep eplb compare --load same.json --policies eep --json --expert-bytes 10 --budget 0
    is experts_moved 0
fi
# A policy that does not take the sizes says so beside the others; alone it is an error.
eep eplb compare --load same.json --groups 2 --nodes 3 --policies deepseek,naive
exits 0
refused 'deepseek: ' eplb compare --load same.json --groups 3 --nodes 3 --policies deepseek

refused 'one.json: 1 window of load: at least 2' eplb compare --load one.json
refused '--train: 0: a whole number from 1' eplb compare --load same.json --train 0
refused '--policies: no EPLB policy is called "best"' eplb compare --load same.json --policies vllm,best
refused '--policies: names with commas are needed' eplb compare --load same.json --policies ''
refused '--load is missing' eplb compare

# Replay: 64 experts, as deepseek-v2-lite has, four of them hot on rank 0; the same in all windows.
awk 'BEGIN {
    printf "window,layer"; for (e = 0; e < 64; e++) printf ",e%d", e; print ""
    for (t = 0; t < 6; t++) for (l = 1; l <= 3; l++) {
        printf "%d,%d", t, l; for (e = 0; e < 64; e++) printf ",%d", (e < 4 ? 900 : 10); print "" } }' >hot.csv
replay() { eep eplb replay --load hot.csv --model deepseek-v2-lite --replicas 64 --gpus 8 --json "$@"; }
replay --policy naive
exits 0
out_is_json
for trigger in interval imbalance cost_benefit; do out_has "\"trigger\": \"$trigger\""; done
is experts_moved 0
near "$(value net_s)" "-$(value cost_s)" # plans were waited for, nothing else
replay --policy naive --stall 0
is cost_s 0
is net_s 0
replay --policy deepseek --trigger interval --tokens-per-step 4096
is rearrangements 1
near "$(value net_s)" "$(awk -v a="$(value initial_s)" -v b="$(value experts_s)" -v c="$(value cost_s)" 'BEGIN { printf "%.17g", a - b - c }')"
awk -v net="$(value net_s)" 'BEGIN { exit !(net > 0) }' || fail "nothing is saved by spreading hot experts"
once=$(value experts_s) cost=$(value cost_s)
replay --policy deepseek --trigger interval --tokens-per-step 4096 --stall 0.5
awk -v c="$cost" -v d="$(value cost_s)" 'BEGIN { exit !(d > 0 && d <= c / 2 * (1 + 1e-9)) }' || fail "half a stall costs more than half"
replay --policy deepseek --trigger interval --tokens-per-step 4096 --steps-per-window 2000
near "$(value experts_s)" "$(awk -v a="$once" 'BEGIN { printf "%.17g", a * 2 }')"
# Steps that are too few do not pay for moves; many do.
replay --policy deepseek --trigger cost_benefit --tokens-per-step 8 --steps-per-window 1
is rearrangements 0
awk -v n="$(value plans)" 'BEGIN { exit !(n > 0) }' || fail "no plan was weighed"
replay --policy deepseek --trigger cost_benefit --tokens-per-step 4096 --steps-per-window 100000
is rearrangements 1
# Low balancedness twice in a row, and never where the threshold is 0.
replay --policy deepseek --trigger imbalance --threshold 0
is plans 0
replay --policy deepseek --trigger imbalance --low-windows 2
[ "$(grep -n '"experts_moved": [1-9]' "$scratch/out" | wc -l)" -eq 2 ] || fail "not one rearrangement"
grep -A 3 '"window": 2,' "$scratch/out" | grep -q '"experts_moved": [1-9]' || fail "not before window 2"
# A window without a token neither counts as low nor breaks the row.
awk -F, -v OFS=, '$1 == 1 { for (i = 3; i <= NF; i++) $i = 0 } 1' hot.csv >gap.csv
eep eplb replay --load gap.csv --model deepseek-v2-lite --replicas 64 --gpus 8 --json --policy deepseek \
    --trigger imbalance --low-windows 2
exits 0
grep -A 3 '"window": 3,' "$scratch/out" | grep -q '"experts_moved": [1-9]' || fail "not before window 3"
grep -A 3 '"window": 2,' "$scratch/out" | grep -q '"experts_moved": 0' || fail "before window 2"
eep eplb replay --load hot.csv --model deepseek-v2-lite --replicas 64 --gpus 8
exits 0
out_has 'hot.csv: 6 windows, each 1000 steps of 512 tokens; deepseek-v2-lite on h200-sxm, 8 ranks'
[ "$(wc -L <"$scratch/out")" -le 110 ] || fail "lines of more than 110 columns"

bad_replay() { refused "$1" eplb replay --load hot.csv --replicas 64 --gpus 8 "${@:2}"; }
bad_replay '--policy: no EPLB policy is called "best"' --model deepseek-v2-lite --policy best
bad_replay '--model is missing: the cost of experts and moves'
bad_replay 'hot.csv: 64 experts: 256, as model deepseek-v3 has' --model deepseek-v3
bad_replay '--trigger: never: interval, imbalance or cost_benefit' --model deepseek-v2-lite --trigger never
bad_replay '--threshold: 1.5: a number from 0 to 1' --model deepseek-v2-lite --threshold 1.5
bad_replay '--stall: nan: a number from 0 to 1' --model deepseek-v2-lite --stall nan
bad_replay '--tokens-per-step: 0: a whole number' --model deepseek-v2-lite --tokens-per-step 0
bad_replay 'unknown hardware "h9"' --model deepseek-v2-lite --hardware h9
bad_replay '--hardware: constant-step has no costs' --model deepseek-v2-lite --hardware constant-step
bad_replay 'no EPLB policy is called "x"' --model deepseek-v2-lite --policy x
awk 'BEGIN { for (l = 0; l < 3; l++) { printf "%s[", (l ? "," : "["); for (s = 0; s < 64; s++) printf "%s%d", (s ? "," : ""), (s == 7 ? -1 : s); printf "]" }; print "]" }' >hole.json
bad_replay '--from: layer 0: expert 7 has no slot' --model deepseek-v2-lite --from hole.json

# Fit: equal counts have no skew; what it prints is a scenario.
echo '{"weight": [[5, 5, 5, 5], [5, 5, 5, 5]]}' >even.json
eep eplb fit --load even.json --json
exits 0
out_is_json
near "$(value exponent)" 0
near "$(value gini)" 0
is max_over_mean_max 1
eep eplb fit --load hot.csv
exits 0
err_is_empty
out_has 'hot.csv: 6 windows of 3 layers, 64 experts'
fits() { # the lines for a scenario, pasted into one
    exits 0
    sed -n '/^skew:/,$p' "$scratch/out" >"$scratch/skew"
    [ -s "$scratch/skew" ] || fail "no lines for a scenario"
    awk '/^skew:/ { skip = 1; next } skip && /^ / { next } { skip = 0; print }' "$root/scenarios/quickstart.yaml" >fitted.yaml
    cat "$scratch/skew" >>fitted.yaml
    eep check fitted.yaml
    exits 0
}
fits
recorded=$(dirname "$root")/shared/expert-load/esft_dsv2lite
if [ -r "${recorded}_law_routes.u8" ]; then
    eep eplb fit --load "${recorded}_law_routes.u8" --model deepseek-v2-lite --window-time 10s \
        --against "${recorded}_intent_routes.u8"
    out_has 'stickiness: 0.29'
    out_has 'kind: random_walk'
    out_has 'max / mean of a layer: min, median, max      1.94, 3.30, 6.87'
    fits
    eep eplb fit --load "${recorded}_law_windows512.csv" --json
    exits 0
    out_is_json
fi
echo '{"weight": [[0, 0], [1, 1]]}' >empty.json
refused 'empty.json: ' eplb fit --load empty.json
refused 'even.json: ' eplb fit --load hot.csv --against even.json
refused '--window-time: ' eplb fit --load even.json --window-time 10
refused '--load is missing' eplb fit

for command in place compare replay fit; do
    eep eplb --help
    out_has "  $command "
    eep eplb $command --help
    exits 0
    out_has "Usage: eep eplb $command"
    out_has '  --json '
    [ "$(wc -L <"$scratch/out")" -le 100 ] || fail "lines of more than 100 columns"
done

if command -v gnuplot >/dev/null; then
    eep eplb compare --load same.json --plot pictures
    exits 0
    err_is_empty
    eep eplb replay --load hot.csv --model deepseek-v2-lite --replicas 64 --gpus 8 --plot pictures --trigger imbalance
    exits 0
    for name in compare replay_imbalance; do
        [ "$(head -c 8 pictures/$name.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "$name.png is no PNG"
        grep -q '</svg>' pictures/$name.svg || fail "$name.svg is not whole"
    done
    grep -q 'deepseek_vec\|deepseek' pictures/compare.svg || fail "no policy in the key"
fi
finish
