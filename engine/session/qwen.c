/* Qwen3-TTS behind the engine's interface: its parts, its facts, and what they would need. */
#include "engine/session/qwen.h"

#include <stdlib.h>
#include <string.h>

/* --- opening --- */

static hm_status open_tokenizer(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_qwen2_split split = o->local_split ? HM_QWEN2_SPLIT_COMPAT : HM_QWEN2_SPLIT_PLAIN;
    if (o->source.dir)
        return hm_checkpoint_qwen2_tokenizer(&e->tokenizer, &e->checkpoint, split, err);
    return o->source.tokenizer ? hm_tokenizer_open_qwen2(&e->tokenizer, o->source.tokenizer, split, err) : HM_OK;
}

static hm_status open_generation(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    if (o->source.dir)
        return hm_checkpoint_generation(&e->qwen->generation, &e->checkpoint, err);
    return hm_tts_generation_read(&e->qwen->generation, NULL, "talker manifest", err);
}

/* The talker's weights hold the speaker encoder too. */
static hm_status open_talker(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_qwen *q = e->qwen;
    const json_t *config;
    hm_talker_shape shape;
    hm_status st = hm_session_weights(e, o, &e->lm_weights, e->checkpoint.lm, o->source.lm_manifest, "talker manifest", err);
    if (!st)
        st = hm_session_config(e->lm_weights, &config, err);
    if (!st)
        st = hm_talker_shape_read(&shape, config, hm_weights_path(e->lm_weights), err);
    if (st)
        return st;
    q->talker.shape = shape;
    if (o->need_encoders && !shape.speaker.mel)
        return hm_fail(err, HM_EUSAGE, "%s: a %s model has no speaker encoder, so it clones no voice; take a base model",
                       hm_weights_path(e->lm_weights), hm_tts_kind_name(shape.kind));
    if (o->need_encoders)
        st = hm_speaker_encoder_bind(&e->ctx, &q->speaker_encoder, &shape, e->lm_weights, err);
    if (st || !o->need_lm)
        return st;
    st = hm_talker_bind(&e->ctx, &q->talker, &shape, e->lm_weights, err);
    if (!st)
        st = open_generation(e, o, err);
    if (!st)
        st = open_tokenizer(e, o, err);
    e->has_lm = !st;
    return st;
}

static hm_status open_codec(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    hm_qwen *q = e->qwen;
    const json_t *config;
    hm_status st =
        hm_session_weights(e, o, &e->codec_weights, e->checkpoint.codec, o->source.codec_manifest, "speech tokenizer manifest", err);
    if (!st)
        st = hm_session_config(e->codec_weights, &config, err);
    if (!st)
        st = hm_speech_codec_shape_read(&q->codec_shape, config, hm_weights_path(e->codec_weights), err);
    if (!st && o->need_encoders)
        st = hm_speech_encoder_bind(&e->ctx, &q->speech_encoder, &q->codec_shape, e->codec_weights, err);
    if (!st && o->need_codec)
        st = hm_speech_codec_bind(&e->ctx, &q->codec, &q->codec_shape, e->codec_weights, err);
    e->has_codec = !st && o->need_codec;
    return st;
}

static hm_status qwen_open(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    bool lm = o->need_lm || (o->need_encoders && (o->source.dir || o->source.lm_manifest));
    bool codec = o->need_codec || (o->need_encoders && (o->source.dir || o->source.codec_manifest));
    e->qwen = hm_calloc(1, sizeof *e->qwen, "speech model", err);
    hm_status st = e->qwen ? HM_OK : HM_EABSENT;
    if (!st && o->source.dir)
        st = hm_checkpoint_need(&e->checkpoint, lm, codec, err);
    if (!st && lm)
        st = open_talker(e, o, err);
    if (!st && codec)
        st = open_codec(e, o, err);
    if (!st && lm && codec)
        st = hm_tts_shapes_check(&e->qwen->talker.shape, &e->qwen->codec_shape, e->checkpoint.path ? e->checkpoint.path : "manifests", err);
    return st;
}

