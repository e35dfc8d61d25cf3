/* Numbers that have the same bits on the host and on a device: hashing, bf16, and the few float
 * operations that results pass through.
 *
 * Products and sums are rounded one by one (no fused multiply-add), the exponential is our own.
 * Included by C and by kernels, so nothing but <stdint.h> is needed here. Not a math library. Pure
 * functions. */
#ifndef EEP_GPU_WORKER_NUMBERS_H
#define EEP_GPU_WORKER_NUMBERS_H

#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define EEP_BOTH static inline __host__ __device__
#else
#define EEP_BOTH static inline
#endif

/* -- hashing -- */

#define EEP_GOLDEN 0x9e3779b97f4a7c15ull

/* A bijection of 64 bits that mixes all of them (the finalizer of splitmix64, public domain by S.
 * Vigna). */
EEP_BOTH uint64_t eep_mix(uint64_t bits)
{
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebull;
    return bits ^ (bits >> 31);
}

/* Word `index` of the stream that `key` names; also makes a key of a key and one more coordinate.
 */
EEP_BOTH uint64_t eep_hash(uint64_t key, uint64_t index)
{
    return eep_mix(key + (index + 1) * EEP_GOLDEN);
}

/* -- floats -- */

EEP_BOTH uint32_t eep_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

EEP_BOTH float eep_bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

EEP_BOTH float eep_mul(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

EEP_BOTH float eep_add(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fadd_rn(a, b);
#else
    return a + b;
#endif
}

/* -- bf16, kept as its 16 bits -- */

EEP_BOTH float eep_bf16_float(uint16_t bits)
{
    return eep_bits_float((uint32_t)bits << 16);
}

/* To nearest, ties to even; what is not a number stays so. */
EEP_BOTH uint16_t eep_float_bf16(float value)
{
    uint32_t bits = eep_float_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* -- SwiGLU -- */

/* exp(x) for x in [-80, 80] (beyond it is cut), within 1e-6: 2^n times a polynomial. */
EEP_BOTH float eep_exp(float x)
{
    x = x < -80.0f ? -80.0f : x > 80.0f ? 80.0f : x;
    if (x != x)
        return x;
    float scaled = eep_mul(x, 1.44269504f);
    int whole = (int)(scaled < 0.0f ? scaled - 0.5f : scaled + 0.5f);
    /* ln 2 in two pieces, so that the rest keeps its bits. */
    float rest = eep_add(x, eep_mul((float)whole, -0.693359375f));
    rest = eep_add(rest, eep_mul((float)whole, 2.12194440e-4f));
    float sum = 1.0f / 720.0f;
    sum = eep_add(eep_mul(sum, rest), 1.0f / 120.0f);
    sum = eep_add(eep_mul(sum, rest), 1.0f / 24.0f);
    sum = eep_add(eep_mul(sum, rest), 1.0f / 6.0f);
    sum = eep_add(eep_mul(sum, rest), 0.5f);
    sum = eep_add(eep_mul(sum, rest), 1.0f);
    sum = eep_add(eep_mul(sum, rest), 1.0f);
    return eep_mul(sum, eep_bits_float((uint32_t)(whole + 127) << 23));
}

/* silu(gate) * up */
EEP_BOTH float eep_swiglu(float gate, float up)
{
    return eep_mul(gate / eep_add(1.0f, eep_exp(-gate)), up);
}

#endif
