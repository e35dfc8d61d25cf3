#!/usr/bin/env bash
# What docs/eplb_commands.md says that eep eplb compare, replay and fit print is what they print of the
# recorded loads; milliseconds are the machine's business. Skipped where the loads are absent.
. "$(dirname "$0")/kit.sh"

page=$root/docs/eplb_commands.md
recorded=$(dirname "$root")/shared/expert-load/esft_dsv2lite
[ -r "${recorded}_law_windows512.csv" ] || { echo "no recorded loads beside the checkout" && exit 77; }
ln -s "${recorded}_law_windows512.csv" law.csv
ln -s "${recorded}_law_routes.u8" law.u8
ln -s "${recorded}_intent_routes.u8" intent.u8

# block VERB: the command of that block and, below it, its output.
block() { awk -v head="\$ eep eplb $1 " 'index($0, head) == 1 { on = 1 } /^```/ { on = 0 } on' "$page"; }
# The last two columns of compare are times.
timeless() { sed -E 's/ +[0-9]+\.[0-9]{3} +[0-9]+\.[0-9]{3}$//' "$1"; }

for verb in compare replay fit; do
    block $verb | sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' >"$scratch/block"
    command=$(sed -n '1s/^\$ eep //p' "$scratch/block")
    [ -n "$command" ] || fail "$page has no block of $verb"
    # shellcheck disable=SC2086 # words of a command
    eep $command
    exits 0
    sed 1d "$scratch/block" >"$scratch/said"
    diff <(timeless "$scratch/said") <(timeless "$scratch/out") >"$scratch/diff" ||
        fail "differs from $page: $(cat "$scratch/diff")"
done

# place: sizes of a resize, and what is said of two small layers but for the time.
eep eplb place --load law.csv --replicas 72 --gpus 8 --out m8.json
eep eplb place --load law.csv --replicas 144 --gpus 16 --from m8.json --model deepseek-v2-lite
out_has "$(grep -o '^"experts_moved":[0-9]*,"bytes_moved":[0-9]*' "$page")"
sed -n '/^{"weight"/,/}$/p' "$page" >two.json
eep eplb place --load two.json --policy deepseek
out_has "$(grep -o '^{"phy2log":[^a-z]*' "$page")"
out_has "$(grep -o '"lower_bound":.*,"solve_ms"' "$page")"

# Raw routes in a scenario have the model's layers and experts a token unless it says others.
for keys in '' '--set skew.load.layers=26 --set skew.load.top_k=6'; do
    # shellcheck disable=SC2086
    eep run constant-step --set model=deepseek-v2-lite --set skew.law=recorded --set skew.load.path=law.u8 $keys \
        --out "routes${keys:+-said}" --quiet
    exits 0
done
cmp -s routes/timeline.csv routes-said/timeline.csv || fail "routes are read otherwise where their shape is said"
finish
