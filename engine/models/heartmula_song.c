/* The state of one song: sizes, caches, buffers. */
#include <stdlib.h>

#include "engine/models/heartmula.h"
#include "engine/sampling.h"

/* Slots of the backbone's caches: what the song needs, or all positions when all are attended over. */
static int backbone_slots(const hm_ctx *c, const hm_mula_config *g, const hm_mula_request *r)
{
    return hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? g->backbone.max_positions : r->n + r->max_frames;
}

static int song_rows(const hm_mula_request *r)
{
    return r->cfg_scale > 1.0 ? 2 : 1;
}

static void layout(const hm_ctx *c, hm_layout *l, hm_mula_song *s, const hm_mula_config *g, const hm_mula_request *r)
{
    size_t rows = (size_t)song_rows(r), n = (size_t)r->n, K = (size_t)g->codebooks, V = (size_t)g->code_vocabulary, F = (size_t)r->max_frames;
    size_t Db = (size_t)g->backbone.dim, Dd = (size_t)g->decoder.dim, all = hm_t(c)->rows == HM_ROWS_ALL;
    int pass_rows = hm_t(c)->cfg == HM_CFG_BATCHED ? (int)rows : 1;
    size_t wide = all ? n * K : n > K ? n : K;
    s->h = hm_take_f32(l, rows * n * Db);
    s->y = hm_take_f32(l, (rows * n > wide ? rows * n : wide) * Db);
    s->last = hm_take_f32(l, rows * Db);
    s->columns = hm_take_f32(l, (all ? rows * n * (K + 1) : K) * Db);
    s->column_mask = hm_take_f32(l, rows * n * (K + 1) + K);
    s->dec_in = hm_take_f32(l, (rows * 2 + 1) * Db);
    s->dec_x = hm_take_f32(l, (rows * 2 + 1) * Dd);
    s->dec_y = hm_take_f32(l, (rows * 2 + 1) * Dd);
    s->logits = hm_take_f32(l, rows * V);
    s->row_logits = hm_take_f32(l, (all ? (rows * n > 2 * rows ? rows * n : 2 * rows) : 1) * V);
    s->guided = hm_take_f32(l, V);
    s->picked = hm_take_f32(l, F * K);
    s->muq_in = hm_take_f32(l, (size_t)g->muq_dim);
    s->ids = hm_take(l, (n * K + n + K + 1) * sizeof(int32_t));
    s->offsets = hm_take(l, K * sizeof(int32_t));
    s->zeros = hm_take(l, n * sizeof(int32_t));
    s->codes = hm_take(l, F * K * sizeof(int32_t));
    s->stored = hm_take(l, F * K * sizeof(int32_t));
    s->flag = hm_take(l, sizeof(int32_t));
    hm_transformer_layout(c, l, &s->backbone_scratch, &g->backbone, pass_rows * r->n, pass_rows, r->n + r->max_frames);
    hm_transformer_layout(c, l, &s->decoder_scratch, &g->decoder, pass_rows * 2, pass_rows, g->codebooks + 1);
}

/* What host_buffers takes, and the codes and logits of the result. */
static uint64_t host_bytes(const hm_mula_config *g, const hm_mula_request *r)
{
    uint64_t n = (uint64_t)r->n, K = (uint64_t)g->codebooks, F = (uint64_t)r->max_frames, V = (uint64_t)g->code_vocabulary;
    uint64_t masks = (uint64_t)song_rows(r) * n * (K + 1), ids = n * K + n + K;
    return (5 * F * K + V + masks + ids + hm_sample_scratch_floats((int)V)) * sizeof(float);
}

void hm_mula_estimate(const hm_ctx *c, const hm_mula_config *g, const hm_mula_request *r, uint64_t *kv_bytes, uint64_t *scratch_bytes)
{
    hm_mula_song song = {0};
    hm_layout l = {0};
    layout(c, &l, &song, g, r);
    *scratch_bytes = l.used;
    *kv_bytes = hm_kv_bytes(c, &g->backbone, song_rows(r), backbone_slots(c, g, r)) + hm_kv_bytes(c, &g->decoder, song_rows(r), g->codebooks);
    *scratch_bytes += host_bytes(g, r);
    if (hm_t(c)->kv == HM_KV_CONCAT) /* one layer is there twice while it grows */
        *scratch_bytes += hm_kv_bytes(c, &g->backbone, 1, backbone_slots(c, g, r)) / (uint64_t)g->backbone.layers;
    if (hm_t(c)->attn != HM_ATTN_FLASH) { /* scores in memory while the prompt runs */
        int slots = hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? g->backbone.max_positions : r->n;
        uint64_t rows = (uint64_t)(hm_t(c)->cfg == HM_CFG_BATCHED ? song_rows(r) : 1) * (uint64_t)r->n;
        *scratch_bytes += rows * (uint64_t)g->backbone.heads * (uint64_t)(slots + HM_SCORE_PADDING) * sizeof(float);
    }
}

