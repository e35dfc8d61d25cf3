/* Every class of error with its whole message: where it is, what is wrong, what is allowed, what to
 * try, and the source line with its caret. */
#include "tests/scenarios/scenario_kit.h"

/* A part of the kit, what stands in its place, and what the loader then says. */
static const struct {
    const char *from, *to, *message;
} edits[] = {
    {"eep: 1\n"
     "",
     "", "kit.yaml: \"eep\", the format's version, is missing: eep: 1"},
    {"eep: 1", "eep: 2",
     "kit.yaml:1:6: \"2\" is too large: exactly 1\n"
     "  eep: 2\n"
     "       ^"},
    {"name: kit", "nmae: kit",
     "kit.yaml:2:1: unknown key \"nmae\": eep, name, seed, model, hardware, deployment, traffic, "
     "skew, slo, events, measure, run, output, gpu, expect; try name\n"
     "  nmae: kit\n"
     "  ^"},
    {"name: kit", "name: [kit]",
     "kit.yaml:2:7: \"name\" is a list: text\n"
     "  name: [kit]\n"
     "        ^"},
    {"name: kit", "seed: -1",
     "kit.yaml:2:7: \"-1\" is too small: at least 0\n"
     "  seed: -1\n"
     "        ^"},
    {"name: kit",
     "name: kit\n"
     "name: kat",
     "kit.yaml:3:1: \"name\" is given twice: once; the first is in line 2\n"
     "  name: kat\n"
     "  ^"},
    {"name: kit", "name: *kit",
     "kit.yaml:2:7: aliases (*kit) are not supported: write the value out\n"
     "  name: *kit\n"
     "        ^"},
    {"name: kit", "name: &kit kit",
     "kit.yaml:2:7: anchors (&kit) are not supported: write the value out\n"
     "  name: &kit kit\n"
     "        ^"},
    {"name: kit", "name: !!str kit",
     "kit.yaml:2:7: tags (tag:yaml.org,2002:str) are not supported: leave it out\n"
     "  name: !!str kit\n"
     "        ^"},
    {"name: kit",
     "name: kit\n"
     "---\n"
     "name: kat",
     "kit.yaml:3:1: a second document begins: one document\n"
     "  ---\n"
     "  ^"},
    {"name: kit", "name: \"kit",
     "kit.yaml:19:1: found unexpected end of stream (while scanning a quoted scalar that begins in "
     "line 2): YAML\n"
     "  \n"
     "  ^"},
    {"name: kit", "autoscaler: {policy: slo}",
     "kit.yaml:2:1: not yet: \"autoscaler\" is not supported by this version: leave it out; try "
     "events with scale_elastic_ep\n"
     "  autoscaler: {policy: slo}\n"
     "  ^"},
    {"name: kit", "name:",
     "kit.yaml:2:6: \"name\" has no value: text\n"
     "  name:\n"
     "       ^"},
    {"model: deepseek-v3", "model: deepsek-v3",
     "kit.yaml:3:8: unknown model \"deepsek-v3\": deepseek-r1, deepseek-v2-lite, deepseek-v3, "
     "glm-4.5, gpt-oss-120b, kimi-k2, llama-4-maverick, llama-4-scout, minimax-m2, mixtral-8x22b, "
     "mixtral-8x7b, qwen3-235b-a22b, qwen3-30b-a3b, qwen3-next-80b-a3b, or a file NAME.yaml; try "
     "deepseek-v3\n"
     "  model: deepsek-v3\n"
     "         ^"},
    {"model: deepseek-v3\n"
     "",
     "", "kit.yaml: \"model\" names no profile: model: NAME; try eep list models"},
    {"model: deepseek-v3", "model: {profile: deepseek-v3, experts_per_token: 300}",
     "kit.yaml:3:8: experts_per_token is 300: at most n_routed_experts 256\n"
     "  model: {profile: deepseek-v3, experts_per_token: 300}\n"
     "         ^"},
    {"model: deepseek-v3", "model: {profile: deepseek-v3, nodes: 3}",
     "kit.yaml:3:31: unknown key \"nodes\" in model: one of 37 keys, eep explain model lists them\n"
     "  model: {profile: deepseek-v3, nodes: 3}\n"
     "                                ^"},
    {"nodes: 2", "nodes: 0",
     "kit.yaml:4:38: \"0\" is too small: at least 1\n"
     "  hardware: {profile: h200-sxm, nodes: 0}\n"
     "                                       ^"},
    {"nodes: 2", "nodes: 1",
     "kit.yaml:4:38: the deployment and its events need 16 GPUs, 1 node x 8 GPUs are 8: at least "
     "2 nodes; try nodes: 2\n"
     "  hardware: {profile: h200-sxm, nodes: 1}\n"
     "                                       ^"},
    {"h200-sxm", "h200-pcie",
     "kit.yaml:4:21: unknown hardware \"h200-pcie\": a100-sxm, b200-sxm, constant-step, gb200, "
     "h100-sxm, h20-sxm, h200-sxm, h800-sxm, mi300x, or a file NAME.yaml; try h200-sxm\n"
     "  hardware: {profile: h200-pcie, nodes: 2}\n"
     "                      ^"},
    {"nodes: 2", "step_time: 20ms",
     "kit.yaml:4:42: step_time belongs to the profile constant-step, not to h200-sxm: leave it "
     "out\n"
     "  hardware: {profile: h200-sxm, step_time: 20ms}\n"
     "                                           ^"},
    {"profile: h200-sxm", "profile: constant-step",
     "kit.yaml:4:11: constant-step does not say how long a step is: step_time: TIME; try hardware: "
     "{profile: constant-step, step_time: 20ms}\n"
     "  hardware: {profile: constant-step, nodes: 2}\n"
     "            ^"},
    {"profile: h200-sxm", "profile: constant-step, step_time: 20ms",
     "kit.yaml:6:3: constant-step has no memory to fit: num_gpu_blocks_override must say how many "
     "KV blocks an engine has; try num_gpu_blocks_override: 10000\n"
     "    data_parallel_size: 8\n"
     "    ^"},
    {"profile: h200-sxm", "profile: h100-sxm",
     "kit.yaml:6:23: the model does not fit a GPU of h100-sxm: room for one KV block of 1.12 MB at "
     "least; try more engines, fewer redundant experts or a smaller max_num_batched_tokens\n"
     "       71.28 GiB  usable of 79.20 GiB (gpu_memory_utilization)\n"
     "  -    17.67 GiB  other weights\n"
     "  -    76.12 GiB  experts: 32 slots x 58 MoE layers x 44.04 MB\n"
     "  -     4.06 GiB  activations of the largest step (estimate)\n"
     "  -     1.86 GiB  graphs\n"
     "  -     3.63 GiB  reserved (context, NCCL, fragmentation)\n"
     "  =   -32.06 GiB  KV cache\n"
     "    data_parallel_size: 8\n"
     "                        ^"},
    {"deployment:\n"
     "",
     "deployment: 3\n"
     "deploymend:\n"
     "",
     "kit.yaml:6:1: unknown key \"deploymend\": eep, name, seed, model, hardware, deployment, "
     "traffic, skew, slo, events, measure, run, output, gpu, expect; try deployment\n"
     "  deploymend:\n"
     "  ^"},
    {"data_parallel_size: 8", "data_parallel_size: 0",
     "kit.yaml:6:23: \"0\" is too small: at least 1\n"
     "    data_parallel_size: 0\n"
     "                        ^"},
    {"data_parallel_size: 8", "data_parallel_size: 8.5",
     "kit.yaml:6:23: \"8.5\" is not a whole number: a whole number from 1 to 4096\n"
     "    data_parallel_size: 8.5\n"
     "                        ^"},
    {"data_parallel_size: 8", "data_parallel_size: eight",
     "kit.yaml:6:23: \"eight\" is not a whole number: a whole number from 1 to 4096\n"
     "    data_parallel_size: eight\n"
     "                        ^"},
    {"data_parallel_size: 8", "data_parallel_size: {engines: 8}",
     "kit.yaml:6:23: \"data_parallel_size\" is a map: a whole number from 1 to 4096\n"
     "    data_parallel_size: {engines: 8}\n"
     "                        ^"},
    {"data_parallel_size: 8", "data_paralel_size: 8",
     "kit.yaml:6:3: unknown key \"data_paralel_size\" in deployment: one of 31 keys, eep explain "
     "deployment lists them; try data_parallel_size\n"
     "    data_paralel_size: 8\n"
     "    ^"},
    {"data_parallel_size: 8", "data_parallel_size: 6",
     "kit.yaml:6:23: 256 experts + 0 redundant = 256 do not divide over 6 x 1 = 6 ranks, 4 are "
     "over: a multiple of 6; try num_redundant_experts: 2\n"
     "    data_parallel_size: 6\n"
     "                        ^"},
    {"enable_eplb: true", "enable_eplb: yes",
     "kit.yaml:8:16: \"yes\" is not a truth value: true or false; try true\n"
     "    enable_eplb: yes\n"
     "                 ^"},
    {"enable_eplb: true", "enable_eplb: false",
     "kit.yaml:7:22: enable_elastic_ep needs enable_eplb, which moves the experts: enable_eplb: "
     "true\n"
     "    enable_elastic_ep: true\n"
     "                       ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  enable_expert_parallel: false",
     "kit.yaml:7:22: enable_elastic_ep needs enable_expert_parallel: enable_expert_parallel: true\n"
     "    enable_elastic_ep: true\n"
     "                       ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  eplb_config: {max_bytes_moved: 10GB}",
     "kit.yaml:9:34: vllm does not limit what it moves: max_bytes_moved needs a policy that does; "
     "try eplb_config.policy: eep, or max_bytes_moved: 0B\n"
     "    eplb_config: {max_bytes_moved: 10GB}\n"
     "                                   ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  enable_dbo: true",
     "kit.yaml:9:15: enable_dbo does not work with enable_elastic_ep, in vLLM neither: one of the "
     "two; try enable_dbo: false\n"
     "    enable_dbo: true\n"
     "                ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  num_redundant_experts: 32",
     "kit.yaml:9:3: unknown key \"num_redundant_experts\" in deployment: one of 31 keys, eep "
     "explain deployment lists them; try eplb_config.num_redundant_experts\n"
     "    num_redundant_experts: 32\n"
     "    ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  eplb_config: {num_redundant_experts: 5}",
     "kit.yaml:9:40: 256 experts + 5 redundant = 261 do not divide over 8 x 1 = 8 ranks, 5 are "
     "over: a multiple of 8; try num_redundant_experts: 0 or 8\n"
     "    eplb_config: {num_redundant_experts: 5}\n"
     "                                         ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  eplb_config: {policy: vlm}",
     "kit.yaml:9:25: \"vlm\" is unknown: vllm, deepseek, deepseek_vec, elasticity_aware, eep, "
     "naive; try vllm\n"
     "    eplb_config: {policy: vlm}\n"
     "                          ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  eplb_config: {policy: lplb}",
     "kit.yaml:9:25: \"lplb\" places no experts, it splits tokens over the replicas that a policy "
     "placed: another policy; try deepseek with eplb_config.replica_choice: lp\n"
     "    eplb_config: {policy: lplb}\n"
     "                          ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  resize: {drain_timeout: 0s}",
     "kit.yaml:9:27: \"0s\" is too small: at least 1ns\n"
     "    resize: {drain_timeout: 0s}\n"
     "                            ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  role: prefill",
     "kit.yaml:9:9: not yet: pools of one role are not supported by this version: both\n"
     "    role: prefill\n"
     "          ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  tensor_parallel_size: 3",
     "kit.yaml:9:25: an engine of 3 GPUs does not divide a node of 8: a divisor of 8\n"
     "    tensor_parallel_size: 3\n"
     "                          ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  max_model_len: 1000000",
     "kit.yaml:9:18: 1000000 tokens are more than deepseek-v3 can hold: at most 163840\n"
     "    max_model_len: 1000000\n"
     "                   ^"},
    {"enable_eplb: true",
     "enable_eplb: true\n"
     "  pools: {a: {}}",
     "kit.yaml:6:3: \"data_parallel_size\" stands beside deployment.pools: defaults, pools, "
     "router; try deployment.defaults.data_parallel_size\n"
     "    data_parallel_size: 8\n"
     "    ^"},
    {"nixl_ep", "nixl",
     "kit.yaml:9:20: \"nixl\" is unknown: allgather_reducescatter, deepep_high_throughput, "
     "deepep_low_latency, nixl_ep, flashinfer_nvlink_one_sided or naive\n"
     "    all2all_backend: nixl\n"
     "                     ^"},
    {"nixl_ep", "flashinfer_nvlink_one_sided",
     "kit.yaml:9:20: flashinfer_nvlink_one_sided cannot change its ranks while it serves, and "
     "generation g2.1 does that: allgather_reducescatter, deepep_high_throughput, "
     "deepep_low_latency, nixl_ep or naive\n"
     "    all2all_backend: flashinfer_nvlink_one_sided\n"
     "                     ^"},
    {"rate: 10/s", "rate: 10",
     "kit.yaml:12:11: \"10\" has no unit: /s, /min or /h; try 10/s\n"
     "      rate: 10\n"
     "            ^"},
    {"rate: 10/s", "rate: 10/S",
     "kit.yaml:12:11: \"/S\" is not a unit here (case matters): /s, /min or /h; try 10/s\n"
     "      rate: 10/S\n"
     "            ^"},
    {"rate: 10/s", "rate: ten",
     "kit.yaml:12:11: \"ten\" is not a number with a unit: a number and /s, /min or /h\n"
     "      rate: ten\n"
     "            ^"},
    {"duration: 10min", "duration: 10 Min",
     "kit.yaml:13:15: \"Min\" is not a unit here (case matters): ns, us, ms, s, min, h or d; try "
     "10min\n"
     "      duration: 10 Min\n"
     "                ^"},
    {"duration: 10min", "duration: 0s",
     "kit.yaml:12:5: the traffic has no end: duration or requests; try duration: 10min\n"
     "      rate: 10/s\n"
     "      ^"},
    {"rate: 10/s", "ramp: linear",
     "kit.yaml:12:11: the ramp has no end: duration and end_rate\n"
     "      ramp: linear\n"
     "            ^"},
    {"input_tokens: 1000", "input_tokens: {lognormal: {p50: 100, p99: 50}}",
     "kit.yaml:14:19: p99 50 is below p50 100: at least the median; try p99: 800\n"
     "      input_tokens: {lognormal: {p50: 100, p99: 50}}\n"
     "                    ^"},
    {"input_tokens: 1000", "input_tokens: {constant: 5, uniform: {min: 1, max: 3}}",
     "kit.yaml:14:19: \"input_tokens\" has no law or more than one: N, {uniform: {min, max}}, "
     "{lognormal: {p50, p99}} or {exponential: {mean}}; try {lognormal: {p50: 1000, p99: 8000}}\n"
     "      input_tokens: {constant: 5, uniform: {min: 1, max: 3}}\n"
     "                    ^"},
    {"input_tokens: 1000", "input_tokens: {normal: 3}",
     "kit.yaml:14:20: unknown key \"normal\" in traffic.synthetic.input_tokens: constant, "
     "lognormal, uniform, exponential, min, max; try lognormal\n"
     "      input_tokens: {normal: 3}\n"
     "                     ^"},
    {"rate: 10/s", "piecewise: [{at: 1s, rate: 3/s}]",
     "kit.yaml:12:22: the first step does not begin at 0s: 0s first, then each later than the one "
     "before\n"
     "      piecewise: [{at: 1s, rate: 3/s}]\n"
     "                       ^"},
    {"rate: 10/s", "piecewise: [{at: 0s, rate: 3/s}, {at: 0s, rate: 4/s}]",
     "kit.yaml:12:43: the step is not later than the one before: 0s first, then each later than "
     "the one before\n"
     "      piecewise: [{at: 0s, rate: 3/s}, {at: 0s, rate: 4/s}]\n"
     "                                            ^"},
    {"  synthetic:",
     "  trace: {path: x.csv}\n"
     "  synthetic:",
     "kit.yaml:11:3: both a trace and synthetic traffic are given: one; try --set "
     "traffic.trace=null\n"
     "    trace: {path: x.csv}\n"
     "    ^"},
    {"ttft: 2s", "ttft: 2",
     "kit.yaml:16:13: \"2\" has no unit: ns, us, ms, s, min, h or d; try 2s\n"
     "  slo: {ttft: 2, tpot: 50ms, target: 0.99}\n"
     "              ^"},
    {"ttft: 2s", "ttft: -2s",
     "kit.yaml:16:13: \"-2s\" is too small: at least 0s\n"
     "  slo: {ttft: -2s, tpot: 50ms, target: 0.99}\n"
     "              ^"},
    {"target: 0.99", "target: 99",
     "kit.yaml:16:37: \"99\" is too large: at most 1\n"
     "  slo: {ttft: 2s, tpot: 50ms, target: 99}\n"
     "                                      ^"},
    {"at: 2min, ", "",
     "kit.yaml:18:5: the event has no time: at: TIME, or during: {resize: ID, phase: NAME}\n"
     "    - {id: grow, scale_elastic_ep: {new_data_parallel_size: 16}}\n"
     "      ^"},
    {"{new_data_parallel_size: 16}", "{new_data_parallel_size: 7}",
     "kit.yaml:18:69: 7 engines x 32 slots hold 224 of 256 experts: minimum is ceil(256 * 8 / (256 "
     "+ 0)) = 8; try more num_redundant_experts at the start\n"
     "    - {id: grow, at: 2min, scale_elastic_ep: {new_data_parallel_size: 7}}\n"
     "                                                                      ^"},
    {"{new_data_parallel_size: 16}", "{new_data_parallel_size: 40}",
     "kit.yaml:18:69: 40 ranks are too many for nixl_ep: at most 32 (its buffers are sized for "
     "them); try allgather_reducescatter\n"
     "    - {id: grow, at: 2min, scale_elastic_ep: {new_data_parallel_size: 40}}\n"
     "                                                                      ^"},
    {"{new_data_parallel_size: 16}", "{new_data_parallel_size: 24}",
     "kit.yaml:4:38: the deployment and its events need 24 GPUs, 2 nodes x 8 GPUs are 16: at least "
     "3 nodes; try nodes: 3\n"
     "  hardware: {profile: h200-sxm, nodes: 2}\n"
     "                                       ^"},
    {"at: 2min", "at: 2min, pool: decode",
     "kit.yaml:18:32: there is no pool \"decode\": a pool of the deployment; try main\n"
     "    - {id: grow, at: 2min, pool: decode, scale_elastic_ep: {new_data_parallel_size: 16}}\n"
     "                                 ^"},
    {"events:\n"
     "",
     "measure: {warmup: 1h}\n"
     "events:\n"
     "",
     "kit.yaml:17:19: nothing arrives after the warm-up: below traffic.synthetic.duration\n"
     "  measure: {warmup: 1h}\n"
     "                    ^"},
    {"events:\n"
     "",
     "run: {end: cut}\n"
     "events:\n"
     "",
     "kit.yaml:17:6: a run that is cut has no duration: run.duration; try {end: cut, duration: "
     "10min}\n"
     "  run: {end: cut}\n"
     "       ^"},
    {"events:\n"
     "",
     "expect: [\"slo_attainment above 3\"]\n"
     "events:\n"
     "",
     "kit.yaml:17:10: \"slo_attainment above 3\" is no comparison: KEY OPERATOR VALUE with <, <=, "
     ">, >=, == or !=; try \"slo_attainment >= 0.99\"\n"
     "  expect: [\"slo_attainment above 3\"]\n"
     "           ^"},
    {"events:\n"
     "",
     "output: {events: all}\n"
     "events:\n"
     "",
     "kit.yaml:17:18: \"all\" is unknown: decisions, requests or steps\n"
     "  output: {events: all}\n"
     "                   ^"},
    {"enable_elastic_ep: true", "enable_elastic_ep: false",
     "kit.yaml:18:69: pool \"main\" cannot be resized: enable_elastic_ep: true, or "
     "resize.generation: restart\n"
     "    - {id: grow, at: 2min, scale_elastic_ep: {new_data_parallel_size: 16}}\n"
     "                                                                      ^"},
};

