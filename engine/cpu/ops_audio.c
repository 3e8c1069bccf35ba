/* What waveform decoders and encoders of audio need beyond linear layers: periodic activations, depthwise convolutions, padding,
 * statistics over time, codebooks, and joining. */
#include "engine/cpu/rows.h"

#include <math.h>
#include <string.h>

/* SnakeBeta. */

static void cpu_snake_factors(const hm_ops *op, float *a, float *b, const float *alpha, const float *beta, int C)
{
    if (!hm_cpu_begin(op, "snake_factors"))
        return;
    op->count->table_values += 2 * (uint64_t)C;
    for (int c = 0; c < C; c++) {
        a[c] = (float)exp((double)alpha[c]);
        b[c] = 1.0f / ((float)exp((double)beta[c]) + 1e-9f);
    }
    hm_cpu_end(op, "snake_factors");
}

static void snake_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++)
        j->k->snake_row(j->y + m * (size_t)j->D, j->x + m * (size_t)j->D, j->u, j->v, j->D);
}

static void cpu_snake(const hm_ops *op, float *y, const float *x, const float *a, const float *b, int M, int C)
{
    hm_cpu_rows j = {.run = snake_rows, .items = (size_t)M, .y = y, .x = x, .u = a, .v = b, .D = C};
    if (!hm_cpu_begin(op, "snake"))
        return;
    op->count->weight_bytes += 8 * (uint64_t)C;
    hm_cpu_run_rows(op, "snake", &j, 4.0 * M * C);
}

/* Columns: an item is a block of HM_CPU_COLUMNS of them; depthwise has items for blocks of rows besides. */

static int columns_of(const hm_cpu_rows *j, size_t item)
{
    int left = j->D - (int)item * HM_CPU_COLUMNS;
    return left < HM_CPU_COLUMNS ? left : HM_CPU_COLUMNS;
}

static size_t column_blocks(int C)
{
    return ((size_t)C + HM_CPU_COLUMNS - 1) / HM_CPU_COLUMNS;
}

#define DEPTHWISE_ROWS 512

static void depthwise_blocks(const hm_cpu_rows *j, size_t first, size_t last)
{
    size_t blocks = column_blocks(j->D);
    for (size_t i = first; i < last; i++) {
        size_t c = i % blocks * HM_CPU_COLUMNS, m = i / blocks * DEPTHWISE_ROWS, at = m * (size_t)j->D + c;
        int rows = j->rows - (int)m < DEPTHWISE_ROWS ? j->rows - (int)m : DEPTHWISE_ROWS;
        j->k->depthwise(j->y + at, j->x + at, j->w + c * (size_t)j->n, j->v ? j->v + c : NULL, columns_of(j, i % blocks), rows, j->D, j->n,
                        j->S);
    }
}

static void cpu_depthwise(const hm_ops *op, float *y, const float *x, const float *w, const float *bias, int M, int C, int taps, int step)
{
    hm_cpu_rows j = {.run = depthwise_blocks, .y = y, .x = x, .w = w, .v = bias, .D = C, .rows = M, .n = taps, .S = step};
    if (!hm_cpu_begin(op, "depthwise"))
        return;
    if (taps < 1 || taps > HM_CPU_DEPTHWISE_TAPS) {
        hm_fail(op->error, HM_EBUG, "depthwise: %d taps; expected 1 to %d", taps, HM_CPU_DEPTHWISE_TAPS);
        hm_cpu_end(op, "depthwise");
        return;
    }
    op->count->flops += 2 * (uint64_t)M * (uint64_t)C * (uint64_t)taps;
    op->count->weight_bytes += 4 * (uint64_t)C * ((uint64_t)taps + (bias ? 1 : 0));
    j.items = column_blocks(C) * (((size_t)M + DEPTHWISE_ROWS - 1) / DEPTHWISE_ROWS);
    hm_cpu_run_rows(op, "depthwise", &j, (double)M * C * taps);
}

static void moments_blocks(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        size_t c = i * HM_CPU_COLUMNS;
        j->k->moments(j->y + c, j->z ? j->z + c : NULL, j->x + c, j->w ? j->w + c : NULL, columns_of(j, i), j->rows, j->D, j->a);
    }
}

static void cpu_moments(const hm_ops *op, float *mean, float *std, const float *x, const float *weights, int M, int C, float floor)
{
    hm_cpu_rows j = {
        .run = moments_blocks, .items = column_blocks(C), .y = mean, .z = std, .x = x, .w = weights, .D = C, .rows = M, .a = floor};
    if (hm_cpu_begin(op, "moments"))
        hm_cpu_run_rows(op, "moments", &j, 2.0 * M * C);
}

static void softmax_blocks(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        j->k->softmax_columns(j->y + i * HM_CPU_COLUMNS, columns_of(j, i), j->rows, j->D);
}

