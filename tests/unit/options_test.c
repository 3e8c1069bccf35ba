#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/command.h"

typedef struct values {
    bool loud, on;
    int64_t count, seconds;
    double ratio;
    const char *name, *shade;
    hm_strings list, places;
    bool helped;
    hm_error err;
} values;

static const char *const shades[] = {"light", "dark", NULL};
static const hm_command command = {"paint", NULL, "paints", "paint PLACE [options]", "hmbench paint wall"};

/* Arguments after the command's name, NULL-terminated. */
static hm_status parse(values *v, const char *const *args)
{
    char *argv[32] = {(char *)"paint"};
    int argc = 1;
    memset(v, 0, sizeof *v);
    v->on = true;
    v->count = 7;
    v->ratio = 0.5;
    v->seconds = 90;
    v->shade = "light";
    for (; args[argc - 1]; argc++)
        argv[argc] = (char *)args[argc - 1];
    const hm_option options[] = {
        {"loud", 'l', HM_OPT_FLAG, &v->loud, NULL, "shout", 0, 0, NULL},
        {"on", 0, HM_OPT_FLAG, &v->on, NULL, "switched on", 0, 0, NULL},
        {"count", 'n', HM_OPT_INT, &v->count, "N", "how many", 1, 10, NULL},
        {"ratio", 'r', HM_OPT_DOUBLE, &v->ratio, "X", "how much", 0, 1, NULL},
        {"name", 0, HM_OPT_STRING, &v->name, "TEXT", "whose", 0, 0, NULL},
        {"shade", 0, HM_OPT_STRING, &v->shade, "NAME", "how dark", 0, 0, shades},
        {"axis", 'a', HM_OPT_LIST, &v->list, "AXIS", "axes", 0, 0, NULL},
        {"time", 0, HM_OPT_DURATION, &v->seconds, "TIME", "how long", 0, HM_OPTION_NO_MAX, NULL},
        {0},
    };
    return hm_options_parse(&command, options, argc, argv, &v->places, 2, &v->helped, &v->err);
}

#define PARSE(v, ...) parse(v, (const char *const[]){__VA_ARGS__, NULL})

static void defaults_stay_when_nothing_is_given(void **state)
{
    values v;
    (void)state;
    assert_int_equal(parse(&v, (const char *const[]){NULL}), HM_OK);
    assert_true(v.on && !v.loud && !v.helped && v.count == 7 && v.seconds == 90 && !v.name && v.places.count == 0);
}

static void every_way_of_writing_an_option_works(void **state)
{
    values v;
    (void)state;
    assert_int_equal(PARSE(&v, "--loud", "--no-on", "--count=3", "-r", "0.25", "--name", "-x", "wall", "-aA=1", "--axis", "B,C", "door"),
                     HM_OK);
    assert_true(v.loud && !v.on);
    assert_int_equal(v.count, 3);
    assert_true(v.ratio == 0.25);
    assert_string_equal(v.name, "-x");
    assert_int_equal(v.list.count, 2);
    assert_string_equal(v.list.items[0], "A=1");
    assert_string_equal(v.list.items[1], "B,C");
    assert_int_equal(v.places.count, 2);
    assert_string_equal(v.places.items[1], "door");
}

static void two_dashes_end_the_options(void **state)
{
    values v;
    (void)state;
    assert_int_equal(PARSE(&v, "--", "--loud", "-n"), HM_OK);
    assert_false(v.loud);
    assert_int_equal(v.places.count, 2);
    assert_string_equal(v.places.items[0], "--loud");
}

static void a_single_dash_is_an_argument(void **state)
{
    values v;
    (void)state;
    assert_int_equal(PARSE(&v, "-"), HM_OK);
    assert_string_equal(v.places.items[0], "-");
}

static void durations_take_units_and_reject_rubbish(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"90", 90}, {"90s", 90}, {"30m", 1800}, {"2h", 7200}, {"1h30m", 5400}, {"0", 0}};
    static const char *const bad[] = {"", "m", "1x", "1.5h", "-3s", "30m5", "99999999999", "1h "};
    values v;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(PARSE(&v, "--time", good[i].text), HM_OK);
        assert_int_equal(v.seconds, good[i].seconds);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(PARSE(&v, "--time", bad[i]), HM_EUSAGE);
}

static void numbers_are_checked_whole(void **state)
{
    values v;
    (void)state;
    assert_int_equal(PARSE(&v, "--count", "11"), HM_EUSAGE);
    assert_non_null(strstr(v.err.text, "1 to 10"));
    assert_int_equal(v.count, 7);
    assert_int_equal(PARSE(&v, "--count", "3x"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--count", ""), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--count", "99999999999999999999"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--ratio", "nan"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--ratio", "inf"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--ratio", "0.5,"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--ratio", "1.01"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--ratio", "1e0"), HM_OK);
}

static void mistakes_are_told_with_the_nearest_name(void **state)
{
    values v;
    (void)state;
    assert_int_equal(PARSE(&v, "--cuont", "3"), HM_EUSAGE);
    assert_non_null(strstr(v.err.text, "did you mean --count"));
    assert_int_equal(PARSE(&v, "--shade", "drak"), HM_EUSAGE);
    assert_non_null(strstr(v.err.text, "did you mean \"dark\""));
    assert_int_equal(PARSE(&v, "--quux"), HM_EUSAGE);
    assert_null(strstr(v.err.text, "did you mean"));
    assert_int_equal(PARSE(&v, "-z"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--no-count"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--loud=yes"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "--name"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "-n"), HM_EUSAGE);
    assert_int_equal(PARSE(&v, "a", "b", "c"), HM_EUSAGE);
    assert_non_null(strstr(v.err.text, "\"c\""));
}

static void more_values_than_fit_are_refused(void **state)
{
    static const char *args[600];
    values v;
    (void)state;
    char *argv[602] = {(char *)"paint"};
    for (int i = 0; i < 600; i += 2) {
        args[i] = "-a";
        args[i + 1] = "x";
    }
    for (int i = 0; i < 600; i++)
        argv[i + 1] = (char *)args[i];
    memset(&v, 0, sizeof v);
    const hm_option options[] = {{"axis", 'a', HM_OPT_LIST, &v.list, "AXIS", "axes", 0, 0, NULL}, {0}};
    assert_int_equal(hm_options_parse(&command, options, 601, argv, NULL, 0, &v.helped, &v.err), HM_EUSAGE);
    assert_int_equal(v.list.count, 256);
}

static void the_nearest_name_is_near(void **state)
{
    static const char *const names[] = {"generate", "list", "completion", NULL};
    char longest[200];
    (void)state;
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_string_equal(hm_nearest("genrate", names), "generate");
    assert_string_equal(hm_nearest("gen", names), "generate");
    assert_string_equal(hm_nearest("lits", names), "list");
    assert_null(hm_nearest("banana", names));
    assert_null(hm_nearest("", names));
    assert_null(hm_nearest(longest, names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_stay_when_nothing_is_given),
        cmocka_unit_test(every_way_of_writing_an_option_works),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_single_dash_is_an_argument),
        cmocka_unit_test(durations_take_units_and_reject_rubbish),
        cmocka_unit_test(numbers_are_checked_whole),
        cmocka_unit_test(mistakes_are_told_with_the_nearest_name),
        cmocka_unit_test(more_values_than_fit_are_refused),
        cmocka_unit_test(the_nearest_name_is_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
