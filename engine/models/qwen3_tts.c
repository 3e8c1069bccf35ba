/* The forward of Qwen3-TTS: talker, code predictor, draws, frames of several utterances. Step numbers are those of qwen3_tts.md. */
#include "engine/models/qwen3_tts_impl.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sampling.h"

/* Codes go from one frame to the next on the device; within a frame they do so as well when they leave it together. */
static bool device_codes(const hm_ctx *c)
{
    return hm_t(c)->token_forward == HM_TOKEN_DEVICE;
}

static bool device_codes_within(const hm_ctx *c)
{
    return device_codes(c) || hm_t(c)->codes == HM_CODES_FRAME;
}

/* Where the code of group g of the frame being made stands in an utterance's codes. */
static size_t code_at(const hm_utterance *u, int g)
{
    return (size_t)u->frames * (size_t)u->m->shape.groups + (size_t)g;
}

/* Stored codes go on instead of the drawn ones, in all frames but the surplus one. */
static bool is_stored(const hm_utterance *u)
{
    return u->request.stored && u->frames < u->request.max_frames;
}

static const int32_t *fed_at(const hm_utterance *u, int g)
{
    return (is_stored(u) ? u->fed : u->codes) + code_at(u, g);
}

static bool penalised(const hm_utterance *u)
{
    return u->request.repetition_penalty != 1.0f;
}

static bool eos_forbidden(const hm_utterance *u)
{
    return u->request.force_length || u->frames < u->request.min_frames;
}

static int live_codes(const hm_talker_shape *g)
{
    return (int)g->code_vocab - HM_TALKER_SUPPRESSED;
}

/* --- drawing (section 9) --- */

/* All codes of group 0 that went on so far. Returns how many. */
static int gather_history(hm_ctx *c, const hm_utterance *u, int32_t *ids)
{
    for (int f = 0; f < u->frames; f++)
        ids[f] = u->host_fed[(size_t)f * (size_t)u->m->shape.groups];
    c->counters.history_ids += (uint64_t)u->frames;
    return u->frames;
}

/* -inf where the list of suppressed codes has an entry. */
static void build_mask(hm_ctx *c, hm_talker_work *w, const hm_utterance *u)
{
    const hm_talker_shape *g = &u->m->shape;
    for (int j = 0; j < (int)g->code_vocab; j++) {
        bool eos = j == (int)g->codec_eos;
        w->host_mask[j] = (eos ? eos_forbidden(u) : j >= live_codes(g)) ? -INFINITY : 0.0f;
    }
    c->counters.suppress_bytes += (uint64_t)g->code_vocab * sizeof *w->host_mask;
}

/* Penalty and suppression that are operations of their own: raw logits of group 0 -> w->processed; the raw ones where the draw does all. */
static const float *process_logits(hm_ctx *c, hm_talker_work *w, const hm_utterance *u)
{
    const hm_ops *op = &c->ops;
    size_t V = (size_t)u->m->shape.code_vocab;
    bool history = hm_t(c)->penalty == HM_PENALTY_HISTORY && penalised(u) && u->frames, list = hm_t(c)->suppress == HM_SUPPRESS_LIST;
    if (!history && !list)
        return u->logits;
    op->copy(op, w->processed, u->logits, V * sizeof(float));
    if (history) {
        int n = gather_history(c, u, w->host_ids);
        op->upload(op, w->ids, w->host_ids, (size_t)n * sizeof(int32_t));
        op->penalize_ids(op, w->processed, u->logits, w->ids, n, u->request.repetition_penalty);
    }
    if (list) {
        build_mask(c, w, u);
        op->upload(op, w->mask, w->host_mask, V * sizeof(float));
        op->add(op, w->processed, w->mask, V);
    }
    return w->processed;
}

