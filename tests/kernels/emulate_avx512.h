/* The AVX-512 instructions that kernels over panels use, made of two AVX2 ones each: kernels for AVX-512 can be tried on machines without
 * it. To be included before engine/cpu/vec.h, with the options of AVX2. */
#ifndef HM_TESTS_KERNELS_EMULATE_AVX512_H
#define HM_TESTS_KERNELS_EMULATE_AVX512_H

#include <immintrin.h>
#include <stdint.h>

typedef union wide {
    __m512 f;
    __m512d d;
    __m512i i;
    __m256 hf[2];
    __m256d hd[2];
    __m256i hi[2];
    __m128 qf[4];
    __m128i qi[4];
    int8_t b[64];
    int32_t w[16];
} wide;

#define EMULATE static inline __attribute__((always_inline))
#define EMULATE_ONE(name, type, member, of)           \
    EMULATE type emulated_##name(type a)              \
    {                                                 \
        wide x = {.of = a};                           \
        for (int h = 0; h < 2; h++)                   \
            x.member[h] = _mm256_##name(x.member[h]); \
        return x.of;                                  \
    }
#define EMULATE_TWO(name, type, member, of)                        \
    EMULATE type emulated_##name(type a, type b)                   \
    {                                                              \
        wide x = {.of = a}, y = {.of = b};                         \
        for (int h = 0; h < 2; h++)                                \
            x.member[h] = _mm256_##name(x.member[h], y.member[h]); \
        return x.of;                                               \
    }

EMULATE_TWO(max_ps, __m512, hf, f)
EMULATE_TWO(min_ps, __m512, hf, f)
EMULATE_TWO(unpacklo_ps, __m512, hf, f)
EMULATE_TWO(unpackhi_ps, __m512, hf, f)
EMULATE_TWO(unpacklo_pd, __m512d, hd, d)
EMULATE_TWO(unpackhi_pd, __m512d, hd, d)
EMULATE_TWO(add_epi16, __m512i, hi, i)
EMULATE_TWO(madd_epi16, __m512i, hi, i)
EMULATE_TWO(maddubs_epi16, __m512i, hi, i)
EMULATE_TWO(max_epi32, __m512i, hi, i)
EMULATE_TWO(shuffle_epi8, __m512i, hi, i)
EMULATE_ONE(abs_epi8, __m512i, hi, i)

EMULATE __m512 emulated_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    wide x = {.f = a}, y = {.f = b}, z = {.f = c};
    for (int h = 0; h < 2; h++)
        x.hf[h] = _mm256_fmadd_ps(x.hf[h], y.hf[h], z.hf[h]);
    return x.f;
}

EMULATE __m512 emulated_set1_ps(float a)
{
    wide x = {.hf = {_mm256_set1_ps(a), _mm256_set1_ps(a)}};
    return x.f;
}

EMULATE __m512i emulated_set1_epi16(int16_t a)
{
    wide x = {.hi = {_mm256_set1_epi16(a), _mm256_set1_epi16(a)}};
    return x.i;
}

EMULATE __m512i emulated_setzero_si512(void)
{
    return (wide){.w = {0}}.i;
}

EMULATE __m512i emulated_slli_epi32(__m512i a, int count)
{
    wide x = {.i = a};
    for (int h = 0; h < 2; h++)
        x.hi[h] = _mm256_slli_epi32(x.hi[h], count);
    return x.i;
}

EMULATE __m512i emulated_cvtepu16_epi32(__m256i a)
{
    wide x = {.hi = {_mm256_cvtepu16_epi32(_mm256_castsi256_si128(a)), _mm256_cvtepu16_epi32(_mm256_extracti128_si256(a, 1))}};
    return x.i;
}

EMULATE __m512i emulated_cvtepi8_epi32(__m128i a)
{
    wide x = {.hi = {_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8))}};
    return x.i;
}

EMULATE __m512 emulated_cvtph_ps(__m256i a)
{
    wide x = {.hf = {_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))}};
    return x.f;
}