/* With the encoders of each part, where they are at hand. */
static hm_status qwen_bind(hm_engine *e, int part, hm_error *err)
{
    hm_qwen *q = e->qwen;
    hm_talker_shape shape = q->talker.shape;
    hm_status st = HM_OK;
    if (part) {
        bool encodes = q->speech_encoder != NULL;
        hm_speech_encoder_release(&q->speech_encoder);
        hm_speech_codec_release(&q->codec);
        if (encodes)
            st = hm_speech_encoder_bind(&e->ctx, &q->speech_encoder, &q->codec_shape, e->codec_weights, err);
        return st || !e->has_codec ? st : hm_speech_codec_bind(&e->ctx, &q->codec, &q->codec_shape, e->codec_weights, err);
    }
    bool embeds = q->speaker_encoder != NULL;
    hm_speaker_encoder_release(&q->speaker_encoder);
    if (embeds)
        st = hm_speaker_encoder_bind(&e->ctx, &q->speaker_encoder, &shape, e->lm_weights, err);
    if (st || !e->has_lm)
        return st;
    hm_talker_release(&q->talker);
    return hm_talker_bind(&e->ctx, &q->talker, &shape, e->lm_weights, err);
}

static void qwen_release(hm_engine *e)
{
    hm_qwen *q = e->qwen;
    if (!q)
        return;
    hm_talker_work_close(&e->ctx, &q->work);
    hm_speech_codec_release(&q->codec);
    hm_speech_encoder_release(&q->speech_encoder);
    hm_speaker_encoder_release(&q->speaker_encoder);
    hm_talker_release(&q->talker);
    free(q);
    e->qwen = NULL;
}

static void qwen_facts(const hm_engine *e, hm_engine_facts *f)
{
    const hm_qwen *q = e->qwen;
    f->channels = 1;
    f->frame_seconds = 0.08;
    if (e->lm_weights) {
        const hm_talker_shape *g = &q->talker.shape;
        f->kind = hm_tts_kind_name(g->kind);
        f->size = g->size;
        f->codebooks = (int)g->groups;
        f->code_vocabulary = (int)g->codebook;
        f->max_positions = (int)g->talker.positions;
    }
    if (e->codec_weights) {
        const hm_speech_codec_shape *g = &q->codec_shape;
        f->codebooks = (int)g->groups;
        f->code_vocabulary = (int)g->decoder.codebook;
        f->sample_rate_hz = (int)g->sample_rate;
        f->frame_seconds = (double)g->decode_rate / (double)g->sample_rate;
    }
}

/* --- estimate --- */

static bool begins(const char *name, const char *start)
{
    return !strncmp(name, start, strlen(start));
}

/* As the toggle of the part says; encoders are never quantised. */
static int part_precision(const hm_ctx *c, const hm_tensor *t)
{
    int codec = hm_t(c)->precision_codec;
    bool exact = begins(t->name, "encoder.") || strstr(t->name, "quantizer.");
    if (begins(t->name, "speaker_encoder."))
        return HM_FORMAT_F32;
    if (begins(t->name, "decoder.") || begins(t->name, "encoder."))
        return exact && hm_format_coarse((hm_format)codec) ? HM_FORMAT_ROWS : codec;
    if (strstr(t->name, "codec_head.") || strstr(t->name, ".lm_head."))
        return hm_t(c)->precision_heads;
    return begins(t->name, "talker.code_predictor.") ? hm_t(c)->precision_decoder : hm_t(c)->precision_backbone;
}

/* Vectors always; without panels convolutions too, the rest when it is float32. */
static bool is_converted(const hm_ctx *c, const hm_tensor *t)
{
    bool computed = t->type == HM_F32 || t->type == HM_BF16 || t->type == HM_F16;
    if (t->rank == 1 || !computed)
        return computed;
    if (hm_t(c)->panels == HM_PANELS_PACKED)
        return strstr(t->name, ".dwconv.") != NULL;
    if (t->rank == 3 && !strstr(t->name, "quantizer."))
        return true;
    if (t->type == HM_F32 || strstr(t->name, "_embedding."))
        return false;
    return part_precision(c, t) == HM_BACKBONE_F32;
}

/* Tables are gathered, the depthwise convolution is no product of matrices. */
static int precision(const hm_ctx *c, const hm_tensor *t)
{
    bool table = strstr(t->name, "_embedding.") || strstr(t->name, "codebook.") || strstr(t->name, ".dwconv.");
    return t->rank == 1 || table ? -1 : part_precision(c, t);
}