static void cpu_softmax_columns(const hm_ops *op, float *y, int M, int C)
{
    hm_cpu_rows j = {.run = softmax_blocks, .items = M > 0 ? column_blocks(C) : 0, .y = y, .D = C, .rows = M};
    if (hm_cpu_begin(op, "softmax_columns"))
        hm_cpu_run_rows(op, "softmax_columns", &j, 6.0 * M * C);
}

/* Rows. */

static void scale_column_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++)
        j->k->multiply_row(j->y + m * (size_t)j->D, j->x + m * (size_t)j->D, j->u, j->D);
}

static void cpu_scale_columns(const hm_ops *op, float *y, const float *x, const float *s, int M, int C)
{
    hm_cpu_rows j = {.run = scale_column_rows, .items = (size_t)M, .y = y, .x = x, .u = s, .D = C};
    if (hm_cpu_begin(op, "scale_columns"))
        hm_cpu_run_rows(op, "scale_columns", &j, (double)M * C);
}

static void reflect_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        int64_t m = (int64_t)i - j->pos;
        m = m < 0 ? -m : m;
        m = m >= j->rows ? 2 * (int64_t)j->rows - 2 - m : m;
        memcpy(j->y + i * (size_t)j->D, j->x + m * j->D, (size_t)j->D * sizeof(float));
    }
}

static void cpu_pad_reflect(const hm_ops *op, float *y, const float *x, int M, int C, int left, int right)
{
    hm_cpu_rows j = {.run = reflect_rows, .y = y, .x = x, .D = C, .rows = M, .pos = left};
    if (!hm_cpu_begin(op, "pad_reflect"))
        return;
    if (left < 0 || right < 0 || left >= M || right >= M) {
        hm_fail(op->error, HM_EBUG, "pad_reflect: %d rows before and %d behind %d; expected fewer than there are", left, right, M);
        hm_cpu_end(op, "pad_reflect");
        return;
    }
    j.items = (size_t)M + (size_t)left + (size_t)right;
    hm_cpu_run_rows(op, "pad_reflect", &j, (double)j.items * C);
}

/* Codebooks. */

static void nearest_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    j->k->nearest(j->found + first, j->x + first * (size_t)j->D, j->u, (int)(last - first), j->n, j->D);
}

static void cpu_nearest(const hm_ops *op, int32_t *ids, const float *x, const float *table, int M, int V, int D)
{
    hm_cpu_rows j = {.run = nearest_rows, .items = (size_t)M, .grain = 4, .found = ids, .x = x, .u = table, .n = V, .D = D};
    if (!hm_cpu_begin(op, "nearest"))
        return;
    op->count->flops += 3 * (uint64_t)M * (uint64_t)V * (uint64_t)D;
    op->count->weight_bytes += 4 * (uint64_t)V * (uint64_t)D;
    hm_cpu_run_rows(op, "nearest", &j, 2.0 * M * V * D);
}

static void divide_rows_part(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t v = first; v < last; v++) {
        float usage = j->u[v] > j->a ? j->u[v] : j->a;
        j->k->divide_row(j->y + v * (size_t)j->D, j->x + v * (size_t)j->D, usage, j->D);
    }
}

static void cpu_divide_rows(const hm_ops *op, float *y, const float *x, const float *usage, float floor, int V, int D)
{
    hm_cpu_rows j = {.run = divide_rows_part, .items = (size_t)V, .y = y, .x = x, .u = usage, .D = D, .a = floor};
    if (!hm_cpu_begin(op, "divide_rows"))
        return;
    op->count->table_values += (uint64_t)V * (uint64_t)D;
    hm_cpu_run_rows(op, "divide_rows", &j, (double)V * D);
}

/* In double, so that it does not matter which of two equal signals a sample comes from. */
static void crossfade_samples(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        double w = (double)i / (double)(j->n - 1);
        j->y[i] = (float)((double)j->x[i] * (1.0 - w) + (double)j->y[i] * w);
    }
}

static void cpu_crossfade(const hm_ops *op, float *y, const float *before, int64_t n, int64_t whole)
{
    hm_cpu_rows j = {.run = crossfade_samples, .items = (size_t)n, .grain = 4096, .y = y, .x = before, .n = (int)whole};
    if (hm_cpu_begin(op, "crossfade"))
        hm_cpu_run_rows(op, "crossfade", &j, 4.0 * (double)n);
}

void hm_cpu_fill_audio(hm_ops *ops)
{
    ops->snake_factors = cpu_snake_factors;
    ops->snake = cpu_snake;
    ops->depthwise = cpu_depthwise;
    ops->moments = cpu_moments;
    ops->softmax_columns = cpu_softmax_columns;
    ops->scale_columns = cpu_scale_columns;
    ops->pad_reflect = cpu_pad_reflect;
    ops->nearest = cpu_nearest;
    ops->divide_rows = cpu_divide_rows;
    ops->crossfade = cpu_crossfade;
}
