/* Goldens of Whisper: manifest_seedK.json and model_seedK.json/.bin per seed, frontend.json/.bin, expected.json, units.json and the folder
 * model/ with configs and tokenizer (tests/goldens/whisper/README.md). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/audio/audio.h"
#include "engine/base/json.h"
#include "engine/base/map.h"
#include "engine/text/transcript.h"
#include "harness/formula_audio.h"
#include "harness/verify_bench.h"

#define TOL_AUDIO 1e-6
#define TOL_RESAMPLED 2e-6
#define TOL_RESAMPLED_44K 2e-5
#define TOL_MEL 2e-4
#define TOL_MODEL 1e-3
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
    hm_probe probe;
    char index_file[64];
} whisper_bench;

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

/* A tensor of the .bin against what we have of it. */
static hm_status compare(const whisper_bench *b, const char *name, const float *ours, int64_t count, picked pick, const void *self,
                         double tolerance, hm_error *err)
{
    const json_t *e = json_object_get(b->index, name), *dims = json_object_get(e, "shape");
    int rank = (int)json_array_size(dims);
    int64_t shape[2] = {1, 1}, at = json_integer_value(json_object_get(e, "byte_offset"));
    char text[64];
    double worst = 0;
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
    }
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
        st = pieces[i].resampled ? compare(b, name, b->mono[r], b->samples[r], pieces[i].pick, pieces[i].step, tolerance, err)
                                 : compare(b, name, planar, samples * a->channels, pieces[i].pick, pieces[i].step, TOL_AUDIO, err);
    }
    free(planar);
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
        st = compare(b, name, t ? t->values : NULL, t ? t->count : 0, all[i].pick, NULL, TOL_MODEL, err);
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
        st = compare(b, name, t ? t->values : NULL, t ? t->count : 0, column, &all[i].at, TOL_MEL, err);
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
    report_exact(b, name, number_of(b, "language", 0) == golden_real(golden, "lang_id"));
    snprintf(name, sizeof name, "%s.language_margin", window);
    report_near(b, name, number_of(b, "language_margin", 0), golden_real(golden, "lang_margin"), 2 * TOL_MODEL);
    snprintf(name, sizeof name, "%s.no_speech_prob", window);
    report_near(b, name, number_of(b, "numbers", 1), silence, 0.01 * silence);
    snprintf(stem, sizeof stem, "model_seed%.10s", seed);
    st = open_index(b, stem, err);
    if (!st)
        st = check_tensors(b, window, err);
    close_index(b);
    if (!st && mel && !(st = open_index(b, "frontend", err)))
        st = check_mel(b, window, err);
    close_index(b);
    b->file = "expected.json";
    if (!st && json_object_get(golden, "beam2"))
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
    b->file = "expected.json";
    json_array_foreach(json_object_get(golden, "pipeline"), i, item) if (!st)
    {
        const char *audio = json_string_value(json_object_get(item, "audio"));
        bool timestamps = json_is_true(json_object_get(item, "return_timestamps"));
        st = check_transcript(b, timestamps ? stamped : engine, item, audio ? audio : "", golden_real(item, "chunk_length_s"), err);
        drop_taps(b);
    }
    json_object_foreach(json_object_get(golden, "timestamps"), key, item) if (!st)
    {
        st = check_transcript(b, stamped, item, key, 0, err);
        drop_taps(b);
    }
    b->v->api->close(&engine);
    b->v->api->close(&stamped);
    json_decref(manifest);
    return st;
}

/* --- units --- */

static hm_status check_units(whisper_bench *b, hm_error *err)
{
    json_t *row, *value;
    size_t i, k;
    char name[48];
    hm_status st = HM_OK;
    b->file = "units.json";
    json_array_foreach(json_object_get(b->units, "compression_ratio"), i, row) if (!st)
    {
        const json_t *list = json_object_get(row, "tokens");
        int32_t *ids = hm_calloc(json_array_size(list) + 1, sizeof *ids, "units", err);
        double ratio = 0;
        json_array_foreach(list, k, value) if (ids) ids[k] = (int32_t)json_integer_value(value);
        st = ids ? hm_transcript_ratio(&ratio, ids, (int)json_array_size(list), json_integer_value(json_object_get(row, "vocab_size")), err)
                 : HM_EABSENT;
        snprintf(name, sizeof name, "compression_ratio.%zu", i);
        if (!st)
            report_exact(b, name, ratio == golden_real(row, "ratio"));
        free(ids);
    }
    json_array_foreach(json_object_get(b->units, "decode"), i, row) if (!st)
    {
        const json_t *list = json_object_get(row, "ids");
        int32_t *ids = hm_calloc(json_array_size(list) + 1, sizeof *ids, "units", err);
        char *text = NULL;
        json_array_foreach(list, k, value) if (ids) ids[k] = (int32_t)json_integer_value(value);
        st = ids ? hm_transcript_text(&text, b->tokenizer, ids, json_array_size(list), err) : HM_EABSENT;
        const char *want = json_string_value(json_object_get(row, "decoded"));
        snprintf(name, sizeof name, "decode.%zu", i);
        if (!st)
            report_exact(b, name, want && !strcmp(text, want));
        free(ids);
        free(text);
    }
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
    whisper_bench b = {.v = v, .dir = dir};
    const char *seed;
    json_t *golden;
    hm_status st = load_all(&b, err);
    if (!st)
        st = open_index(&b, "frontend", err);
    for (int r = 0; r < 3 && !st; r++)
        st = check_recording(&b, r, err);
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
