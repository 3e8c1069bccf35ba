/* The forward of HeartMuLa: prompt, frames of codes of several songs, guidance. Step numbers are those of heartmula.md. */
#include "engine/models/heartmula.h"

#include <assert.h>
#include <stdio.h>
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

static void tap(hm_ctx *c, const float *value, int row, int64_t d0, int64_t d1, int64_t d2, const char *format, int a, int b)
{
    char name[64];
    if (!hm_tapping(c))
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(name, sizeof name, format, a, b);
#pragma GCC diagnostic pop
    hm_tap(c, name, value, row, d0, d1, d2, false);
}

/* --- embeddings --- */

/* ids of `count` codes that went on in `frame`, from codebook `first`, as rows of the audio embeddings, into w->ids. */
static void code_ids(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s, int frame, int first, int count, bool on_device)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, V = s->m->config.code_vocabulary;
    size_t at = (size_t)frame * (size_t)K + (size_t)first;
    if (on_device) {
        op->ids_add(op, w->ids, (s->stored ? s->stored : s->codes) + at, w->offsets + first, count);
        return;
    }
    for (int k = 0; k < count; k++)
        w->host_ids[k] = (first + k) * V + s->host_fed[at + (size_t)k];
    op->upload(op, w->ids, w->host_ids, (size_t)count * sizeof *w->host_ids);
}

/* Rows [1][D] -> [rows][D]: every batch row gets the same. */
static void repeat_row(hm_ctx *c, float *y, const float *x, int rows, int D)
{
    c->ops.copy_2d(&c->ops, y, D, x, 0, D, rows);
}

/* h [rows*M][D]: the sum over all K+1 columns with their mask, as the original gathers it: audio columns, then text. M positions per
 * batch row. */
static void masked_columns(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s, float *h, const int32_t *audio_ids, const int32_t *text_ids,
                           bool audio_live, int M)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int K = m->config.codebooks, D = m->config.backbone.dim, C = K + 1;
    for (int b = 0; b < s->rows; b++) {
        float *columns = w->columns + (size_t)b * (size_t)M * (size_t)C * (size_t)D;
        op->gather(op, w->y, m->audio_embeddings, m->audio_type, D, audio_ids, M * K);
        op->copy_2d(op, columns, (int64_t)C * D, w->y, (int64_t)K * D, K * D, M);
        if (b == 0 || s->request.cfg_scale <= 1.0)
            op->gather(op, w->y, m->text_embeddings, m->text_type, D, text_ids, M);
        else
            op->gather(op, w->y, m->unconditional, m->unconditional_type, D, w->zeros, M);
        op->copy_2d(op, columns + (size_t)K * (size_t)D, (int64_t)C * D, w->y, D, D, M);
    }
    for (int i = 0; i < s->rows * M * C; i++)
        w->host_floats[i] = (i % C == K) != audio_live;
    op->upload(op, w->column_mask, w->host_floats, (size_t)(s->rows * M * C) * sizeof(float));
    c->counters.reset_bytes += (uint64_t)(s->rows * M * C) * sizeof(float);
    op->masked_sum(op, h, w->columns, w->column_mask, s->rows * M, C, D);
}

/* The unconditional row's prompt is the same embedding at every position: one stands for all. */
static bool one_unconditional(const hm_ctx *c, const hm_mula_song *s)
{
    return hm_t(c)->uncond == HM_UNCOND_ONE && s->rows == 2 && !s->frames && s->request.n > 1;
}

/* Step 5: the continuous vector overwrites position `slot`: muq_linear(m), or the unconditional embedding in row 1. */
static void continuous_slot(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int D = m->config.backbone.dim, n = s->request.n;
    if (s->request.muq)
        op->upload(op, w->muq_in, s->request.muq, (size_t)m->config.muq_dim * sizeof(float));
    else
        op->fill(op, w->muq_in, 0.0f, (size_t)m->config.muq_dim);
    int rows = one_unconditional(c, s) ? 1 : s->rows; /* that embedding again */
    for (int b = 0; b < rows; b++) {
        float *h = w->h + ((size_t)b * (size_t)n + (size_t)s->request.slot) * (size_t)D;
        if (b == 1)
            op->gather(op, h, m->unconditional, m->unconditional_type, D, w->zeros, 1);
        else if (hm_t(c)->rows == HM_ROWS_NEEDED && !s->request.muq)
            op->copy(op, h, m->muq.bias, (size_t)D * sizeof *h); /* the linear layer of a zero vector is its bias */
        else
            op->linear(op, h, w->muq_in, &m->muq, 1);
    }
}

