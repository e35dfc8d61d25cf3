#!/usr/bin/env bash
# list and show: everything that is listed can be shown, in both forms.
. "$(dirname "$0")/kit.sh"

names_of() { sed 's/ .*//' "$scratch/out"; }

for thing in models hardware generations recoveries policies all2all-backends scenarios; do
    eep list $thing
    exits 0
    err_is_empty
    names=$(names_of)
    [ -n "$names" ] || fail "no $thing"
    eep list $thing --json
    exits 0
    out_is_json
    for name in $names; do
        out_has "\"name\": \"$name\""
    done
    for name in $names; do
        eep show $thing "$name"
        exits 0
        err_is_empty
        eep show $thing "$name" --json
        exits 0
        out_is_json
    done
done

eep list models
out_lacks 'cannot be read'
for name in deepseek-v3 deepseek-r1 deepseek-v2-lite qwen3-235b-a22b qwen3-30b-a3b qwen3-next-80b-a3b \
    llama-4-maverick llama-4-scout mixtral-8x7b mixtral-8x22b gpt-oss-120b kimi-k2 glm-4.5 minimax-m2; do
    out_has "$name "
done
eep list hardware
out_lacks 'cannot be read'
for name in a100-sxm h100-sxm h800-sxm h200-sxm h20-sxm b200-sxm gb200 mi300x constant-step; do
    out_has "$name "
done
eep list generations
for name in restart m1 g1 g2 g2.1 g3 masked eep; do
    out_has "$name "
done
eep list recoveries
for name in none restart retry shrink replace mask_only; do
    out_has "$name "
done
eep list policies
out_has 'vllm '
out_has 'router  '
grep -qE 'router *$' "$scratch/out" && fail "a router policy without help"

# DeepSeek-V3: 3 x 7168 x 2048 FP8 values an expert; 61 layers x (512 + 64) x 2 bytes of latent KV.
eep show models deepseek-v3
out_has '(44,040,192 B)'
out_has '(70,272 B)'
out_has 'model card'
out_has 'sha256 '
eep show models deepseek_v3 --json
exits 0
out_has '"expert_bytes": 44040192,'
out_has '"kv_bytes_per_token": 70272,'
out_has '"n_moe_layers": 58,'
out_has '"basis": "assumed"'
eep show models deepseek-r1 --json
out_has '"profile": "deepseek-v3"'

eep show hardware h200-sxm
out_has 'measured'
out_has 'assumed'
out_has 'derived'
# A profile of the user's own, by its path, is shown as one that is bundled: what calibrate writes, say.
mkdir -p mine
sed 's/^name: .*/name: my-cluster/' "$root/scenarios/hardware/h200-sxm.yaml" >mine/hardware.yaml
eep show hardware mine/hardware.yaml
exits 0
out_has 'my-cluster - '
out_has 'BF16 GEMM, peak x efficiency'
eep show hardware mine/hardware.yaml --json
exits 0
out_is_json
out_has '"name": "mine/hardware.yaml",'
out_has '"profile": "my-cluster",'
eep show hardware h200-sxm
sed '1,2d' "$scratch/out" >mine/bundled
eep show hardware mine/hardware.yaml
sed '1,2d' "$scratch/out" | diff mine/bundled - >"$scratch/diff" || fail "the figures are others: $(cat "$scratch/diff")"
cp "$root/scenarios/models/mixtral-8x7b.yaml" mine/model.yaml
eep show model ./mine/model.yaml
exits 0
out_has 'one expert of one layer'
refused 'the file is no hardware profile: kind: hardware' show hardware mine/model.yaml
refused 'mine/none.yaml' show models mine/none.yaml
refused ', or a file NAME.yaml' show hardware mine/hardware

eep show generations g2.1
out_has 'growing'
out_has 'shrinking'
eep show generation g1
out_has 'stop, barrier'
out_has '503 from the request to the resume'
out_has 'the 503 is cleared'
eep show generation g2
out_has '503 from the drain to the resume'
out_has 'a 503 stays'
eep show generation masked
out_has 'backends          deepep_low_latency, nixl_ep'
out_has 'mask_only upstream (SGLang)'
eep show generation eep --json
out_has '"is_design_study": true,'
out_has '"rolls_back": true,'
out_has '"retry": "hypothetical"'
eep show recovery retry
out_has 'g2.1      upstream (vllm #44428), but not together with elastic EP'
eep show recovery none
out_lacks 'commit'
for name in restart m1 g1 g2 g2.1 g3 masked eep; do
    eep show generation $name
    awk 'length > 100' "$scratch/out" | grep -q . && fail "$name: a line of more than 100 columns"
done
eep show scenarios quickstart
out_is <"$root/scenarios/quickstart.yaml"

refused 'there are no "modles": models, hardware' list modles
err_has 'did you mean models'
eep show model deepseek-v3
out_has 'deepseek-v3 - '
eep show policy naive
out_has 'naive - '
refused 'there are no "mode"' show mode deepseek-v3
refused 'there is no model "deepseekv3"' show models deepseekv3
err_has 'did you mean deepseek-v3'
refused 'there is no hardware profile "h2000"' show hardware h2000
refused 'there is no generation "g9"' show generations g9
refused 'there is no policy "vlm"' show policies vlm
refused 'there is no bundled scenario "../quickstart"' show scenarios ../quickstart

# One profile that cannot be read does not hide the others.
mkdir -p "$scratch/data/scenarios/models"
echo 'kind: model' >"$scratch/data/scenarios/models/half.yaml"
export EEP_DATA_DIR=$scratch/data
eep list models
exits 0
out_has 'cannot be read'
out_has 'deepseek-v3 '
eep show models half
exits 2
finish
