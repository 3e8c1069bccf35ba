/* The journal from plain structs: the whole text is fixed in journal_golden.md; and the figures behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "reports/journal.h"
#include "reports/sheet.h"
#include "tests/mutate.h"

#define GOLDEN HM_TEST_DATA "/reports/journal_golden.md"

static const double rounds_naive[] = {5200.5, 5210, 5189.5}, rounds_best[] = {1300, 1310, 1290}, rounds_fast[] = {900, NAN, 920};
static const hm_journal_span spans_naive[] = {{"prefill", 1, 21, 21},
                                              {"generate", 1, 2724, 4},
                                              {"generate/frame", 125, 2720, 20},
                                              {"generate/frame/backbone", 125, 1500, 1500},
                                              {"generate/frame/decoder", 875, 1000, 1000},
                                              {"generate/frame/decoder/sampling", 875, 90, 90},
                                              {"generate/frame/sampling", 125, 200, 200}};
static const hm_journal_span spans_best[] = {
    {"generate/frame", 125, 500, 10}, {"generate/frame/backbone", 125, 300, 300}, {"generate/frame/decoder", 875, 190, 190}};

static hm_journal_stat stat(int n, double mean, double sd)
{
    return (hm_journal_stat){n, mean, sd};
}

static hm_journal_result result(const double *rounds, double wall, double prefill, double generate, double decode)
{
    hm_journal_result r = hm_journal_result_none();
    r.n = 3;
    r.wall_ms = stat(3, wall, 10.28);
    r.prefill_ms = stat(3, prefill, 0.5);
    r.generate_ms = stat(3, generate, 12);
    r.decode_ms = stat(3, decode, 3.25);
    r.other_ms = stat(3, 1.25, 0.1);
    r.load_ms = stat(3, 40, 2);
    r.wall_by_round_ms = rounds;
    r.frames = 125;
    r.codebooks = 8;
    r.audio_s = 10;
    r.frame_weight_mb = 12.5;
    r.frame_gflop = 0.025;
    r.codec_frame_gflop = 0.02;
    r.distinct_weight_mb = 9;
    r.mem_mb = 210;
    r.peak_rss_mb = 260;
    r.output = HM_OUTPUT_EQUAL;
    r.sample_rate_hz = 48000;
    r.channels = 2;
    r.bits = 32;
    r.bit_rate_kbps = 3072;
    r.peak = 0.91;
    r.rms = 0.125;
    r.silence_share = 0.015;
    r.codec = "pcm_f32le";
    r.health = "ok";
    return r;
}

static hm_journal_result results[6];
static hm_journal_case cases[] = {{"short/plain", 27, 125, 0}, {"short/a|b", 13, 63, 0}};
static hm_journal_arm arms[] = {
    {.name = "naive", .text = "the plain textbook way of everything", .flow_steps = 10, .threads = 2, .isa = "avx2", .base = -1},
    {.name = "best",
     .text = "every toggle that pays",
     .changes = "kv=prealloc,mask=none",
     .coincides = "opt6",
     .flow_steps = 10,
     .threads = 2,
     .isa = "avx2"},
    {.name = "steps5",
     .text = "best with 5 solver steps",
     .changes = "flow_steps=5",
     .flow_steps = 5,
     .threads = 2,
     .isa = "avx2",
     .base = 1}};
static const hm_journal_failure failures[] = {{"steps5", "short/a|b", "timeout", "no answer for 60 s", 1}};

static hm_journal_session session(void)
{
    for (int c = 0; c < 2; c++) {
        results[0 + c] = result(rounds_naive, 5200, 21, 2724, 2454);
        results[2 + c] = result(rounds_best, 1300, 5, 505, 789);
        results[4 + c] = result(rounds_fast, 910, 5, 505, 399);
    }
    results[0].output = results[1].output = HM_OUTPUT_REFERENCE;
    results[0].spans = spans_naive;
    results[0].span_count = 7;
    results[2].spans = spans_best;
    results[2].span_count = 3;
    results[4].output = HM_OUTPUT_CODES;
    results[4].snr_db = 23.456;
    results[4].spectral_snr_db = INFINITY;
    results[4].health = "suspect";
    results[4].health_reasons = "silence 80 %";
    results[5] = hm_journal_result_none();
    results[5].failed = 3;
    return (hm_journal_session){.id = "01234567-89ab-4cde-8f01-23456789abcd",
                                .created_utc = "2001-02-03T04:05:06.789Z",
                                .state = "done",
                                .command_line = "hmbench suite short --variant naive,best,steps5",
                                .rounds = 3,
                                .model = "heartmula-mini",
                                .synthetic = true,
                                .model_ids = "00112233445566778899aabbccddeeff",
                                .cpu = "A CPU",
                                .os = "A System 12",
                                .kernel = "6.1.0",
                                .cpus = 2,
                                .cores = 1,
                                .smt = 1,
                                .memory_gb = 8.25,
                                .cpu_quota = NAN,
                                .cache_gb_s = 80,
                                .cache_mb = 8.388608,
                                .memory_gb_s = 20,
                                .peak_gflop_s = 160,
                                .peak_int8_gop_s = NAN,
                                .version = "0.1.0",
                                .commit = "abcdef0",
                                .compiler = "gcc 12.2.0",
                                .flags = "-O2",
                                .build_type = "Release",
                                .dirty = true,
                                .arms = arms,
                                .arm_count = 3,
                                .cases = cases,
                                .case_count = 2,
                                .results = results,
                                .failures = failures,
                                .failure_count = 1};
}

static const char notes_text[] = "Kept by hand.\n\n## best\n\nWhat `best` turns on pays by 4x.\n\n## 01234567\nA quiet machine.\n";

static char *write_journal(const hm_journal *j, const hm_notes *notes)
{
    char *text = NULL;
    size_t size;
    hm_error err;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(hm_journal_write(j, notes, f, &err), HM_OK);
    fclose(f);
    return text;
}

static void the_whole_journal_reads_as_the_golden_text(void **state)
{
    (void)state;
    hm_journal_session models[2] = {session(), session()};
    hm_notes notes;
    hm_error err;
    models[1].model = "qwen3-tts-mini"; /* the same figures, without limits */
    models[1].arm_count = 1;
    models[1].cache_gb_s = models[1].memory_gb_s = models[1].peak_gflop_s = NAN;
    assert_int_equal(hm_notes_parse(&notes, notes_text, strlen(notes_text), "notes.md", &err), HM_OK);
    char *text = write_journal(&(hm_journal){models, 2}, &notes), *again = write_journal(&(hm_journal){models, 2}, &notes);
    assert_string_equal(text, again);
    assert_null(hm_notes_unused(&notes));
    hm_map golden = {0};
    if (hm_map_read(&golden, GOLDEN, 1 << 20, &err))
        fail_msg("%s", err.text);
    if (strcmp(text, (const char *)golden.data)) {
        FILE *f = fopen("journal_found.md", "w");
        fputs(text, f);
        fclose(f);
        fail_msg("the journal reads otherwise: see journal_found.md");
    }
    hm_map_close(&golden);
    hm_notes_free(&notes);
    free(text);
    free(again);
}

