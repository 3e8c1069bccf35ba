/* The state of utterances and the buffers they share: sizes, checks, memory. */
#include <stdlib.h>
#include <string.h>

#include "engine/models/qwen3_tts_impl.h"
#include "engine/sampling.h"

/* --- shared buffers --- */

static int most(int a, int b)
{
    return a > b ? a : b;
}

static bool keeps_prefix(const hm_ctx *c)
{
    return hm_t(c)->prefix == HM_PREFIX_REUSED;
}

/* Rows whose full vocabulary heads are computed at once. */
static size_t head_rows(const hm_ctx *c, const hm_talker_work *w)
{
    return (size_t)(hm_t(c)->rows == HM_ROWS_ALL ? most(w->rows, w->batch) : w->batch);
}

/* Floats that keep the hidden states of a pass: of all layers of the talker, or of the predictor. */
static size_t hidden_floats(const hm_talker_work *w)
{
    size_t rows = (size_t)most(w->rows, w->batch);
    size_t talker = (size_t)w->talker.layers * rows * (size_t)w->talker.dim;
    size_t predictor = (size_t)w->predictor.layers * 2 * HM_PREDICTOR_BATCH * (size_t)w->predictor.dim;
    return talker > predictor ? talker : predictor;
}

static int predictor_batch(const hm_talker_work *w)
{
    return w->batch < HM_PREDICTOR_BATCH ? w->batch : HM_PREDICTOR_BATCH;
}

static void layout(const hm_ctx *c, hm_layout *l, hm_talker_work *w, const hm_talker_shape *g)
{
    size_t R = (size_t)most(w->rows, w->batch), H = (size_t)g->talker.width, Hc = (size_t)g->predictor.width, Ht = (size_t)g->text_width;
    size_t V = (size_t)g->code_vocab, Vc = (size_t)g->codebook, G = (size_t)g->groups;
    size_t P = 2 * HM_PREDICTOR_BATCH;
    w->x = hm_take_f32(l, R * H);
    w->y = hm_take_f32(l, R * H);
    w->t = hm_take_f32(l, R * H);
    w->row_logits = hm_take_f32(l, head_rows(c, w) * V);
    w->hidden = hm_t(c)->step_reset == HM_STEP_REBUILT ? hm_take_f32(l, hidden_floats(w)) : NULL;
    w->text_in = hm_take_f32(l, HM_TEXT_CHUNK * Ht);
    w->text_mid = hm_take_f32(l, HM_TEXT_CHUNK * Ht);
    w->text_cache = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE ? hm_take_f32(l, HM_TEXT_CACHE * H) : NULL;
    w->pass_in = hm_take_f32(l, P * H);
    w->pass_x = hm_take_f32(l, P * Hc);
    w->pass_y = hm_take_f32(l, P * Hc);
    w->pass_logits = hm_take_f32(l, (G - 1) * HM_PREDICTOR_BATCH * Vc);
    w->pair_logits = hm_take_f32(l, P * Vc);
    w->processed = hm_take_f32(l, V);
    w->mask = hm_take_f32(l, V);
    w->ids = hm_take(l, (size_t)w->id_room * sizeof(int32_t));
    hm_transformer_layout(c, l, &w->talker_scratch, &w->talker, (int)R, w->batch, w->positions);
    hm_transformer_layout(c, l, &w->predictor_scratch, &w->predictor, (int)P, HM_PREDICTOR_BATCH, (int)G);
}

/* The sizes that everything else follows from. */
static void size_work(hm_talker_work *w, const hm_talker_shape *g, int batch, int rows, int positions)
{
    w->batch = batch;
    w->rows = rows;
    w->positions = positions;
    w->talker = hm_talker_stack(g, positions);
    w->predictor = hm_predictor_stack(g);
    w->id_room = most(most(rows * (int)g->groups, positions), HM_TEXT_CHUNK);
}

