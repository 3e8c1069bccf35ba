/* The talker and its code predictor against the reference implementation: every greedy case of the small presets, codes exact and tensors
 * within goldens/qwen3-tts/README.md ("rel": largest difference over the largest golden value); utterances side by side against each
 * alone; every toggle against naive. */
#define _GNU_SOURCE
#include "tests/engine_case.h"

#include <math.h>

#include "engine/cpu/cpu.h"
#include "engine/cpu/cpu_ops_init.h"
#include "engine/models/qwen3_tts.h"
#include "engine/sampling.h"
#include "harness/golden.h"
#include "variants/variants.h"

#define GOLDENS HM_TEST_DATA "/goldens/qwen3-tts/"

static const char *const names[] = {"tiny_a.custom_voice",
                                    "tiny_a.custom_voice_stream",
                                    "tiny_a.voice_design",
                                    "tiny_a.base_xvector",
                                    "tiny_a.base_icl",
                                    "tiny_a.base_icl_nonstream",
                                    "tiny_a.custom_voice_eos",
                                    "tiny_b.custom_voice",
                                    "tiny_b.custom_voice_stream",
                                    "tiny_b.voice_design",
                                    "tiny_b.base_xvector",
                                    "tiny_b.base_icl",
                                    "tiny_b.base_icl_nonstream"};
enum { CASES = sizeof names / sizeof *names };

/* --- models --- */

typedef struct model {
    hm_ctx ctx;
    hm_weights *weights;
    hm_talker talker;
} model;

static json_t *load(const char *preset, const char *what)
{
    char path[512];
    json_error_t why;
    snprintf(path, sizeof path, GOLDENS "%s.%s.json", preset, what);
    json_t *json = json_load_file(path, 0, &why);
    if (!json)
        fail_msg("%s: %s", path, why.text);
    return json;
}

static model *open_on(const char *preset, const char *kind, const hm_toggles *toggles, int threads)
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
    if (hm_cpu_open(&m->ctx.dev, threads, hm_isa_detect(), &err))
        fail_msg("%s", err.text);
    hm_cpu_ops_init(&m->ctx);
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(manifest, "seed"));
    if (hm_weights_synth(&m->weights, own, seed, hm_cpu_team(m->ctx.dev), preset, &err) ||
        hm_talker_shape_read(shape, config, preset, &err) || hm_talker_bind(&m->ctx, &m->talker, shape, m->weights, &err))
        fail_msg("%s", err.text);
    free(shape);
    json_decref(own);
    json_decref(manifest);
    return m;
}

static model *open_model(const char *preset, const char *kind, const hm_toggles *toggles)
{
    return open_on(preset, kind, toggles, 1);
}

static void close_model(model *m)
{
    hm_talker_release(&m->talker);
    hm_bind_release(&m->ctx);
    hm_weights_close(&m->weights);
    hm_cpu_close(&m->ctx.dev);
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

static const int32_t *ints(tts_case *k, const char *name, int *count)
{
    const int32_t *values = NULL;
    int64_t n = 0;
    hm_error err = {0};
    if (hm_golden_find(&k->golden, "", name) && hm_golden_need_i32(&k->golden, "", name, &values, &n, &err))
        fail_msg("%s", err.text);
    *count = (int)n;
    return values;
}

static int row_of(const hm_tts_name *list, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(list[i].name, name))
            return (int)list[i].id;
    fail_msg("no %s", name);
    return -1;
}

/* Language and speaker of the case as rows of the codec embedding: spec section 5.3. */
static void read_voice(tts_case *k, const json_t *facts)
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

static tts_case *open_case(const char *file)
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

