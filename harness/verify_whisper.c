/* Goldens of Whisper: manifest_seedK.json and model_seedK.json/.bin per seed, frontend.json/.bin, expected.json, units.json and the folder
 * model/ with configs and tokenizer (tests/goldens/whisper/README.md). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/audio.h"
#include "engine/audio/mel.h"
#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/panel.h"
#include "engine/synth.h"
#include "engine/text/transcript.h"
#include "harness/formula_audio.h"
#include "harness/verify_bench.h"

#define TOL_AUDIO 1e-6
#define TOL_RESAMPLED 2e-6
#define TOL_RESAMPLED_44K 2e-5
#define TOL_MEL 2e-4
#define TOL_MODEL 1e-3
#define TOL_FILTERS 1e-6
#define MEL_BINS 201
#define TAPS 32
#define PATH_BYTES 4096

static const struct recording {
    const char *name;
    int channels, rate_hz;
    double seconds;
} recordings[] = {{"A", 1, 16000, 41}, {"B", 2, 48000, 7}, {"C", 1, 44100, 3}};

/* What the engine told under a name. */
typedef struct told {
    char name[48];
    float *values;
    int64_t count;
} told;

typedef struct whisper_bench {
    hm_verify *v;
    const char *dir, *file; /* file at work */
    json_t *expected, *units, *config, *generation, *generation_ts, *index;
    hm_map bin; /* of index */
    hm_tokenizer *tokenizer;
    float *mono[3];
    int64_t samples[3];
    told taps[TAPS];
    int tap_count;
    bool no_memory;
    double share; /* what the format of the weights may lose; 0: nothing */
    hm_probe probe;
    char index_file[64];
} whisper_bench;

/* How far a value of the model may be off by weights of a format, as a share of the root mean square of its tensor: about twice the most that
 * was found on these goldens (docs/precision.md). */
static double format_share(int format)
{
    switch (format) {
    case HM_FORMAT_F16:
        return 0.004;
    case HM_FORMAT_BF16:
        return 0.04;
    case HM_FORMAT_FP8:
        return 0.6;
    case HM_FORMAT_INT8:
        return 0.12;
    case HM_FORMAT_INT4:
        return 1.2;
    case HM_FORMAT_FP4:
        return 1.8;
    default:
        return 0;
    }
}

/* Of the coarsest part. */
static double share_of(const hm_toggles *t)
{
    double share = 0;
    if (t) {
        share = fmax(share, format_share(t->precision_backbone));
        share = fmax(share, format_share(t->precision_decoder));
        share = fmax(share, format_share(t->precision_heads));
    }
    return share;
}

static hm_status load(json_t **out, const whisper_bench *b, const char *name, hm_error *err)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", b->dir, name);
    return hm_json_load(out, path, err);
}

/* --- rows --- */

static void report(const whisper_bench *b, const char *name, const char *shape, double max_abs, double tolerance, bool good)
{
    hm_verify_report(b->v, &(hm_verify_row){.file = b->file,
                                            .tensor = name,
                                            .shape = shape,
                                            .max_abs = max_abs,
                                            .tolerance = tolerance,
                                            .outcome = good ? HM_VERIFY_OK : HM_VERIFY_MISS,
                                            .text = tolerance < 0 ? (good ? "exact" : "differs")
                                                    : good        ? "ok"
                                                                  : "MISS"});
}

static void report_exact(const whisper_bench *b, const char *name, bool good)
{
    report(b, name, "", 0, -1, good);
}

static void report_near(const whisper_bench *b, const char *name, double found, double golden, double tolerance)
{
    double d = fabs(found - golden);
    report(b, name, "", d, tolerance, d <= tolerance); /* NAN is no hit */
}

/* Which of our values a golden one is: element i of its shape. */
typedef int64_t (*picked)(int64_t i, const int64_t shape[2], int64_t ours, const void *self);

