/* What `hmbench profile` prints. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/limits.h"
#include "harness/profile.h"
#include "harness/table.h"
#include "traces/check.h"

#define MAX_ROWS 128
#define COST_GOAL 0.01 /* of a frame, for phases and frames */

/* Frames in the window: how many, their time, and when the first one begins and the last one ends. */
static int64_t window_of(const hm_profile *p, int64_t *ns, int64_t *from_ns, int64_t *to_ns)
{
    size_t n;
    int nodes;
    int64_t frames = 0;
    const hm_span *spans = hm_recorder_spans(p->recorder, &n);
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &nodes);
    *ns = *from_ns = *to_ns = 0;
    for (size_t i = 0; i < n; i++)
        if (node[spans[i].node].kind == HM_SPAN_STEP && !strcmp(node[spans[i].node].name, "frame") && spans[i].end_ns >= 0 &&
            spans[i].index >= p->args->window_from && spans[i].index < p->args->window_to) {
            *from_ns = frames++ ? *from_ns : spans[i].start_ns;
            *to_ns = spans[i].end_ns;
            *ns += spans[i].end_ns - spans[i].start_ns;
        }
    return frames;
}

int64_t hm_profile_window_frames(const hm_profile *p, int64_t *ns)
{
    int64_t from_ns, to_ns;
    return window_of(p, ns, &from_ns, &to_ns);
}

int64_t hm_profile_window_time(const hm_profile *p, int64_t *from_ns, int64_t *to_ns)
{
    int64_t ns;
    return window_of(p, &ns, from_ns, to_ns);
}

static int compare_nodes(const void *a, const void *b)
{
    const hm_recorder_node *x = a, *y = b;
    return x->total_ns < y->total_ns ? 1 : x->total_ns > y->total_ns ? -1 : strcmp(x->name, y->name);
}

/* A row of the table of frames: time and share of `frames` frames that took frames_ns. */
static void frame_row(hm_table *t, const char *indent, const hm_recorder_node *node, int64_t frames, int64_t frames_ns)
{
    char name[80], calls[24], time[24], share[24];
    snprintf(name, sizeof name, "%s%s", indent, node->name);
    snprintf(calls, sizeof calls, "%.1f", (double)node->count / (double)frames);
    snprintf(time, sizeof time, "%.4f", (double)node->total_ns / 1e6 / (double)frames);
    snprintf(share, sizeof share, "%.1f", frames_ns > 0 ? 100.0 * (double)node->total_ns / (double)frames_ns : 0);
    hm_table_row(t, (const char *const[]){name, hm_profile_kind(node->kind), calls, time, share});
}

static bool lies_in(const hm_recorder_node *node, int which, int above)
{
    while (which >= 0 && which != above)
        which = node[which].parent;
    return which == above;
}

/* Nodes under `frame` into rows by name: those directly below it, or those of `kinds` wherever they lie. Returns how many, longest first. */
static int collect(const hm_recorder_node *node, int count, int frame, unsigned kinds, hm_recorder_node rows[MAX_ROWS])
{
    const unsigned fine = HM_SPAN_OP | HM_SPAN_TEAM | HM_SPAN_WAIT;
    int n = 0;
    for (int i = 0; i < count; i++) {
        int at = 0;
        if (kinds ? !(node[i].kind & kinds) || !lies_in(node, i, frame) : (node[i].kind & fine) || node[i].parent != frame)
            continue;
        while (at < n && strcmp(rows[at].name, node[i].name))
            at++;
        if (at == MAX_ROWS)
            continue;
        if (at == n) {
            rows[n++] = node[i];
            continue;
        }
        rows[at].count += node[i].count;
        rows[at].total_ns += node[i].total_ns;
    }
    qsort(rows, (size_t)n, sizeof *rows, compare_nodes);
    return n;
}

