/* Linear layers of few rows over panels: which kernel of decode_float.cu or decode_quantised.cu, over which blocks. What does not suit them
 * (rows of weights, many rows, more inputs than shared memory takes) is left to engine/gpu. */
#include "engine/cuda/cuda_ops.h"

#define MOST_SHARED 92160 /* bytes, as engine/cuda/kernels.def says */
#define PADDED_TO 128     /* inputs, of float formats ... */
#define PADDED_FP8 256    /* ... and of e4m3 */
#define TILES 3           /* 1, 2 and 4 rows */

/* Layers that read the same x. */
typedef struct layers {
    float *y[3];
    const hm_linear *w[3];
    int count;
    bool pair, add;
    const float *x, *norm; /* norm: weights of a norm of x first, or NULL */
    float eps;
    int M;
} layers;

static const hm_gpu_kernel kernels[HM_FORMAT_COUNT][TILES] = {
    [HM_FORMAT_F32] = {HM_K_cuda_decode_f32_1, HM_K_cuda_decode_f32_2, HM_K_cuda_decode_f32_4},
    [HM_FORMAT_BF16] = {HM_K_cuda_decode_bf16_1, HM_K_cuda_decode_bf16_2, HM_K_cuda_decode_bf16_4},
    [HM_FORMAT_F16] = {HM_K_cuda_decode_f16_1, HM_K_cuda_decode_f16_2, HM_K_cuda_decode_f16_4},
    [HM_FORMAT_INT8] = {HM_K_cuda_decode_int8_1, HM_K_cuda_decode_int8_2, HM_K_cuda_decode_int8_4},
    [HM_FORMAT_INT4] = {HM_K_cuda_decode_int4_1, HM_K_cuda_decode_int4_2, HM_K_cuda_decode_int4_4},
    [HM_FORMAT_FP8] = {HM_K_cuda_decode_fp8_1, HM_K_cuda_decode_fp8_2, HM_K_cuda_decode_fp8_4},
    [HM_FORMAT_FP4] = {HM_K_cuda_decode_fp4_1, HM_K_cuda_decode_fp4_2, HM_K_cuda_decode_fp4_4},
};

/* Shared memory of a block that has so many rows: their inputs as its kernel keeps them, and what a norm needs beside. */
static size_t shared_bytes(const hm_linear *w, int rows, bool norm)
{
    size_t R = (size_t)rows, unit = hm_format_quantised(w->panels) ? HM_PANEL_BLOCK : w->panels == HM_FORMAT_FP8 ? PADDED_FP8 : PADDED_TO;
    size_t padded = ((size_t)w->in + unit - 1) / unit * unit, plain = (R + norm) * padded * sizeof(float);
    if (!hm_format_quantised(w->panels))
        return plain;
    return R * padded + (R * (padded / HM_PANEL_GROUP) * sizeof(float) + 15) / 16 * 16 + (norm ? plain : 0);
}

/* The tile of rows (2^tile of them) for M rows, or -1: not even one row has room. */
static int tile_of(const hm_linear *w, int M, bool norm)
{
    int tile = M == 1 ? 0 : M == 2 ? 1 : 2;
    while (tile >= 0 && shared_bytes(w, 1 << tile, norm) > MOST_SHARED)
        tile--;
    return tile;
}

static bool suits(const hm_linear *w, int M, bool norm)
{
    return w->panels && w->taps == 1 && M >= 1 && M <= HM_FEW_ROWS && tile_of(w, M, norm) >= 0;
}

static bool alike(const hm_linear *a, const hm_linear *b)
{
    return a->panels == b->panels && a->in == b->in && a->taps == b->taps;
}

