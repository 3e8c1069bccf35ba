/* Linear layers and row convolutions on a GPU: which kernel of linear.cl, over which groups, and what it counts.
 * The choice depends on the shape of W and the entry called; M matters for `linear` and its relatives only, so that a convolution
 * (linear_ex) gives the same bytes however its rows are cut into calls. */
#include "engine/gpu/gpu_linear.h"

#include "engine/gpu/gpu_impl.h"

#define ROW_OUTPUTS 4 /* of a group of few_rows_*: linear.cl */
#define COLUMNS 64    /* of a group of few_columns_* */
#define WIDE_TILE 64
#define SMALL_TILE 16

/* How weights are stored, as linear.cl numbers it: hm_format, then rows and columns of each type. */
static int storage(const hm_linear *w)
{
    return w->panels ? (int)w->panels : (w->in_out ? 12 : 8) + (w->type == HM_BF16 ? 1 : w->type == HM_F16 ? 2 : 0);
}

static int whole_blocks(int in)
{
    return (in + HM_PANEL_BLOCK - 1) / HM_PANEL_BLOCK * HM_PANEL_BLOCK;
}

static size_t quantised_row_bytes(int padded)
{
    return (size_t)padded + (size_t)(padded / HM_PANEL_GROUP) * sizeof(float);
}

/* How x is cut into rows to be quantised: pieces of one tap, `unit` floats apart, or, with unit 0, each tap of each row on its own. */
static int64_t quantised_steps(hm_gpu_quantised *q, const hm_linear *w, int64_t ldx, int64_t tap_stride)
{
    int64_t unit = tap_stride % ldx == 0 ? ldx : ldx % tap_stride == 0 ? tap_stride : 0;
    q->in = whole_blocks(w->in);
    q->row_step = unit ? ldx / unit : w->taps;
    q->tap_step = unit ? tap_stride / unit : 1;
    return unit;
}

static int64_t quantised_rows(const hm_gpu_quantised *q, const hm_linear *w, int64_t M)
{
    return (M - 1) * q->row_step + (w->taps - 1) * q->tap_step + 1;
}

/* Rows of x for M rows of y; false after a failure. fp4 weights are summed doubled. */
static bool quantise(const hm_ops *op, const char *what, hm_gpu_quantised *q, const float *x, const hm_linear *w, int M, int64_t ldx,
                     int64_t tap_stride)
{
    int padded = whole_blocks(w->in);
    int64_t unit = quantised_steps(q, w, ldx, tap_stride), rows = quantised_rows(q, w, M);
    char *scratch = hm_gpu_scratch(op, (size_t)rows * quantised_row_bytes(padded));
    if (!scratch)
        return false;
    q->values = scratch;
    q->scales = (const float *)(const void *)(scratch + rows * padded);
    HM_GPU_LAUNCH(op, what, quantise, rows, (padded / 4 + 63) / 64, 1, hm_gpu_pointer(q->values), hm_gpu_pointer(q->scales),
                  hm_gpu_pointer(x), hm_gpu_i64(unit ? unit : ldx), hm_gpu_i64(tap_stride), hm_gpu_i32(unit ? 1 : w->taps),
                  hm_gpu_i32(w->in), hm_gpu_i32(padded), hm_gpu_f32(w->panels == HM_FORMAT_FP4 ? 0.5f : 1.0f));
    return hm_gpu_ready(op);
}

/* --- few rows --- */

typedef struct few {
    float *y[3];
    const hm_linear *w[3];
    int parts;
    bool pair, add;
    const float *x;
    int M;
} few;

static bool few_rows(const hm_linear *w, int M)
{
    return M <= HM_FEW_ROWS && w->taps == 1;
}

static hm_gpu_kernel few_kernel(int stored)
{
    static const hm_gpu_kernel kernels[] = {
        [HM_FORMAT_F32] = HM_K_few_panel_f32,
        [HM_FORMAT_BF16] = HM_K_few_panel_bf16,
        [HM_FORMAT_F16] = HM_K_few_panel_f16,
        [HM_FORMAT_INT8] = HM_K_few_int8,
        [HM_FORMAT_INT4] = HM_K_few_int4,
        [HM_FORMAT_FP4] = HM_K_few_fp4,
        [HM_FORMAT_FP8] = HM_K_few_panel_fp8,
        [8] = HM_K_few_rows_f32,
        HM_K_few_rows_bf16,
        HM_K_few_rows_f16,
        [12] = HM_K_few_columns_f32,
        HM_K_few_columns_bf16,
        HM_K_few_columns_f16,
    };
    return kernels[stored];
}

