/* Linear layers and convolutions over rows.
 *
 * Order of a sum, weights of float types: DEPTH inputs at a time in order by multiply-adds (MADD) from zero, and the blocks' sums are
 * added in order, as the CPU does it over panels, with the scale of an output of e4m3 last. Rows [out][in] of few inputs' rows (few_rows_*) are the exception: item l adds inputs l, l+64 ...
 * Quantised weights: inputs are quantised first (hm_quantise); sum = sum + (float)(exact sum of a group) * (scale of the weights * scale of
 * the inputs), group by group in order. None of it depends on how many rows there are. */
#include "engine/gpu/compat.inc"

#include "engine/gpu/activate.inc"
#include "engine/gpu/e4m3.inc"
#include "engine/gpu/exact.inc"
#include "engine/gpu/quantised.inc"

#define LANES 16  /* outputs of a panel */
#define DEPTH 256 /* inputs of a block of a sum */
#define TILE 4    /* rows that share a reading of weights */

/* Numbers of hm_format and hm_dtype, and rows of in_out, as hosts give them to hm_gemm_*. */
#define PANEL_F32 1
#define PANEL_BF16 2
#define PANEL_F16 3
#define PANEL_INT8 4
#define PANEL_INT4 5
#define PANEL_FP4 6
#define PANEL_FP8 7
#define ROWS_F32 8
#define ROWS_BF16 9
#define ROWS_F16 10
#define COLUMNS_F32 12
#define COLUMNS_BF16 13
#define COLUMNS_F16 14

/* --- few rows --- */

/* Up to three layers that read the same x, in groups of outputs one after another; or, with `pair`, y0 = silu(W0 x) * (W1 x).
 * add: y += instead of y =. */
#define FEW_PARAMETERS                                                                                                          \
    GLOBAL float *y0, GLOBAL float *y1, GLOBAL float *y2, GLOBAL const char *w0, GLOBAL const char *w1, GLOBAL const char *w2,  \
        GLOBAL const float *b0, GLOBAL const float *b1, GLOBAL const float *b2, const int out0, const int out1, const int out2, \
        GLOBAL const float *x, GLOBAL const float *x_scale, const int in, const int M, const int pair, const int add

/* Which layer the group works for (part), and on which of its groups of `lanes` outputs (tile). */
#define FEW_PART(lanes)                                                                  \
    long tile = GROUP(0);                                                                \
    const long tiles0 = (out0 + lanes - 1) / lanes, tiles1 = (out1 + lanes - 1) / lanes; \
    int part = 0;                                                                        \
    if (!pair && tile >= tiles0) {                                                       \
        tile -= tiles0;                                                                  \
        part = 1;                                                                        \
        if (tile >= tiles1) {                                                            \
            tile -= tiles1;                                                              \
            part = 2;                                                                    \
        }                                                                                \
    }                                                                                    \
    GLOBAL float *y = part == 0 ? y0 : part == 1 ? y1 : y2;                              \
    GLOBAL const float *bias = part == 0 ? b0 : part == 1 ? b1 : b2;                     \
    const int out = part == 0 ? out0 : part == 1 ? out1 : out2;

DEVICE void few_store(GLOBAL float *y, GLOBAL const float *bias, int o, int out, int row, float z, float second, int pair, int add)
{
    if (o < out) {
        long at = (long)row * out + o;
        z += bias ? bias[o] : 0.0f;
        z = pair ? silu(z) * second : z;
        y[at] = add ? z + y[at] : z;
    }
}

/* e4m3, whose numbers of exponent 0 are multiples of 2^-9. */
DEVICE float e4m3_f32(uint b)
{
    const uint rest = (b & 0x7Fu) << 20, sign = (b & 0x80u) << 24;
    const float small = as_f32(0x3C800000u + rest) - as_f32(0x3C800000u);
    return as_f32((rest < 0x00800000u ? as_u32(small) : rest + 0x3C000000u) | sign);
}

#define F32(at) (((GLOBAL const float *)w)[at])
#define BF16(at) bf16_f32(((GLOBAL const ushort *)w)[at])
#define F16(at) f16_f32(((GLOBAL const ushort *)w)[at])
#define FP8(at) e4m3_f32(((GLOBAL const uchar *)w)[at])

/* Four outputs side by side, in one load. */
typedef struct __attribute__((aligned(16))) words4 {
    uint v[4];
} words4;
typedef struct __attribute__((aligned(8))) halves4 {
    ushort v[4];
} halves4;

/* to[r*ld + j] = sums over inputs 0 .. n-1 of four outputs, for rows x + r*ldx; rows beyond `last` repeat it. each: STEP4s of the inputs from
 * k on. Sums are scalars, as not every compiler keeps arrays in registers. */
#define STEP4(k, w0, w1, w2, w3)                                   \
    {                                                              \
        const float v0 = w0, v1 = w1, v2 = w2, v3 = w3, i0 = x[k]; \
        a0 = MADD(i0, v0, a0);                                     \
        a1 = MADD(i0, v1, a1);                                     \
        a2 = MADD(i0, v2, a2);                                     \
        a3 = MADD(i0, v3, a3);                                     \
        if (rows > 1) {                                            \
            const float i1 = x1[k];                                \
            b0 = MADD(i1, v0, b0);                                 \
            b1 = MADD(i1, v1, b1);                                 \
            b2 = MADD(i1, v2, b2);                                 \
            b3 = MADD(i1, v3, b3);                                 \
        }                                                          \
        if (rows > 2) {                                            \
            const float i2 = x2[k], i3 = x3[k];                    \
            c0 = MADD(i2, v0, c0);                                 \
            c1 = MADD(i2, v1, c1);                                 \
            c2 = MADD(i2, v2, c2);                                 \
            c3 = MADD(i2, v3, c3);                                 \
            d0 = MADD(i3, v0, d0);                                 \
            d1 = MADD(i3, v1, d1);                                 \
            d2 = MADD(i3, v2, d2);                                 \
            d3 = MADD(i3, v3, d3);                                 \
        }                                                          \
    }
