#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/text/tokenizer.h"

static void lower_case_equals_the_goldens(void **state)
{
    (void)state;
    hm_error err = {0};
    json_t *cases = NULL, *one;
    size_t i;
    assert_int_equal(hm_json_load(&cases, HM_TEST_DATA "/goldens/heart/lower_cases.json", &err), HM_OK);
    assert_int_equal(json_array_size(cases), 20);
    json_array_foreach(cases, i, one)
    {
        const json_t *text = json_object_get(one, "text");
        char *lower = NULL;
        assert_int_equal(hm_text_lower(&lower, json_string_value(text), json_string_length(text), "case", &err), HM_OK);
        assert_string_equal(lower, json_string_value(json_object_get(one, "lower")));
        free(lower);
    }
    json_decref(cases);
}

static void special_casing_has_no_locale(void **state)
{
    (void)state;
    static const struct {
        const char *text, *lower;
    } rows[] = {
        {"", ""},
        {"I\u0130i\u0131", "ii\u0307i\u0131"}, /* neither Turkish nor Lithuanian */
        {"\u00cc\u012e\u0303", "\u00ec\u012f\u0303"},
        {"\u039f\u03a3", "\u03bf\u03c2"}, /* final sigma */
        {"\u03a3", "\u03c3"},             /* nothing before it */
        {"\u039f\u03a3\u039f", "\u03bf\u03c3\u03bf"},
        {"\u039f'\u03a3'", "\u03bf'\u03c2'"}, /* case-ignorable around it */
        {"\u039f\u03a3'\u039f", "\u03bf\u03c3'\u03bf"},
        {"\u039f\u03a3 \u039f", "\u03bf\u03c2 \u03bf"},
        {"\u1e9e\ua7da", "\u00df\ua7da"}, /* U+A7DA: unassigned in Unicode 15 */
        {"\U00010400\U0001e900", "\U00010428\U0001e922"},
        {"<TAG>\n\n", "<tag>\n\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hm_error err = {0};
        char *lower = NULL;
        assert_int_equal(hm_text_lower(&lower, rows[i].text, strlen(rows[i].text), "row", &err), HM_OK);
        assert_string_equal(lower, rows[i].lower);
        free(lower);
    }
}

static void broken_text_is_refused_with_its_offset(void **state)
{
    (void)state;
    hm_error err = {0};
    char *lower = NULL;
    assert_int_equal(hm_text_lower(&lower, "AB\xE2\x82", 4, "lyrics.txt", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "lyrics.txt: byte offset 2:"));
    assert_int_equal(hm_text_lower(&lower, "A\0B", 3, "lyrics.txt", &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "lyrics.txt: byte offset 1:"));
    assert_null(lower);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_case_equals_the_goldens),
        cmocka_unit_test(special_casing_has_no_locale),
        cmocka_unit_test(broken_text_is_refused_with_its_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