/* An override, and what the loader then says. */
static const struct {
    const char *set, *message;
} overrides[] = {
    {"slo.ttft=2", "--set slo.ttft=2: \"2\" has no unit: ns, us, ms, s, min, h or d; try 2s"},
    {"skew.law=recorded", "--set skew.law=recorded: law recorded has no record: skew.load.path: "
                          "FILE; try skew.load.path=loads.json, or law: zipf"},
    {"skew.load.path=x.json", "--set skew.load.path=x.json: a record beside another law: law: "
                              "recorded; try skew.law=recorded, or skew.load=null"},
    {"skew.drift={kind: shift}", "--set skew.drift={kind: shift}: the shift has no time: drift.at "
                                 "above 0s; try at: 10min"},
    {"skew.drift.every=3s",
     "--set skew.drift.every=3s: a time between shifts without a shift: kind: shift; try "
     "skew.drift.every=null"},
    {"skew.drift.at=3s", "--set skew.drift.at=3s: a time of a shift without a shift: kind: shift; "
                         "try skew.drift.at=null"},
    {"skew.drift.kind=mixture", "--set skew.drift.kind=mixture: a mixture of one class: at least 2 "
                                "classes; try skew.classes=2"},
    {"skew.classes=5", "--set skew.classes=5: \"5\" is too large: at most 4"},
    {"skew.drift.half_live=3s",
     "--set skew.drift.half_live=3s: unknown key \"half_live\" in skew.drift: kind, period, "
     "half_life, interval, at, every, correlation, load; try half_life"},
    {"slo.tttft=2s",
     "--set slo.tttft=2s: unknown key \"tttft\" in slo: ttft, tpot, target; try ttft"},
    {"slo", "--set slo: there is no KEY=VALUE: a key, = and a value; try slo.ttft=2s"},
    {"slo={ttft: 2s", "--set slo={ttft: 2s: the value is not YAML in one line: as in a file; try "
                      "{KEY: VALUE} or [A, B]"},
    {"events[2].at=3s", "--set events[2].at=3s: \"2\" is no element of the list: 0 to its length"},
    {"name.first=x",
     "--set name.first=x: \"first\" is below a value that is no map: a key of a map"},
    {"deployment.data_parallel_size=12",
     "--set deployment.data_parallel_size=12: 256 experts + 0 redundant = 256 do not divide over "
     "12 x 1 = 12 ranks, 4 are over: a multiple of 12; try num_redundant_experts: 8"},
    {"traffic.trace={path: a.csv}", "kit.yaml:11:3: both a trace and synthetic traffic are given: "
                                    "one; try --set traffic.synthetic=null\n"
                                    "    synthetic:\n"
                                    "    ^"},
};

