#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "tests/mutate.h"
#include "tests/unit/text_case.h"

/* The value at a path such as "model/merges/0". */
static json_t *find(json_t *root, const char *path, char last[64], json_t **parent)
{
    char copy[256], *save;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *key = strtok_r(copy, "/", &save); key; key = strtok_r(NULL, "/", &save)) {
        *parent = root;
        snprintf(last, 64, "%s", key);
        root = json_is_array(root) ? json_array_get(root, (size_t)atoi(key)) : json_object_get(root, key);
    }
    return root;
}

/* tokenizer.json with one value replaced (value "-": removed) opens, or fails with a sentence that says `expected`. */
static void assert_change(const char *path, const char *value, const char *expected)
{
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    char key[64] = "";
    json_t *root = load(HEART "tokenizer.json"), *parent = NULL, *new = json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    find(root, path, key, &parent);
    assert_true(parent && (new || !strcmp(value, "-")));
    if (!strcmp(value, "-"))
        json_object_del(parent, key);
    else if (json_is_array(parent))
        json_array_insert(parent, (size_t)atoi(key), new);
    else
        json_object_set(parent, key, new);
    char *text = json_dumps(root, 0);
    hm_status st = hm_tokenizer_parse(&t, text, strlen(text), "made.json", &err);
    if (expected ? st != HM_EFORMAT || !strstr(err.text, expected) || !hm_mutate_sentence_ok(st, &err) : st != HM_OK)
        fail_msg("%s = %s: %s: \"%s\", expected \"%s\"", path, value, hm_status_name(st), err.text, expected ? expected : "success");
    assert_true(!t == !!expected);
    hm_tokenizer_close(&t);
    free(text);
    json_decref(new);
    json_decref(root);
}

static void types_not_supported_are_named(void **state)
{
    (void)state;
    assert_change("normalizer", "{\"type\": \"NFKC\"}", "made.json: normalizer: a normalizer of type \"NFKC\" is not supported");
    assert_change("normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Strip\"}]}", "\"Strip\"");
    assert_change("normalizer", "{\"type\": \"Sequence\", \"normalizers\": []}", NULL);
    assert_change("normalizer", "3", "expected an object");
    assert_change("pre_tokenizer/pretokenizers/0", "{\"type\": \"Digits\"}", "\"Digits\"");
    assert_change("pre_tokenizer/pretokenizers/0", "{\"type\": \"ByteLevel\"}", "a pre_tokenizer of type \"ByteLevel\"");
    assert_change("pre_tokenizer/pretokenizers/2", "{\"type\": \"Metaspace\"}", "\"ByteLevel\" is not supported");
    assert_change("pre_tokenizer", "{\"type\": \"Metaspace\"}", "\"Metaspace\"");
    assert_change("pre_tokenizer", "null", "\"pre_tokenizer\" is missing");
    assert_change("pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": []}", "is empty");
    assert_change("pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}", NULL);
    assert_change("pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"use_regex\": false}",
                  "\"add_prefix_space\" true");
    assert_change("pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}", NULL);
    assert_change("pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"", "\"Removed\"");
    assert_change("pre_tokenizer/pretokenizers/0/invert", "true", "\"invert\" true");
    assert_change("pre_tokenizer/pretokenizers/0/pattern", "{\"String\": \"x\"}", "\"Regex\" is missing");
    assert_change("pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(\"", "split pattern does not compile");
    assert_change("post_processor", "{\"type\": \"BertProcessing\"}", "\"BertProcessing\"");
    assert_change("post_processor", "null", NULL);
    assert_change("decoder", "{\"type\": \"WordPiece\"}", "\"WordPiece\"");
    assert_change("decoder", "null", "\"decoder\" is missing");
    assert_change("model/type", "\"Unigram\"", "a model of type \"Unigram\" is not supported, expected BPE");
    assert_change("model/dropout", "0.1", "\"dropout\"");
    assert_change("model/byte_fallback", "true", "\"byte_fallback\" true");
    assert_change("model/unk_token", "\"<unk>\"", "\"unk_token\" \"<unk>\"");
    assert_change("model/continuing_subword_prefix", "\"##\"", "\"continuing_subword_prefix\"");
    assert_change("model/end_of_word_suffix", "\"\"", NULL);
    assert_change("added_tokens/0/lstrip", "true", "added_tokens[0]: \"lstrip\" true");
    assert_change("added_tokens/1/single_word", "true", "added_tokens[1]: \"single_word\" true");
    assert_change("something_new", "[1]", NULL);
}

