#!/usr/bin/env bash
# Properties of the cost models that show in the step times of whole runs: all decode, all alike.
. "$(dirname "$0")/acceptance_kit.sh"

cat >decode.yaml <<'END'
eep: 1
name: decode
model: deepseek-v3
hardware: {profile: h200-sxm, nodes: 2}
deployment: {data_parallel_size: 16, max_num_seqs: 1024, max_num_batched_tokens: 8192, router: {policy: round_robin}}
traffic: {synthetic: {arrivals: constant, rate: 100000/s, requests: 1024, input_tokens: 64, output_tokens: 100}}
END
# step N SET...: median step in ms with N decodes on each of 16 ranks
step() {
    local n=$1 set sets=()
    shift
    for set; do sets+=(--set "$set"); done
    eep run decode.yaml --out run --quiet --set traffic.synthetic.requests=$((16 * n)) "${sets[@]}"
    [ "$status" -eq 0 ] && figure median_itl_ms
}
backend() { echo "deployment.all2all_backend=$1"; }

# 256 tokens a round: one more costs a round more, in which the experts are read again; the same
# step at a limitless backend does not jump.
eager=deployment.enforce_eager=true
at_256=$(step 256 "$(backend deepep_low_latency)" $eager)
at_257=$(step 257 "$(backend deepep_low_latency)" $eager)
at_250=$(step 250 "$(backend deepep_low_latency)" $eager)
holds 'a second round' "$at_257 - $at_256 > 20 * ($at_256 - $at_250) / 6"
free_256=$(step 256 "$(backend deepep_high_throughput)")
free_257=$(step 257 "$(backend deepep_high_throughput)")
holds 'no rounds' "$free_257 - $free_256 < 0.05 * ($at_257 - $at_256)"

# Small enough, each of two micro-batches reads the same experts again: slower than one batch.
sixty_four=$(step 64 "$(backend deepep_low_latency)")
halved=$(step 64 "$(backend deepep_low_latency)" deployment.enable_dbo=true)
holds 'two micro-batches' "$halved > 1.15 * $sixty_four"
is 'below the threshold' "$(step 16 "$(backend deepep_low_latency)" deployment.enable_dbo=true)" \
    "$(step 16 "$(backend deepep_low_latency)")"
refused 'enable_dbo needs a backend of DeepEP' check decode.yaml --set deployment.enable_dbo=true
refused 'this model has no shared expert' check decode.yaml --set deployment.eplb_config.waterfill=true \
    --set model.n_shared_experts=0

# A full graph pads 9 decodes to 16: both cost the same GEMMs, not the same KV reads and experts.
cpu=deployment.async_scheduling=false
nine=$(step 9 $cpu) sixteen=$(step 16 $cpu) eight=$(step 8 $cpu)
holds 'padding' "$nine < $sixteen && $nine > $eight"
# No graph for high throughput's dispatch: kernels are launched one by one.
slow=hardware.cpu_eager_layer=2ms
holds 'not capturable' "$(step 4 "$(backend deepep_high_throughput)" $slow) > 100"
holds 'capturable' "$(step 4 "$(backend deepep_low_latency)" $slow) < 50"
holds 'beyond the largest graph' "$(step 24 "$(backend deepep_low_latency)" $slow deployment.max_cudagraph_capture_size=16) > 100"

# Fewer groups, fewer nodes to visit: where tokens are sent once a node; elsewhere nothing changes.
long=(traffic.synthetic.input_tokens=2000 deployment.max_num_batched_tokens=2048)
prefill() { step 16 "${long[@]}" "$@" >/dev/null && figure mean_ttft_ms; }
one=$(prefill "$(backend deepep_high_throughput)" model.n_group=8 model.topk_group=1)
four=$(prefill "$(backend deepep_high_throughput)" model.n_group=8 model.topk_group=4)
eight=$(prefill "$(backend deepep_high_throughput)" model.n_group=8 model.topk_group=8)
none=$(prefill "$(backend deepep_high_throughput)" model.n_group=1 model.topk_group=1)
holds 'groups limit nodes' "$one < $four && $four < $eight && $eight == $none"
is 'no dedup, no groups' "$(prefill "$(backend deepep_low_latency)" model.n_group=8 model.topk_group=1)" \
    "$(prefill "$(backend deepep_low_latency)" model.n_group=1 model.topk_group=1)"

# Memory-bound: the width of the LM head's weights is in every step.
holds 'LM head' "$(step 1 model.embedding_bytes_per_param=1) < $(step 1)"

# The largest rank's load over the mean, 32 ranks of 8 experts, top-8: a direct draw of 8 distinct
# experts a token gives 1.80, 1.38 and 1.18 at 1, 4 and 16 tokens a rank; both modes agree with it.
ranks() { # TOKENS MODE -> max / mean
    eep run decode.yaml --out run --quiet --set hardware.nodes=4 --set deployment.data_parallel_size=32 \
        --set model.n_group=1 --set model.topk_group=1 --set traffic.synthetic.input_tokens=1 \
        --set traffic.synthetic.requests=$((32 * $1)) --set skew.mode="$2"
    [ "$status" -eq 0 ] && awk -v b="$(figure balancedness)" 'BEGIN { print 1 / b }'
}
for mode in expected sampled; do
    while read -r tokens ratio; do
        got=$(ranks "$tokens" $mode)
        holds "$mode at $tokens" "$got > 0.985 * $ratio && $got < 1.035 * $ratio"
    done <<'END'
1 1.80
4 1.38
16 1.18
END
done
finish
