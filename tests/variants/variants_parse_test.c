/* Variants as people type them: names, changes, impossible sets, misspellings, and texts that are no variants at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/base/probe.h"
#include "tests/mutate.h"
#include "variants/variants.h"

static void expect_same_toggles(const char *text, const hm_toggles *expected)
{
    hm_toggles set;
    hm_error err = {0};
    if (hm_variant_parse(text, &set, NULL, &err))
        fail_msg("%s: %s", text, err.text);
    assert_memory_equal(&set, expected, sizeof set);
}

/* One sentence, HM_EUSAGE, naming all that `parts` (NULL-terminated) list; *out is left alone. */
static void expect_refused(const char *text, const char *const *parts)
{
    hm_toggles set, before;
    hm_error err = {0};
    memset(&set, 0xA5, sizeof set);
    before = set;
    assert_int_equal(hm_variant_parse(text, &set, NULL, &err), HM_EUSAGE);
    assert_true(hm_mutate_sentence_ok(HM_EUSAGE, &err));
    assert_memory_equal(&set, &before, sizeof set);
    for (; *parts; parts++)
        if (!strstr(err.text, *parts))
            fail_msg("\"%s\": expected \"%s\" in: %s", text, *parts, err.text);
}
#define REFUSED(text, ...) expect_refused(text, (const char *const[]){__VA_ARGS__, NULL})

static void every_listed_variant_parses_and_prints_as_text_that_parses_to_it(void **state)
{
    int count;
    const hm_variant_info *list = hm_variant_list(&count);
    (void)state;
    assert_true(count > 20);
    for (int i = 0; i < count; i++) {
        const hm_variant_info *fixed = NULL;
        hm_toggles set;
        hm_error err = {0};
        char text[HM_VARIANT_SPEC];
        assert_int_equal(hm_variant_parse(list[i].name, &set, &fixed, &err), HM_OK);
        assert_ptr_equal(fixed, &list[i]);
        assert_memory_equal(&set, &list[i].toggles, sizeof set);
        hm_toggles_print(&set, text, sizeof text);
        assert_null(strchr(text, ':')); /* its name, or that of a variant that is the same program */
        expect_same_toggles(text, &set);
    }
}

static void naive_is_all_zero_and_the_named_variants_exist(void **state)
{
    static const char *const names[] = {"naive", "reference-heartlib", "best", "steps1", "steps50", "f32", "alone-kv"};
    hm_toggles zero = {0};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_non_null(hm_variant_find(names[i]));
    expect_same_toggles("naive", &zero);
    assert_null(hm_variant_find("custom"));
}

/* Each value of each toggle, in the first of some sets that can have it. */
static void every_value_can_be_had_and_prints_as_text_that_parses_to_it(void **state)
{
    static const char *const bases[] = {"custom:", "best:", "reference-heartlib:", "best:panels=rows,"};
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (int i = 0; i < count; i++)
        for (int value = 0; value < hm_toggle_values(&list[i]); value++) {
            hm_status st = HM_EUSAGE;
            hm_toggles set;
            hm_error err = {0};
            char name[64], text[HM_VARIANT_SPEC];
            hm_toggle_value_name(&list[i], value, name, sizeof name);
            assert_true(name[0]);
            for (size_t b = 0; st && b < sizeof bases / sizeof *bases; b++) {
                snprintf(text, sizeof text, "%s%s=%s", bases[b], list[i].name, name);
                st = hm_variant_parse(text, &set, NULL, &err);
            }
            if (st)
                fail_msg("%s=%s: no set can have it: %s", list[i].name, name, err.text);
            assert_int_equal(hm_toggle_get(&set, &list[i]), value);
            hm_toggles_print(&set, text, sizeof text);
            expect_same_toggles(text, &set);
        }
}

