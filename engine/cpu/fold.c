/* Small operations around codes and convolution weights. */
#include <math.h>

#include "engine/cpu/device.h"
#include "engine/cpu/fold.h"

void hm_cpu_any_at_least(const hm_ops *op, int32_t *flag, const int32_t *tokens, int n, int32_t limit)
{
    if (!hm_cpu_begin(op, "any_at_least"))
        return;
    int32_t any = 0;
    for (int i = 0; i < n; i++)
        any |= tokens[i] >= limit;
    *flag = any;
    hm_cpu_end(op, "any_at_least");
}

void hm_cpu_pick(const hm_ops *op, float *y, const float *x, const int32_t *index)
{
    if (!hm_cpu_begin(op, "pick"))
        return;
    *y = x[*index];
    hm_cpu_end(op, "pick");
}

struct fold {
    float *dst;
    const void *v;
    hm_dtype type;
    const float *g;
    int d0, d1, taps, stride;
};

static float element(const struct fold *f, size_t i)
{
    if (f->type == HM_F32)
        return ((const float *)f->v)[i];
    uint16_t h = ((const uint16_t *)f->v)[i];
    return f->type == HM_BF16 ? hm_bf16_to_f32(h) : hm_f16_to_f32(h);
}

static float norm_scale(const struct fold *f, int i)
{
    size_t n = (size_t)f->d1 * (size_t)f->taps, first = (size_t)i * n;
    double sum = 0;
    if (!f->g)
        return 1.0f;
    for (size_t j = 0; j < n; j++) {
        double e = element(f, first + j);
        sum += e * e;
    }
    return f->g[i] / (float)sqrt(sum);
}

/* Rows of the first dimension are independent: each thread takes a range of them. */
static void fold_part(void *arg, int index, int count)
{
    const struct fold *f = arg;
    size_t first, last;
    hm_team_range((size_t)f->d0, 1, index, count, &first, &last);
    for (size_t a = first; a < last; a++) {
        float scale = norm_scale(f, (int)a);
        for (int b = 0; b < f->d1; b++)
            for (int t = 0; t < f->taps; t++) {
                float w = element(f, (a * (size_t)f->d1 + (size_t)b) * (size_t)f->taps + (size_t)t) * scale;
                size_t at;
                if (!f->stride)
                    at = (a * (size_t)f->taps + (size_t)t) * (size_t)f->d1 + (size_t)b;
                else {
                    int inputs = f->taps / f->stride, tap = inputs - 1 - t / f->stride;
                    size_t row = (size_t)(t % f->stride) * (size_t)f->d1 + (size_t)b;
                    at = (row * (size_t)inputs + (size_t)tap) * (size_t)f->d0 + a;
                }
                f->dst[at] = w;
            }
    }
}

void hm_cpu_fold_conv(const hm_ops *op, float *dst, const void *v, hm_dtype type, const float *g, int d0, int d1, int taps, int stride)
{
    struct fold f = {dst, v, type, g, d0, d1, taps, stride};
    if (!hm_cpu_begin(op, "fold_conv"))
        return;
    if (stride < 0 || (stride > 0 && taps % stride)) {
        hm_fail(op->error, HM_EBUG, "fold_conv: kernel %d at stride %d; expected a multiple of the stride", taps, stride);
        hm_cpu_end(op, "fold_conv");
        return;
    }
    hm_team_run_told(hm_cpu_team(op->dev), fold_part, &f, op->probe);
    op->count->table_values += (uint64_t)d0 * (uint64_t)d1 * (uint64_t)taps;
    hm_cpu_end(op, "fold_conv");
}
