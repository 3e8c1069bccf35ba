/* The order of commands. At once, on the caller's thread, unless something must be waited for; or, deferred, late, on a thread of the
 * device: nothing runs before the host waits for something (or LATE_NS have passed), no more than must, the newest lane first, and what no
 * barrier, event or in-order list holds together in reverse: commands of a list only start in order, no more is promised. */
#define _GNU_SOURCE
#include "tests/ze_soft/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LATE_NS 20000000u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed, wanted; /* something was done; something is to be done */
    soft_lane *lanes;               /* newest first */
    size_t pending;
    uint64_t oldest_ns; /* when the first of what waits was asked for */
    int waiters;
    bool started, stop, running;
    pthread_t thread;
} lanes = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

void hm_soft_lanes_reset(void (*with)(void))
{
    pthread_mutex_lock(&lanes.lock);
    while (lanes.running)
        pthread_cond_wait(&lanes.changed, &lanes.lock);
    hm_soft_commands_reset();
    with();
    pthread_mutex_unlock(&lanes.lock);
}

static struct timespec in_ns(uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / 1000000000u);
    t.tv_nsec = (long)(ns % 1000000000u);
    return t;
}

/* --- one step of one lane; with the lock --- */

static void retire(soft_lane *lane, size_t at, bool done)
{
    soft_step step = lane->steps[at];
    hm_soft_command_pend(step.command, -1); /* before anyone sees that it is done */
    if (step.list)
        atomic_fetch_sub(&step.list->pending, 1);
    if (done)
        hm_soft_command_signal(step.command);
    if (!step.list)
        free(step.command);
    memmove(lane->steps + lane->first + 1, lane->steps + lane->first, (at - lane->first) * sizeof step);
    if (++lane->first == lane->count)
        lane->first = lane->count = 0;
    lanes.pending--;
}

static bool holds_back(const soft_command *c) /* waits for all before it, or holds up all behind it */
{
    return c->what == SOFT_BARRIER || c->what == SOFT_WAIT || c->what == SOFT_FENCE_SIGNAL;
}

/* Which step may run now: the last one that nothing before it holds up. count: none. */
static size_t choose(const soft_lane *lane)
{
    size_t at = lane->first, chosen = lane->count;
    for (; at < lane->count; at++) {
        const soft_step *step = &lane->steps[at];
        if (!hm_soft_command_ready(step->command))
            break;
        if (holds_back(step->command) && at > lane->first)
            break;
        chosen = at;
        if (!hm_soft_settings.defer || step->in_order || holds_back(step->command))
            break;
    }
    return chosen;
}

/* Runs one step, if any can. The lock is given up while a thread of the device runs it. */
static bool run_one(bool unlocked)
{
    for (soft_lane *lane = lanes.lanes; lane; lane = lane->next) {
        size_t at = choose(lane);
        if (at >= lane->count)
            continue;
        const soft_command *c = lane->steps[at].command;
        lanes.running = true;
        if (unlocked)
            pthread_mutex_unlock(&lanes.lock);
        if (unlocked)
            hm_soft_memory_hold();
        ze_result_t st = hm_soft_command_run(c);
        if (unlocked)
            pthread_mutex_lock(&lanes.lock);
        lanes.running = false;
        for (at = lane->first; lane->steps[at].command != c; at++) {
        }
        if (lane->count - lane->first == 1)
            hm_soft_memory_let_go();
        retire(lane, at, !st);
        pthread_cond_broadcast(&lanes.changed);
        return true;
    }
    return false;
}

static void drop_all(void)
{
    for (soft_lane *lane = lanes.lanes; lane; lane = lane->next)
        while (lane->first < lane->count)
            retire(lane, lane->first, false);
}

/* A device that is lost does nothing of what waits. */
void hm_soft_lanes_abandon(void)
{
    pthread_mutex_lock(&lanes.lock);
    while (lanes.running)
        pthread_cond_wait(&lanes.changed, &lanes.lock);
    drop_all();
    pthread_mutex_unlock(&lanes.lock);
}

/* --- the device's thread --- */

