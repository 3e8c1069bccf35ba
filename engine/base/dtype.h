/* Element types of stored tensors and their conversion to float32. */
#ifndef HM_ENGINE_BASE_DTYPE_H
#define HM_ENGINE_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum hm_dtype {
    HM_F32,
    HM_BF16,
    HM_F16,
    HM_I32,
    HM_I64,
    HM_U8,
    HM_I8,
    HM_BOOL,
    HM_F64,
    HM_U32,
    HM_DTYPE_COUNT
} hm_dtype;

/* Bytes per element; the name as safetensors writes it ("BF16"); and back (-1 when unknown). */
size_t hm_dtype_bytes(hm_dtype type);
const char *hm_dtype_name(hm_dtype type);
int hm_dtype_parse(const char *name);

static inline float hm_bf16_to_f32(uint16_t b)
{
    uint32_t u = (uint32_t)b << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Nearest even; NaN stays NaN. */
static inline uint16_t hm_f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? u >> 16 | 0x40 : rounded);
}

/* Conversions of float16 choose between values instead of branching, so that loops over them become vectors. */
static inline float hm_f16_to_f32(uint16_t h)
{
    uint32_t mag = h & 0x7FFFu, sign = (uint32_t)(h & 0x8000) << 16, small, u;
    float f = (float)(int)mag * 0x1p-24f; /* subnormal, exact */
    memcpy(&small, &f, 4);
    u = sign | (mag >= 0x7C00 ? mag << 13 | 0x7F800000 : mag >= 0x400 ? (mag << 13) + (112u << 23) : small);
    memcpy(&f, &u, 4);
    return f;
}

/* Nearest even, overflow to infinity; NaN stays NaN. */
static inline uint16_t hm_f32_to_f16(float f)
{
    uint32_t u, mag, small, normal, finite;
    memcpy(&u, &f, 4);
    mag = u & 0x7FFFFFFF;
    memcpy(&f, &mag, 4);
    f += 0.5f; /* below 2^-14: a multiple of 2^-24; the float unit rounds at that place */
    memcpy(&small, &f, 4);
    normal = (mag - (112u << 23) + 0xFFF + (mag >> 13 & 1)) >> 13;
    finite = mag < 0x38800000 ? small - 0x3F000000 : normal;
    return (uint16_t)((u >> 16 & 0x8000) | (mag > 0x7F800000 ? 0x7E00 : mag >= 0x477FF000 ? 0x7C00 : finite)); /* 65520: infinity */
}

/* e4m3 without infinities: sign, 4 bits of exponent (bias 7), 3 of fraction; 448 is the largest, all ones are NaN. It is the float16 of the
 * same sign, exponent and fraction, times 2^8. */
static inline float hm_e4m3_to_f32(uint8_t b)
{
    float f = hm_f16_to_f32((uint16_t)((b & 0x80) << 8 | (b & 0x7F) << 7)) * 0x1p8f;
    return (b & 0x7F) == 0x7F ? __builtin_nanf("") : f;
}

/* Nearest even; beyond 448 it is 448; NaN stays NaN. */
static inline uint8_t hm_f32_to_e4m3(float f)
{
    uint32_t u, mag, small, normal, finite;
    memcpy(&u, &f, 4);
    mag = u & 0x7FFFFFFF;
    memcpy(&f, &mag, 4);
    f += 0x1p14f; /* below 2^-6: a multiple of 2^-9; the float unit rounds at that place */
    memcpy(&small, &f, 4);
    normal = (mag - (120u << 23) + 0x7FFFF + (mag >> 20 & 1)) >> 20;
    finite = mag < 0x3C800000 ? small - 0x46800000 : normal;
    return (uint8_t)((u >> 24 & 0x80) | (mag > 0x7F800000 ? 0x7F : mag > 0x43E00000 ? 0x7E : finite));
}

/* count elements of type F32, BF16 or F16 to float32. */
void hm_to_f32(float *out, const void *in, hm_dtype type, size_t count);

#endif
