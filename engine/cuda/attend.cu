/* Attention of few rows over a cache, causal, without a window or a mask: blocks take CHUNK slots each and leave a part;
 * the last one to end joins the parts in their order. With `own`, the positions that are queried are a part of their own. They may come
 * as they left their layer: queries and keys are normalised and rotated here, and that block puts keys and values into the cache.
 *
 * Order of sums: a score is summed by SUBS threads, each over every SUBS-th element of one half of the head, joined by halves, then both; values
 * by warps over their 16 slots in order; parts in order, the new slots last. It follows from types, Dh, slots and whether
 * the last ones are those that are queried. */
#include "engine/cuda/kernel.inc"

#include "engine/gpu/store.inc"

#define THREADS 128
#define WARPS 4
#define BOUNDS THREADS, 1 /* as many registers as it takes: one block an SM is enough */
#define CHUNK 64          /* slots of a block */
#define PANEL 32          /* HM_KV_PANEL */
#define LANES 16          /* HM_KV_LANES */
#define HEAD 128          /* most elements of a head */
#define FRESH 4           /* most new positions */
#define COUNTERS 4096
#define INF as_f32(0x7F800000u)

typedef struct __attribute__((aligned(16))) words4 {
    uint v[4];
} words4;

/* Blocks that have left their part, for each pair of a stored head and a tile; zero between launches. */
static __device__ uint arrived[COUNTERS];

/* Elements of a cache in 16 bytes. ROWS: slots are rows (engine/ops.h), not in panels. */
struct of_f32 {
    enum {
        COUNT = 4,
        ROWS = 0
    };
    typedef float stored;
    DEVICE float load(const stored *from)
    {
        return *from;
    }
    DEVICE float value(const words4 *w, int i)
    {
        return as_f32(w->v[i]);
    }
    DEVICE float store(stored *to, float v, float scale)
    {
        (void)scale;
        return *to = v;
    }
};

struct of_rows : of_f32 {
    enum {
        ROWS = 1
    };
};

struct of_bf16 {
    enum {
        COUNT = 8,
        ROWS = 0
    };
    typedef ushort stored;
    DEVICE float load(const stored *from)
    {
        return bf16_f32(*from);
    }
    DEVICE float value(const words4 *w, int i)
    {
        return as_f32(i % 2 ? w->v[i / 2] & 0xFFFF0000u : w->v[i / 2] << 16);
    }
    DEVICE float store(stored *to, float v, float scale)
    {
        (void)scale;
        return bf16_f32(*to = f32_bf16(v));
    }
};

struct of_i8 {
    enum {
        COUNT = 16,
        ROWS = 0
    };
    typedef signed char stored;
    DEVICE float load(const stored *from)
    {
        return (float)*from;
    }
    DEVICE float value(const words4 *w, int i)
    {
        return (float)((int)(w->v[i / 4] << (24 - i % 4 * 8)) >> 24);
    }
    DEVICE float store(stored *to, float v, float scale)
    {
        return (float)(*to = (stored)quantised(v, scale));
    }
};

/* own: the last S slots are a part of their own. k_new NULL: the cache has all keys and values, and q is as it is to be used. q_norm, k_norm:
 * may be NULL. apart, next: elements between those of a pair that is rotated, and to the next pair. parts: [pair][tile*R + row][part of
 * `most`][2 + Dh]. */
#define ATTEND_PARAMETERS                                                                                                                  \
    float *out, float *parts, const int most, const float *q, char *k, char *v, float *k_scale, float *v_scale, const int heads,           \
        const long batch, const long head, const long slot, const int S, const int H, const int Dh, const float scale, STEP(slots),        \
        STEP(pos), const float *k_new, const float *v_new, const float *q_norm, const float *k_norm, const float eps, const char *cosines, \
        STEP(cosines_at), const char *sines, STEP(sines_at), const int apart, const int next, const int own

/* What a block works on. */
typedef struct work {
    float *out, *parts;
    const float *q, *k_new, *v_new, *q_norm, *k_norm, *cosines, *sines;
    char *k, *v; /* of the stored head */
    float *k_scale, *v_scale;
    long slot, slots, pos;
    int most, S, H, Dh, group, b, h, heads, first, rows, apart, next; /* first: row of the stored head; rows of the tile */
    int own;
    float scale, eps;
} work;