EMULATE __m512i emulated_cvtps_epi32(__m512 a)
{
    wide x = {.f = a};
    for (int h = 0; h < 2; h++)
        x.hi[h] = _mm256_cvtps_epi32(x.hf[h]);
    return x.i;
}

EMULATE __m512 emulated_cvtepi32_ps(__m512i a)
{
    wide x = {.i = a};
    for (int h = 0; h < 2; h++)
        x.hf[h] = _mm256_cvtepi32_ps(x.hi[h]);
    return x.f;
}

/* Of each lane the low byte. */
EMULATE __m128i emulated_cvtepi32_epi8(__m512i a)
{
    wide x = {.i = a}, y = {.w = {0}};
    for (int i = 0; i < 16; i++)
        y.b[i] = (int8_t)x.w[i];
    return y.qi[0];
}

EMULATE int32_t emulated_reduce_max_epi32(__m512i a)
{
    wide x = {.i = a};
    int32_t most = x.w[0];
    for (int i = 1; i < 16; i++)
        most = x.w[i] > most ? x.w[i] : most;
    return most;
}

EMULATE __m512i emulated_broadcast_i32x4(__m128i a)
{
    wide x = {.qi = {a, a, a, a}};
    return x.i;
}

/* Two quarters of a, then two of b. */
EMULATE __m512 emulated_shuffle_f32x4(__m512 a, __m512 b, int which)
{
    wide x = {.f = a}, y = {.f = b};
    wide z = {.qf = {x.qf[which & 3], x.qf[which >> 2 & 3], y.qf[which >> 4 & 3], y.qf[which >> 6 & 3]}};
    return z.f;
}

EMULATE uint64_t emulated_movepi8_mask(__m512i a)
{
    wide x = {.i = a};
    return (uint32_t)_mm256_movemask_epi8(x.hi[0]) | (uint64_t)(uint32_t)_mm256_movemask_epi8(x.hi[1]) << 32;
}

EMULATE __m512i emulated_mask_sub_epi8(__m512i otherwise, uint64_t mask, __m512i a, __m512i b)
{
    wide x = {.i = otherwise}, y = {.i = a}, z = {.i = b};
    for (int i = 0; i < 64; i++)
        x.b[i] = mask >> i & 1 ? (int8_t)(y.b[i] - z.b[i]) : x.b[i];
    return x.i;
}

#undef _mm512_slli_epi32 /* of a constant: macros where nothing is optimised */
#undef _mm512_shuffle_f32x4
#define _mm512_max_ps emulated_max_ps
#define _mm512_min_ps emulated_min_ps
#define _mm512_unpacklo_ps emulated_unpacklo_ps
#define _mm512_unpackhi_ps emulated_unpackhi_ps
#define _mm512_unpacklo_pd emulated_unpacklo_pd
#define _mm512_unpackhi_pd emulated_unpackhi_pd
#define _mm512_add_epi16 emulated_add_epi16
#define _mm512_madd_epi16 emulated_madd_epi16
#define _mm512_maddubs_epi16 emulated_maddubs_epi16
#define _mm512_max_epi32 emulated_max_epi32
#define _mm512_shuffle_epi8 emulated_shuffle_epi8
#define _mm512_abs_epi8 emulated_abs_epi8
#define _mm512_fmadd_ps emulated_fmadd_ps
#define _mm512_set1_ps emulated_set1_ps
#define _mm512_set1_epi16 emulated_set1_epi16
#define _mm512_setzero_si512 emulated_setzero_si512
#define _mm512_slli_epi32 emulated_slli_epi32
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm512_cvtps_epi32 emulated_cvtps_epi32
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_cvtepi32_epi8 emulated_cvtepi32_epi8
#define _mm512_reduce_max_epi32 emulated_reduce_max_epi32
#define _mm512_broadcast_i32x4 emulated_broadcast_i32x4
#define _mm512_shuffle_f32x4 emulated_shuffle_f32x4
#define _mm512_movepi8_mask emulated_movepi8_mask
#define _mm512_mask_sub_epi8 emulated_mask_sub_epi8

#endif
