/* A profiled run as a Chrome trace: tracks of threads, memory, and what it says of itself. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/limits.h"
#include "harness/profile.h"

#define PHASE_ARGS 10
#define SHARE_TEXT 64

const char *hm_profile_kind(hm_span_kind kind)
{
    switch (kind) {
    case HM_SPAN_PHASE:
        return "phase";
    case HM_SPAN_STEP:
        return "step";
    case HM_SPAN_PART:
        return "part";
    case HM_SPAN_WAIT:
    case HM_SPAN_TEAM:
        return "sync";
    default:
        return "op";
    }
}

/* What a phase moved and computed, and how much of what the machine can do that is. */
static void phase_args(const hm_profile *p, const char *name, hm_trace_arg args[PHASE_ARGS], char shares[2][SHARE_TEXT])
{
    static const char *const names[] = {"prefill", "generate", "decode"};
    int phase = 0, n = 0;
    while (phase < 3 && strcmp(names[phase], name))
        phase++;
    if (phase == 3)
        return;
    const hm_profile_rate r = hm_profile_rate_of(p, &p->traced[p->traced_count - 1], phase);
    args[n++] = (hm_trace_arg){.key = "MB", .real = r.bytes / 1e6, .is_real = true};
    args[n++] = (hm_trace_arg){.key = "GB/s", .real = r.gb_s, .is_real = true};
    args[n++] = (hm_trace_arg){.key = "GFLOP", .real = r.flops / 1e9, .is_real = true};
    args[n++] = (hm_trace_arg){.key = "GFLOP/s", .real = r.gflop_s, .is_real = true};
    if (isfinite(r.read_share)) {
        bool cache = !strcmp(r.read_limit, "cache");
        args[n++] = (hm_trace_arg){.key = cache ? "of reading from cache" : "of reading from memory",
                                   .text = hm_profile_read_text(&r, shares[0], SHARE_TEXT)};
    }
    if (isfinite(r.flop_share))
        args[n++] = (hm_trace_arg){.key = "of FLOPs", .text = hm_limit_share_text(r.flop_share, shares[1], SHARE_TEXT)};
    args[n] = (hm_trace_arg){0};
}

static void write_spans(const hm_profile *p, const hm_recorder *recorder, hm_trace *t, hm_trace_track track)
{
    size_t n;
    int nodes;
    const hm_span *spans = hm_recorder_spans(recorder, &n);
    const hm_recorder_node *node = hm_recorder_nodes(recorder, &nodes);
    for (size_t i = 0; i < n; i++) {
        const hm_recorder_node *at = &node[spans[i].node];
        hm_trace_arg args[PHASE_ARGS] = {{.key = "index", .number = spans[i].index}, {0}};
        char shares[2][SHARE_TEXT];
        if (spans[i].end_ns < 0)
            continue;
        if (spans[i].index < 0)
            args[0] = (hm_trace_arg){0};
        if (at->kind == HM_SPAN_PHASE)
            phase_args(p, at->name, args, shares);
        hm_trace_span_add(t, &(hm_trace_span){track, hm_profile_kind(at->kind), at->name, spans[i].start_ns, spans[i].end_ns, args});
    }
}

static void write_memory(const hm_profile *p, hm_trace *t, uint32_t pid)
{
    int count;
    const hm_memory_sample *m = hm_memory_sampler_samples(p->sampler, &count);
    const hm_profile_run *run = &p->traced[p->traced_count - 1];
    for (int i = 0; i < count; i++)
        hm_trace_counter(t, pid, "RSS MiB", m[i].at_ns, (double)m[i].rss_bytes / 1048576);
    hm_trace_counter(t, pid, "largest KV caches MiB", run->start_ns + run->prefill_ns + run->generate_ns, (double)p->kv_bytes / 1048576);
}

