/* Suite files: the shipped ones load, wrong ones are refused in one clear sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "suites/suite.h"
#include "tests/mutate.h"

static void the_shipped_suites_load_and_have_both_kinds_of_case(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int frames;
    } shipped[] = {{"short", 125}, {"medium", 375}, {"long", 750}, {"song", 2250}};
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; i++) {
        hm_error err = {0};
        hm_suite *suite = NULL;
        if (hm_suite_open(&suite, shipped[i].name, &err))
            fail_msg("%s", err.text);
        assert_string_equal(suite->name, shipped[i].name);
        assert_int_equal(suite->case_count, 2);
        for (int k = 0; k < 2; k++) {
            const hm_suite_case *c = &suite->cases[k];
            assert_int_equal(c->frames, shipped[i].frames);
            assert_true(c->cfg_scale == 1.5 && c->topk == 50 && c->temperature == 1 && c->flow_guidance == 1.25 && c->flow_steps == 0);
            assert_non_null(strstr(c->lyrics, "[Verse]\n"));
            assert_non_null(strstr(c->lyrics, "[Chorus]\n"));
            assert_string_equal(c->task, "music");
        }
        assert_string_equal(suite->cases[0].name, "plain");
        assert_string_equal(suite->cases[1].name, "section-styles");
        assert_true(suite->cases[1].intro_style && suite->cases[1].verse_style && suite->cases[1].chorus_style);
        assert_true(suite->cases[0].seed != suite->cases[1].seed);
        assert_int_equal(strlen(suite->hash), 32);
        hm_suite_close(&suite);
        assert_null(suite);
    }
}

static void count_name(void *self, const char *name)
{
    *(int *)self += !strcmp(name, "short") || !strcmp(name, "song");
}

static void suites_are_listed_by_name(void **state)
{
    (void)state;
    int found = 0;
    hm_error err = {0};
    assert_int_equal(hm_suite_each_name(count_name, &found, &err), HM_OK);
    assert_int_equal(found, 2);
}

#define HEAD "suite: s\ncases:\n  - name: a\n    tags: pop\n    lyrics: la\n"

static hm_status parse(const char *text, hm_error *err)
{
    hm_suite *suite = NULL;
    *err = (hm_error){0};
    hm_status st = hm_suite_parse(&suite, text, strlen(text), "test.yaml", err);
    assert_true(!st == !!suite);
    hm_suite_close(&suite);
    return st;
}

static void wrong_files_are_refused_with_the_place_and_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } wrong[] = {
        {"", "empty"},
        {"suite: s\n", "cases"},
        {HEAD "    seconds: 10\n    sedonds: 3\n", "line 7"},
        {HEAD "    seconds: 10\n    sedonds: 3\n", "column 5: Invalid key: Unexpected key: sedonds"},
        {HEAD, "seconds"},
        {HEAD "    seconds: 10\n    frames: 3\n", "one of"},
        {HEAD "    seconds: -1\n", "0.08 to 3600"},
        {HEAD "    seconds: nan\n", "seconds"},
        {HEAD "    frames: 0\n", "frames"},
        {HEAD "    frames: 99999999999999999999\n", "line 6"},
        {HEAD "    frames: ten\n", "line 6"},
        {HEAD "    frames: 3\n    topk: 0\n", "topk"},
        {HEAD "    frames: 3\n    temperature: 0\n", "temperature"},
        {HEAD "    frames: 3\n    cfg: -2\n", "cfg"},
        {HEAD "    frames: 3\n    flow_steps: 101\n", "flow_steps"},
        {HEAD "    frames: 3\n    task: speech\n", "task"},
        {HEAD "    frames: 3\n    styles: loud\n", "line 7"},
        {HEAD "    frames: 3\n    styles:\n      outro: loud\n", "outro"},
        {HEAD "    frames: 3\n  - name: a\n    tags: pop\n    lyrics: la\n    frames: 2\n", "two cases"},
        {"suite: s\ncases:\n  - name: ../x\n    tags: pop\n    lyrics: la\n    frames: 3\n", "name"},
        {"suite: s\ncases:\n  - name: a\n    tags: ''\n    lyrics: la\n    frames: 3\n", "tags"},
        {"suite: s\ncases:\n  - name: a\n    tags: pop\n    lyrics: \"  \"\n    frames: 3\n", "lyrics"},
        {"suite: s\ncases: []\n", "line 2"},
        {"suite: [s]\ncases: []\n", "line 1"},
        {"suite: s\ncases: &x [*x]\n", "suite test.yaml"},
        {"\xff\xfe\xfa", "suite test.yaml"},
        {"a: b: c: [", "suite test.yaml"},
    };
    hm_error err;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        if (parse(wrong[i].text, &err) != HM_EFORMAT || !strstr(err.text, wrong[i].wanted) || !hm_mutate_sentence_ok(err.status, &err))
            fail_msg("case %zu: expected \"%s\", got: %s", i, wrong[i].wanted, err.text);
    }
    assert_int_equal(parse(HEAD "    frames: 3\n    seed: 18446744073709551615\n", &err), HM_OK);
}

static void unknown_suites_name_those_that_exist(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_suite *suite = NULL;
    assert_int_equal(hm_suite_open(&suite, "shrot", &err), HM_EMISSING);
    assert_non_null(strstr(err.text, "short"));
    assert_int_equal(hm_suite_open(&suite, "./nothing/here.yaml", &err), HM_EMISSING);
    assert_int_equal(hm_suite_open(&suite, "/tmp/.yaml/", &err), HM_EMISSING);
    assert_null(suite);
}

static void a_deeply_nested_file_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 20000 };
    static char text[DEPTH + 64];
    hm_error err;
    int used = snprintf(text, sizeof text, "suite: s\ncases: ");
    memset(text + used, '[', DEPTH);
    assert_int_equal(parse(text, &err), HM_EFORMAT);
}

static void mutated_files_load_or_fail_in_one_sentence(void **state)
{
    (void)state;
    static const char text[] =
        "suite: s\ndescription: \"about\"\ncases:\n  - name: a\n    tags: \"pop, soft\"\n    seconds: 10\n    seed: 3\n"
        "    cfg: 1.5\n    topk: 50\n    temperature: 1.0\n    flow_steps: 10\n    styles: {intro: \"x\", verse: \"y\"}\n"
        "    lyrics: |\n      [Verse]\n      la la\n  - {name: b, tags: t, lyrics: l, frames: 12}\n";
    hm_mutator m;
    hm_mutator_open(&m, text, sizeof text - 1, 1);
    int good = 0, bad = 0;
    for (int i = 0; i < 4000; i++) {
        size_t size;
        const uint8_t *data = hm_mutate(&m, &size);
        hm_error err = {0};
        hm_suite *suite = NULL;
        hm_status st = hm_suite_parse(&suite, data, size, "mutated.yaml", &err);
        if (st && !hm_mutate_sentence_ok(st, &err))
            fail_msg("%s: %s", m.last, err.text);
        if (!st)
            for (int k = 0; k < suite->case_count; k++)
                assert_true(suite->cases[k].frames >= 1 && suite->cases[k].lyrics[0]);
        good += !st;
        bad += !!st;
        hm_suite_close(&suite);
    }
    hm_mutator_close(&m);
    assert_true(good > 100 && bad > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_shipped_suites_load_and_have_both_kinds_of_case),
                                       cmocka_unit_test(suites_are_listed_by_name),
                                       cmocka_unit_test(wrong_files_are_refused_with_the_place_and_the_key),
                                       cmocka_unit_test(unknown_suites_name_those_that_exist),
                                       cmocka_unit_test(a_deeply_nested_file_is_refused),
                                       cmocka_unit_test(mutated_files_load_or_fail_in_one_sentence)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
