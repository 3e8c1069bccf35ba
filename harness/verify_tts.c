/* Goldens of Qwen3-TTS: STEM.manifest.json, STEM.KIND.config.json, STEM.speech_tokenizer.config.json, STEM.stats.json, and per case
 * STEM.CASE.safetensors. Tolerances are relative to the largest value of a tensor unless said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "harness/verify_bench.h"

#define TOL_PROMPT 1e-5
#define TOL_HIDDEN 1e-4
#define TOL_WAVE 1e-4 /* absolute */
#define TOL_MEL 5e-4  /* absolute */
#define TOL_FROM_AUDIO 1e-3
#define TOL_PROBS 1e-5 /* absolute */

static bool among(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(name, *list))
            return true;
    return false;
}

/* Values of every case but those below. */
static double tolerance_of(const hm_safetensors_entry *e, const hm_golden_diff *d)
{
    static const char *const prompt[] = {"prompt_embeds", "trailing_text", "tts_pad_embed", "talker_layer0_out", NULL};
    if (!strcmp(e->name, "waveform"))
        return TOL_WAVE;
    if (!strcmp(e->name, "mel"))
        return TOL_MEL;
    return (among(e->name, prompt) ? TOL_PROMPT : TOL_HIDDEN) * d->peak;
}

/* Of the speaker encoder when it starts from audio. */
static double tolerance_from_audio(const hm_safetensors_entry *e, const hm_golden_diff *d)
{
    return !strcmp(e->name, "mel") ? TOL_MEL : TOL_FROM_AUDIO * d->peak;
}

static double tolerance_of_probs(const hm_safetensors_entry *e, const hm_golden_diff *d)
{
    (void)e;
    (void)d;
    return TOL_PROBS;
}

static bool input_of_talk(const char *tensor)
{
    static const char *const inputs[] = {"instruct_ids", "ref_ids", "ref_codes", "speaker_embedding", NULL};
    return among(tensor, inputs);
}

/* The same where no tokenizer or no text makes the ids again. */
static bool input_of_talk_in_ids(const char *tensor)
{
    return !strcmp(tensor, "input_ids") || input_of_talk(tensor);
}

static bool input_of_steps(const char *tensor)
{
    return !strcmp(tensor, "codes");
}

static bool input_of_decoder(const char *tensor)
{
    return !strcmp(tensor, "codes") || !strcmp(tensor, "params");
}

static bool input_of_encoders(const char *tensor)
{
    return !strcmp(tensor, "audio");
}

/* What the second run of the speaker encoder, from the golden mel, does not tell again. */
static bool input_of_mel(const char *tensor)
{
    return !strcmp(tensor, "audio") || !strcmp(tensor, "mel");
}

static bool input_of_sampling(const char *tensor)
{
    return !strcmp(tensor, "logits");
}

/* --- models --- */

/* A stem's manifest in two, each with its config as hm_weights_synth wants it. */
typedef struct models {
    const char *dir;
    char stem[256];
    uint64_t seed;
    json_t *manifest, *stats, *codec;
} models;

static hm_status load_beside(json_t **out, const models *m, const char *what, bool required, hm_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%s.json", m->dir, m->stem, what);
    *out = NULL;
    return required || !access(path, F_OK) ? hm_json_load(out, path, err) : HM_OK;
}

/* {"config", "tensors"} of the tensors that lie in `file`. Takes the reference to config. */
static json_t *part_of(const models *m, const char *file, json_t *config)
{
    json_t *rows = json_array(), *row;
    size_t i;
    json_array_foreach(json_object_get(m->manifest, "tensors"), i, row)
    {
        const char *lies = json_string_value(json_object_get(row, "file"));
        if (lies && !strcmp(lies, file))
            json_array_append(rows, row);
    }
    return json_pack("{so so}", "config", config, "tensors", rows);
}

static void models_close(models *m)
{
    json_decref(m->manifest);
    json_decref(m->stats);
    json_decref(m->codec);
}

