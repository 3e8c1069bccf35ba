#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/commands.h"
#include "harness/profile.h"
#include "harness/progress.h"

#define DEFAULT_WINDOW 16 /* frames */
#define EVENT_BYTES 120   /* of a span in a trace, at least */
#define MAX_SPANS 400000

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
static hm_status parse_window(hm_profile_args *a, int frames, hm_error *err)
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

static hm_status parse(const hm_command *self, int argc, char **argv, hm_profile_args *a, bool *helped, hm_error *err)
{
    hm_strings words = {.count = 0};
    const hm_option options[] = {
        {"trace", 'o', HM_OPT_STRING, &a->trace, "FILE", "Chrome trace to write: F.json, or F.json.gz compressed", 0, 0, NULL},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"seconds", 's', HM_OPT_DOUBLE, &a->seconds, "N", "length of the audio; 0: as the case says", 0, 3600, NULL},
        {"trace-window", 0, HM_OPT_STRING, &a->window, "frames=A:B", "frames with parts and operations (16 in the middle if not given)", 0,
         0, NULL},
        {"trace-max", 0, HM_OPT_STRING, &a->trace_max, "SIZE", "most the events may take, uncompressed", 0, 0, NULL},
        {"repeat", 0, HM_OPT_INT, &a->repeat, "N", "runs with and without tracing, in turns; the last one is written", 1, HM_PROFILE_RUNS,
         NULL},
        {"limits", 0, HM_OPT_FLAG, &a->limits, NULL,
         "phases against the machine's limits, measured for a moment before and after, and frames in turn with reading memory", 0, 0, NULL},
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &words, 1, helped, err);
    if (st || *helped)
        return st;
    if (!words.count)
        return hm_fail(err, HM_EUSAGE, "profile: which case? short, short/plain ... (hmbench list suites)");
    st = hm_engine_choice_settle(&a->engine, err);
    if (st)
        return st;
    a->name = words.items[0];
    if (!a->trace)
        return hm_fail(err, HM_EUSAGE, "profile: --trace FILE is missing: where should the trace go?");
    return parse_bytes(a->trace_max, &a->max_bytes, err);
}

/* "short": the suite's first case; "short/plain", "file.yaml", "file.yaml/plain". */
static hm_status find_case(hm_profile *p, hm_error *err)
{
    char suite[HM_MODEL_PATH];
    const char *name = p->args->name, *yaml = strstr(name, ".yaml"), *slash = yaml ? (yaml[5] == '/' ? yaml + 5 : NULL) : strchr(name, '/');
    const char *wanted = slash ? slash + 1 : NULL, *names[64] = {0}, *at = wanted ? strrchr(wanted, '@') : NULL;
    char plain[HM_MODEL_PATH];
    snprintf(suite, sizeof suite, "%.*s", slash ? (int)(slash - name) : (int)strlen(name), name);
    p->settings = at ? hm_settings_find(at + 1) : NULL; /* as suites name a case with --settings */
    snprintf(plain, sizeof plain, "%.*s", p->settings ? (int)(at - wanted) : HM_MODEL_PATH - 1, wanted ? wanted : "");
    wanted = wanted ? plain : NULL;
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
    char near[HM_SUGGESTION];
    return hm_fail(err, HM_EUSAGE, "suite %s has no case \"%s\"%s (hmbench list cases)", p->suite->name, wanted,
                   hm_did_you_mean(near, wanted, names));
}

static void make_request(hm_profile *p)
{
    hm_case_record c = hm_case_of(p->suite, p->kase);
    if (p->settings)
        hm_settings_apply(p->settings, &c);
    int frames = p->args->seconds > 0 ? (int)(p->args->seconds * HM_SUITE_FRAMES_PER_SECOND + 0.5) : c.frames;
    p->listened = c;
    if (hm_case_task(&c) == HM_TASK_TRANSCRIPT && p->args->seconds > 0)
        p->listened.audio_s = p->args->seconds;
    p->request = hm_case_request(&p->listened);
    if (p->request.task != HM_TASK_TRANSCRIPT)
        p->request.max_frames = frames > 0 ? frames : 1;
}

/* What a case of transcription listens to, made before anything is timed. */
static hm_status listen(hm_profile *p, hm_error *err)
{
    hm_case_record *c = &p->listened;
    hm_status st = HM_OK;
    if (hm_case_is_sung(c)) {
        c->music_model = hm_model_default("music", "");
        hm_engine_choice choice = p->args->engine;
        choice.need_lm = true;
        choice.log = hm_log_stderr(false);
        st = hm_singer_open(&p->singer, &choice, c->music_model, err);
    } else {
        st = hm_recording_path(p->recording_path, sizeof p->recording_path, c->audio_s, c->seed, err);
        c->recording_path = p->recording_path;
        if (!st)
            st = hm_recording_prepare(c, err);
    }
    if (!st)
        st = hm_recording_open(&p->recording, c, &p->singer, false, err);
    hm_singer_close(&p->singer);
    p->request.transcript.audio = p->recording.samples;
    p->request.transcript.samples = p->recording.count;
    return st;
}

