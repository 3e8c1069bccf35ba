/* Arms that differ in bitwise toggles must give the same bytes, in every round; others need not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/suite_run.h"

typedef struct fixture {
    char folder[64], db[96];
    hm_store *store;
    hm_plan *plan;
    hm_session_record session;
} fixture;

#define GOOD(call)                    \
    do {                              \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

/* naive, alone-kv (bitwise beside naive), alone-rows (rounding beside it), on one case. */
static int setup(void **state)
{
    hm_error err = {0};
    fixture *f = calloc(1, sizeof *f);
    hm_plan_options o = {.suites = {{"short"}, 1}, .variants = {{"naive,alone-kv,alone-rows"}, 1}, .filter = "plain", .backend = "cpu"};
    hm_machine_record machine = {.id = "m", .host_id = "h", .cpu_model = "c", .isa = "avx2", .kernel = "k", .os = "o", .cpu_quota = NAN};
    hm_build_record build = {.id = "b", .version = "v", .compiler = "c", .flags = "f", .build_type = "t", .binary_hash = "x"};
    hm_arm_record arms[3];
    *state = f;
    strcpy(f->folder, "/tmp/hm_equal_XXXXXX");
    if (!mkdtemp(f->folder))
        return 1;
    snprintf(f->db, sizeof f->db, "%s/t.db", f->folder);
    GOOD(hm_store_open(&f->store, f->db, HM_STORE_CREATE, &err));
    GOOD(hm_plan_make(&f->plan, &o, &err));
    GOOD(hm_store_put_machine(f->store, &machine, &err));
    GOOD(hm_store_put_build(f->store, &build, &err));
    GOOD(hm_store_put_case(f->store, &f->plan->cases[0], &err));
    f->session = (hm_session_record){.machine_id = "m", .build_id = "b", .command_line = "x", .options = "{}", .rounds = 2};
    hm_uuid_text(f->session.id);
    for (int i = 0; i < 3; i++)
        hm_plan_arm_record(&f->plan->arms[i], i, &arms[i]);
    GOOD(hm_store_put_session(f->store, &f->session, arms, 3, &err));
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    char command[128];
    hm_store_close(&f->store);
    hm_plan_close(&f->plan);
    snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    free(f);
    return system(command);
}

static double audio_s = NAN; /* of the runs that are put */
static int64_t pieces = HM_UNKNOWN;

static void put(fixture *f, int arm, int round, hm_run_status status, const char *codes, const char *audio)
{
    hm_error err = {0};
    hm_sample *s = calloc(1, sizeof *s);
    assert_non_null(s);
    hm_sample_init(s);
    s->wall_ns = 5;
    s->frames = 125;
    s->audio_s = audio_s;
    s->sample_rate_hz = 24000;
    s->pieces = pieces;
    snprintf(s->codes_hash, sizeof s->codes_hash, "%s", codes);
    snprintf(s->audio_hash, sizeof s->audio_hash, "%s", audio);
    hm_run_record run = {.session_id = f->session.id,
                         .arm_id = f->plan->arms[arm].id,
                         .case_id = f->plan->cases[0].id,
                         .round = round,
                         .slot = arm, /* runs come back in this order */
                         .status = status,
                         .reason = status ? "why" : NULL,
                         .started_utc = "t",
                         .warmup = "none",
                         .samples = s,
                         .sample_count = !status};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(f->store, &run, &err));
    free(s);
}

static hm_suite_outcome check(fixture *f)
{
    hm_error err = {0};
    hm_suite_outcome out = {0};
    GOOD(hm_suite_check(f->store, f->plan, f->session.id, &out, &err));
    return out;
}

static void equal_bytes_pass_and_rounding_arms_may_differ(void **state)
{
    fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        put(f, 0, round, HM_RUN_OK, "aa", "bb");
        put(f, 1, round, HM_RUN_OK, "aa", "bb");
        put(f, 2, round, HM_RUN_OK, "cc", "dd");
    }
    hm_suite_outcome out = check(f);
    assert_string_equal(out.difference, "");
    assert_int_equal(out.failed, 0);
}

static void other_codes_of_a_bitwise_arm_are_named(void **state)
{
    fixture *f = *state;
    put(f, 0, 0, HM_RUN_OK, "aa", "bb");
    put(f, 1, 0, HM_RUN_OK, "ab", "bb");
    hm_suite_outcome out = check(f);
    assert_non_null(strstr(out.difference, "alone-kv"));
    assert_non_null(strstr(out.difference, "same codes"));
}

static void other_audio_of_a_bitwise_arm_is_named(void **state)
{
    fixture *f = *state;
    put(f, 1, 0, HM_RUN_OK, "aa", "bc");
    put(f, 0, 0, HM_RUN_OK, "aa", "bb");
    hm_suite_outcome out = check(f);
    assert_non_null(strstr(out.difference, "same audio"));
}

static void samples_lost_are_told_per_piece(void **state)
{
    fixture *f = *state;
    audio_s = 4;
    put(f, 0, 0, HM_RUN_OK, "aa", "bb");
    audio_s = (96000 - 40 * 555) / 24000.0;
    pieces = 40;
    put(f, 1, 0, HM_RUN_OK, "aa", "bc");
    audio_s = NAN;
    pieces = HM_UNKNOWN;
    hm_suite_outcome out = check(f);
    assert_non_null(strstr(out.difference, "; 96000 and 73800 samples, 555.0 lost per piece"));
}

static void an_arm_that_disagrees_with_itself_is_named(void **state)
{
    fixture *f = *state;
    put(f, 2, 0, HM_RUN_OK, "cc", "dd");
    put(f, 2, 1, HM_RUN_OK, "cc", "de");
    hm_suite_outcome out = check(f);
    assert_non_null(strstr(out.difference, "alone-rows (round 1) and alone-rows (round 2)"));
}

static void failures_are_counted_and_the_first_is_told(void **state)
{
    fixture *f = *state;
    put(f, 0, 0, HM_RUN_OK, "aa", "bb");
    put(f, 1, 0, HM_RUN_CRASH, "", "");
    put(f, 2, 0, HM_RUN_REFUSED, "", "");
    hm_suite_outcome out = check(f);
    assert_int_equal(out.failed, 2);
    assert_int_equal(out.refused, 1);
    assert_non_null(strstr(out.first_failure, "crash: why"));
    assert_string_equal(out.difference, "");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(equal_bytes_pass_and_rounding_arms_may_differ), CASE(other_codes_of_a_bitwise_arm_are_named),
        CASE(other_audio_of_a_bitwise_arm_is_named),         CASE(samples_lost_are_told_per_piece),
        CASE(an_arm_that_disagrees_with_itself_is_named),    CASE(failures_are_counted_and_the_first_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
