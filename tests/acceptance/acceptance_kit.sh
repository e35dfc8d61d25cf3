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
