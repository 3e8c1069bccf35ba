/* Many rows: which kernel of many.cu, many_quantised.cu or flash.cu, over which blocks, or cuBLASLt. Neither the size of a tile nor who sums segments
 * changes a byte of a result, so both may go with M; what the library does has bytes of its own. */
#include <string.h>

#include "engine/cuda/cuda.h"
#include "engine/cuda/cuda_many.h"
#include "engine/cuda/flash.inc"
#include "engine/cuda/many.inc"
#include "engine/cuda/matmul.h"
#include "engine/gpu/gpu_impl.h"

#define KINDS (MANY_FP8 + 1)

static const hm_gpu_kernel kernels[KINDS][2] = {
    [MANY_ROWS_F32] = {HM_K_cuda_many_rows_f32, HM_K_cuda_narrow_rows_f32},
    [MANY_ROWS_BF16] = {HM_K_cuda_many_rows_bf16, HM_K_cuda_narrow_rows_bf16},
    [MANY_ROWS_F16] = {HM_K_cuda_many_rows_f16, HM_K_cuda_narrow_rows_f16},
    [MANY_COLUMNS_F32] = {HM_K_cuda_many_columns_f32, HM_K_cuda_narrow_columns_f32},
    [MANY_COLUMNS_BF16] = {HM_K_cuda_many_columns_bf16, HM_K_cuda_narrow_columns_bf16},
    [MANY_COLUMNS_F16] = {HM_K_cuda_many_columns_f16, HM_K_cuda_narrow_columns_f16},
    [MANY_PAIRS] = {HM_K_cuda_many_pairs, HM_K_cuda_narrow_pairs},
    [MANY_FP8] = {HM_K_cuda_many_fp8, HM_K_cuda_narrow_fp8},
};

static const hm_gpu_kernel quantised_kernels[HM_FORMAT_COUNT][2] = {
    [HM_FORMAT_INT8] = {HM_K_cuda_many_int8, HM_K_cuda_narrow_int8},
    [HM_FORMAT_INT4] = {HM_K_cuda_many_int4, HM_K_cuda_narrow_int4},
    [HM_FORMAT_FP4] = {HM_K_cuda_many_fp4, HM_K_cuda_narrow_fp4},
};

/* How weights are told to the kernels. */
typedef struct weights {
    int kind;
    int64_t panel; /* inputs of a panel as stored; 0: rows or columns */
    int align;     /* bytes to which the rows of memory that a tile takes are aligned, 16 at most */
} weights;

static int alignment(const void *p, int64_t row_bytes)
{
    uintptr_t all = (uintptr_t)p | (uintptr_t)row_bytes | 16;
    return (int)(all & (~all + 1));
}

static weights describe(const hm_linear *w)
{
    int type = w->type == HM_BF16 ? 1 : w->type == HM_F16 ? 2 : 0;
    int64_t row = (int64_t)(w->in_out ? w->out : w->in * w->taps) * (int64_t)hm_dtype_bytes(w->type);
    if (!w->panels)
        return (weights){(w->in_out ? MANY_COLUMNS_F32 : MANY_ROWS_F32) + type, 0, alignment(w->w, row)};
    int64_t panel = hm_panel_depth(w->panels, w->in, w->taps);
    bool padded = w->in % 2 && w->taps > 1; /* pairs of inputs do not begin where stages do */
    int kind = w->panels == HM_FORMAT_F32   ? MANY_COLUMNS_F32
               : w->panels == HM_FORMAT_F16 ? MANY_COLUMNS_F16
               : w->panels == HM_FORMAT_FP8 ? MANY_FP8
               : padded                     ? MANY_COLUMNS_BF16
                                            : MANY_PAIRS;
    return (weights){kind, panel, 16};
}

/* Tiles of a launch: wide ones as soon as they give work to all multiprocessors. */
typedef struct tiles {
    bool narrow;
    uint32_t rows, columns;
    int segments; /* that blocks of their own sum; 0: each block sums them all */
} tiles;

static tiles cut(const hm_ops *op, const hm_gpu_many *g, bool is_quantised)
{
    int64_t sms = hm_cuda_device_limits(op->dev)->sms, columns = (g->w->out + MANY_COLUMNS - 1) / MANY_COLUMNS;
    int64_t wide = (g->M + MANY_WIDE - 1) / MANY_WIDE, few = (g->M + MANY_NARROW - 1) / MANY_NARROW;
    tiles t = {.narrow = wide * columns < sms, .columns = (uint32_t)columns};
    t.rows = (uint32_t)(t.narrow ? few : wide);
    int64_t stages = ((int64_t)g->w->in * g->w->taps + MANY_DEPTH - 1) / MANY_DEPTH, segments = (stages + MANY_SEGMENT - 1) / MANY_SEGMENT;
    size_t bytes = (size_t)segments * (size_t)g->M * (size_t)g->w->out * sizeof(float);
    if (!is_quantised && segments > 1 && (int64_t)t.rows * columns < sms && bytes <= HM_GPU_SCRATCH)
        t.segments = (int)segments;
    return t;
}

