#define _GNU_SOURCE
#include "harness/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An open span. Spans that are not recorded have node -1 and are kept so that their ends match. */
typedef struct open_span {
    const char *name;
    int64_t index;
    int64_t start_ns, below_ns; /* below: time in recorded spans directly under this one */
    size_t slot;                /* in spans, SIZE_MAX when not kept */
    int node;
    bool opened_window;
} open_span;

struct hm_recorder {
    hm_probe probe;
    hm_recorder_options options;
    hm_span *spans;
    size_t span_count;
    hm_device_span *device_spans;
    size_t device_count;
    hm_recorder_node nodes[HM_RECORDER_NODES];
    const char *texts[HM_RECORDER_NODES]; /* the engine's own text of each name: compared before the letters are */
    int first_child[HM_RECORDER_NODES], next_sibling[HM_RECORDER_NODES];
    int node_count, first_top;
    open_span stack[HM_RECORDER_DEPTH];
    int depth;
    int too_deep; /* spans open beyond the stack */
    int windows_open;
    bool paused;
    uint64_t dropped, lost, unmatched;
    uint32_t thread;
    hm_frame_time frames[HM_FRAME_TIMES];
    int64_t frames_each; /* of a stretch */
};

static bool same_name(const hm_recorder *r, int node, hm_span_kind kind, const char *name)
{
    return r->nodes[node].kind == kind && (r->texts[node] == name || !strncmp(r->nodes[node].name, name, HM_RECORDER_NAME - 1));
}

/* The node of `name` under `parent`, made when it is new; -1 when there is no room for another. */
static int node_for(hm_recorder *r, int parent, hm_span_kind kind, const char *name)
{
    int *link = parent < 0 ? &r->first_top : &r->first_child[parent];
    while (*link >= 0) {
        if (same_name(r, *link, kind, name))
            return *link;
        link = &r->next_sibling[*link];
    }
    if (r->node_count == HM_RECORDER_NODES)
        return -1;
    int node = r->node_count++;
    r->nodes[node] = (hm_recorder_node){.kind = kind, .parent = parent};
    snprintf(r->nodes[node].name, sizeof r->nodes[node].name, "%s", name);
    r->texts[node] = name;
    r->first_child[node] = r->next_sibling[node] = -1;
    *link = node;
    return node;
}

static int top_node(const hm_recorder *r)
{
    for (int i = r->depth - 1; i >= 0; i--)
        if (r->stack[i].node >= 0)
            return r->stack[i].node;
    return -1;
}

static bool opens_window(const hm_recorder *r, hm_span_kind kind, const char *name, int64_t index)
{
    if (kind == HM_SPAN_OP)
        return false;
    for (int i = 0; i < HM_RECORDER_WINDOWS; i++) {
        const hm_recorder_window *w = &r->options.windows[i];
        if (w->span && index >= w->from && index < w->to && !strcmp(w->span, name))
            return true;
    }
    return false;
}

static void set_window(hm_recorder *r, int change)
{
    r->windows_open += change;
    r->probe.wanted = r->paused ? 0u : r->options.kinds | (r->windows_open ? r->options.window_kinds : 0u);
}

static void keep_span(hm_recorder *r, open_span *open, hm_span_kind kind, int64_t index)
{
    unsigned kept = r->options.span_kinds | (r->windows_open ? r->options.window_kinds : 0u);
    if (!(kept & kind) || !r->options.capacity)
        return;
    if (r->span_count == r->options.capacity) {
        r->dropped++;
        return;
    }
    open->slot = r->span_count++;
    r->spans[open->slot] = (hm_span){.start_ns = open->start_ns, .end_ns = -1, .index = index, .node = open->node, .depth = r->depth};
}

static void on_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    hm_recorder *r = self;
    if (!(r->probe.wanted & kind))
        return;
    hm_span_begin(r->options.inner, kind, name, index);
    if (r->depth == HM_RECORDER_DEPTH) {
        r->too_deep++;
        r->lost++;
        return;
    }
    if (!r->thread)
        r->thread = (uint32_t)syscall(SYS_gettid);
    open_span *open = &r->stack[r->depth];
    *open = (open_span){.name = name, .index = index, .slot = SIZE_MAX, .node = node_for(r, top_node(r), kind, name)};
    open->opened_window = opens_window(r, kind, name, index);
    if (open->opened_window)
        set_window(r, 1);
    open->start_ns = hm_clock_now(r->options.clock);
    if (open->node < 0)
        r->lost++;
    else
        keep_span(r, open, kind, index);
    r->depth++;
}