START_TEST(an_edit_is_refused)
{
    g_autofree char *text = kit_replace(edits[_i].from, edits[_i].to);
    g_autofree char *message = kit_message(text, NULL);
    ck_assert_str_eq(message, edits[_i].message);
}
END_TEST

START_TEST(an_override_is_refused)
{
    const char *const sets[] = {overrides[_i].set, NULL};
    g_autofree char *message = kit_message(kit_text, sets);
    ck_assert_str_eq(message, overrides[_i].message);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    GError *error = NULL;
    ck_assert_ptr_null(eep_scenario_load("tests/none.yaml", kit_folders, NULL, -1, &error));
    ck_assert_str_eq(error->message,
                     "tests/none.yaml: cannot be opened: No such file or directory");
    g_clear_error(&error);
    ck_assert_ptr_null(eep_scenario_load("tests", kit_folders, NULL, -1, &error));
    ck_assert_str_eq(error->message, "tests: cannot be read: Is a directory");
    g_clear_error(&error);
}
END_TEST

START_TEST(a_trace_that_is_not_there_says_where_to_get_it)
{
    static const char *const sets[] = {
        "traffic={trace: {path: nowhere/AzureLLMInferenceTrace_code.csv}}", NULL};
    g_autoptr(EepScenario) scenario = kit_load(kit_text, sets);
    g_autoptr(GError) error = NULL;
    ck_assert(!eep_scenario_check_files(scenario, &error));
    ck_assert_str_eq(
        error->message,
        "--set traffic={trace: {path: nowhere/AzureLLMInferenceTrace_code.csv}}: there is no file "
        "\"nowhere/AzureLLMInferenceTrace_code.csv\": get AzureLLMInferenceTrace_code.csv from "
        "https://github.com/Azure/AzurePublicDataset (data/, CC-BY-4.0); try --set "
        "traffic.trace.path=FOLDER/AzureLLMInferenceTrace_code.csv");
}
END_TEST