static void a_row_of_the_table_is_complete(void **state)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    assert_int_equal(count, (int)sizeof(hm_toggles));
    for (int i = 0; i < count; i++) {
        int texts = 1, counter = 0;
        for (const char *p = list[i].text; (p = strstr(p, " | ")); p += 3)
            texts++;
        for (int c = 0; c < HM_COUNTER_COUNT; c++)
            counter |= !strcmp(list[i].counter, hm_counter_name(c));
        if (texts != hm_toggle_values(&list[i]) || !counter || !list[i].models || !list[i].backends)
            fail_msg("toggle %s: %d texts for %d values, counter %s, models %u, backends %u", list[i].name, texts,
                     hm_toggle_values(&list[i]), list[i].counter, list[i].models, list[i].backends);
    }
}

static void a_change_applies_on_top_of_the_variant_and_needs_the_runtime_build(void **state)
{
    const hm_variant_info *fixed = hm_variant_find("best");
    hm_toggles set, expected = fixed->toggles;
    hm_error err = {0};
    (void)state;
    expected.attn = HM_ATTN_SCORES;
    expected.kv = HM_KV_CONCAT;
    assert_int_equal(hm_variant_parse("best:attn=scores,kv=concat", &set, &fixed, &err), HM_OK);
    assert_null(fixed);
    assert_memory_equal(&set, &expected, sizeof set);
    expected = (hm_toggles){.gqa = HM_GQA_DIRECT};
    expect_same_toggles("custom:gqa=direct", &expected);
    expect_same_toggles("naive:gqa=expanded,gqa=direct", &expected); /* the last word counts */
    fixed = hm_variant_find("best");
    expected = fixed->toggles;
    assert_int_equal(hm_variant_parse("best:", &set, &fixed, &err), HM_OK); /* the same set in the runtime build */
    assert_null(fixed);
    assert_memory_equal(&set, &expected, sizeof set);
}

static void an_impossible_set_is_one_sentence_naming_both_toggles(void **state)
{
    (void)state;
    REFUSED("custom:attn=all_slots", "attn=all_slots", "kv=prealloc", "kv=concat");
    REFUSED("best:attn=all_slots", "attn=all_slots", "mask=built", "mask=none");
    REFUSED("custom:attn=flash", "attn=flash", "mask=none", "mask=built");
    REFUSED("custom:codes=deferred", "codes=deferred", "token_forward=device");
    REFUSED("custom:codes=frame", "codes=frame", "sampling=fused");
    REFUSED("best:chunks=original", "chunks=original", "decode=whole", "decode=stream");
    REFUSED("custom:token_forward=device", "token_forward=device", "sampling=fused");
    REFUSED("best:sampling=passes", "token_forward=device", "sampling=fused");
}

static void a_misspelt_name_is_answered_with_the_nearest(void **state)
{
    (void)state;
    REFUSED("bset", "\"bset\"", "\"best\"", "list variants");
    REFUSED("Naive", "\"naive\"");
    REFUSED("reference_heartlib", "\"reference-heartlib\"");
    REFUSED("alone-fsue", "\"alone-fuse\"");
    REFUSED("best:atn=flash", "\"atn\"", "\"attn\"", "list toggles");
    REFUSED("best:token-forward=host", "\"token_forward\"");
    REFUSED("best:attn=flsh", "attn", "\"flsh\"", "scores,all_slots,flash");
    REFUSED("best:flow_steps=11", "flow_steps", "\"11\"", "10,50,20,5,2,1");
}

static void malformed_texts_are_refused(void **state)
{
    char longer[400];
    (void)state;
    REFUSED("", "variant");
    REFUSED(":", "variant");
    REFUSED("best:,", "toggle=value");
    REFUSED("best:attn", "\"attn\"", "toggle=value");
    REFUSED("best:attn=", "attn", "scores,all_slots,flash");
    REFUSED("best:=flash", "toggle");
    REFUSED("best:attn=flash,", "toggle=value");
    REFUSED("best:attn=flash=flash", "attn");
    REFUSED("best,naive", "variant");
    REFUSED("best:\n=\x1b[31m", "toggle");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    REFUSED(longer, "too long");
    memcpy(longer, "best:", 5);
    REFUSED(longer, "toggle=value");
    longer[300] = '=';
    REFUSED(longer, "toggle");
    memcpy(longer, "best:kv=", 8);
    REFUSED(longer, "kv");
}

