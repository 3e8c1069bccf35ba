/* What becomes of ids, without a model: windows, ratio, joining, text, chunks with times; against the reference's outputs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/base/json.h"
#include "engine/text/transcript.h"

#define GOLDENS HM_TEST_DATA "/goldens/whisper/"

static const hm_transcript_ids ids = {500, 513};
static json_t *units, *expected;
static hm_tokenizer *tokenizer;
static hm_error err;

static void check(hm_status st)
{
    if (st)
        fail_msg("%s", err.text);
}

static int32_t *ids_of(const json_t *list, int *count)
{
    int32_t *out = calloc(json_array_size(list) + 1, sizeof *out);
    *count = (int)json_array_size(list);
    for (int i = 0; i < *count; i++)
        out[i] = (int32_t)json_integer_value(json_array_get(list, (size_t)i));
    return out;
}

static hm_transcript_part *parts_of(const json_t *lists, int *count)
{
    hm_transcript_part *out = calloc(json_array_size(lists) + 1, sizeof *out);
    *count = (int)json_array_size(lists);
    for (int i = 0; i < *count; i++)
        out[i].ids = ids_of(json_array_get(lists, (size_t)i), &out[i].count);
    return out;
}

static void free_parts(hm_transcript_part *parts, int count)
{
    for (int i = 0; i < count; i++)
        free((void *)parts[i].ids);
    free(parts);
}

static void assert_ids(const int32_t *found, int count, const json_t *list)
{
    assert_int_equal(count, json_array_size(list));
    for (int i = 0; i < count; i++)
        assert_int_equal(found[i], json_integer_value(json_array_get(list, (size_t)i)));
}

static void lists_are_joined_as_in_the_reference(void **state)
{
    json_t *row;
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(json_object_get(units, "merge")), 26);
    json_array_foreach(json_object_get(units, "merge"), i, row)
    {
        int count, n = 0;
        int32_t *out = NULL;
        hm_transcript_part *parts = parts_of(json_object_get(row, "in"), &count);
        check(hm_transcript_merge(&out, &n, parts, count, &err));
        assert_ids(out, n, json_object_get(row, "out"));
        free(out);
        free_parts(parts, count);
    }
}

static void ratios_are_those_of_zlib(void **state)
{
    json_t *row;
    size_t i;
    double ratio = -1;
    (void)state;
    json_array_foreach(json_object_get(units, "compression_ratio"), i, row)
    {
        int n;
        int32_t *list = ids_of(json_object_get(row, "tokens"), &n);
        check(hm_transcript_ratio(&ratio, list, n, json_integer_value(json_object_get(row, "vocab_size")), &err));
        assert_true(ratio == json_real_value(json_object_get(row, "ratio")));
        free(list);
    }
    assert_int_equal(i, 8);
    check(hm_transcript_ratio(&ratio, NULL, 0, 2014, &err));
    assert_true(ratio == 0);
    check(hm_transcript_ratio(&ratio, (int32_t[]){1, 2}, 2, 255, &err)); /* a byte each: 2 of 10 */
    assert_true(ratio == 0.2);
}

static void ids_are_decoded_as_in_the_reference(void **state)
{
    json_t *row;
    size_t i;
    (void)state;
    json_array_foreach(json_object_get(units, "decode"), i, row)
    {
        int n;
        char *text = NULL;
        int32_t *list = ids_of(json_object_get(row, "ids"), &n);
        check(hm_transcript_text(&text, tokenizer, list, (size_t)n, &err));
        assert_string_equal(text, json_string_value(json_object_get(row, "decoded")));
        const char *in = json_string_value(json_object_get(row, "text_in"));
        int32_t *again = NULL;
        size_t again_count = 0;
        if (in) {
            check(hm_tokenizer_encode(tokenizer, in, strlen(in), false, &again, &again_count, &err));
            assert_ids(again, (int)again_count, json_object_get(row, "ids"));
        }
        free(again);
        free(text);
        free(list);
    }
    assert_int_equal(i, 14);
}

static void ids_that_no_token_has_write_nothing(void **state)
{
    char *text = NULL;
    (void)state;
    check(hm_transcript_text(&text, tokenizer, (int32_t[]){64, 513, 502, 1 << 20, -1, 65}, 6, &err));
    assert_string_equal(text, "ab"); /* a timestamp is taken out, a language is special */
    free(text);
}

static void assert_chunks(const hm_transcript *t, const json_t *golden)
{
    json_t *row;
    size_t i;
    assert_string_equal(t->text, json_string_value(json_object_get(golden, "text")));
    assert_int_equal(t->chunk_count, json_array_size(json_object_get(golden, "chunks")));
    json_array_foreach(json_object_get(golden, "chunks"), i, row)
    {
        const double found[] = {t->chunks[i].start_s, t->chunks[i].end_s};
        assert_string_equal(t->chunks[i].text, json_string_value(json_object_get(row, "text")));
        for (size_t k = 0; k < 2; k++) {
            const json_t *want = json_array_get(json_object_get(row, "timestamp"), k);
            if (json_is_null(want))
                assert_true(isnan(found[k]));
            else
                assert_true(found[k] == json_number_value(want));
        }
    }
}

