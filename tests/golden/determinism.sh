#!/usr/bin/env bash
# The same scenario and seed give the same bytes, wherever and whenever they run: another folder,
# another name, another locale and time zone, other stacks and addresses. Another seed does not.
. "$(dirname "$0")/../cli/kit.sh"

same() { # same A B: run folders alike apart from wallclock.json
    diff -r --exclude wallclock.json "$1" "$2" >"$scratch/diff" ||
        fail "$2 differs from $1: $(head -n 5 "$scratch/diff")"
}

mkdir -p elsewhere/deep
for scenario in "$root"/tests/golden/*.yaml "$root/scenarios/quickstart.yaml"; do
    name=$(basename "$scenario" .yaml)
    steps=--set=output.events=steps
    [ "$name" = quickstart ] && steps=--set=output.events=requests
    eep run "$scenario" --out "$name" --quiet "$steps"
    exits 0
    cd elsewhere/deep || exit 2
    eep run "$scenario" --out ../other-name --quiet "$steps"
    exits 0
    cd ../..
    same "$name" elsewhere/other-name
    for language in de_DE.UTF-8 tr_TR.UTF-8 C.UTF-8; do
        locale -a 2>/dev/null | grep -qix "${language/-/}" || [ $language = C.UTF-8 ] || continue
        LC_ALL=$language TZ=Asia/Kathmandu LC_NUMERIC=$language eep run "$scenario" --out again --quiet "$steps"
        exits 0
        same "$name" again
    done
    MALLOC_PERTURB_=165 eep run "$scenario" --out again --quiet "$steps"
    exits 0
    same "$name" again

    # The effective scenario that the run folder holds is enough to run it again.
    trace=()
    for file in csv jsonl; do
        [ -f "$root/tests/golden/$name.$file" ] &&
            trace=(--set "traffic.trace.path=$root/tests/golden/$name.$file")
    done
    eep run "$name/scenario.yaml" --out again --quiet "${trace[@]}"
    exits 0
    cmp -s "$name/requests.csv" again/requests.csv || fail "$name: its scenario.yaml is another run"
    cmp -s "$name/timeline.csv" again/timeline.csv || fail "$name: its scenario.yaml is another run"
done

# A seed moves what is drawn, and --seed is the same as the key.
eep run quickstart --out seed --quiet --seed 8
exits 0
cmp -s seed/requests.csv quickstart/requests.csv && fail "another seed, the same requests"
eep run quickstart --out again --quiet --set seed=8
exits 0
same seed again

# Nothing but wallclock.json names a folder, a host or a date.
for word in "$scratch" "$(hostname)" "$(date +%Y-%m-%d)"; do
    [ -n "$word" ] || continue
    ! grep -rqF --exclude wallclock.json -- "$word" quickstart || fail "the run folder says $word"
done
finish
