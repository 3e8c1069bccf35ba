/* The talker on the small presets: goldens as requests, utterances and what they have made. What the tests of the talker share. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_TALKER_CASE_H
#define HM_TESTS_TALKER_CASE_H

#include "tests/result_case.h"

#include <math.h>

#include "engine/backend.h"
#include "engine/models/qwen3_tts.h"
#include "harness/golden.h"

#define GOLDENS HM_TEST_DATA "/goldens/qwen3-tts/"

/* --- models --- */

typedef struct model {
    hm_ctx ctx;
    hm_weights *weights;
    hm_talker talker;
} model;

static inline json_t *load(const char *preset, const char *what)
{
    char path[512];
    json_error_t why;
    snprintf(path, sizeof path, GOLDENS "%s.%s.json", preset, what);
    json_t *json = json_load_file(path, 0, &why);
    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

static inline model *open_on(const char *preset, const char *kind, const hm_toggles *toggles, int threads)
{
    char what[64];
    model *m = calloc(1, sizeof *m);
    hm_error err = {0};
    hm_talker_shape *shape = calloc(1, sizeof *shape);
    assert_true(m && shape);
    snprintf(what, sizeof what, "%s.config", kind);
    json_t *manifest = load(preset, "manifest"), *config = load(preset, what);
    json_t *own = json_pack("{s:o, s:O}", "config", config, "tensors", json_object_get(manifest, "tensors"));
    m->ctx.toggles = *toggles;
    if (hm_backend_open(&m->ctx, NULL, &(hm_device_options){.threads = threads, .isa = hm_isa_detect()}, &err))
        fail_msg("%s", err.text);
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(manifest, "seed"));
    if (hm_weights_synth(&m->weights, own, seed, m->ctx.team, preset, &err) ||
        hm_talker_shape_read(shape, config, preset, &err) || hm_talker_bind(&m->ctx, &m->talker, shape, m->weights, &err))
        fail_msg("%s", err.text);
    free(shape);
    json_decref(own);
    json_decref(manifest);
    return m;
}

static inline model *open_model(const char *preset, const char *kind, const hm_toggles *toggles)
{
    return open_on(preset, kind, toggles, 1);
}

static inline void close_model(model *m)
{
    hm_talker_release(&m->talker);
    hm_bind_release(&m->ctx);
    hm_weights_close(&m->weights);
    hm_backend_close(&m->ctx);
    free(m);
}

/* --- cases --- */

/* A golden file as a request. */
typedef struct tts_case {
    hm_golden golden;
    char preset[8], name[48];
    const char *kind;
    hm_talker_request request;
    const int32_t *codes; /* [frames][G], golden */
    int frames;
} tts_case;

static inline const int32_t *ints(tts_case *k, const char *name, int *count)
{
    const int32_t *values = NULL;
    int64_t n = 0;
    hm_error err = {0};
    if (hm_golden_find(&k->golden, "", name) && hm_golden_need_i32(&k->golden, "", name, &values, &n, &err))
        fail_msg("%s", err.text);
    *count = (int)n;
    return values;
}

static inline int row_of(const hm_tts_name *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name))
            return (int)list[i].id;
    fail_msg("no %s", name);
    return -1;
}

/* Language and speaker of the case as rows of the codec embedding: spec section 5.3. */
static inline void read_voice(tts_case *k, const json_t *facts)
{
    char what[64];
    hm_talker_shape *g = calloc(1, sizeof *g);
    hm_error err = {0};
    snprintf(what, sizeof what, "%s.config", k->kind);
    json_t *config = load(k->preset, what);
    if (!g || hm_talker_shape_read(g, config, what, &err))
        fail_msg("%s", err.text);
    const char *speaker = json_string_value(json_object_get(facts, "speaker")),
               *language = json_string_value(json_object_get(facts, "language"));
    k->request.speaker = speaker ? row_of(g->speakers, g->speaker_count, speaker) : -1;
    if (speaker && (!strcmp(language, "auto") || !strcmp(language, "chinese")))
        for (int i = 0; i < g->speaker_count; i++)
            if (!strcmp(g->speakers[i].name, speaker) && *g->speakers[i].dialect)
                language = g->speakers[i].dialect;
    k->request.language = strcmp(language, "auto") ? row_of(g->languages, g->language_count, language) : -1;
    k->request.streaming_text = json_is_false(json_object_get(facts, "non_streaming"));
    json_decref(config);
    free(g);
}

