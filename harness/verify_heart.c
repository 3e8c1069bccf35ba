/* Goldens of HeartMuLa and HeartCodec. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/json.h"
#include "engine/synth.h"
#include "harness/verify_bench.h"

/* Absolute tolerances of float32 compute against the originals' float32 (goldens' README). */
#define TOL_HIDDEN 1e-4
#define TOL_LOGITS 2e-4
#define TOL_RVQ 1e-6
#define TOL_CONDITION 1e-5
#define TOL_LATENT 1e-4
#define TOL_WAVE 2e-4
#define TOL_ANGLE 1e-6
#define TOL_PROBS 1e-6

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static double tolerance_of(const hm_safetensors_entry *e, const hm_golden_diff *diff)
{
    const char *tensor = e->name;
    (void)diff;
    const char *name = strrchr(tensor, '/') ? strrchr(tensor, '/') + 1 : tensor;
    if (has(name, "logits") || !strcmp(name, "margins"))
        return TOL_LOGITS;
    if (!strcmp(name, "rvq_out"))
        return TOL_RVQ;
    if (!strcmp(name, "cond_feature_emb"))
        return TOL_CONDITION;
    if (!strcmp(name, "wave") || hm_begins(name, "decoder."))
        return has(name, "decoder.out.") ? TOL_HIDDEN : TOL_WAVE;
    if (!strcmp(name, "theta"))
        return -1;
    if (!strcmp(name, "cos") || !strcmp(name, "sin"))
        return TOL_ANGLE;
    return !strcmp(name, "probs") ? TOL_PROBS : hm_begins(name, "backbone") || hm_begins(name, "frame") ? TOL_HIDDEN : TOL_LATENT;
}

/* Inputs and facts about a golden are not results. */
static bool is_input(const char *tensor)
{
    static const char *const inputs[] = {"codes",  "salt", "round_margin", "true_latents", "t", "positions",
                                         "logits", "q",    "topk",         "temperature"};
    const char *name = strrchr(tensor, '/') ? strrchr(tensor, '/') + 1 : tensor;
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (!strcmp(name, inputs[i]))
            return true;
    return !strcmp(tensor, "decode/latents");
}

/* --- groups of a file --- */

/* The distinct "prefix" of "prefix/name" tensors, in file order; malloc'ed texts. */
struct prefixes {
    char *items[256];
    int count;
};

static void find_prefixes(const hm_golden *g, struct prefixes *out)
{
    out->count = 0;
    for (int i = 0; i < g->file.count && out->count < 256; i++) {
        const char *name = g->file.entries[i].name, *slash = strchr(name, '/');
        bool known = !slash;
        for (int j = 0; j < out->count && !known; j++)
            known = strlen(out->items[j]) == (size_t)(slash - name) && hm_begins(name, out->items[j]);
        if (!known)
            out->items[out->count++] = strndup(name, (size_t)(slash - name));
    }
}

static void free_prefixes(struct prefixes *p)
{
    while (p->count)
        free(p->items[--p->count]);
}

/* Inputs that are hmsynth values by definition are checked as such: noise times sqrt 3, or plain. */
static void check_synth(hm_bench *b, const char *tensor, const char *synth_name, uint64_t seed, bool noise)
{
    const hm_safetensors_entry *e = hm_golden_find(&b->golden, "", tensor);
    float *ours = e ? malloc((size_t)hm_golden_count(e) * sizeof *ours + 1) : NULL;
    if (!ours)
        return;
    int64_t n = hm_golden_count(e);
    hm_synth_fill(ours, HM_F32, synth_name, seed, 0, (uint64_t)n, 0.0f, 1.0f, NULL);
    for (int64_t i = 0; noise && i < n; i++)
        ours[i] *= (float)sqrt(3.0);
    hm_tap_value value = {.data = ours,
                          .shape = {e->rank > 1 ? e->shape[0] : 1, e->rank > 2 ? e->shape[1] : 1, e->rank ? e->shape[e->rank - 1] : 1}};
    hm_golden_diff *d = &b->diffs[e - b->golden.file.entries];
    hm_golden_compare(&b->golden, e, &value, d, &b->error);
    free(ours);
}

