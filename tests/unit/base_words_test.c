/* Edit distance: known pairs, and the laws of a distance over all pairs of short words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/words.h"

static void known_pairs_have_their_distance(void **state)
{
    (void)state;
    assert_int_equal(hm_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(hm_edit_distance("flaw", "lawn"), 2);
    assert_int_equal(hm_edit_distance("", ""), 0);
    assert_int_equal(hm_edit_distance("abc", ""), 3);
    assert_int_equal(hm_edit_distance("", "abcd"), 4);
    assert_int_equal(hm_edit_distance("generate", "generate"), 0);
    assert_int_equal(hm_edit_distance("lits", "list"), 2);
}

static void it_is_a_distance(void **state)
{
    (void)state;
    static const char *const words[] = {"", "a", "b", "ab", "ba", "aab", "abb", "abab", "baba", "bbbbb"};
    enum {
        N = sizeof words / sizeof *words
    };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            size_t d = hm_edit_distance(words[i], words[j]), longer = strlen(words[i]), other = strlen(words[j]);
            assert_int_equal(d == 0, i == j);
            assert_int_equal(d, hm_edit_distance(words[j], words[i]));
            assert_true(d <= (longer > other ? longer : other));
            for (int k = 0; k < N; k++)
                assert_true(d <= hm_edit_distance(words[i], words[k]) + hm_edit_distance(words[k], words[j]));
        }
}

static void words_beyond_the_limit_are_infinitely_far(void **state)
{
    (void)state;
    char longest[HM_WORD_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_true(hm_edit_distance(longest, "x") == SIZE_MAX);
    assert_true(hm_edit_distance("x", longest) == SIZE_MAX);
    assert_int_equal(hm_edit_distance(longest + 1, longest + 1), 0);
    assert_int_equal(hm_edit_distance(longest + 1, ""), HM_WORD_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_pairs_have_their_distance),
        cmocka_unit_test(it_is_a_distance),
        cmocka_unit_test(words_beyond_the_limit_are_infinitely_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