static hm_status models_open(models *m, const char *dir, const char *manifest_name, hm_error *err)
{
    json_t *config = NULL;
    int64_t seed = 0;
    *m = (models){.dir = dir};
    snprintf(m->stem, sizeof m->stem, "%.*s", (int)strcspn(manifest_name, "."), manifest_name);
    hm_status st = load_beside(&m->manifest, m, "manifest", true, err);
    if (!st)
        st = hm_json_int(m->manifest, "seed", 0, INT64_MAX, true, &seed, manifest_name, err);
    if (!st)
        st = load_beside(&m->stats, m, "stats", false, err);
    if (!st)
        st = load_beside(&config, m, "speech_tokenizer.config", true, err);
    m->seed = (uint64_t)seed;
    if (!st && !(m->codec = part_of(m, "speech_tokenizer/model.safetensors", config)))
        st = hm_fail(err, HM_EABSENT, "%s: no memory", manifest_name);
    return st;
}

/* The folder's tokenizer; NULL: none. */
static const char *tokenizer_of(const models *m, char path[4096])
{
    snprintf(path, 4096, "%s/tokenizer", m->dir);
    return access(path, F_OK) ? NULL : path;
}

/* kind NULL: the speech tokenizer alone. */
static hm_status open_engine(hm_bench *b, const models *m, const char *kind, bool encoders, const hm_probe *probe, hm_engine **out,
                             hm_error *err)
{
    char what[128], tokenizer[4096];
    json_t *config = NULL, *talker = NULL;
    hm_status st = HM_OK;
    if (kind) {
        snprintf(what, sizeof what, "%s.config", kind);
        st = load_beside(&config, m, what, true, err);
        if (!st && !(talker = part_of(m, "model.safetensors", config)))
            st = hm_fail(err, HM_EABSENT, "%s: no memory", m->stem);
    }
    if (!st)
        st = b->verify->api->open(out,
                                  &(hm_engine_options){.source = {.lm_manifest = talker,
                                                                  .codec_manifest = m->codec,
                                                                  .seed = m->seed,
                                                                  .tokenizer = kind ? tokenizer_of(m, tokenizer) : NULL},
                                                       .backend = b->verify->backend,
                                                       .device = b->verify->device,
                                                       .driver_cache = b->verify->driver_cache,
                                                       .threads = b->verify->threads,
                                                       .isa = b->verify->isa,
                                                       .toggles = b->verify->toggles,
                                                       .need_lm = kind != NULL,
                                                       .need_codec = true,
                                                       .need_encoders = encoders,
                                                       .probe = probe},
                                  err);
    json_decref(talker);
    return st;
}

static const char *const kinds[] = {"custom_voice", "voice_design", "base"};

/* A kind that there is a config of, for what any of them does; NULL: none. */
static const char *any_kind(const models *m)
{
    for (int i = 0; i < 3; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.%s.config.json", m->dir, m->stem, kinds[i]);
        if (!access(path, F_OK))
            return kinds[i];
    }
    return NULL;
}

/* Which kind of model made a case: its statistics say, else its name begins with it. */
static const char *kind_of(const json_t *stats, const char *name)
{
    const char *told = json_string_value(json_object_get(stats, "model_type"));
    for (int i = 0; i < 3; i++)
        if (told ? !strcmp(told, kinds[i]) : hm_begins(name, kinds[i]))
            return kinds[i];
    return NULL;
}

/* --- cases --- */

/* Optional ids. */
static hm_status ids_of(hm_bench *b, const char *name, const int32_t **ids, int *count, hm_error *err)
{
    const hm_safetensors_entry *e = hm_golden_find(&b->golden, "", name);
    *count = e ? (int)hm_golden_count(e) : 0;
    return e ? hm_golden_i32(&b->golden, e, ids, err) : HM_OK;
}

