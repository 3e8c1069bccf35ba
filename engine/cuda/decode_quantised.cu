/* Products of few rows by quantised weights in panels. Rows are quantised as hm_quantise (engine/gpu/linear.cl) does it, by each block for
 * itself; sums of a group are exact, so a thread's terms are those of engine/cpu and engine/gpu: (float)(sum of the group) * (scale of the
 * weights * scale of the inputs). */
#include "engine/cuda/kernel.inc"

#include "engine/gpu/activate.inc"
#include "engine/gpu/exact.inc"
#include "engine/gpu/quantised.inc"

#include "engine/cuda/decode.inc"

#define THREADS 128
#define WARPS (THREADS / 32)

typedef struct __attribute__((aligned(8))) halves4 {
    ushort v[4];
} halves4;

DEVICE int dot4(uint a, uint b, int sum)
{
    return __dp4a((int)a, (int)b, sum);
}

/* Eight nibbles: low: those in the low halves of bytes; high: the others. */
DEVICE void fp4_both(uint nibbles, uint *low, uint *high)
{
    const uint places = nibbles & 0x77777777u;
    const uint first = __byte_perm(0x03020100u, 0x0C080604u, places), second = __byte_perm(0x03020100u, 0x0C080604u, places >> 16);
    const uint low_magnitudes = __byte_perm(first, second, 0x6420), high_magnitudes = __byte_perm(first, second, 0x7531);
    const uint low_minus = __byte_perm(nibbles << 4, 0, 0xBA98), high_minus = __byte_perm(nibbles, 0, 0xBA98);
    *low = ((0x80808080u + (low_magnitudes & ~low_minus)) - (low_magnitudes & low_minus)) ^ 0x80808080u;
    *high = ((0x80808080u + (high_magnitudes & ~high_minus)) - (high_magnitudes & high_minus)) ^ 0x80808080u;
}

/* What a thread has of a panel at a time, an item: four outputs of GROUPS groups, in DEEP loads 64 bytes apart. BYTES: of a block. */
struct of_int8 {
    enum {
        BYTES = BYTES_INT8,
        GROUPS = 1,
        TWICE = 0
    };
    /* Bytes from the panel's start to the item's values; to its scales. */
    DEVICE long values_at(int item)
    {
        return (long)(item / 2) * BYTES + item % 2 * 512;
    }
    DEVICE long scales_at(int item)
    {
        return (long)(item / 2) * BYTES + 1024 + item % 2 * 32;
    }
    DEVICE void unpack(uint word, uint *low, uint *high)
    {
        *low = word;
        *high = 0;
    }
};

struct of_int4 {
    enum {
        BYTES = BYTES_NIBBLES,
        GROUPS = 2,
        TWICE = 0
    };
    DEVICE long values_at(int item)
    {
        return (long)item * BYTES;
    }
    DEVICE long scales_at(int item)
    {
        return (long)item * BYTES + 512;
    }
    DEVICE void unpack(uint word, uint *low, uint *high)
    {
        *low = int4_bytes(word & 0x0F0F0F0Fu);
        *high = int4_bytes(word >> 4 & 0x0F0F0F0Fu);
    }
};

struct of_fp4 : of_int4 {
    enum {
        TWICE = 1
    };
    DEVICE void unpack(uint word, uint *low, uint *high)
    {
        fp4_both(word, low, high);
    }
};

/* whole[g][r][j] += products of output j's inputs in `word` with those of row r; words: of inputs of a row. */
template <class F, int R> DEVICE void multiply_words(const words4 *w, const uint *x, int words, int (*whole)[R][4])
{
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint part[2];
        F::unpack(w->v[j], &part[0], &part[1]);
#pragma unroll
        for (int g = 0; g < F::GROUPS; g++)
#pragma unroll
            for (int r = 0; r < R; r++)
                whole[g][r][j] = dot4(part[g], x[r * words + g * (GROUP_INPUTS / 4)], whole[g][r][j]);
    }
}

/* Rows of x, as they come or from shared memory, as signed bytes with a scale per group. A warp takes a group, a thread an input of it. */
template <int R> DEVICE void quantise(signed char *to, float *scales, const float *x, int stride, int in, int padded, int rows, int twice)
{
    const int groups = padded / GROUP_INPUTS, lane = ITEM % 32;
    for (int i = ITEM / 32; i < R * groups; i += ITEMS / 32) {
        const int r = i / groups, k = i % groups * GROUP_INPUTS + lane;
        const float v = r < rows && k < in ? x[(long)r * stride + k] : 0.0f;
        const uint bits = __reduce_max_sync(0xFFFFFFFFu, as_u32(v) & 0x7FFFFFFFu); /* NaN is the greatest */
        const float top = as_f32(bits), inverse = divided(127.0f, top);
        const float by = inverse > 3e38f ? 3e38f : inverse; /* of zeros and what is as good as zero */
        to[r * padded + k] = bits >= 0x7F800000u ? 0 : (signed char)(int)rintf(v * by);
        if (lane == 0)
            scales[i] = divided(top, 127.0f) * (twice ? 0.5f : 1.0f);
    }
}

