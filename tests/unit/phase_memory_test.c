/* The most memory of each phase: of this very process, and as kernels that refuse to set the mark back show it. */
#define _GNU_SOURCE
#include "tests/sample_tree.h"

#include <sys/mman.h>

#include "harness/phase_memory.h"

#define MIB ((int64_t)1 << 20)

/* A phase that holds so many MiB for a moment. */
static void hold(hm_phase_memory *m, const char *phase, int64_t mib)
{
    hm_phase_memory_begin(m, phase);
    char *p = mmap(NULL, (size_t)(mib * MIB), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    memset(p, 1, (size_t)(mib * MIB));
    munmap(p, (size_t)(mib * MIB));
    hm_phase_memory_end(m, phase);
}

/* The kernel sums its counts of pages now and then, and a sanitizer's shadow of a block takes an eighth of it. */
static bool near(int64_t bytes, int64_t mib)
{
    int64_t off = bytes - mib * MIB;
    return llabs(off) < mib * MIB / 8 + 8 * MIB;
}

static void each_phase_has_its_own_most(void **state)
{
    (void)state;
    hm_phase_memory m;
    hm_phase_memory_open(&m, "/");
    if (!m.set_back) {
        print_message("/proc/self/clear_refs cannot be written here\n");
        skip();
    }
    hold(&m, "load", 192);
    hold(&m, "prefill", 16);
    hold(&m, "generate", 96);
    hold(&m, "generate", 40); /* the second time less: the first stands */
    hold(&m, "frame", 130);   /* no phase */
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, 0, sample);
    assert_true(near(sample->load_peak_bytes - sample->prefill_peak_bytes, 176));
    assert_true(near(sample->generate_peak_bytes - sample->prefill_peak_bytes, 80));
    assert_int_equal(sample->decode_peak_bytes, HM_UNKNOWN);
    assert_true(sample->load_peak_bytes > 176 * MIB);
    assert_true(sample->peak_rss_bytes >= sample->load_peak_bytes); /* of the process, although the mark was set back since */
    hm_phase_memory_clear(&m);
    hold(&m, "decode", 8);
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, 0, sample);
    assert_true(sample->generate_peak_bytes == HM_UNKNOWN && sample->decode_peak_bytes > 0 && sample->load_peak_bytes > 0);
}

static void put_status(int peak_kib, int rss_kib, int file_kib)
{
    char text[200];
    snprintf(text, sizeof text, "Name:\thmbench\nVmHWM:\t%8d kB\nVmRSS:\t%8d kB\nRssAnon:\t 1 kB\nRssFile:\t%8d kB\n", peak_kib, rss_kib,
             file_kib);
    put_file("proc/self", "status", text);
}

static void a_mark_that_stays_tells_only_of_phases_that_raise_it(void **state)
{
    (void)state;
    hm_phase_memory m;
    empty_tree();
    put_status(1000, 1000, 100);
    hm_phase_memory_open(&m, tree); /* the mark's file cannot be written: there is none */
    char path[200];
    snprintf(path, sizeof path, "%s/proc/self/clear_refs", tree);
    unlink(path);
    m.set_back = false;
    hm_phase_memory_begin(&m, "prefill");
    hm_phase_memory_end(&m, "prefill");
    hm_phase_memory_begin(&m, "generate");
    put_status(5000, 2000, 100);
    hm_phase_memory_end(&m, "generate");
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, 0, sample);
    assert_int_equal(sample->prefill_peak_bytes, HM_UNKNOWN);
    assert_int_equal(sample->generate_peak_bytes, 5000 * 1024);
    assert_int_equal(sample->peak_rss_bytes, 5000 * 1024);
}

static void mapped_pages_of_the_model_are_taken_off(void **state)
{
    (void)state;
    hm_phase_memory m;
    empty_tree();
    put_status(1000, 1000, 300);
    hm_phase_memory_open(&m, tree);
    assert_true(m.set_back);
    hm_phase_memory_begin(&m, "prefill");
    put_status(9000, 8500, 2300); /* 300 of the program, 2000 of the model */
    hm_phase_memory_end(&m, "prefill");
    hm_phase_memory_begin(&m, "generate");
    put_status(12000, 11000, 5300);
    hm_phase_memory_end(&m, "generate");
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, 5000 * 1024, sample);
    assert_int_equal(sample->prefill_peak_bytes, 7000 * 1024);
    assert_int_equal(sample->generate_peak_bytes, 7000 * 1024);
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, HM_UNKNOWN, sample);
    assert_true(sample->generate_peak_bytes == HM_UNKNOWN && sample->peak_rss_bytes == 12000 * 1024);
}

static void without_proc_nothing_is_known(void **state)
{
    (void)state;
    hm_phase_memory m;
    empty_tree();
    hm_phase_memory_open(&m, tree);
    hm_phase_memory_begin(&m, "load");
    hm_phase_memory_end(&m, "load");
    hm_sample_init(sample);
    hm_phase_memory_fill(&m, 0, sample);
    assert_true(sample->peak_rss_bytes == HM_UNKNOWN && sample->load_peak_bytes == HM_UNKNOWN);
    assert_int_equal(hm_resident_bytes(tree), HM_UNKNOWN);
    assert_true(hm_resident_bytes("/") > MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_has_its_own_most),
        cmocka_unit_test(a_mark_that_stays_tells_only_of_phases_that_raise_it),
        cmocka_unit_test(mapped_pages_of_the_model_are_taken_off),
        cmocka_unit_test(without_proc_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, make_sample_tree, remove_sample_tree);
}
