/* Limits of the machine: what is measured, how they are kept, how a drift shows, and the caches as a system describes them. */
#define _GNU_SOURCE
#include "tests/system_tree.h"

#include <math.h>

#include "engine/cpu/bench.h"
#include "harness/sample.h"
#include "harness/store_limits.h"
#include "tests/store_case.h"

static hm_error err;

static hm_store *open_empty(void)
{
    hm_store *store;
    hm_machine_record m = store_machine;
    char path[300];
    snprintf(path, sizeof path, "%s/limits.db", tree);
    unlink(path);
    GOOD(hm_store_open(&store, path, HM_STORE_CREATE, &err));
    GOOD(hm_store_put_machine(store, &m, &err));
    snprintf(m.id, sizeof m.id, "m2");
    GOOD(hm_store_put_machine(store, &m, &err));
    return store;
}

static void put_memory(hm_store *store, const char *machine, double value)
{
    hm_limits l = {.items = {{"memory", "bytes", "avx2", 2, value, 512 << 20, "reading"}}, .count = 1};
    usleep(2000); /* times are in milliseconds, and a part of the key */
    GOOD(hm_store_put_limits(store, machine, NULL, &l, &err));
}

static void a_drift_is_the_newest_against_the_median_of_earlier_ones(void **state)
{
    (void)state;
    static const double values[] = {20, 30, 21, 22.1}; /* median of the first three: 21; then +5.2 % */
    hm_store *store = open_empty();
    hm_limit_drift *list;
    int count;
    for (int i = 0; i < 4; i++)
        put_memory(store, "m1", values[i]);
    put_memory(store, "m2", 999);
    GOOD(hm_store_get_limit_drift(store, "m1", &list, &count, &err));
    assert_int_equal(count, 1);
    assert_true(list[0].now.value == 22.1 && list[0].median == 21 && list[0].earlier == 3 && list[0].now.block_bytes == 512 << 20);
    assert_true(fabs(list[0].change - (22.1 / 21 - 1)) < 1e-12);
    assert_false(list[0].flagged);
    free(list);
    put_memory(store, "m1", 18.9); /* median 21.55, -12 % */
    GOOD(hm_store_get_limit_drift(store, "m1", &list, &count, &err));
    assert_true(list[0].median == 21.55 && list[0].flagged && list[0].change < 0);
    free(list);
    GOOD(hm_store_get_limit_drift(store, "m2", &list, &count, &err));
    assert_true(count == 1 && list[0].earlier == 0 && isnan(list[0].median) && isnan(list[0].change) && !list[0].flagged);
    free(list);
    hm_store_close(&store);
}

static void limits_of_other_blocks_threads_and_instructions_stand_apart(void **state)
{
    (void)state;
    hm_store *store = open_empty();
    hm_limit_drift *list;
    int count;
    hm_limits l = {.items = {{"cache", "bytes", "avx2", 2, 90, 16 << 20, ""},
                             {"cache", "bytes", "avx2", 1, 50, 16 << 20, ""},
                             {"flops", "int8", "avx512_vnni", 2, 5000, HM_UNKNOWN, "vpdpbusd"},
                             {"flops", "int8", "avx512", 2, 2000, HM_UNKNOWN, ""}},
                   .count = 4};
    GOOD(hm_store_put_limits(store, "m1", NULL, &l, &err));
    usleep(2000);
    l.items[0].block_bytes = 8 << 20;
    GOOD(hm_store_put_limits(store, "m1", NULL, &l, &err));
    GOOD(hm_store_get_limit_drift(store, "m1", &list, &count, &err));
    assert_int_equal(count, 5);
    for (int i = 0; i < count; i++)
        assert_int_equal(list[i].earlier, strcmp(list[i].now.name, "cache") || list[i].now.threads == 1);
    free(list);
    hm_store_close(&store);
}

