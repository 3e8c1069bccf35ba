/* Linear layers and convolutions over many rows whose weights are quantised, on tensor cores: the exact sum of a group of 32 inputs is one
 * product of signed bytes, and the bytes of a result are those of engine/gpu/linear.cl: sum + (float)(sum of a group) * (scale of the weights *
 * scale of the inputs), group by group in order. */
#include "engine/cuda/kernel.inc"
#include "engine/cuda/mma.inc"
#include "engine/gpu/quantised.inc"

#include "engine/cuda/many_store.inc"

#define INT8 0
#define INT4 1
#define FP4 2

/* x: quantised rows of `in` bytes (hm_quantise), row m's tap t is row m*ldx + t*tap_stride; their scales beside. Zeros beyond the last row. */
template <int rows, int threads>
DEVICE void load_quantised(char *a, const char *x, const float *scale, long ldx, long at, long m0, int M, int in, int block)
{
    float *a_scale = (float *)(a + rows * MANY_Q_STRIDE);
#pragma unroll
    for (int i = 0; i < rows * 4 / threads; i++) {
        const int r = ITEM / 4 + i * (threads / 4), k = ITEM % 4 * 16;
        const long m = m0 + r;
        copy_async<16>(a + r * MANY_Q_STRIDE + k, m < M ? x + (m * ldx + at) * in + block * BLOCK_INPUTS + k : x, m < M ? 16 : 0);
    }
    for (int r = ITEM; r < rows; r += threads) {
        const long m = m0 + r;
        copy_async<8>(a_scale + r * 2, m < M ? scale + ((m * ldx + at) * (in / GROUP_INPUTS) + block * 2) : scale, m < M ? 8 : 0);
    }
}

/* A block of 4 panels, as they are stored; zeros beyond the last. */
template <int bytes, int threads> DEVICE void load_panels(char *b, const char *w, long first, long panels, long blocks, long block)
{
    for (int e = ITEM; e < bytes / 4; e += threads) {
        const int p = e / (bytes / 16), at = e % (bytes / 16) * 16;
        const bool there = first + p < panels;
        copy_async<16>(b + p * bytes + at, there ? w + ((first + p) * blocks + block) * bytes + at : w, there ? 16 : 0);
    }
}

/* to[group][h]: output n of both groups, inputs 16h + 4t of each and the three after. */
template <int kind> DEVICE void take_blocks(uint (*to)[2], const char *b, int n)
{
    const uint *words = (const uint *)(b + n / 16 * (kind == INT8 ? BYTES_INT8 : BYTES_NIBBLES)) + n % 16;
    const int t = ITEM % 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint low = words[(t + 4 * h) * 16];
        if (kind == INT8) {
            to[0][h] = low;
            to[1][h] = words[(8 + t + 4 * h) * 16];
        } else {
            const uint first = low & 0x0F0F0F0Fu, second = low >> 4 & 0x0F0F0F0Fu;
            to[0][h] = kind == INT4 ? int4_bytes(first) : fp4_bytes(first);
            to[1][h] = kind == INT4 ? int4_bytes(second) : fp4_bytes(second);
        }
    }
}

/* Adds a block: 2 tiles of 16 rows from r on, `tiles` of 8 outputs from c on. */
template <int kind, int rows, int tiles> DEVICE void add_block(float (*all)[tiles][4], const char *a, const char *b, int r, int c)
{
    const int g = ITEM % 32 / 4, t = ITEM % 4, bytes = kind == INT8 ? BYTES_INT8 : BYTES_NIBBLES;
    const float *a_scale = (const float *)(a + rows * MANY_Q_STRIDE) + (r + g) * 2;
    uint x[2][2][4]; /* [group][tile] */
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const int group = i / 8, tile = i / 4 % 2, q = i % 4;
        x[group][tile][q] = *(const uint *)(a + (r + tile * 16 + g + q % 2 * 8) * MANY_Q_STRIDE + group * 32 + q / 2 * 16 + 4 * t);
    }
#pragma unroll
    for (int j = 0; j < tiles; j++) {
        const int n = c + j * 8;
        uint w[2][2];
        take_blocks<kind>(w, b, n + g);
#pragma unroll
        for (int group = 0; group < 2; group++) {
            const char *scales = b + n / 16 * bytes + bytes - 64 + group * 32;
            float b_scale[2];
            f16_values(((const uint *)scales)[n % 16 / 2 + t], &b_scale[0], &b_scale[1]);
#pragma unroll
            for (int i = 0; i < 2; i++) {
                int whole[4] = {0, 0, 0, 0};
                mma_s8(whole, x[group][i], w[group]);
#pragma unroll
                for (int q = 0; q < 4; q++)
                    all[i][j][q] += (float)whole[q] * (b_scale[q % 2] * a_scale[(i * 16 + q / 2 * 8) * 2 + group]);
            }
        }
    }
}

template <int kind, int rows, int tiles> DEVICE void multiply_quantised(MANY_PARAMETERS, const float *x_scale, char *space)
{
    const int threads = rows * 8 / tiles, bytes = kind == INT8 ? BYTES_INT8 : BYTES_NIBBLES, stage = MANY_Q_STAGE_BYTES(kind == INT8, rows);
    const int blocks = in / BLOCK_INPUTS, all_blocks = blocks * taps;
    const int r = ITEM / 32 / (8 / tiles) * 32, c = ITEM / 32 % (8 / tiles) * (8 * tiles);
    const long m0 = (long)blockIdx.x * rows, o0 = (long)blockIdx.y * MANY_COLUMNS;
    float all[2][tiles][4] = {};
    for (int s = 0; s < all_blocks + MANY_STAGES - 1; s++) {
        if (s >= MANY_STAGES - 1) {
            copies_wait<MANY_STAGES - 2>();
            __syncthreads();
        }
        if (s < all_blocks) {
            char *to = space + s % MANY_STAGES * stage;
            load_quantised<rows, threads>(to, (const char *)x, x_scale, ldx, s / blocks * tap_stride, m0, M, in, s % blocks);
            load_panels<bytes, threads>(to + rows * (MANY_Q_STRIDE + 8), w, o0 / 16, (out + 15) / 16, all_blocks, s);
        }
        copies_close();
        const int now = s - (MANY_STAGES - 1);
        if (now < 0)
            continue;
        const char *from = space + now % MANY_STAGES * stage;
        add_block<kind, rows, tiles>(all, from, from + rows * (MANY_Q_STRIDE + 8), r, c);
    }
    store_sums<rows, tiles, threads>(MANY_ARGUMENTS, (float *)space, all, m0, o0, r, c);
}

#define MANY_QUANTISED(name, kind, rows, tiles)                                \
    CUDA_KERNEL(name, rows * 8 / tiles)(MANY_PARAMETERS, const float *x_scale) \
    {                                                                          \
        DYNAMIC_SHARED(char, space);                                           \
        multiply_quantised<kind, rows, tiles>(MANY_ARGUMENTS, x_scale, space); \
    }

MANY_QUANTISED(many_int8, INT8, MANY_WIDE, 4)
MANY_QUANTISED(many_int4, INT4, MANY_WIDE, 4)
MANY_QUANTISED(many_fp4, FP4, MANY_WIDE, 4)
MANY_QUANTISED(narrow_int8, INT8, MANY_NARROW, 2)
MANY_QUANTISED(narrow_int4, INT4, MANY_NARROW, 2)
MANY_QUANTISED(narrow_fp4, FP4, MANY_NARROW, 2)
