#!/usr/bin/env bash
# What README.md says a command prints is what it prints: every line "$ COMMAND" of its console blocks
# is run, in order and in one folder, and its output compared with the lines below it.
# Usage: readme.sh ROOT EEP [JSON_CHECK] | readme.sh --renew ROOT EEP, which writes the outputs anew
set -u
renew=no
[ "$1" = --renew ] && renew=yes && shift
. "$(dirname "$0")/kit.sh" "$(realpath "$1")" "$(realpath "$2")" "${3-}"
ln -s "$program" eep

# renewed: README.md on standard input, with the outputs of its commands.
renewed() {
    local line text indent='' in_block=no
    while IFS= read -r line; do
        text=${line#"${line%%[! ]*}"}
        case $in_block,$text in
        no,'```console') in_block=yes indent=${line%"$text"} ;;
        yes,'```') in_block=no ;;
        yes,'$ '*)
            printf '%s\n' "$line"
            bash -c "${text#??}" 2>&1 </dev/null | sed "s/^/$indent/; s/ *\$//"
            continue
            ;;
        yes,*) continue ;;
        esac
        printf '%s\n' "$line"
    done
}

# How long a run took is the machine's business.
timeless() { sed -E 's/(of traffic in) [0-9.]+ [a-z]+/\1 a moment/' "$1"; }

renewed <"$root/README.md" >"$scratch/README.md"
if [ $renew = yes ]; then
    cp "$scratch/README.md" "$root/README.md"
    exit
fi
diff <(timeless "$root/README.md") <(timeless "$scratch/README.md") || {
    echo "renew it with: tests/cli/readme.sh --renew . build/release/eep"
    exit 1
}
echo "as expected"
