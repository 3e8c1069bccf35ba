/* Norms, elementwise operations, positions, caches, embeddings: rows or elements shared out over the threads. */
#include "engine/cpu/rows.h"

#include <math.h>
#include <string.h>

static void run_part(void *arg, int index, int count)
{
    const hm_cpu_rows *j = arg;
    size_t first, last;
    hm_team_range(j->items, j->grain, index, count, &first, &last);
    if (first < last)
        j->run(j, first, last);
}

void hm_cpu_run_rows(const hm_ops *op, const char *name, hm_cpu_rows *j, double work)
{
    j->k = op->dev->k;
    j->grain = j->grain ? j->grain : 1;
    hm_cpu_run(op, run_part, j, work / 2);
    hm_cpu_end(op, name);
}

/* Norms. */

static void rmsnorm_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++) {
        size_t at = m * (size_t)j->D;
        j->k->rmsnorm_row(j->y + at, j->x + at, j->w, j->D, j->eps);
        if (j->v) {
            int64_t vector = (int64_t)(m / (size_t)j->rows) * j->stride;
            j->k->modulate_row(j->y + at, j->y + at, j->u + vector, j->v + vector, j->D);
        }
    }
}

static void count_norm(const hm_ops *op, const float *weight, int D)
{
    op->count->weight_bytes += weight ? 4 * (uint64_t)D : 0;
}

static void cpu_rmsnorm(const hm_ops *op, float *y, const float *x, const float *weight, int M, int D, float eps)
{
    hm_cpu_rows j = {.run = rmsnorm_rows, .items = (size_t)M, .y = y, .x = x, .w = weight, .D = D, .eps = eps};
    if (!hm_cpu_begin(op, "rmsnorm"))
        return;
    count_norm(op, weight, D);
    hm_cpu_run_rows(op, "rmsnorm", &j, (double)M * D);
}

static void cpu_rmsnorm_modulate(const hm_ops *op, float *y, const float *x, const float *weight, const float *shift, const float *scale,
                                 int B, int rows, int D, int64_t stride, float eps)
{
    hm_cpu_rows j = {.run = rmsnorm_rows, .items = (size_t)B * (size_t)rows, .y = y, .x = x, .u = shift, .v = scale, .w = weight, .D = D};
    j.rows = rows;
    j.stride = stride;
    j.eps = eps;
    if (!hm_cpu_begin(op, "rmsnorm_modulate"))
        return;
    count_norm(op, weight, D);
    hm_cpu_run_rows(op, "rmsnorm_modulate", &j, 2.0 * B * rows * D);
}

static void layernorm_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++)
        j->k->layernorm_row(j->y + m * (size_t)j->D, j->x + m * (size_t)j->D, j->w, j->v, j->D, j->eps);
}

static void cpu_layernorm(const hm_ops *op, float *y, const float *x, const float *weight, const float *bias, int M, int D, float eps)
{
    hm_cpu_rows j = {.run = layernorm_rows, .items = (size_t)M, .y = y, .x = x, .v = bias, .w = weight, .D = D, .eps = eps};
    if (!hm_cpu_begin(op, "layernorm"))
        return;
    count_norm(op, weight, 2 * D);
    hm_cpu_run_rows(op, "layernorm", &j, (double)M * D);
}

/* Elementwise over rows. */

static void modulate_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++) {
        int64_t vector = (int64_t)(m / (size_t)j->rows) * j->stride;
        j->k->modulate_row(j->y + m * (size_t)j->D, j->x + m * (size_t)j->D, j->u + vector, j->v + vector, j->D);
    }
}

static void cpu_modulate(const hm_ops *op, float *y, const float *x, const float *shift, const float *scale, int B, int rows, int D,
                         int64_t stride)
{
    hm_cpu_rows j = {.run = modulate_rows, .items = (size_t)B * (size_t)rows, .y = y, .x = x, .u = shift, .v = scale, .D = D, .rows = rows};
    j.stride = stride;
    if (hm_cpu_begin(op, "modulate"))
        hm_cpu_run_rows(op, "modulate", &j, (double)B * rows * D);
}

