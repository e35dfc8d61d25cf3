#!/usr/bin/env bash
# Installs into a scratch prefix and uses the installed program there: everything a package holds is
# in its place, and the program reads the data beside it, also after the prefix was moved.
# Usage: install.sh CMAKE BUILD_DIR
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"
unset EEP_DATA_DIR

fail() {
    echo "install: $*"
    exit 1
}

"$1" --install "$2" --prefix "$scratch/first" >"$scratch/log" 2>&1 || {
    cat "$scratch/log"
    fail "cmake --install failed"
}
mv "$scratch/first" "$scratch/moved" || exit 2
prefix=$scratch/moved
for file in bin/eep share/eep/scenarios/quickstart.yaml share/eep/scenarios/models \
    share/eep/scenarios/hardware share/eep/plots share/man/man1/eep.1 \
    share/bash-completion/completions/eep share/doc/eep/README.md share/doc/eep/LICENSE; do
    [ -e "$prefix/$file" ] || fail "$file is missing"
done
[ -z "$(find "$prefix/share" -name '*.[ch]')" ] || fail "sources among the data"

cd "$scratch" || exit 2
"$prefix/bin/eep" --version >/dev/null || fail "eep --version failed"
# A scenario that only this copy has tells the installed data from the source tree's.
sed 's/^name:.*/name: planted-here/' "$prefix/share/eep/scenarios/quickstart.yaml" \
    >"$prefix/share/eep/scenarios/planted-here.yaml"
"$prefix/bin/eep" list scenarios >"$scratch/scenarios" || fail "eep list scenarios failed"
grep -q planted-here "$scratch/scenarios" || fail "the program does not read $prefix/share/eep"
echo "install: complete, and found from its prefix"