static void the_longest_set_fits_the_text(void **state)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    size_t length = sizeof "custom";
    (void)state;
    for (int i = 0; i < count; i++) {
        size_t longest = 0;
        for (int value = 1; value < hm_toggle_values(&list[i]); value++) {
            char name[64];
            hm_toggle_value_name(&list[i], value, name, sizeof name);
            longest = strlen(name) > longest ? strlen(name) : longest;
        }
        length += 1 + strlen(list[i].name) + 1 + longest;
    }
    assert_true(length <= HM_VARIANT_SPEC);
}

static void a_text_that_does_not_fit_is_cut_inside_the_buffer(void **state)
{
    hm_toggles set = {.gqa = HM_GQA_DIRECT, .load = HM_WEIGHTS_MMAP, .rows = HM_ROWS_NEEDED};
    (void)state;
    for (size_t size = 1; size < 64; size++) {
        char text[65];
        memset(text, '#', sizeof text);
        hm_toggles_print(&set, text, size);
        assert_non_null(memchr(text, 0, size));
        assert_int_equal(text[size], '#');
    }
}

static void the_distance_of_two_sets_is_their_coarsest_difference(void **state)
{
    const hm_toggles *best = &hm_variant_find("best")->toggles, *naive = &hm_variant_find("naive")->toggles;
    (void)state;
    assert_int_equal(hm_toggles_distance(best, best), HM_KIND_BITWISE);
    assert_int_equal(hm_toggles_distance(naive, &hm_variant_find("alone-kv")->toggles), HM_KIND_BITWISE);
    assert_int_equal(hm_toggles_distance(naive, &hm_variant_find("alone-rows")->toggles), HM_KIND_ROUNDING);
    assert_int_equal(hm_toggles_distance(best, naive), HM_KIND_ROUNDING);
    assert_int_equal(hm_toggles_distance(best, &hm_variant_find("steps5")->toggles), HM_KIND_APPROX);
}

static void mutated_texts_parse_or_fail_with_a_sentence(void **state)
{
    static const char *const originals[] = {"reference-heartlib:tail=kept,cfg=batched", "best:attn=scores,kv=concat,flow_steps=50",
                                            "custom:sampling=fused,token_forward=device,codes=frame"};
    (void)state;
    for (size_t k = 0; k < sizeof originals / sizeof *originals; k++) {
        hm_mutator m;
        hm_mutator_open(&m, originals[k], strlen(originals[k]), k + 1);
        for (int i = 0; i < 3000; i++) {
            size_t size;
            const uint8_t *data = hm_mutate(&m, &size);
            char *text = malloc(size + 1), printed[HM_VARIANT_SPEC];
            hm_toggles set;
            hm_error err = {0};
            assert_non_null(text);
            memcpy(text, data, size);
            text[size] = 0;
            hm_status st = hm_variant_parse(text, &set, NULL, &err);
            if (st && (st != HM_EUSAGE || !hm_mutate_sentence_ok(st, &err)))
                fail_msg("%s: status %d, \"%s\"", m.last, (int)st, err.text);
            if (!st) {
                hm_toggles_print(&set, printed, sizeof printed);
                expect_same_toggles(printed, &set);
            }
            free(text);
        }
        hm_mutator_close(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_listed_variant_parses_and_prints_as_text_that_parses_to_it),
        cmocka_unit_test(naive_is_all_zero_and_the_named_variants_exist),
        cmocka_unit_test(every_value_can_be_had_and_prints_as_text_that_parses_to_it),
        cmocka_unit_test(a_row_of_the_table_is_complete),
        cmocka_unit_test(a_change_applies_on_top_of_the_variant_and_needs_the_runtime_build),
        cmocka_unit_test(an_impossible_set_is_one_sentence_naming_both_toggles),
        cmocka_unit_test(a_misspelt_name_is_answered_with_the_nearest),
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(the_longest_set_fits_the_text),
        cmocka_unit_test(a_text_that_does_not_fit_is_cut_inside_the_buffer),
        cmocka_unit_test(the_distance_of_two_sets_is_their_coarsest_difference),
        cmocka_unit_test(mutated_texts_parse_or_fail_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
