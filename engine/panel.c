/* Weights into panels. Lanes are the outputs of a panel throughout, so that loops over HM_PANEL_ROWS become vectors of any width without a
 * sum across lanes; every step is one IEEE operation, so that the bytes are the same whatever the width. */
#include "engine/panel.h"

#include <math.h>
#include <stdatomic.h>

#define LANES HM_PANEL_ROWS
#define GROUPS (HM_PANEL_BLOCK / HM_PANEL_GROUP)
#define QUADS (HM_PANEL_GROUP / 4)
#define STRIP 4 /* panels packed side by side: columns of an input-major matrix are read 64 at a time */
#define HALF_MOST 65504.0f
#define HALF_LEAST 0x1p-24f

static const struct {
    const char *name;
    int unit;        /* inputs */
    int input_bytes; /* of LANES values, formats of one number each */
    int block_bytes; /* of HM_PANEL_BLOCK inputs, quantised ones */
    int end_bytes;   /* of what stands behind all inputs */
    float most;      /* largest magnitude that the format can hold */
} formats[HM_FORMAT_COUNT] = {
    [HM_FORMAT_ROWS] = {"rows", 1, 0, 0, 0, 0},
    [HM_FORMAT_F32] = {"f32", 1, 64, 0, 0, 0x1.fffffep127f},
    [HM_FORMAT_BF16] = {"bf16", 2, 32, 0, 0, 0x1.fefffep127f}, /* the next one rounds to infinity */
    [HM_FORMAT_F16] = {"f16", 2, 32, 0, 0, 0x1.ffdffep15f},    /* likewise */
    [HM_FORMAT_INT8] = {"int8", HM_PANEL_BLOCK, 0, HM_PANEL_INT8_BYTES, 0, 127 * HALF_MOST},
    [HM_FORMAT_INT4] = {"int4", HM_PANEL_BLOCK, 0, HM_PANEL_INT4_BYTES, 0, 7 * HALF_MOST},
    [HM_FORMAT_FP4] = {"fp4", HM_PANEL_BLOCK, 0, HM_PANEL_INT4_BYTES, 0, 6 * HALF_MOST},
    [HM_FORMAT_FP8] = {"fp8", 4, 16, 0, HM_PANEL_SCALE_BYTES, 448 * 0x1p119f}, /* under a scale whose inverse is a normal number */
};

const char *hm_format_name(hm_format format)
{
    return (unsigned)format < HM_FORMAT_COUNT ? formats[format].name : "unknown";
}

int hm_format_parse(const char *name)
{
    for (int i = 0; i < HM_FORMAT_COUNT; i++)
        if (!strcmp(name, formats[i].name))
            return i;
    return -1;
}

hm_format hm_format_of(hm_dtype type)
{
    return type == HM_F32 ? HM_FORMAT_F32 : type == HM_BF16 ? HM_FORMAT_BF16 : type == HM_F16 ? HM_FORMAT_F16 : HM_FORMAT_ROWS;
}

int hm_panel_unit(hm_format format)
{
    return formats[format].unit;
}

static int64_t padded(hm_format format, int in)
{
    int unit = formats[format].unit;
    return ((int64_t)in + unit - 1) / unit * unit;
}

int64_t hm_panel_depth(hm_format format, int in, int taps)
{
    return padded(format, in) * taps;
}

size_t hm_panel_bytes(hm_format format, int in, int taps)
{
    size_t depth = (size_t)hm_panel_depth(format, in, taps);
    return hm_format_quantised(format) ? depth / HM_PANEL_BLOCK * (size_t)formats[format].block_bytes
                                       : depth * (size_t)formats[format].input_bytes + (size_t)formats[format].end_bytes;
}

size_t hm_panels_bytes(hm_format format, int out, int in, int taps)
{
    return ((size_t)out + LANES - 1) / LANES * hm_panel_bytes(format, in, taps);
}

/* --- numbers --- */