/* One draw on the device. */
static void draw_fused(hm_ctx *c, hm_talker_work *w, hm_utterance *u, int g, const float *logits)
{
    const hm_ops *op = &c->ops;
    const hm_talker_shape *shape = &u->m->shape;
    const hm_talker_request *r = &u->request;
    const hm_talker_draw *d = g ? &r->sub_draw : &r->draw;
    size_t at = code_at(u, g);
    bool marks = !g && hm_t(c)->penalty == HM_PENALTY_BITMAP && penalised(u);
    hm_sample_args a = {.logits = g ? logits : process_logits(c, w, u),
                        .V = (int)(g ? shape->codebook : shape->code_vocab),
                        .topk = d->topk,
                        .temperature = d->temperature,
                        .top_p = d->top_p,
                        .greedy = d->greedy,
                        .forbidden = -1,
                        .seed = r->seed,
                        .frame = (uint32_t)u->frames,
                        .codebook = (uint32_t)g,
                        .passes = hm_t(c)->sampling == HM_SAMPLING_DEVICE,
                        .token = u->codes + at};
    if (!g && hm_t(c)->suppress == HM_SUPPRESS_CONSTANT) {
        a.live = live_codes(shape);
        a.spared = (int)shape->codec_eos;
        a.forbidden = eos_forbidden(u) ? (int)shape->codec_eos : -1;
    }
    if (marks) {
        a.seen = u->seen;
        a.penalty = r->repetition_penalty;
    }
    op->sample(op, &a);
    if (marks)
        op->mark_seen(op, u->seen, fed_at(u, g));
    op->pick(op, u->picked + at, logits, fed_at(u, g));
    if (hm_t(c)->codes == HM_CODES_EACH) { /* to the host as soon as it is made */
        op->download(op, &u->host_codes[at], u->codes + at, sizeof(int32_t));
        u->host_fed[at] = is_stored(u) ? u->host_fed[at] : u->host_codes[at];
    }
}

/* Host: which codes are penalised, as bits. */
static const uint32_t *host_seen(hm_ctx *c, hm_talker_work *w, hm_utterance *u)
{
    if (hm_t(c)->penalty == HM_PENALTY_BITMAP)
        return u->host_seen;
    int n = gather_history(c, u, w->host_ids);
    memset(w->host_seen, 0, ((size_t)u->m->shape.code_vocab + 31) / 32 * sizeof *w->host_seen);
    for (int i = 0; i < n; i++)
        w->host_seen[w->host_ids[i] / 32] |= 1u << w->host_ids[i] % 32;
    return w->host_seen;
}

/* The same draw as separate passes on the host (Q3). */
static void draw_passes(hm_ctx *c, hm_talker_work *w, hm_utterance *u, int g, const float *logits)
{
    const hm_talker_shape *shape = &u->m->shape;
    const hm_talker_request *r = &u->request;
    const hm_talker_draw *d = g ? &r->sub_draw : &r->draw;
    int V = (int)(g ? shape->codebook : shape->code_vocab);
    size_t at = code_at(u, g);
    hm_sample_input in = {.logits = w->host_logits,
                          .V = V,
                          .topk = d->topk,
                          .temperature = d->temperature,
                          .top_p = d->top_p,
                          .greedy = d->greedy,
                          .forbidden = -1,
                          .seed = r->seed,
                          .frame = (uint32_t)u->frames,
                          .codebook = (uint32_t)g};
    c->ops.download(&c->ops, w->host_logits, logits, (size_t)V * sizeof(float));
    if (!g && penalised(u)) {
        in.seen = host_seen(c, w, u);
        in.penalty = r->repetition_penalty;
    }
    if (!g && hm_t(c)->suppress == HM_SUPPRESS_LIST) {
        build_mask(c, w, u);
        for (int j = 0; j < V; j++)
            w->host_masked[j] = w->host_logits[j] + w->host_mask[j];
        in.logits = w->host_masked;
    } else if (!g) {
        in.live = live_codes(shape);
        in.spared = (int)shape->codec_eos;
        in.forbidden = eos_forbidden(u) ? (int)shape->codec_eos : -1;
    }
    int32_t code = hm_sample_reference(&in, NULL, w->host_scratch, &c->counters.sampling_elements);
    int32_t fed = is_stored(u) ? u->host_fed[at] : code;
    u->host_codes[at] = code;
    u->host_fed[at] = fed;
    u->host_picked[at] = w->host_logits[fed];
    if (!g)
        u->host_seen[fed / 32] |= 1u << fed % 32;
}

