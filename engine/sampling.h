/* One draw from logits: softmax over the topk greatest, then the exponential race argmax p_j / q_j. Two ways with the same
 * arithmetic, hence the same token: the textbook's separate passes over the vocabulary, here, and a kernel that looks at survivors
 * (engine/cpu/sample.inc).
 *
 *   l_j = logits_j, of seen indices logits_j*penalty when negative, else logits_j/penalty; -inf of dead indices
 *   greedy: token = lowest j with the greatest l_j; nothing else counts
 *   z_j = l_j / temperature; t = the topk-th greatest z; survivors have z_j >= t (ties with t all stay)
 *   e_j = exp(z_j - max z), sum = float32 of the double sum of survivors' e_j in ascending j; p_j = e_j / sum
 *   top_p: survivors in ascending order of z, of equal ones the lower index first, are dropped while the sum (double) of p so far,
 *   their own included, is <= 1 - top_p; the last always stays. p_j is then formed anew over those that are left
 *   q_j ~ Exp(1) of (seed, frame, codebook, j); token = lowest j with the greatest p_j / q_j */
#ifndef HM_ENGINE_SAMPLING_H
#define HM_ENGINE_SAMPLING_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

typedef struct hm_sample_input {
    const float *logits; /* [V] */
    int V, topk;         /* topk < 1 or >= V keeps all */
    float temperature;   /* > 0, unless greedy */
    float top_p;         /* off unless above 0 and below 1 */
    bool greedy;
    const uint32_t *seen; /* bit i%32 of word i/32: index i is penalised; NULL: none */
    float penalty;        /* > 0, with seen */
    int live;             /* indices live .. V-1 are dead; 0: all live, and the two below do not count */
    int spared;           /* not dead for being >= live */
    int forbidden;        /* one more dead index, the spared one too; -1: none */
    const float *q;       /* [V] draws given, or NULL: drawn by hm_draw_exp4 */
    uint64_t seed;
    uint32_t frame, codebook;
} hm_sample_input;

/* Floats of scratch that either way needs. */
static inline size_t hm_sample_scratch_floats(int V)
{
    return 4 * ((size_t)V + 4);
}

/* exp(x) in float32 without fused operations: the same bits on every instruction set and as the vector form in engine/cpu/vec.h.
 * Error below 1 ulp of normal results; 0 and infinity beyond the range; NaN for NaN. x = n ln 2 + r, polynomial of Cephes expf. */
static inline float hm_exp_portable(float x)
{
    float bound = x > 89.0f ? 89.0f : x < -105.0f ? -105.0f : x;
    float shifted = bound * 1.44269504f + 12582912.0f, n = shifted - 12582912.0f;
    float r = bound - n * 0.693359375f - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    if (!(bound == bound))
        return bound;
    int32_t whole = (int32_t)n, half = whole >> 1;
    uint32_t bits[2] = {(uint32_t)(half + 127) << 23, (uint32_t)(whole - half + 127) << 23};
    float factor[2];
    memcpy(factor, bits, sizeof bits);
    return p * factor[0] * factor[1];
}

static inline int hm_sample_descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static inline int hm_sample_clamp(int topk, int V)
{
    return topk < 1 || topk > V ? V : topk;
}

static inline float hm_sample_penalized(float logit, float penalty)
{
    return logit < 0 ? logit * penalty : logit / penalty;
}

static inline bool hm_sample_dead(const hm_sample_input *in, int j)
{
    return in->live > 0 && ((j >= in->live && j != in->spared) || j == in->forbidden);
}

/* The top_p rule over n survivors: drops z below the cut, and of those equal to it the first `ties` in ascending index. */
typedef struct hm_sample_cut {
    float least;
    int ties;
} hm_sample_cut;

/* descending: the survivors' z. */
static inline hm_sample_cut hm_sample_nucleus(const float *descending, int n, float top, float sum, float top_p)
{
    double so_far = 0;
    hm_sample_cut cut = {0, 0};
    int last = n - 1; /* the least that stays */
    for (; last > 0; last--) {
        so_far += (double)(hm_exp_portable(descending[last] - top) / sum);
        if (!(so_far <= 1.0 - (double)top_p))
            break;
    }
    cut.least = descending[last];
    for (int i = last + 1; i < n && descending[i] == cut.least; i++)
        cut.ties++;
    return cut;
}

static inline bool hm_sample_cut_drops(hm_sample_cut *cut, float z)
{
    return z < cut->least || (z == cut->least && cut->ties-- > 0);
}

