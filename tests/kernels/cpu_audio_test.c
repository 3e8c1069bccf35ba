/* What waveform decoders and encoders of audio need, against plain loops in double, for every instruction set the machine has. */
#include "tests/kernels/kernel_check.h"

static const int column_sizes[][2] = {{1, 1}, {5, 3}, {2, 64}, {37, 65}, {130, 16}, {9, 200}, {1100, 7}};
#define COLUMN_SIZES (sizeof column_sizes / sizeof *column_sizes)

/* Sine within 2e-7, hence its square within 4e-7; then the products and the sum round. */
static void check_snake(rig *r)
{
    static const float ranges[] = {1e-3f, 1.0f, 20.0f, 150.0f};
    for (size_t c = 0; c < COLUMN_SIZES; c++)
        for (int range = 0; range < 4; range++) {
            int M = column_sizes[c][0], C = column_sizes[c][1];
            size_t n = (size_t)(M * C), columns = (size_t)C;
            float *x = random_floats(n, c + 1, ranges[range]), *y = guarded_alloc(n);
            float *a = random_floats(columns, 2, 2.0f), *b = random_floats(columns, 3, 3.0f);
            r->op.snake(&r->op, y, x, a, b, M, C);
            for (size_t i = 0; i < n; i++) {
                double s = sin((double)(a[i % columns] * x[i])), e = (double)x[i] + (double)b[i % columns] * s * s;
                assert_near(y[i], e, 4e-7 * fabs((double)b[i % columns] * s) + 1.2e-7 * (fabs(e) + fabs((double)x[i])), "snake", i);
            }
            r->op.snake(&r->op, x, x, a, b, M, C);
            assert_same_bytes(x, y, n);
            guarded_free(x, n);
            guarded_free(y, n);
            guarded_free(a, columns);
            guarded_free(b, columns);
        }
}

static void snake_is_right_for_arguments_of_hundreds(void **state)
{
    (void)state;
    for_each_isa(check_snake);
}

/* The sine alone: a factor b so great that x beside it is nothing. */
static void check_sine(rig *r)
{
    enum {
        N = 60000
    };
    float *x = guarded_alloc(N), *y = guarded_alloc(N), a = 1.0f, b = 0x1p100f;
    uint64_t seed = 4;
    for (int i = 0; i < N; i++)
        x[i] = i % 3 == 0 ? (float)(M_PI / 2 * (next_random(&seed) % 400)) : next_float(&seed) * (i % 2 ? 700.0f : 9000.0f);
    r->op.snake(&r->op, y, x, &a, &b, N, 1);
    for (size_t i = 0; i < N; i++)
        assert_near((float)sqrt((double)y[i] * 0x1p-100), fabs(sin((double)x[i])), 2e-7, "sine", i);
    static const float hostile[] = {1e20f, -3e38f, 1e-40f, INFINITY, NAN};
    for (int i = 0; i < 5; i++) {
        float z = hostile[i], one = 1.0f;
        r->op.snake(&r->op, &z, &z, &one, &one, 1, 1);
        assert_true(i < 3 ? fabsf(z - hostile[i]) <= 1.0f : !isfinite(z));
    }
    guarded_free(x, N);
    guarded_free(y, N);
}

static void the_sine_of_snake_is_within_two_ten_millionths(void **state)
{
    (void)state;
    for_each_isa(check_sine);
}

static void check_factors(rig *r)
{
    enum {
        C = 77
    };
    float *alpha = random_floats(C, 1, 4.0f), *beta = random_floats(C, 2, 4.0f), *a = guarded_alloc(C), *b = guarded_alloc(C);
    beta[3] = -60.0f; /* the floor of the denominator counts */
    r->op.snake_factors(&r->op, a, b, alpha, beta, C);
    assert_int_equal(r->count.table_values, 2 * C);
    for (size_t i = 0; i < C; i++) {
        double e = 1 / (exp((double)beta[i]) + 1e-9);
        assert_near(a[i], exp((double)alpha[i]), 1.2e-7 * exp((double)alpha[i]), "a", i);
        assert_near(b[i], e, 2.4e-7 * e, "b", i);
    }
    guarded_free(alpha, C);
    guarded_free(beta, C);
    guarded_free(a, C);
    guarded_free(b, C);
}

