/* The gate on made-up sessions: what it promises, counted. Seeds are fixed, so the counts are, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/gate_grid.h"
#include "harness/gate_simulation.h"

#define LENGTH(a) ((int)(sizeof(a) / sizeof *(a)))

static const hm_simulation_setting quiet = {.set = HM_SIMULATE_NOISE, .margin = 0.02, .cases = 3};
static const hm_simulation_setting usual = {.set = HM_SIMULATE_GOALS, .noise = 0.015, .margin = 0.02, .cases = 9};

static hm_simulation_result simulate(const hm_simulation_setting *settings, int count, int gates, int threads)
{
    hm_simulation_options o = {.settings = settings, .setting_count = count, .gates = gates, .seed = 7, .threads = threads};
    hm_simulation_result r;
    hm_error err = {0};
    if (hm_gate_simulate(&o, &r, &err))
        fail_msg("%s", err.text);
    assert_int_equal(r.count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(r.rows[i].fail + r.rows[i].pass + r.rows[i].inconclusive, gates);
    return r;
}

static void without_noise_the_margin_alone_decides(void **state)
{
    (void)state;
    static const double slowdowns[] = {-0.5, 0, 0.01, 0.0199, 0.0201, 0.03, 0.5};
    hm_simulation_setting s[LENGTH(slowdowns)];
    for (int i = 0; i < LENGTH(s); i++) {
        s[i] = quiet;
        s[i].slowdown = slowdowns[i];
    }
    hm_simulation_result r = simulate(s, LENGTH(s), 20, 1);
    for (int i = 0; i < LENGTH(s); i++) {
        assert_int_equal(r.rows[i].fail, slowdowns[i] > 0.02 ? 20 : 0);
        assert_int_equal(r.rows[i].pass, slowdowns[i] > 0.02 ? 0 : 20);
        assert_int_equal(r.rows[i].wrong_case, 0);
        assert_true(r.rows[i].mean_rounds == 10); /* decided at the first look */
    }
    hm_simulation_result_free(&r);
}

/* Goals: at most 0.3 % of gates on identical arms fail at 1.5 % noise with any drift; at least 99 % find one case in nine 3 % slower. */
static void identical_arms_pass_and_three_percent_are_found_through_drift(void **state)
{
    (void)state;
    hm_simulation_setting s[2 * HM_DRIFT_COUNT];
    for (int i = 0; i < LENGTH(s); i++) {
        s[i] = usual;
        s[i].drift = (hm_drift)(i % HM_DRIFT_COUNT);
        s[i].slowdown = i < HM_DRIFT_COUNT ? 0 : 0.03;
    }
    hm_simulation_result r = simulate(s, LENGTH(s), 2000, 0);
    for (int i = 0; i < LENGTH(s); i++) {
        const hm_simulation_outcome *row = &r.rows[i];
        print_message("drift %s, slowdown %g %%: %d of %d fail, %d pass, %.1f rounds\n", hm_drift_name(row->setting.drift),
                      100 * row->setting.slowdown, row->fail, row->gates, row->pass, row->mean_rounds);
        if (i < HM_DRIFT_COUNT) {
            assert_in_range(row->fail, 0, 6);
            assert_in_range(row->pass, 1930, 2000);
            assert_int_equal(row->wrong_case, row->fail);
        } else {
            assert_in_range(row->fail, 1980, 2000);
            assert_in_range(row->pass, 0, 2);
        }
    }
    hm_simulation_result_free(&r);
}

/* What the simulation is worth: a machine too noisy for the margin is told so, not passed; a drift that serial blocks would take for a
 * slowdown is not. */
static void too_much_noise_is_inconclusive_and_never_a_pass(void **state)
{
    (void)state;
    hm_simulation_setting s[] = {usual, usual};
    s[0].noise = s[1].noise = 0.06;
    s[1].slowdown = 0.03;
    hm_simulation_result r = simulate(s, 2, 300, 0);
    assert_true(r.rows[0].inconclusive > 270 && r.rows[0].pass == 0);
    assert_true(r.rows[1].pass == 0);
    assert_true(r.rows[0].mean_rounds == 40);
    hm_simulation_result_free(&r);
}

static void the_same_seed_gives_the_same_gates_on_any_number_of_threads(void **state)
{
    (void)state;
    hm_simulation_setting s[] = {usual, usual};
    s[0].drift = HM_DRIFT_AR;
    s[0].slowdown = 0.02;
    s[1].drift = HM_DRIFT_STEP;
    s[1].slowdown = 0.02;
    hm_simulation_result one = simulate(s, 2, 101, 1), two = simulate(s, 2, 101, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(one.rows[i].fail, two.rows[i].fail);
        assert_int_equal(one.rows[i].pass, two.rows[i].pass);
        assert_true(one.rows[i].mean_rounds > two.rows[i].mean_rounds - 1e-9 && one.rows[i].mean_rounds < two.rows[i].mean_rounds + 1e-9);
        assert_true(one.rows[i].fail > 0 && one.rows[i].fail < 101); /* on the margin: both happen */
    }
    hm_simulation_result_free(&one);
    hm_simulation_result_free(&two);
}