static inline bool hm_sample_has_nucleus(const hm_sample_input *in)
{
    return in->top_p > 0 && in->top_p < 1;
}

/* The greatest, the lowest index on ties; 0 when there is none above -inf. */
static inline int32_t hm_sample_greatest(const float *z, int V)
{
    float best = -INFINITY;
    int32_t token = 0;
    for (int j = 0; j < V; j++)
        if (z[j] > best) {
            best = z[j];
            token = j;
        }
    return token;
}

/* Exponentials of z and their sum, as two of the textbook's passes. */
static inline float hm_sample_softmax(float *p, const float *z, int V)
{
    float top = -INFINITY;
    double sum = 0;
    for (int j = 0; j < V; j++)
        top = z[j] > top ? z[j] : top;
    for (int j = 0; j < V; j++)
        sum += p[j] = hm_exp_portable(z[j] - top);
    return (float)sum;
}

/* The textbook's top_p: softmax, copy, sort, cut, mask. Two more arrays of V are the caller's. */
static inline void hm_sample_mask_nucleus(float *z, float *p, float *sorted, int V, float top_p)
{
    float sum = hm_sample_softmax(p, z, V);
    memcpy(sorted, z, (size_t)V * sizeof *z);
    qsort(sorted, (size_t)V, sizeof *sorted, hm_sample_descending);
    hm_sample_cut cut = hm_sample_nucleus(sorted, V, sorted[0], sum, top_p);
    for (int j = 0; j < V; j++)
        z[j] = hm_sample_cut_drops(&cut, z[j]) ? -INFINITY : z[j];
}

/* The textbook: every step is a pass over all V. probs [V] or NULL receives p (0 where masked; 1 at the token when greedy); scratch
 * of hm_sample_scratch_floats(V). elements, if not NULL, grows by the elements visited. */
static inline int32_t hm_sample_reference(const hm_sample_input *in, float *probs, float *scratch, uint64_t *elements)
{
    const int V = in->V, room = V + 4;
    float *z = scratch, *sorted = z + room, *p = sorted + room, *q = p + room, best = 0;
    int32_t token = 0;
    int passes = 0;
    memcpy(z, in->logits, (size_t)V * sizeof *z);
    for (int j = 0; in->seen && j < V; j++) /* penalty */
        z[j] = in->seen[j / 32] >> j % 32 & 1 ? hm_sample_penalized(z[j], in->penalty) : z[j];
    for (int j = 0; in->live > 0 && j < V; j++) /* dead indices */
        z[j] = hm_sample_dead(in, j) ? -INFINITY : z[j];
    passes += (in->seen != NULL) + (in->live > 0);
    if (in->greedy) {
        token = hm_sample_greatest(z, V);
        for (int j = 0; probs && j < V; j++)
            probs[j] = j == token;
        if (elements)
            *elements += (uint64_t)(passes + 1) * (uint64_t)V;
        return token;
    }
    for (int j = 0; j < V; j++) /* 1 temperature */
        z[j] = z[j] / in->temperature;
    memcpy(sorted, z, (size_t)V * sizeof *z); /* 2 copy, 3 sort */
    qsort(sorted, (size_t)V, sizeof *sorted, hm_sample_descending);
    float threshold = sorted[hm_sample_clamp(in->topk, V) - 1];
    for (int j = 0; j < V; j++) /* 4 mask */
        z[j] = z[j] < threshold ? -INFINITY : z[j];
    if (hm_sample_has_nucleus(in)) {
        hm_sample_mask_nucleus(z, p, sorted, V, in->top_p);
        passes += 5;
    }
    float sum = hm_sample_softmax(p, z, V); /* 5 greatest, 6 exponentials and their sum */
    for (int j = 0; j < V; j++)             /* 7 probabilities */
        p[j] = p[j] / sum;
    if (probs)
        memcpy(probs, p, (size_t)V * sizeof *p);
    if (in->q)
        memcpy(q, in->q, (size_t)V * sizeof *q);
    else
        for (int j = 0; j < V; j += 4) /* 8 draws */
            hm_draw_exp4(in->seed, in->frame, in->codebook, (uint32_t)j, q + j);
    for (int j = 0; j < V; j++) /* 9 race */
        q[j] = p[j] / q[j];
    for (int j = 0; j < V; j++) /* 10 winner */
        if (q[j] > best) {
            best = q[j];
            token = j;
        }
    if (elements)
        *elements += (uint64_t)(10 + passes) * (uint64_t)V;
    return token;
}

#endif
