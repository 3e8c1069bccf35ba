/* What is run to tell the worth of toggles, and what is made of the times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/ablate.h"

static hm_toggles set_of(const char *text)
{
    hm_toggles set;
    hm_error err;
    if (hm_variant_parse(text, &set, NULL, &err))
        fail_msg("%s", err.text);
    return set;
}

static const hm_ablate_step *step_of(const hm_ablate_step *steps, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(steps[i].toggle->name, name))
            return &steps[i];
    fail_msg("no step for %s", name);
    return NULL;
}

static void assert_set(const hm_toggles *set, const char *text)
{
    hm_toggles expected = set_of(text);
    char found[HM_VARIANT_SPEC];
    hm_toggles_print(set, found, sizeof found);
    if (memcmp(set, &expected, sizeof expected))
        fail_msg("expected %s, found %s", text, found);
}

static void a_toggle_is_put_on_alone_and_left_out(void **state)
{
    (void)state;
    hm_ablate_step steps[HM_ABLATE_STEPS];
    hm_error err;
    int count;
    hm_toggles base = set_of("naive"), whole = set_of("naive:kv=prealloc,gqa=direct");
    assert_int_equal(hm_ablate_plan(&base, &whole, NULL, steps, &count, &err), HM_OK);
    assert_int_equal(count, 2);
    const hm_ablate_step *kv = step_of(steps, count, "kv");
    assert_set(&kv->before, "naive");
    assert_set(&kv->alone, "naive:kv=prealloc");
    assert_set(&kv->left_out, "naive:gqa=direct");
}

static void the_least_that_a_toggle_requires_goes_with_it(void **state)
{
    (void)state;
    hm_ablate_step steps[HM_ABLATE_STEPS];
    hm_error err;
    int count;
    hm_toggles base = set_of("naive"), whole = set_of("best");
    assert_int_equal(hm_ablate_plan(&base, &whole, NULL, steps, &count, &err), HM_OK);
    const hm_ablate_step *attn = step_of(steps, count, "attn"), *sampling = step_of(steps, count, "sampling");
    assert_set(&attn->before, "naive:mask=none");
    assert_set(&attn->alone, "naive:mask=none,attn=flash");
    assert_set(&sampling->before, "naive");
    assert_set(&sampling->left_out, "best:sampling=passes,codes=each,token_forward=host");
    for (int i = 0; i < count; i++) {
        assert_int_equal(hm_toggles_check(&steps[i].before, &err), HM_OK);
        assert_int_equal(hm_toggles_check(&steps[i].alone, &err), HM_OK);
        assert_int_equal(hm_toggles_check(&steps[i].left_out, &err), HM_OK);
    }
}

static void what_cannot_be_taken_apart_is_refused(void **state)
{
    (void)state;
    hm_ablate_step steps[HM_ABLATE_STEPS];
    hm_error err;
    int count;
    hm_toggles base = set_of("naive"), whole = set_of("naive:kv=prealloc");
    hm_strings unknown = {.items = {"kw"}, .count = 1}, equal = {.items = {"gqa"}, .count = 1};
    assert_int_equal(hm_ablate_plan(&base, &base, NULL, steps, &count, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "same program"));
    assert_int_equal(hm_ablate_plan(&base, &whole, &unknown, steps, &count, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "did you mean \"kv\""));
    assert_int_equal(hm_ablate_plan(&base, &whole, &equal, steps, &count, &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "gqa"));
}

static void sets_are_written_as_variants_of_the_runtime_build(void **state)
{
    (void)state;
    hm_ablate_step steps[HM_ABLATE_STEPS];
    hm_strings variants;
    hm_error err;
    char *buffer;
    int count;
    hm_toggles base = set_of("naive"), whole = set_of("best");
    hm_strings only = {.items = {"kv"}, .count = 1};
    assert_int_equal(hm_ablate_plan(&base, &whole, &only, steps, &count, &err), HM_OK);
    assert_int_equal(hm_ablate_variants("naive", "best", steps, count, &buffer, &variants, &err), HM_OK);
    assert_int_equal(variants.count, 5);
    const char *const expected[] = {"naive:", "best:", "naive:", "naive:kv=prealloc", "best:kv=concat"};
    for (int i = 0; i < 5; i++) {
        const hm_variant_info *fixed;
        hm_toggles set;
        assert_string_equal(variants.items[i], expected[i]);
        assert_int_equal(hm_variant_parse(variants.items[i], &set, &fixed, &err), HM_OK);
        assert_null(fixed);
    }
    free(buffer);
}

/* --- judging: kv saves 20 % of any time, gqa 10 ms of what is left --- */

enum {
    ROUNDS = 7
};

typedef struct planted {
    hm_series series[8];
    double values[8][ROUNDS];
    char toggles[8][1200];
    int count;
} planted;

static void plant(planted *p, const char *spec, double ms)
{
    int n;
    const hm_toggle_info *list = hm_toggle_list(&n);
    hm_toggles set = set_of(spec);
    hm_series *s = &p->series[p->count];
    char *text = p->toggles[p->count];
    text[0] = 0;
    for (int i = 0; i < n; i++) {
        char value[64];
        hm_toggle_value_name(&list[i], hm_toggle_get(&set, &list[i]), value, sizeof value);
        sprintf(text + strlen(text), "%s%s=%s", i ? "," : "", list[i].name, value);
    }
    *s = (hm_series){
        .label = "short/plain", .arm = spec, .model = "/m/mini", .arm_position = p->count, .toggles = text, .value = p->values[p->count]};
    for (int r = 0; r < ROUNDS; r++)
        s->value[r] = ms * (1 + 0.03 * r); /* a drift that all arms share */
    p->count++;
}

