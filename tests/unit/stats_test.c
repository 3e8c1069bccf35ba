/* Statistics against numbers that other programs computed (named beside them: SciPy 1.17 unless another is) and published tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "engine/base/rng.h"
#include "reports/stats.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static void near_to(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected) + 1e-300))
        fail_msg("expected %.17g, found %.17g", expected, found);
}

static void medians_and_spreads_are_those_of_numpy(void **state)
{
    (void)state;
    static const double x[] = {2.5, -1, 7, 3, 3, 10.5};
    near_to(hm_median(x, 6), 3, 0); /* numpy.median */
    near_to(hm_median(x, 5), 3, 0);
    near_to(hm_mean(x, 6), 25.0 / 6, 1e-15);
    near_to(hm_sd(x, 6), 4.008324670815311, 1e-14); /* numpy.std(ddof=1) */
    near_to(hm_mad(x, 6), 2.25, 1e-15);             /* scipy.stats.median_abs_deviation */
    assert_true(isnan(hm_median(x, 0)) && isnan(hm_mean(x, 0)) && isnan(hm_sd(x, 1)) && isnan(hm_mad(x, 0)));
}

static void what_is_sorted_does_not_matter_to_the_median(void **state)
{
    (void)state;
    double x[1001];
    for (int kind = 0; kind < 4; kind++) {
        for (int i = 0; i < 1001; i++)
            x[i] = kind == 0 ? i : kind == 1 ? 1000 - i : kind == 2 ? (i * 389) % 1001 : i < 501 ? 2 * i : 2 * (i - 501) + 1;
        near_to(hm_median(x, 1001), 500, 0);
        assert_true(x[0] == (kind == 1 ? 1000 : 0)); /* untouched */
    }
    for (int i = 0; i < 1001; i++)
        x[i] = i % 3;
    near_to(hm_median(x, 1001), 1, 0);
    x[17] = NAN;
    assert_true(isnan(hm_median(x, 1001)));
}

static void normal_quantiles_are_those_of_scipy(void **state)
{
    (void)state;
    static const double p[][2] = {/* scipy.stats.norm.ppf */
                                  {1e-10, -6.361340902404056},     {0.001, -3.090232306167813}, {0.025, -1.9599639845400545},
                                  {0.0125 / 3, -2.63825727347675}, {0.3, -0.5244005127080409},  {0.8, 0.8416212335729143},
                                  {0.975, 1.959963984540054}};
    for (int i = 0; i < LENGTH(p); i++)
        near_to(hm_normal_quantile(p[i][0]), p[i][1], 1e-14);
    assert_true(fabs(hm_normal_quantile(0.5)) < 1e-15);
    assert_true(isinf(hm_normal_quantile(0)) && hm_normal_quantile(1) == INFINITY && isnan(hm_normal_quantile(1.1)));
}

static void student_quantiles_and_tails_are_those_of_scipy(void **state)
{
    (void)state;
    static const double q[][3] = {/* p, freedom; scipy.stats.t.ppf */
                                  {0.975, 1, 12.706204736174694},  {0.975, 2, 4.302652729749462},    {0.95, 9, 1.833112932656237},
                                  {0.999, 30, 3.3851848668293045}, {0.975, 3.5, 2.9400886379827282}, {0.9, 1000, 1.2823987214609247}};
    static const double t[][3] = {/* t, freedom; 2 scipy.stats.t.sf */
                                  {2, 5, 0.10193947882985835},
                                  {0.1, 1, 0.936548965138893},
                                  {-12, 40, 7.82417130425598e-15},
                                  {40, 60, 5.755480486627385e-45},
                                  {1.96, 1e6, 0.04999606758526985}};
    for (int i = 0; i < LENGTH(q); i++) {
        near_to(hm_student_quantile(q[i][0], q[i][1]), q[i][2], 1e-11);
        near_to(hm_student_quantile(1 - q[i][0], q[i][1]), -q[i][2], 1e-11);
    }
    for (int i = 0; i < LENGTH(t); i++)
        near_to(hm_student_two_sided(t[i][0], t[i][1]), t[i][2], 1e-9);
    near_to(hm_student_two_sided(0, 7), 1, 1e-15);
    assert_true(isnan(hm_student_quantile(0.5, 0)) && hm_student_two_sided(INFINITY, 3) == 0);
}

