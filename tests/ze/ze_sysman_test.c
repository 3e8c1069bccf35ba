/* What a GPU tells of itself (Sysman), on the software device: all of it, none of it, and each call failing. */
#define _GNU_SOURCE
#include "tests/soft_case.h"

#include "engine/base/time.h"
#include "engine/ze/ze_sysman.h"

static soft_library soft;

static hm_gpu_sensors *opened(const char *settings)
{
    hm_gpu_sensors *s = NULL;
    hm_error err = {0};
    soft_settings(&soft, settings);
    if (hm_ze_sensors.open(&s, NULL, &err))
        fail_msg("%s", err.text);
    return s;
}

/* Keeps the device busy for a while, with so much of its memory taken. */
static hm_gpu *busy(size_t bytes)
{
    hm_gpu *gpu = NULL;
    void *p;
    hm_error err = {0};
    if (hm_ze_driver.open(&gpu, &(hm_gpu_options){0}, &err) || hm_ze_driver.alloc(gpu, &p, bytes, HM_GPU_DEVICE, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 20; i++)
        if (hm_ze_driver.fill(gpu, p, 0, bytes, 0, &err))
            fail_msg("%s", err.text);
    if (hm_ze_driver.wait(gpu, &err))
        fail_msg("%s", err.text);
    return gpu;
}

static void every_quantity_is_told_and_follows_what_the_device_does(void **state)
{
    (void)state;
    hm_gpu_sensors *s = opened("HM_SOFT_MEMORY_MB=64");
    hm_gpu_reading before, after;
    int64_t begin = hm_now_ns();
    hm_ze_sensors.read(s, &before);
    assert_true(before.at_ns >= begin && before.at_ns <= hm_now_ns());
    for (int q = 0; q < HM_GPU_QUANTITIES; q++) { /* means over a time are there from the second reading on */
        bool mean = q == HM_GPU_power_w || q == HM_GPU_busy_share;
        if (q == HM_GPU_memory_clock_mhz)
            continue; /* which this device does not tell */
        assert_int_equal(before.of[q].there, !mean);
        if (mean)
            assert_non_null(strstr(before.of[q].why, "was not read before"));
    }
    hm_gpu *gpu = busy((size_t)16 << 20);
    hm_ze_sensors.read(s, &after);
    for (int q = 0; q < HM_GPU_QUANTITIES; q++)
        if (!after.of[q].there && q != HM_GPU_memory_clock_mhz)
            fail_msg("%s: %s", hm_gpu_quantity_name((hm_gpu_quantity)q), after.of[q].why);
    assert_true(before.of[HM_GPU_memory_used_bytes].value == 0);
    assert_true(after.of[HM_GPU_memory_used_bytes].value >= 16 << 20);
    assert_true(after.of[HM_GPU_memory_used_bytes].value + after.of[HM_GPU_memory_free_bytes].value == 64 << 20);
    double busy_us = after.of[HM_GPU_busy_us].value - before.of[HM_GPU_busy_us].value;
    assert_true(busy_us > 0 && busy_us <= (double)(after.at_ns - begin) / 1000);
    assert_true(after.of[HM_GPU_busy_share].value > 0 && after.of[HM_GPU_busy_share].value <= 1);
    assert_true(after.of[HM_GPU_energy_uj].value > before.of[HM_GPU_energy_uj].value);
    assert_true(after.of[HM_GPU_power_w].value > 0 && after.of[HM_GPU_power_w].value <= 100); /* which it takes while it is busy */
    assert_true(after.of[HM_GPU_frequency_mhz].value >= 300 && after.of[HM_GPU_frequency_mhz].value <= 1000);
    assert_true(after.of[HM_GPU_temperature_c].value > 0 && after.of[HM_GPU_temperature_c].value < 120);
    hm_ze_driver.close(&gpu);
    hm_ze_sensors.close(&s);
    assert_null(s);
    soft_clean(&soft);
}

static void a_device_without_sysman_says_which_call_told_so(void **state)
{
    (void)state;
    hm_gpu_sensors *s = opened("HM_SOFT_SYSMAN=none");
    hm_gpu_reading r;
    hm_ze_sensors.read(s, &r);
    for (int q = 0; q < HM_GPU_QUANTITIES; q++) {
        assert_false(r.of[q].there);
        assert_non_null(strstr(r.of[q].why, "ZE_RESULT_ERROR_UNSUPPORTED_FEATURE"));
        assert_non_null(strstr(r.of[q].why, "zesDeviceEnum"));
    }
    hm_ze_sensors.close(&s);
    soft_clean(&soft);
}

static void a_call_that_fails_takes_its_quantity_only(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        hm_gpu_quantity quantity;
    } rows[] = {
        {"zesDeviceEnumMemoryModules", HM_GPU_memory_used_bytes},
        {"zesMemoryGetState", HM_GPU_memory_free_bytes},
        {"zesDeviceEnumPowerDomains", HM_GPU_energy_uj},
        {"zesPowerGetEnergyCounter", HM_GPU_energy_uj},
        {"zesDeviceEnumFrequencyDomains", HM_GPU_frequency_mhz},
        {"zesFrequencyGetState", HM_GPU_frequency_mhz},
        {"zesDeviceEnumTemperatureSensors", HM_GPU_temperature_c},
        {"zesTemperatureGetState", HM_GPU_temperature_c},
        {"zesDeviceEnumEngineGroups", HM_GPU_busy_us},
        {"zesEngineGetActivity", HM_GPU_busy_us},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char settings[128];
        hm_gpu_reading r;
        snprintf(settings, sizeof settings, "HM_SOFT_FAIL=%s:1:0x70010000", rows[i].entry);
        hm_gpu_sensors *s = opened(settings);
        hm_ze_sensors.read(s, &r);
        assert_false(r.of[rows[i].quantity].there);
        assert_non_null(strstr(r.of[rows[i].quantity].why, rows[i].entry));
        assert_non_null(strstr(r.of[rows[i].quantity].why, "ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS"));
        int there = 0;
        for (int q = 0; q < HM_GPU_QUANTITIES; q++)
            there += r.of[q].there;
        assert_in_range(there, HM_GPU_QUANTITIES - 5, HM_GPU_QUANTITIES - 4); /* without it, the memory clock and, at the first reading, means */
        hm_ze_sensors.close(&s);
        soft_clean(&soft);
    }
}