DEVICE void store4(LOCAL float *to, float s0, float s1, float s2, float s3)
{
    to[0] = s0;
    to[1] = s1;
    to[2] = s2;
    to[3] = s3;
}

#define FEW_SUMS(name, step, each)                                                                                                    \
    DEVICE void name(const int rows, GLOBAL const char *w, const int stride, const int left, GLOBAL const float *x, const int ldx,    \
                     int last, int n, LOCAL float *to, const int ld)                                                                  \
    {                                                                                                                                 \
        GLOBAL const float *x1 = x + (long)(last < 1 ? last : 1) * ldx, *x2 = x + (long)(last < 2 ? last : 2) * ldx,                  \
                           *x3 = x + (long)(last < 3 ? last : 3) * ldx;                                                               \
        float a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0, c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, \
              d3 = 0;                                                                                                                 \
        const int second = left > 1 ? 1 : 0, third = left > 2 ? 2 : 0, fourth = left > 3 ? 3 : 0; /* outputs that there are */        \
        (void)second, (void)third, (void)fourth, (void)stride;                                                                        \
        for (int k = 0; k < n; k += step) {                                                                                           \
            each                                                                                                                      \
        }                                                                                                                             \
        store4(to, a0, a1, a2, a3);                                                                                                   \
        if (rows > 1)                                                                                                                 \
            store4(to + ld, b0, b1, b2, b3);                                                                                          \
        if (rows > 2) {                                                                                                               \
            store4(to + 2 * ld, c0, c1, c2, c3);                                                                                      \
            store4(to + 3 * ld, d0, d1, d2, d3);                                                                                      \
        }                                                                                                                             \
    }

FEW_SUMS(sums_panel_f32, 1, const words4 q = ((GLOBAL const words4 *)w)[k * 4];
         STEP4(k, as_f32(q.v[0]), as_f32(q.v[1]), as_f32(q.v[2]), as_f32(q.v[3])))
FEW_SUMS(sums_panel_bf16, 2, const words4 q = ((GLOBAL const words4 *)w)[k * 2];
         STEP4(k, as_f32(q.v[0] << 16), as_f32(q.v[1] << 16), as_f32(q.v[2] << 16), as_f32(q.v[3] << 16)) if (k + 1 < n)
             STEP4(k + 1, as_f32(q.v[0] & 0xFFFF0000u), as_f32(q.v[1] & 0xFFFF0000u), as_f32(q.v[2] & 0xFFFF0000u),
                   as_f32(q.v[3] & 0xFFFF0000u)))
FEW_SUMS(sums_panel_f16, 1, const halves4 q = ((GLOBAL const halves4 *)w)[k * 4];
         STEP4(k, f16_f32(q.v[0]), f16_f32(q.v[1]), f16_f32(q.v[2]), f16_f32(q.v[3])))
FEW_SUMS(sums_panel_fp8, 2, const halves4 q = ((GLOBAL const halves4 *)w)[k * 2];
         STEP4(k, e4m3_f32(q.v[0]), e4m3_f32(q.v[1]), e4m3_f32(q.v[2]), e4m3_f32(q.v[3])) if (k + 1 < n)
             STEP4(k + 1, e4m3_f32(q.v[0] >> 8), e4m3_f32(q.v[1] >> 8), e4m3_f32(q.v[2] >> 8), e4m3_f32(q.v[3] >> 8)))
#define COLUMN_STEP(value)             \
    const long row = (long)k * stride; \
    STEP4(k, value(row), value(row + second), value(row + third), value(row + fourth))
FEW_SUMS(sums_columns_f32, 1, COLUMN_STEP(F32))
FEW_SUMS(sums_columns_bf16, 1, COLUMN_STEP(BF16))
FEW_SUMS(sums_columns_f16, 1, COLUMN_STEP(F16))

/* Joins `count` parts of each of rows x lanes sums to what the totals hold; parts: [TILE][most][lanes]. All items, after a barrier. */
DEVICE void join_parts(LOCAL const float *parts, LOCAL float *totals, const int lanes, const int most, int rows, int count, int begins)
{
    for (int i = ITEM; i < rows * lanes; i += 64) {
        float total = begins ? 0.0f : totals[i];
        for (int s = 0; s < count; s++)
            total += parts[(i / lanes * most + s) * lanes + i % lanes];
        totals[i] = total;
    }
}

/* Weights whose outputs lie side by side, four of them an item. A slice of the group's items has a block of inputs, blocks are joined in
 * order. lanes*slices = 256; at: bytes of the first weight of output `o` in block b of layer W; scale: of output i % lanes, or 1. */
#define FEW_BLOCKS(name, lanes, slices, sums, at, scale)                                                                                      \
    KERNEL(name, 64)(FEW_PARAMETERS)                                                                                                     \
    {                                                                                                                                    \
        SHARED(float, parts, TILE *lanes *slices);                                                                                       \
        SHARED(float, totals, 2 * TILE * lanes);                                                                                         \
        FEW_PART(lanes)                                                                                                                  \
        const int lane = ITEM % (lanes / 4) * 4, slice = ITEM / (lanes / 4), blocks = (in + DEPTH - 1) / DEPTH;                          \
        const int wanted = (int)(tile * lanes) + lane, o = wanted < out ? wanted : out - 1, left = out - o;                              \
        (void)x_scale;                                                                                                                   \
        for (int m = 0; m < M; m += TILE) {                                                                                              \
            const int rows = M - m < TILE ? M - m : TILE;                                                                                \
            for (int p = 0; p < 1 + pair; p++) {                                                                                         \
                GLOBAL const char *W = part + p == 0 ? w0 : part + p == 1 ? w1 : w2;                                                     \
                for (int first = 0; first < blocks; first += slices) {                                                                   \
                    const int b = first + slice;                                                                                         \
                    if (b < blocks) {                                                                                                    \
                        const int n = in - b * DEPTH < DEPTH ? in - b * DEPTH : DEPTH;                                                   \
                        GLOBAL const float *xb = x + (long)m * in + b * DEPTH;                                                           \
                        GLOBAL const char *wb = W + (at);                                                                                \
                        LOCAL float *to = parts + slice * lanes + lane;                                                                  \
                        if (rows == 1)                                                                                                   \
                            sums(1, wb, out, left, xb, in, 0, n, to, slices *lanes);                                                     \
                        else if (rows == 2)                                                                                              \
                            sums(2, wb, out, left, xb, in, 1, n, to, slices *lanes);                                                     \
                        else                                                                                                             \
                            sums(4, wb, out, left, xb, in, rows - 1, n, to, slices * lanes);                                             \
                    }                                                                                                                    \
                    BARRIER();                                                                                                           \
                    join_parts(parts, totals + p * TILE * lanes, lanes, slices, rows, blocks - first < slices ? blocks - first : slices, \
                               first == 0);                                                                                              \
                    BARRIER();                                                                                                           \
                }                                                                                                                        \
                for (int i = ITEM; i < rows * lanes; i += 64)                                                                            \
                    totals[p * TILE * lanes + i] *= (scale);                                                                             \
            }                                                                                                                            \
            for (int i = ITEM; i < rows * lanes; i += 64)                                                                                \
                few_store(y, bias, (int)(tile * lanes) + i % lanes, out, m + i / lanes, totals[i], totals[TILE * lanes + i], pair, add); \
        }                                                                                                                                \
    }

