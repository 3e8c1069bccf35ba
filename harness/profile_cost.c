/* What tracing costs, and what the machine could do: figures beside a profile. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cpu_choice.h"
#include "harness/limits.h"
#include "harness/profile.h"

#define MEASURE_SECONDS 0.05 /* for each limit */
#define LEAST_PAIRS 6        /* for an interval */

/* ---- limits ---- */

/* The better of all times: neighbours slow the machine by moments. */
static void take(hm_profile_limits *m, const hm_limit *l)
{
    if (!strcmp(l->name, "memory"))
        m->memory_gb_s = fmax(m->memory_gb_s, l->value);
    else if (!strcmp(l->name, "cache")) {
        m->cache_gb_s = fmax(m->cache_gb_s, l->value);
        m->cache_bytes = l->block_bytes == HM_UNKNOWN ? 0 : l->block_bytes;
    } else if (!strcmp(l->name, "flops") && !strcmp(l->type, "f32"))
        m->gflop_s = fmax(m->gflop_s, l->value);
    else if (!strcmp(l->name, "flops") && !strcmp(l->type, "int8"))
        m->int8_gop_s = fmax(m->int8_gop_s, l->value);
}

static hm_status measure(hm_profile *p, hm_error *err)
{
    const hm_engine_facts *f = p->opened.facts;
    hm_cpu_choice choice = {.threads = f->threads, .isa = f->isa};
    hm_limits *limits = hm_calloc(1, sizeof *limits, "limits", err);
    hm_device *dev = NULL;
    if (!limits)
        return HM_EABSENT;
    hm_status st = hm_cpu_choice_open(&dev, &choice, err);
    if (!st)
        st = hm_limits_measure(limits, dev, HM_LIMITS_READING | HM_LIMITS_FLOPS, MEASURE_SECONDS, NULL, err);
    for (int i = 0; i < limits->count && !st; i++)
        take(&p->machine, &limits->items[i]);
    hm_cpu_close(&dev);
    free(limits);
    return st;
}

hm_status hm_profile_measure_limits(hm_profile *p, hm_error *err)
{
    if (!p->args->limits || strcmp(p->opened.facts->backend, "cpu")) /* those of GPUs are not known */
        return HM_OK;
    p->machine.source = "measured just before and after";
    return measure(p, err);
}

hm_profile_rate hm_profile_rate_of(const hm_profile *p, const hm_profile_run *run, int phase)
{
    const int64_t times[] = {run->encode_ns ? run->encode_ns : run->prefill_ns, run->generate_ns, run->decode_ns + run->overlapped_ns};
    const hm_work *w = &run->work[phase];
    bool beside = run->overlapped_ns && phase >= 1; /* it did not have all threads */
    double ns = times[phase] > 0 ? (double)times[phase] : NAN, bytes = (double)w->weight_bytes, limit = p->machine.memory_gb_s;
    hm_profile_rate r = {.read_limit = "memory"};
    if (phase == 1) { /* what passes read again within a frame may come from caches */
        bytes = (double)(run->step_weight_bytes + run->step_kv_bytes) * (double)run->frames;
        if ((int64_t)(run->distinct_weight_bytes + run->step_kv_bytes) <= p->machine.cache_bytes) {
            limit = p->machine.cache_gb_s;
            r.read_limit = "cache";
        } else if (p->turns.frames) {
            ns = (double)p->turns.frames_ns / (double)p->turns.frames * (double)run->frames;
            limit = hm_profile_turns_gb_s(&p->turns);
        }
        r.again = run->step_weight_bytes > run->distinct_weight_bytes && !strcmp(r.read_limit, "memory");
    }
    r.bytes = bytes > 0 ? bytes : NAN;
    r.flops = w->flops ? (double)w->flops : NAN;
    r.gb_s = r.bytes / ns;
    r.gflop_s = r.flops / ns;
    r.read_share = beside ? NAN : hm_limit_share(r.gb_s, limit);
    r.flop_share =
        beside ? NAN
               : hm_limit_share(r.gflop_s, run->integers[phase] ? fmax(p->machine.gflop_s, p->machine.int8_gop_s) : p->machine.gflop_s);
    return r;
}