/* A tensor of the .bin against what we have of it; share: of its root mean square that is allowed beside the tolerance. */
static hm_status compare(const whisper_bench *b, const char *name, const float *ours, int64_t count, picked pick, const void *self,
                         double tolerance, double share, hm_error *err)
{
    const json_t *e = json_object_get(b->index, name), *dims = json_object_get(e, "shape");
    int rank = (int)json_array_size(dims);
    int64_t shape[2] = {1, 1}, at = json_integer_value(json_object_get(e, "byte_offset"));
    char text[64];
    double worst = 0, squares = 0;
    if (!e)
        return HM_OK; /* this folder does not ask for it */
    for (int i = 0; i < rank && i < 2; i++)
        shape[2 - (rank < 2 ? rank : 2) + i] = json_integer_value(json_array_get(dims, (size_t)i));
    if (rank < 1 || rank > 2 || shape[0] < 1 || shape[1] < 1 || shape[0] > 1 << 20 || shape[1] > 1 << 20 || at < 0 || at % 4 ||
        (uint64_t)at + (uint64_t)(shape[0] * shape[1]) * 4 > b->bin.size)
        return hm_fail(err, HM_EFORMAT, "%s: %s: shape and byte_offset do not lie in the file of %zu bytes", b->file, name, b->bin.size);
    for (int64_t i = 0; i < shape[0] * shape[1]; i++) {
        float golden;
        int64_t from = pick ? pick(i, shape, count, self) : i;
        memcpy(&golden, b->bin.data + at + 4 * i, sizeof golden);
        double d = ours && from >= 0 && from < count ? fabs((double)ours[from] - (double)golden) : INFINITY;
        worst = d <= worst ? worst : d;
        squares += (double)golden * (double)golden;
    }
    tolerance += share * sqrt(squares / (double)(shape[0] * shape[1]));
    int n = rank == 1 ? snprintf(text, sizeof text, "[") : snprintf(text, sizeof text, "[%lld, ", (long long)shape[0]);
    snprintf(text + n, sizeof text - (size_t)n, "%lld]", (long long)shape[1]);
    report(b, name, text, worst, tolerance, worst <= tolerance);
    return HM_OK;
}

static hm_status open_index(whisper_bench *b, const char *stem, hm_error *err)
{
    char path[PATH_BYTES];
    snprintf(b->index_file, sizeof b->index_file, "%.50s.json", stem);
    b->file = b->index_file;
    hm_status st = load(&b->index, b, b->file, err);
    snprintf(path, sizeof path, "%s/%s.bin", b->dir, stem);
    return st ? st : hm_map_read(&b->bin, path, 64 << 20, err);
}

static void close_index(whisper_bench *b)
{
    json_decref(b->index);
    b->index = NULL;
    hm_map_close(&b->bin);
}

/* --- audio --- */

/* Every n-th of each channel; `first` of the shape's rows are channels. */
static int64_t every(int64_t i, const int64_t shape[2], int64_t ours, const void *step)
{
    return i / shape[1] * (ours / shape[0]) + i % shape[1] * *(const int64_t *)step;
}

static int64_t tail(int64_t i, const int64_t shape[2], int64_t ours, const void *self)
{
    (void)self;
    return ours - shape[1] + i;
}

static hm_status check_recording(whisper_bench *b, int r, hm_error *err)
{
    static const int64_t one = 1, long_step = 997, short_step = 37;
    const struct recording *a = &recordings[r];
    float *planar = NULL;
    int64_t samples = 0;
    char name[64];
    double tolerance = a->rate_hz == 44100 ? TOL_RESAMPLED_44K : TOL_RESAMPLED;
    const struct {
        const char *name;
        picked pick;
        const int64_t *step;
        bool resampled;
    } pieces[] = {{"audio.%s.head", every, &one, false},
                  {"audio.%s.every997", every, &long_step, false},
                  {"resampled.%s.head", every, &one, true},
                  {"resampled.%s.tail", tail, NULL, true},
                  {"resampled.%s.every37", every, &short_step, true}};
    hm_status st = hm_formula_audio(&planar, &samples, a->name, a->channels, a->rate_hz, a->seconds, 1, err);
    if (!st)
        st = hm_audio_mix_recording(&b->mono[r], &b->samples[r], planar, a->channels, samples, a->rate_hz, err);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces && !st; i++) {
        snprintf(name, sizeof name, pieces[i].name, a->name);
        st = pieces[i].resampled ? compare(b, name, b->mono[r], b->samples[r], pieces[i].pick, pieces[i].step, tolerance, 0, err)
                                 : compare(b, name, planar, samples * a->channels, pieces[i].pick, pieces[i].step, TOL_AUDIO, 0, err);
    }
    free(planar);
    return st;
}

static hm_status check_filters(whisper_bench *b, hm_error *err)
{
    int64_t mels = json_integer_value(json_object_get(b->config, "num_mel_bins"));
    if (mels < 1 || mels > 1024)
        return hm_fail(err, HM_EFORMAT, "model/config.json: num_mel_bins: expected 1 to 1024");
    float *bank = hm_calloc((size_t)mels * MEL_BINS, sizeof *bank, "mel filters", err);
    hm_status st = bank ? hm_whisper_mel_filters(bank, (int)mels, err) : HM_EABSENT;
    if (!st)
        st = compare(b, "mel_filters", bank, mels * MEL_BINS, NULL, NULL, TOL_FILTERS, 0, err);
    free(bank);
    return st;
}

