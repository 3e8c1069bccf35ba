#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/audio.h"
#include "engine/base/map.h"
#include "engine/base/time.h"
#include "harness/commands.h"
#include "harness/engine_open.h"
#include "harness/output_check.h"
#include "harness/progress.h"
#include "harness/transcript_out.h"

typedef struct transcribe_args {
    hm_engine_choice engine;
    const char *language, *task, *temperatures, *output, *format;
    double chunk_s, ratio, logprob, no_speech;
    int64_t batch, beams, tokens, topk, seed;
    bool timestamps, quiet;
    hm_strings files;
    hm_transcript_format written;
    double list[HM_TEMPERATURES];
    int list_count;
} transcribe_args;

static hm_status parse(const hm_command *self, int argc, char **argv, transcribe_args *a, bool *helped, hm_error *err)
{
    static const char *const tasks[] = {"transcribe", "translate", NULL};
    const hm_option options[] = {
        {"language", 'l', HM_OPT_STRING, &a->language, "NAME", "of the words: en, english, ja ...; heard in each window if not given", 0, 0,
         NULL},
        {"task", 0, HM_OPT_STRING, &a->task, "TASK", "translate: into English", 0, 0, tasks},
        {"timestamps", 0, HM_OPT_FLAG, &a->timestamps, NULL, "when each piece is said; subtitles always have it", 0, 0, NULL},
        {"chunk-length", 0, HM_OPT_DOUBLE, &a->chunk_s, "S",
         "seconds of a window, which shares a sixth with each neighbour; 0: one after the other, cut where a timestamp says", 0, 30, NULL},
        {"batch-size", 0, HM_OPT_INT, &a->batch, "N", "windows side by side", 1, 1024, NULL},
        {"beams", 0, HM_OPT_INT, &a->beams, "N", "texts followed side by side at temperature 0; 0: as the model says", 0, 16, NULL},
        {"max-tokens", 0, HM_OPT_INT, &a->tokens, "N", "of a window at most", 1, 4096, NULL},
        {"temperatures", 0, HM_OPT_STRING, &a->temperatures, "LIST", "tried in turn while a window's text is not good enough", 0, 0, NULL},
        {"ratio-threshold", 0, HM_OPT_DOUBLE, &a->ratio, "X", "not good: it repeats itself, compressing by more than this", 0, 1000, NULL},
        {"logprob-threshold", 0, HM_OPT_DOUBLE, &a->logprob, "X", "not good: its mean log-probability is below this", -1000, 0, NULL},
        {"no-speech-threshold", 0, HM_OPT_DOUBLE, &a->no_speech, "P",
         "a window of low log-probability is left out when no speech is likelier than this", 0, 1, NULL},
        {"topk", 0, HM_OPT_INT, &a->topk, "N", "tokens to choose among above temperature 0; 0: all, -1: as the model says", -1, 1000000,
         NULL},
        {"seed", 0, HM_OPT_INT, &a->seed, "N", "of all random numbers", 0, HM_OPTION_NO_MAX, NULL},
        {"output", 'o', HM_OPT_STRING, &a->output, "PATH", "where the text goes, its kind by the suffix: .txt, .json, .srt, .vtt", 0, 0,
         NULL},
        {"format", 'f', HM_OPT_STRING, &a->format, "KIND", "of the text, whatever the suffix", 0, 0, hm_transcript_formats},
        HM_ENGINE_CHOICE_OPTIONS(a->engine),
        {"quiet", 'q', HM_OPT_FLAG, &a->quiet, NULL, "no progress and no summary", 0, 0, NULL},
        {0},
    };
    hm_status st = hm_options_parse(self, options, argc, argv, &a->files, 1, helped, err);
    return st || *helped ? st : hm_engine_choice_settle(&a->engine, err);
}

static hm_status read_temperatures(transcribe_args *a, hm_error *err)
{
    const char *at = a->temperatures;
    while (*at) {
        char *end;
        double value = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(value >= 0 && value <= 100) || a->list_count == HM_TEMPERATURES)
            return hm_fail(err, HM_EUSAGE, "transcribe: --temperatures \"%.60s\": expected up to %d numbers from 0 to 100, as in 0,0.2,0.4",
                           a->temperatures, HM_TEMPERATURES);
        a->list[a->list_count++] = value;
        at = *end ? end + 1 : end;
    }
    return a->list_count ? HM_OK : hm_fail(err, HM_EUSAGE, "transcribe: --temperatures is empty; expected numbers, as in 0,0.2,0.4");
}

static hm_status check_args(transcribe_args *a, hm_error *err)
{
    int by_name = a->format ? hm_transcript_format_named(a->format) : a->output ? hm_transcript_format_of_path(a->output) : 0;
    if (a->files.count != 1)
        return hm_fail(err, HM_EUSAGE, "transcribe: which recording? (hmbench transcribe FILE; hmbench transcribe --help)");
    if (by_name < 0)
        return hm_fail(err, HM_EUSAGE, "transcribe: -o %.200s: expected a suffix .txt, .json, .srt or .vtt, or --format beside it",
                       a->output);
    a->written = (hm_transcript_format)by_name;
    if (a->chunk_s > 0 && a->chunk_s < 1)
        return hm_fail(err, HM_EUSAGE, "transcribe: --chunk-length %g: expected 0, or 1 to 30 seconds", a->chunk_s);
    if (a->written == HM_TRANSCRIPT_SRT || a->written == HM_TRANSCRIPT_VTT)
        a->timestamps = true;
    hm_status st = read_temperatures(a, err);
    return !st && a->output ? hm_output_check("output", a->output, err) : st;
}