static void close_case(tts_case *k)
{
    hm_golden_close(&k->golden);
    free(k);
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

static void drop(outcome *o)
{
    free(o->codes);
    free(o->logits);
}

static hm_talker_work *open_work(model *m, int batch, int rows, int positions)
{
    hm_talker_work *w = NULL;
    hm_error err = {0};
    if (hm_talker_work_open(&m->ctx, &w, &m->talker, batch, rows, positions, &err))
        fail_msg("%s", err.text);
    return w;
}

static hm_utterance *begin(model *m, hm_talker_work *w, const hm_talker_request *r)
{
    hm_utterance *u = NULL;
    hm_error err = {0};
    if (hm_utterance_begin(&m->ctx, &u, w, r, &err))
        fail_msg("%s", err.text);
    return u;
}

/* What an utterance of a request has made; ends it. Codes that went on lie on the device, which is this memory. */
static outcome finish(model *m, hm_utterance *u, const hm_talker_request *r, bool ended)
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

static outcome speak_in(model *m, hm_talker_work *w, const hm_talker_request *r)
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
static outcome speak(model *m, const hm_talker_request *r)
{
    int rows = hm_talker_prompt_rows(&m->talker.shape, r);
    hm_talker_work *w = open_work(m, 1, rows, rows + r->max_frames);
    outcome o = speak_in(m, w, r);
    hm_talker_work_close(&m->ctx, &w);
    return o;
}

static outcome speak_with(const tts_case *k, const hm_toggles *toggles, const hm_talker_request *r)
{
    model *m = open_model(k->preset, k->kind, toggles);
    outcome o = speak(m, r);
    close_model(m);
    return o;
}

static void expect_same(const outcome *a, const outcome *b, const char *what)
{
    size_t n = (size_t)a->frames * (size_t)a->groups;
    if (a->frames != b->frames || a->surplus != b->surplus || a->ended != b->ended)
        fail_msg("%s: %d and %d frames, then %d and %d", what, a->frames, b->frames, a->surplus, b->surplus);
    for (size_t i = 0; i < n; i++)
        if (a->codes[i] != b->codes[i] || memcmp(&a->logits[i], &b->logits[i], sizeof(float)))
            fail_msg("%s: code %zu is %d of logit %.9g, and %d of %.9g", what, i, a->codes[i], (double)a->logits[i], b->codes[i],
                     (double)b->logits[i]);
}

/* --- goldens --- */

typedef struct watch {
    tts_case *k;
    hm_golden *steps; /* all steps' logits, of one case */
    int compared;
} watch;

static double peak_of(const float *x, int64_t n)
{
    double peak = 0;
    for (int64_t i = 0; i < n; i++)
        peak = fmax(peak, fabs((double)x[i]));
    return peak;
}

static double tolerance_of(const char *name)
{
    static const char *const strict[] = {"prompt_embeds", "trailing_text", "tts_pad_embed", "talker_layer0_out"};
    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
        if (!strcmp(name, strict[i]))
            return 1e-5;
    return 1e-4;
}

static void compare_with(hm_golden *golden, const hm_tap_value *v, bool whole, int *compared)
{
    hm_error err = {0};
    const float *expected;
    const float *found = v->data;
    int64_t n, count = v->shape[0] * v->shape[1] * v->shape[2], first = (int64_t)v->batch_row * v->shape[1] * v->shape[2];
    if (hm_golden_need_f32(golden, "", v->name, &expected, &n, &err))
        fail_msg("%s", err.text);
    if (!whole && first + count > n)
        return;
    assert_true(whole ? first == 0 && count == n : first + count <= n);
    double limit = tolerance_of(v->name) * peak_of(expected, n);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - (double)expected[first + i]) <= limit))
            fail_msg("%s, row %d: value %lld is %.9g, expected %.9g, at most %.3g away", v->name, v->batch_row, (long long)i,
                     (double)found[i], (double)expected[first + i], limit);
    ++*compared;
}

static void compare_tap(void *self, const hm_tap_value *v)
{
    watch *w = self;
    if (hm_golden_find(&w->k->golden, "", v->name))
        compare_with(&w->k->golden, v, true, &w->compared);
    else if (w->steps && hm_golden_find(w->steps, "", v->name))
        compare_with(w->steps, v, false, &w->compared);
    else
        assert_true(!strcmp(v->name, "talker_logits") || !strcmp(v->name, "cp_logits"));
}

static void expect_golden_codes(tts_case *k, const outcome *o, const char *what)
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

static void expect_golden(const char *name, const hm_toggles *toggles, const char *what)
{
    tts_case *k = open_case(name);
    model *m = open_model(k->preset, k->kind, toggles);
    hm_golden steps = {0};
    watch watching = {.k = k};
    hm_probe probe = {.self = &watching, .tap = compare_tap};
    hm_error err = {0};
    bool has_steps = !strcmp(name, "tiny_b.custom_voice");
    if (has_steps && hm_golden_open(&steps, GOLDENS "tiny_b.custom_voice_steps.safetensors", &err))
        fail_msg("%s", err.text);
    watching.steps = has_steps ? &steps : NULL;
    m->ctx.probe = &probe;
    k->request.surplus = true;
    outcome o = speak(m, &k->request);
    expect_golden_codes(k, &o, what);
    assert_int_equal(watching.compared, 11 + (has_steps ? 41 + 12 : 0));
    drop(&o);
    close_model(m);
    if (has_steps)
        hm_golden_close(&steps);
    close_case(k);
}