/* Counted; all suit and are alike. */
static void run(const hm_ops *op, const char *what, const layers *l)
{
    const hm_linear *a = l->w[0], *b = l->w[l->count > 1 ? 1 : 0], *c = l->w[l->count > 2 ? 2 : 0];
    int tile = tile_of(a, l->M, l->norm != NULL), panels = 0;
    for (int i = 0; i < l->count; i++)
        hm_ops_count_linear(op, l->w[i], l->M);
    for (int i = 0; i < (l->pair ? 1 : l->count); i++)
        panels += (l->w[i]->out + HM_PANEL_ROWS - 1) / HM_PANEL_ROWS;
    const hm_gpu_value values[] = {hm_gpu_pointer(l->y[0]),
                                   hm_gpu_pointer(l->y[l->count > 1 ? 1 : 0]),
                                   hm_gpu_pointer(l->y[l->count > 2 ? 2 : 0]),
                                   hm_gpu_pointer(a->w),
                                   hm_gpu_pointer(b->w),
                                   hm_gpu_pointer(c->w),
                                   hm_gpu_pointer(a->bias),
                                   hm_gpu_pointer(b->bias),
                                   hm_gpu_pointer(c->bias),
                                   hm_gpu_i32(a->out),
                                   hm_gpu_i32(l->count > 1 ? b->out : 0),
                                   hm_gpu_i32(l->count > 2 ? c->out : 0),
                                   hm_gpu_pointer(l->x),
                                   hm_gpu_i32(a->in),
                                   hm_gpu_i32(l->M),
                                   hm_gpu_i32(l->pair),
                                   hm_gpu_i32(l->add),
                                   hm_gpu_pointer(l->norm),
                                   hm_gpu_f32(l->eps)};
    hm_gpu_launch(op, what,
                  &(hm_gpu_launch_args){.kernel = kernels[a->panels][tile],
                                        .groups = {(uint32_t)((l->M + (1 << tile) - 1) >> tile), (uint32_t)panels, 1},
                                        .shared = (uint32_t)shared_bytes(a, 1 << tile, l->norm != NULL),
                                        .values = values,
                                        .count = (int)(sizeof values / sizeof *values)});
}

/* --- entries --- */

static void cuda_linear(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!suits(w, M, false))
        hm_gpu_linear(op, y, x, w, M);
    else if (hm_gpu_ready(op))
        run(op, "linear", &(layers){.y = {y}, .w = {w}, .count = 1, .x = x, .M = M});
}

static void cuda_linear_add(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!suits(w, M, false))
        hm_gpu_linear_add(op, y, x, w, M);
    else if (hm_gpu_ready(op))
        run(op, "linear_add", &(layers){.y = {y}, .w = {w}, .count = 1, .add = true, .x = x, .M = M});
}

static void cuda_linear_multi(const hm_ops *op, int n, float *const y[], const float *x, const hm_linear *const w[], int M)
{
    for (int i = 0, count; i < n && hm_gpu_ready(op); i += count) {
        layers l = {.x = x, .M = M};
        for (count = 0; i + count < n && alike(w[i], w[i + count]); count++) {
            l.w[count] = w[i + count];
            l.y[count] = y[i + count];
        }
        l.count = count;
        if (suits(w[i], M, false))
            run(op, "linear_multi", &l);
        else
            hm_gpu_linear_multi(op, count, y + i, x, w + i, M);
    }
}

static void cuda_linear_swiglu(const hm_ops *op, float *y, const float *x, const hm_linear *gate, const hm_linear *up, int M)
{
    if (!suits(gate, M, false) || !alike(gate, up))
        hm_gpu_linear_swiglu(op, y, x, gate, up, M);
    else if (hm_gpu_ready(op))
        run(op, "linear_swiglu", &(layers){.y = {y, y}, .w = {gate, up}, .count = 2, .pair = true, .x = x, .M = M});
}

static void cuda_linear_multi_norm(const hm_ops *op, int count, float *const y[], const float *x, const float *weight, float eps, float *n,
                                   const hm_linear *const w[], int M)
{
    layers l = {.count = count, .x = x, .norm = weight, .eps = eps, .M = M};
    bool together = count <= 3 && suits(w[0], M, true);
    for (int i = 0; i < count && i < 3; i++) {
        together = together && alike(w[0], w[i]);
        l.w[i] = w[i];
        l.y[i] = y[i];
    }
    if (together && hm_gpu_ready(op))
        run(op, "linear_multi_norm", &l);
    if (together)
        return;
    op->rmsnorm(op, n, x, weight, M, w[0]->in, eps);
    op->linear_multi(op, count, y, n, w, M);
}

static void cuda_linear_swiglu_norm(const hm_ops *op, float *y, const float *x, const float *weight, float eps, float *n,
                                    const hm_linear *gate, const hm_linear *up, int M)
{
    if (!suits(gate, M, true) || !alike(gate, up)) {
        op->rmsnorm(op, n, x, weight, M, gate->in, eps);
        op->linear_swiglu(op, y, n, gate, up, M);
    } else if (hm_gpu_ready(op))
        run(op, "linear_swiglu_norm",
            &(layers){.y = {y, y}, .w = {gate, up}, .count = 2, .pair = true, .x = x, .norm = weight, .eps = eps, .M = M});
}

void hm_cuda_decode_ops(hm_ops *ops)
{
    ops->linear = cuda_linear;
    ops->linear_add = cuda_linear_add;
    ops->linear_multi = cuda_linear_multi;
    ops->linear_swiglu = cuda_linear_swiglu;
    ops->linear_multi_norm = cuda_linear_multi_norm;
    ops->linear_swiglu_norm = cuda_linear_swiglu_norm;
}
