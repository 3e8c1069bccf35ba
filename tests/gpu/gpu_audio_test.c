/* What waveform decoders and encoders of audio need, on a GPU, against the CPU's plain kernels. */
#include "tests/gpu/gpu_case.h"

static const int sizes[][2] = {{1, 1}, {5, 3}, {2, 64}, {37, 65}, {130, 16}, {9, 200}, {1100, 7}};
#define SIZES (sizeof sizes / sizeof *sizes)

/* n floats from the device; released with guarded_free. */
static float *fetched(gpu_case *c, const float *there, size_t n)
{
    float *y = guarded_alloc(n);
    gpu_get(c, y, there);
    return y;
}

/* Sines on the CPU are within 2e-7, here within 4 ulp: so much of each product, and the sum rounds. */
static void snake_is_right_for_arguments_of_thousands(void **state)
{
    static const float ranges[] = {1e-3f, 1.0f, 150.0f, 5000.0f};
    gpu_case *c = *state;
    for (size_t i = 0; i < SIZES * 4; i++) {
        int M = sizes[i / 4][0], C = sizes[i / 4][1];
        size_t n = (size_t)(M * C), columns = (size_t)C;
        float *x = random_floats(n, i + 1, ranges[i % 4]), *a = random_floats(columns, 2, 2.0f), *b = random_floats(columns, 3, 3.0f);
        float *there = gpu_put_floats(c, x, n), *to = gpu_put_floats(c, x, n);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        c->gpu.op.snake(&c->gpu.op, to, there, gpu_put_floats(c, a, columns), gpu_put_floats(c, b, columns), M, C);
        float *y = fetched(c, to, n), *expected = guarded_alloc(n);
        c->cpu.op.snake(&c->cpu.op, expected, x, a, b, M, C);
        assert_same_counts(c);
        for (size_t j = 0; j < n; j++) {
            double s = sin((double)(a[j % columns] * x[j])), e = (double)x[j] + (double)b[j % columns] * s * s;
            double bound = 8e-7 * fabs((double)b[j % columns] * s) + 1e-13 + 1.2e-7 * (fabs(e) + fabs((double)x[j]));
            assert_near(y[j], e, bound, "snake", j);
            assert_near(y[j], (double)expected[j], 2 * bound, "snake beside the CPU's", j);
        }
        gpu_give_back(c);
        guarded_free(x, n);
        guarded_free(a, columns);
        guarded_free(b, columns);
        guarded_free(y, n);
        guarded_free(expected, n);
    }
}

static void snake_in_place_of_what_is_great_or_not_finite(void **state)
{
    static const float hostile[] = {1e20f, -3e38f, 1e-40f, INFINITY, NAN}, ones[] = {1, 1, 1, 1, 1};
    gpu_case *c = *state;
    float *x = gpu_put_floats(c, hostile, 5), *one = gpu_put_floats(c, ones, 5), y[5];
    c->gpu.op.snake(&c->gpu.op, x, x, one, one, 1, 5);
    gpu_get(c, y, x);
    for (int i = 0; i < 5; i++)
        assert_true(i < 3 ? fabsf(y[i] - hostile[i]) <= 1.0f : !isfinite(y[i]));
    gpu_give_back(c);
}

/* Exponentials may be wrong by 3 ulp, the quotient by 2.5 more. */
static void snake_factors_are_exponentials(void **state)
{
    enum {
        C = 77
    };
    gpu_case *c = *state;
    float *alpha = random_floats(C, 1, 4.0f), *beta = random_floats(C, 2, 4.0f), *a = guarded_alloc(C), *b = guarded_alloc(C);
    beta[3] = -60.0f; /* the floor of the denominator counts */
    float *alpha_there = gpu_put_floats(c, alpha, C), *beta_there = gpu_put_floats(c, beta, C), *a_there = gpu_put_floats(c, a, C),
          *b_there = gpu_put_floats(c, b, C);
    c->gpu.count = c->cpu.count = (hm_counters){0};
    c->gpu.op.snake_factors(&c->gpu.op, a_there, b_there, alpha_there, beta_there, C);
    c->cpu.op.snake_factors(&c->cpu.op, a, b, alpha, beta, C);
    assert_same_counts(c);
    float *of_a = fetched(c, a_there, C), *of_b = fetched(c, b_there, C);
    for (size_t i = 0; i < C; i++) {
        assert_near(of_a[i], (double)a[i], 4.2e-7 * (double)a[i], "a", i);
        assert_near(of_b[i], (double)b[i], 8e-7 * (double)b[i], "b", i);
    }
    gpu_give_back(c);
    guarded_free(alpha, C);
    guarded_free(beta, C);
    guarded_free(a, C);
    guarded_free(b, C);
    guarded_free(of_a, C);
    guarded_free(of_b, C);
}

