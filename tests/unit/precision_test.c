/* --precision becomes settings of each variant that is named, or says what there is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/panel.h"
#include "harness/precision.h"
#include "variants/variants.h"

static hm_precision precision;

static const char *applied(const char *text, const char *variant)
{
    hm_error err = {0};
    hm_toggles toggles;
    precision = (hm_precision){.text = text};
    if (hm_precision_apply(&precision, &variant, &err) || hm_variant_parse(variant, &toggles, NULL, &err))
        fail_msg("%s on %s: %s", text, variant, err.text);
    return variant;
}

static void a_precision_is_settings_behind_the_variant(void **state)
{
    (void)state;
    assert_string_equal(applied("backbone=int8", "best"), "best:panels=packed,precompute=once,precision_backbone=int8");
    assert_string_equal(applied("codec=f32", "best"), "best:precision_codec=f32");
    assert_string_equal(applied("heads=stored", "best:attn=scores"), "best:attn=scores,precision_heads=stored");
    assert_string_equal(applied("dit=bf16", "naive:"), "naive:panels=packed,precompute=once,precision_dit=bf16");
    assert_string_equal(applied("lm=int4,heads=f16", "best"),
                        "best:panels=packed,precompute=once,precision_backbone=int4,precision_decoder=int4,precision_heads=f16");
    const char *all = "best:panels=packed,precompute=once,precision_backbone=fp4,precision_decoder=fp4,precision_heads=fp4,"
                      "precision_dit=fp4,precision_codec=fp4";
    assert_string_equal(applied("all=fp4", "best"), all);
    assert_string_equal(applied("fp4", "best"), all);
    assert_string_equal(applied(NULL, "best"), "best");
}

static void every_part_and_format_is_a_value_of_a_toggle(void **state)
{
    (void)state;
    char text[64];
    for (int p = 0; hm_precision_parts[p]; p++)
        for (int f = 0; hm_precision_formats[f]; f++) {
            snprintf(text, sizeof text, "%s=%s", hm_precision_parts[p], hm_precision_formats[f]);
            applied(text, "best");
            assert_true(!f || hm_format_parse(hm_precision_formats[f]) == f); /* values of toggles are formats */
        }
}

static void lists_of_variants_get_it_one_by_one(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_strings list = {{"naive,best:attn=scores,kv=concat", "f32"}, 2}, none = {0}, each = {{"naive", "best"}, 2}, all = {{"all"}, 1};
    precision = (hm_precision){.text = "codec=f32"};
    assert_int_equal(hm_precision_apply_list(&precision, &list, "best", &err), HM_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.items[0], "naive:precision_codec=f32,best:attn=scores,kv=concat,precision_codec=f32,f32:precision_codec=f32");
    assert_int_equal(hm_precision_apply_list(&precision, &none, "naive,best", &err), HM_OK);
    assert_string_equal(none.items[0], "naive:precision_codec=f32,best:precision_codec=f32");
    assert_int_equal(hm_precision_apply_each(&precision, &each, &err), HM_OK);
    assert_string_equal(each.items[0], "naive:precision_codec=f32");
    assert_string_equal(each.items[1], "best:precision_codec=f32");
    assert_int_equal(hm_precision_apply_list(&precision, &all, "best", &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "name the variants"));
    precision.text = NULL;
    hm_strings kept = {0};
    assert_int_equal(hm_precision_apply_list(&precision, &kept, "best", &err), HM_OK);
    assert_int_equal(kept.count, 0);
}

static void refuse(const char *text, const char *what, const char *near)
{
    hm_error err = {0};
    const char *variant = "best";
    precision = (hm_precision){.text = text};
    assert_int_equal(hm_precision_apply(&precision, &variant, &err), HM_EUSAGE);
    if (!strstr(err.text, what) || !strstr(err.text, near))
        fail_msg("%s: %s", text, err.text);
}

static void unknown_parts_and_formats_are_named_with_what_there_is(void **state)
{
    (void)state;
    refuse("backbon=int8", "no part \"backbon\"", "did you mean \"backbone\"");
    refuse("lm=int9", "no format \"int9\"", "stored, f32, bf16, f16, int8, int4, fp4, fp8");
    refuse("int9", "no format \"int9\"", "int8");
    refuse("", "no format \"\"", "one of");
    refuse("lm=int8,", "no format \"\"", "one of");
    refuse("lm=", "no format \"\"", "one of");
    refuse("=int8", "no part \"\"", "backbone, decoder, heads, dit, codec, lm, all");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_precision_is_settings_behind_the_variant),
        cmocka_unit_test(every_part_and_format_is_a_value_of_a_toggle),
        cmocka_unit_test(lists_of_variants_get_it_one_by_one),
        cmocka_unit_test(unknown_parts_and_formats_are_named_with_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