static uint64_t host_work_bytes(const hm_ctx *c, const hm_talker_work *w, const hm_talker_shape *g)
{
    uint64_t V = (uint64_t)g->code_vocab, kept = (uint64_t)w->rows * (sizeof(hm_row_source) + (uint64_t)g->groups * sizeof(int32_t));
    return ((uint64_t)w->id_room + (uint64_t)g->text_vocab + 3 * V + hm_sample_scratch_floats((int)V) + (V + 31) / 32) * 4 +
           (keeps_prefix(c) ? kept + (uint64_t)g->talker.width * 4 : 0);
}

static hm_status host_work(const hm_ctx *c, hm_talker_work *w, const hm_talker_shape *g, hm_error *err)
{
    size_t V = (size_t)g->code_vocab, rows = (size_t)w->rows;
    w->host_ids = hm_calloc((size_t)w->id_room, sizeof(int32_t), "ids", err);
    w->text_slot = hm_calloc((size_t)g->text_vocab, sizeof(int32_t), "text rows", err);
    w->host_logits = hm_calloc(V, sizeof(float), "logits", err);
    w->host_masked = hm_calloc(V, sizeof(float), "logits", err);
    w->host_mask = hm_calloc(V, sizeof(float), "masks", err);
    w->host_scratch = hm_calloc(hm_sample_scratch_floats((int)V), sizeof(float), "sampling", err);
    w->host_seen = hm_calloc((V + 31) / 32, sizeof(uint32_t), "codes", err);
    bool made = w->host_ids && w->text_slot && w->host_logits && w->host_masked && w->host_mask && w->host_scratch && w->host_seen;
    if (made && keeps_prefix(c)) {
        w->prefix_rows = hm_calloc(rows, sizeof *w->prefix_rows, "prompts", err);
        w->prefix_speaker = hm_calloc((size_t)g->talker.width, sizeof(float), "prompts", err);
        w->prefix_codes = hm_calloc(rows * (size_t)g->groups, sizeof(int32_t), "prompts", err);
        made = w->prefix_rows && w->prefix_speaker && w->prefix_codes;
    }
    return made ? HM_OK : HM_EABSENT;
}

static hm_status work_memory(hm_ctx *c, hm_talker_work *w, hm_error *err)
{
    const hm_talker *m = w->m;
    hm_layout measure = {0};
    bool zero = hm_t(c)->attn == HM_ATTN_ALL_SLOTS;
    layout(c, &measure, w, &m->shape);
    w->scratch_bytes = measure.used;
    w->memory = c->ops.alloc(&c->ops, measure.used);
    if (!w->memory)
        return hm_fail(err, HM_EABSENT, "speech: no memory for %zu bytes of scratch", measure.used);
    layout(c, &(hm_layout){.base = w->memory}, w, &m->shape);
    hm_status st = hm_kv_open(c, &w->predictor_kv, &w->predictor, predictor_batch(w), (int)m->shape.groups, zero, err);
    if (!st && keeps_prefix(c))
        st = hm_kv_open(c, &w->prefix_kv, &w->talker, 1, w->rows, false, err);
    return st ? st : host_work(c, w, &m->shape, err);
}

hm_status hm_talker_work_open(hm_ctx *c, hm_talker_work **out, const hm_talker *m, int batch, int rows, int positions, hm_error *err)
{
    if (batch < 1 || batch > HM_TALKER_BATCH)
        return hm_fail(err, HM_EUSAGE, "batch: expected 1 to %d utterances at once, found %d", HM_TALKER_BATCH, batch);
    if (rows < 1 || rows > positions || positions > m->shape.talker.positions)
        return hm_fail(err, HM_EUSAGE,
                       "prompt of %d rows, %d positions in all: expected at most %lld positions; shorten the text or the speech", rows,
                       positions, (long long)m->shape.talker.positions);
    hm_talker_work *w = hm_calloc(1, sizeof *w, "speech", err);
    if (!w)
        return HM_EABSENT;
    w->m = m;
    size_work(w, &m->shape, batch, rows, positions);
    hm_status st = work_memory(c, w, err);
    if (!st) {
        hm_transformer_prepare(c, &m->talker, &w->talker_scratch);
        hm_transformer_prepare(c, &m->predictor, &w->predictor_scratch);
        st = hm_talker_status(c, err);
    }
    if (st) {
        hm_talker_work_close(c, &w);
        return st;
    }
    *out = w;
    return HM_OK;
}

