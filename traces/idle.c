#include "traces/idle.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HM_IDLE_TEXT(name, text) text,

const char *hm_idle_text(hm_idle_cause cause)
{
    static const char *const texts[] = {HM_IDLE_CAUSES(HM_IDLE_TEXT)};
    return texts[cause];
}

/* What is known of each span while gaps are looked for. */
typedef struct place {
    int64_t until_ns;  /* end of the last span inside, its own begin before there is one */
    int32_t frame;     /* the frame that it is or lies in; -1: none */
    bool parent, fine; /* something lies inside; operations do (of frames) */
} place;

typedef struct finder {
    const hm_slices *s;
    place *places;
    hm_idle_report *out;
    hm_idle_track *track;
} finder;

static const hm_slice_name *name_of(const finder *f, size_t i)
{
    return &f->s->names[f->s->items[i].name];
}

static bool is_wait(const hm_slice_name *n)
{
    return !strcmp(n->category, "sync");
}

/* What a device or the CPU computes in; time between the spans inside is its own. */
static bool is_work(const hm_slice_name *n)
{
    static const char *const kinds[] = {"op", "kernel", "memcpy", "memset"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(n->category, kinds[i]))
            return true;
    return false;
}

/* Why nothing is computed in a span, where nothing lies inside it. */
static hm_idle_cause cause_of(const hm_slice_name *n)
{
    if (is_wait(n))
        return !strcmp(n->name, "wait for team") ? HM_IDLE_TEAM : !strncmp(n->name, "wait for ", 9) ? HM_IDLE_CODEC : HM_IDLE_UNKNOWN;
    return !strcmp(n->name, "sampling") ? HM_IDLE_SAMPLING : HM_IDLE_HOST;
}

/* Sums of a broken file's times stop at the end of the range. */
static void add(int64_t *sum, int64_t ns)
{
    if (__builtin_add_overflow(*sum, ns, sum))
        *sum = INT64_MAX / 2;
}

static void add_gap(finder *f, hm_idle_cause cause, int32_t frame, int64_t ns)
{
    hm_idle *idle = &f->track->idle[cause];
    if (ns <= 0)
        return;
    idle->gaps++;
    add(&idle->total_ns, ns);
    idle->longest_ns = ns > idle->longest_ns ? ns : idle->longest_ns;
    if (frame >= 0 && f->places[frame].fine)
        add(&idle->in_frames_ns, ns);
}

/* Whether operations would be there, had there been any: something lies inside, or the frame around it has some. */
static bool is_recorded(const finder *f, size_t i)
{
    int32_t frame = f->places[i].frame;
    return f->places[i].parent || (frame >= 0 && f->places[frame].fine);
}

/* Time of span i that nothing inside it covers, between what came before and at_ns. */
static void own_time(finder *f, size_t i, int64_t from_ns, int64_t at_ns)
{
    const hm_slice_name *n = name_of(f, i);
    if (at_ns <= from_ns)
        return;
    if (is_work(n) || (!is_wait(n) && !is_recorded(f, i)))
        add(&f->track->busy_ns, at_ns - from_ns);
    else
        add_gap(f, cause_of(n), f->places[i].frame, at_ns - from_ns);
}

/* Which frame each span lies in, which spans hold others, and which frames have operations. */
static void look_inside(finder *f)
{
    for (size_t i = 0; i < f->s->count; i++) {
        const hm_slice *x = &f->s->items[i];
        const hm_slice_name *n = name_of(f, i);
        place *p = &f->places[i];
        p->until_ns = x->start_ns;
        p->frame = !strcmp(n->name, "frame") ? (int32_t)i : x->parent >= 0 ? f->places[x->parent].frame : -1;
        if (x->parent >= 0)
            f->places[x->parent].parent = true;
        if (p->frame >= 0 && p->frame != (int32_t)i && (is_work(n) || is_wait(n)))
            f->places[p->frame].fine = true;
    }
    for (size_t i = 0; i < f->s->count; i++)
        if (f->places[i].fine) {
            f->out->frames++;
            add(&f->out->frames_ns, f->s->items[i].end_ns - f->s->items[i].start_ns);
        }
}

/* The spans of one track, [first, last): they are sorted by begin, and parents come first. */
static void find_in_track(finder *f, size_t first, size_t last)
{
    const hm_slice *items = f->s->items;
    int64_t until = items[first].start_ns;
    for (size_t i = first; i < last; i++) {
        const hm_slice *x = &items[i];
        if (x->parent >= 0) {
            place *p = &f->places[x->parent];
            own_time(f, (size_t)x->parent, p->until_ns, x->start_ns);
            p->until_ns = x->end_ns > p->until_ns ? x->end_ns : p->until_ns;
            continue;
        }
        add_gap(f, HM_IDLE_UNKNOWN, -1, x->start_ns - until);
        until = x->end_ns > until ? x->end_ns : until;
    }
    for (size_t i = first; i < last; i++)
        own_time(f, i, f->places[i].until_ns, items[i].end_ns);
    f->track->span_ns = until - items[first].start_ns;
}

static bool same_track(const hm_slice *a, const hm_slice *b)
{
    return a->pid == b->pid && a->tid == b->tid;
}

hm_status hm_idle_find(const hm_slices *s, hm_idle_report *out, hm_error *err)
{
    finder f = {.s = s, .out = out};
    int tracks = 0;
    for (size_t i = 0; i < s->count; i++)
        tracks += !i || !same_track(&s->items[i - 1], &s->items[i]);
    *out = (hm_idle_report){.tracks = hm_calloc((size_t)tracks + 1, sizeof *out->tracks, "trace figures", err)};
    f.places = hm_calloc(s->count + 1, sizeof *f.places, "trace figures", err);
    if (!out->tracks || !f.places) {
        free(f.places);
        hm_idle_free(out);
        return HM_EABSENT;
    }
    look_inside(&f);
    for (size_t first = 0, last; first < s->count; first = last) {
        for (last = first + 1; last < s->count && same_track(&s->items[first], &s->items[last]);)
            last++;
        f.track = &out->tracks[out->count++];
        f.track->pid = s->items[first].pid;
        f.track->tid = s->items[first].tid;
        snprintf(f.track->name, sizeof f.track->name, "pid %" PRIu32 " tid %" PRIu32, f.track->pid, f.track->tid);
        find_in_track(&f, first, last);
    }
    free(f.places);
    return HM_OK;
}

void hm_idle_free(hm_idle_report *report)
{
    free(report->tracks);
    *report = (hm_idle_report){0};
}
