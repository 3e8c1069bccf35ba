/* What waveform decoders and encoders of audio need beyond linear layers. Sums that the CPU has in double are pairs of floats here. */
#include "engine/gpu/compat.inc"
#include "engine/gpu/exact.inc"

#define COLUMNS 16 /* of a group, side by side */
#define STRIPES 16 /* every so many rows are summed by one item */
#define INF as_f32(0x7F800000u)

/* --- SnakeBeta --- */

KERNEL(snake_factors, 64)
(GLOBAL float *a, GLOBAL float *b, GLOBAL const float *RESTRICT alpha, GLOBAL const float *RESTRICT beta, const int C)
{
    long c = GROUP(0) * 64 + ITEM;
    if (c < C) {
        a[c] = exp(alpha[c]);
        b[c] = 1.0f / (exp(beta[c]) + 1e-9f);
    }
}

KERNEL(snake, 64)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *RESTRICT a, GLOBAL const float *RESTRICT b, const int C, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        float s = sin(a[i % C] * x[i]);
        y[i] = FMA(b[i % C], s * s, x[i]);
    }
}

/* --- rows and elements --- */

KERNEL(pad_reflect, 64)(GLOBAL float *y, GLOBAL const float *RESTRICT x, const int M, const int C, const int left, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        long m = i / C - left;
        m = m < 0 ? -m : m;
        m = m >= M ? 2 * (long)M - 2 - m : m;
        y[i] = x[m * C + i % C];
    }
}

KERNEL(scale_columns, 64)(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *RESTRICT s, const int C, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n)
        y[i] = x[i] * s[i % C];
}

KERNEL(divide_rows, 64)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *RESTRICT usage, const float least, const int D, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n)
        y[i] = divided(x[i], usage[i / D] > least ? usage[i / D] : least);
}

/* --- statistics over the rows of columns --- */

/* high + low, low below the last bit of high. */
typedef struct pair {
    float high, low;
} pair;

DEVICE pair pair_of(float a, float b)
{
    pair s;
    s.high = a + b;
    float part = s.high - a;
    s.low = (a - (s.high - part)) + (b - part);
    return s;
}

DEVICE pair pair_add(pair a, float high, float low)
{
    pair s = pair_of(a.high, high);
    float rest = s.low + (a.low + low);
    pair t;
    t.high = s.high + rest;
    t.low = rest - (t.high - s.high);
    return t;
}

/* a + w*x */
DEVICE pair pair_multiply_add(pair a, float w, float x)
{
    float product = w * x;
    return pair_add(a, product, FMA(w, x, -product));
}

/* The sum of what the stripes of this item's column have, in order. */
DEVICE pair pair_join(pair mine, LOCAL float *high, LOCAL float *low)
{
    int column = ITEM % COLUMNS;
    BARRIER();
    high[ITEM] = mine.high;
    low[ITEM] = mine.low;
    BARRIER();
    pair sum = {high[column], low[column]};
    for (int i = 1; i < STRIPES; i++)
        sum = pair_add(sum, high[i * COLUMNS + column], low[i * COLUMNS + column]);
    return sum;
}

/* Group: COLUMNS columns. weights: NULL: each row weighs 1/M. */
KERNEL(moments, 256)
(GLOBAL float *mean, GLOBAL float *deviation, GLOBAL const float *RESTRICT x, GLOBAL const float *RESTRICT weights, const int M,
 const int C, const float least)
{
    SHARED(float, high, 256);
    SHARED(float, low, 256);
    long c = GROUP(0) * COLUMNS + ITEM % COLUMNS;
    int first = c < C ? ITEM / COLUMNS : M;
    pair sum = {0, 0};
    for (long m = first; m < M; m += STRIPES)
        sum = pair_multiply_add(sum, weights ? weights[m * C + c] : 1.0f, x[m * C + c]);
    sum = pair_join(sum, high, low);
    float centre = sum.high, rest = sum.low;
    if (!weights) {
        centre = divided(sum.high, (float)M);
        rest = (FMA(-centre, (float)M, sum.high) + sum.low) / (float)M;
    }
    sum.high = sum.low = 0;
    for (long m = first; m < M; m += STRIPES) {
        float d = (x[m * C + c] - centre) - rest;
        float square = d * d, w = weights ? weights[m * C + c] : 1.0f;
        sum = pair_multiply_add(sum, w, square);
    }
    sum = pair_join(sum, high, low);
    float square = weights ? sum.high : divided(sum.high, (float)M);
    if (ITEM < COLUMNS && c < C) {
        mean[c] = centre;
        if (deviation)
            deviation[c] = sqrt(square > least ? square : least);
    }
}

