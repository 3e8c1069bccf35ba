/* hmbench compare and baseline from the outside, on databases that hold chosen runs. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "tests/planted_session.h"
#include "tests/run_program.h"

static char folder[64], db[96];
static planted p;
static const char *const two[] = {"naive", "best"};

static int setup(void **state)
{
    (void)state;
    hm_error err = {0};
    snprintf(folder, sizeof folder, "/tmp/hm_compare_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(db, sizeof db, "%s/x.db", folder);
    if (hm_store_open(&p.store, db, HM_STORE_CREATE, &err))
        return 1;
    put_store_facts(p.store, "la", 1);
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

#define COMPARE(...) run_program("compare", "--db", db, __VA_ARGS__)

static void expect_out(hm_run *run, const char *in_out)
{
    if (run->code || !strstr(run->out, in_out))
        fail_msg("expected exit code 0 and \"%s\", got %d:\n%s%s", in_out, run->code, run->out, run->err);
    run_free(run);
}

/* Rows of a table of the answer in JSON; the caller frees *all. */
static json_t *rows_of(hm_run *run, const char *table, json_t **all)
{
    if (run->code)
        fail_msg("exit code %d: %s", run->code, run->err);
    *all = json_loads(run->out, 0, NULL);
    json_t *rows = json_object_get(json_object_get(*all, "tables"), table);
    if (!json_is_array(rows))
        fail_msg("no table %s in %s", table, run->out);
    run_free(run);
    return rows;
}

static void expect_number(const json_t *row, const char *key, double expected, double within)
{
    double found = json_number_value(json_object_get(row, key));
    if (!json_is_number(json_object_get(row, key)) || fabs(found - expected) > within)
        fail_msg("%s: expected %.9g, found %.9g", key, expected, found);
}

/* A session of its own with these arms; the last one is in p. */
static void session(const char *const *arms, int count)
{
    plant_session(&p, "m1", "b1", NULL, arms, count);
}

/* Sessions of one arm with `rounds` runs each. */
static void history(const char *tag, const char *const *arm, int sessions, int rounds, double wall_ms)
{
    hm_error err = {0};
    for (int s = 0; s < sessions; s++) {
        session(arm, 1);
        GOOD(hm_store_put_tag(p.store, p.session.id, "of", tag, &err));
        GOOD(hm_store_extend_session(p.store, p.session.id, rounds, &err));
        for (int i = 0; i < rounds; i++)
            plant_run(&p, (planted_run){.round = i, .wall_ms = wall_ms * (1 + 0.001 * i)});
    }
}

/* A session of two models on one case: "naive" is that of each, and pairs stay within a model. */
static void a_variants_name_means_its_arms_of_all_models(void **state)
{
    (void)state;
    static const char *const four[] = {"naive model=a", "naive model=b", "best model=a", "best model=b"};
    static const double wall_ms[] = {1000, 100, 500, 80};
    hm_error err = {0};
    json_t *all;
    session(four, 4);
    GOOD(hm_store_extend_session(p.store, p.session.id, 6, &err));
    for (int i = 0; i < 6; i++)
        for (int a = 0; a < 4; a++)
            plant_run(&p, (planted_run){.arm = a, .round = i, .wall_ms = wall_ms[a] * (1 + 0.01 * i)});
    hm_run run = COMPARE("naive", "best", "-o", "json");
    json_t *rows = rows_of(&run, "ratios", &all);
    assert_int_equal(json_array_size(rows), 2);
    expect_number(json_array_get(rows, 0), "ratio", 0.5, 1e-9);
    expect_number(json_array_get(rows, 1), "ratio", 0.8, 1e-9);
    json_decref(all);
    run = COMPARE("naive model=a", "best model=a", "-o", "json");
    rows = rows_of(&run, "ratios", &all);
    assert_int_equal(json_array_size(rows), 1);
    json_decref(all);
    run = COMPARE("naiv", "best");
    expect_code(&run, 66, "did you mean");
}

/* ---- figures ---- */

