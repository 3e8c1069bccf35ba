/* The forward of HeartMuLa: prompt, frames of codes, guidance. Step numbers are those of heartmula.md. */
#include "engine/models/heartmula.h"

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

/* ids of `count` codes that went on in `frame`, from codebook `first`, as rows of the audio embeddings, into s->ids. */
static void code_ids(hm_ctx *c, hm_mula_song *s, int frame, int first, int count, bool on_device)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, V = s->m->config.code_vocabulary;
    size_t at = (size_t)frame * (size_t)K + (size_t)first;
    if (on_device) {
        op->ids_add(op, s->ids, (s->stored ? s->stored : s->codes) + at, s->offsets + first, count);
        return;
    }
    for (int k = 0; k < count; k++)
        s->host_ids[k] = (first + k) * V + s->host_fed[at + (size_t)k];
    op->upload(op, s->ids, s->host_ids, (size_t)count * sizeof *s->host_ids);
}

/* Rows [1][D] -> [rows][D]: every batch row gets the same. */
static void repeat_row(hm_ctx *c, float *y, const float *x, int rows, int D)
{
    c->ops.copy_2d(&c->ops, y, D, x, 0, D, rows);
}

/* The sum over all K+1 columns with their mask, as the original gathers it: audio columns, then text. M positions per batch row. */
static void masked_columns(hm_ctx *c, hm_mula_song *s, const int32_t *audio_ids, const int32_t *text_ids, bool audio_live, int M)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int K = m->config.codebooks, D = m->config.backbone.dim, C = K + 1;
    for (int b = 0; b < s->rows; b++) {
        float *columns = s->columns + (size_t)b * (size_t)M * (size_t)C * (size_t)D;
        op->gather(op, s->y, m->audio_embeddings, m->audio_type, D, audio_ids, M * K);
        op->copy_2d(op, columns, (int64_t)C * D, s->y, (int64_t)K * D, K * D, M);
        if (b == 0 || s->request.cfg_scale <= 1.0)
            op->gather(op, s->y, m->text_embeddings, m->text_type, D, text_ids, M);
        else
            op->gather(op, s->y, m->unconditional, m->unconditional_type, D, s->zeros, M);
        op->copy_2d(op, columns + (size_t)K * (size_t)D, (int64_t)C * D, s->y, D, D, M);
    }
    for (int i = 0; i < s->rows * M * C; i++)
        s->host_floats[i] = (i % C == K) != audio_live;
    op->upload(op, s->column_mask, s->host_floats, (size_t)(s->rows * M * C) * sizeof(float));
    c->counters.reset_bytes += (uint64_t)(s->rows * M * C) * sizeof(float);
    op->masked_sum(op, s->h, s->columns, s->column_mask, s->rows * M, C, D);
}

/* Step 5: the continuous vector overwrites position `slot`: muq_linear(m), or the unconditional embedding in row 1. */
static void continuous_slot(hm_ctx *c, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int D = m->config.backbone.dim, n = s->request.n;
    for (int b = 0; b < s->rows; b++) {
        float *h = s->h + ((size_t)b * (size_t)n + (size_t)s->request.slot) * (size_t)D;
        if (b == 1)
            op->gather(op, h, m->unconditional, m->unconditional_type, D, s->zeros, 1);
        else if (hm_t(c)->rows == HM_ROWS_NEEDED && !s->request.muq)
            op->copy(op, h, m->muq.bias, (size_t)D * sizeof *h); /* the linear layer of a zero vector is its bias */
        else
            op->linear(op, h, s->muq_in, &m->muq, 1);
    }
}

/* Steps 2 to 5 for the prompt: s->h [rows][n][D]. */
static void embed_prompt(hm_ctx *c, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int n = s->request.n, K = m->config.codebooks, V = m->config.code_vocabulary, D = m->config.backbone.dim;
    hm_span_begin(c->probe, HM_SPAN_PART, "embedding", -1);
    for (int i = 0; i < n; i++)
        s->host_ids[i] = s->request.text_ids[i];
    op->upload(op, s->ids, s->host_ids, (size_t)n * sizeof(int32_t));
    if (hm_t(c)->rows == HM_ROWS_ALL) {
        for (int i = 0; i < n * K; i++)
            s->host_ids[i] = i % K * V;
        op->upload(op, s->ids + n, s->host_ids, (size_t)(n * K) * sizeof(int32_t));
        masked_columns(c, s, s->ids + n, s->ids, false, n);
    } else {
        op->gather(op, s->h, m->text_embeddings, m->text_type, D, s->ids, n);
        if (s->rows == 2)
            op->gather(op, s->h + (size_t)n * (size_t)D, m->unconditional, m->unconditional_type, D, s->zeros, n);
    }
    continuous_slot(c, s);
    hm_span_end(c->probe, HM_SPAN_PART, "embedding");
    hm_tap(c, "backbone.in", s->h, 0, s->rows, n, D, false);
}