void hm_talker_work_close(hm_ctx *c, hm_talker_work **work)
{
    hm_talker_work *w = *work;
    if (!w)
        return;
    hm_kv_close(c, &w->predictor_kv);
    hm_kv_close(c, &w->prefix_kv);
    if (w->memory)
        c->ops.free(&c->ops, w->memory);
    free(w->host_ids);
    free(w->text_slot);
    free(w->host_logits);
    free(w->host_masked);
    free(w->host_mask);
    free(w->host_scratch);
    free(w->host_seen);
    free(w->prefix_rows);
    free(w->prefix_speaker);
    free(w->prefix_codes);
    free(w);
    *work = NULL;
}

uint64_t hm_talker_work_bytes(const hm_talker_work *w)
{
    return w->scratch_bytes + w->predictor_kv.peak_bytes + w->prefix_kv.peak_bytes;
}

/* --- one utterance --- */

static void utterance_layout(const hm_ctx *c, hm_layout *l, hm_utterance *u, const hm_talker_shape *g, const hm_talker_request *r)
{
    size_t H = (size_t)g->talker.width, V = (size_t)g->code_vocab, codes = ((size_t)r->max_frames + 1) * (size_t)g->groups;
    u->z = hm_take_f32(l, H);
    u->logits = hm_take_f32(l, V);
    u->trailing_text = hm_take_f32(l, (size_t)u->trailing * H);
    u->special = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE ? NULL : hm_take_f32(l, 3 * H);
    u->picked = hm_take_f32(l, codes);
    u->codes = hm_take(l, codes * sizeof(int32_t));
    u->fed = r->stored ? hm_take(l, codes * sizeof(int32_t)) : u->codes;
    u->seen = hm_take(l, (V + 31) / 32 * sizeof(uint32_t));
}

static uint64_t host_utterance_bytes(const hm_talker_shape *g, const hm_talker_request *r, int rows)
{
    uint64_t codes = ((uint64_t)r->max_frames + 1) * (uint64_t)g->groups;
    return 3 * codes * 4 + (uint64_t)rows * sizeof(hm_row_source) + ((uint64_t)g->code_vocab + 31) / 32 * 4 + sizeof(hm_utterance);
}

void hm_talker_estimate(const hm_ctx *c, const hm_talker_shape *g, const hm_talker_request *r, int batch, int known_rows,
                        uint64_t *kv_bytes, uint64_t *scratch_bytes)
{
    hm_utterance u = {0};
    hm_talker_work w = {0};
    hm_layout shared = {0}, own = {0};
    int planned = hm_talker_plan(g, r, NULL, &u.trailing), rows = known_rows ? known_rows : planned, slots = rows + r->max_frames;
    size_work(&w, g, batch, rows, slots);
    layout(c, &shared, &w, g);
    utterance_layout(c, &own, &u, g, r);
    int held = slots - (hm_t(c)->kv == HM_KV_CONCAT); /* what grows has no slot for the last frame */
    *kv_bytes = (uint64_t)batch * hm_kv_bytes(c, &w.talker, 1, held);
    *scratch_bytes = hm_kv_bytes(c, &w.predictor, predictor_batch(&w), (int)g->groups);
    if (keeps_prefix(c))
        *scratch_bytes += hm_kv_bytes(c, &w.talker, 1, rows);
    *scratch_bytes +=
        shared.used + host_work_bytes(c, &w, g) + (uint64_t)batch * (own.used + host_utterance_bytes(g, r, rows + u.trailing));
    if (hm_t(c)->kv == HM_KV_CONCAT) /* one layer is there twice while it grows */
        *scratch_bytes += hm_kv_bytes(c, &w.talker, 1, slots) / (uint64_t)w.talker.layers;
    if (hm_t(c)->attn != HM_ATTN_FLASH) { /* scores in memory while the prompt runs */
        int seen = hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? slots : rows;
        *scratch_bytes += (uint64_t)rows * (uint64_t)w.talker.heads * (uint64_t)(seen + HM_SCORE_PADDING) * sizeof(float);
    }
}