static void snake_factors_are_exponentials(void **state)
{
    (void)state;
    for_each_isa(check_factors);
}

static void check_depthwise(rig *r, int M, int C, int taps, int step)
{
    size_t n_x = (size_t)(M + (taps - 1) * step) * (size_t)C, n = (size_t)(M * C), n_w = (size_t)(C * taps);
    float *x = random_floats(n_x, 1, 1.0f), *w = random_floats(n_w, 2, 1.0f), *bias = random_floats((size_t)C, 3, 1.0f),
          *y = guarded_alloc(n);
    for (int with = 0; with < 2; with++) {
        uint64_t flops = r->count.flops, read = r->count.weight_bytes;
        r->op.depthwise(&r->op, y, x, w, with ? bias : NULL, M, C, taps, step);
        assert_int_equal(r->count.flops - flops, 2 * n * (size_t)taps);
        assert_int_equal(r->count.weight_bytes - read, 4 * (n_w + (with ? (size_t)C : 0)));
        for (size_t i = 0; i < n; i++) {
            int m = (int)i / C, c = (int)i % C;
            float z = with ? bias[c] : 0.0f; /* taps in order: one right answer */
            for (int j = 0; j < taps; j++) {
                float product = w[c * taps + j] * x[(m + j * step) * C + c];
                z = z + product;
            }
            assert_true(y[i] == z);
        }
    }
    guarded_free(x, n_x);
    guarded_free(w, n_w);
    guarded_free(bias, (size_t)C);
    guarded_free(y, n);
}

static void check_depthwise_sizes(rig *r)
{
    for (size_t c = 0; c < COLUMN_SIZES; c++)
        for (int taps = 1; taps <= 7; taps += 2)
            check_depthwise(r, column_sizes[c][0], column_sizes[c][1], taps, 1 + taps % 3);
    check_depthwise(r, 3, 5, 256, 1);
}

static void depthwise_convolutions_sum_their_taps_in_order(void **state)
{
    (void)state;
    for_each_isa(check_depthwise_sizes);
}