/* Raw logits of group g to whoever looks; those that cannot be drawn are -infinity, whether they were computed or not. */
static void tell_logits(hm_ctx *c, hm_talker_work *w, const hm_utterance *u, int g, const float *logits)
{
    const hm_logit_sink *sink = u->request.logits;
    const hm_talker_shape *shape = &u->m->shape;
    int V = (int)(g ? shape->codebook : shape->code_vocab), eos = (int)shape->codec_eos;
    hm_counters before = c->counters; /* looking must not count */
    if (!sink || u->frames >= sink->frames || u->frames >= u->request.max_frames)
        return;
    c->ops.download(&c->ops, w->host_logits, logits, (size_t)V * sizeof(float));
    c->counters = before;
    for (int j = live_codes(shape); !g && j < V; j++)
        w->host_logits[j] = j == eos ? w->host_logits[j] : -INFINITY;
    if (!g && eos_forbidden(u))
        w->host_logits[eos] = -INFINITY;
    if (!hm_ops_status(&c->ops))
        sink->row(sink->self, u->frames, g, w->host_logits, V);
}

/* Code g of the frame being made, from its raw logits. */
static void draw(hm_ctx *c, hm_talker_work *w, hm_utterance *u, int g, const float *logits)
{
    hm_part_begin(c, "sampling", -1);
    tell_logits(c, w, u, g, logits);
    if (hm_t(c)->sampling == HM_SAMPLING_PASSES)
        draw_passes(c, w, u, g, logits);
    else
        draw_fused(c, w, u, g, logits);
    if (hm_t(c)->sync == HM_SYNC_STEP)
        c->ops.sync(&c->ops);
    hm_part_end(c, "sampling");
}

/* Whether frames are made before the end of those before them is looked at. */
static bool runs_ahead(const hm_ctx *c, const hm_utterance *u)
{
    bool history = hm_t(c)->penalty == HM_PENALTY_HISTORY && penalised(u);
    return hm_t(c)->sync == HM_SYNC_AHEAD && c->ops.apart && hm_t(c)->codes == HM_CODES_DEFERRED && !history && !u->request.meanwhile;
}

/* Of frames that ran ahead: several are looked at together; codec_eos in one of them is the end, and what comes after it was never made. */
static bool frames_ended(hm_ctx *c, hm_utterance *u)
{
    const hm_ops *op = &c->ops;
    size_t G = (size_t)u->m->shape.groups;
    int first = u->frames - (u->frames % HM_TALKER_AHEAD ? u->frames % HM_TALKER_AHEAD : HM_TALKER_AHEAD);
    size_t at = (size_t)first * G, n = (size_t)(u->frames - first) * G;
    if (u->frames % HM_TALKER_AHEAD && u->frames < u->request.max_frames)
        return false;
    if (u->request.force_length) {
        op->sync(op);
        return false;
    }
    op->download(op, u->host_codes + at, u->codes + at, n * sizeof(int32_t));
    if (hm_ops_status(op))
        return false;
    if (!u->request.stored)
        memcpy(u->host_fed + at, u->host_codes + at, n * sizeof(int32_t));
    for (int f = first; f < u->frames; f++)
        if (u->host_codes[(size_t)f * G] == (int32_t)u->m->shape.codec_eos) {
            u->frames = f;
            return true;
        }
    return false;
}

