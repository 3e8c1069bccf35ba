/* What NVML tells of a device, on the software device with a NVML of tests beside it; and what is said where NVML tells nothing. */
#define _GNU_SOURCE
#define HM_TEST_CUDA
#include "tests/soft_case.h"

#include <math.h>

#include "harness/device_watch.h"

static soft_library soft;

static hm_gpu_sensors *opened(const char *failing)
{
    hm_gpu_sensors *s = NULL;
    hm_error err = {0};
    setenv("HM_NVML_FAIL", failing, 1);
    if (hm_cuda_driver.sensors->open(&s, NULL, &err))
        fail_msg("%s", err.text);
    return s;
}

static void every_quantity_has_the_unit_that_its_table_says(void **state)
{
    (void)state;
    static const double expected[HM_GPU_QUANTITIES] = {
        [HM_GPU_memory_used_bytes] = 400, [HM_GPU_memory_free_bytes] = 600, [HM_GPU_power_w] = 123.5,    [HM_GPU_frequency_mhz] = 1980,
        [HM_GPU_memory_clock_mhz] = 3201, [HM_GPU_held_down] = 1 + 2,       [HM_GPU_temperature_c] = 61, [HM_GPU_busy_share] = 0.75};
    hm_gpu_sensors *s = opened("");
    hm_gpu_reading first, second;
    hm_cuda_driver.sensors->read(s, &first);
    hm_cuda_driver.sensors->read(s, &second);
    for (int q = 0; q < HM_GPU_QUANTITIES; q++) {
        if (q == HM_GPU_busy_us) {
            assert_false(first.of[q].there);
            assert_non_null(strstr(first.of[q].why, "share"));
        } else if (!first.of[q].there)
            fail_msg("%s: %s", hm_gpu_quantity_name((hm_gpu_quantity)q), first.of[q].why);
        else if (q != HM_GPU_energy_uj && fabs(first.of[q].value - expected[q]) > 1e-9)
            fail_msg("%s is %g, expected %g", hm_gpu_quantity_name((hm_gpu_quantity)q), first.of[q].value, expected[q]);
    }
    assert_true(second.of[HM_GPU_energy_uj].value - first.of[HM_GPU_energy_uj].value == 250000);
    assert_true(second.at_ns >= first.at_ns);
    hm_cuda_driver.sensors->close(&s);
    assert_null(s);
    soft_clean(&soft);
}

static void an_entry_that_fails_takes_its_quantity_only(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        hm_gpu_quantity quantity;
        int others; /* that go with it */
    } rows[] = {
        {"nvmlDeviceGetMemoryInfo", HM_GPU_memory_free_bytes, 1},
        {"nvmlDeviceGetTotalEnergyConsumption", HM_GPU_energy_uj, 0},
        {"nvmlDeviceGetPowerUsage", HM_GPU_power_w, 0},
        {"nvmlDeviceGetClockInfo", HM_GPU_frequency_mhz, 1},
        {"nvmlDeviceGetCurrentClocksThrottleReasons", HM_GPU_held_down, 0},
        {"nvmlDeviceGetTemperature", HM_GPU_temperature_c, 0},
        {"nvmlDeviceGetUtilizationRates", HM_GPU_busy_share, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hm_gpu_reading r;
        hm_gpu_sensors *s = opened(rows[i].entry);
        int missing = 0;
        hm_cuda_driver.sensors->read(s, &r);
        for (int q = 0; q < HM_GPU_QUANTITIES; q++)
            missing += !r.of[q].there;
        assert_false(r.of[rows[i].quantity].there);
        if (!strstr(r.of[rows[i].quantity].why, rows[i].entry) || !strstr(r.of[rows[i].quantity].why, "Not Supported"))
            fail_msg("%s", r.of[rows[i].quantity].why);
        assert_int_equal(missing, 2 + rows[i].others); /* and busy_us, always */
        hm_cuda_driver.sensors->close(&s);
    }
}

static void a_device_that_nvml_does_not_know_says_so_of_everything(void **state)
{
    (void)state;
    static const char *const entries[] = {"nvmlInit_v2", "nvmlDeviceGetHandleByUUID"};
    for (int i = 0; i < 2; i++) {
        hm_gpu_reading r;
        hm_gpu_sensors *s = opened(entries[i]);
        hm_cuda_driver.sensors->read(s, &r);
        for (int q = 0; q < HM_GPU_QUANTITIES; q++)
            assert_true(!r.of[q].there && strstr(r.of[q].why, entries[i]));
        hm_cuda_driver.sensors->close(&s);
    }
}

static void a_sample_gets_what_it_told_and_how_often_clocks_were_held_down(void **state)
{
    (void)state;
    hm_device_watch *w = NULL;
    hm_sample s;
    hm_error err = {0};
    setenv("HM_NVML_FAIL", "nvmlDeviceGetTotalEnergyConsumption", 1); /* as older GPUs: power there is of the moment */
    if (hm_device_watch_open(&w, "cuda", NULL, &err))
        fail_msg("%s", err.text);
    assert_non_null(w);
    hm_sample_init(&s);
    hm_device_watch_start(w);
    hm_device_watch_stop(w);
    hm_device_watch_fill(w, &s);
    assert_int_equal(s.device_used_bytes, 400);
    assert_int_equal(s.device_energy_uj, HM_UNKNOWN);
    assert_true(s.device_power_w == 123.5 && s.device_busy_share == 0.75 && s.device_clock_mhz == 1980 && s.device_temperature_c == 61);
    int count;
    char expected[200];
    hm_device_watch_readings(w, &count);
    snprintf(expected, sizeof expected,
             "clocks were held down by power (%d of %d readings); clocks were held down by heat (%d of %d readings)", count, count, count,
             count);
    assert_string_equal(s.device_note, expected);
    hm_device_watch_close(&w);
}

int main(void)
{
    if (!soft_there())
        return 77;
#ifdef HM_NVML_SOFT
    if (!dlopen(HM_NVML_SOFT, RTLD_NOW)) /* found by its name from here on */
        return 1;
#endif
    soft_load(&soft, "");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quantity_has_the_unit_that_its_table_says),
        cmocka_unit_test(an_entry_that_fails_takes_its_quantity_only),
        cmocka_unit_test(a_device_that_nvml_does_not_know_says_so_of_everything),
        cmocka_unit_test(a_sample_gets_what_it_told_and_how_often_clocks_were_held_down),
    };
    return cmocka_run_group_tests_name("cuda_sensors", tests, NULL, NULL);
}
