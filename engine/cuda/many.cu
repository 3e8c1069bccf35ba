/* Linear layers and convolutions over many rows on tensor cores: y = act(W x + b), plus what is there, for inputs of float32.
 *
 * Float32 accuracy: every input and weight is a sum of bfloat16 (3 of a float32, 2 of a float16, one of an e4m3, itself), exact but for numbers below 2^-110,
 * and products of such parts are exact. Those whose places add up to 2 or less are summed, which leaves out at most 2^-25 of |w x| (weights of
 * float32 alone leave out any). Order of a sum: the parts' products of MANY_DEPTH inputs on tensor cores from zero, smallest parts first in
 * every 16 inputs; those sums in order within a segment of MANY_SEGMENT of them; segments in order. None of it depends on how many rows there
 * are, on the layout of weights, or on whether segments are summed by one block or by several (many_join). Sums over values of e4m3 are
 * multiplied by their output's scale, a power of two, before they leave the block.
 *
 * Bound, with what mma.inc cuts off: 8 products at a time are added to what there is, which cuts 9 terms by at most 2^-24 of the greatest and
 * the sum by 2^-23 of itself. In MANY_DEPTH inputs at most 14 such steps meet a sum of full size (8 for weights of bf16), and sums leave the
 * tensor cores rounded to nearest: |error| <= (14 * 11 + 17 + n/512) * 2^-24 * sum |w x| for n inputs. Found: 6 * 2^-24 for 1300 inputs that
 * are all positive, 3 * 2^-24 for those of both signs; tests hold 2e-6. */
#include "engine/cuda/kernel.inc"
#include "engine/cuda/e4m3.inc"
#include "engine/cuda/mma.inc"
#include "engine/cuda/split.inc"

#include "engine/cuda/many_store.inc"

/* --- from memory to shared memory --- */

/* Inputs k0 .. k0+31 of rows m0 .. ; zeros beyond the last input and row. */
template <int rows, int threads>
DEVICE void load_x(float *a, const float *x, long ldx, long tap_stride, int quads, long m0, int M, int k0, int in, int depth)
{
    const int k = ITEM % 8 * 4, kf = k0 + k, valid = at_most(depth - kf, 4) * 4;
    const float *at = x + kf / in * tap_stride + kf % in;
#pragma unroll
    for (int i = 0; i < rows * 8 / threads; i++) {
        const int r = ITEM / 8 + i * (threads / 8);
        const long m = m0 + r;
        float *to = a + r * MANY_X_STRIDE + k;
        if (quads) {
            const int there = m < M ? valid : 0;
            copy_async<16>(to, there ? at + m * ldx : x, there);
        } else
            for (int j = 0; j < 4; j++)
                to[j] = m < M && kf + j < depth ? x[m * ldx + (kf + j) / in * tap_stride + (kf + j) % in] : 0.0f;
    }
}

/* 16 bytes, of which those beyond `valid` become zeros. */
DEVICE void copy_unit(char *to, const char *from, int valid, int align)
{
    if (align >= 16)
        copy_async<16>(to, from, valid);
    else if (align >= 8)
        for (int i = 0; i < 16; i += 8)
            copy_async<8>(to + i, valid > i ? from + i : from, at_most(valid - i, 8));
    else if (align >= 4)
        for (int i = 0; i < 16; i += 4)
            copy_async<4>(to + i, valid > i ? from + i : from, at_most(valid - i, 4));
    else
        for (int i = 0; i < 16; i += 2)
            *(ushort *)(to + i) = valid > i ? *(const ushort *)(from + i) : (ushort)0;
}

/* Weights [output][input]. */
template <int size, int threads> DEVICE void load_rows(char *b, const char *w, int align, long o0, int out, int k0, int depth)
{
    const int unit = 16 / size, line = MANY_DEPTH / unit;
    for (int e = ITEM; e < MANY_COLUMNS * line; e += threads) {
        const int o = e / line, k = e % line * unit, valid = o0 + o < out ? at_most(depth - k0 - k, unit) : 0;
        const char *from = valid ? w + ((o0 + o) * depth + k0 + k) * size : w;
        copy_unit(b + (o * 40 + k) * size, from, valid * size, align);
    }
}