/* Steps 2 to 4 for one frame: the sum of its K code embeddings, s->h [rows][D]. */
static void embed_frame(hm_ctx *c, hm_mula_song *s, int frame)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int K = m->config.codebooks, D = m->config.backbone.dim;
    hm_span_begin(c->probe, HM_SPAN_PART, "embedding", -1);
    code_ids(c, s, frame, 0, K, device_codes(c));
    if (hm_t(c)->rows == HM_ROWS_ALL) {
        s->host_ids[0] = m->config.empty_id;
        op->upload(op, s->ids + K, s->host_ids, sizeof(int32_t));
        masked_columns(c, s, s->ids, s->ids + K, true, 1);
    } else if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->gather_sum(op, s->y, m->audio_embeddings, m->audio_type, D, s->ids, 1, K);
        repeat_row(c, s->h, s->y, s->rows, D);
    } else {
        op->gather(op, s->columns, m->audio_embeddings, m->audio_type, D, s->ids, K);
        op->fill(op, s->column_mask, 1.0f, (size_t)K);
        op->masked_sum(op, s->y, s->columns, s->column_mask, 1, K, D);
        repeat_row(c, s->h, s->y, s->rows, D);
    }
    hm_span_end(c->probe, HM_SPAN_PART, "embedding");
}

/* --- backbone and codebook 0 --- */

/* Steps 6 and 7: S positions of every batch row through the backbone; s->last [rows][D] and the logits of codebook 0. */
static void backbone_forward(hm_ctx *c, hm_mula_song *s, int S, int frame)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int D = m->config.backbone.dim, V = m->config.code_vocabulary, B = s->pass_rows;
    hm_span_begin(c->probe, HM_SPAN_PART, "backbone", -1);
    for (int p = 0; p < s->passes; p++) {
        int row = p * B;
        hm_kv_cache *kv = &s->backbone_kv[p];
        hm_transformer_pass pass = {.tap = frame ? NULL : "backbone", .batch_row = row};
        float *last = s->last + (size_t)row * (size_t)D, *logits = s->logits + (size_t)row * (size_t)V;
        int kept = hm_transformer_forward(c, &m->backbone, &s->backbone_scratch, &kv, 1, s->y,
                                    s->h + (size_t)row * (size_t)S * (size_t)D, B, S, &pass);
        op->copy_2d(op, last, D, s->y + (size_t)(kept - 1) * (size_t)D, (int64_t)kept * D, D, B);
        if (frame)
            tap(c, s->y, row, B, kept, D, "frame%d.backbone.out", frame, 0);
        else {
            hm_tap(c, "backbone.out", s->y, row, B, kept, D, false);
            hm_tap(c, "backbone.out.last", last, row, B, 1, D, false);
        }
        if (hm_t(c)->rows == HM_ROWS_ALL) {
            op->linear(op, s->row_logits, s->y, &m->c0_head, B * kept);
            op->copy_2d(op, logits, V, s->row_logits + (size_t)(kept - 1) * (size_t)V, (int64_t)kept * V, V, B);
            c->counters.head_rows += (uint64_t)(B * kept);
        } else {
            op->linear(op, logits, last, &m->c0_head, B);
            c->counters.head_rows += (uint64_t)B;
        }
    }
    hm_span_end(c->probe, HM_SPAN_PART, "backbone");
    tap(c, s->logits, 0, s->rows, 1, V, "frame%d.c0_logits", frame, 0);
}

/* --- sampling --- */

/* The code drawn goes to the host as soon as it is made. */
static void fetch_code(hm_ctx *c, hm_mula_song *s, size_t at)
{
    if (hm_t(c)->codes == HM_CODES_EACH)
        c->ops.download(&c->ops, &s->host_codes[at], s->codes + at, sizeof(int32_t));
}

