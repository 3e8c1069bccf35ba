/* A thin vector layer: the same kernel sources compile for AVX2, AVX-512, NEON and plain C by HM_VEC_BITS (256, 512, 128 with
 * HM_VEC_NEON, or 128 for plain C, which GCC turns into whatever the baseline has). VL lanes of float32. Everything but multiply-add, conversions and
 * the transpose is written with GCC's vector operators. */
#ifndef HM_ENGINE_CPU_VEC_H
#define HM_ENGINE_CPU_VEC_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/base/dtype.h"

#if HM_VEC_BITS == 128
#if defined(HM_VEC_NEON)
#include <arm_neon.h>
#endif
#define VL 4
#define VLANES 0, 1, 2, 3
#define HM_VEC_ROWS 6 /* rows of the GEMM micro kernel */
#elif HM_VEC_BITS == 256
#include <immintrin.h>
#define VL 8
#define VLANES 0, 1, 2, 3, 4, 5, 6, 7
#define HM_VEC_ROWS 6
#elif HM_VEC_BITS == 512
#include <immintrin.h>
#define VL 16
#define VLANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define HM_VEC_ROWS 12
#else
#error "HM_VEC_BITS must be 128, 256 or 512"
#endif
#define HM_VEC_COLS (2 * VL) /* columns of the GEMM micro kernel */
#define HM_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * VL), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VL), may_alias));
typedef float vf_unaligned __attribute__((vector_size(4 * VL), aligned(4), may_alias));

HM_INLINE vf vload(const float *p)
{
    return *(const vf_unaligned *)p;
}

HM_INLINE void vstore(float *p, vf v)
{
    *(vf_unaligned *)p = v;
}

HM_INLINE vf vsplat(float a)
{
    return a - (vf){0}; /* a - 0 is a for every a, -0 included; GCC makes it one broadcast */
}

/* The first n < VL floats, then zeros; and storing them alone. */
HM_INLINE vf vload_part(const float *p, size_t n)
{
    vf v = {0};
    memcpy(&v, p, n * sizeof(float));
    return v;
}

HM_INLINE void vstore_part(float *p, vf v, size_t n)
{
    memcpy(p, &v, n * sizeof(float));
}

/* mask ? a : b, mask lanes all ones or all zeros */
HM_INLINE vf vselect(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* a > b ? a : b */
HM_INLINE vf vmax(vf a, vf b)
{
#if HM_VEC_BITS == 512
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif HM_VEC_BITS == 256
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vselect(a > b, a, b);
#endif
}

/* Lane i is lane i ^ by. */
HM_INLINE vf vswap(vf v, int by)
{
    return __builtin_shuffle(v, (vi){VLANES} ^ by);
}

/* Lanes joined by halves: i with i + VL/2, then i + VL/4, ... : one order for every caller. */
HM_INLINE float vsum(vf v)
{
#pragma GCC unroll 4
    for (int half = VL / 2; half; half /= 2)
        v += vswap(v, half);
    return v[0];
}

/* Of numbers. */
HM_INLINE float vmax_lane(vf v)
{
#pragma GCC unroll 4
    for (int half = VL / 2; half; half /= 2)
        v = vmax(vswap(v, half), v);
    return v[0];
}

#if HM_VEC_BITS == 512
HM_INLINE vf vfma(vf a, vf b, vf c)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

/* x within low .. high; NaN stays. */
HM_INLINE vf vclamp(vf x, float low, float high)
{
    return (vf)_mm512_max_ps(_mm512_set1_ps(low), _mm512_min_ps(_mm512_set1_ps(high), (__m512)x)); /* of NaN, the second operand */
}

HM_INLINE vf vload_bf16(const uint16_t *p)
{
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16);
}

HM_INLINE vf vload_f16(const uint16_t *p)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