/* Each row: by n from `first` on. Counted over all 2^n patterns of signs; 0.025 is the published table of Wilcoxon (two-sided 5 %). */
static void signed_rank_bounds_are_those_of_the_tables(void **state)
{
    (void)state;
    static const struct {
        double level;
        int first, count, k[16];
    } rows[] = {{0.0167, 6, 7, {0, 1, 2, 4, 6, 9, 11}},
                {0.025, 5, 14, {-1, 0, 2, 3, 5, 8, 10, 13, 17, 21, 25, 29, 34, 40}},
                {0.05 / 27, 9, 8, {-1, 0, 2, 4, 6, 8, 11, 14}}};
    for (int r = 0; r < LENGTH(rows); r++)
        for (int i = 0; i < rows[r].count; i++)
            assert_int_equal(hm_signed_rank_k(rows[r].first + i, rows[r].level), rows[r].k[i]);
    assert_int_equal(hm_signed_rank_k(20, 0.025), 52); /* published */
    assert_int_equal(hm_signed_rank_k(25, 0.025), 89);
    assert_int_equal(hm_signed_rank_k(30, 0.05), 151);
    assert_int_equal(hm_signed_rank_k(60, 0.025), 648); /* exact, in whole numbers of Python */
    /* beyond 60 the approximation errs to the safe side: exactly they are 672 and 1955 */
    assert_int_equal(hm_signed_rank_k(61, 0.025), 671);
    assert_int_equal(hm_signed_rank_k(100, 0.025), 1953);
    assert_int_equal(hm_signed_rank_k(0, 0.025), -1);
    assert_int_equal(hm_signed_rank_k(10, 0), -1);
    assert_int_equal(hm_signed_rank_k(3, 1), 6);
}

/* Published tables of Mann and Whitney (two-sided 5 % and 1 %); the large ones from exact counts in whole numbers of Python. */
static void rank_sum_bounds_are_those_of_the_tables(void **state)
{
    (void)state;
    static const int rows[][4] = {{5, 5, 2, 0},   {10, 10, 23, 16},   {20, 20, 127, 105}, {8, 12, 22, 15},
                                  {3, 5, 0, -1},  {3, 3, -1, -1},     {10, 15, 39, 29},   {2, 8, 0, -1},
                                  {1, 50, 0, -1}, {30, 40, 434, 384}, {50, 50, 965, 877}, {100, 25, 932, 835}};
    for (int i = 0; i < LENGTH(rows); i++)
        for (int turned = 0; turned < 2; turned++) {
            int n = rows[i][turned], m = rows[i][!turned];
            assert_int_equal(hm_rank_sum_k(n, m, 0.025), rows[i][2]);
            assert_int_equal(hm_rank_sum_k(n, m, 0.005), rows[i][3]);
        }
    int k = hm_rank_sum_k(51, 50, 0.025); /* approximated; exactly 986 */
    assert_in_range(k, 984, 987);
    assert_int_equal(hm_rank_sum_k(0, 5, 0.025), -1);
}

/* Hollander and Wolfe, Nonparametric Statistical Methods, table 3.1: depression before and after treatment. Their estimate is -0.46, R's
 * wilcox.test(conf.int = TRUE) gives [-0.786, -0.010]. */
static const double before[] = {1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30};
static const double after[] = {0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29};

static void hodges_lehmann_gives_the_textbook_estimate(void **state)
{
    (void)state;
    double y[9], levels[] = {0.025, 0.5 / 512, 0.4 / 512};
    hm_interval at[3];
    for (int i = 0; i < 9; i++)
        y[i] = after[i] - before[i];
    hm_interval h = hm_hodges_lehmann(y, 9, 0.025);
    near_to(h.estimate, -0.46, 1e-12);
    near_to(h.low, -0.786, 1e-12);
    near_to(h.high, -0.010, 1e-12);
    hm_hodges_lehmann_at(y, 9, levels, 3, at);
    assert_true(at[0].low == h.low && at[0].high == h.high && at[2].estimate == h.estimate);
    levels[1] = 1.0 / 512; /* just the one pattern in which all signs agree: the extreme differences */
    hm_hodges_lehmann_at(y, 9, levels, 3, at);
    near_to(at[1].low, -1.022, 1e-12);
    near_to(at[1].high, 0.147, 1e-12);
    assert_true(at[2].low == -INFINITY && at[2].high == INFINITY); /* less than one pattern */
    h = hm_hodges_lehmann(y, 1, 0.025);
    assert_true(h.estimate == y[0] && h.low == -INFINITY);
    assert_true(isnan(hm_hodges_lehmann(y, 0, 0.025).estimate));
    y[3] = NAN;
    assert_true(isnan(hm_hodges_lehmann(y, 9, 0.025).estimate) && isnan(hm_hodges_lehmann(y, 9, 0.025).low));
}

