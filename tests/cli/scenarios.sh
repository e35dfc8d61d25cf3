#!/usr/bin/env bash
# init and check: scenarios that are good, bad, missing or no scenarios.
. "$(dirname "$0")/kit.sh"

# init writes the bundled file, once.
eep init
exits 0
out_has 'Wrote quickstart.yaml'
cmp -s quickstart.yaml "$root/scenarios/quickstart.yaml" || fail "not a copy"
refused 'quickstart.yaml is there already and is not replaced' init quickstart
eep init constant_step --json
exits 0
out_is_json
[ -f constant-step.yaml ] || fail "no constant-step.yaml"
# A bundled trace is found from the copy.
eep init hw-smoke
exits 0
eep check hw-smoke.yaml
exits 0
out_has '122 requests'
refused 'there is no bundled scenario quikstart: did you mean the bundled quickstart' init quikstart
refused 'there is no bundled scenario ../x' init ../x

# check: by name and by path the same.
eep check quickstart
exits 0
err_is_empty
out_has 'quickstart can run.'
cp "$scratch/out" "$scratch/by_name"
eep check quickstart.yaml
exits 0
out_is <"$scratch/by_name"
# A bundled name is meant even where a file or a folder is called so.
mkdir quickstart && eep check quickstart
out_is <"$scratch/by_name"
rmdir quickstart

# 8 engines x 32 slots hold 256 experts exactly, and 2 nodes of 8 GPUs hold 16 engines.
out_has 'Elastic   DP 8..16: ceil(256 * 8 / (256 + 0)) = 8, at most 16 by GPUs'
out_has 'main: DP 8 -> 16'
out_has 'main: DP 16 -> 8'
eep check quickstart --json
exits 0
out_is_json
out_has '"min_data_parallel_size": 8'
out_has '"max_data_parallel_size": 16'
out_has '"slots_per_rank": 32'
# 256 + 24 redundant experts over 8 ranks are 35 slots a rank.
eep check quickstart --set deployment.eplb_config.num_redundant_experts=24 --json
exits 0
out_has '"slots_per_rank": 35'
# nixl_ep's 32 ranks bind before 64 GPUs do.
eep check quickstart --set hardware.nodes=8 --set deployment.all2all_backend=nixl_ep
out_has 'at most 32 by ranks of the all2all backend'

# 100 requests of 10 + 5 tokens, one every 100 ms, from time 0: the last at 9.9 s.
eep check quickstart --json \
    --set 'traffic={synthetic: {arrivals: constant, rate: 10/s, requests: 100, input_tokens: 10, output_tokens: 5}}' \
    --set 'events=[]' --set measure.warmup=0s
exits 0
out_has '"requests": 100,'
out_has '"prompt_tokens": 1000,'
out_has '"output_tokens": 500,'
out_has '"last_arrival_s": 9.900000000'
out_has '"too_long": 0,'
eep check quickstart --json --set deployment.max_model_len=14 \
    --set 'traffic={synthetic: {arrivals: constant, rate: 10/s, requests: 100, input_tokens: 10, output_tokens: 5}}' \
    --set 'events=[]' --set measure.warmup=0s
out_has '"too_long": 100,'

eep check constant-step
exits 0
out_has 'constant-step can run.'

# Overrides that are wrong say which.
refused '--set slo.ttft: there is no KEY=VALUE' check quickstart --set slo.ttft
refused 'unknown key "data_paralel_size" in deployment' check quickstart --set deployment.data_paralel_size=8
err_has 'try data_parallel_size'
refused 'do not divide over 3 x 1 = 3 ranks' check quickstart --set deployment.data_parallel_size=3
refused '--set slo.ttft=2' check quickstart --set slo.ttft=2
refused 'nodes' check quickstart --set hardware.nodes=1

# Arguments that are no scenarios.
refused 'nope: there is no such file and no such bundled scenario: try `eep list scenarios`' check nope
refused 'did you mean the bundled quickstart' check quikstart
refused 'did you mean the bundled quickstart' check folder/quikstart.yaml
mkdir folder run && touch run/scenario.yaml
refused 'folder is a folder: a scenario file or a bundled scenario' check folder
refused 'try run/scenario.yaml' check run
: >empty.yaml
refused 'empty.yaml:' check empty.yaml
head -c 4096 /dev/zero >zeros.yaml
refused 'zeros.yaml:' check zeros.yaml
printf 'eep: 1\nname: [\n' >broken.yaml
refused 'broken.yaml:' check broken.yaml
err_has '^'
sed 's/^seed:/sed:/' quickstart.yaml >typo.yaml
eep check typo.yaml
exits 2
grep -qE '^typo.yaml:[0-9]+:1: ' "$scratch/err" || fail "no place of the error"
err_has 'try seed'
err_has 'sed: 7'
cp quickstart.yaml secret.yaml && chmod 000 secret.yaml
if ! [ -r secret.yaml ]; then # root reads everything
    refused 'secret.yaml' check secret.yaml
fi

# A trace that is not there says what to get.
refused 'there is no file "' check azure-code
err_has 'get AzureLLMInferenceTrace_code.csv from'
err_has '--set traffic.trace.path='
# One that is there is gone through: a path in --set is relative to the current folder.
cat >trace.csv <<'END'
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
END
eep check azure-code --json --set traffic.trace.path=trace.csv --set traffic.trace.rate_scale=1
exits 0
out_has '"requests": 2,'
out_has '"prompt_tokens": 770,'
out_has '"output_tokens": 153,'
out_has '"last_arrival_s": 4.314579000'
sed -i 's/396/many/' trace.csv
refused 'trace.csv:3:' check azure-code --set traffic.trace.path=trace.csv

# Data of one's own comes before what is installed.
mkdir -p "$scratch/data/scenarios" && sed 's/^name:.*/name: mine/' quickstart.yaml >"$scratch/data/scenarios/mine.yaml"
export EEP_DATA_DIR=$scratch/data
eep list scenarios
out_has 'mine '
out_has 'quickstart '
eep check mine
exits 0
out_has 'mine can run.'
finish