static inline tts_case *open_case(const char *file)
{
    char path[512];
    tts_case *k = calloc(1, sizeof *k);
    hm_error err = {0};
    int n, groups;
    assert_non_null(k);
    snprintf(path, sizeof path, GOLDENS "%s.safetensors", file);
    if (hm_golden_open(&k->golden, path, &err))
        fail_msg("%s", err.text);
    snprintf(k->preset, sizeof k->preset, "%.6s", file);
    snprintf(k->name, sizeof k->name, "%s", file + 7);
    json_t *stats = load(k->preset, "stats"), *facts = json_object_get(stats, k->name);
    k->kind = strstr(k->name, "design") ? "voice_design" : strstr(k->name, "base") ? "base" : "custom_voice";
    groups = strcmp(k->preset, "tiny_a") ? 8 : 16;
    k->request =
        (hm_talker_request){.draw.greedy = true, .sub_draw.greedy = true, .repetition_penalty = 1.05f, .min_frames = 2, .seed = 11};
    read_voice(k, facts);
    k->request.text_ids = ints(k, "input_ids", &k->request.text_count);
    k->request.instruct_ids = ints(k, "instruct_ids", &k->request.instruct_count);
    k->request.reference_ids = ints(k, "ref_ids", &k->request.reference_count);
    k->request.reference_codes = ints(k, "ref_codes", &n);
    k->request.reference_frames = n / groups;
    k->codes = ints(k, "codes", &n);
    k->frames = n / groups;
    bool ends = json_is_true(json_object_get(facts, "ended_by_eos"));
    k->request.max_frames = k->frames + (ends ? 5 : 0);
    if (hm_golden_find(&k->golden, "", "speaker_embedding")) {
        int64_t width;
        if (hm_golden_need_f32(&k->golden, "", "speaker_embedding", &k->request.speaker_vector, &width, &err))
            fail_msg("%s", err.text);
    }
    json_decref(stats);
    return k;
}

static inline void close_case(tts_case *k)
{
    hm_golden_close(&k->golden);
    free(k);
}

/* Draws that are not greedy, and the end free to come. */
static inline hm_talker_request drawn(const tts_case *k)
{
    hm_talker_request r = k->request;
    r.draw = r.sub_draw = (hm_talker_draw){.topk = 20, .temperature = 0.9f, .top_p = 0.9f};
    r.sub_draw.topk = 0;
    r.repetition_penalty = 1.3f;
    r.surplus = true;
    r.max_frames = 16;
    return r;
}

/* --- runs --- */

typedef struct outcome {
    int frames, groups;
    int32_t *codes;
    float *logits;
    int32_t surplus;
    bool ended;
    hm_counters counters;
} outcome;

static inline void drop(outcome *o)
{
    free(o->codes);
    free(o->logits);
}

static inline hm_talker_work *open_work(model *m, int batch, int rows, int positions)
{
    hm_talker_work *w = NULL;
    hm_error err = {0};
    if (hm_talker_work_open(&m->ctx, &w, &m->talker, batch, rows, positions, &err))
        fail_msg("%s", err.text);
    return w;
}

static inline hm_utterance *begin(model *m, hm_talker_work *w, const hm_talker_request *r)
{
    hm_utterance *u = NULL;
    hm_error err = {0};
    if (hm_utterance_begin(&m->ctx, &u, w, r, &err))
        fail_msg("%s", err.text);
    return u;
}

