/* Energy counters: several sockets, wrap-around, refusal, and machines without any. */
#define _GNU_SOURCE
#include "tests/sample_tree.h"

#include <sys/stat.h>

#include "harness/energy.h"

static void put_counter(const char *domain, long long uj)
{
    char folder[96], text[32];
    snprintf(folder, sizeof folder, "sys/class/powercap/%s", domain);
    snprintf(text, sizeof text, "%lld\n", uj);
    put_file(folder, "energy_uj", text);
}

static void put_domain(const char *domain, const char *name, long long range, long long uj)
{
    char folder[96], text[32];
    snprintf(folder, sizeof folder, "sys/class/powercap/%s", domain);
    snprintf(text, sizeof text, "%lld\n", range);
    put_file(folder, "name", name);
    put_file(folder, "max_energy_range_uj", text);
    put_counter(domain, uj);
}

static void put_two_sockets(void)
{
    empty_tree();
    put_domain("intel-rapl:0", "package-0\n", 1000000, 999000);
    put_domain("intel-rapl:0:0", "core\n", 1000000, 5); /* a part of package-0 */
    put_domain("intel-rapl:1", "package-1\n", 1000000, 100);
    put_domain("intel-rapl:2", "psys\n", 1000000, 100);              /* the whole board: has the packages in it */
    put_domain("intel-rapl-mmio:0", "package-0\n", 1000000, 999000); /* the same counter again */
}

static const hm_sample *fill(hm_energy *e, int64_t wall_ns)
{
    hm_sample_init(sample);
    sample->wall_ns = wall_ns;
    hm_energy_fill(e, sample);
    return sample;
}

static void packages_of_all_sockets_are_summed_once(void **state)
{
    (void)state;
    hm_energy e;
    put_two_sockets();
    hm_energy_open(&e, tree);
    assert_int_equal(e.count, 2);
    assert_string_equal(e.source, "RAPL package-0, package-1");
    hm_energy_start(&e);
    put_counter("intel-rapl:0", 999500);
    put_counter("intel-rapl:1", 400);
    assert_int_equal(fill(&e, 1000000000)->energy_uj, 800);
    assert_string_equal(sample->energy_source, e.source);
}

static void counters_wrap_around(void **state)
{
    (void)state;
    hm_energy e;
    put_two_sockets();
    hm_energy_open(&e, tree);
    hm_energy_start(&e);
    put_counter("intel-rapl:0", 500); /* 1000 to the end, then 500 */
    hm_energy_update(&e);
    put_counter("intel-rapl:0", 900000);
    hm_energy_update(&e);
    put_counter("intel-rapl:0", 100); /* again: 100000 to the end, then 100 */
    assert_int_equal(fill(&e, 2000000000)->energy_uj, 1500 + 899500 + 100100);
}

static void a_short_call_has_no_energy_and_says_so(void **state)
{
    (void)state;
    hm_energy e;
    put_two_sockets();
    hm_energy_open(&e, tree);
    hm_energy_start(&e);
    put_counter("intel-rapl:1", 5000);
    assert_int_equal(fill(&e, 999999999)->energy_uj, HM_UNKNOWN);
    assert_non_null(strstr(sample->energy_source, "window under 1 s"));
}

static void a_counter_that_fails_meanwhile_is_no_energy(void **state)
{
    (void)state;
    hm_energy e;
    put_two_sockets();
    hm_energy_open(&e, tree);
    hm_energy_start(&e);
    put_file("sys/class/powercap/intel-rapl:1", "energy_uj", "nonsense\n");
    assert_int_equal(fill(&e, 2000000000)->energy_uj, HM_UNKNOWN);
    assert_non_null(strstr(sample->energy_source, "could not be read"));
    put_counter("intel-rapl:1", 50); /* behind, and beyond its range before: no wrap */
    hm_energy_open(&e, tree);
    e.domains[1].range_uj = 0;
    hm_energy_start(&e);
    put_counter("intel-rapl:1", 20);
    assert_int_equal(fill(&e, 2000000000)->energy_uj, HM_UNKNOWN);
}

