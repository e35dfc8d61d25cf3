#!/usr/bin/env bash
# `eep run --workers wait` over three hosts: the coordinator on one, two workers on each of the two others, started as
# launchers start them. Ranks of different hosts exchange over the network between them; a host that is lost, killed or
# cut off, is a loss like any other. Skipped where no such hosts can be made.
. "$(dirname "$0")/hosts_kit.sh"
. "$(dirname "$0")/kit.sh"
EEP_TOKEN=$(printf '0123456789abcdef%.0s' 1 2 3 4)
export EEP_TOKEN
four=(--set events=[] --set deployment.data_parallel_size=4)

# worker HOST [VARIABLE=VALUE]... [-- FLAG...]: in the background, its end in the file worker-N.
n_workers=0
worker() {
    local host=$1 environment=(EEP_TEST_MARK="$PWD") n=$((n_workers++))
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do environment+=("$1") && shift; done
    shift
    (
        on "$host" env "${environment[@]}" timeout -k 2 $limit "$program" worker --emulated "$@" >said-$n 2>&1 </dev/null
        echo $? >worker-$n
    ) 2>/dev/null &
}
# As srun on two nodes of two tasks does, two tasks later than the others.
slurm() { # slurm HOST FIRST_RANK [ADDRESS]
    worker "$1" SLURM_PROCID=$2 SLURM_LOCALID=0 MASTER_ADDR="${3:-head}" MASTER_PORT=29500
    worker "$1" SLURM_PROCID=$(($2 + 1)) SLURM_LOCALID=1 MASTER_ADDR="${3:-head}" MASTER_PORT=29500
}
# Once all have joined and the run serves.
later() { # later COMMAND...
    (
        for i in {1..100}; do
            n=$(grep -c 'is worker' err 2>/dev/null)
            [ "${n:-0}" -lt 4 ] || break
            sleep 0.1
        done
        serves 10
        "$@"
    ) &
}
run_on() { # run_on LISTEN OPTION...
    local listen=$1
    shift
    hw EEP_TOKEN=$EEP_TOKEN -- --workers wait --set "gpu.listen=$listen" --set gpu.heartbeat_interval=200ms --set output.events=requests "$@"
    wait
    sound
    [ $status -eq 0 ] || fail "exit $status: $(grep '^eep: ' err | tail -n 1)"
}
ends() { # ends STATUS N...: of the workers N
    local wanted=$1 n
    shift
    for n in "$@"; do
        [ "$(cat worker-$n)" = "$wanted" ] || fail "worker $n ended with $(cat worker-$n): $(tail -n 1 said-$n)"
    done
}
is_on() { # is_on RANK HOST
    grep -Eq "^eep: rank $1 is worker [0-9]+: $2, " err || fail "rank $1 is not on $2: $(grep "rank $1 is" err)"
}
told() { grep -qF -- "$1" "$2" || fail "$2 lacks: $1: $(tail -n 2 "$2")"; }
grew() {
    [ "$(figure resizes.0.outcome) $(figure resizes.1.outcome)" = 'complete complete' ] || fail 'a resize failed'
}

by_slurm() {
    local before
    before=$(received node2)
    slurm node1 0
    slurm node2 2
    run_on 0.0.0.0:29500
    for rank in 0 1; do is_on $rank node1; done
    is_on 2 node2
    grew
    told 'eep worker --emulated --connect head:29500' err
    ends 0 0 1 2 3 # one of them was never needed
    # The new engine's weights, and all that it computed, came and went by the network.
    [ $(($(received node2) - before)) -gt 100000 ] || fail "from node2 came $(($(received node2) - before)) bytes"
    tell 'grew to the other host and back'
}

