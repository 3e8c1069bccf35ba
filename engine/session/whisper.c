/* Whisper behind the engine's interface: its folder, its facts, and what it would need. */
#include "engine/session/whisper.h"

#include <stdlib.h>
#include <string.h>

#include "engine/audio/mel.h"
#include "engine/base/time.h"

/* --- opening --- */

static hm_status open_generation(const hm_engine *e, const hm_engine_options *o, const json_t *config, const hm_whisper_shape *shape,
                                 hm_whisper_generation *out, hm_error *err)
{
    if (o->source.dir)
        return hm_checkpoint_whisper_generation(out, &e->checkpoint, config, shape, err);
    return hm_whisper_generation_read(out, json_object_get(o->source.lm_manifest, "generation_config"), config, shape, "whisper manifest",
                                      err);
}

static hm_status open_tokenizer(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    if (o->source.dir)
        return hm_checkpoint_whisper_tokenizer(&e->tokenizer, &e->checkpoint, err);
    return o->source.tokenizer ? hm_tokenizer_open_whisper(&e->tokenizer, o->source.tokenizer, err) : HM_OK;
}

static hm_status whisper_open(hm_engine *e, const hm_engine_options *o, hm_error *err)
{
    const json_t *config;
    hm_whisper_shape shape;
    hm_whisper_generation generation = {0};
    hm_status st = hm_session_weights(e, o, &e->lm_weights, e->checkpoint.lm, o->source.lm_manifest, "whisper manifest", err);
    if (!st)
        st = hm_session_config(e->lm_weights, &config, err);
    if (!st)
        st = hm_whisper_shape_read(&shape, config, hm_weights_path(e->lm_weights), err);
    if (!st)
        st = open_generation(e, o, config, &shape, &generation, err);
    if (!st)
        st = hm_whisper_bind(&e->ctx, &e->whisper, &shape, &generation, e->lm_weights, err);
    if (!st)
        st = open_tokenizer(e, o, err);
    e->has_lm = !st;
    return st;
}

static void whisper_release(hm_engine *e)
{
    hm_whisper_release(&e->whisper);
}

static void whisper_facts(const hm_engine *e, hm_engine_facts *f)
{
    f->codebooks = 1;
    f->code_vocabulary = (int)hm_whisper_shape_of(e->whisper)->vocab;
    f->channels = 1;
    f->sample_rate_hz = HM_TRANSCRIPT_RATE;
    f->frame_seconds = HM_TIMESTAMP_S;
    f->max_positions = hm_whisper_generation_of(e->whisper)->max_length;
}

/* --- estimate --- */

static bool is_table(const hm_tensor *t)
{
    return strstr(t->name, "embed_") != NULL;
}

/* What runs once per window: the encoder, and keys and values of it. */
static bool is_heard(const hm_tensor *t)
{
    return !strncmp(t->name, "model.encoder.", 14) || strstr(t->name, "encoder_attn.k_proj") || strstr(t->name, "encoder_attn.v_proj");
}

static bool is_head(const hm_tensor *t)
{
    return !strcmp(t->name, "proj_out.weight");
}

/* Of the embedding see add_head. */
static int precision(const hm_ctx *c, const hm_tensor *t)
{
    if (t->rank == 1 || is_table(t))
        return -1;
    if (is_head(t))
        return hm_t(c)->precision_heads;
    return is_heard(t) ? hm_t(c)->precision_backbone : hm_t(c)->precision_decoder;
}

/* Vectors always; without panels convolutions too, the rest when it is float32; positions of the encoder are added as float32. */
static bool is_converted(const hm_ctx *c, const hm_tensor *t)
{
    if (t->rank == 1 || strstr(t->name, "encoder.embed_positions"))
        return true;
    if (hm_t(c)->panels == HM_PANELS_PACKED || is_table(t))
        return false;
    return t->rank == 3 || precision(c, t) == (is_head(t) ? (int)HM_HEADS_F32 : (int)HM_BACKBONE_F32);
}

static const hm_session_tensors tensors = {is_converted, precision};

/* The embedding, from which rows are gathered as they are stored, is the head as well: in panels or as float32 it is there twice. */
static void add_head(const hm_ctx *c, const hm_weights *w, hm_memory_estimate *out)
{
    const hm_tensor *t = hm_weights_peek(w, "model.decoder.embed_tokens.weight");
    int asked = hm_t(c)->precision_heads;
    if (!t || t->rank != 2 || t->shape[0] > INT32_MAX || t->shape[1] > INT32_MAX || hm_weights_peek(w, "proj_out.weight"))
        return;
    int vocab = (int)t->shape[0], width = (int)t->shape[1];
    bool packed = hm_t(c)->panels == HM_PANELS_PACKED && t->type <= HM_F16;
    uint64_t panels = packed ? hm_panels_bytes(hm_layer_format((hm_format)asked, t->type, width), vocab, width, 1) : 0;
    if (packed && !out->apart)
        out->mapped_bytes += panels;
    else if (packed)
        out->weights_bytes += panels;
    else if (asked == HM_HEADS_F32 && t->type != HM_F32)
        out->weights_bytes += (uint64_t)vocab * (uint64_t)width * sizeof(float);
}

