/* Positions, caches of keys and values, masks, attention.
 *
 * Steps: positions, numbers of slots, places in tables of angles. What a launch is made of besides must not change from frame to frame, so
 * groups that go with the number of slots are as many as a power of two of blocks takes (blocks_for): when slots outgrow it, once in a
 * doubling, a recorded frame is recorded anew. Groups beyond the last slot find nothing to do. */
#include "engine/gpu/gpu_impl.h"

/* As in attention.cl. */
#define FEW 4
#define MANY 16
#define MAX_HEAD 1024
#define SPLIT_ROWS 64 /* up to so many rows of a stored head, blocks of slots are groups of their own */

static int64_t divided_up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static int64_t blocks_for(int64_t slots, int64_t block)
{
    int64_t blocks = 1;
    while (blocks * block < slots)
        blocks *= 2;
    return blocks;
}

static void gpu_rope_table(const hm_ops *op, float *cos, float *sin, const float *theta, int half, int first, int count)
{
    if (!hm_gpu_ready(op))
        return;
    op->count->table_values += 2 * (uint64_t)half * (uint64_t)count;
    HM_GPU_LAUNCH(op, "rope_table", rope_table, divided_up((int64_t)half * count, 64), 1, 1, hm_gpu_pointer(cos), hm_gpu_pointer(sin),
                  hm_gpu_pointer(theta), hm_gpu_i32(half), hm_gpu_i32(count), hm_gpu_step(first));
}

static void gpu_rope(const hm_ops *op, float *x, const float *cos, const float *sin, int B, int S, int heads, int Dh, bool half)
{
    int64_t pairs = (int64_t)B * S * heads * (Dh / 2);
    if (!hm_gpu_ready(op))
        return;
    HM_GPU_LAUNCH(op, "rope", rope, divided_up(pairs, 64), 1, 1, hm_gpu_pointer(x), hm_gpu_base(op, cos), hm_gpu_offset(op, cos),
                  hm_gpu_base(op, sin), hm_gpu_offset(op, sin), hm_gpu_i64(pairs), hm_gpu_i32(S), hm_gpu_i32(heads), hm_gpu_i32(Dh),
                  hm_gpu_i32(half ? Dh / 2 : 1), hm_gpu_i32(half ? 1 : 2));
}

/* Number of a type in the kernels. */
static hm_gpu_value type_value(const hm_kv_view *kv)
{
    return hm_gpu_i32(kv->type == HM_BF16 ? 1 : kv->type == HM_I8 ? 2 : 0);
}

void hm_gpu_count_put(const hm_ops *op, const hm_kv_view *kv, int B, int S, int Dh)
{
    uint64_t one = (uint64_t)Dh * hm_dtype_bytes(kv->type) + (kv->type == HM_I8 ? sizeof(float) : 0);
    op->count->kv_written_bytes += 2 * one * (uint64_t)B * (uint64_t)S * (uint64_t)kv->heads;
}

static void gpu_kv_put(const hm_ops *op, const hm_kv_view *kv, const float *k, const float *v, int B, int S, int stored_from, int Dh,
                       int pos)
{
    if (!hm_gpu_ready(op))
        return;
    hm_gpu_count_put(op, kv, B, S, Dh);
#define PUT                                                                                                                         \
    hm_gpu_pointer(k), hm_gpu_pointer(v), hm_gpu_i32(kv->heads), hm_gpu_i64(kv->batch), hm_gpu_i64(kv->head), hm_gpu_i64(kv->slot), \
        hm_gpu_i32(S), hm_gpu_i32(stored_from), hm_gpu_i32(Dh), hm_gpu_step(pos)
    if (kv->type == HM_I8)
        HM_GPU_LAUNCH(op, "kv_put", kv_put_int8, (int64_t)B * S * kv->heads, 1, 1, hm_gpu_pointer(kv->k), hm_gpu_pointer(kv->v),
                      hm_gpu_pointer(kv->k_scale), hm_gpu_pointer(kv->v_scale), PUT);
    else
        HM_GPU_LAUNCH(op, "kv_put", kv_put, (int64_t)B * S * kv->heads, 1, 1, hm_gpu_pointer(kv->k), hm_gpu_pointer(kv->v), type_value(kv),
                      hm_gpu_i32(kv->panels), PUT);
#undef PUT
}