static hm_status open_caches(hm_ctx *c, hm_mula_song *s, const hm_mula_config *g, hm_error *err)
{
    bool zero = hm_t(c)->attn == HM_ATTN_ALL_SLOTS;
    hm_status st = HM_OK;
    for (int p = 0; p < s->passes && !st; p++) {
        st = hm_kv_open(c, &s->backbone_kv[p], &g->backbone, s->pass_rows, backbone_slots(c, g, &s->request), zero, err);
        if (!st)
            st = hm_kv_open(c, &s->decoder_kv[p], &g->decoder, s->pass_rows, g->codebooks, zero, err);
    }
    return st;
}

static hm_status host_buffers(hm_mula_song *s, const hm_mula_config *g, hm_error *err)
{
    size_t n = (size_t)s->request.n, K = (size_t)g->codebooks, F = (size_t)s->request.max_frames, V = (size_t)g->code_vocabulary;
    s->host_codes = hm_calloc(F * K, sizeof(int32_t), "codes", err);
    s->host_fed = hm_calloc(F * K, sizeof(int32_t), "codes", err);
    s->host_picked = hm_calloc(F * K, sizeof(float), "logits", err);
    s->host_logits = hm_calloc(V, sizeof(float), "logits", err);
    s->host_floats = hm_calloc((size_t)s->rows * n * (K + 1), sizeof(float), "masks", err);
    s->host_ids = hm_calloc(n * K + n + K, sizeof(int32_t), "ids", err);
    s->host_scratch = hm_calloc(hm_sample_scratch_floats((int)V), sizeof(float), "sampling", err);
    return s->host_codes && s->host_fed && s->host_picked && s->host_logits && s->host_floats && s->host_ids && s->host_scratch ? HM_OK
                                                                                                                                : HM_EABSENT;
}

/* What does not change during the song goes to the device once. */
static void upload_constants(hm_ctx *c, hm_mula_song *s, const hm_mula_config *g)
{
    const hm_ops *op = &c->ops;
    const hm_mula_request *r = &s->request;
    size_t FK = (size_t)r->max_frames * (size_t)g->codebooks;
    for (int k = 0; k < g->codebooks; k++)
        s->host_ids[k] = k * g->code_vocabulary;
    op->upload(op, s->offsets, s->host_ids, (size_t)g->codebooks * sizeof(int32_t));
    for (int i = 0; i < r->n; i++)
        s->host_ids[i] = 0;
    op->upload(op, s->zeros, s->host_ids, (size_t)r->n * sizeof(int32_t));
    if (r->stored)
        op->upload(op, s->stored, r->stored, FK * sizeof(int32_t));
    else
        s->stored = NULL;
    if (r->muq)
        op->upload(op, s->muq_in, r->muq, (size_t)g->muq_dim * sizeof(float));
    else
        op->fill(op, s->muq_in, 0.0f, (size_t)g->muq_dim);
}

hm_status hm_mula_begin(hm_ctx *c, hm_mula_song *s, const hm_mula *m, const hm_mula_request *r, hm_error *err)
{
    const hm_mula_config *g = &m->config;
    hm_layout measure = {0};
    *s = (hm_mula_song){.m = m, .request = *r, .rows = song_rows(r)};
    s->pass_rows = hm_t(c)->cfg == HM_CFG_BATCHED ? s->rows : 1;
    s->passes = s->rows / s->pass_rows;
    if (r->n + r->max_frames > g->backbone.max_positions)
        return hm_fail(err, HM_EUSAGE, "prompt of %d tokens and %d frames: expected at most %d positions together; shorten the lyrics or the song",
                       r->n, r->max_frames, g->backbone.max_positions);
    layout(c, &measure, s, g, r);
    s->scratch_bytes = measure.used;
    s->memory = c->ops.alloc(&c->ops, measure.used);
    hm_status st = s->memory ? host_buffers(s, g, err) : hm_fail(err, HM_EABSENT, "song: no memory for %zu bytes of scratch", measure.used);
    if (!st)
        st = open_caches(c, s, g, err);
    if (st) {
        hm_mula_end(c, s);
        return st;
    }
    layout(c, &(hm_layout){.base = s->memory}, s, g, r);
    upload_constants(c, s, g);
    hm_transformer_prepare(c, &m->backbone, &s->backbone_scratch);
    hm_transformer_prepare(c, &m->decoder, &s->decoder_scratch);
    return hm_ops_status(&c->ops);
}

void hm_mula_end(hm_ctx *c, hm_mula_song *s)
{
    for (int p = 0; p < 2; p++) {
        hm_kv_close(c, &s->backbone_kv[p]);
        hm_kv_close(c, &s->decoder_kv[p]);
    }
    if (s->memory)
        c->ops.free(&c->ops, s->memory);
    free(s->host_codes);
    free(s->host_fed);
    free(s->host_picked);
    free(s->host_logits);
    free(s->host_floats);
    free(s->host_ids);
    free(s->host_scratch);
    *s = (hm_mula_song){0};
}