/* Panels: [k][16], of bf16 and e4m3 [k/2][16][2]; and rows of in_out. */
FEW_BLOCKS(few_panel_f32, 16, 16, sums_panel_f32, ((tile * in + b * DEPTH) * LANES + lane) * 4, 1.0f)
FEW_BLOCKS(few_panel_bf16, 16, 16, sums_panel_bf16, ((tile * ((in + 1) / 2) + b * (DEPTH / 2)) * LANES + lane) * 4, 1.0f)
FEW_BLOCKS(few_panel_f16, 16, 16, sums_panel_f16, ((tile * ((in + 1) / 2 * 2) + b * DEPTH) * LANES + lane) * 2, 1.0f)
FEW_BLOCKS(few_panel_fp8, 16, 16, sums_panel_fp8, tile *E4M3_PANEL_BYTES(E4M3_INPUTS(in)) + b * DEPTH * LANES + lane * 2,
           E4M3_SCALE(W, tile, E4M3_INPUTS(in), i % LANES))
FEW_BLOCKS(few_columns_f32, 64, 4, sums_columns_f32, ((long)b * DEPTH * out + o) * 4, 1.0f)
FEW_BLOCKS(few_columns_bf16, 64, 4, sums_columns_bf16, ((long)b * DEPTH * out + o) * 2, 1.0f)
FEW_BLOCKS(few_columns_f16, 64, 4, sums_columns_f16, ((long)b * DEPTH * out + o) * 2, 1.0f)

/* Rows of W one after another: a group's items go along the inputs of ROW_OUTPUTS of them. */
#define ROW_OUTPUTS 4

/* sum of the 64 values of each of rows*ROW_OUTPUTS sums, to results: in eights, then those. */
DEVICE void join_items(LOCAL float *parts, LOCAL float *eights, LOCAL float *results, int rows)
{
    BARRIER();
    for (int i = ITEM; i < rows * ROW_OUTPUTS * 8; i += 64) {
        float sum = 0;
        for (int j = 0; j < 8; j++)
            sum += parts[(i / 8) * 64 + j * 8 + i % 8];
        eights[i] = sum;
    }
    BARRIER();
    if (ITEM < rows * ROW_OUTPUTS) {
        float sum = 0;
        for (int j = 0; j < 8; j++)
            sum += eights[ITEM * 8 + j];
        results[ITEM] = sum;
    }
    BARRIER();
}

/* part[r*ROW_OUTPUTS + i] of this item: outputs o .. o+3 of W [out][in]. */
#define ROW_SUMS(name, value)                                                                                                           \
    DEVICE void name(const int rows, GLOBAL const char *w, int o, int out, GLOBAL const float *x, int in, int last, LOCAL float *parts) \
    {                                                                                                                                   \
        const long r0 = (long)o * in, r1 = (long)(o + 1 < out ? o + 1 : o) * in, r2 = (long)(o + 2 < out ? o + 2 : o) * in,             \
                   r3 = (long)(o + 3 < out ? o + 3 : o) * in;                                                                           \
        for (int r = 0; r < rows; r++) {                                                                                                \
            GLOBAL const float *xr = x + (long)(r < last ? r : last) * in;                                                              \
            float s0 = 0, s1 = 0, s2 = 0, s3 = 0;                                                                                       \
            for (int k = ITEM; k < in; k += 64) {                                                                                       \
                const float v = xr[k];                                                                                                  \
                s0 = MADD(value(r0 + k), v, s0);                                                                                        \
                s1 = MADD(value(r1 + k), v, s1);                                                                                        \
                s2 = MADD(value(r2 + k), v, s2);                                                                                        \
                s3 = MADD(value(r3 + k), v, s3);                                                                                        \
            }                                                                                                                           \
            parts[(r * ROW_OUTPUTS + 0) * 64 + ITEM] = s0;                                                                              \
            parts[(r * ROW_OUTPUTS + 1) * 64 + ITEM] = s1;                                                                              \
            parts[(r * ROW_OUTPUTS + 2) * 64 + ITEM] = s2;                                                                              \
            parts[(r * ROW_OUTPUTS + 3) * 64 + ITEM] = s3;                                                                              \
        }                                                                                                                               \
    }

ROW_SUMS(row_sums_f32, F32)
ROW_SUMS(row_sums_bf16, BF16)
ROW_SUMS(row_sums_f16, F16)

