/* Weights in panels: where each one lies, what it is worth, and what is refused; against the definitions in engine/panel.h. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/part.h"
#include "engine/panel.h"

#define GUARD 64
#define GROUP HM_PANEL_GROUP

typedef struct shape {
    int out, in, taps;
    bool in_out;
} shape;

static const shape shapes[] = {{1, 1, 1, false},   {16, 64, 1, false},   {17, 65, 1, false},  {33, 31, 3, false},
                               {5, 3, 7, false},   {100, 129, 1, false}, {16, 128, 2, false}, {64, 64, 1, true},
                               {197, 70, 1, true}, {31, 33, 2, true},    {130, 1, 1, false},  {3, 200, 1, true}};
#define SHAPES ((int)(sizeof shapes / sizeof *shapes))

typedef struct packed {
    uint8_t *memory, *panels;
    size_t bytes;
} packed;

/* Normal-like numbers of varied size. */
static float draw(uint64_t *state)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        sum += (float)(*state >> 40) * 0x1p-24f - 0.5f;
    }
    return sum * 0.05f;
}

static size_t values(const shape *s)
{
    return (size_t)s->out * (size_t)s->in * (size_t)s->taps;
}

/* Index of weight (o, t, i) in the source. */
static size_t place(const shape *s, int o, int t, int i)
{
    size_t k = (size_t)(t * s->in + i);
    return s->in_out ? k * (size_t)s->out + (size_t)o : (size_t)o * (size_t)(s->in * s->taps) + k;
}

static float *random_weights(const shape *s, uint64_t seed)
{
    float *w = malloc(values(s) * sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < values(s); i++)
        w[i] = draw(&seed);
    return w;
}

static void *narrowed(const float *w, size_t n, hm_dtype type)
{
    uint16_t *h = malloc(n * sizeof *h + 1);
    assert_non_null(h);
    for (size_t i = 0; i < n; i++)
        h[i] = type == HM_BF16 ? hm_f32_to_bf16(w[i]) : hm_f32_to_f16(w[i]);
    return h;
}

static packed pack_on(const void *w, hm_dtype type, const shape *s, hm_format format, hm_team *team)
{
    packed p = {.bytes = hm_panels_bytes(format, s->out, s->in, s->taps)};
    hm_panel_source source = {w, type, s->out, s->in, s->taps, s->in_out};
    int64_t bad = -7;
    p.memory = aligned_alloc(64, (p.bytes + 2 * GUARD + 63) / 64 * 64);
    assert_non_null(p.memory);
    memset(p.memory, 0xA5, p.bytes + 2 * GUARD);
    p.panels = p.memory + GUARD;
    assert_true(hm_panels_pack(p.panels, format, &source, team, &bad));
    assert_int_equal(bad, -7);
    for (int i = 0; i < GUARD; i++)
        assert_true(p.memory[i] == 0xA5 && p.panels[p.bytes + (size_t)i] == 0xA5);
    return p;
}

static packed pack(const void *w, hm_dtype type, const shape *s, hm_format format)
{
    return pack_on(w, type, s, format, NULL);
}

static float value(const packed *p, hm_format format, const shape *s, int o, int t, int i)
{
    return hm_panel_value(p->panels, format, s->in, s->taps, o, t, i);
}

/* --- names and sizes --- */