static void *serve(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&lanes.lock);
    while (!lanes.stop) {
        bool late = lanes.pending && hm_soft_now_ns() - lanes.oldest_ns > LATE_NS;
        bool asked = hm_soft_settings.defer && lanes.pending && (lanes.waiters || late);
        if (asked && run_one(true))
            continue;
        hm_soft_memory_let_go();
        struct timespec until = in_ns(LATE_NS / 4);
        pthread_cond_timedwait(&lanes.wanted, &lanes.lock, &until);
    }
    pthread_mutex_unlock(&lanes.lock);
    return NULL;
}

static void start(void)
{
    if (!lanes.started && !pthread_create(&lanes.thread, NULL, serve, NULL))
        lanes.started = true;
}

__attribute__((destructor)) static void stop(void)
{
    pthread_mutex_lock(&lanes.lock);
    lanes.stop = true;
    pthread_cond_broadcast(&lanes.wanted);
    pthread_mutex_unlock(&lanes.lock);
    if (lanes.started)
        pthread_join(lanes.thread, NULL);
}

/* --- lanes --- */

void hm_soft_lane_open(soft_lane *lane)
{
    pthread_mutex_lock(&lanes.lock);
    lane->next = lanes.lanes;
    lanes.lanes = lane;
    pthread_mutex_unlock(&lanes.lock);
}

void hm_soft_lane_close(soft_lane *lane)
{
    pthread_mutex_lock(&lanes.lock);
    while (lanes.running && lane->first < lane->count)
        pthread_cond_wait(&lanes.changed, &lanes.lock);
    if (lane->first < lane->count && !hm_soft_lost())
        hm_soft_misuse("%zu commands wait, the first is a %s", lane->count - lane->first,
                       hm_soft_command_name(lane->steps[lane->first].command));
    while (lane->first < lane->count)
        retire(lane, lane->first, false);
    soft_lane **at = &lanes.lanes;
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    free(lane->steps);
    lane->steps = NULL;
    pthread_mutex_unlock(&lanes.lock);
}

static bool push(soft_lane *lane, soft_step step)
{
    if (lane->count == lane->room) {
        size_t room = lane->room ? lane->room * 2 : 64;
        soft_step *steps = realloc(lane->steps, room * sizeof *steps);
        if (!steps)
            return false;
        lane->steps = steps;
        lane->room = room;
    }
    lane->steps[lane->count++] = step;
    hm_soft_command_pend(step.command, 1);
    if (step.list)
        atomic_fetch_add(&step.list->pending, 1);
    if (!lanes.pending++)
        lanes.oldest_ns = hm_soft_now_ns();
    return true;
}

/* What waits now may run: at once, unless deferred. */
static void pump(void)
{
    if (hm_soft_settings.defer) {
        start();
        pthread_cond_signal(&lanes.wanted);
        return;
    }
    while (lanes.pending && run_one(false)) {
    }
}

static ze_result_t submit_locked(soft_lane *lane, soft_command *c, soft_list *list, bool in_order)
{
    bool now = !hm_soft_settings.defer && lane->first == lane->count && hm_soft_command_ready(c);
    if (now) {
        ze_result_t st = hm_soft_command_run(c);
        if (!st)
            hm_soft_command_signal(c);
        if (lanes.waiters)
            pthread_cond_broadcast(&lanes.changed);
        if (lanes.pending)
            pump();
        return st;
    }
    soft_command *kept = list ? c : hm_soft_command_copy(c);
    if (!kept)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    if (!push(lane, (soft_step){kept, list, in_order})) {
        if (!list)
            free(kept);
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    }
    pump();
    return ZE_RESULT_SUCCESS;
}

ze_result_t hm_soft_submit(soft_lane *lane, soft_command *c)
{
    ze_result_t st = hm_soft_command_check(c);
    if (st)
        return st;
    pthread_mutex_lock(&lanes.lock);
    st = submit_locked(lane, c, NULL, lane->in_order);
    pthread_mutex_unlock(&lanes.lock);
    return !st && lane->synchronous ? hm_soft_lane_wait(lane, UINT64_MAX) : st;
}

