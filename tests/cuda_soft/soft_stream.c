/* Streams and events. At once, on the caller's thread; or, deferred, late, on a thread of the device: nothing runs before the host waits for
 * something (or LATE_NS have passed), and the newest stream comes first. */
#define _GNU_SOURCE
#include "tests/cuda_soft/soft.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LATE_NS 20000000u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed, wanted; /* something was done; something is to be done */
    soft_stream *streams;           /* newest first */
    size_t pending;
    uint64_t oldest_ns; /* when the first of what waits was asked for */
    int waiters;
    bool started, stop, running;
    pthread_t thread;
    uint64_t run_count; /* copies, fills and launches */
} work = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

static atomic_int lost; /* the result that everything has since; 0: all is well */
static _Atomic(const char *) now;

bool hm_soft_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

int hm_soft_lost_result(void)
{
    return atomic_load(&lost);
}

const char *hm_soft_command_now(void)
{
    return atomic_load(&now);
}

uint64_t hm_soft_commands_run(void)
{
    return work.run_count;
}

void hm_soft_lanes_reset(void (*with)(void))
{
    pthread_mutex_lock(&work.lock);
    while (work.running)
        pthread_cond_wait(&work.changed, &work.lock);
    work.run_count = 0;
    atomic_store(&lost, 0);
    with();
    pthread_mutex_unlock(&work.lock);
}

/* --- commands --- */

static const char *name_of(const soft_command *c)
{
    static const char *const names[] = {[SOFT_COPY] = "copy", [SOFT_FILL] = "fill", [SOFT_RECORD] = "event"};
    return c->what == SOFT_LAUNCH ? c->function->entry->name : names[c->what];
}

static size_t values_bytes(const soft_command *c)
{
    size_t bytes = 0;
    for (uint32_t i = 0; c->what == SOFT_LAUNCH && i < c->function->entry->count; i++)
        bytes += sizeof(void *) + (c->function->entry->sizes[i] + 15) / 16 * 16;
    return (bytes + 15) / 16 * 16;
}

soft_command *hm_soft_command_copy(const soft_command *c, size_t keep)
{
    size_t values = values_bytes(c), header = (sizeof *c + 15) / 16 * 16;
    soft_command *copy = malloc(header + values + 16 + keep);
    if (!copy)
        return NULL;
    *copy = *c;
    copy->next = NULL;
    char *at = (char *)copy + header;
    if (values) {
        uint32_t count = c->function->entry->count;
        copy->values = (void **)(void *)at;
        at += (count * sizeof(void *) + 15) / 16 * 16;
        for (uint32_t i = 0; i < count; i++) {
            copy->values[i] = at;
            memcpy(at, c->values[i], c->function->entry->sizes[i]);
            at += (c->function->entry->sizes[i] + 15) / 16 * 16;
        }
    }
    if (keep) {
        copy->from = memcpy(at, c->from, keep);
    }
    return copy;
}

void hm_soft_commands_add(soft_commands *all, soft_command *c)
{
    c->next = NULL;
    if (all->last)
        all->last->next = c;
    else
        all->first = c;
    all->last = c;
    all->count++;
}

