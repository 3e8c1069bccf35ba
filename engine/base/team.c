#define _GNU_SOURCE
#include "engine/base/team.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/time.h"

#define SPIN_MOST_NS 50000 /* gaps between the rounds of a decoding step are shorter */
#define SPIN_LEAST_NS 2000
#define JUDGED_NS 3000000      /* rounds that decide together whether the team pays: about a slice of the scheduler */
#define ALONE_LEAST_NS 2000000 /* how long the caller works alone then; doubled when the team does not pay again */
#define ALONE_MOST_NS 512000000
#define STAY_NS 100000000 /* after the caller left a worker's CPU, until it does so again */

/* What the caller found out about its rounds. */
typedef struct balance {
    int64_t ns;        /* of rounds since they were judged last */
    int64_t saved_ns;  /* of them: parts that others did, had the caller done them at its own pace */
    int64_t waited_ns; /* and for others at the end */
    int64_t alone_until, rest_ns;
} balance;

struct hm_team {
    int size;
    pthread_t *threads;
    struct worker *workers;
    cpu_set_t pinned;   /* CPUs of workers; none when they are not pinned */
    int64_t stay_until; /* the caller leaves none of them before */
    balance balance;
    int64_t spin_ns; /* the caller's */
    /* The round: read by whoever holds a part of it. */
    hm_team_part_fn fn;
    void *arg;
    uint32_t parts;
    /* Round << 32 | parts that nobody has taken: one is taken by counting down. */
    _Alignas(64) _Atomic uint64_t left;
    _Alignas(64) _Atomic uint32_t wake; /* bumped when sleepers have something to do */
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    _Alignas(64) _Atomic uint32_t unfinished; /* parts that are not done; the caller waits on it */
    _Atomic bool caller_sleeps;
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

static void futex_wake(_Atomic uint32_t *word, uint32_t count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count < INT_MAX ? count : INT_MAX, NULL, NULL, 0);
}

/* Spins until ready() or *spin_ns are over; what came of it sets how long the next wait spins. */
static bool spin(hm_team *t, bool (*ready)(const hm_team *t), int64_t *spin_ns)
{
    int64_t until = 0;
    for (int i = 0;; i++) {
        if (ready(t)) {
            *spin_ns = *spin_ns * 2 < SPIN_MOST_NS ? *spin_ns * 2 : SPIN_MOST_NS;
            return true;
        }
        relax();
        if (i % 16 == 15) {
            int64_t now = hm_now_ns();
            if (!until)
                until = now + *spin_ns;
            else if (now > until)
                break;
        }
    }
    *spin_ns = *spin_ns / 2 > SPIN_LEAST_NS ? *spin_ns / 2 : SPIN_LEAST_NS;
    return false;
}

/* A part of the round at hand, or -1. */
static int take_part(hm_team *t)
{
    uint64_t left = atomic_load(&t->left);
    while ((uint32_t)left)
        if (atomic_compare_exchange_weak(&t->left, &left, left - 1))
            return (int)(t->parts - (uint32_t)left);
    return -1;
}

static uint32_t run_parts(hm_team *t, int thread)
{
    uint32_t done = 0;
    for (int part; (part = take_part(t)) >= 0; done++)
        t->fn(t->arg, part, (int)t->parts, thread);
    return done;
}

/* The same for the caller, told the time of its shortest part: what a part takes when nobody takes the CPU away. */
static uint32_t run_own_parts(hm_team *t, int64_t start, int64_t *end, int64_t *part_ns)
{
    uint32_t done = 0;
    *end = start;
    *part_ns = INT64_MAX;
    for (int part; (part = take_part(t)) >= 0; done++) {
        t->fn(t->arg, part, (int)t->parts, 0);
        int64_t now = hm_now_ns();
        *part_ns = now - *end < *part_ns ? now - *end : *part_ns;
        *end = now;
    }
    return done;
}

static bool something_to_do(const hm_team *t)
{
    return (uint32_t)atomic_load_explicit(&t->left, memory_order_acquire) || atomic_load_explicit(&t->stop, memory_order_acquire);
}

