/* hmbench ablate through the real binary: measured, shown again, drawn, refused. */
#define _GNU_SOURCE
#include "tests/cli_case.h"

static char db[256], suite_file[256];

static int setup(void **state)
{
    (void)state;
    if (make_case_folder_and_cache())
        return -1;
    static const char text[] = "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 5, flow_steps: 1}\n";
    hm_error err;
    snprintf(db, sizeof db, "%s", in_folder("a.db"));
    snprintf(suite_file, sizeof suite_file, "%s", in_folder("tiny.yaml"));
    return hm_file_write(suite_file, text, sizeof text - 1, &err) != HM_OK;
}

static json_t *table(json_t *document, const char *name)
{
    return json_object_get(json_object_get(document, "tables"), name);
}

static void toggles_are_put_on_and_left_out_in_one_session(void **state)
{
    (void)state;
    char *const argv[] = {(char *)HM_PROGRAM,
                          "ablate",
                          suite_file,
                          "--model",
                          "heartmula-tiny",
                          "--toggle",
                          "kv",
                          "--toggle",
                          "gqa",
                          "--rounds",
                          "1",
                          "--db",
                          db,
                          "--quiet",
                          "-o",
                          "json",
                          "--plot",
                          in_folder("a.svg"),
                          NULL};
    hm_run run = run_command(argv, NULL, 300, 0);
    json_t *document = result_of(&run), *rows = table(document, "toggles");
    assert_int_equal(json_array_size(rows), 2);
    for (size_t i = 0; i < 2; i++) {
        json_t *row = json_array_get(rows, i);
        assert_true(json_number_value(json_object_get(row, "left_out")) > 0);
        assert_true(json_number_value(json_object_get(row, "alone")) > 0);
        assert_true(json_is_null(json_object_get(row, "alone_low"))); /* one round has no interval */
        assert_string_equal(json_string_value(json_object_get(row, "toggle_kind")), "bitwise");
    }
    assert_int_equal(json_array_size(table(document, "totals")), 3);
    assert_int_equal(files("a.svg"), 1);
    json_decref(document);

    hm_run again = run_program("ablate", "--session", "last", "--toggle", "kv", "--toggle", "gqa", "--db", db, "-o", "json");
    assert_int_equal(again.code, 0);
    assert_string_equal(again.out, run.out);
    run_free(&again);
    run_free(&run);
    run = run_program("ablate", "--session", "last", "--db", db, "--plot", in_folder("all.svg"));
    assert_int_equal(run.code, 0);
    run_free(&run);
    run = run_program("plot", "ablation", "-o", in_folder("b.svg"), "--db", db);
    assert_int_equal(run.code, 0);
    assert_string_equal(run.out, "");
    assert_true(assert_same_file(in_folder("all.svg"), in_folder("b.svg")) > 1000);
    run_free(&run);
    assert_fails(run_program("plot", "ablation", "-o", in_folder("b.svg"), "--db", db, "--metric", "wal"), 64, "did you mean \"wall\"");
    assert_fails(run_program("plot", "ablation", "-o", in_folder("b.svg"), "--db", db, "--arm", "x"), 64, "for plot history");
    assert_fails(run_program("plot", "ablation", "x", "-o", in_folder("b.svg"), "--db", db), 64, "unexpected argument \"x\"");
}

static void what_is_no_ablation_is_refused(void **state)
{
    (void)state;
    assert_fails(run_program("ablate"), 64, "which suite");
    assert_fails(run_program("ablate", "short", "--session", "last"), 64, "none can be named");
    assert_fails(run_program("ablate", "short", "--variant", "naive"), 64, "same program");
    assert_fails(run_program("ablate", "short", "--toggle", "kw"), 64, "did you mean \"kv\"");
    assert_fails(run_program("ablate", "short", "--metric", "wal"), 64, "did you mean");
    assert_fails(run_program("ablate", "--session", "last", "--db", in_folder("none.db")), 66, "none.db");
    hm_run suite = run_program("suite", suite_file, "--model", "heartmula-tiny", "--variant", "naive:", "--rounds", "1", "--no-trace",
                               "--no-limits", "--quiet", "--db", db);
    assert_int_equal(suite.code, 0);
    run_free(&suite);
    hm_run still = run_program("ablate", "--session", "last", "--toggle", "kv", "--toggle", "gqa", "--db", db); /* the last ablation */
    assert_int_equal(still.code, 0);
    run_free(&still);
    hm_run ids = run_program("db", "sql", "SELECT id FROM session WHERE kind = 'suite'", "-o", "csv", "--db", db);
    char id[64];
    assert_int_equal(sscanf(ids.out, "id %63s", id), 1);
    assert_fails(run_program("ablate", "--session", id, "--db", db), 64, "one of hmbench suite");
    run_free(&ids);
    assert_fails(run_program("plot", "ablation", "-o", in_folder("c.svg"), "--session", id, "--db", db), 64, "one of hmbench suite");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(toggles_are_put_on_and_left_out_in_one_session),
        cmocka_unit_test(what_is_no_ablation_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