static inline uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* A scale as it is stored: float16, at most the largest one, and 0 for 0 alone. */
static inline float stored_scale(float f)
{
    float mag = fabsf(f), normal, small;
    mag = mag < HALF_MOST ? mag : HALF_MOST;
    normal = float_of((bits_of(mag) + 0xFFF + (bits_of(mag) >> 13 & 1)) & ~0x1FFFu);
    small = (mag + 0.5f) - 0.5f;
    small = small < HALF_LEAST ? HALF_LEAST : small;
    mag = mag == 0 ? 0 : mag < 0x1p-14f ? small : normal;
    return f < 0 ? -mag : mag;
}

/* Nearest whole number, even on ties; |x| below 2^22. */
static inline float whole(float x)
{
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* The nearest of -8 .. 7; |x| below 2^22. */
static inline int32_t int4_number(float x)
{
    int32_t n = (int32_t)(bits_of(x + 0x1.8p23f) - bits_of(0x1.8p23f));
    n = n < -8 ? -8 : n;
    return n > 7 ? 7 : n;
}

/* The nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6 to |x|, even on ties, with the sign of x. */
static inline float fp4_value(float x)
{
    float mag = fabsf(x), below, above;
    mag = mag > 6 ? 6 : mag;
    below = (mag + 0x1.8p22f) - 0x1.8p22f;
    above = float_of((bits_of(mag) + 0x1FFFFF + (bits_of(mag) >> 22 & 1)) & ~0x3FFFFFu);
    return float_of(bits_of(mag < 1 ? below : above) | (bits_of(x) & 0x80000000));
}

static inline uint32_t fp4_nibble(float x)
{
    uint32_t u = bits_of(fp4_value(x)), mag = u & 0x7FFFFFFF;
    return (u >> 28 & 8) | (mag < 0x3F800000 ? (uint32_t)(int)(float_of(mag) * 2) : (mag >> 22) - 252);
}

static const float fp4_values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};

/* --- a block of inputs of one panel --- */

typedef struct tile {
    _Alignas(64) float w[HM_PANEL_BLOCK][LANES];
} tile;

typedef struct part {
    const hm_panel_source *source;
    hm_format format;
    uint8_t *dst;
    size_t panel_bytes;
    int64_t panels;
    atomic_bool bad;
} part;

static inline __attribute__((always_inline)) void widen(float *to, const void *from, size_t first, hm_dtype type, int n)
{
    const uint16_t *h = (const uint16_t *)from + first;
    if (type == HM_F32)
        memcpy(to, (const float *)from + first, (size_t)n * sizeof *to);
    else if (type == HM_BF16)
        for (int i = 0; i < n; i++)
            to[i] = float_of((uint32_t)h[i] << 16);
    else
        for (int i = 0; i < n; i++)
            to[i] = hm_f16_to_f32(h[i]);
}

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t four_places __attribute__((vector_size(16)));

/* w[k][o] = rows[o][k] */
static inline __attribute__((always_inline)) void transpose(tile *t, const float rows[LANES][HM_PANEL_BLOCK])
{
    for (int o = 0; o < LANES; o += 4)
        for (int k = 0; k < HM_PANEL_BLOCK; k += 4) {
            four a = *(const four *)&rows[o][k], b = *(const four *)&rows[o + 1][k];
            four c = *(const four *)&rows[o + 2][k], d = *(const four *)&rows[o + 3][k];
            four ab = __builtin_shuffle(a, b, (four_places){0, 4, 1, 5}), ab2 = __builtin_shuffle(a, b, (four_places){2, 6, 3, 7});
            four cd = __builtin_shuffle(c, d, (four_places){0, 4, 1, 5}), cd2 = __builtin_shuffle(c, d, (four_places){2, 6, 3, 7});
            *(four *)&t->w[k][o] = __builtin_shuffle(ab, cd, (four_places){0, 1, 4, 5});
            *(four *)&t->w[k + 1][o] = __builtin_shuffle(ab, cd, (four_places){2, 3, 6, 7});
            *(four *)&t->w[k + 2][o] = __builtin_shuffle(ab2, cd2, (four_places){0, 1, 4, 5});
            *(four *)&t->w[k + 3][o] = __builtin_shuffle(ab2, cd2, (four_places){2, 3, 6, 7});
        }
}

