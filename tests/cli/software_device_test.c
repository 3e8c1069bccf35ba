/* What is told, and refused, of arms that ran on a software device; devices and environments that are not alike. On planted sessions. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness/store_internal.h"
#include "harness/verdict_store.h"
#include "tests/planted_session.h"
#include "tests/run_program.h"

static char folder[64], db[96], picture[96];
static planted p;
static const char *const arms[] = {"naive", "best"};

static int setup(void **state)
{
    (void)state;
    hm_error err = {0};
    snprintf(folder, sizeof folder, "/tmp/hm_software_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(db, sizeof db, "%s/x.db", folder);
    snprintf(picture, sizeof picture, "%s/x.svg", folder);
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

/* Six rounds of both arms; those on a software device are slow. */
static void plant(bool first, bool second)
{
    hm_error err = {0};
    plant_session(&p, "m1", "b1", NULL, arms, 2);
    GOOD(hm_store_extend_session(p.store, p.session.id, 6, &err));
    for (int i = 0; i < 6; i++) {
        plant_run(&p, (planted_run){.arm = 0, .round = i, .wall_ms = 100 + i, .software = first, .driver = first ? "1.0" : NULL});
        plant_run(&p, (planted_run){.arm = 1, .round = i, .wall_ms = 9000 + i, .software = second, .driver = second ? "1.0" : NULL});
    }
}

static void expect(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || !strstr(run.out, in_out) || !strstr(run.err, in_err))
        fail_msg("expected exit code %d, \"%s\" and \"%s\"; got %d:\n%s%s", code, in_out, in_err, run.code, run.out, run.err);
    run_free(&run);
}

static void times_are_refused_and_counts_are_not(void **state)
{
    (void)state;
    plant(false, true);
    expect(run_program("compare", "--db", db, "naive", "best"), 3, "", "best ran on a software device");
    expect(run_program("compare", "--db", db, "naive", "best", "--metric", "tok_s"), 3, "", "--counts-only");
    expect(run_program("compare", "--db", db, "naive", "best", "--force-compare"), 3, "", "software device");
    expect(run_program("compare", "--db", db, "naive", "best", "--metric", "launches"), 0, "short/plain", "");
    expect(run_program("compare", "--db", db, "naive", "best", "--metric", "mem"), 0, "short/plain", "");
}

static void the_journal_labels_it_and_ranks_it_nowhere(void **state)
{
    (void)state;
    plant(false, true);
    hm_run run = run_program("journal", "--db", db);
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "### best (software device)"));
    assert_non_null(strstr(run.out, "says nothing about hardware and does not rank"));
    const char *variants = strstr(run.out, "### All variants"), *row = variants ? strstr(variants, "| best (software device)") : NULL;
    assert_non_null(row);
    if (memmem(row, strcspn(row, "\n"), "x |", 3))
        fail_msg("it has a speed: %.*s", (int)strcspn(row, "\n"), row);
    const char *calls = strstr(run.out, "### Calls per frame");
    assert_non_null(calls);
    assert_non_null(strstr(calls, "| best (software device) | short/plain |    10.00 |"));
    run_free(&run);
    expect(run_program("report", "--db", db), 0, "best (software device)", "");
    expect(run_program("report", "--line", "--db", db), 3, "", "software device");
    expect(run_program("report", "--line", "--db", db, "--variant", "naive"), 0, "naive", "");
}

static void pictures_have_no_place_for_it(void **state)
{
    (void)state;
    plant(false, true);
    hm_run run = run_program("plot", "phases", "--db", db, "-o", picture, "--script");
    assert_int_equal(run.code, 0);
    assert_null(strstr(run.out, "best"));
    run_free(&run);
    plant(true, true);
    expect(run_program("plot", "phases", "--db", db, "-o", picture, "--script"), 3, "", "every arm of session");
}