static void naive_meets_every_golden(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        expect_golden(names[i], &case_naive, "naive");
}

static void best_meets_every_golden(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++)
        expect_golden(names[i], &case_best, "best");
}

/* --- toggles --- */

static const char *value_text(const hm_toggle_info *toggle, int value)
{
    static char text[128];
    char name[64];
    hm_toggle_value_name(toggle, value, name, sizeof name);
    snprintf(text, sizeof text, "%s=%s", toggle->name, name);
    return text;
}

/* Toggles that change what the talker does. */
static bool concerns_talker(const hm_toggle_info *t)
{
    static const char *const others[] = {"decode", "chunks", "load", "precision_codec"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(t->name, others[i]))
            return false;
    return t->models & HM_MODEL_QWEN3_TTS;
}

static uint64_t counter(const hm_counters *counters, const char *name)
{
    for (int i = 0; i < HM_COUNTER_COUNT; i++)
        if (!strcmp(hm_counter_name(i), name))
            return ((const uint64_t *)counters)[i];
    fail_msg("no counter %s", name);
    return 0;
}

static void every_toggle_alone_keeps_the_codes_and_shows_in_its_counter(void **state)
{
    static const char *const used[] = {"tiny_a.base_icl", "tiny_b.custom_voice"};
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    (void)state;
    for (size_t j = 0; j < sizeof used / sizeof *used; j++) {
        tts_case *k = open_case(used[j]);
        k->request.surplus = true;
        outcome naive = speak_with(k, &case_naive, &k->request);
        for (int i = 0; i < count; i++)
            for (int value = 1; concerns_talker(&list[i]) && value < hm_toggle_values(&list[i]); value++, checked++) {
                hm_toggles with = case_naive;
                *case_toggle(&with, list[i].offset) = (uint8_t)value;
                case_satisfy(&with);
                outcome o = speak_with(k, &with, &k->request);
                expect_golden_codes(k, &o, value_text(&list[i], value));
                if (hm_toggles_distance(&case_naive, &with) == HM_KIND_BITWISE)
                    expect_same(&naive, &o, value_text(&list[i], value));
                bool at_load = strstr(list[i].name, "precision") != NULL, one_prompt = !strcmp(list[i].name, "prefix");
                if (!at_load && !one_prompt && counter(&naive.counters, list[i].counter) == counter(&o.counters, list[i].counter))
                    fail_msg("%s: %s is %llu as without it", value_text(&list[i], value), list[i].counter,
                             (unsigned long long)counter(&o.counters, list[i].counter));
                drop(&o);
            }
        drop(&naive);
        close_case(k);
    }
    assert_true(checked >= 2 * 18);
}

/* Draws that are not greedy, and the end free to come. */
static hm_talker_request drawn(const tts_case *k)
{
    hm_talker_request r = k->request;
    r.draw = r.sub_draw = (hm_talker_draw){.topk = 20, .temperature = 0.9f, .top_p = 0.9f};
    r.sub_draw.topk = 0;
    r.repetition_penalty = 1.3f;
    r.surplus = true;
    r.max_frames = 16;
    return r;
}

static void bitwise_toggles_draw_the_same_bytes_with_and_without_the_others(void **state)
{
    int count, checked = 0;
    const hm_toggle_info *list = hm_toggle_list(&count);
    tts_case *k = open_case("tiny_b.base_xvector");
    hm_talker_request r = drawn(k);
    outcome naive = speak_with(k, &case_naive, &r);
    (void)state;
    for (int i = 0; i < count; i++)
        for (int value = 1; concerns_talker(&list[i]) && list[i].kind == HM_KIND_BITWISE && value < hm_toggle_values(&list[i]);
             value++, checked++) {
            hm_toggles with = case_naive, without = case_best, base = case_best;
            *case_toggle(&with, list[i].offset) = (uint8_t)value;
            case_satisfy(&with);
            outcome o = speak_with(k, &with, &r);
            expect_same(&naive, &o, value_text(&list[i], value));
            drop(&o);
            *case_toggle(&without, list[i].offset) = 0;
            case_withdraw(&without);
            for (int j = 0; j < count; j++)
                if (list[j].kind != HM_KIND_BITWISE)
                    *case_toggle(&base, list[j].offset) = *case_toggle(&without, list[j].offset);
            outcome a = speak_with(k, &base, &r), b = speak_with(k, &without, &r);
            expect_same(&a, &b, list[i].name);
            drop(&a);
            drop(&b);
        }
    assert_true(checked >= 11);
    drop(&naive);
    close_case(k);
}