/* Parts are means of all frames, operations of the frames in the window: the only ones they were recorded in. */
static hm_status print_frames(const hm_profile *p, hm_error *err)
{
    hm_recorder_node rows[MAX_ROWS];
    int count, frame = hm_recorder_find(p->recorder, "generate/frame");
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &count);
    int64_t window_ns, window = hm_profile_window_frames(p, &window_ns);
    if (frame < 0 || !node[frame].count) {
        printf("no frames were recorded\n");
        return HM_OK;
    }
    hm_table *t = hm_table_new((const char *const[]){"span of a frame", "kind", ">calls/frame", ">ms/frame", ">% of frame", NULL});
    const hm_recorder_node *whole = &node[frame];
    hm_recorder_node rest = {.name = "in no part", .kind = HM_SPAN_PART, .count = whole->count, .total_ns = whole->total_ns};
    frame_row(t, "", whole, whole->count, whole->total_ns);
    for (int i = 0, n = collect(node, count, frame, 0, rows); i < n; i++) {
        frame_row(t, "  ", &rows[i], whole->count, whole->total_ns);
        rest.total_ns -= rows[i].total_ns;
    }
    frame_row(t, "  ", &rest, whole->count, whole->total_ns);
    for (int i = 0, n = window ? collect(node, count, frame, HM_SPAN_OP | HM_SPAN_TEAM, rows) : 0; i < n; i++)
        frame_row(t, "  ", &rows[i], window, window_ns);
    printf("\nparts: mean of %" PRId64 " frames", whole->count);
    if (window)
        printf("; operations: mean of frames %" PRId64 " to %" PRId64, p->args->window_from, p->args->window_from + window - 1);
    printf("\n\n");
    return hm_table_end(t, stdout, 0, err);
}

/* Mean ms of the first and the last quarter of the frames: how the speed changes along a song. */
static void print_quarters(const hm_profile *p)
{
    size_t n;
    int nodes;
    int64_t frames = p->traced[p->traced_count - 1].frames, quarter = frames / 4, counts[2] = {0};
    double sums[2] = {0};
    const hm_span *spans = hm_recorder_spans(p->recorder, &n);
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &nodes);
    for (size_t i = 0; i < n; i++) {
        int last = spans[i].index >= frames - quarter;
        if (node[spans[i].node].kind != HM_SPAN_STEP || strcmp(node[spans[i].node].name, "frame") || spans[i].end_ns < 0 ||
            spans[i].index >= frames || (!last && spans[i].index >= quarter))
            continue;
        counts[last]++;
        sums[last] += (double)(spans[i].end_ns - spans[i].start_ns) / 1e6;
    }
    if (!counts[0] || !counts[1])
        return;
    double first = sums[0] / (double)counts[0], later = sums[1] / (double)counts[1];
    printf("\nframes: first quarter %.3f ms, last quarter %.3f ms (%+.1f %%)\n", first, later, 100 * (later / first - 1));
}

static void number(char *out, size_t size, double value, int decimals)
{
    if (isfinite(value))
        snprintf(out, size, "%.*f", decimals, value);
    else
        snprintf(out, size, "-");
}

/* Phases against what the machine can do. */
static hm_status print_rates(const hm_profile *p, hm_error *err)
{
    const hm_profile_run *run = &p->traced[p->traced_count - 1];
    const char *const names[] = {run->encode_ns ? "encode (of prefill)" : "prefill", "generate", "decode"};
    hm_table *t =
        hm_table_new((const char *const[]){"phase", ">MB read", ">GB/s", ">of reading", "from", ">GFLOP", ">GFLOP/s", ">of FLOPs", NULL});
    for (int i = 0; i < 3; i++) {
        char cells[4][32], shares[2][64];
        const hm_profile_rate r = hm_profile_rate_of(p, run, i);
        number(cells[0], sizeof cells[0], r.bytes / 1e6, 1);
        number(cells[1], sizeof cells[1], r.gb_s, 2);
        number(cells[2], sizeof cells[2], r.flops / 1e9, 2);
        number(cells[3], sizeof cells[3], r.gflop_s, 2);
        hm_table_row(t, (const char *const[]){names[i], cells[0], cells[1], hm_profile_read_text(&r, shares[0], sizeof shares[0]),
                                              r.read_limit, cells[2], cells[3],
                                              hm_limit_share_text(r.flop_share, shares[1], sizeof shares[1])});
    }
    printf("\nphases against the machine (limits: %s", p->machine.source);
    if (isfinite(p->machine.memory_gb_s))
        printf("; memory %.1f GB/s, cache %.1f GB/s, %.1f GFLOP/s", p->machine.memory_gb_s, p->machine.cache_gb_s, p->machine.gflop_s);
    if (isfinite(p->machine.int8_gop_s))
        printf(", %.1f Gop/s of 8-bit integers where weights are quantised", p->machine.int8_gop_s);
    printf(")\n");
    if (p->turns.frames)
        printf("generate: %" PRId64
               " frames in turn with readings of memory, a run of its own: %.3f ms a frame, %.1f GB/s read in the mean\n",
               p->turns.frames, (double)p->turns.frames_ns / (double)p->turns.frames / 1e6, hm_profile_turns_gb_s(&p->turns));
    printf("\n");
    return hm_table_end(t, stdout, 0, err);
}