/* An input of `rows` vectors as wide as the manifest's config says (or its usual width): fewer values would be read past their end. */
static hm_status demand_width(const hm_bench *b, const char *tensor, int64_t values, int64_t rows, const char *key, int64_t usual,
                              hm_error *err)
{
    int64_t width = usual;
    hm_status st = hm_json_int(b->config, key, 1, INT32_MAX, false, &width, "config", err);
    if (!st && (rows < 1 || rows > INT32_MAX || values != rows * width))
        st = hm_fail(err, HM_EFORMAT, "tensor %s: expected %lld rows of %s %lld, found %lld values", tensor, (long long)rows, key,
                     (long long)width, (long long)values);
    return st;
}

/* Codes of each codebook when there are `count` in all. */
static hm_status per_codebook(const hm_bench *b, hm_engine *engine, int64_t count, int *out, hm_error *err)
{
    int codebooks = b->verify->api->facts(engine)->codebooks;
    if (count < codebooks || count % codebooks || count / codebooks > INT32_MAX / 2)
        return hm_fail(err, HM_EFORMAT, "%s%s%lld codes: expected as many for each of %d codebooks", b->prefix, *b->prefix ? ": " : "",
                       (long long)count, codebooks);
    *out = (int)(count / codebooks);
    return HM_OK;
}

/* --- language model --- */

/* Frames that the group at work tells of: rows of its tokens or margins, or the last "frame<n>." among its names. */
static int frames_of_group(const hm_bench *b)
{
    size_t skip = strlen(b->prefix) + 1;
    int64_t frames = 1;
    for (int i = 0; i < b->golden.file.count; i++) {
        const hm_safetensors_entry *e = &b->golden.file.entries[i];
        long long told = 0;
        if (!hm_begins(e->name, b->prefix) || e->name[skip - 1] != '/')
            continue;
        if (!strcmp(e->name + skip, "tokens") || !strcmp(e->name + skip, "margins"))
            told = e->rank == 2 ? e->shape[0] : 0;
        else if (sscanf(e->name + skip, "frame%5lld.", &told) == 1)
            told++;
        frames = told > frames ? told : frames;
    }
    return (int)(frames < INT32_MAX ? frames : INT32_MAX);
}

static hm_status verify_lm_group(hm_bench *b, hm_engine *engine, uint64_t seed, hm_error *err)
{
    int64_t n_tags, n_lyrics, n_muq;
    hm_check check = {.kind = HM_CHECK_LM, .cfg_scale = 1.5, .frames = frames_of_group(b)};
    if (hm_begins(b->prefix, "cfg"))
        check.cfg_scale = atof(b->prefix + 3);
    else if (strcmp(b->prefix, "muq")) /* reported as not produced */
        return HM_OK;
    hm_status st = hm_golden_need_i32(&b->golden, "", "tags_ids", &check.tags_ids, &n_tags, err);
    if (!st)
        st = hm_golden_need_i32(&b->golden, "", "lyrics_ids", &check.lyrics_ids, &n_lyrics, err);
    if (!st && !strcmp(b->prefix, "muq")) {
        st = hm_golden_need_f32(&b->golden, "muq", "muq_embed", &check.muq, &n_muq, err);
        if (!st)
            st = demand_width(b, "muq/muq_embed", n_muq, 1, "muq_dim", 512, err);
        check_synth(b, "muq/muq_embed", "muq.test", seed, false);
    }
    if (st)
        return st;
    check.tags_count = (int)n_tags;
    check.lyrics_count = (int)n_lyrics;
    return hm_bench_check(b, engine, &check, err);
}

/* Prompt ids given as ids are inputs of the computation, and are told back by it under no prefix. */
static hm_status verify_lm_file(hm_bench *b, hm_engine *engine, uint64_t seed, hm_error *err)
{
    struct prefixes groups;
    hm_status st = HM_OK;
    find_prefixes(&b->golden, &groups);
    for (int i = 0; i < groups.count && !st; i++) {
        b->prefix = groups.items[i];
        st = verify_lm_group(b, engine, seed, err);
    }
    for (int i = 0; i < b->golden.file.count; i++) /* told back unchanged */
        if (hm_begins(b->golden.file.entries[i].name, "tags_ids") || hm_begins(b->golden.file.entries[i].name, "lyrics_ids"))
            b->diffs[i] = (hm_golden_diff){.compared = 1, .expected = 1, .exact = true};
    b->prefix = "";
    free_prefixes(&groups);
    return st;
}

