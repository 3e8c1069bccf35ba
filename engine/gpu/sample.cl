/* One draw from logits, the token of hm_sample_reference (engine/sampling.h): steps that decide are done in its order, with its rounding.
 * Exponentials, logarithms and quotients are the portable ones; sums in double are done in whole numbers. */
#include "engine/gpu/compat.inc"
#include "engine/gpu/draw.inc"

#define GROUP_ITEMS 256

/* --- sums in double, of numbers that are not negative --- */

/* m * 2^(x - 189), with 53 bits of m below the highest but one, or zero. */
typedef struct wide {
    ulong m;
    int x;
} wide;

DEVICE int leading_zeros(ulong v)
{
#ifdef __OPENCL_C_VERSION__
    return (int)clz(v);
#else
    return __clzll((long long)v);
#endif
}

/* a + f as doubles, to nearest even. */
DEVICE wide wide_add(wide a, float f)
{
    uint u = as_u32(f);
    ulong small = (ulong)(u & 0x7FFFFFu) << 39;
    int x = (int)(u >> 23);
    if (!u)
        return a;
    if (x)
        small |= (ulong)1 << 62;
    else {
        int shift = leading_zeros(small) - 1;
        small <<= shift;
        x = 1 - shift;
    }
    ulong great = a.m;
    int apart = a.x - x;
    if (!great) {
        a.m = small;
        a.x = x;
        return a;
    }
    if (apart < 0) {
        great = small;
        small = a.m;
        a.x = x;
        apart = -apart;
    }
    if (apart > 63)
        small = 1;
    else if (apart)
        small = small >> apart | (small << (64 - apart) ? 1 : 0);
    ulong sum = great + small;
    if (sum >> 63) {
        sum = sum >> 1 | (sum & 1);
        a.x++;
    }
    ulong low = sum & 1023;
    sum -= low;
    sum += low > 512 || (low == 512 && (sum & 1024)) ? 1024 : 0;
    if (sum >> 63) {
        sum >>= 1;
        a.x++;
    }
    a.m = sum;
    return a;
}

/* To nearest even; of what is at least the least normal number. */
DEVICE float wide_f32(wide a)
{
    ulong low = a.m & (((ulong)1 << 39) - 1), middle = (ulong)1 << 38;
    uint bits = (uint)(a.m >> 39);
    bits += low > middle || (low == middle && (bits & 1));
    return a.m ? as_f32(((uint)(a.x - 1) << 23) + bits) : 0.0f;
}

/* Whether a <= the double with these bits, which is normal. */
DEVICE int wide_within(wide a, ulong limit)
{
    int x = (int)(limit >> 52) - 1023 + 127;
    ulong m = ((limit & (((ulong)1 << 52) - 1)) | (ulong)1 << 52) << 10;
    return !a.m || a.x < x || (a.x == x && a.m <= m);
}

/* --- over the group --- */

/* space: SHARED of this many; free for the next call. */
#define SPACE (GROUP_ITEMS + 16)

/* Sum of what items have. */
DEVICE uint counted(uint mine, LOCAL uint *space)
{
    int item = ITEM;
    uint all = 0;
    space[item] = mine;
    BARRIER();
    if (item < 16) {
        uint sum = 0;
        for (int i = item; i < GROUP_ITEMS; i += 16)
            sum += space[i];
        space[GROUP_ITEMS + item] = sum;
    }
    BARRIER();
    for (int i = 0; i < 16; i++)
        all += space[GROUP_ITEMS + i];
    return all;
}

/* Sum of what items before this one have; *all: of what all have. */
DEVICE uint counted_before(uint mine, uint *all, LOCAL uint *space)
{
    int item = ITEM;
    uint before = 0, sum = 0;
    space[item] = mine;
    BARRIER();
    if (item < 16)
        for (int i = 0; i < 16; i++) {
            uint here = space[item * 16 + i];
            space[item * 16 + i] = sum;
            sum += here;
        }
    if (item < 16)
        space[GROUP_ITEMS + item] = sum;
    BARRIER();
    before = space[item];
    sum = 0;
    for (int i = 0; i < 16; i++) {
        before += i < item / 16 ? space[GROUP_ITEMS + i] : 0;
        sum += space[GROUP_ITEMS + i];
    }
    *all = sum;
    BARRIER();
    return before;
}