/* One warp: row[0..Dh) divided by its root mean square times the weights, then rotated as position s. Sums have the order of rmsnorm's. */
DEVICE void prepare(float *row, const work *t, const float *norm, int s)
{
    const int lane = ITEM % 32;
    if (norm) {
        float sum = 0, squares[HEAD / 32];
#pragma unroll
        for (int g = 0; g < HEAD / 32; g++) {
            squares[g] = g * 32 + lane < t->Dh ? row[g * 32 + lane] * row[g * 32 + lane] : 0.0f;
            for (int o = 16; o; o >>= 1)
                squares[g] += __shfl_xor_sync(0xFFFFFFFFu, squares[g], o);
        }
#pragma unroll
        for (int g = 0; g < HEAD / 32; g++)
            sum += squares[g];
        const float by = 1.0f / sqrt(sum / (float)t->Dh + t->eps);
        for (int i = lane; i < t->Dh; i += 32)
            row[i] = row[i] * by * norm[i];
        __syncwarp();
    }
    for (int j = lane; j < t->Dh / 2; j += 32) {
        const float c = t->cosines[s * (t->Dh / 2) + j], sine = t->sines[s * (t->Dh / 2) + j];
        const float x0 = row[j * t->next], x1 = row[j * t->next + t->apart];
        row[j * t->next] = x0 * c - x1 * sine;
        row[j * t->next + t->apart] = x1 * c + x0 * sine;
    }
    __syncwarp();
}

/* Rows of q into shared memory, [R][HEAD]. */
template <int R> DEVICE void fetch_queries(float *to, const work *t)
{
    const int lane = ITEM % 32, r = ITEM / 32;
    if (r < R) {
        const int row = t->first + (r < t->rows ? r : t->rows - 1), s = row / t->group;
        const float *from = t->q + ((long)(t->b * t->S + s) * t->H + t->h * t->group + row % t->group) * t->Dh;
        for (int i = lane; i < HEAD; i += 32)
            to[r * HEAD + i] = i < t->Dh ? from[i] : 0.0f;
        __syncwarp();
        if (t->k_new)
            prepare(to + r * HEAD, t, t->q_norm, s);
    }
}

/* Slots of the cache that row r of the tile sees. */
DEVICE long seen(const work *t, int r)
{
    const long end = t->pos + (t->first + r) / t->group + 1;
    return t->own ? t->pos : end < t->slots ? end : t->slots;
}

/* A warp's greatest and sum of exponentials of scores[0..n), which become those. n: at most CHUNK. */
DEVICE void weigh(float *scores, int n, float *top, float *sum)
{
    const int lane = ITEM % 32;
    float best = -INF, all = 0;
    for (int j = lane; j < n; j += 32)
        best = scores[j] > best ? scores[j] : best;
    for (int o = 16; o; o >>= 1) {
        const float other = __shfl_xor_sync(0xFFFFFFFFu, best, o);
        best = other > best ? other : best;
    }
    for (int j = lane; j < n; j += 32) {
        const float e = scores[j] == -INF || best == -INF ? 0.0f : exp(scores[j] - best);
        scores[j] = e;
        all += e;
    }
    for (int o = 16; o; o >>= 1)
        all += __shfl_xor_sync(0xFFFFFFFFu, all, o);
    *top = best;
    *sum = all;
}

DEVICE float *part_of(const work *t, int r, int part)
{
    const long pair = (long)t->b * t->heads + t->h, row = t->first + r;
    return t->parts + ((pair * t->S * t->group + row) * t->most + part) * (2 + t->Dh);
}

/* --- slots of the cache --- */

/* Loads of a thread: keys: elements (step*2 + half)*SUBS + sub of COUNT slots of a panel; values: COUNT elements of slots of a warp's 16. */
template <class F> struct loads {
    enum {
        PIECES = PANEL / F::COUNT, /* of a panel's row of keys */
        SUBS = 32 / PIECES,        /* threads that share a slot */
        KEYS = HEAD / (2 * SUBS),  /* loads of keys */
        SPREAD = LANES / F::COUNT, /* loads of a run of values */
        SLOTS = 4 / SPREAD,        /* slots that a warp's load of values has, for 8 runs */
        VALUES = LANES / SLOTS     /* loads of values: 16 slots */
    };
    words4 keys[KEYS], values[VALUES];
};