static void shift_of_two_sides_is_the_median_difference(void **state)
{
    (void)state; /* Hollander and Wolfe, table 4.1 (R's wilcox.test, too): permeability at term and earlier */
    static const double x[] = {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, y[] = {1.15, 0.88, 0.90, 0.74, 1.21};
    hm_interval s = hm_shift(x, 10, y, 5, 0.025); /* numpy: sorted differences, the 9th from both ends */
    near_to(s.estimate, -0.305, 1e-12);
    near_to(s.low, -0.76, 1e-12);
    near_to(s.high, 0.15, 1e-12);
    s = hm_shift(x, 3, y, 3, 0.025);
    assert_true(isfinite(s.estimate) && s.low == -INFINITY && s.high == INFINITY);
    assert_true(isnan(hm_shift(x, 0, y, 3, 0.025).estimate));
}

static void fieller_solves_its_equation(void **state)
{
    (void)state;
    static const double x[] = {10.2, 9.8, 10.5, 10.1, 9.9, 10.4}, y[] = {5.1, 4.9, 5.3, 5.0, 5.2}, wild[] = {-1, 1, 2, -2};
    hm_interval f = hm_fieller(x, 6, y, 5, 0.05); /* scipy.optimize.brentq on (a - r b)^2 = h_a^2 + r^2 h_b^2 */
    near_to(f.estimate, 1.9901960784313728, 1e-13);
    near_to(f.low, 1.8979274086524671, 1e-11);
    near_to(f.high, 2.0883718946632412, 1e-11);
    f = hm_fieller(x, 6, wild, 4, 0.05); /* the denominator may be zero */
    assert_true(isnan(f.low) && isnan(f.high));
    assert_true(isnan(hm_fieller(x, 1, y, 5, 0.05).low));
}

static void mann_kendall_sees_trends_and_ties(void **state)
{
    (void)state;
    static const double rising[] = {1.0, 1.2, 0.9, 1.4, 1.3, 1.6, 1.5, 1.9, 1.7, 2.0};
    static const double tied[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9}, flat[] = {5, 5, 5, 5, 5, 5}, four[] = {4, 3, 2, 1};
    near_to(hm_mann_kendall_p(rising, 10), 0.002357527595795439, 1e-10); /* pymannkendall.original_test */
    near_to(hm_mann_kendall_p(tied, 15), 0.00686379498544909, 1e-10);
    near_to(hm_mann_kendall_p(four, 4), 0.08942935902899363, 1e-10);
    near_to(hm_mann_kendall_p(flat, 6), 1, 0);
    near_to(hm_mann_kendall_p(four, 3), 1, 0);
}

static void theil_sen_is_the_median_slope(void **state)
{
    (void)state;
    static const double line[] = {3, 5, 7, 9, 11, 13}, spiked[] = {3, 5, 700, 9, 11, 13}, four[] = {1, 2, 4, 3};
    near_to(hm_theil_sen(line, 6), 2, 0);
    near_to(hm_theil_sen(spiked, 6), 2, 0);
    near_to(hm_theil_sen(four, 4), 5.0 / 6, 1e-15); /* -1, 1/2, 2/3, 1, 3/2, 2 */
    assert_true(isnan(hm_theil_sen(four, 1)));
}

static void quantiles_have_intervals_by_order_statistics(void **state)
{
    (void)state;
    static const struct {
        int n;
        double p, estimate;
        int low, high; /* ranks; scipy.stats.binom.cdf and sf; 0: none */
    } rows[] = {{6, 0.5, 3.5, 1, 6},           {5, 0.5, 3, 0, 0},         {20, 0.5, 10.5, 6, 15},    {100, 0.9, 90.1, 84, 96},
                {400, 0.99, 396.01, 392, 400}, {366, 0.99, 362.35, 0, 0}, {72, 0.95, 68.45, 64, 72}, {71, 0.95, 67.5, 0, 0}};
    double x[400];
    for (int i = 0; i < LENGTH(rows); i++) {
        for (int j = 0; j < rows[i].n; j++)
            x[j] = rows[i].n - j; /* the value is the rank */
        hm_interval q = hm_quantile(x, rows[i].n, rows[i].p, 0.95);
        near_to(q.estimate, rows[i].estimate, 1e-12); /* numpy.quantile */
        if (!rows[i].low) {
            assert_true(isnan(q.low) && isnan(q.high));
            continue;
        }
        assert_int_equal((int)q.low, rows[i].low);
        assert_int_equal((int)q.high, rows[i].high);
    }
    assert_true(isnan(hm_quantile(x, 0, 0.5, 0.95).estimate) && isnan(hm_quantile(x, 10, 1, 0.95).estimate));
    assert_int_equal(hm_quantile_needs(0.99), 299);
    assert_int_equal(hm_quantile_needs(0.95), 59);
    assert_int_equal(hm_quantile_needs(0.90), 29);
    assert_int_equal(hm_quantile_needs(0.5), 5);
    assert_int_equal(hm_quantile_needs(0.01), 299);
}

static void plans_follow_their_formulas(void **state)
{
    (void)state;
    near_to(hm_detectable(0.02, 40, 0.05 / 27, 0.8), 0.01211179580827494, 1e-12); /* scipy.stats.norm.ppf */
    assert_true(isnan(hm_detectable(0.02, 0, 0.05, 0.8)) && isnan(hm_detectable(NAN, 10, 0.05, 0.8)));
    assert_int_equal(hm_best_iterations(9, 1, 4, 1, 20), 6); /* sqrt(9 * 4) */
    assert_int_equal(hm_best_iterations(10, 1, 4, 1, 20), 7);
    assert_int_equal(hm_best_iterations(9, 1, 0.01, 1, 20), 1);
    assert_int_equal(hm_best_iterations(900, 1, 4, 1, 20), 20);
    assert_int_equal(hm_best_iterations(9, 1, 4, 0, 20), 20);
}

/* n values of sd `sd` around level[i] of equal stretches. */
static void steps(double *z, int n, const double *levels, int stretches, double sd, uint64_t seed)
{
    float noise[4];
    for (int i = 0; i < n; i++) {
        hm_draw_normal4(seed, 0, (uint32_t)(i & ~3), noise);
        z[i] = levels[i * stretches / n] + sd * noise[i % 4];
    }
}

static void planted_steps_are_found_where_they_are(void **state)
{
    (void)state;
    static const double one[] = {0, 0.05}, three[] = {0, 0.06, -0.04, 0.05}, none[] = {0};
    double z[200];
    hm_change c[16];
    int exact = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        steps(z, 40, one, 2, 0.01, seed);
        assert_int_equal(hm_change_points(z, 40, 0.02, c, 16), 1);
        assert_in_range(c[0].at, 19, 21); /* a value in the middle may go with either side */
        exact += c[0].at == 20;
        assert_true(c[0].p < 1e-3 && fabs(c[0].before) < 0.01 && fabs(c[0].after - 0.05) < 0.01);
        steps(z, 200, three, 4, 0.008, seed); /* longer than one window */
        assert_int_equal(hm_change_points(z, 200, 0.02, c, 16), 3);
        for (int i = 0; i < 3; i++)
            assert_in_range(c[i].at, 50 * (i + 1) - 1, 50 * (i + 1) + 1);
        assert_int_equal(hm_change_points(z, 200, 0.02, c, 2), 2); /* as many as there is room for */
        assert_int_equal(hm_change_points(z, 200, 0.2, c, 16), 0); /* less than asked for */
        steps(z, 60, none, 1, 0.01, seed);
        assert_int_equal(hm_change_points(z, 60, 0.02, c, 16), 0);
    }
    assert_in_range(exact, 17, 20);
}

