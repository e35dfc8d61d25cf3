#!/usr/bin/env bash
# Every generation is exhausted without a violation up to ENGINES engines; without ENGINES, as far as
# the default bound goes. Flaws that are upstream's own are told by name, and eep has none.
here=$(cd "$(dirname "$0")" && pwd)
most=${4:-}
. "$here/../cli/kit.sh"

eep explore ${most:+--engines 1..$most}
exits 0
err_is_empty
out_has 'exhausted: no violation'
! grep -E '^.{101}' "$scratch/out" >"$scratch/diff" || fail "wider than 100 columns: $(cat "$scratch/diff")"
for generation in restart m1 g1 g2 g2.1 g3 masked eep together; do
    grep -qE "^$generation +[0-9]+ +[0-9,]+ +[0-9,]+ +[0-9]+ " "$scratch/out" || fail "no line of $generation"
done
for generation in g2 g2.1 g3; do
    out_has "known flaw: $generation: 503 left after a failed commit (vllm #50778)"
    out_has "known flaw: $generation: no way back from a failed resize, later ones are refused"
done
out_has 'known flaw: restart: down until somebody starts it again'
out_lacks 'known flaw: eep:'
out_has '16 bytes a visited state'
finish
