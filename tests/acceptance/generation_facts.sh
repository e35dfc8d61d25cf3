#!/usr/bin/env bash
# What each generation of resizes does to the same requests: who gets 503, who freezes, who is
# aborted; what may be undone; and what is refused before anything runs.
. "$(dirname "$0")/acceptance_kit.sh"
lite=$keys/lite.yaml

with() { # WORD...: `--set deployment.WORD` for each
    arguments=()
    for word in "$@"; do arguments+=(--set "deployment.$word"); done
}
lite() { # WORD... [-- ARGUMENT...]: runs it
    local words=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        words+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    with "${words[@]}"
    runs "$lite" "${arguments[@]}" "$@"
}
times() { # ID: t0, t1 and t2 in nanoseconds, and the ends add up
    local whole
    whole=$(resize "$1" prepare_s)+$(resize "$1" commit_s)+$(resize "$1" settle_s)-$(resize "$1" total_s)
    holds "$1: prepare + commit + settle = total" "($whole)^2 < 1e-12"
    holds "$1: downtime is the union of stall and reject" "\
        $(resize "$1" downtime_s) >= $(resize "$1" stall_s) && $(resize "$1" downtime_s) >= $(resize "$1" reject_s) && \
        $(resize "$1" downtime_s) <= $(resize "$1" stall_s) + $(resize "$1" reject_s)"
    t0=$(awk "BEGIN { printf \"%.0f\", 1e9 * $(resize "$1" accepted_s) }")
    t1=$(awk "BEGIN { printf \"%.0f\", 1e9 * ($(resize "$1" accepted_s) + $(resize "$1" prepare_s)) }")
    t2=$(awk "BEGIN { printf \"%.0f\", 1e9 * ($(resize "$1" accepted_s) + $(resize "$1" prepare_s) + $(resize "$1" commit_s)) }")
}
# refused_within ID FROM TO: its 503s are those of all requests that arrive in the interval, and of no others
refused_within() {
    awk -F, -v from="$2" -v to="$3" -v said="$(resize "$1" rejected)" '
        NR > 1 && $2 > from && $2 < to { inside++; if ($12 == "scaling_503") refused++ }
        END { exit !(inside > 0 && refused == inside && refused == said) }' run/requests.csv ||
        fail "$1: not all that arrive in [$2, $3] get 503, or others do"
}
# as_shown GENERATION ID: the phases of a growth stop forwards as `eep show generation` says
as_shown() {
    "$program" show generation "$1" | sed -n '/^growing/,/^shrinking/p' |
        awk '$1 ~ /^(stop|prepare|commit|settle)$/ && $4 ~ /^(stop|go)/ {
            if (seen[$2]++) two[$2] = 1
            stops[$2] = $4 ~ /^stop/ ? "true" : "false"; who[$2] = $3 }
            END { for (name in stops) if (!(name in two)) print name, stops[name], who[name] }' >shown
    while read -r name stops who; do
        [ -n "$(phase "$2" "$name" blocks)" ] || continue
        is "$1: $name stops forwards" "$(phase "$2" "$name" blocks)" "$stops"
        is "$1: who does $name" "$(phase "$2" "$name" who)" "$who"
    done <shown
}

