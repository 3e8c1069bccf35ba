#include "engine/synth.h"

#include <math.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define GOLD UINT64_C(0x9E3779B97F4A7C15)
#define MIX1 UINT64_C(0xBF58476D1CE4E5B9)
#define MIX2 UINT64_C(0x94D049BB133111EB)

enum {
    BLOCK = 2048,
    GRAIN = 1 << 15
}; /* elements made before they are converted; smallest share of a thread */

/* Elements whose first z is `z`, as float32. The product and the sum are rounded apart: no contraction to FMA. */
static void make_scalar(float *out, uint64_t z, size_t count, float offset, float scale)
{
    for (size_t i = 0; i < count; i++, z += GOLD) {
        uint64_t x = (z ^ (z >> 30)) * MIX1;
        x = (x ^ (x >> 27)) * MIX2;
        x ^= x >> 31;
        float u = (float)(int32_t)(x >> 40) * 0x1p-23f - 1.0f, product = u * scale;
        out[i] = offset + product;
    }
}

static void bf16_scalar(uint16_t *out, const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = hm_f32_to_bf16(in[i]);
}

static void f16_scalar(uint16_t *out, const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = hm_f32_to_f16(in[i]);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,f16c")))

/* Low 64 bits of a * constant, from 32-bit products. */
AVX2 static inline __m256i multiply(__m256i a, __m256i low, __m256i high)
{
    __m256i cross = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(a, 32), low), _mm256_mul_epu32(a, high));
    return _mm256_add_epi64(_mm256_mul_epu32(a, low), _mm256_slli_epi64(cross, 32));
}

AVX2 static inline __m256i finish(__m256i z, __m256i low1, __m256i high1, __m256i low2, __m256i high2)
{
    z = multiply(_mm256_xor_si256(z, _mm256_srli_epi64(z, 30)), low1, high1);
    z = multiply(_mm256_xor_si256(z, _mm256_srli_epi64(z, 27)), low2, high2);
    return _mm256_xor_si256(z, _mm256_srli_epi64(z, 31));
}

AVX2 static void make_avx2(float *out, uint64_t z, size_t count, float offset, float scale)
{
    const __m256i low1 = _mm256_set1_epi64x((int64_t)(MIX1 & 0xFFFFFFFF)), high1 = _mm256_set1_epi64x((int64_t)(MIX1 >> 32));
    const __m256i low2 = _mm256_set1_epi64x((int64_t)(MIX2 & 0xFFFFFFFF)), high2 = _mm256_set1_epi64x((int64_t)(MIX2 >> 32));
    const __m256i step = _mm256_set1_epi64x((int64_t)(8 * GOLD));
    const __m256 unit = _mm256_set1_ps(0x1p-23f), one = _mm256_set1_ps(1.0f), off = _mm256_set1_ps(offset), mul = _mm256_set1_ps(scale);
    /* Elements 0 1 4 5 and 2 3 6 7, so that one shuffle of the high halves puts all eight in order. */
    __m256i a = _mm256_setr_epi64x((int64_t)z, (int64_t)(z + GOLD), (int64_t)(z + 4 * GOLD), (int64_t)(z + 5 * GOLD));
    __m256i b = _mm256_setr_epi64x((int64_t)(z + 2 * GOLD), (int64_t)(z + 3 * GOLD), (int64_t)(z + 6 * GOLD), (int64_t)(z + 7 * GOLD));
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 x = _mm256_castsi256_ps(finish(a, low1, high1, low2, high2)), y = _mm256_castsi256_ps(finish(b, low1, high1, low2, high2));
        __m256i top = _mm256_srli_epi32(_mm256_castps_si256(_mm256_shuffle_ps(x, y, 0xDD)), 8);
        __m256 u = _mm256_sub_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(top), unit), one);
        _mm256_storeu_ps(out + i, _mm256_add_ps(off, _mm256_mul_ps(u, mul)));
        a = _mm256_add_epi64(a, step);
        b = _mm256_add_epi64(b, step);
    }
    make_scalar(out + i, z + i * GOLD, count - i, offset, scale);
}

