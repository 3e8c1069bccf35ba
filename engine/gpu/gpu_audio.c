/* What waveform decoders and encoders of audio need beyond linear layers: periodic activations, padding, statistics, codebooks, joining. */
#include "engine/gpu/gpu.h"

#define COLUMNS 16 /* as in audio.cl */
#define SHARERS 4

/* Groups of 64 that have an item for each of n. */
static int64_t items(int64_t n)
{
    return (n + 63) / 64;
}

static void gpu_snake_factors(const hm_ops *op, float *a, float *b, const float *alpha, const float *beta, int C)
{
    if (!hm_gpu_ready(op))
        return;
    op->count->table_values += 2 * (uint64_t)C;
    HM_GPU_LAUNCH(op, "snake_factors", snake_factors, items(C), 1, 1, hm_gpu_pointer(a), hm_gpu_pointer(b), hm_gpu_pointer(alpha),
                  hm_gpu_pointer(beta), hm_gpu_i32(C));
}

static void gpu_snake(const hm_ops *op, float *y, const float *x, const float *a, const float *b, int M, int C)
{
    int64_t n = (int64_t)M * C;
    if (!hm_gpu_ready(op))
        return;
    op->count->weight_bytes += 8 * (uint64_t)C;
    HM_GPU_LAUNCH(op, "snake", snake, items(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(a), hm_gpu_pointer(b),
                  hm_gpu_i32(C), hm_gpu_i64(n));
}

static void gpu_pad_reflect(const hm_ops *op, float *y, const float *x, int M, int C, int left, int right)
{
    int64_t n = ((int64_t)left + M + right) * C;
    if (!hm_gpu_ready(op))
        return;
    if (left < 0 || right < 0 || left >= M || right >= M) {
        hm_fail(op->error, HM_EBUG, "pad_reflect: %d rows before and %d behind %d; expected fewer than there are", left, right, M);
        return;
    }
    HM_GPU_LAUNCH(op, "pad_reflect", pad_reflect, items(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_i32(M), hm_gpu_i32(C),
                  hm_gpu_i32(left), hm_gpu_i64(n));
}

static void gpu_moments(const hm_ops *op, float *mean, float *std, const float *x, const float *weights, int M, int C, float floor)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "moments", moments, (C + COLUMNS - 1) / COLUMNS, 1, 1, hm_gpu_pointer(mean), hm_gpu_pointer(std),
                      hm_gpu_pointer(x), hm_gpu_pointer(weights), hm_gpu_i32(M), hm_gpu_i32(C), hm_gpu_f32(floor));
}

static void gpu_softmax_columns(const hm_ops *op, float *y, int M, int C)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "softmax_columns", softmax_columns, M > 0 ? (C + COLUMNS - 1) / COLUMNS : 0, 1, 1, hm_gpu_pointer(y),
                      hm_gpu_i32(M), hm_gpu_i32(C));
}

static void gpu_scale_columns(const hm_ops *op, float *y, const float *x, const float *s, int M, int C)
{
    int64_t n = (int64_t)M * C;
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "scale_columns", scale_columns, items(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(s),
                      hm_gpu_i32(C), hm_gpu_i64(n));
}

static void gpu_nearest(const hm_ops *op, int32_t *ids, const float *x, const float *table, int M, int V, int D)
{
    if (!hm_gpu_ready(op))
        return;
    op->count->flops += 3 * (uint64_t)M * (uint64_t)V * (uint64_t)D;
    op->count->weight_bytes += 4 * (uint64_t)V * (uint64_t)D;
    HM_GPU_LAUNCH(op, "nearest", nearest, (M + SHARERS - 1) / SHARERS, 1, 1, hm_gpu_pointer(ids), hm_gpu_pointer(x), hm_gpu_pointer(table),
                  hm_gpu_i32(M), hm_gpu_i32(V), hm_gpu_i32(D));
}

static void gpu_divide_rows(const hm_ops *op, float *y, const float *x, const float *usage, float floor, int V, int D)
{
    int64_t n = (int64_t)V * D;
    if (!hm_gpu_ready(op))
        return;
    op->count->table_values += (uint64_t)n;
    HM_GPU_LAUNCH(op, "divide_rows", divide_rows, items(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(usage),
                  hm_gpu_f32(floor), hm_gpu_i32(D), hm_gpu_i64(n));
}

static void gpu_crossfade(const hm_ops *op, float *y, const float *before, int64_t n, int64_t whole)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "crossfade", crossfade, items(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(before), hm_gpu_i32((int)whole - 1),
                      hm_gpu_i64(n));
}

void hm_gpu_audio_ops(hm_ops *ops)
{
    ops->snake_factors = gpu_snake_factors;
    ops->snake = gpu_snake;
    ops->pad_reflect = gpu_pad_reflect;
    ops->moments = gpu_moments;
    ops->softmax_columns = gpu_softmax_columns;
    ops->scale_columns = gpu_scale_columns;
    ops->nearest = gpu_nearest;
    ops->divide_rows = gpu_divide_rows;
    ops->crossfade = gpu_crossfade;
}
