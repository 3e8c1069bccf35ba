/* Convolution weights folded into the layout of linear, the end-of-song flag and the pick, against plain loops. */
#include "tests/kernels/kernel_check.h"

#include "engine/base/dtype.h"
#include "engine/cpu/fold.h"

/* n values as the file would hold them, and what they mean. */
static void *stored_values(hm_dtype type, size_t n, uint64_t seed, float *meaning)
{
    uint16_t *half = malloc(n * 4);
    float *full = (float *)half;
    assert_non_null(half);
    for (size_t i = 0; i < n; i++) {
        float f = next_float(&seed) * 3.0f;
        if (type == HM_F32)
            full[i] = meaning[i] = f;
        else {
            half[i] = type == HM_BF16 ? hm_f32_to_bf16(f) : hm_f32_to_f16(f);
            meaning[i] = type == HM_BF16 ? hm_bf16_to_f32(half[i]) : hm_f16_to_f32(half[i]);
        }
    }
    return half;
}

/* W[a][b][t] = v (g[a] / ||v[a]||), or v itself without g. */
static double folded(const float *v, const float *g, int d1, int taps, int a, int b, int t)
{
    size_t n = (size_t)d1 * (size_t)taps;
    const float *row = v + (size_t)a * n;
    double sum = 0, w = (double)row[b * taps + t];
    for (size_t i = 0; i < n; i++)
        sum += (double)row[i] * (double)row[i];
    return g ? w * ((double)g[a] / sqrt(sum)) : w;
}

/* The layouts of ops.h, read from the destination's side. */
static void check_layout(const float *dst, const float *v, const float *g, int d0, int d1, int taps, int stride)
{
    int rows = stride ? stride * d1 : d0, places = stride ? taps / stride : taps, in = stride ? d0 : d1;
    for (int row = 0; row < rows; row++)
        for (int place = 0; place < places; place++)
            for (int i = 0; i < in; i++) {
                int a = stride ? i : row, b = stride ? row % d1 : i;
                int t = !stride ? place : row / d1 + (places - 1 - place) * stride;
                double expected = folded(v, g, d1, taps, a, b, t);
                size_t at = ((size_t)row * (size_t)places + (size_t)place) * (size_t)in + (size_t)i;
                if (!g)
                    assert_true((double)dst[at] == expected); /* only moved */
                else
                    assert_near(dst[at], expected, 4 * 0x1p-24 * fabs(expected), "folded weight", at); /* three roundings of float */
            }
}

static void check_fold(rig *r, hm_dtype type, int with_norm, int d0, int d1, int taps, int stride)
{
    size_t n = (size_t)d0 * (size_t)d1 * (size_t)taps;
    float *meaning = guarded_alloc(n), *dst = guarded_alloc(n), *g = random_floats((size_t)d0, 5, 2.0f);
    void *v = stored_values(type, n, n + (uint64_t)type, meaning);
    uint64_t values = r->count.table_values;
    hm_cpu_fold_conv(
        &r->op,
        &(hm_fold_args){.dst = dst, .v = v, .type = type, .g = with_norm ? g : NULL, .d0 = d0, .d1 = d1, .taps = taps, .stride = stride});
    check_layout(dst, meaning, with_norm ? g : NULL, d0, d1, taps, stride);
    assert_int_equal(r->count.table_values - values, n);
    free(v);
    guarded_free(meaning, n);
    guarded_free(dst, n);
    guarded_free(g, (size_t)d0);
}

/* transposed: 0, or the kernel in strides. */
static void check_shapes(int transposed, const int shapes[][3], size_t count)
{
    static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};
    for (int threads = 1; threads <= 3; threads++) {
        rig r;
        rig_open(&r, threads, HM_ISA_SCALAR);
        for (size_t s = 0; s < count; s++)
            for (int type = 0; type < 3; type++)
                for (int norm = 0; norm < 2; norm++) {
                    int stride = transposed ? shapes[s][2] : 0, taps = transposed ? transposed * shapes[s][2] : shapes[s][2];
                    check_fold(&r, types[type], norm, shapes[s][0], shapes[s][1], taps, stride);
                }
        rig_close(&r);
    }
}

static void plain_convolutions_fold_by_output_tap_and_input(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1}, {1, 7, 3}, {5, 1, 7}, {3, 4, 1}, {16, 33, 7}, {2, 3, 5}};
    check_shapes(0, shapes, sizeof shapes / sizeof *shapes);
}

static void transposed_convolutions_fold_by_phase_and_earlier_inputs(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1}, {3, 2, 1}, {4, 3, 2}, {7, 5, 3}, {16, 9, 4}, {2, 1, 5}}; /* last: stride */
    for (int inputs = 1; inputs <= 3; inputs++)
        check_shapes(inputs, shapes, sizeof shapes / sizeof *shapes);
}

