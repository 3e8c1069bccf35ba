/* hmbench history on planted databases: points, changes, what is left out. */
#define _GNU_SOURCE
#include "tests/cli_case.h"

#include "tests/store_case.h"

enum {
    COMMITS = 24
};

/* A session of one commit: rounds of the arms "best" and "naive" on c1. */
typedef struct planted {
    const char *machine, *commit, *health;
    int day, rounds;
    bool dirty;
    double best_ms, naive_ms;
    const char *toggles; /* of the arm best */
} planted;

static int runs_made;

static void plant_run(hm_store *store, const planted *p, const char *session, const char *arm, int round, int slot, double ms)
{
    hm_error err = {0};
    hm_sample *samples = calloc(2, sizeof *samples);
    char id[HM_UUID_TEXT];
    assert_non_null(samples);
    for (int i = 0; i < 2; i++) {
        hm_sample_init(&samples[i]);
        samples[i].wall_ns = (int64_t)(ms * 1e6 * (i ? 1 : 50)); /* the warm-up is far off */
        samples[i].frames = 125;
        samples[i].audio_s = 10;
        snprintf(samples[i].health, sizeof samples[i].health, "%s", p->health ? p->health : "ok");
    }
    samples[0].warmup = true;
    snprintf(id, sizeof id, "run-%d", runs_made++);
    hm_run_record run = {.session_id = session,
                         .arm_id = arm,
                         .case_id = "c1",
                         .model_id = "w1",
                         .round = round,
                         .slot = slot,
                         .warmup = "full",
                         .isa = "avx2",
                         .threads = 2,
                         .samples = samples,
                         .sample_count = 2,
                         .memory_available_bytes = HM_UNKNOWN};
    snprintf(run.id, sizeof run.id, "%s", id);
    snprintf(run.started_utc, sizeof run.started_utc, "2026-01-%02dT00:00:00.000Z", p->day);
    GOOD(hm_store_put_run(store, &run, &err));
    free(samples);
}

static void plant(hm_store *store, const planted *p)
{
    hm_error err = {0};
    hm_build_record build = {
        .version = "0.1.0", .compiler = "gcc", .flags = "-O2", .build_type = "Release", .binary_hash = "x", .git_dirty = p->dirty};
    hm_session_record session = {.command_line = "hmbench suite short", .options = "{}", .rounds = p->rounds};
    hm_arm_record arms[2] = {
        {.position = 0, .name = "naive", .variant = "naive", .toggles = "kv=concat,attn=scores"},
        {.position = 1, .name = "best", .variant = "best", .toggles = p->toggles ? p->toggles : "kv=prealloc,attn=flash"}};
    snprintf(build.id, sizeof build.id, "b-%.8s%d", p->commit, p->dirty);
    snprintf(build.git_commit, sizeof build.git_commit, "%s", p->commit);
    hm_uuid_text(session.id);
    snprintf(session.machine_id, sizeof session.machine_id, "%s", p->machine ? p->machine : "m1");
    snprintf(session.build_id, sizeof session.build_id, "%s", build.id);
    for (int a = 0; a < 2; a++) {
        hm_uuid_text(arms[a].id);
        arms[a].backend = "cpu";
        arms[a].precision = "bf16";
        arms[a].model = "/m";
    }
    GOOD(hm_store_put_build(store, &build, &err));
    GOOD(hm_store_put_session(store, &session, arms, 2, &err));
    for (int r = 0; r < p->rounds; r++) {
        double wobble = 1 + 0.004 * ((r * 7 + p->day * 5) % 3 - 1);
        plant_run(store, p, session.id, arms[0].id, r, 0, p->naive_ms * wobble);
        plant_run(store, p, session.id, arms[1].id, r, 1, p->best_ms * wobble);
    }
    GOOD(hm_store_end_session(store, session.id, "done", &err));
    usleep(2000); /* a session's time is that of its making: these follow each other */
}

