/* Many rows: which kernel of many.cu or many_quantised.cu, over which blocks. Neither the size of a tile nor who sums segments changes a
 * byte of a result, so both may go with M. */
#include "engine/cuda/cuda.h"
#include "engine/cuda/cuda_many.h"
#include "engine/cuda/many.inc"
#include "engine/gpu/gpu_impl.h"

#define KINDS (MANY_PAIRS + 1)

static const hm_gpu_kernel kernels[KINDS][2] = {
    [MANY_ROWS_F32] = {HM_K_cuda_many_rows_f32, HM_K_cuda_narrow_rows_f32},
    [MANY_ROWS_BF16] = {HM_K_cuda_many_rows_bf16, HM_K_cuda_narrow_rows_bf16},
    [MANY_ROWS_F16] = {HM_K_cuda_many_rows_f16, HM_K_cuda_narrow_rows_f16},
    [MANY_COLUMNS_F32] = {HM_K_cuda_many_columns_f32, HM_K_cuda_narrow_columns_f32},
    [MANY_COLUMNS_BF16] = {HM_K_cuda_many_columns_bf16, HM_K_cuda_narrow_columns_bf16},
    [MANY_COLUMNS_F16] = {HM_K_cuda_many_columns_f16, HM_K_cuda_narrow_columns_f16},
    [MANY_PAIRS] = {HM_K_cuda_many_pairs, HM_K_cuda_narrow_pairs},
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

static void launch(const hm_ops *op, const char *what, const hm_gpu_many *g, const hm_gpu_quantised *q)
{
    const hm_linear *w = g->w;
    weights v = q ? (weights){0} : describe(w);
    tiles t = cut(op, g, q != NULL);
    float *parts = NULL;
    if (t.segments && !(parts = hm_gpu_scratch(op, (size_t)t.segments * (size_t)g->M * (size_t)w->out * sizeof *parts)))
        return;
    const hm_gpu_value values[] = {hm_gpu_pointer(g->y),
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
    int rows = t.narrow ? MANY_NARROW : MANY_WIDE, count = (int)(sizeof values / sizeof *values) - (q ? 0 : 1);
    hm_gpu_launch(
        op, what,
        &(hm_gpu_launch_args){.kernel = q ? quantised_kernels[w->panels][t.narrow] : kernels[v.kind][t.narrow],
                              .groups = {t.rows, t.columns, t.segments ? (uint32_t)t.segments : 1},
                              .shared = (uint32_t)(q ? MANY_Q_SHARED(w->panels == HM_FORMAT_INT8, rows) : MANY_SHARED(v.kind, rows)),
                              .values = values,
                              .count = count});
    if (parts)
        hm_gpu_launch(op, what,
                      &(hm_gpu_launch_args){.kernel = HM_K_cuda_many_join,
                                            .groups = {(uint32_t)(((int64_t)g->M * w->out + 255) / 256), 1, 1},
                                            .values = values,
                                            .count = count});
}

void hm_cuda_many_ops(hm_ops *ops)
{
    hm_gpu_many_by(ops->dev, launch);
}