/* --- windows --- */

static void keep_tap(void *self, const hm_tap_value *t)
{
    whisper_bench *b = self;
    told *to = b->tap_count < TAPS ? &b->taps[b->tap_count] : NULL;
    int64_t n = t->shape[0] * (t->rank > 1 ? t->shape[1] : 1) * (t->rank > 2 ? t->shape[2] : 1);
    for (int i = 0; i < b->tap_count && to; i++)
        if (!strcmp(b->taps[i].name, t->name))
            to = NULL; /* the first is the prompt's */
    if (!to || n <= 0)
        return;
    to->values = malloc((size_t)n * sizeof *to->values);
    if (!to->values) {
        b->no_memory = true;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        to->values[i] = t->is_int ? (float)((const int32_t *)t->data)[i] : ((const float *)t->data)[i];
    to->count = n;
    snprintf(to->name, sizeof to->name, "%s", t->name);
    b->tap_count++;
}

static void drop_taps(whisper_bench *b)
{
    for (int i = 0; i < b->tap_count; i++)
        free(b->taps[i].values);
    b->tap_count = 0;
}

static const told *tap_of(const whisper_bench *b, const char *name)
{
    for (int i = 0; i < b->tap_count; i++)
        if (!strcmp(b->taps[i].name, name))
            return &b->taps[i];
    return NULL;
}

static double number_of(const whisper_bench *b, const char *name, int i)
{
    const told *t = tap_of(b, name);
    return t && i < t->count ? (double)t->values[i] : NAN;
}

/* Rows of the encoder that the goldens have. */
static int64_t five_rows(int64_t i, const int64_t shape[2], int64_t ours, const void *self)
{
    static const int64_t rows[] = {0, 1, 700, 1498, 1499};
    (void)ours;
    (void)self;
    return i / shape[1] < 5 ? rows[i / shape[1]] * shape[1] + i % shape[1] : -1;
}

static int64_t every_75(int64_t i, const int64_t shape[2], int64_t ours, const void *self)
{
    (void)ours;
    (void)self;
    return i / shape[1] * 75 * shape[1] + i % shape[1];
}

static int64_t last_rows(int64_t i, const int64_t shape[2], int64_t ours, const void *self)
{
    (void)self;
    return ours - shape[0] * shape[1] + i;
}

static hm_status check_tensors(const whisper_bench *b, const char *window, hm_error *err)
{
    const struct {
        const char *golden, *tap;
        picked pick;
    } all[] = {{"enc.%s.embed", "enc.embed", five_rows},      {"enc.%s.layer0", "enc.layer0", five_rows},
               {"enc.%s.out_every75", "enc.out", every_75},   {"enc.%s.out_last2", "enc.out", last_rows},
               {"dec.%s.sot_logits", "dec.sot_logits", NULL}, {"dec.%s.first_logits", "dec.first_logits", NULL},
               {"dec.%s.hidden0", "dec.hidden0", NULL},       {"dec.%s.hidden1", "dec.hidden1", NULL},
               {"dec.%s.hidden2", "dec.hidden2", NULL}};
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && !st; i++) {
        char name[64];
        const told *t = tap_of(b, all[i].tap);
        snprintf(name, sizeof name, all[i].golden, window);
        st = compare(b, name, t ? t->values : NULL, t ? t->count : 0, all[i].pick, NULL, TOL_MODEL, b->share, err);
    }
    return st;
}

/* Columns of a mel of 3000 frames: from, and how far apart. */
typedef struct columns {
    int64_t from, step;
} columns;

static int64_t column(int64_t i, const int64_t shape[2], int64_t ours, const void *self)
{
    const columns *c = self;
    return i / shape[1] * (ours / shape[0]) + c->from + i % shape[1] * c->step;
}

static hm_status check_mel(const whisper_bench *b, const char *window, hm_error *err)
{
    char name[64];
    long long edge = 0;
    const told *t = tap_of(b, "mel");
    snprintf(name, sizeof name, "mel.%s.edge", window);
    const char *note = json_string_value(json_object_get(json_object_get(b->index, name), "note"));
    if (note)
        sscanf(note, "frames %lld", &edge);
    const struct {
        const char *piece;
        columns at;
    } all[] = {{"first8", {0, 1}}, {"last8", {2992, 1}}, {"every50", {0, 50}}, {"edge", {edge, 1}}};
    hm_status st = HM_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && !st; i++) {
        snprintf(name, sizeof name, "mel.%s.%s", window, all[i].piece);
        st = compare(b, name, t ? t->values : NULL, t ? t->count : 0, column, &all[i].at, TOL_MEL, 0, err);
    }
    return st;
}