/* Inputs first .. first+n-1 of the panel, zeros where there are none. */
static inline __attribute__((always_inline)) void load(tile *t, const hm_panel_source *s, int64_t panel, int64_t first, int n)
{
    _Alignas(64) float rows[LANES][HM_PANEL_BLOCK];
    int64_t depth = (int64_t)s->in * s->taps, output = panel * LANES;
    int lanes = s->out - output < LANES ? (int)(s->out - output) : LANES;
    if (s->in_out) {
        memset(t, 0, n < HM_PANEL_BLOCK || lanes < LANES ? sizeof *t : 0);
        for (int k = 0; k < n; k++)
            if (lanes == LANES)
                widen(t->w[k], s->w, (size_t)((first + k) * s->out + output), s->type, LANES);
            else
                widen(t->w[k], s->w, (size_t)((first + k) * s->out + output), s->type, lanes);
        return;
    }
    memset(rows, 0, n < HM_PANEL_BLOCK || lanes < LANES ? sizeof rows : 0);
    for (int o = 0; o < lanes; o++)
        if (n == HM_PANEL_BLOCK)
            widen(rows[o], s->w, (size_t)((output + o) * depth + first), s->type, HM_PANEL_BLOCK);
        else
            widen(rows[o], s->w, (size_t)((output + o) * depth + first), s->type, n);
    transpose(t, rows);
}

/* largest[o] becomes the largest magnitude of output o, as a whole number: NaN is the greatest. */
static inline __attribute__((always_inline)) void find_largest(int32_t largest[LANES], const tile *t)
{
    for (int k = 0; k < HM_PANEL_BLOCK; k++)
        for (int o = 0; o < LANES; o++) {
            int32_t mag = (int32_t)(bits_of(t->w[k][o]) & 0x7FFFFFFF);
            largest[o] = mag > largest[o] ? mag : largest[o];
        }
}

/* Whether all magnitudes are at most `most`; NaN and infinity are not. */
static inline __attribute__((always_inline)) bool holds(const tile *t, float most)
{
    int32_t largest[LANES] = {0}, any = 0;
    find_largest(largest, t);
    for (int o = 0; o < LANES; o++)
        any = largest[o] > any ? largest[o] : any;
    return any <= (int32_t)bits_of(most);
}

static inline __attribute__((always_inline)) void put_bf16(uint32_t *dst, const tile *t, int n)
{
    for (int k = 0; k < n; k += 2, dst += LANES)
        for (int o = 0; o < LANES; o++) {
            uint32_t a = hm_f32_to_bf16(t->w[k][o]), b = hm_f32_to_bf16(t->w[k + 1][o]);
            dst[o] = a | b << 16;
        }
}

static inline __attribute__((always_inline)) void put_f16(uint16_t *dst, const tile *t, int n)
{
    for (int k = 0; k < n; k++, dst += LANES)
        for (int o = 0; o < LANES; o++)
            dst[o] = hm_f32_to_f16(t->w[k][o]);
}

/* scale: of each output, powers of two. */
static inline __attribute__((always_inline)) void put_fp8(uint8_t *dst, const tile *t, int n, const float scale[LANES])
{
    float inverse[LANES];
    for (int o = 0; o < LANES; o++)
        inverse[o] = float_of((254u << 23) - bits_of(scale[o]));
    for (int k = 0; k < n; k += 2, dst += 2 * LANES) {
        uint16_t pair[LANES];
        for (int o = 0; o < LANES; o++)
            pair[o] = (uint16_t)(hm_f32_to_e4m3(t->w[k][o] * inverse[o]) | hm_f32_to_e4m3(t->w[k + 1][o] * inverse[o]) << 8);
        memcpy(dst, pair, sizeof pair);
    }
}

static inline __attribute__((always_inline)) void put_scales(uint8_t *dst, const float scale[GROUPS][LANES])
{
    uint16_t stored[GROUPS][LANES];
    for (int g = 0; g < GROUPS; g++)
        for (int o = 0; o < LANES; o++)
            stored[g][o] = hm_f32_to_f16(scale[g][o]);
    memcpy(dst, stored, sizeof stored);
}