/* Raw logits of a run, as they are told. */
typedef struct told {
    float *talker, *predictor; /* [frames+1][V], [frames][G-1][Vc] */
    int frames;
} told;

static void keep_tap(void *self, const hm_tap_value *v)
{
    told *t = self;
    bool talker = !strcmp(v->name, "talker_logits");
    size_t n = (size_t)(v->shape[0] * v->shape[1] * v->shape[2]);
    if (!talker && strcmp(v->name, "cp_logits"))
        return;
    assert_true(v->batch_row < t->frames + talker);
    memcpy((talker ? t->talker : t->predictor) + (size_t)v->batch_row * n, v->data, n * sizeof(float));
}

static int32_t expected_code(const hm_talker_draw *d, const hm_talker_request *r, const float *logits, int V, int frame, int group,
                             const uint32_t *seen)
{
    float *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch), *z = malloc((size_t)V * sizeof *z);
    assert_true(scratch && z);
    for (int j = 0; j < V; j++) { /* spec section 9, steps 1 to 3 */
        bool penalised = !group && seen[j / 32] >> j % 32 & 1, eos = j == 64 + 102;
        z[j] = !penalised ? logits[j] : logits[j] < 0 ? logits[j] * r->repetition_penalty : logits[j] / r->repetition_penalty;
        if (!group && (eos ? frame < r->min_frames : j >= V - 1024))
            z[j] = -INFINITY;
    }
    int32_t code = hm_sample_reference(&(hm_sample_input){.logits = z,
                                                          .V = V,
                                                          .topk = d->topk,
                                                          .temperature = d->temperature,
                                                          .top_p = d->top_p,
                                                          .seed = r->seed,
                                                          .frame = (uint32_t)frame,
                                                          .codebook = (uint32_t)group},
                                       NULL, scratch, NULL);
    free(scratch);
    free(z);
    return code;
}

/* Each code is the draw of its frame and group from the logits told, by the rules in their order. */
static void codes_are_the_draws_of_their_frame_and_group(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    enum { V = 64 + 1024, Vc = 64, G = 8 };
    tts_case *k = open_case("tiny_b.voice_design");
    hm_talker_request r = drawn(k);
    (void)state;
    for (int s = 0; s < 2; s++) {
        model *m = open_model(k->preset, k->kind, sets[s]);
        told t = {.frames = r.max_frames};
        uint32_t seen[(V + 31) / 32] = {0};
        hm_probe probe = {.self = &t, .tap = keep_tap};
        t.talker = calloc((size_t)(t.frames + 1) * V, sizeof(float));
        t.predictor = calloc((size_t)t.frames * (G - 1) * Vc, sizeof(float));
        assert_true(t.talker && t.predictor);
        m->ctx.probe = &probe;
        outcome o = speak(m, &r);
        assert_true(o.frames > 8);
        for (int f = 0; f < o.frames; f++) {
            int32_t *codes = o.codes + f * G;
            assert_int_equal(codes[0], expected_code(&r.draw, &r, t.talker + (size_t)f * V, V, f, 0, seen));
            assert_true(o.logits[f * G] == t.talker[(size_t)f * V + (size_t)codes[0]]);
            seen[codes[0] / 32] |= 1u << codes[0] % 32;
            for (int g = 1; g < G; g++)
                assert_int_equal(codes[g],
                                 expected_code(&r.sub_draw, &r, t.predictor + ((size_t)f * (G - 1) + (size_t)g - 1) * Vc, Vc, f, g, seen));
        }
        assert_int_equal(o.surplus, expected_code(&r.draw, &r, t.talker + (size_t)o.frames * V, V, o.frames, 0, seen));
        drop(&o);
        free(t.talker);
        free(t.predictor);
        close_model(m);
    }
    close_case(k);
}