static void padding_mirrors_without_the_edge(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < SIZES; i++) {
        int M = sizes[i][0], C = sizes[i][1];
        for (int left = 0; left < M; left = left * 4 + 1) {
            int right = (left * 7 + 2) % M;
            size_t n = (size_t)(M * C), all = (size_t)((left + M + right) * C);
            float *x = hostile_floats(n, 3), *expected = guarded_alloc(all), *to = gpu_put_floats(c, expected, all);
            c->gpu.op.pad_reflect(&c->gpu.op, to, gpu_put_floats(c, x, n), M, C, left, right);
            c->cpu.op.pad_reflect(&c->cpu.op, expected, x, M, C, left, right);
            float *y = fetched(c, to, all);
            assert_same_bytes(y, expected, all);
            gpu_give_back(c);
            guarded_free(x, n);
            guarded_free(y, all);
            guarded_free(expected, all);
        }
    }
}

/* Sums are pairs of floats here and doubles there: what is left is rounding of results, of squares and of exponentials. */
static void statistics_go_down_the_columns(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < SIZES * 2; i++) {
        int M = sizes[i / 2][0], C = sizes[i / 2][1];
        bool weighed = i % 2;
        size_t n = (size_t)(M * C), columns = (size_t)C;
        float *x = random_floats(n, i, 3.0f), *w = random_floats(n, i + 9, 10.0f), *mean = guarded_alloc(columns),
              *std = guarded_alloc(columns);
        for (size_t j = 0; j < n; j++)
            x[j] = j % columns < 2 ? 2.5f : j % columns == 2 ? x[j] + 1000.0f : x[j]; /* no spread, the floor; little beside the mean */
        float *x_there = gpu_put_floats(c, x, n), *w_there = gpu_put_floats(c, w, n), *mean_there = gpu_put_floats(c, mean, columns),
              *std_there = gpu_put_floats(c, std, columns);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        c->gpu.op.softmax_columns(&c->gpu.op, w_there, M, C);
        c->cpu.op.softmax_columns(&c->cpu.op, w, M, C);
        float *weights = fetched(c, w_there, n);
        for (size_t j = 0; j < n; j++)
            assert_near(weights[j], (double)w[j], 1.5e-6 * (double)w[j] + 1e-12, "softmax_columns", j);
        c->cpu.op.moments(&c->cpu.op, mean, std, x, weighed ? weights : NULL, M, C, 1e-3f);
        c->gpu.op.moments(&c->gpu.op, mean_there, std_there, x_there, weighed ? w_there : NULL, M, C, 1e-3f);
        float *of_mean = fetched(c, mean_there, columns), *of_std = fetched(c, std_there, columns);
        for (size_t j = 0; j < columns; j++) {
            assert_near(of_mean[j], (double)mean[j], 2.4e-7 * fabs((double)mean[j]) + 1e-9, "mean", j);
            assert_near(of_std[j], (double)std[j], 1e-6 * (double)std[j], "std", j);
        }
        c->gpu.op.moments(&c->gpu.op, std_there, NULL, x_there, weighed ? w_there : NULL, M, C, 0.0f);
        gpu_get(c, std, std_there);
        assert_same_bytes(std, of_mean, columns);
        c->cpu.op.moments(&c->cpu.op, mean, NULL, x, weighed ? weights : NULL, M, C, 0.0f);
        assert_same_counts(c);
        gpu_give_back(c);
        guarded_free(x, n);
        guarded_free(w, n);
        guarded_free(weights, n);
        guarded_free(mean, columns);
        guarded_free(std, columns);
        guarded_free(of_mean, columns);
        guarded_free(of_std, columns);
    }
}