/* Layers that share x and the way they are stored. q: x quantised, or NULL. */
static void run_few(const hm_ops *op, const char *what, const few *f, const hm_gpu_quantised *q)
{
    const hm_linear *a = f->w[0], *b = f->w[f->parts > 1 ? 1 : 0], *c = f->w[f->parts > 2 ? 2 : 0];
    int stored = storage(a), outputs = a->panels ? HM_PANEL_ROWS : a->in_out ? COLUMNS : ROW_OUTPUTS, groups = 0;
    for (int i = 0; i < (f->pair ? 1 : f->parts); i++)
        groups += (f->w[i]->out + outputs - 1) / outputs;
    const hm_gpu_value values[] = {hm_gpu_pointer(f->y[0]),
                                   hm_gpu_pointer(f->y[f->parts > 1 ? 1 : 0]),
                                   hm_gpu_pointer(f->y[f->parts > 2 ? 2 : 0]),
                                   hm_gpu_pointer(a->w),
                                   hm_gpu_pointer(b->w),
                                   hm_gpu_pointer(c->w),
                                   hm_gpu_pointer(a->bias),
                                   hm_gpu_pointer(b->bias),
                                   hm_gpu_pointer(c->bias),
                                   hm_gpu_i32(a->out),
                                   hm_gpu_i32(f->parts > 1 ? b->out : 0),
                                   hm_gpu_i32(f->parts > 2 ? c->out : 0),
                                   hm_gpu_pointer(q ? q->values : f->x),
                                   hm_gpu_pointer(q ? q->scales : NULL),
                                   hm_gpu_i32(a->in),
                                   hm_gpu_i32(f->M),
                                   hm_gpu_i32(f->pair),
                                   hm_gpu_i32(f->add)};
    hm_gpu_launch(op, what,
                  &(hm_gpu_launch_args){few_kernel(stored), {(uint32_t)groups, 1, 1}, values, (int)(sizeof values / sizeof *values), 0});
}

/* --- many rows --- */

/* Few outputs, then few rows, get tiles to match. */
static hm_gpu_kernel many_kernel(const hm_gpu_many *g, bool is_quantised, int *rows, int *columns)
{
    *rows = *columns = WIDE_TILE;
    if (g->w->out <= SMALL_TILE) {
        *columns = SMALL_TILE;
        return is_quantised ? HM_K_many_quantised_64x16 : HM_K_many_64x16;
    }
    if (g->M <= SMALL_TILE) {
        *rows = SMALL_TILE;
        return is_quantised ? HM_K_many_quantised_16x64 : HM_K_many_16x64;
    }
    return is_quantised ? HM_K_many_quantised_64x64 : HM_K_many_64x64;
}

/* Row tiles go along the first dimension, of which devices have most. */
static void launch_shared(const hm_ops *op, const char *what, const hm_gpu_many *g, const hm_gpu_quantised *q)
{
    const hm_linear *w = g->w;
    int rows, columns;
    hm_gpu_kernel kernel = many_kernel(g, q != NULL, &rows, &columns);
    const hm_gpu_value values[] = {hm_gpu_pointer(g->y),
                                   hm_gpu_pointer(q ? q->values : g->x),
                                   hm_gpu_pointer(w->w),
                                   hm_gpu_pointer(w->bias),
                                   hm_gpu_pointer(g->residual),
                                   hm_gpu_pointer(g->snake_a),
                                   hm_gpu_pointer(g->snake_b),
                                   hm_gpu_i64(g->ldy),
                                   hm_gpu_i64(q ? q->row_step : g->ldx),
                                   hm_gpu_i64(q ? q->tap_step : g->tap_stride),
                                   hm_gpu_i32(g->M),
                                   hm_gpu_i32(w->out),
                                   hm_gpu_i32(q ? q->in : w->in),
                                   hm_gpu_i32(w->taps),
                                   hm_gpu_i32(storage(w)),
                                   hm_gpu_i32((int)g->act),
                                   hm_gpu_f32(g->slope),
                                   hm_gpu_i32(g->multiply),
                                   hm_gpu_pointer(q ? q->scales : NULL)};
    const uint32_t groups[] = {(uint32_t)((g->M + rows - 1) / rows), (uint32_t)((w->out + columns - 1) / columns)};
    int count = (int)(sizeof values / sizeof *values) - (q ? 0 : 1);
    hm_gpu_launch(op, what, &(hm_gpu_launch_args){kernel, {groups[0], groups[1], 1}, values, count, 0});
}