static void threads_do_not_change_a_byte(void **state)
{
    tts_case *k = open_case("tiny_b.voice_design");
    hm_talker_request r = drawn(k);
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    for (int s = 0; s < 2; s++) {
        outcome one = speak_with(k, sets[s], &r);
        for (int threads = 2; threads < 4; threads++) {
            model *m = open_on(k->preset, k->kind, sets[s], threads);
            outcome o = speak(m, &r);
            expect_same(&one, &o, "threads");
            drop(&o);
            close_model(m);
        }
        drop(&one);
    }
    close_case(k);
}

/* --- several at once --- */

enum { MOST = 12 };

/* Utterances of unlike lengths, each joining at a frame of its own and leaving when it is done: bytes as alone. */
static void expect_as_alone(const char *preset, const hm_toggles *toggles, int n)
{
    static const char *const used[3][2] = {{"tiny_a.base_xvector", "tiny_b.base_xvector"},
                                           {"tiny_a.base_icl", "tiny_b.base_icl"},
                                           {"tiny_a.base_icl_nonstream", "tiny_b.base_icl_nonstream"}};
    tts_case *k[3];
    hm_talker_request r[MOST];
    hm_utterance *u[MOST] = {NULL};
    outcome alone[MOST];
    bool begun[MOST] = {false}, done[MOST] = {false};
    int left = n, most_at_once = 0;
    for (int i = 0; i < 3; i++)
        k[i] = open_case(used[i][strcmp(preset, "tiny_a") != 0]);
    model *m = open_model(preset, "base", toggles);
    for (int i = 0; i < n; i++) {
        r[i] = i % 2 ? drawn(k[i % 3]) : k[i % 3]->request;
        r[i].max_frames = 6 + 3 * i % 10;
        r[i].seed = (uint64_t)i;
        alone[i] = speak(m, &r[i]);
    }
    hm_talker_work *w = open_work(m, n, 100, 150);
    for (int frame = 0; left; frame++) {
        hm_utterance *now[MOST];
        int who[MOST], count = 0;
        bool ended[MOST];
        for (int i = 0; i < n; i++) {
            if (!begun[i] && frame >= i % 5) {
                begun[i] = true;
                u[i] = begin(m, w, &r[i]);
                hm_utterance_prefill(&m->ctx, w, u[i]);
            }
            if (begun[i] && !done[i]) {
                who[count] = i;
                now[count++] = u[i];
            }
        }
        most_at_once = count > most_at_once ? count : most_at_once;
        hm_talker_frame(&m->ctx, w, now, count, ended);
        for (int j = 0; j < count; j++)
            if (ended[j] || hm_utterance_frames(now[j]) == r[who[j]].max_frames) {
                outcome o = finish(m, now[j], &r[who[j]], ended[j]);
                expect_same(&alone[who[j]], &o, "side by side");
                drop(&o);
                done[who[j]] = true;
                left--;
            }
    }
    assert_true(most_at_once > n / 2);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    for (int i = 0; i < n; i++)
        drop(&alone[i]);
    for (int i = 0; i < 3; i++)
        close_case(k[i]);
}

static void utterances_side_by_side_have_the_bytes_of_each_alone(void **state)
{
    hm_toggles frame = case_best, host = case_best;
    (void)state;
    frame.codes = HM_CODES_FRAME;
    host.penalty = HM_PENALTY_HISTORY;
    host.suppress = HM_SUPPRESS_LIST;
    host.token_forward = HM_TOKEN_HOST;
    host.codes = HM_CODES_FRAME;
    expect_as_alone("tiny_a", &case_naive, 3);
    expect_as_alone("tiny_b", &case_naive, 3);
    expect_as_alone("tiny_a", &case_best, 3);
    expect_as_alone("tiny_b", &case_best, 3);
    expect_as_alone("tiny_b", &frame, 3);
    expect_as_alone("tiny_b", &host, 3);
}

static void more_than_a_predictor_pass_takes_have_the_bytes_of_each_alone(void **state)
{
    (void)state;
    expect_as_alone("tiny_b", &case_naive, MOST);
    expect_as_alone("tiny_b", &case_best, MOST);
    expect_as_alone("tiny_a", &case_best, MOST);
}

/* --- the end --- */

