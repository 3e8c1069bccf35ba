/* Linear layers and row convolutions: which kernel, how it is cut into tiles, and what it counts.
 * The choice depends on the shape of W and the entry called; M matters for `linear` and its relatives only, so that a convolution
 * (linear_ex) gives the same bytes however its rows are cut into calls. */
#include "engine/cpu/device.h"

static double linear_work(const hm_linear *w, int M)
{
    return (double)w->out * w->in * w->taps * M;
}

typedef struct gemv_run {
    const hm_cpu_gemv *job;
    hm_device *dev;
} gemv_run;

static void run_gemv_part(void *arg, int index, int count)
{
    const gemv_run *r = arg;
    if (r->job->part[0].w->panels)
        r->dev->p->gemv(r->job, hm_cpu_work(r->dev, index), index, count);
    else
        r->dev->k->gemv(r->job, hm_cpu_work(r->dev, index), index, count);
}

static void run_gemv(const hm_ops *op, const hm_cpu_gemv *job)
{
    gemv_run r = {job, op->dev};
    double work = 0;
    for (int i = 0; i < job->parts; i++)
        work += linear_work(job->part[i].w, job->M);
    hm_cpu_run(op, run_gemv_part, &r, work);
}

typedef struct gemm_run {
    hm_cpu_gemm *job;
    hm_device *dev;
} gemm_run;

static void run_gemm_part(void *arg, int index, int count)
{
    const gemm_run *r = arg;
    (void)count;
    if (r->job->w->panels && !r->job->thin && !r->job->narrow)
        r->dev->p->gemm(r->job, hm_cpu_work(r->dev, index));
    else
        r->dev->k->gemm(r->job, hm_cpu_work(r->dev, index));
}

static int split(int count, int most, int grain)
{
    int parts = (count + most - 1) / most, each = (count + parts - 1) / parts;
    return (each + grain - 1) / grain * grain;
}

/* Tiles as large as scratch allows, smaller when threads would have too few: columns first (a tile packs W once for all its rows),
 * then rows. */
static void cut_tiles(hm_cpu_gemm *g, int threads)
{
    int out = g->w->out, want = 4 * threads;
    g->tile_rows = g->narrow ? HM_CPU_NARROW_ROWS : HM_CPU_GEMM_ROWS;
    g->tile_cols = HM_CPU_GEMM_COLS;
    for (;;) {
        g->tiles_m = (g->M + g->tile_rows - 1) / g->tile_rows;
        g->tiles = g->tiles_m * ((out + g->tile_cols - 1) / g->tile_cols);
        if (g->tiles >= want || threads == 1)
            return;
        if (g->narrow)
            return;
        if (g->tile_cols > 64 && out > 64)
            g->tile_cols /= 2;
        else if (g->tile_rows > 48 && g->M > 48)
            g->tile_rows = g->tile_rows / 2 >= 48 ? g->tile_rows / 2 : 48;
        else
            return;
    }
}

/* Of few outputs: whole vectors of rows. */
static void cut_thin_tiles(hm_cpu_gemm *g, int threads)
{
    int most = (g->M + 4 * threads - 1) / (4 * threads);
    g->tile_rows = split(g->M, most > 48 ? most : 48, HM_CPU_THIN_GRAIN_ROWS);
    g->tile_cols = g->w->out;
    g->tiles = g->tiles_m = (g->M + g->tile_rows - 1) / g->tile_rows;
}

