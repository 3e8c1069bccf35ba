/* One draw from logits by one block of 1024 threads that keep all of them in registers: the token of hm_sample_reference
 * (engine/sampling.h). Threads have stretches of logits, so that survivors come in ascending order. Sums in double are the machine's, one
 * thread adding in order, as their rounding decides. */
#include "engine/cuda/kernel.inc"

#include "engine/gpu/draw.inc"

#define THREADS 1024
#define WARPS (THREADS / 32)
#define SMALL 1024 /* survivors that are sorted in shared memory */

/* Sums over the block of two counts below 65536 and of a third. space: two sets of 2*WARPS, which calls take in turn. */
DEVICE void count_all(uint *pair, uint *third, uint *space, int turn)
{
    uint *to = space + (turn & 1) * 2 * WARPS;
    const uint two = __reduce_add_sync(0xFFFFFFFFu, *pair), one = __reduce_add_sync(0xFFFFFFFFu, *third);
    if (ITEM % 32 == 0) {
        to[ITEM / 32] = two;
        to[WARPS + ITEM / 32] = one;
    }
    __syncthreads();
    *pair = __reduce_add_sync(0xFFFFFFFFu, to[ITEM % 32]);
    *third = __reduce_add_sync(0xFFFFFFFFu, to[WARPS + ITEM % 32]);
}

DEVICE uint greatest(uint mine, uint *space)
{
    mine = __reduce_max_sync(0xFFFFFFFFu, mine);
    if (ITEM % 32 == 0)
        space[ITEM / 32] = mine;
    __syncthreads();
    mine = __reduce_max_sync(0xFFFFFFFFu, space[ITEM % 32]);
    __syncthreads();
    return mine;
}

/* Sum of what threads before this one have; *all: of what all have. */
DEVICE uint count_before(uint mine, uint *all, uint *space)
{
    const int lane = ITEM % 32, warp = ITEM / 32;
    uint before = mine, totals;
    for (int o = 1; o < 32; o *= 2) {
        const uint other = __shfl_up_sync(0xFFFFFFFFu, before, o);
        before += lane >= o ? other : 0;
    }
    if (lane == 31)
        space[warp] = before;
    __syncthreads();
    totals = space[lane];
    *all = __reduce_add_sync(0xFFFFFFFFu, totals);
    before += __reduce_add_sync(0xFFFFFFFFu, lane < warp ? totals : 0);
    __syncthreads();
    return before - mine;
}

/* A bound that the k greatest keys reach and, but for ties with the last, no other: two bits at a time, until it parts off just k. k = 0: what
 * all that count reach. */
template <int EACH> DEVICE uint bound_of(const uint *keys, uint k, uint *space)
{
    uint bound = 0, reaching = 0;
    int turn = 0;
    for (int bit = 30; bit >= 0 && reaching != k; bit -= 2, turn++) {
        uint pair = 0, third = 0;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            pair += (keys[i] >= (bound | 1u << bit) ? 1u : 0u) + (keys[i] >= (bound | 2u << bit) ? 65536u : 0u);
            third += keys[i] >= (bound | 3u << bit) ? 1u : 0u;
        }
        count_all(&pair, &third, space, turn);
        const uint found = third >= k ? third : pair >> 16 >= k ? pair >> 16 : pair & 65535u;
        if (found >= k) {
            bound |= (third >= k ? 3u : pair >> 16 >= k ? 2u : 1u) << bit;
            reaching = found;
        }
    }
    __syncthreads();
    return bound ? bound : 1;
}

/* a[0..n) in descending order; room for a power of two of them. */
DEVICE void sort_descending(uint *a, int n)
{
    int count = 1;
    while (count < n)
        count *= 2;
    for (int i = n + ITEM; i < count; i += THREADS)
        a[i] = 0;
    __syncthreads();
    for (int width = 2, apart = 1; width <= count;) {
        for (int i = ITEM; i < count / 2; i += THREADS) {
            const int x = i / apart * 2 * apart + i % apart, y = x + apart;
            const uint u = a[x], v = a[y];
            if (x & width ? u > v : u < v) {
                a[x] = v;
                a[y] = u;
            }
        }
        __syncthreads();
        width = apart == 1 ? width * 2 : width;
        apart = apart == 1 ? width / 2 : apart / 2;
    }
}

/* *sum = float32 of the double sum of e[0..n) in order, to all. */
DEVICE float sum_of(const float *e, int n, float *sum)
{
    if (ITEM == 0) {
        double all = 0;
#pragma unroll 8
        for (int i = 0; i < n; i++)
            all += (double)e[i];
        *sum = (float)all;
    }
    __syncthreads();
    return *sum;
}