/* Windows that lie side by side. */
static hm_status windows_of(const hm_transcript_input *in, int *windows, hm_error *err)
{
    hm_transcript_part *parts = NULL;
    int count = 1;
    hm_status st = in->chunk_s > 0 ? hm_transcript_windows(&parts, &count, in->samples, in->chunk_s, err) : HM_OK;
    free(parts);
    *windows = in->batch < count ? in->batch : count;
    *windows = *windows > 1 ? *windows : 1;
    return st;
}

static hm_status add_work(hm_ctx *c, const hm_whisper_shape *g, const hm_request *r, hm_memory_estimate *out, hm_error *err)
{
    const hm_transcript_input *in = &r->transcript;
    bool known = r->prompt_rows > 0 && r->prompt_rows < HM_WHISPER_PROMPT;
    int positions = r->max_frames + (known ? r->prompt_rows : HM_WHISPER_PROMPT), beams = in->beams > 1 ? in->beams : 1, windows;
    hm_status st = windows_of(in, &windows, err);
    if (st)
        return st;
    if (positions > g->target_positions)
        positions = (int)g->target_positions;
    hm_whisper_estimate(c, g, windows, beams, positions, &out->kv_bytes, &out->scratch_bytes);
    int64_t mel_frames = in->chunk_s == 0 ? in->samples / HM_WHISPER_HOP : (int64_t)windows * 2 * g->source_positions;
    out->scratch_bytes += (uint64_t)(mel_frames * g->mels) * sizeof(float);
    return HM_OK;
}

static hm_status whisper_estimate(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *o, const hm_request *r,
                                  hm_memory_estimate *out, hm_error *err)
{
    hm_weights *w = NULL;
    const json_t *config;
    hm_whisper_shape g;
    (void)o;
    hm_status st = hm_checkpoint_need(checkpoint, true, false, err);
    if (!st)
        st = hm_weights_open(&w, checkpoint->lm, HM_LOAD_MAP, err);
    if (!st)
        st = hm_session_config(w, &config, err);
    if (!st)
        st = hm_whisper_shape_read(&g, config, checkpoint->lm, err);
    if (!st && r->max_frames < 1)
        st = hm_fail(err, HM_EUSAGE, "transcript: expected at least 1 token a window, found %d", r->max_frames);
    if (!st) {
        hm_session_add_weights(c, w, NULL, &tensors, out);
        add_head(c, w, out);
        st = add_work(c, &g, r, out, err);
        hm_session_add_phases(out, false);
    }
    hm_weights_close(&w);
    return st;
}

/* --- calls --- */

/* One recording after the other: each has windows of its own side by side. */
static hm_status whisper_generate_many(hm_engine *e, hm_many *many, hm_error *err)
{
    int64_t start = hm_now_ns();
    hm_status st = HM_OK;
    int done = 0;
    for (; done < many->count && !st; done++)
        st = hm_whisper_generate(e, &many->requests[done], &many->results[done], err);
    for (int i = 0; st && i < done; i++)
        hm_session_result_free(&many->results[i]);
    for (int i = 0; !st && i < many->count; i++)
        many->steps += many->results[i].frames;
    many->step_rows = many->steps;
    many->wall_ns = hm_now_ns() - start;
    return st;
}

static hm_status whisper_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err)
{
    (void)e;
    (void)codes;
    (void)frames;
    (void)r;
    (void)out;
    return hm_fail(err, HM_EUSAGE, "decode: a transcript's tokens are text, there is no audio in them");
}

/* Several windows and beams go through one pass. */
static void parts(const hm_engine *e, hm_result *out)
{
    hm_formats encoder = {0}, decoder = {0}, head = {0};
    if (!out->frames)
        return;
    hm_whisper_formats(e->whisper, &encoder, &decoder, &head);
    hm_session_add_part(out, "backbone", "encoder", &encoder, (uint64_t)e->heard.groups);
    hm_session_add_part(out, "decoder", "text_step", &decoder, (uint64_t)e->heard.again);
}

const hm_family hm_whisper_family = {
    .model = "whisper",
    .task = HM_TASK_TRANSCRIPT,
    .open = whisper_open,
    .release = whisper_release,
    .facts = whisper_facts,
    .estimate = whisper_estimate,
    .generate = hm_whisper_generate,
    .generate_many = whisper_generate_many,
    .decode = whisper_decode,
    .check = hm_whisper_check_run,
    .parts = parts,
};