/* Whether codec_eos was drawn, where that is looked at before the rest of the frame is made; and the code, where the host needs it. */
static bool ends_early(hm_ctx *c, hm_utterance *u)
{
    const hm_ops *op = &c->ops;
    size_t at = code_at(u, 0);
    bool history = hm_t(c)->penalty == HM_PENALTY_HISTORY && penalised(u);
    if (hm_t(c)->codes == HM_CODES_FRAME || runs_ahead(c, u))
        return false;
    if (hm_t(c)->codes == HM_CODES_DEFERRED) {
        if (eos_forbidden(u) && !history)
            return false;
        op->download(op, &u->host_codes[at], u->codes + at, sizeof(int32_t));
        u->host_fed[at] = is_stored(u) ? u->host_fed[at] : u->host_codes[at];
    }
    return u->host_codes[at] == (int32_t)u->m->shape.codec_eos;
}

/* The frame's codes to the host in one piece. Returns whether codec_eos was among them. */
static bool fetch_frame(hm_ctx *c, hm_utterance *u)
{
    size_t at = code_at(u, 0), G = (size_t)u->m->shape.groups;
    c->ops.download(&c->ops, &u->host_codes[at], u->codes + at, G * sizeof(int32_t));
    if (!is_stored(u))
        memcpy(&u->host_fed[at], &u->host_codes[at], G * sizeof(int32_t));
    return u->host_codes[at] == (int32_t)u->m->shape.codec_eos;
}

/* --- the talker (section 6) --- */

/* Raw logits of every utterance from w->y [n][kept][H]. */
static void codec_head(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, int kept)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    int rows = n * kept;
    bool needed = hm_t(c)->rows == HM_ROWS_NEEDED;
    const hm_linear *head = needed ? &m->live_head : &m->codec_head;
    float *to = rows == 1 ? u[0]->logits : w->row_logits;
    op->linear(op, to, w->y, head, rows);
    for (int i = 0; i < n && rows > 1; i++)
        op->copy(op, u[i]->logits, to + ((size_t)(i + 1) * (size_t)kept - 1) * (size_t)head->out, (size_t)head->out * sizeof(float));
    if (needed && m->eos_head.w) { /* the one row behind them that may be drawn */
        size_t eos = (size_t)m->shape.codec_eos;
        to = n == 1 ? u[0]->logits + eos : w->row_logits;
        op->linear(op, to, w->y, &m->eos_head, n);
        for (int i = 0; i < n && n > 1; i++)
            op->copy(op, u[i]->logits + eos, to + i, sizeof(float));
    }
    c->counters.head_rows += (uint64_t)rows;
}

/* What the talker made, of `step` steps after the prompt. Logits are told complete, though some are never computed otherwise. */
static void tap_step(hm_ctx *c, hm_talker_work *w, const hm_utterance *u, int step)
{
    int H = (int)u->m->shape.talker.width, V = (int)u->m->shape.code_vocab;
    const float *logits = u->logits;
    if (!hm_tapping(c))
        return;
    if (hm_t(c)->rows == HM_ROWS_NEEDED) {
        hm_counters before = c->counters; /* looking must not count */
        c->ops.linear(&c->ops, w->processed, u->z, &u->m->codec_head, 1);
        c->counters = before;
        logits = w->processed;
    }
    if (!step)
        hm_tap(c, "talker_final_hidden", u->z, 0, 1, 1, H, false);
    if (step < 2)
        hm_tap(c, step ? "talker_step1_logits" : "talker_prefill_logits", logits, 0, 1, 1, V, false);
    hm_tap(c, "talker_logits", logits, step, 1, 1, V, false);
}

/* S rows x [n*S][H] of every utterance through the talker: z, the last one after the final norm, and raw logits. */
static void talker_forward(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, float *x, int S, bool prompt)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    const char *span = prompt ? "talker_prefill" : "talker_step";
    size_t H = (size_t)m->shape.talker.width;
    hm_kv_cache *kv[HM_TALKER_BATCH];
    hm_transformer_pass pass = {.first_out = prompt ? "talker_layer0_out" : NULL, .hidden = w->hidden};
    hm_part_begin(c, span, -1);
    for (int i = 0; i < n; i++)
        kv[i] = &u[i]->kv;
    int kept = hm_transformer_forward(c, &m->talker, &w->talker_scratch, kv, n, w->y, x, 1, S, &pass);
    for (int i = 0; i < n; i++)
        op->copy(op, u[i]->z, w->y + ((size_t)(i + 1) * (size_t)kept - 1) * H, H * sizeof(float));
    codec_head(c, w, u, n, kept);
    hm_part_end(c, span);
    if (n == 1)
        tap_step(c, w, u[0], prompt ? 0 : u[0]->frames);
}

