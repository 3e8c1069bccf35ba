#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/text/internal.h"
#include "tests/mutate.h"
#include "tests/unit/text_case.h"

/* The rule itself: find the pair with the lowest rank, the leftmost of equals, merge it, start again. */
static size_t plain_merge_loop(const hm_tokenizer *t, const char *piece, size_t size, int32_t *ids)
{
    size_t n = size;
    for (size_t i = 0; i < n; i++)
        ids[i] = t->byte_id[(uint8_t)piece[i]];
    for (;;) {
        const hm_pair_value *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const hm_pair_value *merge = hm_pairs_find(&t->merges, ids[i], ids[i + 1]);
            if (merge && (!best || merge->rank < best->rank)) {
                best = merge;
                at = i;
            }
        }
        if (!best)
            return n;
        ids[at] = best->id;
        memmove(ids + at + 1, ids + at + 2, (--n - at - 1) * sizeof *ids);
    }
}

static void the_heap_merges_like_the_plain_loop(void **state)
{
    (void)state;
    static const char *const files[] = {HEART "tokenizer.json", HEART "qwen2_tokenizer.json"};
    static const char *const alphabets[] = {"a", "the ", "\xE3\x81\x82\x84\x8B", "aeinorst", " \n\t", "abcdefghijklmnopqrstuvwxyz'"};
    for (size_t f = 0; f < 2; f++) {
        hm_tokenizer *t = open_file(files[f]);
        hm_bpe_scratch scratch = {0};
        hm_mutator random;
        hm_mutator_open(&random, "", 0, 11 + f);
        size_t merged = 0;
        for (int i = 0; i < 3000; i++) {
            char piece[120];
            int32_t expected[120];
            hm_ids ids = {0};
            hm_error err = {0};
            const char *alphabet = alphabets[hm_mutator_below(&random, sizeof alphabets / sizeof *alphabets)];
            size_t size = 1 + hm_mutator_below(&random, sizeof piece);
            for (size_t k = 0; k < size; k++)
                piece[k] = alphabet[hm_mutator_below(&random, strlen(alphabet))];
            assert_int_equal(hm_bpe_piece(t, &scratch, piece, size, &ids, &err), HM_OK);
            assert_int_equal(ids.count, plain_merge_loop(t, piece, size, expected));
            assert_memory_equal(ids.ids, expected, ids.count * sizeof *expected);
            merged += size - ids.count;
            free(ids.ids);
        }
        assert_true(merged > 10000);
        hm_mutator_close(&random);
        hm_bpe_scratch_close(&scratch);
        hm_tokenizer_close(&t);
    }
}

typedef struct job {
    const hm_tokenizer *tokenizer;
    int32_t *ids;
    size_t count;
    hm_status status;
} job;

static const char text[] = "<|im_start|>It's a e\u0301t\u00e9 in 2024:\n\n  \u4e16\u754c and the words\u2026 <|im_end|>";

static void *encode_many_times(void *argument)
{
    job *j = argument;
    for (int i = 0; i < 200 && !j->status; i++) {
        hm_error err = {0};
        free(j->ids);
        j->ids = NULL;
        j->status = hm_tokenizer_encode(j->tokenizer, text, strlen(text), true, &j->ids, &j->count, &err);
    }
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    hm_tokenizer *t = open_file(HEART "qwen2_tokenizer.json");
    pthread_t threads[4];
    job jobs[5] = {{0}};
    for (int i = 0; i < 5; i++)
        jobs[i].tokenizer = t;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, encode_many_times, &jobs[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    encode_many_times(&jobs[4]);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(jobs[i].status, HM_OK);
        assert_int_equal(jobs[i].count, jobs[4].count);
        assert_memory_equal(jobs[i].ids, jobs[4].ids, jobs[4].count * sizeof *jobs[4].ids);
    }
    for (int i = 0; i < 5; i++)
        free(jobs[i].ids);
    hm_tokenizer_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heap_merges_like_the_plain_loop),
        cmocka_unit_test(threads_share_a_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
