#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/text/internal.h"
#include "tests/unit/text_case.h"

/* Pieces of text, joined by '|'; "!" and the status when it fails. */
static void pieces_of(char *out, size_t room, const hm_split *split, const char *text, hm_error *err)
{
    hm_splitter *walk = NULL;
    size_t begin, end, used = 0;
    out[0] = 0;
    hm_status st = hm_splitter_open(&walk, split, err);
    if (!st)
        hm_splitter_start(walk, text, strlen(text));
    while (!st && !(st = hm_splitter_next(walk, &begin, &end, err)) && begin < end)
        used += (size_t)snprintf(out + used, room - used, "%s%.*s", used ? "|" : "", (int)(end - begin), text + begin);
    if (st)
        snprintf(out, room, "!%s", hm_status_name(st));
    hm_splitter_close(&walk);
}

static void pieces(char *out, size_t room, const char *pattern, const char *text, hm_error *err)
{
    hm_split *split = NULL;
    hm_status st = hm_split_open(&split, pattern, "test", err);
    if (st)
        snprintf(out, room, "!%s", hm_status_name(st));
    else
        pieces_of(out, room, split, text, err);
    hm_split_close(&split);
}

static void assert_pieces_of_goldens(const hm_split *split, const char *key)
{
    json_t *cases = load(QWEN3 "tokenizer_cases2.json"), *one, *piece;
    size_t i, k, size;
    assert_true(json_array_size(cases) >= 40);
    json_array_foreach(cases, i, one)
    {
        char found[2000], expected[2000] = "", *text = NULL;
        const json_t *raw = json_object_get(one, "text");
        hm_error err = {0};
        assert_int_equal(hm_text_nfc(&text, &size, json_string_value(raw), json_string_length(raw), "case", &err), HM_OK);
        json_array_foreach(json_object_get(one, key), k, piece)
            snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%s", k ? "|" : "", json_string_value(piece));
        pieces_of(found, sizeof found, split, text, &err);
        assert_string_equal(found, expected);
        free(text);
    }
    json_decref(cases);
}

static void pieces_equal_the_goldens(void **state)
{
    static const char *const keys[] = {[HM_QWEN2_SPLIT_PLAIN] = "pieces", [HM_QWEN2_SPLIT_COMPAT] = "pieces_compat"};
    (void)state;
    for (int k = 0; k < 2; k++) {
        hm_error err = {0};
        hm_tokenizer *t = NULL;
        assert_int_equal(hm_tokenizer_open_qwen2(&t, QWEN3 "tokenizer", (hm_qwen2_split)k, &err), HM_OK);
        assert_pieces_of_goldens(t->split, keys[k]);
        hm_tokenizer_close(&t);
    }
}

static void space_classes_are_white_space_in_and_out_of_brackets(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *pieces;
    } rows[] = {
        {"\\s", "a b\u180ec\u200bd\u3000e", "a| |b\u180ec\u200bd|\u3000|e"},
        {"\\S+",
         "a b\u180ec\xC2\x85"
         "e",
         "a| |b\u180ec|\xC2\x85|e"},
        {"[\\s-]+", "a -b", "a| -|b"},
        {"[a-\\s]+", "xa- b", "!HM_EFORMAT"},
        {"[^\\s]+", "ab cd", "ab| |cd"},
        {"[\\S]", "a b", "a| |b"},
        {"[^\\S]+", "a  b", "a|  |b"},
        {"[]\\s]+", "a] b", "a|] |b"},
        {"[^]\\s]+", "a] b", "a|] |b"},
        {"[[:space:]x]+", "ax b", "a|x |b"},
        {"[[:^space:]]+", "a b", "a| |b"},
        {"[[:digit:]\\s]+", "a1 b", "a|1 |b"},
        {"\\\\s", "a\\s b", "a|\\s| b"},
        {"\\[\\s\\]", "a[ ]b", "a|[ ]|b"},
        {"(?=b)", "aab b", "aa|b |b"},
        {"x*", "axxb", "a|xx|b"},
        {"x", "\u20ac\u20ac", "\u20ac\u20ac"},
        {"(?i:'s)", "a'\u017fb", "a|'\u017f|b"},
        {"[a[b]]", "ab", "!HM_EFORMAT"},
        {"[a&&b]", "ab", "!HM_EFORMAT"},
        {"\\h", "ab", "!HM_EFORMAT"},
        {"\\Qa\\E", "ab", "!HM_EFORMAT"},
        {"\\C", "ab", "!HM_EFORMAT"},
        {"(", "ab", "!HM_EFORMAT"},
        {"[a", "ab", "!HM_EFORMAT"},
        {"a\\", "ab", "!HM_EFORMAT"},
        {"(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "!HM_EFORMAT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char found[200];
        hm_error err = {0};
        pieces(found, sizeof found, rows[i].pattern, rows[i].text, &err);
        if (strcmp(found, rows[i].pieces))
            fail_msg("pattern %s gives %s (%s), expected %s", rows[i].pattern, found, err.text, rows[i].pieces);
        assert_true(found[0] != '!' || err.text[0]);
    }
}