/* The model that is meant when none is named; one that is named makes the case. */
static hm_status choose_model(hm_profile *p, hm_profile_args *a, hm_error *err)
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

static bool on_cpu(const hm_profile *p)
{
    return !strcmp(p->args->engine.backend, "cpu");
}

/* One for the thread that draws, and one for the thread that decodes meanwhile where the variant has such a thread. */
static hm_status open_recorders(hm_profile *p, const hm_probe *progress, hm_error *err)
{
    const hm_profile_args *a = p->args;
    int64_t spans = a->max_bytes / EVENT_BYTES;
    size_t capacity = (size_t)(spans < MAX_SPANS ? spans : MAX_SPANS);
    hm_toggles toggles;
    hm_recorder_options o = {
        .kinds = HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_PART | HM_SPAN_WAIT,
        .span_kinds = HM_SPAN_PHASE | HM_SPAN_STEP | HM_SPAN_WAIT,
        .window_kinds = HM_SPAN_PART | HM_SPAN_OP | HM_SPAN_TEAM | HM_SPAN_DEVICE,
        .windows = {{"frame", a->window_from, a->window_to}, {"prefill", -1, 0}, {"decode", -1, 0}},
        .capacity = capacity,
        .device_capacity = on_cpu(p) ? 0 : capacity, /* whose operations are their own commands */
        .inner = progress,
    };
    hm_recorder_options decoder = {
        .kinds = o.kinds,
        .span_kinds = o.kinds,
        .window_kinds = HM_SPAN_OP | HM_SPAN_TEAM | HM_SPAN_DEVICE,
        .windows = {{"segment", 0, INT64_MAX}, {"piece", 0, INT64_MAX}},
        .capacity = capacity,
        .device_capacity = o.device_capacity,
    };
    hm_status st = hm_variant_parse(a->engine.variant, &toggles, NULL, err);
    if (!st && toggles.decode == HM_DECODE_OVERLAP)
        st = hm_recorder_open(&p->beside, &decoder, err);
    o.beside = p->beside;
    if (!st)
        st = hm_recorder_open(&p->recorder, &o, err);
    return st;
}

static void pause_recorders(hm_profile *p, bool pause)
{
    hm_recorder_clear(p->recorder);
    hm_recorder_pause(p->recorder, pause);
    if (!p->beside)
        return;
    hm_recorder_clear(p->beside);
    hm_recorder_pause(p->beside, pause);
}

/* A GPU whose commands are timed is slower whoever looks: runs without tracing are runs of an engine without it. On the CPU looking is all. */
static hm_status open_engine(hm_profile *p, bool timestamps, hm_error *err)
{
    hm_engine_choice choice = p->args->engine;
    choice.probe = hm_recorder_probe(p->recorder);
    choice.log = hm_log_stderr(false);
    choice.timestamps = timestamps;
    choice.need_lm = choice.need_codec = true;
    choice.need_encoders = p->kase->reference != NULL;
    hm_engine_close_chosen(&p->opened);
    p->timestamps = timestamps;
    return hm_engine_open_chosen(&p->opened, &choice, err);
}

static hm_status open_all(hm_profile *p, const hm_probe *progress, hm_error *err)
{
    hm_status st = open_recorders(p, progress, err);
    if (st)
        return st;
    pause_recorders(p, true);
    st = open_engine(p, false, err);
    if (!st && p->request.task == HM_TASK_TRANSCRIPT)
        st = listen(p, err);
    if (!st && p->kase->reference)
        st = hm_case_reference(&p->request, &p->reference, p->kase->reference, p->opened.facts->sample_rate_hz, err);
    if (!st)
        st = hm_device_watch_open(&p->device, p->args->engine.backend, p->args->engine.device, err);
    return st ? st : hm_memory_sampler_open(&p->sampler, hm_clock_real(), err);
}

/* A step of a transcript's decoder is one of all windows that lie side by side. */
static int steps_of(const hm_result *r)
{
    double steps = 0;
    for (int i = 0; i < r->parts.count; i++)
        if (!strcmp(r->parts.items[i].span, "text_step"))
            steps = r->parts.items[i].frame_passes * r->frames;
    return (int)lrint(steps);
}

static void find_integers(hm_profile_run *run, const hm_parts *parts)
{
    for (int i = 0; i < parts->count; i++)
        if (hm_part_of_integers(parts->items[i].format))
            for (int phase = 0; phase < 3; phase++)
                run->integers[phase] = run->integers[phase] || hm_part_decodes(parts->items[i].part) == (phase == 2);
}

