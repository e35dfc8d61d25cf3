#!/usr/bin/env bash
# Every kernel compiles for every architecture that is shipped, without a warning, a spill or local
# memory; and a planted kernel that spills, warns or has no launch bounds is found.
# Usage: nvcc.sh ROOT
set -u
root=$1
nvcc=$(command -v nvcc || command -v "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc") || {
    echo "SKIP: no nvcc"
    exit 77
}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/eep-nvcc.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT

compile() { # compile ARCHITECTURE FILE
    "$nvcc" -arch="sm_$1" -std=c++17 -Xcompiler -Wall -Werror all-warnings -Wdefault-stream-launch \
        -Wmissing-launch-bounds -Xptxas=-Werror,-warn-spills,-warn-lmem-usage -I"$root" -c "$2" -o "$scratch/out.o"
}

failed=0
for file in "$root"/gpu/worker/kernels_*.cu; do
    for arch in 80 90 100; do
        compile $arch "$file" >"$scratch/log" 2>&1 && continue
        echo "${file#"$root"/} for sm_$arch:"
        cat "$scratch/log"
        failed=1
    done
done

# plant TEXT SOURCE: must be refused with TEXT.
plant() {
    printf '#include "gpu/worker/kernels_common.h"\n%s\n' "$2" >"$scratch/planted.cu"
    if compile 90 "$scratch/planted.cu" >"$scratch/log" 2>&1 || ! grep -qi -- "$1" "$scratch/log"; then
        echo "self-test: expected \"$1\" of: $2"
        cat "$scratch/log"
        failed=1
    fi
}
plant 'local memory' 'EEP_KERNEL k(float *x, int n) { float a[64]; for (int i = 0; i < 64; i++) a[i] = 0; for (int i = 0; i < n; i++) a[(int)x[i] & 63] += x[i]; x[0] = a[n]; }'
plant 'launch_bounds' 'extern "C" __global__ void k(float *x) { x[0] = 1; }'
plant 'never referenced' 'EEP_KERNEL k(float *x) { int unused; x[0] = 1; }'
exit $failed