static inline __attribute__((always_inline)) void put_int8(uint8_t *dst, const tile *t)
{
    float scale[GROUPS][LANES];
    for (int g = 0; g < GROUPS; g++) {
        const float(*w)[LANES] = t->w + g * HM_PANEL_GROUP;
        float most[LANES] = {0}, divisor[LANES];
        for (int k = 0; k < HM_PANEL_GROUP; k++)
            for (int o = 0; o < LANES; o++) {
                float mag = fabsf(w[k][o]);
                most[o] = mag > most[o] ? mag : most[o];
            }
        for (int o = 0; o < LANES; o++) {
            float s = stored_scale(most[o] / 127);
            s = most[o] > 127.5f * s ? s + HALF_LEAST : s; /* rounded down among the smallest: the largest weight would be cut */
            scale[g][o] = s;
            divisor[o] = s == 0 ? 1 : s;
        }
        for (int q = 0; q < QUADS; q++, dst += 4 * LANES) {
            uint32_t word[LANES] = {0};
            for (int j = 0; j < 4; j++)
                for (int o = 0; o < LANES; o++)
                    word[o] |= ((uint32_t)(int32_t)whole(w[4 * q + j][o] / divisor[o]) & 255) << 8 * j;
            memcpy(dst, word, sizeof word);
        }
    }
    put_scales(dst, scale);
}

/* What the largest weight of a group is mapped onto, tried in this order: the first of equal errors stays. */
static const float int4_onto[] = {-8, -7.7f, -7.4f, -8.3f, -8.6f, -9};
static const float fp4_onto[] = {6, 4, 5, 5.5f, 4.5f, 6.5f, 7};

static inline __attribute__((always_inline)) void choose_scales(float scale[LANES], const float (*w)[LANES], bool fp4)
{
    float peak[LANES] = {0}, least[LANES];
    for (int k = 0; k < HM_PANEL_GROUP; k++)
        for (int o = 0; o < LANES; o++)
            peak[o] = fabsf(w[k][o]) > fabsf(peak[o]) ? w[k][o] : peak[o];
    for (int o = 0; o < LANES; o++) {
        scale[o] = 0;
        least[o] = INFINITY;
        peak[o] = fp4 ? fabsf(peak[o]) : peak[o];
    }
    int candidates = fp4 ? (int)(sizeof fp4_onto / sizeof *fp4_onto) : (int)(sizeof int4_onto / sizeof *int4_onto);
    for (int c = 0; c < candidates; c++) {
        float s[LANES], inverse[LANES], error[LANES] = {0}, onto = fp4 ? fp4_onto[c] : int4_onto[c];
        for (int o = 0; o < LANES; o++) {
            s[o] = stored_scale(peak[o] / onto);
            inverse[o] = s[o] == 0 ? 0 : 1 / s[o];
        }
        for (int k = 0; k < HM_PANEL_GROUP; k++)
            for (int o = 0; o < LANES; o++) {
                float x = w[k][o] * inverse[o], d = w[k][o] - s[o] * (fp4 ? fp4_value(x) : (float)int4_number(x));
                error[o] += d * d;
            }
        for (int o = 0; o < LANES; o++) {
            bool better = error[o] < least[o];
            least[o] = better ? error[o] : least[o];
            scale[o] = better ? s[o] : scale[o];
        }
    }
}

static inline __attribute__((always_inline)) void put_nibbles(uint8_t *dst, const tile *t, bool fp4)
{
    float scale[GROUPS][LANES], inverse[GROUPS][LANES];
    for (int g = 0; g < GROUPS; g++) {
        choose_scales(scale[g], t->w + g * HM_PANEL_GROUP, fp4);
        for (int o = 0; o < LANES; o++)
            inverse[g][o] = scale[g][o] == 0 ? 0 : 1 / scale[g][o];
    }
    for (int q = 0; q < QUADS; q++, dst += 4 * LANES) {
        uint32_t word[LANES] = {0};
        for (int j = 0; j < 4; j++)
            for (int g = 0; g < GROUPS; g++)
                for (int o = 0; o < LANES; o++) {
                    float x = t->w[g * HM_PANEL_GROUP + 4 * q + j][o] * inverse[g][o];
                    word[o] |= (fp4 ? fp4_nibble(x) : (uint32_t)(int4_number(x) + 8)) << (8 * j + 4 * g);
                }
        memcpy(dst, word, sizeof word);
    }
    put_scales(dst, scale);
}

