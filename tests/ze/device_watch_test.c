/* A GPU is watched while something runs on it: readings in order, what of them goes into a sample, and why some does not. */
#define _GNU_SOURCE
#include "tests/soft_case.h"

#include "harness/device_watch.h"

static soft_library soft;

static hm_device_watch *opened(const char *settings, const char *backend, const char *device)
{
    hm_device_watch *w = NULL;
    hm_error err = {0};
    soft_settings(&soft, settings);
    if (hm_device_watch_open(&w, backend, device, &err))
        fail_msg("%s", err.text);
    return w;
}

/* Fills memory of the device for a while. */
static void use_device(size_t bytes)
{
    hm_gpu *gpu = NULL;
    void *p;
    hm_error err = {0};
    if (hm_ze_driver.open(&gpu, &(hm_gpu_options){0}, &err) || hm_ze_driver.alloc(gpu, &p, bytes, HM_GPU_DEVICE, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 20; i++)
        if (hm_ze_driver.fill(gpu, p, 0, bytes, 0, &err) || hm_ze_driver.wait(gpu, &err))
            fail_msg("%s", err.text);
    usleep(3 * HM_DEVICE_WATCH_NS / 1000);
    hm_ze_driver.free(gpu, p);
    hm_ze_driver.close(&gpu);
}

static void a_sample_gets_what_the_device_told_meanwhile(void **state)
{
    (void)state;
    hm_device_watch *w = opened("HM_SOFT_MEMORY_MB=64", "ze", NULL);
    hm_sample s;
    int count;
    assert_non_null(w);
    hm_sample_init(&s);
    hm_device_watch_start(w);
    use_device((size_t)16 << 20);
    hm_device_watch_stop(w);
    hm_device_watch_fill(w, &s);
    const hm_device_reading *r = hm_device_watch_readings(w, &count);
    assert_true(count >= 3);
    for (int i = 1; i < count; i++)
        assert_true(r[i].at_ns > r[i - 1].at_ns);
    assert_true(s.device_used_bytes >= (int64_t)16 << 20);
    assert_true(s.device_energy_uj >= 0);
    assert_true(isfinite(s.device_power_w) && isfinite(s.device_clock_mhz) && isfinite(s.device_temperature_c));
    assert_true(s.device_busy_share > 0 && s.device_busy_share <= 1.001);
    assert_string_equal(s.device_note, "");
    hm_device_watch_start(w); /* forgets the readings before */
    hm_device_watch_stop(w);
    hm_device_watch_readings(w, &count);
    assert_in_range(count, 1, 2);
    hm_device_watch_close(&w);
    soft_clean(&soft);
}

static void what_is_not_told_is_unknown_with_its_reason(void **state)
{
    (void)state;
    hm_device_watch *w = opened("HM_SOFT_SYSMAN=none", "ze", NULL);
    hm_sample s;
    hm_sample_init(&s);
    hm_device_watch_start(w);
    hm_device_watch_stop(w);
    hm_device_watch_fill(w, &s);
    assert_int_equal(s.device_used_bytes, HM_UNKNOWN);
    assert_int_equal(s.device_energy_uj, HM_UNKNOWN);
    assert_true(isnan(s.device_power_w) && isnan(s.device_busy_share) && isnan(s.device_clock_mhz) && isnan(s.device_temperature_c));
    assert_non_null(strstr(s.device_note, "memory_used_bytes"));
    hm_device_watch_close(&w);
    w = opened("", "ze", "7"); /* there is none */
    hm_device_watch_start(w);
    hm_device_watch_stop(w);
    hm_device_watch_fill(w, &s);
    assert_int_equal(s.device_used_bytes, HM_UNKNOWN);
    assert_true(s.device_note[0]);
    hm_device_watch_close(&w);
    soft_clean(&soft);
}

static void other_backends_are_not_watched(void **state)
{
    (void)state;
    hm_device_watch *w = opened("", "cpu", NULL);
    int count;
    assert_null(w);
    hm_device_watch_start(w);
    hm_device_watch_stop(w);
    hm_device_watch_fill(w, NULL);
    assert_null(hm_device_watch_readings(w, &count));
    assert_int_equal(count, 0);
    hm_device_watch_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_gets_what_the_device_told_meanwhile),
        cmocka_unit_test(what_is_not_told_is_unknown_with_its_reason),
        cmocka_unit_test(other_backends_are_not_watched),
    };
    if (!soft_there())
        return 77;
    soft_load(&soft, "");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
