#!/usr/bin/env bash
# A run on workers that were built with an NCCL that grows communicators: 2 -> 4 -> 2 ranks. The group
# of four grows out of that of two, and every expert and every probe token is right.
# Usage: grow_run.sh ROOT EEP WORKER
set -u
root=$1 eep=$2
export EEP_WORKER=$3
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-grow.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
EEP_EMULATED_NCCL_VERSION=22903 timeout 120 "$eep" run "$root/scenarios/hw-smoke.yaml" --backend cuda \
    --device emulated --out "$scratch/run" >"$scratch/said" 2>&1
status=$?
n=$(grep -c 'grows out of the one before' "$scratch/said")
if [ $status -ne 0 ] || [ "$n" -ne 1 ]; then
    echo "exit $status, $n groups grown instead of 1:"
    tail -20 "$scratch/said"
    exit 1
fi
echo "grow_run: two ranks became four by ncclCommGrow"