/* Step 7: guidance over s->logits, then one draw (heartmula.md section 5) for codebook k. */
static void draw(hm_ctx *c, hm_mula_song *s, int frame, int k)
{
    const hm_ops *op = &c->ops;
    int V = s->m->config.code_vocabulary, K = s->m->config.codebooks;
    size_t at = (size_t)frame * (size_t)K + (size_t)k;
    const float *logits = s->logits;
    hm_span_begin(c->probe, HM_SPAN_PART, "sampling", -1);
    if (s->rows == 2) {
        op->guide(op, s->guided, s->logits, s->logits + V, (float)s->request.cfg_scale, (size_t)V);
        logits = s->guided;
    }
    tap(c, logits, 0, 1, 1, V, "frame%d.sampled_logits.%d", frame, k);
    if (hm_t(c)->sampling == HM_SAMPLING_PASSES) {
        op->download(op, s->host_logits, logits, (size_t)V * sizeof(float));
        s->host_codes[at] = hm_sample_reference(&(hm_sample_input){.logits = s->host_logits, .V = V, .topk = s->request.topk,
                                                                   .temperature = s->request.temperature, .seed = s->request.seed,
                                                                   .frame = (uint32_t)frame, .codebook = (uint32_t)k},
                                                NULL, s->host_scratch, &c->counters.sampling_elements);
        s->host_fed[at] = s->request.stored ? s->request.stored[at] : s->host_codes[at];
        s->host_picked[at] = s->host_logits[s->host_fed[at]];
    } else {
        op->sample(op, &(hm_sample_args){.logits = logits, .V = V, .topk = s->request.topk, .temperature = s->request.temperature,
                                         .seed = s->request.seed, .frame = (uint32_t)frame, .codebook = (uint32_t)k, .token = s->codes + at});
        fetch_code(c, s, at);
        if (!device_codes_within(c)) {
            s->host_fed[at] = s->request.stored ? s->request.stored[at] : s->host_codes[at];
            op->upload(op, s->ids, &s->host_fed[at], sizeof(int32_t));
            op->pick(op, s->picked + at, logits, s->ids);
        } else
            op->pick(op, s->picked + at, logits, (s->stored ? s->stored : s->codes) + at);
    }
    hm_span_end(c->probe, HM_SPAN_PART, "sampling");
}

/* --- the small decoder --- */

/* What the original makes anew in every frame: cleared caches, positions, offsets (H2, H13, H15). */
static void rebuild_step(hm_ctx *c, hm_mula_song *s)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, V = s->m->config.code_vocabulary;
    for (int p = 0; p < s->passes; p++)
        if (s->decoder_kv[p].memory) {
            op->fill(op, s->decoder_kv[p].memory, 0.0f, s->decoder_kv[p].peak_bytes / sizeof(float));
            c->counters.reset_bytes += s->decoder_kv[p].peak_bytes;
        }
    for (int k = 0; k < K; k++)
        s->host_ids[k] = k * V;
    op->upload(op, s->offsets, s->host_ids, (size_t)K * sizeof(int32_t));
    c->counters.reset_bytes += (uint64_t)K * sizeof(int32_t);
}

/* The decoder's input of step i for B batch rows from `row`: s->dec_x [B][S][Dd], S = 2 at i = 1 (last, then c0), else 1. */
static int decoder_input(hm_ctx *c, hm_mula_song *s, int frame, int i, int row, int B)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int Db = m->config.backbone.dim, Dd = m->config.decoder.dim, S = i == 1 ? 2 : 1;
    float *last = s->last + (size_t)row * (size_t)Db;
    code_ids(c, s, frame, i - 1, 1, device_codes_within(c));
    if (hm_t(c)->rows == HM_ROWS_ALL) { /* the same embedding for every row, each projected (H14) */
        op->gather(op, s->y, m->audio_embeddings, m->audio_type, Db, s->ids, 1);
        op->copy_2d(op, s->dec_in + (S - 1) * Db, (int64_t)S * Db, s->y, 0, Db, B);
        if (S == 2)
            op->copy_2d(op, s->dec_in, 2 * (int64_t)Db, last, Db, Db, B);
        op->linear(op, s->dec_x, s->dec_in, &m->projection, B * S);
        return S;
    }
    float *x = s->dec_y; /* [last rows..., embedding] projected, then laid out per batch row */
    int lasts = S == 2 ? B : 0;
    if (lasts)
        op->copy(op, s->dec_in, last, (size_t)B * (size_t)Db * sizeof(float));
    op->gather(op, s->dec_in + (size_t)lasts * (size_t)Db, m->audio_embeddings, m->audio_type, Db, s->ids, 1);
    op->linear(op, x, s->dec_in, &m->projection, lasts + 1);
    if (lasts)
        op->copy_2d(op, s->dec_x, 2 * (int64_t)Dd, x, Dd, Dd, B);
    op->copy_2d(op, s->dec_x + (S - 1) * Dd, (int64_t)S * Dd, x + (size_t)lasts * (size_t)Dd, 0, Dd, B);
    return S;
}