DEVICE uint greatest(uint mine, LOCAL uint *space)
{
    int item = ITEM;
    uint most = 0;
    space[item] = mine;
    BARRIER();
    if (item < 16) {
        for (int i = item; i < GROUP_ITEMS; i += 16)
            most = space[i] > most ? space[i] : most;
        space[GROUP_ITEMS + item] = most;
    }
    BARRIER();
    most = 0;
    for (int i = 0; i < 16; i++)
        most = space[GROUP_ITEMS + i] > most ? space[GROUP_ITEMS + i] : most;
    return most;
}

/* --- the draw --- */

/* A bound that the k greatest keys reach and, but for ties with the last, no other: bit by bit, until it parts off just k. k = 0: what all
 * that count reach. */
DEVICE uint bound_of(GLOBAL const uint *keys, int V, uint k, LOCAL uint *space)
{
    uint bound = 0, reaching = 0;
    for (int bit = 31; bit >= 0 && reaching != k; bit--) {
        uint tried = bound | 1u << bit, mine = 0;
        for (int j = ITEM; j < V; j += GROUP_ITEMS)
            mine += keys[j] >= tried;
        uint found = counted(mine, space);
        if (found >= k) {
            bound = tried;
            reaching = found;
        }
    }
    return bound ? bound : 1;
}

/* Indices whose keys reach the bound, in ascending order; returns how many. Items look at stretches of keys. */
DEVICE int gather(GLOBAL const uint *keys, int V, uint bound, GLOBAL uint *index, LOCAL uint *space)
{
    int each = (V + GROUP_ITEMS - 1) / GROUP_ITEMS, first = ITEM * each, last = first + each < V ? first + each : V;
    uint mine = 0, all;
    for (int j = first; j < last; j++)
        mine += keys[j] >= bound;
    uint at = counted_before(mine, &all, space);
    for (int j = first; j < last; j++)
        if (keys[j] >= bound)
            index[at++] = (uint)j;
    BARRIER();
    return (int)all;
}

/* a[0..n) in descending order; room for a power of two of them. */
DEVICE void sort_descending(GLOBAL uint *a, int n)
{
    int count = 1;
    while (count < n)
        count *= 2;
    for (int i = n + ITEM; i < count; i += GROUP_ITEMS)
        a[i] = 0;
    BARRIER();
    int width = 2, apart = 1; /* one loop, since loops around barriers cost compilers dearly */
    while (width <= count) {
        for (int i = ITEM; i < count / 2; i += GROUP_ITEMS) {
            int x = i / apart * 2 * apart + i % apart, y = x + apart;
            uint u = a[x], v = a[y];
            if (x & width ? u > v : u < v) {
                a[x] = v;
                a[y] = u;
            }
        }
        BARRIER();
        width = apart == 1 ? width * 2 : width;
        apart = apart == 1 ? width / 2 : apart / 2;
    }
}

/* The sum in double of e[0..n), in order, as a float. */
DEVICE float sum_of(GLOBAL const float *e, int n)
{
    wide sum = {0, 0};
    for (int i = 0; i < n; i++)
        sum = wide_add(sum, e[i]);
    return wide_f32(sum);
}

/* hm_sample_nucleus: exponentials of what is dropped become zeros. sorted, shares: scratch. limit: 1 - top_p as bits of a double. */
DEVICE void drop_tail(GLOBAL const uint *keys, GLOBAL const uint *index, GLOBAL float *e, int n, float top, float sum, ulong limit,
                      GLOBAL uint *sorted, GLOBAL float *shares, LOCAL uint *space, LOCAL uint *cut)
{
    for (int i = ITEM; i < n; i += GROUP_ITEMS)
        sorted[i] = keys[index[i]];
    sort_descending(sorted, n);
    for (int i = ITEM; i < n; i += GROUP_ITEMS)
        shares[i] = divided(exp_portable(of_key(sorted[i]) - top), sum);
    BARRIER();
    if (ITEM == 0 && n > 0) {
        wide so_far = {0, 0};
        int last = n - 1, ties = 0;
        for (; last > 0; last--) {
            so_far = wide_add(so_far, shares[last]);
            if (!wide_within(so_far, limit))
                break;
        }
        for (int i = last + 1; i < n && sorted[i] == sorted[last]; i++)
            ties++;
        cut[0] = sorted[last];
        cut[1] = (uint)ties;
    }
    BARRIER();
    int each = (n + GROUP_ITEMS - 1) / GROUP_ITEMS, first = ITEM * each, end = first + each < n ? first + each : n;
    uint least = cut[0], mine = 0, all;
    for (int i = first; i < end; i++)
        mine += keys[index[i]] == least;
    uint tie = counted_before(mine, &all, space);
    for (int i = first; i < end; i++) {
        uint key = keys[index[i]];
        if (key < least || (key == least && tie++ < cut[1]))
            e[i] = 0;
    }
    BARRIER();
}