void hm_utterance_prefill(hm_ctx *c, hm_talker_work *w, hm_utterance *u)
{
    int reused = 0, H = (int)w->m->shape.talker.width;
    hm_utterance_embed(c, w, u);
    if (hm_t(c)->prefix == HM_PREFIX_REUSED) {
        reused = hm_talker_common_rows(w, u);
        hm_kv_take(c, &u->kv, &w->prefix_kv, reused);
    }
    talker_forward(c, w, &u, 1, w->x + (size_t)reused * (size_t)H, u->prompt_rows - reused, true);
    c->counters.prompt_rows += (uint64_t)(u->prompt_rows - reused);
    if (hm_t(c)->prefix == HM_PREFIX_REUSED)
        hm_talker_remember_prompt(c, w, u);
}

/* --- the code predictor (section 8) --- */

/* What the original makes anew in every frame: caches and buffers (Q1). */
static void rebuild_step(hm_ctx *c, hm_talker_work *w)
{
    const hm_ops *op = &c->ops;
    size_t in = 2 * HM_PREDICTOR_BATCH * (size_t)w->m->shape.talker.width, x = 2 * HM_PREDICTOR_BATCH * (size_t)w->m->shape.predictor.width;
    if (w->predictor_kv.memory) {
        op->fill(op, w->predictor_kv.memory, 0.0f, w->predictor_kv.peak_bytes / sizeof(float));
        c->counters.reset_bytes += w->predictor_kv.peak_bytes;
    }
    op->fill(op, w->pass_in, 0.0f, in);
    op->fill(op, w->pass_x, 0.0f, x);
    c->counters.reset_bytes += (in + x) * sizeof(float);
}

/* The predictor's input that leads to group g: w->pass_x [n][S][Hc], S = 2 at g = 1 (z, then c_0), else 1 (c_{g-1}). */
static int predictor_input(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, int g)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    const int H = (int)m->shape.talker.width, Hc = (int)m->shape.predictor.width, S = g == 1 ? 2 : 1;
    const float *folded = m->folded[g - 1];
    bool project = m->projection.w && !folded;
    float *x = project ? w->pass_in : w->pass_x; /* rows as they are looked up, before a projection of their own */
    size_t width = (size_t)(project ? H : Hc);
    for (int i = 0; i < n; i++) {
        float *row = x + (size_t)(i * S) * width;
        if (S == 2 && !folded)
            op->copy(op, row, u[i]->z, (size_t)H * sizeof(float));
        else if (S == 2)
            op->copy(op, w->pass_in + (size_t)i * (size_t)H, u[i]->z, (size_t)H * sizeof(float));
        if (!device_codes_within(c))
            op->upload(op, u[i]->fed + code_at(u[i], g - 1), &u[i]->host_fed[code_at(u[i], g - 1)], sizeof(int32_t));
        row += (size_t)(S - 1) * width;
        if (folded)
            op->gather(op, row, folded, HM_F32, Hc, fed_at(u[i], g - 1), 1);
        else
            op->gather(op, row, m->group_embedding[g - 1], m->group_type, H, fed_at(u[i], g - 1), 1);
    }
    if (project)
        op->linear(op, w->pass_x, w->pass_in, &m->projection, n * S);
    else if (S == 2 && folded) {
        op->linear(op, w->pass_y, w->pass_in, &m->projection, n);
        op->copy_2d(op, w->pass_x, 2 * (int64_t)Hc, w->pass_y, Hc, Hc, n);
    }
    return S;
}