template <class F> DEVICE void fetch(loads<F> *l, const work *t, long chunk)
{
    typedef typename F::stored stored;
    const int lane = ITEM % 32, warp = ITEM / 32, half = warp % 2;
    const int piece = lane % loads<F>::PIECES * F::COUNT, sub = lane / loads<F>::PIECES;
    const long first = chunk + warp / 2 * PANEL, panel = first / PANEL * PANEL * t->slot, end = t->own ? t->pos : t->slots;
#pragma unroll
    for (int i = 0; i < loads<F>::KEYS; i++) {
        const int element = (i * 2 + half) * loads<F>::SUBS + sub;
        l->keys[i] = words4{{0, 0, 0, 0}};
        if (!F::ROWS && first < end && element < t->Dh)
            l->keys[i] = *(const words4 *)((const stored *)t->k + panel + (long)element * PANEL + piece);
        for (int j = 0; j < 4 && !!F::ROWS && F::COUNT == 4; j++)
            if (first + piece + j < end && element < t->Dh)
                l->keys[i].v[j] = as_u32(((const float *)t->k)[(first + piece + j) * t->slot + element]);
    }
    const int run = lane / 4, spread = lane % loads<F>::SPREAD * F::COUNT, slot = half * 16 + lane % 4 / loads<F>::SPREAD;
#pragma unroll
    for (int i = 0; i < loads<F>::VALUES; i++) {
        const int in_panel = slot + i * loads<F>::SLOTS, element = run * LANES + spread;
        l->values[i] = words4{{0, 0, 0, 0}};
        if (!F::ROWS && run * LANES < t->Dh && first + in_panel < end)
            l->values[i] = *(const words4 *)((const stored *)t->v + panel + (long)run * (PANEL * LANES) + in_panel * LANES + spread);
        for (int j = 0; j < 4 && !!F::ROWS && F::COUNT == 4; j++)
            if (first + in_panel < end && element + j < t->Dh)
                l->values[i].v[j] = as_u32(((const float *)t->v)[(first + in_panel) * t->slot + element + j]);
    }
}

/* scores[half][R][CHUNK] of both halves of heads. */
template <class F, int R> DEVICE void score(float *scores, const loads<F> *l, const float *q)
{
    const int lane = ITEM % 32, warp = ITEM / 32, half = warp % 2, sub = lane / loads<F>::PIECES;
    float sums[R][F::COUNT];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < F::COUNT; j++)
            sums[r][j] = 0;
#pragma unroll
    for (int i = 0; i < loads<F>::KEYS; i++) {
        const int element = (i * 2 + half) * loads<F>::SUBS + sub;
#pragma unroll
        for (int r = 0; r < R; r++) {
            const float x = q[r * HEAD + element];
#pragma unroll
            for (int j = 0; j < F::COUNT; j++)
                sums[r][j] = FMA(x, F::value(&l->keys[i], j), sums[r][j]);
        }
    }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < F::COUNT; j++) {
            for (int o = loads<F>::PIECES; o < 32; o *= 2)
                sums[r][j] += __shfl_xor_sync(0xFFFFFFFFu, sums[r][j], o);
            if (sub == 0)
                scores[(half * R + r) * CHUNK + warp / 2 * PANEL + lane % loads<F>::PIECES * F::COUNT + j] = sums[r][j];
        }
}

/* joined[warp][R][HEAD]: values of the warp's slots by their weights. */
template <class F, int R> DEVICE void sum_values(float *joined, const loads<F> *l, const float *weights)
{
    const int lane = ITEM % 32, warp = ITEM / 32, run = lane / 4, spread = lane % loads<F>::SPREAD, slot = lane % 4 / loads<F>::SPREAD;
    float sums[R][F::COUNT];
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < F::COUNT; j++)
            sums[r][j] = 0;
#pragma unroll
    for (int i = 0; i < loads<F>::VALUES; i++)
