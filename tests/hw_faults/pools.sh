#!/usr/bin/env bash
# Two pools on emulated workers, both resized under traffic, at once and one after the other: what happens to one of
# them, a recovery or its end, is none of the other's business.
. "$(dirname "$0")/kit.sh"
scenario=$here/pools.yaml
left_only=deployment.pools.left.fault_tolerance

outcomes() { # outcomes POOL: of its resizes that the scenario asked for
    grep '"event":"resize_ended"' run/events.jsonl | grep "\"pool\":\"$1\"" | grep '"by":"scenario"' |
        sed 's/.*"outcome":"\([a-z_]*\)".*/\1/' | tr '\n' ' '
}

# served POOL: some requests, and each of them to its end.
served() {
    awk -F, -v pool="$1" 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["pool"] == pool { n++; n_completed += $at["fate"] == "completed" }
        END { exit !(n > 5 && n_completed == n) }' run/requests.csv || fail "$1: not all requests were completed"
}

unharmed() { # unharmed POOL
    [ "$(outcomes "$1")" = 'complete complete ' ] || fail "$1: its resizes ended $(outcomes "$1")"
    served "$1"
    ! grep "\"pool\":\"$1\"" run/events.jsonl | grep -qE '"event":"(fault|fault_detected|deployment_exited)"' ||
        fail "$1: has a fault: $(grep "\"pool\":\"$1\"" run/events.jsonl | grep '"event":"fault' | head -n 1)"
}

replays() { # the options that the run had
    timeout 30 "$program" run "$scenario" --replay journal --quiet --out replayed \
        --set "gpu.listen=unix:$PWD/door" "$@" >replay 2>&1 || fail "its journal: $(head -n 1 replay)"
    diff -rq --exclude wallclock.json run replayed >replay || fail "its journal: $(head -n 1 replay)"
}

clean() { # clean OPTION...
    hw -- --journal journal "$@"
    sound
    [ $status -eq 0 ] || fail "exit $status"
    unharmed left
    unharmed right
    [ "$(figure incidents.0.id)" = '' ] || fail 'there is an incident'
    replays "$@"
    tell 'both grew and shrank'
}

killed() { # killed OUTCOME OPTION...: an engine of `left` is lost
    local outcome=$1
    shift
    hw -- --journal journal "$@"
    sound
    [ $status -eq 0 ] || fail "exit $status: $(grep '^eep: ' err | tail -n 1)"
    unharmed right
    [ "$(figure incidents.0.id) $(figure incidents.0.outcome) $(figure incidents.1.id)" = "kill $outcome " ] ||
        fail "the incident is $(figure incidents.0.id) $(figure incidents.0.outcome), $(figure incidents.1.id)"
    [ "$outcome" = exited ] || served left
    replays "$@"
    tell "$outcome after $(figure incidents.0.recovery_s) s"
}

now='events.4={id: kill, at: 1300ms, pool: left, fail: {rank: 1}}'
joining='events.4={id: kill, during: {resize: left-grow, phase: standby_groups}, pool: left, fail: {rank: 1}}'
run_case apart clean
run_case at-once clean --set events.1.at=500ms --set events.3.at=2s
run_case shrink killed recovered --set "$now"
run_case restart killed recovered --set "$now" --set $left_only.recovery=restart
run_case replace killed recovered --set "$now" --set $left_only.recovery=replace --set $left_only.spares.engines=1
run_case none killed exited --set "$now" --set $left_only.recovery=none
run_case joining killed recovered --set "$joining"
finish
