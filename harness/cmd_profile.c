#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness/case.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/memory_sampler.h"
#include "harness/probe.h"
#include "harness/progress.h"
#include "harness/table.h"
#include "suites/suite.h"
#include "traces/check.h"
#include "traces/chrome.h"

#define DEFAULT_WINDOW 16 /* frames */
#define MAX_RUNS 16
#define EVENT_BYTES 120 /* of a span in a trace, at least */
#define MAX_SPANS 400000
#define MAX_ROWS 128

typedef struct profile_args {
    hm_engine_choice engine;
    const char *name, *trace, *window, *limit;
    double seconds;
    int64_t repeat;
    bool quiet;
    /* worked out of the above */
    int64_t window_from, window_to, max_bytes;
} profile_args;

/* One timed generation. */
typedef struct timed_run {
    int64_t start_ns, wall_ns, prefill_ns, generate_ns, decode_ns;
} timed_run;

typedef struct profile {
    const profile_args *args;
    hm_suite *suite;
    const hm_suite_case *kase;
    float *reference; /* of the voice to clone */
    hm_request request;
    hm_engine_opened opened;
    hm_recorder *recorder;
    hm_memory_sampler *sampler;
    timed_run plain[MAX_RUNS], traced[MAX_RUNS];
    int plain_count, traced_count;
    uint64_t kv_bytes;
    int64_t epoch_ns; /* time of day at the start of the last traced run */
} profile;

/* "200MB", "1.5G", "800k", "12345". */
static hm_status parse_bytes(const char *text, int64_t *out, hm_error *err)
{
    char *end;
    errno = 0;
    double n = strtod(text, &end), unit = 1;
    if (*end == 'k' || *end == 'K')
        unit = 1e3;
    else if (*end == 'M')
        unit = 1e6;
    else if (*end == 'G')
        unit = 1e9;
    end += unit > 1;
    end += *end == 'B';
    if (end == text || *end || errno || !(n * unit >= 10000 && n * unit <= 1e12))
        return hm_fail(err, HM_EUSAGE, "--trace-max %s: expected a size from 10kB to 1000GB, as in 200MB", text);
    *out = (int64_t)(n * unit);
    return HM_OK;
}

/* "frames=100:116", "100:116"; NULL: the middle. */
static hm_status parse_window(profile_args *a, int frames, hm_error *err)
{
    const char *text = a->window;
    char rest;
    if (!text) {
        a->window_from = frames > DEFAULT_WINDOW ? (frames - DEFAULT_WINDOW) / 2 : 0;
        a->window_to = a->window_from + DEFAULT_WINDOW;
        return HM_OK;
    }
    const char *numbers = strncmp(text, "frames=", 7) ? text : text + 7;
    if (sscanf(numbers, "%" SCNd64 ":%" SCNd64 "%c", &a->window_from, &a->window_to, &rest) != 2 || a->window_from < 0 ||
        a->window_to < a->window_from)
        return hm_fail(err, HM_EUSAGE, "--trace-window %s: expected frames=FROM:TO, as in frames=100:116 (the frame TO is left out)", text);
    if (a->window_from >= frames)
        return hm_fail(err, HM_EUSAGE, "--trace-window %s: the case has %d frames (0 to %d)", text, frames, frames - 1);
    return HM_OK;
}

static hm_status parse(const hm_command *self, int argc, char **argv, profile_args *a, bool *helped, hm_error *err)
{
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"trace", 'o', HM_OPT_STRING, &a->trace, "FILE", "Chrome trace to write: F.json, or F.json.gz compressed", 0, 0, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"seconds", 's', HM_OPT_DOUBLE, &a->seconds, "N", "length of the audio; 0: as the case says", 0, 3600, NULL},
        {"trace-window", 0, HM_OPT_STRING, &a->window, "frames=A:B", "frames with parts and operations (16 in the middle if not given)", 0,
         0, NULL},
        {"trace-max", 0, HM_OPT_STRING, &a->limit, "SIZE", "most the events may take, uncompressed", 0, 0, NULL},
        {"repeat", 0, HM_OPT_INT, &a->repeat, "N", "runs with and without tracing, in turns; the last one is written", 1, MAX_RUNS, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 1, helped, err);
    if (st || *helped)
        return st;
    if (!words.count)
        return hm_fail(err, HM_EUSAGE, "profile: which case? short, short/plain ... (hmbench list suites)");
    a->name = words.items[0];
    if (!a->trace)
        return hm_fail(err, HM_EUSAGE, "profile: --trace FILE is missing: where should the trace go?");
    return parse_bytes(a->limit, &a->max_bytes, err);
}

