#!/usr/bin/env bash
# With and without reduction the same states at rest are reached and the same flaws are found, at 2
# engines and 1 fault; the reduced space is the smaller one.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cli/kit.sh"

what_is_reached() { grep -E '"(from|to|faults|drain_requests|supersede|rests|rests_hash|name|source|is_exhausted)":' "$scratch/out"; }
n_states() { awk '/"states":/ { gsub(/[^0-9]/, ""); sum += $0 } END { print sum }' "$scratch/out"; }

for recovery in shrink restart none; do
    eep explore --engines 1..2 --faults 1 --recovery $recovery --reduction none --json
    exits 0
    out_is_json
    what_is_reached >"$scratch/none"
    none=$(n_states)
    eep explore --engines 1..2 --faults 1 --recovery $recovery --reduction full --json
    exits 0
    what_is_reached >"$scratch/full"
    diff "$scratch/none" "$scratch/full" >"$scratch/diff" || fail "$recovery: $(head -n 20 "$scratch/diff")"
    [ "$(n_states)" -lt "$none" ] || fail "$recovery: not reduced"
    [ "$(grep -c rests_hash "$scratch/full")" -ge 16 ] || fail "$recovery: less than a world for each generation"
done
# So are violations: the shortest way to one may not be shorter without it than what is left out.
for plant in skipped_barrier lost_replica shifted_ranks; do
    for reduction in none full; do
        eep explore --plant $plant --engines 1..2 --faults 1 --threads 1 --reduction $reduction
        exits 1
        grep '^violation' "$scratch/out" >"$scratch/$reduction"
    done
    diff "$scratch/none" "$scratch/full" >"$scratch/diff" || fail "$plant: $(cat "$scratch/diff")"
done
finish
