/* The state of songs and the buffers they share: sizes, caches, memory. */
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

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* The first failure of an operation, if any, as the caller's error. */
static hm_status status(hm_ctx *c, hm_error *err)
{
    hm_status st = hm_ops_status(&c->ops);
    if (st && err)
        *err = *c->ops.error;
    return st;
}

/* --- shared buffers --- */

/* Batch rows that several songs have in one product, `each` of one song. */
static size_t few_rows(const hm_mula_work *w, int each)
{
    size_t rows = (size_t)(w->batch * each);
    return rows < HM_FEW_ROWS || w->batch == 1 ? rows : HM_FEW_ROWS;
}

static void work_layout(const hm_ctx *c, hm_layout *l, hm_mula_work *w, const hm_mula_config *g)
{
    size_t rows = (size_t)w->rows, n = (size_t)w->prompt, K = (size_t)g->codebooks, V = (size_t)g->code_vocabulary;
    size_t Db = (size_t)g->backbone.dim, Dd = (size_t)g->decoder.dim, all = hm_t(c)->rows == HM_ROWS_ALL;
    int pass_rows = hm_t(c)->cfg == HM_CFG_BATCHED ? w->rows : 1;
    size_t side_by_side = few_rows(w, w->rows), pairs = few_rows(w, 2 * w->rows) + 1;
    size_t R = most(rows * n, side_by_side), wide = all ? n * K : most(n, K);
    w->h = hm_take_f32(l, R * Db);
    w->x = w->batch > 1 && pass_rows < w->rows ? hm_take_f32(l, side_by_side * Db) : NULL;
    w->y = hm_take_f32(l, most(R, wide) * Db);
    w->columns = hm_take_f32(l, (all ? rows * n * (K + 1) : K) * Db);
    w->column_mask = hm_take_f32(l, rows * n * (K + 1) + K);
    w->dec_in = hm_take_f32(l, pairs * Db);
    w->dec_x = hm_take_f32(l, pairs * Dd);
    w->dec_y = hm_take_f32(l, pairs * Dd);
    w->logits = hm_take_f32(l, side_by_side * V);
    w->row_logits = hm_take_f32(l, (all ? most(R, pairs) : w->batch > 1 ? side_by_side : 1) * V);
    w->guided = hm_take_f32(l, V);
    w->muq_in = hm_take_f32(l, (size_t)g->muq_dim);
    w->ids = hm_take(l, (n * K + n + K + 1) * sizeof(int32_t));
    w->offsets = hm_take(l, K * sizeof(int32_t));
    w->zeros = hm_take(l, n * sizeof(int32_t));
    w->flag = hm_take(l, sizeof(int32_t));
    hm_transformer_layout(c, l, &w->backbone_scratch, &g->backbone, (int)most((size_t)pass_rows * n, few_rows(w, pass_rows)), pass_rows,
                          w->positions);
    hm_transformer_layout(c, l, &w->decoder_scratch, &g->decoder, (int)few_rows(w, pass_rows * 2), (int)few_rows(w, pass_rows),
                          g->codebooks + 1);
}

static size_t host_id_room(const hm_mula_work *w, const hm_mula_config *g)
{
    size_t n = (size_t)w->prompt, K = (size_t)g->codebooks;
    return n * K + n + K;
}

static uint64_t host_work_bytes(const hm_mula_work *w, const hm_mula_config *g)
{
    uint64_t V = (uint64_t)g->code_vocabulary, masks = (uint64_t)w->rows * (uint64_t)w->prompt * ((uint64_t)g->codebooks + 1);
    return (V + masks + host_id_room(w, g) + hm_sample_scratch_floats((int)V)) * sizeof(float);
}