/* Group: COLUMNS columns. */
KERNEL(softmax_columns, 256)(GLOBAL float *y, const int M, const int C)
{
    SHARED(float, high, 256);
    SHARED(float, low, 256);
    long c = GROUP(0) * COLUMNS + ITEM % COLUMNS;
    int first = c < C ? ITEM / COLUMNS : M;
    float top = -INF;
    for (long m = first; m < M; m += STRIPES)
        top = y[m * C + c] > top ? y[m * C + c] : top;
    high[ITEM] = top;
    BARRIER();
    for (int i = 0; i < STRIPES; i++)
        top = high[i * COLUMNS + ITEM % COLUMNS] > top ? high[i * COLUMNS + ITEM % COLUMNS] : top;
    pair sum = {0, 0};
    for (long m = first; m < M; m += STRIPES) {
        float e = exp(y[m * C + c] - top);
        y[m * C + c] = e;
        sum = pair_add(sum, e, 0.0f);
    }
    sum = pair_join(sum, high, low);
    for (long m = first; m < M; m += STRIPES)
        y[m * C + c] = y[m * C + c] / sum.high;
}

/* --- codebooks --- */

#define SHARERS 4 /* rows of x that share a reading of the table */

/* Group: SHARERS rows of x; items take rows of the table in turn. */
KERNEL(nearest, 256)
(GLOBAL int *ids, GLOBAL const float *RESTRICT x, GLOBAL const float *RESTRICT table, const int M, const int V, const int D)
{
    SHARED(float, nearness, SHARERS * 256);
    SHARED(int, who, SHARERS * 256);
    long m = GROUP(0) * SHARERS, last = M - 1;
    GLOBAL const float *x0 = x + m * D, *x1 = x + (m + 1 < M ? m + 1 : last) * D, *x2 = x + (m + 2 < M ? m + 2 : last) * D,
                       *x3 = x + (m + 3 < M ? m + 3 : last) * D;
    float best[SHARERS] = {INF, INF, INF, INF};
    int found[SHARERS] = {0, 0, 0, 0};
    for (int v = ITEM; v < V; v += 256) {
        GLOBAL const float *to = table + (long)v * D;
        float d[SHARERS] = {0, 0, 0, 0};
        for (int i = 0; i < D; i++) {
            float t = to[i], e0 = x0[i] - t, e1 = x1[i] - t, e2 = x2[i] - t, e3 = x3[i] - t;
            d[0] = FMA(e0, e0, d[0]);
            d[1] = FMA(e1, e1, d[1]);
            d[2] = FMA(e2, e2, d[2]);
            d[3] = FMA(e3, e3, d[3]);
        }
        for (int r = 0; r < SHARERS; r++)
            if (d[r] < best[r]) {
                best[r] = d[r];
                found[r] = v;
            }
    }
    for (int r = 0; r < SHARERS; r++) {
        nearness[r * 256 + ITEM] = best[r];
        who[r * 256 + ITEM] = found[r];
    }
    BARRIER();
    for (int width = 128; width; width /= 2) {
        if (ITEM < width)
            for (int r = 0; r < SHARERS; r++) {
                int a = r * 256 + ITEM, b = a + width;
                if (nearness[b] < nearness[a] || (nearness[b] == nearness[a] && nearness[b] < INF && who[b] < who[a])) {
                    nearness[a] = nearness[b];
                    who[a] = who[b];
                }
            }
        BARRIER();
    }
    if (ITEM < SHARERS && m + ITEM < M)
        ids[m + ITEM] = who[ITEM * 256];
}

/* --- joining --- */

/* Weights and sums in pairs: the CPU has them in double. */
KERNEL(crossfade, 64)(GLOBAL float *y, GLOBAL const float *RESTRICT before, const int last, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        float w = divided((float)i, (float)last), w_low = FMA(-w, (float)last, (float)i) / (float)last;
        pair one = {1, 0}, sum = {0, 0}, left = pair_add(one, -w, -w_low);
        sum = pair_multiply_add(sum, left.high, before[i]);
        sum = pair_multiply_add(sum, left.low, before[i]);
        sum = pair_multiply_add(sum, w, y[i]);
        sum = pair_multiply_add(sum, w_low, y[i]);
        y[i] = sum.high;
    }
}
