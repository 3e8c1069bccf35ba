/* Opening an engine: device, op table, weights, tokenizer; and what a model would need, from shapes alone. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"
#include "engine/base/time.h"
#include "engine/cpu/cpu.h"
#include "engine/cpu/cpu_ops_init.h"
#include "engine/preset.h"
#include "engine/session/session.h"

hm_status hm_session_status(const hm_ctx *c, hm_error *err)
{
    return c->error.status ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
}

/* The toggles asked for: a fixed build has only its own. */
static hm_status take_toggles(hm_ctx *c, const hm_engine_options *o, hm_error *err)
{
#ifdef HM_FIXED_VARIANT
    c->toggles = *hm_t(c);
    if (o->toggles && memcmp(o->toggles, &c->toggles, sizeof c->toggles))
        return hm_fail(err, HM_EUSAGE, "module %s: a fixed build has only its own toggles; other sets need the module \"custom\"", HM_VARIANT_NAME);
#else
    if (!o->toggles)
        return hm_fail(err, HM_EUSAGE, "module custom: no toggles given");
    c->toggles = *o->toggles;
#endif
    return HM_OK;
}

static hm_status open_device(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    int isa = (int)hm_isa_detect();
    if (o->backend && strcmp(o->backend, "cpu"))
        return hm_fail(err, HM_EABSENT, "backend \"%s\": this build has \"cpu\" only", o->backend);
    if (o->isa && (isa = hm_isa_parse(o->isa)) < 0)
        return hm_fail(err, HM_EUSAGE, "isa \"%s\": expected scalar, avx2 or avx512", o->isa);
    hm_status st = hm_cpu_open(&e->ctx.dev, o->threads, (hm_isa)isa, err);
    if (st)
        return st;
    e->ctx.probe = o->probe;
    e->ctx.log = o->log;
    hm_cpu_ops_init(&e->ctx);
    e->facts.backend = "cpu";
    hm_cpu_name(e->device_name, sizeof e->device_name);
    e->facts.device = e->device_name;
    e->facts.isa = hm_isa_name((hm_isa)isa);
    e->facts.threads = hm_team_size(hm_cpu_team(e->ctx.dev));
    return HM_OK;
}

static hm_status open_weights(hm_engine *e, const hm_engine_options *o, hm_weights **out, const char *path, json_t *manifest, const char *what,
                              hm_error *err)
{
    hm_load load = hm_t(&e->ctx)->load == HM_WEIGHTS_MMAP ? HM_LOAD_MAP : HM_LOAD_READ;
    if (manifest)
        return hm_weights_synth(out, manifest, o->source.seed, hm_cpu_team(e->ctx.dev), what, err);
    return hm_weights_open(out, path, load, err);
}

static hm_status config_of(const hm_weights *w, const json_t **config, hm_error *err)
{
    *config = hm_weights_config(w);
    return *config ? HM_OK
                   : hm_fail(err, HM_EMISSING, "%s: no config.json beside the weights and none in their metadata", hm_weights_path(w));
}

static hm_status open_tokenizer(hm_engine *e, hm_error *err)
{
    char *text;
    size_t size;
    const char *where;
    hm_error ignored = {0};
    hm_status st = hm_checkpoint_tokenizer(&text, &size, &where, &e->checkpoint, e->lm_weights, &ignored);
    if (st == HM_EMISSING)
        return HM_OK; /* an error only when text is to be encoded */
    if (st)
        return hm_fail(err, st, "%s", ignored.text);
    st = hm_tokenizer_parse(&e->tokenizer, text, size, where, err);
    free(text);
    return st;
}

static hm_status open_lm(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    const json_t *config;
    hm_mula_config g;
    hm_gen_config gen;
    hm_status st = open_weights(e, o, &e->lm_weights, e->checkpoint.lm, o->source.lm_manifest, "language model manifest", err);
    if (!st)
        st = config_of(e->lm_weights, &config, err);
    if (!st && !o->source.lm_manifest)
        st = hm_checkpoint_gen_config(&gen, &e->checkpoint, e->lm_weights, err);
    if (!st)
        st = hm_mula_config_read(&g, config, o->source.lm_manifest ? NULL : &gen, hm_weights_path(e->lm_weights), err);
    if (!st)
        st = hm_mula_bind(&e->ctx, &e->mula, &g, e->lm_weights, err);
    if (!st && !o->source.lm_manifest)
        st = open_tokenizer(e, err);
    if (!st && o->source.tokenizer)
        st = hm_tokenizer_open(&e->tokenizer, o->source.tokenizer, err);
    e->has_lm = !st;
    return st;
}

