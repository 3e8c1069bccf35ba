/* Attention streamed over a cache on tensor cores, with the accuracy of float32: products of bfloat16 parts as in many.cu; of keys and values
 * of bf16 and of 8 bits, which are bfloat16 themselves, half as many.
 *
 * A block has FLASH_ROWS rows of a stored head, a warp 16 of them, and goes through the slots that they see, FLASH_SLOTS at a time from
 * multiples of that, in parts of PART. Order of sums of a row: a score's 32 elements on tensor cores from zero, those sums in order;
 * exponentials of a part by threads of every fourth pair of slots, joined by twos; values of a part on tensor cores from zero, parts in
 * order. Slots out of a row's sight weigh nothing, and a part of them changes none of its numbers: so a row's result depends on its own slots
 * and Dh alone, however rows are cut into calls, and moving all slots by whole blocks changes nothing. */
#include "engine/cuda/kernel.inc"
#include "engine/gpu/task.inc"

#include "engine/cuda/flash.inc"
#include "engine/cuda/mma.inc"
#include "engine/cuda/split.inc"

#define THREADS 128
#define PART (head > 64 ? 16 : 32) /* slots whose scores are in registers at a time */
#define BOUNDS THREADS, 2          /* blocks of a multiprocessor: more registers do not help, fewer are not enough */

/* --- into shared memory --- */

/* Queries of the tile, zeros beyond Dh. */
template <int head> DEVICE void load_queries(float *to, const task *t)
{
    for (int e = ITEM; e < FLASH_ROWS * head; e += THREADS) {
        const int r = e / head, i = e % head;
        to[r * (head + 8) + i] = i < t->Dh ? t->q[row_at(t, r) + i] : 0.0f;
    }
}

/* Where element i of a slot's key, or value, lies. */
DEVICE long key_at(const task *t, long j, int i)
{
    return t->panels ? j / PANEL * PANEL * t->slot + i * PANEL + j % PANEL : j * t->slot + i;
}

DEVICE long value_at(const task *t, long j, int i)
{
    return t->panels ? j / PANEL * PANEL * t->slot + i / LANES * (PANEL * LANES) + j % PANEL * LANES + i % LANES : j * t->slot + i;
}

/* float32, or, of caches that are coarser, bfloat16. */
DEVICE void put(float *to, float v)
{
    *to = v;
}

DEVICE void put(ushort *to, float v)
{
    *to = (ushort)(as_u32(v) >> 16);
}

/* Slots j0 .. of keys and of values, [slot][element]; zeros for those that the tile does not see and beyond Dh. */
template <int head, class of>
DEVICE void load_slots(of *k, of *v, const int k_stride, const int v_stride, const task *t, long j0, long begin, long end)
{
    for (int e = ITEM; e < FLASH_SLOTS * head; e += THREADS) {
        const int s = t->panels ? e % FLASH_SLOTS : e / head, i = t->panels ? e / FLASH_SLOTS : e % head;
        const long j = j0 + s;
        put(k + s * k_stride + i, j >= begin && j < end && i < t->Dh ? load(t->k, t->type, key_at(t, j, i)) : 0.0f);
    }
    for (int e = ITEM; e < FLASH_SLOTS * head; e += THREADS) {
        const int s = t->panels ? e / LANES % FLASH_SLOTS : e / head;
        const int i = t->panels ? e / (LANES * FLASH_SLOTS) * LANES + e % LANES : e % head;
        const long j = j0 + s;
        put(v + s * v_stride + i, j >= begin && j < end && i < t->Dh ? load(t->v, t->type, value_at(t, j, i)) : 0.0f);
    }
}

/* --- products --- */

/* d += a b: `count` parts of b, all three of a, smallest first. */
template <int count> DEVICE void multiply_parts(float *d, const uint (*a)[4], const uint (*b)[2])
{
#pragma unroll
    for (int place = 2; place >= 0; place--)
#pragma unroll
        for (int p = 0; p < count; p++)
            if (p <= place)
                mma_bf16(d, a[place - p], b[p]);
}