static void a_device_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    hm_gpu_sensors *s = NULL;
    hm_error err = {0};
    soft_settings(&soft, "HM_SOFT_DEVICES=1");
    assert_int_equal(hm_ze_sensors.open(&s, "1", &err), HM_EABSENT);
    assert_non_null(strstr(err.text, "no device 1"));
    assert_null(s);
}

static void quantities_have_names_units_and_texts(void **state)
{
    (void)state;
    assert_string_equal(hm_gpu_quantity_name(HM_GPU_memory_used_bytes), "memory_used_bytes");
    assert_string_equal(hm_gpu_quantity_unit(HM_GPU_power_w), "W");
    for (int q = 0; q < HM_GPU_QUANTITIES; q++)
        assert_true(strlen(hm_gpu_quantity_text((hm_gpu_quantity)q)) > 10);
}

int main(void)
{
    if (!soft_there())
        return 77;
    soft_load(&soft, "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quantity_is_told_and_follows_what_the_device_does),
        cmocka_unit_test(a_device_without_sysman_says_which_call_told_so),
        cmocka_unit_test(a_call_that_fails_takes_its_quantity_only),
        cmocka_unit_test(a_device_that_is_not_there_is_an_error),
        cmocka_unit_test(quantities_have_names_units_and_texts),
    };
    return cmocka_run_group_tests_name("ze_sysman", tests, NULL, NULL);
}