static void a_forced_length_draws_no_end_and_takes_every_frame(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_eos");
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    k->request.force_length = true;
    for (int s = 0; s < 2; s++) {
        outcome o = speak_with(k, sets[s], &k->request);
        assert_int_equal(o.frames, k->request.max_frames);
        assert_int_equal(o.surplus, -1);
        assert_memory_equal(o.codes, k->codes, (size_t)(k->frames * o.groups) * sizeof(int32_t));
        for (int f = 0; f < o.frames; f++)
            assert_in_range(o.codes[f * o.groups], 0, 127);
        drop(&o);
    }
    close_case(k);
}

static void the_end_waits_for_the_least_frames(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_eos");
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    (void)state;
    k->request.min_frames = k->frames + 1;
    for (int s = 0; s < 2; s++) {
        outcome o = speak_with(k, sets[s], &k->request);
        assert_true(o.frames > k->frames);
        drop(&o);
    }
    close_case(k);
}

static void stored_codes_go_on_and_draws_are_kept(void **state)
{
    tts_case *k = open_case("tiny_b.custom_voice");
    hm_toggles host = case_best;
    (void)state;
    host.codes = HM_CODES_EACH;
    host.token_forward = HM_TOKEN_HOST;
    host.penalty = HM_PENALTY_HISTORY;
    const hm_toggles *const sets[] = {&case_naive, &case_best, &host};
    hm_talker_request r = k->request;
    r.stored = k->codes;
    r.surplus = true;
    for (int s = 0; s < 3; s++) { /* along its own path nothing changes; along another, draws from it differ from what goes on */
        outcome own = speak_with(k, sets[s], &r);
        expect_golden_codes(k, &own, "stored");
        int32_t *other = malloc((size_t)(k->frames * own.groups) * sizeof *other);
        assert_non_null(other);
        for (int i = 0; i < k->frames * own.groups; i++)
            other[i] = (k->codes[i] + 1) % 64;
        r.stored = other;
        outcome o = speak_with(k, sets[s], &r);
        assert_int_equal(o.frames, k->frames);
        assert_int_equal(o.codes[0], k->codes[0]);
        assert_memory_not_equal(o.codes, own.codes, (size_t)(k->frames * own.groups) * sizeof(int32_t));
        for (int i = 0; i < o.frames * o.groups; i++)
            assert_int_not_equal(o.codes[i] < 0, 1);
        r.stored = k->codes;
        free(other);
        drop(&own);
        drop(&o);
    }
    close_case(k);
}

/* --- what is kept from prompt to prompt --- */

static void an_equal_beginning_is_computed_once(void **state)
{
    tts_case *icl = open_case("tiny_b.base_icl_nonstream"), *vector = open_case("tiny_b.base_xvector");
    hm_toggles kept = case_best, grown = case_naive;
    (void)state;
    kept.prefix = grown.prefix = HM_PREFIX_REUSED;
    const hm_toggles *const sets[] = {&kept, &grown};
    for (int s = 0; s < 2; s++) {
        model *m = open_model("tiny_b", "base", sets[s]);
        hm_talker_work *w = open_work(m, 1, 100, 150);
        const tts_case *order[] = {icl, icl, vector, vector, icl};
        const uint64_t computed[] = {88, 1, 7, 1, 85}; /* rows in front are instruct, role, prefix: the last depends on the language */
        float *voice = malloc((size_t)m->talker.shape.talker.width * sizeof *voice);
        assert_non_null(voice);
        for (int i = 0; i < 5; i++) {
            hm_talker_request r = order[i]->request;
            outcome o = speak_in(m, w, &r);
            assert_memory_equal(o.codes, order[i]->codes, (size_t)(order[i]->frames * o.groups) * sizeof(int32_t));
            assert_int_equal(o.counters.prompt_rows, computed[i]);
            drop(&o);
        }
        hm_talker_request r = icl->request; /* another voice, then another recording */
        memcpy(voice, r.speaker_vector, (size_t)m->talker.shape.talker.width * sizeof *voice);
        voice[3] += 1;
        r.speaker_vector = voice;
        outcome o = speak_in(m, w, &r);
        assert_int_equal(o.counters.prompt_rows, 88 - 6);
        drop(&o);
        int32_t *codes = malloc((size_t)(r.reference_frames * 8) * sizeof *codes);
        assert_non_null(codes);
        memcpy(codes, r.reference_codes, (size_t)(r.reference_frames * 8) * sizeof *codes);
        codes[5 * 8 + 7] = (codes[5 * 8 + 7] + 1) % 64;
        r.reference_codes = codes;
        o = speak_in(m, w, &r);
        assert_int_equal(o.counters.prompt_rows, r.reference_frames - 5);
        drop(&o);
        free(codes);
        free(voice);
        hm_talker_work_close(&m->ctx, &w);
        close_model(m);
    }
    close_case(icl);
    close_case(vector);
}

