/* Sessions with fake workers whose times are known: what callers ask of hm_measure. */
#define _GNU_SOURCE /* mkdtemp */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <sys/stat.h>

#include "engine/base/map.h"
#include "harness/measure.h"
#include "harness/tally.h"
#include "tests/fake_worker.h"

#define GOOD(call)                    \
    do {                              \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

static char folder[64], db[96], suite[96], once[96];

static int setup(void **state)
{
    (void)state;
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10}\n  - {name: b, tags: t, lyrics: m, frames: 5}\n";
    hm_error err = {0};
    snprintf(folder, sizeof folder, "/tmp/hm_measure_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(db, sizeof db, "%s/test.db", folder);
    snprintf(suite, sizeof suite, "%s/tiny.yaml", folder);
    snprintf(once, sizeof once, "%s/once", folder);
    return setenv("FAKE_ONCE", once, 1) || hm_file_write(suite, text, sizeof text - 1, &err);
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* A quiet session of fake workers of these kinds; they are named as the kinds. */
static hm_measure_options options(const char *one, const char *two)
{
    static char commands[2][PATH_MAX + 64];
    static char *argv[] = {"gate", "a b"};
    hm_measure_options o = hm_measure_defaults("gate");
    const char *kinds[] = {one, two};
    o.plan.suites = (hm_strings){{suite}, 1};
    o.plan.variants = (hm_strings){{"none"}, 1};
    for (int i = 0; i < 2 && kinds[i]; i++) {
        snprintf(commands[i], sizeof commands[i], "%s=exec '%s' --fake %s", kinds[i], fake_program(), kinds[i]);
        o.plan.commands.items[o.plan.commands.count++] = commands[i];
    }
    o.db = db;
    o.argc = 2;
    o.argv = argv;
    o.keep_audio = o.limits = false;
    o.quiet = true;
    return o;
}

static hm_measure *measured(const hm_measure_options *o)
{
    hm_error err = {0};
    hm_measure *m = NULL;
    if (hm_measure_begin(&m, o, &err) || hm_measure_run(m, &err))
        fail_msg("%s", err.text);
    return m;
}

/* What a session of rounds is seen as. */
typedef struct watch {
    int asked[2], end_first_after; /* rounds of case 0; 0: all */
    double left_s, then_s;         /* after the first round: what is said to be left, and when */
} watch;

static double now_s(void)
{
    return (double)hm_clock_now(hm_clock_real()) * 1e-9;
}

static bool on_round(void *self, const hm_measure *m, int c, int rounds_done)
{
    watch *w = self;
    assert_int_equal(rounds_done, ++w->asked[c]);
    assert_int_equal(hm_measure_case_rounds(m, c), rounds_done);
    assert_false(isnan(hm_measure_value(m, c, 0, rounds_done - 1)));
    if (c == hm_measure_plan_of(m)->case_count - 1 && rounds_done == 1) {
        w->left_s = hm_measure_seconds_left(m);
        w->then_s = now_s();
    }
    return c == 0 && rounds_done == w->end_first_after;
}

static void values_of_turns_are_there_and_a_case_can_end_early(void **state)
{
    (void)state;
    hm_error err = {0};
    watch w = {.end_first_after = 2};
    hm_measure_options o = options("good", "drift");
    o.self = &w;
    o.decided = on_round;
    o.rounds = 4;
    o.seed = 5;
    hm_measure *m = measured(&o);
    assert_true(w.asked[0] == 2 && w.asked[1] == 4);
    assert_int_equal(hm_measure_rounds(m), 4);
    for (int round = 0; round < 4; round++)
        for (int arm = 0; arm < 2; arm++) {
            assert_true(hm_measure_value(m, 1, arm, round) == 10e6);
            assert_int_equal(isnan(hm_measure_value(m, 0, arm, round)), round >= 2);
        }
    assert_true(isnan(hm_measure_value(m, 0, 2, 0)) && isnan(hm_measure_value(m, 2, 0, 0)) && isnan(hm_measure_value(m, 0, 0, 9)));
    assert_true(hm_measure_healthy(m, 0, 0) && hm_measure_healthy(m, 1, 1));
    assert_true(hm_measure_seconds_left(m) == 0);
    const hm_suite_outcome *out = hm_measure_outcome(m);
    assert_true(out->kept == 6 && out->dropped == 0 && !out->decided && !out->invalid);
    assert_int_equal(hm_measure_verdict(m, &err), HM_OK);
    hm_measure_close(&m);
    assert_null(m);
}

/* Guesses follow those that were put to the test; what past runs say does not. */
static void a_guess_learns_from_the_turns_that_were_taken(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("good", "drift");
    hm_measure *m = NULL;
    hm_tally t;
    assert_int_equal(hm_measure_begin(&m, &o, &err), HM_OK);
    const hm_plan *plan = hm_measure_plan_of(m);
    assert_true(plan->case_count == 2 && plan->arm_count == 2);
    assert_int_equal(hm_tally_open(&t, plan, 2, &err), HM_OK);
    for (int i = 0; i < 4; i++) {
        t.expected_ns[i] = i < 2 ? 100e9 : 200e9;
        t.guessed[i] = i < 3;
    }
    assert_true(fabs(hm_tally_seconds_left(&t) - 1200) < 1e-6);
    hm_tally_put(&t, 0, 0, 0, true, NULL, 0, 1, 10e9);
    assert_true(fabs(hm_tally_turn_ns(&t, 0, 1) - 10e9) < 1 && fabs(hm_tally_turn_ns(&t, 1, 0) - 20e9) < 1);
    assert_true(hm_tally_turn_ns(&t, 1, 1) == 200e9);
    assert_true(fabs(hm_tally_seconds_left(&t) - (10 + 20 + 40 + 400)) < 1e-6);
    hm_tally_close(&t);
    hm_measure_close(&m);
}

/* How far off the time that is left was said to be, as a share of what it took. */
static double error_of_time_left(void)
{
    watch w = {0};
    hm_measure_options o = options("slow", "good"); /* 0.4 s and 0.02 s, and what a process takes */
    o.self = &w;
    o.decided = on_round;
    o.plan.filter = "/a$";
    o.rounds = 6;
    hm_measure *m = measured(&o);
    double took = now_s() - w.then_s;
    hm_measure_close(&m);
    assert_true(took > 2);
    print_message("said %.2f s, took %.2f s\n", w.left_s, took);
    return fabs(w.left_s - took) / took;
}

static void time_left_is_right_after_the_first_round(void **state)
{
    (void)state;
    double off = 1;
    for (int i = 0; i < 3 && off > 0.2; i++) /* others may use the machine later and not at first, or the other way */
        off = error_of_time_left();
    assert_true(off <= 0.2);
}

static void failed_and_bad_arms_have_no_values_and_are_told(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("crash", "good");
    o.rounds = 2;
    hm_measure *m = measured(&o);
    assert_true(isnan(hm_measure_value(m, 0, 0, 1)) && hm_measure_value(m, 0, 1, 1) == 10e6);
    assert_true(!hm_measure_healthy(m, 0, 0) && hm_measure_healthy(m, 0, 1));
    assert_int_equal(hm_measure_case_rounds(m, 0), 2);
    assert_int_equal(hm_measure_verdict(m, &err), HM_ECASE);
    assert_non_null(strstr(err.text, "4 runs failed"));
    hm_measure_close(&m);
}

static void a_turn_may_time_several_generations(void **state)
{
    (void)state;
    hm_measure_options o = options("good", NULL);
    o.iterations = 3;
    o.rounds = 2;
    hm_measure *m = measured(&o); /* 10, 11 and 12 ms */
    assert_true(hm_measure_value(m, 0, 0, 0) == 11e6 && hm_measure_value(m, 1, 0, 1) == 11e6);
    hm_measure_close(&m);
    o = options("twice", NULL); /* one more than it was asked for */
    o.iterations = 3;
    m = measured(&o);
    assert_true(isnan(hm_measure_value(m, 0, 0, 0)));
    hm_measure_close(&m);
}

static void a_case_ends_when_its_ratios_are_known_well_enough(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("good", "drift"); /* always 10 ms: an interval without width at 6 rounds */
    o.rounds = 9;
    o.stop_at = 0.01;
    o.min_rounds = 2;
    hm_measure *m = measured(&o);
    assert_true(hm_measure_case_rounds(m, 0) == 6 && hm_measure_case_rounds(m, 1) == 6);
    assert_true(hm_measure_outcome(m)->decided);
    hm_measure_close(&m);
    o = options("good", "crash"); /* nothing is known of one that fails */
    o.plan.filter = "/b$";
    o.rounds = 8;
    o.stop_at = 0.01;
    m = measured(&o);
    assert_int_equal(hm_measure_case_rounds(m, 0), 8);
    assert_int_equal(hm_measure_verdict(m, &err), HM_ECASE);
    hm_measure_close(&m);
}

static void one_round_that_the_machine_spoilt_is_run_again(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("good", "once");
    assert_int_equal(hm_file_write(once, "x", 1, &err), HM_OK);
    o.rounds = 3;
    hm_measure *m = measured(&o);
    const hm_suite_outcome *out = hm_measure_outcome(m);
    assert_true(out->dropped == 1 && out->kept == 6 && !out->invalid);
    assert_non_null(strstr(out->first_dropped, "once: a CPU was throttled 1 time"));
    assert_true(hm_measure_value(m, 0, 0, 0) == 10e6 && hm_measure_value(m, 0, 1, 0) == 10e6);
    assert_int_equal(hm_measure_verdict(m, &err), HM_OK);
    char id[HM_UUID_TEXT];
    snprintf(id, sizeof id, "%s", hm_measure_session(m));
    hm_measure_close(&m);
    o.resume = o.more_rounds = true; /* it is remembered */
    o.session = id;
    o.rounds = 4;
    m = measured(&o);
    out = hm_measure_outcome(m);
    assert_true(out->dropped == 1 && out->kept == 8 && out->rounds == 4);
    hm_measure_close(&m);
}

static void a_machine_that_spoils_rounds_makes_the_measurement_invalid(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("good", "hot");
    o.rounds = 3;
    hm_measure *m = measured(&o);
    assert_true(hm_measure_outcome(m)->invalid);
    assert_int_equal(hm_measure_verdict(m, &err), HM_EINVALID);
    assert_non_null(strstr(err.text, "2 rounds of cases were set aside"));
    hm_measure_close(&m);
    o.exact = true; /* exact figures do not depend on it */
    m = measured(&o);
    const hm_suite_outcome *out = hm_measure_outcome(m);
    assert_true(!out->invalid && out->dropped == 0 && out->kept == 6);
    hm_measure_close(&m);
}

static void a_session_goes_on_with_more_rounds_and_its_own_words(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_measure_options o = options("good", "drift"), again = hm_measure_defaults("gate"), other = hm_measure_defaults("calibrate");
    hm_measure *m = NULL;
    o.rounds = 2;
    o.order = HM_ORDER_SERIAL;
    o.tags = (hm_strings){{"machine=quiet", "why=a b"}, 2};
    m = measured(&o);
    char id[HM_UUID_TEXT];
    snprintf(id, sizeof id, "%s", hm_measure_session(m));
    hm_measure_close(&m);
    again.db = other.db = db;
    again.resume = other.resume = again.quiet = again.more_rounds = true;
    again.session = other.session = id;
    again.rounds = 4;
    m = measured(&again);
    assert_string_equal(hm_measure_session(m), id);
    assert_true(hm_measure_rounds(m) == 4 && hm_measure_plan_of(m)->arm_count == 2);
    for (int round = 0; round < 4; round++) /* those of before, too */
        assert_true(hm_measure_value(m, 0, 0, round) == 10e6 && hm_measure_value(m, 1, 1, round) == 10e6);
    hm_measure_close(&m);
    assert_int_equal(hm_measure_begin(&m, &other, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "go on with hmbench gate --resume"));
    assert_null(m);
}

static void a_program_that_is_built_anew_ends_its_session(void **state)
{
    (void)state;
    char script[PATH_MAX + 64], program[160], cache[96];
    hm_error err = {0};
    hm_measure *m = NULL;
    hm_measure_options o = options(NULL, NULL);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    setenv("HMBENCH_CACHE", cache, 1);
    snprintf(program, sizeof program, "main=%s/other", folder);
    snprintf(script, sizeof script, "#!/bin/sh\n[ $1 = suite ] || exec '%s' --fake good\n", fake_program());
    GOOD(hm_file_write(program + 5, script, strlen(script), &err));
    assert_int_equal(chmod(program + 5, 0755), 0);
    o.plan.variants = (hm_strings){{"best"}, 1}; /* by this program, which is a fake worker as well */
    o.plan.model = "heartmula-tiny";
    o.plan.programs = (hm_strings){{program}, 1};
    o.plan.filter = "/a$";
    o.rounds = 1;
    setenv("FAKE_BUILD", "one", 1);
    m = measured(&o);
    assert_string_equal(hm_measure_plan_of(m)->arms[1].name, "best program=main");
    assert_true(hm_measure_value(m, 0, 1, 0) == 10e6);
    assert_int_equal(hm_measure_verdict(m, &err), HM_OK);
    char id[HM_UUID_TEXT];
    snprintf(id, sizeof id, "%s", hm_measure_session(m));
    hm_measure_close(&m);
    o.resume = o.more_rounds = true;
    o.session = id;
    o.rounds = 2;
    m = measured(&o); /* the same build: it goes on */
    hm_measure_close(&m);
    setenv("FAKE_BUILD", "two", 1);
    o.rounds = 3;
    GOOD(hm_measure_begin(&m, &o, &err));
    assert_int_equal(hm_measure_run(m, &err), HM_ECOMPARE);
    assert_non_null(strstr(err.text, "best program=main: its program has been built anew"));
    hm_measure_close(&m);
    snprintf(script, sizeof script, "#!/bin/sh\necho no compiler here >&2; exit 69\n"); /* its launcher cannot build it */
    GOOD(hm_file_write(program + 5, script, strlen(script), &err));
    assert_int_equal(chmod(program + 5, 0755), 0);
    o.resume = false;
    assert_int_equal(hm_measure_begin(&m, &o, &err), HM_EABSENT);
    assert_non_null(strstr(err.text, "no compiler here"));
    unsetenv("FAKE_BUILD");
}

static void words_of_the_command_line_go_through_a_shell_again(void **state)
{
    (void)state;
    char *argv[] = {"suite", "short", "-V", "a b", "it's", ""};
    char *text = hm_command_text(6, argv);
    assert_string_equal(text, "hmbench suite short -V 'a b' 'it'\\''s' ''");
    free(text);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
    if (argc == 2 && !strcmp(argv[1], "worker"))
        return fake_worker("good");
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(values_of_turns_are_there_and_a_case_can_end_early),
                                       CASE(time_left_is_right_after_the_first_round),
                                       CASE(failed_and_bad_arms_have_no_values_and_are_told),
                                       CASE(a_turn_may_time_several_generations),
                                       CASE(a_case_ends_when_its_ratios_are_known_well_enough),
                                       CASE(a_guess_learns_from_the_turns_that_were_taken),
                                       CASE(one_round_that_the_machine_spoilt_is_run_again),
                                       CASE(a_machine_that_spoils_rounds_makes_the_measurement_invalid),
                                       CASE(a_session_goes_on_with_more_rounds_and_its_own_words),
                                       CASE(a_program_that_is_built_anew_ends_its_session),
                                       cmocka_unit_test(words_of_the_command_line_go_through_a_shell_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