static void add_to_totals(hm_recorder *r, const open_span *open, int64_t took_ns)
{
    hm_recorder_node *n = &r->nodes[open->node];
    n->min_ns = n->count && n->min_ns < took_ns ? n->min_ns : took_ns;
    n->max_ns = n->count && n->max_ns > took_ns ? n->max_ns : took_ns;
    n->count++;
    n->total_ns += took_ns;
    n->self_ns += took_ns - open->below_ns;
    for (int i = r->depth - 1; i >= 0; i--)
        if (r->stack[i].node >= 0) {
            r->stack[i].below_ns += took_ns;
            break;
        }
}

/* Frames come in any order; when one lies behind the last stretch, stretches join in pairs. */
static void add_frame_time(hm_recorder *r, int64_t frame, int64_t took_ns)
{
    while (frame / r->frames_each >= HM_FRAME_TIMES) {
        for (int i = 0; i < HM_FRAME_TIMES; i++) {
            hm_frame_time pair = i < HM_FRAME_TIMES / 2 ? r->frames[2 * i] : (hm_frame_time){0};
            if (i < HM_FRAME_TIMES / 2) {
                pair.frames += r->frames[2 * i + 1].frames;
                pair.total_ns += r->frames[2 * i + 1].total_ns;
            }
            r->frames[i] = pair;
        }
        r->frames_each *= 2;
    }
    hm_frame_time *t = &r->frames[frame / r->frames_each];
    t->frames++;
    t->total_ns += took_ns;
}

static void on_end(void *self, hm_span_kind kind, const char *name)
{
    hm_recorder *r = self;
    int64_t now_ns = hm_clock_now(r->options.clock);
    if (!(r->probe.wanted & kind))
        return;
    hm_span_end(r->options.inner, kind, name);
    if (r->too_deep) {
        r->too_deep--;
        return;
    }
    if (!r->depth || (r->stack[r->depth - 1].name != name && strcmp(r->stack[r->depth - 1].name, name))) {
        r->unmatched++;
        return;
    }
    open_span *open = &r->stack[--r->depth];
    if (open->opened_window)
        set_window(r, -1);
    if (open->slot != SIZE_MAX)
        r->spans[open->slot].end_ns = now_ns;
    if (open->node >= 0)
        add_to_totals(r, open, now_ns - open->start_ns);
    if (kind == HM_SPAN_STEP && open->index >= 0 && !strcmp(name, "frame"))
        add_frame_time(r, open->index, now_ns - open->start_ns);
}

static void on_device(void *self, const hm_device_span *span)
{
    hm_recorder *r = self;
    if (r->device_count < r->options.device_capacity)
        r->device_spans[r->device_count++] = *span;
    else
        r->dropped++;
}

static void on_tap(void *self, const hm_tap_value *value)
{
    const hm_recorder *r = self;
    r->options.inner->tap(r->options.inner->self, value);
}

static int on_progress(void *self, const char *phase, int64_t done, int64_t total)
{
    const hm_recorder *r = self;
    return r->options.inner->progress(r->options.inner->self, phase, done, total);
}

hm_status hm_recorder_open(hm_recorder **out, const hm_recorder_options *options, hm_error *err)
{
    hm_recorder *r = hm_calloc(1, sizeof *r, "span recorder", err);
    if (!r)
        return HM_EABSENT;
    r->options = *options;
    if (!r->options.kinds)
        r->options.kinds = HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_PART;
    if (!r->options.clock)
        r->options.clock = hm_clock_real();
    if ((options->capacity && !(r->spans = hm_calloc(options->capacity, sizeof *r->spans, "span buffer", err))) ||
        (options->device_capacity &&
         !(r->device_spans = hm_calloc(options->device_capacity, sizeof *r->device_spans, "buffer of a device's commands", err)))) {
        hm_recorder_close(&r);
        return HM_EABSENT;
    }
    if (options->capacity)
        memset(r->spans, 0xff, options->capacity * sizeof *r->spans); /* touched now, so that no page is faulted in while timing */
    if (options->device_capacity)
        memset(r->device_spans, 0xff, options->device_capacity * sizeof *r->device_spans);
    r->probe = (hm_probe){.self = r, .begin = on_begin, .end = on_end, .device = options->device_capacity ? on_device : NULL};
    r->probe.beside = options->beside ? &options->beside->probe : NULL;
    if (options->inner && options->inner->tap)
        r->probe.tap = on_tap;
    if (options->inner && options->inner->progress)
        r->probe.progress = on_progress;
    hm_recorder_clear(r);
    *out = r;
    return HM_OK;
}

void hm_recorder_close(hm_recorder **recorder)
{
    if (!*recorder)
        return;
    free((*recorder)->spans);
    free((*recorder)->device_spans);
    free(*recorder);
    *recorder = NULL;
}

const hm_probe *hm_recorder_probe(hm_recorder *recorder)
{
    return &recorder->probe;
}

void hm_recorder_pause(hm_recorder *recorder, bool pause)
{
    recorder->paused = pause;
    set_window(recorder, 0);
}

