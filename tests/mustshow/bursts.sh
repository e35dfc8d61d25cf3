#!/usr/bin/env bash
# A bursty trace, resized up into a burst and down in another: generation eep loses no request and
# refuses none, whatever the backend, and stands still for less than a second where graphs are kept;
# g2.1 loses some of the same requests. Skipped where the trace is not there.
. "$(dirname "$0")/../cli/kit.sh"
json_value=$4
trace=$root/../shared/traces/azure/AzureLLMInferenceTrace_code.csv
if [ ! -f "$trace" ]; then
    echo "SKIP: no trace at $trace"
    exit 77
fi

value() { "$json_value" "$run/summary.json" "$@" | tr '\n' ' ' | sed 's/ $//'; }

# resized GENERATION BACKEND: runs it; every request has a fate and both resizes are complete.
resized() {
    run=burst-$1-$2
    eep run "$root/scenarios/burst-resize.yaml" --set traffic.trace.path="$trace" \
        --set deployment.resize.generation="$1" --set deployment.all2all_backend="$2" \
        --out "$run" --quiet
    exits 0
    err_is_empty
    [ "$(value submitted)" = 8756 ] || fail "$run: $(value submitted) submitted"
    [ "$(value resizes.0.outcome resizes.1.outcome)" = "complete complete" ] ||
        fail "$run: $(value resizes.0.outcome resizes.1.outcome)"
}
below() { awk -v x="$1" -v limit="$2" 'BEGIN { exit !(x < limit) }' || fail "$run: $1, not below $2"; }

for backend in nixl_ep allgather_reducescatter; do
    resized eep $backend
    [ "$(value completed rejected.total aborted.total unfinished)" = "8756 0 0 0" ] ||
        fail "$run: $(value completed rejected.total aborted.total unfinished)"
    for resize in 0 1; do
        stall=$(value resizes.$resize.stall_s)
        [ $backend = nixl_ep ] && below "$stall" 1
        # Warm-up and the capture of the graphs: the rest is less than a second here, too.
        [ $backend = nixl_ep ] || below "$stall" 9.1
    done
    resized g2.1 $backend
    lost=$(($(value rejected.total) + $(value aborted.total)))
    [ "$lost" -gt 0 ] || fail "$run: g2.1 lost nothing, so the trace shows nothing"
    below 8 "$(value resizes.1.stall_s)"
done
finish