static void gpu_causal_mask(const hm_ops *op, float *mask, int S, int slots, int pos, int window)
{
    if (!hm_gpu_ready(op))
        return;
    op->count->mask_bytes += 4 * (uint64_t)S * (uint64_t)slots;
    HM_GPU_LAUNCH(op, "causal_mask", causal_mask, blocks_for(slots, 64), S, 1, hm_gpu_pointer(mask), hm_gpu_i32(window), hm_gpu_step(pos),
                  hm_gpu_step(slots));
}

/* --- attention --- */

/* Slots that position s sees. */
static uint64_t slots_seen(const hm_attention_args *a, int s)
{
    int64_t end = a->causal && a->pos + s + 1 < a->slots ? a->pos + s + 1 : a->slots;
    int64_t begin = a->causal && a->window > 0 ? (int64_t)a->pos + s + 1 - a->window : 0;
    return begin < 0 ? (uint64_t)end : begin < end ? (uint64_t)(end - begin) : 0;
}

bool hm_gpu_attention_open(const hm_ops *op, const hm_attention_args *a)
{
    uint64_t seen = 0;
    if (!hm_gpu_ready(op))
        return false;
    if (a->kv.heads < 1 || a->H % a->kv.heads || a->Dh < 1 || a->Dh > MAX_HEAD || a->slots < 1) {
        hm_fail(op->error, HM_EBUG,
                "attention: %d query heads over %d stored ones of %d, %d slots; expected a multiple, heads of 1 to %d, slots", a->H,
                a->kv.heads, a->Dh, a->slots, MAX_HEAD);
        return false;
    }
    if (a->kv.type != HM_F32 && (!a->kv.panels || (a->kv.type != HM_BF16 && a->kv.type != HM_I8))) {
        hm_fail(op->error, HM_EBUG, "attention: keys and values of %s %s; expected F32, or BF16 or I8 in panels", hm_dtype_name(a->kv.type),
                a->kv.panels ? "in panels" : "in rows");
        return false;
    }
    for (int s = 0; s < a->S; s++)
        seen += slots_seen(a, s);
    op->count->attn_scores += seen * (uint64_t)a->H * (uint64_t)a->B;
    op->count->flops += 4 * seen * (uint64_t)a->H * (uint64_t)a->B * (uint64_t)a->Dh;
    return true;
}

/* TASK in attention.cl. */
#define TASK_VALUES(a)                                                                                                                \
    hm_gpu_pointer((a)->q), hm_gpu_pointer((a)->kv.k), hm_gpu_pointer((a)->kv.v), hm_gpu_pointer((a)->kv.k_scale),                    \
        hm_gpu_pointer((a)->kv.v_scale), hm_gpu_pointer((a)->mask), type_value(&(a)->kv), hm_gpu_i32((a)->kv.panels),                 \
        hm_gpu_i32((a)->kv.heads), hm_gpu_i64((a)->kv.batch), hm_gpu_i64((a)->kv.head), hm_gpu_i64((a)->kv.slot), hm_gpu_i32((a)->S), \
        hm_gpu_i32((a)->H), hm_gpu_i32((a)->Dh), hm_gpu_i32((a)->causal), hm_gpu_i32((a)->window), hm_gpu_f32((a)->scale),            \
        hm_gpu_step((a)->slots), hm_gpu_step((a)->pos)

/* Few rows: a group for each block of slots, then, where there can be several, a group for each row that joins them. Many rows: groups go
 * through the blocks that their rows see. */