by_others() { # IPv6, names, other launchers; the address is the host's second
    export NCCL_SOCKET_FAMILY=AF_INET6
    worker node1 OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_LOCAL_RANK=0 -- --connect head-six:29500
    worker node2 RANK=1 LOCAL_RANK=1 -- --connect '[fd09::1]:29500'
    worker node2 JOB_COMPLETION_INDEX=2 MASTER_ADDR=fd09::1 MASTER_PORT=29500
    run_on '"[::]:29500"'
    unset NCCL_SOCKET_FAMILY
    is_on 0 node1
    for rank in 1 2; do is_on $rank node2; done
    grew
    ends 0 0 1 2
    tell 'over IPv6'
}

by_name() { # the coordinator listens at one address alone, by its name
    slurm node1 0
    slurm node2 2
    run_on head:29500 --set events=[]
    grep -qE 'waiting for workers on (10\.9\.0\.1|\[fd09::1\]):29500' err || fail 'the address is not told'
    ends 0 0 1 2 3
    tell 'at an address of the host'
}

kill_all() { ip netns pids "$1" | xargs kill -9; }
heal() { ip -n "$1" link set eth0 up; }

both_lost() { # both_lost MODE OUTCOME HOW FINDING
    slurm node1 0
    slurm node2 2
    later "$3" node2
    run_on 0.0.0.0:29500 "${four[@]}" --set deployment.fault_tolerance.recovery=$1
    heal node2
    [ "$(figure incidents.0.outcome) $(figure incidents.1.outcome)" = "$2 $2" ] ||
        fail "the incidents are $(figure incidents.0.outcome), $(figure incidents.1.outcome)"
    [ "$(figure incidents.2.id)" = '' ] || fail 'there is a third incident'
    [ "$(figure incidents.0.fault)" = "$4" ] || fail "it was found as $(figure incidents.0.fault)"
    [ $seconds -lt 20000 ] || fail "it took $seconds ms"
    ends 0 0 1
    [ "$3" = kill_all ] || { ends 1 2 3 && told 'no word from the coordinator for 4 s' said-3; }
    tell "$2, the first found after $(figure incidents.0.detection_s) s, recovered after $(figure incidents.0.recovery_s) s"
}
shrinks() {
    both_lost shrink recovered "$@"
    [ "$(figure completed)" = "$(figure submitted)" ] || fail 'not all requests were completed'
    awk -F'"' '/"event":"resize_ended"/ && /"outcome":"complete"/' run/events.jsonl | grep -q '"to":2,' || fail 'it did not shrink to 2'
}

# The link goes while a resize wants the other host's engine.
lost_while_growing() {
    slurm node1 0
    slurm node2 2
    (
        for i in {1..200}; do
            ! grep -q 'rank 2 is worker 3' err 2>/dev/null || break
            sleep 0.02
        done
        unplug node2
    ) &
    run_on 0.0.0.0:29500 --set deployment.fault_tolerance.recovery=shrink --set 'events.1.at=2500ms' --set traffic.synthetic.duration=8s
    heal node2
    grep '"event":"resize_ended","id":"grow"' run/events.jsonl | grep -q '"outcome":"failed"' ||
        fail "it grew: $(grep '"event":"resize_ended","id":"grow"' run/events.jsonl)"
    [ "$(figure completed)" = "$(figure submitted)" ] || fail 'not all requests were completed'
    ends 0 0 1
    tell "$(figure incidents.0.outcome); resizes: $(grep -E '^resizes\.[0-9]*\.outcome' flat | cut -d = -f 2 | tr '\n' ' ')"
}

# The first two ranks go, and come again under their old numbers, which are the others' by now.
replaced() {
    slurm node1 0
    slurm node2 2
    later eval 'kill_all node1; sleep 0.5; slurm node1 0; wait'
    run_on 0.0.0.0:29500 "${four[@]}" --set deployment.fault_tolerance.recovery=shrink --set traffic.synthetic.duration=9s \
        --set 'events.0={id: again, at: 3500ms, scale_elastic_ep: {new_data_parallel_size: 4}}'
    grep '"event":"resize_ended","id":"again"' run/events.jsonl | grep -q '"outcome":"complete"' ||
        fail "it did not grow again: $(grep '"event":"resize_ended","id":"again"' run/events.jsonl)"
    told 'rank 2 needs a worker: start `eep worker --connect` on a free GPU' err
    ends 0 2 3
    tell 'grew again'
}

