#!/usr/bin/env bash
# `eep run --workers wait`: workers that are started by hand, or by launchers, come when they come and
# get the ranks that they ask for; one that is late is waited for by the resize that needs it.
# Usage: hardware_wait.sh ROOT EEP
. "$(dirname "$0")/kit.sh"
[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "SKIP: eep-worker-emulated is not built"
    exit 77
}
door=unix:$scratch/door
last="run hw-smoke --workers wait"
unset EEP_TOKEN SLURM_PROCID SLURM_LOCALID RANK LOCAL_RANK MASTER_ADDR MASTER_PORT JOB_COMPLETION_INDEX
unset OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_LOCAL_RANK PMI_RANK MPI_LOCALRANKID

pids=()
worker() { # worker NAME VARIABLE=VALUE...: in the background
    local name=$1
    shift
    env "$@" "$program" worker --emulated --connect "$door" >"$scratch/$name" 2>&1 </dev/null &
    pids+=($!)
}

timeout -s KILL 90 "$program" run hw-smoke --backend cuda --device emulated --workers wait --out run \
    --set gpu.listen="$door" >"$scratch/out" 2>"$scratch/err" </dev/null &
coordinator=$!
until_err_has 'eep worker --emulated'
err_has '; 2, more for a resize, each on a device of its own'

# What is shown can be pasted, where eep is found.
command=$(grep -o 'EEP_TOKEN=[0-9a-f]* eep worker .*' "$scratch/err")
mkdir "$scratch/bin"
ln -s "$program" "$scratch/bin/eep"
token=${command#EEP_TOKEN=}
token=${token%% *}
# A wrong token, and a rank that nobody needs yet, come first.
EEP_TOKEN=${token//[0-9]/f} timeout 10 "$program" worker --emulated --connect "$door" 2>"$scratch/refused"
[ $? -eq 2 ] || fail "a worker with a wrong token is not refused with 2"
grep -q 'no valid token: give it the one that this run printed' "$scratch/refused" || fail "$(cat "$scratch/refused")"
worker third EEP_TOKEN="$token" OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_LOCAL_RANK=3
until_err_has 'waits for rank 3 to be needed'
# Two for one rank: the older is sent away and told why, the newer waits.
EEP_TOKEN=$token timeout 20 "$program" worker --emulated --connect "$door" --rank 7 --device 6 2>"$scratch/older" &
older=$!
until_err_has 'waits for rank 7 to be needed'
worker newer EEP_TOKEN="$token" RANK=7 LOCAL_RANK=7
wait $older
[ $? -eq 2 ] || fail "of two workers for one rank the older is not refused with 2"
grep -q 'came for rank 7, too: give each a rank of its own (eep worker --rank, or the launcher.s variable)' "$scratch/older" ||
    fail "$(cat "$scratch/older")"
err_has 'refused a connection: a worker of host'
worker first EEP_TOKEN="$token" SLURM_PROCID=1 SLURM_LOCALID=1
until_err_has 'rank 1 is worker 2'
PATH=$scratch/bin:$PATH bash -c "$command" >"$scratch/zeroth" 2>&1 </dev/null &
pids+=($!)
until_err_has 'rank 0 is worker 1'
# One for a rank that somebody has is told that it will wait for long.
worker spare EEP_TOKEN="$token" PMI_RANK=1 LOCAL_RANK=5
until_err_has 'waits for rank 1, which worker 2 has: it is needed if that one is lost'
# The run serves; its resize at 4 s wants rank 2, too, which comes late, and to a GPU that is taken first.
until_err_has 'rank 2 needs a worker: start'
out=$(EEP_TOKEN=$token timeout 10 "$program" worker --emulated --device 1 --connect "$door" 2>&1 </dev/null)
[ $? -eq 2 ] || fail "a second worker on a GPU is not refused with 2: $out"
[[ $out == *'has worker 2 already: start one worker a GPU'* ]] || fail "$out"
worker second EEP_TOKEN="$token" JOB_COMPLETION_INDEX=2 LOCAL_RANK=2

wait $coordinator
status=$?
exits 0
err_has 'rank 0 is worker 1: '
for rank in 0 1 2 3; do
    grep -Eq "rank $rank is worker $((rank + 1)): .* \(0000:E$rank:00\.0\)" "$scratch/err" || fail "rank $rank has another GPU"
done
[ "$(grep -c '2->4 .*complete\|4->2 .*complete' "$scratch/out")" -eq 2 ] || fail "not both resizes are complete"
out_has 'Workers   4 workers, 0 lost; right: '
for pid in "${pids[@]}"; do
    wait "$pid"
    status=$?
    [ $status -eq 0 ] || fail "a worker ended with $status"
done
[ ! -e "$scratch/door" ] || fail "the listening socket is left"
finish
