#!/usr/bin/env bash
# eplb place: what it prints holds for what it was given; flags, files, and every kind of bad input.
. "$(dirname "$0")/kit.sh"
eplb_check=$4

holds() { # holds LOAD [OLDMAP EXPERT_BYTES]: the last output, checked against its input
    exits 0
    err_is_empty
    "$eplb_check" "$1" "$scratch/out" "${@:2}" 2>"$scratch/diff" || fail "$(head -n 5 "$scratch/diff")"
}

# drawn NAME T L E R G N D: a problem with drawn loads, zeros and ties among them; T 0: no windows.
drawn() {
    awk -v T="$2" -v L="$3" -v E="$4" -v R="$5" -v G="$6" -v N="$7" -v D="$8" -v seed="$RANDOM" 'BEGIN {
        srand(seed)
        printf "{\"num_replicas\": %d, \"num_groups\": %d, \"num_nodes\": %d, \"num_gpus\": %d, \"x\": [{}], \"weight\": ", R, G, N, D
        if (T > 0) printf "["
        for (t = 0; t < (T > 0 ? T : 1); t++) {
            printf "%s[", (t > 0 ? ", " : "")
            for (l = 0; l < L; l++) {
                printf "%s[", (l > 0 ? ", " : "")
                for (e = 0; e < E; e++)
                    printf "%s%s", (e > 0 ? ", " : ""), (rand() < 0.2 ? 0 : rand() < 0.3 ? 7 : rand() * rand() * 1000)
                printf "]"
            }
            printf "]"
        }
        if (T > 0) printf "]"
        print "}" }' >"$1"
}
RANDOM=7

eep list policies
policies=$(awk '/eplb/ { print $1 }' "$scratch/out")
[ -n "$policies" ] || fail "no EPLB policies"
for sizes in '0 2 12 16 4 2 8' '3 2 12 16 4 2 8' '0 1 1 1 1 1 1' '0 3 8 8 1 1 8' '4 2 16 24 1 1 4' '2 2 6 12 2 1 3'; do
    drawn load.json $sizes
    for policy in $policies default; do
        eep eplb place --load load.json --policy $policy
        holds load.json
        cp "$scratch/out" old.json
        eep eplb place --load load.json --policy $policy --from old.json
        holds load.json old.json 0
    done
done

# A load of nothing is in perfect balance.
echo '{"weight": [[0, 0], [0, 0]], "num_replicas": 4, "num_gpus": 2}' >zero.json
eep eplb place --load zero.json
holds zero.json
out_has '"balancedness":1,"balancedness_vllm":0,"lower_bound":[0,0],"hottest":[0,0]'

# The published example, from a file, packed, from standard input, with flags for fields.
echo '{"weight": [[90,132,40,61,104,165,39,4,73,56,183,86], [20,107,104,64,19,197,187,157,172,86,16,27]],
 "num_replicas": 16, "num_groups": 4, "num_nodes": 2, "num_gpus": 8}' >readme.json
published='"phy2log":[[5,6,5,7,8,4,3,4,10,9,10,2,0,1,11,1],[7,10,6,8,6,11,8,9,2,4,5,1,5,0,3,1]]'
eep eplb place --load readme.json --policy deepseek
out_has "$published"
out_has '"log2phy":[[[12,-1],[13,15],'
holds readme.json
eep --json eplb place --load readme.json
out_has "$published"
gzip -k readme.json
eep eplb place --load readme.json.gz --json
out_has "$published"
"$program" eplb place --load - <readme.json >"$scratch/out" 2>"$scratch/err"
status=$? last='eplb place --load -'
exits 0
out_has "$published"
sed 's/as": 16/as": 0/; s/ps": 4/ps": null/; s/es": 2/es": "x"/; s/, "num_gpus": 8//' readme.json >flags.json
eep eplb place --load flags.json --replicas 16 --groups 4 --nodes 2 --gpus 8
out_has "$published"