static hm_status open_codec(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    const json_t *config;
    hm_codec_shape shape;
    hm_status st = open_weights(e, o, &e->codec_weights, e->checkpoint.codec, o->source.codec_manifest, "codec manifest", err);
    if (!st)
        st = config_of(e->codec_weights, &config, err);
    if (!st)
        st = hm_codec_shape_read(&shape, config, hm_weights_path(e->codec_weights), err);
    if (!st)
        st = hm_codec_bind(&e->ctx, &e->codec, &shape, e->codec_weights, err);
    e->has_codec = !st;
    return st;
}

static void fill_facts(hm_engine *e)
{
    char parts[2][33] = {"", ""}, joined[67];
    hm_engine_facts *f = &e->facts;
    f->model = "heartmula";
    f->frame_seconds = 0.08;
    f->channels = 2;
    if (e->has_lm) {
        f->codebooks = e->mula.config.codebooks;
        f->code_vocabulary = e->mula.config.code_vocabulary;
        f->max_positions = e->mula.config.backbone.max_positions;
        hm_weights_fingerprint(e->lm_weights, parts[0]);
        f->synthetic = hm_weights_metadata(e->lm_weights, HM_PRESET_METADATA) != NULL;
    }
    if (e->has_codec) {
        f->codebooks = (int)e->codec.shape.quantizers;
        f->sample_rate_hz = (int)e->codec.shape.sample_rate;
        hm_weights_fingerprint(e->codec_weights, parts[1]);
        f->synthetic = f->synthetic || hm_weights_metadata(e->codec_weights, HM_PRESET_METADATA) != NULL;
    }
    memcpy(joined, parts[0], 33);
    memcpy(joined + strlen(joined), parts[1], 33);
    hm_hash_text(f->fingerprint, joined, strlen(joined));
    f->load_counters = e->ctx.counters;
    e->ctx.counters = (hm_counters){0};
}

hm_status hm_session_open(hm_engine **out, const hm_engine_options *o, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_engine *e = hm_calloc(1, sizeof *e, "engine", err);
    if (!e)
        return HM_EABSENT;
    e->synth_seed = o->source.seed;
    hm_status st = take_toggles(&e->ctx, o, err);
    if (!st)
        st = open_device(e, o, err);
    hm_span_begin(o->probe, HM_SPAN_PHASE, "load", -1);
    if (!st && o->source.dir) {
        st = hm_checkpoint_find(&e->checkpoint, o->source.dir, err);
        if (!st)
            st = hm_checkpoint_need(&e->checkpoint, o->need_lm, o->need_codec, err);
    }
    if (!st && o->need_lm)
        st = open_lm(e, o, err);
    if (!st && o->need_codec)
        st = open_codec(e, o, err);
    if (!st)
        st = hm_session_status(&e->ctx, err);
    hm_span_end(o->probe, HM_SPAN_PHASE, "load");
    if (!st && e->has_lm && e->has_codec && e->mula.config.codebooks != (int)e->codec.shape.quantizers)
        st = hm_fail(err, HM_EFORMAT, "%s: the language model has %d codebooks, the codec %lld", e->checkpoint.path, e->mula.config.codebooks,
                     (long long)e->codec.shape.quantizers);
    if (st) {
        hm_session_close(&e);
        return st;
    }
    fill_facts(e);
    e->facts.load_ns = hm_now_ns() - start;
    *out = e;
    return HM_OK;
}

void hm_session_close(hm_engine **engine)
{
    hm_engine *e = *engine;
    if (!e)
        return;
    hm_mula_release(&e->mula);
    hm_codec_release(&e->codec);
    hm_bind_release(&e->ctx);
    hm_tokenizer_close(&e->tokenizer);
    hm_weights_close(&e->lm_weights);
    hm_weights_close(&e->codec_weights);
    hm_checkpoint_close(&e->checkpoint);
    if (e->ctx.dev)
        hm_cpu_close(&e->ctx.dev);
    free(e);
    *engine = NULL;
}

/* --- estimate --- */

static bool begins(const char *name, const char *start)
{
    return !strncmp(name, start, strlen(start));
}