ze_result_t hm_soft_submit_list(soft_lane *lane, soft_list *list)
{
    ze_result_t st = ZE_RESULT_SUCCESS;
    pthread_mutex_lock(&lanes.lock);
    if (!hm_soft_settings.defer)
        hm_soft_memory_hold();
    for (size_t i = 0; i < list->count && !st; i++)
        st = submit_locked(lane, list->commands[i], list, list->in_order);
    if (!hm_soft_settings.defer)
        hm_soft_memory_let_go();
    pthread_mutex_unlock(&lanes.lock);
    return st;
}

void hm_soft_lanes_kick(void)
{
    pthread_mutex_lock(&lanes.lock);
    pump();
    pthread_cond_broadcast(&lanes.changed);
    pthread_mutex_unlock(&lanes.lock);
}

void hm_soft_lanes_freed(const soft_memory *m)
{
    char what[160];
    pthread_mutex_lock(&lanes.lock);
    for (const soft_lane *lane = hm_soft_lost() ? NULL : lanes.lanes; lane; lane = lane->next)
        for (size_t i = lane->first; i < lane->count; i++)
            if (hm_soft_command_uses(lane->steps[i].command, m, what, sizeof what)) {
                hm_soft_misuse("allocation %llu of %zu bytes is freed while it is %s, which waits", (unsigned long long)m->id, m->bytes,
                               what);
                i = lane->count - 1;
            }
    pthread_mutex_unlock(&lanes.lock);
}

/* --- waiting --- */

static bool done(const atomic_bool *flag, const soft_lane *lane)
{
    return flag ? atomic_load(flag) : lane->first == lane->count;
}

static ze_result_t never(const char *what)
{
    hm_soft_misuse("%s was waited for %d s: nobody signals it", what, hm_soft_settings.timeout_s);
    for (const soft_lane *lane = lanes.lanes; lane; lane = lane->next)
        if (lane->first < lane->count)
            fprintf(stderr, "ze_soft: %zu commands wait in a lane, the first is a %s\n", lane->count - lane->first,
                    hm_soft_command_name(lane->steps[lane->first].command));
    return ZE_RESULT_ERROR_DEVICE_LOST;
}

static ze_result_t wait_for(const atomic_bool *flag, const soft_lane *lane, const char *what, uint64_t timeout_ns)
{
    uint64_t limit_ns = (uint64_t)hm_soft_settings.timeout_s * 1000000000u, begin_ns = 0;
    ze_result_t st = ZE_RESULT_NOT_READY;
    pthread_mutex_lock(&lanes.lock);
    lanes.waiters += timeout_ns != 0;
    while (st == ZE_RESULT_NOT_READY) {
        if (timeout_ns && lanes.pending)
            pump();
        begin_ns = begin_ns ? begin_ns : hm_soft_now_ns();
        uint64_t passed_ns = hm_soft_now_ns() - begin_ns;
        if (done(flag, lane))
            st = ZE_RESULT_SUCCESS;
        else if (hm_soft_lost())
            st = ZE_RESULT_ERROR_DEVICE_LOST;
        else if (passed_ns >= timeout_ns)
            break;
        else if (passed_ns >= limit_ns)
            st = never(what);
        else {
            struct timespec until = in_ns(LATE_NS);
            pthread_cond_timedwait(&lanes.changed, &lanes.lock, &until);
        }
    }
    lanes.waiters -= timeout_ns != 0;
    if (hm_soft_lost() && !lanes.running)
        drop_all();
    pthread_mutex_unlock(&lanes.lock);
    return hm_soft_lost() ? ZE_RESULT_ERROR_DEVICE_LOST : st;
}

ze_result_t hm_soft_lane_wait(soft_lane *lane, uint64_t timeout_ns)
{
    return wait_for(NULL, lane, "a list or queue", timeout_ns);
}

ze_result_t hm_soft_flag_wait(const atomic_bool *flag, const char *what, uint64_t timeout_ns)
{
    if (atomic_load(flag))
        return hm_soft_lost() ? ZE_RESULT_ERROR_DEVICE_LOST : ZE_RESULT_SUCCESS;
    return wait_for(flag, NULL, what, timeout_ns);
}