# -- what new and running requests see, generation by generation --------------------------------------
for generation in restart m1 g1 g2 g2.1 g3 masked eep; do
    lite resize.generation=$generation
    accounted $generation
    is "$generation grows" "$(resize up outcome)" '"complete"'
    is "$generation shrinks" "$(resize down outcome)" '"complete"'
    is "$generation: size" "$(last_size)" 5
    as_shown $generation up
    # The same work has the same price whoever does it.
    for phase in launch:17 standby_groups:5.16 kernel_warm_up:3 graph_capture:5.1; do
        start=$(phase up ${phase%:*} start_s)
        [ -z "$start" ] || holds "$generation: ${phase%:*}" "($(phase up ${phase%:*} end_s) - $start - ${phase#*:})^2 < 1e-12"
    done
    for id in up down; do
        times $id
        case $generation in
        restart | m1 | g1) refused_within $id "$t0" "$t2" ;;
        eep)
            is 'eep: 503s' "$(resize $id rejected)" 0
            is 'eep: seconds of 503s' "$(resize $id reject_s)" 0
            ;;
        *) refused_within $id "$t1" "$t2" ;;
        esac
    done
    frozen_s=$(awk "BEGIN { print $(resize down max_itl_ms) / 1000 }")
    case $generation in
    restart) holds 'restart: its engines end with their requests' "$(resize up aborted) > 0 && $(resize down aborted) > 0" ;;
    m1)
        is 'm1: drained' "$(total_of aborted)" 0
        holds 'm1: 503s begin before anything stands still' "$(resize up reject_s) > $(resize up stall_s) + 5"
        ;;
    g1 | g2 | g2.1)
        is "$generation: nobody is aborted to grow" "$(resize up aborted)" 0
        holds "$generation: those on leaving engines are" "$(resize down aborted) > 0"
        holds "$generation: the others freeze" "$frozen_s > 0.9 * $(resize down stall_s) && $(resize down stall_s) > 8"
        ;;
    g3) holds 'g3: freezes for less than a second' "$(resize up stall_s) < 1 && $(resize down stall_s) < 1 && $frozen_s < 1" ;;
    masked)
        is 'masked: all GPUs are billed' "$(figure gpu_hours)" 0.4
        holds 'masked: reserve' "$(figure reserved) > 0.05"
        ;;
    eep)
        is 'eep: nobody is aborted' "$(total_of aborted)" 0
        is 'eep: all are served' "$(figure completed)" "$(figure submitted)"
        holds 'eep: stall' "$(resize up stall_s) < 1 && $(resize down stall_s) < 1 && $frozen_s < 1"
        holds 'eep: some move on to new engines' "$(resize up migrated) > 0 && $(resize up kv) > 0"
        is 'eep: marked' "$(resize up design_study)" true
        ;;
    esac
done

# -- graphs are kept with nixl_ep by g3 and eep, by nobody elsewhere -----------------------------------
for generation in g3 eep; do
    lite resize.generation=$generation
    is "$generation: new ranks capture beside serving" "$(phase up graph_capture who) $(phase up graph_capture blocks)" 'new false'
    lite resize.generation=$generation all2all_backend=allgather_reducescatter
    is "$generation: all capture again" "$(phase up graph_capture who) $(phase up graph_capture blocks)" 'all true'
    holds "$generation: stall" "$(resize up stall_s) > 8"
    [ $generation = g3 ] || is 'eep: nobody is lost for that' "$(figure completed)" "$(figure submitted)"
done

# -- g2.1 moves experts after the resume to grow, with asynchronous EPLB; inside the commit to shrink --
lite resize.generation=g2.1
holds 'async: after the resume' "$(resize up experts_ready_s) > $(resize up prepare_s) + $(resize up commit_s)"
is 'async' "$(phase up reshuffle blocks) $(phase down reshuffle blocks)" 'false true'
async_stall=$(resize up stall_s)
for word in use_async=false communicator=pynccl; do
    lite resize.generation=g2.1 eplb_config.$word
    is "$word" "$(phase up reshuffle blocks) $(phase down reshuffle blocks)" 'true true'
    holds "$word: before the resume" "$(resize up experts_ready_s) <= $(resize up prepare_s) + $(resize up commit_s)"
    holds "$word: stands still for longer" "$(resize up stall_s) > $async_stall + 0.1"
done
grep -q 'use_async is false' run/summary.json || fail 'pynccl: nothing said of use_async'

# -- restart keeps the slots, or fits anew ---------------------------------------------------------------
lite resize.generation=restart
slots=$(resize up expert)
lite resize.generation=restart resize.restart.refit=true
is '64 experts instead of 8 x 16 slots' "$((2 * $(resize up expert)))" "$slots"

# -- eep: background work slows the steps beside it, or does not ------------------------------------------
lite resize.generation=eep
with_background=$(figure mean_itl_ms)
lite resize.generation=eep resize.background=0
holds 'background' "$(figure mean_itl_ms) < $with_background"