/* "short": the suite's first case; "short/plain", "file.yaml", "file.yaml/plain". */
static hm_status find_case(profile *p, hm_error *err)
{
    char suite[HM_MODEL_PATH];
    const char *name = p->args->name, *yaml = strstr(name, ".yaml"), *slash = yaml ? (yaml[5] == '/' ? yaml + 5 : NULL) : strchr(name, '/');
    const char *wanted = slash ? slash + 1 : NULL, *names[64] = {0};
    snprintf(suite, sizeof suite, "%.*s", slash ? (int)(slash - name) : (int)strlen(name), name);
    hm_status st = hm_suite_open(&p->suite, suite, err);
    if (st)
        return st;
    for (int i = 0; i < p->suite->case_count; i++) {
        if (!wanted || !strcmp(wanted, p->suite->cases[i].name)) {
            p->kase = &p->suite->cases[i];
            return HM_OK;
        }
        if (i < 63)
            names[i] = p->suite->cases[i].name;
    }
    const char *near = hm_nearest(wanted, names);
    return hm_fail(err, HM_EUSAGE, "suite %s has no case \"%s\"; it has \"%s\"%s", p->suite->name, wanted, near ? near : names[0],
                   p->suite->case_count > 1 ? " and others (hmbench list suites)" : "");
}

static void make_request(profile *p)
{
    const hm_case_record c = hm_case_of(p->suite, p->kase);
    int frames = p->args->seconds > 0 ? (int)(p->args->seconds * HM_SUITE_FRAMES_PER_SECOND + 0.5) : c.frames;
    p->request = hm_case_request(&c);
    p->request.max_frames = frames > 0 ? frames : 1;
}

/* The model that is meant when none is named; one that is named makes the case. */
static hm_status choose_model(profile *p, profile_args *a, hm_error *err)
{
    const hm_suite_case *c = p->kase;
    hm_model_look look;
    if (!a->engine.model) {
        a->engine.model = hm_model_default(c->task, c->kind);
        return HM_OK;
    }
    hm_status st = hm_model_look_at(&look, a->engine.model, err);
    if (st || hm_model_makes(&look, c->task, c->kind))
        return st;
    return hm_fail(err, HM_EUSAGE, "--model %.200s: makes %s%s%s, %s/%s asks for %s%s%s", a->engine.model, look.task,
                   *look.kind ? " of kind " : "", look.kind, p->suite->name, c->name, c->task, *c->kind ? " of kind " : "", c->kind);
}

static hm_status open_all(profile *p, const hm_probe *progress, hm_error *err)
{
    const profile_args *a = p->args;
    int64_t spans = a->max_bytes / EVENT_BYTES;
    hm_recorder_options o = {
        .span_kinds = HM_SPAN_PHASE | HM_SPAN_STEP,
        .window_kinds = HM_SPAN_PART | HM_SPAN_OP,
        .windows = {{"frame", a->window_from, a->window_to}, {"prefill", -1, 0}, {"decode", -1, 0}},
        .capacity = (size_t)(spans < MAX_SPANS ? spans : MAX_SPANS),
        .inner = progress,
    };
    hm_status st = hm_recorder_open(&p->recorder, &o, err);
    if (st)
        return st;
    hm_recorder_pause(p->recorder, true);
    hm_engine_choice choice = a->engine;
    choice.probe = hm_recorder_probe(p->recorder);
    choice.log = hm_log_stderr(false);
    choice.need_lm = choice.need_codec = true;
    choice.need_encoders = p->kase->reference != NULL;
    st = hm_engine_open_chosen(&p->opened, &choice, err);
    if (!st && p->kase->reference)
        st = hm_case_reference(&p->request, &p->reference, p->kase->reference, p->opened.facts->sample_rate_hz, err);
    return st ? st : hm_memory_sampler_open(&p->sampler, hm_clock_real(), err);
}