#define FEW_ROWS(name, sums)                                                                                                               \
    KERNEL(name, 64)(FEW_PARAMETERS)                                                                                                       \
    {                                                                                                                                      \
        SHARED(float, parts, TILE *ROW_OUTPUTS * 64);                                                                                      \
        SHARED(float, eights, TILE *ROW_OUTPUTS * 8);                                                                                      \
        SHARED(float, results, 2 * TILE * ROW_OUTPUTS);                                                                                    \
        FEW_PART(ROW_OUTPUTS)                                                                                                              \
        const int o = (int)tile * ROW_OUTPUTS;                                                                                             \
        (void)x_scale;                                                                                                                     \
        for (int m = 0; m < M; m += TILE) {                                                                                                \
            const int rows = M - m < TILE ? M - m : TILE;                                                                                  \
            for (int p = 0; p < 1 + pair; p++) {                                                                                           \
                GLOBAL const char *W = part + p == 0 ? w0 : part + p == 1 ? w1 : w2;                                                       \
                sums(rows, W, o, out, x + (long)m * in, in, rows - 1, parts);                                                              \
                join_items(parts, eights, results + p * TILE * ROW_OUTPUTS, rows);                                                         \
            }                                                                                                                              \
            if (ITEM < rows * ROW_OUTPUTS)                                                                                                 \
                few_store(y, bias, o + ITEM % ROW_OUTPUTS, out, m + ITEM / ROW_OUTPUTS, results[ITEM], results[TILE * ROW_OUTPUTS + ITEM], \
                          pair, add);                                                                                                      \
        }                                                                                                                                  \
    }

FEW_ROWS(few_rows_f32, row_sums_f32)
FEW_ROWS(few_rows_bf16, row_sums_bf16)
FEW_ROWS(few_rows_f16, row_sums_f16)

/* --- quantised --- */

/* Four signed bytes of each: sum + their products. */
DEVICE int dot4(uint a, uint b, int sum)
{
#ifdef __CUDA_ARCH__
    return __dp4a((int)a, (int)b, sum);
#else
    return sum + ((int)(a << 24) >> 24) * ((int)(b << 24) >> 24) + ((int)(a << 16) >> 24) * ((int)(b << 16) >> 24) +
           ((int)(a << 8) >> 24) * ((int)(b << 8) >> 24) + ((int)a >> 24) * ((int)b >> 24);
#endif
}

/* Rows of x as quantised weights meet them: q [rows][padded/4] of four signed bytes, scale [rows][padded/32], padded = in to whole blocks.
 * value = rint(x * (127 / max|x|)) of a group, scale = max|x| / 127 * by; of a group that is not finite the values are 0 and the scale is not
 * finite. Row r is at x + r/per*ld + r%per*ld_part. Groups of items: (rows, padded/4/64). */
KERNEL(quantise, 64)
(GLOBAL uint *q, GLOBAL float *scale, GLOBAL const float *x, const long ld, const long ld_part, const int per, const int in,
 const int padded, const float by)
{
    SHARED(uint, tops, 64);
    SHARED(float, inverses, 8);
    const long row = GROUP(0);
    const int quad = (int)GROUP(1) * 64 + ITEM, k = quad * 4;
    GLOBAL const float *at = x + row / per * ld + row % per * ld_part + k;
    const float v0 = k < in ? at[0] : 0, v1 = k + 1 < in ? at[1] : 0, v2 = k + 2 < in ? at[2] : 0, v3 = k + 3 < in ? at[3] : 0;
    const uint m0 = as_u32(v0) & 0x7FFFFFFFu, m1 = as_u32(v1) & 0x7FFFFFFFu, m2 = as_u32(v2) & 0x7FFFFFFFu, m3 = as_u32(v3) & 0x7FFFFFFFu;
    const uint m01 = m0 > m1 ? m0 : m1, m23 = m2 > m3 ? m2 : m3; /* as whole numbers they have the same order, and NaN is the greatest */
    tops[ITEM] = m01 > m23 ? m01 : m23;
    BARRIER();
    if (ITEM % 8 == 0 && k < padded) { /* one item for a group, as exact quotients are many steps */
        uint bits = 0;
        for (int i = 0; i < 8; i++)
            bits = tops[ITEM + i] > bits ? tops[ITEM + i] : bits;
        const float top = as_f32(bits), inverse = divided(127.0f, top);
        inverses[ITEM / 8] = bits >= 0x7F800000u ? -1.0f : inverse > 3e38f ? 3e38f : inverse; /* of zeros and what is as good as zero */
        scale[row * (padded / GROUP_INPUTS) + quad / 8] = divided(top, 127.0f) * by;
    }
    BARRIER();
    if (k < padded) {
        const float inverse = inverses[ITEM / 8];
        uint word = 0;
        if (inverse >= 0)
            word = ((uint)(int)rint(v0 * inverse) & 255u) | ((uint)(int)rint(v1 * inverse) & 255u) << 8 |
                   ((uint)(int)rint(v2 * inverse) & 255u) << 16 | ((uint)(int)rint(v3 * inverse) & 255u) << 24;
        q[row * (padded / 4) + quad] = word;
    }
}

/* whole[(g*TILE + r)*4 + j] = exact sums of both groups of a block of four outputs, w at their first words. */
#define BLOCK_SUMS(name, nibbles, convert)                                                                              \
    DEVICE void name(const int rows, GLOBAL const words4 *w, GLOBAL const uint *q, int row_words, int last, int *whole) \
    {                                                                                                                   \
        for (int i = 0; i < 8 * TILE; i++)                                                                              \
            whole[i] = 0;                                                                                               \
        for (int quad = 0; quad < 8; quad++) {                                                                          \
            const words4 first = w[quad * (LANES / 4)], second = nibbles ? first : w[(8 + quad) * (LANES / 4)];         \
            for (int r = 0; r < rows; r++) {                                                                            \
                GLOBAL const uint *qr = q + (long)(r < last ? r : last) * row_words + quad;                             \
                for (int j = 0; j < 4; j++) {                                                                           \
                    const uint low = nibbles ? convert(first.v[j] & 0x0F0F0F0Fu) : first.v[j],                          \
                               high = nibbles ? convert(first.v[j] >> 4 & 0x0F0F0F0Fu) : second.v[j];                   \
                    whole[r * 4 + j] = dot4(low, qr[0], whole[r * 4 + j]);                                              \
                    whole[(TILE + r) * 4 + j] = dot4(high, qr[8], whole[(TILE + r) * 4 + j]);                           \
                }                                                                                                       \
            }                                                                                                           \
        }                                                                                                               \
    }