/* Steps 2 to 5 for the prompt: w->h [rows][n][D]. */
static void embed_prompt(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int n = s->request.n, K = m->config.codebooks, V = m->config.code_vocabulary, D = m->config.backbone.dim;
    hm_part_begin(c, "embedding", -1);
    for (int i = 0; i < n; i++)
        w->host_ids[i] = s->request.text_ids[i];
    op->upload(op, w->ids, w->host_ids, (size_t)n * sizeof(int32_t));
    if (hm_t(c)->rows == HM_ROWS_ALL) {
        for (int i = 0; i < n * K; i++)
            w->host_ids[i] = i % K * V;
        op->upload(op, w->ids + n, w->host_ids, (size_t)(n * K) * sizeof(int32_t));
        masked_columns(c, w, s, w->h, w->ids + n, w->ids, false, n);
    } else {
        op->gather(op, w->h, m->text_embeddings, m->text_type, D, w->ids, n);
        if (s->rows == 2)
            op->gather(op, w->h + (size_t)n * (size_t)D, m->unconditional, m->unconditional_type, D, w->zeros,
                       one_unconditional(c, s) ? 1 : n);
    }
    continuous_slot(c, w, s);
    hm_part_end(c, "embedding");
    hm_transformer_tap(c, "backbone.in", w->h, &(hm_transformer_pass){.alike = one_unconditional(c, s)}, s->rows, n, D);
}

/* Steps 2 to 4 for a song's last frame: the sum of its K code embeddings, h [rows][D]. */
static void embed_frame(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s, float *h)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int K = m->config.codebooks, D = m->config.backbone.dim;
    code_ids(c, w, s, s->frames - 1, 0, K, device_codes(c));
    if (hm_t(c)->rows == HM_ROWS_ALL) {
        w->host_ids[0] = m->config.empty_id;
        op->upload(op, w->ids + K, w->host_ids, sizeof(int32_t));
        masked_columns(c, w, s, h, w->ids, w->ids + K, true, 1);
    } else if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->gather_sum(op, w->y, m->audio_embeddings, m->audio_type, D, w->ids, 1, K);
        repeat_row(c, h, w->y, s->rows, D);
    } else {
        op->gather(op, w->columns, m->audio_embeddings, m->audio_type, D, w->ids, K);
        op->fill(op, w->column_mask, 1.0f, (size_t)K);
        op->masked_sum(op, w->y, w->columns, w->column_mask, 1, K, D);
        repeat_row(c, h, w->y, s->rows, D);
    }
}

/* --- backbone and codebook 0 --- */

/* A pass of the backbone over batch rows from `row` of n songs: w->y has `kept` rows per batch row, `rows` in all, of which song i's last
 * ones, a batch row each, begin at last_row and lie `step` apart. */
typedef struct backbone_pass {
    hm_transformer_pass pass;
    int n, row, kept, rows;
    int64_t step;
} backbone_pass;

static int64_t last_row(const backbone_pass *p, int B, int i)
{
    return p->step == 1 && p->kept > 1 ? p->rows - B : (int64_t)(i * B + 1) * p->kept - 1;
}