/* Codes [frames][groups] of the model. */
static hm_status codes_of(hm_bench *b, hm_engine *engine, const char *name, const int32_t **codes, int *frames, hm_error *err)
{
    const hm_safetensors_entry *e = hm_golden_find(&b->golden, "", name);
    int groups = b->verify->api->facts(engine)->codebooks;
    if (!e || e->rank != 2 || e->shape[0] < 1 || e->shape[0] > 1 << 20 || e->shape[1] != groups)
        return hm_fail(err, HM_EFORMAT, "tensor %s: expected codes [frames, %d]", name, groups);
    *frames = (int)e->shape[0];
    return hm_golden_i32(&b->golden, e, codes, err);
}

static const char *text_of(const json_t *stats, const char *key)
{
    return json_string_value(json_object_get(stats, key)); /* null: NULL */
}

/* Text and voice of a case as its statistics tell them; ids from the file, or through the tokenizer. An instruction and a reference that
 * the file has no ids or codes of were not used. */
static hm_status fill_talk(hm_bench *b, hm_engine *engine, const json_t *stats, hm_speech_check *s, hm_error *err)
{
    int64_t n;
    hm_status st = HM_OK;
    s->speaker = text_of(stats, "speaker");
    s->language = text_of(stats, "language");
    s->streaming_text = json_is_false(json_object_get(stats, "non_streaming"));
    s->repetition_penalty = 1.05;
    if (hm_golden_find(&b->golden, "", "input_ids"))
        st = ids_of(b, "input_ids", &s->text_ids, &s->text_count, err);
    s->text = text_of(stats, "text");
    if (!st && hm_golden_find(&b->golden, "", "instruct_ids")) {
        s->instruct = text_of(stats, "instruct");
        st = ids_of(b, "instruct_ids", &s->instruct_ids, &s->instruct_count, err);
    }
    if (!st && hm_golden_find(&b->golden, "", "ref_codes")) {
        s->reference_text = text_of(stats, "ref_text");
        st = ids_of(b, "ref_ids", &s->reference_ids, &s->reference_count, err);
        if (!st)
            st = codes_of(b, engine, "ref_codes", &s->reference_codes, &s->reference_frames, err);
    }
    if (!st && hm_golden_find(&b->golden, "", "speaker_embedding"))
        st = hm_golden_need_f32(&b->golden, "", "speaker_embedding", &s->speaker_embedding, &n, err);
    return st;
}

static hm_status check_speech(hm_bench *b, hm_engine *engine, hm_check_kind kind, const hm_speech_check *s, hm_error *err)
{
    return hm_bench_check(b, engine, &(hm_check){.kind = kind, .speech = s}, err);
}

/* A greedy case: its ids are made from the text again where there is a tokenizer, and the original's go on. */
static hm_status verify_talk(hm_bench *b, const models *m, const char *name, hm_error *err)
{
    const json_t *stats = json_object_get(m->stats, name);
    const char *kind = kind_of(stats, name);
    hm_engine *engine = NULL;
    hm_speech_check s = {0};
    const int32_t *codes;
    char tokenizer[4096];
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    if (!stats || !kind)
        return hm_fail(err, HM_EMISSING, "case %s: %s.stats.json does not tell its speaker, language and kind", name, m->stem);
    hm_status st = open_engine(b, m, kind, false, &probe, &engine, err);
    if (!st)
        st = fill_talk(b, engine, stats, &s, err);
    if (!tokenizer_of(m, tokenizer) || !s.text || !*s.text)
        b->is_input = input_of_talk_in_ids;
    if (!st)
        st = codes_of(b, engine, "codes", &codes, &s.frames, err);
    if (!st)
        st = check_speech(b, engine, HM_CHECK_TALK, &s, err);
    b->verify->api->close(&engine);
    return st;
}