static void a_share_over_the_limit_says_whose_bug_it_is(void **state)
{
    (void)state;
    char text[96];
    assert_true(hm_limit_share(5, 10) == 0.5 && isnan(hm_limit_share(5, 0)) && isnan(hm_limit_share(NAN, 10)) &&
                isnan(hm_limit_share(5, NAN)));
    assert_string_equal(hm_limit_share_text(0.834, text, sizeof text), "83 %");
    assert_string_equal(hm_limit_share_text(1, text, sizeof text), "100 %");
    assert_string_equal(hm_limit_share_text(1.04, text, sizeof text), "104 %, over the limit: a bug of the measurement");
    assert_string_equal(hm_limit_share_text(NAN, text, sizeof text), "-");
}

static void put_cache(int cpu, int index, const char *type, int level, const char *size, const char *shared)
{
    char folder[128], text[16];
    snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d/cache/index%d", cpu, index);
    snprintf(text, sizeof text, "%d\n", level);
    put_file(folder, "type", type);
    put_file(folder, "level", text);
    put_file(folder, "size", size);
    put_file(folder, "shared_cpu_list", shared);
}

static void caches_are_counted_once_per_instance(void **state)
{
    (void)state;
    hm_cache c[5];
    empty_tree();
    assert_int_equal(hm_caches_read(tree, c, 5), 0);
    for (int cpu = 0; cpu < 4; cpu++) { /* two cores of two threads, one last level */
        put_cache(cpu, 0, "Data\n", 1, "48K\n", cpu < 2 ? "0-1\n" : "2-3\n");
        put_cache(cpu, 1, "Instruction\n", 1, "32K\n", cpu < 2 ? "0-1\n" : "2-3\n");
        put_cache(cpu, 2, "Unified\n", 3, "30720K\n", "0-3\n");
        put_cache(cpu, 3, "Unified\n", 2, "2M\n", cpu < 2 ? "0-1\n" : "2-3\n");
    }
    assert_int_equal(hm_caches_read(tree, c, 5), 3);
    assert_true(c[0].level == 1 && c[0].instances == 2 && c[0].bytes == 48 << 10);
    assert_true(c[1].level == 2 && c[1].instances == 2 && c[1].bytes == 2 << 20);
    assert_true(c[2].level == 3 && c[2].instances == 1 && c[2].bytes == 30 << 20);
    put_cache(0, 2, "Unified\n", 3, "nonsense\n", "0-3\n");
    put_cache(1, 2, "Unified\n", 3, "-5K\n", "0-3\n");
    for (int cpu = 2; cpu < 4; cpu++)
        put_cache(cpu, 2, "Unified\n", 77, "30720K\n", "0-3\n");
    assert_int_equal(hm_caches_read(tree, c, 5), 2);
}

/* Every way runs: one that this CPU cannot execute would end the test. */
static void every_way_that_is_listed_can_be_measured(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        hm_device *dev;
        hm_limits l = {0};
        bool seen[3] = {0};
        GOOD(hm_cpu_open(&dev, 1, isa, &err));
        GOOD(hm_limits_measure(&l, dev, HM_LIMITS_FLOPS, 0.001, NULL, &err));
        hm_cpu_close(&dev);
        for (int i = 0; i < l.count; i++) {
            assert_true(isfinite(l.items[i].value) && l.items[i].value > 0 && l.items[i].how[0] && l.items[i].block_bytes == HM_UNKNOWN);
            if (!strcmp(l.items[i].isa, hm_isa_name(hm_isa_vectors(isa))))
                for (int t = 0; t < 3; t++)
                    seen[t] = seen[t] || !strcmp(l.items[i].type, ((const char *[]){"f32", "bf16", "int8"})[t]);
        }
        assert_true(seen[0] && seen[1] && seen[2]);
        for (int i = 0; i < l.count; i++)
            assert_true(strcmp(l.items[i].type, "bf16") || strstr(l.items[i].how, "widened") || hm_isa_vectors(isa) == HM_ISA_AVX512);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drift_is_the_newest_against_the_median_of_earlier_ones),
        cmocka_unit_test(limits_of_other_blocks_threads_and_instructions_stand_apart),
        cmocka_unit_test(a_share_over_the_limit_says_whose_bug_it_is),
        cmocka_unit_test(caches_are_counted_once_per_instance),
        cmocka_unit_test(every_way_that_is_listed_can_be_measured),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
