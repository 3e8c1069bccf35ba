/* Plots: what their scripts hold, what they refuse, and that gnuplot draws them. */
#define _GNU_SOURCE /* memmem */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "harness/gnuplot.h"
#include "reports/plot.h"

static hm_journal_result results[6];
static hm_journal_case cases[] = {{"short/plain", 27, 125, 0}, {"short/\"quoted\" `ls` \\n", 13, 63, 0}};
static hm_journal_arm arms[] = {
    {.name = "naive", .flow_steps = 10}, {.name = "steps5", .flow_steps = 5}, {.name = "steps1", .flow_steps = 1}};

static hm_journal_session session(bool fidelity)
{
    for (int i = 0; i < 6; i++) {
        hm_journal_result *r = &results[i];
        *r = hm_journal_result_none();
        r->n = 3;
        r->wall_ms = (hm_journal_stat){3, 4000 - 500 * i, 30};
        r->prefill_ms = (hm_journal_stat){3, 20, 1};
        r->generate_ms = (hm_journal_stat){3, 1000, 9};
        r->decode_ms = (hm_journal_stat){3, 900 - 100 * i, 5};
        r->other_ms = (hm_journal_stat){3, 1, 0.1};
        r->audio_s = 10;
        r->frames = 125;
        r->spectral_snr_db = fidelity && i >= 2 ? 20 + i : NAN;
    }
    results[5] = hm_journal_result_none(); /* it failed */
    return (hm_journal_session){.id = "01234567-89ab",
                                .created_utc = "2001-02-03T04:05:06Z",
                                .state = "done",
                                .command_line = "x",
                                .rounds = 3,
                                .model = "mini \"x\" \\",
                                .synthetic = true,
                                .cpu = "A CPU",
                                .cpus = 2,
                                .arms = arms,
                                .arm_count = 3,
                                .cases = cases,
                                .case_count = 2,
                                .results = results};
}

static char *script_of(hm_plot_kind kind, const char *output, bool fidelity, size_t *size)
{
    char *text = NULL;
    hm_error err = {0};
    hm_journal_session s = session(fidelity);
    FILE *f = open_memstream(&text, size);
    if (hm_plot_write(&s, kind, output, f, &err))
        fail_msg("%s", err.text);
    fclose(f);
    return text;
}

static void titles_say_what_where_and_how_often(void **state)
{
    (void)state;
    size_t size;
    char *text = script_of(HM_PLOT_LADDER, "ladder.svg", false, &size);
    assert_non_null(strstr(text, "synthetic weights"));
    assert_non_null(strstr(text, "n = 3"));
    assert_non_null(strstr(text, "RTF = wall / audio duration"));
    assert_non_null(strstr(text, "\"naive\" 0.4 0.003 0.35 0.003"));
    assert_non_null(strstr(text, "\"steps1\" 0.2 0.003 NaN NaN"));
    free(text);
}

static void names_cannot_leave_their_quotes(void **state)
{
    (void)state;
    static const char *const outputs[] = {"plot_quotes.svg", "plot_quotes.png"};
    for (int k = 0; k < 6; k++) {
        size_t size;
        hm_error err = {0};
        hm_map picture = {0};
        char *text = script_of((hm_plot_kind)(k / 2), outputs[k % 2], true, &size);
        unlink(outputs[k % 2]);
        if (hm_gnuplot_run(text, size, &err)) {
            if (err.status == HM_EABSENT)
                skip();
            fail_msg("kind %d: %s\n%s", k / 2, err.text, text);
        }
        if (hm_map_open(&picture, outputs[k % 2], &err))
            fail_msg("%s", err.text);
        assert_true(picture.size > 3000);
        if (k % 2)
            assert_memory_equal(picture.data, "\x89PNG", 4);
        else
            assert_non_null(memmem(picture.data, picture.size, "`ls`", 4));
        hm_map_close(&picture);
        free(text);
    }
}

static void what_cannot_be_shown_is_told(void **state)
{
    (void)state;
    hm_error err;
    hm_journal_session s = session(false);
    assert_int_equal(hm_plot_check_path("x.gif", &err), HM_EUSAGE);
    assert_int_equal(hm_plot_check_path(".svg", &err), HM_EUSAGE);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_LADDER, "x.pdf", stdout, &err), HM_EUSAGE);
    s.arm_count = 1;
    assert_int_equal(hm_plot_write(&s, HM_PLOT_STEPS, "x.svg", stdout, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "steps1"));
    memset(results, 0, sizeof results);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_LADDER, "x.svg", stdout, &err), HM_EMISSING);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_PHASES, "x.svg", stdout, &err), HM_EMISSING);
}

static void a_script_that_fails_carries_gnuplots_words(void **state)
{
    (void)state;
    hm_error err = {0};
    static const char bad[] = "plot nonsense_of_ours\n";
    hm_status st = hm_gnuplot_run(bad, sizeof bad - 1, &err);
    if (st == HM_EABSENT)
        skip();
    assert_int_equal(st, HM_EIO);
    assert_non_null(strstr(err.text, "nonsense_of_ours"));
}

static void a_missing_gnuplot_is_told_with_the_line_that_installs_it(void **state)
{
    (void)state;
    hm_error err = {0};
    char *path = strdup(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", "/nowhere", 1);
    assert_int_equal(hm_gnuplot_run("exit\n", 5, &err), HM_EABSENT);
    assert_non_null(strstr(err.text, "apt-get install gnuplot-nox"));
    setenv("PATH", path, 1);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(titles_say_what_where_and_how_often),
        cmocka_unit_test(names_cannot_leave_their_quotes),
        cmocka_unit_test(what_cannot_be_shown_is_told),
        cmocka_unit_test(a_script_that_fails_carries_gnuplots_words),
        cmocka_unit_test(a_missing_gnuplot_is_told_with_the_line_that_installs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