/* Tiles over panels, as equal as whole strips and panels allow; convolutions over many rows have tiles enough without cutting columns. */
static void cut_panel_tiles(hm_cpu_gemm *g, int threads)
{
    int out = g->w->out, want = threads > 1 ? 4 * threads : 1;
    bool quantised = hm_format_quantised(g->w->panels);
    int rows = HM_CPU_PANEL_TILE_ROWS;
    int cols = quantised ? HM_CPU_PANEL_QUANT_COLS : g->in_place ? HM_CPU_PANEL_TILE_COLS : HM_CPU_PANEL_COPY_COLS;
    for (;;) {
        g->tile_rows = split(g->M, rows, HM_CPU_PANEL_GRAIN_ROWS);
        g->tile_cols = split(out, cols, HM_CPU_PANEL_GRAIN_COLS);
        g->tiles_m = (g->M + g->tile_rows - 1) / g->tile_rows;
        g->tiles = g->tiles_m * ((out + g->tile_cols - 1) / g->tile_cols);
        if (g->tiles >= want)
            return;
        if (cols > 2 * HM_CPU_PANEL_GRAIN_COLS && out > 2 * HM_CPU_PANEL_GRAIN_COLS)
            cols /= 2;
        else if (rows > 2 * HM_CPU_PANEL_GRAIN_ROWS && g->M > 2 * HM_CPU_PANEL_GRAIN_ROWS)
            rows /= 2;
        else
            return;
    }
}

static void run_quantise_part(void *arg, int index, int count)
{
    const gemm_run *r = arg;
    r->dev->p->quantise(r->job, index, count);
}

/* Inputs that several columns of tiles read, once for all of them. False with op->error set. */
static bool quantise_inputs(const hm_ops *op, gemm_run *r)
{
    hm_cpu_gemm *g = r->job;
    size_t bytes = g->tiles > g->tiles_m ? op->dev->p->quantised_bytes(g) : 0;
    if (!bytes || bytes > HM_CPU_QUANTISED_BYTES)
        return true;
    g->quantised = hm_cpu_scratch(op, bytes, "quantised inputs");
    if (g->quantised)
        hm_cpu_run(op, run_quantise_part, r, (double)bytes);
    return g->quantised;
}

static void run_gemm(const hm_ops *op, hm_cpu_gemm *g)
{
    const hm_linear *w = g->w;
    bool quantised = hm_format_quantised(w->panels);
    g->in = w->in;
    g->taps = w->taps;
    g->depth = w->in * w->taps;
    g->ldy = g->ldy ? g->ldy : w->out;
    g->ldx = g->ldx ? g->ldx : w->in;
    g->tap_stride = g->tap_stride ? g->tap_stride : w->in;
    g->narrow = !quantised && w->out <= HM_CPU_NARROW && w->in <= HM_CPU_NARROW && g->depth <= HM_CPU_GEMM_DEPTH && !g->finish.multiply &&
                g->tap_stride % g->ldx == 0 && (w->taps - 1) * (g->tap_stride / g->ldx) <= HM_CPU_NARROW_REACH;
    if (!g->narrow && g->tap_stride == w->in) { /* the taps of a row lie side by side: one long tap */
        g->in = g->depth;
        g->taps = 1;
    }
    g->thin = !quantised && !g->narrow && w->out <= HM_CPU_THIN_COLS && g->depth <= HM_CPU_THIN_DEPTH;
    g->in_place = g->in >= 32 && g->ldx % 1024; /* else rows share the sets of the first cache, or runs are too short for their loops */
    if (g->thin)
        cut_thin_tiles(g, op->dev->threads);
    else if (w->panels && !g->narrow)
        cut_panel_tiles(g, op->dev->threads);
    else
        cut_tiles(g, op->dev->threads);
    gemm_run r = {g, op->dev};
    atomic_init(&g->next, 0);
    if (quantised && !quantise_inputs(op, &r))
        return;
    hm_cpu_run(op, run_gemm_part, &r, linear_work(w, g->M));
}

/* Whether the GEMV of W's kind of storage does so many rows of it. */
static bool few_rows(const hm_linear *w, int M)
{
    return M <= HM_CPU_GEMV_MAX_ROWS && w->taps == 1 && (!w->panels || w->in <= HM_CPU_PANEL_MAX_IN);
}

