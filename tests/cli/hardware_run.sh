#!/usr/bin/env bash
# run --backend cuda on emulated devices: its run folder is a simulation's, its journal replays in the
# coordinator's process alone, and it ends as a simulation does.
# Usage: hardware_run.sh ROOT EEP JSON_CHECK SCHEMA_FILE DAMAGE WORKER
. "$(dirname "$0")/kit.sh"
schema_file=$4 damage=$5 worker=$6
scenario=$root/tests/cli/hardware_run.yaml
export EEP_WORKER=$worker

on_workers=(--backend cuda --device emulated)
same() { # same A B: run folders alike apart from wallclock.json
    diff -r --exclude wallclock.json "$1" "$2" >"$scratch/diff" ||
        fail "$2 differs from $1: $(head -n 5 "$scratch/diff" | cut -c 1-300)"
}
has_event() { grep -q "$2" "$1/events.jsonl" || fail "$1 has no event $2"; }
# Processes of this test alone: their environment names its scratch folder.
export EEP_TEST_MARK=$scratch
no_worker_left() {
    local left try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        left=$(grep -lsz "^EEP_TEST_MARK=$scratch\$" /proc/[0-9]*/environ | while read -r file; do
            [ "$(readlink "$(dirname "$file")/exe")" != "$worker" ] || dirname "$file"
        done)
        [ -n "$left" ] || return 0
        sleep 0.2
    done
    fail "workers are left: $left"
}

# -- a run and its folder --------------------------------------------------------------------------

eep run "$scenario" "${on_workers[@]}" --journal journal --out hw --set output.events=steps
exits 0
head -n 1 "$scratch/out" | grep -q 'EMULATED$' || fail 'line 1 does not say EMULATED'
out_has 'Journal   journal'
grep -qE '^Workers   4 workers, 0 lost; right: [1-9][0-9,]* probes' "$scratch/out" || fail 'no line Workers'
no_worker_left
eep run "$scenario" --out sim --quiet --set output.events=steps
exits 0

[ "$(ls hw)" = "$(ls sim)" ] || fail "files differ: $(ls hw | tr '\n' ' ')"
for table in requests.csv timeline.csv; do
    [ "$(head -n 1 hw/$table)" = "$(head -n 1 sim/$table)" ] || fail "columns of $table differ"
    [ "$(wc -l <hw/$table)" -gt 3 ] || fail "$table is empty"
done
diff hw/scenario.yaml sim/scenario.yaml >/dev/null || fail 'scenario.yaml differs'
members() { grep -o '^ *"[a-z0-9_]*"' "$1/summary.json" | sort -u; }
[ "$(members hw)" = "$(members sim)" ] || fail "members of summary.json differ: $(diff <(members hw) <(members sim))"
"$schema_file" summary hw/summary.json 2>"$scratch/diff" || fail "summary.json: $(cat "$scratch/diff")"
"$schema_file" event hw/events.jsonl lines 2>"$scratch/diff" || fail "events.jsonl: $(cat "$scratch/diff")"
"$schema_file" wallclock hw/wallclock.json 2>"$scratch/diff" || fail "wallclock.json: $(cat "$scratch/diff")"
"$json_check" <hw/trace.json || fail 'trace.json is no JSON'
for name in step 'resize 2->4' launch standby_groups weights_from_peer switch warm_up graph_capture reshuffle; do
    grep -q "\"ph\":\"X\".*\"name\":\"$name\"" hw/trace.json || fail "trace.json has no span $name"
