#!/usr/bin/env bash
# Every key that `eep explain` lists changes something: two runs that differ in it alone differ where keys.txt says.
root=$1 program=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-keys.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
export EEP_DATA_DIR=$root LC_ALL=C
cd "$here/keys" || exit 2
failures=0

fail() {
    failures=$((failures + 1))
    echo "$*"
}

# A list in flow style holds blanks; a `--set` begins where a word holds `=` after a key.
sets_of() { # TEXT -> array `sets`
    sets=()
    local word
    for word in $1; do
        if [[ $word =~ ^[a-z0-9_.]+= ]]; then
            sets+=(--set "$word")
        else
            sets[-1]+=" $word"
        fi
    done
}

# run DIR SCENARIO SETS EVIDENCE: leaves what EVIDENCE looks at in DIR/evidence
run() {
    local folder=$1 scenario=$2 evidence=$4 status
    [ -e "$folder/evidence" ] && return
    mkdir -p "$folder"
    sets_of "$3"
    if [ "$evidence" = check ]; then
        "$program" check "$scenario.yaml" "${sets[@]}" >"$folder/evidence" 2>"$folder/err" || {
            fail "check $scenario ${sets[*]}: $(cat "$folder/err")"
        }
        return
    fi
    "$program" run "$scenario.yaml" "${sets[@]}" --out "$folder/run" >"$folder/screen" 2>"$folder/err"
    status=$?
    if [ "$evidence" = exit ]; then
        echo $status >"$folder/evidence"
        return
    fi
    [ $status -eq 0 ] || fail "exit $status of run $scenario ${sets[*]}: $(cat "$folder/err")"
    case $evidence in
        requests) cp "$folder/run/requests.csv" "$folder/evidence" ;;
        timeline) cp "$folder/run/timeline.csv" "$folder/evidence" ;;
        events) cp "$folder/run/events.jsonl" "$folder/evidence" ;;
        summary) sed '/"sha256": {/,/}/d' "$folder/run/summary.json" >"$folder/evidence" ;;
        screen) sed '/^Folder/d; / of traffic in /d; /^Next/d' "$folder/screen" >"$folder/evidence" ;;
    esac 2>/dev/null
    rm -rf "$folder/run"
}

n=0
while IFS='|' read -r key scenario both second evidence; do
    read -r key <<<"$key"
    case $key in '' | '#'*) continue ;; esac
    read -r scenario <<<"$scenario"
    read -r evidence <<<"$evidence"
    echo "$key" >>"$scratch/named"
    [ "$evidence" = none ] && continue
    n=$((n + 1))
    first=$scratch/$(echo "$scenario $both $evidence" | cksum | tr ' ' -)
    run "$first" "$scenario" "$both" "$evidence"
    run "$scratch/$n" "$scenario" "$both $second" "$evidence"
    cmp -s "$first/evidence" "$scratch/$n/evidence" &&
        fail "$key: $scenario $second: no difference in $evidence"
    rm -rf "${scratch:?}/$n"
done <keys.txt

"$program" explain | sed -n 's/^  \([a-z][^ ]*\) .*/\1/p' | sort -u >"$scratch/listed"
sort -u "$scratch/named" >"$scratch/sorted"
while read -r key; do fail "$key: listed by eep explain, not in keys.txt"; done < <(comm -23 "$scratch/listed" "$scratch/sorted")
while read -r key; do fail "$key: in keys.txt, not listed by eep explain"; done < <(comm -13 "$scratch/listed" "$scratch/sorted")

[ $failures -eq 0 ] || exit 1
echo "$n keys have an effect"