void hm_soft_commands_free(soft_commands *all)
{
    for (soft_command *c = all->first, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *all = (soft_commands){0};
}

static void fail_with(CUresult result)
{
    int none = 0;
    atomic_compare_exchange_strong(&lost, &none, (int)result);
}

static void launch(const soft_command *c)
{
    char text[HC_TEXT] = "";
    if (!c->function->module->object.alive) {
        hm_soft_misuse("%s runs after its module was unloaded", c->function->entry->name);
        fail_with(CUDA_ERROR_LAUNCH_FAILED);
    } else if (hc_run(c->function->entry, c->grid, c->block, c->shared, c->values, hm_soft_own.reverse, text)) {
        hm_soft_misuse("%s", text);
        fail_with(CUDA_ERROR_LAUNCH_FAILED);
    }
}

static void fill(const soft_command *c)
{
    uint32_t *to = c->to;
    for (size_t i = 0; i < c->bytes / sizeof *to; i++)
        to[i] = c->pattern;
}

/* One command; the lock is held, or `running` is set. */
static void run(const soft_command *c)
{
    if (c->what != SOFT_RECORD && ++work.run_count == hm_soft_settings.lost_at)
        fail_with(CUDA_ERROR_ECC_UNCORRECTABLE);
    if (hm_soft_lost() || c->gone)
        return;
    uint64_t begin_ns = hm_soft_now_ns();
    if (c->what == SOFT_RECORD) {
        c->event->ns = begin_ns;
        return;
    }
    hm_soft_memory_open();
    atomic_store(&now, name_of(c));
    if (c->what == SOFT_COPY)
        memmove(c->to, c->from, c->bytes);
    else if (c->what == SOFT_FILL)
        fill(c);
    else
        launch(c);
    atomic_store(&now, NULL);
    hm_soft_memory_close();
    if (c->what == SOFT_LAUNCH && c->function->spent) {
        c->function->spent->launches++;
        c->function->spent->ns += hm_soft_now_ns() - begin_ns;
    }
}

/* The first command of the stream is done, or never will be. */
static void retire(soft_stream *s)
{
    soft_command *c = s->waiting.first;
    s->waiting.first = c->next;
    s->waiting.last = c->next ? s->waiting.last : NULL;
    s->waiting.count--;
    work.pending--;
    if (c->event)
        c->event->pending--;
    free(c);
}

static void drop_all(void)
{
    for (soft_stream *s = work.streams; s; s = s->next)
        while (s->waiting.first)
            retire(s);
}

void hm_soft_lanes_abandon(void)
{
    pthread_mutex_lock(&work.lock);
    while (work.running)
        pthread_cond_wait(&work.changed, &work.lock);
    drop_all();
    pthread_mutex_unlock(&work.lock);
}

/* --- the device's thread --- */

static void run_one(void)
{
    soft_stream *s = work.streams;
    while (s && !s->waiting.first)
        s = s->next;
    if (!s)
        return;
    work.running = true;
    pthread_mutex_unlock(&work.lock);
    hm_soft_memory_hold();
    run(s->waiting.first);
    pthread_mutex_lock(&work.lock);
    work.running = false;
    if (work.pending == 1)
        hm_soft_memory_let_go(); /* the host looks from here on */
    retire(s);
    pthread_cond_broadcast(&work.changed);
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

static void *serve(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&work.lock);
    while (!work.stop) {
        bool late = work.pending && hm_soft_now_ns() - work.oldest_ns > LATE_NS;
        if (work.pending && (work.waiters || late)) {
            run_one();
            continue;
        }
        hm_soft_memory_let_go();
        struct timespec until = in_ns(LATE_NS / 4);
        pthread_cond_timedwait(&work.wanted, &work.lock, &until);
    }
    pthread_mutex_unlock(&work.lock);
    return NULL;
}

__attribute__((destructor)) static void stop(void)
{
    pthread_mutex_lock(&work.lock);
    work.stop = true;
    pthread_cond_broadcast(&work.wanted);
    pthread_mutex_unlock(&work.lock);
    if (work.started)
        pthread_join(work.thread, NULL);
}

/* --- asking --- */

static void ask(soft_stream *s, soft_command *c)
{
    if (!hm_soft_settings.defer) {
        run(c);
        if (c->event)
            c->event->pending--;
        free(c);
        return;
    }
    if (!work.pending++)
        work.oldest_ns = hm_soft_now_ns();
    hm_soft_commands_add(&s->waiting, c);
    if (!work.started && !pthread_create(&work.thread, NULL, serve, NULL))
        work.started = true;
    pthread_cond_signal(&work.wanted);
}

CUresult hm_soft_submit(soft_stream *s, const soft_command *c, size_t keep)
{
    soft_command *copy = hm_soft_command_copy(c, keep);
    if (!copy)
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (s->captured) {
        hm_soft_commands_add(&s->captured->commands, copy);
        return CUDA_SUCCESS;
    }
    pthread_mutex_lock(&work.lock);
    if (c->event) {
        c->event->recorded = true;
        c->event->pending++;
    }
    ask(s, copy);
    pthread_mutex_unlock(&work.lock);
    return LAST_RESULT;
}

CUresult hm_soft_submit_all(soft_stream *s, const soft_commands *all)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&work.lock);
    if (!hm_soft_settings.defer)
        hm_soft_memory_hold();
    for (const soft_command *c = all->first; c && !result; c = c->next) {
        soft_command *copy = hm_soft_command_copy(c, 0);
        if (!copy) {
            result = CUDA_ERROR_OUT_OF_MEMORY;
            break;
        }
        if (c->event) {
            c->event->recorded = true;
            c->event->pending++;
        }
        ask(s, copy);
    }
    if (!hm_soft_settings.defer)
        hm_soft_memory_let_go();
    pthread_mutex_unlock(&work.lock);
    return result ? result : LAST_RESULT;
}