/* Whether binding makes a float32 copy of a tensor: of vectors always, of the rest as the toggles say. */
static bool is_converted(const hm_ctx *c, const hm_tensor *t)
{
    bool computed = t->type == HM_F32 || t->type == HM_BF16 || t->type == HM_F16;
    if (t->rank == 1 || !computed)
        return computed;
    if (t->type == HM_F32 || begins(t->name, "text_embeddings."))
        return false;
    if (begins(t->name, "flow_matching.") || begins(t->name, "scalar_model."))
        return hm_t(c)->precision_codec == HM_CODEC_F32;
    if (begins(t->name, "decoder.") || begins(t->name, "projection.") || begins(t->name, "audio_head"))
        return hm_t(c)->precision_decoder == HM_DECODER_F32;
    return hm_t(c)->precision_backbone == HM_BACKBONE_F32;
}

/* The tensors but those that begin with `skip`: as stored, and what is converted besides. */
static void add_weights(const hm_ctx *c, const hm_weights *w, const char *skip, hm_memory_estimate *out)
{
    for (int i = 0; i < hm_weights_count(w); i++) {
        const hm_tensor *t = hm_weights_at(w, i);
        if (skip && begins(t->name, skip))
            continue;
        if (hm_t(c)->load == HM_WEIGHTS_MMAP)
            out->mapped_bytes += t->bytes;
        else
            out->weights_bytes += t->bytes;
        if (is_converted(c, t))
            out->weights_bytes += t->bytes / hm_dtype_bytes(t->type) * sizeof(float);
    }
}

static hm_status estimate_lm(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_music_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_mula_config g;
    hm_gen_config gen;
    hm_status st = hm_weights_open(&w, checkpoint->lm, HM_LOAD_MAP, err);
    if (!st)
        st = config_of(w, &config, err);
    if (!st)
        st = hm_checkpoint_gen_config(&gen, checkpoint, w, err);
    if (!st)
        st = hm_mula_config_read(&g, config, &gen, checkpoint->lm, err);
    if (!st) {
        int prompt = (int)((r->tags ? strlen(r->tags) : 0) + (r->lyrics ? strlen(r->lyrics) : 0)) / 2 + 16; /* about two bytes a token */
        add_weights(c, w, NULL, out);
        hm_mula_estimate(c, &g, &(hm_mula_request){.n = prompt, .max_frames = r->max_frames, .cfg_scale = r->cfg_scale}, &out->kv_bytes,
                         &out->scratch_bytes);
    }
    hm_weights_close(&w);
    return st;
}

static hm_status estimate_codec(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_music_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_codec_shape shape;
    hm_codec codec;
    hm_status st = hm_weights_open(&w, checkpoint->codec, HM_LOAD_MAP, err);
    if (!st)
        st = config_of(w, &config, err);
    if (!st)
        st = hm_codec_shape_read(&shape, config, checkpoint->codec, err);
    if (!st)
        st = hm_codec_describe(&codec, &shape, err);
    if (!st) {
        add_weights(c, w, "scalar_model.encoder.", out);
        out->weights_bytes += hm_codec_folded_bytes(&codec);
        out->codec_bytes = hm_detok_estimate(c, &codec,
                                             &(hm_detok_request){.frames = r->max_frames, .duration_s = HM_SEGMENT_SECONDS,
                                                                 .steps = r->flow_steps ? r->flow_steps : hm_session_flow_steps(c),
                                                                 .guidance = (float)r->flow_guidance, .tiled = hm_t(c)->codec_len == HM_CODEC_TILED,
                                                                 .lose_tail = hm_t(c)->tail == HM_TAIL_LOST});
        hm_codec_release(&codec);
    }
    hm_weights_close(&w);
    return st;
}

hm_status hm_session_estimate(const hm_engine_options *o, const hm_music_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_ctx *c = hm_calloc(1, sizeof *c, "estimate", err);
    hm_checkpoint checkpoint = {0};
    hm_status st = c ? take_toggles(c, o, err) : HM_EABSENT;
    *out = (hm_memory_estimate){0};
    if (!st)
        st = hm_checkpoint_find(&checkpoint, o->source.dir, err);
    if (!st)
        st = hm_checkpoint_need(&checkpoint, o->need_lm, o->need_codec, err);
    if (!st && o->need_lm)
        st = estimate_lm(c, &checkpoint, r, out, err);
    if (!st && o->need_codec)
        st = estimate_codec(c, &checkpoint, r, out, err);
    uint64_t song = out->kv_bytes + out->scratch_bytes; /* freed before the codec runs */
    out->total_bytes = out->weights_bytes + (song > out->codec_bytes ? song : out->codec_bytes);
    hm_checkpoint_close(&checkpoint);
    free(c);
    return st;
}