static int64_t samples_of(const json_t *stride, size_t i)
{
    return llround(json_number_value(json_array_get(stride, i)) * HM_TRANSCRIPT_RATE);
}

static void chunks_have_the_times_of_the_reference(void **state)
{
    json_t *row, *window;
    size_t i, k;
    (void)state;
    json_array_foreach(json_object_get(units, "decode_asr_timestamps"), i, row)
    {
        hm_transcript t;
        const json_t *outputs = json_object_get(row, "outputs");
        int count = (int)json_array_size(outputs);
        hm_transcript_part *parts = calloc((size_t)count, sizeof *parts);
        json_array_foreach(outputs, k, window)
        {
            const json_t *stride = json_object_get(window, "stride_s");
            parts[k].ids = ids_of(json_object_get(window, "tokens"), &parts[k].count);
            parts[k].samples = samples_of(stride, 0);
            parts[k].left = samples_of(stride, 1);
            parts[k].right = samples_of(stride, 2);
        }
        check(hm_transcript_write(&t, tokenizer, ids, parts, count, true, &err));
        assert_chunks(&t, row);
        hm_transcript_close(&t);
        free_parts(parts, count);
    }
    assert_int_equal(i, 5);
}

static void assert_windows(const char *name, int64_t samples, double chunk_s)
{
    json_t *row;
    size_t i;
    int count = 0;
    hm_transcript_part *parts = NULL;
    const json_t *golden = json_object_get(json_object_get(expected, "chunks"), name);
    check(hm_transcript_windows(&parts, &count, samples, chunk_s, &err));
    assert_int_equal(count, json_array_size(golden));
    json_array_foreach(golden, i, row)
    {
        assert_int_equal(parts[i].start, json_integer_value(json_object_get(row, "start")));
        assert_int_equal(parts[i].samples, json_integer_value(json_object_get(row, "len")));
        assert_int_equal(parts[i].left, json_integer_value(json_object_get(row, "left")));
        assert_int_equal(parts[i].right, json_integer_value(json_object_get(row, "right")));
    }
    free(parts);
}

static void windows_lie_as_in_the_reference(void **state)
{
    (void)state;
    assert_windows("A.c30", 656000, 30);
    assert_windows("B.c30", 112000, 30);
    assert_windows("A.c10", 656000, 10);
}

static void a_song_of_four_minutes_is_twelve_windows(void **state)
{
    int count = 0;
    hm_transcript_part *parts = NULL;
    (void)state;
    check(hm_transcript_windows(&parts, &count, 240 * HM_TRANSCRIPT_RATE, 30, &err));
    assert_int_equal(count, 12); /* ceil((N - C) / step) + 1 */
    assert_int_equal(parts[11].start + parts[11].samples, 240 * HM_TRANSCRIPT_RATE);
    free(parts);
    check(hm_transcript_windows(&parts, &count, 0, 30, &err));
    assert_int_equal(count, 0);
    free(parts);
    check(hm_transcript_windows(&parts, &count, 1, 30, &err));
    assert_int_equal(count, 1);
    free(parts);
}

static void lengths_of_chunks_that_the_model_cannot_hear_are_refused(void **state)
{
    static const double wrong[] = {30.5, 0.5, 0, -1, NAN, INFINITY};
    int count;
    hm_transcript_part *parts;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(hm_transcript_windows(&parts, &count, 1000, wrong[i], &err), HM_EUSAGE);
        assert_non_null(strstr(err.text, "expected 1 to 30"));
    }
}

/* Windows of an entry of "pipeline" with their ids; false when it has none. */
static hm_transcript_part *pipeline_parts(const json_t *entry, int *count)
{
    const char *audio = json_string_value(json_object_get(entry, "audio"));
    int64_t samples = json_integer_value(json_object_get(json_object_get(expected, "mono_lengths"), audio));
    const json_t *lists = json_object_get(entry, "window_tokens");
    hm_transcript_part *parts = NULL;
    check(hm_transcript_windows(&parts, count, samples, json_number_value(json_object_get(entry, "chunk_length_s")), &err));
    assert_int_equal(*count, json_array_size(lists));
    for (int i = 0; i < *count; i++)
        parts[i].ids = ids_of(json_array_get(lists, (size_t)i), &parts[i].count);
    return parts;
}