static void gate_add_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++)
        j->k->gate_add_row(j->y + m * (size_t)j->D, j->x + m * (size_t)j->D, j->u + (int64_t)(m / (size_t)j->rows) * j->stride, j->D);
}

static void cpu_gate_add(const hm_ops *op, float *x, const float *delta, const float *gate, int B, int rows, int D, int64_t stride)
{
    hm_cpu_rows j = {.run = gate_add_rows, .items = (size_t)B * (size_t)rows, .y = x, .x = delta, .u = gate, .D = D, .rows = rows};
    j.stride = stride;
    if (hm_cpu_begin(op, "gate_add"))
        hm_cpu_run_rows(op, "gate_add", &j, (double)B * rows * D);
}

/* Elementwise over flat arrays; grain keeps threads on their own cache lines. */
#define FLAT_GRAIN 1024

static void add_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->add(j->y + i, j->x + i, last - i);
}

static void axpy_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->axpy(j->y + i, j->a, j->x + i, last - i);
}

static void scale_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->scale(j->y + i, j->a, last - i);
}

static void activate_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->activate(j->y + i, j->act, j->a, last - i);
}

static void silu_mul_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->silu_mul(j->y + i, j->x + i, j->u + i, last - i);
}

static void clamp_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->clamp(j->y + i, j->a, j->eps, last - i);
}

static void guide_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->guide(j->y + i, j->x + i, j->u + i, j->a, last - i);
}

static void round9_part(const hm_cpu_rows *j, size_t i, size_t last)
{
    j->k->round9(j->y + i, j->x + i, last - i);
}

static void cpu_add(const hm_ops *op, float *y, const float *x, size_t n)
{
    hm_cpu_rows j = {.run = add_part, .items = n, .grain = FLAT_GRAIN, .y = y, .x = x};
    if (hm_cpu_begin(op, "add"))
        hm_cpu_run_rows(op, "add", &j, (double)n);
}

static void cpu_axpy(const hm_ops *op, float *y, float a, const float *x, size_t n)
{
    hm_cpu_rows j = {.run = axpy_part, .items = n, .grain = FLAT_GRAIN, .y = y, .x = x, .a = a};
    if (hm_cpu_begin(op, "axpy"))
        hm_cpu_run_rows(op, "axpy", &j, (double)n);
}

static void cpu_scale(const hm_ops *op, float *y, float a, size_t n)
{
    hm_cpu_rows j = {.run = scale_part, .items = n, .grain = FLAT_GRAIN, .y = y, .a = a};
    if (hm_cpu_begin(op, "scale"))
        hm_cpu_run_rows(op, "scale", &j, (double)n);
}

static void cpu_activate(const hm_ops *op, float *y, hm_act act, float slope, size_t n)
{
    hm_cpu_rows j = {.run = activate_part, .items = n, .grain = FLAT_GRAIN, .y = y, .act = act, .a = slope};
    if (hm_cpu_begin(op, "activate"))
        hm_cpu_run_rows(op, "activate", &j, 4.0 * (double)n);
}

static void cpu_silu_mul(const hm_ops *op, float *y, const float *gate, const float *up, size_t n)
{
    hm_cpu_rows j = {.run = silu_mul_part, .items = n, .grain = FLAT_GRAIN, .y = y, .x = gate, .u = up};
    if (hm_cpu_begin(op, "silu_mul"))
        hm_cpu_run_rows(op, "silu_mul", &j, 4.0 * (double)n);
}

static void cpu_clamp(const hm_ops *op, float *y, float low, float high, size_t n)
{
    hm_cpu_rows j = {.run = clamp_part, .items = n, .grain = FLAT_GRAIN, .y = y, .a = low, .eps = high};
    if (hm_cpu_begin(op, "clamp"))
        hm_cpu_run_rows(op, "clamp", &j, (double)n);
}