static void plant_all(planted *p)
{
    *p = (planted){0};
    plant(p, "naive", 100);
    plant(p, "naive:kv=prealloc,gqa=direct", 70);
    plant(p, "naive:kv=prealloc", 80);
    plant(p, "naive:gqa=direct", 90);
}

static void worths_are_ratios_of_paired_rounds(void **state)
{
    (void)state;
    planted p;
    hm_ablations a;
    hm_error err;
    plant_all(&p);
    hm_series_set set = {.items = p.series, .count = p.count, .rounds = ROUNDS, .direction = 1};
    assert_int_equal(hm_ablate_judge(&set, NULL, &a, &err), HM_OK);
    assert_int_equal(a.count, 1);
    const hm_ablation *k = &a.items[0];
    assert_int_equal(k->count, 2);
    assert_string_equal(k->rows[0].toggle, "kv"); /* 90 / 70 is more than 80 / 70 */
    assert_float_equal(k->rows[0].left_out.ratio, 90.0 / 70, 1e-9);
    assert_float_equal(k->rows[0].alone.ratio, 100.0 / 80, 1e-9);
    assert_float_equal(k->rows[1].left_out.ratio, 80.0 / 70, 1e-9);
    assert_float_equal(k->rows[1].alone.ratio, 100.0 / 90, 1e-9);
    assert_float_equal(k->rows[0].alone.low, 100.0 / 80, 1e-9);
    assert_float_equal(k->total.ratio, 100.0 / 70, 1e-9);
    assert_float_equal(k->product.ratio, 100.0 / 80 * 100 / 90, 1e-9);
    assert_float_equal(k->interaction.ratio, 100.0 / 70 / (100.0 / 80 * 100 / 90), 1e-9);
    assert_int_equal(k->total.n, ROUNDS);
    hm_ablations_free(&a);
}

static void what_was_not_measured_has_no_worth(void **state)
{
    (void)state;
    planted p;
    hm_ablations a;
    hm_error err;
    plant_all(&p);
    hm_series_set set = {.items = p.series, .count = 3, .rounds = ROUNDS, .direction = 1}; /* gqa alone never ran */
    for (int r = 2; r < ROUNDS; r++)
        p.values[2][r] = NAN;
    assert_int_equal(hm_ablate_judge(&set, NULL, &a, &err), HM_OK);
    const hm_ablation *k = &a.items[0];
    for (int i = 0; i < k->count; i++)
        if (!strcmp(k->rows[i].toggle, "gqa")) {
            assert_int_equal(k->rows[i].alone.n, 0);
            assert_true(isnan(k->rows[i].alone.ratio));
            assert_int_equal(k->rows[i].left_out.n, 2); /* too few for an interval */
            assert_true(isnan(k->rows[i].left_out.low));
        }
    assert_int_equal(k->interaction.n, 0);
    assert_true(isnan(k->interaction.ratio));
    hm_ablations_free(&a);
}

static void a_part_of_the_toggles_has_no_interaction(void **state)
{
    (void)state;
    planted p;
    hm_ablations a;
    hm_error err;
    hm_strings only = {.items = {"kv"}, .count = 1};
    plant_all(&p);
    hm_series_set set = {.items = p.series, .count = p.count, .rounds = ROUNDS, .direction = 1};
    assert_int_equal(hm_ablate_judge(&set, &only, &a, &err), HM_OK);
    assert_true(a.items[0].part);
    assert_float_equal(a.items[0].total.ratio, 100.0 / 70, 1e-9); /* with gqa, which was not asked for */
    assert_int_equal(a.items[0].interaction.n, 0);
    hm_ablations_free(&a);
}

static void bad_output_has_no_worth(void **state)
{
    (void)state;
    planted p;
    hm_ablations a;
    hm_error err;
    plant_all(&p);
    p.series[2].unhealthy = true; /* kv alone */
    p.series[2].health_reasons = "half of it is silence";
    hm_series_set set = {.items = p.series, .count = p.count, .rounds = ROUNDS, .direction = 1};
    assert_int_equal(hm_ablate_judge(&set, NULL, &a, &err), HM_OK);
    for (int i = 0; i < a.items[0].count; i++) {
        const hm_ablation_row *r = &a.items[0].rows[i];
        bool kv = !strcmp(r->toggle, "kv");
        assert_int_equal(r->alone.n, kv ? 0 : ROUNDS);
        assert_int_equal(r->left_out.n, kv ? ROUNDS : 0); /* the whole without gqa is kv alone */
    }
    assert_non_null(strstr(a.items[0].unhealthy, "half of it is silence"));
    hm_ablations_free(&a);
}

static void other_programs_are_not_taken_apart(void **state)
{
    (void)state;
    planted p;
    hm_ablations a;
    hm_error err;
    plant_all(&p);
    p.series[1].toggles = NULL;
    hm_series_set set = {.items = p.series, .count = p.count, .rounds = ROUNDS, .direction = 1};
    assert_int_equal(hm_ablate_judge(&set, NULL, &a, &err), HM_EFORMAT);
    assert_null(a.items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_toggle_is_put_on_alone_and_left_out),    cmocka_unit_test(the_least_that_a_toggle_requires_goes_with_it),
        cmocka_unit_test(what_cannot_be_taken_apart_is_refused),    cmocka_unit_test(sets_are_written_as_variants_of_the_runtime_build),
        cmocka_unit_test(worths_are_ratios_of_paired_rounds),       cmocka_unit_test(what_was_not_measured_has_no_worth),
        cmocka_unit_test(a_part_of_the_toggles_has_no_interaction), cmocka_unit_test(bad_output_has_no_worth),
        cmocka_unit_test(other_programs_are_not_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
