#include "engine/session/many.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"

/* A request at work. */
struct times {
    int index; /* of the request */
    int64_t joined_ns, prefilled_ns;
};

struct hall {
    hm_engine *e;
    const hm_many *many;
    const hm_many_family *family;
    void *self;
    hm_result *results; /* [count] */
    struct times times[HM_MANY_MOST];
    uint8_t *seats;   /* [batch][seat_bytes], beside times */
    int seated, next; /* seats 0 .. seated-1 are taken; the request that joins next */
    int64_t steps, step_rows;
};

static void *seat_of(const struct hall *h, int i)
{
    return h->seats + (size_t)i * h->family->seat_bytes;
}

/* A result counts what was done for it alone, and every step that it took part in. */
static void count_for(hm_result *out, const hm_counters *before, const hm_counters *after)
{
    uint64_t *sum = (uint64_t *)&out->counters;
    const uint64_t *b = (const uint64_t *)before, *a = (const uint64_t *)after;
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        sum[i] += a[i] - b[i];
}

static hm_status check_all(struct hall *h, hm_error *err)
{
    const hm_many *m = h->many;
    for (int i = 0; i < m->count; i++) {
        hm_status st = m->requests[i].sink ? hm_fail(err, HM_EUSAGE, "several at once cannot be streamed; ask for one at a time") : HM_OK;
        if (!st)
            st = h->family->check(h->self, i, err);
        if (st)
            return hm_fail_within(err, "request %d", i + 1);
    }
    return h->family->room(h->self, m->batch < m->count ? m->batch : m->count, err);
}

static hm_status join(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    struct times *t = &h->times[h->seated];
    void *seat = seat_of(h, h->seated);
    hm_result *out = &h->results[h->next];
    *t = (struct times){.index = h->next, .joined_ns = hm_now_ns()};
    memset(seat, 0, h->family->seat_bytes);
    h->next++;
    h->seated++;
    hm_session_begin_call(h->e, out);
    hm_span_begin(c->probe, HM_SPAN_PHASE, "prefill", t->index);
    hm_status st = h->family->join(h->self, seat, t->index, out, err);
    if (!st) {
        c->ops.sync(&c->ops);
        st = hm_session_status(c, err);
    }
    hm_session_spin(c, t->joined_ns);
    hm_span_end(c->probe, HM_SPAN_PHASE, "prefill");
    t->prefilled_ns = hm_now_ns();
    out->prefill_ns = t->prefilled_ns - t->joined_ns;
    count_for(out, &(hm_counters){0}, &c->counters);
    return st;
}

/* Seat i becomes free; the last one takes its place. */
static hm_status leave(struct hall *h, int i, bool ended, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    const struct times t = h->times[i];
    void *seat = seat_of(h, i);
    hm_result *out = &h->results[t.index];
    hm_counters before = c->counters;
    out->ended = ended;
    h->family->collect(h->self, seat, out);
    c->ops.sync(&c->ops);
    out->generate_ns = hm_now_ns() - t.prefilled_ns;
    hm_status st = hm_session_status(c, err);
    if (!st)
        st = hm_session_check_result(out, err);
    if (!st && !h->many->requests[t.index].skip_codec)
        st = h->family->audio(h->self, seat, out, err);
    h->family->leave(h->self, seat);
    if (i != --h->seated) {
        h->times[i] = h->times[h->seated];
        memcpy(seat, seat_of(h, h->seated), h->family->seat_bytes);
    }
    count_for(out, &before, &c->counters);
    out->wall_ns = hm_now_ns() - t.joined_ns;
    return st;
}

/* A frame of everyone. */
static hm_status step(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    bool done[HM_MANY_MOST], ended[HM_MANY_MOST];
    hm_counters before = c->counters;
    int64_t start = hm_now_ns();
    hm_span_begin(c->probe, HM_SPAN_PHASE, "generate", h->steps);
    hm_span_begin(c->probe, HM_SPAN_STEP, "frame", h->steps);
    h->family->step(h->self, h->seats, h->seated, done, ended);
    hm_span_end(c->probe, HM_SPAN_STEP, "frame");
    hm_session_spin(c, start);
    hm_span_end(c->probe, HM_SPAN_PHASE, "generate");
    h->steps++;
    h->step_rows += h->seated;
    for (int i = 0; i < h->seated; i++)
        count_for(&h->results[h->times[i].index], &before, &c->counters);
    hm_status st = hm_session_status(c, err);
    for (int i = h->seated - 1; i >= 0 && !st; i--)
        if (done[i])
            st = leave(h, i, ended[i], err);
    return st;
}

static hm_status run(struct hall *h, hm_error *err)
{
    hm_ctx *c = &h->e->ctx;
    const hm_many *m = h->many;
    hm_status st = check_all(h, err);
    while (!st && (h->seated || h->next < m->count)) {
        hm_progress(c, "generate", h->next - h->seated, m->count);
        st = hm_session_status(c, err);
        while (!st && h->seated < m->batch && h->next < m->count)
            st = join(h, err);
        if (!st)
            st = step(h, err);
    }
    while (h->seated) /* after a failure */
        h->family->leave(h->self, seat_of(h, --h->seated));
    return st;
}

hm_status hm_session_many(hm_engine *e, hm_many *many, const hm_many_family *family, void *self, hm_error *err)
{
    int64_t start = hm_now_ns();
    struct hall h = {.e = e, .many = many, .family = family, .self = self};
    if (many->batch > HM_MANY_MOST)
        return hm_fail(err, HM_EUSAGE, "batch: expected at most %d %s at a time, found %d", HM_MANY_MOST, family->what, many->batch);
    h.results = hm_calloc((size_t)many->count, sizeof *h.results, "results", err);
    h.seats = h.results ? hm_calloc((size_t)many->batch, family->seat_bytes, "requests", err) : NULL;
    e->ctx.error = (hm_error){0};
    hm_status st = h.seats ? run(&h, err) : HM_EABSENT;
    for (int i = 0; h.results && i < many->count; i++)
        if (st)
            hm_session_result_free(&h.results[i]);
        else
            many->results[i] = h.results[i];
    free(h.results);
    free(h.seats);
    many->wall_ns = hm_now_ns() - start;
    many->steps = h.steps;
    many->step_rows = h.step_rows;
    return st;
}