# -- eep: deadlines and cancels lead back to the old size, and nothing is lost ------------------------------
undone() { # WHAT REASON
    accounted "$1"
    is "$1" "$(resize up outcome) $(resize up reason)" "\"rolled_back\" \"$2\""
    is "$1: size" "$(last_size)" "$old"
    is "$1: served" "$(figure completed)" "$(figure submitted)"
    is "$1: 503s" "$(resize up reject_s)" 0
}
grow='events=[{id: up, at: 20s, scale_elastic_ep: {new_data_parallel_size: 8}}'
old=4
lite resize.generation=eep resize.commit_deadline=2s all2all_backend=allgather_reducescatter -- --set "$grow]"
undone 'commit deadline' 'a wait of the resize ran out of time'
holds 'commit deadline: stall' "$(resize up stall_s) > 1.9 && $(resize up stall_s) < 2.2"
lite resize.generation=eep resize.prepare_deadline=10s -- --set "$grow]"
undone 'prepare deadline' 'a wait of the resize ran out of time'
for phase in launch standby_groups weights_tree kernel_warm_up graph_capture preload map_broadcast pause switch; do
    lite resize.generation=eep -- --set "$grow, {during: {resize: up, phase: $phase, after: 1ms}, cancel: {resize: up}}]"
    undone "cancel in $phase" cancelled
done
lite resize.generation=eep -- --set "$grow, {during: {resize: up, phase: settle, after: 1ms}, cancel: {resize: up}}]"
is 'cancel after the group was adopted' "$(resize up outcome)" '"complete"'
shrink='events=[{id: up, at: 40s, scale_elastic_ep: {new_data_parallel_size: 5}}'
eight=(data_parallel_size=8 eplb_config.num_redundant_experts=64)
old=8
for phase in standby_groups reshuffle drain migrate pause switch; do
    lite resize.generation=eep resize.leaving_drain=1s "${eight[@]}" -- \
        --set "$shrink, {during: {resize: up, phase: $phase, after: 1ms}, cancel: {resize: up}}]"
    undone "shrinking, cancel in $phase" cancelled
done

# -- eep: requests of leaving engines end, or move with their KV ----------------------------------------------
lite resize.generation=eep resize.leaving_drain=0s "${eight[@]}" -- --set "$shrink]"
holds 'moved' "$(resize up migrated) > 10 && $(resize up kv) > 0"
is 'moved: served' "$(figure completed)" "$(figure submitted)"
is 'KV bytes' "$(sed -n 's/.*"kv_moved".*"bytes_moved":\([0-9]*\).*/\1/p' run/events.jsonl | awk '{ n += $1 } END { print n }')" "$(resize up kv)"
# Who leaves holds least: not the highest here.
stayed=$(awk -F, 'NR > 1 && $2 > 45e9 { on[$7] } END { for (e in on) print e }' run/requests.csv | sort -n | tr '\n' ' ')
is 'five stay' "$(echo "$stayed" | wc -w)" 5
[ "$stayed" != '0 1 2 3 4 ' ] || fail 'the highest ranks left'
lite resize.generation=eep resize.leaving_drain=60s "${eight[@]}" -- --set "$shrink]"
is 'all ended in time' "$(resize up migrated) $(figure completed)" "0 $(figure submitted)"
lite resize.generation=masked resize.leaving_drain=0s "${eight[@]}" -- --set "$shrink]"
holds 'masked aborts them' "$(resize up aborted) > 10"

# -- a newer request queues, is refused, or takes the place -----------------------------------------------------
two='events=[{id: a, at: 20s, scale_elastic_ep: {new_data_parallel_size: 8}}, {id: b, at: 30s, scale_elastic_ep: {new_data_parallel_size: 5}}]'
lite resize.generation=eep resize.on_busy=queue -- --set "$two"
is 'queue' "$(resize a outcome) $(resize b outcome) $(resize b from)" '"complete" "complete" 8'
lite resize.generation=eep resize.on_busy=refuse -- --set "$two"
is 'refuse' "$(resize a outcome) $(resize b outcome) $(last_size)" '"complete" "refused" 8'
lite resize.generation=eep resize.on_busy=supersede -- --set "$two"
is 'supersede' "$(resize a outcome) $(resize a reason) $(resize b outcome) $(resize b from)" \
    '"rolled_back" "superseded by a newer request" "complete" 4'