#pragma unroll
        for (int r = 0; r < R; r++) {
            const float w = weights[r * CHUNK + warp * 16 + i * loads<F>::SLOTS + slot];
#pragma unroll
            for (int j = 0; j < F::COUNT; j++)
                sums[r][j] = FMA(w, F::value(&l->values[i], j), sums[r][j]);
        }
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < F::COUNT; j++) {
            for (int o = loads<F>::SPREAD; o < 4; o *= 2)
                sums[r][j] += __shfl_xor_sync(0xFFFFFFFFu, sums[r][j], o);
            if (slot == 0)
                joined[(warp * R + r) * HEAD + run * LANES + spread * F::COUNT + j] = sums[r][j];
        }
}

template <class F, int R> DEVICE void attend_chunk(const work *t, int part, const float *q, float *scores, float *joined)
{
    const int warp = ITEM / 32, lane = ITEM % 32;
    const long chunk = (long)part * CHUNK;
    loads<F> l;
    fetch<F>(&l, t, chunk);
    score<F, R>(scores, &l, q);
    __syncthreads();
    if (warp < t->rows) { /* a warp finishes a row */
        const long end = seen(t, warp);
        float top, sum, *row = scores + warp * CHUNK;
        for (int j = lane; j < CHUNK; j += 32) {
            float s = row[j] + scores[(R + warp) * CHUNK + j];
            s = F::COUNT == 16 && chunk + j < end ? s * t->k_scale[chunk + j] : s;
            row[j] = chunk + j < end ? s * t->scale : -INF;
        }
        weigh(row, CHUNK, &top, &sum);
        for (int j = lane; F::COUNT == 16 && j < CHUNK; j += 32)
            row[j] = chunk + j < end ? row[j] * t->v_scale[chunk + j] : 0.0f;
        if (lane == 0) {
            float *to = part_of(t, warp, part);
            to[0] = top;
            to[1] = sum;
        }
    } else if (warp < R)
        for (int j = lane; j < CHUNK; j += 32)
            scores[warp * CHUNK + j] = 0;
    __syncthreads();
    sum_values<F, R>(joined, &l, scores);
    __syncthreads();
    for (int i = ITEM; i < t->rows * t->Dh; i += THREADS) {
        const int r = i / t->Dh, d = i % t->Dh;
        float sum = joined[r * HEAD + d];
        for (int w = 1; w < WARPS; w++)
            sum += joined[(w * R + r) * HEAD + d];
        part_of(t, r, part)[2 + d] = sum;
    }
}

/* --- new slots --- */

/* Keys and values of new positions as the cache will have them, [FRESH][HEAD] each; put: and into it. One warp a position. */
template <class F> DEVICE void put_fresh(const work *t, float *keys, float *values, bool put)
{
    typedef typename F::stored stored;
    const int lane = ITEM % 32, s = ITEM / 32;
    if (s < t->S) {
        const long from = ((long)(t->b * t->S + s) * t->heads + t->h) * t->Dh, slot = t->pos + s;
        const long panel = slot / PANEL * PANEL * t->slot;
        float *key = keys + s * HEAD, *value = values + s * HEAD, scales[2] = {1, 1};
        for (int i = lane; i < HEAD; i += 32) {
            key[i] = i < t->Dh ? t->k_new[from + i] : 0.0f;
            value[i] = i < t->Dh ? t->v_new[from + i] : 0.0f;
        }
        __syncwarp();
        prepare(key, t, t->k_norm, s);
        for (int x = 0; F::COUNT == 16 && x < 2; x++) {
            uint most = 0; /* as whole numbers magnitudes have the same order, and what is not finite is the greatest */
            for (int i = lane; i < t->Dh; i += 32) {
                const uint a = as_u32(x ? value[i] : key[i]) & 0x7FFFFFFFu;
                most = a > most ? a : most;
            }
            most = __reduce_max_sync(0xFFFFFFFFu, most);
            scales[x] = most < 0x7F800000u ? divided(as_f32(most), 127.0f) : as_f32(0x7FC00000u);
        }
        for (int i = lane; i < t->slot; i += 32) {
            stored unused;
            stored *to_k = (stored *)t->k + panel + slot % PANEL + (long)i * PANEL;
            stored *to_v = (stored *)t->v + panel + slot % PANEL * LANES + i / LANES * (PANEL * LANES) + i % LANES;
            if (i < t->Dh)
                key[i] = F::store(put ? to_k : &unused, key[i], scales[0]) * scales[0];
            value[i] = F::store(put ? to_v : &unused, value[i], scales[1]) * scales[1];
        }
        if (F::COUNT == 16 && put && lane == 0) {
            t->k_scale[slot] = scales[0];
            t->v_scale[slot] = scales[1];
        }
    }
}