/* Parts of a slot's elements i + 2t and i + 8 + 2t and the one after each. */
template <int count, class of> DEVICE void take_keys(uint (*to)[2], const of *k, int stride, int slot, int i)
{
    const int t = ITEM % 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const of *at = k + slot * stride + i + h * 8 + 2 * t;
        uint parts[3];
        if (count == 1)
            parts[0] = *(const uint *)at;
        else
            split<3>(parts, ((const float2 *)at)->x, ((const float2 *)at)->y);
        for (int p = 0; p < count; p++)
            to[p][h] = parts[p];
    }
}

/* Parts of element i of slots s + 2t and s + 8 + 2t and the one after each. */
template <int count, class of> DEVICE void take_values(uint (*to)[2], const of *v, int stride, int s, int i)
{
    const int t = ITEM % 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const of *at = v + (s + h * 8 + 2 * t) * stride + i;
        uint parts[3];
        if (count == 1)
            parts[0] = (uint)at[0] | (uint)at[stride] << 16;
        else
            split<3>(parts, (float)at[0], (float)at[stride]);
        for (int p = 0; p < count; p++)
            to[p][h] = parts[p];
    }
}

/* Parts of 32 elements of 16 rows: a[half][part]. */
template <int head> DEVICE void take_queries(uint (*a)[3][4], const float *q, int r, int i)
{
    const int g = ITEM % 32 / 4, t = ITEM % 4;
#pragma unroll
    for (int x = 0; x < 8; x++) {
        const float2 v = *(const float2 *)(q + (r + g + x % 2 * 8) * (head + 8) + i + x / 4 * 16 + x / 2 % 2 * 8 + 2 * t);
        uint parts[3];
        split<3>(parts, v.x, v.y);
        for (int p = 0; p < 3; p++)
            a[x / 4][p][x % 4] = parts[p];
    }
}

/* s[j][..] = scores of 16 rows and PART slots, not yet scaled. */
template <int head, int count, class of> DEVICE void score_slots(float (*s)[4], const float *q, const of *k, int k_stride, int r)
{
    const int g = ITEM % 32 / 4;
#pragma unroll
    for (int j = 0; j < PART / 2; j++)
        s[j / 4][j % 4] = 0;
#pragma unroll 1
    for (int i = 0; i < head; i += 32) {
        uint a[2][3][4];
        take_queries<head>(a, q, r, i);
#pragma unroll
        for (int j = 0; j < PART / 8; j++) {
            float sum[4] = {0, 0, 0, 0};
            uint b[3][2];
#pragma unroll
            for (int half = 0; half < 2; half++) {
                take_keys<count>(b, k, k_stride, j * 8 + g, i + half * 16);
                multiply_parts<count>(sum, a[half], b);
            }
#pragma unroll
            for (int x = 0; x < 4; x++)
                s[j][x] += sum[x];
        }
    }
}

/* --- a tile of slots --- */

/* Of two rows of this thread's four: the greatest score so far, the sum of exponentials. */
typedef struct weighed {
    float top[2], sum[2];
} weighed;

DEVICE float quad_max(float v)
{
    v = fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 1));
    return fmaxf(v, __shfl_xor_sync(0xFFFFFFFFu, v, 2));
}

DEVICE float quad_sum(float v)
{
    v += __shfl_xor_sync(0xFFFFFFFFu, v, 1);
    return v + __shfl_xor_sync(0xFFFFFFFFu, v, 2);
}

/* Scores become exponentials, of 8 bits times the scales of values; by[]: what the sums so far are worth now. */
template <int head> DEVICE void weigh(float (*s)[4], weighed *w, float *by, const task *t, long j0, int r)
{
    const int g = ITEM % 32 / 4, pair = ITEM % 4 * 2;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float top = -INF, sum = 0;
#pragma unroll
        for (int x = 0; x < PART / 4; x++) {
            float *score = &s[x / 2][h * 2 + x % 2];
            *score = task_score(t, r + g + h * 8, j0 + x / 2 * 8 + pair + x % 2, *score);
            top = fmaxf(top, *score);
        }
        top = fmaxf(quad_max(top), w->top[h]);
        by[h] = w->top[h] == top ? 1.0f : exp(w->top[h] - top);
        w->top[h] = top;
#pragma unroll
        for (int x = 0; x < PART / 4; x++) {
            float *score = &s[x / 2][h * 2 + x % 2];
            *score = *score == -INF ? 0.0f : exp(*score - top);
            sum += *score;
            if (t->type == I8 && *score != 0.0f)
                *score *= t->v_scale[j0 + x / 2 * 8 + pair + x % 2];
        }
        w->sum[h] = w->sum[h] * by[h] + quad_sum(sum);
    }
}