void hm_gpu_attention_flash(const hm_ops *op, const hm_attention_args *a)
{
    if (!hm_gpu_attention_open(op, a))
        return;
    int64_t pairs = (int64_t)a->B * a->kv.heads, rows = (int64_t)a->S * (a->H / a->kv.heads);
    int64_t blocks = blocks_for(a->slots, HM_ATTENTION_BLOCK), bytes = pairs * rows * blocks * (2 + a->Dh) * (int64_t)sizeof(float);
    float *parts = NULL;
    hm_gpu_attend_way way;
    if (op->dev->attend && op->dev->attend(op, a, &way)) {
        const hm_gpu_value values[] = {hm_gpu_pointer(a->out), TASK_VALUES(a)};
        hm_gpu_launch(op, "attention",
                      &(hm_gpu_launch_args){.kernel = way.kernel,
                                            .groups = {(uint32_t)divided_up(rows, way.rows), (uint32_t)pairs, 1},
                                            .values = values,
                                            .count = (int)(sizeof values / sizeof *values),
                                            .shared = way.shared});
        return;
    }
    if (rows > SPLIT_ROWS || bytes > (int64_t)HM_GPU_SCRATCH) {
        HM_GPU_LAUNCH(op, "attention", attention_stream, divided_up(rows, MANY), pairs, 1, hm_gpu_pointer(a->out), TASK_VALUES(a));
        return;
    }
    if (blocks > 1 && !(parts = hm_gpu_scratch(op, (size_t)bytes)))
        return;
    HM_GPU_LAUNCH(op, "attention", attention_block, blocks, divided_up(rows, FEW), pairs, hm_gpu_pointer(a->out), hm_gpu_pointer(parts),
                  hm_gpu_i32((int)blocks), TASK_VALUES(a));
    if (blocks > 1)
        HM_GPU_LAUNCH(op, "attention", attention_join, rows, pairs, 1, hm_gpu_pointer(a->out), hm_gpu_pointer(parts),
                      hm_gpu_i32((int)blocks), TASK_VALUES(a));
}

/* As many rows at a time as have room for their scores. */
void hm_gpu_attention_scores(const hm_ops *op, const hm_attention_args *a)
{
    if (!hm_gpu_attention_open(op, a))
        return;
    int64_t pairs = (int64_t)a->B * a->kv.heads, rows = (int64_t)a->S * (a->H / a->kv.heads);
    int64_t blocks = blocks_for(a->slots, HM_ATTENTION_BLOCK), stride = blocks * HM_ATTENTION_BLOCK;
    int64_t room = (int64_t)(HM_GPU_SCRATCH / sizeof(float)) / (pairs * stride) / FEW * FEW;
    int64_t at_once = rows < room ? rows : room;
    op->count->score_bytes += (uint64_t)a->B * (uint64_t)a->H * (uint64_t)a->S * (uint64_t)a->slots * sizeof(float);
    if (at_once < 1) {
        hm_fail(op->error, HM_EBUG, "attention: no room for scores of %d rows over %d slots of %lld heads; use streamed attention", FEW,
                a->slots, (long long)pairs);
        return;
    }
    float *scores = hm_gpu_scratch(op, (size_t)(pairs * at_once * stride) * sizeof(float));
    for (int64_t first = 0; scores && first < rows; first += at_once) {
        int64_t n = rows - first < at_once ? rows - first : at_once;
#define SCORES hm_gpu_i64(first), hm_gpu_i32((int)at_once), hm_gpu_i64(stride)
        HM_GPU_LAUNCH(op, "attention", attention_scores, blocks, divided_up(n, FEW), pairs, hm_gpu_pointer(scores), SCORES, TASK_VALUES(a));
        HM_GPU_LAUNCH(op, "attention", attention_softmax, n, pairs, 1, hm_gpu_pointer(scores), SCORES, TASK_VALUES(a));
        HM_GPU_LAUNCH(op, "attention", attention_values, divided_up(n, FEW), pairs, 1, hm_gpu_pointer(a->out), hm_gpu_pointer(scores),
                      SCORES, TASK_VALUES(a));
#undef SCORES
    }
}

void hm_gpu_attend_by(hm_device *dev, hm_gpu_attend *attend)
{
    dev->attend = attend;
}

void hm_gpu_kv_ops(hm_ops *ops)
{
    ops->rope_table = gpu_rope_table;
    ops->rope = gpu_rope;
    ops->kv_put = gpu_kv_put;
    ops->causal_mask = gpu_causal_mask;
}
