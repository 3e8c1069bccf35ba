/* Norms, elementwise operations, embeddings and small operations on codes, on a GPU: arguments and counts of rows.cl's kernels. */
#include "engine/gpu/gpu.h"

#define ELEMENTS 256 /* of a group: rows.cl */
#define TABLES 8     /* of a launch of gather_tables */

static int64_t groups_of(int64_t n)
{
    return (n + ELEMENTS - 1) / ELEMENTS;
}

/* Norms. */

static void count_norm(const hm_ops *op, const float *weight, int D)
{
    op->count->weight_bytes += weight ? 4 * (uint64_t)D : 0;
}

static void gpu_rmsnorm(const hm_ops *op, float *y, const float *x, const float *weight, int M, int D, float eps)
{
    if (!hm_gpu_ready(op))
        return;
    count_norm(op, weight, D);
    HM_GPU_LAUNCH(op, "rmsnorm", rmsnorm, M, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(weight), hm_gpu_pointer(NULL),
                  hm_gpu_pointer(NULL), hm_gpu_i32(D), hm_gpu_i32(1), hm_gpu_i64(0), hm_gpu_f32(eps));
}

static void gpu_rmsnorm_modulate(const hm_ops *op, float *y, const float *x, const float *weight, const float *shift, const float *scale,
                                 int B, int rows, int D, int64_t stride, float eps)
{
    if (!hm_gpu_ready(op))
        return;
    count_norm(op, weight, D);
    HM_GPU_LAUNCH(op, "rmsnorm_modulate", rmsnorm, (int64_t)B * rows, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(weight),
                  hm_gpu_pointer(shift), hm_gpu_pointer(scale), hm_gpu_i32(D), hm_gpu_i32(rows), hm_gpu_i64(stride), hm_gpu_f32(eps));
}

static void gpu_layernorm(const hm_ops *op, float *y, const float *x, const float *weight, const float *bias, int M, int D, float eps)
{
    if (!hm_gpu_ready(op))
        return;
    count_norm(op, weight, 2 * D);
    HM_GPU_LAUNCH(op, "layernorm", layernorm, M, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(weight), hm_gpu_pointer(bias),
                  hm_gpu_i32(D), hm_gpu_f32(eps));
}

/* Elementwise over rows. */

static void gpu_modulate(const hm_ops *op, float *y, const float *x, const float *shift, const float *scale, int B, int rows, int D,
                         int64_t stride)
{
    int64_t n = (int64_t)B * rows * D;
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "modulate", modulate, groups_of(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(shift),
                      hm_gpu_pointer(scale), hm_gpu_i64(n), hm_gpu_i32(D), hm_gpu_i32(rows), hm_gpu_i64(stride));
}

static void gpu_gate_add(const hm_ops *op, float *x, const float *delta, const float *gate, int B, int rows, int D, int64_t stride)
{
    int64_t n = (int64_t)B * rows * D;
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "gate_add", gate_add, groups_of(n), 1, 1, hm_gpu_pointer(x), hm_gpu_pointer(delta), hm_gpu_pointer(gate),
                      hm_gpu_i64(n), hm_gpu_i32(D), hm_gpu_i32(rows), hm_gpu_i64(stride));
}

/* Elementwise over flat arrays. */

static void gpu_add(const hm_ops *op, float *y, const float *x, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "add", add, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_i64((int64_t)n));
}

static void gpu_axpy(const hm_ops *op, float *y, float a, const float *x, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "axpy", axpy, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_f32(a), hm_gpu_pointer(x),
                      hm_gpu_i64((int64_t)n));
}

static void gpu_scale(const hm_ops *op, float *y, float a, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "scale", scale, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_f32(a), hm_gpu_i64((int64_t)n));
}

static void gpu_activate(const hm_ops *op, float *y, hm_act act, float slope, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "activate", activate, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_i32((int)act), hm_gpu_f32(slope),
                      hm_gpu_i64((int64_t)n));
}

static void gpu_silu_mul(const hm_ops *op, float *y, const float *gate, const float *up, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "silu_mul", silu_mul, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(gate), hm_gpu_pointer(up),
                      hm_gpu_i64((int64_t)n));
}

static void gpu_clamp(const hm_ops *op, float *y, float low, float high, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "clamp", clamp, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_f32(low), hm_gpu_f32(high),
                      hm_gpu_i64((int64_t)n));
}

static void gpu_guide(const hm_ops *op, float *y, const float *cond, const float *uncond, float scale, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "guide", guide, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(cond), hm_gpu_pointer(uncond),
                      hm_gpu_f32(scale), hm_gpu_i64((int64_t)n));
}

static void gpu_round9(const hm_ops *op, float *y, const float *x, size_t n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "round9", round9, groups_of((int64_t)n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_i64((int64_t)n));
}

/* Embeddings. */

/* As rows.cl numbers types. */
static int type_of(hm_dtype type)
{
    return type == HM_BF16 ? 1 : type == HM_F16 ? 2 : 0;
}

