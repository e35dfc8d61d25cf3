#!/usr/bin/env bash
# Streams that are closed, disks that are full, folders and links that are in the way.
. "$(dirname "$0")/kit.sh"

quick=(--set 'events=[]' --set measure.warmup=0s
    --set 'traffic={synthetic: {rate: 10/s, requests: 20, input_tokens: 100, output_tokens: 20}}')

again() { # as `eep`, with the redirections of the caller
    last=$*
    "$program" "$@"
    status=$?
}

# What is printed never goes into a file that took the place of a closed stream.
again run quickstart "${quick[@]}" --out closed >&- 2>"$scratch/err"
exits 1
err_has 'cannot write to standard output'
again run quickstart "${quick[@]}" --out closed <&- >&- 2>&-
exits 1
for file in closed/*; do
    ! grep -qE 'Requests  submitted|cannot write' "$file" || fail "$file holds what was printed"
done
again run quickstart "${quick[@]}" --out closed --quiet <&- >&- 2>&-
exits 0
if [ -e /dev/full ]; then
    for format in '' --json; do
        again run quickstart "${quick[@]}" --out full $format >/dev/full 2>"$scratch/err"
        exits 1
        err_has 'cannot write to standard output'
    done
fi

# A file at its limit ends the run in order: an earlier run stays whole, a new folder goes.
eep run quickstart "${quick[@]}" --out kept --quiet
exits 0
before=$(cat kept/* | cksum)
(ulimit -f 4 && "$program" run quickstart --out kept --quiet 2>err.txt)
status=$? last='run, with small files only'
exits 1
grep -q 'File too large' err.txt || fail "$(cat err.txt)"
[ "$(cat kept/* | cksum)" = "$before" ] || fail "the earlier run has changed"
[ "$(ls -A kept | wc -l)" -eq 7 ] || fail "left: $(ls -A kept)"
(ulimit -f 4 && "$program" run quickstart --out fresh --quiet 2>err.txt)
[ ! -e fresh ] || fail "a run folder is left"

# One run a folder at a time.
(
    flock -n 9 || exit 2
    eep run quickstart "${quick[@]}" --out kept --quiet
    exits 2
    err_has 'kept: another run is writing into it: give another folder with --out'
    exit $failures
) 9<kept || failures=$((failures + 1))
eep run quickstart "${quick[@]}" --out kept --quiet
exits 0

# What lies in the way of --out.
echo precious >file
refused 'file: is no folder: give a new or an empty folder with --out' run quickstart --out file
ln -s nowhere dangling
refused 'dangling: is a link to nothing' run quickstart --out dangling
mkdir trap && ln -s ../file trap/.requests.csv.partial
eep run quickstart "${quick[@]}" --out trap --quiet
exits 0
[ "$(cat file)" = precious ] || fail "a file outside of the run folder was written"

# runs/latest is replaced where it is a link, and is not spoken of where it is not.
mkdir -p runs/latest
eep run quickstart "${quick[@]}"
exits 0
out_lacks runs/latest
rmdir runs/latest && ln -s nowhere runs/latest
eep run quickstart "${quick[@]}"
exits 0
out_has '(runs/latest)'
[ "$(readlink runs/latest)" = quickstart-2 ] || fail "runs/latest is $(readlink runs/latest)"

# A journal that is none is bad input.
echo none >journal
refused 'journal: ' run quickstart "${quick[@]}" --out replayed --replay journal
[ ! -e replayed ] || fail "a run folder is left"
finish
