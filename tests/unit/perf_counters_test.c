/* Performance counters: scaling, refusals and their remedies, machines without any, and the real kernel, whatever it allows. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness/perf_counters.h"

/* A kernel: what each event answers to open, and what it has counted. */
typedef struct fake {
    int refuse[HM_PERF_EVENTS]; /* errno; 0: opened */
    hm_perf_reading now[HM_PERF_EVENTS];
    bool on[HM_PERF_EVENTS], unreadable[HM_PERF_EVENTS], closed[HM_PERF_EVENTS];
    int level;
    bool no_level, no_usage;
    int64_t switches, faults;
} fake;

static int fake_open(void *self, hm_perf_event event)
{
    fake *f = self;
    return f->refuse[event] ? -f->refuse[event] : (int)event;
}

static void fake_run(void *self, int handle, bool on)
{
    ((fake *)self)->on[handle] = on;
}

static bool fake_read(void *self, int handle, hm_perf_reading *out)
{
    fake *f = self;
    *out = f->now[handle];
    return !f->unreadable[handle];
}

static void fake_close(void *self, int handle)
{
    ((fake *)self)->closed[handle] = true;
}

static bool fake_paranoid(void *self, int *level)
{
    fake *f = self;
    *level = f->level;
    return !f->no_level;
}

static bool fake_usage(void *self, int64_t *switches, int64_t *faults)
{
    fake *f = self;
    *switches = f->switches;
    *faults = f->faults;
    return !f->no_usage;
}

static hm_sample *sample;

static hm_perf_system system_of(fake *f)
{
    return (hm_perf_system){f, fake_open, fake_run, fake_read, fake_close, fake_paranoid, fake_usage};
}

static void advance(fake *f, uint64_t value, uint64_t enabled_ns, uint64_t running_ns)
{
    for (int i = 0; i < HM_PERF_EVENTS; i++) {
        f->now[i].value += value * (uint64_t)(i + 1);
        f->now[i].enabled_ns += enabled_ns;
        f->now[i].running_ns += running_ns;
    }
}

static void only_what_comes_between_is_counted(void **state)
{
    (void)state;
    fake f = {0};
    hm_perf_system system = system_of(&f);
    hm_perf_counters p;
    hm_perf_open(&p, &system);
    assert_string_equal(p.note, "");
    for (int i = 0; i < 3; i++) { /* the warm-up is before start */
        advance(&f, 1000, 50, 50);
        hm_perf_start(&p);
        assert_true(f.on[0] && f.on[HM_PERF_PAGE_FAULTS]);
        advance(&f, 7, 1000, 1000);
        hm_sample_init(sample);
        hm_perf_fill(&p, sample);
        assert_false(f.on[0] || f.on[HM_PERF_PAGE_FAULTS]);
        assert_true(sample->cycles == 7 && sample->instructions == 14 && sample->cache_misses == 21);
        assert_true(sample->context_switches == 28 && sample->page_faults == 35);
        assert_string_equal(sample->counter_note, "");
    }
    hm_perf_close(&p);
    for (int i = 0; i < HM_PERF_EVENTS; i++)
        assert_true(f.closed[i]);
}

static void events_that_share_a_unit_are_scaled_and_said_to_be(void **state)
{
    (void)state;
    fake f = {0};
    hm_perf_system system = system_of(&f);
    hm_perf_counters p;
    hm_perf_open(&p, &system);
    hm_perf_start(&p);
    advance(&f, 100, 1000, 1000);
    f.now[HM_PERF_CYCLES] = (hm_perf_reading){300, 1000, 250};
    f.now[HM_PERF_CACHE_MISSES] = (hm_perf_reading){0, 1000, 0}; /* its turn never came */
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_int_equal(sample->cycles, 1200);
    assert_int_equal(sample->instructions, 200);
    assert_int_equal(sample->cache_misses, HM_UNKNOWN);
    assert_non_null(strstr(sample->counter_note, "scaled"));
    hm_perf_close(&p);
}

static void a_virtual_machine_without_counters_keeps_the_kernels_own(void **state)
{
    (void)state;
    fake f = {.refuse = {ENOENT, ENOENT, ENOENT, EACCES, 0}, .level = 2, .switches = 10, .faults = 20};
    hm_perf_system system = system_of(&f);
    hm_perf_counters p;
    hm_perf_open(&p, &system);
    assert_string_equal(p.note, "no cycles, instructions, cache misses: no counters in this CPU or virtual machine");
    hm_perf_start(&p);
    advance(&f, 3, 10, 10);
    f.switches += 4;
    f.faults += 9;
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_true(sample->cycles == HM_UNKNOWN && sample->instructions == HM_UNKNOWN && sample->cache_misses == HM_UNKNOWN);
    assert_int_equal(sample->context_switches, 4); /* getrusage */
    assert_int_equal(sample->page_faults, 15);     /* the event */
    assert_string_equal(sample->counter_note, p.note);
    hm_perf_close(&p);
}

