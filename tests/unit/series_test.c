/* Series of one metric out of a database that holds chosen runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/series.h"
#include "tests/planted_session.h"

static char folder[64];
static planted p;
static const char *const arms[] = {"naive", "best"};

static int setup(void **state)
{
    (void)state;
    char path[128];
    hm_error err = {0};
    snprintf(folder, sizeof folder, "/tmp/hm_series_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/x.db", folder);
    if (hm_store_open(&p.store, path, HM_STORE_CREATE, &err))
        return 1;
    put_store_facts(p.store, "la", 1);
    plant_session(&p, "m1", "b1", NULL, arms, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    hm_store_close(&p.store);
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static hm_series_set get(const char *metric)
{
    hm_error err = {0};
    hm_series_set set;
    if (hm_store_get_series(p.store, p.session.id, metric, &set, &err))
        fail_msg("%s", err.text);
    return set;
}

static void a_series_has_a_value_per_round_and_the_facts_of_its_runs(void **state)
{
    (void)state;
    plant_pairs(&p, 3, 100, 1.5, 0);
    hm_series_set set = get("wall");
    assert_int_equal(set.count, 2);
    assert_int_equal(set.rounds, 3);
    assert_true(set.direction > 0);
    assert_string_equal(set.unit, "ms");
    assert_int_equal(set.order_seed, 7);
    assert_string_equal(set.machine_id, "m1");
    const hm_series *s = &set.items[1];
    assert_string_equal(s->label, "short/plain");
    assert_string_equal(s->arm, "best");
    assert_string_equal(s->model_id, "w1");
    assert_string_equal(s->codes_hash, "c0de");
    assert_null(s->audio_hash);
    assert_string_equal(s->warmup, "full");
    assert_string_equal(s->build_id, "b1");
    assert_int_equal(s->threads, 2);
    assert_int_equal(s->frames, 125);
    assert_false(s->unhealthy);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(s->value[i] - 150) < 1e-9);
    assert_ptr_equal(hm_series_find(&set, "c1", p.arms[1].id), s);
    assert_null(hm_series_find(&set, "c2", p.arms[1].id));
    hm_series_set_free(&set);
}

static void ratios_are_of_rounds_that_both_have_and_point_at_worse(void **state)
{
    (void)state;
    double y[4], x[4];
    hm_error err = {0};
    GOOD(hm_store_extend_session(p.store, p.session.id, 4, &err));
    for (int round = 0; round < 4; round++)
        for (int arm = 0; arm < 2; arm++)
            plant_run(&p,
                      (planted_run){
                          .arm = arm, .round = round, .wall_ms = arm ? 200 : 100, .status = arm && round == 1 ? HM_RUN_CRASH : HM_RUN_OK});
    GOOD(hm_store_drop_round(p.store, p.session.id, "c1", 2, "throttled", &err));
    hm_series_set set = get("wall"), speed = get("tok_s");
    assert_int_equal(hm_series_log_ratios(&set, &set.items[0], &set.items[1], y), 2);
    assert_true(fabs(y[0] - log(2)) < 1e-9 && fabs(y[1] - log(2)) < 1e-9);
    assert_int_equal(hm_series_log_ratios(&speed, &speed.items[0], &speed.items[1], y), 2);
    assert_true(speed.direction < 0);
    assert_true(fabs(y[0] - log(2)) < 1e-9); /* half the speed is as bad as double the time */
    assert_int_equal(hm_series_values(&set, &set.items[0], x), 3);
    assert_int_equal(set.items[1].failed, 1);
    assert_int_equal(set.items[0].dropped, 1);
    hm_series_set_free(&set);
    hm_series_set_free(&speed);
}

static void a_bad_run_makes_its_arm_unhealthy(void **state)
{
    (void)state;
    hm_error err = {0};
    GOOD(hm_store_extend_session(p.store, p.session.id, 2, &err));
    for (int round = 0; round < 2; round++)
        for (int arm = 0; arm < 2; arm++)
            plant_run(&p, (planted_run){.arm = arm, .round = round, .wall_ms = 1, .health = arm && round ? "bad" : NULL});
    hm_series_set set = get("wall");
    assert_false(set.items[0].unhealthy);
    assert_true(set.items[1].unhealthy);
    assert_string_equal(set.items[1].health_reasons, "half of it is silence");
    hm_series_set_free(&set);
}

static void an_arm_that_only_failed_is_there_without_values(void **state)
{
    (void)state;
    double y[1];
    plant_run(&p, (planted_run){.arm = 0, .wall_ms = 5});
    plant_run(&p, (planted_run){.arm = 1, .wall_ms = 5, .status = HM_RUN_TIMEOUT});
    hm_series_set set = get("wall");
    assert_int_equal(set.count, 2);
    assert_true(isnan(set.items[1].value[0]));
    assert_null(set.items[1].model_id);
    assert_int_equal(hm_series_log_ratios(&set, &set.items[0], &set.items[1], y), 0);
    hm_series_set_free(&set);
}

static void exact_counts_are_metrics_and_unknown_names_get_the_nearest(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_series_set set;
    plant_run(&p, (planted_run){.arm = 0, .wall_ms = 5, .launches = 9});
    set = get("launches");
    assert_true(set.items[0].value[0] == 9);
    hm_series_set_free(&set);
    assert_int_equal(hm_store_get_series(p.store, p.session.id, "wal", &set, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "\"wall\""));
    assert_int_equal(hm_store_get_series(p.store, p.session.id, "codes_hash", &set, &err), HM_EUSAGE);
    assert_int_equal(hm_store_get_series(p.store, "nobody", "wall", &set, &err), HM_EMISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_series_has_a_value_per_round_and_the_facts_of_its_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(ratios_are_of_rounds_that_both_have_and_point_at_worse, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bad_run_makes_its_arm_unhealthy, setup, teardown),
        cmocka_unit_test_setup_teardown(an_arm_that_only_failed_is_there_without_values, setup, teardown),
        cmocka_unit_test_setup_teardown(exact_counts_are_metrics_and_unknown_names_get_the_nearest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