/* Blocks: (tiles of R rows, panels). Shared memory: R rows of padded bytes, their scales to a multiple of 16 bytes, and with a norm R+1 rows
 * of padded floats. */
template <class F, int R> DEVICE void decode(DECODE_PARAMETERS, char *shared, float *parts)
{
    const int lane = ITEM % 32, team = pair ? WARPS / 2 : WARPS, thread = ITEM % (team * 32), outputs = lane % 4 * 4;
    const int padded = (in + BLOCK_INPUTS - 1) / BLOCK_INPUTS * BLOCK_INPUTS, groups = padded / GROUP_INPUTS, items = groups / F::GROUPS;
    const long first_row = GROUP(0) * R;
    const int rows = M - first_row < R ? (int)(M - first_row) : R, step = team * 8;
    const panel_place p = place_of(DECODE_ARGUMENTS);
    const char *w = (ITEM / 32 < team ? p.w : p.second) + (long)p.panel * (padded / BLOCK_INPUTS) * F::BYTES;
    signed char *q = (signed char *)shared;
    float *scales = (float *)(shared + R * padded), *plain = scales + (R * groups + 3) / 4 * 4;
    words4 ahead[DEEP];
    halves4 ahead_scales[F::GROUPS];
    float sums[R][4];
    EARLY_GO();
    int item = thread / 4;
#define FETCH(u, i)                                                       \
    if ((i) < items)                                                      \
        ahead[u] = load_once(w + F::values_at(i) + (u)*64 + outputs * 4); \
    else                                                                  \
        ahead[u] = words4                                                 \
        {                                                                 \
            {                                                             \
                0, 0, 0, 0                                                \
            }                                                             \
        }
#define FETCH_SCALES(i)                 \
    for (int g = 0; g < F::GROUPS; g++) \
    ahead_scales[g] = *(const halves4 *)(w + F::scales_at((i) < items ? (i) : 0) + g * 32 + outputs * 2)
#pragma unroll
    for (int u = 0; u < DEEP; u++) {
        FETCH(u, item);
    }
#pragma unroll
    FETCH_SCALES(item);
    if (norm)
        fetch_norm(plain + R * padded, norm, in);
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < 4; j++)
            sums[r][j] = 0;
    EARLY_WAIT();
    if (norm) {
        fetch_inputs<R>(plain, plain + R * padded, parts, x + first_row * in, in, padded, rows, norm, eps);
        __syncthreads();
        quantise<R>(q, scales, plain, padded, in, padded, rows, F::TWICE);
    } else
        quantise<R>(q, scales, x + first_row * in, in, in, padded, rows, F::TWICE);
    __syncthreads();
    for (; item < items; item += step) {
        const uint *at = (const uint *)q + item * F::GROUPS * (GROUP_INPUTS / 4);
        halves4 now_scales[F::GROUPS];
        int whole[F::GROUPS][R][4];
#pragma unroll
        for (int g = 0; g < F::GROUPS; g++)
#pragma unroll
            for (int r = 0; r < R; r++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    whole[g][r][j] = 0;
#pragma unroll
        for (int g = 0; g < F::GROUPS; g++)
            now_scales[g] = ahead_scales[g];
#pragma unroll
        FETCH_SCALES(item + step);
#pragma unroll
        for (int u = 0; u < DEEP; u++) {
            const words4 now = ahead[u];
            FETCH(u, item + step);
            multiply_words<F, R>(&now, at + u, padded / 4, whole);
        }
#pragma unroll
        for (int g = 0; g < F::GROUPS; g++)
#pragma unroll
            for (int r = 0; r < R; r++) {
                const float by = scales[r * groups + item * F::GROUPS + g];
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sums[r][j] += (float)whole[g][r][j] * (half_f32(now_scales[g].v[j]) * by);
            }
    }
    join_warp<R, 4>(parts, sums);
    __syncthreads();
    finish<R>(&p, parts, team, first_row, rows, pair, add);
}

#define BODY(type, R)                                     \
    {                                                     \
        DYNAMIC_SHARED(char, shared);                     \
        SHARED(float, parts, WARPS *R *PANEL);            \
        decode<type, R>(DECODE_ARGUMENTS, shared, parts); \
    }
#define DECODE(name, type, R) CUDA_KERNEL(name, THREADS)(DECODE_PARAMETERS) BODY(type, R)
/* Of four rows: as many registers as it takes, where the compiler would rather spill one for another block. */
#define ALONE THREADS, 1
#define DECODE_4(name, type) CUDA_KERNEL(name, ALONE)(DECODE_PARAMETERS) BODY(type, 4)

DECODE(decode_int8_1, of_int8, 1)
DECODE(decode_int8_2, of_int8, 2)
DECODE_4(decode_int8_4, of_int8)
DECODE(decode_int4_1, of_int4, 1)
DECODE(decode_int4_2, of_int4, 2)
DECODE_4(decode_int4_4, of_int4)
DECODE(decode_fp4_1, of_fp4, 1)
DECODE(decode_fp4_2, of_fp4, 2)
DECODE_4(decode_fp4_4, of_fp4)