void hm_recorder_clear(hm_recorder *recorder)
{
    recorder->span_count = recorder->device_count = 0;
    recorder->node_count = recorder->depth = recorder->too_deep = recorder->windows_open = 0;
    recorder->first_top = -1;
    recorder->dropped = recorder->lost = recorder->unmatched = 0;
    memset(recorder->frames, 0, sizeof recorder->frames);
    recorder->frames_each = 1;
    recorder->thread = 0;
    set_window(recorder, 0);
}

const hm_recorder_node *hm_recorder_nodes(const hm_recorder *recorder, int *count)
{
    *count = recorder->node_count;
    return recorder->nodes;
}

const hm_span *hm_recorder_spans(const hm_recorder *recorder, size_t *count)
{
    *count = recorder->span_count;
    return recorder->spans;
}

const hm_device_span *hm_recorder_device_spans(const hm_recorder *recorder, size_t *count)
{
    *count = recorder->device_count;
    return recorder->device_spans;
}

uint32_t hm_recorder_thread(const hm_recorder *recorder)
{
    return recorder->thread;
}

uint64_t hm_recorder_dropped(const hm_recorder *recorder)
{
    return recorder->dropped;
}

uint64_t hm_recorder_lost(const hm_recorder *recorder)
{
    return recorder->lost;
}

uint64_t hm_recorder_unmatched(const hm_recorder *recorder)
{
    return recorder->unmatched;
}

void hm_recorder_path(const hm_recorder *recorder, int node, char *out, size_t size)
{
    int chain[HM_RECORDER_DEPTH], n = 0;
    size_t used = 0;
    if (!size)
        return;
    out[0] = 0;
    for (; node >= 0 && n < HM_RECORDER_DEPTH; node = recorder->nodes[node].parent)
        chain[n++] = node;
    while (n-- > 0 && used < size) {
        int wrote = snprintf(out + used, size - used, "%s%s", used ? "/" : "", recorder->nodes[chain[n]].name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
}

int hm_recorder_totals(const hm_recorder *recorder, hm_span_total *out, int room)
{
    for (int i = 0; i < recorder->node_count && i < room; i++) {
        const hm_recorder_node *n = &recorder->nodes[i];
        hm_recorder_path(recorder, i, out[i].name, sizeof out[i].name);
        out[i].count = n->count;
        out[i].total_ns = n->total_ns;
        out[i].self_ns = n->self_ns;
    }
    return recorder->node_count;
}

int hm_recorder_find(const hm_recorder *recorder, const char *path)
{
    char text[HM_RECORDER_DEPTH * 8];
    for (int i = 0; i < recorder->node_count; i++) {
        hm_recorder_path(recorder, i, text, sizeof text);
        if (!strcmp(text, path))
            return i;
    }
    return -1;
}

int hm_recorder_frame_times(const hm_recorder *recorder, hm_frame_time out[HM_FRAME_TIMES])
{
    int n = 0;
    for (int i = 0; i < HM_FRAME_TIMES; i++)
        if (recorder->frames[i].frames) {
            out[n] = recorder->frames[i];
            out[n++].first_frame = i * recorder->frames_each;
        }
    return n;
}

/* One try: spans of a part within a frame. */
static double try_cost(hm_recorder *r, const hm_clock *clock, int spans)
{
    const hm_probe *p = hm_recorder_probe(r);
    hm_recorder_clear(r);
    int64_t start = hm_clock_now(clock);
    hm_span_begin(p, HM_SPAN_PHASE, "generate", -1);
    hm_span_begin(p, HM_SPAN_STEP, "frame", 0);
    for (int i = 0; i < spans; i++) {
        hm_span_begin(p, HM_SPAN_PART, "decoder", i);
        hm_span_end(p, HM_SPAN_PART, "decoder");
    }
    hm_span_end(p, HM_SPAN_STEP, "frame");
    hm_span_end(p, HM_SPAN_PHASE, "generate");
    return (double)(hm_clock_now(clock) - start) / (spans + 2);
}

hm_status hm_recorder_cost(const hm_clock *clock, bool kept, double *span_ns, hm_error *err)
{
    enum {
        SPANS = 20000,
        TRIES = 5
    };
    hm_recorder *r;
    hm_recorder_options o = {.clock = clock, .span_kinds = kept ? HM_SPAN_ANY : 0, .capacity = kept ? SPANS + 2 : 0};
    hm_status st = hm_recorder_open(&r, &o, err);
    if (st)
        return st;
    *span_ns = try_cost(r, clock, SPANS);
    for (int i = 1; i < TRIES; i++) {
        double again = try_cost(r, clock, SPANS);
        *span_ns = again < *span_ns ? again : *span_ns;
    }
    hm_recorder_close(&r);
    return HM_OK;
}
