/* tokenizer.json with wrong bytes and with wrong structure, thousands of times from fixed seeds: each loads or fails with one sentence,
 * and what loads encodes and decodes, or fails with one. The sanitizers watch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/text/tokenizer.h"
#include "tests/mutate.h"

#define HEART HM_TEST_DATA "/goldens/heart/"

static const char sample[] = "<|begin_of_text|>Hello world's  e\u0301\u00e9 \u4e16\u754c 12345\n\n<tag>aaaa\U0001F600</tag>\t!";

typedef struct tally {
    size_t loaded, refused, encoded;
} tally;

static void assert_sentence(hm_status st, const hm_error *err, const char *what)
{
    if (!hm_mutate_sentence_ok(st, err))
        fail_msg("%s: status %d: \"%s\"", what, (int)st, err->text);
}

static void try_text(const hm_tokenizer *t, const char *text, size_t size, const char *what, tally *sum)
{
    hm_error err = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    char *back = NULL;
    hm_status st = hm_tokenizer_encode(t, text, size, true, &ids, &count, &err);
    if (st) {
        assert_sentence(st, &err, what);
        return;
    }
    sum->encoded++;
    for (size_t i = 0; i < count; i++)
        assert_true(ids[i] >= 0 && ids[i] < hm_tokenizer_size(t));
    st = hm_tokenizer_decode(t, ids, count, true, &back, &err);
    if (st)
        fail_msg("%s: %s", what, err.text);
    free(back);
    free(ids);
}

static void try_bytes(const void *data, size_t size, const char *what, tally *sum)
{
    hm_error err = {0};
    hm_tokenizer *t = NULL;
    hm_status st = hm_tokenizer_parse(&t, data, size, "mutated", &err);
    if (st) {
        assert_sentence(st, &err, what);
        assert_null(t);
        sum->refused++;
        return;
    }
    sum->loaded++;
    try_text(t, sample, strlen(sample), what, sum);
    hm_tokenizer_close(&t);
}

/* The golden without most of its merges and added tokens: small, so that mutations often hit what matters. */
static json_t *small_tokenizer(void)
{
    hm_error err = {0};
    json_t *root = NULL, *kept = json_object(), *id;
    const char *token;
    assert_int_equal(hm_json_load(&root, HEART "tokenizer_pairs.json", &err), HM_OK);
    json_t *model = json_object_get(root, "model"), *added = json_object_get(root, "added_tokens"),
           *merges = json_object_get(model, "merges");
    while (json_array_size(added) > 4)
        json_array_remove(added, 2);
    while (json_array_size(merges) > 12)
        json_array_remove(merges, json_array_size(merges) - 1);
    json_object_foreach(json_object_get(model, "vocab"), token, id) if (json_integer_value(id) < 268) json_object_set(kept, token, id);
    json_object_set_new(model, "vocab", kept);
    return root;
}

static void mutated_bytes_load_or_fail_with_a_sentence(void **state)
{
    (void)state;
    json_t *root = small_tokenizer();
    char *text = json_dumps(root, 0);
    tally sum = {0};
    hm_mutator m;
    hm_mutator_open(&m, text, strlen(text), 1);
    try_bytes(text, strlen(text), "the original", &sum);
    assert_int_equal(sum.encoded, 1);
    for (int i = 0; i < 4000; i++) {
        size_t size;
        const uint8_t *data = hm_mutate(&m, &size);
        try_bytes(data, size, m.last, &sum);
    }
    assert_true(sum.loaded > 50 && sum.encoded > 50 && sum.refused > 1000);
    hm_mutator_close(&m);
    free(text);
    json_decref(root);
}

/* Every value of the tree, in order of a walk. */
static json_t *pick(json_t *value, size_t *countdown, json_t **parent)
{
    json_t *child, *found;
    size_t i = 0;
    const char *key;
    if (!(*countdown)--)
        return value;
    if (json_is_array(value)) {
        json_array_foreach(value, i, child) if ((found = pick(child, countdown, parent)))
        {
            *parent = *parent ? *parent : value;
            return found;
        }
    } else {
        json_object_foreach(value, key, child) if ((found = pick(child, countdown, parent)))
        {
            *parent = *parent ? *parent : value;
            return found;
        }
    }
    return NULL;
}

static size_t count_values(json_t *root)
{
    size_t left = SIZE_MAX;
    json_t *parent = NULL;
    pick(root, &left, &parent);
    return SIZE_MAX - left;
}

