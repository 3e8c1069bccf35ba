/* Attention of few rows (attend.cu), and the whole of a step between a layer's projections. */
#include "engine/cuda/cuda_ops.h"

#define CHUNK 64      /* as in attend.cu */
#define MOST_HEAD 128 /* elements */
#define MOST_FRESH 4  /* positions, however many heads share a stored one: K and V expanded or not have the same bytes */
#define COUNTERS 4096 /* pairs of a stored head and a tile */

/* What is launched: kernels take tiles of so many rows of a stored head. */
typedef struct plan {
    hm_gpu_kernel kernel;
    int rows, tiles, most; /* most: parts that there is room for */
    bool own;              /* the last slots are those that are queried, and a part of their own */
    int64_t pairs;
    size_t bytes; /* of parts */
} plan;

/* Parts for a power of two of chunks, as a recorded frame keeps its launches until slots outgrow it. Whether a step is one launch or
 * several, and how its cache lies, its sums have the same order. */
static bool plan_of(plan *p, const hm_attention_args *a, bool fresh)
{
    bool own = a->slots == a->pos + a->S;
    int group = a->kv.heads > 0 ? a->H / a->kv.heads : 0, rows = a->S * group, old = a->slots - (own ? a->S : 0);
    bool two = rows <= 2, int8 = a->kv.type == HM_I8, half = a->kv.type == HM_BF16;
    if (rows < 1 || a->S > MOST_FRESH || a->H % a->kv.heads || a->Dh < 1 || a->Dh > MOST_HEAD || !a->causal || a->window || a->mask ||
        old < 0 || (fresh && !own) || (!a->kv.panels && (fresh || a->kv.type != HM_F32)))
        return false;
    p->kernel = int8   ? (two ? HM_K_cuda_attend_int8_2 : HM_K_cuda_attend_int8_4)
                : half ? (two ? HM_K_cuda_attend_bf16_2 : HM_K_cuda_attend_bf16_4)
                       : (two ? HM_K_cuda_attend_f32_2 : HM_K_cuda_attend_f32_4);
    p->kernel = a->kv.panels ? p->kernel : HM_K_cuda_attend_rows_4;
    p->rows = two && a->kv.panels ? 2 : 4;
    p->tiles = (rows + p->rows - 1) / p->rows;
    p->pairs = (int64_t)a->B * a->kv.heads;
    for (p->most = 1; p->most * CHUNK < old;)
        p->most *= 2;
    p->own = own;
    p->most += own;
    p->bytes = (size_t)(p->pairs * rows * p->most) * (size_t)(2 + a->Dh) * sizeof(float);
    return p->pairs * p->tiles <= COUNTERS && p->bytes <= HM_GPU_SCRATCH;
}

static void run(const hm_ops *op, const char *what, const plan *p, const hm_step_args *step, bool fresh)
{
    const hm_attention_args *a = &step->a;
    float *parts = hm_gpu_scratch(op, p->bytes);
    if (!parts)
        return;
    const hm_gpu_value values[] = {hm_gpu_pointer(a->out),
                                   hm_gpu_pointer(parts),
                                   hm_gpu_i32(p->most),
                                   hm_gpu_pointer(a->q),
                                   hm_gpu_pointer(a->kv.k),
                                   hm_gpu_pointer(a->kv.v),
                                   hm_gpu_pointer(a->kv.k_scale),
                                   hm_gpu_pointer(a->kv.v_scale),
                                   hm_gpu_i32(a->kv.heads),
                                   hm_gpu_i64(a->kv.batch),
                                   hm_gpu_i64(a->kv.head),
                                   hm_gpu_i64(a->kv.slot),
                                   hm_gpu_i32(a->S),
                                   hm_gpu_i32(a->H),
                                   hm_gpu_i32(a->Dh),
                                   hm_gpu_f32(a->scale),
                                   hm_gpu_step(a->slots),
                                   hm_gpu_step(a->pos),
                                   hm_gpu_pointer(fresh ? step->k : NULL),
                                   hm_gpu_pointer(step->v),
                                   hm_gpu_pointer(step->q_norm),
                                   hm_gpu_pointer(step->k_norm),
                                   hm_gpu_f32(step->eps),
                                   hm_gpu_base(op, step->cos),
                                   hm_gpu_offset(op, step->cos),
                                   hm_gpu_base(op, step->sin),
                                   hm_gpu_offset(op, step->sin),
                                   hm_gpu_i32(step->half ? a->Dh / 2 : 1),
                                   hm_gpu_i32(step->half ? 1 : 2),
                                   hm_gpu_i32(p->own)};
    hm_gpu_launch(op, what,
                  &(hm_gpu_launch_args){.kernel = p->kernel,
                                        .groups = {(uint32_t)p->most, (uint32_t)p->tiles, (uint32_t)p->pairs},
                                        .values = values,
                                        .count = (int)(sizeof values / sizeof *values)});
}

static void cuda_attention(const hm_ops *op, const hm_attention_args *a)
{
    plan p;
    if (!plan_of(&p, a, false))
        hm_gpu_attention_flash(op, a);
    else if (hm_gpu_attention_open(op, a))
        run(op, "attention", &p, &(hm_step_args){.a = *a}, false);
}

static bool cuda_step(const hm_ops *op, const hm_step_args *step)
{
    const hm_attention_args *a = &step->a;
    plan p;
    if (a->Dh % 2 || !plan_of(&p, a, true))
        return false;
    if (!hm_gpu_attention_open(op, a))
        return true;
    hm_gpu_count_put(op, &a->kv, a->B, a->S, a->Dh);
    run(op, "step", &p, step, true);
    return true;
}

void hm_cuda_attend_ops(hm_ops *ops)
{
    ops->attention = cuda_attention;
    ops->step = cuda_step;
}