HM_INLINE vf vload_i8(const int8_t *p)
{
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* Rows become columns. After two rounds of unpacking, row 4i+c holds in its 128-bit lane b the column 4b+c of rows 4i..4i+3;
 * what is left is a transpose of 4 x 4 lanes for each c. */
HM_INLINE void vtranspose(vf r[VL])
{
    __m512 t[16], u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps((__m512)r[i], (__m512)r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps((__m512)r[i], (__m512)r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        u[i] = (__m512)_mm512_unpacklo_pd((__m512d)t[i], (__m512d)t[i + 2]);
        u[i + 1] = (__m512)_mm512_unpackhi_pd((__m512d)t[i], (__m512d)t[i + 2]);
        u[i + 2] = (__m512)_mm512_unpacklo_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
        u[i + 3] = (__m512)_mm512_unpackhi_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        __m512 even0 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0x88), odd0 = _mm512_shuffle_f32x4(u[c], u[4 + c], 0xdd);
        __m512 even1 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0x88), odd1 = _mm512_shuffle_f32x4(u[8 + c], u[12 + c], 0xdd);
        r[c] = (vf)_mm512_shuffle_f32x4(even0, even1, 0x88);
        r[4 + c] = (vf)_mm512_shuffle_f32x4(odd0, odd1, 0x88);
        r[8 + c] = (vf)_mm512_shuffle_f32x4(even0, even1, 0xdd);
        r[12 + c] = (vf)_mm512_shuffle_f32x4(odd0, odd1, 0xdd);
    }
}
#elif HM_VEC_BITS == 256
HM_INLINE vf vfma(vf a, vf b, vf c)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

HM_INLINE vf vclamp(vf x, float low, float high)
{
    return (vf)_mm256_max_ps(_mm256_set1_ps(low), _mm256_min_ps(_mm256_set1_ps(high), (__m256)x));
}

HM_INLINE vf vload_bf16(const uint16_t *p)
{
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16);
}

HM_INLINE vf vload_f16(const uint16_t *p)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

