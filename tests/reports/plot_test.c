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

#define ROUNDS 8

static hm_journal_result results[6];
static double rounds[6][ROUNDS];
static const hm_journal_stretch stretches[] = {{0, 62, 8.5}, {62, 63, 9.25}};
enum {
    KINDS = HM_PLOT_POSITIONS + 1
};
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
        r->mean_kl = fidelity && i >= 2 ? 0.001 * i : NAN;
        r->frame_weight_mb = 12.5;
        r->distinct_weight_mb = 600;
        r->frame_gflop = 0.025;
        r->codec_frame_gflop = 0.02;
        r->codec_weight_mb = 3;
        r->prefill_gflop = 1;
        r->prefill_weight_mb = 20;
        r->stretches = stretches;
        r->stretch_count = 2;
        r->wall_by_round_ms = rounds[i];
        for (int k = 0; k < ROUNDS; k++)
            rounds[i][k] = r->wall_ms.mean * (1 + 0.001 * ((k * (i + 3)) % 7));
    }
    results[5] = hm_journal_result_none(); /* it failed */
    return (hm_journal_session){.id = "01234567-89ab",
                                .created_utc = "2001-02-03T04:05:06Z",
                                .state = "done",
                                .command_line = "x",
                                .rounds = ROUNDS,
                                .peak_gflop_s = 160,
                                .peak_int8_gop_s = NAN,
                                .memory_gb_s = 20,
                                .cache_gb_s = 80,
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
    for (int k = 0; k < 2 * KINDS; k++) {
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
        else if (k / 2 < HM_PLOT_ROOFLINE) /* the others show the longest case alone */
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

static void ratios_show_their_interval_and_no_bad_arm(void **state)
{
    (void)state;
    size_t size;
    hm_error err = {0};
    char *text = script_of(HM_PLOT_RATIO, "ratio.svg", false, &size), expected[80];
    hm_journal_session s = session(false);
    hm_speed_up up = hm_journal_speed_up(&s, 0, 1, 0);
    assert_true(up.n == ROUNDS && up.low < up.ratio && up.ratio < up.high);
    snprintf(expected, sizeof expected, "\"%.2fx (%.2f to %.2f)\"", up.ratio, up.low, up.high);
    assert_non_null(strstr(text, expected));
    snprintf(expected, sizeof expected, "\n%.6g %.6g %.6g 1\n", up.ratio, up.low, up.high);
    assert_non_null(strstr(text, expected));
    assert_non_null(strstr(text, "\"not measured\""));
    assert_non_null(strstr(text, "set arrow from 1, graph 0 to 1, graph 1"));
    free(text);
    results[2].health = "bad";
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_RATIO, "ratio.svg", f, &err), HM_OK);
    fclose(f);
    assert_non_null(strstr(text, "\"audio judged bad\""));
    free(text);
    results[2].health = NULL;
    s.arm_count = 1;
    assert_int_equal(hm_plot_write(&s, HM_PLOT_RATIO, "x.svg", stdout, &err), HM_EMISSING);
}

static void points_stand_under_the_roof_that_the_machine_gives(void **state)
{
    (void)state;
    size_t size;
    hm_error err = {0};
    hm_journal_session s = session(false);
    char *text = script_of(HM_PLOT_ROOFLINE, "roofline.svg", false, &size);
    assert_non_null(strstr(text, "\n2 3.125 0\n"));              /* 25 MFLOP and 12.5 MB in 8 ms */
    assert_non_null(strstr(text, "$prefill << EOD\n50 50 0\n")); /* 1 GFLOP and 20 MB in 20 ms */
    assert_non_null(strstr(text, "plot min(160, x * 20)"));
    free(text);
    s.memory_gb_s = NAN;
    assert_int_equal(hm_plot_write(&s, HM_PLOT_ROOFLINE, "x.svg", stdout, &err), HM_EMISSING);
}