static void cpu_guide(const hm_ops *op, float *y, const float *cond, const float *uncond, float scale, size_t n)
{
    hm_cpu_rows j = {.run = guide_part, .items = n, .grain = FLAT_GRAIN, .y = y, .x = cond, .u = uncond, .a = scale};
    if (hm_cpu_begin(op, "guide"))
        hm_cpu_run_rows(op, "guide", &j, (double)n);
}

static void cpu_round9(const hm_ops *op, float *y, const float *x, size_t n)
{
    hm_cpu_rows j = {.run = round9_part, .items = n, .grain = FLAT_GRAIN, .y = y, .x = x};
    if (hm_cpu_begin(op, "round9"))
        hm_cpu_run_rows(op, "round9", &j, 2.0 * (double)n);
}

static void copy_2d_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t r = first; r < last; r++)
        memcpy(j->y + (int64_t)r * j->ldy, j->x + (int64_t)r * j->ldx, (size_t)j->n * sizeof(float));
}

static void cpu_copy_2d(const hm_ops *op, float *y, int64_t ldy, const float *x, int64_t ldx, int width, int rows)
{
    hm_cpu_rows j = {.run = copy_2d_rows, .items = (size_t)rows, .y = y, .x = x, .n = width, .ldy = ldy, .ldx = ldx};
    if (hm_cpu_begin(op, "copy_2d"))
        hm_cpu_run_rows(op, "copy_2d", &j, (double)rows * width);
}

/* Positions. The angle is rounded to float32 as the reference does; its cosine and sine are then right to the last bit or so. */

typedef struct table_job {
    float *cos, *sin;
    const float *theta;
    int half, first, count;
} table_job;

static void table_part(void *arg, int index, int count)
{
    const table_job *t = arg;
    size_t row, last;
    hm_team_range((size_t)t->count, 1, index, count, &row, &last);
    for (; row < last; row++)
        for (int i = 0; i < t->half; i++) {
            float angle = (float)(t->first + (int)row) * t->theta[i];
            t->cos[row * (size_t)t->half + (size_t)i] = (float)cos((double)angle);
            t->sin[row * (size_t)t->half + (size_t)i] = (float)sin((double)angle);
        }
}

static void cpu_rope_table(const hm_ops *op, float *cos_out, float *sin_out, const float *theta, int half, int first, int count)
{
    table_job t = {cos_out, sin_out, theta, half, first, count};
    if (!hm_cpu_begin(op, "rope_table"))
        return;
    op->count->table_values += 2 * (uint64_t)half * (uint64_t)count;
    hm_cpu_run(op, table_part, &t, 100.0 * half * count);
    hm_cpu_end(op, "rope_table");
}

static void rope_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    size_t half = (size_t)j->D / 2;
    for (size_t m = first; m < last; m++) {
        size_t s = m % (size_t)j->S;
        j->k->rope_row(j->y + m * (size_t)j->heads * (size_t)j->D, j->u + s * half, j->v + s * half, j->heads, j->D, j->half);
    }
}

static void cpu_rope(const hm_ops *op, float *x, const float *cos_table, const float *sin_table, int B, int S, int heads, int Dh, bool half)
{
    hm_cpu_rows j = {
        .run = rope_rows, .items = (size_t)B * (size_t)S, .y = x, .u = cos_table, .v = sin_table, .D = Dh, .S = S, .heads = heads};
    j.half = half;
    if (hm_cpu_begin(op, "rope"))
        hm_cpu_run_rows(op, "rope", &j, 2.0 * B * S * heads * Dh);
}

/* Embeddings: y[m] = sum of n rows of the table. */