/* Up to the first end on both sides, since beams may be filled up with ends. */
static bool same_tokens(const whisper_bench *b, const json_t *golden, int32_t end)
{
    const told *t = tap_of(b, "tokens");
    size_t i, n = json_array_size(golden);
    for (i = 0; t && i < n; i++) {
        json_int_t want = json_integer_value(json_array_get(golden, i));
        if (i >= (size_t)t->count || (json_int_t)t->values[i] != want)
            return false;
        if (want == end)
            return true;
    }
    return t && (size_t)t->count == n;
}

static double golden_real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* How far a logit of the window at work may be off. */
static double logits_bound(const whisper_bench *b)
{
    const told *t = tap_of(b, "dec.first_logits");
    double squares = 0;
    for (int64_t i = 0; t && i < t->count; i++)
        squares += (double)t->values[i] * (double)t->values[i];
    return TOL_MODEL + (t && t->count ? b->share * sqrt(squares / (double)t->count) : 0);
}

/* Where weights lose something: as far as the golden tokens lie further before the second best than two logits may be off. */
static void report_sure_tokens(const whisper_bench *b, const char *name, const json_t *golden)
{
    const json_t *tokens = json_object_get(golden, "tokens"), *margins = json_object_get(golden, "margins");
    const told *t = tap_of(b, "tokens");
    double bound = 2 * logits_bound(b);
    size_t sure = 0, same = 0, n = json_array_size(tokens);
    char text[48];
    while (sure < n && json_number_value(json_array_get(margins, sure)) > bound)
        sure++;
    while (t && same < sure && same < (size_t)t->count && (json_int_t)t->values[same] == json_integer_value(json_array_get(tokens, same)))
        same++;
    snprintf(text, sizeof text, "%zu of %zu", sure, n);
    report(b, name, text, 0, -1, same == sure);
}

/* Greedy or two beams of a window. */
static hm_status check_decoding(whisper_bench *b, hm_engine *engine, const float *audio, int64_t samples, const char *window,
                                const json_t *golden, int beams, int32_t end, hm_error *err)
{
    char name[96];
    hm_whisper_check k = {.audio = audio,
                          .samples = samples,
                          .max_tokens = (int)json_integer_value(json_object_get(golden, "max_new_tokens")),
                          .beams = beams};
    const char *how = beams > 1 ? "beam2" : "greedy";
    drop_taps(b);
    hm_status st = b->v->api->check(engine, &(hm_check){.kind = HM_CHECK_WHISPER, .whisper = &k}, err);
    if (!st && b->no_memory)
        st = hm_fail(err, HM_EABSENT, "%s: no memory", window);
    if (st)
        return st;
    snprintf(name, sizeof name, "%s.%s.tokens", window, how);
    if (b->share > 0) {
        report_sure_tokens(b, name, golden);
        return HM_OK;
    }
    report_exact(b, name, same_tokens(b, json_object_get(golden, "tokens"), end));
    snprintf(name, sizeof name, "%s.%s.avg_logprob", window, how);
    report_near(b, name, number_of(b, "numbers", 0), golden_real(golden, "avg_logprob"), TOL_MODEL);
    if (json_object_get(golden, "score")) {
        snprintf(name, sizeof name, "%s.%s.score", window, how);
        report_near(b, name, number_of(b, "numbers", 2), golden_real(golden, "score"), TOL_MODEL);
    }
    return HM_OK;
}

static const float *window_audio(const whisper_bench *b, const char *window, int64_t *samples, hm_error *err)
{
    char group[32];
    const char *dot = strrchr(window, '.');
    snprintf(group, sizeof group, "%.*s", dot ? (int)(dot - window) : 0, window);
    const json_t *w = json_array_get(json_object_get(json_object_get(b->expected, "chunks"), group), dot ? strtoul(dot + 1, NULL, 10) : 0);
    int64_t start = json_integer_value(json_object_get(w, "start"));
    *samples = json_integer_value(json_object_get(w, "len"));
    int r = window[0] - 'A';
    if (!w || r < 0 || r > 2 || start < 0 || *samples < 1 || start + *samples > b->samples[r]) {
        hm_fail(err, HM_EFORMAT, "expected.json: window %.40s: its place in a recording is not known", window);
        return NULL;
    }
    return b->mono[r] + start;
}