static bool quads(const hm_gpu_many *g)
{
    return alignment(g->x, (g->ldx | (g->w->taps > 1 ? g->tap_stride | g->w->in : 0)) * (int64_t)sizeof(float)) == 16;
}

/* MANY_PARAMETERS and x_scale of the kernels. */
#define MANY_VALUES 22
static void many_values(hm_gpu_value *to, const hm_gpu_many *g, const hm_gpu_quantised *q, weights v, const float *parts)
{
    const hm_linear *w = g->w;
    const hm_gpu_value values[MANY_VALUES] = {hm_gpu_pointer(g->y),
                                              hm_gpu_pointer(q ? q->values : g->x),
                                              hm_gpu_pointer(w->w),
                                              hm_gpu_pointer(w->bias),
                                              hm_gpu_pointer(g->residual),
                                              hm_gpu_pointer(g->snake_a),
                                              hm_gpu_pointer(g->snake_b),
                                              hm_gpu_pointer(parts),
                                              hm_gpu_i64(g->ldy),
                                              hm_gpu_i64(q ? q->row_step : g->ldx),
                                              hm_gpu_i64(q ? q->tap_step : g->tap_stride),
                                              hm_gpu_i64(v.panel),
                                              hm_gpu_i32(g->M),
                                              hm_gpu_i32(w->out),
                                              hm_gpu_i32(q ? q->in : w->in),
                                              hm_gpu_i32(w->taps),
                                              hm_gpu_i32(quads(g)),
                                              hm_gpu_i32(v.align),
                                              hm_gpu_i32((int)g->act),
                                              hm_gpu_f32(g->slope),
                                              hm_gpu_i32(g->multiply),
                                              hm_gpu_pointer(q ? q->scales : NULL)};
    memcpy(to, values, sizeof values);
}

/* What blocks of their own summed: `segments` of parts [segment][M][out]. */
static void join(const hm_ops *op, const char *what, const hm_gpu_many *g, const float *parts, int segments)
{
    hm_gpu_value values[MANY_VALUES];
    many_values(values, g, NULL, (weights){0}, parts);
    values[MANY_VALUES - 1] = hm_gpu_i32(segments);
    hm_gpu_launch(op, what,
                  &(hm_gpu_launch_args){.kernel = HM_K_cuda_many_join,
                                        .groups = {(uint32_t)(((int64_t)g->M * g->w->out + 255) / 256), 1, 1},
                                        .values = values,
                                        .count = MANY_VALUES});
}

/* --- by the library --- */

#define LIBRARY_ROWS 64 /* and more: below, tiles of a library stand half empty */

/* Whether its shape and place suit. Between the marks of frames nothing of a library is asked for, as what it does first may not be recorded:
 * and frames that are not recorded have the same bytes. */
static bool library_suits(const hm_ops *op, const hm_gpu_many *g)
{
    const hm_linear *w = g->w;
    return g->dense && g->M >= LIBRARY_ROWS && !op->dev->between_marks && !w->panels && !w->in_out && w->type == HM_BF16 && w->taps == 1 &&
           g->ldx == w->in && w->in % 8 == 0 && w->out % 4 == 0 && g->ldy % 4 == 0 && alignment(g->x, 0) == 16 &&
           alignment(w->w, 0) == 16 && alignment(g->y, 0) == 16;
}

static bool library_ready(const hm_ops *op, const hm_cuda_matmul_shape *shape)
{
    hm_gpu_lock(op->dev);
    bool ready = hm_cuda_matmul_ready(op->dev->shared->gpu, shape);
    hm_gpu_unlock(op->dev);
    return ready;
}

/* Some rows: y = (add ? y : 0) + x W^T, by the three parts of x, the least first. space: what they need and the library's own. */
static void multiply_rows(const hm_ops *op, const char *what, float *y, const hm_gpu_many *g, const hm_cuda_matmul_shape *s, char *space,
                          bool add)
{
    int64_t n = (int64_t)s->M * s->in;
    char *parts = space + HM_CUDA_MATMUL_WORKSPACE;
    HM_CUDA_LAUNCH(op, what, many_split, 0, (n / 4 + 255) / 256, 1, 1, hm_gpu_pointer(parts), hm_gpu_pointer(g->x), hm_gpu_i64(n));
    for (int p = 2; p >= 0; p--)
        HM_CUDA_LAUNCH(op, what, matmul, 0, 1, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(parts + p * n * 2), hm_gpu_pointer(g->w->w),
                       hm_gpu_pointer(space), hm_gpu_i32(s->out), hm_gpu_i32(s->M), hm_gpu_i32(s->in), hm_gpu_i64(s->ldy),
                       hm_gpu_i32(add || p < 2));
}