/* One bad row spoils its column alone. */
static void statistics_of_what_is_not_finite_are_not(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    gpu_case *c = *state;
    for (int i = 0; i < 3; i++) {
        float *x = random_floats(40 * 20, 5, 1.0f), zeros[20] = {0}, mean[20], std[20];
        x[17 * 20 + 3] = odd[i];
        float *there = gpu_put_floats(c, x, 40 * 20), *mean_there = gpu_put_floats(c, zeros, 20), *std_there = gpu_put_floats(c, zeros, 20);
        c->gpu.op.moments(&c->gpu.op, mean_there, std_there, there, NULL, 40, 20, 1e-12f);
        gpu_get(c, mean, mean_there);
        gpu_get(c, std, std_there);
        for (int j = 0; j < 20; j++)
            assert_true(isfinite(mean[j]) == (j != 3) && (j == 3 || isfinite(std[j])));
        gpu_give_back(c);
        guarded_free(x, 40 * 20);
    }
}

static void columns_are_scaled_and_rows_divided_to_the_cpus_bytes(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < SIZES; i++) {
        int M = sizes[i][0], C = sizes[i][1];
        size_t n = (size_t)(M * C);
        float *x = hostile_floats(n, i + 1), *s = random_floats((size_t)(M + C), 2, 3.0f), *expected = guarded_alloc(n);
        float *x_there = gpu_put_floats(c, x, n), *s_there = gpu_put_floats(c, s, (size_t)(M + C)), *y_there = gpu_put_floats(c, x, n);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        c->gpu.op.divide_rows(&c->gpu.op, y_there, x_there, s_there, 1e-5f, M, C); /* half of the usages are negative: under the floor */
        c->cpu.op.divide_rows(&c->cpu.op, expected, x, s, 1e-5f, M, C);
        float *y = fetched(c, y_there, n);
        assert_same_bytes(y, expected, n);
        guarded_free(y, n);
        c->gpu.op.scale_columns(&c->gpu.op, x_there, x_there, s_there, M, C);
        c->cpu.op.scale_columns(&c->cpu.op, expected, x, s, M, C);
        assert_same_counts(c);
        y = fetched(c, x_there, n);
        assert_same_bytes(y, expected, n);
        gpu_give_back(c);
        guarded_free(y, n);
        guarded_free(x, n);
        guarded_free(s, (size_t)(M + C));
        guarded_free(expected, n);
    }
}

/* Quotients of all kinds of floats: rounded to nearest, subnormal ones too. */
static void quotients_are_the_nearest_floats(void **state)
{
    enum {
        N = 40000
    };
    gpu_case *c = *state;
    float *x = guarded_alloc(N), *by = guarded_alloc(N), *expected = guarded_alloc(N);
    uint64_t random = 9;
    for (int i = 0; i < N; i++) {
        uint32_t a = next_random(&random), b = next_random(&random) & 0x7FFFFFFF;
        if (i % 4 == 1) /* of much the same size */
            b = (a & 0x7F800000) | (b & 0x7FFFFF);
        if (i % 4 == 2) /* subnormal, or nearly */
            a &= 0x81FFFFFF;
        if (i % 16 == 3)
            b &= 0x1FFFFFF;
        memcpy(x + i, &a, 4);
        memcpy(by + i, &b, 4);
        by[i] = by[i] > 0 ? by[i] : 3.0f; /* the floor of usages is 0 */
    }
    float *there = gpu_put_floats(c, x, N);
    c->cpu.op.divide_rows(&c->cpu.op, expected, x, by, 0.0f, N, 1);
    c->gpu.op.divide_rows(&c->gpu.op, there, there, gpu_put_floats(c, by, N), 0.0f, N, 1);
    float *y = fetched(c, there, N);
    for (size_t i = 0; i < N; i++)
        if (memcmp(y + i, expected + i, 4) && !(isnan(y[i]) && isnan(expected[i])))
            fail_msg("%.9g / %.9g is %.9g, expected %.9g", (double)x[i], (double)by[i], (double)y[i], (double)expected[i]);
    gpu_give_back(c);
    guarded_free(x, N);
    guarded_free(by, N);
    guarded_free(expected, N);
    guarded_free(y, N);
}