static const hm_session_tensors tensors = {is_converted, precision};

/* Tables that loading makes besides. */
static uint64_t talker_tables(const hm_ctx *c, const hm_talker_shape *g)
{
    uint64_t rows = g->talker.width != g->predictor.width ? (uint64_t)(g->code_vocab + (g->groups - 2) * g->codebook) : 0;
    bool once = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
    return once ? (3 * (uint64_t)g->talker.width + rows * (uint64_t)g->predictor.width) * sizeof(float) : 0;
}

static uint64_t codec_tables(const hm_ctx *c, const hm_speech_codec_shape *g)
{
    bool once = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
    return once ? (uint64_t)(g->groups * g->decoder.codebook * g->decoder.codebook_dim) * sizeof(float) : 0;
}

/* One encoder after the other. */
static void add_encoder(hm_memory_estimate *out, uint64_t bytes)
{
    out->encoder_bytes = bytes > out->encoder_bytes ? bytes : out->encoder_bytes;
}

/* At most one token per two bytes of text, and the template's. */
static int tokens_of(const char *text)
{
    size_t n = text ? strlen(text) / 2 : 0;
    return (int)(n < 1 << 20 ? n : 1 << 20) + 16;
}

/* Sizes of the request, from lengths alone: its ids are all 0. */
static hm_status estimate_work(hm_ctx *c, const hm_talker_shape *g, int64_t encode_rate, const hm_request *r, hm_memory_estimate *out,
                               hm_error *err)
{
    const hm_speech_input *s = &r->speech;
    int text = tokens_of(s->text), instruct = s->instruct ? tokens_of(s->instruct) : 0,
        reference = s->reference_text ? tokens_of(s->reference_text) : 0;
    int frames = reference && encode_rate ? (int)((s->reference_samples + encode_rate - 1) / encode_rate) : 0;
    int most = text > instruct ? text : instruct;
    int32_t *ids = hm_calloc((size_t)(most > reference ? most : reference), sizeof *ids, "estimate", err);
    if (!ids)
        return HM_EABSENT;
    hm_talker_request request = {.text_ids = ids,
                                 .text_count = text,
                                 .instruct_ids = instruct ? ids : NULL,
                                 .instruct_count = instruct,
                                 .reference_ids = frames ? ids : NULL,
                                 .reference_count = reference,
                                 .reference_codes = frames ? ids : NULL,
                                 .reference_frames = frames,
                                 .streaming_text = s->streaming_text < 0 ? g->kind == HM_TTS_BASE : s->streaming_text,
                                 .max_frames = r->max_frames,
                                 .stored = r->stored_codes};
    hm_talker_estimate(c, g, &request, r->batch > 1 ? r->batch : 1, r->prompt_rows, &out->kv_bytes, &out->scratch_bytes);
    free(ids);
    return HM_OK;
}

static hm_status estimate_talker(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *o, int64_t encode_rate,
                                 const hm_request *r, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_talker_shape g;
    hm_status st = hm_weights_open(&w, checkpoint->lm, HM_LOAD_MAP, err);
    if (!st)
        st = hm_session_config(w, &config, err);
    if (!st)
        st = hm_talker_shape_read(&g, config, checkpoint->lm, err);
    if (!st && r->max_frames > g.talker.positions)
        st = hm_fail(err, HM_EUSAGE, "%d frames: expected at most %lld, the model's positions", r->max_frames,
                     (long long)g.talker.positions);
    if (!st) {
        hm_session_add_weights(c, w, o->need_encoders ? NULL : "speaker_encoder.", &tensors, out);
        out->most_frames = (int)g.talker.positions - r->prompt_rows;
        out->weights_bytes += talker_tables(c, &g);
        if (r->speech.reference_samples)
            add_encoder(out, hm_speaker_embed_estimate(c, &g.speaker, r->speech.reference_samples));
        st = estimate_work(c, &g, encode_rate, r, out, err);
    }
    hm_weights_close(&w);
    return st;
}