static void cost_row(hm_table *t, const char *what, double spans, double ns, double share)
{
    char cells[4][32];
    if (!isfinite(share))
        return;
    number(cells[0], sizeof cells[0], spans, 1);
    number(cells[1], sizeof cells[1], ns, 0);
    number(cells[2], sizeof cells[2], spans * ns / 1e3, 2);
    number(cells[3], sizeof cells[3], 100 * share, 3);
    hm_table_row(t, (const char *const[]){what, cells[0], cells[1], cells[2], cells[3]});
}

static hm_status print_cost(const hm_profile *p, hm_error *err)
{
    const hm_profile_cost *c = &p->cost;
    char paired[128];
    hm_table *t = hm_table_new((const char *const[]){"cost of tracing", ">spans/frame", ">ns/span", ">us/frame", ">% of frame", NULL});
    cost_row(t, "phases and frames, kept", c->phase_spans, c->span_ns, c->phase_share);
    cost_row(t, "parts, totals alone", c->part_spans, c->total_ns, c->part_share);
    cost_row(t, "operations and waits, in the window", c->op_spans, c->span_ns, c->op_share);
    printf("\n");
    hm_status st = hm_table_end(t, stdout, 0, err);
    if (st)
        return st;
    if (isfinite(c->phase_share))
        printf("\nphases and frames: %s the goal of %.0f %%\n", c->phase_share < COST_GOAL ? "within" : "BEYOND", 100 * COST_GOAL);
    printf("tracing, whole runs in pairs: %s\n", hm_profile_paired_text(c, paired, sizeof paired));
    return HM_OK;
}

static void print_losses(const hm_recorder *r)
{
    if (hm_recorder_lost(r) || hm_recorder_unmatched(r))
        printf("spans lost: %" PRIu64 ", ends without a begin: %" PRIu64 "\n", hm_recorder_lost(r), hm_recorder_unmatched(r));
}

hm_status hm_profile_print(const hm_profile *p, int64_t events, hm_error *err)
{
    const hm_profile_run *r = &p->traced[p->traced_count - 1];
    int64_t other_ns = r->wall_ns - r->prefill_ns - r->generate_ns - r->decode_ns;
    hm_trace_report rules;
    hm_status st = hm_trace_check(p->args->trace, &rules, err);
    if (st)
        return st;
    printf("%s/%s, variant %s, %s%s, %d threads, %s%s\n", p->suite->name, p->kase->name, p->args->engine.variant, p->opened.model,
           p->opened.synthetic ? " (synthetic weights)" : "", p->opened.facts->threads, p->opened.facts->isa,
           p->opened.facts->software ? ", software device: times say nothing about hardware" : "");
    printf("load %.1f ms; traced run: prefill %.1f ms, generate %.1f ms, decode %.1f ms, other %.1f ms\n",
           (double)p->opened.facts->load_ns / 1e6, (double)r->prefill_ns / 1e6, (double)r->generate_ns / 1e6, (double)r->decode_ns / 1e6,
           (double)other_ns / 1e6);
    st = print_frames(p, err);
    if (st)
        return st;
    print_quarters(p);
    st = hm_profile_print_device(p, err);
    if (!st)
        st = print_rates(p, err);
    if (!st)
        st = print_cost(p, err);
    if (st)
        return st;
    print_losses(p->recorder);
    if (p->beside)
        print_losses(p->beside);
    printf("trace: %s, %" PRId64 " events, %" PRIu64 " left out\n", p->args->trace, events,
           hm_recorder_dropped(p->recorder) + (p->beside ? hm_recorder_dropped(p->beside) : 0));
    printf("open it in https://ui.perfetto.dev or chrome://tracing; figures: hmbench trace stats %s\n", p->args->trace);
    for (int i = 1; i < HM_TRACE_RULE_END; i++)
        if (rules.rules[i].errors)
            return hm_fail(err, HM_EBUG, "the trace %s breaks rule %d: event %" PRId64 ": %s", p->args->trace, i,
                           rules.rules[i].first_event, rules.rules[i].first);
    return HM_OK;
}