static void launch_many(const hm_ops *op, const char *what, const hm_gpu_many *g, const hm_gpu_quantised *q)
{
    (op->dev->many ? op->dev->many : launch_shared)(op, what, g, q);
}

void hm_gpu_many_by(hm_device *dev, hm_gpu_launch_many *launch)
{
    dev->many = launch;
}

/* Quantised weights: as many rows at a time as scratch has room for their inputs. */
static void run_many_quantised(const hm_ops *op, const char *what, const hm_gpu_many *g)
{
    size_t row = quantised_row_bytes(whole_blocks(g->w->in));
    hm_gpu_quantised q;
    quantised_steps(&q, g->w, g->ldx, g->tap_stride);
    int64_t most = ((int64_t)(HM_GPU_SCRATCH / row) - 1 - (g->w->taps - 1) * q.tap_step) / q.row_step + 1;
    if (most < 1) {
        hm_fail(op->error, HM_EBUG, "%s: inputs of one row take %zu bytes for each of %d taps; expected at most %zu together", what, row,
                g->w->taps, HM_GPU_SCRATCH);
        return;
    }
    most = most > WIDE_TILE ? most / WIDE_TILE * WIDE_TILE : most;
    for (int64_t m = 0; m < g->M && hm_gpu_ready(op); m += most) {
        hm_gpu_many part = *g;
        part.y += m * g->ldy;
        part.x += m * g->ldx;
        part.residual = g->residual ? g->residual + m * g->ldy : NULL;
        part.M = (int)(g->M - m < most ? g->M - m : most);
        if (quantise(op, what, &q, part.x, part.w, part.M, part.ldx, part.tap_stride))
            launch_many(op, what, &part, &q);
    }
}

static void run_many(const hm_ops *op, const char *what, const hm_gpu_many *args)
{
    hm_gpu_many g = *args;
    g.ldy = g.ldy ? g.ldy : g.w->out;
    g.ldx = g.ldx ? g.ldx : g.w->in;
    g.tap_stride = g.tap_stride ? g.tap_stride : g.w->in;
    if (hm_format_quantised(g.w->panels))
        run_many_quantised(op, what, &g);
    else
        launch_many(op, what, &g, NULL);
}

/* --- entries --- */

/* Contiguous rows of layers that read the same x; with pair, y[0] = silu(W0 x) * (W1 x). */
static void dense(const hm_ops *op, const char *what, const few *f)
{
    hm_gpu_quantised q;
    bool is_few = few_rows(f->w[0], f->M), is_quantised = hm_format_quantised(f->w[0]->panels);
    if (is_few && is_quantised && !quantise(op, what, &q, f->x, f->w[0], f->M, f->w[0]->in, f->w[0]->in))
        return;
    if (is_few) {
        run_few(op, what, f, is_quantised ? &q : NULL);
        return;
    }
    for (int i = 0; i < f->parts; i++) {
        hm_gpu_many g = {.dense = true, .w = f->w[i], .y = f->y[f->pair ? 0 : i], .x = f->x, .M = f->M};
        g.residual = f->add ? g.y : NULL;
        g.act = f->pair && i == 0 ? HM_ACT_SILU : HM_ACT_NONE;
        g.multiply = f->pair && i == 1;
        run_many(op, what, &g);
    }
}

void hm_gpu_linear(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!hm_gpu_ready(op))
        return;
    hm_ops_count_linear(op, w, M);
    dense(op, "linear", &(few){.y = {y}, .w = {w}, .parts = 1, .x = x, .M = M});
}

void hm_gpu_linear_add(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!hm_gpu_ready(op))
        return;
    hm_ops_count_linear(op, w, M);
    dense(op, "linear_add", &(few){.y = {y}, .w = {w}, .parts = 1, .add = true, .x = x, .M = M});
}

void hm_gpu_linear_ex(const hm_ops *op, const hm_linear_args *a)
{
    if (!hm_gpu_ready(op))
        return;
    hm_ops_count_linear(op, a->w, a->M);
    run_many(op, "linear_ex",
             &(hm_gpu_many){.w = a->w,
                            .y = a->y,
                            .x = a->x,
                            .residual = a->residual,
                            .M = a->M,
                            .ldy = a->ldy,
                            .ldx = a->ldx,
                            .tap_stride = a->tap_stride,
                            .act = a->act,
                            .slope = a->slope,
                            .snake_a = a->snake_a,
                            .snake_b = a->snake_b});
}

/* Whether one launch reads both. */
static bool alike(const hm_linear *a, const hm_linear *b)
{
    return storage(a) == storage(b) && a->in == b->in && a->taps == b->taps;
}