static void formats_have_names_and_sizes(void **state)
{
    (void)state;
    for (int f = 0; f < HM_FORMAT_COUNT; f++)
        assert_int_equal(hm_format_parse(hm_format_name((hm_format)f)), f);
    assert_int_equal(hm_format_parse("int5"), -1);
    assert_int_equal(hm_format_of(HM_BF16), HM_FORMAT_BF16);
    assert_int_equal(hm_format_of(HM_I64), HM_FORMAT_ROWS);
    assert_int_equal(hm_panel_depth(HM_FORMAT_BF16, 3, 7), 28);
    assert_int_equal(hm_panel_depth(HM_FORMAT_INT4, 65, 2), 256);
    assert_int_equal(hm_panels_bytes(HM_FORMAT_F32, 17, 3, 2), 2 * 6 * 64);
    assert_int_equal(hm_panels_bytes(HM_FORMAT_F16, 16, 3, 2), 8 * 32);
    assert_int_equal(hm_panels_bytes(HM_FORMAT_INT8, 33, 3072, 1), 3 * 48 * 1088);
    assert_int_equal(hm_panels_bytes(HM_FORMAT_FP4, 5120, 3072, 1), 320 * 48 * 576);
    assert_int_equal(hm_panel_depth(HM_FORMAT_FP8, 5, 3), 24);
    assert_int_equal(hm_panels_bytes(HM_FORMAT_FP8, 33, 3072, 1), 3 * (3072 * 16 + 64));
    for (int f = 0; f < HM_FORMAT_COUNT; f++) {
        assert_true(hm_format_quantised((hm_format)f) == (f == HM_FORMAT_INT8 || f == HM_FORMAT_INT4 || f == HM_FORMAT_FP4));
        assert_true(hm_format_quantised((hm_format)f) == hm_part_of_integers(hm_format_name((hm_format)f)));
    }
    for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++)
        for (int in = 1; in < 140; in++)
            assert_int_equal(hm_panel_bytes((hm_format)f, in, 3) % 64, 0);
}

/* --- formats of one number each --- */

/* Byte of weight (o, k) by the table in engine/panel.h, depth in padded inputs. */
static size_t byte_of(hm_format format, int64_t depth, int o, int64_t k)
{
    size_t panel = (size_t)(o / 16), lane = (size_t)(o % 16), at = (size_t)k;
    if (format == HM_FORMAT_F32)
        return (panel * (size_t)depth + at) * 64 + lane * 4;
    if (format == HM_FORMAT_F16)
        return (panel * (size_t)depth + at) * 32 + lane * 2;
    return panel * (size_t)depth * 32 + at / 2 * 64 + lane * 4 + at % 2 * 2;
}

/* The weight that lies at (o, k); zero where there is none. */
static float expected_at(const float *w, const shape *s, int64_t tap_depth, int o, int64_t k)
{
    int t = (int)(k / tap_depth), i = (int)(k % tap_depth);
    return o < s->out && i < s->in ? w[place(s, o, t, i)] : 0;
}

static void check_layout(hm_format format, hm_dtype type, const shape *s, uint64_t seed)
{
    float *w = random_weights(s, seed);
    void *stored = type == HM_F32 ? NULL : narrowed(w, values(s), type);
    packed p = pack(stored ? stored : w, type, s, format);
    int64_t depth = hm_panel_depth(format, s->in, s->taps), tap_depth = depth / s->taps;
    for (int o = 0; o < (s->out + 15) / 16 * 16; o++)
        for (int64_t k = 0; k < depth; k++) {
            float exact = expected_at(w, s, tap_depth, o, k), found;
            const uint8_t *at = p.panels + byte_of(format, depth, o, k);
            uint16_t half;
            memcpy(&half, at, sizeof half);
            if (format == HM_FORMAT_F32)
                memcpy(&found, at, sizeof found);
            else
                found = format == HM_FORMAT_BF16 ? hm_bf16_to_f32(half) : hm_f16_to_f32(half);
            if (type == HM_BF16 || (type == HM_F32 && format == HM_FORMAT_BF16))
                exact = hm_bf16_to_f32(hm_f32_to_bf16(exact));
            if (type == HM_F16 || (type == HM_F32 && format == HM_FORMAT_F16))
                exact = hm_f16_to_f32(hm_f32_to_f16(exact));
            assert_true(found == exact);
            if (o < s->out && k % tap_depth < s->in)
                assert_true(value(&p, format, s, o, (int)(k / tap_depth), (int)(k % tap_depth)) == found);
        }
    free(p.memory);
    free(stored);
    free(w);
}