/* Step 7: logits of codebook 0 of the rows of one pass, from w->y, to each song's rows. */
static void first_head(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, const backbone_pass *p)
{
    const hm_ops *op = &c->ops;
    const hm_linear *head = &w->m->c0_head;
    int V = head->out, D = w->m->config.backbone.dim, B = s[0]->pass_rows;
    int rows = hm_t(c)->rows == HM_ROWS_ALL ? p->rows : p->n * B; /* of needed rows one is kept, or a song is alone */
    bool direct = p->n == 1 && hm_t(c)->rows == HM_ROWS_NEEDED;
    size_t first = (size_t)p->row * (size_t)V;
    if (direct)
        op->linear(op, s[0]->logits + first, s[0]->last + (size_t)p->row * (size_t)D, head, rows);
    else
        op->linear(op, w->row_logits, w->y, head, rows);
    for (int i = 0; i < p->n && !direct; i++)
        op->copy_2d(op, s[i]->logits + first, V, w->row_logits + last_row(p, B, i) * V, p->step * V, V, B);
    c->counters.head_rows += (uint64_t)rows;
}

static void tap_backbone(hm_ctx *c, const hm_mula_work *w, const hm_mula_song *s, const backbone_pass *p)
{
    int B = s->pass_rows, D = s->m->config.backbone.dim;
    if (s->frames)
        tap(c, w->y, p->row, B, p->kept, D, "frame%d.backbone.out", s->frames, 0);
    else {
        hm_transformer_tap(c, "backbone.out", w->y, &p->pass, B, p->kept, D);
        hm_tap(c, "backbone.out.last", s->last + (size_t)p->row * (size_t)D, p->row, B, 1, D, false);
    }
}

/* Steps 6 and 7: w->h [n][rows][S][D], S = 1 when there are several songs, through the backbone; each song's last [rows][D] and the
 * logits of codebook 0. */
static void backbone_forward(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n, int S)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = w->m;
    int D = m->config.backbone.dim, B = s[0]->pass_rows;
    hm_kv_cache *kv[HM_MULA_BATCH] = {0};
    hm_part_begin(c, "backbone", -1);
    for (int p = 0; p < s[0]->passes; p++) {
        int row = p * B;
        bool alike = S > 1 && row + B == 2 && one_unconditional(c, s[0]);
        backbone_pass at = {.n = n, .row = row, .pass = {.tap = s[0]->frames ? NULL : "backbone", .batch_row = row, .alike = alike}};
        float *x = w->h + (size_t)row * (size_t)S * (size_t)D;
        if (n > 1 && s[0]->passes > 1) { /* this pass's row of every song */
            op->copy_2d(op, w->x, D, x, (int64_t)s[0]->rows * D, D, n);
            x = w->x;
        }
        for (int i = 0; i < n; i++)
            kv[i] = &s[i]->backbone_kv[p];
        at.kept = hm_transformer_forward(c, &m->backbone, &w->backbone_scratch, kv, n, w->y, x, B, S, &at.pass);
        at.rows = n * hm_transformer_rows(B, at.kept, alike);
        at.step = alike ? 1 : at.kept;
        for (int i = 0; i < n; i++)
            op->copy_2d(op, s[i]->last + (int64_t)row * D, D, w->y + last_row(&at, B, i) * D, at.step * D, D, B);
        if (n == 1)
            tap_backbone(c, w, s[0], &at);
        first_head(c, w, s, &at);
        c->counters.prompt_rows += s[0]->frames ? 0 : (uint64_t)hm_transformer_rows(B, S, alike);
    }
    hm_part_end(c, "backbone");
    if (n == 1)
        tap(c, s[0]->logits, 0, s[0]->rows, 1, m->config.code_vocabulary, "frame%d.c0_logits", s[0]->frames, 0);
}

/* --- sampling --- */

/* The code drawn goes to the host as soon as it is made. */
static void fetch_code(hm_ctx *c, hm_mula_song *s, size_t at)
{
    if (hm_t(c)->codes == HM_CODES_EACH)
        c->ops.download(&c->ops, &s->host_codes[at], s->codes + at, sizeof(int32_t));
}

/* Guided logits [V] to whoever looks. */
static void tell_logits(hm_ctx *c, hm_mula_work *w, const hm_mula_song *s, int k, const float *logits)
{
    const hm_logit_sink *sink = s->request.logits;
    int V = s->m->config.code_vocabulary;
    hm_counters before = c->counters; /* looking must not count */
    if (!sink || s->frames >= sink->frames)
        return;
    c->ops.download(&c->ops, w->host_logits, logits, (size_t)V * sizeof(float));
    c->counters = before;
    if (!hm_ops_status(&c->ops))
        sink->row(sink->self, s->frames, k, w->host_logits, V);
}

