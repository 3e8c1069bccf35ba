/* Environments of worker processes: what a profile sets, what is recorded, and that its process gets it. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/env_profile.h"

static void every_variable_belongs_to_a_profile_and_has_a_source(void **state)
{
    (void)state;
    hm_error err = {0};
    for (const hm_env_variable *v = hm_env_variables; v->name; v++) {
        assert_int_equal(hm_env_profile_check(v->profile, &err), HM_OK);
        assert_true(strlen(v->value) > 0 && strlen(v->reader) > 5 && strlen(v->source) > 5);
    }
    for (int i = 0; hm_env_profiles[i]; i++)
        assert_true(strlen(hm_env_profile_text(hm_env_profiles[i])) > 5);
}

static void the_launcher_of_the_fork_is_one_of_them(void **state)
{
    (void)state;
    const char *words[HM_ENV_MOST + 1];
    char room[HM_ENV_TEXT];
    assert_int_equal(hm_env_profile_words("xpu-launcher", words, room), 6);
    assert_string_equal(words[0], "SYCL_PI_LEVEL_ZERO_USE_IMMEDIATE_COMMANDLISTS=1");
    assert_string_equal(words[4], "OMP_NUM_THREADS=8");
    assert_null(words[6]);
}

static void no_profile_sets_nothing(void **state)
{
    (void)state;
    const char *words[HM_ENV_MOST + 1] = {"x"};
    char room[HM_ENV_TEXT];
    hm_error err = {0};
    assert_int_equal(hm_env_profile_words(NULL, words, room), 0);
    assert_null(words[0]);
    assert_int_equal(hm_env_profile_words("none", words, room), 0);
    assert_int_equal(hm_env_profile_check(NULL, &err), HM_OK);
    assert_int_equal(hm_env_profile_check("", &err), HM_OK);
    assert_int_equal(hm_env_profile_check("validat", &err), HM_EUSAGE);
    assert_non_null(strstr(err.text, "did you mean \"validate\""));
}

static void what_is_recorded_is_what_the_process_finds(void **state)
{
    (void)state;
    char text[HM_ENV_TEXT], small[24];
    clearenv(); /* whatever the test was started with */
    assert_string_equal(hm_env_text(NULL, text, sizeof text), "");
    setenv("ZE_FLAT_DEVICE_HIERARCHY", "COMPOSITE", 1);
    setenv("ZE_AFFINITY_MASK", "0 1", 1);
    assert_string_equal(hm_env_text("none", text, sizeof text), "ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE ZE_AFFINITY_MASK=0_1");
    assert_string_equal(hm_env_text("level-zero", text, sizeof text),
                        "ZE_FLAT_DEVICE_HIERARCHY=FLAT ZE_ENABLE_PCI_ID_DEVICE_ORDER=1 NEO_CACHE_PERSISTENT=1 ZE_AFFINITY_MASK=0_1");
    hm_env_text("level-zero", small, sizeof small); /* cut, and ended */
    assert_true(strlen(small) < sizeof small);
    unsetenv("ZE_FLAT_DEVICE_HIERARCHY");
    unsetenv("ZE_AFFINITY_MASK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variable_belongs_to_a_profile_and_has_a_source),
        cmocka_unit_test(the_launcher_of_the_fork_is_one_of_them),
        cmocka_unit_test(no_profile_sets_nothing),
        cmocka_unit_test(what_is_recorded_is_what_the_process_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
