#!/usr/bin/env bash
# Small runs whose decisions and requests are compared whole with the files beside the scenario:
# NAME.yaml, NAME.events.jsonl, NAME.requests.csv. After a change that is meant to move them:
# tests/golden-update, in a commit of its own that says why they moved.
. "$(dirname "$0")/../cli/kit.sh"

for scenario in "$root"/tests/golden/*.yaml; do
    name=$(basename "$scenario" .yaml)
    eep run "$scenario" --out "$name" --quiet
    exits 0
    out_is_empty
    err_is_empty
    for file in events.jsonl requests.csv; do
        diff "$root/tests/golden/$name.$file" "$name/$file" >"$scratch/diff" ||
            fail "$name.$file differs; meant? tests/golden-update
$(head -n 12 "$scratch/diff")"
    done
done
finish