static void sets_make_up_the_whole_grid(void **state)
{
    (void)state;
    hm_simulation_setting all[HM_GATE_GRID], part[HM_GATE_GRID];
    int count = hm_gate_grid(HM_SIMULATE_ALL, all), sum = 0;
    for (int set = HM_SIMULATE_GOALS; set <= HM_SIMULATE_CASES; set++) {
        int n = hm_gate_grid((hm_simulation_set)set, part);
        assert_true(n > 0);
        for (int i = 0; i < n; i++)
            assert_true(part[i].set == (hm_simulation_set)set && all[sum + i].set == part[i].set);
        sum += n;
    }
    assert_int_equal(sum, count);
    assert_in_range(count, 100, HM_GATE_GRID);
}

static void nonsense_settings_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        double noise, slowdown, margin;
        int cases, drift, gates, max_rounds;
        const char *text;
    } rows[] = {{-1, 0, 0.02, 9, 0, 10, 40, "noise"},         {0.01, -1, 0.02, 9, 0, 10, 40, "slowdown"},
                {0.01, 0, -0.02, 9, 0, 10, 40, "margin"},     {0.01, 0, 0.02, 0, 0, 10, 40, "cases"},
                {0.01, 0, 0.02, 9, 9, 10, 40, "drift"},       {0.01, 0, 0.02, 9, 0, -1, 40, "gates"},
                {0.01, 0, 0.02, 9, 0, 10, 4000, "max-rounds"}};
    for (int i = 0; i < LENGTH(rows); i++) {
        hm_simulation_setting s = {HM_SIMULATE_GOALS, rows[i].noise,  (hm_drift)rows[i].drift,
                                   rows[i].slowdown,  rows[i].margin, rows[i].cases};
        hm_simulation_options o = {.settings = &s, .setting_count = 1, .gates = rows[i].gates, .max_rounds = rows[i].max_rounds};
        hm_simulation_result r;
        hm_error err = {0};
        hm_status st = hm_gate_simulate(&o, &r, &err);
        if (st != HM_EUSAGE || !strstr(err.text, rows[i].text) || r.rows)
            fail_msg("row %d: %d, \"%s\"", i, st, err.text);
    }
}

static void results_are_a_table_and_curves_a_picture(void **state)
{
    (void)state;
    hm_simulation_setting s[] = {quiet, quiet, quiet, quiet};
    char *text = NULL, picture[] = "gate_curves.svg";
    size_t size = 0;
    hm_error err = {0};
    s[1].slowdown = s[3].slowdown = 0.03;
    s[2].noise = s[3].noise = 0.01;
    hm_simulation_result r = simulate(s, 4, 10, 1);
    FILE *f = open_memstream(&text, &size);
    hm_document *document = hm_simulation_document(&r);
    assert_int_equal(hm_document_write(document, HM_SHEET_CSV, f, &err), HM_OK);
    hm_document_free(&document);
    fclose(f);
    assert_non_null(strstr(text, "set,noise_percent,drift,slowdown_percent,margin_percent,cases,gates,fail_percent,pass_percent,"
                                 "inconclusive_percent,wrong_case_percent,mean_rounds"));
    assert_non_null(strstr(text, "noise,0,none,3,2,3,10,100.00,0.00,0.00,0.00,10.0"));
    free(text);
    if (hm_simulation_draw(&r, HM_SIMULATE_NOISE, picture, &err))
        fail_msg("%s", err.text);
    assert_int_equal(access(picture, R_OK), 0);
    f = fopen(picture, "r");
    text = calloc(1, 1 << 20);
    size = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    assert_non_null(strstr(text, "1 % noise"));
    assert_non_null(strstr(text, "gates that FAIL (%)"));
    assert_non_null(strstr(text, "10 simulated gates a point, no drift, margin 2 %, 3 cases"));
    free(text);
    unlink(picture);
    assert_int_equal(hm_simulation_draw(&r, HM_SIMULATE_CASES, picture, &err), HM_EMISSING);
    assert_int_equal(hm_simulation_draw(&r, HM_SIMULATE_GOALS, picture, &err), HM_EMISSING);
    assert_int_equal(hm_simulation_draw(&r, HM_SIMULATE_ALL, "curves.gif", &err), HM_EUSAGE);
    assert_int_not_equal(access(picture, F_OK), 0);
    hm_simulation_result_free(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_noise_the_margin_alone_decides),
        cmocka_unit_test(identical_arms_pass_and_three_percent_are_found_through_drift),
        cmocka_unit_test(too_much_noise_is_inconclusive_and_never_a_pass),
        cmocka_unit_test(the_same_seed_gives_the_same_gates_on_any_number_of_threads),
        cmocka_unit_test(sets_make_up_the_whole_grid),
        cmocka_unit_test(nonsense_settings_are_refused_by_name),
        cmocka_unit_test(results_are_a_table_and_curves_a_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