/* The raw logits of every step along given codes of the case NAME of NAME_steps. */
static hm_status verify_steps(hm_verify *v, hm_bench *b, const models *m, const char *name, hm_error *err)
{
    char base[256], file[600];
    hm_bench from;
    hm_engine *engine = NULL;
    hm_speech_check s = {0};
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    snprintf(base, sizeof base, "%.*s", (int)(strlen(name) - strlen("_steps")), name);
    snprintf(file, sizeof file, "%s.%s.safetensors", m->stem, base);
    const json_t *stats = json_object_get(m->stats, base);
    const char *kind = kind_of(stats, base);
    if (!stats || !kind)
        return hm_fail(err, HM_EMISSING, "case %s: %s.stats.json does not tell of %s", name, m->stem, base);
    hm_status st = hm_bench_open(&from, v, m->dir, file, tolerance_of, input_of_talk, err);
    if (st)
        return st;
    st = open_engine(b, m, kind, false, &probe, &engine, err);
    if (!st)
        st = fill_talk(&from, engine, stats, &s, err);
    if (!st)
        st = codes_of(b, engine, "codes", &s.fed, &s.frames, err);
    if (!st)
        st = check_speech(b, engine, HM_CHECK_TALK, &s, err);
    v->api->close(&engine);
    free(from.diffs);
    hm_golden_close(&from.golden);
    return st;
}

static hm_status verify_decoder(hm_bench *b, const models *m, hm_error *err)
{
    hm_engine *engine = NULL;
    hm_speech_check s = {0};
    const int32_t *params = NULL;
    int64_t n = 2;
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    hm_status st = open_engine(b, m, NULL, false, &probe, &engine, err);
    if (!st)
        st = codes_of(b, engine, "codes", &s.codes, &s.frames, err);
    if (!st && hm_golden_find(&b->golden, "", "params"))
        st = hm_golden_need_i32(&b->golden, "", "params", &params, &n, err);
    if (!st && n != 2)
        st = hm_fail(err, HM_EFORMAT, "tensor params: expected chunk and context, found %lld values", (long long)n);
    if (!st && params) {
        s.chunk = params[0];
        s.context = params[1];
    }
    if (!st)
        st = check_speech(b, engine, HM_CHECK_SPEECH_DECODE, &s, err);
    b->verify->api->close(&engine);
    return st;
}

/* kind of check SPEAKER or SPEECH_ENCODE, from the file's audio; from_mel: the speaker encoder again, from its golden mel. */
static hm_status verify_encoder(hm_bench *b, const models *m, hm_check_kind kind, bool from_mel, hm_error *err)
{
    hm_engine *engine = NULL;
    hm_speech_check s = {0};
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    const hm_safetensors_entry *mel = hm_golden_find(&b->golden, "", "mel");
    hm_status st = open_engine(b, m, "base", true, &probe, &engine, err);
    if (!st && from_mel && (!mel || mel->rank != 2))
        st = hm_fail(err, HM_EFORMAT, "tensor mel: expected [frames, bands]");
    if (!st && from_mel) {
        s.mel_frames = (int)mel->shape[0];
        st = hm_golden_f32(&b->golden, mel, &s.mel, err);
    } else if (!st)
        st = hm_golden_need_f32(&b->golden, "", "audio", &s.audio, &s.samples, err);
    if (!st)
        st = check_speech(b, engine, kind, &s, err);
    b->verify->api->close(&engine);
    return st;
}

