/* Logits of two runs: agreement and divergence by hand, a planted difference found where it was put, files that are not whole refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "harness/logits.h"

#define GOOD(call)                    \
    do {                              \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

enum {
    FRAMES = 5,
    BOOKS = 3
};
static const int sizes[BOOKS] = {8, 6, 6};

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-6))
        fail_msg("expected %.9g, found %.9g", expected, found);
}

static void divergence_follows_its_formula(void **state)
{
    /* p = 1/2, 1/4, 1/4; q = 1/4, 1/2, 1/4: KL = 1/2 ln 2 - 1/4 ln 2 */
    const float r[] = {logf(2), 0, 0}, x[] = {0, logf(2), 0}, shifted[] = {logf(2) + 3, 3, 3};
    (void)state;
    hm_logit_row row = hm_logits_compare_row(r, x, 3);
    assert_false(row.top1);
    near(row.kl, 0.25 * log(2));
    near(row.max_difference, log(2));
    near(row.squares, log(2) * log(2));
    near(row.off_squares, 2 * log(2) * log(2));
    row = hm_logits_compare_row(r, r, 3);
    assert_true(row.off_squares == 0);
    assert_true(row.top1 && row.kl == 0 && row.max_difference == 0);
    row = hm_logits_compare_row(r, shifted, 3); /* the same distribution */
    assert_true(row.top1);
    near(row.kl, 0);
    near(row.max_difference, 3);
    /* p = 3/4, 1/4; q = 1/2, 1/2 */
    row = hm_logits_compare_row((const float[]){logf(3), 0}, (const float[]){0, 0}, 2);
    near(row.kl, 0.75 * log(1.5) + 0.25 * log(0.5));
    assert_true(row.top1); /* the lowest of equals */
}

static void what_cannot_be_drawn_does_not_count(void **state)
{
    const float r[] = {logf(3), -INFINITY, 0}, x[] = {0, -INFINITY, 0}, more[] = {logf(3), 0, 0}, fewer[] = {logf(3), -INFINITY, -INFINITY};
    const float broken[] = {logf(3), -INFINITY, NAN};
    (void)state;
    hm_logit_row row = hm_logits_compare_row(r, x, 3);
    near(row.kl, 0.75 * log(1.5) + 0.25 * log(0.5));
    near(row.max_difference, log(3));
    row = hm_logits_compare_row(r, more, 3);
    near(row.kl, 0.75 * log(0.75 / 0.6) + 0.25 * log(0.25 / 0.2));
    assert_true(isinf(row.max_difference) && isinf(row.off_squares));
    near(row.squares, log(3) * log(3)); /* of what can be drawn in the reference */
    assert_true(isinf(hm_logits_compare_row(r, fewer, 3).kl));
    const float rare[] = {2000, 0, 0}, never[] = {2000, -INFINITY, 0};
    assert_true(isinf(hm_logits_compare_row(rare, never, 3).kl)); /* however seldom */
    row = hm_logits_compare_row(r, broken, 3);
    assert_true(isinf(row.kl) && isinf(row.max_difference));
}

/* A file of rows; the logit of (frame, codebook, value) is `off` higher than it would be. */
static hm_status write_rows(const char *path, int frames, int frame, int codebook, int value, float off, hm_error *err)
{
    hm_logits_writer *w = NULL;
    hm_status st = hm_logits_open(&w, path, FRAMES, err);
    if (st)
        return st;
    const hm_logit_sink *sink = hm_logits_sink(w);
    assert_int_equal(sink->frames, FRAMES);
    for (int f = 0; f < frames; f++)
        for (int k = 0; k < BOOKS; k++) {
            float row[8];
            for (int j = 0; j < sizes[k]; j++)
                row[j] = (float)((f * 7 + k * 3 + j * 5) % 11) + (f == frame && k == codebook && j == value ? off : 0);
            sink->row(sink->self, f, k, row, sizes[k]);
        }
    return hm_logits_close(&w, true, err);
}

static void a_planted_difference_is_found_in_its_codebook(void **state)
{
    hm_error err = {0};
    hm_logit_comparison c;
    (void)state;
    GOOD(write_rows("a.logits", FRAMES, -1, 0, 0, 0, &err));
    GOOD(write_rows("same.logits", FRAMES, -1, 0, 0, 0, &err));
    GOOD(write_rows("planted.logits", FRAMES, 3, 1, 2, 20, &err));
    GOOD(hm_logits_compare(&c, "a.logits", "same.logits", &err));
    assert_true(c.codebooks == BOOKS && c.all.frames == FRAMES && c.all.top1 == 1 && c.all.mean_kl == 0 && c.all.max_difference == 0);
    GOOD(hm_logits_compare(&c, "a.logits", "planted.logits", &err));
    for (int k = 0; k < BOOKS; k++) {
        bool here = k == 1;
        assert_int_equal(c.of[k].frames, FRAMES);
        near(c.of[k].top1, here ? 0.8 : 1);
        near(c.of[k].max_difference, here ? 20 : 0);
        assert_true(here ? c.of[k].mean_kl > 1 : c.of[k].mean_kl == 0);
    }
    near(c.all.top1, 14.0 / 15);
    near(c.all.mean_kl, c.of[1].mean_kl / 3);
    near(c.all.max_difference, 20);
    /* 20 against the root of the sum of all squares */
    double squares = 0, of_book = 0;
    for (int f = 0; f < FRAMES; f++)
        for (int k = 0; k < BOOKS; k++)
            for (int j = 0; j < sizes[k]; j++) {
                double z = (f * 7 + k * 3 + j * 5) % 11;
                squares += z * z;
                of_book += k == 1 ? z * z : 0;
            }
    near(c.all.relative_rms, 20 / sqrt(squares));
    near(c.of[1].relative_rms, 20 / sqrt(of_book));
    assert_true(c.of[0].relative_rms == 0 && c.of[2].relative_rms == 0);
}