/* Step 7: guidance over the logits of rows 0 and 1, then one draw (heartmula.md section 5) for codebook k. */
static void draw(hm_ctx *c, hm_mula_work *w, hm_mula_song *s, int k, const float *logits, const float *unconditional)
{
    const hm_ops *op = &c->ops;
    int V = s->m->config.code_vocabulary, K = s->m->config.codebooks, frame = s->frames;
    size_t at = (size_t)frame * (size_t)K + (size_t)k;
    hm_part_begin(c, "sampling", -1);
    if (s->rows == 2) {
        op->guide(op, w->guided, logits, unconditional, (float)s->request.cfg_scale, (size_t)V);
        logits = w->guided;
    }
    tap(c, logits, 0, 1, 1, V, "frame%d.sampled_logits.%d", frame, k);
    tell_logits(c, w, s, k, logits);
    if (hm_t(c)->sampling == HM_SAMPLING_PASSES) {
        op->download(op, w->host_logits, logits, (size_t)V * sizeof(float));
        s->host_codes[at] = hm_sample_reference(&(hm_sample_input){.logits = w->host_logits,
                                                                   .V = V,
                                                                   .topk = s->request.topk,
                                                                   .temperature = s->request.temperature,
                                                                   .seed = s->request.seed,
                                                                   .frame = (uint32_t)frame,
                                                                   .codebook = (uint32_t)k},
                                                NULL, w->host_scratch, &c->counters.sampling_elements);
        s->host_fed[at] = s->request.stored ? s->request.stored[at] : s->host_codes[at];
        s->host_picked[at] = w->host_logits[s->host_fed[at]];
    } else {
        op->sample(op, &(hm_sample_args){.logits = logits,
                                         .V = V,
                                         .topk = s->request.topk,
                                         .temperature = s->request.temperature,
                                         .seed = s->request.seed,
                                         .frame = (uint32_t)frame,
                                         .codebook = (uint32_t)k,
                                         .passes = hm_t(c)->sampling == HM_SAMPLING_DEVICE,
                                         .token = s->codes + at});
        fetch_code(c, s, at);
        if (!device_codes_within(c)) {
            s->host_fed[at] = s->request.stored ? s->request.stored[at] : s->host_codes[at];
            op->upload(op, w->ids, &s->host_fed[at], sizeof(int32_t));
            op->pick(op, s->picked + at, logits, w->ids);
        } else
            op->pick(op, s->picked + at, logits, (s->stored ? s->stored : s->codes) + at);
    }
    if (hm_t(c)->sync == HM_SYNC_STEP)
        op->sync(op);
    hm_part_end(c, "sampling");
}

/* --- the small decoder --- */

/* Layer by layer; heartlib reads the position of each back (H2). */
static void clear_cache(hm_ctx *c, const hm_kv_cache *kv)
{
    const hm_ops *op = &c->ops;
    bool waits = hm_t(c)->sync == HM_SYNC_LAYER;
    int parts = waits ? kv->layers : 1;
    size_t floats = kv->peak_bytes / sizeof(float) / (size_t)parts;
    for (int i = 0; i < parts && kv->memory; i++) {
        op->fill(op, (float *)kv->memory + (size_t)i * floats, 0.0f, floats);
        if (waits)
            op->sync(op);
    }
    c->counters.reset_bytes += kv->memory ? kv->peak_bytes : 0;
}

/* What the original makes anew in every frame: cleared caches, positions, offsets (H2, H13, H15). */
static void rebuild_step(hm_ctx *c, hm_mula_work *w, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, V = s->m->config.code_vocabulary;
    for (int p = 0; p < s->passes; p++)
        clear_cache(c, &s->decoder_kv[p]);
    for (int k = 0; k < K; k++)
        w->host_ids[k] = k * V;
    op->upload(op, w->offsets, w->host_ids, (size_t)K * sizeof(int32_t));
    c->counters.reset_bytes += (uint64_t)K * sizeof(int32_t);
}

