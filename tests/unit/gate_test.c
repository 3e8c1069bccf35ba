/* The rule of the gate on pairs that decide it one way or the other. Numbers with a name beside them were computed by it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "harness/gate.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

/* Around +3.25 %, sd about 0.8 %. */
static const double slower[] = {0.031, 0.024, 0.042, 0.035, 0.028, 0.039, 0.020, 0.033, 0.047, 0.026};

static hm_gate_rule rule_of(int cases)
{
    hm_gate_rule rule;
    hm_error err = {0};
    assert_int_equal(hm_gate_rule_make(&rule, 0.02, 0.05, cases, 10, 40, &err), HM_OK);
    return rule;
}

static void near_to(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fabs(expected)))
        fail_msg("expected %.17g, found %.17g", expected, found);
}

/* n values around `middle`, symmetric, half of them on each side. */
static void around(double *y, int n, double middle, double half_width)
{
    for (int i = 0; i < n; i++)
        y[i] = middle + half_width * (2.0 * i / (n - 1) - 1);
}

static void looks_double_and_the_last_round_is_one(void **state)
{
    (void)state;
    static const struct {
        int cases, min, max, looks[8];
    } rows[] = {{1, 10, 40, {10, 20, 40}},
                {9, 10, 40, {10, 20, 40}},
                {27, 10, 40, {11, 22, 40}}, /* log2(3 * 27 / 0.05) = 10.7: raised */
                {100, 10, 40, {13, 26, 40}},
                {1, 1, 40, {7, 14, 28, 40}}, /* log2(4 / 0.05) = 6.3 */
                {1, 10, 25, {10, 20, 25}},
                {1, 10, 10, {10}},
                {1, 5, 5, {5}},
                {9, 6, 8, {8}}}; /* log2(9 / 0.05) = 7.5: one look fits where two do not */
    for (int i = 0; i < LENGTH(rows); i++) {
        hm_gate_rule rule;
        hm_error err = {0};
        if (hm_gate_rule_make(&rule, 0.02, 0.05, rows[i].cases, rows[i].min, rows[i].max, &err))
            fail_msg("row %d: %s", i, err.text);
        for (int l = 0; l < 8 && rows[i].looks[l]; l++) {
            assert_true(l < rule.look_count);
            assert_int_equal(rule.looks[l], rows[i].looks[l]);
        }
        assert_true(rule.look_count == 8 || !rows[i].looks[rule.look_count]);
        assert_true(ldexp(1, -rule.looks[0]) <= 0.05 / (rule.look_count * rows[i].cases)); /* every look can decide */
    }
}

static void nonsense_rules_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        double margin, alpha;
        int cases, min, max;
        const char *text;
    } rows[] = {{0, 0.05, 1, 10, 40, "margin"},
                {NAN, 0.05, 1, 10, 40, "margin"},
                {0.02, 0, 1, 10, 40, "alpha"},
                {0.02, 0.6, 1, 10, 40, "alpha"},
                {0.02, NAN, 1, 10, 40, "alpha"},
                {0.02, 0.05, 0, 10, 40, "0 cases"},
                {0.02, 0.05, 1, 0, 40, "min-rounds"},
                {0.02, 0.05, 1, 10, 9, "max-rounds 9"},
                {0.02, 0.05, 1, 2, 4, "at least 5 rounds"},
                {0.02, 0.05, 100, 8, 10, "at least 11 rounds"},
                {0.02, 0.05, 1, 10, 100000, "doublings"}};
    for (int i = 0; i < LENGTH(rows); i++) {
        hm_gate_rule rule;
        hm_error err = {0};
        hm_status st = hm_gate_rule_make(&rule, rows[i].margin, rows[i].alpha, rows[i].cases, rows[i].min, rows[i].max, &err);
        if (st != HM_EUSAGE || !strstr(err.text, rows[i].text))
            fail_msg("row %d: %d, \"%s\"", i, st, err.text);
    }
}

static void a_clear_slowdown_fails_at_the_first_look(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(1);
    hm_gate_finding f;
    hm_gate_judge(&rule, slower, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_FAIL);
    assert_int_equal(f.rounds, 10);
    near_to(f.ratio, 1.0330338931439726); /* numpy: Walsh averages, median */
    near_to(f.low, 1.026340948473442);    /* the 9th of 55 */
    near_to(f.high, 1.0397704836501578);  /* and from above */
    near_to(f.sd, 0.0096369);             /* scipy.stats.median_abs_deviation */
    near_to(f.mde, 0.004639767687099106); /* scipy.stats.norm.ppf at 1 - 0.05 / 3 and 0.8; 40 rounds */
    hm_gate_judge(&rule, slower, 9, &f);
    assert_int_equal(f.verdict, HM_GATE_OPEN); /* no look */
    assert_true(f.ratio > 1.02);
}

static void equal_arms_pass_and_faster_ones_are_improved(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(9);
    hm_gate_finding f;
    double y[40];
    around(y, 10, 0, 0.01);
    hm_gate_judge(&rule, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_PASS);
    around(y, 10, -0.03, 0.01);
    hm_gate_judge(&rule, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_IMPROVED);
    assert_true(f.ratio < 0.98 && f.high < 1);
    around(y, 10, -0.01, 0.005); /* faster, by less than the margin */
    hm_gate_judge(&rule, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_PASS);
}

static void slower_within_the_margin_passes_however_sure_it_is(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(1);
    hm_gate_finding f;
    double y[10];
    around(y, 10, 0.01, 0.001);
    hm_gate_judge(&rule, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_PASS);
    assert_true(f.low > 1);
}

