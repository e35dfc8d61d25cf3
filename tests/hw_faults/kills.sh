#!/usr/bin/env bash
# A worker killed with -9 in each phase of a resize, announced and silent; killed and stopped from outside; lost and
# replaced. The run notices, does what its recovery says in bounded time, and leaves nothing behind.
. "$(dirname "$0")/kit.sh"

ft=deployment.fault_tolerance
modes=(none restart shrink replace)

# How long a recovery may take on a busy machine, by mode.
options_of() {
    printf -- '--set %s.recovery=%s ' $ft "$1"
    [ "$1" != replace ] || printf -- '--set %s.spares.engines=1 ' $ft
}

incidents() { grep -c '^incidents\.[0-9]*\.id=' flat; }

# What became of the first incident.
told_incident() {
    tell "$(figure incidents.0.outcome), found by $(figure incidents.0.detected_by) after $(figure incidents.0.detection_s) s, recovered after $(figure incidents.0.recovery_s) s; resizes: $(grep -E '^resizes\.[0-9]*\.outcome' flat | cut -d = -f 2 | tr '\n' ' ')"
}

# What a loss of a serving engine comes to by the mode, and how it was noticed.
as_mode_says() {
    local mode=$1 outcome
    outcome=$(figure incidents.0.outcome)
    [ $status -eq 0 ] || fail "exit $status: $(grep '^eep: ' err | tail -n 1)"
    [ $seconds -lt 20000 ] || fail "it took $seconds ms"
    # Nothing is left that will never end: the run is over soon after whatever happened last.
    awk -v wall=$((seconds - startup)) -v last="$(figure duration)" 'BEGIN { exit !(wall / 1000 - last < 4) }' ||
        fail "it ended $((seconds - startup)) ms after its start, and nothing happened after $(figure duration) s"
    [ "$outcome" != recovered ] || [ "$(figure incidents.0.recovery_s)" != null ] || fail 'recovered, but never'
    case $mode in
    none) [ "$outcome" = exited ] || [ "$outcome" = recovered ] || [ "$outcome" = unrecovered ] || fail "the incident is $outcome" ;;
    *) [ "$outcome" = recovered ] || fail "the incident is $outcome" ;;
    esac
}

# killed GENERATION RESIZE PHASE RANK DETECT MODE
killed() {
    hw EEP_EMULATED_NCCL_DETECT=$5 -- $(options_of $6) --set deployment.resize.generation=$1 \
        --set "events.2={id: kill, during: {resize: $2, phase: $3}, fail: {rank: $4}}"
    sound
    # At some moments there is nobody of that rank, which is told.
    if [ "$(incidents)" -eq 0 ] && grep -q '"event":"fault_without_target"' run/events.jsonl; then
        tell 'nobody was there'
        return
    fi
    as_mode_says $6
    told_incident
}

# from_outside SIGNAL DETECT MODE: worker 2 gets a signal that no scenario knows of.
from_outside() {
    (
        serves 10
        for pid in $(processes "$PWD"); do
            tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- '--worker 2 ' && kill "-$1" "$pid"
        done
    ) &
    hw EEP_EMULATED_NCCL_DETECT=$2 -- $(options_of $3) --set 'events=[]' --set output.events=requests
    sound
    [ "$(figure incidents.0.id)" = found-1 ] || fail 'the loss is no incident'
    as_mode_says $3
    if [ $3 = replace ]; then
        [ "$(figure resizes.1.outcome)" = complete ] || fail 'nobody took its place'
    fi
    told_incident
}

# phases GENERATION RESIZE: of a run without faults.
phases() {
    sed -n "s/.*\"event\":\"resize_phase\",\"id\":\"$2\",\"phase\":\"\([a-z_]*\)\".*/\1/p" "clean-$1/run/events.jsonl"
}

clean() {
    hw -- --set deployment.resize.generation=$1
    sound
    [ "$(figure resizes.0.outcome) $(figure resizes.1.outcome)" = 'complete complete' ] || fail 'a resize failed'
}

for generation in g2.1 eep restart; do run_case clean-$generation clean $generation; done
wait
for signal in KILL STOP; do
    for mode in ${modes[@]}; do
        for detect in 1 0; do
            [ $size = deep ] || [ $detect = 1 ] || continue
            run_case outside-$signal-$detect-$mode from_outside $signal $detect $mode
        done
    done
done
i=0
for generation in g2.1 eep restart; do
    for resize in grow shrink; do
        for phase in $(phases $generation $resize); do
            for rank in $((i / 4 % 2)) 2; do
                for detect in 1 0; do
                    # Over the phases each pair of victim and detection meets each mode.
                    mode=${modes[(i / 4 + i) % 4]} i=$((i + 1))
                    [ $size = deep ] || [ $((i % 19)) -eq 0 ] || continue
                    run_case $generation-$resize-$phase-$rank-$detect-$mode killed $generation $resize $phase $rank $detect $mode
                done
            done
        done
    done
done
finish
