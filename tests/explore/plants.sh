#!/usr/bin/env bash
# Every planted bug is found, by a violation that is its own, and in the generation it is planted in
# nothing is found without it.
here=$(cd "$(dirname "$0")" && pwd)
most=${4:-3}
. "$here/../cli/kit.sh"

# found PLANT PATTERN: what the violation says.
found() {
    eep explore --plant "$1" --engines "1..$most" --threads 1
    exits 1
    grep -qE "^violation: .*$2" "$scratch/out" || fail "violation lacks: $2"
    grep -qE ', after [0-9]+ events:$' "$scratch/out" || fail "no sequence of events"
    wanted="$wanted $1"
}

wanted=
found skipped_barrier 'I4: e[0-9]+ begins [a-z_]+ while it is still in [a-z_]+'
found skipped_boundary 'I4: .* in the middle of a step'
found early_map_switch 'I1: in a step the maps name an expert that e[0-9]+ does not hold'
found stuck_503 'I8: at rest, new requests get 503'
found lost_replica 'I1: in a step an expert has no slot'
found shifted_ranks 'I1: in a step '
found early_resume 'I4: '
found double_completion 'I6: [0-9]+ requests are answered and [0-9]+ were asked'
found lost_timeout 'I8: at rest, '
found unanswered_requests 'I6: e[0-9]+ goes with [0-9]+ requests'
found stale_map 'I2: '
eep explore --list-plants
exits 0
for plant in $(awk '{ print $1 }' "$scratch/out"); do
    case "$wanted " in *" $plant "*) ;; *) fail "nobody looks for $plant" ;; esac
done
[ "$(wc -l <"$scratch/out")" -ge 8 ] || fail "less than eight plants"
refused 'there is no nonsense: eep explore --list-plants' explore --plant nonsense
finish