/* --- codec --- */

/* A golden solve result "ctx6.g1.25.steps10". */
static bool parse_solve(const char *name, int *context, double *guidance, int *steps)
{
    char g[32];
    return sscanf(name, "ctx%d.g%31[0-9.]steps%d", context, g, steps) == 3 && (*guidance = atof(g)) >= 0;
}

static hm_status verify_solve(hm_bench *b, hm_engine *engine, uint64_t seed, hm_error *err)
{
    hm_check check = {.kind = HM_CHECK_SOLVE};
    int64_t n, n_noise, n_context;
    hm_status st = hm_golden_need_i32(&b->golden, "solve", "codes", &check.codes, &n, err);
    if (!st)
        st = per_codebook(b, engine, n, &check.n, err);
    if (!st)
        st = hm_golden_need_f32(&b->golden, "solve", "noise", &check.noise, &n_noise, err);
    if (!st)
        st = demand_width(b, "solve/noise", n_noise, 2 * (int64_t)check.n, "out_channels", 256, err);
    if (!st && hm_golden_find(&b->golden, "solve", "true_latents")) {
        st = hm_golden_need_f32(&b->golden, "solve", "true_latents", &check.context, &n_context, err);
        if (!st)
            st = demand_width(b, "solve/true_latents", n_context, 2 * (int64_t)check.n, "out_channels", 256, err);
    }
    check_synth(b, "solve/noise", "noise.solve", seed, true);
    check_synth(b, "solve/true_latents", "true_latents.solve", seed, true);
    for (int i = 0; i < b->golden.file.count && !st; i++) {
        const char *name = b->golden.file.entries[i].name;
        if (!hm_begins(name, "solve/") || !parse_solve(name + 6, &check.context_frames, &check.guidance, &check.steps))
            continue;
        b->renamed = name + 6;
        if (check.context_frames < 0 || check.context_frames > 2 * check.n)
            return hm_fail(err, HM_EFORMAT, "tensor %s: %d context frames of %d", name, check.context_frames, 2 * check.n);
        if (check.context_frames && !check.context)
            return hm_fail(err, HM_EFORMAT, "tensor %s: its %d context frames are missing: no solve/true_latents", name,
                           check.context_frames);
        st = hm_bench_check(b, engine, &check, err);
    }
    b->renamed = NULL;
    return st;
}

static hm_status verify_est(hm_bench *b, hm_engine *engine, uint64_t seed, hm_error *err)
{
    hm_check check = {.kind = HM_CHECK_EST};
    int64_t n, n_t;
    const hm_safetensors_entry *x = hm_golden_find(&b->golden, "est", "x");
    hm_status st = hm_golden_need_f32(&b->golden, "est", "x", &check.x, &n, err);
    if (!st)
        st = hm_golden_need_f32(&b->golden, "est", "t", &check.t, &n_t, err);
    check_synth(b, "est/x", "est.x", seed, true);
    if (st)
        return st;
    if (x->rank != 3 || x->shape[0] != n_t || x->shape[0] < 1 || x->shape[1] < 1)
        return hm_fail(err, HM_EFORMAT, "tensor est/x: expected [rows, frames, channels] with as many rows as est/t");
    if ((st = demand_width(b, "est/x", n, x->shape[0] * x->shape[1], "in_channels", 1024, err)))
        return st;
    check.batch = (int)x->shape[0];
    check.n = (int)x->shape[1];
    return hm_bench_check(b, engine, &check, err);
}

static hm_status verify_decode(hm_bench *b, hm_engine *engine, hm_error *err)
{
    hm_check check = {.kind = HM_CHECK_DECODE};
    int64_t n;
    const hm_safetensors_entry *latents = hm_golden_find(&b->golden, "decode", "latents");
    hm_status st = hm_golden_need_f32(&b->golden, "decode", "latents", &check.latents, &n, err);
    if (st)
        return st;
    if (latents->rank != 3)
        return hm_fail(err, HM_EFORMAT, "tensor decode/latents: expected [1, frames, channels]");
    if ((st = demand_width(b, "decode/latents", n, latents->shape[1], "out_channels", 256, err)))
        return st;
    check.n = (int)latents->shape[1];
    return hm_bench_check(b, engine, &check, err);
}