/* Puts another value in place of one, or takes it out. */
static void replace(json_t *parent, const json_t *old, json_t *new, bool remove)
{
    const char *key;
    void *next;
    json_t *child;
    size_t i;
    if (json_is_array(parent)) {
        json_array_foreach(parent, i, child) if (child == old) break;
        if (remove)
            json_array_remove(parent, i);
        else
            json_array_set(parent, i, new);
        return;
    }
    json_object_foreach_safe(parent, next, key, child) if (child == old)
    {
        if (remove)
            json_object_del(parent, key);
        else
            json_object_set(parent, key, new);
        return;
    }
}

static void mutate_structure(hm_mutator *m, json_t *root, json_t *donor, size_t values)
{
    static const char *const hostile[] = {"null",         "true",         "-1",    "0",   "1e300",    "4294967296",
                                          "\"\"",         "\"\\u0000\"",  "[]",    "{}",  "[[[[]]]]", "\"NFC\"",
                                          "\"(x+x+)+y\"", "\"\\\\p{L}\"", "\"[\"", "960", "\"A\""};
    json_t *parent = NULL, *from = NULL, *new;
    size_t at = 1 + hm_mutator_below(m, values - 1), donated = hm_mutator_below(m, values), kind = hm_mutator_below(m, 3);
    json_t *old = pick(root, &at, &parent);
    if (!old || !parent)
        return;
    if (kind == 1)
        new = json_deep_copy(pick(donor, &donated, &from));
    else
        new = json_loads(hostile[hm_mutator_below(m, sizeof hostile / sizeof *hostile)], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    replace(parent, old, new, kind == 2);
    json_decref(new);
}

static void mutated_structure_loads_or_fails_with_a_sentence(void **state)
{
    (void)state;
    json_t *original = small_tokenizer();
    /* Most values are the vocabulary's: half of the rounds go without it, so that the rest has its share. */
    json_t *vocab = json_object_get(json_object_get(original, "model"), "vocab");
    json_incref(vocab);
    json_object_del(json_object_get(original, "model"), "vocab");
    size_t few = count_values(original);
    tally sum = {0};
    hm_mutator m;
    hm_mutator_open(&m, "", 0, 7);
    for (int i = 0; i < 3000; i++) {
        char what[64];
        json_t *root = json_deep_copy(original), *model = json_object_get(root, "model");
        snprintf(what, sizeof what, "round %d, state %016llx", i, (unsigned long long)m.state);
        if (i & 1)
            json_object_set_new(model, "vocab", json_deep_copy(vocab));
        for (size_t n = 1 + hm_mutator_below(&m, 3); n; n--)
            mutate_structure(&m, root, original, i & 1 ? few + json_object_size(vocab) : few);
        model = json_object_get(root, "model");
        if (!(i & 1) && json_is_object(model))
            json_object_set_new(model, "vocab", json_deep_copy(vocab));
        char *text = json_dumps(root, 0);
        try_bytes(text, strlen(text), what, &sum);
        free(text);
        json_decref(root);
    }
    assert_true(sum.loaded > 100 && sum.encoded > 100 && sum.refused > 500);
    hm_mutator_close(&m);
    json_decref(vocab);
    json_decref(original);
}

static void mutated_text_encodes_or_fails_with_a_sentence(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_tokenizer *tokenizers[2] = {NULL, NULL};
    tally sum = {0};
    hm_mutator m;
    assert_int_equal(hm_tokenizer_open(&tokenizers[0], HEART "tokenizer_pairs.json", &err), HM_OK);
    assert_int_equal(hm_tokenizer_open(&tokenizers[1], HEART "qwen2_tokenizer.json", &err), HM_OK);
    hm_mutator_open(&m, sample, strlen(sample), 3);
    for (int i = 0; i < 3000; i++) {
        size_t size;
        char *lower = NULL;
        const char *text = (const char *)hm_mutate(&m, &size);
        for (int k = 0; k < 2; k++)
            try_text(tokenizers[k], text, size, m.last, &sum);
        hm_status st = hm_text_lower(&lower, text, size, "text", &err);
        if (st)
            assert_sentence(st, &err, m.last);
        free(lower);
    }
    assert_true(sum.encoded > 500 && sum.encoded < 5500);
    hm_mutator_close(&m);
    hm_tokenizer_close(&tokenizers[0]);
    hm_tokenizer_close(&tokenizers[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutated_bytes_load_or_fail_with_a_sentence),
        cmocka_unit_test(mutated_structure_loads_or_fails_with_a_sentence),
        cmocka_unit_test(mutated_text_encodes_or_fails_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
