/* The thread team: every part runs once a round, rounds see each other's writes, and opening and closing leaks nothing. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/base/team.h"

#define MAX_PARTS 64

static hm_team *open_team(int threads)
{
    hm_team *team = NULL;
    hm_error err = {0};
    assert_int_equal(hm_team_open(&team, threads, &err), HM_OK);
    assert_int_equal(hm_team_size(team), threads);
    return team;
}

/* Plain (not atomic) on purpose: the sanitizer then proves that rounds are ordered. */
struct tally {
    long parts[MAX_PARTS]; /* rounds each part has run */
    long round;            /* set by the caller before a round */
    atomic_int wrong;
};

static void count_part(void *arg, int index, int count)
{
    struct tally *t = arg;
    (void)count;
    if (t->parts[index] != t->round)
        atomic_fetch_add(&t->wrong, 1);
    t->parts[index]++;
}

static void run_rounds(hm_team *team, long rounds)
{
    struct tally t = {.round = 0};
    int parts = hm_team_size(team);
    for (; t.round < rounds; t.round++)
        hm_team_run(team, count_part, &t);
    assert_int_equal(atomic_load(&t.wrong), 0);
    for (int i = 0; i < MAX_PARTS; i++)
        assert_int_equal(t.parts[i], i < parts ? rounds : 0);
}

/* With and without CPUs enough to pin the second one's workers behind the first one's. */
static void teams_beside_each_other_run_all_their_parts(void **state)
{
    (void)state;
    for (int first = 0; first <= 4; first += 2) {
        hm_team *one = open_team(2), *two = NULL;
        hm_error err = {0};
        assert_int_equal(hm_team_open_at(&two, 2, first, &err), HM_OK);
        run_rounds(one, 200);
        run_rounds(two, 200);
        hm_team_close(&one);
        hm_team_close(&two);
    }
}

static void every_part_runs_once_in_each_of_many_tiny_rounds(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        hm_team *team = open_team(threads);
        run_rounds(team, threads <= 2 ? 5000 : 1000);
        hm_team_close(&team);
        assert_null(team);
    }
}

static void more_threads_than_cpus_finish_their_rounds(void **state)
{
    (void)state;
    int threads = hm_cpu_available() * 2 + 1;
    hm_team *team = open_team(threads < MAX_PARTS ? threads : MAX_PARTS);
    run_rounds(team, 200);
    hm_team_close(&team);
}

static void nap(long ns)
{
    struct timespec t = {0, ns};
    nanosleep(&t, NULL);
}

static void nap_in_turn(void *arg, int index, int count)
{
    struct tally *t = arg;
    if ((t->round + index) % count == 0)
        nap(200000); /* longer than anyone spins */
    t->parts[index]++;
}

static void sleeping_workers_and_a_sleeping_caller_are_woken(void **state)
{
    (void)state;
    hm_team *team = open_team(3);
    struct tally t = {.round = 0};
    for (; t.round < 60; t.round++) {
        if (t.round % 3 == 0)
            nap(200000);
        hm_team_run(team, nap_in_turn, &t);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(t.parts[i], 60);
    hm_team_close(&team);
}

/* Each part writes its own range; the next round, split the other way round, reads what the others wrote. */
struct relay {
    long value[1000];
    int backwards;
};

static void add_one(void *arg, int index, int count)
{
    struct relay *r = arg;
    size_t first, last;
    hm_team_range(1000, 1, r->backwards ? count - 1 - index : index, count, &first, &last);
    for (size_t i = first; i < last; i++)
        r->value[i]++;
}

static void a_round_sees_what_other_threads_wrote_before(void **state)
{
    (void)state;
    hm_team *team = open_team(4);
    static struct relay r;
    memset(&r, 0, sizeof r);
    for (int round = 0; round < 300; round++) {
        r.backwards = round & 1;
        hm_team_run(team, add_one, &r);
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(r.value[i], 300);
    hm_team_close(&team);
}

/* Each part tells who ran it; a worker that has begun one sleeps, as one does that has lost its CPU. */
struct shared {
    atomic_int runs[MAX_PARTS];
    atomic_int own; /* parts of the caller */
    int size, stuck;
};

static void share_part(void *arg, int part, int parts, int thread)
{
    struct shared *s = arg;
    assert_in_range(part, 0, parts - 1);
    assert_in_range(thread, 0, s->size - 1);
    atomic_fetch_add(&s->runs[part], 1);
    if (!thread)
        atomic_fetch_add(&s->own, 1);
    nap(thread && s->stuck ? 20000000 : 100000);
}

static void parts_go_to_who_is_free(void **state)
{
    (void)state;
    for (int size = 1; size <= 4; size++) {
        hm_team *team = open_team(size);
        for (int parts = 0; parts <= 40; parts += 8) {
            struct shared s = {.size = size, .stuck = parts == 40};
            hm_team_share(team, share_part, &s, parts, NULL);
            for (int i = 0; i < MAX_PARTS; i++)
                assert_int_equal(atomic_load(&s.runs[i]), i < parts);
            if (s.stuck) /* they had one each while the caller did the rest: 20 ms are 200 of its naps, or fewer where naps are longer */
                assert_true(atomic_load(&s.own) >= parts / 2);
        }
        hm_team_close(&team);
    }
}

static void a_team_can_be_opened_and_closed_many_times(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        hm_team *team = open_team(1 + i % 5);
        if (i % 3)
            run_rounds(team, i % 3);
        hm_team_close(&team);
        hm_team_close(&team); /* a closed one may be closed again */
        assert_null(team);
    }
}

static void two_teams_do_not_disturb_each_other(void **state)
{
    (void)state;
    hm_team *a = open_team(2), *b = open_team(3);
    for (int i = 0; i < 20; i++) {
        run_rounds(a, 10);
        run_rounds(b, 10);
    }
    hm_team_close(&a);
    run_rounds(b, 10);
    hm_team_close(&b);
}

static void zero_threads_means_the_cpus_there_are(void **state)
{
    (void)state;
    hm_team *team = NULL;
    hm_error err = {0};
    assert_int_equal(hm_team_open(&team, 0, &err), HM_OK);
    assert_true(hm_cpu_available() >= 1);
    assert_int_equal(hm_team_size(team), hm_cpu_available());
    hm_team_close(&team);
}

static void impossible_thread_counts_are_refused(void **state)
{
    (void)state;
    hm_team *team = NULL;
    hm_error err = {0};
    assert_int_equal(hm_team_open(&team, -1, &err), HM_EUSAGE);
    assert_null(team);
    assert_int_equal(hm_team_open(&team, 1025, &err), HM_EUSAGE);
    assert_null(team);
    assert_non_null(strstr(err.text, "1025"));
}

static void ranges_cover_every_item_once_in_whole_grains(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 7, 15, 16, 17, 63, 64, 65, 1000, 3072, 8197};
    static const size_t grains[] = {1, 2, 4, 16, 64, 100};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
            for (int parts = 1; parts <= 9; parts++) {
                size_t next = 0, least = SIZE_MAX, most = 0, first, last;
                for (int i = 0; i < parts; i++) {
                    hm_team_range(counts[c], grains[g], i, parts, &first, &last);
                    assert_int_equal(first, next);
                    assert_true(last >= first && last <= counts[c]);
                    assert_true(last % grains[g] == 0 || last == counts[c]);
                    size_t grain_count = (last - first + grains[g] - 1) / grains[g];
                    least = grain_count < least ? grain_count : least;
                    most = grain_count > most ? grain_count : most;
                    next = last;
                }
                assert_int_equal(next, counts[c]);
                assert_true(most - least <= 1); /* no part has more than one grain above another */
            }
}