static hm_status run_once(profile *p, bool traced, timed_run *run, hm_error *err)
{
    hm_result result = {0};
    struct timespec now;
    hm_recorder_clear(p->recorder);
    hm_recorder_pause(p->recorder, !traced);
    hm_status st = traced ? hm_memory_sampler_start(p->sampler, err) : HM_OK;
    if (st)
        return st;
    clock_gettime(CLOCK_REALTIME, &now);
    run->start_ns = hm_clock_now(hm_clock_real());
    st = p->opened.api->generate(p->opened.engine, &p->request, &result, err);
    if (traced)
        hm_memory_sampler_stop(p->sampler);
    if (!st) {
        run->wall_ns = result.wall_ns;
        run->prefill_ns = result.prefill_ns;
        run->generate_ns = result.generate_ns;
        run->decode_ns = result.decode_ns;
        p->kv_bytes = result.kv_bytes;
        p->epoch_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    p->opened.api->result_free(&result);
    return st;
}

/* A few frames to fault memory in, then runs without and with tracing in turns: plain traced, traced plain ... the last one is traced. */
static hm_status run_all(profile *p, hm_error *err)
{
    timed_run ignored;
    hm_request whole = p->request;
    p->request.max_frames = whole.max_frames < 4 ? whole.max_frames : 4;
    hm_status st = run_once(p, false, &ignored, err);
    p->request = whole;
    for (int64_t i = 0; i < p->args->repeat && !st; i++)
        for (int turn = 0; turn < 2 && !st; turn++) {
            bool traced = turn == (int)((p->args->repeat - i) % 2);
            st = run_once(p, traced, traced ? &p->traced[p->traced_count] : &p->plain[p->plain_count], err);
            if (!st && traced)
                p->traced_count++;
            else if (!st)
                p->plain_count++;
        }
    return st;
}

/* ---- the trace ---- */

static const char *kind_name(hm_span_kind kind)
{
    return kind == HM_SPAN_PHASE ? "phase" : kind == HM_SPAN_STEP ? "step" : kind == HM_SPAN_PART ? "part" : "op";
}

static void write_spans(const profile *p, hm_trace *t, hm_trace_track track)
{
    size_t n;
    int nodes;
    const hm_span *spans = hm_recorder_spans(p->recorder, &n);
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &nodes);
    for (size_t i = 0; i < n; i++) {
        hm_trace_arg args[] = {{"index", NULL, spans[i].index}, {0}};
        if (spans[i].end_ns >= 0)
            hm_trace_span_add(t, &(hm_trace_span){track, kind_name(node[spans[i].node].kind), node[spans[i].node].name, spans[i].start_ns,
                                                  spans[i].end_ns, spans[i].index >= 0 ? args : NULL});
    }
}

static void write_memory(const profile *p, hm_trace *t, uint32_t pid)
{
    int count;
    const hm_memory_sample *m = hm_memory_sampler_samples(p->sampler, &count);
    const timed_run *run = &p->traced[p->traced_count - 1];
    for (int i = 0; i < count; i++)
        hm_trace_counter(t, pid, "RSS MiB", m[i].at_ns, (double)m[i].rss_bytes / 1048576);
    hm_trace_counter(t, pid, "largest KV caches MiB", run->start_ns + run->prefill_ns + run->generate_ns, (double)p->kv_bytes / 1048576);
}

static void describe(const profile *p, hm_trace *t)
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
    snprintf(text, sizeof text, "%" PRIu64, hm_recorder_dropped(p->recorder));
    hm_trace_other(t, "spansBeyondBuffer", text);
}

