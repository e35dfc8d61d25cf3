#!/usr/bin/env bash
# Every deadline of a worker can be set: with gpu.wait_timeout at 200 ms a device that hangs while its
# worker starts, in fresh memory, in the GEMM's self-test, in the first weights, is found in that time
# and not in a wait that somebody forgot. Usage: hardware_deadlines.sh ROOT EEP
. "$(dirname "$0")/kit.sh"
[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "SKIP: eep-worker-emulated is not built"
    exit 77
}

hang() { # hang N: the N-th operation of every worker never ends
    local start
    start=$(date +%s%N)
    last="run hw-smoke, operation $1 hangs"
    rm -rf run
    EEP_EMULATED_HANG=$1 timeout -s KILL 60 "$program" run hw-smoke --backend cuda --device emulated --out run \
        --set gpu.listen="unix:$scratch/door" --set gpu.wait_timeout=200ms --set gpu.start_timeout=20s \
        >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
    milliseconds=$((($(date +%s%N) - start) / 1000000))
    grep -q 'EEP_EMULATED_HANG: operation' "$scratch/err" || fail "nothing hung"
    exits 2
    # Far below every default: 30 s a wait, 20 s until the start is given up, 5 s of grace.
    [ $milliseconds -lt 8000 ] || fail "took $milliseconds ms"
}

# All of the start, one after the other: memory, the self-test, READY, and then the first maps, whose
# experts are filled.
for n in 1 3 5 9 20 40 60 70 80; do
    hang $n
    err_has 'the GPU was not ready after 0.2'
    grep -qE 'the workers did not come up: [a-z_]* ended worker_lost' "$scratch/err" || fail "no worker was lost"
done
hang 5
err_has 'self-test of the GEMM (cublas_grouped): the GPU was not ready'

# Later: a device that hangs in a forward is the end of its worker, which says so.
last='run hw-smoke, a forward hangs'
EEP_EMULATED_HANG=300 timeout -s KILL 60 "$program" run hw-smoke --backend cuda --device emulated --out run --quiet \
    --set gpu.listen="unix:$scratch/door" --set gpu.wait_timeout=200ms --set events=[] --set traffic.trace.limit=30 \
    --set deployment.fault_tolerance.detect.watchdog=1s >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 0
err_has 'the device hangs: '
grep -q '"outcome": "exited"' run/summary.json || fail 'no incident says that the deployment exited'
finish
