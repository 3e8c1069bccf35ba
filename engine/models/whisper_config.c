/* Weights of Whisper, the buffers that windows need, and what they take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/whisper_impl.h"

/* --- weights --- */

static hm_status bind_norm(const hm_binder *b, hm_whisper_norm *norm, const char *prefix, const char *name)
{
    hm_status st = hm_bind_f32(b, &norm->weight, "%s.%s.weight", prefix, name);
    return st ? st : hm_bind_f32(b, &norm->bias, "%s.%s.bias", prefix, name);
}

static hm_status bind_biased(const hm_binder *b, hm_linear *out, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return hm_bind_biased(b, out, full);
}

/* keys: where the layers for keys and values come from; those of cross-attention run once per window, as the encoder does. */
static hm_status bind_attention(const hm_binder *b, const hm_binder *keys, hm_whisper_attention *a, const char *layer, const char *name)
{
    char norm[64], prefix[96];
    snprintf(norm, sizeof norm, "%s_layer_norm", name);
    snprintf(prefix, sizeof prefix, "%s.%s", layer, name);
    hm_status st = bind_norm(b, &a->norm, layer, norm);
    if (!st)
        st = bind_biased(b, &a->q, prefix, "q_proj");
    if (!st)
        st = hm_bind_linear(keys, &a->k, "%s.k_proj.weight", prefix);
    if (!st)
        st = bind_biased(keys, &a->v, prefix, "v_proj");
    return st ? st : bind_biased(b, &a->o, prefix, "out_proj");
}

static hm_status bind_layer(const hm_binder *b, const hm_binder *cross, hm_whisper_layer *l, const char *stack, int i)
{
    char layer[64];
    snprintf(layer, sizeof layer, "model.%s.layers.%d", stack, i);
    hm_status st = bind_attention(b, b, &l->self, layer, "self_attn");
    if (!st && cross)
        st = bind_attention(b, cross, &l->cross, layer, "encoder_attn");
    if (!st)
        st = bind_norm(b, &l->ffn_norm, layer, "final_layer_norm");
    if (!st)
        st = bind_biased(b, &l->fc1, layer, "fc1");
    return st ? st : bind_biased(b, &l->fc2, layer, "fc2");
}

static hm_status bind_encoder(const hm_binder *b, hm_whisper *m)
{
    hm_status st = hm_conv_bind(b, &m->conv1, 0, true, "model.encoder.conv1");
    if (!st)
        st = hm_conv_bind(b, &m->conv2, 0, true, "model.encoder.conv2");
    if (!st)
        st = hm_bind_f32(b, &m->encoder_positions, "model.encoder.embed_positions.weight");
    for (int i = 0; i < (int)m->shape.encoder_layers && !st; i++)
        st = bind_layer(b, NULL, &m->encoder[i], "encoder", i);
    return st ? st : bind_norm(b, &m->encoder_norm, "model.encoder", "layer_norm");
}

/* The embedding, unless the file has a matrix of its own. */
static hm_status bind_head(const hm_binder *heads, hm_whisper *m)
{
    static const char own[] = "proj_out.weight";
    if (!hm_weights_peek(heads->w, own))
        return hm_bind_linear(heads, &m->head, "model.decoder.embed_tokens.weight");
    hm_tensor_row row = {.rank = 2, .shape = {m->shape.vocab, m->shape.width}};
    hm_tensor_table table = {.rows = &row, .count = 1};
    hm_binder b = *heads;
    memcpy(row.name, own, sizeof own);
    b.table = &table;
    return hm_bind_linear(&b, &m->head, own);
}

/* Tables as they are stored: rows are converted as they are gathered. */
static hm_status bind_decoder(const hm_binder *b, const hm_binder *cross, const hm_binder *heads, hm_whisper *m)
{
    hm_binder stored = *b;
    stored.f32 = false;
    hm_status st = hm_bind_tensor(&stored, &m->embedding, &m->embedding_type, NULL, "model.decoder.embed_tokens.weight");
    if (!st)
        st = hm_bind_tensor(&stored, &m->positions, &m->positions_type, NULL, "model.decoder.embed_positions.weight");
    for (int i = 0; i < (int)m->shape.decoder_layers && !st; i++)
        st = bind_layer(b, cross, &m->decoder[i], "decoder", i);
    if (!st)
        st = bind_norm(b, &m->decoder_norm, "model.decoder", "layer_norm");
    return st ? st : bind_head(heads, m);
}