# Ranks that a launcher counts go over the pools.
two_pools() {
    local scenario=$here/pools.yaml
    slurm node1 0
    slurm node2 2
    worker node2 SLURM_PROCID=4 SLURM_LOCALID=2 MASTER_ADDR=head MASTER_PORT=29500
    worker node1 SLURM_PROCID=5 SLURM_LOCALID=2 MASTER_ADDR=head MASTER_PORT=29500
    worker node1 SLURM_PROCID=6 SLURM_LOCALID=3 MASTER_ADDR=head MASTER_PORT=29500
    run_on 0.0.0.0:29500
    for i in 0 1 2 3; do
        [ "$(figure resizes.$i.outcome)" = complete ] || fail "a resize ended $(figure resizes.$i.outcome)"
    done
    [ "$(grep -cE 'is worker [12]: node1, ' err)" -eq 2 ] || fail 'the first pool is not on node1'
    [ "$(grep -cE 'is worker [345]: node2, ' err)" -eq 3 ] || fail 'the second pool is not on node2'
    ends 0 0 1 2 3 4 5 6
    tell 'both pools have their ranks'
}

# Another host's GPUs can be measured, those of two hosts not: their link would be taken for one inside a host.
calibrated() {
    slurm node1 0
    timeout 60 "$program" calibrate --device emulated --ranks 2 --quick --workers wait --listen 0.0.0.0:29500 --out one \
        >out 2>err </dev/null || fail "calibrate: $(tail -n 1 err)"
    wait
    ends 0 0 1
    grep -q '^all_to_all,2,' one/samples.csv || fail 'nothing was measured between ranks'
    worker node1 SLURM_PROCID=0 -- --connect head:29500
    worker node2 SLURM_PROCID=1 -- --connect head:29500
    timeout 60 "$program" calibrate --device emulated --ranks 2 --quick --workers wait --listen 0.0.0.0:29500 --out two \
        >out 2>err </dev/null
    [ $? -eq 2 ] || fail 'two hosts are not refused'
    wait
    ends 0 2 3
    told 'calibrate: ranks are on hosts node1 and node2' err
    [ ! -e two ] || fail 'there is a profile'
}

# Where workers cannot come to, they are told what to do.
unreachable() {
    worker node1 NCCL_SOCKET_IFNAME=nothing RANK=0 -- --connect 10.9.0.1:29500
    worker node2 RANK=1 -- --connect 10.9.0.1:29500
    hw EEP_TOKEN=$EEP_TOKEN -- --workers wait --set gpu.listen=10.9.0.1:29500
    wait
    [ $status -eq 2 ] || fail "exit $status"
    told 'no interface of this host that is up has an address by NCCL_SOCKET_IFNAME=nothing' err
    EEP_TOKEN=$EEP_TOKEN on node1 "$program" worker --emulated --connect head:29501 --wait 1 >said 2>&1
    told 'no coordinator at head:29501: Connection refused; is it running, does it listen there (gpu.listen)' said
    EEP_TOKEN=$EEP_TOKEN on node1 "$program" worker --emulated --connect nowhere:29500 --wait 1 >said 2>&1
    told 'no coordinator at nowhere:29500: ' said
}

cases=(by_slurm by_others 'shrinks kill_all fail' 'shrinks unplug hang' lost_while_growing calibrated unreachable)
[ $size = quick ] || cases=(by_name two_pools replaced 'both_lost none exited unplug hang'
    'both_lost restart exited kill_all fail')
# One after the other: they share the network. A case's words are its command.
for case in "${cases[@]}"; do
    run_case "${case// /-}" $case
    wait
done
finish
