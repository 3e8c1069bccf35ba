#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "tests/unit/text_case.h"

static void assert_ids(const hm_tokenizer *t, const char *text, size_t size, bool special, const json_t *expected)
{
    hm_error err = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    if (hm_tokenizer_encode(t, text, size, special, &ids, &count, &err))
        fail_msg("\"%s\": %s", text, err.text);
    if (count != json_array_size(expected))
        fail_msg("\"%s\": %zu ids, expected %zu", text, count, json_array_size(expected));
    for (size_t i = 0; i < count; i++)
        if (ids[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("\"%s\": id %zu is %d, expected %lld", text, i, ids[i], (long long)json_integer_value(json_array_get(expected, i)));
    if (!count)
        assert_null(ids);
    free(ids);
}

/* Every case of a golden list. */
static void assert_cases(const hm_tokenizer *t, const char *cases_path, const char *key, bool special, size_t least)
{
    json_t *cases = load(cases_path), *one;
    size_t i;
    assert_true(json_array_size(cases) >= least);
    json_array_foreach(cases, i, one)
    {
        const json_t *text = json_object_get(one, "text");
        assert_true(json_is_array(json_object_get(one, key)));
        assert_ids(t, json_string_value(text), json_string_length(text), special, json_object_get(one, key));
    }
    json_decref(cases);
}

static void assert_encodes(const hm_tokenizer *t, const char *text, bool special, const char *expected)
{
    json_t *ids = json_loads(expected, 0, NULL);
    assert_ids(t, text, strlen(text), special, ids);
    json_decref(ids);
}

static void llama3_ids_equal_the_goldens(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    assert_cases(t, HEART "tokenizer_cases.json", "ids", true, 200);
    assert_cases(t, HEART "tokenizer_cases.json", "ids_no_special", false, 200);
    hm_tokenizer_close(&t);
    assert_null(t);
}

static void merges_as_pairs_equal_the_goldens(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer_pairs.json");
    assert_cases(t, HEART "tokenizer_cases.json", "ids_pairs", true, 200);
    hm_tokenizer_close(&t);
}

static void qwen2_ids_equal_the_goldens(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "qwen2_tokenizer.json");
    assert_cases(t, HEART "tokenizer_cases.json", "ids_qwen2", true, 200);
    assert_cases(t, HEART "tokenizer_cases.json", "ids_qwen2", false, 200);
    hm_tokenizer_close(&t);
}

static void qwen3_tts_folder_ids_equal_the_goldens(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    assert_int_equal(hm_tokenizer_open_qwen2(&t, QWEN3 "tokenizer", HM_QWEN2_SPLIT_PLAIN, &err), HM_OK);
    assert_cases(t, QWEN3 "tokenizer_cases.json", "ids", true, 200);
    assert_cases(t, QWEN3 "tokenizer_cases2.json", "ids", true, 40);
    assert_int_equal(hm_tokenizer_id(t, "<|im_start|>"), 471);
    hm_tokenizer_close(&t);
}

static void qwen3_tts_folder_ids_under_the_other_split_equal_the_goldens(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    assert_int_equal(hm_tokenizer_open_qwen2(&t, QWEN3 "tokenizer", HM_QWEN2_SPLIT_COMPAT, &err), HM_OK);
    assert_cases(t, QWEN3 "tokenizer_cases.json", "ids_compat", true, 200);
    assert_cases(t, QWEN3 "tokenizer_cases2.json", "ids_compat", true, 40);
    hm_tokenizer_close(&t);
}

/* tokenizer.json made of the qwen3-tts folder and a pattern of choice. */
static hm_tokenizer *qwen3_with_pattern(const char *pattern)
{
    hm_error err = {0};
    hm_map merges = {0};
    hm_tokenizer *t = NULL;
    json_t *list = json_array(), *added = json_array(), *config = load(QWEN3 "tokenizer/tokenizer_config.json"), *token;
    const char *id;
    assert_int_equal(hm_map_read(&merges, QWEN3 "tokenizer/merges.txt", 1 << 20, &err), HM_OK);
    for (char *save, *line = strtok_r((char *)merges.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        if (strncmp(line, "#version", 8))
            json_array_append_new(list, json_string(line));
    json_object_foreach(json_object_get(config, "added_tokens_decoder"), id, token)
    {
        json_object_set_new(token, "id", json_integer(atoi(id)));
        json_array_append(added, token);
    }
    json_t *root = load(HEART "qwen2_tokenizer.json"), *model = json_object_get(root, "model");
    json_t *split = json_array_get(json_object_get(json_object_get(root, "pre_tokenizer"), "pretokenizers"), 0);
    json_object_set_new(model, "vocab", load(QWEN3 "tokenizer/vocab.json"));
    json_object_set_new(model, "merges", list);
    json_object_set_new(root, "added_tokens", added);
    json_object_set_new(json_object_get(split, "pattern"), "Regex", json_string(pattern));
    char *text = json_dumps(root, 0);
    if (hm_tokenizer_parse(&t, text, strlen(text), "made", &err))
        fail_msg("%s", err.text);
    free(text);
    json_decref(root);
    json_decref(config);
    hm_map_close(&merges);
    return t;
}

static void another_pattern_equals_its_goldens(void **state)
{
    (void)state;
    hm_tokenizer *t = qwen3_with_pattern(COMPAT_PATTERN);
    assert_cases(t, QWEN3 "tokenizer_cases.json", "ids_compat", true, 200);
    assert_cases(t, QWEN3 "tokenizer_cases2.json", "ids_compat", true, 40);
    hm_tokenizer_close(&t);
    t = qwen3_with_pattern(QWEN2_PATTERN);
    assert_cases(t, QWEN3 "tokenizer_cases.json", "ids", true, 200);
    hm_tokenizer_close(&t);
}

static void added_tokens_are_cut_out_longest_first(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer_pairs.json");
    assert_encodes(t, "<tag></tag>", true, "[960, 1024, 1025]");
    assert_encodes(t, "<|begin_of_text|><|begin_of_text|>", false, "[960, 960]");
    assert_encodes(t, "<|reserved_special_token_1|>", false, "[963]");
    hm_tokenizer_close(&t);
}

static void decoding_gives_the_text_back(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    json_t *cases = load(HEART "tokenizer_cases.json"), *one;
    size_t i, count;
    hm_error err = {0};
    json_array_foreach(cases, i, one)
    {
        const char *text = json_string_value(json_object_get(one, "text"));
        size_t size = json_string_length(json_object_get(one, "text"));
        int32_t *ids = NULL;
        char *back = NULL;
        if (strlen(text) != size) /* a NUL ends what decoding returns */
            continue;
        assert_int_equal(hm_tokenizer_encode(t, text, size, false, &ids, &count, &err), HM_OK);
        assert_int_equal(hm_tokenizer_decode(t, ids, count, false, &back, &err), HM_OK);
        assert_string_equal(back, text);
        free(ids);
        free(back);
    }
    json_decref(cases);
    hm_tokenizer_close(&t);
}

static void decoding_skips_special_tokens_and_repairs_broken_bytes(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *t = open_file(HEART "tokenizer_pairs.json");
    char *text = NULL;
    int32_t e3 = hm_tokenizer_id(t, "\u00e3"), c83 = hm_tokenizer_id(t, "\u0125"); /* bytes E3 and 83 */
    int32_t ids[] = {960, 64, 1024, e3, c83, 64, e3, c83, c83, 961, c83};
    assert_int_equal(hm_tokenizer_decode(t, ids, 11, true, &text, &err), HM_OK);
    assert_string_equal(text, "a<tag>\uFFFDa\u30C3\uFFFD");
    free(text);
    assert_int_equal(hm_tokenizer_decode(t, ids, 2, false, &text, &err), HM_OK);
    assert_string_equal(text, "<|begin_of_text|>a");
    free(text);
    assert_int_equal(hm_tokenizer_decode(t, NULL, 0, false, &text, &err), HM_OK);
    assert_string_equal(text, "");
    free(text);
    ids[1] = hm_tokenizer_size(t);
    assert_int_equal(hm_tokenizer_decode(t, ids, 2, false, &text, &err), HM_EFORMAT);
    assert_string_equal(err.text, "token ids: position 1: expected an id from 0 to 1025, found 1026");
    ids[1] = -1;
    assert_int_equal(hm_tokenizer_decode(t, ids, 2, false, &text, &err), HM_EFORMAT);
    hm_tokenizer_close(&t);
}

static void ids_are_found_by_content(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    assert_int_equal(hm_tokenizer_size(t), 1024);
    assert_int_equal(hm_tokenizer_id(t, "<|begin_of_text|>"), 960);
    assert_int_equal(hm_tokenizer_id(t, "<|end_of_text|>"), 961);
    assert_int_equal(hm_tokenizer_id(t, "\u0120"), 220);
    assert_int_equal(hm_tokenizer_id(t, "a"), 64);
    assert_int_equal(hm_tokenizer_id(t, "<tag>"), -1);
    assert_int_equal(hm_tokenizer_id(t, ""), -1);
    hm_tokenizer_close(&t);
}

static void invalid_utf8_is_refused_with_its_offset(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size;
        const char *offset;
    } rows[] = {
        {"ab\xFF", 3, "offset 2:"},       {"\xC3", 1, "offset 0:"},         {"a\xC0\x80", 3, "offset 1:"},
        {"\xE2\x82", 2, "offset 0:"},     {"\xED\xA0\x80", 3, "offset 0:"}, {"\xF4\x90\x80\x80", 4, "offset 0:"},
        {"\xE0\x80\x80", 3, "offset 0:"}, {"abc\x80", 4, "offset 3:"},      {"\u20ac\xE2\x28\xA1", 6, "offset 3:"},
    };
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hm_error err = {0};
        int32_t *ids = NULL;
        size_t count = 0;
        char *text = malloc(rows[i].size); /* exact size: a read past the end is seen */
        assert_non_null(text);
        memcpy(text, rows[i].text, rows[i].size);
        assert_int_equal(hm_tokenizer_encode(t, text, rows[i].size, true, &ids, &count, &err), HM_EFORMAT);
        assert_non_null(strstr(err.text, rows[i].offset));
        free(text);
    }
    hm_tokenizer_close(&t);
}

static void nul_bytes_are_text(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    json_t *ids = json_pack("[i, i, i]", 64, hm_tokenizer_id(t, "\u0100"), 64);
    assert_ids(t, "a\0a", 3, false, ids);
    json_decref(ids);
    hm_tokenizer_close(&t);
}

/* A million bytes without a place to split, with and without merges that apply everywhere. */
static void long_pieces_are_quick(void **state)
{
    (void)state;
    static const char *const units[] = {"the", "a", "\xE3\x81\x82", "theandwith"};
    const size_t size = 1 << 20;
    hm_tokenizer *t = open_file(HEART "tokenizer.json");
    char *text = malloc(size);
    assert_non_null(text);
    clock_t start = clock();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n = strlen(units[i]), count = 0;
        int32_t *ids = NULL;
        hm_error err = {0};
        for (size_t k = 0; k + n <= size; k += n)
            memcpy(text + k, units[i], n);
        assert_int_equal(hm_tokenizer_encode(t, text, size - size % n, false, &ids, &count, &err), HM_OK);
        assert_true(count >= size / n / 16 && count <= size);
        free(ids);
    }
    /* Seconds of a slow machine with sanitizers; an algorithm quadratic in the bytes takes hours. */
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 60);
    free(text);
    hm_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama3_ids_equal_the_goldens),
        cmocka_unit_test(merges_as_pairs_equal_the_goldens),
        cmocka_unit_test(qwen2_ids_equal_the_goldens),
        cmocka_unit_test(qwen3_tts_folder_ids_equal_the_goldens),
        cmocka_unit_test(qwen3_tts_folder_ids_under_the_other_split_equal_the_goldens),
        cmocka_unit_test(another_pattern_equals_its_goldens),
        cmocka_unit_test(added_tokens_are_cut_out_longest_first),
        cmocka_unit_test(decoding_gives_the_text_back),
        cmocka_unit_test(decoding_skips_special_tokens_and_repairs_broken_bytes),
        cmocka_unit_test(ids_are_found_by_content),
        cmocka_unit_test(invalid_utf8_is_refused_with_its_offset),
        cmocka_unit_test(nul_bytes_are_text),
        cmocka_unit_test(long_pieces_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