static hm_status check_window(whisper_bench *b, hm_engine *engine, const char *seed, const char *window, const json_t *golden, bool mel,
                              hm_error *err)
{
    char name[96], stem[40];
    int64_t samples = 0;
    int32_t end = (int32_t)json_integer_value(json_object_get(b->generation, "eos_token_id"));
    const float *audio = window_audio(b, window, &samples, err);
    if (!audio)
        return HM_EFORMAT;
    b->file = "expected.json";
    hm_status st = check_decoding(b, engine, audio, samples, window, json_object_get(golden, "greedy"), 1, end, err);
    if (st)
        return st;
    double silence = golden_real(golden, "no_speech_prob");
    snprintf(name, sizeof name, "%s.language", window);
    double bound = 2 * logits_bound(b); /* of a difference of two */
    if (b->share == 0 || golden_real(golden, "lang_margin") > bound)
        report_exact(b, name, number_of(b, "language", 0) == golden_real(golden, "lang_id"));
    snprintf(name, sizeof name, "%s.language_margin", window);
    report_near(b, name, number_of(b, "language_margin", 0), golden_real(golden, "lang_margin"), b->share > 0 ? bound : 2 * TOL_MODEL);
    snprintf(name, sizeof name, "%s.no_speech_prob", window);
    report_near(b, name, number_of(b, "numbers", 1), silence, (b->share > 0 ? expm1(bound) : 0.01) * silence);
    snprintf(stem, sizeof stem, "model_seed%.10s", seed);
    st = open_index(b, stem, err);
    if (!st)
        st = check_tensors(b, window, err);
    close_index(b);
    if (!st && mel && !(st = open_index(b, "frontend", err)))
        st = check_mel(b, window, err);
    close_index(b);
    b->file = "expected.json";
    if (!st && b->share == 0 && json_object_get(golden, "beam2"))
        st = check_decoding(b, engine, audio, samples, window, json_object_get(golden, "beam2"), 2, end, err);
    return st;
}

/* --- recordings --- */

static bool same_chunks(const hm_transcript *t, const json_t *golden, const char *start, const char *end)
{
    json_t *want;
    size_t i;
    if ((size_t)t->chunk_count != json_array_size(golden))
        return false;
    json_array_foreach(golden, i, want)
    {
        const json_t *times = json_object_get(want, "timestamp"), *text = json_object_get(want, "text");
        const json_t *s = times ? json_array_get(times, 0) : json_object_get(want, start);
        const json_t *e = times ? json_array_get(times, 1) : json_object_get(want, end);
        const hm_transcript_chunk *c = &t->chunks[i];
        if ((json_is_null(s) ? !isnan(c->start_s) : fabs(c->start_s - json_number_value(s)) > 1e-9) ||
            (json_is_null(e) ? !isnan(c->end_s) : fabs(c->end_s - json_number_value(e)) > 1e-9) ||
            (text && strcmp(c->text, json_string_value(text))))
            return false;
    }
    return true;
}

static bool same_ids(const hm_result *r, const json_t *golden)
{
    bool same = (size_t)r->frames == json_array_size(golden);
    for (int i = 0; same && i < r->frames; i++)
        same = r->codes[i] == json_integer_value(json_array_get(golden, (size_t)i));
    return same;
}

