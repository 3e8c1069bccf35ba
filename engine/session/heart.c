/* HeartMuLa and HeartCodec behind the engine's interface: their parts, their facts, and what they would need. */
#include <stdlib.h>
#include <string.h>

#include "engine/session/session.h"

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
    hm_status st = hm_session_weights(e, o, &e->lm_weights, e->checkpoint.lm, o->source.lm_manifest, "language model manifest", err);
    if (!st)
        st = hm_session_config(e->lm_weights, &config, err);
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
    hm_status st = hm_session_weights(e, o, &e->codec_weights, e->checkpoint.codec, o->source.codec_manifest, "codec manifest", err);
    if (!st)
        st = hm_session_config(e->codec_weights, &config, err);
    if (!st)
        st = hm_codec_shape_read(&shape, config, hm_weights_path(e->codec_weights), err);
    if (!st)
        st = hm_codec_bind(&e->ctx, &e->codec, &shape, e->codec_weights, err);
    e->has_codec = !st;
    return st;
}

static hm_status heart_open(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_status st = o->need_encoders ? hm_fail(err, HM_EUSAGE, "%s: a music model has no voice to clone", e->checkpoint.path) : HM_OK;
    if (!st && o->need_lm)
        st = open_lm(e, o, err);
    if (!st && o->need_codec)
        st = open_codec(e, o, err);
    if (!st && e->has_lm && e->has_codec && e->mula.config.codebooks != (int)e->codec.shape.quantizers)
        st = hm_fail(err, HM_EFORMAT, "%s: the language model has %d codebooks, the codec %lld", e->checkpoint.path,
                     e->mula.config.codebooks, (long long)e->codec.shape.quantizers);
    return st;
}

static hm_status heart_bind(hm_engine *e, int part, hm_error *err)
{
    hm_mula_config config = e->mula.config;
    hm_codec_shape shape = e->codec.shape;
    if (part) {
        hm_codec_release(&e->codec);
        return hm_codec_bind(&e->ctx, &e->codec, &shape, e->codec_weights, err);
    }
    hm_mula_release(&e->mula);
    return hm_mula_bind(&e->ctx, &e->mula, &config, e->lm_weights, err);
}

static void heart_release(hm_engine *e)
{
    hm_mula_release(&e->mula);
    hm_codec_release(&e->codec);
}

static void heart_facts(const hm_engine *e, hm_engine_facts *f)
{
    f->frame_seconds = 0.08;
    f->channels = 2;
    if (e->has_lm) {
        f->codebooks = e->mula.config.codebooks;
        f->code_vocabulary = e->mula.config.code_vocabulary;
        f->max_positions = e->mula.config.backbone.max_positions;
    }
    if (e->has_codec) {
        f->codebooks = (int)e->codec.shape.quantizers;
        f->sample_rate_hz = (int)e->codec.shape.sample_rate;
    }
}

/* --- estimate --- */

static bool begins(const char *name, const char *start)
{
    return !strncmp(name, start, strlen(start));
}

/* As the toggle of the part says. */
static int part_precision(const hm_ctx *c, const hm_tensor *t)
{
    if (begins(t->name, "flow_matching."))
        return hm_t(c)->precision_dit;
    if (begins(t->name, "scalar_model."))
        return hm_t(c)->precision_codec;
    if (begins(t->name, "audio_head") || begins(t->name, "codebook0_head."))
        return hm_t(c)->precision_heads;
    if (begins(t->name, "decoder.") || begins(t->name, "projection."))
        return hm_t(c)->precision_decoder;
    return hm_t(c)->precision_backbone;
}

/* Vectors always, the rest when all of it is float32 without panels. */
static bool is_converted(const hm_ctx *c, const hm_tensor *t)
{
    bool computed = t->type == HM_F32 || t->type == HM_BF16 || t->type == HM_F16;
    if (t->rank == 1 || !computed)
        return computed;
    if (t->type == HM_F32 || begins(t->name, "text_embeddings.") || hm_t(c)->panels == HM_PANELS_PACKED)
        return false;
    return part_precision(c, t) == HM_BACKBONE_F32;
}

/* Tables are gathered; the modulation is never quantised. */
static int precision(const hm_ctx *c, const hm_tensor *t)
{
    bool table = strstr(t->name, "_embedding") || strstr(t->name, "_codebook.") || strstr(t->name, "scale_shift_table") ||
                 strstr(t->name, ".original0");
    int p = part_precision(c, t);
    if (t->rank == 1 || table)
        return -1;
    return strstr(t->name, ".adaln_single") && hm_format_coarse((hm_format)p) ? HM_FORMAT_ROWS : p;
}