/* Contiguous rows, y = finish(W x). */
static void dense(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M, hm_cpu_finish finish)
{
    if (few_rows(w, M)) {
        hm_cpu_gemv job = {.part = {{w, y, w->out}}, .parts = 1, .x = x, .M = M, .finish = finish};
        run_gemv(op, &job);
    } else {
        hm_cpu_gemm g = {.w = w, .y = y, .x = x, .residual = finish.residual ? y : NULL, .M = M, .finish = finish};
        run_gemm(op, &g);
    }
}

static void cpu_linear(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!hm_cpu_begin(op, "linear"))
        return;
    hm_ops_count_linear(op, w, M);
    dense(op, y, x, w, M, (hm_cpu_finish){0});
    hm_cpu_end(op, "linear");
}

static void cpu_linear_add(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M)
{
    if (!hm_cpu_begin(op, "linear_add"))
        return;
    hm_ops_count_linear(op, w, M);
    dense(op, y, x, w, M, (hm_cpu_finish){.residual = true});
    hm_cpu_end(op, "linear_add");
}

static void cpu_linear_ex(const hm_ops *op, const hm_linear_args *a)
{
    if (!hm_cpu_begin(op, "linear_ex"))
        return;
    hm_ops_count_linear(op, a->w, a->M);
    hm_cpu_gemm g = {.w = a->w,
                     .y = a->y,
                     .x = a->x,
                     .residual = a->residual,
                     .M = a->M,
                     .ldy = a->ldy,
                     .ldx = a->ldx,
                     .tap_stride = a->tap_stride,
                     .finish = {.act = a->act, .slope = a->slope, .residual = a->residual != NULL}};
    g.finish.snake_a = a->snake_a;
    g.finish.snake_b = a->snake_b;
    run_gemm(op, &g);
    hm_cpu_end(op, "linear_ex");
}

static void cpu_linear_multi(const hm_ops *op, int n, float *const y[], const float *x, const hm_linear *const w[], int M)
{
    if (!hm_cpu_begin(op, "linear_multi"))
        return;
    hm_cpu_gemv job = {.parts = n, .x = x, .M = M};
    bool together = true;
    for (int i = 0; i < n; i++) {
        hm_ops_count_linear(op, w[i], M);
        job.part[i] = (hm_cpu_gemv_part){w[i], y[i], w[i]->out};
        together = together && few_rows(w[i], M) && !w[i]->panels == !w[0]->panels;
    }
    if (together)
        run_gemv(op, &job);
    else
        for (int i = 0; i < n; i++)
            dense(op, y[i], x, w[i], M, (hm_cpu_finish){0});
    hm_cpu_end(op, "linear_multi");
}

static void cpu_linear_swiglu(const hm_ops *op, float *y, const float *x, const hm_linear *gate, const hm_linear *up, int M)
{
    if (!hm_cpu_begin(op, "linear_swiglu"))
        return;
    hm_ops_count_linear(op, gate, M);
    hm_ops_count_linear(op, up, M);
    if (few_rows(gate, M) && gate->panels == up->panels && (gate->panels || (!gate->in_out && !up->in_out))) {
        hm_cpu_gemv job = {.part = {{gate, y, gate->out}, {up, y, up->out}}, .parts = 2, .swiglu = true, .x = x, .M = M};
        run_gemv(op, &job);
    } else {
        dense(op, y, x, gate, M, (hm_cpu_finish){.act = HM_ACT_SILU});
        dense(op, y, x, up, M, (hm_cpu_finish){.multiply = true});
    }
    hm_cpu_end(op, "linear_swiglu");
}

void hm_cpu_fill_linear(hm_ops *ops)
{
    ops->linear = cpu_linear;
    ops->linear_add = cpu_linear_add;
    ops->linear_ex = cpu_linear_ex;
    ops->linear_multi = cpu_linear_multi;
    ops->linear_swiglu = cpu_linear_swiglu;
}
