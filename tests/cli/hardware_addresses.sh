#!/usr/bin/env bash
# Where the coordinator listens and ranks find each other, with no more than the loopback interface: workers of "hosts"
# that are addresses of it, IPv6, names, strangers on the ranks' ports, and what is said about an address that will not do.
# Usage: hardware_addresses.sh ROOT EEP
. "$(dirname "$0")/kit.sh"
[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "SKIP: eep-worker-emulated is not built"
    exit 77
}
for name in SLURM_PROCID SLURM_LOCALID RANK LOCAL_RANK MASTER_ADDR MASTER_PORT JOB_COMPLETION_INDEX OMPI_COMM_WORLD_RANK \
    OMPI_COMM_WORLD_LOCAL_RANK PMI_RANK MPI_LOCALRANKID NCCL_SOCKET_IFNAME NCCL_SOCKET_FAMILY; do
    unset $name
done
EEP_TOKEN=$(printf '0123456789abcdef%.0s' 1 2 3 4)
export EEP_TOKEN
scenario=$root/tests/hw_faults/faults.yaml

begin() { # begin LISTEN OPTION...
    last="run --workers wait --set gpu.listen=$1"
    : >"$scratch/err"
    timeout -s KILL 60 "$program" run "$scenario" --backend cuda --device emulated --workers wait --out run \
        --set "gpu.listen=$1" "${@:2}" >"$scratch/out" 2>"$scratch/err" </dev/null &
    coordinator=$!
    pids=()
    until_err_has 'waiting for workers on '
    port=$(sed -n 's/.*waiting for workers on .*:\([0-9]*\); .*/\1/p' "$scratch/err")
}
worker() { # worker VARIABLE=VALUE...
    env "$@" timeout 60 "$program" worker --emulated >"$scratch/said-${#pids[@]}" 2>&1 </dev/null &
    pids+=($!)
}
ended() {
    wait $coordinator
    status=$?
    exits 0
    for pid in "${pids[@]}"; do
        wait "$pid"
        status=$?
        exits 0
    done
}

# -- two addresses, the ranks of which exchange by TCP --
begin 0.0.0.0:0
err_has 'eep worker --emulated --connect '
for rank in 0 1 2; do
    # Rank 1 is elsewhere, rank 2 beside rank 0.
    worker EEP_EMULATED_NCCL_ADDRESS=127.0.0.$((2 + rank % 2)) SLURM_PROCID=$rank SLURM_LOCALID=$rank \
        MASTER_ADDR=127.0.0.$((4 + rank)) MASTER_PORT="$port"
done
until_err_has 'rank 1 is worker 2'
# 01: established, 0A: listening (proc_net_tcp); addresses are of the machine's byte order.
for i in {1..100}; do
    ! grep -qE ': 0[123]00007F:[0-9A-F]{4} 0200007F:[0-9A-F]{4} 01 ' /proc/net/tcp || break
    sleep 0.1
done
[ $i -lt 100 ] || fail 'nobody is connected to rank 0 by TCP'
for listening in $(grep -oE ': 0[23]00007F:[0-9A-F]{4} 00000000:0000 0A ' /proc/net/tcp | cut -d ' ' -f 2); do
    (
        exec 3<>"/dev/tcp/127.0.0.${listening:1:1}/$((16#${listening#*:}))"
        head -c 300 /dev/zero >&3
        echo 'GET / HTTP/1.0' >&3
    ) 2>/dev/null
done
ended
[ "$(grep -c '2->3 .*complete\|3->2 .*complete' "$scratch/out")" -eq 2 ] || fail 'not both resizes are complete'

# -- IPv6, and a name that may be of either kind --
if grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null; then
    begin '"[::]:0"' --set events=[]
    worker EEP_EMULATED_NCCL_ADDRESS=::1 RANK=0 MASTER_ADDR=::1 MASTER_PORT="$port"
    worker EEP_EMULATED_NCCL_ADDRESS=127.0.0.2 RANK=1 LOCAL_RANK=1 MASTER_ADDR=127.0.0.2 MASTER_PORT="$port"
    ended
fi
begin localhost:0 --set events=[]
grep -qE 'waiting for workers on (127\.0\.0\.1|\[::1\]):[1-9]' "$scratch/err" || fail 'the address is not told'
err_has 'only workers of this host reach that; for others: --set gpu.listen=0.0.0.0:29500'
for rank in 0 1; do worker RANK=$rank LOCAL_RANK=$rank MASTER_ADDR=localhost MASTER_PORT="$port"; done
ended

# -- what will not do --
run() { refused "$2" run "$scenario" --backend cuda --device emulated --workers wait --out run --set "gpu.listen=$1"; }
run 0.0.0.0 'gpu.listen 0.0.0.0: write HOST:PORT, with a port from 0 to 65535, or unix:PATH, as 0.0.0.0:29500'
run 0.0.0.0:99999 'gpu.listen 0.0.0.0:99999: write HOST:PORT, with a port from 0 to 65535'
run '"::1:29500"' 'gpu.listen ::1:29500: write an IPv6 address in brackets, as "[::]:29500"'
run no-such-host.invalid:0 'this machine does not know the host; 0.0.0.0 is all of its own addresses'
run 192.0.2.1:0 'this machine has no such address: 0.0.0.0 is all of its own'
# Unset, it is this host's affair.
last='run --workers wait'
timeout 20 "$program" run "$scenario" --backend cuda --device emulated --workers wait --out run \
    --set gpu.start_timeout=500ms >"$scratch/out" 2>"$scratch/err" </dev/null
status=$?
exits 2
err_has 'only workers of this host reach that'
# An address that is none of this machine's.
begin 127.0.0.1:0 --set events=[] --set gpu.start_timeout=10s --set gpu.wait_timeout=500ms
for rank in 0 1; do
    worker EEP_EMULATED_NCCL_ADDRESS=192.0.2.7 RANK=$rank LOCAL_RANK=$rank MASTER_ADDR=127.0.0.1 MASTER_PORT="$port"
done
wait $coordinator
status=$?
exits 2
err_has 'has an address by EEP_EMULATED_NCCL_ADDRESS=192.0.2.7'
wait
finish