START_TEST(bad_bytes_are_refused)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "kit.yaml: the file is empty: a map of keys"},
        {"[1]", "kit.yaml:1:1: the file is a list: a map of keys\n  [1]\n  ^"},
        {"hello", "kit.yaml:1:1: the file is one value: a map of keys\n  hello\n  ^"},
        {"a: \xff\xfe", "kit.yaml: invalid leading UTF-8 octet at byte 3: YAML in UTF-8"},
        {"{a}: 3", "kit.yaml:1:1: a key is no plain word: KEY: VALUE\n  {a}: 3\n  ^"},
        {"a: \"x\\0y\"",
         "kit.yaml:1:4: the text holds a zero character: text\n  a: \"x\\0y\"\n     ^"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *message = kit_message(cases[i].text, NULL);
        ck_assert_str_eq(message, cases[i].message);
    }
    g_autofree char *deep = g_strnfill(40, '[');
    g_autofree char *message = kit_message(deep, NULL);
    ck_assert_str_eq(message, "kit.yaml:1:33: too deep: at most 32 levels\n"
                              "  [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n"
                              "                                  ^");
    GString *wide = g_string_new("a: [");
    for (guint i = 0; i < EEP_YAML_MAX_NODES; i++)
        g_string_append(wide, "1,");
    g_autofree char *too_many = kit_message(wide->str, NULL);
    ck_assert_ptr_nonnull(strstr(too_many, "the file is too large: at most 50000 values"));
    while (wide->len <= EEP_YAML_MAX_BYTES)
        g_string_append(wide, "# and more and more and more\n");
    g_autofree char *too_long = kit_message(wide->str, NULL);
    ck_assert_str_eq(too_long, "kit.yaml: the file is too large: at most 1048576 bytes");
    g_string_free(wide, TRUE);
}
END_TEST