/* Walsh averages of ln of 1.1 1.2 1.15 1.3 1.05 1.25 1.18 1.22 1.09 1.16: worked out apart from the program. */
static void ratios_and_intervals_are_those_of_the_formulas(void **state)
{
    (void)state;
    static const double ratios[] = {1.1, 1.2, 1.15, 1.3, 1.05, 1.25, 1.18, 1.22, 1.09, 1.16};
    hm_error err = {0};
    json_t *all;
    session(two, 2);
    GOOD(hm_store_extend_session(p.store, p.session.id, 10, &err));
    for (int i = 0; i < 10; i++) {
        plant_run(&p, (planted_run){.arm = 0, .round = i, .wall_ms = 1000 + 10 * i});
        plant_run(&p, (planted_run){.arm = 1, .round = i, .wall_ms = (1000 + 10 * i) * ratios[i]});
    }
    hm_run run = COMPARE("naive", "best", "-o", "json");
    json_t *row = json_array_get(rows_of(&run, "ratios", &all), 0);
    double w[55];
    int n = 0;
    for (int i = 0; i < 10; i++)
        for (int j = i; j < 10; j++) {
            double a = (log(ratios[i]) + log(ratios[j])) / 2;
            int at = n++;
            for (; at > 0 && w[at - 1] > a; at--)
                w[at] = w[at - 1];
            w[at] = a;
        }
    expect_number(row, "ratio", exp(w[27]), 1e-7);
    expect_number(row, "low", exp(w[8]), 1e-7); /* 8: the largest k with P(W <= k) <= 0.025 at n = 10 */
    expect_number(row, "high", exp(w[54 - 8]), 1e-7);
    expect_number(row, "n", 10, 0);
    assert_string_equal(json_string_value(json_object_get(row, "finding")), "worse");
    json_decref(all);
    run = COMPARE("naive", "best", "--metric", "tok_s", "-o", "json"); /* speed: the reciprocal */
    row = json_array_get(rows_of(&run, "ratios", &all), 0);
    expect_number(row, "ratio", exp(-w[27]), 1e-7);
    expect_number(row, "low", exp(-w[54 - 8]), 1e-7);
    assert_string_equal(json_string_value(json_object_get(row, "finding")), "worse");
    json_decref(all);
}

static void few_rounds_have_no_interval(void **state)
{
    (void)state;
    session(two, 2);
    plant_pairs(&p, 3, 100, 2, 0.01);
    hm_run run = COMPARE("naive", "best");
    expect_out(&run, "no interval");
}

static void all_cases_together_have_a_line(void **state)
{
    (void)state;
    hm_error err = {0};
    json_t *all;
    hm_case_record c = {.id = "c2",
                        .request_hash = "q2",
                        .suite_hash = "s1",
                        .suite = "short",
                        .name = "other",
                        .task = "music",
                        .tags = "x",
                        .lyrics = "y",
                        .frames = 50};
    GOOD(hm_store_put_case(p.store, &c, &err));
    session(two, 2);
    plant_pairs(&p, 6, 100, 2, 0);
    for (int i = 0; i < 6; i++) {
        plant_run(&p, (planted_run){.arm = 0, .round = i, .wall_ms = 100, .case_id = "c2"});
        plant_run(&p, (planted_run){.arm = 1, .round = i, .wall_ms = 50, .case_id = "c2"});
    }
    hm_run run = COMPARE("naive", "best", "-o", "json");
    json_t *row = json_array_get(rows_of(&run, "suite", &all), 0);
    expect_number(row, "ratio", 1, 1e-9); /* twice as long and half as long */
    expect_number(row, "cases", 2, 0);
    json_decref(all);
    for (int i = 0; i < 2; i++)
        plant_run(&p, (planted_run){.arm = i, .round = 6, .wall_ms = 50, .case_id = "c2", .health = "bad"});
    run = COMPARE("naive", "best", "-o", "json");
    assert_int_equal(run.code, 3);
    assert_null(strstr(run.out, "\"suite\"")); /* what does not rank alone does not rank together either */
    run_free(&run);
}

/* Independent means 100 +- s and 150 +- s: the formula of Fieller by hand. */
static void means_have_fiellers_interval(void **state)
{
    (void)state;
    hm_error err = {0};
    json_t *all;
    session(two, 2);
    GOOD(hm_store_extend_session(p.store, p.session.id, 6, &err));
    for (int i = 0; i < 6; i++) {
        plant_run(&p, (planted_run){.arm = 0, .round = i, .wall_ms = i % 2 ? 95 : 105});
        plant_run(&p, (planted_run){.arm = 1, .round = i, .wall_ms = i % 2 ? 140 : 160});
    }
    hm_run run = COMPARE("naive", "best", "--stat", "mean", "-o", "json");
    json_t *row = json_array_get(rows_of(&run, "ratios", &all), 0);
    double t = 2.570581836, x = 100, y = 150, hx = t * sqrt(30) / sqrt(6), hy = t * sqrt(120) / sqrt(6);
    double root = sqrt(x * x * y * y - (x * x - hx * hx) * (y * y - hy * hy));
    expect_number(row, "ratio", 1.5, 1e-9);
    expect_number(row, "low", (x * y - root) / (x * x - hx * hx), 1e-5);
    expect_number(row, "high", (x * y + root) / (x * x - hx * hx), 1e-5);
    json_decref(all);
}