/* Whether the library does it: in as few pieces as scratch has room for. What follows a sum, but for adding to y, is a kernel's. */
static bool by_library(const hm_ops *op, const char *what, const hm_gpu_many *g)
{
    const hm_linear *w = g->w;
    if (!library_suits(op, g))
        return false;
    bool plain = !w->bias && g->act == HM_ACT_NONE && !g->multiply && (!g->residual || g->residual == g->y);
    int64_t row = 6 * (int64_t)w->in + (plain ? 0 : 4 * (int64_t)w->out), room = (int64_t)(HM_GPU_SCRATCH - HM_CUDA_MATMUL_WORKSPACE);
    int64_t pieces = (g->M * row + room - 1) / room, rows = (g->M + pieces - 1) / pieces;
    hm_cuda_matmul_shape shape = {w->out, (int)rows, w->in, plain ? g->ldy : w->out}, rest = shape;
    rest.M = (int)(g->M - (pieces - 1) * rows);
    if (rows * row > room || rest.M < 1 || !library_ready(op, &shape) || !library_ready(op, &rest))
        return false;
    for (int64_t m = 0; m < g->M && hm_gpu_ready(op); m += rows) {
        hm_gpu_many part = *g;
        const hm_cuda_matmul_shape *s = g->M - m < rows ? &rest : &shape;
        part.M = s->M;
        part.x += m * g->ldx;
        part.y += m * g->ldy;
        part.residual = g->residual ? g->residual + m * g->ldy : NULL;
        char *space = hm_gpu_scratch(op, HM_CUDA_MATMUL_WORKSPACE + (size_t)(s->M * row));
        if (!space)
            break;
        float *sums = plain ? part.y : (float *)(void *)(space + HM_CUDA_MATMUL_WORKSPACE + (int64_t)s->M * s->in * 6);
        multiply_rows(op, what, sums, &part, s, space, plain && g->residual);
        if (!plain)
            join(op, what, &part, sums, 1);
    }
    return true;
}

/* --- by our own kernels --- */

static void launch(const hm_ops *op, const char *what, const hm_gpu_many *g, const hm_gpu_quantised *q)
{
    const hm_linear *w = g->w;
    if (!q && by_library(op, what, g))
        return;
    weights v = q ? (weights){0} : describe(w);
    tiles t = cut(op, g, q != NULL);
    float *parts = NULL;
    if (t.segments && !(parts = hm_gpu_scratch(op, (size_t)t.segments * (size_t)g->M * (size_t)w->out * sizeof *parts)))
        return;
    hm_gpu_value values[MANY_VALUES];
    many_values(values, g, q, v, parts);
    int rows = t.narrow ? MANY_NARROW : MANY_WIDE;
    hm_gpu_launch(
        op, what,
        &(hm_gpu_launch_args){.kernel = q ? quantised_kernels[w->panels][t.narrow] : kernels[v.kind][t.narrow],
                              .groups = {t.rows, t.columns, t.segments ? (uint32_t)t.segments : 1},
                              .shared = (uint32_t)(q ? MANY_Q_SHARED(w->panels == HM_FORMAT_INT8, rows) : MANY_SHARED(v.kind, rows)),
                              .values = values,
                              .count = q ? MANY_VALUES : MANY_VALUES - 1});
    if (parts)
        join(op, what, g, parts, t.segments);
}

/* --- attention --- */

/* Rows of a call that may be cut in other places go here however few they are: their bytes may not depend on it. Those are what a window slides
 * over and what is not causal; a prompt's rows and the steps after it are two things. */
static bool attend(const hm_ops *op, const hm_attention_args *a, hm_gpu_attend_way *way)
{
    static const hm_gpu_kernel kernels_of[3][2] = {{HM_K_cuda_flash_32_f32, HM_K_cuda_flash_32_coarse},
                                                   {HM_K_cuda_flash_64_f32, HM_K_cuda_flash_64_coarse},
                                                   {HM_K_cuda_flash_128_f32, HM_K_cuda_flash_128_coarse}};
    int size = a->Dh <= 32 ? 0 : a->Dh <= 64 ? 1 : 2;
    bool coarse = a->kv.type != HM_F32;
    if (a->Dh > 128 || a->mask || (a->S <= HM_FEW_ROWS && a->causal && !a->window))
        return false;
    *way = (hm_gpu_attend_way){kernels_of[size][coarse], FLASH_ROWS, (uint32_t)FLASH_SHARED(32 << size, coarse ? 2 : 4)};
    return way->shared <= hm_cuda_device_limits(op->dev)->shared_bytes;
}

void hm_cuda_many_ops(hm_ops *ops)
{
    hm_gpu_many_by(ops->dev, launch);
    hm_gpu_attend_by(ops->dev, attend);
}