static void an_empty_database_says_so(void **state)
{
    (void)state;
    char *text = write_journal(&(hm_journal){NULL, 0}, NULL);
    assert_non_null(strstr(text, "Nothing has been measured yet."));
    free(text);
}

static void a_single_arm_has_no_summary(void **state)
{
    (void)state;
    hm_journal_session s = session();
    s.arm_count = 1;
    char *text = write_journal(&(hm_journal){&s, 1}, NULL);
    assert_null(strstr(text, "Summary"));
    assert_null(strstr(text, "(baseline)"));
    free(text);
}

static void speed_ups_pair_the_rounds_both_arms_have(void **state)
{
    (void)state;
    hm_journal_session s = session();
    hm_speed_up up = hm_journal_speed_up(&s, 0, 2, 0);
    assert_int_equal(up.n, 2);
    assert_true(fabs(up.ratio - (5200.5 + 5189.5) / (900 + 920)) < 1e-12);
    assert_true(isnan(up.low));
    assert_int_equal(hm_journal_speed_up(&s, 0, 2, 1).n, 0);
}

/* Pairs with y = ln(base / arm) = 0.1, 0.2 ... 0.1 n. */
static hm_speed_up ladder(int n)
{
    static double base[40], arm[40];
    hm_journal_result r[2] = {{.wall_by_round_ms = base}, {.wall_by_round_ms = arm}};
    hm_journal_session s = {.rounds = n, .arm_count = 2, .case_count = 1, .results = r};
    for (int i = 0; i < n; i++) {
        arm[i] = 100;
        base[i] = 100 * exp(0.1 * (i + 1));
    }
    return hm_journal_speed_up(&s, 0, 1, 0);
}

static void intervals_come_from_six_rounds_on_and_follow_signed_ranks(void **state)
{
    (void)state;
    static const struct {
        int n, k; /* k(0.025) of the signed-rank tables, one less: Wilcoxon's critical values 0, 2, 3, 5, 8 */
    } rows[] = {{6, 0}, {7, 2}, {8, 3}, {9, 5}, {10, 8}, {20, 52}};
    assert_true(isnan(ladder(5).low));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = rows[i].n, count = 0;
        double w[300];
        hm_speed_up up = ladder(n);
        for (int a = 1; a <= n; a++)
            for (int b = a; b <= n; b++)
                w[count++] = 0.05 * (a + b);
        for (int a = 1; a < count; a++) /* insertion sort: independent of the code under test */
            for (int b = a; b > 0 && w[b - 1] > w[b]; b--) {
                double t = w[b];
                w[b] = w[b - 1];
                w[b - 1] = t;
            }
        assert_true(fabs(log(up.low) - w[rows[i].k]) < 1e-9);
        assert_true(fabs(log(up.high) - w[count - 1 - rows[i].k]) < 1e-9);
        assert_true(fabs(log(up.ratio) - 0.05 * (n + 1)) < 1e-9);
    }
}