/* One parameter set of NAME.sampling.json: probabilities "probs<index>"; without an index, its place in the list. */
static hm_status verify_probs(hm_bench *b, hm_engine *engine, const json_t *set, size_t index, hm_error *err)
{
    char name[32];
    int64_t n, at = (int64_t)index, topk = 0, eos = -1, least = 0;
    hm_speech_check s = {.suppress = true, .forbidden = -1};
    const json_t *past = json_object_get(set, "history");
    hm_status st = hm_json_double(set, "repetition_penalty", true, &s.repetition_penalty, "sampling", err);
    if (!st)
        st = hm_json_double(set, "temperature", true, &s.temperature, "sampling", err);
    if (!st)
        st = hm_json_double(set, "top_p", true, &s.top_p, "sampling", err);
    if (!st)
        st = hm_json_int(set, "top_k", 0, INT32_MAX, true, &topk, "sampling", err);
    if (!st)
        st = hm_json_int(set, "eos", 0, INT32_MAX, false, &eos, "sampling", err);
    if (!st)
        st = hm_json_int(set, "min_new_tokens", 0, INT32_MAX, false, &least, "sampling", err);
    if (!st)
        st = hm_json_int(set, "index", 0, INT32_MAX, false, &at, "sampling", err);
    if (!st)
        st = hm_golden_need_f32(&b->golden, "", "logits", &s.logits, &n, err);
    if (st)
        return st;
    int32_t *history = hm_calloc(json_array_size(past) + 1, sizeof *history, "history", err);
    if (!history)
        return HM_EABSENT;
    for (size_t i = 0; i < json_array_size(past); i++)
        history[s.history_count++] = (int32_t)json_integer_value(json_array_get(past, i));
    s.history = history;
    s.vocabulary = (int)n;
    s.topk = (int)topk;
    s.forbidden = (int64_t)json_array_size(past) < least ? (int)eos : -1;
    snprintf(name, sizeof name, "probs%lld", (long long)at);
    b->renamed = name;
    st = check_speech(b, engine, HM_CHECK_SPEECH_SAMPLE, &s, err);
    b->renamed = NULL;
    free(history);
    return st;
}

static hm_status verify_sampling(hm_bench *b, const models *m, const char *name, hm_error *err)
{
    json_t *sets = NULL;
    hm_engine *engine = NULL;
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    hm_status st = load_beside(&sets, m, name, true, err);
    if (!st)
        st = any_kind(m) ? open_engine(b, m, any_kind(m), false, &probe, &engine, err)
                         : hm_fail(err, HM_EMISSING, "%s: no config of custom_voice, voice_design or base", m->stem);
    for (size_t i = 0; i < json_array_size(sets) && !st; i++)
        st = verify_probs(b, engine, json_array_get(sets, i), i, err);
    b->verify->api->close(&engine);
    json_decref(sets);
    return st;
}

/* --- files --- */

static hm_status verify_case(hm_verify *v, const models *m, const char *file, hm_error *err)
{
    char name[256];
    size_t stem = strlen(m->stem) + 1;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - stem - strlen(".safetensors")), file + stem);
    bool decoder = hm_begins(name, "decoder"), speaker = hm_begins(name, "speaker_encoder"), encoder = hm_begins(name, "speech_encoder");
    bool sampling = hm_begins(name, "sampling"), steps = hm_ends(name, "_steps");
    hm_bench b;
    hm_status st = hm_bench_open(&b, v, m->dir, file,
                                 sampling  ? tolerance_of_probs
                                 : speaker ? tolerance_from_audio
                                           : tolerance_of,
                                 decoder              ? input_of_decoder
                                 : speaker || encoder ? input_of_encoders
                                 : sampling           ? input_of_sampling
                                 : steps              ? input_of_steps
                                                      : input_of_talk,
                                 err);
    if (st)
        return st;
    b.rows = true;
    if (decoder)
        st = verify_decoder(&b, m, err);
    else if (speaker || encoder)
        st = verify_encoder(&b, m, speaker ? HM_CHECK_SPEAKER : HM_CHECK_SPEECH_ENCODE, false, err);
    else if (sampling)
        st = verify_sampling(&b, m, name, err);
    else if (steps)
        st = verify_steps(v, &b, m, name, err);
    else
        st = verify_talk(&b, m, name, err);
    st = hm_bench_close(&b, st, err);
    if (st || !speaker)
        return st;
    st = hm_bench_open(&b, v, m->dir, file, tolerance_of, input_of_mel, err); /* tighter, from the mel of the original */
    if (st)
        return st;
    b.rows = true;
    return hm_bench_close(&b, verify_encoder(&b, m, HM_CHECK_SPEAKER, true, err), err);
}