static void start_decoder(hm_ctx *c, hm_mula_work *w, hm_mula_song *s)
{
    for (int p = 0; p < s->passes; p++)
        hm_kv_reset(c, &s->decoder_kv[p]);
    if (hm_t(c)->step_reset == HM_STEP_REBUILT)
        rebuild_step(c, w, s);
}

/* The decoder's input of step i for B batch rows from `row` of n songs: w->dec_x [n][B][S][Dd], S = 2 at i = 1 (last, then c0), else 1. */
static int decoder_input(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n, int i, int row)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = w->m;
    int Db = m->config.backbone.dim, Dd = m->config.decoder.dim, S = i == 1 ? 2 : 1, B = s[0]->pass_rows;
    int lasts = S == 2 ? n * B : 0;
    bool all = hm_t(c)->rows == HM_ROWS_ALL;
    for (int j = 0; j < n; j++) {
        const float *last = s[j]->last + (size_t)row * (size_t)Db;
        code_ids(c, w, s[j], s[j]->frames, i - 1, 1, device_codes_within(c));
        if (all) { /* the same embedding for every row, each projected (H14) */
            float *in = w->dec_in + (size_t)j * (size_t)B * (size_t)S * (size_t)Db;
            op->gather(op, w->y, m->audio_embeddings, m->audio_type, Db, w->ids, 1);
            op->copy_2d(op, in + (S - 1) * Db, (int64_t)S * Db, w->y, 0, Db, B);
            if (S == 2)
                op->copy_2d(op, in, 2 * (int64_t)Db, last, Db, Db, B);
            continue;
        }
        if (lasts) /* all of these first, then the embeddings */
            op->copy(op, w->dec_in + (size_t)(j * B) * (size_t)Db, last, (size_t)B * (size_t)Db * sizeof(float));
        op->gather(op, w->dec_in + (size_t)(lasts + j) * (size_t)Db, m->audio_embeddings, m->audio_type, Db, w->ids, 1);
    }
    if (all) {
        op->linear(op, w->dec_x, w->dec_in, &m->projection, n * B * S);
        return S;
    }
    float *x = w->dec_y; /* projected, then laid out per batch row */
    op->linear(op, x, w->dec_in, &m->projection, lasts + n);
    if (lasts)
        op->copy_2d(op, w->dec_x, 2 * (int64_t)Dd, x, Dd, Dd, lasts);
    for (int j = 0; j < n; j++)
        op->copy_2d(op, w->dec_x + ((int64_t)j * B * S + S - 1) * Dd, (int64_t)S * Dd, x + (size_t)(lasts + j) * (size_t)Dd, 0, Dd, B);
    return S;
}

/* Step 8 for codebook i in pass p of n songs, so few that their rows are few: logits [n][B][V]. */
static void decoder_pass(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n, int i, int p, float *logits)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = w->m;
    int Dd = m->config.decoder.dim, V = m->config.code_vocabulary, B = s[0]->pass_rows, row = p * B, frame = s[0]->frames;
    hm_kv_cache *kv[HM_MULA_BATCH] = {0};
    int S = decoder_input(c, w, s, n, i, row);
    if (n == 1)
        tap(c, w->dec_x, row, B, S, Dd, "frame%d.proj.%d", frame, i);
    for (int j = 0; j < n; j++)
        kv[j] = &s[j]->decoder_kv[p];
    int kept = hm_transformer_forward(c, &m->decoder, &w->decoder_scratch, kv, n, w->dec_y, w->dec_x, B, S, &(hm_transformer_pass){0});
    if (n == 1)
        tap(c, w->dec_y, row, B, kept, Dd, "frame%d.decoder.out.%d", frame, i);
    if (kept > 1) { /* heads on all rows, then the last one taken */
        op->linear(op, w->row_logits, w->dec_y, &m->audio_head[i - 1], n * B * kept);
        op->copy_2d(op, logits, V, w->row_logits + (size_t)(kept - 1) * (size_t)V, (int64_t)kept * V, V, n * B);
    } else
        op->linear(op, logits, w->dec_y, &m->audio_head[i - 1], n * B);
    c->counters.head_rows += (uint64_t)(n * B * kept);
}

