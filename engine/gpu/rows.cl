/* Norms, elementwise operations, embeddings and small operations on codes. Products are rounded before they are added unless FMA says so. */
#include "engine/gpu/compat.inc"

#include "engine/gpu/activate.inc"
#include "engine/gpu/exact.inc"

/* Norms: a group of 128 items per row of D, which reads it twice. Sums: item l adds elements l, l+128 ..., then group_sum. */
#define NORM_ITEMS 128

/* y = x*rsqrt(mean x^2 + eps)*weight; with shift and scale, y*(1+scale)+shift, those of row m at m/rows*stride. */
KERNEL(rmsnorm, NORM_ITEMS)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *weight, GLOBAL const float *shift, GLOBAL const float *scale, const int D,
 const int rows, const long stride, const float eps)
{
    SHARED(float, space, GROUP_SPACE(NORM_ITEMS));
    const long m = GROUP(0), at = m * D, vector = m / rows * stride;
    float sum = 0;
    for (int i = ITEM; i < D; i += NORM_ITEMS)
        sum = FMA(x[at + i], x[at + i], sum);
    const float r = 1.0f / sqrt(group_sum(sum, space) / (float)D + eps);
    for (int i = ITEM; i < D; i += NORM_ITEMS) {
        float v = x[at + i] * r;
        v = weight ? v * weight[i] : v;
        y[at + i] = scale ? v * (1.0f + scale[vector + i]) + shift[vector + i] : v;
    }
}

KERNEL(layernorm, NORM_ITEMS)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *weight, GLOBAL const float *bias, const int D, const float eps)
{
    SHARED(float, space, GROUP_SPACE(NORM_ITEMS));
    const long at = GROUP(0) * D;
    float sum = 0, square = 0;
    for (int i = ITEM; i < D; i += NORM_ITEMS)
        sum += x[at + i];
    const float mean = group_sum(sum, space) / (float)D;
    for (int i = ITEM; i < D; i += NORM_ITEMS)
        square = FMA(x[at + i] - mean, x[at + i] - mean, square);
    const float r = 1.0f / sqrt(group_sum(square, space) / (float)D + eps);
    for (int i = ITEM; i < D; i += NORM_ITEMS) {
        const float v = (x[at + i] - mean) * r;
        y[at + i] = weight ? v * weight[i] + bias[i] : v;
    }
}

/* Elementwise: a group of 64 items does 256 elements of n. */
#define ELEMENTS 256
#define EACH(i) \
    for (long i = GROUP(0) * ELEMENTS + ITEM, end = (GROUP(0) + 1) * ELEMENTS < n ? (GROUP(0) + 1) * ELEMENTS : n; i < end; i += 64)

/* Of rows of D: those of batch row b use vectors at b*stride. */
KERNEL(modulate, 64)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *shift, GLOBAL const float *scale, const long n, const int D, const int rows,
 const long stride)
{
    EACH(i)
    {
        const long at = i / D / rows * stride + i % D;
        y[i] = x[i] * (1.0f + scale[at]) + shift[at];
    }
}

KERNEL(gate_add, 64)
(GLOBAL float *x, GLOBAL const float *delta, GLOBAL const float *gate, const long n, const int D, const int rows, const long stride)
{
    EACH(i)
    x[i] = x[i] + gate[i / D / rows * stride + i % D] * delta[i];
}

KERNEL(add, 64)(GLOBAL float *y, GLOBAL const float *x, const long n)
{
    EACH(i)
    y[i] += x[i];
}

KERNEL(axpy, 64)(GLOBAL float *y, const float a, GLOBAL const float *x, const long n)
{
    EACH(i)
    y[i] = y[i] + a * x[i];
}

KERNEL(scale, 64)(GLOBAL float *y, const float a, const long n)
{
    EACH(i)
    y[i] *= a;
}

KERNEL(activate, 64)(GLOBAL float *y, const int act, const float slope, const long n)
{
    EACH(i)
    y[i] = activated(act, slope, y[i]);
}

KERNEL(silu_mul, 64)(GLOBAL float *y, GLOBAL const float *gate, GLOBAL const float *up, const long n)
{
    EACH(i)
    y[i] = silu(gate[i]) * up[i];
}

KERNEL(clamp, 64)(GLOBAL float *y, const float low, const float high, const long n)
{
    EACH(i)
    y[i] = y[i] < low ? low : y[i] > high ? high : y[i];
}

KERNEL(guide, 64)(GLOBAL float *y, GLOBAL const float *cond, GLOBAL const float *uncond, const float scale, const long n)
{
    EACH(i)
    y[i] = uncond[i] + (cond[i] - uncond[i]) * scale;
}

KERNEL(round9, 64)(GLOBAL float *y, GLOBAL const float *x, const long n)
{
    EACH(i)
    y[i] = divided(rint(x[i] * 9.0f), 9.0f);
}

