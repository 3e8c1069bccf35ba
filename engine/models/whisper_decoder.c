/* One pass of the decoder over rows of several sequences, and the logits of some of its rows (whisper.md steps 6 to 8). */
#include <math.h>
#include <stdio.h>

#include "engine/models/whisper_impl.h"

/* What all layers of a pass share. */
struct pass {
    hm_whisper_work *work;
    const hm_whisper_sequence *sequences; /* [n] */
    int n, S, M;                          /* M = n*S rows */
};

/* Rows of the embedding and of its positions, summed. */
static void embed(hm_ctx *c, const struct pass *p, const int32_t *ids)
{
    const hm_ops *op = &c->ops;
    const hm_whisper *m = p->work->m;
    hm_whisper_decoder_scratch *s = &p->work->d;
    int D = (int)m->shape.width, M = p->M, first = p->work->self.length;
    bool together = hm_t(c)->fuse == HM_FUSE_ALL && m->embedding_type == m->positions_type;
    for (int i = 0; i < M; i++) {
        s->host_ids[together ? 2 * i : i] = ids[i];
        s->host_ids[together ? 2 * i + 1 : M + i] = first + i % p->S;
    }
    op->upload(op, s->ids, s->host_ids, 2 * (size_t)M * sizeof *s->ids);
    if (together) {
        op->gather_tables(op, s->x, (const void *const[]){m->embedding, m->positions}, m->embedding_type, D, s->ids, M, 2);
        return;
    }
    op->gather(op, s->x, m->embedding, m->embedding_type, D, s->ids, M);
    op->gather(op, s->t, m->positions, m->positions_type, D, s->ids + M, M);
    op->add(op, s->x, s->t, (size_t)M * (size_t)D);
}

/* Sequences from i on whose batch rows of the self cache lie one behind the other. */
static int run_of_rows(const struct pass *p, int i)
{
    int n = 1;
    while (i + n < p->n && p->sequences[i + n].row == p->sequences[i].row + n)
        n++;
    return n;
}

static void self_attention(hm_ctx *c, const struct pass *p, int layer)
{
    const hm_ops *op = &c->ops;
    hm_whisper_decoder_scratch *s = &p->work->d;
    hm_kv_cache *kv = &p->work->self;
    int D = (int)p->work->m->shape.width, H = kv->heads, Dh = kv->head_dim;
    bool built = hm_t(c)->mask == HM_MASK_BUILT, all = hm_t(c)->attn == HM_ATTN_ALL_SLOTS;
    hm_kv_grow(c, kv, layer, p->S);
    for (int i = 0, n; i < p->n && !hm_ops_status(op); i += n) {
        n = run_of_rows(p, i);
        size_t at = (size_t)i * (size_t)p->S * (size_t)D;
        hm_kv_view view = hm_kv_from(&kv->layer[layer], p->sequences[i].row, 0);
        op->kv_put(op, &view, s->k + at, s->v + at, n, p->S, H, Dh, kv->length);
        op->attention(op, &(hm_attention_args){.out = s->a + at,
                                               .q = s->q + at,
                                               .kv = view,
                                               .B = n,
                                               .S = p->S,
                                               .H = H,
                                               .Dh = Dh,
                                               .slots = all ? kv->capacity : kv->length + p->S,
                                               .pos = kv->length,
                                               .causal = !built,
                                               .mask = built ? s->mask : NULL,
                                               .scale = 1.0f / sqrtf((float)Dh)});
    }
}

/* Sequences from i on that read the same window. */
static int run_of_window(const struct pass *p, int i)
{
    int n = 1;
    while (i + n < p->n && p->sequences[i + n].window == p->sequences[i].window)
        n++;
    return n;
}

