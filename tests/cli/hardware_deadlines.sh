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
    grep -qE 'the workers did not come up: [a-z_]* ended (worker_lost|timed_out)' "$scratch/err" || fail "no worker was lost, no group timed out"
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

# Workers that come by themselves.
export EEP_TOKEN=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
door=unix:$scratch/door
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
coordinator() { # coordinator ARGUMENTS...: in the background, once it listens
    rm -rf run "$scratch/door" "$scratch/err"
    timeout -s KILL 60 "$program" run hw-smoke --backend cuda --device emulated --workers wait --out run \
        --set gpu.listen="$door" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null &
    until_has "$scratch/err" 'eep worker --emulated'
}
until_has() { # until_has FILE TEXT: at most 20 s; its time in `at`
    local i
    for ((i = 0; i < 400; i++)); do
        ! grep -qsF -- "$2" "$1" || break
        sleep 0.05
    done
    [ $i -lt 400 ] || fail "within 20 s $1 lacks: $2"
    at=$(milliseconds)
}
worker() { # worker N ARGUMENTS...: in the background
    timeout -s KILL 60 "$program" worker --emulated --connect "$door" --device "$1" --rank "$1" "${@:2}" \
        >"$scratch/worker-$1" 2>&1 </dev/null &
}

# A coordinator that stands still, and one that dies while a device hangs: neither its silence before
# WELCOME nor what cannot be given back is waited for longer than was said.
last='a coordinator stands still'
coordinator --set gpu.grace=300ms
pid=$(pgrep -P $!)
kill -STOP "$pid"
begin=$(milliseconds)
worker 0 --wait 1
wait $!
status=$?
exits 1
took=$(($(milliseconds) - begin))
[ $took -ge 1900 ] && [ $took -lt 8000 ] || fail "$took ms of silence"
grep -q 'no word from the coordinator for 2 s' "$scratch/worker-0" || fail "$(cat "$scratch/worker-0")"
kill -KILL "$pid"
last='a coordinator dies while a device hangs'
coordinator --set gpu.grace=300ms
pid=$(pgrep -P $!)
EEP_EMULATED_HANG=5 worker 0
hung=$!
until_has "$scratch/err" 'rank 0 is worker 1'
sleep 0.5
kill -KILL "$pid"
begin=$(milliseconds)
wait $hung
status=$?
[ $status -ne 0 ] || fail 'a worker whose device hangs ended well'
took=$(($(milliseconds) - begin))
[ $took -lt 3000 ] || fail "$took ms to give a device back that hangs"

# One that is not needed yet stays as long as it hears heartbeats, whatever --wait says; a rank that
# nobody has who asked for it goes to it after a share of gpu.start_timeout.
last='workers wait'
coordinator --set gpu.start_timeout=24s --set gpu.grace=300ms
pid=$(pgrep -P $!)
worker 7 --wait 1
worker 6 --wait 1
worker 0
worker 1
until_has "$scratch/err" 'rank 2 needs a worker'
begin=$at
until_has "$scratch/err" 'rank 2 is worker 3'
[ $((at - begin)) -ge 800 ] && [ $((at - begin)) -lt 4000 ] || fail "rank 2 had no worker for $((at - begin)) ms"
kill -KILL "$pid"
wait
finish
