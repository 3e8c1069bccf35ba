/* Small operations around codes and convolution weights. */
#include <math.h>
#include <string.h>

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

static float element(const hm_fold_args *f, size_t i)
{
    if (f->type == HM_F32)
        return ((const float *)f->v)[i];
    uint16_t h = ((const uint16_t *)f->v)[i];
    return f->type == HM_BF16 ? hm_bf16_to_f32(h) : hm_f16_to_f32(h);
}

static float norm_scale(const hm_fold_args *f, int i)
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

/* W of first dimension a, second b. */
static float weight(const hm_fold_args *f, size_t a, int b, int tap, float scale)
{
    return element(f, (a * (size_t)f->d1 + (size_t)b) * (size_t)f->taps + (size_t)tap) * scale;
}

static void fold_plain(const hm_fold_args *f, size_t a, float scale)
{
    float *row = f->dst + a * (size_t)f->taps * (size_t)f->columns;
    for (int b = 0; b < f->columns; b++)
        for (int t = 0; t < f->taps; t++)
            row[(size_t)t * (size_t)f->columns + (size_t)b] = weight(f, a, f->first + b, t, scale);
}

static void fold_transposed(const hm_fold_args *f, size_t a, float scale)
{
    int inputs = f->taps / f->stride;
    for (int b = 0; b < f->d1; b++)
        for (int t = 0; t < f->taps; t++) {
            int tap = inputs - 1 - t / f->stride;
            size_t row = (size_t)(t % f->stride) * (size_t)f->d1 + (size_t)b;
            f->dst[(row * (size_t)inputs + (size_t)tap) * (size_t)f->d0 + a] = weight(f, a, b, t, scale);
        }
}

/* Input rows that a phase of a convolution over repeated rows meets. */
static int repeated_taps(const hm_fold_args *f)
{
    return (f->taps + f->repeat - 2) / f->repeat + 1;
}

static void fold_repeated(const hm_fold_args *f, size_t a, float scale)
{
    int places = repeated_taps(f);
    size_t n = (size_t)places * (size_t)f->columns;
    for (int p = 0; p < f->repeat; p++) {
        float *row = f->dst + ((size_t)p * (size_t)f->d0 + a) * n;
        memset(row, 0, n * sizeof *row);
        for (int t = 0; t < f->taps; t++) { /* taps-1-t repeated rows back, counted from row (places-1)*repeat + p */
            int place = (p + t - (f->taps - 1) + (places - 1) * f->repeat) / f->repeat;
            for (int b = 0; b < f->columns; b++)
                row[(size_t)place * (size_t)f->columns + (size_t)b] += weight(f, a, f->first + b, t, scale);
        }
    }
}

/* Rows of the first dimension are independent: each thread takes a range of them. */
static void fold_part(void *arg, int index, int count)
{
    const hm_fold_args *f = arg;
    size_t first, last;
    hm_team_range((size_t)f->d0, 1, index, count, &first, &last);
    for (size_t a = first; a < last; a++) {
        float scale = norm_scale(f, (int)a);
        if (f->stride)
            fold_transposed(f, a, scale);
        else if (f->repeat > 1)
            fold_repeated(f, a, scale);
        else
            fold_plain(f, a, scale);
    }
}

void hm_cpu_fold_conv(const hm_ops *op, const hm_fold_args *args)
{
    hm_fold_args f = *args;
    f.columns = f.columns ? f.columns : f.d1;
    if (!hm_cpu_begin(op, "fold_conv"))
        return;
    if (hm_ops_foldable(op, &f)) {
        uint64_t taps = f.repeat > 1 ? (uint64_t)f.repeat * (uint64_t)repeated_taps(&f) : (uint64_t)f.taps;
        hm_team_run_told(hm_cpu_team(op->dev), fold_part, &f, op->probe);
        op->count->table_values += (uint64_t)f.d0 * (uint64_t)f.columns * taps;
    }
    hm_cpu_end(op, "fold_conv");
}