/* Weights [input][output], or panels [input][16] whose taps of an odd number of inputs may be padded. */
template <int size, int threads>
DEVICE void load_columns(char *b, const char *w, int align, long panel, long o0, int out, int k0, int in, int depth)
{
    const int unit = 16 / size, line = MANY_COLUMNS / unit, stride = size == 4 ? 68 : 72;
    for (int e = ITEM; e < MANY_DEPTH * line; e += threads) {
        const int k = e / line, c = e % line * unit, kf = k0 + k;
        const long o = o0 + c, place = size == 2 && in % 2 && panel ? kf + kf / in : kf;
        const int valid = kf >= depth ? 0 : panel ? (o < out ? unit : 0) : (int)(out - o < unit ? (out > o ? out - o : 0) : unit);
        const long at = panel ? (o / 16 * panel + place) * 16 + o % 16 : kf * (long)out + o;
        copy_unit(b + (k * stride + c) * size, valid ? w + at * size : w, valid * size, align);
    }
}

/* Panels of bf16 whose taps are padded, value by value, as columns. */
template <int threads> DEVICE void load_padded(char *b, const char *w, long panel, long o0, int out, int k0, int in, int depth)
{
    for (int e = ITEM; e < MANY_DEPTH * MANY_COLUMNS; e += threads) {
        const int k = e / MANY_COLUMNS, c = e % MANY_COLUMNS, kf = k0 + k;
        const long o = o0 + c, place = kf + kf / in, at = ((o / 16 * panel + place) / 2 * 16 + o % 16) * 2 + place % 2;
        ((ushort *)b)[k * 72 + c] = kf < depth && o < out ? ((const ushort *)w)[at] : (ushort)0;
    }
}

template <int threads> DEVICE void load_pairs(char *b, const char *w, long panel, long o0, int out, int k0)
{
    for (int e = ITEM; e < 16 * 16; e += threads) {
        const int pair = e / 16, c = e % 16 * 4;
        const long o = o0 + c;
        const int valid = o < out && k0 + 2 * pair < panel ? 16 : 0;
        copy_async<16>(b + (pair * 72 + c) * 4, valid ? w + ((o / 16 * (panel / 2) + k0 / 2 + pair) * 16 + o % 16) * 4 : w, valid);
    }
}

/* Panels of e4m3, pairs of inputs; byte by byte where taps are padded, as pairs then do not begin where stages do. */
template <int threads> DEVICE void load_fp8(char *b, const char *w, long panel, long o0, int out, int k0, int in, int depth)
{
    if (in % 4 == 0 || in == depth) {
        for (int e = ITEM; e < 16 * 8; e += threads) {
            const int pair = e / 8, c = e % 8 * 8;
            const long o = o0 + c, at = o / 16 * E4M3_PANEL_BYTES(panel) + (k0 / 2 + pair) * 32 + o % 16 * 2;
            const int valid = o < out && k0 + 2 * pair < panel ? 16 : 0;
            copy_async<16>(b + (pair * 72 + c) * 2, valid ? w + at : w, valid);
        }
        return;
    }
    for (int e = ITEM; e < MANY_DEPTH * MANY_COLUMNS; e += threads) {
        const int k = e / MANY_COLUMNS, c = e % MANY_COLUMNS, kf = k0 + k;
        const long o = o0 + c, place = kf + kf / in * (E4M3_INPUTS(in) - in);
        const long at = o / 16 * E4M3_PANEL_BYTES(panel) + (place / 2 * 16 + o % 16) * 2 + place % 2;
        b[(k / 2 * 72 + c) * 2 + k % 2] = kf < depth && o < out ? w[at] : (char)0;
    }
}

template <int kind, int threads>
DEVICE void load_w(char *b, const char *w, int align, long panel, long o0, int out, int k0, int in, int depth)
{
    if (kind == MANY_ROWS_F32)
        load_rows<4, threads>(b, w, align, o0, out, k0, depth);
    else if (kind == MANY_ROWS_BF16 || kind == MANY_ROWS_F16)
        load_rows<2, threads>(b, w, align, o0, out, k0, depth);
    else if (kind == MANY_COLUMNS_F32)
        load_columns<4, threads>(b, w, align, panel, o0, out, k0, in, depth);
    else if (kind == MANY_PAIRS)
        load_pairs<threads>(b, w, panel, o0, out, k0);
    else if (kind == MANY_FP8)
        load_fp8<threads>(b, w, panel, o0, out, k0, in, depth);
    else if (kind == MANY_COLUMNS_BF16 && panel)
        load_padded<threads>(b, w, panel, o0, out, k0, in, depth);
    else
        load_columns<2, threads>(b, w, align, panel, o0, out, k0, in, depth);
}

/* --- from shared memory to registers --- */

#define PARTS(kind) \
    ((kind) == MANY_ROWS_F32 || (kind) == MANY_COLUMNS_F32 ? 3 : (kind) == MANY_ROWS_F16 || (kind) == MANY_COLUMNS_F16 ? 2 : 1)

