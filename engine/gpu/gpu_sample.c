/* One draw from logits, and what it needs to know of earlier ones. Steps: the frame, the place of the code, the index that is forbidden. */
#include "engine/gpu/gpu.h"
#include "engine/sampling.h"

/* What topk leaves when no two logits at its edge are equal and none that is not dead is -infinity: how many really survive the device
 * alone knows. */
static uint64_t survivors(const hm_sample_args *a)
{
    int k = hm_sample_clamp(a->topk, a->V), live = a->V;
    if (a->live > 0 && a->live < a->V) {
        bool spared = a->spared >= a->live && a->spared < a->V;
        live = a->live + spared;
        live -= a->forbidden >= 0 && (a->forbidden < a->live || (spared && a->forbidden == a->spared));
    } else if (a->live > 0)
        live -= a->forbidden >= 0 && a->forbidden < a->V;
    return (uint64_t)(k < live ? k : live);
}

void hm_gpu_count_sample(const hm_ops *op, const hm_sample_args *a)
{
    op->count->sampling_elements += (uint64_t)a->V + (a->greedy ? 0 : survivors(a));
}

void hm_gpu_sample(const hm_ops *op, const hm_sample_args *a)
{
    bool nucleus = !a->greedy && a->top_p > 0 && a->top_p < 1;
    double limit = 1.0 - (double)a->top_p;
    int64_t room = 1, bits;
    while (room < a->V)
        room *= 2;
    if (!hm_gpu_ready(op))
        return;
    if (a->V < 1) {
        hm_fail(op->error, HM_EBUG, "sample: %d logits; expected at least one", a->V);
        return;
    }
    uint32_t *scratch = hm_gpu_scratch(op, 5 * (size_t)room * sizeof *scratch);
    if (!scratch)
        return;
    memcpy(&bits, &limit, sizeof bits);
    hm_gpu_count_sample(op, a);
    HM_GPU_LAUNCH(op, "sample", sample, 1, 1, 1, hm_gpu_pointer(a->logits), hm_gpu_pointer(scratch), hm_gpu_i32((int)room),
                  hm_gpu_i32(a->V), hm_gpu_i32(hm_sample_clamp(a->topk, a->V)), hm_gpu_f32(a->temperature), hm_gpu_i32(nucleus),
                  hm_gpu_i64(bits), hm_gpu_i32(a->greedy), hm_gpu_pointer(a->seen), hm_gpu_f32(a->penalty), hm_gpu_i32(a->live),
                  hm_gpu_i32(a->spared), hm_gpu_step(a->forbidden), hm_gpu_i64((int64_t)a->seed), hm_gpu_step(a->frame),
                  hm_gpu_i32((int)a->codebook), hm_gpu_base(op, a->token), hm_gpu_offset(op, a->token));
}

static void gpu_mark_seen(const hm_ops *op, uint32_t *seen, const int32_t *token)
{
    if (hm_gpu_ready(op))
        HM_GPU_LAUNCH(op, "mark_seen", mark_seen, 1, 1, 1, hm_gpu_pointer(seen), hm_gpu_base(op, token), hm_gpu_offset(op, token));
}

static void gpu_penalize_ids(const hm_ops *op, float *y, const float *x, const int32_t *ids, int n, float penalty)
{
    if (!hm_gpu_ready(op))
        return;
    op->count->sampling_elements += (uint64_t)n;
    HM_GPU_LAUNCH(op, "penalize_ids", penalize_ids, (n + 63) / 64, 1, 1, hm_gpu_pointer(y), hm_gpu_pointer(x), hm_gpu_pointer(ids),
                  hm_gpu_i32(n), hm_gpu_f32(penalty));
}

void hm_gpu_sample_ops(hm_ops *ops)
{
    ops->sample = hm_gpu_sample;
    ops->mark_seen = gpu_mark_seen;
    ops->penalize_ids = gpu_penalize_ids;
}