static void count_gather(const hm_ops *op, hm_dtype type, int D, int M, int K)
{
    op->count->embedding_rows += (uint64_t)M * (uint64_t)K;
    op->count->weight_bytes += (uint64_t)M * (uint64_t)K * (uint64_t)D * hm_dtype_bytes(type);
}

static void gather(const hm_ops *op, const char *what, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M, int K)
{
    int64_t n = (int64_t)M * D;
    if (!hm_gpu_ready(op))
        return;
    count_gather(op, type, D, M, K);
    HM_GPU_LAUNCH(op, what, gather, groups_of(n), 1, 1, hm_gpu_pointer(y), hm_gpu_base(op, ids), hm_gpu_offset(op, ids),
                  hm_gpu_pointer(table), hm_gpu_i32(type_of(type)), hm_gpu_i64(n), hm_gpu_i32(D), hm_gpu_i32(K));
}

static void gpu_gather(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M)
{
    gather(op, "gather", y, table, type, D, ids, M, 1);
}

static void gpu_gather_sum(const hm_ops *op, float *y, const void *table, hm_dtype type, int D, const int32_t *ids, int M, int K)
{
    gather(op, "gather_sum", y, table, type, D, ids, M, K);
}

/* One launch for as many tables as a kernel takes. */
static void gpu_gather_tables(const hm_ops *op, float *y, const void *const *tables, hm_dtype type, int D, const int32_t *ids, int M, int G)
{
    int64_t n = (int64_t)M * D;
    if (!hm_gpu_ready(op))
        return;
    count_gather(op, type, D, M, G);
    for (int k = 0; k < G; k += TABLES) {
        int count = G - k < TABLES ? G - k : TABLES;
        const void *t[TABLES];
        for (int i = 0; i < TABLES; i++)
            t[i] = tables[k + (i < count ? i : 0)];
        HM_GPU_LAUNCH(op, "gather_tables", gather_tables, groups_of(n), 1, 1, hm_gpu_pointer(y), hm_gpu_base(op, ids),
                      hm_gpu_offset(op, ids), hm_gpu_pointer(t[0]), hm_gpu_pointer(t[1]), hm_gpu_pointer(t[2]), hm_gpu_pointer(t[3]),
                      hm_gpu_pointer(t[4]), hm_gpu_pointer(t[5]), hm_gpu_pointer(t[6]), hm_gpu_pointer(t[7]), hm_gpu_i32(type_of(type)),
                      hm_gpu_i64(n), hm_gpu_i32(D), hm_gpu_i32(G), hm_gpu_i32(k), hm_gpu_i32(count));
    }
}

static void gpu_masked_sum(const hm_ops *op, float *y, const float *x, const float *mask, int M, int C, int D)
{
    int64_t n = (int64_t)M * D;
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "masked_sum", masked_sum, groups_of(n), 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(mask),
                      hm_gpu_i64(n), hm_gpu_i32(C), hm_gpu_i32(D));
}

/* Codes: what lies in arrays of codes moves on from frame to frame. */

static void gpu_ids_add(const hm_ops *op, int32_t *ids, const int32_t *tokens, const int32_t *offsets, int n)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "ids_add", ids_add, groups_of(n), 1, 1, hm_gpu_base(op, ids), hm_gpu_offset(op, ids), hm_gpu_base(op, tokens),
                      hm_gpu_offset(op, tokens), hm_gpu_base(op, offsets), hm_gpu_offset(op, offsets), hm_gpu_i64(n));
}

static void gpu_any_at_least(const hm_ops *op, int32_t *flag, const int32_t *tokens, int n, int32_t limit)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "any_at_least", any_at_least, 1, 1, 1, hm_gpu_base(op, flag), hm_gpu_offset(op, flag), hm_gpu_base(op, tokens),
                      hm_gpu_offset(op, tokens), hm_gpu_i32(n), hm_gpu_i32(limit));
}

static void gpu_pick(const hm_ops *op, float *y, const float *x, const int32_t *index)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "pick", pick, 1, 1, 1, hm_gpu_base(op, y), hm_gpu_offset(op, y), hm_gpu_base(op, x), hm_gpu_offset(op, x),
                      hm_gpu_base(op, index), hm_gpu_offset(op, index));
}

void hm_gpu_rows_ops(hm_ops *ops)
{
    ops->rmsnorm = gpu_rmsnorm;
    ops->rmsnorm_modulate = gpu_rmsnorm_modulate;
    ops->layernorm = gpu_layernorm;
    ops->modulate = gpu_modulate;
    ops->gate_add = gpu_gate_add;
    ops->add = gpu_add;
    ops->axpy = gpu_axpy;
    ops->scale = gpu_scale;
    ops->activate = gpu_activate;
    ops->silu_mul = gpu_silu_mul;
    ops->clamp = gpu_clamp;
    ops->guide = gpu_guide;
    ops->round9 = gpu_round9;
    ops->gather = gpu_gather;
    ops->gather_sum = gpu_gather_sum;
    ops->gather_tables = gpu_gather_tables;
    ops->masked_sum = gpu_masked_sum;
    ops->ids_add = gpu_ids_add;
    ops->any_at_least = gpu_any_at_least;
    ops->pick = gpu_pick;
}