static bool uses(const soft_command *c, const soft_memory *m)
{
    const char *places[3] = {c->to, c->from, NULL};
    for (int i = 0; i < 2; i++)
        if (places[i] && places[i] + c->bytes > m->start && places[i] < m->start + m->bytes)
            return true;
    for (uint32_t i = 0; c->what == SOFT_LAUNCH && i < c->function->entry->count; i++)
        if (c->function->entry->sizes[i] == sizeof places[2]) {
            memcpy(&places[2], c->values[i], sizeof places[2]);
            if (places[2] >= m->start && places[2] < m->start + m->bytes)
                return true;
        }
    return false;
}

void hm_soft_lanes_freed(const soft_memory *m)
{
    pthread_mutex_lock(&work.lock);
    for (const soft_stream *s = hm_soft_lost() ? NULL : work.streams; s; s = s->next)
        for (soft_command *c = s->waiting.first; c; c = c->next)
            if (!c->gone && uses(c, m)) {
                hm_soft_misuse("allocation %llu of %zu bytes is freed while a %s waits that uses it", (unsigned long long)m->id, m->bytes,
                               name_of(c));
                c->gone = true;
            }
    pthread_mutex_unlock(&work.lock);
}

/* --- waiting --- */

static CUresult wait_for(const soft_stream *s, const soft_event *e)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&work.lock);
    uint64_t begin_ns = hm_soft_now_ns();
    work.waiters++;
    pthread_cond_signal(&work.wanted);
    while (!hm_soft_lost() && !result && (s ? s->waiting.count : e->pending)) {
        struct timespec until = in_ns(LATE_NS);
        pthread_cond_timedwait(&work.changed, &work.lock, &until);
        if (hm_soft_now_ns() - begin_ns > (uint64_t)hm_soft_settings.timeout_s * 1000000000u) {
            hm_soft_misuse("%s was waited for %d s", s ? "a stream" : "an event", hm_soft_settings.timeout_s);
            result = CUDA_ERROR_LAUNCH_TIMEOUT;
        }
    }
    work.waiters--;
    if (hm_soft_lost() && !work.running)
        drop_all();
    pthread_mutex_unlock(&work.lock);
    return result ? result : LAST_RESULT;
}

/* --- streams --- */

CUresult cuStreamCreate(CUstream *out, unsigned flags)
{
    soft_context *c = NULL;
    ENTER(cuStreamCreate);
    CONTEXT(c);
    NEED(out);
    if (flags & ~(unsigned)CU_STREAM_NON_BLOCKING)
        return (CUresult)hm_soft_misuse("flags %#x", flags);
    soft_stream *s = hm_soft_new(SOFT_STREAM, sizeof *s);
    if (!s)
        return CUDA_ERROR_OUT_OF_MEMORY;
    pthread_mutex_lock(&work.lock);
    s->next = work.streams;
    work.streams = s;
    pthread_mutex_unlock(&work.lock);
    *out = (CUstream)s;
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    ENTER_LAST(cuStreamDestroy_v2);
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    if (s->captured && !s->endless)
        hm_soft_misuse("it captures");
    pthread_mutex_lock(&work.lock);
    while (work.running)
        pthread_cond_wait(&work.changed, &work.lock);
    const soft_command *work_left = s->waiting.first;
    while (work_left && work_left->what == SOFT_RECORD)
        work_left = work_left->next;
    if (work_left && !hm_soft_lost())
        hm_soft_misuse("%d commands wait, among them a %s", s->waiting.count, name_of(work_left));
    while (s->waiting.first)
        retire(s);
    soft_stream **at = &work.streams;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    pthread_mutex_unlock(&work.lock);
    if (s->captured) {
        hm_soft_commands_free(&s->captured->commands);
        hm_soft_retire(s->captured);
    }
    hm_soft_retire(s);
    return LAST_RESULT;
}