#define AS_IT_IS(word) (word)
BLOCK_SUMS(block_int8, 0, AS_IT_IS)
BLOCK_SUMS(block_int4, 1, int4_bytes)
BLOCK_SUMS(block_fp4, 1, fp4_bytes)

/* x: quantised rows, x_scale their scales. A slice of the group's items has a block; 16 blocks' groups are joined in order. */
#define FEW_QUANTISED(name, sums, bytes)                                                                                                 \
    KERNEL(name, 64)(FEW_PARAMETERS)                                                                                                     \
    {                                                                                                                                    \
        SHARED(float, parts, TILE * 2 * 256);                                                                                            \
        SHARED(float, totals, 2 * TILE * LANES);                                                                                         \
        FEW_PART(LANES)                                                                                                                  \
        const int lane = ITEM % 4 * 4, slice = ITEM / 4, blocks = (in + BLOCK_INPUTS - 1) / BLOCK_INPUTS;                                \
        const int words = blocks * (BLOCK_INPUTS / 4), groups = blocks * 2;                                                              \
        for (int m = 0; m < M; m += TILE) {                                                                                              \
            const int rows = M - m < TILE ? M - m : TILE;                                                                                \
            for (int p = 0; p < 1 + pair; p++) {                                                                                         \
                GLOBAL const char *W = part + p == 0 ? w0 : part + p == 1 ? w1 : w2;                                                     \
                for (int first = 0; first < blocks; first += 16) {                                                                       \
                    const int b = first + slice;                                                                                         \
                    if (b < blocks) {                                                                                                    \
                        GLOBAL const char *block = W + (tile * blocks + b) * bytes;                                                      \
                        GLOBAL const words4 *at = (GLOBAL const words4 *)block + lane / 4;                                               \
                        GLOBAL const ushort *stored = (GLOBAL const ushort *)(block + bytes - 64) + lane;                                \
                        GLOBAL const uint *q = (GLOBAL const uint *)x + (long)m * words + b * (BLOCK_INPUTS / 4);                        \
                        int whole[8 * TILE];                                                                                             \
                        if (rows == 1)                                                                                                   \
                            sums(1, at, q, words, 0, whole);                                                                             \
                        else if (rows == 2)                                                                                              \
                            sums(2, at, q, words, 1, whole);                                                                             \
                        else                                                                                                             \
                            sums(4, at, q, words, rows - 1, whole);                                                                      \
                        for (int i = 0; i < 8; i++) {                                                                                    \
                            const int g = i / 4, j = i % 4;                                                                              \
                            const float scale = f16_f32(stored[g * LANES + j]);                                                          \
                            for (int r = 0; r < rows; r++)                                                                               \
                                parts[((r * 16 + slice) * 2 + g) * LANES + lane + j] =                                                   \
                                    (float)whole[(g * TILE + r) * 4 + j] * (scale * x_scale[(long)(m + r) * groups + b * 2 + g]);        \
                        }                                                                                                                \
                    }                                                                                                                    \
                    BARRIER();                                                                                                           \
                    join_parts(parts, totals + p * TILE * LANES, LANES, 32, rows, groups - first * 2 < 32 ? groups - first * 2 : 32,     \
                               first == 0);                                                                                              \
                    BARRIER();                                                                                                           \
                }                                                                                                                        \
            }                                                                                                                            \
            for (int i = ITEM; i < rows * LANES; i += 64)                                                                                \
                few_store(y, bias, (int)(tile * LANES) + i % LANES, out, m + i / LANES, totals[i], totals[TILE * LANES + i], pair, add); \
        }                                                                                                                                \
    }

FEW_QUANTISED(few_int8, block_int8, BYTES_INT8)
FEW_QUANTISED(few_int4, block_int4, BYTES_NIBBLES)
FEW_QUANTISED(few_fp4, block_fp4, BYTES_NIBBLES)

/* --- many rows, and convolutions --- */

#define CHUNK 32 /* inputs in local memory at a time */
#define PAD 4

#define MANY_PARAMETERS                                                                                                               \
    GLOBAL float *y, GLOBAL const float *x, GLOBAL const char *w, GLOBAL const float *bias, GLOBAL const float *residual,             \
        GLOBAL const float *snake_a, GLOBAL const float *snake_b, const long ldy, const long ldx, const long tap_stride, const int M, \
        const int out, const int in, const int taps, const int type, const int act, const float slope, const int multiply

/* b[k][columns+PAD] = weights k0+k of outputs o0 .. ; zeros beyond the last input, repeated outputs beyond the last. */
#define EACH_WEIGHT(at, expression)                                    \
    for (int e = ITEM; e < columns * CHUNK; e += items) {              \
        at;                                                            \
        const long kf = k0 + k;                                        \
        const long o = o0 + c < out ? o0 + c : out - 1;                \
        b[k * (columns + PAD) + c] = kf < depth ? (expression) : 0.0f; \
    }
#define BY_INPUT const int k = e % CHUNK, c = e / CHUNK
#define BY_OUTPUT const int c = e % columns, k = e / columns
#define BY_PANEL const int c = e % LANES + e / (LANES * CHUNK) * LANES, k = e / LANES % CHUNK
#define BY_PAIR const int c = e / 2 % LANES + e / (LANES * CHUNK) * LANES, k = e % 2 + e / (2 * LANES) % (CHUNK / 2) * 2
/* The place of input kf in a panel, where taps of an odd number of inputs are padded. */
#define PADDED (kf + (in % 2 ? kf / in : 0))
/* The same where taps are padded to four inputs. */
#define IN_QUADS (kf + kf / in * (E4M3_INPUTS(in) - in))
#define IN_PANEL(place) (o / LANES * panel + (place)) * LANES + o % LANES