static hm_status check_ids(const int32_t *ids, int64_t n, int64_t limit, const char *what, hm_error *err)
{
    for (int64_t i = 0; ids && i < n; i++)
        if (ids[i] < 0 || ids[i] >= limit)
            return hm_fail(err, HM_EUSAGE, "%s %lld: expected 0 to %lld, found %d", what, (long long)i, (long long)limit - 1, (int)ids[i]);
    return HM_OK;
}

/* Frames of codes: group 0 may have any row of the codec embedding, the others those of a codebook. */
static hm_status check_frames(const hm_talker_shape *g, const int32_t *codes, int frames, const char *what, hm_error *err)
{
    for (int64_t i = 0; codes && i < (int64_t)frames * g->groups; i++) {
        int64_t limit = i % g->groups ? g->codebook : g->code_vocab;
        if (codes[i] < 0 || codes[i] >= limit)
            return hm_fail(err, HM_EUSAGE, "%s of frame %lld, group %lld: expected 0 to %lld, found %d", what, (long long)(i / g->groups),
                           (long long)(i % g->groups), (long long)limit - 1, (int)codes[i]);
    }
    return HM_OK;
}

static hm_status check_draw(const hm_talker_draw *d, const char *what, hm_error *err)
{
    if (!d->greedy && !(d->temperature > 0))
        return hm_fail(err, HM_EUSAGE, "%s temperature: expected above 0, found %g", what, (double)d->temperature);
    return HM_OK;
}

static hm_status check_request(const hm_talker_shape *g, const hm_talker_request *r, hm_error *err)
{
    if (!hm_talker_prompt_rows(g, r))
        return hm_fail(err, HM_EUSAGE, "text: no tokens between its template; expected at least one word");
    if (r->max_frames < 1)
        return hm_fail(err, HM_EUSAGE, "frames: expected at least 1, found %d", r->max_frames);
    if (!r->reference_ids != !r->reference_codes || (r->reference_ids && (r->reference_count < 5 || r->reference_frames < 1)))
        return hm_fail(err, HM_EUSAGE, "reference: expected its text and its codes together, found %d tokens and %d frames",
                       r->reference_count, r->reference_frames);
    if (!(r->repetition_penalty > 0))
        return hm_fail(err, HM_EUSAGE, "repetition penalty: expected above 0 (1: off), found %g", (double)r->repetition_penalty);
    if (r->speaker >= g->code_vocab || r->language >= g->code_vocab)
        return hm_fail(err, HM_EUSAGE, "speaker %d, language %d: expected rows of the codec embedding, below %lld", r->speaker, r->language,
                       (long long)g->code_vocab);
    hm_status st = check_ids(r->text_ids, r->text_count, g->text_vocab, "text token", err);
    if (!st)
        st = check_ids(r->instruct_ids, r->instruct_count, g->text_vocab, "instruction token", err);
    if (!st)
        st = check_ids(r->reference_ids, r->reference_count, g->text_vocab, "reference token", err);
    if (!st)
        st = check_frames(g, r->reference_codes, r->reference_frames, "reference code", err);
    if (!st)
        st = check_frames(g, r->stored, r->max_frames, "stored code", err);
    if (!st)
        st = check_draw(&r->draw, "draw", err);
    return st ? st : check_draw(&r->sub_draw, "sub-talker", err);
}

static hm_status host_utterance(hm_utterance *u, const hm_talker_shape *g, hm_error *err)
{
    size_t codes = ((size_t)u->request.max_frames + 1) * (size_t)g->groups;
    u->rows = hm_calloc((size_t)(u->prompt_rows + u->trailing), sizeof *u->rows, "prompt", err);
    u->host_codes = hm_calloc(codes, sizeof(int32_t), "codes", err);
    u->host_fed = hm_calloc(codes, sizeof(int32_t), "codes", err);
    u->host_picked = hm_calloc(codes, sizeof(float), "logits", err);
    u->host_seen = hm_calloc(((size_t)g->code_vocab + 31) / 32, sizeof(uint32_t), "codes", err);
    return u->rows && u->host_codes && u->host_fed && u->host_picked && u->host_seen ? HM_OK : HM_EABSENT;
}