/* Embeddings. type: 0 float32, 1 bfloat16, 2 float16. */
DEVICE float table_value(GLOBAL const char *table, int type, long i)
{
    if (type == 0)
        return ((GLOBAL const float *)table)[i];
    const uint h = ((GLOBAL const ushort *)table)[i];
    return type == 1 ? bf16_f32(h) : f16_f32(h);
}

/* y[m] = the sum of the rows of ids m*K .. m*K+K-1, in order. */
KERNEL(gather, 64)
(GLOBAL float *y, GLOBAL const char *ids, STEP(ids_at), GLOBAL const char *table, const int type, const long n, const int D, const int K)
{
    GLOBAL const int *id = (GLOBAL const int *)(ids + STEP_OF(ids_at));
    EACH(i)
    {
        const long m = i / D, d = i % D;
        float sum = table_value(table, type, (long)id[m * K] * D + d);
        for (int k = 1; k < K; k++)
            sum += table_value(table, type, (long)id[m * K + k] * D + d);
        y[i] = sum;
    }
}

/* The same, of id m*K+j the row of table j, for j = k .. k+count-1; on top of y unless k is 0. */
KERNEL(gather_tables, 64)
(GLOBAL float *y, GLOBAL const char *ids, STEP(ids_at), GLOBAL const char *t0, GLOBAL const char *t1, GLOBAL const char *t2,
 GLOBAL const char *t3, GLOBAL const char *t4, GLOBAL const char *t5, GLOBAL const char *t6, GLOBAL const char *t7, const int type,
 const long n, const int D, const int K, const int k, const int count)
{
    GLOBAL const int *id = (GLOBAL const int *)(ids + STEP_OF(ids_at)) + k;
    EACH(i)
    {
        const long m = i / D * K, d = i % D;
        const float first = table_value(t0, type, (long)id[m] * D + d);
        float sum = k ? y[i] + first : first;
        sum = count > 1 ? sum + table_value(t1, type, (long)id[m + 1] * D + d) : sum;
        sum = count > 2 ? sum + table_value(t2, type, (long)id[m + 2] * D + d) : sum;
        sum = count > 3 ? sum + table_value(t3, type, (long)id[m + 3] * D + d) : sum;
        sum = count > 4 ? sum + table_value(t4, type, (long)id[m + 4] * D + d) : sum;
        sum = count > 5 ? sum + table_value(t5, type, (long)id[m + 5] * D + d) : sum;
        sum = count > 6 ? sum + table_value(t6, type, (long)id[m + 6] * D + d) : sum;
        sum = count > 7 ? sum + table_value(t7, type, (long)id[m + 7] * D + d) : sum;
        y[i] = sum;
    }
}

KERNEL(masked_sum, 64)(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *mask, const long n, const int C, const int D)
{
    EACH(i)
    {
        const long m = i / D * C, d = i % D;
        float sum = 0;
        for (int c = 0; c < C; c++)
            sum = sum + mask[m + c] * x[(m + c) * D + d];
        y[i] = sum;
    }
}

KERNEL(ids_add, 64)
(GLOBAL char *ids, STEP(ids_at), GLOBAL const char *tokens, STEP(tokens_at), GLOBAL const char *offsets, STEP(offsets_at), const long n)
{
    GLOBAL int *to = (GLOBAL int *)(ids + STEP_OF(ids_at));
    GLOBAL const int *from = (GLOBAL const int *)(tokens + STEP_OF(tokens_at));
    GLOBAL const int *plus = (GLOBAL const int *)(offsets + STEP_OF(offsets_at));
    EACH(i)
    to[i] = from[i] + plus[i];
}

/* One group. */
KERNEL(any_at_least, 64)(GLOBAL char *flag, STEP(flag_at), GLOBAL const char *tokens, STEP(tokens_at), const int n, const int limit)
{
    SHARED(int, found, 64);
    GLOBAL const int *from = (GLOBAL const int *)(tokens + STEP_OF(tokens_at));
    int any = 0;
    for (int i = ITEM; i < n; i += 64)
        any |= from[i] >= limit;
    found[ITEM] = any;
    BARRIER();
    if (ITEM == 0) {
        for (int i = 1; i < 64; i++)
            any |= found[i];
        *(GLOBAL int *)(flag + STEP_OF(flag_at)) = any;
    }
}

/* One group. */
KERNEL(pick, 64)(GLOBAL char *y, STEP(y_at), GLOBAL const char *x, STEP(x_at), GLOBAL const char *index, STEP(index_at))
{
    if (ITEM == 0)
        *(GLOBAL float *)(y + STEP_OF(y_at)) =
            ((GLOBAL const float *)(x + STEP_OF(x_at)))[*(GLOBAL const int *)(index + STEP_OF(index_at))];
}