/* A recording through the whole engine, as HeartTranscriptor's pipeline (chunk_s) or the seek loop (0) has it. */
static hm_status check_transcript(whisper_bench *b, hm_engine *engine, const json_t *golden, const char *audio, double chunk_s,
                                  hm_error *err)
{
    int r = audio[0] - 'A', beams = (int)json_integer_value(json_object_get(golden, "num_beams"));
    bool timestamps = chunk_s == 0 || json_is_true(json_object_get(golden, "return_timestamps"));
    char name[64];
    hm_result result = {0};
    if (r < 0 || r > 2)
        return hm_fail(err, HM_EFORMAT, "expected.json: recording \"%.20s\" is not known", audio);
    hm_request q = {.task = HM_TASK_TRANSCRIPT,
                    .transcript = {.audio = b->mono[r],
                                   .samples = b->samples[r],
                                   .chunk_s = chunk_s,
                                   .batch = 2,
                                   .beams = beams ? beams : 1,
                                   .task = "transcribe",
                                   .timestamps = timestamps,
                                   .ratio_threshold = NAN,
                                   .logprob_threshold = NAN,
                                   .no_speech_threshold = NAN},
                    .max_frames = (int)json_integer_value(json_object_get(golden, "max_new_tokens")),
                    .topk = -1,
                    .seed = 1};
    hm_status st = b->v->api->generate(engine, &q, &result, err);
    if (st)
        return st;
    const hm_transcript *t = &result.transcript;
    snprintf(name, sizeof name, "%s.%s%g.beams%d", audio, chunk_s > 0 ? timestamps ? "timestamps" : "chunk" : "seek", chunk_s,
             q.transcript.beams);
    bool good = chunk_s == 0 ? same_ids(&result, json_object_get(golden, "tokens")) &&
                                   same_chunks(t, json_object_get(golden, "segments"), "start", "end")
                             : t->text && !strcmp(t->text, json_string_value(json_object_get(golden, "text"))) &&
                                   (!timestamps || same_chunks(t, json_object_get(golden, "chunks"), "", ""));
    report_exact(b, name, good);
    b->v->api->result_free(&result);
    return HM_OK;
}

static hm_status open_engine(whisper_bench *b, hm_engine **out, const json_t *manifest, const json_t *generation, hm_error *err)
{
    char folder[PATH_BYTES];
    b->probe = (hm_probe){.self = b, .tap = keep_tap};
    snprintf(folder, sizeof folder, "%s/model", b->dir);
    json_t *whole =
        json_pack("{sO sO sO}", "config", b->config, "generation_config", generation, "tensors", json_object_get(manifest, "tensors"));
    if (!whole)
        return hm_fail(err, HM_EFORMAT, "%s: expected configs and manifests with tensors", b->dir);
    hm_engine_options o = {
        .source = {.lm_manifest = whole, .tokenizer = folder, .seed = (uint64_t)json_integer_value(json_object_get(manifest, "seed"))},
        .backend = b->v->backend ? b->v->backend : "cpu",
        .device = b->v->device,
        .driver_cache = b->v->driver_cache,
        .threads = b->v->threads,
        .isa = b->v->isa,
        .toggles = b->v->toggles,
        .need_lm = true,
        .probe = &b->probe};
    hm_status st = b->v->api->open(out, &o, err);
    json_decref(whole);
    return st;
}

/* --- units --- */

/* Ids of a list. malloc'ed. */
static int32_t *ids_of(const json_t *list, int *count, hm_error *err)
{
    size_t n = json_array_size(list);
    int32_t *ids = hm_calloc(n + 1, sizeof *ids, "units", err);
    for (size_t k = 0; ids && k < n; k++)
        ids[k] = (int32_t)json_integer_value(json_array_get(list, k));
    *count = ids ? (int)n : 0;
    return ids;
}

static hm_status check_ratio(whisper_bench *b, const json_t *row, bool *good, hm_error *err)
{
    int count;
    double ratio = 0;
    int32_t *ids = ids_of(json_object_get(row, "tokens"), &count, err);
    (void)b;
    hm_status st = ids ? hm_transcript_ratio(&ratio, ids, count, json_integer_value(json_object_get(row, "vocab_size")), err) : HM_EABSENT;
    *good = ratio == golden_real(row, "ratio");
    free(ids);
    return st;
}

static hm_status check_decode(whisper_bench *b, const json_t *row, bool *good, hm_error *err)
{
    int count;
    char *text = NULL;
    const char *want = json_string_value(json_object_get(row, "decoded"));
    int32_t *ids = ids_of(json_object_get(row, "ids"), &count, err);
    hm_status st = ids ? hm_transcript_text(&text, b->tokenizer, ids, (size_t)count, err) : HM_EABSENT;
    *good = want && text && !strcmp(text, want);
    free(ids);
    free(text);
    return st;
}

static void free_parts(hm_transcript_part *parts, int count)
{
    for (int i = 0; parts && i < count; i++)
        free((void *)(uintptr_t)parts[i].ids);
    free(parts);
}

