#!/usr/bin/env bash
# Registers and shared memory of every kernel on every architecture against gpu/kernels.budget, as
# ptxas reports them; spills and local memory are not allowed at all.
# Usage: kernel_budget.sh ROOT NVCC [ARCH...] | --renew ROOT NVCC [ARCH...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

renew=0
[ "${1-}" = --renew ] && { renew=1; shift; }
root=$1 nvcc=$2
shift 2
command -v "$nvcc" >/dev/null || skip "no nvcc"
[ $# -gt 0 ] || set -- 80 90 100
cd "$root" || exit 2

for arch in "$@"; do
    for source in gpu/worker/*.cu; do
        "$nvcc" -arch=sm_"$arch" -std=c++17 -I. -cubin -o /dev/null -O3 -Xptxas=-v "$source" \
            2>>"$scratch/ptxas" || { cat "$scratch/ptxas"; exit 1; }
    done
done
# KERNEL REGISTERS SHARED_BYTES, the most over the architectures; STACK and spills must be 0.
awk '
    /Compiling entry function/ { split($0, part, "\047"); kernel = part[2]; arch = part[4] }
    /bytes stack frame/ {
        if ($1 + 0 > 0 || $5 + 0 > 0 || $9 + 0 > 0) { print kernel " on " arch " spills: " $0; bad = 1 }
    }
    /Used [0-9]+ registers/ {
        match($0, /Used [0-9]+/); r = substr($0, RSTART + 5, RLENGTH - 5) + 0
        s = 0
        if (match($0, /[0-9]+ bytes smem/)) s = substr($0, RSTART, RLENGTH) + 0
        if (r > registers[kernel]) registers[kernel] = r
        if (s > shared[kernel]) shared[kernel] = s
        known[kernel] = 1
    }
    END { for (kernel in known) print kernel, registers[kernel] + 0, shared[kernel] + 0 > "'"$scratch/used"'"
          exit bad }' "$scratch/ptxas" || exit 1
sort -o "$scratch/used" "$scratch/used"
if [ $renew -eq 1 ]; then
    {
        echo "# kernel, registers a thread, static shared bytes a block: the most that is allowed"
        cat "$scratch/used"
    } >gpu/kernels.budget
    exit
fi
awk '
    /^#/ { next }
    FNR == NR { registers[$1] = $2; shared[$1] = $3; next }
    !($1 in registers) { print $1 " has no line in gpu/kernels.budget (kernel_budget.sh --renew)"; bad = 1; next }
    $2 > registers[$1] { print $1 ": " $2 " registers, " registers[$1] " allowed"; bad = 1 }
    $3 > shared[$1] { print $1 ": " $3 " bytes shared, " shared[$1] " allowed"; bad = 1 }
    { n++ }
    END { if (!bad) print n " kernels within their budget"; exit bad }' gpu/kernels.budget "$scratch/used"
