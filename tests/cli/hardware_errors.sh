#!/usr/bin/env bash
# Hardware mode with what it cannot use, and with processes that die: each says what is wrong and what
# to do, in a bounded time, and leaves no process and no socket. Usage: hardware_errors.sh ROOT EEP
. "$(dirname "$0")/kit.sh"
[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "SKIP: eep-worker-emulated is not built"
    exit 77
}

run() { # run SECONDS VARIABLE=VALUE... -- ARGUMENT...: a hardware run that must be over in time
    local limit=$1 variables=() start=$SECONDS
    shift
    while [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    shift
    last="run hw-smoke --backend cuda $* (${variables[*]})"
    rm -rf run
    env "${variables[@]}" timeout -s KILL 60 "$program" run hw-smoke --backend cuda --out run "$@" \
        >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
    [ $((SECONDS - start)) -le "$limit" ] || fail "took $((SECONDS - start)) s, $limit at most"
}
emulated() { # emulated SECONDS VARIABLE... -- ARGUMENT...
    local limit=$1 variables=()
    shift
    while [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    shift
    run "$limit" "${variables[@]}" -- --device emulated --set gpu.listen="$door" "$@"
}
# Of this script's runs: all listen here unless told otherwise.
door=unix:$scratch/door
workers() { pgrep -f -- "--connect $door"; }
nobody_is_left() {
    local i
    for i in {1..40}; do
        [ -n "$(workers)" ] || return 0
        sleep 0.1
    done
    fail "workers are left: $(workers | tr '\n' ' ')"
}

# -- devices and libraries --
emulated 5 EEP_EMULATED_DEVICES=0 --
exits 2
err_has 'no GPU: no NVIDIA driver is loaded'
err_has 'run with --device emulated'
err_has 'pool main: the workers did not come up: launch ended worker_lost, worker '
emulated 5 EEP_EMULATED_DEVICES=1 --
exits 2
err_has 'GPU 1 was asked for, but there is 1 here'
err_has 'gpu.transport: loopback'
emulated 5 EEP_EMULATED_DRIVER=12040 --
exits 2
err_has 'the NVIDIA driver is too old: it is for CUDA 12.4, this program needs 13.0; update the driver'
emulated 5 EEP_EMULATED_NCCL_VERSION=22304 --
exits 2
err_has 'NCCL 22304 is too old: 22700 or later is needed; put a newer libnccl.so.2 first in LD_LIBRARY_PATH'
emulated 5 A= -- --set gpu.emulated_memory=1MiB
exits 2
err_has 'out of memory'
err_has 'raise gpu.emulated_memory (eep worker: EEP_EMULATED_MEMORY), or lower gpu.layers'
nobody_is_left

# -- programs --
mkdir "$scratch/alone"
cp "$program" "$scratch/alone/eep"
last='run --device gpu, without an eep-worker'
EEP_DATA_DIR=$root "$scratch/alone/eep" run "$root/scenarios/hw-smoke.yaml" --backend cuda --device gpu \
    >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 2
err_has 'there is no eep-worker beside'
err_has 'cmake -DEEP_CUDA=ON'
ln -s "$(dirname "$program")/gpu/eep-worker-emulated" "$scratch/alone/"
last='worker --help, without an eep-worker'
"$scratch/alone/eep" worker --help >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 0
err_is_empty
out_has '--connect HOST:PORT'
emulated 5 EEP_WORKER=/nonexistent/worker --
exits 2
err_has 'EEP_WORKER=/nonexistent/worker: is no program'
emulated 5 EEP_WORKER=/bin/true --
exits 2
err_has 'is lost: exit status 0'

# -- addresses and tokens --
emulated 5 A= -- --set gpu.listen="unix:/$(printf 'x%.0s' {1..120})"
exits 2
err_has 'a path of 1 to 107 characters has to follow unix:'
echo mine >notes
emulated 5 A= -- --set gpu.listen="unix:$PWD/notes"
exits 2
err_has 'choose another path'
[ "$(cat notes)" = mine ] || fail "a file of the user's is gone"
emulated 5 A= -- --set gpu.listen="unix:$PWD/no-such/folder"
exits 2
err_has 'its folder has to be there'
emulated 5 A= -- --set gpu.listen=192.0.2.1:0
exits 2
err_has 'this machine has no such address'
for port in 65536 99999 -1 http; do
    emulated 5 A= -- --set gpu.listen="127.0.0.1:$port"
    exits 2
    err_has 'write HOST:PORT, with a port from 0 to 65535'
done
emulated 5 EEP_TOKEN=abc --
exits 2
err_has 'EEP_TOKEN is no token: 64 hexadecimal digits'

# -- scenarios --
emulated 5 A= -- --set deployment.tensor_parallel_size=2
exits 2
err_has 'tensor_parallel_size is 2, and an engine is one worker on one GPU: set it to 1'
emulated 5 A= -- --set 'hardware={profile: constant-step, step_time: 20ms}'
exits 2
err_has 'choose another profile'
emulated 5 A= -- --set deployment.all2all_backend=nixl_ep --set 'deployment.resize={generation: masked, reserve: 4}'
exits 2
err_has 'pool main: resize.generation masked keeps the engines of its reserve running'
err_has 'choose another generation'
emulated 5 A= -- --twin
exits 2
err_has 'twin'
emulated 5 A= -- --set gpu.transport=loopback --workers wait
exits 2
err_has 'has all ranks in one process, which eep run starts itself: leave --workers wait out'

# -- nobody comes --
emulated 5 A= -- --workers wait --set gpu.start_timeout=1s
exits 2
err_has 'not all workers were ready within gpu.start_timeout (1 s)'
err_has 'start `eep worker --connect` on every GPU'
last='worker, nobody listens'
EEP_TOKEN=$(printf 'a%.0s' {1..64}) timeout 20 "$program" worker --emulated --connect 127.0.0.1:9 --wait 1 \
    >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 1
err_has 'no coordinator at 127.0.0.1:9'

last='worker, no such port'
EEP_TOKEN=$(printf 'a%.0s' {1..64}) timeout 20 "$program" worker --emulated --connect 127.0.0.1:65537 \
    >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 2
err_has 'is no address: HOST:PORT, with a port from 1 to 65535'

# -- a user who has had enough before anything runs: nothing is left, and it is said --
interrupt() { # interrupt SIGNAL TEXT ARGUMENT...: once err has TEXT
    local signal=$1 text=$2 i
    shift 2
    last="run hw-smoke $*, then $signal"
    rm -rf run
    : >"$scratch/err" # or the last one's words would be taken for this one's
    "$program" run hw-smoke --backend cuda --device emulated --out run --set gpu.listen="$door" "$@" \
        >"$scratch/out" 2>"$scratch/err" </dev/null &
    coordinator=$!
    for i in {1..100}; do
        ! grep -q "$text" "$scratch/err" || break
        sleep 0.1
    done
    local begin=$SECONDS
    kill -"$signal" $coordinator
    wait $coordinator
    status=$?
    [ $((SECONDS - begin)) -le 3 ] || fail "took $((SECONDS - begin)) s to end"
    exits 130
    err_has 'interrupted while the workers started'
    ! grep -q start_timeout "$scratch/err" || fail 'a timeout is told'
    [ ! -e run ] || fail 'a run folder is left'
    nobody_is_left
}
interrupt TERM 'waiting for workers on' --workers wait
interrupt INT 'waiting for workers on' --workers wait
# Workers that stop before they connect.
printf '#!/bin/sh\necho here >&2\nkill -STOP $$\n' >"$scratch/sleeper"
chmod +x "$scratch/sleeper"
EEP_WORKER=$scratch/sleeper interrupt TERM here

# -- --quiet: a run whose ranks come and go as they shall says nothing --
emulated 30 A= -- --quiet --set deployment.data_parallel_size=4 \
    --set deployment.eplb_config.num_redundant_experts=16 --set run.end=cut --set run.duration=3s \
    --set 'events=[{id: shrink, at: 500ms, scale_elastic_ep: {new_data_parallel_size: 2}}]'
exits 0
[ ! -s "$scratch/err" ] || fail "--quiet says: $(cat "$scratch/err")"
grep -q '"complete"' run/events.jsonl || grep -q complete run/summary.json || fail 'the shrink is not complete'

# -- the coordinator dies, or is not heard of any more: the workers end by themselves --
begin() { # begin ARGUMENT...: a run in the background, up and serving
    last="run hw-smoke, then $how"
    rm -rf run
    "$program" run hw-smoke --backend cuda --device emulated --out run \
        --set gpu.listen="$door" --set gpu.heartbeat_interval=100ms --set output.events=requests "$@" \
        >"$scratch/out" 2>"$scratch/err" </dev/null &
    coordinator=$!
    disown
    local i
    for i in {1..200}; do
        ! grep -q '"fate":"completed"' run/.events.jsonl.partial 2>/dev/null || break
        sleep 0.1
    done
}
how='kill -9'
begin
[ "$(workers | wc -l)" -eq 2 ] || fail "not two workers: $(workers)"
# A second run cannot take its address.
emulated 5 A= --
exits 2
err_has 'somebody listens there'
kill -9 $coordinator
nobody_is_left
# The dead one's socket does not stand in the way.
how='kill -STOP'
begin
kill -STOP $coordinator
nobody_is_left
kill -9 $coordinator
finish