/* Lists of ids as parts; key: of the list in a row, or NULL: the row is the list. */
static hm_transcript_part *parts_of(const json_t *rows, const char *key, int *count, hm_error *err)
{
    *count = (int)json_array_size(rows);
    hm_transcript_part *parts = hm_calloc((size_t)*count + 1, sizeof *parts, "units", err);
    for (int i = 0; parts && i < *count; i++) {
        const json_t *row = json_array_get(rows, (size_t)i), *stride = json_object_get(row, "stride_s");
        parts[i].ids = ids_of(key ? json_object_get(row, key) : row, &parts[i].count, err);
        parts[i].samples = llround(json_number_value(json_array_get(stride, 0)) * HM_TRANSCRIPT_RATE);
        parts[i].left = llround(json_number_value(json_array_get(stride, 1)) * HM_TRANSCRIPT_RATE);
        parts[i].right = llround(json_number_value(json_array_get(stride, 2)) * HM_TRANSCRIPT_RATE);
        if (!parts[i].ids) {
            free_parts(parts, i);
            return NULL;
        }
    }
    return parts;
}

static hm_status check_merge(whisper_bench *b, const json_t *row, bool *good, hm_error *err)
{
    int count, n = 0;
    int32_t *out = NULL;
    const json_t *want = json_object_get(row, "out");
    hm_transcript_part *parts = parts_of(json_object_get(row, "in"), NULL, &count, err);
    (void)b;
    hm_status st = parts ? hm_transcript_merge(&out, &n, parts, count, err) : HM_EABSENT;
    *good = (size_t)n == json_array_size(want);
    for (int i = 0; *good && i < n; i++)
        *good = out[i] == json_integer_value(json_array_get(want, (size_t)i));
    free(out);
    free_parts(parts, count);
    return st;
}

static hm_status check_chunks(whisper_bench *b, const json_t *row, bool *good, hm_error *err)
{
    int count;
    hm_transcript t = {0};
    const hm_transcript_ids ids = {(int32_t)json_integer_value(json_object_get(b->generation, "eos_token_id")),
                                   (int32_t)json_integer_value(json_object_get(b->generation, "no_timestamps_token_id")) + 1};
    const char *want = json_string_value(json_object_get(row, "text"));
    hm_transcript_part *parts = parts_of(json_object_get(row, "outputs"), "tokens", &count, err);
    hm_status st = parts ? hm_transcript_write(&t, b->tokenizer, ids, parts, count, true, err) : HM_EABSENT;
    *good = !st && want && !strcmp(t.text, want) && same_chunks(&t, json_object_get(row, "chunks"), "", "");
    hm_transcript_close(&t);
    free_parts(parts, count);
    return st;
}

static hm_status check_units(whisper_bench *b, hm_error *err)
{
    static const struct {
        const char *name;
        hm_status (*check)(whisper_bench *b, const json_t *row, bool *good, hm_error *err);
    } kinds[] = {
        {"compression_ratio", check_ratio}, {"decode", check_decode}, {"merge", check_merge}, {"decode_asr_timestamps", check_chunks}};
    hm_status st = HM_OK;
    b->file = "units.json";
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const json_t *rows = json_object_get(b->units, kinds[k].name), *row;
        size_t i;
        json_array_foreach(rows, i, row) if (!st)
        {
            char name[48];
            bool good = false;
            snprintf(name, sizeof name, "%s.%zu", kinds[k].name, i);
            st = kinds[k].check(b, row, &good, err);
            if (!st)
                report_exact(b, name, good);
        }
    }
    return st;
}

/* --- seeds --- */

/* Whether exactly the ids of these runs may still come. */
static bool same_runs(const float *x, int64_t V, const json_t *runs)
{
    int64_t at = 0;
    const json_t *run;
    size_t i;
    json_array_foreach(runs, i, run)
    {
        int64_t first = json_integer_value(json_array_get(run, 0)), last = json_integer_value(json_array_get(run, 1));
        for (; at < first && at < V; at++)
            if (x[at] != -INFINITY)
                return false;
        for (; at <= last && at < V; at++)
            if (x[at] == -INFINITY)
                return false;
    }
    for (; at < V; at++)
        if (x[at] != -INFINITY)
            return false;
    return true;
}

