#!/usr/bin/env bash
# A violation is written, replayed, and found again; what cannot be read or cannot happen is refused.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cli/kit.sh"

eep explore --plant lost_replica --engines 1..2 --faults 0 --out path.txt
exits 1
violation=$(grep '^violation' "$scratch/out")
grep -E '^  ' "$scratch/out" | sed 's/^  //' >"$scratch/events"
grep -v '^@' path.txt | diff - "$scratch/events" >"$scratch/diff" || fail "the file differs: $(cat "$scratch/diff")"
eep explore --replay path.txt
exits 1
out_has "$violation"
out_has 'coordinator: idle -> preparing (request)'
eep explore --replay path.txt --json
exits 1
out_is_json
# One event less, and nothing is wrong yet.
sed '$d' path.txt >shorter.txt
eep explore --replay shorter.txt
exits 0
out_has 'no violation'
# The same without the bug.
grep -v '^@plant' path.txt >without.txt
eep explore --replay without.txt
exits 0

printf '@generation g2.1\n@engines 1\n@target 2\n@most 2\nrequest for 2 engines\ne9 gets commit\n' >bad.txt
refused 'event 2: e9 gets commit: cannot happen there' explore --replay bad.txt
printf '@generation g9\n@engines 1\n@target 2\n@most 2\n' >bad.txt
refused '--replay: @generation' explore --replay bad.txt
printf '@generation g2.1\n@engines 9\n@target 2\n@most 2\n' >bad.txt
refused '@engines, @target, @most: 1 to 4' explore --replay bad.txt
printf '@generation g1\n@engines 1\n@target 2\n@most 2\n@supersede 1\n' >bad.txt
refused '@supersede: needs a generation with a way back' explore --replay bad.txt
printf '@colour red\n' >bad.txt
refused 'line 1: @colour red: no such setting' explore --replay bad.txt
refused 'No such file' explore --replay nowhere.txt
refused '--engines: 3..1' explore --engines 3..1
refused '--engines: 1..9' explore --engines 1..9
refused '--engines: two' explore --engines two
refused '--engines: 1..4294967298' explore --engines 1..4294967298
refused '--engines: 1..-4294967294' explore --engines 1..-4294967294
refused '--engines: 1..2..3' explore --engines 1..2..3
refused '--faults: 9' explore --faults 9
refused '--faults: -1' explore --faults -1
refused '--generation: there is no g9' explore --generation g9
refused '--reduction: some: none or full' explore --reduction some
refused '--recovery: replace' explore --recovery replace
refused '--threads: -1' explore --threads=-1
refused '--threads: 0' explore --threads 0
refused 'too many arguments' explore g2.1
refused 'too many arguments' explore --engines 2 --out path.txt g2.1
finish