static void percentiles_are_told_where_there_are_enough_runs(void **state)
{
    (void)state;
    json_t *all;
    session(two, 2);
    plant_pairs(&p, 60, 100, 1.5, 0.1);
    hm_run run = COMPARE("naive", "best", "--percentiles", "-o", "json");
    json_t *rows = rows_of(&run, "percentiles", &all);
    assert_int_equal(json_array_size(rows), 8);
    assert_true(json_is_number(json_object_get(json_array_get(rows, 2), "value"))); /* p95: 59 are enough */
    assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 3), "quantile")), "p99");
    assert_true(json_is_null(json_object_get(json_array_get(rows, 3), "value"))); /* 299 are needed */
    json_decref(all);
}

/* ---- what cannot be compared ---- */

/* The base as usual; the other as `other` says. */
static void pair_of(planted_run other)
{
    for (int i = 0; i < 6; i++) {
        plant_run(&p, (planted_run){.arm = 0, .round = i, .wall_ms = 100});
        other.arm = 1;
        other.round = i;
        other.wall_ms = 200;
        plant_run(&p, other);
    }
}

static void unlike_runs_are_refused_by_name_unless_forced(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_model_record model = {.id = "w2", .kind = "heartmula", .name = "other", .path = "/n", .codebooks = 8, .frame_s = 0.08};
    hm_machine_record machine = store_machine;
    hm_build_record build = {.id = "b2", .version = "0.1.0", .compiler = "gcc", .flags = "-O0", .build_type = "Debug", .binary_hash = "y"};
    GOOD(hm_store_put_model(p.store, &model, &err));
    strcpy(machine.id, "m2");
    strcpy(machine.cpu_model, "Another CPU");
    GOOD(hm_store_put_machine(p.store, &machine, &err));
    GOOD(hm_store_put_build(p.store, &build, &err));

    session(two, 2);
    pair_of((planted_run){.model_id = "w2"});
    hm_run run = COMPARE("naive", "best");
    expect_code(&run, 4, "model: w1 against w2");
    run = COMPARE("naive", "best", "--force-compare");
    assert_non_null(strstr(run.out, "Forced: these are not comparable (model: w1 against w2)"));
    expect_out(&run, "2.0000");
    run = COMPARE("naive", "best", "--force-compare", "-o", "csv"); /* rows that leave without the text above them */
    expect_out(&run, "\"forced, not comparable: model: w1 against w2\"");

    session(two, 2);
    pair_of((planted_run){.warmup = "first"});
    run = COMPARE("naive", "best");
    expect_code(&run, 4, "warm-up: full against first");

    session(two, 2);
    pair_of((planted_run){.threads = 1}); /* in one session they were asked for */
    run = COMPARE("naive", "best");
    expect_out(&run, "2.0000");

    history("usual", two, 1, 1, 100);
    plant_session(&p, "m2", "b1", NULL, two, 1);
    GOOD(hm_store_put_tag(p.store, p.session.id, "of", "machine", &err));
    plant_run(&p, (planted_run){.wall_ms = 100});
    run = COMPARE("of=usual", "of=machine");
    expect_code(&run, 4, "machine: A CPU against Another CPU");

    plant_session(&p, "m1", "b2", NULL, two, 1);
    GOOD(hm_store_put_tag(p.store, p.session.id, "of", "build", &err));
    plant_run(&p, (planted_run){.wall_ms = 100});
    run = COMPARE("of=usual", "of=build");
    expect_code(&run, 4, "build type: Release against Debug");

    session(two, 1);
    GOOD(hm_store_put_tag(p.store, p.session.id, "of", "threads", &err));
    plant_run(&p, (planted_run){.wall_ms = 100, .threads = 1});
    run = COMPARE("of=usual", "of=threads");
    expect_code(&run, 4, "threads: 2 against 1");
}