static void tables_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    assert_change("model/vocab", "{}", "the vocabulary of 0 tokens has none for byte 0x00");
    assert_change("model/vocab/a", "-", "has none for byte 0x61 (U+0061)");
    assert_change("model/vocab/a", "-1", "token \"a\": expected an id from 0 to 16777215, found -1");
    assert_change("model/vocab/a", "9223372036854775807", "found 9223372036854775807");
    assert_change("model/vocab/a", "1.5", "token \"a\": expected an integer id, found a real number");
    assert_change("model/vocab/a", "65", "id 65 is given to two tokens");
    assert_change("model/vocab/<|begin_of_text|>", "7000", "\"<|begin_of_text|>\" is given twice");
    assert_change("model/vocab/<|begin_of_text|>", "960", NULL);
    assert_change("model/merges/0", "\"q zz\"", "merge 0: token \"zz\" is not in the vocabulary");
    assert_change("model/merges/3", "\"q q\"", "merge 3: the merged token \"qq\" is not in the vocabulary");
    assert_change("model/merges/1", "\"qq\"", "merge 1: expected two tokens with one space between, found \"qq\"");
    assert_change("model/merges/1", "\"a b c\"", "merge 1: expected two tokens");
    assert_change("model/merges/1", "\" a\"", "merge 1: expected two tokens");
    assert_change("model/merges/1", "\"\"", "merge 1: expected two tokens");
    assert_change("model/merges/1", "[\"t\", \"h\", \"e\"]", "merge 1: expected \"a b\" or [\"a\", \"b\"]");
    assert_change("model/merges/1", "[\"\", \"t\"]", "merge 1: token \"\" is not in the vocabulary");
    assert_change("model/merges/1", "7", "found an integer");
    assert_change("added_tokens/0/id", "64", "id 64 is given to two tokens");
    assert_change("added_tokens/0/id", "-5", "added_tokens[0]: \"id\"");
    assert_change("added_tokens/0/id", "99999999999", "added_tokens[0]: \"id\"");
    assert_change("added_tokens/0/content", "\"\"", "empty text");
    assert_change("added_tokens/0/content", "\"a\\u0000b\"", "NUL");
    assert_change("added_tokens/0/content", "\"<|end_of_text|>\"", "is given twice");
    assert_change("added_tokens/9", "{\"id\": 5000}", "added_tokens[9]: key \"content\" is missing");
    assert_change("added_tokens/9", "4", "added_tokens[9]: expected an object");
    assert_change("post_processor/processors/1/single/0", "{\"Sequence\": {\"id\": \"A\"}}", "sequence A once");
    assert_change("post_processor/processors/1/single/0", "{\"Sequence\": {\"id\": \"B\"}}", "sequence A once");
    assert_change("post_processor/processors/1/single", "[]", "does not hold sequence A");
    assert_change("post_processor/processors/1/single/0", "\"$A\"", "expected an object");
    assert_change("post_processor/processors/1/special_tokens", "{}", "\"<|begin_of_text|>\" is missing");
    assert_change("post_processor/processors/1/special_tokens/<|begin_of_text|>/ids", "[5000]", "that is none");
    assert_change("post_processor/processors/1/special_tokens/<|begin_of_text|>/ids", "[\"x\"]", "that is none");
}

static void bytes_that_are_no_json_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "{", "[]", "null", "{\"model\": ", "\xFF\xFE", "{}", "{\"model\": {}}", "{\"model\": []}", "{\"a\":1,\"a\":2}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        hm_error err = {0};
        hm_tokenizer *t = NULL;
        hm_status st = hm_tokenizer_parse(&t, texts[i], strlen(texts[i]), "made.json", &err);
        assert_int_equal(st, HM_EFORMAT);
        assert_true(hm_mutate_sentence_ok(st, &err));
        assert_non_null(strstr(err.text, "made.json"));
        assert_null(t);
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    assert_int_equal(hm_tokenizer_open(&t, "/nonexistent/tokenizer.json", &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "/nonexistent/tokenizer.json"));
    assert_int_equal(hm_tokenizer_open_qwen2(&t, "/nonexistent", HM_QWEN2_SPLIT_PLAIN, &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "/nonexistent/vocab.json"));
    assert_null(t);
}

static void a_pattern_that_runs_away_stops_with_an_error(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    json_t *root = load(HEART "tokenizer.json"), *parent;
    char key[64], *text, run[200];
    find(root, "pre_tokenizer/pretokenizers/0/pattern/Regex", key, &parent);
    json_object_set_new(parent, key, json_string("(a|aa)+$"));
    text = json_dumps(root, 0);
    assert_int_equal(hm_tokenizer_parse(&t, text, strlen(text), "made.json", &err), HM_OK);
    memset(run, 'a', sizeof run);
    run[sizeof run - 1] = 'b';
    hm_status st = hm_tokenizer_encode(t, run, sizeof run, true, &ids, &count, &err);
    assert_int_equal(st, HM_EFORMAT);
    assert_true(hm_mutate_sentence_ok(st, &err));
    assert_non_null(strstr(err.text, "split pattern: matching stopped at byte 0"));
    assert_int_equal(hm_tokenizer_encode(t, run, 20, true, &ids, &count, &err), HM_OK);
    free(ids);
    hm_tokenizer_close(&t);
    free(text);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_not_supported_are_named),
        cmocka_unit_test(tables_that_contradict_themselves_are_refused),
        cmocka_unit_test(bytes_that_are_no_json_are_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(a_pattern_that_runs_away_stops_with_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