/* lm_head of group g on the rows w->pass_y [n][kept][Hc]: logits [n][Vc]. */
static void group_head(hm_ctx *c, hm_talker_work *w, float *logits, int n, int kept, int g)
{
    const hm_ops *op = &c->ops;
    const hm_linear *head = &w->m->group_head[g];
    int Vc = head->out;
    if (kept > 1) { /* on both rows, then the last one taken */
        op->linear(op, w->pair_logits, w->pass_y, head, n * kept);
        op->copy_2d(op, logits, Vc, w->pair_logits + (size_t)(kept - 1) * (size_t)Vc, (int64_t)kept * Vc, Vc, n);
    } else
        op->linear(op, logits, w->pass_y, head, n);
    c->counters.head_rows += (uint64_t)(n * kept);
}

/* Groups 1 .. G-1 of n <= HM_PREDICTOR_BATCH utterances: so few that their two-row pass is one of few rows. */
static void predict_groups(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, bool alone)
{
    const hm_talker *m = w->m;
    const int Hc = (int)m->shape.predictor.width, Vc = (int)m->shape.codebook, G = (int)m->shape.groups;
    hm_kv_cache *kv = &w->predictor_kv;
    bool first = alone && !u[0]->frames;
    hm_kv_reset(c, kv);
    if (!kv->memory)
        kv->batch = n; /* concatenated caches are made for those that are there */
    if (hm_t(c)->step_reset == HM_STEP_REBUILT)
        rebuild_step(c, w);
    for (int g = 1; g < G && !hm_ops_status(&c->ops); g++) {
        float *logits = w->pass_logits + (size_t)(g - 1) * (size_t)n * (size_t)Vc;
        hm_transformer_pass pass = {.first_out = first && g == 1 ? "cp_layer0_out_prefill_frame0" : NULL, .hidden = w->hidden};
        hm_part_begin(c, "code_predictor", g);
        int S = predictor_input(c, w, u, n, g);
        if (first && g == 1)
            hm_tap(c, "cp_input_frame0", w->pass_x, 0, S, 1, Hc, false);
        int kept = hm_transformer_forward(c, &m->predictor, &w->predictor_scratch, &kv, 1, w->pass_y, w->pass_x, n, S, &pass);
        group_head(c, w, logits, n, kept, g);
        hm_part_end(c, "code_predictor");
        for (int i = 0; i < n; i++)
            draw(c, w, u[i], g, logits + (size_t)i * (size_t)Vc);
    }
    if (first)
        hm_tap(c, "cp_logits_frame0", w->pass_logits, 0, G - 1, 1, Vc, false);
    if (alone)
        hm_tap(c, "cp_logits", w->pass_logits, u[0]->frames, 1, G - 1, Vc, false);
}

/* --- frames (section 7) --- */

/* The next step's input: the frame's code embeddings in order of their groups, then its row of text. */
static void embed_frame(hm_ctx *c, hm_talker_work *w, hm_utterance *u, float *x)
{
    const hm_ops *op = &c->ops;
    const hm_talker *m = w->m;
    int H = (int)m->shape.talker.width, G = (int)m->shape.groups;
    const float *text = u->frames < u->trailing ? u->trailing_text + (size_t)u->frames * (size_t)H : hm_utterance_special(u, HM_ROW_PAD);
    if (hm_t(c)->fuse == HM_FUSE_ALL)
        op->gather_tables(op, x, m->group_embedding, m->group_type, H, fed_at(u, 0), 1, G);
    else
        op->gather(op, x, m->group_embedding[0], m->group_type, H, fed_at(u, 0), 1);
    for (int g = 1; g < G && hm_t(c)->fuse == HM_FUSE_NONE; g++) {
        op->gather(op, w->t, m->group_embedding[g], m->group_type, H, fed_at(u, g), 1);
        op->add(op, x, w->t, (size_t)H);
    }
    op->add(op, x, text, (size_t)H);
}

