#include "engine/base/dtype.h"

static const struct {
    const char *name;
    size_t bytes;
} types[HM_DTYPE_COUNT] = {
    [HM_F32] = {"F32", 4}, [HM_BF16] = {"BF16", 2}, [HM_F16] = {"F16", 2},   [HM_I32] = {"I32", 4}, [HM_I64] = {"I64", 8},
    [HM_U8] = {"U8", 1},   [HM_I8] = {"I8", 1},     [HM_BOOL] = {"BOOL", 1}, [HM_F64] = {"F64", 8}, [HM_U32] = {"U32", 4},
};

size_t hm_dtype_bytes(hm_dtype type)
{
    return (unsigned)type < HM_DTYPE_COUNT ? types[type].bytes : 0;
}

const char *hm_dtype_name(hm_dtype type)
{
    return (unsigned)type < HM_DTYPE_COUNT ? types[type].name : "unknown";
}

int hm_dtype_parse(const char *name)
{
    for (int i = 0; i < HM_DTYPE_COUNT; i++)
        if (!strcmp(name, types[i].name))
            return i;
    return -1;
}

float hm_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, mag = h & 0x7FFF, u;
    float f;
    if (mag >= 0x7C00)
        u = sign | 0x7F800000 | ((mag & 0x3FF) << 13);
    else if (mag >= 0x400)
        u = sign | ((mag << 13) + (112u << 23));
    else { /* subnormal: mag * 2^-24, exact */
        f = (float)mag * 0x1p-24f;
        memcpy(&u, &f, 4);
        u |= sign;
    }
    memcpy(&f, &u, 4);
    return f;
}

uint16_t hm_f32_to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    u &= 0x7FFFFFFF;
    if (u > 0x7F800000)
        return sign | 0x7E00;
    if (u >= 0x477FF000) /* 65520 and above round to infinity */
        return sign | 0x7C00;
    if (u < 0x38800000) { /* below 2^-14: a multiple of 2^-24; adding 0.5 lets the float unit round to even at that place */
        float g;
        memcpy(&g, &u, 4);
        g += 0.5f;
        memcpy(&u, &g, 4);
        return sign | (uint16_t)(u - 0x3F000000);
    }
    return sign | (uint16_t)((u - (112u << 23) + 0xFFF + (u >> 13 & 1)) >> 13);
}

void hm_to_f32(float *out, const void *in, hm_dtype type, size_t count)
{
    const uint16_t *h = in;
    if (type == HM_F32)
        memcpy(out, in, count * sizeof *out);
    else if (type == HM_BF16)
        for (size_t i = 0; i < count; i++)
            out[i] = hm_bf16_to_f32(h[i]);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = hm_f16_to_f32(h[i]);
}
