#!/usr/bin/env bash
# What the shipped eep-worker is bound to: the libraries that it names, the symbols that it uses of
# CUDA, cuBLAS and NCCL (gpu/symbols.txt, all of which the emulation has too), PTX as plain text, and
# what it says where there is no GPU. A symbol with a word behind it is of a later library: a worker
# may use it, one that was built with an older library does not.
# (cudaLaunchKernel apart: launch.h has the emulated way to launch.)
# Usage: worker_binary.sh ROOT WORKER EMULATION_LIBRARY... | --renew ROOT WORKER
#        worker_binary.sh --self-test ROOT | --coordinator EEP
# The last: eep itself is bound to none of that.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

# Of the dynamic symbols that a program takes from outside, those of the GPU's libraries.
used() {
    nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $2); print $2 }' |
        grep -E '^(__)?(cuda|cublas|nccl|cu[A-Z])' | sort -u
}

look_at_symbols() { # look_at_symbols LIST USED EXPORTED: files of names
    local failed=0 name
    awk '{ print $1 }' "$1" >"$scratch/may"
    awk 'NF == 1' "$1" >"$scratch/must"
    while read -r name; do
        echo "uses the driver API: $name"
        failed=1
    done < <(grep -E '^cu[A-Z]' "$2")
    while read -r name; do
        echo "uses $name, which gpu/symbols.txt does not list (worker_binary.sh --renew)"
        failed=1
    done < <(comm -13 "$scratch/may" "$2")
    while read -r name; do
        echo "gpu/symbols.txt lists $name, which is not used"
        failed=1
    done < <(comm -23 "$scratch/must" "$2")
    while read -r name; do
        echo "uses $name, which gpu/emulation does not have"
        failed=1
    done < <(sort -u "$scratch/may" "$2" | grep -v -e '^__cuda' -e '^cudaLaunchKernel$' |
        comm -23 - "$3")
    return $failed
}

look_at_file() {
    local failed=0
    readelf -d "$1" >"$scratch/dynamic"
    grep -q 'NEEDED.*libcudart\.so' "$scratch/dynamic" || { echo "cudart is not shared"; failed=1; }
    grep -q 'NEEDED.*libcuda\.so' "$scratch/dynamic" && { echo "is linked with the driver"; failed=1; }
    grep -q '(RPATH)' "$scratch/dynamic" && { echo "has RPATH: LD_LIBRARY_PATH would not win"; failed=1; }
    grep -aq '^\.target sm_90' "$1" || { echo "has no PTX for sm_90 as plain text"; failed=1; }
    local library arch
    for library in libcublas libnccl; do
        grep -q "NEEDED.*$library\\.so" "$scratch/dynamic" || { echo "$library is not shared"; failed=1; }
    done
    # What every message of the emulation begins with.
    grep -aq 'emulated GPU: ' "$1" && { echo "has the emulation in it"; failed=1; }
    if command -v cuobjdump >/dev/null; then
        cuobjdump --list-elf "$1" >"$scratch/elf" 2>&1
        for arch in 80 90 100; do
            grep -q "\.sm_$arch\.cubin" "$scratch/elf" || { echo "has no code for sm_$arch"; failed=1; }
        done
    fi
    return $failed
}

# Nobody has a GPU where CUDA_VISIBLE_DEVICES is empty.
look_at_refusal() {
    local status
    CUDA_VISIBLE_DEVICES='' timeout 60 "$1" --connect 127.0.0.1:9 --wait 0 \
        --token "$(printf '00%.0s' {1..32})" >"$scratch/said" 2>&1
    status=$?
    [ $status -eq 2 ] && grep -qi 'no.*GPU' "$scratch/said" && return 0
    echo "without a GPU: exit $status, says:"
    cat "$scratch/said"
    return 1
}

case ${1-} in
--self-test)
    printf '%s\n' cudaFree cudaMalloc >"$scratch/list"
    cp "$scratch/list" "$scratch/exported"
    cp "$scratch/list" "$scratch/used"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" || exit 1
    for planted in cuInit cudaZeroCopy; do
        { cat "$scratch/list"; echo $planted; } | sort >"$scratch/used"
        look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" >/dev/null && exit 1
    done
    echo cudaFree >"$scratch/used"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" >/dev/null && exit 1
    cp "$scratch/list" "$scratch/used"
    cp "$scratch/list" "$scratch/plain"
    echo 'ncclLater 9.9' >>"$scratch/list"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" >/dev/null && exit 1
    echo ncclLater >>"$scratch/exported"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" || exit 1
    echo ncclLater >>"$scratch/used"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" || exit 1
    cp "$scratch/plain" "$scratch/list"
    cp "$scratch/plain" "$scratch/used"
    echo cudaFree >"$scratch/exported"
    look_at_symbols "$scratch/list" "$scratch/used" "$scratch/exported" >/dev/null && exit 1
    exit 0
    ;;
--coordinator)
    used "$2" >"$scratch/used"
    readelf -d "$2" >"$scratch/dynamic" || exit 1
    grep -q NEEDED "$scratch/dynamic" || { echo "$2 needs no library at all" && exit 1; }
    if [ -s "$scratch/used" ] || grep -E 'NEEDED.*lib(cuda|cublas|nccl)' "$scratch/dynamic"; then
        echo "eep is linked with CUDA: $(tr '\n' ' ' <"$scratch/used")"
        exit 1
    fi
    exit 0
    ;;
--renew)
    used "$3" >"$scratch/used"
    awk 'NR == FNR { later[$1] = $2; next } { print $1 in later && later[$1] != "" ? $1 " " later[$1] : $1
        delete later[$1] } END { for (name in later) if (later[name] != "") print name, later[name] }' \
        "$2/gpu/symbols.txt" "$scratch/used" | sort >"$scratch/list"
    cp "$scratch/list" "$2/gpu/symbols.txt"
    exit
    ;;
esac
root=$1 worker=$2
shift 2
[ -x "$worker" ] || skip "eep-worker was not built: no CUDA toolkit with NCCL"
used "$worker" >"$scratch/used"
nm --defined-only "$@" 2>/dev/null | awk 'NF == 3 && $2 ~ /[TWBD]/ { print $3 }' | sort -u >"$scratch/exported"
failed=0
look_at_symbols "$root/gpu/symbols.txt" "$scratch/used" "$scratch/exported" || failed=1
look_at_file "$worker" || failed=1
look_at_refusal "$worker" || failed=1
[ $failed -eq 0 ] && echo "eep-worker: $(wc -l <"$scratch/used") symbols, all listed and emulated"
exit $failed