static void a_refusal_names_the_setting_and_the_remedy(void **state)
{
    (void)state;
    fake f = {.refuse = {EACCES, EACCES, EACCES, EACCES, EACCES}, .level = 4, .no_usage = true};
    hm_perf_system system = system_of(&f);
    hm_perf_counters p;
    hm_perf_open(&p, &system);
    assert_non_null(strstr(p.note, "perf_event_paranoid is 4: sysctl kernel.perf_event_paranoid=2"));
    assert_non_null(strstr(p.note, "cycles, instructions, cache misses, context switches, page faults"));
    hm_perf_start(&p);
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_true(sample->cycles == HM_UNKNOWN && sample->context_switches == HM_UNKNOWN && sample->page_faults == HM_UNKNOWN);
    hm_perf_close(&p);

    f = (fake){.refuse = {EPERM, EPERM, EPERM, EPERM, EPERM}, .level = 1};
    hm_perf_open(&p, &system);
    assert_non_null(strstr(p.note, "CAP_PERFMON"));
    hm_perf_close(&p);
    f = (fake){.refuse = {ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS}, .no_level = true};
    hm_perf_open(&p, &system);
    assert_non_null(strstr(p.note, "this kernel has no perf events"));
    hm_perf_close(&p);
    f = (fake){.refuse = {0, 0, ENOENT, 0, 0}};
    hm_perf_open(&p, &system);
    assert_string_equal(p.note, "no cache misses: no counters in this CPU or virtual machine");
    hm_perf_close(&p);
}

static void a_counter_that_stops_answering_is_unknown(void **state)
{
    (void)state;
    fake f = {0};
    hm_perf_system system = system_of(&f);
    hm_perf_counters p;
    hm_perf_open(&p, &system);
    f.unreadable[HM_PERF_INSTRUCTIONS] = true;
    hm_perf_start(&p);
    assert_true(f.closed[HM_PERF_INSTRUCTIONS]);
    f.unreadable[HM_PERF_CYCLES] = true;
    advance(&f, 5, 10, 10);
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_true(sample->cycles == HM_UNKNOWN && sample->instructions == HM_UNKNOWN && sample->cache_misses == 15);
    hm_perf_close(&p);
    hm_perf_close(&p);
}

/* Touches so many pages for the first time. */
static void *touch(void *pages)
{
    size_t n = *(const size_t *)pages;
    char *p = mmap(NULL, n * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    madvise(p, n * 4096, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < n; i++)
        p[i * 4096] = 1;
    munmap(p, n * 4096);
    return NULL;
}

static void the_real_kernel_counts_all_threads(void **state)
{
    (void)state;
    hm_perf_counters p;
    pthread_t thread;
    size_t pages = 3000;
    hm_perf_open(&p, hm_perf_real());
    hm_perf_start(&p);
    assert_int_equal(pthread_create(&thread, NULL, touch, &pages), 0);
    pthread_join(thread, NULL);
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_true(sample->page_faults >= (int64_t)pages && sample->page_faults < 3 * (int64_t)pages);
    assert_true(sample->context_switches >= 0);
    assert_true(sample->cycles != HM_UNKNOWN || strlen(sample->counter_note) > 10);
    assert_true(sample->cycles == HM_UNKNOWN || sample->cycles > (int64_t)pages);
    hm_perf_start(&p);
    hm_sample_init(sample);
    hm_perf_fill(&p, sample);
    assert_true(sample->page_faults < 1000);
    hm_perf_close(&p);
}

static int setup(void **state)
{
    (void)state;
    return !(sample = calloc(1, sizeof *sample));
}

static int teardown(void **state)
{
    (void)state;
    free(sample);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_comes_between_is_counted),
        cmocka_unit_test(events_that_share_a_unit_are_scaled_and_said_to_be),
        cmocka_unit_test(a_virtual_machine_without_counters_keeps_the_kernels_own),
        cmocka_unit_test(a_refusal_names_the_setting_and_the_remedy),
        cmocka_unit_test(a_counter_that_stops_answering_is_unknown),
        cmocka_unit_test(the_real_kernel_counts_all_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