/* to[part][q]: rows r + g and r + g + 8, inputs k + 2t and k + 8 + 2t of each. */
template <int count> DEVICE void take_x(uint (*to)[4], const float *a, int r, int k)
{
    const int g = ITEM % 32 / 4, t = ITEM % 4;
#pragma unroll
    for (int q = 0; q < 4; q++) {
        const float2 v = *(const float2 *)(a + (r + g + q % 2 * 8) * MANY_X_STRIDE + k + q / 2 * 8 + 2 * t);
        uint parts[count];
        split<count>(parts, v.x, v.y);
        for (int p = 0; p < count; p++)
            to[p][q] = parts[p];
    }
}

/* to[part][h]: output n of inputs k + 2t + 8h and the next. */
template <int kind> DEVICE void take_w(uint (*to)[2], const char *b, int n, int k)
{
    const int t = ITEM % 4, count = PARTS(kind);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int at = k + h * 8 + 2 * t;
        uint parts[3];
        if (kind == MANY_ROWS_F32) {
            const float2 v = *(const float2 *)((const float *)b + n * 40 + at);
            split<3>(parts, v.x, v.y);
        } else if (kind == MANY_COLUMNS_F32) {
            const float *v = (const float *)b + at * 68 + n;
            split<3>(parts, v[0], v[68]);
        } else if (kind == MANY_PAIRS)
            parts[0] = ((const uint *)b)[at / 2 * 72 + n];
        else if (kind == MANY_FP8) {
            float low, high;
            f16_values(e4m3_halves(((const ushort *)b)[at / 2 * 72 + n]), &low, &high);
            parts[0] = as_u32(low) >> 16 | (as_u32(high) & 0xFFFF0000u);
        } else {
            const ushort *v = (const ushort *)b + at * 72 + n;
            const bool rows = kind == MANY_ROWS_BF16 || kind == MANY_ROWS_F16;
            parts[0] = rows ? ((const uint *)b)[n * 20 + at / 2] : v[0] | (uint)v[72] << 16;
            if (count == 2) {
                float low, high;
                f16_values(parts[0], &low, &high);
                split<2>(parts, low, high);
            }
        }
        for (int p = 0; p < count; p++)
            to[p][h] = parts[p];
    }
}

/* sum[i][j] = products of a stage: 2 tiles of 16 rows from r on, `tiles` of 8 outputs from c on. */
template <int kind, int tiles> DEVICE void multiply_stage(float (*sum)[tiles][4], const float *a, const char *b, int r, int c)
{
    const int count = PARTS(kind), g = ITEM % 32 / 4;
#pragma unroll
    for (int i = 0; i < 8 * tiles; i++)
        sum[0][i / 4][i % 4] = 0;
#pragma unroll
    for (int k = 0; k < MANY_DEPTH; k += 16) {
        uint x[2][3][4];
        take_x<3>(x[0], a, r, k);
        take_x<3>(x[1], a, r + 16, k);
#pragma unroll
        for (int j = 0; j < tiles; j++) {
            uint v[3][2];
            take_w<kind>(v, b, c + j * 8 + g, k);
#pragma unroll
            for (int place = 2; place >= 0; place--)
#pragma unroll
                for (int p = 0; p < count; p++)
                    if (p <= place) {
                        mma_bf16(sum[0][j], x[0][place - p], v[p]);
                        mma_bf16(sum[1][j], x[1][place - p], v[p]);
                    }
        }
    }
}

/* --- a tile --- */

/* e4m3: a warp's sums over values, of outputs from o0 on, become those over weights. */
template <int tiles> DEVICE void scale_outputs(float (*sum)[tiles][4], const char *w, long panel, long o0, int out)
{
#pragma unroll
    for (int i = 0; i < 2 * tiles; i++) {
        const long o = o0 + i / 2 * 8 + ITEM % 4 * 2 + i % 2;
        const float scale = o < out ? E4M3_SCALE(w, o / 16, panel, o % 16) * E4M3_UNIT : 0.0f;
#pragma unroll
        for (int q = i % 2; q < 4; q += 2) {
            sum[0][i / 2][q] *= scale;
            sum[1][i / 2][q] *= scale;
        }
    }
}