/* The caller is done when the other has begun, which then takes its time. */
static void dawdle(void *arg, int part, int parts, int thread)
{
    atomic_int *begun = arg;
    const struct timespec moment = {.tv_nsec = 1000000};
    (void)part;
    (void)parts;
    if (thread) {
        atomic_store(begun, 1);
        for (int i = 0; i < 20; i++)
            nanosleep(&moment, NULL);
    }
    for (int i = 0; i < 5000 && !atomic_load(begun); i++)
        nanosleep(&moment, NULL);
}

static void count_wait(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    (void)index;
    assert_int_equal(kind, HM_SPAN_TEAM);
    assert_string_equal(name, "wait for team");
    ++*(int *)self;
}

static void end_of_wait(void *self, hm_span_kind kind, const char *name)
{
    (void)kind;
    (void)name;
    *(int *)self += 100;
}

static void a_caller_that_waits_for_the_others_tells_so(void **state)
{
    (void)state;
    hm_team *team = open_team(2);
    int told = 0;
    atomic_int begun = 0;
    const hm_probe probe = {.self = &told, .wanted = HM_SPAN_TEAM, .begin = count_wait, .end = end_of_wait};
    hm_team_share(team, dawdle, &begun, 2, &probe);
    assert_int_equal(told, 101);
    hm_team_close(&team);
}

static void nothing(void *arg, int part, int parts, int thread)
{
    (void)arg, (void)part, (void)parts, (void)thread;
}

/* When it has done all parts of a round there; afterwards it may run everywhere again. Where it runs is the scheduler's in the end, and what
 * it leaves it leaves now and then: one round of many is enough. */
static void the_caller_leaves_a_workers_cpu(void **state)
{
    (void)state;
    cpu_set_t all, one, after;
    int cpu = CPU_SETSIZE, left = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    if (CPU_COUNT(&all) < 2)
        skip();
    hm_team *team = open_team(2);
    for (int seen = 0; seen < 2; seen += CPU_ISSET((size_t)cpu, &all) != 0) /* the worker's: the second */
        cpu = cpu == CPU_SETSIZE ? 0 : cpu + 1;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    for (int i = 0; i < 200 && !left; i++) {
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
        bool there = sched_getcpu() == cpu;
        hm_team_share(team, nothing, NULL, 2, NULL);
        left = there && sched_getcpu() != cpu;
        if (!left)
            nap(10000000);
    }
    assert_true(left);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&all, &after));
    hm_team_close(&team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once_in_each_of_many_tiny_rounds),
        cmocka_unit_test(teams_beside_each_other_run_all_their_parts),
        cmocka_unit_test(more_threads_than_cpus_finish_their_rounds),
        cmocka_unit_test(sleeping_workers_and_a_sleeping_caller_are_woken),
        cmocka_unit_test(a_round_sees_what_other_threads_wrote_before),
        cmocka_unit_test(parts_go_to_who_is_free),
        cmocka_unit_test(a_caller_that_waits_for_the_others_tells_so),
        cmocka_unit_test(the_caller_leaves_a_workers_cpu),
        cmocka_unit_test(a_team_can_be_opened_and_closed_many_times),
        cmocka_unit_test(two_teams_do_not_disturb_each_other),
        cmocka_unit_test(zero_threads_means_the_cpus_there_are),
        cmocka_unit_test(impossible_thread_counts_are_refused),
        cmocka_unit_test(ranges_cover_every_item_once_in_whole_grains),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
