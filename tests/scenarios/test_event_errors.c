/* What is said of events that cannot be, and of deployments that cannot be resized or recovered:
 * the field's own rules. */
#include "tests/scenarios/scenario_kit.h"

/* What the kit's resize has besides its stages, and what can break at all. */
#define UP_G2_1                                                                                    \
    "launch, standby_groups, weights_from_peer, kv_sync, kernel_warm_up, map_broadcast, switch, "  \
    "warm_up, graph_capture, retire_groups, reshuffle, pause"
#define BREAKABLE                                                                                  \
    "launch, standby_groups, weights_from_peer, weights_from_disk, kv_sync, map_broadcast, "       \
    "switch, warm_up, graph_capture, retire_groups, kernel_warm_up, destroy, weights_tree, "       \
    "weights_from_cache, weights_from_host, comm_split, offload, mask, reshuffle, preload, "       \
    "drain, migrate, spread, pause"

/* Overrides of the kit, and the whole message. */
static const struct {
    const char *sets[5];
    const char *message;
} refusals[] = {
    {{"deployment.resize.generation=g9"},
     "--set deployment.resize.generation=g9: \"g9\" is unknown: restart, m1, g1, g2, "
     "g2.1, g3, masked, eep; try g1"},
    {{"deployment.pipeline_parallel_size=2"},
     "--set deployment.pipeline_parallel_size=2: enable_elastic_ep does not work with "
     "pipeline_parallel_size above 1, in vLLM neither: 1"},
    {{"deployment.data_parallel_external_lb=true"},
     "--set deployment.data_parallel_external_lb=true: enable_elastic_ep does not "
     "work with data_parallel_external_lb, in vLLM neither (vllm #43202 is open): one "
     "of the two; try data_parallel_external_lb: false"},
    {{"deployment.data_parallel_hybrid_lb=true"},
     "--set deployment.data_parallel_hybrid_lb=true: enable_elastic_ep does not work "
     "with data_parallel_hybrid_lb, in vLLM neither: one of the two; try "
     "data_parallel_hybrid_lb: false"},
    {{"deployment.pipeline_parallel_size=2", "deployment.enable_elastic_ep=false",
      "deployment.resize.generation=restart"},
     "--set deployment.pipeline_parallel_size=2: not yet: pipelines of several stages "
     "are not supported by this version: 1"},
    {{"deployment.data_parallel_external_lb=true", "deployment.enable_elastic_ep=false",
      "deployment.resize.generation=restart"},
     "--set deployment.data_parallel_external_lb=true: not yet: engines that are "
     "balanced from outside are not supported by this version: false; try "
     "router.policy"},
    {{"deployment.all2all_backend=flashinfer_nvlink_one_sided"},
     "--set deployment.all2all_backend=flashinfer_nvlink_one_sided: "
     "flashinfer_nvlink_one_sided cannot change its ranks while it serves, and "
     "generation g2.1 does that: allgather_reducescatter, deepep_high_throughput, "
     "deepep_low_latency, nixl_ep or naive"},
    {{"deployment.all2all_backend=flashinfer_nvlink_one_sided",
      "deployment.resize.generation=restart"},
     "kit.yaml:18:69: 16 ranks do not fit one NVLink domain, which "
     "flashinfer_nvlink_one_sided needs: at most 8 on h200-sxm; try nixl_ep\n"
     "    - {id: grow, at: 2min, scale_elastic_ep: {new_data_parallel_size: 16}}\n"
     "                                                                      ^"},
    {{"deployment.all2all_backend=allgather_reducescatter", "deployment.resize.generation=masked"},
     "--set deployment.all2all_backend=allgather_reducescatter: "
     "allgather_reducescatter cannot mask ranks, and generation masked does that: "
     "deepep_low_latency or nixl_ep"},
    {{"deployment.resize.on_busy=supersede"},
     "--set deployment.resize.on_busy=supersede: generation g2.1 has no way back, so "
     "that a newer resize cannot take the place of one that runs: queue or refuse; "
     "try generation: eep"},
    {{"deployment.resize.generation=masked", "deployment.resize.reserve=4"},
     "--set deployment.resize.reserve=4: the reserve of 4 engines is smaller than the "
     "deployment of 8: at least data_parallel_size, or 0"},
    {{"deployment.resize.generation=masked", "deployment.resize.reserve=12"},
     "kit.yaml:18:69: generation masked runs the engines of its reserve and no more: "
     "at most 12; try resize.reserve: 16\n"
     "    - {id: grow, at: 2min, scale_elastic_ep: {new_data_parallel_size: 16}}\n"
     "                                                                      ^"},
    {{"deployment.resize.generation=masked", "deployment.resize.reserve=24"},
     "kit.yaml:4:38: the deployment and its events need 24 GPUs, 2 nodes x 8 GPUs are "
     "16: at least 3 nodes; try nodes: 3\n"
     "  hardware: {profile: h200-sxm, nodes: 2}\n"
     "                                       ^"},
    {{"deployment.speculative_config={}"},
     "--set deployment.speculative_config={}: not yet: \"speculative_config\" is not "
     "supported by this version: leave it out; with elastic EP vLLM refuses drafters "
     "with experts (MTP) too"},
    {{"deployment.eplb_config.communicator=torch_gloo"},
     "--set deployment.eplb_config.communicator=torch_gloo: torch_gloo cannot join "
     "the groups of enable_elastic_ep, in vLLM neither: nixl or pynccl"},
    {{"deployment.eplb_config.communicator=pynccl", "deployment.enable_elastic_ep=false",
      "deployment.resize.generation=restart"},
     "--set deployment.eplb_config.communicator=pynccl: pynccl beside running steps "
     "may hang, and vLLM refuses it with use_async (vllm #44978): nixl or torch_gloo, "
     "or eplb_config.use_async: false"},
    {{"deployment.fault_tolerance.recovery=replace"},
     "--set deployment.fault_tolerance.recovery=replace: recovery replace has no "
     "spare: fault_tolerance.spares.engines of at least 1; try spares: {engines: 1, "
     "state: warm}"},
    {{"deployment.fault_tolerance.spares.engines=1"},
     "--set deployment.fault_tolerance.spares.engines=1: spares stand by for recovery "
     "replace alone: recovery: replace, or engines: 0"},
    {{"deployment.fault_tolerance={recovery: replace, spares: {engines: 1}}"},
     "kit.yaml:4:38: the deployment and its events need 17 GPUs (1 of them spare), 2 "
     "nodes x 8 GPUs are 16: at least 3 nodes; try nodes: 3\n"
     "  hardware: {profile: h200-sxm, nodes: 2}\n"
     "                                       ^"},
    {{"deployment.fault_tolerance.recovery=shrink", "deployment.enable_elastic_ep=false",
      "deployment.resize.generation=restart"},
     "--set deployment.fault_tolerance.recovery=shrink: recovery shrink needs "
     "enable_elastic_ep, whose groups can change: enable_elastic_ep: true; try "
     "recovery: restart"},
    {{"deployment.fault_tolerance.recovery=shrink", "deployment.enable_elastic_ep=false",
      "deployment.enable_eplb=false", "deployment.resize.generation=restart"},
     "--set deployment.fault_tolerance.recovery=shrink: recovery shrink needs "
     "enable_eplb, which knows where experts are: enable_eplb: true"},
    {{"deployment.fault_tolerance.recovery=mask_only",
      "deployment.all2all_backend=allgather_reducescatter"},
     "--set deployment.fault_tolerance.recovery=mask_only: recovery mask_only needs "
     "an all2all_backend that masks ranks: deepep_low_latency or nixl_ep"},
    {{"deployment.fault_tolerance.recovery=repair"},
     "--set deployment.fault_tolerance.recovery=repair: \"repair\" is unknown: none, "
     "restart, retry, shrink, replace or mask_only; try replace"},
    {{"deployment.fault_tolerance.mtbf=1s"},
     "--set deployment.fault_tolerance.mtbf=1s: a mean time between failures below "
     "1min: at least 1min, or 0s for none; try mtbf: 30d"},
    {{"deployment.all2all_backend=flashinfer_nvlink_one_sided",
      "deployment.resize.generation=restart", "deployment.fault_tolerance.recovery=shrink",
      "events[0].scale_elastic_ep.new_data_parallel_size=8"},
     "--set deployment.fault_tolerance.recovery=shrink: recovery shrink needs an "
     "all2all_backend whose ranks can change: allgather_reducescatter, "
     "deepep_high_throughput, deepep_low_latency, nixl_ep or naive"},
    {{"deployment.resize.generation=restart",
      "events[0].scale_elastic_ep.new_data_parallel_size=7"},
     "--set events[0].scale_elastic_ep.new_data_parallel_size=7: 7 engines x 32 slots "
     "hold 224 of 256 experts: minimum is ceil(256 * 8 / (256 + 0)) = 8; try more "
     "num_redundant_experts at the start"},
    {{"events[0]={at: 1min}"},
     "--set events[0]={at: 1min}: the event says nothing to do: one of "
     "scale_elastic_ep, cancel, fail, hang, slow, link, phase_fail, phase_hang; try "
     "scale_elastic_ep: {new_data_parallel_size: N}"},
    {{"events[0].fail={rank: 1}"},
     "--set events[0].fail={rank: 1}: the event says two things to do, "
     "scale_elastic_ep and fail: one of scale_elastic_ep, cancel, fail, hang, slow, "
     "link, phase_fail, phase_hang; try two events"},
    {{"events[0].during={resize: grow, phase: commit}"},
     "--set events[0].during={resize: grow, phase: commit}: the event has two times, "
     "at and during: one of them"},
    {{"events[1]={during: {resize: grow}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow}, fail: {rank: 1}}: during is not whole: "
     "{resize: ID, phase: NAME}; try {resize: ID, phase: commit, after: 200ms}"},
    {{"events[1]={during: {resize: grou, phase: commit}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grou, phase: commit}, fail: {rank: 1}}: no "
     "event with scale_elastic_ep has the id \"grou\": grow; try grow"},
    {{"events[1]={during: {resize: grow, phase: comit}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: comit}, fail: {rank: 1}}: "
     "\"grow\" (up, generation g2.1) has no phase \"comit\": prepare, commit, settle, " UP_G2_1
     "; try commit"},
    {{"events[1]={during: {resize: grow, phase: spread}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: spread}, fail: {rank: 1}}: "
     "\"grow\" (up, generation g2.1) has no phase \"spread\": prepare, commit, settle, " UP_G2_1},
    /* Of shrinking, of another source of the weights, and of no drain. */
    {{"events[1]={during: {resize: grow, phase: destroy}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: destroy}, fail: {rank: 1}}: "
     "\"grow\" (up, generation g2.1) has no phase \"destroy\": prepare, commit, settle, " UP_G2_1},
    {{"events[1]={during: {resize: grow, phase: weights_from_disk}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: weights_from_disk}, fail: {rank: 1}}: "
     "\"grow\" (up, generation g2.1) has no phase \"weights_from_disk\": prepare, commit, "
     "settle, " UP_G2_1 "; try weights_from_peer"},
    {{"events[1]={during: {resize: grow, phase: drain}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: drain}, fail: {rank: 1}}: "
     "\"grow\" (up, generation g2.1) has no phase \"drain\": prepare, commit, settle, " UP_G2_1},
    {{"events[1]={id: back, at: 5min, scale_elastic_ep: {new_data_parallel_size: 8}}",
      "events[2]={during: {resize: back, phase: launch}, fail: {rank: 1}}"},
     "--set events[2]={during: {resize: back, phase: launch}, fail: {rank: 1}}: "
     "\"back\" (down, generation g2.1) has no phase \"launch\": prepare, commit, settle, "
     "standby_groups, reshuffle, destroy, switch, warm_up, graph_capture, retire_groups, pause"},
    {{"events[0].scale_elastic_ep.new_data_parallel_size=8",
      "events[1]={during: {resize: grow, phase: commit}, fail: {rank: 1}}"},
     "--set events[1]={during: {resize: grow, phase: commit}, fail: {rank: 1}}: "
     "\"grow\" asks for the size that the pool has, so that none of its phases begins: a resize "
     "to another size"},
    {{"events[1]={id: x, during: {resize: x, phase: commit}, scale_elastic_ep: "
      "{new_data_parallel_size: 8}}"},
     "--set events[1]={id: x, during: {resize: x, phase: commit}, scale_elastic_ep: "
     "{new_data_parallel_size: 8}}: the event waits for a resize that waits for "
     "itself: one that has a time"},
    {{"events[1]={at: 1s, fail: {}}"},
     "--set events[1]={at: 1s, fail: {}}: \"fail\" names nobody: one of rank, engine or "
     "node; try {rank: 0}"},
    {{"events[1]={at: 1s, fail: {rank: 1, node: 1}}"},
     "--set events[1]={at: 1s, fail: {rank: 1, node: 1}}: \"fail\" names more than one: "
     "one of rank, engine or node; try {rank: 0}"},
    {{"events[1]={at: 1s, fail: {rank: 16}}"},
     "--set events[1]={at: 1s, fail: {rank: 16}}: there is no rank 16 at any time: 0 to 15"},
    {{"events[1]={at: 1s, hang: {node: 2}}"},
     "--set events[1]={at: 1s, hang: {node: 2}}: there is no node 2 at any time: 0 to 1"},
    {{"events[1]={at: 1s, slow: {rank: 1}}"},
     "--set events[1]={at: 1s, slow: {rank: 1}}: \"slow\" has no factor: slow: {rank: "
     "N, factor: 2, duration: TIME}"},
    {{"events[1]={at: 1s, slow: {rank: 1, factor: 0.5}}"},
     "--set events[1]={at: 1s, slow: {rank: 1, factor: 0.5}}: \"0.5\" is too small: at "
     "least 1"},
    {{"events[1]={at: 1s, link: {bandwidth_factor: 0.5}}"},
     "--set events[1]={at: 1s, link: {bandwidth_factor: 0.5}}: \"link\" has no node: "
     "link: {node: N, bandwidth_factor: 0.5, duration: TIME}"},
    {{"events[1]={at: 1s, link: {node: 0, bandwidth_factor: 2}}"},
     "--set events[1]={at: 1s, link: {node: 0, bandwidth_factor: 2}}: \"2\" is too "
     "large: at most 1"},
    {{"events[1]={at: 1s, phase_fail: {nth: 2}}"},
     "--set events[1]={at: 1s, phase_fail: {nth: 2}}: \"phase_fail\" has no phase: "
     "phase_fail: {phase: NAME, nth: 1}"},
    {{"events[1]={at: 1s, phase_hang: {phase: swich}}"},
     "--set events[1]={at: 1s, phase_hang: {phase: swich}}: there is no phase \"swich\" "
     "that could break: " BREAKABLE "; try switch"},
    {{"events[1]={at: 1s, phase_fail: {phase: settle}}"},
     "--set events[1]={at: 1s, phase_fail: {phase: settle}}: \"settle\" is a stage of several "
     "phases, and only a phase can break: " BREAKABLE},
    {{"events[1]={at: 1s, phase_fail: {phase: comm_split}}"},
     "--set events[1]={at: 1s, phase_fail: {phase: comm_split}}: no resize or recovery of pool "
     "main has the phase \"comm_split\": " UP_G2_1},
    {{"events=[{at: 1s, phase_hang: {phase: launch}}]"},
     "--set events=[{at: 1s, phase_hang: {phase: launch}}]: pool main is never resized and never "
     "recovers, so that no phase can break: an event with scale_elastic_ep; try {at: 1min, "
     "scale_elastic_ep: {new_data_parallel_size: N}}"},
    {{"events[1]={at: 1s, phase_fail: {phase: pause}}"},
     "--set events[1]={at: 1s, phase_fail: {phase: pause}}: generation g2.1 has no way back from a "
     "pause that is not agreed on, and no deadline for it, so that the run would never end: an "
     "engine that breaks while it is agreed on; try during: {resize: ID, phase: pause}, hang: "
     "{rank: 0}"},
    {{"events[1]={at: 1s, phase_hang: {phase: pause}}", "deployment.resize.generation=eep",
      "deployment.resize.commit_deadline=0s"},
     "--set events[1]={at: 1s, phase_hang: {phase: pause}}: a pause that is never agreed on has no "
     "deadline here, and the run would never end: resize.commit_deadline above 0s; try 60s"},
    {{"deployment.resize={generation: eep, drain_requests: true}"},
     "--set deployment.resize={generation: eep, drain_requests: true}: drain_requests waits until "
     "no request is left, and generation eep refuses none meanwhile: false (it drains leaving "
     "engines, see resize.leaving_drain); try drain_requests: false"},
    {{"deployment.resize.reserve=16"},
     "--set deployment.resize.reserve=16: generation g2.1 launches engines when it needs them and "
     "keeps none in reserve: generation masked, or 0; try resize.generation: masked"},
    {{"deployment.resize.restart.refit=true"},
     "--set deployment.resize.restart.refit=true: generation g2.1 keeps its slots a rank, only a "
     "fresh start can choose them: generation restart, or recovery restart; try restart: {refit: "
     "false}"},
    {{"deployment.eplb_config={communicator: pynccl, use_async: true}"},
     "--set deployment.eplb_config={communicator: pynccl, use_async: true}: beside running steps "
     "an elastic group moves experts by nixl alone, in vLLM too: eplb_config.communicator: nixl, "
     "or use_async: false"},
    {{"events[1]={at: 1s, cancel: {resize: grow}}"},
     "--set events[1]={at: 1s, cancel: {resize: grow}}: generation g2.1 has no way "
     "back, so that nothing can be cancelled: a generation that rolls back; try "
     "generation: eep"},
    {{"events[1]={at: 1s, cancel: {}}"},
     "--set events[1]={at: 1s, cancel: {}}: \"cancel\" has no resize: cancel: {resize: "
     "ID}"},
    {{"events[1]={at: 1s, cancel: {resize: none}}", "deployment.resize.generation=eep"},
     "--set events[1]={at: 1s, cancel: {resize: none}}: no event with "
     "scale_elastic_ep has the id \"none\": grow"},
    {{"events[1]={at: 1s, move_engines: {from: a}}"},
     "--set events[1]={at: 1s, move_engines: {from: a}}: not yet: \"move_engines\" is "
     "not supported by this version: leave it out; try scale_elastic_ep"},
    {{"deployment.fault_tolerance.detect={process_exit: 0s, all2all_timeout: 0s, "
      "watchdog: 0s}",
      "deployment.fault_tolerance.recovery=shrink", "events[1]={at: 1s, fail: {rank: 1}}"},
     "--set events[1]={at: 1s, fail: {rank: 1}}: nobody would ever find out, and the "
     "run would never end: one of fault_tolerance.detect above 0s; try "
     "fault_tolerance.detect.watchdog: 10min"},
    {{"deployment.fault_tolerance.detect.watchdog=0s", "events[1]={at: 1s, fail: {rank: 1}}"},
     "--set events[1]={at: 1s, fail: {rank: 1}}: nobody would ever find out, and the "
     "run would never end: without a recovery the watchdog above 0s; try "
     "fault_tolerance.detect.watchdog: 10min"},
    {{"deployment.fault_tolerance.detect={all2all_timeout: 0s, watchdog: 0s}",
      "deployment.fault_tolerance.recovery=shrink", "events[1]={at: 1s, hang: {rank: 1}}"},
     "--set events[1]={at: 1s, hang: {rank: 1}}: nobody would ever find out, and the "
     "run would never end: one of fault_tolerance.detect above 0s; try "
     "fault_tolerance.detect.watchdog: 10min"},
};

/* Overrides with which it loads, and the notes that the reader gets. */
static const struct {
    const char *sets[5];
    const char *notes;
} notes[] = {
    {{NULL}, ""},
    {{"deployment.fault_tolerance.recovery=restart"}, ""},
    {{"deployment.eplb_config.communicator=pynccl"},
     "use_async is false: beside running steps an elastic group moves experts by nixl alone"},
    {{"deployment.eplb_config={communicator: pynccl, use_async: false}"}, ""},
    {{"deployment.fault_tolerance.recovery=shrink"}, "recovery shrink (g2.1): hypothetical"},
    {{"deployment.fault_tolerance.recovery=mask_only", "deployment.resize.generation=masked"}, ""},
    {{"deployment.fault_tolerance.recovery=retry"},
     "recovery retry (g2.1): upstream (vllm #44428), but not together with elastic EP"},
    {{"deployment.fault_tolerance.recovery=retry", "events[1]={at: 1s, fail: {rank: 1}}",
      "deployment.resize.generation=eep"},
     "recovery retry (eep): hypothetical; recovery retry brings no dead process back, only one "
     "that hung"},
    /* Keys that nobody reads. */
    {{"deployment.resize={prepare_deadline: 1s, commit_deadline: 2s, leaving_drain: 3s}"},
     "not read, as this generation has no deadlines: resize.prepare_deadline; "
     "not read, as this generation has no deadlines: resize.commit_deadline; "
     "not read, as this generation drains no leaving engine: resize.leaving_drain"},
    {{"deployment.resize={generation: eep, prepare_deadline: 1s, leaving_drain: 3s}"}, ""},
    {{"deployment.resize={generation: restart, weights_from: disk, background: 0.5}"},
     "not read, as this generation has one source of weights: resize.weights_from; "
     "not read, as this generation does nothing beside the steps: resize.background"},
    {{"deployment.fault_tolerance={deadline: 1min, expert_backup: disk, in_flight: retry}"},
     "not read, as recovery is none: fault_tolerance.deadline, fault_tolerance.expert_backup; "
     "not read, as recovery is none: fault_tolerance.in_flight"},
    {{"deployment.fault_tolerance={deadline: 1min, recovery: restart}"}, ""},
    {{"deployment.eplb_config={trigger_threshold: 0.5, check_interval: 7}"},
     "not read, as eplb_config.trigger is not imbalance: eplb_config.trigger_threshold; "
     "not read, as eplb_config.trigger is interval: eplb_config.check_interval"},
    {{"deployment.eplb_config={trigger: imbalance, trigger_threshold: 0.5}"}, ""},
    {{"traffic.retry={backoff: 3s}"}, "not read, as clients try once (attempts: 1): retry.backoff"},
    {{"seed=1", "deployment.enforce_eager=false", "seed=2"},
     "--set seed is given twice: the last one counts"},
};

START_TEST(it_is_refused)
{
    g_autofree char *message = kit_message(kit_text, refusals[_i].sets);
    ck_assert_str_eq(message, refusals[_i].message);
}
END_TEST

START_TEST(it_is_noted)
{
    g_autoptr(EepScenario) scenario = kit_load(kit_text, notes[_i].sets);
    g_ptr_array_add(scenario->notes, NULL);
    g_autofree char *text = g_strjoinv("; ", (char **)scenario->notes->pdata);
    g_ptr_array_remove_index(scenario->notes, scenario->notes->len - 1);
    ck_assert_str_eq(text, notes[_i].notes);
    for (guint i = 0; i < scenario->notes->len; i++)
        ck_assert_uint_le(strlen(scenario->notes->pdata[i]), 88);
}
END_TEST

int main(void)
{
    TCase *tcase = tcase_create("event errors");
    tcase_add_loop_test(tcase, it_is_refused, 0, G_N_ELEMENTS(refusals));
    tcase_add_loop_test(tcase, it_is_noted, 0, G_N_ELEMENTS(notes));
    return kit_run(tcase);
}