AVX2 static void bf16_avx2(uint16_t *out, const float *in, size_t count)
{
    const __m256i bias = _mm256_set1_epi32(0x7FFF), one = _mm256_set1_epi32(1);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i a = _mm256_castps_si256(_mm256_loadu_ps(in + i)), b = _mm256_castps_si256(_mm256_loadu_ps(in + i + 8));
        a = _mm256_add_epi32(_mm256_add_epi32(a, bias), _mm256_and_si256(_mm256_srli_epi32(a, 16), one));
        b = _mm256_add_epi32(_mm256_add_epi32(b, bias), _mm256_and_si256(_mm256_srli_epi32(b, 16), one));
        __m256i both = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
        _mm256_storeu_si256((__m256i *)(out + i), _mm256_permute4x64_epi64(both, 0xD8));
    }
    bf16_scalar(out + i, in + i, count - i);
}

AVX2 static void f16_avx2(uint16_t *out, const float *in, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128((__m128i *)(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
    f16_scalar(out + i, in + i, count - i);
}
#endif

typedef struct fill_job {
    void *out;
    hm_dtype type;
    uint64_t first_z;
    size_t count;
    float offset, scale;
    void (*make)(float *out, uint64_t z, size_t count, float offset, float scale);
    void (*bf16)(uint16_t *out, const float *in, size_t count);
    void (*f16)(uint16_t *out, const float *in, size_t count);
} fill_job;

static void fill_part(void *arg, int index, int parts)
{
    const fill_job *j = arg;
    float block[BLOCK];
    size_t first, last;
    hm_team_range(j->count, GRAIN, index, parts, &first, &last);
    if (j->type == HM_F32) {
        j->make((float *)j->out + first, j->first_z + first * GOLD, last - first, j->offset, j->scale);
        return;
    }
    for (size_t i = first; i < last; i += BLOCK) {
        size_t n = last - i < BLOCK ? last - i : BLOCK;
        uint16_t *out = (uint16_t *)j->out + i;
        j->make(block, j->first_z + i * GOLD, n, j->offset, j->scale);
        if (j->type == HM_BF16)
            j->bf16(out, block, n);
        else
            j->f16(out, block, n);
    }
}

void hm_synth_fill(void *out, hm_dtype type, const char *name, uint64_t seed, uint64_t first, uint64_t count, float offset, float scale,
                   hm_team *team)
{
    uint64_t key = hm_fnv1a64(name, strlen(name)) ^ seed * GOLD;
    fill_job j = {.out = out,
                  .type = type,
                  .first_z = key + (first + 1) * GOLD,
                  .count = (size_t)count,
                  .offset = offset,
                  .scale = scale,
                  .make = make_scalar,
                  .bf16 = bf16_scalar,
                  .f16 = f16_scalar};
#if defined(__x86_64__)
    if (hm_isa_has(HM_ISA_AVX2)) {
        j.make = make_avx2;
        j.bf16 = bf16_avx2;
        j.f16 = f16_avx2;
    }
#endif
    if (team && count > GRAIN)
        hm_team_run(team, fill_part, &j);
    else
        fill_part(&j, 0, 1);
}

static int ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && !strcmp(text + n - m, tail);
}

void hm_synth_rule(const char *name, int rank, const int64_t *shape, float *offset, float *scale)
{
    double fan_in = 1;
    if (rank <= 1 && ends_with(name, "bias")) {
        *offset = 0.0f;
        *scale = 0.02f;
        return;
    }
    if (rank <= 1 || ends_with(name, "weight_g") || ends_with(name, "original0")) {
        *offset = 1.0f;
        *scale = 0.1f;
        return;
    }
    for (int i = 1; i < rank; i++)
        fan_in *= (double)shape[i];
    *offset = 0.0f;
    *scale = fan_in > 0 ? (float)sqrt(3.0 / fan_in) : 0.0f; /* a tensor without elements needs none */
}
