/* Peaks of instructions that take dot products of 8 and 16 bits: not every CPU of an instruction set has them. */
#include <stdint.h>

#include "engine/cpu/bench_kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define CHAINS 12 /* every loop over them is unrolled, or they would live in memory */

__attribute__((target("avx512f,avx512bf16"))) static float bf16_avx512(long rounds)
{
    __m512 acc[CHAINS];
    __m512bh a = (__m512bh)_mm512_set1_epi16(0x3f7f), b = (__m512bh)_mm512_set1_epi16(0x3a83); /* 0.996, 0.001 */
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_ps((float)i);
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_dpbf16_ps(acc[i], a, b);
            __asm__ volatile("" : "+v"(acc[i]));
        }
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm512_add_ps(acc[0], acc[i]);
    return _mm512_reduce_add_ps(acc[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static float int8_avx512(long rounds)
{
    __m512i acc[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm512_set1_epi32(i);
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], a, b);
            __asm__ volatile("" : "+v"(acc[i]));
        }
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm512_add_epi32(acc[0], acc[i]);
    return (float)_mm512_reduce_add_epi32(acc[0]);
}

__attribute__((target("avx2,avxvnni"))) static float int8_avx(long rounds)
{
    __m256i acc[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++)
        acc[i] = _mm256_set1_epi32(i);
    for (long r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            acc[i] = _mm256_dpbusd_avx_epi32(acc[i], a, b);
            __asm__ volatile("" : "+x"(acc[i]));
        }
#pragma GCC unroll 12
    for (int i = 1; i < CHAINS; i++)
        acc[0] = _mm256_add_epi32(acc[0], acc[i]);
    return (float)_mm256_extract_epi32(acc[0], 0);
}

/* Bits of leaf 7 of CPUID; that the system keeps the registers is what the instruction set below them was found by. */
int hm_cpu_bench_dot_ways(hm_isa isa, hm_cpu_way *out, int room)
{
    unsigned a = 0, b = 0, c = 0, d = 0, a1 = 0, x;
    int n = 0;
    if (!hm_isa_has(isa) || isa == HM_ISA_SCALAR || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    if (a >= 1)
        __get_cpuid_count(7, 1, &a1, &b, &x, &d);
    const struct {
        int has;
        hm_isa isa;
        hm_cpu_way way;
    } all[] = {{a1 >> 5 & 1, HM_ISA_AVX512, {"bf16", "avx512_bf16", "vdpbf16ps, 512 bits", 64.0 * CHAINS, bf16_avx512}},
               {c >> 11 & 1, HM_ISA_AVX512, {"int8", "avx512_vnni", "vpdpbusd, 512 bits", 128.0 * CHAINS, int8_avx512}},
               {a1 >> 4 & 1, HM_ISA_AVX2, {"int8", "avx_vnni", "vpdpbusd, 256 bits", 64.0 * CHAINS, int8_avx}}};
    for (size_t i = 0; i < sizeof all / sizeof *all && n < room; i++)
        if (all[i].has && all[i].isa == hm_isa_vectors(isa))
            out[n++] = all[i].way;
    return n;
}
#else
int hm_cpu_bench_dot_ways(hm_isa isa, hm_cpu_way *out, int room)
{
    (void)isa, (void)out, (void)room;
    return 0;
}
#endif
