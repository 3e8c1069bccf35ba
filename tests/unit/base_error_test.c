/* The error sentence: one printable line, cut where it must be, with prefixes; and the names of statuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/error.h"

static void a_failure_keeps_status_and_sentence(void **state)
{
    (void)state;
    hm_error err = {0};
    assert_int_equal(hm_fail(&err, HM_EFORMAT, "%s: expected %d, found %d", "file", 3, 4), HM_EFORMAT);
    assert_int_equal(err.status, HM_EFORMAT);
    assert_string_equal(err.text, "file: expected 3, found 4");
    assert_int_equal(hm_fail(NULL, HM_EIO, "nobody asks"), HM_EIO);
}

static void control_characters_become_spaces(void **state)
{
    (void)state;
    hm_error err;
    hm_fail(&err, HM_EFORMAT, "a%sb", "\n\r\t\x1b[31m\x7f\x01");
    assert_string_equal(err.text, "a    [31m  b");
    hm_fail(&err, HM_EFORMAT, "%s", "gr\xc3\xbc\xc3\x9f"); /* UTF-8 stays */
    assert_string_equal(err.text, "gr\xc3\xbc\xc3\x9f");
}

static void a_long_sentence_is_cut_at_the_end(void **state)
{
    (void)state;
    hm_error err;
    char text[2 * sizeof err.text];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    hm_fail(&err, HM_EIO, "start %s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_memory_equal(err.text, "start xxx", 9);
}

static void a_cut_never_halves_a_character(void **state)
{
    (void)state;
    static const char *const character[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xb5"};
    for (int shift = 0; shift < 4; shift++)
        for (size_t c = 0; c < 3; c++) {
            hm_error err;
            char text[2 * sizeof err.text] = "";
            size_t n = strlen(character[c]), used = (size_t)shift;
            memset(text, 'x', used);
            for (; used + n < sizeof text; used += n)
                memcpy(text + used, character[c], n + 1);
            hm_fail(&err, HM_EIO, "%s", text);
            size_t length = strlen(err.text);
            assert_int_equal((length - (size_t)shift) % n, 0);
            assert_true(length < sizeof err.text && length + n >= sizeof err.text);
        }
}

static void prefixes_are_put_before_the_sentence(void **state)
{
    (void)state;
    hm_error err;
    hm_fail(&err, HM_EMISSING, "tensor %s is missing", "w");
    assert_int_equal(hm_fail_within(&err, "model %s", "m"), HM_EMISSING);
    assert_int_equal(hm_fail_within(&err, "case 1"), HM_EMISSING);
    assert_string_equal(err.text, "case 1: model m: tensor w is missing");
    assert_int_equal(err.status, HM_EMISSING);
}

static void a_prefix_takes_no_more_of_the_sentence_than_it_must(void **state)
{
    (void)state;
    hm_error err;
    char text[401];
    memset(text, 'y', 400);
    text[400] = 0;
    hm_fail(&err, HM_EIO, "%s", text);
    hm_fail_within(&err, "short");
    assert_int_equal(strlen(err.text), 400 + strlen("short: "));
    for (int i = 0; i < 100; i++)
        hm_fail_within(&err, "%s", text); /* a long one is cut, and never overflows */
    assert_true(strlen(err.text) < sizeof err.text);
    assert_int_equal(err.status, HM_EIO);
}

static void every_status_has_its_name_text_and_exit_code(void **state)
{
    (void)state;
#define CHECK(name, code, text)                       \
    assert_int_equal(name, code);                     \
    assert_string_equal(hm_status_name(name), #name); \
    assert_string_equal(hm_status_text(name), text);
    HM_STATUS_LIST(CHECK)
#undef CHECK
    assert_string_equal(hm_status_name((hm_status)999), "HM_UNKNOWN");
    assert_string_equal(hm_status_text((hm_status)999), "unknown status");
}

static void allocations_are_zeroed_or_fail_with_a_sentence(void **state)
{
    (void)state;
    hm_error err = {0};
    volatile size_t huge = SIZE_MAX / 2; /* the product overflows */
    assert_null(hm_calloc(huge, 16, "the table", &err));
    assert_int_equal(err.status, HM_EABSENT);
    assert_non_null(strstr(err.text, "the table"));
    unsigned char *p = hm_calloc(100, 3, "some", &err);
    assert_non_null(p);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    free(p);
    p = hm_calloc(0, 8, "none", &err);
    assert_non_null(p);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_keeps_status_and_sentence),
        cmocka_unit_test(control_characters_become_spaces),
        cmocka_unit_test(a_long_sentence_is_cut_at_the_end),
        cmocka_unit_test(a_cut_never_halves_a_character),
        cmocka_unit_test(prefixes_are_put_before_the_sentence),
        cmocka_unit_test(a_prefix_takes_no_more_of_the_sentence_than_it_must),
        cmocka_unit_test(every_status_has_its_name_text_and_exit_code),
        cmocka_unit_test(allocations_are_zeroed_or_fail_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