hm_status hm_whisper_bind(hm_ctx *c, hm_whisper **out, const hm_whisper_shape *shape, hm_whisper_generation *generation, hm_weights *w,
                          hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder encoder = hm_binder_at(c, w, &table, hm_t(c)->precision_backbone, err);
    hm_binder decoder = hm_binder_at(c, w, &table, hm_t(c)->precision_decoder, err);
    hm_binder heads = hm_binder_at(c, w, &table, hm_t(c)->precision_heads, err);
    hm_whisper *m = hm_calloc(1, sizeof *m, "whisper", err);
    hm_whisper_generation given = *generation;
    *generation = (hm_whisper_generation){0};
    if (!m) {
        hm_whisper_generation_close(&given);
        return HM_EABSENT;
    }
    m->shape = *shape;
    m->generation = given;
    m->encoder = hm_calloc((size_t)shape->encoder_layers, sizeof *m->encoder, "encoder layers", err);
    m->decoder = m->encoder ? hm_calloc((size_t)shape->decoder_layers, sizeof *m->decoder, "decoder layers", err) : NULL;
    hm_status st = m->decoder ? hm_whisper_table(&table, shape, HM_F16, err) : HM_EABSENT; /* names and shapes: types are the file's */
    if (!st)
        st = bind_encoder(&encoder, m);
    if (!st)
        st = bind_decoder(&decoder, &encoder, &heads, m);
    hm_tensor_table_close(&table);
    if (!st && hm_ops_status(&c->ops))
        st = hm_fail(err, c->error.status, "%s", c->error.text);
    if (st)
        hm_whisper_release(&m);
    else
        *out = m;
    return st;
}

void hm_whisper_release(hm_whisper **whisper)
{
    hm_whisper *m = *whisper;
    if (m) {
        hm_whisper_generation_close(&m->generation);
        free(m->encoder);
        free(m->decoder);
        free(m);
    }
    *whisper = NULL;
}

const hm_whisper_shape *hm_whisper_shape_of(const hm_whisper *m)
{
    return &m->shape;
}

const hm_whisper_generation *hm_whisper_generation_of(const hm_whisper *m)
{
    return &m->generation;
}

/* --- what a pass reads --- */

static uint64_t step_bytes(const hm_whisper_layer *l, bool decoder)
{
    const hm_linear *const all[] = {&l->self.q, &l->self.k, &l->self.v, &l->self.o, &l->fc1, &l->fc2, &l->cross.q, &l->cross.o};
    uint64_t bytes = 0;
    for (int i = 0; i < (decoder ? 8 : 6); i++)
        bytes += hm_linear_bytes(all[i]);
    return bytes;
}

void hm_whisper_pass_bytes(const hm_whisper *m, uint64_t *step, uint64_t *window)
{
    const hm_whisper_layer *d = m->decoder; /* all layers are alike */
    *step = (uint64_t)m->shape.decoder_layers * step_bytes(d, true) + hm_linear_bytes(&m->head);
    *window = (uint64_t)m->shape.encoder_layers * step_bytes(m->encoder, false) + hm_linear_bytes(&m->conv1.linear) +
              hm_linear_bytes(&m->conv2.linear) +
              (uint64_t)m->shape.decoder_layers * (hm_linear_bytes(&d->cross.k) + hm_linear_bytes(&d->cross.v));
}

void hm_whisper_formats(const hm_whisper *m, hm_formats *encoder, hm_formats *decoder, hm_formats *head)
{
    const hm_whisper_layer *e = m->encoder, *d = m->decoder;
    const hm_linear *const once[] = {&e->self.q, &e->self.k, &e->self.v, &e->self.o, &e->fc1, &e->fc2};
    const hm_linear *const step[] = {&d->self.q, &d->self.k, &d->self.v, &d->self.o, &d->fc1, &d->fc2, &d->cross.q, &d->cross.o};
    for (size_t i = 0; i < sizeof once / sizeof *once; i++)
        hm_formats_add(encoder, once[i]);
    for (size_t i = 0; i < sizeof step / sizeof *step; i++)
        hm_formats_add(decoder, step[i]);
    hm_formats_add(head, &m->head);
}

/* --- buffers --- */

static hm_transformer_config config_of(const hm_whisper_shape *g, int64_t layers, int64_t heads, int positions, bool typed)
{
    return (hm_transformer_config){.layers = (int)layers,
                                   .heads = (int)heads,
                                   .kv_heads = (int)heads,
                                   .dim = (int)g->width,
                                   .head_dim = (int)(g->width / heads),
                                   .max_positions = positions,
                                   .typed_kv = typed};
}