static hm_status run_once(hm_profile *p, bool traced, hm_profile_run *run, hm_error *err)
{
    hm_result result = {0};
    struct timespec now;
    pause_recorders(p, !traced);
    hm_status st = traced ? hm_memory_sampler_start(p->sampler, err) : HM_OK;
    if (st)
        return st;
    if (traced)
        hm_device_watch_start(p->device);
    clock_gettime(CLOCK_REALTIME, &now);
    run->start_ns = hm_clock_now(hm_clock_real());
    st = p->opened.api->generate(p->opened.engine, &p->request, &result, err);
    if (traced) {
        hm_memory_sampler_stop(p->sampler);
        hm_device_watch_stop(p->device);
    }
    if (!st) {
        run->wall_ns = result.wall_ns;
        run->prefill_ns = result.prefill_ns;
        run->generate_ns = result.generate_ns;
        run->decode_ns = result.decode_ns;
        run->overlapped_ns = result.overlapped_ns;
        run->frames = result.window_count ? steps_of(&result) : result.frames;
        run->work[0] = result.prefill_work;
        run->work[1] = result.generate_work;
        run->work[2].flops = result.counters.flops - result.prefill_work.flops - result.generate_work.flops;
        run->work[2].weight_bytes = result.counters.weight_bytes - result.prefill_work.weight_bytes - result.generate_work.weight_bytes;
        find_integers(run, &result.parts);
        run->step_weight_bytes = result.window_count ? result.distinct_weight_bytes : result.frame_weight_bytes;
        run->distinct_weight_bytes = result.distinct_weight_bytes;
        run->step_kv_bytes = run->frames ? result.frame_kv_bytes * (uint64_t)result.frames / (uint64_t)run->frames : 0;
        run->encode_ns = result.window_count ? result.encode_ns : 0;
        p->kv_bytes = result.kv_bytes;
        p->epoch_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    p->opened.api->result_free(&result);
    return st;
}

/* A few frames, to fault memory in. */
static hm_status warm_up(hm_profile *p, hm_error *err)
{
    hm_profile_run ignored;
    const int whole = p->request.max_frames;
    p->request.max_frames = whole < 4 ? whole : 4;
    hm_status st = run_once(p, false, &ignored, err);
    p->request.max_frames = whole;
    return st;
}

/* Just before the last run. */
static hm_status measure_limits(hm_profile *p, hm_error *err)
{
    hm_status st = hm_profile_measure_limits(p, err);
    if (!st && hm_profile_turns_wanted(p, &p->plain[p->plain_count - 1]))
        st = hm_profile_take_turns(p, err);
    return st;
}

/* Runs without and with tracing in turns: plain traced, traced plain ... the last one is traced, and the limits it is held against are
 * measured on both sides of it. */
static hm_status run_all(hm_profile *p, hm_error *err)
{
    p->machine = (hm_profile_limits){.memory_gb_s = NAN, .cache_gb_s = NAN, .gflop_s = NAN, .int8_gop_s = NAN, .source = "not measured"};
    hm_status st = warm_up(p, err);
    for (int64_t i = 0; i < p->args->repeat && !st; i++)
        for (int turn = 0; turn < 2 && !st; turn++) {
            bool traced = turn == (int)((p->args->repeat - i) % 2);
            if (!on_cpu(p) && traced != p->timestamps) {
                st = open_engine(p, traced, err);
                if (!st)
                    st = warm_up(p, err);
                if (st)
                    break;
            }
            bool last = i + 1 == p->args->repeat && turn == 1;
            if (last)
                st = measure_limits(p, err);
            if (!st)
                st = run_once(p, traced, traced ? &p->traced[p->traced_count] : &p->plain[p->plain_count], err);
            if (!st && last)
                st = hm_profile_measure_limits(p, err);
            if (!st && traced)
                p->traced_count++;
            else if (!st)
                p->plain_count++;
        }
    return st;
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

static hm_status profile_case(hm_profile *p, hm_profile_args *a, hm_error *err)
{
    hm_progress progress;
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
    hm_profile_turns_init(&p->turns, &progress);
    st = open_all(p, &p->turns.probe, err);
    if (!st)
        st = run_all(p, err);
    hm_progress_end(&progress);
    if (!st)
        st = hm_profile_find_cost(p, err);
    if (!st)
        st = hm_profile_write(p, &events, err);
    return st ? st : hm_profile_print(p, events, err);
}

hm_status hm_cmd_profile(const hm_command *self, int argc, char **argv, hm_error *err)
{
    hm_profile_args a = {.engine = {.variant = "best", .backend = "cpu"}, .trace_max = "200MB", .repeat = 2, .limits = true};
    hm_profile *p;
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
    hm_device_watch_close(&p->device);
    hm_engine_close_chosen(&p->opened);
    hm_recorder_close(&p->recorder);
    hm_recorder_close(&p->beside);
    hm_suite_close(&p->suite);
    hm_recording_close(&p->recording);
    free(p->reference);
    free(p);
    return st;
}