static void every_weight_lies_where_the_layout_says_and_keeps_its_value(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        check_layout(HM_FORMAT_F32, HM_F32, &shapes[i], 11);
        check_layout(HM_FORMAT_BF16, HM_BF16, &shapes[i], 12);
        check_layout(HM_FORMAT_F16, HM_F16, &shapes[i], 13);
        check_layout(HM_FORMAT_F32, HM_BF16, &shapes[i], 14);
        check_layout(HM_FORMAT_F32, HM_F16, &shapes[i], 15);
        check_layout(HM_FORMAT_BF16, HM_F32, &shapes[i], 16);
        check_layout(HM_FORMAT_F16, HM_F32, &shapes[i], 17);
    }
}

static void every_half_and_bfloat_survives(void **state)
{
    (void)state;
    static uint16_t all[65536];
    const shape s = {64, 1024, 1, false};
    for (int type = HM_BF16; type <= HM_F16; type++) {
        for (int i = 0; i < 65536; i++) {
            bool special = (i & 0x7FFF) >= (type == HM_BF16 ? 0x7F80 : 0x7C00);
            all[i] = special ? 0 : (uint16_t)i;
        }
        hm_format format = hm_format_of((hm_dtype)type);
        packed p = pack(all, (hm_dtype)type, &s, format);
        for (int i = 0; i < 65536; i++) {
            uint16_t half;
            memcpy(&half, p.panels + byte_of(format, 1024, i / 1024, i % 1024), sizeof half);
            assert_int_equal(half, all[i]);
        }
        free(p.memory);
    }
}

/* --- quantised formats --- */

/* Scale and number (int8: whole, int4: nibble - 8, fp4: nibble) of a weight, read by the table in engine/panel.h. */
static float stored_scale(const packed *p, hm_format format, const shape *s, int o, int t, int i, int *number)
{
    int blocks = (s->in + 63) / 64, k = i % 64, g = k / 32, quad = k % 32 / 4;
    size_t block = (size_t)((o / 16 * s->taps + t) * blocks + i / 64), lane = (size_t)(o % 16);
    const uint8_t *at = p->panels + block * (format == HM_FORMAT_INT8 ? 1088 : 576);
    uint16_t half;
    if (format == HM_FORMAT_INT8) {
        *number = (int8_t)at[(size_t)(g * 8 + quad) * 64 + lane * 4 + (size_t)(k % 4)];
        memcpy(&half, at + 1024 + (size_t)g * 32 + lane * 2, sizeof half);
    } else {
        *number = at[(size_t)quad * 64 + lane * 4 + (size_t)(k % 4)] >> 4 * g & 15;
        *number -= format == HM_FORMAT_INT4 ? 8 : 0;
        memcpy(&half, at + 512 + (size_t)g * 32 + lane * 2, sizeof half);
    }
    return hm_f16_to_f32(half);
}

static const double fp4_magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

static double number_value(hm_format format, int number)
{
    if (format != HM_FORMAT_FP4)
        return number;
    return number & 8 ? -fp4_magnitudes[number & 7] : fp4_magnitudes[number];
}

/* The nearest of the format's numbers, by trying all of them. */
static double nearest(hm_format format, double x)
{
    double best = 1e300;
    for (int n = format == HM_FORMAT_INT8   ? -127
                 : format == HM_FORMAT_INT4 ? -8
                                            : 0;
         n <= (format == HM_FORMAT_INT8   ? 127
               : format == HM_FORMAT_INT4 ? 7
                                          : 15);
         n++)
        if (fabs(number_value(format, n) - x) < fabs(best - x))
            best = number_value(format, n);
    return best;
}

typedef struct group {
    float w[GROUP];
    int n;
    double most; /* largest magnitude */
    double signed_most;
} group;