static hm_request request_of(const transcribe_args *a, const float *audio, int64_t samples)
{
    hm_request r = {.task = HM_TASK_TRANSCRIPT,
                    .transcript = {.audio = audio,
                                   .samples = samples,
                                   .chunk_s = a->chunk_s,
                                   .batch = (int)a->batch,
                                   .beams = (int)a->beams,
                                   .language = a->language && strcmp(a->language, "auto") ? a->language : NULL,
                                   .task = a->task,
                                   .timestamps = a->timestamps,
                                   .temperature_count = a->list_count,
                                   .ratio_threshold = a->ratio,
                                   .logprob_threshold = a->logprob,
                                   .no_speech_threshold = a->no_speech},
                    .max_frames = (int)a->tokens,
                    .topk = (int)a->topk,
                    .seed = (uint64_t)a->seed,
                    .skip_codec = true};
    memcpy(r.transcript.temperatures, a->list, sizeof r.transcript.temperatures);
    return r;
}

/* Once the recording is under way its seconds are what counts, not what a window does. */
typedef struct watcher {
    hm_progress progress;
    bool under_way;
} watcher;

static int watch(void *self, const char *phase, int64_t done, int64_t total)
{
    watcher *w = self;
    bool seconds = !strcmp(phase, "transcribe");
    w->under_way |= seconds;
    if (seconds || !w->under_way)
        hm_progress_update(&w->progress, phase, done, total);
    return hm_interrupted();
}

static hm_status deliver(const transcribe_args *a, const hm_transcript_report *report, hm_error *err)
{
    char *text = NULL;
    size_t size = 0;
    if (!a->output)
        return hm_transcript_print(report, a->written, stdout, err);
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return hm_fail(err, HM_EABSENT, "transcript: no memory");
    hm_status st = hm_transcript_print(report, a->written, f, err);
    fclose(f);
    if (!st)
        st = hm_file_write(a->output, text, size, err);
    free(text);
    return st;
}

static hm_status transcribe(transcribe_args *a, const float *audio, int64_t samples, int64_t audio_ns, hm_error *err)
{
    watcher w = {0};
    const hm_probe probe = {.self = &w, .progress = watch};
    hm_engine_opened opened = {0};
    hm_result result = {0};
    hm_request request = request_of(a, audio, samples);
    a->engine.probe = &probe;
    a->engine.log = hm_log_stderr(!a->quiet);
    hm_progress_start(&w.progress, "", a->quiet);
    hm_status st = hm_engine_open_chosen(&opened, &a->engine, err);
    if (!st && opened.facts->task != HM_TASK_TRANSCRIPT)
        st = hm_fail(err, HM_EUSAGE, "transcribe: %s is a %s model; take a Whisper, as --model whisper-mini", opened.model,
                     opened.facts->model);
    if (!st)
        st = opened.api->generate(opened.engine, &request, &result, err);
    hm_progress_end(&w.progress);
    if (!st) {
        const hm_transcript_report report = {.path = a->files.items[0],
                                             .model = opened.model,
                                             .variant = a->engine.variant,
                                             .engine = opened.facts,
                                             .request = &request,
                                             .result = &result,
                                             .audio_ns = audio_ns,
                                             .synthetic = opened.synthetic};
        st = deliver(a, &report, err);
        if (!st && !a->quiet)
            hm_transcript_summary(&report, stderr);
    }
    if (opened.api)
        opened.api->result_free(&result);
    hm_engine_close_chosen(&opened);
    return st;
}

hm_status hm_cmd_transcribe(const hm_command *self, int argc, char **argv, hm_error *err)
{
    /* As HeartTranscriptor's example has them. */
    transcribe_args a = {.engine = {.variant = "best", .backend = "cpu", .need_lm = true, .need_transcriber = true},
                         .task = "transcribe",
                         .temperatures = "0,0.1,0.2,0.4",
                         .chunk_s = 30,
                         .batch = 16,
                         .beams = 2,
                         .tokens = 256,
                         .topk = -1,
                         .seed = 1,
                         .ratio = 1.8,
                         .logprob = -1,
                         .no_speech = 0.4};
    float *audio = NULL;
    int64_t samples = 0, start;
    bool helped;
    hm_status st = parse(self, argc, argv, &a, &helped, err);
    if (st || helped)
        return st;
    st = check_args(&a, err);
    if (st)
        return st;
    if (!a.engine.model)
        a.engine.model = hm_model_default("transcript", "");
    start = hm_now_ns();
    st = hm_audio_read_recording(&audio, &samples, a.files.items[0], err);
    if (!st)
        st = transcribe(&a, audio, samples, hm_now_ns() - start, err);
    free(audio);
    return st;
}
