#!/usr/bin/env bash
# The tables of docs/resize_tables.md are what the command above them prints. Minutes on every core.
# Usage: generations_docs.sh ROOT EEP [JSON_CHECK] | generations_docs.sh --renew ROOT EEP, which writes them anew
renew=no
[ "$1" = --renew ] && renew=yes && shift
. "$(dirname "$0")/kit.sh" "$(realpath "$1")" "$(realpath "$2")" "${3-}"

page=$root/docs/resize_tables.md
while IFS= read -r line; do
    [[ $line == '```' && -n ${in_block-} ]] && in_block=
    [ -n "${in_block-}" ] && continue
    printf '%s\n' "$line"
    if [[ $line == '$ eep generations '* ]]; then
        in_block=yes
        read -ra words <<<"${line#\$ eep }"
        "$program" "${words[@]}"
    fi
done <"$page" >"$scratch/page"
if [ $renew = yes ]; then
    cat "$scratch/page" >"$page"
    exit
fi
diff "$page" "$scratch/page" || {
    echo "renew it with: tests/cli/generations_docs.sh --renew . build/release/eep"
    exit 1
}
echo "as expected"