CUresult cuStreamSynchronize(CUstream stream)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    ENTER(cuStreamSynchronize);
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    if (s->captured) {
        s->broken = true;
        hm_soft_misuse("it captures");
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return wait_for(s, NULL);
}

CUresult hm_soft_uncaptured(void)
{
    CUresult result = CUDA_SUCCESS;
    pthread_mutex_lock(&work.lock);
    for (soft_stream *s = work.streams; s; s = s->next) {
        bool here = s->mode == CU_STREAM_CAPTURE_MODE_GLOBAL ||
                    (s->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && pthread_equal(s->captures, pthread_self()));
        if (s->captured && here) {
            s->broken = true;
            hm_soft_misuse("a stream captures, and its mode does not allow this meanwhile");
            result = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
    }
    pthread_mutex_unlock(&work.lock);
    return result;
}

/* --- events --- */

CUresult cuEventCreate(CUevent *out, unsigned flags)
{
    soft_context *c = NULL;
    ENTER(cuEventCreate);
    CONTEXT(c);
    NEED(out);
    soft_event *e = hm_soft_new(SOFT_EVENT, sizeof *e);
    if (e)
        e->timed = !(flags & CU_EVENT_DISABLE_TIMING);
    *out = (CUevent)e;
    return e ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuEventDestroy_v2(CUevent event)
{
    soft_context *c = NULL;
    soft_event *e = NULL;
    ENTER_LAST(cuEventDestroy_v2);
    CONTEXT(c);
    TAKE(e, event, SOFT_EVENT);
    hm_soft_retire(e); /* also when it is still to be recorded: nobody hears of that */
    return LAST_RESULT;
}

static CUresult record(CUevent event, CUstream stream, bool external)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    soft_event *e = NULL;
    CONTEXT(c);
    TAKE(e, event, SOFT_EVENT);
    TAKE(s, stream, SOFT_STREAM);
    if (s->captured && !external)
        return (CUresult)hm_soft_misuse("an event of a capture, which this device does not have: CU_EVENT_RECORD_EXTERNAL");
    return hm_soft_submit(s, &(soft_command){.what = SOFT_RECORD, .event = e}, 0);
}

CUresult cuEventRecord(CUevent event, CUstream stream)
{
    ENTER(cuEventRecord);
    return record(event, stream, false);
}

CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned flags)
{
    ENTER(cuEventRecordWithFlags);
    return record(event, stream, flags & CU_EVENT_RECORD_EXTERNAL);
}

CUresult cuEventSynchronize(CUevent event)
{
    soft_context *c = NULL;
    soft_event *e = NULL;
    ENTER(cuEventSynchronize);
    CONTEXT(c);
    TAKE(e, event, SOFT_EVENT);
    return wait_for(NULL, e);
}

CUresult cuEventElapsedTime(float *out, CUevent from, CUevent to)
{
    soft_context *c = NULL;
    soft_event *a = NULL, *b = NULL;
    ENTER(cuEventElapsedTime);
    CONTEXT(c);
    NEED(out);
    TAKE(a, from, SOFT_EVENT);
    TAKE(b, to, SOFT_EVENT);
    if (!a->timed || !b->timed || !a->recorded || !b->recorded) {
        hm_soft_misuse("an event that was never recorded, or has no time");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    pthread_mutex_lock(&work.lock);
    bool ready = !a->pending && !b->pending;
    pthread_mutex_unlock(&work.lock);
    if (!ready)
        return CUDA_ERROR_NOT_READY;
    *out = (float)((double)(int64_t)(b->ns - a->ns) * 1e-6);
    return CUDA_SUCCESS;
}