/* The CPU's double, rounded: pairs of floats are off by a last bit once in a great while. */
static void crossfades_are_those_of_the_cpu(void **state)
{
    static const int64_t sizes_of[][2] = {{1, 2}, {5, 5}, {64, 65}, {777, 999}, {50001, 50001}};
    gpu_case *c = *state;
    for (size_t k = 0; k < 5; k++) {
        size_t n = (size_t)sizes_of[k][0], off = 0;
        float *before = random_floats(n, k + 1, 1.0f), *expected = random_floats(n, k + 9, 1.0f);
        float *y_there = gpu_put_floats(c, expected, n);
        c->gpu.op.crossfade(&c->gpu.op, y_there, gpu_put_floats(c, before, n), sizes_of[k][0], sizes_of[k][1]);
        c->cpu.op.crossfade(&c->cpu.op, expected, before, sizes_of[k][0], sizes_of[k][1]);
        float *y = fetched(c, y_there, n);
        for (size_t i = 0; i < n; i++) {
            off += y[i] != expected[i];
            assert_near(y[i], (double)expected[i], 1.2e-7 * fabs((double)expected[i]), "crossfade", i);
        }
        assert_true(off <= n / 1000);
        gpu_give_back(c);
        guarded_free(before, n);
        guarded_free(expected, n);
        guarded_free(y, n);
    }
}

static void nearest_rows_win_and_the_lowest_on_ties(void **state)
{
    static const int shapes[][3] = {{1, 1, 1}, {3, 7, 5}, {4, 64, 16}, {9, 333, 256}, {50, 1029, 31}};
    gpu_case *c = *state;
    for (size_t k = 0; k < 5; k++) {
        int M = shapes[k][0], V = shapes[k][1], D = shapes[k][2];
        size_t n = (size_t)(M * D), n_table = (size_t)(V * D);
        float *x = random_floats(n, 1, 1.0f), *table = random_floats(n_table, 2, 1.0f);
        int32_t *ids = calloc((size_t)M, sizeof *ids), *ids_there = gpu_put(c, ids, (size_t)M * sizeof *ids);
        if (V > 6)
            memcpy(table + 6 * D, table + 2 * D, (size_t)D * sizeof *table); /* a tie that 2 must win */
        if (V > 300)
            memcpy(table + 260 * D, table + 2 * D, (size_t)D * sizeof *table);
        memcpy(x, table + (V > 6 ? 6 : 0) * D, (size_t)D * sizeof *x);
        c->gpu.count = c->cpu.count = (hm_counters){0};
        c->gpu.op.nearest(&c->gpu.op, ids_there, gpu_put_floats(c, x, n), gpu_put_floats(c, table, n_table), M, V, D);
        c->cpu.op.nearest(&c->cpu.op, ids, x, table, M, V, D);
        assert_same_counts(c);
        gpu_get(c, ids, ids_there);
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
        gpu_give_back(c);
        guarded_free(x, n);
        guarded_free(table, n_table);
        free(ids);
    }
}

static void what_is_near_nothing_gets_the_first_row(void **state)
{
    gpu_case *c = *state;
    float x[3] = {NAN, INFINITY, 1.0f}, table[4] = {NAN, 7.0f, 2.0f, NAN};
    int32_t ids[3] = {-1, -1, -1}, *there = gpu_put(c, ids, sizeof ids);
    c->gpu.op.nearest(&c->gpu.op, there, gpu_put_floats(c, x, 3), gpu_put_floats(c, table, 4), 3, 4, 1);
    gpu_get(c, ids, there);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 0);
    assert_int_equal(ids[2], 2);
    gpu_give_back(c);
}

static void impossible_padding_is_refused(void **state)
{
    gpu_case *c = *state;
    float x = 0;
    c->gpu.op.pad_reflect(&c->gpu.op, &x, &x, 3, 1, 3, 0);
    assert_int_equal(c->gpu.error.status, HM_EBUG);
    assert_non_null(strstr(c->gpu.error.text, "3 rows before"));
    c->gpu.error = (hm_error){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snake_is_right_for_arguments_of_thousands),
        cmocka_unit_test(snake_in_place_of_what_is_great_or_not_finite),
        cmocka_unit_test(snake_factors_are_exponentials),
        cmocka_unit_test(padding_mirrors_without_the_edge),
        cmocka_unit_test(statistics_go_down_the_columns),
        cmocka_unit_test(statistics_of_what_is_not_finite_are_not),
        cmocka_unit_test(columns_are_scaled_and_rows_divided_to_the_cpus_bytes),
        cmocka_unit_test(quotients_are_the_nearest_floats),
        cmocka_unit_test(crossfades_are_those_of_the_cpu),
        cmocka_unit_test(nearest_rows_win_and_the_lowest_on_ties),
        cmocka_unit_test(what_is_near_nothing_gets_the_first_row),
        cmocka_unit_test(impossible_padding_is_refused),
    };
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
