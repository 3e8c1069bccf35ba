/* What hmbench suite takes down about the machine: cold starts, memory of phases and over generations, state, counters, energy. */
#define _GNU_SOURCE /* pipe2 */
#include <sys/stat.h>

#include "tests/cli_case.h"
#include "tests/fake_worker.h"

static char *db, *suite, *model;

static int setup(void **state)
{
    (void)state;
    static const char text[] = "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 6, flow_steps: 1}\n";
    hm_error err;
    if (make_case_folder())
        return 1;
    db = strdup(in_folder("out/test.db"));
    suite = strdup(in_folder("tiny.yaml"));
    model = strdup(in_folder("model"));
    hm_run run = run_program("synth", "heartmula-tiny", model);
    int code = run.code;
    run_free(&run);
    return code || hm_file_write(suite, text, sizeof text - 1, &err) != HM_OK;
}

static int teardown(void **state)
{
    free(db);
    free(suite);
    free(model);
    return remove_folder(state);
}

static hm_run run_suite(const char *more, ...) __attribute__((format(printf, 1, 2)));
static hm_run run_suite(const char *more, ...)
{
    char command[2048], rest[1024];
    va_list args;
    va_start(args, more);
    vsnprintf(rest, sizeof rest, more, args);
    va_end(args);
    snprintf(command, sizeof command, "'%s' suite %s --no-keep-audio --no-trace --settle 0 %s", HM_PROGRAM,
             strstr(rest, "--resume") ? "" : suite, rest);
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 300, 0);
    if (run.code)
        fail_msg("%s: exit code %d:\n%s%s", command, run.code, run.out, run.err);
    return run;
}

#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

static void a_cold_start_stands_before_the_rounds_and_in_no_figure_of_them(void **state)
{
    (void)state;
    unlink(db);
    hm_run run = run_suite("--model '%s' --variant best --rounds 1 --cold --no-limits --db '%s'", model, db);
    bool memory = strstr(run.err, "tmpfs");
    assert_non_null(strstr(run.err, memory ? "cold: not obtained  tiny/a" : "cold  tiny/a"));
    run_free(&run);
    expect_sql("SELECT r.round, r.warmup, s.warmup, s.cold IS NOT NULL FROM run r JOIN sample s ON s.run_id = r.id "
               "ORDER BY r.round, s.ordinal",
               "-1,none,1,1\r\n0,first,1,0\r\n0,first,0,0\r\n");
    expect_sql("SELECT n FROM arm_figure", "1\r\n");
    if (memory)
        expect_sql("SELECT cold, cold_load_ms, cold_note LIKE '%tmpfs%', first_ms > 0, steady_ms > 0 FROM cold_figure", "0,,1,1,1\r\n");
    else
        expect_sql("SELECT cold, cold_load_ms > 0, cold_note, warm_load_ms > 0, load_ratio > 0, first_ratio > 0 FROM cold_figure",
                   "1,1,,1,1,1\r\n");
    run = run_suite("--resume --session $('%s' db sql 'SELECT id FROM session' --db '%s' -o csv | tail -1 | tr -d '\\r') "
                    "--rounds 2 --db '%s'",
                    HM_PROGRAM, db, db);
    run_free(&run);
    expect_sql("SELECT round, count(*) FROM run GROUP BY round", "-1,1\r\n0,1\r\n1,1\r\n"); /* done once */
}

static void a_file_system_in_memory_gives_no_cold_start_and_says_so(void **state)
{
    (void)state;
    char shm[] = "/dev/shm/hmbench-XXXXXX", command[512];
    if (!mkdtemp(shm)) {
        print_message("/dev/shm cannot be written\n");
        skip();
    }
    snprintf(command, sizeof command, "cp -r '%s' %s/model", model, shm);
    assert_int_equal(system(command), 0);
    unlink(db);
    hm_run run = run_suite("--model %s/model --variant best --rounds 1 --cold --no-limits --db '%s'", shm, db);
    assert_non_null(strstr(run.err, "cold: not obtained  tiny/a"));
    assert_non_null(strstr(run.err, "tmpfs"));
    run_free(&run);
    expect_sql("SELECT cold, cold_load_ms, load_ratio, cold_note LIKE '%tmpfs%', first_ms > 0 FROM cold_figure", "0,,,1,1\r\n");
    snprintf(command, sizeof command, "rm -r %s", shm);
    assert_int_equal(system(command), 0);
}

static void every_timed_sample_has_the_state_of_the_machine_or_its_reason(void **state)
{
    (void)state;
    unlink(db);
    hm_run run = run_suite("--model '%s' --variant best --rounds 1 --db '%s'", model, db);
    run_free(&run);
    expect_sql("SELECT count(*) FROM sample WHERE NOT warmup AND peak_rss_bytes >= prefill_peak_bytes "
               "AND peak_rss_bytes >= decode_peak_bytes AND load_peak_bytes > 0 AND prefill_peak_bytes > 0 AND generate_peak_bytes > 0 "
               "AND rss_after_bytes > 0",
               "1\r\n");
    expect_sql("SELECT count(*) FROM sample WHERE context_switches >= 0 AND page_faults >= 0 AND steal_ns >= 0", "2\r\n");
    expect_sql("SELECT count(*) FROM sample WHERE (cycles > 0 AND instructions > 0) OR length(counter_note) > 10", "2\r\n");
    expect_sql("SELECT count(*) FROM sample WHERE length(energy_source) > 10 AND (energy_uj > 0 OR energy_idle_uj IS NULL)", "2\r\n");
    expect_sql("SELECT count(DISTINCT type) FROM machine_figure f JOIN session s ON s.id = f.session_id AND s.machine_id = f.machine_id",
               "4\r\n"); /* bytes, f32, bf16, int8 */
}

static void memory_that_grows_over_generations_is_told(void **state)
{
    (void)state;
    const char *program = fake_program();
    unlink(db);
    hm_run run = run_suite("--variant none --iters 12 --rounds 2 --arm \"leaks=exec '%s' --fake leaks\" "
                           "--arm \"keeps=exec '%s' --fake keeps\" --db '%s' -o json",
                           program, program, db);
    json_t *all = json_loads(run.out, 0, NULL), *rows = json_object_get(json_object_get(all, "tables"), "memory_growth"), *row;
    size_t i;
    assert_int_equal(json_array_size(rows), 2);
    json_array_foreach(rows, i, row)
    {
        bool leaks = !strcmp(json_string_value(json_object_get(row, "arm")), "leaks");
        double slope = json_number_value(json_object_get(row, "bytes_per_generation"));
        assert_int_equal(json_integer_value(json_object_get(row, "processes")), 2);
        assert_int_equal(json_integer_value(json_object_get(row, "generations")), 24);
        assert_string_equal(json_string_value(json_object_get(row, "verdict")), leaks ? "grows" : "does not grow");
        assert_true(leaks ? slope > 70 << 10 && slope <= 100 << 10 : slope == 0);
    }
    json_decref(all);
    run_free(&run);
    run = run_suite("--variant none --iters 4 --rounds 1 --arm \"leaks=exec '%s' --fake leaks\" --db '%s' -o json", program, db);
    assert_null(strstr(run.out, "memory_growth"));
    run_free(&run);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cold_start_stands_before_the_rounds_and_in_no_figure_of_them),
        cmocka_unit_test(a_file_system_in_memory_gives_no_cold_start_and_says_so),
        cmocka_unit_test(every_timed_sample_has_the_state_of_the_machine_or_its_reason),
        cmocka_unit_test(memory_that_grows_over_generations_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