static void describe(const hm_profile *p, hm_trace *t)
{
    const hm_engine_facts *f = p->opened.facts;
    char text[128];
    hm_trace_other(t, "program", "hmbench " HM_VERSION);
    snprintf(text, sizeof text, "%s/%s", p->suite->name, p->kase->name);
    hm_trace_other(t, "case", text);
    hm_trace_other(t, "variant", p->args->engine.variant);
    hm_trace_other(t, "model", p->opened.model);
    hm_trace_other(t, "weights", p->opened.synthetic ? "synthetic" : "real");
    hm_trace_other(t, "fingerprint", f->fingerprint);
    hm_trace_other(t, "backend", f->backend);
    hm_trace_other(t, "isa", f->isa);
    hm_trace_other(t, "device", f->device);
    snprintf(text, sizeof text, "%d", f->threads);
    hm_trace_other(t, "threads", text);
    snprintf(text, sizeof text, "%.3f", (double)f->load_ns / 1e6);
    hm_trace_other(t, "load ms", text);
    snprintf(text, sizeof text, "%" PRIu64, hm_recorder_dropped(p->recorder) + (p->beside ? hm_recorder_dropped(p->beside) : 0));
    hm_trace_other(t, "spansBeyondBuffer", text);
}

static void describe_share(hm_trace *t, const char *key, double share)
{
    char text[32];
    if (!isfinite(share))
        return;
    snprintf(text, sizeof text, "%.4f", 100 * share);
    hm_trace_other(t, key, text);
}

static void describe_rate(hm_trace *t, const char *key, double rate)
{
    char text[32];
    if (!isfinite(rate))
        return;
    snprintf(text, sizeof text, "%.1f", rate);
    hm_trace_other(t, key, text);
}

/* What tracing cost, and the limits that shares are of. */
static void describe_cost(const hm_profile *p, hm_trace *t)
{
    const hm_profile_cost *c = &p->cost;
    char text[128];
    snprintf(text, sizeof text, "%.1f", c->span_ns);
    hm_trace_other(t, "tracing ns per span", text);
    describe_share(t, "tracing % of a frame, phases and frames", c->phase_share);
    describe_share(t, "tracing % of a frame, parts", c->part_share);
    describe_share(t, "tracing % of a frame, operations in the window", c->op_share);
    hm_trace_other(t, "tracing paired", hm_profile_paired_text(c, text, sizeof text));
    hm_trace_other(t, "limits", p->machine.source);
    describe_rate(t, "limit of reading from memory GB/s", p->machine.memory_gb_s);
    describe_rate(t, "reading from memory in turn with frames GB/s", hm_profile_turns_gb_s(&p->turns));
    describe_rate(t, "limit of reading from cache GB/s", p->machine.cache_gb_s);
    describe_rate(t, "limit of FLOPs GFLOP/s", p->machine.gflop_s);
    describe_rate(t, "limit of 8-bit integers Gop/s", p->machine.int8_gop_s);
}

hm_status hm_profile_write(const hm_profile *p, int64_t *events, hm_error *err)
{
    hm_trace *t = NULL;
    hm_trace_options o = {.base_ns = p->traced[p->traced_count - 1].start_ns, .epoch_ns = p->epoch_ns, .max_bytes = p->args->max_bytes};
    hm_trace_track engine = {(uint32_t)getpid(), hm_recorder_thread(p->recorder)};
    hm_status st = hm_trace_open(&t, p->args->trace, &o, err);
    if (st)
        return st;
    describe(p, t);
    describe_cost(p, t);
    hm_trace_name_process(t, engine.pid, "hmbench");
    hm_trace_name_thread(t, engine, "01 engine");
    write_spans(p, p->recorder, t, engine);
    if (p->beside && hm_recorder_thread(p->beside)) {
        hm_trace_track decoder = {engine.pid, hm_recorder_thread(p->beside)};
        hm_trace_name_thread(t, decoder, "02 decoder");
        write_spans(p, p->beside, t, decoder);
    }
    write_memory(p, t, engine.pid);
    st = hm_profile_write_devices(p, t, engine.pid, err);
    *events = hm_trace_events(t);
    if (!st)
        return hm_trace_close(&t, err);
    hm_trace_abandon(&t);
    return st;
}