/* Bound 1e-6 of the magnitudes that are summed; sums are in double, so it is rounding of the results and of exponentials. */
static void check_statistics(rig *r)
{
    for (size_t k = 0; k < COLUMN_SIZES; k++) {
        int M = column_sizes[k][0], C = column_sizes[k][1];
        size_t n = (size_t)(M * C), columns = (size_t)C;
        float *x = random_floats(n, k, 3.0f), *w = random_floats(n, k + 9, 10.0f), *scores = guarded_alloc(n);
        float *mean = guarded_alloc(columns), *std = guarded_alloc(columns), *plain = guarded_alloc(columns),
              *plain_std = guarded_alloc(columns);
        memcpy(scores, w, n * sizeof *w);
        for (size_t c = 0; c < columns && c < 2; c++)
            for (int m = 0; m < M; m++)
                x[(size_t)m * columns + c] = 2.5f; /* no spread: the floor */
        r->op.softmax_columns(&r->op, w, M, C);
        r->op.moments(&r->op, mean, std, x, w, M, C, 1e-3f);
        r->op.moments(&r->op, plain, plain_std, x, NULL, M, C, 1e-3f);
        for (int c = 0; c < C; c++) {
            double sum = 0, weighted = 0, even = 0, square = 0, even_square = 0;
            for (int m = 0; m < M; m++)
                sum += exp((double)scores[m * C + c]);
            for (int m = 0; m < M; m++) {
                double p = exp((double)scores[m * C + c]) / sum;
                assert_near(w[m * C + c], p, 1e-6 * p + 1e-12, "softmax_columns", (size_t)(m * C + c));
                weighted += (double)w[m * C + c] * (double)x[m * C + c];
                even += (double)x[m * C + c] / M;
            }
            for (int m = 0; m < M; m++) {
                double v = (double)x[m * C + c];
                square += (double)w[m * C + c] * (v - weighted) * (v - weighted);
                even_square += (v - even) * (v - even) / M;
            }
            assert_near(mean[c], weighted, 3e-7 * (fabs(weighted) + 1), "mean", (size_t)c);
            assert_near(plain[c], even, 3e-7 * (fabs(even) + 1), "plain mean", (size_t)c);
            assert_near(std[c], sqrt(fmax(square, (double)1e-3f)), 1e-6, "std", (size_t)c);
            assert_near(plain_std[c], sqrt(fmax(even_square, (double)1e-3f)), 1e-6, "plain std", (size_t)c);
        }
        r->op.moments(&r->op, mean, NULL, x, NULL, M, C, 0.0f);
        assert_same_bytes(mean, plain, columns);
        r->op.scale_columns(&r->op, scores, x, mean, M, C);
        for (size_t i = 0; i < n; i++)
            assert_true(scores[i] == x[i] * mean[i % columns]);
        r->op.scale_columns(&r->op, x, x, mean, M, C);
        assert_same_bytes(x, scores, n);
        float *const of_n[] = {x, w, scores}, *const of_columns[] = {mean, std, plain, plain_std};
        for (int i = 0; i < 3; i++)
            guarded_free(of_n[i], n);
        for (int i = 0; i < 4; i++)
            guarded_free(of_columns[i], columns);
    }
}

static void statistics_go_down_the_columns(void **state)
{
    (void)state;
    for_each_isa(check_statistics);
}

static void check_reflection(rig *r)
{
    for (size_t k = 0; k < COLUMN_SIZES; k++) {
        int M = column_sizes[k][0], C = column_sizes[k][1];
        for (int left = 0; left < M; left = left * 2 + 1)
            for (int right = 0; right < M; right = right * 3 + 2) {
                size_t n_x = (size_t)(M * C), n = (size_t)((left + M + right) * C);
                float *x = random_floats(n_x, 3, 1.0f), *y = guarded_alloc(n);
                r->op.pad_reflect(&r->op, y, x, M, C, left, right);
                for (int c = 0; c < C; c++) {
                    for (int m = 0; m < M; m++)
                        assert_true(y[(left + m) * C + c] == x[m * C + c]);
                    for (int d = 1; d <= left; d++)
                        assert_true(y[(left - d) * C + c] == x[d * C + c]);
                    for (int d = 1; d <= right; d++)
                        assert_true(y[(left + M - 1 + d) * C + c] == x[(M - 1 - d) * C + c]);
                }
                guarded_free(x, n_x);
                guarded_free(y, n);
            }
    }
}

static void padding_mirrors_without_the_edge(void **state)
{
    (void)state;
    for_each_isa(check_reflection);
}

static void check_nearest(rig *r)
{
    static const int sizes[][3] = {{1, 1, 1}, {3, 7, 5}, {4, 64, 16}, {9, 33, 256}, {50, 129, 31}};
    for (size_t k = 0; k < 5; k++) {
        int M = sizes[k][0], V = sizes[k][1], D = sizes[k][2];
        size_t n_x = (size_t)(M * D), n_table = (size_t)(V * D);
        float *x = random_floats(n_x, 1, 1.0f), *table = random_floats(n_table, 2, 1.0f);
        int32_t *ids = malloc((size_t)M * sizeof *ids);
        if (V > 6)
            memcpy(table + 6 * D, table + 2 * D, (size_t)D * sizeof *table); /* a tie that 2 must win */
        memcpy(x, table + (V > 6 ? 6 : 0) * D, (size_t)D * sizeof *x);
        r->op.nearest(&r->op, ids, x, table, M, V, D);
        assert_int_equal(ids[0], V > 6 ? 2 : 0);
        for (int m = 0; m < M; m++) {
            double best = INFINITY, found = 0;
            for (int v = 0; v < V; v++) {
                double distance = 0;
                for (int d = 0; d < D; d++)
                    distance += pow((double)x[m * D + d] - (double)table[v * D + d], 2);
                best = fmin(best, distance);
                found = v == ids[m] ? distance : found;
            }
            assert_in_range(ids[m], 0, V - 1);
            assert_near((float)found, best, 1e-6 * best, "nearest", (size_t)m);
        }
        guarded_free(x, n_x);
        guarded_free(table, n_table);
        free(ids);
    }
}

