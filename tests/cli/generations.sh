#!/usr/bin/env bash
# eep generations: what is in a table, that a cell is what `eep run` makes of the same overrides, and what is refused.
. "$(dirname "$0")/kit.sh"

# All generations, and on each backend those that it can do.
eep generations --steps 4-5,8-4 --traffic no
exits 0
err_is_empty
out_has 'SIMULATED'
[ "$(wc -L <"$scratch/out")" -le 100 ] || fail "lines of more than 100 columns"
names=$("$program" list generations | sed 's/ .*//')
for name in $names; do
    n=$(grep -cE "^ +[0-9]+ $name( |$)" "$scratch/out")
    expected=4
    [ "$name" != masked ] || expected=2  # needs ranks that can be masked
    [ "$name" != restart ] || expected=8 # and refit
    [ "$n" -eq $expected ] || fail "$name has $n rows, not $expected"
done
[ "$(grep -c '^DP 4 -> 5 ' "$scratch/out")" -eq 1 ] || fail "no table of 4 -> 5"
grep -q '^m1 .*vllm #20775' "$scratch/out" || fail "no published figure of m1"
out_has '* design study'
out_lacks 'survives'

# Twice the same bytes, however many processes there are.
cp "$scratch/out" "$scratch/first"
last='on one core' status=0
taskset -c "$(taskset -pc $$ | sed 's/.*[^0-9]//')" "$program" generations --steps 4-5,8-4 --traffic no >"$scratch/out" 2>"$scratch/err"
cmp -s "$scratch/first" "$scratch/out" || fail "differs from all cores'"

# The brief one: a block a backend, a column a step.
eep generations --brief --steps 5-4,4-8 --generation g2.1,eep
exits 0
out_lacks '4->5 '
[ "$(grep -cE '^(nixl_ep|allgather_reducescatter) +5->4 +4->8$' "$scratch/out")" -eq 2 ] || fail "not two blocks"
[ "$(grep -cE '^eep \*( +[0-9.]+/[0-9.]+){2}$' "$scratch/out")" -eq 2 ] || fail "no two rows of eep"
out_lacks 'restart'

# A cell is what `eep run` makes of its overrides.
value() { # value KEY: of the first cell
    grep -m 1 "^ *\"$1\":" "$scratch/cell" | sed 's/.*: //; s/,$//; s/"//g'
}
of_run() { # of_run KEY: of the run's one resize
    awk '/"resizes": \[/ { on = 1 } on' runs/cell/summary.json | grep -m 1 "\"$1\":" | sed 's/.*: //; s/,$//'
}
same() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d < 1e-6 && d > -1e-6) }'; }
for cell in 'g2.1 nixl_ep 4-5 heavy' 'restart allgather_reducescatter 8-4 light'; do
    read -r generation backend step traffic <<<"$cell"
    eep generations --json --steps "$step" --traffic "$traffic" --backend "$backend" --generation "$generation"
    exits 0
    out_is_json
    cp "$scratch/out" "$scratch/cell"
    sets=()
    while IFS= read -r set; do
        sets+=(--set "$set")
    done < <(awk '/"sets": \[/ { on = 1; next } on && /^ *\],?$/ { exit } on' "$scratch/cell" | sed 's/^ *"//; s/",\{0,1\}$//')
    [ ${#sets[@]} -ge 18 ] || fail "no overrides of the cell"
    scenario=$(value scenario)
    eep run "$scenario" --quiet --out runs/cell "${sets[@]}"
    [ "$status" -eq 0 ] || fail "the cell's overrides do not run"
    for key in prepare_s stall_s reject_s downtime_s settle_s total_s experts_ready_s rejected aborted peak_extra_bytes; do
        same "$(value $key)" "$(of_run $key)" || fail "$cell: $key is $(value $key), of eep run $(of_run $key)"
    done
    # Its own arithmetic: it stands still or refuses no longer than both together, and no less than either.
    awk -v s="$(value stall_s)" -v r="$(value reject_s)" -v d="$(value downtime_s)" \
        'BEGIN { exit !(d >= s && d >= r && d <= s + r && d > 1) }' || fail "$cell: downtime is no union"
done

# A restart that chooses its slots has less to load where there are more ranks, the same where there are the fewest.
eep generations --json --steps 16-24,24-16 --traffic no --backend nixl_ep --generation restart
totals=($(sed -n 's/^ *"total_s": \([0-9.]*\),$/\1/p' "$scratch/out"))
[ ${#totals[@]} -eq 4 ] || fail "not four cells"
awk -v a="${totals[0]}" -v b="${totals[1]}" 'BEGIN { exit !(b < a - 1) }' || fail "16-24: refit ${totals[1]} of ${totals[0]}"
same "${totals[2]}" "${totals[3]}" || fail "24-16: refit ${totals[3]} is not ${totals[2]}"

# Under other constants: one that decides nothing here leaves the order, and what changes it is named.
eep generations --json --sensitivity --steps 8-4 --traffic no --backend nixl_ep --generation restart,g3
exits 0
out_is_json
out_has '"survives": true'
n=$("$program" show hardware h100-sxm | grep -c ' assumed ')
[ "$(grep -c '"factor":' "$scratch/out")" -eq $((2 * n)) ] || fail "not two variations of each of $n constants"
eep generations --sensitivity --steps 24-16 --traffic no --backend nixl_ep --generation m1,g1
exits 0
grep -qE 'order +(the order survives|(m1|g1) before)' "$scratch/out" || fail "nothing is said of the order"

refused '--steps: "4-6" is unknown: 4-5, 5-4, 4-8' generations --steps 4-6
refused '--traffic: "heave" is unknown: no, light, heavy; try heavy' generations --traffic heave
refused '--backend: "naive" is unknown' generations --backend naive
refused '--generation: "g4" is unknown' generations --generation m1,g4
refused '--steps: the list is empty' generations --steps ''
refused 'none of the generations works with the backend' generations --generation masked --backend allgather_reducescatter
refused 'too many arguments' generations quickstart
finish