static void noise_keeps_a_case_open_until_the_last_look(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(1);
    hm_gate_finding f;
    double y[60];
    for (int n = 10; n <= 60; n++) {
        around(y, n, 0.015, 0.2);
        hm_gate_judge(&rule, y, n, &f);
        assert_int_equal(f.verdict, n < 40 ? HM_GATE_OPEN : HM_GATE_INCONCLUSIVE);
    }
}

static void more_cases_ask_for_more_before_they_fail(void **state)
{
    (void)state;
    double y[10];
    hm_gate_finding f;
    around(y, 10, 0.03, 0.045); /* three of ten are below zero: the 6th average is above, the 3rd is not */
    hm_gate_rule one = rule_of(1), nine = rule_of(9);
    y[0] = y[1] = -0.006;
    y[2] = -0.005;
    hm_gate_judge(&one, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_FAIL);
    hm_gate_judge(&nine, y, 10, &f);
    assert_int_equal(f.verdict, HM_GATE_OPEN);
}

static void a_level_that_few_rounds_cannot_reach_decides_nothing(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(1);
    hm_gate_finding f;
    rule.looks[0] = 4; /* as no rule is made */
    hm_gate_judge(&rule, slower, 4, &f);
    assert_int_equal(f.verdict, HM_GATE_OPEN);
    assert_true(isnan(f.low) && isnan(f.high)); /* no interval, rather than one from 0 */
    assert_true(f.ratio > 1.02);
}

static void equal_values_have_no_spread_and_a_verdict(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(9);
    hm_gate_finding f;
    double y[10];
    static const struct {
        double value;
        hm_gate_verdict verdict;
    } rows[] = {{0, HM_GATE_PASS}, {0.05, HM_GATE_FAIL}, {-0.05, HM_GATE_IMPROVED}, {0.01, HM_GATE_PASS}};
    for (int i = 0; i < LENGTH(rows); i++) {
        around(y, 10, rows[i].value, 0);
        hm_gate_judge(&rule, y, 10, &f);
        assert_int_equal(f.verdict, rows[i].verdict);
        assert_true(f.sd == 0 && f.mde == 0 && f.low == f.ratio && f.high == f.ratio);
    }
}

static void values_that_are_not_measured_do_not_count(void **state)
{
    (void)state;
    hm_gate_rule rule = rule_of(1);
    hm_gate_finding with, without;
    double y[13];
    memcpy(y, slower, sizeof slower);
    y[10] = NAN;
    y[11] = INFINITY;
    y[12] = -INFINITY;
    hm_gate_judge(&rule, slower, 10, &without);
    hm_gate_judge(&rule, y, 13, &with);
    assert_int_equal(with.rounds, 10);
    assert_int_equal(with.verdict, HM_GATE_FAIL);
    assert_true(with.ratio == without.ratio && with.low == without.low && with.mde == without.mde);
    hm_gate_judge(&rule, y + 10, 3, &with);
    assert_int_equal(with.rounds, 0);
    assert_int_equal(with.verdict, HM_GATE_OPEN);
    assert_true(isnan(with.ratio) && isnan(with.sd) && isnan(with.mde));
    hm_gate_judge(&rule, NULL, 0, &with);
    assert_true(with.rounds == 0 && with.verdict == HM_GATE_OPEN);
}

static void the_worst_case_is_the_verdict_of_all(void **state)
{
    (void)state;
    static const struct {
        hm_gate_verdict of[3], together;
    } rows[] = {{{HM_GATE_PASS, HM_GATE_PASS, HM_GATE_PASS}, HM_GATE_PASS},
                {{HM_GATE_PASS, HM_GATE_IMPROVED, HM_GATE_PASS}, HM_GATE_IMPROVED},
                {{HM_GATE_IMPROVED, HM_GATE_OPEN, HM_GATE_PASS}, HM_GATE_OPEN},
                {{HM_GATE_OPEN, HM_GATE_INCONCLUSIVE, HM_GATE_PASS}, HM_GATE_INCONCLUSIVE},
                {{HM_GATE_INVALID, HM_GATE_INCONCLUSIVE, HM_GATE_PASS}, HM_GATE_INVALID},
                {{HM_GATE_INVALID, HM_GATE_INCONCLUSIVE, HM_GATE_FAIL}, HM_GATE_FAIL}};
    for (int i = 0; i < LENGTH(rows); i++) {
        hm_gate_finding f[3];
        memset(f, 0, sizeof f);
        for (int j = 0; j < 3; j++)
            f[j].verdict = rows[i].of[j];
        assert_int_equal(hm_gate_together(f, 3), rows[i].together);
    }
    assert_int_equal(hm_gate_together(NULL, 0), HM_GATE_INVALID);
    assert_string_equal(hm_gate_verdict_name(HM_GATE_INCONCLUSIVE), "inconclusive");
    assert_string_equal(hm_gate_verdict_name((hm_gate_verdict)77), "invalid");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks_double_and_the_last_round_is_one),
        cmocka_unit_test(nonsense_rules_are_refused_by_name),
        cmocka_unit_test(a_clear_slowdown_fails_at_the_first_look),
        cmocka_unit_test(equal_arms_pass_and_faster_ones_are_improved),
        cmocka_unit_test(slower_within_the_margin_passes_however_sure_it_is),
        cmocka_unit_test(noise_keeps_a_case_open_until_the_last_look),
        cmocka_unit_test(more_cases_ask_for_more_before_they_fail),
        cmocka_unit_test(a_level_that_few_rounds_cannot_reach_decides_nothing),
        cmocka_unit_test(equal_values_have_no_spread_and_a_verdict),
        cmocka_unit_test(values_that_are_not_measured_do_not_count),
        cmocka_unit_test(the_worst_case_is_the_verdict_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