/* The frames made become part of their utterances; those that go on take a step of the talker. */
static void finish_frames(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, bool alone)
{
    hm_utterance *on[HM_TALKER_BATCH];
    int H = (int)w->m->shape.talker.width, count = 0;
    hm_part_begin(c, "embedding", -1);
    for (int i = 0; i < n; i++) {
        size_t at = code_at(u[i], 0);
        if (!device_codes(c))
            c->ops.upload(&c->ops, u[i]->fed + at, &u[i]->host_fed[at], (size_t)u[i]->m->shape.groups * sizeof(int32_t));
        if (u[i]->frames + 1 < u[i]->request.max_frames || u[i]->request.surplus) {
            embed_frame(c, w, u[i], w->x + (size_t)count * (size_t)H);
            on[count++] = u[i];
        }
        u[i]->frames++;
    }
    hm_part_end(c, "embedding");
    if (alone && count && u[0]->frames == 1)
        hm_tap(c, "talker_step1_input", w->x, 0, 1, 1, H, false);
    if (count)
        talker_forward(c, w, on, count, w->x, 1, false);
}

void hm_talker_frame(hm_ctx *c, hm_talker_work *w, hm_utterance *const *u, int n, bool *ended)
{
    hm_utterance *active[HM_TALKER_BATCH], *made[HM_TALKER_BATCH];
    int live = 0, count = 0;
    bool alone = n == 1, waits = hm_t(c)->sync == HM_SYNC_FRAME;
    assert(n <= w->batch);
    c->ops.frame(&c->ops, true);
    for (int i = 0; i < n; i++) {
        draw(c, w, u[i], 0, u[i]->logits); /* 1  c_0                        */
        ended[i] = ends_early(c, u[i]);
        if (!ended[i])
            active[live++] = u[i];
    }
    for (int i = 0; i < live; i += HM_PREDICTOR_BATCH) /* 2  c_1 .. c_{G-1}             */
        predict_groups(c, w, active + i, live - i < HM_PREDICTOR_BATCH ? live - i : HM_PREDICTOR_BATCH, alone);
    for (int i = 0; i < n; i++) { /* 3  the frame, unless it ended */
        if (hm_t(c)->codes == HM_CODES_FRAME)
            ended[i] = fetch_frame(c, u[i]);
        if (!ended[i])
            made[count++] = u[i];
    }
    if (count && !hm_ops_status(&c->ops))
        finish_frames(c, w, made, count, alone); /* 4  into the talker            */
    c->ops.frame(&c->ops, false);
    for (int i = 0; i < n; i++) {
        if (!ended[i] && runs_ahead(c, u[i]))
            ended[i] = frames_ended(c, u[i]);
        waits = waits && u[i]->request.force_length; /* nobody asked for the end */
    }
    if (waits)
        c->ops.sync(&c->ops);
}

void hm_utterance_collect(hm_ctx *c, hm_utterance *u, int first, int frames, int32_t *codes, float *logits)
{
    const hm_ops *op = &c->ops;
    size_t G = (size_t)u->m->shape.groups, at = (size_t)first * G, n = (size_t)frames * G;
    if (codes && n && hm_t(c)->codes == HM_CODES_DEFERRED)
        op->download(op, codes, u->codes + at, n * sizeof(int32_t));
    else if (codes)
        memcpy(codes, u->host_codes + at, n * sizeof(int32_t));
    if (logits && n && hm_t(c)->sampling != HM_SAMPLING_PASSES)
        op->download(op, logits, u->picked + at, n * sizeof(float));
    else if (logits)
        memcpy(logits, u->host_picked + at, n * sizeof(float));
}

int32_t hm_utterance_surplus(hm_ctx *c, hm_utterance *u)
{
    size_t at = code_at(u, 0);
    if (u->frames < u->request.max_frames) /* not full: it ended here, or nothing was drawn yet */
        return u->host_codes[at] == (int32_t)u->m->shape.codec_eos ? u->host_codes[at] : -1;
    if (!u->request.surplus)
        return -1;
    draw(c, u->work, u, 0, u->logits);
    if (hm_t(c)->sampling != HM_SAMPLING_PASSES)
        c->ops.download(&c->ops, &u->host_codes[at], u->codes + at, sizeof(int32_t));
    return u->host_codes[at];
}