static void three_new_values_are_enough_and_one_is_not(void **state)
{
    (void)state;
    double z[24];
    hm_change c[4];
    steps(z, 24, (const double[]){0}, 1, 0.005, 3);
    for (int i = 21; i < 24; i++)
        z[i] += 0.06;
    assert_int_equal(hm_change_points(z, 24, 0.02, c, 4), 1);
    assert_int_equal(c[0].at, 21);
    assert_int_equal(hm_change_points(z, 22, 0.02, c, 4), 0);
    double still[] = {1, 1, 1, 2, 2, 2}, same[] = {1, 1, 1, 1, 1, 1, 1};
    assert_int_equal(hm_change_points(still, 6, 0.02, c, 4), 1);
    assert_true(c[0].at == 3 && c[0].p == 0 && c[0].before == 1 && c[0].after == 2);
    assert_int_equal(hm_change_points(same, 7, 0.02, c, 4), 0);
    still[2] = NAN;
    assert_int_equal(hm_change_points(still, 6, 0.02, c, 4), 0);
    assert_int_equal(hm_change_points(still, 0, 0.02, c, 4), 0);
}

/* A passing slow stretch is two changes, and one wild value is none. */
static void a_bump_is_two_changes_and_a_spike_is_none(void **state)
{
    (void)state;
    double z[60];
    hm_change c[8];
    steps(z, 60, (const double[]){0, 0.06, 0}, 3, 0.008, 9);
    assert_int_equal(hm_change_points(z, 60, 0.02, c, 8), 2);
    assert_true(c[0].at == 20 && c[1].at == 40);
    steps(z, 60, (const double[]){0}, 1, 0.008, 9);
    z[30] += 0.5;
    assert_int_equal(hm_change_points(z, 60, 0.02, c, 8), 0);
}