/* The least duration near latents / 25 s whose products, truncated, are that many latents and half as many codes. */
static double duration_of(int64_t latents)
{
    double d = (double)latents / 25.0;
    for (int i = 0; i < 8 && 2 * (int64_t)(d * 12.5) < latents; i++)
        d = nextafter(d, INFINITY);
    return d;
}

/* What the goldens' own runs have in common; the duration follows from the latents of a segment, where they are there. */
static hm_check detok_defaults(const hm_bench *b)
{
    const hm_safetensors_entry *latents = hm_golden_find(&b->golden, b->prefix, "latents");
    double duration_s = latents && latents->rank == 3 ? duration_of(latents->shape[1]) : 7.44;
    return (hm_check){.kind = HM_CHECK_DETOK, .steps = 10, .guidance = 1.25, .duration_s = duration_s};
}

static hm_status verify_detok_group(hm_bench *b, hm_engine *engine, hm_error *err)
{
    const int32_t *salt;
    int64_t n, one;
    char text[32];
    hm_check check = detok_defaults(b);
    hm_status st = hm_golden_need_i32(&b->golden, b->prefix, "codes", &check.codes, &n, err);
    if (!st)
        st = per_codebook(b, engine, n, &check.n, err);
    if (!st)
        st = hm_golden_need_i32(&b->golden, b->prefix, "salt", &salt, &one, err);
    if (st)
        return st;
    snprintf(text, sizeof text, "%d", salt[0]);
    check.noise_salt = text;
    return hm_bench_check(b, engine, &check, err);
}

static hm_status verify_codec_file(hm_bench *b, hm_engine *engine, uint64_t seed, hm_error *err)
{
    struct prefixes groups;
    hm_status st = HM_OK;
    find_prefixes(&b->golden, &groups);
    for (int i = 0; i < groups.count && !st; i++) {
        b->prefix = groups.items[i];
        if (!strcmp(b->prefix, "solve"))
            st = verify_solve(b, engine, seed, err);
        else if (!strcmp(b->prefix, "est"))
            st = verify_est(b, engine, seed, err);
        else if (!strcmp(b->prefix, "decode"))
            st = verify_decode(b, engine, err);
        else if (hm_begins(b->prefix, "detok"))
            st = verify_detok_group(b, engine, err);
    }
    b->prefix = "";
    free_prefixes(&groups);
    return st;
}

/* --- engines and files --- */

static hm_status open_engine(hm_verify *v, const hm_probe *probe, json_t *lm, json_t *codec, const char *tokenizer, uint64_t seed,
                             hm_engine **out, hm_error *err)
{
    return v->api->open(out,
                        &(hm_engine_options){.source = {.lm_manifest = lm, .codec_manifest = codec, .tokenizer = tokenizer, .seed = seed},
                                             .backend = v->backend,
                                             .device = v->device,
                                             .driver_cache = v->driver_cache,
                                             .threads = v->threads,
                                             .isa = v->isa,
                                             .toggles = v->toggles,
                                             .need_lm = lm != NULL,
                                             .need_codec = codec != NULL,
                                             .probe = probe},
                        err);
}

static bool is_lm(const json_t *manifest)
{
    return json_object_get(json_object_get(manifest, "config"), "backbone") != NULL;
}

static hm_status verify_model_file(hm_verify *v, const char *dir, const char *file, json_t *manifest, uint64_t seed, hm_error *err)
{
    hm_bench b;
    hm_engine *engine = NULL;
    bool lm = is_lm(manifest);
    hm_status st = hm_bench_open(&b, v, dir, file, tolerance_of, is_input, err);
    if (st)
        return st;
    b.config = json_object_get(manifest, "config");
    hm_probe probe = {.self = &b, .tap = hm_bench_tap};
    st = open_engine(v, &probe, lm ? manifest : NULL, lm ? NULL : manifest, NULL, seed, &engine, err);
    if (!st)
        st = lm ? verify_lm_file(&b, engine, seed, err) : verify_codec_file(&b, engine, seed, err);
    v->api->close(&engine);
    return hm_bench_close(&b, st, err);
}