/* Step 8 for codebook i: w->logits [passes][n][pass_rows][V]. Its first step has two positions, so half as many songs go together. */
static void decoder_step(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n, int i)
{
    int V = w->m->config.code_vocabulary, B = s[0]->pass_rows, most = HM_FEW_ROWS / (i == 1 ? 2 * B : B);
    hm_part_begin(c, "decoder", i);
    for (int p = 0; p < s[0]->passes; p++)
        for (int at = 0; at < n; at += most)
            decoder_pass(c, w, s + at, n - at < most ? n - at : most, i, p, w->logits + (size_t)((p * n + at) * B) * (size_t)V);
    hm_part_end(c, "decoder");
    if (n == 1)
        tap(c, w->logits, 0, s[0]->rows, 1, V, "frame%d.c%d_logits", s[0]->frames, i);
}

/* --- frames --- */

/* Whether frames are made before the end of those before them is looked at. */
static bool runs_ahead(const hm_ctx *c, const hm_mula_song *s)
{
    return hm_t(c)->sync == HM_SYNC_AHEAD && c->ops.apart && hm_t(c)->codes == HM_CODES_DEFERRED && !s->request.meanwhile;
}

/* The same rule for frames that run ahead: flags of several are looked at together. */
static bool frames_ended(hm_ctx *c, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, last = s->frames, kept = last % HM_MULA_AHEAD;
    int32_t ends[HM_MULA_AHEAD] = {0};
    if (!s->request.forced)
        op->any_at_least(op, s->ends + kept, s->codes + (size_t)last * (size_t)K, K, s->m->config.audio_eos);
    if (kept + 1 < HM_MULA_AHEAD && last + 1 < s->request.max_frames)
        return false;
    if (s->request.forced)
        op->sync(op);
    else
        op->download(op, ends, s->ends, (size_t)(kept + 1) * sizeof *ends);
    for (; s->checked <= last; s->checked++)
        if (s->checked && ends[s->checked % HM_MULA_AHEAD]) {
            s->frames = s->checked;
            return true;
        }
    return false;
}

/* The end-of-song rule: any code of the frame >= audio_eos; frame 0 is never tested. */
static bool frame_ends(hm_ctx *c, hm_mula_work *w, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, eos = s->m->config.audio_eos;
    size_t at = (size_t)s->frames * (size_t)K;
    int32_t any = 0;
    if (runs_ahead(c, s))
        return frames_ended(c, s);
    bool once = hm_t(c)->sync == HM_SYNC_FRAME || hm_t(c)->sync == HM_SYNC_AHEAD;
    if (hm_t(c)->codes == HM_CODES_DEFERRED && c->ops.apart && s->request.forced && once) {
        op->sync(op);
        return false;
    }
    if (hm_t(c)->codes == HM_CODES_DEFERRED) {
        op->any_at_least(op, w->flag, s->codes + at, K, eos);
        op->download(op, &any, w->flag, sizeof any);
        return s->frames && any;
    }
    if (hm_t(c)->codes == HM_CODES_FRAME) {
        op->download(op, &s->host_codes[at], s->codes + at, (size_t)K * sizeof(int32_t));
        memcpy(s->host_fed + at, (s->request.stored ? s->request.stored : s->host_codes) + at, (size_t)K * sizeof *s->host_fed);
    }
    for (int k = 0; k < K; k++)
        any |= s->host_codes[at + (size_t)k] >= eos;
    return s->frames && any;
}