template <int kind, int rows, int tiles> DEVICE void multiply_tile(MANY_PARAMETERS, char *space)
{
    const int threads = rows * 8 / tiles, depth = in * taps, stages = (depth + MANY_DEPTH - 1) / MANY_DEPTH;
    const int first = parts ? (int)blockIdx.z * MANY_SEGMENT : 0, last = parts ? at_most(first + MANY_SEGMENT, stages) : stages;
    const int r = ITEM / 32 / (8 / tiles) * 32, c = ITEM / 32 % (8 / tiles) * (8 * tiles);
    const long m0 = (long)blockIdx.x * rows, o0 = (long)blockIdx.y * MANY_COLUMNS;
    float sum[2][tiles][4], segment[8 * tiles] = {}, all[2][tiles][4] = {};
    for (int s = first; s < last + MANY_STAGES - 1; s++) {
        if (s >= first + MANY_STAGES - 1) {
            copies_wait<MANY_STAGES - 2>();
            __syncthreads();
        }
        if (s < last) {
            char *to = space + (s - first) % MANY_STAGES * MANY_STAGE_BYTES(kind, rows);
            load_x<rows, threads>((float *)to, x, ldx, tap_stride, x_quads, m0, M, s * MANY_DEPTH, in, depth);
            load_w<kind, threads>(to + rows * MANY_X_STRIDE * 4, w, w_align, panel, o0, out, s * MANY_DEPTH, in, depth);
        }
        copies_close();
        const int now = s - (MANY_STAGES - 1);
        if (now < first)
            continue;
        const char *from = space + (now - first) % MANY_STAGES * MANY_STAGE_BYTES(kind, rows);
        multiply_stage<kind, tiles>(sum, (const float *)from, from + rows * MANY_X_STRIDE * 4, r, c);
        const bool ends = (now + 1) % MANY_SEGMENT == 0 || now + 1 == last;
#pragma unroll
        for (int i = 0; i < 8 * tiles; i++) {
            segment[i] += sum[0][i / 4][i % 4];
            if (ends) {
                all[0][i / 4][i % 4] += segment[i];
                segment[i] = 0;
            }
        }
    }
    if (kind == MANY_FP8)
        scale_outputs<tiles>(all, w, panel, o0 + c, out);
    store_sums<rows, tiles, threads>(MANY_ARGUMENTS, (float *)space, all, m0, o0, r, c);
}

#define MANY(name, kind, rows, tiles)                            \
    CUDA_KERNEL(name, rows * 8 / tiles)(MANY_PARAMETERS)         \
    {                                                            \
        DYNAMIC_SHARED(char, space);                             \
        multiply_tile<kind, rows, tiles>(MANY_ARGUMENTS, space); \
    }

MANY(many_rows_f32, MANY_ROWS_F32, MANY_WIDE, 4)
MANY(many_rows_bf16, MANY_ROWS_BF16, MANY_WIDE, 4)
MANY(many_rows_f16, MANY_ROWS_F16, MANY_WIDE, 4)
MANY(many_columns_f32, MANY_COLUMNS_F32, MANY_WIDE, 4)
MANY(many_columns_bf16, MANY_COLUMNS_BF16, MANY_WIDE, 4)
MANY(many_columns_f16, MANY_COLUMNS_F16, MANY_WIDE, 4)
MANY(many_pairs, MANY_PAIRS, MANY_WIDE, 4)
MANY(many_fp8, MANY_FP8, MANY_WIDE, 4)
MANY(narrow_rows_f32, MANY_ROWS_F32, MANY_NARROW, 2)
MANY(narrow_rows_bf16, MANY_ROWS_BF16, MANY_NARROW, 2)
MANY(narrow_rows_f16, MANY_ROWS_F16, MANY_NARROW, 2)
MANY(narrow_columns_f32, MANY_COLUMNS_F32, MANY_NARROW, 2)
MANY(narrow_columns_bf16, MANY_COLUMNS_BF16, MANY_NARROW, 2)
MANY(narrow_columns_f16, MANY_COLUMNS_F16, MANY_NARROW, 2)
MANY(narrow_pairs, MANY_PAIRS, MANY_NARROW, 2)
MANY(narrow_fp8, MANY_FP8, MANY_NARROW, 2)

/* Sums of so many segments, in order. Groups of 256 values of y. */
CUDA_KERNEL(many_join, 256)(MANY_PARAMETERS, const int segments)
{
    const long i = (long)blockIdx.x * 256 + ITEM, values = (long)M * out;
    if (i < values) {
        float z = 0;
        for (int s = 0; s < segments; s++)
            z += parts[s * values + i];
        store_sum(MANY_ARGUMENTS, i / out, (int)(i % out), z);
    }
}

/* parts [3][n]: bfloat16 of n inputs, four a thread, whose sums they are; for products by a library. n: a multiple of 4. */
CUDA_KERNEL(many_split, 256)(uint *parts, const float *x, const long n)
{
    const long i = ((long)blockIdx.x * 256 + ITEM) * 4;
    if (i < n) {
        const float4 v = *(const float4 *)(x + i);
        uint first[3], second[3];
        split<3>(first, v.x, v.y);
        split<3>(second, v.z, v.w);
        for (int p = 0; p < 3; p++)
            *(uint2 *)(parts + (p * n + i) / 2) = make_uint2(first[p], second[p]);
    }
}
