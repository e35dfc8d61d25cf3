#!/usr/bin/env bash
# The memory fit, its arithmetic, and what it refuses.
. "$(dirname "$0")/acceptance_kit.sh"

tokens() { sed -n 's/.* B = \([0-9]*\) tokens an engine$/\1/p' "$scratch/out"; }
per_token() { sed -n 's/.* x \([0-9]*\) B = .*/\1/p' "$scratch/out"; }
gib() { sed -n "s/^ *[-=]\{0,1\} *\(-\{0,1\}[0-9.]*\) GiB  $1.*/\1/p" "$scratch/out"; }

plain=(--set deployment.enable_elastic_ep=false --set deployment.enable_eplb=false --set deployment.eplb_config.num_redundant_experts=0)
# Latent KV is on every TP rank: 61 x (512 + 64) x 2 bytes a token, however many GPUs.
for tp in 1 2 4; do
    checks "$keys/moe.yaml" "${plain[@]}" --set deployment.tensor_parallel_size=$tp --set deployment.data_parallel_size=$((16 / tp))
    is "MLA, TP $tp" "$(per_token)" 70272
done
# 48 x 2 x ceil(4 / TP) heads x 128 x 2 bytes: halves until a head is left, which is replicated.
for pair in 1:98304 2:49152 4:24576 8:24576; do
    tp=${pair%:*}
    checks "$keys/gqa.yaml" --set deployment.tensor_parallel_size="$tp" --set deployment.data_parallel_size=$((8 / tp))
    is "GQA, TP $tp" "$(per_token)" "${pair#*:}"
done
# 36 layers, 18 of them with a window of 128 tokens: 18 x 2 x 8 x 64 x 2 bytes a token, and a state of
# 64 x 128 of the same.
checks "$keys/window.yaml" --set model=gpt-oss-120b
is 'windowed layers' "$(per_token)" 36864
holds 'state' "$(gib 'state of window') - 64 * 128 * 36864 / 2^30 < 0.006 && $(gib 'state of window') > 0.27"
# 48 layers, 36 of them linear: 12 x 2 x 2 x 256 x 2 bytes a token.
checks "$keys/window.yaml"
is 'linear layers' "$(per_token)" 24576

# The lines add up, and a redundant expert a rank costs its bytes in all 58 layers.
checks "$keys/moe.yaml"
sum=$(awk '/GiB  usable/ { left = $1 } /^ *- .*GiB  / { left -= $2 } END { print left }' "$scratch/out")
holds 'the sum' "$sum - $(gib 'KV cache') < 0.05 && $(gib 'KV cache') - $sum < 0.05"
with_18=$(gib 'experts: 18 slots')
checks "$keys/moe.yaml" --set deployment.eplb_config.num_redundant_experts=64
holds 'two slots more' "$(gib 'experts: 20 slots') - $with_18 > 4.75 && $(gib 'experts: 20 slots') - $with_18 < 4.77"
checks "$keys/moe.yaml" --set deployment.enforce_eager=true
is 'no graphs' "$(gib graphs)" 0.00

eep run "$keys/moe.yaml" --set deployment.gpu_memory_utilization=0.4
exits 2
err_has 'does not fit a GPU of h200-sxm'
err_has '42.82 GiB  experts: 18 slots x 58 MoE layers x 44.04 MB'
err_has '=   -10.98 GiB  KV cache'

# What a backend and a size can span, at the start and after every event.
wide=(--set hardware.nodes=6 --set deployment.all2all_backend=nixl_ep)
refused '40 ranks are too many for nixl_ep: at most 32' check "$keys/moe.yaml" "${wide[@]}" \
    --set deployment.data_parallel_size=40 --set deployment.eplb_config.num_redundant_experts=24
to() { echo "events=[{at: 10s, scale_elastic_ep: {new_data_parallel_size: $1}}]"; }
refused '40 ranks are too many for nixl_ep' check "$keys/resize.yaml" "${wide[@]}" --set "$(to 40)"
refused 'minimum is ceil(256 * 16 / (256 + 0)) = 16' check "$keys/resize.yaml" --set "$(to 8)"
refused 'need 32 GPUs, 3 nodes x 8 GPUs are 24' check "$keys/resize.yaml" --set "$(to 32)"
refused 'do not fit one NVLink domain' check "$keys/resize.yaml" --set deployment.resize.generation=restart --set deployment.all2all_backend=flashinfer_nvlink_one_sided
refused 'enable_dbo does not work with enable_elastic_ep' check "$keys/resize.yaml" \
    --set deployment.all2all_backend=deepep_low_latency --set deployment.enable_dbo=true
finish