const char *hm_profile_read_text(const hm_profile_rate *rate, char *out, size_t size)
{
    if (!rate->again || !(rate->read_share > 1))
        return hm_limit_share_text(rate->read_share, out, size);
    snprintf(out, size, "%.0f %%, some of it from caches", 100 * rate->read_share);
    return out;
}

/* ---- cost of tracing ---- */

/* Spans below `frame` of these kinds that ended. */
static int64_t spans_below(const hm_recorder *r, int frame, unsigned kinds)
{
    int count;
    int64_t sum = 0;
    const hm_recorder_node *node = hm_recorder_nodes(r, &count);
    for (int i = frame + 1; i < count; i++) {
        int above = node[i].parent;
        while (above >= 0 && above != frame)
            above = node[above].parent;
        if (above == frame && (node[i].kind & kinds))
            sum += node[i].count;
    }
    return sum;
}

static void count_spans(const hm_profile *p, hm_profile_cost *c, int64_t window_ns, int64_t window)
{
    int count, frame = hm_recorder_find(p->recorder, "generate/frame");
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &count);
    double frames = frame >= 0 ? (double)node[frame].count : 0;
    if (!(frames > 0))
        return;
    c->phase_spans = 1 + 3 / frames;
    c->part_spans = (double)spans_below(p->recorder, frame, HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_PART) / frames;
    c->phase_share = c->phase_spans * c->span_ns / c->frame_ns;
    c->part_share = c->part_spans * c->total_ns / c->frame_ns;
    if (!window)
        return;
    double mean_ns = (double)window_ns / (double)window;
    c->op_spans = (double)spans_below(p->recorder, frame, HM_SPAN_OP | HM_SPAN_TEAM | HM_SPAN_WAIT) / (double)window;
    c->op_share = c->op_spans * c->span_ns / mean_ns;
}

/* Traced against plain, pair by pair: neighbours in time, so that drift cancels. */
static void compare_pairs(const hm_profile *p, hm_profile_cost *c)
{
    double y[HM_PROFILE_RUNS];
    c->pairs = p->plain_count < p->traced_count ? p->plain_count : p->traced_count;
    for (int i = 0; i < c->pairs; i++)
        y[i] = log((double)p->traced[i].wall_ns / (double)p->plain[i].wall_ns);
    c->paired = (hm_interval){NAN, NAN, NAN};
    if (!c->pairs)
        return;
    hm_interval h = hm_hodges_lehmann(y, c->pairs, 0.025);
    c->paired.estimate = exp(h.estimate);
    if (c->pairs >= LEAST_PAIRS) {
        c->paired.low = exp(h.low);
        c->paired.high = exp(h.high);
    }
}

hm_status hm_profile_find_cost(hm_profile *p, hm_error *err)
{
    hm_profile_cost *c = &p->cost;
    int64_t window_ns, window = hm_profile_window_frames(p, &window_ns);
    double frame_ns[HM_PROFILE_RUNS];
    *c = (hm_profile_cost){.phase_share = NAN, .part_share = NAN, .op_share = NAN};
    hm_status st = hm_recorder_cost(hm_clock_real(), true, &c->span_ns, err);
    if (!st)
        st = hm_recorder_cost(hm_clock_real(), false, &c->total_ns, err);
    if (st)
        return st;
    for (int i = 0; i < p->plain_count; i++)
        frame_ns[i] = p->plain[i].frames ? (double)p->plain[i].generate_ns / (double)p->plain[i].frames : NAN;
    c->frame_ns = hm_median(frame_ns, p->plain_count);
    count_spans(p, c, window_ns, window);
    compare_pairs(p, c);
    return HM_OK;
}

const char *hm_profile_paired_text(const hm_profile_cost *c, char *out, size_t size)
{
    double change = 100 * (c->paired.estimate - 1);
    if (isfinite(c->paired.low))
        snprintf(out, size, "%+.2f %% [%+.2f, %+.2f], 95 %%, n=%d", change, 100 * (c->paired.low - 1), 100 * (c->paired.high - 1),
                 c->pairs);
    else
        snprintf(out, size, "%+.2f %%, n=%d, no interval", change, c->pairs);
    return out;
}
