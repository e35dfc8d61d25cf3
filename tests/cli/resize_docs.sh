#!/usr/bin/env bash
# What docs/resize.md and docs/recovery.md say that eep list and eep show print is what they print, and every
# generation and recovery is there. tests/docs-update rewrites the blocks.
. "$(dirname "$0")/kit.sh"

page=$root/docs/resize.md

# block COMMAND: what stands below that command in its block.
block() { awk -v head="\$ eep $1" '/^```/ { on = 0 } on { print } $0 == head { on = 1 }' "$page"; }

compare() { # compare WORD...
    eep "$@"
    exits 0
    block "$*" >"$scratch/said"
    [ -s "$scratch/said" ] || fail "$page has no block: \$ eep $*"
    diff "$scratch/said" "$scratch/out" >"$scratch/diff" || fail "differs from $page: $(cat "$scratch/diff")"
}

compare list generations
names=$(sed 's/ .*//' "$scratch/out")
for name in $names; do
    compare show generation "$name"
    grep -q "^### \`$name\`" "$page" || fail "$page has no section on $name"
done
page=$root/docs/recovery.md
compare list recoveries
for name in $(sed 's/ .*//' "$scratch/out"); do
    compare show recovery "$name"
done

# The table of recoveries by generations: a column a generation, a row a recovery.
for name in $names; do
    eep show generation "$name"
    sed -n '/^after a lost engine/,$p' "$scratch/out" | sed -n 's/^  \([a-z_]*\) *\(.*\)/\1|\2/p'
done >"$scratch/cells"
said=$(sed -n 's/^| `\([a-z_]*\)` | \(upstream\|hypothetical\).*/&/p' "$page")
while IFS='|' read -r recovery status; do
    case $status in
        *"but not"*) word='apart' ;;
        upstream*) word='upstream' ;;
        *) word='hypothetical' ;;
    esac
    echo "$recovery $word"
done <"$scratch/cells" | sort | uniq -c >"$scratch/counts"
while read -r n recovery word; do
    row=$(grep "^| \`$recovery\` |" <<<"$said")
    [ "$(grep -o "$word" <<<"$row" | wc -l)" -eq "$n" ] || fail "$page: $recovery is $word in $n generations: $row"
done <"$scratch/counts"
finish
