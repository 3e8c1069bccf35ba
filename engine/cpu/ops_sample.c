/* One draw from logits, and what it needs to know of earlier ones. */
#include "engine/cpu/device.h"

int32_t hm_cpu_draw(const hm_device *dev, const hm_sample_input *in, float *scratch, uint64_t *elements)
{
    uint64_t visited = 0;
    int32_t token = dev->k->sample(in, scratch, &visited);
    if (elements)
        *elements += visited;
    return token;
}

static void cpu_sample(const hm_ops *op, const hm_sample_args *a)
{
    if (!hm_cpu_begin(op, "sample"))
        return;
    float *scratch = hm_cpu_scratch(op, hm_sample_scratch_floats(a->V) * sizeof(float), "sampling scratch");
    hm_sample_input in = {.logits = a->logits,
                          .V = a->V,
                          .topk = a->topk,
                          .temperature = a->temperature,
                          .top_p = a->top_p,
                          .greedy = a->greedy,
                          .seen = a->seen,
                          .penalty = a->penalty,
                          .live = a->live,
                          .spared = a->spared,
                          .forbidden = a->forbidden,
                          .seed = a->seed,
                          .frame = a->frame,
                          .codebook = a->codebook};
    if (scratch && a->passes)
        *a->token = hm_sample_reference(&in, NULL, scratch, &op->count->sampling_elements);
    else if (scratch)
        *a->token = op->dev->k->sample(&in, scratch, &op->count->sampling_elements);
    hm_cpu_end(op, "sample");
}

static void cpu_mark_seen(const hm_ops *op, uint32_t *seen, const int32_t *token)
{
    if (!hm_cpu_begin(op, "mark_seen"))
        return;
    seen[*token / 32] |= 1u << *token % 32;
    hm_cpu_end(op, "mark_seen");
}

static void cpu_penalize_ids(const hm_ops *op, float *y, const float *x, const int32_t *ids, int n, float penalty)
{
    if (!hm_cpu_begin(op, "penalize_ids"))
        return;
    op->count->sampling_elements += (uint64_t)n;
    for (int i = 0; i < n; i++)
        y[ids[i]] = hm_sample_penalized(x[ids[i]], penalty);
    hm_cpu_end(op, "penalize_ids");
}

void hm_cpu_fill_sample(hm_ops *ops)
{
    ops->sample = cpu_sample;
    ops->mark_seen = cpu_mark_seen;
    ops->penalize_ids = cpu_penalize_ids;
}