/* y[m*u + r] = sum over inputs of x[m - back] v[.][o][r + back*u], against the folded weights as a row convolution. */
static void check_transposed(rig *r, int in, int out, int u, int inputs)
{
    enum {
        M = 37
    };
    int taps = inputs * u, before = inputs - 1, wide = u * out;
    size_t n_v = (size_t)in * (size_t)out * (size_t)taps, n_x = (size_t)(M + before) * (size_t)in, n_y = M * (size_t)wide;
    float *v = random_floats(n_v, 1, 1.0f), *x = random_floats(n_x, 2, 1.0f), *w = guarded_alloc(n_v), *y = guarded_alloc(n_y);
    hm_cpu_fold_conv(&r->op, &(hm_fold_args){.dst = w, .v = v, .d0 = in, .d1 = out, .taps = taps, .stride = u});
    hm_linear linear = {.w = w, .type = HM_F32, .out = wide, .in = in, .taps = inputs};
    r->op.linear_ex(&r->op, &(hm_linear_args){.y = y, .x = x, .w = &linear, .M = M});
    for (int t = 0; t < M * u; t++)
        for (int o = 0; o < out; o++) {
            double z = 0, size = 0;
            for (int k = t % u; k < taps; k += u)
                for (int i = 0; i < in; i++) {
                    double term = (double)x[(t / u - k / u + before) * in + i] * (double)v[(i * out + o) * taps + k];
                    z += term;
                    size += fabs(term);
                }
            assert_near(y[t * out + o], z, 2e-6 * size + 1e-37, "transposed convolution", (size_t)(t * out + o));
        }
    guarded_free(v, n_v);
    guarded_free(x, n_x);
    guarded_free(w, n_v);
    guarded_free(y, n_y);
}

static void folded_weights_convolve_with_and_without_overlap(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (int inputs = 1; inputs <= 3; inputs++)
            for (int u = 1; u <= 8; u += u < 3 ? 1 : 5)
                for (int in = 1; in <= 40; in = in * 3 + 2) {
                    check_transposed(&r, in, 1, u, inputs);
                    check_transposed(&r, in, 13, u, inputs);
                }
        rig_close(&r);
    }
}

/* Columns of every row of the whole. */
static void ranges_of_inputs_fold_to_columns_of_the_whole(void **state)
{
    enum {
        OUT = 5,
        IN = 13,
        TAPS = 3
    };
    rig r;
    (void)state;
    rig_open(&r, 2, HM_ISA_SCALAR);
    float *v = random_floats(OUT * IN * TAPS, 4, 1.0f), *g = random_floats(OUT, 5, 2.0f), whole[OUT * TAPS * IN];
    for (int norm = 0; norm < 2; norm++) {
        hm_fold_args f = {.dst = whole, .v = v, .g = norm ? g : NULL, .d0 = OUT, .d1 = IN, .taps = TAPS};
        hm_cpu_fold_conv(&r.op, &f);
        for (f.first = 0; f.first < IN; f.first += 3)
            for (f.columns = 1; f.first + f.columns <= IN; f.columns++) {
                size_t n = (size_t)f.columns, values = r.count.table_values;
                f.dst = guarded_alloc(OUT * TAPS * n);
                hm_cpu_fold_conv(&r.op, &f);
                for (size_t row = 0; row < OUT * TAPS; row++)
                    assert_same_bytes(f.dst + row * n, whole + row * IN + f.first, n);
                assert_int_equal(r.count.table_values - values, OUT * TAPS * n);
                guarded_free(f.dst, OUT * TAPS * n);
            }
    }
    guarded_free(v, OUT * IN * TAPS);
    guarded_free(g, OUT);
    rig_close(&r);
}

/* y[t] = sum over taps of w[j] x[(t - (taps-1) + j) div repeat], zeros before the first row, against the folded weights over x itself. */
static void check_repeated(rig *r, int taps, int repeat, int in, int out)
{
    enum {
        M = 23
    };
    int places = (taps - 1 + repeat - 1) / repeat + 1, wide = repeat * out;
    size_t n_v = (size_t)(in * out * taps), n_w = (size_t)(wide * places * in), n_y = (size_t)(M * wide);
    float *v = random_floats(n_v, 1, 1.0f), *w = guarded_alloc(n_w), *y = guarded_alloc(n_y);
    float *x = random_floats((size_t)((M + places - 1) * in), 2, 1.0f), *rows = x + (places - 1) * in;
    uint64_t values = r->count.table_values;
    memset(x, 0, (size_t)((places - 1) * in) * sizeof *x);
    hm_cpu_fold_conv(&r->op, &(hm_fold_args){.dst = w, .v = v, .d0 = out, .d1 = in, .taps = taps, .repeat = repeat});
    assert_int_equal(r->count.table_values - values, n_w);
    hm_linear linear = {.w = w, .type = HM_F32, .out = wide, .in = in, .taps = places};
    r->op.linear_ex(&r->op, &(hm_linear_args){.y = y, .x = x, .w = &linear, .M = M});
    for (int t = 0; t < M * repeat; t++)
        for (int o = 0; o < out; o++) {
            double z = 0, size = 0;
            for (int j = taps - 1 > t ? taps - 1 - t : 0; j < taps; j++)
                for (int i = 0; i < in; i++) {
                    double term = (double)rows[(t - (taps - 1) + j) / repeat * in + i] * (double)v[(o * in + i) * taps + j];
                    z += term;
                    size += fabs(term);
                }
            assert_near(y[t * out + o], z, 2e-6 * size + 1e-37, "repeated rows", (size_t)(t * out + o));
        }
    guarded_free(v, n_v);
    guarded_free(w, n_w);
    guarded_free(y, n_y);
    guarded_free(x, (size_t)((M + places - 1) * in));
}