static void wait_for_work(hm_team *t, int64_t *spin_ns)
{
    if (spin(t, something_to_do, spin_ns))
        return;
    for (;;) {
        uint32_t seen = atomic_load(&t->wake);
        atomic_fetch_add(&t->sleepers, 1);
        if (!something_to_do(t))
            futex_wait(&t->wake, seen);
        atomic_fetch_sub(&t->sleepers, 1);
        if (something_to_do(t))
            return;
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    hm_team *t = w->team;
    int64_t spin_ns = SPIN_MOST_NS;
    for (;;) {
        wait_for_work(t, &spin_ns);
        uint32_t done = run_parts(t, w->index);
        if (done && atomic_fetch_sub(&t->unfinished, done) == done && atomic_load(&t->caller_sleeps))
            futex_wake(&t->unfinished, 1);
        if (!done && atomic_load(&t->stop))
            return NULL;
    }
}

static void wake_workers(hm_team *t, uint32_t most)
{
    if (atomic_load(&t->sleepers)) {
        atomic_fetch_add(&t->wake, 1);
        futex_wake(&t->wake, most);
    }
}

static bool all_done(const hm_team *t)
{
    return !atomic_load_explicit(&t->unfinished, memory_order_acquire);
}

static void wait_for_workers(hm_team *t)
{
    uint32_t left;
    if (spin(t, all_done, &t->spin_ns))
        return;
    atomic_store(&t->caller_sleeps, true);
    while ((left = atomic_load(&t->unfinished)))
        futex_wait(&t->unfinished, left);
    atomic_store(&t->caller_sleeps, false);
}

/* Whether the team has paid lately. */
static void judge(balance *b, int64_t now)
{
    if (b->ns < JUDGED_NS)
        return;
    if (b->waited_ns > b->saved_ns) {
        b->alone_until = now + b->rest_ns;
        b->rest_ns = b->rest_ns * 2 < ALONE_MOST_NS ? b->rest_ns * 2 : ALONE_MOST_NS;
    } else {
        b->rest_ns = ALONE_LEAST_NS;
    }
    b->ns = b->saved_ns = b->waited_ns = 0;
}

/* The scheduler may put the caller where a pinned worker has to wait for it, and a real-time policy leaves it there: off it goes, as free
 * afterwards as it was. On a busy machine it may have been put there for good reasons: now and then, not always. */
static void leave_pinned(hm_team *t, int64_t now)
{
    cpu_set_t given, shared, rest;
    int cpu = now < t->stay_until ? -1 : sched_getcpu();
    if (cpu < 0 || !CPU_ISSET((size_t)cpu, &t->pinned) || sched_getaffinity(0, sizeof given, &given))
        return;
    t->stay_until = now + STAY_NS;
    CPU_AND(&shared, &given, &t->pinned);
    CPU_XOR(&rest, &given, &shared);
    if (CPU_COUNT(&rest) && !sched_setaffinity(0, sizeof rest, &rest))
        sched_setaffinity(0, sizeof given, &given);
}

static void run_alone(hm_team_part_fn fn, void *arg, int parts)
{
    for (int i = 0; i < parts; i++)
        fn(arg, i, parts, 0);
}

void hm_team_share(hm_team *t, hm_team_part_fn fn, void *arg, int parts, const hm_probe *probe)
{
    int64_t start = t->size > 1 && parts > 1 ? hm_now_ns() : 0;
    if (start < t->balance.alone_until || !start) {
        run_alone(fn, arg, parts);
        return;
    }
    t->fn = fn;
    t->arg = arg;
    t->parts = (uint32_t)parts;
    atomic_store(&t->unfinished, (uint32_t)parts);
    atomic_store(&t->left, ((atomic_load(&t->left) >> 32) + 1) << 32 | (uint32_t)parts);
    wake_workers(t, (uint32_t)(parts - 1));
    int64_t finished, part_ns;
    uint32_t own = run_own_parts(t, start, &finished, &part_ns);
    int64_t end = finished;
    if (atomic_fetch_sub(&t->unfinished, own) != own) {
        hm_span_begin(probe, HM_SPAN_TEAM, "wait for team", -1);
        wait_for_workers(t);
        hm_span_end(probe, HM_SPAN_TEAM, "wait for team");
        end = hm_now_ns();
    }
    if ((int)own == parts)
        leave_pinned(t, finished);
    if (own) {
        t->balance.ns += end - start;
        t->balance.saved_ns += part_ns * (parts - (int)own);
        t->balance.waited_ns += end - finished;
        judge(&t->balance, end);
    }
}

typedef struct each_thread {
    hm_team_fn fn;
    void *arg;
} each_thread;

static void run_each(void *arg, int part, int parts, int thread)
{
    const each_thread *e = arg;
    (void)thread;
    e->fn(e->arg, part, parts);
}

void hm_team_run(hm_team *t, hm_team_fn fn, void *arg)
{
    hm_team_run_told(t, fn, arg, NULL);
}

void hm_team_run_told(hm_team *t, hm_team_fn fn, void *arg, const hm_probe *probe)
{
    each_thread e = {fn, arg};
    hm_team_share(t, run_each, &e, t->size, probe);
}

int hm_team_size(const hm_team *team)
{
    return team->size;
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
            if (!pthread_setaffinity_np(t->threads[i], sizeof one, &one))
                CPU_SET(cpu, &t->pinned);
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
    t->spin_ns = SPIN_MOST_NS;
    t->balance.rest_ns = ALONE_LEAST_NS;
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
        atomic_store(&t->stop, true);
        atomic_fetch_add(&t->wake, 1);
        futex_wake(&t->wake, INT_MAX);
        for (int i = 1; i < t->size; i++)
            pthread_join(t->threads[i], NULL);
    }
    free(t->threads);
    free(t->workers);
    free(t);
    *team = NULL;
}