DEVICE void load_weights(LOCAL float *b, const int columns, const int items, GLOBAL const char *w, int type, long o0, int out, int k0,
                         int in, int taps)
{
    const int depth = in * taps;
    const long panel = (long)(type == PANEL_F32 ? in : (in + 1) / 2 * 2) * taps;
    switch (type) {
    case PANEL_F32:
        EACH_WEIGHT(BY_PANEL, F32(IN_PANEL(kf)))
        break;
    case PANEL_BF16:
        EACH_WEIGHT(BY_PAIR, BF16(((o / LANES * panel + PADDED) / 2 * LANES + o % LANES) * 2 + PADDED % 2))
        break;
    case PANEL_F16:
        EACH_WEIGHT(BY_PANEL, F16(IN_PANEL(PADDED)))
        break;
    case PANEL_FP8:
        EACH_WEIGHT(BY_PAIR,
                    FP8(o / LANES * E4M3_PANEL_BYTES((long)E4M3_INPUTS(in) * taps) + (IN_QUADS / 2 * LANES + o % LANES) * 2 + IN_QUADS % 2))
        break;
    case ROWS_F32:
        EACH_WEIGHT(BY_INPUT, F32(o * depth + kf))
        break;
    case ROWS_BF16:
        EACH_WEIGHT(BY_INPUT, BF16(o * depth + kf))
        break;
    case ROWS_F16:
        EACH_WEIGHT(BY_INPUT, F16(o * depth + kf))
        break;
    case COLUMNS_F32:
        EACH_WEIGHT(BY_OUTPUT, F32(kf * out + o))
        break;
    case COLUMNS_BF16:
        EACH_WEIGHT(BY_OUTPUT, BF16(kf * out + o))
        break;
    default:
        EACH_WEIGHT(BY_OUTPUT, F16(kf * out + o))
        break;
    }
}

DEVICE void load_inputs(LOCAL float *a, const int rows, const int items, GLOBAL const float *x, long ldx, long tap_stride, long m0, int M,
                        int k0, int in, int taps)
{
    const int k = ITEM % CHUNK, kf = k0 + k;
    GLOBAL const float *at = x + kf / in * tap_stride + kf % in;
    for (int r = ITEM / CHUNK; r < rows; r += items / CHUNK) {
        const long m = m0 + r < M ? m0 + r : M - 1;
        a[k * (rows + PAD) + r] = kf < in * taps ? at[m * ldx] : 0.0f;
    }
}

/* sum[i*4 + j] += a[k*lda + i] * b[k*ldb + j] for k < n, a multiple of 8, in order; as scalars, as above. Eight steps of a loop are written
 * out: PoCL, which turns loops that all items make inside out, keeps the sums in memory from one step to the next. */
#define PRODUCTS_STEP(of, term)                                                                          \
    {                                                                                                    \
        const of a0 = a[0], a1 = a[1], a2 = a[2], a3 = a[3], b0 = b[0], b1 = b[1], b2 = b[2], b3 = b[3]; \
        s00 = term(a0, b0, s00);                                                                         \
        s01 = term(a0, b1, s01);                                                                         \
        s02 = term(a0, b2, s02);                                                                         \
        s03 = term(a0, b3, s03);                                                                         \
        s10 = term(a1, b0, s10);                                                                         \
        s11 = term(a1, b1, s11);                                                                         \
        s12 = term(a1, b2, s12);                                                                         \
        s13 = term(a1, b3, s13);                                                                         \
        s20 = term(a2, b0, s20);                                                                         \
        s21 = term(a2, b1, s21);                                                                         \
        s22 = term(a2, b2, s22);                                                                         \
        s23 = term(a2, b3, s23);                                                                         \
        s30 = term(a3, b0, s30);                                                                         \
        s31 = term(a3, b1, s31);                                                                         \
        s32 = term(a3, b2, s32);                                                                         \
        s33 = term(a3, b3, s33);                                                                         \
        a += lda;                                                                                        \
        b += ldb;                                                                                        \
    }
#define ADD_PRODUCTS(name, type, of, term)                                                                                          \
    DEVICE void name(type *sum, LOCAL const of *a, const int lda, LOCAL const of *b, const int ldb, const int n)                    \
    {                                                                                                                               \
        type s00 = sum[0], s01 = sum[1], s02 = sum[2], s03 = sum[3];                                                                \
        type s10 = sum[4], s11 = sum[5], s12 = sum[6], s13 = sum[7];                                                                \
        type s20 = sum[8], s21 = sum[9], s22 = sum[10], s23 = sum[11];                                                              \
        type s30 = sum[12], s31 = sum[13], s32 = sum[14], s33 = sum[15];                                                            \
        for (int k = 0; k < n; k += 8) {                                                                                            \
            PRODUCTS_STEP(of, term)                                                                                                 \
            PRODUCTS_STEP(of, term)                                                                                                 \
            PRODUCTS_STEP(of, term) PRODUCTS_STEP(of, term) PRODUCTS_STEP(of, term) PRODUCTS_STEP(of, term) PRODUCTS_STEP(of, term) \
                PRODUCTS_STEP(of, term)                                                                                             \
        }                                                                                                                           \
        sum[0] = s00;                                                                                                               \
        sum[1] = s01;                                                                                                               \
        sum[2] = s02;                                                                                                               \
        sum[3] = s03;                                                                                                               \
        sum[4] = s10;                                                                                                               \
        sum[5] = s11;                                                                                                               \
        sum[6] = s12;                                                                                                               \
        sum[7] = s13;                                                                                                               \
        sum[8] = s20;                                                                                                               \
        sum[9] = s21;                                                                                                               \
        sum[10] = s22;                                                                                                              \
        sum[11] = s23;                                                                                                              \
        sum[12] = s30;                                                                                                              \
        sum[13] = s31;                                                                                                              \
        sum[14] = s32;                                                                                                              \
        sum[15] = s33;                                                                                                              \
    }
ADD_PRODUCTS(add_products, float, float, MADD)
ADD_PRODUCTS(add_dots, int, uint, dot4)

/* 4 x 4 outputs of an item, from row r and column c of the tile on. */
DEVICE void store_tile(const float *sum, long m0, long o0, GLOBAL float *y, GLOBAL const float *bias, GLOBAL const float *residual,
                       GLOBAL const float *snake_a, GLOBAL const float *snake_b, long ldy, int M, int out, int act, float slope,
                       int multiply)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            if (m0 + i < M && o0 + j < out) {
                const long at = (m0 + i) * ldy + o0 + j;
                float z = finished(sum[i * 4 + j], act, slope, snake_a, snake_b, bias, (int)(o0 + j));
                z = residual ? z + residual[at] : z;
                y[at] = multiply ? z * y[at] : z;
            }
}