/* UTF-8 of a code point; returns its size. */
static size_t put_utf8(char *out, uint32_t c)
{
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3, n = 0;
    static const uint8_t first[] = {0, 0xC0, 0xE0, 0xF0};
    out[n++] = (char)(first[more] | c >> 6 * more);
    while (more--)
        out[n++] = (char)(0x80 | (c >> 6 * more & 0x3F));
    return n;
}

static bool is_white_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
           c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

static void white_space_is_the_list_of_unicode(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_split *split = NULL;
    hm_splitter *walk = NULL;
    size_t begin, end, at;
    assert_int_equal(hm_split_open(&split, "\\s", "test", &err), HM_OK);
    assert_int_equal(hm_splitter_open(&walk, split, &err), HM_OK);
    for (uint32_t c = 0; c < 0x30000; c++) {
        char text[6] = {'x'};
        size_t n = 1 + put_utf8(text + 1, c);
        at = 1;
        if (c >= 0xD800 && c < 0xE000) {
            assert_int_equal(hm_utf8_next(text, n, &at), -1);
            continue;
        }
        assert_int_equal(hm_utf8_next(text, n, &at), c);
        hm_splitter_start(walk, text, n);
        assert_int_equal(hm_splitter_next(walk, &begin, &end, &err), HM_OK);
        if ((end == 1) != is_white_space(c))
            fail_msg("U+%04X is %staken as white space", c, end == 1 ? "" : "not ");
    }
    hm_splitter_close(&walk);
    hm_split_close(&split);
}

/* A run that each known alternative scans before it gives up must not count as a pattern that runs away. */
static void walk_long_runs(const char *pattern)
{
    static const char *const runs[] = {" ", "\n",     " \n",    "a",      "A",        "Aa",     "1",    "!",
                                       "'", "\u00e9", "\u3000", "\u4e16", "A\u4e16B", "\u0301", "!/\n", "\r\n  "};
    const size_t size = 1 << 20;
    hm_error err = {0};
    hm_split *split = NULL;
    hm_splitter *walk = NULL;
    char *text = malloc(size);
    assert_non_null(text);
    assert_int_equal(hm_split_open(&split, pattern, "test", &err), HM_OK);
    assert_int_equal(hm_splitter_open(&walk, split, &err), HM_OK);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        size_t n = strlen(runs[i]), begin, end, sum = 0;
        for (size_t k = 0; k + n <= size; k += n)
            memcpy(text + k, runs[i], n);
        hm_splitter_start(walk, text, size - size % n);
        do {
            if (hm_splitter_next(walk, &begin, &end, &err))
                fail_msg("run %zu: %s", i, err.text);
            sum += end - begin;
        } while (begin < end);
        assert_int_equal(sum, size - size % n);
    }
    hm_splitter_close(&walk);
    hm_split_close(&split);
    free(text);
}

static void long_runs_stay_below_the_limits(void **state)
{
    (void)state;
    walk_long_runs(QWEN2_PATTERN);
    walk_long_runs(COMPAT_PATTERN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_equal_the_goldens),
        cmocka_unit_test(space_classes_are_white_space_in_and_out_of_brackets),
        cmocka_unit_test(white_space_is_the_list_of_unicode),
        cmocka_unit_test(long_runs_stay_below_the_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