/* A model too large for goldens: a few frames, or latents, must run and be finite. */
static hm_status run_manifest(hm_verify *v, const char *file, json_t *manifest, hm_error *err)
{
    hm_engine *engine = NULL;
    bool lm = is_lm(manifest);
    int32_t ids[4] = {1, 2, 3, 4}, codes[64 * 2] = {0};
    hm_status st = open_engine(v, NULL, lm ? manifest : NULL, lm ? NULL : manifest, NULL, 1, &engine, err);
    if (!st && lm)
        st = v->api->check(
            engine,
            &(hm_check){
                .kind = HM_CHECK_LM, .tags_ids = ids, .tags_count = 4, .lyrics_ids = ids, .lyrics_count = 4, .cfg_scale = 1.5, .frames = 2},
            err);
    if (!st && !lm) {
        hm_result result;
        st = v->api->decode(engine, codes, 2, &(hm_request){.music.flow_steps = 1, .music.flow_guidance = 1.25, .max_frames = 2, .seed = 1},
                            &result, err);
        if (!st)
            v->api->result_free(&result);
    }
    v->api->close(&engine);
    if (st)
        return hm_fail_within(err, "%s", file);
    hm_verify_report(v, &(hm_verify_row){.file = file,
                                         .tensor = "(whole model)",
                                         .shape = "",
                                         .tolerance = -1,
                                         .outcome = HM_VERIFY_OK,
                                         .text = lm ? "loaded, 2 frames ran" : "loaded, 2 codes decoded"});
    return HM_OK;
}

/* Seed after the last ".s" of STEM[.what].s<seed>.safetensors; false when the name has none. */
static bool seed_of(const char *file, uint64_t *seed)
{
    const char *at = NULL;
    for (const char *p = file; (p = strstr(p, ".s")); p++)
        if (p[2] >= '0' && p[2] <= '9')
            at = p + 2;
    *seed = 0;
    for (const char *p = at; p && *p >= '0' && *p <= '9'; p++)
        *seed = *seed * 10 + (uint64_t)(*p - '0'); /* modulo 2^64, as synthetic weights take seeds */
    return at != NULL;
}

/* All STEM.*.safetensors of a manifest, STEM being its name up to the first dot. */
static hm_status verify_stem(hm_verify *v, const char *dir, struct dirent **files, int count, const char *manifest_name, hm_error *err)
{
    char path[4096];
    json_t *manifest = NULL;
    size_t stem = strcspn(manifest_name, ".") + 1;
    int found = 0;
    snprintf(path, sizeof path, "%s/%s", dir, manifest_name);
    hm_status st = hm_json_load(&manifest, path, err);
    for (int i = 0; i < count && !st; i++) {
        const char *file = files[i]->d_name;
        uint64_t seed;
        if (strncmp(file, manifest_name, stem) || !hm_ends(file, ".safetensors") || !seed_of(file, &seed))
            continue;
        found++;
        st = verify_model_file(v, dir, file, manifest, seed, err);
    }
    if (!st && !found && v->run_manifests)
        st = run_manifest(v, manifest_name, manifest, err);
    else if (!st && !found)
        hm_verify_report(v, &(hm_verify_row){.file = manifest_name,
                                             .tensor = "(whole model)",
                                             .shape = "",
                                             .outcome = HM_VERIFY_NOTE,
                                             .text = "no goldens beside it; --run-manifests loads and runs it"});
    json_decref(manifest);
    return st;
}

/* theta, cos and sin of the scaled rotation: no manifest needed, the head width is twice the table's. */
static hm_status verify_rope(hm_verify *v, const char *dir, const char *file, hm_error *err)
{
    hm_bench b;
    hm_engine *engine = NULL;
    const float *theta;
    int64_t half, n;
    hm_check check = {.kind = HM_CHECK_ROPE};
    hm_status st = hm_bench_open(&b, v, dir, file, tolerance_of, is_input, err);
    if (st)
        return st;
    hm_probe probe = {.self = &b, .tap = hm_bench_tap};
    st = hm_golden_need_f32(&b.golden, "", "theta", &theta, &half, err);
    if (!st)
        st = hm_golden_need_i32(&b.golden, "", "positions", &check.positions, &n, err);
    if (!st)
        st = open_engine(v, &probe, NULL, NULL, NULL, 0, &engine, err);
    if (!st) {
        check.head_dim = (int)(2 * half);
        check.n = (int)n;
        st = hm_bench_check(&b, engine, &check, err);
    }
    v->api->close(&engine);
    return hm_bench_close(&b, st, err);
}