static void projected_text_is_kept_and_gives_the_same_bytes(void **state)
{
    tts_case *k = open_case("tiny_a.custom_voice_stream");
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 100, 150);
    (void)state;
    outcome first = speak_in(m, w, &k->request), second = speak_in(m, w, &k->request);
    expect_same(&first, &second, "again");
    assert_true(first.counters.text_rows > 5 && first.counters.text_rows <= (uint64_t)k->request.text_count);
    assert_int_equal(second.counters.text_rows, 0);
    drop(&second);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    hm_toggles called = case_best;
    called.precompute = HM_PRECOMPUTE_PER_CALL;
    outcome again = speak_with(k, &called, &k->request);
    expect_same(&first, &again, "per call");
    assert_int_equal(again.counters.text_rows, k->request.text_count - 5 + 3);
    drop(&first);
    drop(&again);
    close_case(k);
}

/* A text of more distinct tokens than are kept. */
static void text_longer_than_what_is_kept_is_projected_all_the_same(void **state)
{
    tts_case *k = open_case("tiny_a.base_xvector");
    int n = 3000;
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    hm_toggles called = case_best;
    (void)state;
    called.precompute = HM_PRECOMPUTE_PER_CALL;
    assert_non_null(ids);
    memcpy(ids, k->request.text_ids, 3 * sizeof *ids);
    for (int i = 3; i < n; i++)
        ids[i] = (i * 7919) % 470;
    hm_talker_request r = k->request;
    r.text_ids = ids;
    r.text_count = n;
    r.max_frames = 60;
    outcome expected = speak_with(k, &called, &r);
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 100, 200);
    for (int i = 0; i < 2; i++) {
        outcome o = speak_in(m, w, &r);
        expect_same(&expected, &o, "long text");
        assert_true(o.counters.text_rows > 400); /* of 470 ids, fewer are kept */
        drop(&o);
    }
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    drop(&expected);
    free(ids);
    close_case(k);
}

/* --- cost, sizes, mistakes --- */

static void estimates_are_what_is_taken(void **state)
{
    static const hm_toggles *const sets[] = {&case_naive, &case_best};
    tts_case *k = open_case("tiny_a.base_icl");
    (void)state;
    for (int s = 0; s < 2; s++) {
        model *m = open_model(k->preset, k->kind, sets[s]);
        uint64_t kv, scratch;
        int rows = hm_talker_prompt_rows(&m->talker.shape, &k->request);
        hm_talker_estimate(&m->ctx, &m->talker.shape, &k->request, 1, &kv, &scratch);
        hm_talker_work *w = open_work(m, 1, rows, rows + k->request.max_frames);
        hm_utterance *u = begin(m, w, &k->request);
        uint64_t taken = hm_talker_work_bytes(w) + hm_utterance_kv_bytes(u);
        if (sets[s] == &case_best)
            assert_true(hm_utterance_kv_bytes(u) < kv);
        assert_true(taken <= kv + scratch && taken > scratch / 4);
        hm_utterance_end(&m->ctx, &u);
        hm_talker_work_close(&m->ctx, &w);
        close_model(m);
    }
    close_case(k);
}

/* Spec section 13, "GFLOP/frame" and "bytes/frame", for the shapes of the two released sizes. */
static void a_frame_costs_what_the_shape_says(void **state)
{
    hm_talker_shape *g = calloc(1, sizeof *g);
    (void)state;
    assert_non_null(g);
    g->talker = (hm_tts_stack){.layers = 28, .heads = 16, .kv_heads = 8, .head_dim = 128, .width = 1024, .hidden = 3072};
    g->predictor = (hm_tts_stack){.layers = 5, .heads = 16, .kv_heads = 8, .head_dim = 128, .width = 1024, .hidden = 3072};
    g->code_vocab = 3072;
    g->groups = 16;
    g->codebook = 2048;
    assert_true(fabs(hm_talker_frame_flops(g, 0) / 1e9 - 3.47) < 0.005);
    g->talker.width = 2048;
    g->talker.hidden = 6144;
    assert_true(fabs(hm_talker_frame_flops(g, 0) / 1e9 - 5.48) < 0.005);
    assert_true(fabs(hm_talker_frame_flops(g, 100) - hm_talker_frame_flops(g, 0) - 4.0 * 28 * 2048 * 100) < 1);
    free(g);
    model *m = open_model("tiny_b", "base", &case_best); /* the predictor's weights, 7 times or once */
    uint64_t more = hm_talker_frame_bytes(&m->talker) - hm_talker_distinct_bytes(&m->talker);
    assert_int_equal(more, 6 * (hm_transformer_pass_bytes(&m->talker.predictor) + hm_linear_bytes(&m->talker.projection)));
    close_model(m);
}