static const char *commit_name(int i)
{
    static char names[64][41];
    char *out = names[i % 64];
    snprintf(out, 41, "%08x00000000000000000000000000000000", 0xa0000000u + (unsigned)i * 0x111u);
    return out;
}

/* 24 commits: from the 13th on best takes 6 % longer, naive does not. */
static hm_store *plant_history(const char *name)
{
    hm_store *store = NULL;
    hm_error err = {0};
    GOOD(hm_store_open(&store, in_folder(name), HM_STORE_CREATE, &err));
    put_store_facts(store, "a song", 3);
    for (int i = 0; i < COMMITS; i++) {
        double wobble = 1 + 0.003 * ((i * 5) % 7 - 3) / 3.0;
        planted p = {
            .commit = commit_name(i), .day = i + 1, .rounds = 3, .best_ms = 1000 * wobble * (i < 12 ? 1 : 1.06), .naive_ms = 4000 * wobble};
        plant(store, &p);
    }
    return store;
}

#define history(db, ...) run_program("history", "--db", in_folder(db), __VA_ARGS__)

/* The table's rows of an arm. */
static int rows_of(json_t *result, const char *arm, json_t *rows[COMMITS * 4])
{
    json_t *table = json_object_get(json_object_get(result, "tables"), "history"), *row;
    size_t i;
    int n = 0;
    json_array_foreach(table, i, row)
    {
        if (!strcmp(json_string_value(json_object_get(row, "arm")), arm))
            rows[n++] = row;
    }
    return n;
}

static const char *text_at(json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static double number_at(json_t *row, const char *key)
{
    return json_number_value(json_object_get(row, key));
}

static void a_planted_slowdown_is_found_at_its_commit(void **state)
{
    (void)state;
    json_t *rows[COMMITS * 4];
    hm_run run = history("planted.db", "short/plain", "-o", "json");
    json_t *result = result_of(&run);
    assert_int_equal(rows_of(result, "naive", rows), COMMITS);
    for (int i = 0; i < COMMITS; i++)
        assert_true(json_is_null(json_object_get(rows[i], "change_percent")));
    assert_int_equal(rows_of(result, "best", rows), COMMITS);
    for (int i = 0; i < COMMITS; i++) {
        assert_string_equal(text_at(rows[i], "commit"), commit_name(i));
        assert_int_equal((int)number_at(rows[i], "rounds"), 3);
        assert_true(json_is_null(json_object_get(rows[i], "change_percent")) == (i != 12));
    }
    assert_true(fabs(number_at(rows[0], "value") - 997) < 3); /* ms: the warm-up does not count */
    assert_true(fabs(number_at(rows[12], "change_percent") - 6) < 0.5);
    assert_true(number_at(rows[12], "p") < 1e-3);
    assert_string_equal(text_at(rows[12], "before_commit"), "a0000bbb");
    json_decref(result);
    run_free(&run);
}

static void people_get_both_commits_and_the_command_that_confirms(void **state)
{
    (void)state;
    hm_run run = history("planted.db", "short");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "**short/plain got worse at `a0000ccc`**: +6."));
    assert_non_null(strstr(run.out, "the commit before is `a0000bbb`"));
    assert_non_null(strstr(run.out, "hmbench gate short --filter '^short/plain$' --variant 'best' --model '/m' --base "
                                    "../hmbench-a0000bbb/build/hmbench --cand ../hmbench-a0000ccc/build/hmbench"));
    assert_non_null(strstr(run.out, "No change found.")); /* naive */
    assert_string_equal(run.err, "");
    run_free(&run);
}