static hm_status utterance_memory(hm_ctx *c, hm_utterance *u, hm_error *err)
{
    const hm_talker_work *w = u->work;
    const hm_talker_shape *g = &w->m->shape;
    hm_layout measure = {0};
    utterance_layout(c, &measure, u, g, &u->request);
    u->memory = c->ops.alloc(&c->ops, measure.used);
    if (!u->memory)
        return hm_fail(err, HM_EABSENT, "utterance: no memory for %zu bytes of scratch", measure.used);
    utterance_layout(c, &(hm_layout){.base = u->memory}, u, g, &u->request);
    hm_status st = hm_kv_open(c, &u->kv, &w->talker, 1, u->prompt_rows + u->request.max_frames, hm_t(c)->attn == HM_ATTN_ALL_SLOTS, err);
    return st ? st : host_utterance(u, g, err);
}

/* What does not change goes to the device once. Logits that no head fills are dead, but read. */
static void upload_constants(hm_ctx *c, hm_utterance *u)
{
    const hm_ops *op = &c->ops;
    const hm_talker_shape *g = &u->m->shape;
    const hm_talker_request *r = &u->request;
    size_t V = (size_t)g->code_vocab, codes = (size_t)r->max_frames * (size_t)g->groups;
    op->fill(op, u->logits, 0.0f, V);
    if (hm_t(c)->penalty == HM_PENALTY_BITMAP)
        op->fill(op, (float *)u->seen, 0.0f, (V + 31) / 32); /* no bit set */
    if (r->stored) {
        op->upload(op, u->fed, r->stored, codes * sizeof(int32_t));
        memcpy(u->host_fed, r->stored, codes * sizeof(int32_t));
    }
}

hm_status hm_utterance_begin(hm_ctx *c, hm_utterance **out, hm_talker_work *w, const hm_talker_request *r, hm_error *err)
{
    const hm_talker_shape *g = &w->m->shape;
    hm_status st = check_request(g, r, err);
    if (st)
        return st;
    int trailing, rows = hm_talker_plan(g, r, NULL, &trailing);
    if (rows > w->rows || r->max_frames > w->positions - rows)
        return hm_fail(
            err, HM_EUSAGE,
            "prompt of %d rows and %d frames: expected at most %d rows and %d positions together; shorten the text or the speech", rows,
            r->max_frames, w->rows, w->positions);
    hm_utterance *u = hm_calloc(1, sizeof *u, "utterance", err);
    if (!u)
        return HM_EABSENT;
    *u = (hm_utterance){.m = w->m, .work = w, .request = *r, .prompt_rows = rows, .trailing = trailing};
    st = utterance_memory(c, u, err);
    if (!st) {
        hm_talker_plan(g, r, u->rows, &trailing);
        upload_constants(c, u);
        st = hm_talker_status(c, err);
    }
    if (st) {
        hm_utterance_end(c, &u);
        return st;
    }
    *out = u;
    return HM_OK;
}

void hm_utterance_end(hm_ctx *c, hm_utterance **utterance)
{
    hm_utterance *u = *utterance;
    if (!u)
        return;
    hm_kv_close(c, &u->kv);
    if (u->memory)
        c->ops.free(&c->ops, u->memory);
    free(u->rows);
    free(u->host_codes);
    free(u->host_fed);
    free(u->host_picked);
    free(u->host_seen);
    free(u);
    *utterance = NULL;
}

uint64_t hm_utterance_kv_bytes(const hm_utterance *u)
{
    return u->kv.peak_bytes;
}

int hm_utterance_frames(const hm_utterance *u)
{
    return u->frames;
}

const int32_t *hm_utterance_codes(const hm_utterance *u)
{
    return u->fed;
}

int hm_utterance_prompt_rows(const hm_utterance *u)
{
    return u->prompt_rows;
}