static inline __attribute__((always_inline)) void put(uint8_t *dst, hm_format format, const tile *t, int n, const float scale[LANES])
{
    switch (format) {
    case HM_FORMAT_F32:
        memcpy(dst, t->w, (size_t)n * sizeof *t->w);
        break;
    case HM_FORMAT_BF16:
        put_bf16((uint32_t *)(void *)dst, t, n);
        break;
    case HM_FORMAT_F16:
        put_f16((uint16_t *)(void *)dst, t, n);
        break;
    case HM_FORMAT_INT8:
        put_int8(dst, t);
        break;
    case HM_FORMAT_INT4:
        put_nibbles(dst, t, false);
        break;
    case HM_FORMAT_FP4:
        put_nibbles(dst, t, true);
        break;
    case HM_FORMAT_FP8:
        put_fp8(dst, t, n, scale);
        break;
    default:
        break;
    }
}

/* --- all of them --- */

static size_t put_bytes(hm_format format, int n)
{
    return hm_format_quantised(format) ? (size_t)formats[format].block_bytes : (size_t)n * (size_t)formats[format].input_bytes;
}

/* FP8: the scales of a panel's outputs, from all of their weights. */
static inline __attribute__((always_inline)) void scale_outputs(float scale[LANES], const hm_panel_source *s, int64_t panel)
{
    const uint32_t least = 10u << 23, above = (254u << 23) | 0x600000; /* 2^-117; 448 * 2^119 */
    int32_t largest[LANES] = {0};
    int64_t depth = (int64_t)s->in * s->taps;
    tile t;
    for (int64_t k = 0; k < depth; k += HM_PANEL_BLOCK) {
        load(&t, s, panel, k, depth - k < HM_PANEL_BLOCK ? (int)(depth - k) : HM_PANEL_BLOCK);
        find_largest(largest, &t);
    }
    for (int o = 0; o < LANES; o++) {
        uint32_t most = (uint32_t)largest[o] < above ? (uint32_t)largest[o] : above;
        uint32_t power = (most + 0x1FFFFF) & 0x7F800000; /* 448 is 1.75 * 2^8: a fraction beyond 1.75 takes the next one */
        scale[o] = float_of(power < least + (8u << 23) ? least : power - (8u << 23));
    }
}

/* Panels first .. last-1, block by block. */
static inline __attribute__((always_inline)) void pack_strip(part *p, int64_t first, int64_t last)
{
    const hm_panel_source *s = p->source;
    const int unit = formats[p->format].unit, end_bytes = formats[p->format].end_bytes;
    float scale[STRIP][LANES];
    size_t at = 0;
    tile t;
    for (int64_t panel = first; panel < last && end_bytes; panel++) {
        scale_outputs(scale[panel - first], s, panel);
        memcpy(p->dst + (size_t)(panel + 1) * p->panel_bytes - (size_t)end_bytes, scale[panel - first], (size_t)end_bytes);
    }
    for (int tap = 0; tap < s->taps; tap++)
        for (int k = 0; k < s->in; k += HM_PANEL_BLOCK) {
            int n = s->in - k < HM_PANEL_BLOCK ? s->in - k : HM_PANEL_BLOCK;
            int stored = unit < HM_PANEL_BLOCK ? (n + unit - 1) / unit * unit : n;
            for (int64_t panel = first; panel < last; panel++) {
                load(&t, s, panel, (int64_t)tap * s->in + k, n);
                if (!holds(&t, formats[p->format].most)) {
                    atomic_store(&p->bad, true);
                    return;
                }
                put(p->dst + (size_t)panel * p->panel_bytes + at, p->format, &t, stored, scale[panel - first]);
            }
            at += put_bytes(p->format, stored);
        }
}