done
grep -q '"otherData":{"label":"EMULATED","backend":"cuda",' hw/trace.json || fail 'trace.json does not say that it is emulated'
grep -q '"otherData":{"label":"SIMULATED","backend":"sim",' sim/trace.json || fail 'trace.json does not say that it is simulated'
# Which devices it ran on, and what was checked.
[ "$(grep -c '"device": "emulated' hw/wallclock.json)" -eq 4 ] || fail "not four devices: $(cat hw/wallclock.json)"
[ "$(grep -c "\"host\": \"$(uname -n)\"" hw/wallclock.json)" -eq 5 ] || fail "hosts: $(cat hw/wallclock.json)"
grep -qE '"probes": [1-9]' hw/wallclock.json || fail "no probes: $(cat hw/wallclock.json)"
! grep -q '"workers"' sim/wallclock.json || fail 'a simulated run has workers'
# Hosts and paths stand in wallclock.json alone.
for word in "$(uname -n)" "$scratch" "$(dirname "$worker")"; do
    ! grep -rlF --exclude wallclock.json -- "$word" hw >"$scratch/diff" || fail "$word is in $(cat "$scratch/diff")"
done
has_event hw '"eplb_rearranged","trigger":"interval"'
has_event hw '"resize_ended","id":"shrink","by":"scenario","from":4,"to":2,"generation":"g2.1","outcome":"complete"'
if command -v gnuplot >/dev/null; then
    cp -r hw pictures
    eep plot pictures
    exits 0
    grep -q '</svg>' pictures/plots/resize_2.svg || fail 'no picture of the second resize'
fi

# Against the simulation: the decisions of both.
eep compare sim hw
exits 0
grep -qE '^  resizes +4 +4  the same$' "$scratch/out" || fail 'resizes were decided otherwise'
grep -qE '^  phases +[0-9]+ +[0-9]+  the same$' "$scratch/out" || fail 'phases came in another order'
grep -qE '^  grow launch \(new\) +[0-9.]+ +[0-9.]+  [0-9.]+$' "$scratch/out" || fail 'no ratio of a phase'
eep compare sim hw --json
exits 0
out_is_json

# -- its journal -----------------------------------------------------------------------------------

replays() { # replays FOLDER ARGUMENT...: from the journal alone, whatever is left of the workers
    local folder=$1
    shift
    rm -rf replayed
    EEP_WORKER=/nowhere eep run "$scenario" --replay "$@" --out replayed
    exits 0
    err_is_empty
    head -n 1 "$scratch/out" | grep -q 'EMULATED$' || fail 'line 1 does not say EMULATED'
    out_has 'Replay    every decision is as in'
    same "$folder" replayed
}
replays hw journal --set output.events=steps
replays hw journal --set output.events=steps --backend cuda
replays hw journal --set output.events=steps --backend cuda --device emulated
for told in '--backend sim' '--backend cuda --device gpu'; do
    # shellcheck disable=SC2086
    refused 'journal: was recorded from a run that was EMULATED' run "$scenario" --replay journal \
        --set output.events=steps $told
done
refused 'journal: was recorded from another run: line ' run "$scenario" --replay journal
err_has 'was "output: {events: steps}" and is "output: {events: decisions}"'
refused 'max_num_seqs: 31' run "$scenario" --replay journal --set output.events=steps \
    --set deployment.max_num_seqs=31
refused 'journal: was recorded from another run: ' run "$scenario" --replay journal \
    --set output.events=steps --seed 8

size=$(stat -c %s journal)
# Half may end where a record does: one byte more is a torn one in any case.
{ head -c $((size / 2)) journal && printf x; } >torn
eep run "$scenario" --replay torn --out replayed --quiet --set output.events=steps
exits 130
err_has 'bytes are torn and are left out'
err_has 'torn: ends before the run does: replayed up to'
"$damage" journal flip "$("$damage" journal offset 100)" 5 >flipped
eep run "$scenario" --replay flipped --out other --quiet --set output.events=steps
[ $status -eq 2 ] || [ $status -eq 130 ] || fail 'a damaged journal was replayed'
"$damage" journal hash 200 >diverged
eep run "$scenario" --replay diverged --out other --quiet --set output.events=steps
exits 1
err_has 'replay: the actions differ first at event 200: '

# -- a worker that is killed -----------------------------------------------------------------------

death='events=[{id: grow, at: 500ms, scale_elastic_ep: {new_data_parallel_size: 4}}, {id: death, during: {resize: grow, phase: settle, after: 500ms}, fail: {rank: 1}}]'
kill=(--set "$death" --set traffic.synthetic.duration=5s --set deployment.fault_tolerance.recovery=shrink
    --set deployment.fault_tolerance.expert_backup=host_memory --set deployment.fault_tolerance.detect.heartbeat=500ms)
eep run "$scenario" "${on_workers[@]}" --journal killed.journal --out killed --json "${kill[@]}"
exits 0
out_is_json
diff -q "$scratch/out" killed/summary.json >/dev/null || fail '--json is not summary.json'
has_event killed '"fault_detected","id":"death"'
has_event killed '"incident_ended","id":"death","fault":"fail","detail":"recovered"'
"$schema_file" summary killed/summary.json 2>"$scratch/diff" || fail "summary.json: $(cat "$scratch/diff")"
no_worker_left
replays killed killed.journal "${kill[@]}"

# -- other ends ------------------------------------------------------------------------------------

short=(--set events=[] --set traffic.synthetic.duration=1s)
# Cut in the middle; expectations that are met and missed. --quiet leaves nothing on out.
eep run "$scenario" "${on_workers[@]}" --out cut --quiet --journal cut.journal "${short[@]}" --set run.end=cut \
    --set run.duration=600ms --set 'expect=[completed >= 1, completed >= 1000]'
exits 3
out_is_empty
! grep -q '^eep:' "$scratch/err" || fail 'not quiet'
grep -q '"duration": 0.[56]' cut/summary.json || fail 'was not cut'
no_worker_left
eep run "$scenario" --replay cut.journal --out replayed --quiet "${short[@]}" --set run.end=cut \
    --set run.duration=600ms --set 'expect=[completed >= 1, completed >= 1000]'
exits 3
same cut replayed

until_event() { # until_event FOLDER TEXT: of a run that goes on; at most 20 s
    local i
    for i in {1..200}; do
        ! grep -q "$2" "$1/.events.jsonl.partial" 2>/dev/null || return 0
        sleep 0.1
    done
    fail "within 20 s $1 has no event $2"
}

# Ctrl-C: exit 130, a partial summary, nobody left. The journal is good up to there.
last='Ctrl-C'
long=(--set events=[] --set traffic.synthetic.duration=60s --set output.events=requests)
"$program" run "$scenario" "${on_workers[@]}" --out stopped --journal stopped.journal "${long[@]}" \
    >"$scratch/out" 2>"$scratch/err" </dev/null &
pid=$!
until_event stopped '"fate":"completed"'
kill -INT $pid
wait $pid
status=$?
exits 130
grep -q '"interrupted": true' stopped/summary.json || fail 'summary.json is not marked'
"$schema_file" summary stopped/summary.json 2>"$scratch/diff" || fail "summary.json: $(cat "$scratch/diff")"
grep -q '"completed": [1-9]' stopped/summary.json || fail 'nothing was completed'
no_worker_left
eep run "$scenario" --replay stopped.journal --out replayed --quiet "${long[@]}"
exits 130
same stopped replayed

# The same where nothing happens for long: it has lasted until then.
last='Ctrl-C at rest'
# The event asks for the size that there is, which tells that the run has begun.
rare=(--set 'events=[{id: begun, at: 0s, scale_elastic_ep: {new_data_parallel_size: 2}}]' --set traffic.synthetic.duration=600s --set traffic.synthetic.rate=0.01/s)
"$program" run "$scenario" "${on_workers[@]}" --out rested --journal rested.journal "${rare[@]}" \
    >"$scratch/out" 2>"$scratch/err" </dev/null &
pid=$!
until_event rested begun
sleep 2
kill -INT $pid
wait $pid
status=$?
exits 130
at=$(sed -n 's/^  "duration": \([0-9.]*\),$/\1/p' rested/summary.json)
awk -v at="$at" 'BEGIN { exit !(at > 1.5 && at < 3.5) }' || fail "its summary ends at '$at' s"
no_worker_left
eep run "$scenario" --replay rested.journal --out replayed --quiet "${rare[@]}"
exits 130
same rested replayed
finish