static void as_many_frames_as_both_have_are_compared(void **state)
{
    hm_error err = {0};
    hm_logit_comparison c;
    (void)state;
    GOOD(write_rows("short.logits", 3, 1, 2, 0, 20, &err));
    GOOD(hm_logits_compare(&c, "a.logits", "short.logits", &err));
    assert_int_equal(c.of[2].frames, 3);
    near(c.of[2].top1, 2.0 / 3);
}

static void expect_refused(const char *path, hm_status status, const char *text)
{
    hm_error err = {0};
    hm_logit_comparison c;
    hm_status st = hm_logits_compare(&c, "a.logits", path, &err);
    if (st != status || !strstr(err.text, text) || !strstr(err.text, path))
        fail_msg("expected %d and \"%s\", found %d: %s", (int)status, text, (int)st, err.text);
}

static void files_that_are_not_whole_are_refused(void **state)
{
    hm_error err = {0};
    unsigned char bytes[4096];
    (void)state;
    FILE *f = fopen("a.logits", "rb");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_int_equal(n, 8 + 4 * 66 + 4 * FRAMES * 20);
    GOOD(hm_file_write("cut.logits", bytes, n - 1, &err));
    expect_refused("cut.logits", HM_EFORMAT, "its header says");
    GOOD(hm_file_write("long.logits", memcpy(bytes + n, "x", 1) ? bytes : NULL, n + 1, &err));
    expect_refused("long.logits", HM_EFORMAT, "its header says");
    GOOD(hm_file_write("header.logits", bytes, 100, &err));
    expect_refused("header.logits", HM_EFORMAT, "a header of 272 bytes");
    bytes[12] = 65; /* codebooks */
    GOOD(hm_file_write("many.logits", bytes, n, &err));
    expect_refused("many.logits", HM_EFORMAT, "65 codebooks");
    bytes[12] = 2; /* one fewer: its values are still there */
    GOOD(hm_file_write("fewer.logits", bytes, n, &err));
    expect_refused("fewer.logits", HM_EFORMAT, "codebook 2 of 2");
    bytes[12] = BOOKS;
    bytes[19] = 0x7f; /* values of codebook 0 */
    GOOD(hm_file_write("huge.logits", bytes, n, &err));
    expect_refused("huge.logits", HM_EFORMAT, "codebook 0 of 3");
    bytes[19] = 0;
    bytes[0] = 'X';
    GOOD(hm_file_write("other.logits", bytes, n, &err));
    expect_refused("other.logits", HM_EFORMAT, "HMLOGIT1");
    expect_refused("none.logits", HM_EMISSING, "cannot be read");
}

static void rows_that_are_missing_leave_no_file(void **state)
{
    hm_error err = {0};
    hm_logits_writer *w = NULL;
    const float row[8] = {0};
    (void)state;
    GOOD(hm_logits_open(&w, "gap.logits", FRAMES, &err));
    const hm_logit_sink *sink = hm_logits_sink(w);
    sink->row(sink->self, 0, 0, row, 8);
    sink->row(sink->self, 0, 1, row, 6);
    sink->row(sink->self, 1, 0, row, 8);
    assert_int_equal(hm_logits_close(&w, true, &err), HM_EINVALID);
    assert_non_null(strstr(err.text, "frame 1 is not complete"));
    assert_true(!w && access("gap.logits", F_OK));
    GOOD(hm_logits_open(&w, "gap.logits", FRAMES, &err));
    sink = hm_logits_sink(w);
    sink->row(sink->self, 0, 0, row, 8);
    sink->row(sink->self, 1, 1, row, 8);
    assert_int_equal(hm_logits_close(&w, true, &err), HM_EBUG);
    assert_true(access("gap.logits", F_OK));
    GOOD(hm_logits_open(&w, "gap.logits", FRAMES, &err));
    GOOD(hm_logits_close(&w, false, &err)); /* given up */
    assert_true(access("gap.logits", F_OK));
    assert_int_equal(hm_logits_open(&w, "no/such/folder", FRAMES, &err), HM_ECREATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divergence_follows_its_formula),
        cmocka_unit_test(what_cannot_be_drawn_does_not_count),
        cmocka_unit_test(a_planted_difference_is_found_in_its_codebook),
        cmocka_unit_test(as_many_frames_as_both_have_are_compared),
        cmocka_unit_test(files_that_are_not_whole_are_refused),
        cmocka_unit_test(rows_that_are_missing_leave_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
