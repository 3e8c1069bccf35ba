/* Products of few rows by weights of float32, bfloat16, float16 and e4m3 in panels. */
#include "engine/cuda/kernel.inc"

#include "engine/gpu/activate.inc"

#include "engine/cuda/decode.inc"
#include "engine/cuda/e4m3.inc"

#define THREADS 256
#define WARPS (THREADS / 32)

/* 16 bytes of a panel: OUTPUTS side by side of INPUTS inputs; x points at the first of them. UNIT: hm_panel_unit. SCALED: its last 64 bytes
 * are its outputs' scales. */
struct of_f32 {
    enum {
        OUTPUTS = 4,
        INPUTS = 1,
        UNIT = 1,
        SCALED = 0
    };
    DEVICE void multiply(const words4 *w, const float *x, float *sums)
    {
        for (int j = 0; j < 4; j++)
            sums[j] = FMA(x[0], as_f32(w->v[j]), sums[j]);
    }
};

struct of_bf16 {
    enum {
        OUTPUTS = 4,
        INPUTS = 2,
        UNIT = 2,
        SCALED = 0
    };
    DEVICE void multiply(const words4 *w, const float *x, float *sums)
    {
        const float first = x[0], second = x[1];
        for (int j = 0; j < 4; j++) {
            sums[j] = FMA(first, as_f32(w->v[j] << 16), sums[j]);
            sums[j] = FMA(second, as_f32(w->v[j] & 0xFFFF0000u), sums[j]);
        }
    }
};

struct of_f16 {
    enum {
        OUTPUTS = 8,
        INPUTS = 1,
        UNIT = 2,
        SCALED = 0
    };
    DEVICE void multiply(const words4 *w, const float *x, float *sums)
    {
        for (int j = 0; j < 4; j++) {
            sums[2 * j] = FMA(x[0], half_f32(w->v[j] & 0xFFFFu), sums[2 * j]);
            sums[2 * j + 1] = FMA(x[0], half_f32(w->v[j] >> 16), sums[2 * j + 1]);
        }
    }
};

struct of_fp8 {
    enum {
        OUTPUTS = 8,
        INPUTS = 2,
        UNIT = 4,
        SCALED = 1
    };
    DEVICE void multiply(const words4 *w, const float *x, float *sums)
    {
        const float first = x[0], second = x[1];
        for (int j = 0; j < 8; j++) {
            const uint halves = e4m3_halves(w->v[j / 2] >> j % 2 * 16 & 0xFFFFu);
            sums[j] = FMA(first, half_f32(halves & 0xFFFFu), sums[j]);
            sums[j] = FMA(second, half_f32(halves >> 16), sums[j]);
        }
    }
};

/* Blocks: (tiles of R rows, panels), so that tiles of a panel read it together. Shared memory: R+1 rows of inputs, padded to whole stretches; R without a norm. Warps of a layer take
 * stretches of DEEP*512 bytes of its panel in turn, of at least 128 inputs. The scales of e4m3 are powers of two: they go to sums of warps. */
template <class F, int R> DEVICE void decode(DECODE_PARAMETERS, float *inputs, float *parts)
{
    const int lane = ITEM % 32, team = pair ? WARPS / 2 : WARPS, member = ITEM / 32 % team;
    const int per_load = 32 * F::OUTPUTS / PANEL * F::INPUTS; /* inputs of a warp's load */
    const int depth = (in + F::UNIT - 1) / F::UNIT * F::UNIT, whole = DEEP * per_load > 128 ? DEEP * per_load : 128;
    const int padded = (in + whole - 1) / whole * whole;
    const int vectors = depth / F::INPUTS * (PANEL / F::OUTPUTS), stretches = (vectors + 32 * DEEP - 1) / (32 * DEEP);
    const long first_row = GROUP(0) * R;
    const int rows = M - first_row < R ? (int)(M - first_row) : R;
    const panel_place p = place_of(DECODE_ARGUMENTS);
    const words4 *w = (const words4 *)(ITEM / 32 < team ? p.w : p.second) + (long)p.panel * (vectors + 4 * F::SCALED);
    words4 ahead[DEEP];
    float sums[R][F::OUTPUTS];
    EARLY_GO();
#pragma unroll
    for (int u = 0; u < DEEP; u++) {
        const int v = (member * DEEP + u) * 32 + lane;
        ahead[u] = v < vectors ? load_once(w + v) : words4{{0, 0, 0, 0}};
    }
    fetch_norm(inputs + R * padded, norm, in);
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
        for (int j = 0; j < F::OUTPUTS; j++)
            sums[r][j] = 0;
    EARLY_WAIT();
    fetch_inputs<R>(inputs, inputs + R * padded, parts, x + first_row * in, in, padded, rows, norm, eps);
    const float scale = F::SCALED ? ((const float *)(w + vectors))[lane % PANEL] * E4M3_UNIT : 1.0f;
    __syncthreads();
    for (int s = member; s < stretches; s += team) {
        const float *at = inputs + s * DEEP * per_load + lane / (PANEL / F::OUTPUTS) * F::INPUTS;
#pragma unroll
        for (int u = 0; u < DEEP; u++) {
            const words4 now = ahead[u];
            const int v = ((s + team) * DEEP + u) * 32 + lane;
            if (v < vectors)
                ahead[u] = load_once(w + v);
            else
                ahead[u] = words4{{0, 0, 0, 0}};
#pragma unroll
            for (int r = 0; r < R; r++)
                F::multiply(&now, at + r * padded + u * per_load, sums[r]);
        }
    }
    join_warp<R, F::OUTPUTS>(parts, sums);
    if (F::SCALED) {
        __syncwarp();
        for (int r = 0; r < R && lane < PANEL; r++)
            parts[(ITEM / 32 * R + r) * PANEL + lane] *= scale;
    }
    __syncthreads();
    finish<R>(&p, parts, team, first_row, rows, pair, add);
}

#define DECODE(name, type, R)                             \
    CUDA_KERNEL(name, THREADS)(DECODE_PARAMETERS)         \
    {                                                     \
        DYNAMIC_SHARED(float, inputs);                    \
        SHARED(float, parts, WARPS *R *PANEL);            \
        decode<type, R>(DECODE_ARGUMENTS, inputs, parts); \
    }

DECODE(decode_f32_1, of_f32, 1)
DECODE(decode_f32_2, of_f32, 2)
DECODE(decode_f32_4, of_f32, 4)
DECODE(decode_bf16_1, of_bf16, 1)
DECODE(decode_bf16_2, of_bf16, 2)
DECODE(decode_bf16_4, of_bf16, 4)
DECODE(decode_f16_1, of_f16, 1)
DECODE(decode_f16_2, of_f16, 2)
DECODE(decode_f16_4, of_f16, 4)
DECODE(decode_fp8_1, of_fp8, 1)
DECODE(decode_fp8_2, of_fp8, 2)
DECODE(decode_fp8_4, of_fp8, 4)
