#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/text/tokenizer.h"
#include "tests/mutate.h"

#define HEART HM_TEST_DATA "/goldens/heart/"

static const char *const names[] = {"vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json"};
enum {
    VOCAB,
    MERGES,
    CONFIG,
    ADDED,
    FILES
};

static const char config_text[] = "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"added_tokens_decoder\": {"
                                  "\"960\": {\"content\": \"<|endoftext|>\", \"special\": true, \"normalized\": false},"
                                  "\"961\": {\"content\": \"<|im_start|>\", \"special\": true, \"normalized\": false},"
                                  "\"962\": {\"content\": \"<|im_end|>\", \"special\": true, \"normalized\": false}}}";
static const char added_text[] = "{\"<|endoftext|>\": 960, \"<|im_start|>\": 961, \"<|im_end|>\": 962}";

static char folder[] = "/tmp/hm-qwen2-XXXXXX";

static void file_path(char path[600], int file)
{
    snprintf(path, 600, "%s/%s", folder, names[file]);
}

static void put(int file, const char *text, size_t size)
{
    hm_error err = {0};
    char path[600];
    file_path(path, file);
    if (hm_file_write(path, text, size, &err))
        fail_msg("%s", err.text);
}

static void drop(int file)
{
    char path[600];
    file_path(path, file);
    unlink(path);
}

static void put_golden(int file, const char *path)
{
    hm_error err = {0};
    hm_map map = {0};
    assert_int_equal(hm_map_read(&map, path, 1 << 24, &err), HM_OK);
    put(file, (const char *)map.data, map.size);
    hm_map_close(&map);
}

static void put_all(void)
{
    put_golden(VOCAB, HEART "qwen2_vocab.json");
    put_golden(MERGES, HEART "qwen2_merges.txt");
    put(CONFIG, config_text, strlen(config_text));
    drop(ADDED);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; i++)
        drop(i);
    return rmdir(folder);
}

static void assert_opens_like_the_goldens(void)
{
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    json_t *cases = NULL, *one;
    size_t i, k, count;
    if (hm_tokenizer_open_qwen2(&t, folder, HM_QWEN2_SPLIT_PLAIN, &err))
        fail_msg("%s", err.text);
    assert_int_equal(hm_json_load(&cases, HEART "tokenizer_cases.json", &err), HM_OK);
    assert_int_equal(json_array_size(cases), 200);
    json_array_foreach(cases, i, one)
    {
        const json_t *text = json_object_get(one, "text"), *expected = json_object_get(one, "ids_qwen2");
        int32_t *ids = NULL;
        assert_int_equal(hm_tokenizer_encode(t, json_string_value(text), json_string_length(text), true, &ids, &count, &err), HM_OK);
        assert_int_equal(count, json_array_size(expected));
        for (k = 0; k < count; k++)
            assert_int_equal(ids[k], json_integer_value(json_array_get(expected, k)));
        free(ids);
    }
    assert_int_equal(hm_tokenizer_size(t), 963);
    assert_int_equal(hm_tokenizer_id(t, "<|im_end|>"), 962);
    json_decref(cases);
    hm_tokenizer_close(&t);
}

static void tokens_of_the_configuration_give_the_ids_of_qwen2_tokenizer_json(void **state)
{
    (void)state;
    put_all();
    assert_opens_like_the_goldens();
}

static void tokens_of_added_tokens_json_give_the_same_ids(void **state)
{
    (void)state;
    put_all();
    drop(CONFIG);
    put(ADDED, added_text, strlen(added_text));
    assert_opens_like_the_goldens();
}

static void added_tokens_json_takes_what_is_special_from_the_configuration(void **state)
{
    (void)state;
    static const char config[] = "{\"eos_token\": {\"content\": \"<|endoftext|>\"}, \"additional_special_tokens\": [\"<|im_start|>\"]}";
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    char *text = NULL;
    put_all();
    put(CONFIG, config, strlen(config));
    put(ADDED, added_text, strlen(added_text));
    assert_int_equal(hm_tokenizer_open_qwen2(&t, folder, HM_QWEN2_SPLIT_PLAIN, &err), HM_OK);
    assert_int_equal(hm_tokenizer_decode(t, (const int32_t[]){960, 961, 962}, 3, true, &text, &err), HM_OK);
    assert_string_equal(text, "<|im_end|>");
    free(text);
    hm_tokenizer_close(&t);
}

static void merges_may_lack_the_comment_and_have_blank_lines_and_carriage_returns(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_map map = {0};
    put_all();
    assert_int_equal(hm_map_read(&map, HEART "qwen2_merges.txt", 1 << 20, &err), HM_OK);
    char *text = malloc(3 * map.size + 1);
    size_t n = 0;
    assert_non_null(text);
    const char *from = memchr(map.data, '\n', map.size);
    assert_memory_equal(map.data, "#version", 8);
    for (const char *p = from + 1; *p; p++) {
        if (*p == '\n')
            text[n++] = '\r', text[n++] = '\n';
        text[n++] = *p;
    }
    put(MERGES, text, n);
    assert_opens_like_the_goldens();
    free(text);
    hm_map_close(&map);
}