static void gather_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    size_t row_bytes = (size_t)j->D * hm_dtype_bytes(j->type);
    for (size_t m = first; m < last; m++)
        for (int i = 0; i < j->n; i++) {
            size_t id = (size_t)j->ids[m * (size_t)j->n + (size_t)i];
            const char *table = j->tables ? j->tables[i] : j->table;
            j->k->gather_row(j->y + m * (size_t)j->D, table + id * row_bytes, j->type, j->D, i > 0);
        }
}

/* One table, or one for each of the K rows. */
static void gather(const hm_ops *op, const char *name, float *y, const void *table, const void *const *tables, hm_dtype type, int D,
                   const int32_t *ids, int M, int K)
{
    hm_cpu_rows j = {
        .run = gather_rows, .items = (size_t)M, .y = y, .table = table, .tables = tables, .type = type, .D = D, .ids = ids, .n = K};
    if (!hm_cpu_begin(op, name))
        return;
    op->count->embedding_rows += (uint64_t)M * (uint64_t)K;
    op->count->weight_bytes += (uint64_t)M * (uint64_t)K * (uint64_t)D * hm_dtype_bytes(type);
    hm_cpu_run_rows(op, name, &j, (double)M * K * D);
}

static void cpu_gather(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M)
{
    gather(op, "gather", y, table, NULL, type, D, ids, M, 1);
}

static void cpu_gather_sum(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M, int K)
{
    gather(op, "gather_sum", y, table, NULL, type, D, ids, M, K);
}

static void cpu_gather_tables(const hm_ops *op, float *y, const void *const *tables, hm_dtype type, int D, const int32_t *ids, int M, int G)
{
    gather(op, "gather_tables", y, NULL, tables, type, D, ids, M, G);
}

static void masked_sum_rows(const hm_cpu_rows *j, size_t first, size_t last)
{
    for (size_t m = first; m < last; m++) {
        float *y = j->y + m * (size_t)j->D;
        memset(y, 0, (size_t)j->D * sizeof *y);
        for (int c = 0; c < j->n; c++) {
            size_t row = m * (size_t)j->n + (size_t)c;
            j->k->axpy(y, j->u[row], j->x + row * (size_t)j->D, (size_t)j->D);
        }
    }
}

static void cpu_masked_sum(const hm_ops *op, float *y, const float *x, const float *mask, int M, int C, int D)
{
    hm_cpu_rows j = {.run = masked_sum_rows, .items = (size_t)M, .y = y, .x = x, .u = mask, .D = D, .n = C};
    if (hm_cpu_begin(op, "masked_sum"))
        hm_cpu_run_rows(op, "masked_sum", &j, (double)M * C * D);
}

static void cpu_ids_add(const hm_ops *op, int32_t *ids, const int32_t *tokens, const int32_t *offsets, int n)
{
    if (!hm_cpu_begin(op, "ids_add"))
        return;
    for (int i = 0; i < n; i++)
        ids[i] = tokens[i] + offsets[i];
    hm_cpu_end(op, "ids_add");
}

void hm_cpu_fill_rows(hm_ops *ops)
{
    ops->rmsnorm = cpu_rmsnorm;
    ops->layernorm = cpu_layernorm;
    ops->modulate = cpu_modulate;
    ops->gate_add = cpu_gate_add;
    ops->rmsnorm_modulate = cpu_rmsnorm_modulate;
    ops->add = cpu_add;
    ops->axpy = cpu_axpy;
    ops->scale = cpu_scale;
    ops->activate = cpu_activate;
    ops->silu_mul = cpu_silu_mul;
    ops->clamp = cpu_clamp;
    ops->guide = cpu_guide;
    ops->round9 = cpu_round9;
    ops->copy_2d = cpu_copy_2d;
    ops->rope_table = cpu_rope_table;
    ops->rope = cpu_rope;
    ops->gather = cpu_gather;
    ops->gather_sum = cpu_gather_sum;
    ops->gather_tables = cpu_gather_tables;
    ops->masked_sum = cpu_masked_sum;
    ops->ids_add = cpu_ids_add;
}