static hm_status write_trace(const profile *p, int64_t *events, hm_error *err)
{
    hm_trace *t = NULL;
    hm_trace_options o = {.base_ns = p->traced[p->traced_count - 1].start_ns, .epoch_ns = p->epoch_ns, .max_bytes = p->args->max_bytes};
    hm_trace_track track = {(uint32_t)getpid(), (uint32_t)syscall(SYS_gettid)};
    hm_status st = hm_trace_open(&t, p->args->trace, &o, err);
    if (st)
        return st;
    describe(p, t);
    hm_trace_name_process(t, track.pid, "hmbench");
    hm_trace_name_thread(t, track, "01 engine");
    write_spans(p, t, track);
    write_memory(p, t, track.pid);
    *events = hm_trace_events(t);
    return hm_trace_close(&t, err);
}

/* ---- what people read ---- */

static double mean_ms(const timed_run *runs, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)runs[i].wall_ns / 1e6;
    return sum / n;
}

/* Frames with operations in the trace, and their time. */
static int64_t window_frames(const profile *p, int64_t *ns)
{
    size_t n;
    int nodes;
    int64_t frames = 0;
    const hm_span *spans = hm_recorder_spans(p->recorder, &n);
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &nodes);
    *ns = 0;
    for (size_t i = 0; i < n; i++)
        if (node[spans[i].node].kind == HM_SPAN_STEP && !strcmp(node[spans[i].node].name, "frame") && spans[i].end_ns >= 0 &&
            spans[i].index >= p->args->window_from && spans[i].index < p->args->window_to) {
            frames++;
            *ns += spans[i].end_ns - spans[i].start_ns;
        }
    return frames;
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
    hm_table_row(t, (const char *const[]){name, kind_name(node->kind), calls, time, share});
}

static bool lies_in(const hm_recorder_node *node, int which, int above)
{
    while (which >= 0 && which != above)
        which = node[which].parent;
    return which == above;
}

/* Nodes under `frame` into rows: parts directly below it, or operations by name wherever they lie. Returns how many, longest first. */
static int collect(const hm_recorder_node *node, int count, int frame, bool ops, hm_recorder_node rows[MAX_ROWS])
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        int at = 0;
        if (ops ? node[i].kind != HM_SPAN_OP || !lies_in(node, i, frame) : node[i].kind == HM_SPAN_OP || node[i].parent != frame)
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
static hm_status print_frames(const profile *p, hm_error *err)
{
    hm_recorder_node rows[MAX_ROWS];
    int count, frame = hm_recorder_find(p->recorder, "generate/frame");
    const hm_recorder_node *node = hm_recorder_nodes(p->recorder, &count);
    int64_t window_ns, window = window_frames(p, &window_ns);
    if (frame < 0 || !node[frame].count) {
        printf("no frames were recorded\n");
        return HM_OK;
    }
    hm_table *t = hm_table_new((const char *const[]){"span of a frame", "kind", ">calls/frame", ">ms/frame", ">% of frame", NULL});
    const hm_recorder_node *whole = &node[frame];
    hm_recorder_node rest = {.name = "in no part", .kind = HM_SPAN_PART, .count = whole->count, .total_ns = whole->total_ns};
    frame_row(t, "", whole, whole->count, whole->total_ns);
    for (int i = 0, n = collect(node, count, frame, false, rows); i < n; i++) {
        frame_row(t, "  ", &rows[i], whole->count, whole->total_ns);
        rest.total_ns -= rows[i].total_ns;
    }
    frame_row(t, "  ", &rest, whole->count, whole->total_ns);
    for (int i = 0, n = window ? collect(node, count, frame, true, rows) : 0; i < n; i++)
        frame_row(t, "  ", &rows[i], window, window_ns);
    printf("\nparts: mean of %" PRId64 " frames", whole->count);
    if (window)
        printf("; operations: mean of frames %" PRId64 " to %" PRId64, p->args->window_from, p->args->window_from + window - 1);
    printf("\n\n");
    return hm_table_end(t, stdout, 0, err);
}

