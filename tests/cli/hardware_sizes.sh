#!/usr/bin/env bash
# The probe tokens' result is the same before, during and after every resize, at EP size 1, 2, 4 and 8,
# over either transport: one run goes through all of them, and the coordinator compares every rank's
# result of every step with the first one's, and every expert's checksum with what it must be.
# Usage: hardware_sizes.sh ROOT EEP
. "$(dirname "$0")/kit.sh"
[ -x "$(dirname "$program")/gpu/eep-worker-emulated" ] || {
    echo "SKIP: eep-worker-emulated is not built"
    exit 77
}

resizes=''
at=300
for size in 2 4 8 4 1; do
    resizes+="{id: to$size$at, at: ${at}ms, scale_elastic_ep: {new_data_parallel_size: $size}}, "
    at=$((at + 1200))
done
for transport in nccl loopback; do
    eep run hw-smoke --backend cuda --device emulated --out $transport --set gpu.transport=$transport \
        --set deployment.data_parallel_size=1 --set "events=[$resizes]" --set traffic.trace.limit=45
    exits 0
    grep '"event":"resize_ended"' $transport/events.jsonl | sed 's/.*"from":\([0-9]*\),"to":\([0-9]*\),.*"outcome":"\([a-z]*\)".*/\1 \2 \3/' |
        diff - <(printf '%s complete\n' '1 2' '2 4' '4 8' '8 4' '4 1') >"$scratch/diff" ||
        fail "$transport: resizes: $(cat "$scratch/diff")"
    right=$(sed -n 's/^Workers .* right: \([0-9,]*\) probes in \([0-9,]*\) steps, \([0-9,]*\) expert checksums$/\1 \2 \3/p' "$scratch/out" | tr -d ,)
    read -r probes steps checksums <<<"$right"
    # A rank's share of a step is a part, and brings a result: there are more of them than steps.
    [ "${probes:-0}" -gt "${steps:-0}" ] && [ "${steps:-0}" -gt 100 ] ||
        fail "$transport: $probes probes in $steps steps"
    # 16 experts in 2 layers, after five resizes at least.
    [ "${checksums:-0}" -ge $((5 * 32)) ] || fail "$transport: $checksums checksums"
done
finish