static void other_lengths_are_refused_or_taken_per_frame(void **state)
{
    (void)state;
    hm_error err = {0};
    json_t *all;
    hm_case_record longer = {.id = "c3",
                             .request_hash = "q3",
                             .suite_hash = "s2",
                             .suite = "short",
                             .name = "plain",
                             .task = "music",
                             .tags = "pop",
                             .lyrics = "la",
                             .frames = 250},
                   changed = longer;
    changed.id[1] = '4';
    changed.frames = 125;
    GOOD(hm_store_put_case(p.store, &longer, &err));
    GOOD(hm_store_put_case(p.store, &changed, &err));
    history("short", two, 1, 1, 100);
    session(two, 1);
    GOOD(hm_store_put_tag(p.store, p.session.id, "of", "long", &err));
    plant_run(&p, (planted_run){.wall_ms = 300, .case_id = "c3"});
    hm_run run = COMPARE("of=short", "of=long");
    expect_code(&run, 4, "frames: 125 against 250; --per-frame");
    run = COMPARE("of=short", "of=long", "--per-frame", "-o", "json");
    expect_number(json_array_get(rows_of(&run, "ratios", &all), 0), "ratio", 1.5, 1e-9);
    json_decref(all);
    run = COMPARE("of=short", "of=long", "--per-frame", "--metric", "mem");
    expect_code(&run, 64, "is for times");
    session(two, 1);
    GOOD(hm_store_put_tag(p.store, p.session.id, "of", "changed", &err));
    plant_run(&p, (planted_run){.wall_ms = 300, .case_id = "c4"});
    run = COMPARE("of=short", "of=changed");
    expect_code(&run, 4, "case (what is asked for): c1 against c4");
}

static void outputs_that_must_be_equal_come_before_any_time(void **state)
{
    (void)state;
    static const char *const approx[] = {"best", "steps5"};
    session(two, 2);
    pair_of((planted_run){.codes_hash = "beef"});
    hm_run run = COMPARE("naive", "best");
    assert_string_equal(run.out, "");
    expect_code(&run, 5, "short/plain: naive and best must give the same codes and do not");
    session(approx, 2);
    pair_of((planted_run){.codes_hash = "beef"});
    run = COMPARE("best", "steps5");
    expect_out(&run, "makes other numbers: flow_steps 10 -> 5");
}

static void unhealthy_arms_are_not_ranked(void **state)
{
    (void)state;
    json_t *all;
    session(two, 2);
    pair_of((planted_run){.health = "bad"});
    hm_run run = COMPARE("naive", "best", "-o", "json");
    assert_int_equal(run.code, 3);
    assert_non_null(strstr(run.err, "best is not ranked: its output is bad (half of it is silence)"));
    run.code = 0;
    json_t *row = json_array_get(rows_of(&run, "ratios", &all), 0);
    assert_true(json_is_null(json_object_get(row, "ratio")));
    assert_string_equal(json_string_value(json_object_get(row, "finding")), "not ranked");
    json_decref(all);
}

/* ---- names ---- */

static void an_empty_name_is_no_session(void **state)
{
    (void)state;
    session(two, 2);
    pair_of((planted_run){.threads = 2});
    hm_run run = COMPARE("", "last");
    expect_code(&run, 64, "an empty name");
}

static void sessions_apart_are_unpaired_and_need_enough_runs(void **state)
{
    (void)state;
    json_t *all;
    history("main", two, 3, 4, 100);
    history("topic", two, 3, 4, 110);
    history("few", two, 1, 4, 110);
    hm_run run = COMPARE("of=main", "of=topic", "-o", "json");
    json_t *row = json_array_get(rows_of(&run, "ratios", &all), 0);
    expect_number(row, "ratio", 1.1, 0.001);
    expect_number(row, "n", 12, 0);
    assert_string_equal(json_string_value(json_object_get(row, "paired")), "unpaired");
    assert_true(json_is_null(json_object_get(row, "note")));
    json_decref(all);
    run = COMPARE("of=main", "of=few");
    assert_non_null(strstr(run.out, "unpaired"));
    expect_out(&run, "not to be believed: 12 and 4 runs from 3 and 1 sessions; 10 from 3 are needed on each side");
}