/* Sums over values of e4m3 become those over weights: outputs o0 .. o0+3. */
DEVICE void scale_outputs(float *sum, GLOBAL const char *w, long o0, int out, long inputs)
{
    for (int i = 0; i < 16; i++) {
        const long o = o0 + i % 4 < out ? o0 + i % 4 : out - 1;
        sum[i] *= E4M3_SCALE(w, o / LANES, inputs, o % LANES);
    }
}

/* A tile of rows x columns by groups of rows*columns/16 items, 4 x 4 outputs each. Groups: (tiles of rows, tiles of columns). */
#define MANY(name, rows, columns)                                                                                                     \
    KERNEL(name, rows *columns / 16)(MANY_PARAMETERS)                                                                                 \
    {                                                                                                                                 \
        SHARED(float, a, CHUNK *(rows + PAD));                                                                                        \
        SHARED(float, b, CHUNK *(columns + PAD));                                                                                     \
        const long m0 = GROUP(0) * rows, o0 = GROUP(1) * columns;                                                                     \
        const int r = ITEM / (columns / 4) * 4, c = ITEM % (columns / 4) * 4, depth = in * taps, items = rows * columns / 16;         \
        float sum[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, all[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}; \
        for (int k0 = 0; k0 < depth; k0 += CHUNK) {                                                                                   \
            load_inputs(a, rows, items, x, ldx, tap_stride, m0, M, k0, in, taps);                                                     \
            load_weights(b, columns, items, w, type, o0, out, k0, in, taps);                                                          \
            BARRIER();                                                                                                                \
            add_products(sum, a + r, rows + PAD, b + c, columns + PAD, CHUNK);                                                        \
            BARRIER();                                                                                                                \
            if ((k0 + CHUNK) % DEPTH == 0 || k0 + CHUNK >= depth)                                                                     \
                for (int i = 0; i < 16; i++) {                                                                                        \
                    all[i] += sum[i];                                                                                                 \
                    sum[i] = 0;                                                                                                       \
                }                                                                                                                     \
        }                                                                                                                             \
        if (type == PANEL_FP8)                                                                                                        \
            scale_outputs(all, w, o0 + c, out, (long)E4M3_INPUTS(in) * taps);                                                         \
        store_tile(all, m0 + r, o0 + c, y, bias, residual, snake_a, snake_b, ldy, M, out, act, slope, multiply);                      \
    }

MANY(many_64x64, 64, 64)
MANY(many_64x16, 64, 16)
MANY(many_16x64, 16, 64)

/* The same for quantised weights, a block of 64 inputs at a time. x: quantised rows (hm_quantise), in: inputs of a tap, padded; row m's tap
 * t is quantised row m*row_step + t*tap_step. Zeros meet inputs that tap_stride and ldx would place: those parameters are the steps here. */
DEVICE void load_quads(LOCAL uint *a, LOCAL float *a_scale, const int rows, const int items, GLOBAL const uint *q,
                       GLOBAL const float *scale, long row_step, long at, long m0, int M, int in, int block)
{
    for (int e = ITEM; e < rows * (BLOCK_INPUTS / 4); e += items) {
        const int quad = e % 16, r = e / 16;
        const long m = m0 + r < M ? m0 + r : M - 1;
        a[quad * (rows + PAD) + r] = q[(m * row_step + at) * (in / 4) + block * 16 + quad];
    }
    for (int e = ITEM; e < 2 * rows; e += items) {
        const int g = e % 2, r = e / 2;
        const long m = m0 + r < M ? m0 + r : M - 1;
        a_scale[g * rows + r] = scale[(m * row_step + at) * (in / GROUP_INPUTS) + block * 2 + g];
    }
}

DEVICE void load_blocks(LOCAL uint *b, LOCAL float *b_scale, const int columns, const int items, GLOBAL const char *w, int type,
                        long panel0, long panels, long blocks, long block)
{
    const int bytes = type == PANEL_INT8 ? BYTES_INT8 : BYTES_NIBBLES;
    for (int e = ITEM; e < columns * 8; e += items) {
        const int lane = e % LANES, quad = e / LANES % 8, p = e / (LANES * 8), c = p * LANES + lane;
        const long panel = panel0 + p < panels ? panel0 + p : panels - 1;
        GLOBAL const uint *words = (GLOBAL const uint *)(w + (panel * blocks + block) * bytes);
        uint low = words[quad * LANES + lane], high;
        if (type == PANEL_INT8) {
            high = words[(8 + quad) * LANES + lane];
        } else {
            high = low >> 4 & 0x0F0F0F0Fu;
            low &= 0x0F0F0F0Fu;
            low = type == PANEL_INT4 ? int4_bytes(low) : fp4_bytes(low);
            high = type == PANEL_INT4 ? int4_bytes(high) : fp4_bytes(high);
        }
        b[quad * (columns + PAD) + c] = low;
        b[(8 + quad) * (columns + PAD) + c] = high;
    }
    for (int e = ITEM; e < columns * 2; e += items) {
        const int lane = e % LANES, g = e / LANES % 2, p = e / (LANES * 2);
        const long panel = panel0 + p < panels ? panel0 + p : panels - 1;
        GLOBAL const ushort *stored = (GLOBAL const ushort *)(w + (panel * blocks + block) * bytes + bytes - 64);
        b_scale[g * columns + p * LANES + lane] = f16_f32(stored[g * LANES + lane]);
    }
}

/* x_scale: of the quantised rows; ldx: row_step, tap_stride: tap_step. */
#define MANY_QUANTISED(name, rows, columns)                                                                                            \
    KERNEL(name, rows *columns / 16)(MANY_PARAMETERS, GLOBAL const float *x_scale)                                                     \
    {                                                                                                                                  \
        SHARED(uint, a, 16 * (rows + PAD));                                                                                            \
        SHARED(uint, b, 16 * (columns + PAD));                                                                                         \
        SHARED(float, a_scale, 2 * rows);                                                                                              \
        SHARED(float, b_scale, 2 * columns);                                                                                           \
        const long m0 = GROUP(0) * rows, o0 = GROUP(1) * columns;                                                                      \
        const int r = ITEM / (columns / 4) * 4, c = ITEM % (columns / 4) * 4, items = rows * columns / 16, blocks = in / BLOCK_INPUTS; \
        float all[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};                                                              \
        for (int block = 0; block < blocks * taps; block++) {                                                                          \
            load_quads(a, a_scale, rows, items, (GLOBAL const uint *)x, x_scale, ldx, block / blocks * tap_stride, m0, M, in,          \
                       block % blocks);                                                                                                \
            load_blocks(b, b_scale, columns, items, w, type, o0 / LANES, (out + LANES - 1) / LANES, (long)blocks * taps, block);       \
            BARRIER();                                                                                                                 \
            for (int g = 0; g < 2; g++) {                                                                                              \
                int whole[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};                                                      \
                add_dots(whole, a + g * 8 * (rows + PAD) + r, rows + PAD, b + g * 8 * (columns + PAD) + c, columns + PAD, 8);          \
                for (int i = 0; i < 4; i++)                                                                                            \
                    for (int j = 0; j < 4; j++)                                                                                        \
                        all[i * 4 + j] += (float)whole[i * 4 + j] * (b_scale[g * columns + c + j] * a_scale[g * rows + r + i]);        \
            }                                                                                                                          \
            BARRIER();                                                                                                                 \
        }                                                                                                                              \
        store_tile(all, m0 + r, o0 + c, y, bias, residual, snake_a, snake_b, ldy, M, out, act, slope, multiply);                       \
    }

MANY_QUANTISED(many_quantised_64x64, 64, 64)
MANY_QUANTISED(many_quantised_64x16, 64, 16)
MANY_QUANTISED(many_quantised_16x64, 16, 64)

/* Depthwise convolution: taps in order on top of the bias, products rounded. Groups of 64 values of y. */
KERNEL(depthwise, 64)
(GLOBAL float *y, GLOBAL const float *x, GLOBAL const float *w, GLOBAL const float *bias, const long n, const int C, const int taps,
 const long step)
{
    const long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        const int c = (int)(i % C);
        float z = bias ? bias[c] : 0.0f;
        for (int j = 0; j < taps; j++)
            z = z + w[(long)c * taps + j] * x[i + j * step * C];
        y[i] = z;
    }
}