/* The last frame of those songs that have one through the backbone. */
static void advance(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n)
{
    hm_mula_song *on[HM_MULA_BATCH] = {0};
    int D = w->m->config.backbone.dim, count = 0;
    for (int i = 0; i < n; i++)
        if (s[i]->frames)
            on[count++] = s[i];
    if (!count)
        return;
    hm_part_begin(c, "embedding", -1);
    for (int i = 0; i < count; i++)
        embed_frame(c, w, on[i], w->h + (size_t)(i * on[i]->rows) * (size_t)D);
    hm_part_end(c, "embedding");
    backbone_forward(c, w, on, count, 1);
}

/* A frame of n songs of as many batch rows each, few in all. */
static void frame_together(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n)
{
    int K = w->m->config.codebooks, V = w->m->config.code_vocabulary, B = s[0]->pass_rows;
    const float *one = w->logits, *other = B == 2 ? one + V : one + (size_t)n * (size_t)V; /* rows 0 and 1 of the first song */
    advance(c, w, s, n);
    for (int j = 0; j < n; j++) {
        draw(c, w, s[j], 0, s[j]->logits, s[j]->logits + V);
        start_decoder(c, w, s[j]);
    }
    for (int i = 1; i < K && !hm_ops_status(&c->ops); i++) {
        decoder_step(c, w, s, n, i);
        for (int j = 0; j < n; j++)
            draw(c, w, s[j], i, one + (size_t)(j * B) * (size_t)V, other + (size_t)(j * B) * (size_t)V);
    }
    for (int j = 0; j < n && hm_t(c)->rows == HM_ROWS_ALL; j++) { /* the last code's embedding, never used (H16) */
        code_ids(c, w, s[j], s[j]->frames, K - 1, 1, device_codes_within(c));
        c->ops.gather(&c->ops, w->y, w->m->audio_embeddings, w->m->audio_type, w->m->config.backbone.dim, w->ids, 1);
    }
}

void hm_mula_frame(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *s, int n, bool *ended)
{
    hm_mula_song *ordered[HM_MULA_BATCH] = {0};
    int count = 0;
    bool alike = true; /* a first frame has no step of the backbone: it is like no other */
    assert(n <= w->batch);
    for (int i = 0; i < n; i++)
        alike = alike && s[i]->frames;
    if (alike)
        c->ops.frame(&c->ops, true);
    for (int rows = 1; rows <= 2; rows++) /* songs with guidance after those without */
        for (int i = 0; i < n; i++)
            if (s[i]->rows == rows)
                ordered[count++] = s[i];
    for (int i = 0, together; i < n && !hm_ops_status(&c->ops); i += together) {
        int rows = ordered[i]->rows;
        for (together = 1; i + together < n && ordered[i + together]->rows == rows && (together + 1) * rows <= HM_FEW_ROWS; together++)
            ;
        frame_together(c, w, ordered + i, together);
    }
    for (int i = 0; i < n; i++) {
        ended[i] = frame_ends(c, w, s[i]);
        s[i]->frames++;
    }
    if (alike)
        c->ops.frame(&c->ops, false);
}

void hm_mula_prefill(hm_ctx *c, hm_mula_work *w, hm_mula_song *s)
{
    embed_prompt(c, w, s);
    backbone_forward(c, w, &s, 1, s->request.n);
}

void hm_mula_codes(hm_ctx *c, hm_mula_song *s, int first, int frames, int32_t *codes)
{
    size_t K = (size_t)s->m->config.codebooks, at = (size_t)first * K, n = (size_t)frames * K;
    if (hm_t(c)->codes == HM_CODES_DEFERRED && n)
        c->ops.download(&c->ops, s->host_codes + at, s->codes + at, n * sizeof(int32_t));
    memcpy(codes, s->host_codes + at, n * sizeof *codes);
}

void hm_mula_collect(hm_ctx *c, hm_mula_song *s, int frames, int32_t *codes, float *logits)
{
    const hm_ops *op = &c->ops;
    size_t n = (size_t)frames * (size_t)s->m->config.codebooks;
    hm_mula_codes(c, s, 0, frames, codes);
    if (hm_t(c)->sampling != HM_SAMPLING_PASSES && n)
        op->download(op, s->host_picked, s->picked, n * sizeof(float));
    memcpy(logits, s->host_picked, n * sizeof *logits);
}