static void errors_name_file_and_place(void **state)
{
    (void)state;
    static const struct {
        int file;
        const char *text; /* NULL: no such file */
        hm_status status;
        const char *sentence;
    } rows[] = {
        {VOCAB, NULL, HM_EMISSING, "vocab.json"},
        {VOCAB, "[]", HM_EFORMAT, "vocab.json: expected an object"},
        {VOCAB, "{}", HM_EFORMAT, "vocab.json: the vocabulary of 0 tokens has none for byte 0x00"},
        {VOCAB, "{\"a\": \"b\"}", HM_EFORMAT, "vocab.json: token \"a\": expected an integer id, found a string"},
        {MERGES, NULL, HM_EMISSING, "merges.txt"},
        {MERGES, "a", HM_EFORMAT, "merges.txt: merge 0: expected two tokens"},
        {MERGES, "#version: 0.2\n\n#version 1\n", HM_EFORMAT, "merges.txt: merge 0: token \"#version\" is not in the vocabulary"},
        {MERGES, "t h\nq \xFF\n", HM_EFORMAT, "merge 0: the merged token \"th\""},
        {CONFIG, NULL, HM_EMISSING, "no added tokens"},
        {CONFIG, "{}", HM_EMISSING, "no added tokens"},
        {CONFIG, "[", HM_EFORMAT, "tokenizer_config.json: line"},
        {CONFIG, "[]", HM_EFORMAT, "tokenizer_config.json: expected an object"},
        {CONFIG, "{\"tokenizer_class\": \"LlamaTokenizer\"}", HM_EFORMAT, "\"LlamaTokenizer\" is not supported"},
        {CONFIG, "{\"add_prefix_space\": true}", HM_EFORMAT, "\"add_prefix_space\" true"},
        {CONFIG, "{\"add_bos_token\": true}", HM_EFORMAT, "\"add_bos_token\" true"},
        {CONFIG, "{\"added_tokens_decoder\": {\"-1\": {\"content\": \"x\"}}}", HM_EFORMAT, "found \"-1\""},
        {CONFIG, "{\"added_tokens_decoder\": {\"9x\": {\"content\": \"x\"}}}", HM_EFORMAT, "found \"9x\""},
        {CONFIG, "{\"added_tokens_decoder\": {\"\": {\"content\": \"x\"}}}", HM_EFORMAT, "found \"\""},
        {CONFIG, "{\"added_tokens_decoder\": {\"99999999999999999999\": {\"content\": \"x\"}}}", HM_EFORMAT,
         "found \"99999999999999999999\""},
        {CONFIG, "{\"added_tokens_decoder\": {\"970\": {}}}", HM_EFORMAT, "added_tokens_decoder: 970: key \"content\" is missing"},
        {CONFIG, "{\"added_tokens_decoder\": {\"5\": {\"content\": \"<x>\"}}}", HM_EFORMAT, "id 5 is given to two tokens"},
        {ADDED, "[]", HM_EFORMAT, "added_tokens.json: expected an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hm_error err = {0};
        hm_tokenizer *t = NULL;
        put_all();
        if (rows[i].text)
            put(rows[i].file, rows[i].text, strlen(rows[i].text));
        else
            drop(rows[i].file);
        hm_status st = hm_tokenizer_open_qwen2(&t, folder, HM_QWEN2_SPLIT_PLAIN, &err);
        if (st != rows[i].status || !strstr(err.text, rows[i].sentence) || !hm_mutate_sentence_ok(st, &err) || t)
            fail_msg("row %zu: %s: \"%s\", expected \"%s\"", i, hm_status_name(st), err.text, rows[i].sentence);
    }
}

static void mutated_files_load_or_fail_with_a_sentence(void **state)
{
    (void)state;
    static const char *const originals[] = {HM_TEST_DATA "/goldens/qwen3-tts/tokenizer/vocab.json",
                                            HM_TEST_DATA "/goldens/qwen3-tts/tokenizer/merges.txt",
                                            HM_TEST_DATA "/goldens/qwen3-tts/tokenizer/tokenizer_config.json"};
    size_t loaded = 0, refused = 0, size;
    for (int file = VOCAB; file <= CONFIG; file++) {
        hm_error err = {0};
        hm_map map = {0};
        hm_mutator m;
        for (int other = VOCAB; other <= CONFIG; other++)
            put_golden(other, originals[other]);
        drop(ADDED);
        assert_int_equal(hm_map_read(&map, originals[file], 1 << 20, &err), HM_OK);
        hm_mutator_open(&m, map.data, map.size, 1000 + (uint64_t)file);
        for (int i = 0; i < 700; i++) {
            hm_tokenizer *t = NULL;
            const uint8_t *data = hm_mutate(&m, &size);
            put(file, (const char *)data, size);
            err = (hm_error){0};
            hm_status st = hm_tokenizer_open_qwen2(&t, folder, HM_QWEN2_SPLIT_PLAIN, &err);
            if (st && (t || !hm_mutate_sentence_ok(st, &err)))
                fail_msg("%s: %s: %d \"%s\"", names[file], m.last, (int)st, err.text);
            loaded += !st;
            refused += !!st;
            hm_tokenizer_close(&t);
        }
        hm_mutator_close(&m);
        hm_map_close(&map);
    }
    assert_true(loaded > 50);
    assert_true(refused > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_the_configuration_give_the_ids_of_qwen2_tokenizer_json),
        cmocka_unit_test(tokens_of_added_tokens_json_give_the_same_ids),
        cmocka_unit_test(added_tokens_json_takes_what_is_special_from_the_configuration),
        cmocka_unit_test(merges_may_lack_the_comment_and_have_blank_lines_and_carriage_returns),
        cmocka_unit_test(errors_name_file_and_place),
        cmocka_unit_test(mutated_files_load_or_fail_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