static hm_status verify_sampling_case(hm_bench *b, hm_engine *engine, hm_error *err)
{
    hm_check check = {.kind = HM_CHECK_SAMPLE};
    const hm_safetensors_entry *logits = hm_golden_find(&b->golden, b->prefix, "logits");
    const int32_t *topk;
    const float *temperature;
    int64_t n, m, one;
    hm_status st = hm_golden_need_f32(&b->golden, b->prefix, "logits", &check.logits, &n, err);
    if (!st)
        st = hm_golden_need_f32(&b->golden, b->prefix, "q", &check.q, &m, err);
    if (!st)
        st = hm_golden_need_i32(&b->golden, b->prefix, "topk", &topk, &one, err);
    if (!st)
        st = hm_golden_need_f32(&b->golden, b->prefix, "temperature", &temperature, &one, err);
    if (st)
        return st;
    if (logits->rank != 2 || n != m || !(temperature[0] > 0))
        return hm_fail(err, HM_EFORMAT, "case %s: expected logits and q [rows, vocabulary] and a temperature above 0", b->prefix);
    check.batch = (int)logits->shape[0];
    check.n = (int)logits->shape[1];
    check.topk = topk[0];
    check.temperature = temperature[0];
    return hm_bench_check(b, engine, &check, err);
}

static hm_status verify_sampling(hm_verify *v, const char *dir, const char *file, hm_error *err)
{
    hm_bench b;
    struct prefixes cases;
    hm_engine *engine = NULL;
    hm_status st = hm_bench_open(&b, v, dir, file, tolerance_of, is_input, err);
    if (st)
        return st;
    hm_probe probe = {.self = &b, .tap = hm_bench_tap};
    st = open_engine(v, &probe, NULL, NULL, NULL, 0, &engine, err);
    find_prefixes(&b.golden, &cases);
    for (int i = 0; i < cases.count && !st; i++) {
        b.prefix = cases.items[i];
        st = verify_sampling_case(&b, engine, err);
    }
    b.prefix = "";
    v->api->close(&engine);
    st = hm_bench_close(&b, st, err);
    free_prefixes(&cases);
    return st;
}

/* --- whole song: text to wave --- */

/* "lm_tiny seed 1": the manifest and the seed. */
static hm_status named_model(const char *dir, const json_t *song, const char *key, json_t **manifest, uint64_t *seed, const char *where,
                             hm_error *err)
{
    const char *text;
    char name[128], path[4096];
    unsigned long long n;
    hm_status st = hm_json_string(song, key, true, &text, where, err);
    if (st)
        return st;
    if (sscanf(text, "%127s seed %llu", name, &n) != 2 || strchr(name, '/'))
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\": expected \"NAME seed N\", found \"%s\"", where, key, text);
    *seed = n;
    snprintf(path, sizeof path, "%s/%s.manifest.json", dir, name);
    return hm_json_load(manifest, path, err);
}

static hm_status song_lm(hm_bench *b, const char *dir, const json_t *song, const char *where, hm_error *err)
{
    json_t *manifest = NULL;
    hm_engine *engine = NULL;
    uint64_t seed;
    char tokenizer[4096];
    const int32_t *tokens;
    int64_t n, topk = 1;
    hm_check check = {.kind = HM_CHECK_LM, .cfg_scale = 1.5, .stop_at_eos = true};
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer.json", dir);
    hm_status st = named_model(dir, song, "lm", &manifest, &seed, where, err);
    if (!st)
        st = hm_json_string(song, "tags", true, &check.tags, where, err);
    if (!st)
        st = hm_json_string(song, "lyrics", true, &check.lyrics, where, err);
    if (!st)
        st = hm_json_double(song, "cfg_scale", false, &check.cfg_scale, where, err);
    if (!st)
        st = hm_json_int(song, "topk", 1, INT32_MAX, false, &topk, where, err);
    if (!st && topk != 1)
        st = hm_fail(err, HM_EFORMAT, "%s: \"topk\": expected 1 (drawn codes depend on the original's generator), found %lld", where,
                     (long long)topk);
    if (!st)
        st = hm_golden_need_i32(&b->golden, "", "tokens", &tokens, &n, err);
    if (!st)
        st = open_engine(b->verify, &probe, manifest, NULL, tokenizer, seed, &engine, err);
    if (!st) {
        check.frames = (int)(n / b->verify->api->facts(engine)->codebooks) + 1; /* one more: the frame that ends it */
        st = hm_bench_check(b, engine, &check, err);
    }
    b->verify->api->close(&engine);
    json_decref(manifest);
    return st;
}