/* One group. scratch: 5 stretches of `room` words, a power of two, V at least. nucleus: top_p counts. */
KERNEL(sample, 256)
(GLOBAL const float *RESTRICT logits, GLOBAL uint *scratch, const int room, const int V, const int topk, const float temperature,
 const int nucleus, const long limit, const int greedy, GLOBAL const uint *RESTRICT seen, const float penalty, const int live,
 const int spared, STEP(forbidden), const long seed, STEP(frame), const int codebook, GLOBAL char *token, STEP(token_at))
{
    SHARED(uint, space, SPACE);
    SHARED(uint, cut, 2);
    SHARED(float, sum, 1);
    GLOBAL uint *keys = scratch, *index = scratch + room, *sorted = scratch + 3 * (long)room;
    GLOBAL float *e = (GLOBAL float *)(scratch + 2 * (long)room), *shares = (GLOBAL float *)(scratch + 4 * (long)room);
    GLOBAL int *out = (GLOBAL int *)(token + STEP_OF(token_at));
    long barred = STEP_OF(forbidden);
    uint mine = 0, best = 0;
    for (int j = ITEM; j < V; j += GROUP_ITEMS) {
        float l = ruled(logits, j, seen, penalty, live, spared, barred);
        uint key = key_of(greedy ? l : divided(l, temperature));
        keys[j] = key;
        mine = key > mine ? key : mine;
    }
    uint top = greatest(mine, space);
    uint bound = bound_of(keys, V, greedy || topk >= V ? 0 : (uint)topk, space);
    BARRIER();
    int n = gather(keys, V, greedy && top ? top : bound, index, space), weighed = greedy ? 0 : n;
    for (int i = ITEM; i < weighed; i += GROUP_ITEMS)
        e[i] = exp_portable(of_key(keys[index[i]]) - of_key(top));
    BARRIER();
    if (ITEM == 0)
        sum[0] = sum_of(e, weighed);
    BARRIER();
    drop_tail(keys, index, e, nucleus ? weighed : 0, of_key(top), sum[0], (ulong)limit, sorted, shares, space, cut);
    if (ITEM == 0 && nucleus) /* what is left has another sum */
        sum[0] = sum_of(e, weighed);
    BARRIER();
    /* the race: the first of those that lead; the greatest logits all lead alike */
    for (int i = ITEM; i < n; i += GROUP_ITEMS) {
        float race = greedy ? 1.0f : divided(divided(e[i], sum[0]), draw_exp((ulong)seed, (uint)STEP_OF(frame), (uint)codebook, index[i]));
        sorted[i] = race > 0 ? as_u32(race) : 0;
        best = sorted[i] > best ? sorted[i] : best;
    }
    best = greatest(best, space);
    mine = 0;
    for (int i = ITEM; i < n; i += GROUP_ITEMS)
        mine = best && sorted[i] == best && ~index[i] > mine ? ~index[i] : mine;
    mine = greatest(mine, space);
    if (ITEM == 0)
        *out = mine ? (int)~mine : 0;
}

/* One item. */
KERNEL(mark_seen, 64)(GLOBAL uint *seen, GLOBAL const char *token, STEP(token_at))
{
    int t = *(GLOBAL const int *)(token + STEP_OF(token_at));
    if (ITEM == 0)
        seen[t / 32] |= 1u << (t % 32);
}

/* Items are entries of the list; those of the same id write the same. */
KERNEL(penalize_ids, 64)(GLOBAL float *y, GLOBAL const float *RESTRICT x, GLOBAL const int *RESTRICT ids, const int n, const float penalty)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        float l = x[ids[i]];
        y[ids[i]] = l < 0 ? l * penalty : divided(l, penalty);
    }
}