static void expect_refused(model *m, hm_talker_work *w, const hm_talker_request *r, const char *text)
{
    hm_utterance *u = NULL;
    hm_error err = {0};
    case_expect_error(hm_utterance_begin(&m->ctx, &u, w, r, &err), &err, HM_EUSAGE, text);
    assert_null(u);
}

static void impossible_requests_are_refused(void **state)
{
    tts_case *k = open_case("tiny_a.base_icl");
    model *m = open_model(k->preset, k->kind, &case_best);
    hm_talker_work *w = open_work(m, 1, 24, 40), *none = NULL;
    const int32_t bad[] = {1, 2, 3, 512, 5, 6, 7, 8, 9, 10};
    int32_t *codes = calloc(16 * 16, sizeof *codes);
    hm_error err = {0};
    (void)state;
    assert_non_null(codes);
    k->request.max_frames = 16;
    hm_talker_request r = k->request;
    r.max_frames = 17;
    expect_refused(m, w, &r, "prompt of 24 rows and 17 frames");
    r = k->request;
    r.streaming_text = false;
    expect_refused(m, w, &r, "expected at most 24 rows");
    r = k->request;
    r.text_count = 8;
    expect_refused(m, w, &r, "text: no tokens");
    r = k->request;
    r.text_ids = bad;
    r.text_count = 10;
    expect_refused(m, w, &r, "text token 3: expected 0 to 511, found 512");
    r = k->request;
    r.reference_codes = NULL;
    expect_refused(m, w, &r, "reference: expected its text and its codes together");
    r = k->request;
    r.repetition_penalty = 0;
    expect_refused(m, w, &r, "repetition penalty");
    r = k->request;
    r.draw.greedy = false;
    expect_refused(m, w, &r, "draw temperature");
    r = k->request;
    r.stored = codes;
    codes[16 + 2] = 128;
    expect_refused(m, w, &r, "stored code of frame 1, group 2: expected 0 to 127, found 128");
    r = k->request;
    r.language = 1152;
    expect_refused(m, w, &r, "language 1152");
    case_expect_error(hm_talker_work_open(&m->ctx, &none, &m->talker, 17, 10, 20, &err), &err, HM_EUSAGE, "expected 1 to 16");
    err = (hm_error){0};
    case_expect_error(hm_talker_work_open(&m->ctx, &none, &m->talker, 1, 10, 1 << 30, &err), &err, HM_EUSAGE, "positions");
    free(codes);
    hm_talker_work_close(&m->ctx, &w);
    close_model(m);
    close_case(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naive_meets_every_golden),
        cmocka_unit_test(best_meets_every_golden),
        cmocka_unit_test(every_toggle_alone_keeps_the_codes_and_shows_in_its_counter),
        cmocka_unit_test(bitwise_toggles_draw_the_same_bytes_with_and_without_the_others),
        cmocka_unit_test(codes_are_the_draws_of_their_frame_and_group),
        cmocka_unit_test(threads_do_not_change_a_byte),
        cmocka_unit_test(utterances_side_by_side_have_the_bytes_of_each_alone),
        cmocka_unit_test(more_than_a_predictor_pass_takes_have_the_bytes_of_each_alone),
        cmocka_unit_test(a_forced_length_draws_no_end_and_takes_every_frame),
        cmocka_unit_test(the_end_waits_for_the_least_frames),
        cmocka_unit_test(stored_codes_go_on_and_draws_are_kept),
        cmocka_unit_test(an_equal_beginning_is_computed_once),
        cmocka_unit_test(projected_text_is_kept_and_gives_the_same_bytes),
        cmocka_unit_test(text_longer_than_what_is_kept_is_projected_all_the_same),
        cmocka_unit_test(estimates_are_what_is_taken),
        cmocka_unit_test(a_frame_costs_what_the_shape_says),
        cmocka_unit_test(impossible_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
