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
