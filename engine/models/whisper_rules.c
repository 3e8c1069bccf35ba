/* What may come next, from scores over the vocabulary: whisper.md step 9. Plain functions of numbers. */
#include <math.h>

#include "engine/models/whisper_impl.h"
#include "engine/sampling.h"

static float greatest(const float *x, int n)
{
    float best = -INFINITY;
    for (int i = 0; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

double hm_whisper_log_sum(const float *x, int n)
{
    enum {
        LANES = 8
    };
    float top = greatest(x, n);
    double sum[LANES] = {0}, all = 0;
    int i = 0;
    if (top == -INFINITY)
        return -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            sum[k] += (double)hm_exp_portable(x[i + k] - top);
    for (; i < n; i++)
        sum[0] += (double)hm_exp_portable(x[i] - top);
    for (int k = 0; k < LANES; k++)
        all += sum[k];
    return (double)top + log(all);
}

static void forbid(float *x, int from, int to)
{
    for (int i = from < 0 ? 0 : from; i < to; i++)
        x[i] = -INFINITY;
}

static void forbid_ids(float *x, const int32_t *ids, int count)
{
    for (int i = 0; i < count; i++)
        x[ids[i]] = -INFINITY;
}

/* The mask that is added in the textbook's way. */
static uint64_t add_mask(const hm_whisper_rules *r, float *x, bool begins)
{
    for (int i = 0; i < r->V; i++)
        r->mask[i] = 0;
    forbid_ids(r->mask, r->g->suppress, r->g->suppress_count);
    if (begins)
        forbid_ids(r->mask, r->g->begin_suppress, r->g->begin_suppress_count);
    for (int i = 0; i < r->V; i++)
        x[i] += r->mask[i];
    return (uint64_t)r->V * sizeof *r->mask;
}

/* Timestamps come in pairs and never go back; text follows a pair, a timestamp text. */
static void timestamp_rules(const hm_whisper_rules *r, float *x, const int32_t *ids, int count)
{
    const hm_whisper_generation *g = r->g;
    int first = g->timestamp0 < r->V ? g->timestamp0 : r->V;
    bool last = count > 0 && ids[count - 1] >= g->timestamp0, before = count < 2 || ids[count - 2] >= g->timestamp0;
    int newest = -1;
    if (g->no_timestamps >= 0)
        forbid(x, g->no_timestamps, g->no_timestamps + 1);
    if (last && before)
        forbid(x, first, r->V);
    else if (last)
        forbid(x, 0, g->end);
    for (int i = count - 1; i >= 0 && newest < 0; i--)
        newest = ids[i] >= g->timestamp0 ? ids[i] : -1;
    if (newest >= 0)
        forbid(x, first, last && !before ? newest : newest + 1);
    if (!count) {
        forbid(x, 0, first);
        if (g->max_initial_timestamp >= 0)
            forbid(x, first + g->max_initial_timestamp + 1, r->V);
    }
    if (hm_whisper_log_sum(x + first, r->V - first) > (double)greatest(x, first))
        forbid(x, 0, first);
}

uint64_t hm_whisper_apply_rules(const hm_whisper_rules *r, float *x, const int32_t *ids, int count)
{
    uint64_t built = 0;
    if (r->mask)
        built = add_mask(r, x, !count);
    else {
        if (!count)
            forbid_ids(x, r->g->begin_suppress, r->g->begin_suppress_count);
        forbid_ids(x, r->g->suppress, r->g->suppress_count);
    }
    if (r->no_end)
        forbid(x, r->g->end, r->g->end + 1);
    if (r->timestamps)
        timestamp_rules(r, x, ids, count);
    return built;
}