/* all[j][..] = all * by + the part's values, weighed. */
template <int head, int count, class of>
DEVICE void add_values(float (*all)[4], const float (*s)[4], const float *by, const of *v, int v_stride)
{
    const int g = ITEM % 32 / 4;
    uint a[PART / 16][3][4];
#pragma unroll
    for (int x = 0; x < PART / 4; x++) {
        uint parts[3];
        split<3>(parts, s[x / 2][x % 2 * 2], s[x / 2][x % 2 * 2 + 1]);
        for (int p = 0; p < 3; p++)
            a[x / 4][p][x % 4] = parts[p];
    }
#pragma unroll
    for (int j = 0; j < head / 8; j++) {
        float sum[4] = {0, 0, 0, 0};
        uint b[3][2];
#pragma unroll
        for (int k = 0; k < PART / 16; k++) {
            take_values<count>(b, v, v_stride, k * 16, j * 8 + g);
            multiply_parts<count>(sum, a[k], b);
        }
#pragma unroll
        for (int x = 0; x < 4; x++)
            all[j][x] = all[j][x] * by[x / 2] + sum[x];
    }
}

template <int head, class of> DEVICE void attend(float *out, const task *t, char *space)
{
    const int count = sizeof(of) == 4 ? 3 : 1, k_stride = head + 8, v_stride = sizeof(of) == 4 ? head + 4 : head + 8;
    const int r = ITEM / 32 * 16, g = ITEM % 32 / 4, pair = ITEM % 4 * 2;
    float *q = (float *)space;
    of *k = (of *)(q + FLASH_ROWS * (head + 8)), *v = k + FLASH_SLOTS * k_stride;
    const long begin = seen_from(t, t->first / t->group), end = task_end(t);
    float all[head / 8][4] = {}, by[2];
    weighed w = {{-INF, -INF}, {0, 0}};
    load_queries<head>(q, t);
    for (long j0 = begin / FLASH_SLOTS * FLASH_SLOTS; j0 < end; j0 += FLASH_SLOTS) {
        __syncthreads();
        load_slots<head>(k, v, k_stride, v_stride, t, j0, begin, end);
        __syncthreads();
#pragma unroll 1
        for (int part = 0; part < FLASH_SLOTS; part += PART) {
            float s[PART / 8][4];
            score_slots<head, count>(s, q, k + part * k_stride, k_stride, r);
            weigh<head>(s, &w, by, t, j0 + part, r);
            add_values<head, count>(all, s, by, v + part * v_stride, v_stride);
        }
    }
#pragma unroll
    for (int x = 0; x < head / 8 * 4; x++) {
        const int row = r + g + x % 4 / 2 * 8, i = x / 4 * 8 + pair + x % 2;
        if (row < t->rows && i < t->Dh)
            out[row_at(t, row) + i] = all[x / 4][x % 4] / w.sum[x % 4 / 2];
    }
}

#define FLASH(name, head, of)                                      \
    CUDA_KERNEL(name, BOUNDS)(float *out, TASK)                    \
    {                                                              \
        DYNAMIC_SHARED(char, space);                               \
        TASK_OPEN(t, GROUP(1), GROUP(0) * FLASH_ROWS, FLASH_ROWS); \
        attend<head, of>(out, &t, space);                          \
    }

FLASH(flash_32_f32, 32, float)
FLASH(flash_64_f32, 64, float)
FLASH(flash_128_f32, 128, float)
FLASH(flash_32_coarse, 32, ushort)
FLASH(flash_64_coarse, 64, ushort)
FLASH(flash_128_coarse, 128, ushort)