/* The decoder's scratch and the audio. */
static void add_decoding(hm_ctx *c, const hm_speech_codec_shape *g, const hm_request *r, hm_memory_estimate *out)
{
    int first, next, frames = r->max_frames;
    if (hm_t(c)->chunks == HM_CHUNKS_ORIGINAL && frames > HM_ORIGINAL_CHUNK + HM_ORIGINAL_CONTEXT)
        frames = HM_ORIGINAL_CHUNK + HM_ORIGINAL_CONTEXT;
    hm_qwen_pieces(r, &first, &next);
    if (hm_qwen_streams(c, r))
        frames = first > next ? first : next;
    else if (hm_t(c)->decode != HM_DECODE_WHOLE)
        frames = hm_speech_piece_frames(c, g, frames);
    out->vocoder_bytes = hm_speech_vocoder_estimate(c, g, frames);
    out->latents_bytes = hm_speech_stream_estimate(c, g, frames) - out->vocoder_bytes;
    out->audio_bytes = (uint64_t)r->max_frames * (uint64_t)g->decode_rate * sizeof(float);
    out->codec_bytes = out->latents_bytes + out->vocoder_bytes + out->audio_bytes;
}

static hm_status estimate_codec(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *o, const hm_request *r,
                                int64_t *encode_rate, hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_speech_codec_shape g;
    hm_status st = hm_weights_open(&w, checkpoint->codec, HM_LOAD_MAP, err);
    if (!st)
        st = hm_session_config(w, &config, err);
    if (!st)
        st = hm_speech_codec_shape_read(&g, config, checkpoint->codec, err);
    if (!st) {
        hm_session_add_weights(c, w, o->need_encoders ? NULL : "encoder.", &tensors, out);
        *encode_rate = g.encode_rate;
        if (o->need_codec && !r->skip_codec) {
            out->weights_bytes += codec_tables(c, &g);
            add_decoding(c, &g, r, out);
        }
        if (o->need_encoders && r->speech.reference_text)
            add_encoder(out, hm_speech_encode_estimate(c, &g, r->speech.reference_samples));
    }
    hm_weights_close(&w);
    return st;
}

static hm_status qwen_estimate(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *o, const hm_request *r,
                               hm_memory_estimate *out, hm_error *err)
{
    int64_t encode_rate = 0;
    bool lm = o->need_lm || o->need_encoders, codec = o->need_codec || o->need_encoders;
    hm_status st = hm_checkpoint_need(checkpoint, lm, codec, err);
    if (!st && r->max_frames < 1)
        st = hm_fail(err, HM_EUSAGE, "speech: expected at least 1 frame (80 ms), found %d", r->max_frames);
    if (!st && codec)
        st = estimate_codec(c, checkpoint, o, r, &encode_rate, out, err);
    hm_memory_estimate audio = *out;
    out->mapped_bytes = out->weights_bytes = 0;
    if (!st && lm)
        st = estimate_talker(c, checkpoint, o, encode_rate, r, out, err);
    hm_session_join_weights(c, &audio, hm_qwen_streams(c, r) || r->batch > 1 || r->speech.reference, out);
    bool kept = hm_t(c)->prefix == HM_PREFIX_REUSED || r->batch > 1;
    hm_session_add_phases(out, hm_qwen_streams(c, r) || kept); /* else the talker's is freed before audio is decoded */
    return st;
}

static void parts(const hm_engine *e, hm_result *out)
{
    const hm_qwen *q = e->qwen;
    hm_formats latents = {0}, vocoder = {0};
    uint64_t pieces = out->counters.decode_chunks;
    if (e->has_lm && out->generate_ns)
        hm_talker_parts(&q->talker, &out->parts);
    if (!q->codec)
        return;
    hm_speech_codec_formats(q->codec, &latents, &vocoder);
    hm_session_add_part(out, "codec", "latents", &latents, pieces);
    hm_session_add_part(out, "codec", "vocoder", &vocoder, pieces);
}

const hm_family hm_qwen_family = {
    .model = "qwen3-tts",
    .task = HM_TASK_SPEECH,
    .open = qwen_open,
    .bind = qwen_bind,
    .release = qwen_release,
    .facts = qwen_facts,
    .estimate = qwen_estimate,
    .generate = hm_qwen_generate,
    .generate_many = hm_qwen_generate_many,
    .decode = hm_qwen_decode,
    .check = hm_qwen_check,
    .parts = parts,
};