static void a_refusal_names_the_file_and_the_remedy(void **state)
{
    (void)state;
    hm_energy e;
    char path[200];
    put_two_sockets();
    snprintf(path, sizeof path, "%s/sys/class/powercap/intel-rapl:1/energy_uj", tree);
    if (!geteuid()) { /* nothing is refused to root: ask as nobody */
        snprintf(path, sizeof path, "chmod 755 %s && chmod 400 %s/sys/class/powercap/intel-rapl:1/energy_uj", tree, tree);
        assert_int_equal(system(path), 0);
        assert_int_equal(seteuid(65534), 0);
    } else {
        assert_int_equal(chmod(path, 0), 0);
    }
    hm_energy_open(&e, tree);
    if (!getuid())
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(e.count, 0);
    assert_string_equal(e.source, "/sys/class/powercap/intel-rapl:1/energy_uj: Permission denied; "
                                  "sudo chmod a+r /sys/class/powercap/*/energy_uj (until the next boot)");
    hm_energy_start(&e);
    assert_int_equal(fill(&e, 5000000000)->energy_uj, HM_UNKNOWN);
    assert_string_equal(sample->energy_source, e.source);
}

static void a_machine_without_counters_says_why(void **state)
{
    (void)state;
    hm_energy e;
    empty_tree();
    hm_energy_open(&e, tree);
    assert_int_equal(e.count, 0);
    assert_non_null(strstr(e.source, "no /sys/class/powercap"));
    put_domain("intel-rapl:0", "psys\n", 10, 5);
    hm_energy_open(&e, tree);
    assert_int_equal(e.count, 0);
    assert_non_null(strstr(e.source, "no package"));
}

/* Every second of sleep takes 30 J. */
static void sleep_uses_energy(void *self, int64_t duration_ns)
{
    hm_fake_clock *f = self;
    f->now += duration_ns;
    put_counter("intel-rapl:1", 100 + f->now * 3 / 100);
}

static void idle_power_is_taken_off_by_time(void **state)
{
    (void)state;
    hm_fake_clock clock;
    put_two_sockets();
    put_domain("intel-rapl:1", "package-1\n", 100000000000, 100);
    hm_fake_clock_init(&clock, 0);
    clock.clock.sleep_ns = sleep_uses_energy;
    clock.clock.self = &clock;
    double idle_w = hm_energy_idle_w(tree, &clock.clock);
    assert_true(fabs(idle_w - 30) < 1e-6 && clock.now >= HM_ENERGY_WINDOW_NS);
    hm_sample_init(sample);
    sample->wall_ns = 2500000000;
    hm_energy_fill_idle(sample, idle_w);
    assert_int_equal(sample->energy_idle_uj, HM_UNKNOWN); /* no energy, nothing to take off */
    sample->energy_uj = 100000000;
    hm_energy_fill_idle(sample, NAN);
    assert_int_equal(sample->energy_idle_uj, HM_UNKNOWN);
    hm_energy_fill_idle(sample, idle_w);
    assert_int_equal(sample->energy_idle_uj, 75000000);
    empty_tree();
    assert_true(isnan(hm_energy_idle_w(tree, &clock.clock)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packages_of_all_sockets_are_summed_once), cmocka_unit_test(counters_wrap_around),
        cmocka_unit_test(a_short_call_has_no_energy_and_says_so),  cmocka_unit_test(a_counter_that_fails_meanwhile_is_no_energy),
        cmocka_unit_test(a_refusal_names_the_file_and_the_remedy), cmocka_unit_test(a_machine_without_counters_says_why),
        cmocka_unit_test(idle_power_is_taken_off_by_time),
    };
    return cmocka_run_group_tests(tests, make_sample_tree, remove_sample_tree);
}
