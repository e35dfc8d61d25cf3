#!/usr/bin/env bash
# eep run --journal, then --replay: the same run folder, from the journal alone; and what becomes of
# journals that are cut off, damaged or another run's.
. "$(dirname "$0")/../cli/kit.sh"
damage=$4
golden=$root/tests/golden

same() { # same A B: run folders alike apart from wallclock.json
    diff -r --exclude wallclock.json "$1" "$2" >"$scratch/diff" ||
        fail "$2 differs from $1: $(head -n 5 "$scratch/diff")"
}

record_and_replay() { # record_and_replay NAME SCENARIO [--set KEY=VALUE...]
    local name=$1 scenario=$2
    shift 2
    eep run "$scenario" --journal "$name.journal" --out "$name" --quiet --set output.events=steps "$@"
    exits 0
    eep run "$scenario" --replay "$name.journal" --out replayed --quiet --set output.events=steps "$@"
    exits 0
    err_is_empty
    same "$name" replayed
    # Recording changes nothing.
    eep run "$scenario" --out plain --quiet --set output.events=steps "$@"
    same "$name" plain
}

for scenario in "$golden"/*.yaml; do
    record_and_replay "$(basename "$scenario" .yaml)" "$scenario"
done
record_and_replay cut "$golden/retry.yaml" --set run.end=cut --set run.duration=27s
# Looks that end in a rearrangement, and looks that do not.
for variant in imbalance-true-expected imbalance-false-expected cost_benefit-false-expected \
    cost_benefit-true-sampled; do
    IFS=- read -r trigger use_async mode <<<"$variant"
    record_and_replay $variant "$golden/eplb-async.yaml" --set skew.mode="$mode" \
        --set deployment.eplb_config.trigger="$trigger" --set run.end=cut --set run.duration=3s \
        --set deployment.eplb_config.check_interval=40 --set measure.warmup=0s \
        --set deployment.eplb_config.step_interval=100000 \
        --set deployment.eplb_config.use_async="$use_async"
    for event in eplb_rearranged eplb_kept; do
        # Draws of every window are others, and so is the map that suits them.
        [ "$mode,$event" = sampled,eplb_kept ] ||
            grep -q "\"$event\",\"trigger\":\"$trigger\"" $variant/events.jsonl ||
            fail "$variant: no $event"
    done
done
# Faults at a time, at a moment of a resize and drawn, with each way to recover.
faults=$root/tests/replay/faults.yaml
for recovery in none restart retry shrink replace mask_only; do
    [ $recovery = replace ] && spares=2 || spares=0
    record_and_replay faults-$recovery "$faults" --set deployment.fault_tolerance.recovery=$recovery \
        --set deployment.fault_tolerance.spares.engines=$spares
    grep -q '"incident_ended","id":"death"' faults-$recovery/events.jsonl ||
        fail "$recovery: no incident"
done
record_and_replay drawn "$faults" --set deployment.fault_tolerance.mtbf=10min
grep -q '"incident_ended","id":"mtbf-1"' drawn/events.jsonl || fail "no failure was drawn"
record_and_replay quickstart "$root/scenarios/quickstart.yaml"

journal=retry.journal
replays() { # replays FILE
    rm -rf replayed
    eep run "$golden/retry.yaml" --replay "$1" --out replayed --quiet --set output.events=steps
}
left_nothing() { [ ! -e replayed ] || fail "left $(ls -A replayed | tr '\n' ' ')"; }

# A torn tail is left out with a warning; the run is replayed as far as it goes and marked so. Less
# than a header is no journal.
size=$(stat -c %s $journal)
first=$("$damage" $journal offset 0)
for ((cut = first; cut < size; cut += (size - first) / 40 + 1)); do
    head -c $cut $journal >torn
    replays torn
    exits 130
    err_has 'torn: ends before the run does: replayed up to'
    grep -q '"interrupted": true' replayed/summary.json || fail "cut at $cut: not marked"
done
head -c $((size - 1)) $journal >torn
replays torn
exits 130
err_has 'bytes are torn and are left out'
for cut in 0 1 7 8 15 16 100 $((first / 2)) $((first - 1)); do
    head -c "$cut" $journal >torn
    replays torn
    exits 2
    err_has 'torn: journal: '
    left_nothing
done
# Zeros behind the last record are a torn tail too: a file system may keep the length without the data.
{ cat $journal && head -c 4096 /dev/zero; } >torn
replays torn
exits 0
err_has 'the last 4096 bytes are torn'
same retry replayed

# A bit that flips: an error that names the place, or, where it makes a length that leads beyond the
# file, a torn tail. Never another run with exit 0, never a crash.
for ((byte = 0; byte < size; byte += size / 150 + 1)); do
    "$damage" $journal flip $byte $((byte % 8)) >flipped
    replays flipped
    case $status in
    2)
        err_has 'flipped: '
        left_nothing
        ;;
    130) err_has 'are torn and are left out' ;;
    *) fail "bit $((byte % 8)) of byte $byte" ;;
    esac
done
# Each byte of a record's frame and body.
offset=$("$damage" $journal offset 100)
next=$("$damage" $journal offset 101)
for ((byte = offset; byte < next; byte++)); do
    "$damage" $journal flip $byte 3 >flipped
    replays flipped
    [ $status -eq 2 ] || [ $status -eq 130 ] || fail "byte $byte of record 100"
    [ $status -ne 2 ] || err_has "flipped: journal: bad record 101 at byte $offset"
done

# A hash of actions that differs, in a file that is in order: the first event is named.
for event in 0 1 57 300; do
    "$damage" $journal hash $event >diverged
    replays diverged
    exits 1
    err_has "replay: the actions differ first at event $event: "
    left_nothing
done

# Another scenario, seed or traffic is refused.
for change in seed=4 deployment.max_num_seqs=63 traffic.synthetic.rate=2/s output.events=requests; do
    eep run "$golden/retry.yaml" --replay $journal --out replayed --quiet \
        --set output.events=steps --set $change
    exits 2
    err_has "$journal: was recorded from another run: "
done
eep run "$golden/scale-up.yaml" --replay $journal --out replayed --quiet
exits 2
cp "$golden/prefix.yaml" "$golden/prefix.jsonl" .
sed -i 's/"output_length": 20/"output_length": 21/' prefix.jsonl
eep run prefix.yaml --replay prefix.journal --out replayed --quiet --set output.events=steps
exits 2

# No journal at all.
for file in missing "$golden/retry.yaml" /dev/null .; do
    replays "$file"
    exits 2
    left_nothing
done
refused 'exclude each other' run "$golden/retry.yaml" --journal a --replay b
finish