/* The golden's tokens [frames][K] as codes [K][frames]. */
static hm_status song_codec(hm_bench *b, const char *dir, const json_t *song, const char *where, hm_error *err)
{
    json_t *manifest = NULL;
    hm_engine *engine = NULL;
    uint64_t seed;
    const int32_t *tokens;
    int32_t *codes = NULL;
    int64_t n, salt = 0, steps = 10;
    char text[32];
    hm_check check = detok_defaults(b);
    hm_probe probe = {.self = b, .tap = hm_bench_tap};
    hm_status st = named_model(dir, song, "codec", &manifest, &seed, where, err);
    if (!st)
        st = hm_json_int(song, "noise_salt", 0, INT32_MAX, true, &salt, where, err);
    if (!st)
        st = hm_json_double(song, "duration", false, &check.duration_s, where, err);
    if (!st)
        st = hm_json_int(song, "num_steps", 1, 1000, false, &steps, where, err);
    if (!st)
        st = hm_json_double(song, "guidance_scale", false, &check.guidance, where, err);
    if (!st)
        st = hm_golden_need_i32(&b->golden, "", "tokens", &tokens, &n, err);
    if (!st)
        st = open_engine(b->verify, &probe, NULL, manifest, NULL, seed, &engine, err);
    if (!st)
        st = per_codebook(b, engine, n, &check.n, err);
    if (!st && !(codes = hm_calloc((size_t)n, sizeof *codes, "codes", err)))
        st = HM_EABSENT;
    if (!st) {
        int K = b->verify->api->facts(engine)->codebooks, frames = check.n;
        for (int f = 0; f < frames; f++)
            for (int k = 0; k < K; k++)
                codes[k * frames + f] = tokens[f * K + k];
        snprintf(text, sizeof text, "%lld", (long long)salt);
        check.codes = codes;
        check.noise_salt = text;
        check.steps = (int)steps;
        st = hm_bench_check(b, engine, &check, err);
    }
    free(codes);
    b->verify->api->close(&engine);
    json_decref(manifest);
    return st;
}

/* A song's description NAME.json and its goldens NAME.safetensors. */
static hm_status verify_song(hm_verify *v, const char *dir, const char *json_name, hm_error *err)
{
    hm_bench b;
    json_t *song = NULL;
    char path[4096], file[512];
    snprintf(path, sizeof path, "%s/%s", dir, json_name);
    hm_status st = hm_json_load(&song, path, err);
    if (st)
        return st;
    if (!json_object_get(song, "lm") || !json_object_get(song, "codec")) { /* another kind of JSON */
        json_decref(song);
        return HM_OK;
    }
    snprintf(file, sizeof file, "%.*s.safetensors", (int)(strlen(json_name) - strlen(".json")), json_name);
    st = hm_bench_open(&b, v, dir, file, tolerance_of, is_input, err);
    if (!st) {
        st = song_lm(&b, dir, song, json_name, err);
        if (!st)
            st = song_codec(&b, dir, song, json_name, err);
        st = hm_bench_close(&b, st, err);
    }
    json_decref(song);
    return st;
}

hm_status hm_verify_heart_file(hm_verify *v, const char *dir, struct dirent **files, int count, const char *name, hm_error *err)
{
    if (hm_ends(name, ".manifest.json"))
        return verify_stem(v, dir, files, count, name, err);
    if (hm_begins(name, "rope") && hm_ends(name, ".safetensors"))
        return verify_rope(v, dir, name, err);
    if (hm_begins(name, "sampling") && hm_ends(name, ".safetensors"))
        return verify_sampling(v, dir, name, err);
    if (hm_begins(name, "e2e") && hm_ends(name, ".json"))
        return verify_song(v, dir, name, err);
    return HM_OK;
}