static void only_asked_for_it_fails_and_only_for_the_worse(void **state)
{
    (void)state;
    hm_run run = history("planted.db", "short", "--fail", "--arm", "naive");
    assert_int_equal(run.code, 0);
    run_free(&run);
    run = history("planted.db", "short", "--fail");
    assert_int_equal(run.code, 1);
    assert_non_null(strstr(run.out, "got worse")); /* the report is complete all the same */
    assert_non_null(strstr(run.err, "history: 1 change to the worse"));
    run_free(&run);
    run = history("planted.db", "short", "--fail", "--metric", "x_real_time"); /* more is better: the same change */
    assert_int_equal(run.code, 1);
    run_free(&run);
    run = history("planted.db", "short", "--fail", "--margin", "10%");
    assert_int_equal(run.code, 0);
    run_free(&run);
    run = history("planted.db", "short", "--fail", "--since", "a0000ccc"); /* all of it lies behind the change */
    assert_int_equal(run.code, 0);
    run_free(&run);
}

static void a_change_to_the_better_is_told_as_such(void **state)
{
    (void)state;
    hm_store *store = NULL;
    hm_error err = {0};
    GOOD(hm_store_open(&store, in_folder("better.db"), HM_STORE_CREATE, &err));
    put_store_facts(store, "a song", 3);
    for (int i = 0; i < 12; i++) {
        planted p = {.commit = commit_name(i), .day = i + 1, .rounds = 3, .best_ms = i < 6 ? 1000 + i : 900 + i, .naive_ms = 4000 + i};
        plant(store, &p);
    }
    hm_store_close(&store);
    hm_run run = history("better.db", "short/plain", "--fail", "--plot", in_folder("better.svg"));
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "got better at `a0000666`**: -"));
    run_free(&run);
    assert_int_equal(files("better.svg"), 1);
}

/* Another machine, other toggles, bad audio, a change without a commit. */
static void unlike_sessions_are_no_points_of_the_series(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_machine_record other = store_machine;
    json_t *rows[COMMITS * 4];
    hm_store *store = plant_history("unlike.db");
    strcpy(other.id, "m2");
    GOOD(hm_store_put_machine(store, &other, &err));
    planted away = {.commit = commit_name(30), .machine = "m2", .day = 3, .rounds = 3, .best_ms = 300, .naive_ms = 900};
    planted toggled = {
        .commit = commit_name(31), .day = 3, .rounds = 3, .best_ms = 500, .naive_ms = 4000, .toggles = "kv=prealloc,attn=scores"};
    planted sick = {.commit = commit_name(32), .day = 3, .rounds = 3, .best_ms = 200, .naive_ms = 200, .health = "bad"};
    planted dirty = {.commit = commit_name(23), .day = 3, .rounds = 3, .best_ms = 1065, .naive_ms = 4000, .dirty = true};
    planted again = {.commit = commit_name(23), .day = 3, .rounds = 5, .best_ms = 1060, .naive_ms = 4000};
    /* a toggle of later builds, off: the same arm */
    planted later = {
        .commit = commit_name(33), .day = 3, .rounds = 3, .best_ms = 1060, .naive_ms = 4000, .toggles = "kv=prealloc,attn=flash,fuse=none"};
    plant(store, &away);
    plant(store, &toggled);
    plant(store, &sick);
    plant(store, &dirty);
    plant(store, &again);
    plant(store, &later);
    hm_store_close(&store);
    hm_run run = history("unlike.db", "short", "--arm", "best", "-o", "json");
    assert_non_null(strstr(run.err, "1 session of other machines left out"));
    assert_non_null(strstr(run.err, "1 result left out: bad audio"));
    json_t *result = result_of(&run);
    int n = rows_of(result, "best", rows);
    assert_int_equal(n, COMMITS + 3); /* those, one of other toggles, one dirty, one with a later toggle */
    int alone = 0, doubled = 0, unclean = 0;
    for (int i = 0; i < n; i++) {
        alone += !strcmp(text_at(rows[i], "commit"), commit_name(31));
        assert_string_not_equal(text_at(rows[i], "commit"), commit_name(30));
        assert_string_not_equal(text_at(rows[i], "commit"), commit_name(32));
        if (strcmp(text_at(rows[i], "commit"), commit_name(23)))
            continue;
        unclean += number_at(rows[i], "dirty") > 0;
        doubled += number_at(rows[i], "sessions") > 1.5 && number_at(rows[i], "rounds") > 7.5;
    }
    assert_true(alone == 1 && unclean == 1 && doubled == 1);
    json_decref(result);
    run_free(&run);
    run = history("unlike.db", "short", "--machine", "m2");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "1 point: changes are looked for from 6 on."));
    run_free(&run);
}