/* The same of positions that the cache has. */
template <class F> DEVICE void take_fresh(const work *t, float *keys, float *values)
{
    typedef typename F::stored stored;
    const int lane = ITEM % 32, s = ITEM / 32;
    if (s < t->S) {
        const long slot = t->pos + s, panel = slot / PANEL * PANEL * t->slot;
        const float by_k = F::COUNT == 16 ? t->k_scale[slot] : 1.0f, by_v = F::COUNT == 16 ? t->v_scale[slot] : 1.0f;
        for (int i = lane; i < HEAD; i += 32) {
            const long k_at = F::ROWS ? slot * t->slot + i : panel + slot % PANEL + (long)i * PANEL;
            const long v_at = F::ROWS ? slot * t->slot + i : panel + slot % PANEL * LANES + i / LANES * (PANEL * LANES) + i % LANES;
            keys[s * HEAD + i] = i < t->Dh ? F::load((const stored *)t->k + k_at) * by_k : 0.0f;
            values[s * HEAD + i] = i < t->Dh ? F::load((const stored *)t->v + v_at) * by_v : 0.0f;
        }
    }
}

template <class F, int R> DEVICE void attend_fresh(const work *t, int part, const float *q, float *scores, float *keys, float *values)
{
    const int warp = ITEM / 32, lane = ITEM % 32;
    if (t->k_new)
        put_fresh<F>(t, keys, values, t->first == 0);
    else
        take_fresh<F>(t, keys, values);
    __syncthreads();
    if (warp < t->rows) {
        const int n = (t->first + warp) / t->group + 1; /* it sees its own position and those before it */
        float top, sum, *row = scores + warp * CHUNK;
        for (int s = 0; s < n; s++) {
            float dot = 0;
            for (int i = lane; i < HEAD; i += 32)
                dot = FMA(q[warp * HEAD + i], keys[s * HEAD + i], dot);
            for (int o = 16; o; o >>= 1)
                dot += __shfl_xor_sync(0xFFFFFFFFu, dot, o);
            if (lane == 0)
                row[s] = dot * t->scale;
        }
        __syncwarp();
        weigh(row, n, &top, &sum);
        __syncwarp();
        float *to = part_of(t, warp, part);
        for (int d = lane; d < t->Dh; d += 32) {
            float v = 0;
            for (int s = 0; s < n; s++)
                v = FMA(row[s], values[s * HEAD + d], v);
            to[2 + d] = v;
        }
        if (lane == 0) {
            to[0] = top;
            to[1] = sum;
        }
    }
}

/* --- parts --- */

/* The rows of the tile from `count` parts; those of which a row sees nothing are left out. A warp joins a row. */
DEVICE void join(const work *t, int count)
{
    const int warp = ITEM / 32, lane = ITEM % 32;
    if (warp >= t->rows)
        return;
    const float *from = part_of(t, warp, 0);
    const long step = 2 + t->Dh;
    const int row = t->first + warp;
    float *out = t->out + ((long)(t->b * t->S + row / t->group) * t->H + t->h * t->group + row % t->group) * t->Dh;
    float top = -INF, sum = 0, values[HEAD / 32];
    for (int p = lane; p < count; p += 32) {
        const float of = __ldcg(from + p * step);
        top = of > top ? of : top;
    }
    for (int o = 16; o; o >>= 1) {
        const float other = __shfl_xor_sync(0xFFFFFFFFu, top, o);
        top = other > top ? other : top;
    }
#pragma unroll
    for (int i = 0; i < HEAD / 32; i++)
        values[i] = 0;
#pragma unroll 4
    for (int p = 0; p < count; p++) {
        const float of = __ldcg(from + p * step), by = of == -INF ? 0.0f : exp(of - top);
        sum = FMA(by, __ldcg(from + p * step + 1), sum);
#pragma unroll
        for (int i = 0; i < HEAD / 32; i++)
            if (lane + i * 32 < t->Dh)
                values[i] = FMA(by, __ldcg(from + p * step + 2 + lane + i * 32), values[i]);
    }
#pragma unroll
    for (int i = 0; i < HEAD / 32; i++)
        if (lane + i * 32 < t->Dh)
            out[lane + i * 32] = values[i] / sum;
}