/* The rules of timestamps alone: which ids may still come. The folder does not tell the scores, but for the one that stands out. */
static hm_status check_rules(whisper_bench *b, hm_engine *engine, hm_error *err)
{
    const json_t *row;
    size_t i;
    int64_t V = json_integer_value(json_object_get(b->config, "vocab_size"));
    float *x = V > 0 && V < 1 << 20 ? hm_calloc((size_t)V, sizeof *x, "scores", err) : NULL;
    hm_status st = x ? HM_OK : hm_fail(err, HM_EFORMAT, "model/config.json: vocab_size: expected 1 to 1048575");
    b->file = "units.json";
    json_array_foreach(json_object_get(b->units, "ts_rules"), i, row) if (!st)
    {
        const json_t *bump = json_object_get(row, "bump");
        int64_t bumped = json_integer_value(json_array_get(bump, 0));
        int count;
        char name[48];
        int32_t *ids = ids_of(json_object_get(row, "generated"), &count, err);
        hm_synth_fill(x, HM_F32, "scores", 1 + i, 0, V, 0, 6, NULL);
        if (json_is_array(bump) && bumped >= 0 && bumped < V)
            x[bumped] = (float)json_number_value(json_array_get(bump, 1));
        const hm_whisper_check k = {.scores = x, .generated = ids, .generated_count = count};
        st = ids ? b->v->api->check(engine, &(hm_check){.kind = HM_CHECK_WHISPER, .whisper = &k}, err) : HM_EABSENT;
        snprintf(name, sizeof name, "ts_rules.%zu", i);
        if (!st)
            report_exact(b, name, same_runs(x, V, json_object_get(row, "finite_runs_inclusive")));
        free(ids);
    }
    free(x);
    return st;
}

static hm_status check_seed(whisper_bench *b, const char *seed, json_t *golden, hm_error *err)
{
    char name[64];
    const char *key;
    json_t *manifest = NULL, *item;
    hm_engine *engine = NULL, *stamped = NULL;
    size_t i;
    snprintf(name, sizeof name, "manifest_seed%.10s.json", seed);
    hm_status st = load(&manifest, b, name, err);
    if (!st)
        st = open_engine(b, &engine, manifest, b->generation, err);
    if (!st)
        st = open_engine(b, &stamped, manifest, b->generation_ts, err);
    json_object_foreach(json_object_get(golden, "windows"), key, item) if (!st) st =
        check_window(b, engine, seed, key, item, !strcmp(seed, "1"), err);
    drop_taps(b);
    if (!st && !strcmp(seed, "1"))
        st = check_rules(b, stamped, err);
    b->file = "expected.json";
    json_array_foreach(json_object_get(golden, "pipeline"), i, item) if (!st && b->share == 0) /* else the texts are the format's own */
    {
        const char *audio = json_string_value(json_object_get(item, "audio"));
        bool timestamps = json_is_true(json_object_get(item, "return_timestamps"));
        st = check_transcript(b, timestamps ? stamped : engine, item, audio ? audio : "", golden_real(item, "chunk_length_s"), err);
        drop_taps(b);
    }
    json_object_foreach(json_object_get(golden, "timestamps"), key, item) if (!st && b->share == 0)
    {
        st = check_transcript(b, stamped, item, key, 0, err);
        drop_taps(b);
    }
    b->v->api->close(&engine);
    b->v->api->close(&stamped);
    json_decref(manifest);
    return st;
}

/* --- the folder --- */

bool hm_verify_is_whisper(struct dirent **files, int count)
{
    bool expected = false, manifest = false;
    for (int i = 0; i < count; i++) {
        expected |= !strcmp(files[i]->d_name, "expected.json");
        manifest |= hm_begins(files[i]->d_name, "manifest_seed");
    }
    return expected && manifest;
}

static hm_status load_all(whisper_bench *b, hm_error *err)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/model", b->dir);
    hm_status st = load(&b->expected, b, "expected.json", err);
    if (!st)
        st = load(&b->units, b, "units.json", err);
    if (!st)
        st = load(&b->config, b, "model/config.json", err);
    if (!st)
        st = load(&b->generation, b, "model/generation_config.json", err);
    if (!st)
        st = load(&b->generation_ts, b, "model/generation_config_ts.json", err);
    return st ? st : hm_tokenizer_open_whisper(&b->tokenizer, folder, err);
}

hm_status hm_verify_whisper(hm_verify *v, const char *dir, hm_error *err)
{
    whisper_bench b = {.v = v, .dir = dir, .share = share_of(v->precision)};
    const char *seed;
    json_t *golden;
    hm_status st = load_all(&b, err);
    if (!st)
        st = open_index(&b, "frontend", err);
    for (int r = 0; r < 3 && !st; r++)
        st = check_recording(&b, r, err);
    if (!st)
        st = check_filters(&b, err);
    close_index(&b);
    if (!st)
        st = check_units(&b, err);
    json_object_foreach(json_object_get(b.expected, "seeds"), seed, golden) if (!st) st = check_seed(&b, seed, golden, err);
    for (int r = 0; r < 3; r++)
        free(b.mono[r]);
    drop_taps(&b);
    hm_tokenizer_close(&b.tokenizer);
    json_t *const all[] = {b.expected, b.units, b.config, b.generation, b.generation_ts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_decref(all[i]);
    return st;
}
