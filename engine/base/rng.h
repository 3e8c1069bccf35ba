/* Random numbers that every backend, thread count and variant draws alike: Philox 4x32-10 and what is made of it. */
#ifndef HM_ENGINE_BASE_RNG_H
#define HM_ENGINE_BASE_RNG_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Philox 4x32-10 (Salmon et al., SC'11; the constants of Random123): out = bijection of counter under key. */
static inline void hm_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Streams: the last counter word tells what the numbers are for, so that no two uses share any. */
enum {
    HM_STREAM_SAMPLE = 0x53414D50,
    HM_STREAM_NOISE = 0x4E4F4953
};

/* log of u in (0, 1], in float32 with only + * and no fused operation, so that a GPU kernel can give the same bits.
 * u = m * 2^e, m in [sqrt(1/2), sqrt(2)); log m by the atanh series in s = (m-1)/(m+1). Error below 2 ulp. */
static inline float hm_log_portable(float u)
{
    uint32_t bits;
    memcpy(&bits, &u, 4);
    int32_t e = (int32_t)((bits - 0x3F3504F3u) >> 23);
    if (e & 0x100)
        e -= 0x200;
    bits -= (uint32_t)e << 23;
    float m;
    memcpy(&m, &bits, 4);
    float s = (m - 1.0f) / (m + 1.0f), z = s * s;
    float p = 0.15384616f * z;
    p = (p + 0.18181819f) * z;
    p = (p + 0.22222222f) * z;
    p = (p + 0.2857143f) * z;
    p = (p + 0.4f) * z;
    p = (p + 0.6666667f) * z;
    float log_m = s * p;
    log_m = s * 2.0f + log_m;
    return (float)e * 0.6931472f + log_m;
}

/* Exp(1) draws q[i] for vocabulary indices first .. first+3 (first a multiple of 4) of one code: counter (first/4, codebook,
 * frame, stream), key seed. q > 0 always: u = (x >> 8 + 1) * 2^-24 in (0, 1], and -log(1) is replaced by 2^-25. */
static inline void hm_draw_exp4(uint64_t seed, uint32_t frame, uint32_t codebook, uint32_t first, float q[4])
{
    uint32_t counter[4] = {first >> 2, codebook, frame, HM_STREAM_SAMPLE}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, x[4];
    hm_philox4x32(counter, key, x);
    for (int i = 0; i < 4; i++) {
        float v = -hm_log_portable((float)((x[i] >> 8) + 1) * 0x1p-24f);
        q[i] = v > 0x1p-25f ? v : 0x1p-25f;
    }
}

/* N(0,1) draws z[0..3] for elements first .. first+3 (first a multiple of 4) of flow noise of one segment; Box-Muller in double. */
static inline void hm_draw_normal4(uint64_t seed, uint32_t segment, uint32_t first, float z[4])
{
    uint32_t counter[4] = {first >> 2, segment, 0, HM_STREAM_NOISE}, key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, x[4];
    hm_philox4x32(counter, key, x);
    for (int i = 0; i < 4; i += 2) {
        double r = sqrt(-2.0 * log(((double)x[i] + 1.0) * 0x1p-32)), a = 6.283185307179586 * ((double)x[i + 1] * 0x1p-32);
        z[i] = (float)(r * cos(a));
        z[i + 1] = (float)(r * sin(a));
    }
}

#endif