static void sides_are_named_by_id_commit_baseline_arm_and_file(void **state)
{
    (void)state;
    char first[HM_UUID_TEXT], one[80], other[160];
    hm_error err = {0};
    hm_build_record build = {.id = "b3",
                             .version = "0.1.0",
                             .compiler = "gcc",
                             .flags = "-O2",
                             .build_type = "Release",
                             .binary_hash = "z",
                             .git_commit = "deadbeef42"};
    GOOD(hm_store_put_build(p.store, &build, &err));
    session(two, 2);
    plant_pairs(&p, 6, 100, 1.25, 0);
    memcpy(first, p.session.id, sizeof first);
    plant_session(&p, "m1", "b3", NULL, two, 1);
    plant_run(&p, (planted_run){.wall_ms = 300});

    snprintf(one, sizeof one, "%.8s:naive", first);
    snprintf(other, sizeof other, "%.12s:best", first);
    hm_run run = COMPARE(one, other);
    expect_out(&run, "1.2500");
    run = COMPARE(one, "deadbe");
    expect_out(&run, "3.0000");
    run = run_program("baseline", "set", "before", first, "--db", db);
    expect_code(&run, 0, "baseline before: 1 session");
    run = COMPARE("before:naive", "last");
    expect_out(&run, "3.0000");
    snprintf(other, sizeof other, "%s:last:naive", db);
    run = run_program("compare", "--db", db, "before", other);
    expect_out(&run, "3.0000");
    run = COMPARE("before", "before");
    expect_code(&run, 64, "name two of its arms");
    run = COMPARE("before:nobody", "last");
    expect_code(&run, 66, "has no runs of an arm nobody");
    run = COMPARE("nobody", "last");
    expect_code(&run, 66, "nothing is called \"nobody\"");
    run = COMPARE("naive", "best", "--metric", "wal");
    expect_code(&run, 64, "did you mean \"wall\"");
    run = COMPARE("naive");
    expect_code(&run, 64, "expected two names");
    run = run_program("compare", "a", "b", "--db", "/nowhere/x.db");
    expect_code(&run, 66, "no such file");
}

static void baselines_are_set_listed_shown_and_removed(void **state)
{
    (void)state;
    history("main", two, 2, 1, 100);
    hm_run run = run_program("baseline", "set", "release-1", "of=main", "--db", db);
    expect_code(&run, 0, "baseline release-1: 2 sessions");
    run = run_program("baseline", "set", "release-1", "--db", db); /* the last one alone */
    expect_code(&run, 0, "baseline release-1: 1 session,");
    run = run_program("baseline", "list", "--db", db);
    expect_out(&run, "release-1");
    run = run_program("baseline", "show", "release-1", "--db", db);
    expect_out(&run, "A CPU");
    run = run_program("baseline", "rm", "release-1", "--db", db);
    expect_code(&run, 0, NULL);
    run = run_program("baseline", "rm", "release-1", "--db", db);
    expect_code(&run, 66, "no baseline \"release-1\"");
    run = run_program("baseline", "show", "release-1", "--db", db);
    expect_code(&run, 66, "nothing is called");
    run = run_program("baseline", "set", "best", "--db", db);
    expect_code(&run, 64, "take another name");
    run = run_program("baseline", "set", "a b", "--db", db);
    expect_code(&run, 64, "expected 1 to 64 letters");
    run = run_program("baseline", "shwo", "x", "--db", db);
    expect_code(&run, 64, "did you mean \"show\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ratios_and_intervals_are_those_of_the_formulas, setup, teardown),
        cmocka_unit_test_setup_teardown(few_rounds_have_no_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(a_variants_name_means_its_arms_of_all_models, setup, teardown),
        cmocka_unit_test_setup_teardown(all_cases_together_have_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(means_have_fiellers_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(percentiles_are_told_where_there_are_enough_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(unlike_runs_are_refused_by_name_unless_forced, setup, teardown),
        cmocka_unit_test_setup_teardown(other_lengths_are_refused_or_taken_per_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(outputs_that_must_be_equal_come_before_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(unhealthy_arms_are_not_ranked, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_name_is_no_session, setup, teardown),
        cmocka_unit_test_setup_teardown(sessions_apart_are_unpaired_and_need_enough_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(sides_are_named_by_id_commit_baseline_arm_and_file, setup, teardown),
        cmocka_unit_test_setup_teardown(baselines_are_set_listed_shown_and_removed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