static void a_history_has_no_points_of_it(void **state)
{
    (void)state;
    plant(false, true);
    expect(run_program("history", "short/plain", "--db", db), 0, "102.5", "1 result left out: of a software device");
    expect(run_program("history", "short/plain", "--db", db, "--arm", "best"), 3, "", "software device alone");
    expect(run_program("history", "short/plain", "--db", db, "--arm", "best", "--metric", "launches"), 0, "42", "");
}

static void unlike_devices_drivers_and_environments_are_not_compared(void **state)
{
    (void)state;
    static const struct {
        const char *device, *driver, *environment, *wanted;
    } others[] = {{"A750", "1.3", "", "device: A770 against A750"},
                  {"A770", "1.4", "", "driver: 1.3 against 1.4"},
                  {"A770", "1.3", "ZE_AFFINITY_MASK=0", "environment: none against ZE_AFFINITY_MASK=0"}};
    hm_error err = {0};
    char one[80], two[80], sql[200];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        for (int k = 0; k < 2; k++) {
            plant_session(&p, "m1", "b1", NULL, arms, 1);
            plant_run(&p, (planted_run){.wall_ms = 100, .device = k ? others[i].device : "A770", .driver = k ? others[i].driver : "1.3"});
            snprintf(sql, sizeof sql, "UPDATE arm SET environment = '%s' WHERE id = '%s'", k ? others[i].environment : "", p.arms[0].id);
            GOOD(hm_store_exec(p.store, sql, &err));
            snprintf(k ? two : one, sizeof one, "%s:naive", p.session.id);
        }
        expect(run_program("compare", "--db", db, one, two), 4, "", others[i].wanted);
    }
}

static double calibrated(const char *backend, const char *device)
{
    hm_error err = {0};
    double sd;
    hm_calibration_key key = {"m1", "c1", p.arms[0].toggles, backend, device, 0};
    GOOD(hm_store_get_calibration(p.store, &key, &sd, &err));
    return sd;
}

static void a_calibration_serves_its_backend_and_device_alone(void **state)
{
    (void)state;
    hm_error err = {0};
    char sql[200];
    plant_session(&p, "m1", "b1", "calibrate", arms, 1);
    hm_calibration_record c = {p.session.id, "c1", p.arms[0].id, 10, 0.01, 0, 1};
    GOOD(hm_store_put_calibration(p.store, &c, &err));
    assert_true(calibrated("cpu", "") == 0.01);
    assert_true(isnan(calibrated("ze", "")));
    snprintf(sql, sizeof sql, "UPDATE arm SET backend = 'ze', device = '1' WHERE id = '%s'", p.arms[0].id);
    GOOD(hm_store_exec(p.store, sql, &err));
    assert_true(isnan(calibrated("cpu", "")));
    assert_true(isnan(calibrated("ze", "")));
    assert_true(calibrated("ze", "1") == 0.01);
}

static void a_gpu_that_is_not_there_is_told_before_anything_is_made(void **state)
{
    (void)state;
    char other[112];
    snprintf(other, sizeof other, "%s/other.db", folder);
    setenv("ZE_ENABLE_ALT_DRIVERS", "/no/such/driver.so", 1);
    expect(run_program("suite", "short", "--backend", "cpu,ze", "--model", "heartmula-tiny", "--db", other), 69, "", "ze");
    expect(run_program("gate", "short", "--base", "naive", "--backend", "ze", "--model", "heartmula-tiny", "--db", other), 69, "", "ze");
    unsetenv("ZE_ENABLE_ALT_DRIVERS");
    assert_int_not_equal(access(other, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(times_are_refused_and_counts_are_not, setup, teardown),
        cmocka_unit_test_setup_teardown(the_journal_labels_it_and_ranks_it_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(pictures_have_no_place_for_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_history_has_no_points_of_it, setup, teardown),
        cmocka_unit_test_setup_teardown(unlike_devices_drivers_and_environments_are_not_compared, setup, teardown),
        cmocka_unit_test_setup_teardown(a_calibration_serves_its_backend_and_device_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gpu_that_is_not_there_is_told_before_anything_is_made, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