/* Step 8 for codebook i: s->logits [rows][V]. */
static void decoder_step(hm_ctx *c, hm_mula_song *s, int frame, int i)
{
    const hm_ops *op = &c->ops;
    const hm_mula *m = s->m;
    int Dd = m->config.decoder.dim, V = m->config.code_vocabulary, B = s->pass_rows;
    hm_span_begin(c->probe, HM_SPAN_PART, "decoder", i);
    for (int p = 0; p < s->passes; p++) {
        hm_kv_cache *kv = &s->decoder_kv[p];
        int row = p * B, S = decoder_input(c, s, frame, i, row, B);
        float *logits = s->logits + (size_t)row * (size_t)V;
        tap(c, s->dec_x, row, B, S, Dd, "frame%d.proj.%d", frame, i);
        int kept = hm_transformer_forward(c, &m->decoder, &s->decoder_scratch, &kv, 1, s->dec_y, s->dec_x, B, S, &(hm_transformer_pass){0});
        tap(c, s->dec_y, row, B, kept, Dd, "frame%d.decoder.out.%d", frame, i);
        if (kept > 1) { /* heads on all rows, then the last one taken */
            op->linear(op, s->row_logits, s->dec_y, &m->audio_head[i - 1], B * kept);
            op->copy_2d(op, logits, V, s->row_logits + (size_t)(kept - 1) * (size_t)V, (int64_t)kept * V, V, B);
        } else
            op->linear(op, logits, s->dec_y, &m->audio_head[i - 1], B);
        c->counters.head_rows += (uint64_t)(B * kept);
    }
    hm_span_end(c->probe, HM_SPAN_PART, "decoder");
    tap(c, s->logits, 0, s->rows, 1, V, "frame%d.c%d_logits", frame, i);
}

/* The end-of-song rule: any code of the frame >= audio_eos; frame 0 is never tested. */
static bool frame_ends(hm_ctx *c, hm_mula_song *s, int frame)
{
    const hm_ops *op = &c->ops;
    int K = s->m->config.codebooks, eos = s->m->config.audio_eos;
    size_t at = (size_t)frame * (size_t)K;
    int32_t any = 0;
    if (hm_t(c)->codes == HM_CODES_DEFERRED) {
        op->any_at_least(op, s->flag, s->codes + at, K, eos);
        op->download(op, &any, s->flag, sizeof any);
        return frame && any;
    }
    if (hm_t(c)->codes == HM_CODES_FRAME)
        op->download(op, &s->host_codes[at], s->codes + at, (size_t)K * sizeof(int32_t));
    if (hm_t(c)->codes == HM_CODES_FRAME)
        memcpy(s->host_fed + at, (s->request.stored ? s->request.stored : s->host_codes) + at, (size_t)K * sizeof *s->host_fed);
    for (int k = 0; k < K; k++)
        any |= s->host_codes[at + (size_t)k] >= eos;
    return frame && any;
}

void hm_mula_frame(hm_ctx *c, hm_mula_song *s, int frame, bool *ended)
{
    int K = s->m->config.codebooks;
    draw(c, s, frame, 0);
    for (int p = 0; p < s->passes; p++)
        hm_kv_reset(c, &s->decoder_kv[p]);
    if (hm_t(c)->step_reset == HM_STEP_REBUILT)
        rebuild_step(c, s);
    for (int i = 1; i < K && !hm_ops_status(&c->ops); i++) {
        decoder_step(c, s, frame, i);
        draw(c, s, frame, i);
    }
    if (hm_t(c)->rows == HM_ROWS_ALL) { /* the last code's embedding, never used (H16) */
        code_ids(c, s, frame, K - 1, 1, device_codes_within(c));
        c->ops.gather(&c->ops, s->y, s->m->audio_embeddings, s->m->audio_type, s->m->config.backbone.dim, s->ids, 1);
    }
    *ended = frame_ends(c, s, frame);
}

void hm_mula_prefill(hm_ctx *c, hm_mula_song *s)
{
    embed_prompt(c, s);
    backbone_forward(c, s, s->request.n, 0);
}

void hm_mula_advance(hm_ctx *c, hm_mula_song *s, int frame)
{
    embed_frame(c, s, frame);
    backbone_forward(c, s, 1, frame + 1);
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
    if (hm_t(c)->sampling == HM_SAMPLING_FUSED && n)
        op->download(op, s->host_picked, s->picked, n * sizeof(float));
    memcpy(logits, s->host_picked, n * sizeof *logits);
}