static group group_at(const float *w, const shape *s, int o, int t, int first)
{
    group g = {.n = s->in - first < GROUP ? s->in - first : GROUP};
    for (int i = 0; i < g.n; i++) {
        g.w[i] = w[place(s, o, t, first + i)];
        if (fabs((double)g.w[i]) > g.most) {
            g.signed_most = g.w[i];
            g.most = fabs((double)g.w[i]);
        }
    }
    return g;
}

/* Squared error of a group under a scale, each weight at its nearest number. */
static double error_under(const group *g, hm_format format, double scale)
{
    double sum = 0;
    for (int i = 0; i < g->n; i++) {
        double d = g->w[i] - (scale != 0 ? scale * nearest(format, g->w[i] / scale) : 0);
        sum += d * d;
    }
    return sum;
}

/* The scale that maps the largest weight onto the largest number, as it would be stored. */
static double plain_scale(const group *g, hm_format format)
{
    double exact = format == HM_FORMAT_INT8 ? g->most / 127 : format == HM_FORMAT_INT4 ? g->signed_most / -8 : g->most / 6;
    return hm_f16_to_f32(hm_f32_to_f16((float)exact));
}

/* Numbers are the nearest under the stored scale, the scale is as good as the plain one, values are scale * number. Squared error. */
static double check_group(const packed *p, hm_format format, const shape *s, const float *w, int o, int t, int first)
{
    group g = group_at(w, s, o, t, first);
    double found = 0, plain = error_under(&g, format, plain_scale(&g, format));
    for (int i = 0; i < g.n; i++) {
        int number;
        float scale = stored_scale(p, format, s, o, t, first + i, &number);
        double v = (double)scale * number_value(format, number), d = g.w[i] - v;
        assert_true(value(p, format, s, o, t, first + i) == (float)v);
        assert_true(fabs(d) <= fabs(g.w[i] - scale * nearest(format, scale != 0 ? (double)g.w[i] / scale : 0)) * (1 + 1e-5) + 1e-30);
        if (format == HM_FORMAT_INT8) { /* exact: one division, one rounding */
            assert_int_equal(number, scale != 0 ? (int)nearbyintf(g.w[i] / scale) : 0);
            assert_true(fabs(d) <= g.most / 127 / 2 * (1 + 0x1p-10) + 0x1p-25);
        }
        found += d * d;
    }
    if (format == HM_FORMAT_INT8 && plain_scale(&g, format) > 0x1p-14)
        assert_true(found <= plain * (1 + 1e-6) && found >= plain * (1 - 1e-6));
    assert_true(found <= plain * (1 + 1e-5) + 1e-30);
    return found;
}

static double check_all_groups(const packed *p, hm_format format, const shape *s, const float *w)
{
    double sum = 0;
    for (int o = 0; o < s->out; o++)
        for (int t = 0; t < s->taps; t++)
            for (int i = 0; i < s->in; i += GROUP)
                sum += check_group(p, format, s, w, o, t, i);
    return sum;
}

/* Relative root mean square error of normal-like weights: what a uniform grid of so many steps, or e2m1, leaves. */
static double most_error(hm_format format)
{
    return format == HM_FORMAT_INT8 ? 0.006 : format == HM_FORMAT_INT4 ? 0.085 : 0.11;
}

static void quantised_weights_are_the_nearest_under_the_best_scale(void **state)
{
    (void)state;
    for (int f = HM_FORMAT_INT8; f <= HM_FORMAT_FP4; f++)
        for (int i = 0; i < SHAPES; i++) {
            float *w = random_weights(&shapes[i], 21);
            packed p = pack(w, HM_F32, &shapes[i], (hm_format)f);
            double power = 0, error = check_all_groups(&p, (hm_format)f, &shapes[i], w);
            for (size_t j = 0; j < values(&shapes[i]); j++)
                power += (double)w[j] * w[j];
            assert_true(sqrt(error / power) < most_error((hm_format)f));
            free(p.memory);
            free(w);
        }
}