/* Blocks: (parts, tiles of R rows, batch rows * stored heads). */
template <class F, int R> DEVICE void attend(ATTEND_PARAMETERS, float *q_rows, float *scores, float *joined, uint *last)
{
    const long pair = GROUP(2), at = pair / heads * batch + pair % heads * head, from_scale = F::COUNT == 16 ? at / slot : 0;
    const int group = H / heads, first = (int)GROUP(1) * R, left = S * group - first;
    EARLY_GO();
    EARLY_WAIT();
    const work t = {out,
                    parts,
                    q,
                    k_new,
                    v_new,
                    q_norm,
                    k_norm,
                    (const float *)(cosines + STEP_OF(cosines_at)),
                    (const float *)(sines + STEP_OF(sines_at)),
                    k + at * (long)sizeof(typename F::stored),
                    v + at * (long)sizeof(typename F::stored),
                    k_scale + from_scale,
                    v_scale + from_scale,
                    slot,
                    STEP_OF(slots),
                    STEP_OF(pos),
                    most,
                    S,
                    H,
                    Dh,
                    group,
                    (int)(pair / heads),
                    (int)(pair % heads),
                    heads,
                    first,
                    left < R ? left : R,
                    apart,
                    next,
                    own,
                    scale,
                    eps};
    const int fresh = own ? 1 : 0, chunks = (int)(((fresh ? t.pos : t.slots) + CHUNK - 1) / CHUNK), count = chunks + fresh;
    const int part = fresh ? (int)GROUP(0) - 1 : (int)GROUP(0); /* the block of what is new comes first, as it has most to do */
    const bool works = part < chunks;
    if (works) {
        fetch_queries<R>(q_rows, &t);
        __syncthreads();
        if (part < 0)
            attend_fresh<F, R>(&t, chunks, q_rows, scores, joined, joined + FRESH * HEAD);
        else
            attend_chunk<F, R>(&t, part, q_rows, scores, joined);
        __threadfence();
    }
    __syncthreads();
    if (ITEM == 0)
        *last = works && atomicInc(&arrived[pair * gridDim.y + GROUP(1)], (uint)count - 1) == (uint)count - 1;
    __syncthreads();
    if (*last) {
        __threadfence();
        join(&t, count);
    }
}

#define ATTEND(name, type, R)                                                                                                            \
    CUDA_KERNEL(name, BOUNDS)(ATTEND_PARAMETERS)                                                                                         \
    {                                                                                                                                    \
        SHARED(float, q_rows, R *HEAD);                                                                                                  \
        SHARED(float, scores, 2 * R * CHUNK);                                                                                            \
        SHARED(float, joined, WARPS *R *HEAD);                                                                                           \
        SHARED(uint, last, 1);                                                                                                           \
        attend<type, R>(out, parts, most, q, k, v, k_scale, v_scale, heads, batch, head, slot, S, H, Dh, scale, slots_given, slots_slot, \
                        pos_given, pos_slot, k_new, v_new, q_norm, k_norm, eps, cosines, cosines_at_given, cosines_at_slot, sines,       \
                        sines_at_given, sines_at_slot, apart, next, own, q_rows, scores, joined, last);                                  \
    }

ATTEND(attend_f32_2, of_f32, 2)
ATTEND(attend_f32_4, of_f32, 4)
ATTEND(attend_bf16_2, of_bf16, 2)
ATTEND(attend_bf16_4, of_bf16, 4)
ATTEND(attend_int8_2, of_i8, 2)
ATTEND(attend_int8_4, of_i8, 4)
ATTEND(attend_rows_4, of_rows, 4)