hm_transformer_config hm_whisper_self_config(const hm_whisper_shape *g, int positions)
{
    return config_of(g, g->decoder_layers, g->decoder_heads, positions, true);
}

hm_transformer_config hm_whisper_cross_config(const hm_whisper_shape *g)
{
    return config_of(g, g->decoder_layers, g->decoder_heads, (int)g->source_positions, true);
}

hm_transformer_config hm_whisper_own_config(const hm_whisper_shape *g)
{
    return config_of(g, 1, g->encoder_heads, (int)g->source_positions, false);
}

uint64_t hm_whisper_token_kv_bytes(const hm_ctx *c, const hm_whisper_shape *g, int beams, int positions)
{
    hm_transformer_config cross = hm_whisper_cross_config(g), self = hm_whisper_self_config(g, positions);
    return hm_kv_bytes(c, &cross, 1, (int)g->source_positions) + hm_kv_bytes(c, &self, beams, positions);
}

static int group_of(int windows)
{
    return windows < HM_WHISPER_ENCODED ? windows : HM_WHISPER_ENCODED;
}

static void lay_out_encoder(hm_layout *l, hm_whisper_encoder_scratch *s, const hm_whisper_shape *g, int windows)
{
    size_t T = (size_t)g->source_positions, D = (size_t)g->width;
    s->group = group_of(windows);
    size_t R = T * (size_t)s->group;
    s->mel = hm_take_f32(l, (2 * T + 2) * (size_t)g->mels);
    s->stem = hm_take_f32(l, (2 * T + 2) * D);
    s->x = hm_take_f32(l, R * D);
    s->n = hm_take_f32(l, R * D);
    s->q = hm_take_f32(l, R * D);
    s->k = hm_take_f32(l, R * D);
    s->v = hm_take_f32(l, R * D);
    s->a = hm_take_f32(l, R * D);
    s->t = hm_take_f32(l, R * D);
    s->hidden = hm_take_f32(l, R * (size_t)g->encoder_hidden);
}

/* Rows of a pass: prompts of all windows, or a step of all beams. */
static void lay_out_decoder(const hm_ctx *c, hm_layout *l, hm_whisper_decoder_scratch *s, const hm_whisper_shape *g, int windows, int beams,
                            int positions)
{
    size_t D = (size_t)g->width, V = (size_t)g->vocab;
    s->rows = windows * (beams > HM_WHISPER_PROMPT ? beams : HM_WHISPER_PROMPT);
    s->head_rows = hm_t(c)->rows == HM_ROWS_ALL ? s->rows : windows * (beams > 2 ? beams : 2);
    size_t R = (size_t)s->rows, H = (size_t)s->head_rows;
    s->ids = hm_take(l, 2 * R * sizeof *s->ids);
    s->x = hm_take_f32(l, R * D);
    s->n = hm_take_f32(l, R * D);
    s->q = hm_take_f32(l, R * D);
    s->k = hm_take_f32(l, R * D);
    s->v = hm_take_f32(l, R * D);
    s->a = hm_take_f32(l, R * D);
    s->t = hm_take_f32(l, R * D);
    s->hidden = hm_take_f32(l, R * (size_t)g->decoder_hidden);
    s->mask = hm_t(c)->mask == HM_MASK_BUILT ? hm_take_f32(l, HM_WHISPER_PROMPT * (size_t)positions) : NULL;
    s->picked = hm_take_f32(l, H * D);
    s->logits = hm_take_f32(l, H * V);
    s->scores = hm_take_f32(l, V);
    s->token = hm_take(l, sizeof *s->token);
}

static bool cross_once(const hm_ctx *c)
{
    return hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
}

static void lay_out(const hm_ctx *c, hm_layout *l, hm_whisper_work *w, const hm_whisper_shape *g)
{
    size_t T = (size_t)g->source_positions, D = (size_t)g->width;
    w->out = cross_once(c) ? NULL : hm_take_f32(l, (size_t)w->windows * T * D);
    lay_out_encoder(l, &w->e, g, w->windows);
    lay_out_decoder(c, l, &w->d, g, w->windows, w->beams, w->positions);
}