/* --- convolution weights into rows --- */

DEVICE float stored_value(GLOBAL const char *v, int type, long i)
{
    if (type == ROWS_F32)
        return ((GLOBAL const float *)v)[i];
    const uint h = ((GLOBAL const ushort *)v)[i];
    return type == ROWS_BF16 ? bf16_f32(h) : f16_f32(h);
}

/* high + low = the sum of both pairs, as if in a number twice as wide. */
DEVICE void add_wide(float *high, float *low, float more, float more_low)
{
    const float s = *high + more, back = s - *high, lost = (*high - (s - back)) + (more - back), rest = *low + more_low + lost;
    *high = s + rest;
    *low = rest - (*high - s);
}

/* scale[a] = g[a] / ||v[a]||, a group each; squares are summed twice as wide as float32. n: values of v[a]. */
KERNEL(fold_norm, 64)(GLOBAL float *scale, GLOBAL const char *v, GLOBAL const float *g, const int type, const int n)
{
    SHARED(float, highs, 64);
    SHARED(float, lows, 64);
    const long a = GROUP(0);
    float high = 0, low = 0;
    for (int i = ITEM; i < n; i += 64) {
        const float e = stored_value(v, type, a * n + i), square = e * e;
        add_wide(&high, &low, square, FMA(e, e, -square));
    }
    highs[ITEM] = high;
    lows[ITEM] = low;
    BARRIER();
    if (ITEM == 0) {
        for (int i = 1; i < 64; i++)
            add_wide(&high, &low, highs[i], lows[i]);
        const float root = sqrt(high), norm = root + (FMA(-root, root, high) + low) / (2.0f * root); /* rounded once */
        scale[a] = divided(g[a], high > 0 ? norm : high);
    }
}

/* dst[i] for all i < n, by hm_fold_args (engine/ops.h); scale NULL: all ones. inputs: n of the layout of transposed and repeated ones. */
KERNEL(fold, 64)
(GLOBAL float *dst, GLOBAL const char *v, GLOBAL const float *scale, const long n, const int type, const int d0, const int d1,
 const int taps, const int stride, const int repeat, const int first, const int columns, const int inputs)
{
    const long i = GROUP(0) * 64 + ITEM;
    if (i < n) {
        if (stride) {
            const int a = (int)(i % d0), j = (int)(i / d0 % inputs), b = (int)(i / d0 / inputs % d1), r = (int)(i / d0 / inputs / d1);
            const long at = ((long)a * d1 + b) * taps + r + (inputs - 1 - j) * stride;
            dst[i] = stored_value(v, type, at) * (scale ? scale[a] : 1.0f);
        } else if (repeat > 1) {
            const int b = (int)(i % columns), place = (int)(i / columns % inputs), a = (int)(i / columns / inputs % d0),
                      p = (int)(i / columns / inputs / d0);
            const int from = (place - (inputs - 1)) * repeat - p + taps - 1; /* the first tap that meets this place */
            float sum = 0;
            for (int t = from > 0 ? from : 0; t < from + repeat && t < taps; t++)
                sum += stored_value(v, type, ((long)a * d1 + first + b) * taps + t) * (scale ? scale[a] : 1.0f);
            dst[i] = sum;
        } else {
            const int b = (int)(i % columns), t = (int)(i / columns % taps);
            const long a = i / columns / taps;
            dst[i] = stored_value(v, type, (a * d1 + first + b) * taps + t) * (scale ? scale[a] : 1.0f);
        }
    }
}
