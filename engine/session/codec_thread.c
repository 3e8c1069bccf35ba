#include "engine/session/codec_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/backend.h"
#include "engine/base/time.h"

#define WATCH_NS 50000000 /* how often a waiting caller looks whether the user wants to stop */

struct hm_codec_thread {
    hm_ctx *c; /* of the drawing thread */
    hm_codec_work work;
    void *self;
    int64_t next;      /* piece to begin; the thread's own while it runs */
    int64_t worked_ns; /* of finished pieces */
    bool own, started;
    /* with a thread of its own */
    hm_ctx own_ctx;
    hm_probe probe; /* of own_ctx: keeps progress, passes on the wish to stop, and spans to the caller's `beside` */
    hm_device *whole, *drawing, *decoding;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below, next and worked_ns */
    pthread_cond_t changed;
    int64_t ready, begun_ns; /* begun_ns: of the piece at work; 0: none */
    int64_t done, total;     /* progress of the piece at work */
    bool stop, cancelled, ended, failed;
};

static int own_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    hm_codec_thread *t = self;
    (void)phase;
    pthread_mutex_lock(&t->lock);
    t->done = done;
    t->total = total;
    bool cancelled = t->cancelled;
    pthread_mutex_unlock(&t->lock);
    return cancelled;
}

static void own_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    const hm_codec_thread *t = self;
    hm_span_begin(t->c->probe->beside, kind, name, index);
}

static void own_end(void *self, hm_span_kind kind, const char *name)
{
    const hm_codec_thread *t = self;
    hm_span_end(t->c->probe->beside, kind, name);
}

static void *thread_main(void *arg)
{
    hm_codec_thread *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->failed) {
        hm_span_begin(&t->probe, HM_SPAN_WAIT, "wait for frames", t->next);
        while (!t->stop && t->next >= t->ready)
            pthread_cond_wait(&t->changed, &t->lock);
        hm_span_end(&t->probe, HM_SPAN_WAIT, "wait for frames");
        if (t->stop)
            break;
        int64_t piece = t->next;
        t->begun_ns = hm_now_ns();
        pthread_mutex_unlock(&t->lock);
        t->work(t->self, &t->own_ctx, piece);
        pthread_mutex_lock(&t->lock);
        t->worked_ns += hm_now_ns() - t->begun_ns;
        t->begun_ns = 0;
        t->next = piece + 1;
        t->failed = hm_ops_status(&t->own_ctx.ops) != HM_OK;
    }
    t->ended = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static void use_device(hm_ctx *c, hm_device *dev)
{
    c->dev = dev;
    c->ops.dev = dev;
}

static void close_own(hm_codec_thread *t)
{
    if (t->decoding)
        t->c->backend->close(&t->decoding);
    if (t->drawing)
        t->c->backend->close(&t->drawing);
}

static hm_status start_own(hm_codec_thread *t, hm_error *err)
{
    pthread_condattr_t monotonic;
    t->whole = t->c->dev;
    hm_status st = t->c->backend->split(t->whole, &t->drawing, &t->decoding, err);
    if (st)
        return st;
    t->own_ctx.toggles = t->c->toggles;
    t->own_ctx.log = t->c->log;
    t->own_ctx.backend = t->c->backend;
    t->own_ctx.dev = t->decoding;
    t->probe = (hm_probe){.self = t, .progress = own_progress};
    if (t->c->probe && t->c->probe->beside) { /* what it wants changes while it records: asked every time */
        t->probe.wanted = HM_SPAN_ANY;
        t->probe.begin = own_begin;
        t->probe.end = own_end;
    }
    t->own_ctx.probe = &t->probe;
    t->own_ctx.backend->ops_init(&t->own_ctx);
    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&t->thread, NULL, thread_main, t);
    if (rc) {
        pthread_mutex_destroy(&t->lock);
        pthread_cond_destroy(&t->changed);
        return hm_fail(err, HM_EABSENT, "decoder: cannot start its thread: %s", strerror(rc));
    }
    t->started = true;
    if (t->drawing)
        use_device(t->c, t->drawing);
    return HM_OK;
}

hm_status hm_codec_thread_start(hm_codec_thread **out, hm_ctx *c, bool own, hm_codec_work work, void *self, hm_error *err)
{
    hm_codec_thread *t = hm_calloc(1, sizeof *t, "decoder thread", err);
    if (!t)
        return HM_EABSENT;
    t->c = c;
    t->work = work;
    t->self = self;
    t->own = own;
    hm_status st = own ? start_own(t, err) : HM_OK;
    if (st) {
        close_own(t);
        free(t);
        return st;
    }
    *out = t;
    return HM_OK;
}

static void take_failure(hm_codec_thread *t)
{
    if (t->failed && !t->c->error.status)
        t->c->error = t->own_ctx.error;
}

void hm_codec_thread_push(hm_codec_thread *t, int64_t ready)
{
    if (t->own) {
        pthread_mutex_lock(&t->lock);
        t->ready = ready > t->ready ? ready : t->ready;
        take_failure(t);
        pthread_cond_broadcast(&t->changed);
        pthread_mutex_unlock(&t->lock);
        return;
    }
    while (t->next < ready && !hm_ops_status(&t->c->ops)) {
        int64_t begun = hm_now_ns();
        t->work(t->self, t->c, t->next++);
        t->worked_ns += hm_now_ns() - begun;
    }
}

/* Until the thread has ended. The lock is held. */
static void wait_for_end(hm_codec_thread *t)
{
    while (!t->ended) {
        struct timespec until;
        int64_t at = hm_now_ns() + WATCH_NS;
        until = (struct timespec){.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
        t->cancelled = hm_ops_status(&t->c->ops) != HM_OK;
        pthread_cond_timedwait(&t->changed, &t->lock, &until);
        int64_t done = t->done, total = t->total;
        if (t->ended || !total)
            continue;
        pthread_mutex_unlock(&t->lock);
        hm_progress(t->c, "decode", done, total);
        pthread_mutex_lock(&t->lock);
    }
}

static void end_own(hm_codec_thread *t, int64_t *overlapped_ns)
{
    uint64_t *sum = (uint64_t *)&t->c->counters;
    const uint64_t *more = (const uint64_t *)&t->own_ctx.counters;
    pthread_mutex_lock(&t->lock);
    *overlapped_ns = t->worked_ns + (t->begun_ns ? hm_now_ns() - t->begun_ns : 0);
    t->stop = true;
    pthread_cond_broadcast(&t->changed);
    hm_span_begin(t->c->probe, HM_SPAN_WAIT, "wait for decoder", -1);
    wait_for_end(t);
    hm_span_end(t->c->probe, HM_SPAN_WAIT, "wait for decoder");
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->changed);
    use_device(t->c, t->whole);
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        sum[i] += more[i];
    hm_places_add(&t->c->places, &t->own_ctx.places);
    take_failure(t);
}

void hm_codec_thread_finish(hm_codec_thread **thread, int64_t *next, int64_t *overlapped_ns)
{
    hm_codec_thread *t = *thread;
    if (!t)
        return;
    if (t->started)
        end_own(t, overlapped_ns);
    else
        *overlapped_ns = t->worked_ns;
    *next = t->next;
    close_own(t);
    free(t);
    *thread = NULL;
}
