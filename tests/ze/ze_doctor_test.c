/* The doctor on the software device: it computes, and what fails is missing with the sentence of the driver. */
#define _GNU_SOURCE
#include "tests/soft_case.h"

#include "harness/doctor.h"

static soft_library soft;

static const hm_finding *found(const char *settings, hm_doctor *d)
{
    soft_settings(&soft, settings);
    *d = (hm_doctor){0};
    hm_doctor_gpus(d, "/");
    const hm_finding *f = hm_doctor_find(d, "ze 0");
    assert_non_null(f);
    return f;
}

static void a_device_that_computes_is_told_with_what_it_is(void **state)
{
    (void)state;
    static hm_doctor d;
    const hm_finding *f = found("HM_SOFT_DEFER=1", &d);
    if (f->state != HM_NOTE || !strstr(f->value, "computes") || !strstr(f->value, "software device") || !strstr(f->advice, "not ranked"))
        fail_msg("%d: %s -> %s", (int)f->state, f->value, f->advice);
    assert_false(d.missing);
}

static void a_device_that_fails_is_missing(void **state)
{
    (void)state;
    static hm_doctor d;
    const hm_finding *f = found("HM_SOFT_FAIL=zeKernelCreate:1", &d);
    if (f->state != HM_MISSING || !strstr(f->value, "zeKernelCreate"))
        fail_msg("%d: %s", (int)f->state, f->value);
    assert_true(d.missing);
}

int main(void)
{
    if (!soft_there())
        return 77;
    setenv("HMBENCH_CACHE", "/tmp/hmbench-doctor-cache", 1);
    soft_load(&soft, "");
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_device_that_computes_is_told_with_what_it_is),
                                       cmocka_unit_test(a_device_that_fails_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