START_TEST(a_caret_far_to_the_right_shows_a_window)
{
    g_autofree char *far = g_strnfill(300, 'x');
    g_autofree char *text = kit_replace("slo: {ttft: 2s, ", "slo: {tpot: 1s, ");
    g_autofree char *message = kit_message(text, NULL);
    ck_assert_str_eq(message, "kit.yaml:16:17: \"tpot\" is given twice: once; the first is in line "
                              "16\n  slo: {tpot: 1s, tpot: 50ms, target: 0.99}\n"
                              "                  ^");
    g_autofree char *long_line = g_strconcat("eep: 1\nname: {k: ", far, ", k: 2}\n", NULL);
    g_autofree char *window = kit_message(long_line, NULL);
    const char *caret = strrchr(window, '\n') + 1;
    ck_assert_uint_eq(strlen(caret), 2 + 48 + 1);
    ck_assert_ptr_nonnull(strstr(window, "kit.yaml:2:313: \"k\" is given twice"));
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("errors");
    tcase_add_loop_test(tcase, an_edit_is_refused, 0, G_N_ELEMENTS(edits));
    tcase_add_loop_test(tcase, an_override_is_refused, 0, G_N_ELEMENTS(overrides));
    tcase_add_test(tcase, a_missing_file_is_named);
    tcase_add_test(tcase, a_trace_that_is_not_there_says_where_to_get_it);
    tcase_add_test(tcase, bad_bytes_are_refused);
    tcase_add_test(tcase, a_caret_far_to_the_right_shows_a_window);
    return kit_run(tcase);
}
