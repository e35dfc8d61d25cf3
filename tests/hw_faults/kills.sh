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

# killed GENERATION RESIZE PHASE RANK DETECT MODE
killed() {
    hw EEP_EMULATED_NCCL_DETECT=$5 -- $(options_of $6) --set deployment.resize.generation=$1 \
        --set "events.2={id: kill, during: {resize: $2, phase: $3}, fail: {rank: $4}}"
    sound
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
i=0
for generation in g2.1 eep restart; do
    for resize in grow shrink; do
        for phase in $(phases $generation $resize); do
            for rank in $((i % 2)) 2; do
                for detect in 1 0; do
                    mode=${modes[i % 4]} i=$((i + 1))
                    run_case $generation-$resize-$phase-$rank-$detect-$mode killed $generation $resize $phase $rank $detect $mode
                done
            done
        done
    done
done
finish
