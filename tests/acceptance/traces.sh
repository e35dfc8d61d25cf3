#!/usr/bin/env bash
# The recorded traces, whole, through the bundled scenarios: nothing is lost.
. "$(dirname "$0")/acceptance_kit.sh"
recorded=$root/../shared/traces
[ -d "$recorded/azure" ] || {
    echo 'skipped: no recorded traces in ../shared/traces'
    exit 77
}

whole() { # SCENARIO FILE SUBMITTED REJECTED-AS-TOO-LONG
    runs "$root/scenarios/$1.yaml" --set traffic.trace.path="$recorded/$2" "${@:5}"
    is "$1: submitted" "$(figure submitted)" "$3"
    is "$1: completed" "$(figure completed)" $(($3 - $4))
    is "$1: too long" "$(figure too_long)" "$4"
}
whole azure-conv azure/AzureLLMInferenceTrace_conv.csv 19366 0
is 'output tokens' "$(figure total_output_tokens)" \
    "$(awk -F, 'NR > 1 { sum += $3 } END { print sum }' "$recorded/azure/AzureLLMInferenceTrace_conv.csv")"
whole azure-code azure/AzureLLMInferenceTrace_code.csv 8819 0
is 'output tokens' "$(figure total_output_tokens)" \
    "$(awk -F, 'NR > 1 { sum += $3 } END { print sum }' "$recorded/azure/AzureLLMInferenceTrace_code.csv")"
whole mooncake-conversation mooncake/conversation_trace.jsonl 12031 0
whole mooncake-synthetic mooncake/synthetic_trace.jsonl 3993 9

# One engine and ample KV: 36.6 % of the trace's 288,500 blocks of 512 tokens are hits.
whole mooncake-conversation mooncake/conversation_trace.jsonl 12031 0 --set model=deepseek-v2-lite \
    --set hardware.profile=constant-step --set hardware.step_time=1ms --set hardware.nodes=1 \
    --set deployment.data_parallel_size=1 --set deployment.enable_eplb=false \
    --set deployment.eplb_config.num_redundant_experts=0 --set deployment.max_model_len=131072 \
    --set deployment.num_gpu_blocks_override=20000000
holds 'prefix bound' "$(figure cached_tokens) / 512 / 288500 > 0.3655 && $(figure cached_tokens) / 512 / 288500 <= 0.3664"
finish
