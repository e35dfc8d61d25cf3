# Shared by the scripts of this folder, on top of tests/cli/kit.sh: runs in the scratch folder `run`.
. "$(dirname "$0")/../cli/kit.sh"
export EEP_DATA_DIR=$root
keys=$root/tests/acceptance/keys

runs() { # SCENARIO ARGUMENT...
    eep run "$@" --out run --quiet
    exits 0
}
checks() { # SCENARIO ARGUMENT...
    eep check "$@"
    exits 0
}
# figure KEY: a number, string or truth value of summary.json that stands once
figure() { sed -n "s/^ *\"$1\": \(.*[^,]\),\{0,1\}$/\1/p" run/summary.json | head -n 1; }
# column NUMBER: of requests.csv by id, blank between
column() { tail -n +2 run/requests.csv | sort -t, -n -k1,1 | cut -d, -f"$1" | tr '\n' ' ' | sed 's/ $//'; }
is() { [ "$2" = "$3" ] || fail "$1: expected $3, got $2"; } # WHAT GOT EXPECTED
holds() { awk "BEGIN { exit !($2) }" || fail "$1: $2"; }    # WHAT CONDITION

# entry SECTION ID KEY: a figure of one entry of resizes or incidents
entry() {
    awk -v section="\"$1\": [" -v id="\"id\": \"$2\"," -v key="\"$3\":" '
        index($0, section) { in_section = 1 }
        in_section && index($0, id) { on = 1 }
        on && index($0, key) { sub(/.*: /, ""); sub(/,$/, ""); print; exit }' run/summary.json
}
resize() { entry resizes "$1" "$2"; }     # ID KEY
incident() { entry incidents "$1" "$2"; } # ID KEY
phases() { # ID: names in order of their begin
    awk -v id="\"id\": \"$1\"," '
        index($0, id) { on = 1 }
        on && /"name":/ { split($0, part, "\""); printf "%s ", part[4] }
        on && /"rejected":/ { exit }' run/summary.json
}
# phase ID NAME KEY: start_s, end_s, who or blocks of a phase of a resize
phase() {
    awk -v id="\"id\": \"$1\"," -v name="\"name\": \"$2\"," -v key="\"$3\":" '
        index($0, id) { on = 1 }
        on && index($0, name) { here = 1 }
        here && index($0, key) { sub(/.*: /, ""); sub(/,$/, ""); gsub(/"/, ""); print; exit }
        on && /"rejected":/ { exit }' run/summary.json
}
total_of() { sed -n "/^  *\"$1\": {/,/}/s/.*\"total\": \([0-9]*\).*/\1/p" run/summary.json | head -n 1; } # rejected, aborted
last_size() { tail -n 1 run/timeline.csv | cut -d, -f7; }
# Whatever happened: each request has one fate, and what GPUs did adds up.
accounted() { # WHAT
    holds "$1: fates" "$(figure submitted) == $(figure completed) + $(total_of rejected) + $(total_of aborted) + $(figure unfinished)"
    is "$1: rows" "$(($(wc -l <run/requests.csv) - 1))" "$(figure submitted)"
    is "$1: attempts" "$(awk -F, 'NR > 1 { n += $9 } END { print n }' run/requests.csv)" "$(figure attempts)"
    holds "$1: GPU-hours" "$(sed -n '/"gpu_hours_by_use": {/,/}/s/.*": \([0-9.e-]*\),\{0,1\}$/\1/p' run/summary.json |
        awk -v all="$(figure gpu_hours)" '{ sum += $1 } END { d = sum - all; print (d < 0 ? -d : d) }') < 1e-9"
}