static void folded_weights_convolve_repeated_rows_without_repeating_them(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (int taps = 1; taps <= 9; taps++)
            for (int repeat = 2; repeat <= 5; repeat++) {
                check_repeated(&r, taps, repeat, 3, 2);
                check_repeated(&r, taps, repeat, 16, 17);
            }
        rig_close(&r);
    }
}

static void inputs_that_are_not_there_are_refused(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    float v[8] = {0}, w[32] = {0};
    const hm_fold_args wrong[] = {
        {.first = 1, .columns = 4}, {.first = -1, .columns = 2}, {.columns = 2, .stride = 2}, {.stride = 2, .repeat = 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hm_fold_args f = wrong[i];
        f.dst = w;
        f.v = v;
        f.d0 = 1;
        f.d1 = 4;
        f.taps = 2;
        hm_cpu_fold_conv(&r.op, &f);
        assert_int_equal(r.error.status, HM_EBUG);
        assert_non_null(strstr(r.error.text, "of 4"));
        r.error = (hm_error){0};
    }
    rig_close(&r);
}

static void a_kernel_between_two_strides_is_refused(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    float v[7] = {0}, w[7] = {0};
    hm_cpu_fold_conv(&r.op, &(hm_fold_args){.dst = w, .v = v, .d0 = 1, .d1 = 1, .taps = 7, .stride = 2});
    assert_int_equal(r.error.status, HM_EBUG);
    assert_non_null(strstr(r.error.text, "kernel 7 at stride 2"));
    r.error = (hm_error){0};
    rig_close(&r);
}

static void the_flag_rises_when_any_token_reaches_the_limit(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 2, HM_ISA_SCALAR);
    for (int n = 1; n <= 9; n++)
        for (int at = -1; at < n; at++) {
            int32_t tokens[9], flag = 77;
            for (int i = 0; i < n; i++)
                tokens[i] = i == at ? 8193 : i % 2 ? 8192 : -5;
            hm_cpu_any_at_least(&r.op, &flag, tokens, n, 8193);
            assert_int_equal(flag, at >= 0);
            hm_cpu_any_at_least(&r.op, &flag, tokens, n, at >= 0 ? 8194 : -5);
            assert_int_equal(flag, at < 0);
        }
    int32_t flag = 77, none = INT32_MAX;
    hm_cpu_any_at_least(&r.op, &flag, &none, 0, 0);
    assert_int_equal(flag, 0);
    rig_close(&r);
}

static void pick_takes_the_value_at_the_index(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    float *x = random_floats(50, 8, 1.0f), *y = guarded_alloc(1);
    for (int32_t i = 0; i < 50; i++) {
        hm_cpu_pick(&r.op, y, x, &i);
        assert_same_bytes(y, x + i, 1);
    }
    guarded_free(x, 50);
    guarded_free(y, 1);
    rig_close(&r);
}

static void nothing_is_folded_after_a_failure(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    float dst = 5.0f, v = 2.0f;
    int32_t flag = 77, token = 9, index = 0;
    hm_fail(&r.error, HM_EABSENT, "an earlier failure");
    hm_cpu_fold_conv(&r.op, &(hm_fold_args){.dst = &dst, .v = &v, .d0 = 1, .d1 = 1, .taps = 1});
    hm_cpu_any_at_least(&r.op, &flag, &token, 1, 1);
    hm_cpu_pick(&r.op, &dst, &v, &index);
    assert_true(dst == 5.0f && flag == 77 && r.count.table_values == 0);
    r.error = (hm_error){0};
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_convolutions_fold_by_output_tap_and_input),
        cmocka_unit_test(transposed_convolutions_fold_by_phase_and_earlier_inputs),
        cmocka_unit_test(folded_weights_convolve_with_and_without_overlap),
        cmocka_unit_test(ranges_of_inputs_fold_to_columns_of_the_whole),
        cmocka_unit_test(folded_weights_convolve_repeated_rows_without_repeating_them),
        cmocka_unit_test(inputs_that_are_not_there_are_refused),
        cmocka_unit_test(a_kernel_between_two_strides_is_refused),
        cmocka_unit_test(the_flag_rises_when_any_token_reaches_the_limit),
        cmocka_unit_test(pick_takes_the_value_at_the_index),
        cmocka_unit_test(nothing_is_folded_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