static hm_status verify_stem(hm_verify *v, const char *dir, struct dirent **files, int count, const char *manifest_name, hm_error *err)
{
    models m;
    char prefix[300];
    hm_status st = models_open(&m, dir, manifest_name, err);
    snprintf(prefix, sizeof prefix, "%s.", m.stem);
    for (int i = 0; i < count && !st; i++)
        if (hm_begins(files[i]->d_name, prefix) && hm_ends(files[i]->d_name, ".safetensors"))
            st = verify_case(v, &m, files[i]->d_name, err);
    models_close(&m);
    return st;
}

/* Samples that in-context cloning drops: numbers in, a number out. */
static void watch_cut(void *self, const hm_tap_value *value)
{
    if (!strcmp(value->name, "cut"))
        *(int64_t *)self = *(const int32_t *)value->data;
}

/* A model of this folder, any: the rule needs none of its weights. */
static hm_status open_any(hm_verify *v, const char *dir, struct dirent **files, int count, const hm_probe *probe, hm_engine **out,
                          hm_error *err)
{
    hm_bench b = {.verify = v};
    for (int i = 0; i < count; i++) {
        models m;
        if (!hm_ends(files[i]->d_name, ".manifest.json"))
            continue;
        hm_status st = models_open(&m, dir, files[i]->d_name, err);
        if (!st)
            st = open_engine(&b, &m, NULL, false, probe, out, err);
        models_close(&m);
        return st;
    }
    return hm_fail(err, HM_EMISSING, "%s: no manifest", dir);
}

static hm_status verify_cuts(hm_verify *v, const char *dir, struct dirent **files, int count, const char *name, hm_error *err)
{
    char path[4096], shape[32];
    json_t *cases = NULL;
    hm_engine *engine = NULL;
    int64_t cut = -1;
    size_t same = 0;
    hm_probe probe = {.self = &cut, .tap = watch_cut};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    hm_status st = hm_json_load(&cases, path, err);
    if (!st)
        st = open_any(v, dir, files, count, &probe, &engine, err);
    for (size_t i = 0; i < json_array_size(cases) && !st; i++) {
        int64_t reference = 0, total = 0, want = 0;
        hm_speech_check s = {0};
        const json_t *one = json_array_get(cases, i);
        st = hm_json_int(one, "ref_frames", 0, INT32_MAX, true, &reference, name, err);
        if (!st)
            st = hm_json_int(one, "total_frames", 1, INT32_MAX, true, &total, name, err);
        if (!st)
            st = hm_json_int(one, "samples", 0, INT32_MAX, true, &s.samples, name, err);
        if (!st)
            st = hm_json_int(one, "cut", 0, INT32_MAX, true, &want, name, err);
        s.reference_frames = (int)reference;
        s.total_frames = (int)total;
        cut = -1;
        if (!st)
            st = v->api->check(engine, &(hm_check){.kind = HM_CHECK_SPEECH_CUT, .speech = &s}, err);
        same += !st && cut == want;
    }
    v->api->close(&engine);
    if (!st) {
        bool good = same == json_array_size(cases);
        snprintf(shape, sizeof shape, "%zu of %zu", same, json_array_size(cases));
        hm_verify_report(v, &(hm_verify_row){.file = name,
                                             .tensor = "cut",
                                             .shape = shape,
                                             .tolerance = -1,
                                             .outcome = good ? HM_VERIFY_OK : HM_VERIFY_MISS,
                                             .text = good ? "exact" : "differs"});
    }
    json_decref(cases);
    return st;
}

hm_status hm_verify_tts_file(hm_verify *v, const char *dir, struct dirent **files, int count, const char *name, hm_error *err)
{
    if (hm_ends(name, ".manifest.json"))
        return verify_stem(v, dir, files, count, name, err);
    if (hm_begins(name, "icl_cut") && hm_ends(name, ".json"))
        return verify_cuts(v, dir, files, count, name, err);
    return HM_OK;
}