static hm_status open_host(hm_whisper_decoder_scratch *s, const hm_whisper_shape *g, hm_error *err)
{
    size_t V = (size_t)g->vocab;
    s->host_logits = hm_calloc((size_t)s->head_rows * V, sizeof *s->host_logits, "logits", err);
    if (!s->host_logits)
        return HM_EABSENT;
    s->host_ids = hm_calloc(2 * (size_t)s->rows, sizeof *s->host_ids, "tokens", err);
    return s->host_ids ? HM_OK : HM_EABSENT;
}

static hm_status open_caches(hm_ctx *c, hm_whisper_work *w, const hm_whisper_shape *g, hm_error *err)
{
    hm_transformer_config self = hm_whisper_self_config(g, w->positions), cross = hm_whisper_cross_config(g),
                          own = hm_whisper_own_config(g);
    int T = (int)g->source_positions;
    bool zero = hm_t(c)->attn == HM_ATTN_ALL_SLOTS;
    hm_status st = hm_kv_open(c, &w->own, &own, w->e.group, T, false, err);
    if (!st)
        st = hm_kv_open(c, &w->cross, &cross, w->windows, T, false, err);
    return st ? st : hm_kv_open(c, &w->self, &self, w->windows * w->beams, w->positions, zero, err);
}

hm_status hm_whisper_work_open(hm_ctx *c, hm_whisper_work **out, const hm_whisper *m, int windows, int beams, int positions, hm_error *err)
{
    const hm_whisper_shape *g = &m->shape;
    hm_layout l = {0};
    if (windows < 1 || beams < 1 || beams > HM_WHISPER_MAX_BEAMS || positions < 2 || positions > g->target_positions)
        return hm_fail(err, HM_EUSAGE, "transcription: expected 1 window or more, 1 to %d beams, 2 to %lld positions; found %d, %d, %d",
                       HM_WHISPER_MAX_BEAMS, (long long)g->target_positions, windows, beams, positions);
    hm_whisper_work *w = hm_calloc(1, sizeof *w, "windows", err);
    if (!w)
        return HM_EABSENT;
    *w = (hm_whisper_work){.m = m, .windows = windows, .beams = beams, .positions = positions};
    lay_out(c, &l, w, g);
    w->memory = c->ops.alloc(&c->ops, l.used);
    hm_status st = w->memory ? HM_OK : hm_fail(err, HM_EABSENT, "windows: no memory for %zu bytes", l.used);
    if (!st) {
        l = (hm_layout){.base = w->memory};
        lay_out(c, &l, w, g);
        st = open_host(&w->d, g, err);
    }
    if (!st)
        st = open_caches(c, w, g, err);
    if (st)
        hm_whisper_work_close(c, &w);
    else
        *out = w;
    return st;
}

void hm_whisper_work_close(hm_ctx *c, hm_whisper_work **work)
{
    hm_whisper_work *w = *work;
    if (w) {
        hm_kv_close(c, &w->own);
        hm_kv_close(c, &w->cross);
        hm_kv_close(c, &w->self);
        if (w->memory)
            c->ops.free(&c->ops, w->memory);
        free(w->d.host_logits);
        free(w->d.host_ids);
        free(w);
    }
    *work = NULL;
}

void hm_whisper_estimate(const hm_ctx *c, const hm_whisper_shape *g, int windows, int beams, int positions, uint64_t *kv_bytes,
                         uint64_t *scratch_bytes)
{
    hm_transformer_config self = hm_whisper_self_config(g, positions), cross = hm_whisper_cross_config(g), own = hm_whisper_own_config(g);
    hm_whisper_work w = {.windows = windows, .beams = beams, .positions = positions};
    hm_layout l = {0};
    int T = (int)g->source_positions;
    bool panels = hm_t(c)->kv == HM_KV_PREALLOC;
    lay_out(c, &l, &w, g);
    *kv_bytes = hm_kv_bytes(c, &cross, windows, T) + (panels ? hm_kv_bytes(c, &own, w.e.group, T) : 0) +
                (panels ? 1 : 2) * hm_kv_bytes(c, &self, windows * beams, positions); /* a layer that grows is there twice, for a moment */
    *scratch_bytes = l.used + (size_t)w.d.head_rows * (size_t)g->vocab * sizeof(float);
    if (hm_t(c)->attn != HM_ATTN_FLASH)
        *scratch_bytes += (uint64_t)w.e.group * (uint64_t)g->encoder_heads * (uint64_t)T * ((uint64_t)T + HM_SCORE_PADDING) * sizeof(float);
}