static void windows_of_the_reference_become_its_text(void **state)
{
    json_t *entry, *seed_entry;
    const char *seed;
    size_t i;
    int seen = 0;
    (void)state;
    json_object_foreach(json_object_get(expected, "seeds"), seed, seed_entry)
        json_array_foreach(json_object_get(seed_entry, "pipeline"), i, entry)
    {
        int count;
        hm_transcript t;
        bool timestamps = json_is_true(json_object_get(entry, "return_timestamps"));
        hm_transcript_part *parts = pipeline_parts(entry, &count);
        check(hm_transcript_write(&t, tokenizer, ids, parts, count, timestamps, &err));
        if (timestamps)
            assert_chunks(&t, entry);
        else
            assert_ids(t.merged, t.merged_count, json_object_get(entry, "merged_tokens"));
        assert_string_equal(t.text, json_string_value(json_object_get(entry, "text")));
        hm_transcript_close(&t);
        free_parts(parts, count);
        seen++;
    }
    assert_int_equal(seen, 10);
}

static void assert_cut(const int32_t *y, int n, int64_t seek, int64_t frames, int64_t advance, const char *segments)
{
    char text[256] = "";
    int count = 0;
    int64_t found = 0;
    hm_transcript_segment *list = NULL;
    check(hm_transcript_cut(&list, &count, &found, ids, y, n, seek, frames, &err));
    for (int i = 0; i < count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d+%d %g-%g", i ? ", " : "", list[i].first, list[i].count,
                 list[i].start_s, list[i].end_s);
    free(list);
    assert_string_equal(text, segments);
    assert_int_equal(found, advance);
}

#define STAMP(seconds) (513 + (int)((seconds)*50))

static void windows_of_the_seek_loop_are_cut_at_pairs(void **state)
{
    (void)state;
    /* a pair in the middle and one at the end: go on from the last pair, which belongs to the segment */
    assert_cut((int32_t[]){STAMP(0), 5, STAMP(10), STAMP(10), 6, STAMP(26), STAMP(26)}, 7, 0, 3000, 2600, "0+3 0-10, 3+4 10-26");
    /* text and one timestamp at the end: nothing more in this window */
    assert_cut((int32_t[]){STAMP(1), 5, STAMP(20), STAMP(20), 6, STAMP(28)}, 6, 1000, 3000, 3000, "0+3 11-30, 3+3 30-38");
    /* text after the last pair is heard again */
    assert_cut((int32_t[]){STAMP(0), 5, STAMP(20), STAMP(25), 6, 7}, 6, 0, 3000, 2000, "0+4 0-20");
    /* no pair */
    assert_cut((int32_t[]){STAMP(0), 5, STAMP(12)}, 3, 500, 700, 700, "0+3 5-17");
    assert_cut((int32_t[]){STAMP(0), 5}, 2, 500, 700, 700, "0+2 5-12");
    assert_cut(NULL, 0, 500, 700, 700, "");
    /* a pair at the very start would never end */
    assert_cut((int32_t[]){STAMP(0), STAMP(0), 5}, 3, 0, 3000, 3000, "0+2 0-0");
}

static int open_goldens(void **state)
{
    (void)state;
    return hm_json_load(&units, GOLDENS "units.json", &err) || hm_json_load(&expected, GOLDENS "expected.json", &err) ||
           hm_tokenizer_open_whisper(&tokenizer, GOLDENS "model", &err);
}

static int close_goldens(void **state)
{
    (void)state;
    json_decref(units);
    json_decref(expected);
    hm_tokenizer_close(&tokenizer);
    return 0;
}

static void tokenizer_json_alone_is_the_same_tokenizer(void **state)
{
    const char *text = " I love you, my heart; don't stop 99";
    int32_t *a = NULL, *b = NULL;
    size_t n = 0, m = 0;
    hm_tokenizer *other = NULL;
    (void)state;
    check(hm_tokenizer_open(&other, GOLDENS "model/tokenizer.json", &err));
    check(hm_tokenizer_encode(tokenizer, text, strlen(text), false, &a, &n, &err));
    check(hm_tokenizer_encode(other, text, strlen(text), false, &b, &m, &err));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n * sizeof *a);
    assert_int_equal(hm_tokenizer_id(other, "<|30.00|>"), 2013);
    free(a);
    free(b);
    hm_tokenizer_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_joined_as_in_the_reference),
        cmocka_unit_test(ratios_are_those_of_zlib),
        cmocka_unit_test(ids_are_decoded_as_in_the_reference),
        cmocka_unit_test(ids_that_no_token_has_write_nothing),
        cmocka_unit_test(tokenizer_json_alone_is_the_same_tokenizer),
        cmocka_unit_test(chunks_have_the_times_of_the_reference),
        cmocka_unit_test(windows_lie_as_in_the_reference),
        cmocka_unit_test(a_song_of_four_minutes_is_twelve_windows),
        cmocka_unit_test(lengths_of_chunks_that_the_model_cannot_hear_are_refused),
        cmocka_unit_test(windows_of_the_reference_become_its_text),
        cmocka_unit_test(windows_of_the_seek_loop_are_cut_at_pairs),
    };
    return cmocka_run_group_tests(tests, open_goldens, close_goldens);
}
