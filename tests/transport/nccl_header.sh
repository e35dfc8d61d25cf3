#!/usr/bin/env bash
# Our nccl.h and NVIDIA's give the same values and layouts, and transport_nccl.c compiles against both.
# Usage: nccl_header.sh ROOT COMPILER; skips (77) where there is no CUDA toolkit with NCCL.
set -u
root=$1
compiler=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
real=
for folder in ${NCCL_HOME:+"$NCCL_HOME/include"} /usr/local/cuda/include /usr/include; do
    [ -f "$folder/nccl.h" ] && real=$folder && break
done
[ -n "$real" ] || { echo "nccl_header: no nccl.h of NVIDIA's is here"; exit 77; }
grep -q 'NCCL_MINOR 28$' "$real/nccl.h" || { echo "nccl_header: $real/nccl.h is not 2.28"; exit 77; }
cat >"$scratch/values.c" <<'C'
#include <nccl.h>
#include <stddef.h>
#include <stdio.h>
#define SAY(value) printf(#value " %lld\n", (long long)(value))
int main(void)
{
    const ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    const unsigned char *bytes = (const void *)&config;
    for (size_t i = 0; i < sizeof config; i++)
        printf("%02x%s", bytes[i], i + 1 == sizeof config ? "\n" : "");
    SAY(NCCL_VERSION_CODE), SAY(NCCL_VERSION(2, 29, 1)), SAY(NCCL_UNIQUE_ID_BYTES);
    SAY(sizeof(ncclUniqueId)), SAY(offsetof(ncclConfig_t, blocking));
    SAY(offsetof(ncclConfig_t, shrinkShare)), SAY(offsetof(ncclConfig_t, nvlinkCentricSched));
    SAY(ncclUnhandledCudaError), SAY(ncclRemoteError), SAY(ncclInProgress), SAY(ncclNumResults);
    SAY(ncclUint8), SAY(ncclUint64), SAY(ncclFloat32), SAY(ncclBfloat16), SAY(ncclNumTypes);
    SAY(ncclSum), SAY(ncclMin), SAY(ncclMax), SAY(ncclNumOps), SAY(ncclMaxRedOp);
    SAY(NCCL_SHRINK_DEFAULT), SAY(NCCL_SHRINK_ABORT), SAY(NCCL_REVOKE_DEFAULT);
    return 0;
}
C
for side in "$real" "$root/gpu/emulation"; do
    "$compiler" -std=gnu11 -I"$side" "$scratch/values.c" -o "$scratch/values" || exit 1
    "$scratch/values" >"$scratch/$(basename "$side").txt" || exit 1
done
diff "$scratch/$(basename "$real").txt" "$scratch/emulation.txt" || {
    echo "nccl_header: gpu/emulation/nccl.h differs from $real/nccl.h"
    exit 1
}
# shellcheck disable=SC2046
"$compiler" -std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Werror \
    -D_GNU_SOURCE -DG_LOG_DOMAIN='"eep"' -I"$root" -isystem "$real" $(pkg-config --cflags glib-2.0) \
    -c "$root/gpu/worker/transport_nccl.c" -o "$scratch/transport.o" || exit 1
echo "nccl_header: $(wc -l <"$scratch/emulation.txt") values are NVIDIA's, transport_nccl.c compiles"