static void padding_of_quantised_panels_is_worth_nothing(void **state)
{
    (void)state;
    const shape s = {18, 70, 2, false}, whole = {32, 128, 2, false};
    float *w = random_weights(&s, 22);
    for (int f = HM_FORMAT_INT8; f <= HM_FORMAT_FP4; f++) {
        packed p = pack(w, HM_F32, &s, (hm_format)f);
        for (int o = 0; o < whole.out; o++)
            for (int t = 0; t < 2; t++)
                for (int i = 0; i < whole.in; i++)
                    if (o >= s.out || i >= s.in)
                        assert_true(hm_panel_value(p.panels, (hm_format)f, whole.in, 2, o, t, i) == 0);
        free(p.memory);
    }
    free(w);
}

static void stored_types_quantise_like_their_float32_values(void **state)
{
    (void)state;
    const shape s = {37, 99, 2, false};
    float *w = random_weights(&s, 23);
    for (int type = HM_BF16; type <= HM_F16; type++) {
        void *h = narrowed(w, values(&s), (hm_dtype)type);
        float *wide = malloc(values(&s) * sizeof *wide);
        assert_non_null(wide);
        hm_to_f32(wide, h, (hm_dtype)type, values(&s));
        for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++) {
            packed a = pack(h, (hm_dtype)type, &s, (hm_format)f), b = pack(wide, HM_F32, &s, (hm_format)f);
            assert_memory_equal(a.panels, b.panels, a.bytes);
            free(a.memory);
            free(b.memory);
        }
        free(wide);
        free(h);
    }
    free(w);
}

/* --- e4m3 --- */

/* The nearest of all numbers that e4m3 has, the even one on ties. */
static uint8_t nearest_e4m3(double x)
{
    int best = 0;
    for (int b = 0; b < 0x7F; b++) {
        double d = fabs((double)hm_e4m3_to_f32((uint8_t)b) - fabs(x)), least = fabs((double)hm_e4m3_to_f32((uint8_t)best) - fabs(x));
        if (d < least || (d == least && b % 2 == 0))
            best = b;
    }
    return (uint8_t)(best | (signbit(x) ? 0x80 : 0));
}

/* Every byte is the nearest number under its output's scale: the least power of two, from 2^-117 on, under which all are at most 448. */
static void check_fp8(const float *w, const shape *s)
{
    packed p = pack(w, HM_F32, s, HM_FORMAT_FP8);
    size_t depth = (size_t)hm_panel_depth(HM_FORMAT_FP8, s->in, s->taps), tap_depth = depth / (size_t)s->taps, bytes = depth * 16 + 64;
    for (int o = 0; o < (s->out + 15) / 16 * 16; o++) {
        const uint8_t *panel = p.panels + (size_t)(o / 16) * bytes;
        float scale, most = 0;
        memcpy(&scale, panel + depth * 16 + (size_t)(o % 16) * 4, sizeof scale);
        for (size_t k = 0; k < depth; k++)
            most = fmaxf(most, fabsf(expected_at(w, s, (int64_t)tap_depth, o, (int64_t)k)));
        assert_true(scale == ldexpf(1, ilogbf(scale)) && scale >= 0x1p-117f);
        assert_true(most / scale <= 448 && (most / scale > 224 || scale == 0x1p-117f));
        for (size_t k = 0; k < depth; k++) {
            float exact = expected_at(w, s, (int64_t)tap_depth, o, (int64_t)k);
            uint8_t found = panel[(k / 2 * 16 + (size_t)(o % 16)) * 2 + k % 2];
            assert_int_equal(found, nearest_e4m3((double)exact / (double)scale));
            if (o < s->out && k % tap_depth < (size_t)s->in)
                assert_true(value(&p, HM_FORMAT_FP8, s, o, (int)(k / tap_depth), (int)(k % tap_depth)) == scale * hm_e4m3_to_f32(found));
        }
    }
    free(p.memory);
}