static hm_status host_work(hm_mula_work *w, const hm_mula_config *g, hm_error *err)
{
    size_t n = (size_t)w->prompt, K = (size_t)g->codebooks, V = (size_t)g->code_vocabulary;
    w->host_logits = hm_calloc(V, sizeof(float), "logits", err);
    w->host_floats = hm_calloc((size_t)w->rows * n * (K + 1), sizeof(float), "masks", err);
    w->host_ids = hm_calloc(host_id_room(w, g), sizeof(int32_t), "ids", err);
    w->host_scratch = hm_calloc(hm_sample_scratch_floats((int)V), sizeof(float), "sampling", err);
    return w->host_logits && w->host_floats && w->host_ids && w->host_scratch ? HM_OK : HM_EABSENT;
}

/* What no song changes goes to the device once. */
static void upload_constants(hm_ctx *c, hm_mula_work *w, const hm_mula_config *g)
{
    const hm_ops *op = &c->ops;
    for (int k = 0; k < g->codebooks; k++)
        w->host_ids[k] = k * g->code_vocabulary;
    op->upload(op, w->offsets, w->host_ids, (size_t)g->codebooks * sizeof(int32_t));
    for (int i = 0; i < w->prompt; i++)
        w->host_ids[i] = 0;
    op->upload(op, w->zeros, w->host_ids, (size_t)w->prompt * sizeof(int32_t));
}

hm_status hm_mula_work_open(hm_ctx *c, hm_mula_work *w, const hm_mula *m, int batch, bool guided, int prompt, int positions, hm_error *err)
{
    const hm_mula_config *g = &m->config;
    hm_layout measure = {0};
    *w = (hm_mula_work){.m = m, .batch = batch, .rows = guided ? 2 : 1, .prompt = prompt, .positions = positions};
    if (batch < 1 || batch > HM_MULA_BATCH)
        return hm_fail(err, HM_EUSAGE, "batch: expected 1 to %d songs at a time, found %d", HM_MULA_BATCH, batch);
    if (positions > g->backbone.max_positions)
        return hm_fail(err, HM_EUSAGE,
                       "prompt of %d tokens and %d frames: expected at most %d positions together; shorten the lyrics or the song", prompt,
                       positions - prompt, g->backbone.max_positions);
    work_layout(c, &measure, w, g);
    w->scratch_bytes = measure.used;
    w->memory = c->ops.alloc(&c->ops, measure.used);
    hm_status st = w->memory ? host_work(w, g, err) : hm_fail(err, HM_EABSENT, "song: no memory for %zu bytes of scratch", measure.used);
    if (!st) {
        work_layout(c, &(hm_layout){.base = w->memory}, w, g);
        upload_constants(c, w, g);
        hm_transformer_prepare(c, &m->backbone, &w->backbone_scratch);
        hm_transformer_prepare(c, &m->decoder, &w->decoder_scratch);
        st = status(c, err);
    }
    if (st)
        hm_mula_work_close(c, w);
    return st;
}

void hm_mula_work_close(hm_ctx *c, hm_mula_work *w)
{
    if (w->memory)
        c->ops.free(&c->ops, w->memory);
    free(w->host_logits);
    free(w->host_floats);
    free(w->host_ids);
    free(w->host_scratch);
    *w = (hm_mula_work){0};
}

/* --- one song --- */

static void song_layout(hm_layout *l, hm_mula_song *s, const hm_mula_config *g, const hm_mula_request *r)
{
    size_t rows = (size_t)song_rows(r), V = (size_t)g->code_vocabulary, codes = (size_t)r->max_frames * (size_t)g->codebooks;
    s->last = hm_take_f32(l, rows * (size_t)g->backbone.dim);
    s->logits = hm_take_f32(l, rows * V);
    s->picked = hm_take_f32(l, codes);
    s->codes = hm_take(l, codes * sizeof(int32_t));
    s->stored = r->stored ? hm_take(l, codes * sizeof(int32_t)) : NULL;
    s->ends = hm_take(l, HM_MULA_AHEAD * sizeof(int32_t));
}

/* What host_song takes, and the codes and logits of the result. */
static uint64_t host_song_bytes(const hm_mula_config *g, const hm_mula_request *r)
{
    return 5 * (uint64_t)r->max_frames * (uint64_t)g->codebooks * sizeof(float);
}

