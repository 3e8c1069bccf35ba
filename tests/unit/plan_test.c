/* From the words of the command line to cases and arms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/plan.h"

static hm_plan *make(const char *variants, const char *threads, const char *filter)
{
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_plan_options o = {.suites = {{"short"}, 1}, .threads = threads, .filter = filter, .backend = "cpu"};
    if (variants)
        o.variants = (hm_strings){{variants}, 1};
    if (hm_plan_make(&plan, &o, &err))
        fail_msg("%s", err.text);
    return plan;
}

static hm_status refuse(hm_plan_options o, const char *wanted)
{
    hm_error err = {0};
    hm_plan *plan = NULL;
    hm_status st = hm_plan_make(&plan, &o, &err);
    if (!st || !strstr(err.text, wanted))
        fail_msg("expected \"%s\", got %d: %s", wanted, (int)st, err.text);
    assert_null(plan);
    return st;
}

static void commas_separate_variants_and_settings_as_people_mean_them(void **state)
{
    (void)state;
    static const struct {
        const char *list, *parts[4];
    } cases[] = {{"naive", {"naive"}},
                 {"naive,best", {"naive", "best"}},
                 {"best:attn=scores,kv=concat,naive", {"best:attn=scores,kv=concat", "naive"}},
                 {"naive,best:kv=concat,custom:kv=prealloc,mask=none", {"naive", "best:kv=concat", "custom:kv=prealloc,mask=none"}},
                 {"all", {"all"}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_error err = {0};
        hm_strings parts;
        char *buffer;
        assert_int_equal(hm_plan_split(cases[i].list, &buffer, &parts, &err), HM_OK);
        int n = 0;
        for (; n < 4 && cases[i].parts[n]; n++)
            assert_string_equal(parts.items[n], cases[i].parts[n]);
        assert_int_equal(parts.count, n);
        free(buffer);
    }
    static const char *const wrong[] = {"kv=concat", "naive,kv=concat", "naive,,best", "", "naive,"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hm_error err = {0};
        hm_strings parts;
        char *buffer;
        assert_int_equal(hm_plan_split(wrong[i], &buffer, &parts, &err), HM_EUSAGE);
        assert_null(buffer);
    }
}

static void the_default_is_naive_against_best(void **state)
{
    (void)state;
    hm_plan *plan = make(NULL, NULL, NULL);
    assert_int_equal(plan->case_count, 2);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_string_equal(plan->arms[1].name, "best");
    assert_string_not_equal(plan->arms[0].toggles_text, plan->arms[1].toggles_text);
    assert_string_not_equal(plan->cases[0].id, plan->cases[1].id);
    assert_string_not_equal(plan->cases[0].request_hash, plan->cases[1].request_hash);
    hm_plan_close(&plan);
}

static void programs_that_coincide_are_run_once(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,custom,naive:kv=concat,best", NULL, NULL);
    assert_int_equal(plan->arm_count, 2);
    assert_string_equal(plan->arms[0].name, "naive");
    assert_string_equal(plan->arms[0].coincides, "custom, naive:kv=concat");
    hm_plan_close(&plan);
    int count, distinct = 0;
    const hm_variant_info *all = hm_variant_list(&count);
    for (int i = 0; i < count; i++) {
        bool first = true;
        for (int k = 0; k < i; k++)
            first = first && memcmp(&all[i].toggles, &all[k].toggles, sizeof all[i].toggles);
        distinct += first;
    }
    plan = make("all", NULL, NULL);
    assert_int_equal(plan->arm_count, distinct);
    hm_plan_close(&plan);
}

static void axes_multiply_and_name_the_arms(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,best", "1,2", "plain$");
    assert_int_equal(plan->case_count, 1);
    assert_int_equal(plan->arm_count, 4);
    assert_string_equal(plan->arms[0].name, "naive threads=1");
    assert_string_equal(plan->arms[3].name, "best threads=2");
    assert_int_equal(plan->arms[3].threads, 2);
    assert_true(hm_plan_same_output(&plan->arms[0], &plan->arms[1]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[2]));
    hm_plan_close(&plan);
}

static void only_bitwise_differences_demand_equal_output(void **state)
{
    (void)state;
    hm_plan *plan = make("naive,alone-kv,alone-rows,alone-sampling,short-codec", NULL, NULL);
    assert_true(hm_plan_same_output(&plan->arms[0], &plan->arms[1]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[2]));
    assert_true(hm_plan_same_output(&plan->arms[1], &plan->arms[3]));
    assert_false(hm_plan_same_output(&plan->arms[0], &plan->arms[4]));
    hm_plan_close(&plan);
}

static void the_same_words_make_the_same_plan(void **state)
{
    (void)state;
    hm_plan *a = make("naive,best", "1", NULL), *b = make("naive,best", "1", NULL), *c = make("naive,best", "2", NULL);
    json_t *ja = hm_plan_json(a), *jb = hm_plan_json(b), *jc = hm_plan_json(c);
    assert_true(json_equal(ja, jb));
    assert_false(json_equal(ja, jc));
    json_decref(ja);
    json_decref(jb);
    json_decref(jc);
    hm_plan_close(&a);
    hm_plan_close(&b);
    hm_plan_close(&c);
}

static void wrong_words_are_refused_with_the_option(void **state)
{
    (void)state;
    hm_plan_options o = {.suites = {{"short"}, 1}};
#define WITH(field, value) (o = (hm_plan_options){.suites = {{"short"}, 1}}, o.field = value, o)
#define LIST(text) ((hm_strings){{text}, 1})
    assert_int_equal(refuse((hm_plan_options){.backend = "cpu"}, "no suite"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(filter, "nothing"), "matches none of 2"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(filter, "("), "--filter"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(threads, "1,x"), "--threads"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(threads, "1,"), "--threads"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(isa, "mmx"), "--isa"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("bset")), "best"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("none")), "no arms"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(variants, LIST("custom:attn=flash")), "needs"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(commands, LIST("nameless")), "NAME=COMMAND"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(commands, LIST("naive=true")), "two arms"), HM_EUSAGE);
    assert_int_equal(refuse(WITH(suites, LIST("shrt")), "short"), HM_EMISSING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(commas_separate_variants_and_settings_as_people_mean_them),
                                       cmocka_unit_test(the_default_is_naive_against_best),
                                       cmocka_unit_test(programs_that_coincide_are_run_once),
                                       cmocka_unit_test(axes_multiply_and_name_the_arms),
                                       cmocka_unit_test(only_bitwise_differences_demand_equal_output),
                                       cmocka_unit_test(the_same_words_make_the_same_plan),
                                       cmocka_unit_test(wrong_words_are_refused_with_the_option)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