static void weights_of_e4m3_are_the_nearest_under_a_power_of_two(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        float *w = random_weights(&shapes[i], 24);
        check_fp8(w, &shapes[i]);
        free(w);
    }
}

static void extremes_of_e4m3_are_kept_as_well_as_it_can(void **state)
{
    (void)state;
    static float w[16 * 64]; /* output 0: zeros */
    const shape s = {16, 64, 1, false};
    for (int i = 0; i < 64; i++) {
        w[1 * 64 + i] = i == 5 ? 60000 : 0x1p-140f * (float)i; /* one great weight among denormal ones */
        w[2 * 64 + i] = 0x1p-140f * (float)(i + 1);
        w[3 * 64 + i] = i % 2 ? 448 * 0x1p119f : -0.0f;
        w[4 * 64 + i] = i % 2 ? 448 : -449; /* just beyond the greatest of a scale */
        w[5 * 64 + i] = 0x1p-117f * (float)(i - 32);
        w[6 * 64 + i] = ldexpf(1.3f, -i);
    }
    check_fp8(w, &s);
}

/* --- hostile values --- */

static const shape hostile_shape = {16, 64, 1, false};

static void groups_of_extremes_are_kept_as_well_as_the_format_can(void **state)
{
    (void)state;
    static float w[16 * 64];
    memset(w, 0, sizeof w); /* output 0: all zeros */
    w[1 * 64 + 5] = 60000;  /* one huge weight among zeros ... */
    w[2 * 64 + 5] = -60000; /* ... and below zero */
    for (int i = 0; i < 64; i++) {
        w[2 * 64 + i] += (float)(i - 32);
        w[3 * 64 + i] = 0x1p-140f * (float)(i + 1); /* denormal */
        w[4 * 64 + i] = i % 2 ? -0.0f : 0x1p-24f;
        w[5 * 64 + i] = 3e-6f * (float)(i % 7 - 3); /* scales among the smallest float16 */
        w[6 * 64 + i] = i % 2 ? -1.0f : 1.0f;
        w[7 * 64 + i] = 2e-7f * (float)(i % 5);
    }
    for (int f = HM_FORMAT_INT8; f <= HM_FORMAT_FP4; f++) {
        packed p = pack(w, HM_F32, &hostile_shape, (hm_format)f);
        for (int o = 0; o < 16; o++)
            for (int i = 0; i < 64; i++) {
                float v = value(&p, (hm_format)f, &hostile_shape, o, 0, i), most = 0;
                for (int j = i / 32 * 32; j < i / 32 * 32 + 32; j++)
                    most = fabsf(w[o * 64 + j]) > most ? fabsf(w[o * 64 + j]) : most;
                assert_true(isfinite(v) && fabsf(v - w[o * 64 + i]) <= most * (f == HM_FORMAT_INT8 ? 0.5f / 126 : 0.26f) + 0x1p-25f);
            }
        for (int i = 0; i < 64; i++)
            assert_true(value(&p, (hm_format)f, &hostile_shape, 0, 0, i) == 0);
        assert_true(fabsf(value(&p, (hm_format)f, &hostile_shape, 1, 0, 5) - 60000) < 60000 * 0x1p-10f);
        free(p.memory);
    }
}

static void check_refused(hm_format format, float hostile, bool in_out)
{
    const shape s = {19, 70, 2, in_out};
    float *w = random_weights(&s, 31);
    size_t bytes = hm_panels_bytes(format, s.out, s.in, s.taps);
    void *dst = aligned_alloc(64, bytes);
    hm_panel_source source = {w, HM_F32, s.out, s.in, s.taps, in_out};
    int64_t bad = -1;
    assert_non_null(dst);
    w[place(&s, 18, 1, 69)] = hostile;
    assert_false(hm_panels_pack(dst, format, &source, NULL, &bad));
    assert_int_equal(bad, 18 * 140 + 139);
    w[place(&s, 17, 0, 3)] = hostile;
    assert_false(hm_panels_pack(dst, format, &source, NULL, &bad));
    assert_int_equal(bad, 17 * 140 + 3);
    free(dst);
    free(w);
}

