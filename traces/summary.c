#include "traces/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/reader.h"
#include "traces/slices.h"

#define MAX_NAMES 256 /* of tracks; more keep their numbers */

typedef struct track_name {
    int64_t pid, tid;
    char text[64];
} track_name;

typedef struct collector {
    hm_slices slices;
    track_name names[MAX_NAMES];
    int name_count;
    hm_status status;
    hm_error *err;
} collector;

static int64_t time_of(const hm_trace_item *item, const char *key)
{
    size_t size;
    int decimals;
    int64_t ns;
    const char *raw = hm_trace_raw_member(item->raw, item->raw_size, key, &size);
    return raw && hm_trace_parse_us(raw, size, &ns, &decimals) == HM_TIME_OK ? ns : -1;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void keep_track_name(collector *c, const json_t *event, int64_t pid, int64_t tid)
{
    if (strcmp(text_of(event, "ph"), "M") || strcmp(text_of(event, "name"), "thread_name") || c->name_count == MAX_NAMES)
        return;
    track_name *n = &c->names[c->name_count++];
    n->pid = pid;
    n->tid = tid;
    snprintf(n->text, sizeof n->text, "%s", text_of(json_object_get(event, "args"), "name"));
}

/* Whole spans only: this program writes no B/E pairs. */
static void on_event(void *self, const hm_trace_item *item)
{
    collector *c = self;
    json_int_t pid = json_integer_value(json_object_get(item->json, "pid")), tid = json_integer_value(json_object_get(item->json, "tid"));
    keep_track_name(c, item->json, pid, tid);
    if (c->status || strcmp(text_of(item->json, "ph"), "X"))
        return;
    int64_t at_ns = time_of(item, "ts"), length_ns = time_of(item, "dur");
    if (at_ns < 0 || length_ns < 0)
        return;
    hm_slice s = {(uint32_t)pid, (uint32_t)tid, at_ns, at_ns + length_ns, item->number, 0, -1, 0};
    c->status = hm_slices_add(&c->slices, s, text_of(item->json, "name"), text_of(item->json, "cat"), c->err);
}

/* The frame that a span lies in, -1: none. The spans are sorted: parents come first. */
static int32_t frame_of(const hm_slices *s, const int32_t *frame, size_t i)
{
    int32_t parent = s->items[i].parent;
    if (parent < 0)
        return -1;
    return !strcmp(s->names[s->items[parent].name].name, "frame") ? parent : frame[parent];
}

/* Sums of a broken file's times stop at the end of the range. */
static void add(int64_t *sum, int64_t ns)
{
    if (__builtin_add_overflow(*sum, ns, sum))
        *sum = ns < 0 ? INT64_MIN / 2 : INT64_MAX / 2;
}

static void add_span(hm_trace_summary *out, const hm_slices *s, size_t i, int32_t frame, int32_t *last_frame)
{
    const hm_slice *x = &s->items[i];
    hm_trace_row *r = &out->rows[x->name];
    int64_t took_ns = x->end_ns - x->start_ns;
    r->min_ns = r->count && r->min_ns < took_ns ? r->min_ns : took_ns;
    r->max_ns = r->count && r->max_ns > took_ns ? r->max_ns : took_ns;
    r->count++;
    add(&r->total_ns, took_ns);
    add(&r->self_ns, took_ns);
    if (x->parent >= 0)
        add(&out->rows[s->items[x->parent].name].self_ns, -took_ns);
    else
        add(&out->total_ns, took_ns);
    if (!strcmp(r->name, "frame")) {
        out->frames++;
        add(&out->frames_ns, took_ns);
    }
    if (frame < 0)
        return;
    r->in_frames++;
    add(&r->in_frames_ns, took_ns);
    if (last_frame[x->name] != frame) {
        last_frame[x->name] = frame;
        r->frames++;
        add(&r->frame_ns, s->items[frame].end_ns - s->items[frame].start_ns);
    }
}

static int by_total(const void *pa, const void *pb)
{
    const hm_trace_row *a = pa, *b = pb;
    if (a->total_ns != b->total_ns)
        return a->total_ns > b->total_ns ? -1 : 1;
    return strcmp(a->name, b->name) ? strcmp(a->name, b->name) : strcmp(a->category, b->category);
}

/* After hm_slices_nest. */
static hm_status summarise(hm_slices *s, hm_trace_summary *out, hm_error *err)
{
    size_t names = (size_t)s->name_count;
    int32_t *frame = hm_calloc(s->count, sizeof *frame, "trace figures", err), *last = hm_calloc(names, sizeof *last, "trace figures", err);
    out->rows = hm_calloc(names, sizeof *out->rows, "trace figures", err);
    if (!frame || !last || !out->rows) {
        free(frame);
        free(last);
        return HM_EABSENT;
    }
    out->count = s->name_count;
    for (size_t i = 0; i < names; i++) {
        out->rows[i].name = s->names[i].name;
        out->rows[i].category = s->names[i].category;
        last[i] = -1;
    }
    for (size_t i = 0; i < s->count; i++) {
        frame[i] = frame_of(s, frame, i);
        add_span(out, s, i, frame[i], last);
    }
    for (size_t i = 0; i < names; i++) /* the rows own the texts from here on */
        s->names[i] = (hm_slice_name){NULL, NULL};
    if (names)
        qsort(out->rows, names, sizeof *out->rows, by_total);
    free(frame);
    free(last);
    return HM_OK;
}

static void name_tracks(const collector *c, hm_idle_report *idle)
{
    for (int i = 0; i < idle->count; i++)
        for (int k = 0; k < c->name_count; k++)
            if (c->names[k].pid == idle->tracks[i].pid && c->names[k].tid == idle->tracks[i].tid && c->names[k].text[0])
                snprintf(idle->tracks[i].name, sizeof idle->tracks[i].name, "%s", c->names[k].text);
}

static hm_status figures(collector *c, hm_trace_summary *out, hm_error *err)
{
    hm_slices_nest(&c->slices, NULL, NULL);
    hm_status st = hm_idle_find(&c->slices, &out->idle, err);
    if (st)
        return st;
    name_tracks(c, &out->idle);
    return summarise(&c->slices, out, err);
}

static hm_status run(const char *path, const char *text, size_t size, hm_trace_summary *out, hm_error *err)
{
    collector *c = hm_calloc(1, sizeof *c, "trace figures", err);
    hm_trace_form form;
    *out = (hm_trace_summary){0};
    if (!c)
        return HM_EABSENT;
    c->err = err;
    hm_trace_reader reader = {c, on_event, NULL};
    hm_status st = text ? hm_trace_read_text(text, size, path, &reader, &form, err) : hm_trace_read(path, &reader, &form, err);
    if (!st)
        st = c->status;
    if (!st)
        st = figures(c, out, err);
    hm_slices_free(&c->slices);
    free(c);
    if (st)
        hm_trace_summary_free(out);
    return st;
}

hm_status hm_trace_summarise(const char *path, hm_trace_summary *out, hm_error *err)
{
    return run(path, NULL, 0, out, err);
}

hm_status hm_trace_summarise_text(const char *text, size_t size, const char *where, hm_trace_summary *out, hm_error *err)
{
    return run(where, text ? text : "", size, out, err);
}

void hm_trace_summary_free(hm_trace_summary *summary)
{
    for (int i = 0; i < summary->count; i++) {
        free(summary->rows[i].name);
        free(summary->rows[i].category);
    }
    free(summary->rows);
    hm_idle_free(&summary->idle);
    *summary = (hm_trace_summary){0};
}

const hm_trace_row *hm_trace_summary_find(const hm_trace_summary *summary, const char *name, const char *category)
{
    for (int i = 0; i < summary->count; i++)
        if (!strcmp(summary->rows[i].name, name) && !strcmp(summary->rows[i].category, category))
            return &summary->rows[i];
    return NULL;
}
