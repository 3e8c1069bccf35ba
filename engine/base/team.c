#define _GNU_SOURCE
#include "engine/base/team.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/time.h"

#define SPIN_NS 50000

struct hm_team {
    int size;
    pthread_t *threads;
    struct worker *workers;
    hm_team_fn fn;
    void *arg;
    bool stop;
    _Alignas(64) _Atomic uint32_t generation; /* bumped to start a round; workers wait on it */
    _Atomic int sleepers;
    _Alignas(64) _Atomic uint32_t pending; /* workers still running; the caller waits on it */
    _Atomic int caller_sleeps;
};

struct worker {
    hm_team *team;
    int index;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Returns once *word differs from seen: spins for SPIN_NS, then sleeps with *sleeps raised so that the waker knows to wake. */
static void wait_change(_Atomic uint32_t *word, uint32_t seen, _Atomic int *sleeps)
{
    int64_t until = 0;
    for (int i = 0;; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != seen)
            return;
        relax();
        if (i % 64 == 63) {
            int64_t now = hm_now_ns();
            if (!until)
                until = now + SPIN_NS;
            else if (now > until)
                break;
        }
    }
    atomic_fetch_add(sleeps, 1);
    while (atomic_load(word) == seen)
        futex_wait(word, seen);
    atomic_fetch_sub(sleeps, 1);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    hm_team *t = w->team;
    uint32_t seen = 0;
    for (;;) {
        wait_change(&t->generation, seen, &t->sleepers);
        seen++;
        if (t->stop)
            return NULL;
        t->fn(t->arg, w->index, t->size);
        if (atomic_fetch_sub(&t->pending, 1) == 1 && atomic_load(&t->caller_sleeps))
            futex_wake(&t->pending);
    }
}

static void start_round(hm_team *t)
{
    atomic_store(&t->pending, (uint32_t)(t->size - 1));
    atomic_fetch_add(&t->generation, 1);
    if (atomic_load(&t->sleepers))
        futex_wake(&t->generation);
}

static void wait_round(hm_team *t)
{
    uint32_t left;
    while ((left = atomic_load_explicit(&t->pending, memory_order_acquire)))
        wait_change(&t->pending, left, &t->caller_sleeps);
}

void hm_team_run(hm_team *t, hm_team_fn fn, void *arg)
{
    hm_team_run_told(t, fn, arg, NULL);
}

void hm_team_run_told(hm_team *t, hm_team_fn fn, void *arg, const hm_probe *probe)
{
    if (t->size == 1) {
        fn(arg, 0, 1);
        return;
    }
    t->fn = fn;
    t->arg = arg;
    start_round(t);
    fn(arg, 0, t->size);
    hm_span_begin(probe, HM_SPAN_TEAM, "wait for team", -1);
    wait_round(t);
    hm_span_end(probe, HM_SPAN_TEAM, "wait for team");
}

int hm_team_size(const hm_team *team)
{
    return team->size;
}

int hm_cpu_available(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    long long quota, period;
    if (f) {
        if (fscanf(f, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
            int limit = (int)((quota + period - 1) / period);
            n = limit < n ? limit : n;
        }
        fclose(f);
    }
    return n < 1 ? 1 : n;
}

/* Worker i goes to the allowed CPU first + i; the caller keeps its own freedom. Only when there are enough CPUs for all. */
static void pin_workers(hm_team *t, int first)
{
    cpu_set_t set, one;
    if (sched_getaffinity(0, sizeof set, &set) || CPU_COUNT(&set) < first + t->size)
        return;
    for (int cpu = 0, i = -first; cpu < CPU_SETSIZE && i < t->size; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        if (i > 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(t->threads[i], sizeof one, &one);
        }
        i++;
    }
}

hm_status hm_team_open(hm_team **out, int threads, hm_error *err)
{
    return hm_team_open_at(out, threads, 0, err);
}

hm_status hm_team_open_at(hm_team **out, int threads, int first, hm_error *err)
{
    if (threads < 0 || threads > 1024)
        return hm_fail(err, HM_EUSAGE, "threads: %d, expected 1 to 1024, or 0 for all CPUs", threads);
    hm_team *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
    if (!t)
        return hm_fail(err, HM_EABSENT, "thread team: no memory");
    memset(t, 0, sizeof *t);
    t->size = 1;
    int want = threads ? threads : hm_cpu_available();
    t->threads = hm_calloc((size_t)want, sizeof *t->threads, "thread team", err);
    t->workers = hm_calloc((size_t)want, sizeof *t->workers, "thread team", err);
    if (!t->threads || !t->workers) {
        hm_team_close(&t);
        return HM_EABSENT;
    }
    for (; t->size < want; t->size++) {
        int i = t->size;
        t->workers[i] = (struct worker){t, i};
        int rc = pthread_create(&t->threads[i], NULL, worker_main, &t->workers[i]);
        if (rc) {
            hm_fail(err, HM_EABSENT, "thread team: cannot start thread %d of %d: %s", i + 1, want, strerror(rc));
            hm_team_close(&t);
            return HM_EABSENT;
        }
    }
    pin_workers(t, first);
    *out = t;
    return HM_OK;
}

void hm_team_close(hm_team **team)
{
    hm_team *t = *team;
    if (!t)
        return;
    if (t->size > 1) {
        t->stop = true;
        start_round(t);
        for (int i = 1; i < t->size; i++)
            pthread_join(t->threads[i], NULL);
    }
    free(t->threads);
    free(t->workers);
    free(t);
    *team = NULL;
}