static const hm_session_tensors tensors = {is_converted, precision};

static hm_status estimate_lm(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_mula_config g;
    hm_gen_config gen;
    hm_status st = hm_weights_open(&w, checkpoint->lm, HM_LOAD_MAP, err);
    if (!st)
        st = hm_session_config(w, &config, err);
    if (!st)
        st = hm_checkpoint_gen_config(&gen, checkpoint, w, err);
    if (!st)
        st = hm_mula_config_read(&g, config, &gen, checkpoint->lm, err);
    if (!st) {
        size_t text = (r->music.tags ? strlen(r->music.tags) : 0) + (r->music.lyrics ? strlen(r->music.lyrics) : 0);
        int prompt = r->prompt_rows ? r->prompt_rows : (int)(text / 2) + 16; /* about two bytes a token */
        hm_mula_request song = {.n = prompt, .max_frames = r->max_frames, .cfg_scale = r->music.cfg_scale, .stored = r->stored_codes};
        out->most_frames = g.backbone.max_positions > prompt ? g.backbone.max_positions - prompt : 0;
        hm_session_add_weights(c, w, NULL, &tensors, out);
        hm_mula_estimate(c, &g, &song, r->batch > 1 ? r->batch : 1, &out->kv_bytes, &out->scratch_bytes);
    }
    hm_weights_close(&w);
    return st;
}

static hm_status estimate_codec(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_codec_shape shape;
    hm_codec codec;
    hm_status st = hm_weights_open(&w, checkpoint->codec, HM_LOAD_MAP, err);
    if (!st)
        st = hm_session_config(w, &config, err);
    if (!st)
        st = hm_codec_shape_read(&shape, config, checkpoint->codec, err);
    if (!st)
        st = hm_codec_describe(&codec, &shape, err);
    if (!st) {
        hm_session_add_weights(c, w, "scalar_model.encoder.", &tensors, out);
        out->weights_bytes += hm_codec_as_bound(c, &codec);
        if (hm_t(c)->panels == HM_PANELS_ROWS)
            out->weights_bytes += hm_codec_folded_bytes(&codec);
        hm_detok_request request = hm_heart_detok_request(c, r);
        hm_detok_memory parts = {0};
        out->codec_bytes = hm_detok_estimate(c, &codec, &request, &parts);
        out->latents_bytes = parts.flow;
        out->vocoder_bytes = parts.vocoder;
        out->audio_bytes = parts.audio;
        hm_codec_release(&codec);
    }
    hm_weights_close(&w);
    return st;
}

static hm_status heart_estimate(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *o, const hm_request *r,
                                hm_memory_estimate *out, hm_error *err)
{
    hm_status st = HM_OK;
    bool together = hm_heart_streams(c, r) || r->batch > 1; /* else the song is freed before the codec runs */
    if (o->need_lm)
        st = estimate_lm(c, checkpoint, r, out, err);
    hm_memory_estimate lm = *out;
    out->mapped_bytes = out->weights_bytes = 0;
    if (!st && o->need_codec)
        st = estimate_codec(c, checkpoint, r, out, err);
    hm_session_join_weights(c, &lm, together, out);
    hm_session_add_phases(out, together);
    return st;
}

/* A solver step reads the estimator's weights once, a piece of latents those of the waveform decoder. */
static void parts(const hm_engine *e, hm_result *out)
{
    hm_formats dit = {0}, wave = {0};
    if (e->has_lm && out->generate_ns)
        hm_mula_parts(&e->mula, &out->parts);
    if (!e->has_codec)
        return;
    hm_codec_formats(&e->codec, &dit, &wave);
    hm_session_add_part(out, "dit", "flow", &dit, out->counters.solver_steps);
    hm_session_add_part(out, "codec", "vocoder", &wave, out->counters.decode_chunks);
}

const hm_family hm_heart_family = {
    .model = "heartmula",
    .task = HM_TASK_MUSIC,
    .open = heart_open,
    .bind = heart_bind,
    .release = heart_release,
    .facts = heart_facts,
    .estimate = heart_estimate,
    .generate = hm_heart_generate,
    .generate_many = hm_heart_generate_many,
    .decode = hm_heart_decode,
    .check = hm_heart_check,
    .parts = parts,
};