static void weights_that_the_format_cannot_hold_are_refused_by_place(void **state)
{
    (void)state;
    for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++)
        for (int in_out = 0; in_out < 2; in_out++) {
            check_refused((hm_format)f, NAN, in_out);
            check_refused((hm_format)f, -INFINITY, in_out);
            if (f != HM_FORMAT_F32)
                check_refused((hm_format)f, FLT_MAX, in_out);
        }
    check_refused(HM_FORMAT_F16, 65520, false);
    check_refused(HM_FORMAT_INT8, 127 * 65504 + 1, false);
    check_refused(HM_FORMAT_INT4, -7 * 65504 - 1, false);
    check_refused(HM_FORMAT_FP4, 6 * 65504 + 1, false);
    check_refused(HM_FORMAT_FP8, nextafterf(448 * 0x1p119f, INFINITY), false);
}

static void the_largest_weight_of_each_format_is_kept(void **state)
{
    (void)state;
    static const float most[HM_FORMAT_COUNT] = {
        [HM_FORMAT_F32] = FLT_MAX,     [HM_FORMAT_BF16] = 0x1.FEp127f, [HM_FORMAT_F16] = 65504,         [HM_FORMAT_INT8] = 127 * 65504,
        [HM_FORMAT_INT4] = -7 * 65504, [HM_FORMAT_FP4] = 6 * 65504,    [HM_FORMAT_FP8] = 448 * 0x1p119f};
    static float w[16 * 64];
    for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++) {
        w[70] = most[f];
        packed p = pack(w, HM_F32, &hostile_shape, (hm_format)f);
        assert_true(fabsf(value(&p, (hm_format)f, &hostile_shape, 1, 0, 6) / most[f] - 1) <= 0x1p-10f);
        free(p.memory);
    }
}

static void bytes_do_not_depend_on_threads(void **state)
{
    (void)state;
    const shape large[] = {{1000, 129, 1, false}, {530, 200, 1, true}};
    hm_team *team;
    assert_int_equal(hm_team_open(&team, 4, NULL), HM_OK);
    for (int i = 0; i < 2; i++) {
        float *w = random_weights(&large[i], 41);
        for (int f = HM_FORMAT_F32; f < HM_FORMAT_COUNT; f++) {
            packed one = pack(w, HM_F32, &large[i], (hm_format)f), four = pack_on(w, HM_F32, &large[i], (hm_format)f, team);
            assert_memory_equal(one.panels, four.panels, one.bytes);
            free(one.memory);
            free(four.memory);
        }
        free(w);
    }
    hm_team_close(&team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_names_and_sizes),
        cmocka_unit_test(every_weight_lies_where_the_layout_says_and_keeps_its_value),
        cmocka_unit_test(every_half_and_bfloat_survives),
        cmocka_unit_test(quantised_weights_are_the_nearest_under_the_best_scale),
        cmocka_unit_test(padding_of_quantised_panels_is_worth_nothing),
        cmocka_unit_test(stored_types_quantise_like_their_float32_values),
        cmocka_unit_test(weights_of_e4m3_are_the_nearest_under_a_power_of_two),
        cmocka_unit_test(extremes_of_e4m3_are_kept_as_well_as_it_can),
        cmocka_unit_test(groups_of_extremes_are_kept_as_well_as_the_format_can),
        cmocka_unit_test(weights_that_the_format_cannot_hold_are_refused_by_place),
        cmocka_unit_test(the_largest_weight_of_each_format_is_kept),
        cmocka_unit_test(bytes_do_not_depend_on_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
