/* What may come next, from scores over the vocabulary: whisper.md step 9. Plain functions of numbers. */
#include <math.h>
#include <string.h>

#include "engine/models/whisper_impl.h"

/* Vocabularies are read so many vectors of four numbers at a time, whatever the instruction set. */
#define WIDE 4
#define STEP (4 * WIDE)
typedef float floats __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(16)));
typedef double doubles __attribute__((vector_size(16)));

static inline floats load(const float *p)
{
    floats v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline floats splat(float a)
{
    return (floats){a, a, a, a};
}

/* a where the mask is set, else b */
static inline floats chosen(ints mask, floats a, floats b)
{
    return (floats)((mask & (ints)a) | (~mask & (ints)b));
}

static inline floats greater(floats a, floats b)
{
    return chosen(a > b, a, b);
}

/* The numbers from x[i] on: where they are, or in `rest` with -infinity behind the last of n. */
static inline const float *numbers_at(const float *x, int i, int n, float rest[STEP])
{
    if (i + STEP <= n)
        return x + i;
    for (int k = 0; k < STEP; k++)
        rest[k] = i + k < n ? x[i + k] : -INFINITY;
    return rest;
}

static float greatest(const float *x, int n)
{
    float rest[STEP], best = -INFINITY;
    floats lane[WIDE] = {splat(best), splat(best), splat(best), splat(best)};
    for (int i = 0; i < n; i += STEP) {
        const float *p = numbers_at(x, i, n, rest);
#pragma GCC unroll 4
        for (int k = 0; k < WIDE; k++)
            lane[k] = greater(load(p + 4 * k), lane[k]);
    }
    for (int k = 0; k < STEP; k++)
        best = lane[k / 4][k % 4] > best ? lane[k / 4][k % 4] : best;
    return best;
}

int hm_whisper_greatest(const float *x, int n, float *second)
{
    float rest[STEP], best = -INFINITY;
    floats first[WIDE] = {splat(best), splat(best), splat(best), splat(best)}, next[WIDE];
    int at = 0;
    memcpy(next, first, sizeof next);
    for (int i = 0; i < n; i += STEP) {
        const float *p = numbers_at(x, i, n, rest);
#pragma GCC unroll 4
        for (int k = 0; k < WIDE; k++) {
            floats v = load(p + 4 * k);
            ints wins = v > first[k];
            next[k] = greater(chosen(wins, first[k], v), next[k]);
            first[k] = chosen(wins, v, first[k]);
        }
    }
    *second = -INFINITY;
    for (int k = 0; k < 2 * STEP; k++) {
        float v = k < STEP ? first[k / 4][k % 4] : next[k / 4 - WIDE][k % 4];
        *second = v > best ? best : v > *second ? v : *second;
        best = v > best ? v : best;
    }
    while (at < n - 1 && x[at] != best)
        at++;
    return at < n && x[at] == best ? at : 0;
}

/* hm_exp_portable of each. */
static inline floats exponential(floats x)
{
    x = chosen(x < -105.0f, splat(-105.0f), x);
    floats shifted = x * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    floats r = x - n * 0.693359375f - n * -2.12194440e-4f, p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    ints whole = (ints)shifted - 0x4B400000, half = whole >> 1;
    return p * (floats)((half + 127) << 23) * (floats)((whole - half + 127) << 23); /* of NaN, p is NaN */
}

double hm_whisper_log_sum(const float *x, int n)
{
    float rest[STEP], top = greatest(x, n);
    doubles sum[2 * WIDE] = {0};
    double all = 0;
    if (top == -INFINITY)
        return -INFINITY;
    for (int i = 0; i < n; i += STEP) {
        const float *p = numbers_at(x, i, n, rest);
#pragma GCC unroll 4
        for (int k = 0; k < WIDE; k++) {
            floats e = exponential(load(p + 4 * k) - top); /* never above 0 */
            sum[2 * k] += (doubles){(double)e[0], (double)e[1]};
            sum[2 * k + 1] += (doubles){(double)e[2], (double)e[3]};
        }
    }
    for (int k = 0; k < STEP; k++)
        all += sum[k / 2][k % 2];
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