is 'supersede: served' "$(figure completed)" "$(figure submitted)"

# -- what the field rules out is refused with its rule -----------------------------------------------------------
no() { # MESSAGE ARGUMENT...
    local message=$1
    shift
    for command in check run; do refused "$message" $command "$lite" "$@"; done
}
to() { echo "events=[{id: d, at: 10s, scale_elastic_ep: {new_data_parallel_size: $1}}]"; }
no 'enable_dbo does not work with enable_elastic_ep' --set deployment.enable_dbo=true
for generation in m1 g1 g2 g2.1 g3 eep; do
    no 'cannot change its ranks while it serves' --set deployment.resize.generation=$generation \
        --set deployment.all2all_backend=flashinfer_nvlink_one_sided
done
checks "$lite" --set deployment.resize.generation=restart --set deployment.all2all_backend=flashinfer_nvlink_one_sided
no 'cannot mask ranks' --set deployment.resize.generation=masked --set deployment.all2all_backend=allgather_reducescatter
no 'minimum is ceil(64 * 4 / (64 + 0)) = 4' --set "$(to 3)"
no 'minimum is ceil(64 * 4 / (64 + 0)) = 4' --set "$(to 3)" --set deployment.resize.generation=restart
no 'need 9 GPUs' --set "$(to 9)"
no 'too many for nixl_ep: at most 32' --set "$(to 40)" --set hardware.nodes=5
checks "$lite" --set "$(to 40)" --set hardware.nodes=5 --set deployment.all2all_backend=allgather_reducescatter
no 'pipeline_parallel_size above 1' --set deployment.pipeline_parallel_size=2
no 'data_parallel_external_lb' --set deployment.data_parallel_external_lb=true
no 'data_parallel_hybrid_lb' --set deployment.data_parallel_hybrid_lb=true
no 'vLLM refuses drafters with experts' --set 'deployment.speculative_config={method: mtp}'
no 'torch_gloo cannot join' --set deployment.eplb_config.communicator=torch_gloo
no 'needs enable_eplb' --set deployment.enable_eplb=false
no 'cannot be resized: enable_elastic_ep' --set deployment.enable_elastic_ep=false
no '67 do not divide' --set deployment.eplb_config.num_redundant_experts=3
no 'has no way back' --set deployment.resize.on_busy=supersede
no 'nothing can be cancelled' --set 'events=[{id: d, at: 10s, scale_elastic_ep: {new_data_parallel_size: 8}}, {at: 15s, cancel: {resize: d}}]'
no 'runs the engines of its reserve and no more' --set deployment.resize.generation=masked --set deployment.resize.reserve=6

# -- the twin: only beside it are dip and recovery known -----------------------------------------------------------
lite resize.generation=g2.1
is 'no twin' "$(resize up dip_tokens) $(resize up recover_s)" 'null null'
lite resize.generation=g2.1 -- --twin
dip=$(resize up dip_tokens)
holds 'dip and recovery' "$dip > 10000 && $(resize up recover_s) > 0"
lite resize.generation=eep -- --twin
holds 'eep dips less' "$(resize up dip_tokens) * 5 < $dip"

# -- compare: other seeds or traffic are refused unless forced -------------------------------------------------------
for which in 'base -' 'other deployment.resize.generation=eep' 'seed seed=6' 'rate traffic.synthetic.rate=10/s'; do
    with
    [ "${which#* }" = - ] || arguments=(--set "${which#* }")
    eep run "$lite" "${arguments[@]}" --out "${which% *}" --quiet
    exits 0
done
eep compare base other
exits 0
out_has 'resize down'
refused 'their seeds differ' compare base seed
refused 'their traffic differ' compare base rate
eep compare base seed --force
exits 0
finish