void hm_gpu_linear_multi(const hm_ops *op, int n, float *const y[], const float *x, const hm_linear *const w[], int M)
{
    if (!hm_gpu_ready(op))
        return;
    for (int i = 0; i < n; i++)
        hm_ops_count_linear(op, w[i], M);
    for (int i = 0, parts; i < n; i += parts) {
        few f = {.x = x, .M = M};
        for (parts = 0; i + parts < n && alike(w[i], w[i + parts]); parts++) {
            f.w[parts] = w[i + parts];
            f.y[parts] = y[i + parts];
        }
        f.parts = parts;
        dense(op, "linear_multi", &f);
    }
}

void hm_gpu_linear_swiglu(const hm_ops *op, float *y, const float *x, const hm_linear *gate, const hm_linear *up, int M)
{
    if (!hm_gpu_ready(op))
        return;
    hm_ops_count_linear(op, gate, M);
    hm_ops_count_linear(op, up, M);
    if (alike(gate, up)) {
        dense(op, "linear_swiglu", &(few){.y = {y, y}, .w = {gate, up}, .parts = 2, .pair = true, .x = x, .M = M});
        return;
    }
    run_many(op, "linear_swiglu", &(hm_gpu_many){.dense = true, .w = gate, .y = y, .x = x, .M = M, .act = HM_ACT_SILU});
    run_many(op, "linear_swiglu", &(hm_gpu_many){.dense = true, .w = up, .y = y, .x = x, .M = M, .multiply = true});
}

static void gpu_depthwise(const hm_ops *op, float *y, const float *x, const float *w, const float *bias, int M, int C, int taps, int step)
{
    if (!hm_gpu_ready(op))
        return;
    int64_t n = (int64_t)M * C;
    op->count->flops += 2 * (uint64_t)n * (uint64_t)taps;
    op->count->weight_bytes += 4 * (uint64_t)C * ((uint64_t)taps + (bias ? 1 : 0));
    HM_GPU_LAUNCH(op, "depthwise", depthwise, (n + 63) / 64, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(w),
                  hm_gpu_pointer(bias), hm_gpu_i64(n), hm_gpu_i32(C), hm_gpu_i32(taps), hm_gpu_i64(step));
}

static void gpu_fold_conv(const hm_ops *op, const hm_fold_args *args)
{
    hm_fold_args f = *args;
    f.columns = f.columns ? f.columns : f.d1;
    if (!hm_gpu_ready(op) || !hm_ops_foldable(op, &f))
        return;
    int inputs = f.stride ? f.taps / f.stride : f.repeat > 1 ? (f.taps + f.repeat - 2) / f.repeat + 1 : f.taps;
    int64_t n = (int64_t)f.d0 * f.columns * inputs * (f.stride ? f.stride : f.repeat > 1 ? f.repeat : 1);
    int type = storage(&(hm_linear){.type = f.type});
    float *scale = f.g ? hm_gpu_scratch(op, (size_t)f.d0 * sizeof *scale) : NULL;
    if (!hm_gpu_ready(op))
        return;
    if (f.g)
        HM_GPU_LAUNCH(op, "fold_conv", fold_norm, f.d0, 1, 1, hm_gpu_pointer(scale), hm_gpu_pointer(f.v), hm_gpu_pointer(f.g),
                      hm_gpu_i32(type), hm_gpu_i32(f.d1 * f.taps));
    HM_GPU_LAUNCH(op, "fold_conv", fold, (n + 63) / 64, 1, 1, hm_gpu_pointer(f.dst), hm_gpu_pointer(f.v), hm_gpu_pointer(scale),
                  hm_gpu_i64(n), hm_gpu_i32(type), hm_gpu_i32(f.d0), hm_gpu_i32(f.d1), hm_gpu_i32(f.taps), hm_gpu_i32(f.stride),
                  hm_gpu_i32(f.repeat), hm_gpu_i32(f.first), hm_gpu_i32(f.columns), hm_gpu_i32(inputs));
    op->count->table_values += (uint64_t)n;
}

void hm_gpu_linear_ops(hm_ops *ops)
{
    ops->linear = hm_gpu_linear;
    ops->linear_add = hm_gpu_linear_add;
    ops->linear_ex = hm_gpu_linear_ex;
    ops->linear_multi = hm_gpu_linear_multi;
    ops->linear_swiglu = hm_gpu_linear_swiglu;
    ops->depthwise = gpu_depthwise;
    ops->fold_conv = gpu_fold_conv;
}
