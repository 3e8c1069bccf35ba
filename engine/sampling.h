/* One draw from logits: softmax over the topk greatest, then the exponential race argmax p_j / q_j. Two ways with the same
 * arithmetic, hence the same token: the textbook's separate passes over the vocabulary, and a fused one that looks at survivors.
 *
 *   z_j = logits_j / temperature; t = the topk-th greatest z; survivors have z_j >= t (ties with t all stay)
 *   e_j = exp(z_j - max z), sum = float32 of the double sum of survivors' e_j in ascending j; p_j = e_j / sum
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
    int V, topk;         /* topk is clamped to 1 .. V */
    float temperature;   /* > 0 */
    const float *q;      /* [V] draws given, or NULL: drawn by hm_draw_exp4 */
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
    return topk < 1 ? 1 : topk > V ? V : topk;
}

/* The textbook: every step is a pass over all V. probs [V] or NULL receives p (0 where masked); scratch of
 * hm_sample_scratch_floats(V). elements, if not NULL, grows by the elements visited. */
static inline int32_t hm_sample_reference(const hm_sample_input *in, float *probs, float *scratch, uint64_t *elements)
{
    const int V = in->V, room = V + 4;
    float *z = scratch, *sorted = z + room, *p = sorted + room, *q = p + room, best = 0, top = -INFINITY;
    double sum = 0;
    int32_t token = 0;
    for (int j = 0; j < V; j++) /* 1 temperature */
        z[j] = in->logits[j] / in->temperature;
    memcpy(sorted, z, (size_t)V * sizeof *z); /* 2 copy, 3 sort */
    qsort(sorted, (size_t)V, sizeof *sorted, hm_sample_descending);
    float threshold = sorted[hm_sample_clamp(in->topk, V) - 1];
    for (int j = 0; j < V; j++) /* 4 mask */
        z[j] = z[j] < threshold ? -INFINITY : z[j];
    for (int j = 0; j < V; j++) /* 5 greatest */
        top = z[j] > top ? z[j] : top;
    for (int j = 0; j < V; j++) /* 6 exponentials and their sum */
        sum += p[j] = hm_exp_portable(z[j] - top);
    for (int j = 0; j < V; j++) /* 7 probabilities */
        p[j] = p[j] / (float)sum;
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
        *elements += 10 * (uint64_t)V;
    return token;
}

/* Keeps the k greatest of what it is given: a heap with the smallest of them at the root. */
static inline void hm_sample_sift(float *heap, int k, float value)
{
    int i = 0;
    for (;;) {
        int child = 2 * i + 1;
        if (child >= k)
            break;
        if (child + 1 < k && heap[child + 1] < heap[child])
            child++;
        if (!(heap[child] < value))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
}

/* The same draw: one pass finds the threshold, one the survivors, and only they are weighed and raced. Blocks of logits below
 * the threshold so far are passed over whole. */
static inline int32_t hm_sample_fused(const hm_sample_input *in, float *scratch, uint64_t *elements)
{
    const int V = in->V, k = hm_sample_clamp(in->topk, V);
    float *z = scratch, *heap = z + V + 4, *e = heap + V + 4;
    int32_t *index = (int32_t *)(e + V + 4), token = 0;
    float top = -INFINITY, threshold = -INFINITY, best = 0, q[4] = {0};
    int kept = 0, group = -1;
    double sum = 0;
    for (int j = 0; j < V; j++)
        z[j] = in->logits[j] / in->temperature;
    if (k < V) {
        for (int j = 0; j < k; j++)
            heap[j] = -INFINITY;
        for (int j0 = 0; j0 < V; j0 += 16) {
            int j1 = j0 + 16 < V ? j0 + 16 : V, above = 0;
            for (int j = j0; j < j1; j++)
                above |= z[j] > heap[0];
            for (int j = j0; above && j < j1; j++)
                if (z[j] > heap[0])
                    hm_sample_sift(heap, k, z[j]);
        }
        threshold = heap[0];
    }
    for (int j = 0; j < V; j++)
        if (z[j] >= threshold) {
            index[kept++] = j;
            top = z[j] > top ? z[j] : top;
        }
    for (int i = 0; i < kept; i++)
        sum += e[i] = hm_exp_portable(z[index[i]] - top);
    for (int i = 0; i < kept; i++) {
        int j = index[i];
        if (!in->q && j / 4 != group) {
            group = j / 4;
            hm_draw_exp4(in->seed, in->frame, in->codebook, (uint32_t)group * 4, q);
        }
        float race = e[i] / (float)sum / (in->q ? in->q[j] : q[j % 4]);
        if (race > best) {
            best = race;
            token = j;
        }
    }
    if (elements)
        *elements += (uint64_t)V + (uint64_t)kept;
    return token;
}

#endif
