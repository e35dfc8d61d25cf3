#!/usr/bin/env bash
# hw-smoke on workers: 2 -> 4 -> 2 under traffic, results right throughout, nothing left behind.
# Usage: smoke.sh ROOT EEP gpu|emulated nccl|loopback
set -u
root=$1 eep=$2 device=$3 transport=$4
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-smoke.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
start=$SECONDS
timeout 110 "$eep" run "$root/scenarios/hw-smoke.yaml" --backend cuda --device "$device" \
    --set gpu.transport="$transport" --set gpu.listen="unix:$scratch/door" --out "$scratch/run" \
    >"$scratch/out" 2>"$scratch/err"
status=$?
sed -n '/^Resizes/,/^$/p; /^Workers/p' "$scratch/out"
grep -q 'there is no eep-worker\|no GPU' "$scratch/err" && {
    echo "SKIP: $(grep -m1 'there is no eep-worker\|no GPU' "$scratch/err")"
    exit 77
}

failed=0
fail() {
    echo "$*"
    failed=1
}
[ $status -eq 0 ] || fail "exit $status instead of 0: $(cat "$scratch/err")"
[ $((SECONDS - start)) -le 60 ] || fail "took $((SECONDS - start)) s instead of 60 at most"
[ "$(grep -c '2->4 .*complete\|4->2 .*complete' "$scratch/out")" -eq 2 ] || fail "not both resizes are complete"
grep -Eq '^Workers +4 workers, 0 lost; right: [1-9][0-9,]* probes in [1-9][0-9,]* steps, [1-9][0-9,]* expert checksums' \
    "$scratch/out" || fail "no word of right results: $(grep '^Workers' "$scratch/out")"
[ "$device" = gpu ] || grep -q 'shrinks out of the one before' "$scratch/err" || fail "the group of four did not shrink"
[ "$device" = gpu ] || grep -q EMULATED "$scratch/out" || fail "it does not say that it is emulated"
[ ! -e "$scratch/door" ] || fail "the listening socket is left"
if pgrep -f -- "--connect unix:$scratch/door" >"$scratch/left"; then
    fail "workers are left: $(cat "$scratch/left")"
fi
exit $failed