static inline __attribute__((always_inline)) void pack_range(part *p, int index, int count)
{
    size_t first, last;
    hm_team_range((size_t)p->panels, STRIP, index, count, &first, &last);
    for (size_t i = first; i < last && !atomic_load(&p->bad); i += STRIP)
        pack_strip(p, (int64_t)i, (int64_t)(i + STRIP < last ? i + STRIP : last));
}

static void pack_part(void *arg, int index, int count)
{
    pack_range(arg, index, count);
}

#if defined(__x86_64__)
/* The same operations, eight at a time: searching scales takes half the time. */
__attribute__((target("avx2"))) static void pack_part_avx2(void *arg, int index, int count)
{
    pack_range(arg, index, count);
}
#endif

static hm_team_fn fastest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return pack_part_avx2;
#endif
    return pack_part;
}

/* The first weight, in the order of outputs, that the format cannot hold. */
static int64_t find_bad(const hm_panel_source *s, float most)
{
    int64_t depth = (int64_t)s->in * s->taps;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t k = 0; k < depth; k++) {
            float w;
            widen(&w, s->w, (size_t)(s->in_out ? k * s->out + o : o * depth + k), s->type, 1);
            if ((bits_of(w) & 0x7FFFFFFF) > bits_of(most))
                return o * depth + k;
        }
    return -1;
}

bool hm_panels_pack(void *dst, hm_format format, const hm_panel_source *source, hm_team *team, int64_t *bad)
{
    part p = {.source = source,
              .format = format,
              .dst = dst,
              .panel_bytes = hm_panel_bytes(format, source->in, source->taps),
              .panels = ((int64_t)source->out + LANES - 1) / LANES};
    atomic_init(&p.bad, false);
    if (team)
        hm_team_run(team, fastest(), &p);
    else
        fastest()(&p, 0, 1);
    if (!atomic_load(&p.bad))
        return true;
    *bad = find_bad(source, formats[format].most);
    return false;
}

/* --- back --- */

static float quantised_value(const uint8_t *panel, hm_format format, int64_t k, int lane)
{
    const uint8_t *block = panel + (size_t)(k / HM_PANEL_BLOCK) * (size_t)formats[format].block_bytes;
    int g = (int)(k % HM_PANEL_BLOCK) / HM_PANEL_GROUP, i = (int)(k % HM_PANEL_GROUP), at = (i / 4 * LANES + lane) * 4 + i % 4;
    uint16_t half;
    memcpy(&half, block + formats[format].block_bytes - 2 * GROUPS * LANES + 2 * (g * LANES + lane), sizeof half);
    float scale = hm_f16_to_f32(half);
    if (format == HM_FORMAT_INT8)
        return scale * (float)(int8_t)block[g * HM_PANEL_GROUP * LANES + at];
    int nibble = block[at] >> 4 * g & 15;
    if (format == HM_FORMAT_INT4)
        return scale * (float)(nibble - 8);
    return scale * (nibble & 8 ? -fp4_values[nibble & 7] : fp4_values[nibble]);
}

float hm_panel_value(const void *panels, hm_format format, int in, int taps, int o, int t, int i)
{
    const uint8_t *panel = (const uint8_t *)panels + (size_t)(o / LANES) * hm_panel_bytes(format, in, taps);
    int64_t k = t * padded(format, in) + i;
    int lane = o % LANES;
    if (format == HM_FORMAT_F32)
        return ((const float *)(const void *)panel)[k * LANES + lane];
    if (format == HM_FORMAT_BF16)
        return hm_bf16_to_f32(((const uint16_t *)(const void *)panel)[(k / 2 * LANES + lane) * 2 + k % 2]);
    if (format == HM_FORMAT_F16)
        return hm_f16_to_f32(((const uint16_t *)(const void *)panel)[k * LANES + lane]);
    if (format == HM_FORMAT_FP8) {
        float scale;
        memcpy(&scale, panel + hm_panel_bytes(format, in, taps) - HM_PANEL_SCALE_BYTES + (size_t)lane * sizeof scale, sizeof scale);
        return scale * hm_e4m3_to_f32(panel[(k / 2 * LANES + lane) * 2 + k % 2]);
    }
    return quantised_value(panel, format, k, lane);
}