static void pictures_show_points_medians_and_changes(void **state)
{
    (void)state;
    hm_map svg = {0};
    hm_error err;
    hm_run run = history("planted.db", "short/plain", "--plot", in_folder("history.svg"), "-o", "csv");
    assert_int_equal(run.code, 0);
    assert_int_equal(run_lines(run.out), 1 + 2 * COMMITS);
    run_free(&run);
    GOOD(hm_map_open(&svg, in_folder("history.svg"), &err));
    char *text = strndup((const char *)svg.data, svg.size);
    assert_non_null(strstr(text, "% worse"));
    assert_non_null(strstr(text, "wall (ms)"));
    assert_non_null(strstr(text, "a0000cc"));
    assert_non_null(strstr(text, "median between changes"));
    free(text);
    hm_map_close(&svg);
    run = run_program("plot", "history", "short/plain", "-o", in_folder("again.svg"), "--db", in_folder("planted.db"));
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "");
    assert_same_file(in_folder("history.svg"), in_folder("again.svg"));
    run_free(&run);
    assert_fails(run_program("plot", "history", "-o", "x.svg"), 64, "plot history: of what?");
    assert_fails(run_program("plot", "history", "short", "-o", "x.svg", "--session", "last"), 64, "--session has no meaning");
    assert_fails(run_program("plot", "history", "short", "-o", "x.svg", "--margin", "x"), 64, "--margin");
    assert_fails(run_program("plot", "ladder", "-o", "x.svg", "--metric", "wall"), 64, "plot history and plot ablation");
}

static void what_cannot_be_told_says_why(void **state)
{
    (void)state;
    assert_fails(history("planted.db", "long"), 66, "no runs of \"long\"; it has short/plain");
    assert_fails(history("planted.db", "shor"), 66, "it has short/plain");
    assert_fails(history("planted.db", "short", "--arm", "other"), 66, "by the arm other");
    assert_fails(history("planted.db", "short", "--machine", "zz"), 66, "on a machine zz");
    assert_fails(history("planted.db", "short", "--since", "2999-01-01"), 66, "since 2999-01-01");
    assert_fails(history("planted.db", "short", "--since", "yesterday"), 64, "--since \"yesterday\": expected");
    assert_fails(history("planted.db", "short", "--metric", "wal"), 64, "did you mean \"wall\"");
    assert_fails(history("planted.db", "short", "--margin", "x"), 64, "--margin");
    assert_fails(history("planted.db", "short", "--plot", "history.gif"), 64, ".svg or .png");
    assert_fails(history("nothing.db", "short"), 66, "nothing.db");
    assert_fails(run_program("history", "--db", in_folder("planted.db")), 64, "one case");
}

static int make_all(void **state)
{
    (void)state;
    if (make_case_folder())
        return -1;
    hm_store *store = plant_history("planted.db");
    hm_store_close(&store);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_planted_slowdown_is_found_at_its_commit),
        cmocka_unit_test(people_get_both_commits_and_the_command_that_confirms),
        cmocka_unit_test(only_asked_for_it_fails_and_only_for_the_worse),
        cmocka_unit_test(a_change_to_the_better_is_told_as_such),
        cmocka_unit_test(unlike_sessions_are_no_points_of_the_series),
        cmocka_unit_test(pictures_show_points_medians_and_changes),
        cmocka_unit_test(what_cannot_be_told_says_why),
    };
    return cmocka_run_group_tests(tests, make_all, remove_folder);
}