HM_INLINE vf vload_i8(const int8_t *p)
{
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

/* Rows become columns: as for 16 lanes, with 2 x 2 lanes left at the end. */
HM_INLINE void vtranspose(vf r[VL])
{
    __m256 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps((__m256)r[i], (__m256)r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps((__m256)r[i], (__m256)r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = (__m256)_mm256_unpacklo_pd((__m256d)t[i], (__m256d)t[i + 2]);
        u[i + 1] = (__m256)_mm256_unpackhi_pd((__m256d)t[i], (__m256d)t[i + 2]);
        u[i + 2] = (__m256)_mm256_unpacklo_pd((__m256d)t[i + 1], (__m256d)t[i + 3]);
        u[i + 3] = (__m256)_mm256_unpackhi_pd((__m256d)t[i + 1], (__m256d)t[i + 3]);
    }
    for (int c = 0; c < 4; c++) {
        r[c] = (vf)_mm256_permute2f128_ps(u[c], u[4 + c], 0x20);
        r[4 + c] = (vf)_mm256_permute2f128_ps(u[c], u[4 + c], 0x31);
    }
}
#elif defined(HM_VEC_NEON)
HM_INLINE vf vfma(vf a, vf b, vf c)
{
    return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}

HM_INLINE vf vclamp(vf x, float low, float high)
{
    return (vf)vmaxq_f32(vdupq_n_f32(low), vminq_f32(vdupq_n_f32(high), (float32x4_t)x)); /* of NaN, NaN */
}

HM_INLINE vf vload_bf16(const uint16_t *p)
{
    return (vf)vshll_n_u16(vld1_u16(p), 16);
}

HM_INLINE vf vload_i8(const int8_t *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}

HM_INLINE vf vload_f16(const uint16_t *p)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

/* Rows become columns. */
HM_INLINE void vtranspose(vf r[VL])
{
    float32x4x2_t a = vtrnq_f32((float32x4_t)r[0], (float32x4_t)r[1]), b = vtrnq_f32((float32x4_t)r[2], (float32x4_t)r[3]);
    r[0] = (vf)vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    r[1] = (vf)vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    r[2] = (vf)vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    r[3] = (vf)vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
#else
HM_INLINE vf vfma(vf a, vf b, vf c)
{
    return a * b + c; /* two roundings: the baseline has no fused operation */
}

HM_INLINE vf vclamp(vf x, float low, float high)
{
    x = vselect(x > high, vsplat(high), x);
    return vselect(x < low, vsplat(low), x);
}

HM_INLINE vf vload_bf16(const uint16_t *p)
{
    vi v = {p[0], p[1], p[2], p[3]};
    return (vf)(v << 16);
}

HM_INLINE vf vload_i8(const int8_t *p)
{
    return (vf){p[0], p[1], p[2], p[3]};
}

/* Exponent rebased by a multiplication, which normalises denormals too; infinity and NaN get the full exponent. */
HM_INLINE vf vload_f16(const uint16_t *p)
{
    vi h = {p[0], p[1], p[2], p[3]};
    vi magnitude = (h & 0x7FFF) << 13, sign = (h & 0x8000) << 16;
    vi bits = (vi)((vf)magnitude * 0x1p112f);
    bits |= (magnitude >= 0x0F800000) & 0x7F800000;
    return (vf)(bits | sign);
}

HM_INLINE void vtranspose(vf r[VL])
{
    vf t[VL];
    for (int i = 0; i < VL; i++)
        for (int j = 0; j < VL; j++)
            t[j][i] = r[i][j];
    for (int i = 0; i < VL; i++)
        r[i] = t[i];
}
#endif

/* Elements i .. i+VL of an array of `type`. Callers pass a constant type, so that no branch is left. */
HM_INLINE vf vload_as(const void *p, hm_dtype type, size_t i)
{
    if (type == HM_BF16)
        return vload_bf16((const uint16_t *)p + i);
    if (type == HM_F16)
        return vload_f16((const uint16_t *)p + i);
    return vload((const float *)p + i);
}

HM_INLINE vf vload_as_part(const void *p, hm_dtype type, size_t i, size_t n)
{
    uint16_t t[VL] = {0};
    if (type == HM_F32)
        return vload_part((const float *)p + i, n);
    memcpy(t, (const uint16_t *)p + i, n * sizeof *t);
    return type == HM_BF16 ? vload_bf16(t) : vload_f16(t);
}

/* exp(x), error below 1 ulp of normal results and 1 ulp of a denormal one, 0 and infinity beyond, NaN for NaN. No fused operation: all
 * instruction sets, and the scalar form in engine/sampling.h, give the same bits.
 * x = n ln 2 + r, |r| <= 0.35; e^r by a polynomial (Cephes expf); 2^n in two factors so that denormal results round once. */
HM_INLINE vf vexp(vf x)
{
    vf magic = vsplat(12582912.0f);
    x = vclamp(x, -105.0f, 89.0f);
    vf t = x * 1.44269504f + magic, n = t - magic;
    vf r = x - n * 0.693359375f - n * -2.12194440e-4f;
    vf p = vsplat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    vi whole = (vi)t - (vi)magic, half = whole >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

/* 2^x for x <= 0 within 1.7e-7 of itself, 0 below -126.5, NaN for NaN: what is left of exp where that is enough. x = n + f, |f| <= 0.5; n and
 * the bias of an exponent are added by one number, so that n = -127 is the factor 0. */
HM_INLINE vf vexp2(vf x)
{
    vf magic = vsplat(12582912.0f + 127.0f);
    x = vmax(vsplat(-127.0f), x); /* of NaN, NaN */
    vf t = x + magic, f = x - (t - magic);
    vf p = vsplat(1.326472731e-3f);
    p = vfma(p, f, vsplat(9.671512991e-3f));
    p = vfma(p, f, vsplat(5.550733581e-2f));
    p = vfma(p, f, vsplat(2.402224243e-1f));
    p = vfma(p, f, vsplat(6.931470037e-1f));
    p = vfma(p, f, vsplat(1.0f));
    return p * (vf)((vi)t << 23);
}

/* z / (1 + exp(-z)) within 2.5 ulp, or 3e-37 where the exponential is infinite; NaN for -infinity. */
HM_INLINE vf vsilu(vf z)
{
    return z / (1.0f + vexp(-z));
}

/* Within 2.5 ulp, or 3e-39 where the exponential is infinite. */
HM_INLINE vf vsigmoid(vf z)
{
    return 1.0f / (1.0f + vexp(-z));
}

HM_INLINE vf vabs(vf z)
{
    return (vf)((vi)z & 0x7FFFFFFF);
}

/* z > 0 ? z : exp(z) - 1 within 1.5 ulp. Near 0 the series of exp without its 1; further down the difference loses
 * nothing. */
HM_INLINE vf velu(vf z)
{
    vf p = vsplat(1.9875691500e-4f);
    p = p * z + 1.3981999507e-3f;
    p = p * z + 8.3334519073e-3f;
    p = p * z + 4.1665795894e-2f;
    p = p * z + 1.6666665459e-1f;
    p = p * z + 5.0000001201e-1f;
    vf near = p * (z * z) + z, far = vexp(z) - 1.0f;
    return vselect(z > 0.0f, z, vselect(z > -0.35f, near, far));
}

/* Within 1.5 ulp: an odd polynomial near 0, 1 - 2/(exp(2|z|) + 1) beyond. */
HM_INLINE vf vtanh(vf z)
{
    vf x = vabs(z), u = z * z, p = vsplat(-6.096714166e-3f);
    p = p * u + 2.0997179e-2f;
    p = p * u + -5.385090958e-2f;
    p = p * u + 1.333276974e-1f;
    p = p * u + -3.333332894e-1f;
    vf far = 1.0f - 2.0f / (vexp(x + x) + 1.0f);
    far = (vf)((vi)far | ((vi)z & (vi)vsplat(-0.0f)));
    return vselect(x < 0.625f, p * u * z + z, far);
}

/* z Phi(z) = z/2 (1 + erf(z / sqrt 2)) within 7 ulp, or 3e-42. With x = |z| / sqrt 2: erfc x = exp(-x^2) t P(t), t = 1/(1 + 0.4 x);
 * what rounding takes from z^2 is put back, as it would grow by the exponential. */
HM_INLINE vf vgelu(vf z)
{
    vf x = vclamp(vabs(z), 0.0f, 16.0f);
    vf t = 1.0f / (1.0f + x * 0.282842712f), p = vsplat(-3.270635391e-2f);
    p = p * t + 2.143132256e-1f;
    p = p * t + -5.355897606e-1f;
    p = p * t + 5.942184901e-1f;
    p = p * t + -3.212249809e-1f;
    p = p * t + 2.906588867e-1f;
    p = p * t + 1.236935078e-1f;
    p = p * t + 2.161018698e-1f;
    p = p * t + 2.248221836e-1f;
    p = p * t + 2.257129335e-1f;
    vf square = x * x, high = (vf)((vi)x & ~0xFFF), low = x - high; /* 12 bits and the rest: products are exact */
    vf lost = ((high * high - square) + (high + high) * low) + low * low;
    vf tail = vexp(square * -0.5f) * (1.0f - lost * 0.5f) * (p * t * 0.5f);
    vf bounded = vclamp(z, -16.0f, 16.0f) * tail; /* beyond, the tail is 0, and so is what infinity has of it */
    return vselect(z > 0.0f, z - bounded, bounded);
}

/* sin(t)^2, the sine within 2e-7 for |t| up to 10000: t less the nearest multiple of pi (a sum of three parts, of which the products
 * with the first two are exact), then an odd polynomial. The sign of the sine does not matter. Beyond, anything in 0 .. 1. */
HM_INLINE vf vsin_squared(vf t)
{
    vf magic = vsplat(12582912.0f), n = vfma(t, vsplat(0.318309886f), magic) - magic;
    vf r = vfma(n, vsplat(-3.140625f), t);
    r = vfma(n, vsplat(-9.67502593994140625e-4f), r);
    r = vclamp(vfma(n, vsplat(-1.50995798e-7f), r), -1.57079633f, 1.57079633f);
    vf u = r * r, p = vsplat(2.634756392e-6f);
    p = vfma(p, u, vsplat(-1.982273949e-4f));
    p = vfma(p, u, vsplat(8.333242135e-3f));
    p = vfma(p, u, vsplat(-1.666666596e-1f));
    vf s = vfma(p * u, r, r);
    return s * s;
}

HM_INLINE vf vsnake(vf z, vf a, vf b)
{
    return vfma(b, vsin_squared(z * a), z);
}

#endif