static hm_status report(const profile *p, int64_t events, hm_error *err)
{
    const timed_run *r = &p->traced[p->traced_count - 1];
    double plain = mean_ms(p->plain, p->plain_count), traced = mean_ms(p->traced, p->traced_count);
    int64_t other_ns = r->wall_ns - r->prefill_ns - r->generate_ns - r->decode_ns;
    hm_trace_report rules;
    hm_status st = hm_trace_check(p->args->trace, &rules, err);
    if (st)
        return st;
    printf("%s/%s, variant %s, %s%s, %d threads, %s\n", p->suite->name, p->kase->name, p->args->engine.variant, p->opened.model,
           p->opened.synthetic ? " (synthetic weights)" : "", p->opened.facts->threads, p->opened.facts->isa);
    printf("load %.1f ms; traced run: prefill %.1f ms, generate %.1f ms, decode %.1f ms, other %.1f ms\n",
           (double)p->opened.facts->load_ns / 1e6, (double)r->prefill_ns / 1e6, (double)r->generate_ns / 1e6, (double)r->decode_ns / 1e6,
           (double)other_ns / 1e6);
    st = print_frames(p, err);
    if (st)
        return st;
    printf("\ntracing: %.1f ms with, %.1f ms without it (%+.1f %%, mean of %d each in turns)\n", traced, plain, 100 * (traced / plain - 1),
           p->plain_count);
    if (hm_recorder_lost(p->recorder) || hm_recorder_unmatched(p->recorder))
        printf("spans lost: %" PRIu64 ", ends without a begin: %" PRIu64 "\n", hm_recorder_lost(p->recorder),
               hm_recorder_unmatched(p->recorder));
    printf("trace: %s, %" PRId64 " events, %" PRIu64 " left out\n", p->args->trace, events, hm_recorder_dropped(p->recorder));
    printf("open it in https://ui.perfetto.dev or chrome://tracing; figures: hmbench trace stats %s\n", p->args->trace);
    for (int i = 1; i < HM_TRACE_RULE_END; i++)
        if (rules.rules[i].errors)
            return hm_fail(err, HM_EBUG, "the trace %s breaks rule %d: event %" PRId64 ": %s", p->args->trace, i,
                           rules.rules[i].first_event, rules.rules[i].first);
    return HM_OK;
}

/* Before minutes are spent: that the trace can be made where it is wanted. */
static hm_status check_output(const char *path, hm_error *err)
{
    hm_trace *t = NULL;
    hm_trace_options o = {0};
    hm_status st = hm_trace_open(&t, path, &o, err);
    hm_trace_abandon(&t);
    return st;
}

static hm_status profile_case(profile *p, profile_args *a, hm_error *err)
{
    hm_progress progress;
    hm_probe probe = {.self = &progress, .progress = hm_progress_probe};
    int64_t events = 0;
    hm_status st = find_case(p, err);
    if (st)
        return st;
    st = choose_model(p, a, err);
    if (st)
        return st;
    make_request(p);
    st = parse_window(a, p->request.max_frames, err);
    if (st)
        return st;
    st = check_output(a->trace, err);
    if (st)
        return st;
    hm_progress_start(&progress, "profile", a->quiet);
    st = open_all(p, &probe, err);
    if (!st)
        st = run_all(p, err);
    hm_progress_end(&progress);
    if (!st)
        st = write_trace(p, &events, err);
    return st ? st : report(p, events, err);
}

hm_status hm_cmd_profile(const hm_command *self, int argc, char **argv, hm_error *err)
{
    profile_args a = {.engine = {.variant = "best", .backend = "cpu"}, .limit = "200MB", .repeat = 2};
    profile *p;
    bool helped = false;
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    p = hm_calloc(1, sizeof *p, "profile", err);
    if (!p)
        return HM_EABSENT;
    p->args = &a;
    st = profile_case(p, &a, err);
    hm_memory_sampler_close(&p->sampler);
    hm_engine_close_chosen(&p->opened);
    hm_recorder_close(&p->recorder);
    hm_suite_close(&p->suite);
    free(p->reference);
    free(p);
    return st;
}