# Out files: the map as CSV and JSON.
eep eplb place --load readme.json --csv map.csv --out map.json
exits 0
out_is_empty
"$eplb_check" readme.json map.json || fail "map.json is wrong"
[ "$(head -n 3 map.csv | tr '\n' ' ')" = 'layer,slot,rank,expert 0,0,0,5 0,1,0,6 ' ] || fail "map.csv begins $(head -n 3 map.csv)"
[ "$(wc -l <map.csv)" -eq 33 ] || fail "map.csv has $(wc -l <map.csv) lines"
grep -qx '1,15,7,1' map.csv || fail "map.csv lacks its last slot"
eep eplb place --load readme.json --out /nowhere/map.json
exits 1
err_has '/nowhere/map.json: cannot be written'
# Links stay links, so that a device behind one is written to and not replaced.
ln -s behind.csv link.csv
eep eplb place --load readme.json --csv link.csv
exits 0
[ -L link.csv ] || fail "the link was replaced"
diff -q map.csv behind.csv >/dev/null || fail "what the link leads to differs"
if [ -c /dev/full ]; then
    ln -s /dev/full full.json
    eep eplb place --load readme.json --out full.json
    exits 1
    err_has 'full.json: cannot be written: No space left on device'
fi

# Pictures of maps before and after.
if command -v gnuplot >/dev/null; then
    eep eplb place --load readme.json --plot pictures --out map.json
    exits 0
    err_is_empty
    for name in expert_rank layer_imbalance; do
        [ "$(head -c 8 pictures/$name.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail "$name.png is no PNG"
        grep -q '</svg>' pictures/$name.svg || fail "$name.svg is not whole"
    done
    grep -q '12 experts, 16 slots on 8 ranks' pictures/expert_rank.svg || fail "no title"
    eep eplb place --load readme.json --from map.json --plot pictures
    exits 0
    grep -q 'before: present map' pictures/layer_imbalance.svg || fail "the map before is not the present one"
    eep eplb place --load zero.json --plot pictures
    exits 0
    err_is_empty
fi

# From a map, also of another number of ranks: larger, smaller, with empty slots, in three forms.
eep eplb place --load readme.json --from map.json
out_has '"experts_moved":0,"bytes_moved":null}'
holds readme.json map.json 0
row='0,1,2,3,4,5,6,7,8,9,10,11,-1,-1,-1,-1'
echo "[[$row],[$row]]" >bare.json
eep eplb place --load readme.json --from bare.json --expert-bytes 1000
holds readme.json bare.json 1000
echo "{\"physical_to_logical_map\": [[$row,4,5,6,7],[$row,-1,-1,2,2]]}" >larger.json
eep eplb place --load readme.json --from larger.json --expert-bytes '44 MB'
holds readme.json larger.json 44000000
echo "{\"phy2log\": [[0,1,2,3,4,5,6,7],[4,5,6,7,8,9,10,11]]}" >smaller.json
eep eplb place --load readme.json --from smaller.json --model deepseek-v2-lite
bytes=$("$program" show models deepseek-v2-lite --json | grep -o '"expert_bytes": [0-9]*' | grep -o '[0-9]*')
holds readme.json smaller.json "${bytes:-1}"
sed 's/}/, "expert_bytes": 500}/' readme.json >bytes.json
eep eplb place --load bytes.json --from smaller.json
holds bytes.json smaller.json 500
eep eplb place --load bytes.json --from smaller.json --expert-bytes 3
holds bytes.json smaller.json 3

# Dead ranks: of the policies that know them; the others say so.
echo '{"weight": [[4, 3, 2, 1]], "num_replicas": 8, "num_gpus": 4, "active_ranks": [1, 1, 0, 1]}' >dead.json
refused 'policy vllm knows no dead ranks' eplb place --load dead.json
if grep -q elasticity_aware <<<"$policies"; then
    eep eplb place --load dead.json --policy elasticity_aware
    holds dead.json
fi
sed 's/1, 1, 0, 1/1, 2, 0, 1/' dead.json >d.json
refused 'd.json: active_ranks[1]: 2: 1 = serves, 0 = dead' eplb place --load d.json
sed 's/1, 1, 0, 1/1, 1/' dead.json >d.json
refused 'd.json: active_ranks: a list of 2 entries: a list of 4' eplb place --load d.json
sed 's/\[1, 1, 0, 1\]/7/' dead.json >d.json
refused 'd.json: active_ranks: 7 of 0 entries' eplb place --load d.json
refused '--active-ranks: 1 ranks of 2 slots cannot hold 4 experts: at least 2 ranks' eplb place --load dead.json --active-ranks 0,0,0,1
refused '--active-ranks: 3 entries: 4' eplb place --load dead.json --active-ranks 0,0,1
refused '--active-ranks: entry 2: y: 1 = serves' eplb place --load dead.json --active-ranks 0,0,y,1

# Bad loads, by the path of the element.
bad() { # bad WEIGHT MESSAGE
    echo "{\"weight\": $1, \"num_replicas\": 4, \"num_gpus\": 2}" >bad.json
    refused "$2" eplb place --load bad.json
    [ "$(wc -l <"$scratch/err")" -eq 1 ] || fail "more than a line"
}
bad '[[1, 2], [3, -1]]' 'bad.json: weight[1][1]: -1 is negative: loads are finite numbers from 0 to 2^53'
bad '[[1, NaN]]' 'bad.json:1:19: weight[0][1]: invalid token'
bad '[[1, Infinity]]' 'weight[0][1]: '
bad '[[1, -Infinity]]' 'weight[0][1]: '
bad '[[1, 1e999]]' 'weight[0][1]: real number overflow'
bad '[[1, 9007199254740993]]' 'bad.json: weight[0][1]: 9007199254740993 is above 2^53'
bad '[[1, 2], [3]]' 'bad.json: weight[1]: 1 entries: as many as the lists before it, 2'
bad '[[[1, 2]], [[3]]]' 'bad.json: weight[1][0]: 1 entries'
bad '[]' 'bad.json: weight: the list is empty'
bad '[[]]' 'bad.json: weight[0]: the list is empty'
bad '[[1, "2"]]' 'bad.json: weight[0][1]: a string is no number'
bad '[[1, null]]' 'bad.json: weight[0][1]: null is no number'
bad '{}' 'bad.json: weight: loads are lists in lists'
bad '[[1, 2, 3, 4, 5]]' 'bad.json: num_replicas: 4 slots cannot hold 5 experts: at least one slot an expert'
printf '{"weight": [[1, 2], [3' >bad.json
refused 'bad.json:1:22: weight[1][0]: ' eplb place --load bad.json --replicas 4 --gpus 2
: >bad.json
refused 'bad.json: the file is empty' eplb place --load bad.json
refused 'nope.json: cannot open: No such file' eplb place --load nope.json
refused '--load is missing' eplb place
printf 'window,layer,e0,e1\n0,0,1,x\n' >bad.csv
refused 'bad.csv:2:7: window 0, layer 0, e1: x is no number' eplb place --load bad.csv

# Bad sizes: where they stand, and what is allowed.
sized() { # sized FIELDS MESSAGE FLAG...
    echo "{\"weight\": [[1, 2, 3]]$1}" >sized.json
    refused "$2" eplb place --load sized.json "${@:3}"
}
sized '' 'sized.json: num_replicas is missing: a field of the file or --replicas is needed'
sized ', "num_replicas": 4' 'sized.json: num_gpus is missing'
sized ', "num_replicas": 2' '2 slots cannot hold 3 experts' --gpus 1
sized ', "num_replicas": 5' 'sized.json: num_replicas: 5 slots do not divide evenly over 2 GPUs' --gpus 2
sized ', "num_gpus": 2' '--replicas: 5 slots do not divide evenly over 2 GPUs' --replicas 5
for value in 0 -4 4.5 '"4"' true 65537 1000000000 99999999999 '[4]' '{}'; do
    sized ", \"num_replicas\": $value, \"num_gpus\": 1" "sized.json: num_replicas: "
    err_has 'a whole number from 1 to 65536 is allowed'
    sized ", \"num_replicas\": 4, \"num_gpus\": 1, \"num_groups\": $value" "sized.json: num_groups: "
done
for value in 0 -4 4.5 x 0x10 '' 65537 99999999999999999999; do
    sized '' '--replicas: ' --replicas "$value" --gpus 1
    err_has 'a whole number from 1 to 65536 is allowed'
done
sized ', "expert_bytes": -1, "num_replicas": 4, "num_gpus": 2' 'sized.json: expert_bytes: -1: a whole number from 1'
sized ', "num_replicas": 4, "num_gpus": 2' '--expert-bytes: ' --expert-bytes 0
sized ', "num_replicas": 4, "num_gpus": 2' '--expert-bytes: ' --expert-bytes '1 TB'
sized ', "num_replicas": 4, "num_gpus": 2' '--expert-bytes: ' --expert-bytes many
sized ', "num_replicas": 4, "num_gpus": 2' 'try deepseek-v2-lite' --model deepseek-v2-lit
sized ', "num_replicas": 4, "num_gpus": 2' '--policy: no EPLB policy is called "best": known are' --policy best
sized ', "num_replicas": 4, "num_gpus": 2' '--budget: the bytes of an expert are not known' --budget 5
sized ', "num_replicas": 4, "num_gpus": 2' '--budget: auto, none or bytes: ' --budget x --expert-bytes 5
sized ', "num_replicas": 4, "num_gpus": 2' '--format: xml: auto, json, csv or routes' --format xml
# What the sizes do not allow a policy: here groups that do not divide over the experts.
sized ', "num_replicas": 4, "num_gpus": 2, "num_groups": 2, "num_nodes": 2' 'sized.json: ' --policy deepseek

# Bad maps.
mapped() { # mapped MAP MESSAGE
    echo "$1" >map.json
    refused "$2" eplb place --load readme.json --from map.json
}
short=$(echo "$row" | cut -d, -f1-15)
mapped "[[$row],[$short]]" 'map.json: [1]: 15 slots: 16, as the layers before'
mapped "[[$short],[$short]]" 'map.json: [0]: 15 slots: a multiple of 2, the slots of a rank (16 slots on 8 ranks)'
mapped "{\"phy2log\": [[$row],[${row/5/12}]]}" 'map.json: phy2log[1][5]: 12 is no expert: -1 (empty) to 11'
mapped "[[$row],[${row/5/-2}]]" 'map.json: [1][5]: -2 is no expert'
mapped "[[$row],[${row/5/1.5}]]" 'map.json: [1][5]: 1.5 is no expert'
mapped "[[$row],[${row/5/null}]]" 'map.json: [1][5]: null is no expert'
mapped "[[$row],[${row/5/99999999999}]]" 'map.json: [1][5]: 99999999999 is no expert'
mapped "[[$row]]" 'map.json: 1 layers: 2, as the loads have'
mapped '[[],[]]' 'map.json: [0]: 0 slots'
mapped '[]' 'map.json: a map is a list of 2 layers'
mapped '[1, 2]' 'map.json: a map is a list of 2 layers'
mapped '{"phy2log": 3}' 'map.json: phy2log: a map is a list of 2 layers'
mapped '{}' 'map.json: there is no map: a list, or a key phy2log or physical_to_logical_map'
mapped '[[1, 2' 'map.json:2:1: [0][1]: '
mapped '7' 'map.json:1:'
mapped "[[$row],[NaN]]" '[1][0]: invalid token'
refused 'gone.json: cannot open' eplb place --load readme.json --from gone.json
refused '--from: standard input is the loads' eplb place --load - --from -

# Recorded routes, counts and windows, where they are.
recorded=$(dirname "$root")/shared/expert-load/esft_dsv2lite_law
if [ -r "${recorded}_routes.u8" ]; then
    eep eplb place --load "${recorded}_routes.u8" --model deepseek-v2-lite --replicas 72 --gpus 8
    exits 0
    sed 's/"solve_ms":[^,}]*//' "$scratch/out" >routes.out
    eep eplb place --load "${recorded}_windows512.csv" --replicas 72 --gpus 8
    exits 0
    sed 's/"solve_ms":[^,}]*//' "$scratch/out" | diff -q - routes.out >/dev/null || fail "routes and windows differ"
    eep eplb place --load "${recorded}_counts.json" --replicas 72 --gpus 8
    exits 0
    refused 'routes are bare expert ids: layers (0)' eplb place --load "${recorded}_routes.u8" --replicas 72 --gpus 8
fi

refused 'there is no command eplb plaec' eplb plaec
err_has 'did you mean eep eplb place'
refused 'eplb: something is missing' eplb
refused 'eplb place: unknown option --polciy' eplb place --polciy x
err_has 'did you mean --policy'
refused 'eplb place: too many arguments' eplb place x
eep eplb --help
exits 0
out_has '  place '
eep eplb place --help
exits 0
out_has '--from OLDMAP'
[ "$(wc -L <"$scratch/out")" -le 100 ] || fail "lines of more than 100 columns"
finish