static char *write_sheet(hm_sheet_format format)
{
    char *text = NULL;
    size_t size;
    hm_error err;
    FILE *f = open_memstream(&text, &size);
    hm_sheet *t = hm_sheet_new((const char *const[]){"Name", ">Value", NULL});
    hm_sheet_cell(t, "a|b");
    hm_sheet_cell(t, "%.2f", 1.5);
    hm_sheet_cell(t, "say \"hi\", ok\nü");
    hm_sheet_none(t);
    hm_sheet_cell(t, "007");
    hm_sheet_cell(t, "-0.5");
    assert_int_equal(hm_sheet_rows(t), 3);
    assert_int_equal(hm_sheet_end(t, format, f, &err), HM_OK);
    fclose(f);
    return text;
}

static void sheets_are_written_in_three_formats(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "| Name           | Value |\n| -------------- | ----: |\n| a\\|b           |  1.50 |\n"
        "| say \"hi\", ok ü |     - |\n| 007            |  -0.5 |\n",
        "Name,Value\r\na|b,1.50\r\n\"say \"\"hi\"\", ok\nü\",\r\n007,-0.5\r\n",
        "[{\"Name\": \"a|b\", \"Value\": 1.50},\n {\"Name\": \"say \\\"hi\\\", ok\\u000aü\", \"Value\": null},\n"
        " {\"Name\": \"007\", \"Value\": -0.5}]\n"};
    for (int i = 0; i < 3; i++) {
        char *text = write_sheet((hm_sheet_format)i);
        assert_string_equal(text, expected[i]);
        free(text);
    }
}

static void a_row_that_is_not_whole_is_a_bug_of_ours(void **state)
{
    (void)state;
    hm_error err;
    hm_sheet *t = hm_sheet_new((const char *const[]){"a", "b", NULL});
    hm_sheet_cell(t, "1");
    assert_int_equal(hm_sheet_end(t, HM_SHEET_CSV, stdout, &err), HM_EBUG);
    assert_int_equal(hm_sheet_write(NULL, HM_SHEET_CSV, stdout, &err), HM_EABSENT);
}

static void notes_are_found_by_key_and_mistakes_are_told(void **state)
{
    (void)state;
    hm_notes n;
    hm_error err;
    assert_int_equal(hm_notes_parse(&n, notes_text, strlen(notes_text), "notes.md", &err), HM_OK);
    assert_int_equal(n.count, 3);
    assert_string_equal(hm_notes_find(&n, "best"), "What `best` turns on pays by 4x.");
    assert_string_equal(hm_notes_find(&n, "journal"), "Kept by hand.");
    assert_null(hm_notes_find(&n, "bset"));
    assert_string_equal(hm_notes_unused(&n), "01234567");
    hm_notes_free(&n);
    assert_int_equal(hm_notes_parse(&n, "## a\nx\n## a\ny\n", 14, "notes.md", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "comes twice"));
    assert_int_equal(hm_notes_parse(&n, "a\0b", 3, "notes.md", &err), HM_EFORMAT);
    assert_int_equal(hm_notes_parse(&n, "", 0, "notes.md", &err), HM_OK);
    assert_int_equal(n.count, 0);
    assert_null(hm_notes_find(NULL, "x"));
    hm_notes_free(&n);
}

static void mutated_notes_load_or_fail_with_a_sentence(void **state)
{
    (void)state;
    hm_mutator m;
    hm_mutator_open(&m, notes_text, sizeof notes_text - 1, 3);
    for (int i = 0; i < 2000; i++) {
        size_t size;
        const uint8_t *data = hm_mutate(&m, &size);
        hm_notes n;
        hm_error err = {0};
        hm_status st = hm_notes_parse(&n, (const char *)data, size, "notes.md", &err);
        if (st && !hm_mutate_sentence_ok(st, &err))
            fail_msg("%s: %s", m.last, err.text);
        hm_notes_free(&n);
    }
    hm_mutator_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_journal_reads_as_the_golden_text),
        cmocka_unit_test(an_empty_database_says_so),
        cmocka_unit_test(a_single_arm_has_no_summary),
        cmocka_unit_test(speed_ups_pair_the_rounds_both_arms_have),
        cmocka_unit_test(intervals_come_from_six_rounds_on_and_follow_signed_ranks),
        cmocka_unit_test(sheets_are_written_in_three_formats),
        cmocka_unit_test(a_row_that_is_not_whole_is_a_bug_of_ours),
        cmocka_unit_test(notes_are_found_by_key_and_mistakes_are_told),
        cmocka_unit_test(mutated_notes_load_or_fail_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
