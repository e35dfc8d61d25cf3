#!/usr/bin/env bash
# Instructions of one engine's part in a step, counted by callgrind: 16 engines, nothing arriving or
# ending, 16, 256 and 1,024 running requests an engine.
#
#   step_cost.sh BENCH_STEP            prints "RUNNING INSTRUCTIONS" lines
#   step_cost.sh BENCH_STEP RATCHET    and fails when 1,024 running cost over 25 % more than 16, or
#                                      one of them over 10 % more than the file RATCHET says
#
# An intended change of cost: step_cost.sh BENCH_STEP > tests/bench/step.ratchet, in the same commit.
# Skipped (77) without valgrind. Counts depend on the compiler: the file is for gcc's release build.
set -euo pipefail

program=$1 ratchet=${2:-}
if ! command -v valgrind > /dev/null; then
    echo "skipped: valgrind is not installed"
    exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for running in 16 256 1024; do
    steps=$(valgrind --tool=callgrind --callgrind-out-file="$scratch/out" \
        --toggle-collect=measured_steps "$program" "$running" 16 2> "$scratch/log") || {
        cat "$scratch/log" >&2
        exit 1
    }
    awk -v running="$running" -v steps="$steps" \
        '$1 == "totals:" { printf "%d %.1f\n", running, $2 / steps }' "$scratch/out"
done | tee "$scratch/now"

[ -z "$ratchet" ] || awk '
    /^#/ { next }
    NR == FNR { allowed[$1] = 1.1 * $2; next }
    { cost[$1] = $2 }
    $2 > allowed[$1] {
        printf "%d running: %.1f instructions are more than the %.1f allowed\n", $1, $2, allowed[$1]
        failed = 1
    }
    END {
        if (cost[1024] > 1.25 * cost[16]) {
            printf "a step with 1024 running costs %.2f times one with 16\n", cost[1024] / cost[16]
            failed = 1
        }
        exit failed
    }' "$ratchet" "$scratch/now"