static void a_wild_session_does_not_hide_a_change(void **state)
{
    (void)state;
    double z[30];
    hm_change c[8];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        steps(z, 30, (const double[]){0, 0.05}, 2, 0.01, seed);
        z[6] += 0.5; /* before the change, and after it */
        z[24] -= 0.4;
        assert_int_equal(hm_change_points(z, 30, 0.02, c, 8), 1);
        assert_in_range(c[0].at, 14, 16);
        assert_true(fabs(c[0].after - c[0].before - 0.05) < 0.015);
        steps(z, 30, (const double[]){0}, 1, 0.01, seed);
        for (int i = 26; i < 30; i++)
            z[i] += 0.06;
        z[27] += 0.5; /* one of the few new ones */
        assert_int_equal(hm_change_points(z, 30, 0.02, c, 8), 1);
        assert_int_equal(c[0].at, 26);
    }
}

/* Of 1000 series of 50 commits with 1 % noise: those in which a change is found. correlation: of neighbours. */
static int found_in(double step, int last, double correlation)
{
    double z[52];
    float noise[4];
    hm_change c[8];
    int found = 0;
    for (uint32_t series = 0; series < 1000; series++) {
        double now = 0;
        for (int i = 0; i < 50; i++) {
            hm_draw_normal4(77, series, (uint32_t)(i & ~3), noise);
            now = i ? correlation * now + sqrt(1 - correlation * correlation) * noise[i % 4] : noise[0];
            z[i] = 0.01 * now + (i >= 50 - last ? step : 0);
        }
        found += hm_change_points(z, 50, 0.02, c, 8) > 0;
    }
    return found;
}

static void changes_are_rarely_found_where_there_are_none(void **state)
{
    (void)state;
    int none = found_in(0, 0, 0), wandering = found_in(0, 0, 0.6), three = found_in(0.03, 3, 0), five = found_in(0.03, 5, 0);
    int large = found_in(0.05, 3, 0);
    print_message(
        "of 1000 series of 50 commits, 1 %% noise: no change %d, no change but noise that wanders %d, +3 %% for the last 3 %d, for the "
        "last 5 %d, +5 %% for the last 3 %d\n",
        none, wandering, three, five, large);
    assert_in_range(none, 0, 20);
    assert_in_range(five, 750, 1000);
    assert_in_range(large, 950, 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(medians_and_spreads_are_those_of_numpy),
        cmocka_unit_test(what_is_sorted_does_not_matter_to_the_median),
        cmocka_unit_test(normal_quantiles_are_those_of_scipy),
        cmocka_unit_test(student_quantiles_and_tails_are_those_of_scipy),
        cmocka_unit_test(signed_rank_bounds_are_those_of_the_tables),
        cmocka_unit_test(rank_sum_bounds_are_those_of_the_tables),
        cmocka_unit_test(hodges_lehmann_gives_the_textbook_estimate),
        cmocka_unit_test(shift_of_two_sides_is_the_median_difference),
        cmocka_unit_test(fieller_solves_its_equation),
        cmocka_unit_test(mann_kendall_sees_trends_and_ties),
        cmocka_unit_test(theil_sen_is_the_median_slope),
        cmocka_unit_test(quantiles_have_intervals_by_order_statistics),
        cmocka_unit_test(plans_follow_their_formulas),
        cmocka_unit_test(planted_steps_are_found_where_they_are),
        cmocka_unit_test(three_new_values_are_enough_and_one_is_not),
        cmocka_unit_test(changes_are_rarely_found_where_there_are_none),
        cmocka_unit_test(a_bump_is_two_changes_and_a_spike_is_none),
        cmocka_unit_test(a_wild_session_does_not_hide_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