/* All rows of a window read its keys and values side by side; windows that lie one behind the other, with as many rows each, are one call. */
static void cross_attention(hm_ctx *c, const struct pass *p, int layer)
{
    hm_whisper_decoder_scratch *s = &p->work->d;
    const hm_kv_cache *kv = &p->work->cross;
    int D = (int)p->work->m->shape.width, T = (int)p->work->m->shape.source_positions;
    for (int i = 0, n; i < p->n; i += n) {
        int each = run_of_window(p, i), windows = 1;
        n = each;
        while (i + n < p->n && p->sequences[i + n].window == p->sequences[i].window + windows && run_of_window(p, i + n) == each) {
            windows++;
            n += each;
        }
        size_t at = (size_t)i * (size_t)p->S * (size_t)D;
        c->ops.attention(&c->ops, &(hm_attention_args){.out = s->a + at,
                                                       .q = s->q + at,
                                                       .kv = hm_kv_from(&kv->layer[layer], p->sequences[i].window, 0),
                                                       .B = windows,
                                                       .S = each * p->S,
                                                       .H = kv->heads,
                                                       .Dh = kv->head_dim,
                                                       .slots = T,
                                                       .scale = 1.0f / sqrtf((float)kv->head_dim)});
    }
}

/* Step 7. */
static void layer_forward(hm_ctx *c, const struct pass *p, int i)
{
    const hm_whisper *m = p->work->m;
    const hm_whisper_layer *l = &m->decoder[i];
    hm_whisper_decoder_scratch *s = &p->work->d;
    hm_whisper_normalise(c, m, s->n, s->x, &l->self.norm, p->M);
    hm_whisper_qkv(c, s->q, s->k, s->v, s->n, &l->self, p->M);
    self_attention(c, p, i);
    hm_whisper_add(c, s->x, s->a, &l->self.o, s->t, p->M);
    hm_whisper_normalise(c, m, s->n, s->x, &l->cross.norm, p->M);
    c->ops.linear(&c->ops, s->q, s->n, &l->cross.q, p->M);
    cross_attention(c, p, i);
    hm_whisper_add(c, s->x, s->a, &l->cross.o, s->t, p->M);
    hm_whisper_ffn(c, m, l, s->x, s->n, s->hidden, s->t, p->M);
}

/* The last position of each prompt: before the first layer, after each, after the last norm. */
static void tap_hidden(hm_ctx *c, const struct pass *p, int layer, const float *value)
{
    char name[32];
    int D = (int)p->work->m->shape.width;
    snprintf(name, sizeof name, "dec.hidden%d", layer);
    for (int i = 0; p->S > 1 && hm_tapping(c) && i < p->n; i++)
        hm_tap(c, name, value + ((size_t)i * (size_t)p->S + (size_t)p->S - 1) * (size_t)D, i, 1, 1, D, false);
}

void hm_whisper_forward(hm_ctx *c, hm_whisper_work *work, const int32_t *ids, const hm_whisper_sequence *sequences, int n, int S)
{
    const hm_ops *op = &c->ops;
    const hm_whisper *m = work->m;
    hm_whisper_decoder_scratch *s = &work->d;
    hm_kv_cache *kv = &work->self;
    struct pass p = {.work = work, .sequences = sequences, .n = n, .S = S, .M = n * S};
    int L = (int)m->shape.decoder_layers, slots = hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? kv->capacity : kv->length + S;
    c->counters.forward_passes++;
    embed(c, &p, ids);
    if (s->mask)
        op->causal_mask(op, s->mask, S, slots, kv->length, 0);
    tap_hidden(c, &p, 0, s->x);
    for (int i = 0; i < L && !hm_ops_status(op); i++) {
        layer_forward(c, &p, i);
        if (i < L - 1)
            tap_hidden(c, &p, i + 1, s->x);
    }
    kv->length += S;
    kv->capacity = kv->memory ? kv->capacity : kv->length;
    hm_whisper_normalise(c, m, s->n, s->x, &m->decoder_norm, p.M);
    tap_hidden(c, &p, L, s->n);
}

void hm_whisper_logits(hm_ctx *c, hm_whisper_work *work, int first, int step, int count, int to)
{
    const hm_ops *op = &c->ops;
    hm_whisper_decoder_scratch *s = &work->d;
    int D = (int)work->m->shape.width;
    size_t V = (size_t)work->m->shape.vocab;
    float *logits = s->logits + (size_t)to * V;
    const float *rows = s->n + (size_t)first * (size_t)D;
    if (step > 1) {
        op->copy_2d(op, s->picked, D, rows, (int64_t)step * D, D, count);
        rows = s->picked;
    }
    op->linear(op, logits, rows, &work->m->head, count);
    c->counters.head_rows += (uint64_t)count;
    op->download(op, s->host_logits + (size_t)to * V, logits, (size_t)count * V * sizeof *logits);
}
