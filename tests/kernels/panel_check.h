/* What tests of kernels over panels share: packed weights, and the sums that they stand for. */
#ifndef HM_TESTS_KERNELS_PANEL_CHECK_H
#define HM_TESTS_KERNELS_PANEL_CHECK_H

#include "engine/panel.h"
#include "tests/kernels/kernel_check.h"

typedef struct panels {
    hm_linear w;
    void *block;   /* the panels */
    float *values; /* what they stand for: [out][taps][in] */
    float *bias;
} panels;

static const hm_format all_formats[] = {HM_FORMAT_F32,  HM_FORMAT_BF16, HM_FORMAT_F16, HM_FORMAT_INT8,
                                        HM_FORMAT_INT4, HM_FORMAT_FP4,  HM_FORMAT_FP8};
#define FORMATS (sizeof all_formats / sizeof *all_formats)

/* Largest weight that the format can hold, or ordinary large ones. */
static inline float format_room(hm_format format)
{
    return format == HM_FORMAT_F32 || format == HM_FORMAT_BF16 ? FLT_MAX : 6e4f;
}

static inline void panels_make(panels *k, hm_format format, int out, int in, int taps, uint64_t seed, bool hostile)
{
    size_t n = (size_t)out * (size_t)in * (size_t)taps, bytes = hm_panels_bytes(format, out, in, taps);
    float *source = hostile ? hostile_floats(n, seed) : random_floats(n, seed, 1.0f);
    int64_t bad;
    for (size_t i = 0; i < n; i++)
        source[i] = fmaxf(-format_room(format), fminf(source[i], format_room(format)));
    k->block = aligned_alloc(64, bytes);
    assert_non_null(k->block);
    assert_true(
        hm_panels_pack(k->block, format, &(hm_panel_source){.w = source, .type = HM_F32, .out = out, .in = in, .taps = taps}, NULL, &bad));
    guarded_free(source, n);
    k->values = guarded_alloc(n);
    for (int o = 0; o < out; o++)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < in; i++)
                k->values[((size_t)o * (size_t)taps + (size_t)t) * (size_t)in + (size_t)i] =
                    hm_panel_value(k->block, format, in, taps, o, t, i);
    k->bias = random_floats((size_t)out, seed + 7, 1.0f);
    k->w = (hm_linear){.w = k->block, .bias = k->bias, .out = out, .in = in, .taps = taps, .panels = format};
}

static inline void panels_free(panels *k)
{
    guarded_free(k->values, (size_t)k->w.out * (size_t)k->w.in * (size_t)k->w.taps);
    guarded_free(k->bias, (size_t)k->w.out);
    free(k->block);
}

/* x as quantised weights meet it, n inputs of one tap; *error[i]: how far the value may be from x. */
static inline void quantised_inputs(float *met, float *error, const float *x, int n)
{
    for (int g = 0; g < n; g += HM_PANEL_GROUP) {
        int end = n - g < HM_PANEL_GROUP ? n : g + HM_PANEL_GROUP;
        float top = 0;
        for (int i = g; i < end; i++)
            top = fmaxf(top, fabsf(x[i]));
        float scale = top / 127.0f, inverse = fminf(127.0f / top, 3e38f);
        for (int i = g; i < end; i++) {
            met[i] = rintf(x[i] * inverse) * scale;
            error[i] = 0.5001f * scale + 5e-37f; /* of groups below that nothing is left */
        }
    }
}

#endif
