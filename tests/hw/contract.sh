#!/usr/bin/env bash
# The conformance suite of core/loop/backend.h on a device that is there; skipped with the reason else.
# Usage: contract.sh SUITE WORKER_PROGRAM gpu|emulated nccl|loopback
# SUITE is coordinator_test_cuda_contract. With nccl there have to be as many GPUs as the suite has
# ranks (3); with loopback one is enough.
set -u
suite=$1 worker=$2 device=$3 transport=$4
if [ ! -x "$worker" ]; then
    echo "SKIP: there is no $worker: build with CUDA and NCCL"
    exit 77
fi
last=0
[ "$transport" = loopback ] || last=2
for ((gpu = 0; gpu <= last; gpu++)); do
    said=$("$worker" --check --device $gpu 2>&1)
    status=$?
    if [ $status -eq 2 ]; then
        echo "SKIP: $said"
        exit 77
    elif [ $status -ne 0 ]; then
        printf 'the worker does not pass its own check:\n%s\n' "$said"
        exit 1
    fi
done
exec "$suite" "$worker" "$device" "$transport"