/* What an axis of formats has in common is the first arm's, and stands in the title. */
static void formats_are_called_by_what_tells_them_apart(void **state)
{
    (void)state;
    static hm_journal_arm three[3];
    static hm_journal_result all[3];
    static const char *const names[] = {"best precision=stored", "best precision=backbone=int8", "best precision=int4"};
    hm_journal_session s = session(true);
    size_t size;
    hm_error err = {0};
    char *text = NULL;
    for (int a = 0; a < 3; a++) {
        three[a] = (hm_journal_arm){.name = names[a]};
        all[a] = results[a ? 2 : 0];
        all[a].mean_kl = 0.001 * (1 + a);
        all[a].spectral_snr_db = INFINITY;
    }
    s.arms = three;
    s.arm_count = 3;
    s.results = all;
    s.case_count = 1;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_TRADEOFF, "x.svg", f, &err), HM_OK);
    fclose(f);
    assert_non_null(strstr(text, "set label \"backbone=int8\" at"));
    assert_non_null(strstr(text, "set label \"int4\" at"));
    assert_non_null(strstr(text, "against best precision=stored"));
    free(text);
    three[0].name = "naive"; /* nothing in common */
    f = open_memstream(&text, &size);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_TRADEOFF, "x.svg", f, &err), HM_OK);
    fclose(f);
    assert_non_null(strstr(text, "set label \"best precision=int4\" at"));
    free(text);
}

/* Arms of equal speed and fidelity: labels have to make room. */
static void labels_of_the_tradeoff_do_not_overlap(void **state)
{
    (void)state;
    enum {
        ARMS = 12
    };
    static hm_journal_arm many[ARMS];
    static hm_journal_result all[ARMS];
    static char names[ARMS][32];
    double x[ARMS], y[ARMS], width[ARMS];
    hm_journal_session s = session(true);
    size_t size;
    hm_error err = {0};
    char *text = NULL;
    int found = 0;
    for (int a = 0; a < ARMS; a++) {
        snprintf(names[a], sizeof names[a], "arm-with-a-name-%d", a);
        many[a] = (hm_journal_arm){.name = names[a]};
        all[a] = results[a ? 2 : 0];
        all[a].mean_kl = 0.001 * (1 + 0.01 * a);
        all[a].spectral_snr_db = INFINITY;
    }
    s.arms = many;
    s.arm_count = ARMS;
    s.results = all;
    s.case_count = 1;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(hm_plot_write(&s, HM_PLOT_TRADEOFF, "x.svg", f, &err), HM_OK);
    fclose(f);
    for (char *p = text; (p = strstr(p, "set label \"arm-with")) && found < ARMS; p++, found++) {
        char name[32];
        assert_int_equal(sscanf(p, "set label \"%31[^\"]\" at %lf, %lf", name, &x[found], &y[found]), 3);
        width[found] = 7 * (double)strlen(name);
        for (int i = 0; i < found; i++)
            assert_true(fabs(x[i] - x[found]) >= (width[i] + width[found]) / 2 - 1e-6 || fabs(y[i] - y[found]) >= 14.9);
    }
    assert_int_equal(found, ARMS - 1);
    free(text);
}

static void frames_are_shown_where_they_stand_in_the_song(void **state)
{
    (void)state;
    size_t size;
    hm_error err = {0};
    char *text = script_of(HM_PLOT_POSITIONS, "positions.svg", false, &size);
    assert_non_null(strstr(text, "\n2.48 8.5\n7.48 9.25\n"));
    free(text);
    hm_journal_session s = session(false);
    for (int i = 0; i < 6; i++)
        results[i].stretch_count = 0;
    assert_int_equal(hm_plot_write(&s, HM_PLOT_POSITIONS, "x.svg", stdout, &err), HM_EMISSING);
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
        cmocka_unit_test(ratios_show_their_interval_and_no_bad_arm),
        cmocka_unit_test(points_stand_under_the_roof_that_the_machine_gives),
        cmocka_unit_test(formats_are_called_by_what_tells_them_apart),
        cmocka_unit_test(labels_of_the_tradeoff_do_not_overlap),
        cmocka_unit_test(frames_are_shown_where_they_stand_in_the_song),
        cmocka_unit_test(a_script_that_fails_carries_gnuplots_words),
        cmocka_unit_test(a_missing_gnuplot_is_told_with_the_line_that_installs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
