/* Clock, heat, throttling and stolen time, as systems of several kinds show them. */
#define _GNU_SOURCE
#include "tests/system_tree.h"

#include "harness/machine_state.h"

static void put_cpu(int cpu, const char *below, const char *name, const char *text)
{
    char folder[128];
    snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d/%s", cpu, below);
    put_file(folder, name, text);
}

static hm_machine_state read_state(void)
{
    hm_machine_state s;
    hm_machine_state_read(tree, &s);
    return s;
}

static void what_a_system_does_not_show_is_unknown(void **state)
{
    (void)state;
    char text[160];
    empty_tree();
    hm_machine_state s = read_state();
    assert_true(s.clock_khz == HM_UNKNOWN && isnan(s.temperature_c) && s.throttled == HM_UNKNOWN && s.steal_ns == HM_UNKNOWN);
    assert_non_null(strstr(hm_clock_source(tree, text, sizeof text), "neither"));
    assert_non_null(strstr(hm_temperature_source(tree, text, sizeof text), "coretemp"));
    assert_non_null(strstr(hm_throttle_source(tree, text, sizeof text), "thermal_throttle"));
}

static void the_clock_is_the_mean_of_cpufreq_and_else_of_cpuinfo(void **state)
{
    (void)state;
    char text[160];
    empty_tree();
    put_file("proc", "cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2445.4\n\nprocessor\t: 1\ncpu MHz\t\t: 3000.6\n");
    assert_int_equal(read_state().clock_khz, 2723000);
    assert_non_null(strstr(hm_clock_source(tree, text, sizeof text), "/proc/cpuinfo of 2 CPUs"));
    put_cpu(0, "cpufreq", "scaling_cur_freq", "3400000\n");
    put_cpu(1, "cpufreq", "scaling_cur_freq", "1600000\n");
    put_cpu(2, "cpufreq", "scaling_cur_freq", "<unknown>\n");
    put_file("sys/devices/system/cpu/cpufreq", "boost", "1\n");
    assert_int_equal(read_state().clock_khz, 2500000);
    assert_string_equal(hm_clock_source(tree, text, sizeof text), "2.50 GHz (cpufreq of 2 CPUs)");
}

static void the_hottest_sensor_of_a_cpu_counts(void **state)
{
    (void)state;
    empty_tree();
    put_file("sys/class/thermal/thermal_zone0", "type", "x86_pkg_temp\n");
    put_file("sys/class/thermal/thermal_zone0", "temp", "51000\n");
    put_file("sys/class/thermal/thermal_zone1", "type", "acpitz\n");
    put_file("sys/class/thermal/thermal_zone1", "temp", "99000\n");
    assert_true(hm_cpu_temperature_c(tree) == 51);
    put_file("sys/class/hwmon/hwmon0", "name", "nvme\n");
    put_file("sys/class/hwmon/hwmon0", "temp1_input", "88000\n");
    put_file("sys/class/hwmon/hwmon1", "name", "coretemp\n");
    put_file("sys/class/hwmon/hwmon1", "temp1_input", "61500\n");
    put_file("sys/class/hwmon/hwmon1", "temp2_input", "63250\n");
    put_file("sys/class/hwmon/hwmon1", "temp2_max", "100000\n");
    put_file("sys/class/hwmon/hwmon1", "temp3_input", "255000\n"); /* no sensor */
    put_file("sys/class/hwmon/hwmon2", "name", "coretemp\n");      /* the other socket */
    put_file("sys/class/hwmon/hwmon2", "temp1_input", "58000\n");
    assert_true(hm_cpu_temperature_c(tree) == 63.25);
}

static void throttling_counts_cores_and_each_package_once(void **state)
{
    (void)state;
    empty_tree();
    for (int cpu = 0; cpu < 4; cpu++) {
        put_cpu(cpu, "thermal_throttle", "core_throttle_count", "2\n");
        put_cpu(cpu, "thermal_throttle", "package_throttle_count", "7\n");
    }
    assert_int_equal(read_state().throttled, 4 * 2 + 7);
    put_cpu(2, "topology", "physical_package_id", "1\n"); /* two CPUs each; the second package throttles less */
    put_cpu(3, "topology", "physical_package_id", "1\n");
    put_cpu(2, "thermal_throttle", "package_throttle_count", "3\n");
    put_cpu(3, "thermal_throttle", "package_throttle_count", "3\n");
    assert_int_equal(read_state().throttled, 4 * 2 + 7 + 3);
}

static void a_sample_has_the_mean_clock_the_last_heat_and_what_came_between(void **state)
{
    (void)state;
    char line[128];
    hm_sample *s = calloc(1, sizeof *s);
    long hz = sysconf(_SC_CLK_TCK);
    empty_tree();
    snprintf(line, sizeof line, "cpu  10 20 30 40 50 60 70 %ld 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n", 3 * hz);
    put_file("proc", "stat", line);
    hm_machine_state before = read_state(), after = before;
    assert_int_equal(before.steal_ns, 3000000000);
    after.steal_ns += 500000000;
    before.clock_khz = 2000000;
    after.clock_khz = 3000000;
    before.temperature_c = 40;
    after.temperature_c = 70;
    before.throttled = 5;
    after.throttled = 6;
    hm_sample_init(s);
    hm_machine_state_fill(s, &before, &after);
    assert_true(s->clock_khz == 2500000 && s->temperature_c == 70 && s->throttled == 1 && s->steal_ns == 500000000);
    after.throttled = 4; /* a driver that was loaded anew */
    after.clock_khz = HM_UNKNOWN;
    hm_machine_state_fill(s, &before, &after);
    assert_true(s->clock_khz == HM_UNKNOWN && s->throttled == HM_UNKNOWN);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_system_does_not_show_is_unknown),
        cmocka_unit_test(the_clock_is_the_mean_of_cpufreq_and_else_of_cpuinfo),
        cmocka_unit_test(the_hottest_sensor_of_a_cpu_counts),
        cmocka_unit_test(throttling_counts_cores_and_each_package_once),
        cmocka_unit_test(a_sample_has_the_mean_clock_the_last_heat_and_what_came_between),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