static void nearest_rows_win_and_the_lowest_on_ties(void **state)
{
    (void)state;
    for_each_isa(check_nearest);
}

static void check_division(rig *r)
{
    enum {
        V = 70,
        D = 37
    };
    float *x = random_floats(V * D, 1, 1.0f), *usage = random_floats(V, 2, 1.0f), *y = guarded_alloc(V * D);
    uint64_t before = r->count.table_values;
    r->op.divide_rows(&r->op, y, x, usage, 1e-5f, V, D); /* half of the usages are negative: under the floor */
    assert_int_equal(r->count.table_values - before, V * D);
    for (int i = 0; i < V * D; i++)
        assert_true(y[i] == x[i] / (usage[i / D] > 1e-5f ? usage[i / D] : 1e-5f));
    guarded_free(x, V * D);
    guarded_free(usage, V);
    guarded_free(y, V * D);
}

static void codebooks_are_sums_over_usage_with_a_floor(void **state)
{
    (void)state;
    for_each_isa(check_division);
}

static void check_crossfade(rig *r)
{
    enum {
        N = 9000,
        WHOLE = 10001
    };
    float *before = random_floats(N, 1, 1.0f), *after = random_floats(N, 2, 1.0f), *y = guarded_alloc(N);
    memcpy(y, after, N * sizeof *y);
    r->op.crossfade(&r->op, y, before, N, WHOLE);
    assert_true(y[0] == before[0]);
    for (int i = 0; i < N; i++)
        assert_true(y[i] == (float)((double)before[i] * (1.0 - i / 10000.0) + (double)after[i] * (i / 10000.0)));
    guarded_free(before, N);
    guarded_free(after, N);
    guarded_free(y, N);
}

static void crossfades_go_from_one_to_the_other(void **state)
{
    (void)state;
    for_each_isa(check_crossfade);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    rig r;
    float x[4] = {0}, y[16] = {0};
    rig_open(&r, 1, HM_ISA_SCALAR);
    r.op.pad_reflect(&r.op, y, x, 3, 1, 3, 0);
    assert_int_equal(r.error.status, HM_EBUG);
    assert_non_null(strstr(r.error.text, "3 rows before"));
    r.error = (hm_error){0};
    r.op.depthwise(&r.op, y, x, x, NULL, 1, 1, 257, 1);
    assert_int_equal(r.error.status, HM_EBUG);
    assert_non_null(strstr(r.error.text, "257 taps"));
    r.error = (hm_error){0};
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snake_is_right_for_arguments_of_hundreds), cmocka_unit_test(the_sine_of_snake_is_within_two_ten_millionths),
        cmocka_unit_test(snake_factors_are_exponentials),           cmocka_unit_test(depthwise_convolutions_sum_their_taps_in_order),
        cmocka_unit_test(statistics_go_down_the_columns),           cmocka_unit_test(padding_mirrors_without_the_edge),
        cmocka_unit_test(nearest_rows_win_and_the_lowest_on_ties),  cmocka_unit_test(codebooks_are_sums_over_usage_with_a_floor),
        cmocka_unit_test(crossfades_go_from_one_to_the_other),      cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