/* hm_sample_nucleus: exponentials of what is dropped become zeros. sorted, shares: scratch. limit: 1 - top_p. */
DEVICE void drop_tail(const uint *keys, float *e, int n, float top, float sum, double limit, uint *sorted, float *shares, uint *space,
                      uint *cut)
{
    uint all;
    for (int i = ITEM; i < n; i += THREADS)
        sorted[i] = keys[i];
    sort_descending(sorted, n);
    for (int i = ITEM; i < n; i += THREADS)
        shares[i] = divided(exp_portable(of_key(sorted[i]) - top), sum);
    __syncthreads();
    if (ITEM == 0) {
        double so_far = 0;
        int last = n - 1, ties = 0;
        for (; last > 0; last--) {
            so_far += (double)shares[last];
            if (!(so_far <= limit))
                break;
        }
        for (int i = last + 1; i < n && sorted[i] == sorted[last]; i++)
            ties++;
        cut[0] = sorted[last];
        cut[1] = (uint)ties;
    }
    __syncthreads();
    const int each = (n + THREADS - 1) / THREADS, first = ITEM * each, end = first + each < n ? first + each : n;
    uint least = cut[0], mine = 0;
    for (int i = first; i < end; i++)
        mine += keys[i] == least;
    uint tie = count_before(mine, &all, space);
    for (int i = first; i < end; i++)
        if (keys[i] < least || (keys[i] == least && tie++ < cut[1]))
            e[i] = 0;
    __syncthreads();
}

/* One block. scratch: 2 stretches of `room` words, a power of two, V at least. Shared memory: 10 bytes for each of EACH*THREADS logits. */
#define DRAW_PARAMETERS                                                                                                               \
    const float *logits, uint *scratch, const int room, const int V, const int topk, const float temperature, const int nucleus,      \
        const long limit, const int greedy, const uint *seen, const float penalty, const int live, const int spared, STEP(forbidden), \
        const long seed, STEP(frame), const int codebook, char *token, STEP(token_at)

template <int EACH>
DEVICE void draw(const float *logits, uint *scratch, int room, int V, int topk, float temperature, int nucleus, long limit, int greedy,
                 const uint *seen, float penalty, int live, int spared, long barred, ulong seed, uint frame, uint codebook, int *token,
                 uint *kept, uint *space, uint *cut, float *total)
{
    float *e = (float *)(kept + EACH * THREADS);
    ushort *index = (ushort *)(e + EACH * THREADS);
    const int each = (V + THREADS - 1) / THREADS, first = ITEM * each;
    uint keys[EACH], mine = 0, best = 0, survivors;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
        keys[i] = 0;
        if (i < each && first + i < V) {
            const float l = ruled(logits, first + i, seen, penalty, live, spared, barred);
            keys[i] = key_of(greedy ? l : divided(l, temperature));
        }
        mine = keys[i] > mine ? keys[i] : mine;
    }
    const uint top = greatest(mine, space);
    uint bound = bound_of<EACH>(keys, greedy || topk >= V ? 0 : (uint)topk, space);
    bound = greedy && top ? top : bound;
    mine = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++)
        mine += keys[i] >= bound;
    uint at = count_before(mine, &survivors, space);
#pragma unroll
    for (int i = 0; i < EACH; i++)
        if (keys[i] >= bound) {
            kept[at] = keys[i];
            index[at] = (ushort)(first + i);
            e[at++] = greedy ? 1.0f : exp_portable(of_key(keys[i]) - of_key(top));
        }
    __syncthreads();
    const int n = (int)survivors;
    float sum = 1;
    if (!greedy)
        sum = sum_of(e, n, total);
    if (nucleus && n) {
        const int small = n <= SMALL && EACH * THREADS >= 3 * SMALL;
        drop_tail(kept, e, n, of_key(top), sum, __longlong_as_double(limit), small ? kept + SMALL : scratch,
                  small ? (float *)kept + 2 * SMALL : (float *)scratch + room, space, cut);
        sum = sum_of(e, n, total); /* what is left has another sum */
    }
    /* the race: the first of those that lead; the greatest logits all lead alike */
    for (int i = ITEM; i < n; i += THREADS) {
        const float race = greedy ? 1.0f : divided(divided(e[i], sum), draw_exp(seed, frame, codebook, index[i]));
        e[i] = race > 0 ? race : 0.0f;
        best = as_u32(e[i]) > best ? as_u32(e[i]) : best;
    }
    best = greatest(best, space);
    mine = 0;
    for (int i = ITEM; i < n; i += THREADS)
        mine = best && as_u32(e[i]) == best && ~(uint)index[i] > mine ? ~(uint)index[i] : mine;
    mine = greatest(mine, space);
    if (ITEM == 0)
        *token = mine ? (int)~mine : 0;
}

#define DRAW(name, EACH)                                                                                                                 \
    CUDA_KERNEL(name, THREADS)(DRAW_PARAMETERS)                                                                                          \
    {                                                                                                                                    \
        DYNAMIC_SHARED(uint, kept);                                                                                                      \
        SHARED(uint, space, 4 * WARPS);                                                                                                  \
        SHARED(uint, cut, 2);                                                                                                            \
        SHARED(float, total, 1);                                                                                                         \
        EARLY_GO();                                                                                                                      \
        EARLY_WAIT();                                                                                                                    \
        draw<EACH>(logits, scratch, room, V, topk, temperature, nucleus, limit, greedy, seen, penalty, live, spared, STEP_OF(forbidden), \
                   (ulong)seed, (uint)STEP_OF(frame), (uint)codebook, (int *)(token + STEP_OF(token_at)), kept, space, cut, total);      \
    }

DRAW(draw_4, 4)
DRAW(draw_9, 9)