static hm_status host_song(hm_mula_song *s, const hm_mula_config *g, hm_error *err)
{
    size_t codes = (size_t)s->request.max_frames * (size_t)g->codebooks;
    s->host_codes = hm_calloc(codes, sizeof(int32_t), "codes", err);
    s->host_fed = hm_calloc(codes, sizeof(int32_t), "codes", err);
    s->host_picked = hm_calloc(codes, sizeof(float), "logits", err);
    return s->host_codes && s->host_fed && s->host_picked ? HM_OK : HM_EABSENT;
}

void hm_mula_estimate(const hm_ctx *c, const hm_mula_config *g, const hm_mula_request *r, int batch, uint64_t *kv_bytes,
                      uint64_t *scratch_bytes)
{
    hm_mula_song song = {0};
    hm_mula_work work = {.batch = batch, .rows = song_rows(r), .prompt = r->n, .positions = r->n + r->max_frames};
    hm_layout shared = {0}, own = {0};
    uint64_t songs = (uint64_t)batch;
    int slots = backbone_slots(c, g, r) - (hm_t(c)->kv == HM_KV_CONCAT); /* what grows has no slot for the last frame */
    work_layout(c, &shared, &work, g);
    song_layout(&own, &song, g, r);
    *scratch_bytes = shared.used + host_work_bytes(&work, g) + songs * (own.used + host_song_bytes(g, r));
    *kv_bytes = songs * (hm_kv_bytes(c, &g->backbone, work.rows, slots) + hm_kv_bytes(c, &g->decoder, work.rows, g->codebooks));
    if (hm_t(c)->kv == HM_KV_CONCAT) /* one layer is there twice while it grows */
        *scratch_bytes += hm_kv_bytes(c, &g->backbone, 1, slots) / (uint64_t)g->backbone.layers;
    if (hm_t(c)->attn != HM_ATTN_FLASH) { /* scores in memory while the prompt runs */
        int seen = hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? g->backbone.max_positions : r->n;
        uint64_t rows = (uint64_t)(hm_t(c)->cfg == HM_CFG_BATCHED ? song_rows(r) : 1) * (uint64_t)r->n;
        *scratch_bytes += rows * (uint64_t)g->backbone.heads * (uint64_t)(seen + HM_SCORE_PADDING) * sizeof(float);
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

hm_status hm_mula_begin(hm_ctx *c, hm_mula_song *s, const hm_mula *m, const hm_mula_request *r, hm_error *err)
{
    const hm_mula_config *g = &m->config;
    hm_layout measure = {0};
    *s = (hm_mula_song){.m = m, .request = *r, .rows = song_rows(r)};
    s->pass_rows = hm_t(c)->cfg == HM_CFG_BATCHED ? s->rows : 1;
    s->passes = s->rows / s->pass_rows;
    song_layout(&measure, s, g, r);
    s->bytes = measure.used;
    s->memory = c->ops.alloc(&c->ops, measure.used);
    hm_status st = s->memory ? host_song(s, g, err) : hm_fail(err, HM_EABSENT, "song: no memory for %zu bytes", measure.used);
    if (!st)
        st = open_caches(c, s, g, err);
    if (!st) {
        song_layout(&(hm_layout){.base = s->memory}, s, g, r);
        if (r->stored)
            c->ops.upload(&c->ops, s->stored, r->stored, (size_t)r->max_frames * (size_t)g->codebooks * sizeof(int32_t));
        st = status(c, err);
    }
    if (st)
        hm_mula_end(c, s);
    return st;
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
    *s = (hm_mula_song){0};
}

uint64_t hm_mula_kv_bytes(const hm_mula_song *s)
{
    uint64_t bytes = 0;
    for (int p = 0; p < s->passes; p++)
        bytes += s->backbone_kv[p].peak_bytes + s->decoder_kv[p].peak_bytes;
    return bytes;
}