/* What an utterance of a request has made; ends it. Codes that went on lie on the device, which is this memory. */
static inline outcome finish(model *m, hm_utterance *u, const hm_talker_request *r, bool ended)
{
    outcome o = {.frames = hm_utterance_frames(u), .groups = (int)m->talker.shape.groups, .ended = ended};
    size_t n = (size_t)o.frames * (size_t)o.groups;
    o.surplus = hm_utterance_surplus(&m->ctx, u);
    o.codes = malloc(n * sizeof *o.codes + 1);
    o.logits = malloc(n * sizeof *o.logits + 1);
    assert_true(o.codes && o.logits);
    hm_utterance_collect(&m->ctx, u, 0, o.frames, o.codes, o.logits);
    assert_memory_equal(hm_utterance_codes(u), r->stored ? r->stored : o.codes, n * sizeof *o.codes);
    if (o.frames > 2) { /* any part of it */
        int32_t part[64];
        hm_utterance_collect(&m->ctx, u, 1, 2, part, NULL);
        assert_memory_equal(part, o.codes + o.groups, 2 * (size_t)o.groups * sizeof *part);
    }
    o.counters = m->ctx.counters;
    hm_utterance_end(&m->ctx, &u);
    if (m->ctx.error.status)
        fail_msg("%s", m->ctx.error.text);
    return o;
}

static inline outcome speak_in(model *m, hm_talker_work *w, const hm_talker_request *r)
{
    bool ended = false;
    m->ctx.counters = (hm_counters){0};
    hm_utterance *u = begin(m, w, r);
    hm_utterance_prefill(&m->ctx, w, u);
    while (!ended && hm_utterance_frames(u) < r->max_frames && !m->ctx.error.status)
        hm_talker_frame(&m->ctx, w, &u, 1, &ended);
    return finish(m, u, r, ended);
}

/* The request alone on a model. */
static inline outcome speak(model *m, const hm_talker_request *r)
{
    int rows = hm_talker_prompt_rows(&m->talker.shape, r);
    hm_talker_work *w = open_work(m, 1, rows, rows + r->max_frames);
    outcome o = speak_in(m, w, r);
    hm_talker_work_close(&m->ctx, &w);
    return o;
}

static inline outcome speak_with(const tts_case *k, const hm_toggles *toggles, const hm_talker_request *r)
{
    model *m = open_model(k->preset, k->kind, toggles);
    outcome o = speak(m, r);
    close_model(m);
    return o;
}

static inline void expect_same(const outcome *a, const outcome *b, const char *what)
{
    size_t n = (size_t)a->frames * (size_t)a->groups;
    if (a->frames != b->frames || a->surplus != b->surplus || a->ended != b->ended)
        fail_msg("%s: %d and %d frames, then %d and %d", what, a->frames, b->frames, a->surplus, b->surplus);
    for (size_t i = 0; i < n; i++)
        if (a->codes[i] != b->codes[i] || memcmp(&a->logits[i], &b->logits[i], sizeof(float)))
            fail_msg("%s: code %zu is %d of logit %.9g, and %d of %.9g", what, i, a->codes[i], (double)a->logits[i], b->codes[i],
                     (double)b->logits[i]);
}

static inline void expect_golden_codes(tts_case *k, const outcome *o, const char *what)
{
    int count;
    const int32_t *sequence = ints(k, "sequence_group0", &count);
    if (o->frames != k->frames)
        fail_msg("%s, %s: %d frames, expected %d", k->name, what, o->frames, k->frames);
    for (int i = 0; i < o->frames * o->groups; i++)
        if (o->codes[i] != k->codes[i])
            fail_msg("%s, %s: code %d of frame %d is %d, expected %d", k->name, what, i % o->groups, i / o->groups, o->codes[i],
                     k->codes[i]);
    assert_int_equal(count, k->frames + 1);
    assert_int_equal(o->surplus, sequence[k->frames]);
}

#endif
