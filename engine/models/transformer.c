#include "engine/models/transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EPS 1e-5f
#define ROPE_BASE 500000.0
#define ROPE_SCALE 32.0f
#define ROPE_OLD_CONTEXT 8192.0f /* a constant of the scaling, not the flavor's positions */
#define ROPE_LOW 1.0f
#define ROPE_HIGH 4.0f

void hm_transformer_theta(float *theta, int head_dim)
{
    for (int j = 0; j < head_dim / 2; j++) {
        float exponent = (float)(2 * j) / (float)head_dim;
        float f = 1.0f / (float)pow(ROPE_BASE, (double)exponent);
        float wavelength = (float)(2.0 * M_PI) / f;
        if (wavelength < ROPE_OLD_CONTEXT / ROPE_HIGH)
            theta[j] = f;
        else if (wavelength > ROPE_OLD_CONTEXT / ROPE_LOW)
            theta[j] = f / ROPE_SCALE;
        else {
            float s = (ROPE_OLD_CONTEXT / wavelength - ROPE_LOW) / (ROPE_HIGH - ROPE_LOW);
            theta[j] = (1.0f - s) * f / ROPE_SCALE + s * f;
        }
    }
}

static hm_status bind_layer(const hm_binder *b, hm_transformer_layer *l, const char *prefix, int i)
{
    const struct {
        hm_linear *to;
        const char *name;
    } linears[] = {
        {&l->q, "attn.q_proj"}, {&l->k, "attn.k_proj"}, {&l->v, "attn.v_proj"}, {&l->o, "attn.output_proj"},
        {&l->gate, "mlp.w1"},   {&l->down, "mlp.w2"},   {&l->up, "mlp.w3"},
    };
    hm_status st = HM_OK;
    for (size_t j = 0; j < sizeof linears / sizeof *linears && !st; j++)
        st = hm_bind_linear(b, linears[j].to, "%s.layers.%d.%s.weight", prefix, i, linears[j].name);
    if (!st)
        st = hm_bind_f32(b, &l->attn_norm, "%s.layers.%d.sa_norm.scale", prefix, i);
    return st ? st : hm_bind_f32(b, &l->mlp_norm, "%s.layers.%d.mlp_norm.scale", prefix, i);
}

hm_status hm_transformer_bind(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, const char *prefix)
{
    hm_ctx *c = b->c;
    int half = config->head_dim / 2;
    hm_status st = HM_OK;
    *m = (hm_transformer){.config = *config};
    m->layers = hm_calloc((size_t)config->layers, sizeof *m->layers, "layers", b->err);
    float *theta = hm_calloc((size_t)half, sizeof *theta, "rotation table", b->err);
    m->theta = hm_bind_alloc(c, (size_t)half * sizeof *theta, b->err);
    if (!m->layers || !theta || !m->theta) {
        free(theta);
        return HM_EABSENT;
    }
    hm_transformer_theta(theta, config->head_dim);
    hm_counters before = c->counters; /* loading is not a transfer of the song's */
    c->ops.upload(&c->ops, m->theta, theta, (size_t)half * sizeof *theta);
    c->counters = before;
    free(theta);
    for (int i = 0; i < config->layers && !st; i++)
        st = bind_layer(b, &m->layers[i], prefix, i);
    return st ? st : hm_bind_f32(b, &m->norm, "%s.norm.scale", prefix);
}

void hm_transformer_release(hm_transformer *m)
{
    free(m->layers);
    *m = (hm_transformer){0};
}

uint64_t hm_transformer_pass_bytes(const hm_transformer *m)
{
    const hm_transformer_layer *l = m->layers;
    uint64_t one = hm_linear_bytes(&l->q) + hm_linear_bytes(&l->k) + hm_linear_bytes(&l->v) + hm_linear_bytes(&l->o) +
                   hm_linear_bytes(&l->gate) + hm_linear_bytes(&l->up) + hm_linear_bytes(&l->down) + 8u * (uint64_t)m->config.dim;
    return one * (uint64_t)m->config.layers;
}

/* --- caches --- */

static int stored_heads(const hm_ctx *c, const hm_transformer_config *g)
{
    return hm_t(c)->gqa == HM_GQA_DIRECT ? g->kv_heads : g->heads;
}

uint64_t hm_kv_bytes(const hm_ctx *c, const hm_transformer_config *g, int batch, int slots)
{
    uint64_t one = (uint64_t)batch * (uint64_t)stored_heads(c, g) * (uint64_t)slots * (uint64_t)g->head_dim * sizeof(float);
    return 2 * one * (uint64_t)g->layers;
}

static hm_kv_view view_at(float *k, float *v, int heads, int slots, int head_dim)
{
    int64_t head = (int64_t)slots * head_dim;
    return (hm_kv_view){.k = k, .v = v, .heads = heads, .batch = head * heads, .head = head, .slot = head_dim};
}

hm_status hm_kv_open(hm_ctx *c, hm_kv_cache *kv, const hm_transformer_config *g, int batch, int slots, bool zero, hm_error *err)
{
    *kv = (hm_kv_cache){.layers = g->layers, .heads = stored_heads(c, g), .head_dim = g->head_dim, .batch = batch};
    kv->layer = hm_calloc((size_t)g->layers, sizeof *kv->layer, "caches", err);
    if (!kv->layer)
        return HM_EABSENT;
    if (hm_t(c)->kv == HM_KV_CONCAT)
        return HM_OK;
    size_t one = (size_t)batch * (size_t)kv->heads * (size_t)slots * (size_t)g->head_dim;
    kv->peak_bytes = 2 * one * sizeof(float) * (size_t)g->layers;
    float *p = kv->memory = c->ops.alloc(&c->ops, kv->peak_bytes);
    if (!p) {
        free(kv->layer);
        *kv = (hm_kv_cache){0};
        return hm_fail(err, HM_EABSENT, "caches: no memory for %zu bytes", 2 * one * sizeof(float) * (size_t)g->layers);
    }
    kv->capacity = slots;
    for (int i = 0; i < g->layers; i++, p += 2 * one)
        kv->layer[i] = view_at(p, p + one, kv->heads, slots, g->head_dim);
    if (zero)
        c->ops.fill(&c->ops, kv->memory, 0.0f, 2 * one * (size_t)g->layers);
    return HM_OK;
}

void hm_kv_reset(hm_ctx *c, hm_kv_cache *kv)
{
    kv->length = 0;
    if (kv->memory)
        return;
    for (int i = 0; i < kv->layers; i++)
        if (kv->layer[i].k) {
            c->ops.free(&c->ops, kv->layer[i].k);
            kv->layer[i] = (hm_kv_view){0};
        }
    kv->capacity = 0;
}

void hm_kv_close(hm_ctx *c, hm_kv_cache *kv)
{
    if (kv->layer)
        hm_kv_reset(c, kv);
    if (kv->memory)
        c->ops.free(&c->ops, kv->memory);
    free(kv->layer);
    *kv = (hm_kv_cache){0};
}

/* One layer's cache concatenated with S empty slots: new memory, old slots copied. */
static void kv_grow(hm_ctx *c, hm_kv_cache *kv, int layer, int S)
{
    const hm_ops *op = &c->ops;
    hm_kv_view old = kv->layer[layer];
    int rows = kv->batch * kv->heads, slots = kv->length + S, Dh = kv->head_dim;
    size_t one = (size_t)rows * (size_t)slots * (size_t)Dh;
    float *p = op->alloc(op, 2 * one * sizeof *p);
    if (!p)
        return;
    hm_kv_view grown = view_at(p, p + one, kv->heads, slots, Dh);
    if (kv->length) {
        op->copy_2d(op, grown.k, grown.head, old.k, old.head, kv->length * Dh, rows);
        op->copy_2d(op, grown.v, grown.head, old.v, old.head, kv->length * Dh, rows);
        c->counters.kv_copied_bytes += 2 * (uint64_t)rows * (uint64_t)kv->length * (uint64_t)Dh * sizeof(float);
        op->free(op, old.k);
    }
    c->counters.kv_grown++;
    kv->layer[layer] = grown;
    uint64_t bytes = 2 * one * sizeof *p * (uint64_t)kv->layers;
    kv->peak_bytes = bytes > kv->peak_bytes ? bytes : kv->peak_bytes;
}

/* --- forward --- */

void hm_transformer_layout(const hm_ctx *c, hm_layout *l, hm_transformer_scratch *s, const hm_transformer_config *g, int rows, int batch, int positions)
{
    size_t R = (size_t)rows, D = (size_t)g->dim, Q = (size_t)g->heads * (size_t)g->head_dim, KV = (size_t)g->kv_heads * (size_t)g->head_dim;
    size_t half = (size_t)g->head_dim / 2;
    bool once = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
    int slots = hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? g->max_positions : positions;
    s->n = hm_take_f32(l, R * D);
    s->q = hm_take_f32(l, R * Q);
    s->k = hm_take_f32(l, R * KV);
    s->v = hm_take_f32(l, R * KV);
    s->a = hm_take_f32(l, R * Q);
    s->t = hm_take_f32(l, R * D);
    s->gate = hm_take_f32(l, R * (size_t)g->ffn_dim);
    s->up = hm_take_f32(l, R * (size_t)g->ffn_dim);
    s->x_last = hm_take_f32(l, (size_t)batch * D);
    s->q_last = hm_take_f32(l, (size_t)batch * Q);
    s->table_positions = once ? positions : rows;
    s->cos = hm_take_f32(l, (size_t)s->table_positions * half);
    s->sin = hm_take_f32(l, (size_t)s->table_positions * half);
    s->mask = hm_t(c)->mask == HM_MASK_BUILT ? hm_take_f32(l, R * (size_t)slots) : NULL;
}

void hm_transformer_prepare(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s)
{
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE)
        c->ops.rope_table(&c->ops, s->cos, s->sin, m->theta, m->config.head_dim / 2, 0, s->table_positions);
}

/* What the attention of all layers of one forward shares. */
struct step {
    const hm_transformer *m;
    hm_transformer_scratch *s;
    hm_kv_cache *kv;
    const hm_transformer_pass *pass;
    const float *cos, *sin; /* row of the first position */
    int B, S, pos;
};

static void tap_layer(hm_ctx *c, const struct step *st, int layer, const char *what, const float *value, int rows)
{
    char name[96];
    if (!hm_tapping(c) || !st->pass->tap)
        return;
    snprintf(name, sizeof name, "%s.layer%d.%s", st->pass->tap, layer, what);
    hm_tap(c, name, value, st->pass->batch_row, st->B, rows, st->m->config.dim, false);
}

static void qkv_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, const float *n)
{
    const hm_ops *op = &c->ops;
    hm_transformer_scratch *s = st->s;
    int M = st->B * st->S;
    if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->linear_multi(op, 3, (float *const[]){s->q, s->k, s->v}, n, (const hm_linear *const[]){&l->q, &l->k, &l->v}, M);
        return;
    }
    op->linear(op, s->q, n, &l->q, M);
    op->linear(op, s->k, n, &l->k, M);
    op->linear(op, s->v, n, &l->v, M);
}

/* Step 5 for query rows q [B*rows] that end at the last position. */
static void attention_forward(hm_ctx *c, const struct step *st, int layer, float *out, const float *q, int rows)
{
    const hm_transformer_config *g = &st->m->config;
    bool built = hm_t(c)->mask == HM_MASK_BUILT, all = hm_t(c)->attn == HM_ATTN_ALL_SLOTS;
    int slots = all ? st->kv->capacity : st->pos + st->S, first = st->pos + st->S - rows;
    c->ops.attention(&c->ops, &(hm_attention_args){
                                  .out = out,
                                  .q = q,
                                  .kv = st->kv->layer[layer],
                                  .B = st->B,
                                  .S = rows,
                                  .H = g->heads,
                                  .Dh = g->head_dim,
                                  .slots = slots,
                                  .pos = first,
                                  .causal = !built,
                                  .mask = built ? st->s->mask + (size_t)(st->S - rows) * (size_t)slots : NULL,
                                  .scale = 1.0f / sqrtf((float)g->head_dim),
                              });
}

/* Step 7: x += W2(silu(W1 n) * W3 n) with n = norm(x). */
static void ffn_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, float *x, int M)
{
    const hm_ops *op = &c->ops;
    hm_transformer_scratch *s = st->s;
    int D = st->m->config.dim, F = st->m->config.ffn_dim;
    op->rmsnorm(op, s->n, x, l->mlp_norm, M, D, EPS);
    if (hm_t(c)->fuse == HM_FUSE_ALL) {
        op->linear_swiglu(op, s->gate, s->n, &l->gate, &l->up, M);
        op->linear_add(op, x, s->gate, &l->down, M);
        return;
    }
    op->linear(op, s->gate, s->n, &l->gate, M);
    op->linear(op, s->up, s->n, &l->up, M);
    op->silu_mul(op, s->gate, s->gate, s->up, (size_t)M * (size_t)F);
    op->linear(op, s->t, s->gate, &l->down, M);
    op->add(op, x, s->t, (size_t)M * (size_t)D);
}

/* Step 6: x += Wo a. */
static void output_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, int layer, float *x, const float *a, int rows)
{
    const hm_ops *op = &c->ops;
    int M = st->B * rows, D = st->m->config.dim;
    bool fused = hm_t(c)->fuse == HM_FUSE_ALL;
    if (!fused || hm_tapping(c)) {
        op->linear(op, st->s->t, a, &l->o, M);
        tap_layer(c, st, layer, "attn.out", st->s->t, rows);
    }
    if (fused)
        op->linear_add(op, x, a, &l->o, M);
    else
        op->add(op, x, st->s->t, (size_t)M * (size_t)D);
}

/* One layer. x [B*S][D] in place; with only_last it ends in s->x_last [B][D] and earlier rows are not computed beyond K and V. */
static void layer_forward(hm_ctx *c, const struct step *st, int i, float *x, bool only_last)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_layer *l = &st->m->layers[i];
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    int B = st->B, S = st->S, M = B * S, D = g->dim, Q = g->heads * g->head_dim;

    op->rmsnorm(op, s->n, x, l->attn_norm, M, D, EPS);                             /* 1  n = norm(x)            */
    qkv_forward(c, st, l, s->n);                                                   /* 2  q, k, v = Wq n ...     */
    op->rope(op, s->q, st->cos, st->sin, B, S, g->heads, g->head_dim);             /* 3  rotate q and k         */
    op->rope(op, s->k, st->cos, st->sin, B, S, g->kv_heads, g->head_dim);
    if (hm_t(c)->kv == HM_KV_CONCAT)
        kv_grow(c, st->kv, i, S);
    if (hm_ops_status(op))
        return;
    op->kv_put(op, &st->kv->layer[i], s->k, s->v, B, S, g->kv_heads, g->head_dim, st->pos); /* 4  k, v join the cache */
    if (!only_last) {
        attention_forward(c, st, i, s->a, s->q, S);                                /* 5  a = softmax(q k) v     */
        output_forward(c, st, l, i, x, s->a, S);                                   /* 6  x += Wo a              */
        ffn_forward(c, st, l, x, M);                                               /* 7  x += FFN(norm(x))      */
        tap_layer(c, st, i, "out", x, S);
        return;
    }
    op->copy_2d(op, s->x_last, D, x + (size_t)(S - 1) * (size_t)D, (int64_t)S * D, D, B);
    op->copy_2d(op, s->q_last, Q, s->q + (size_t)(S - 1) * (size_t)Q, (int64_t)S * Q, Q, B);
    attention_forward(c, st, i, s->a, s->q_last, 1);
    output_forward(c, st, l, i, s->x_last, s->a, 1);
    ffn_forward(c, st, l, s->x_last, B);
    tap_layer(c, st, i, "out", s->x_last, 1);
}

int hm_transformer_forward(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s, hm_kv_cache *kv, float *y, float *x, int B, int S,
                     const hm_transformer_pass *pass)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &m->config;
    int half = g->head_dim / 2, pos = kv->length, L = g->layers;
    bool once = hm_t(c)->precompute == HM_PRECOMPUTE_ONCE;
    bool only_last = hm_t(c)->rows == HM_ROWS_NEEDED && S > 1;
    size_t row = once ? (size_t)pos * (size_t)half : 0;
    struct step st = {.m = m, .s = s, .kv = kv, .pass = pass, .cos = s->cos + row, .sin = s->sin + row, .B = B, .S = S, .pos = pos};

    c->counters.forward_passes++;
    if (!once)
        op->rope_table(op, s->cos, s->sin, m->theta, half, pos, S);
    if (hm_t(c)->mask == HM_MASK_BUILT)
        op->causal_mask(op, s->mask, S, hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? kv->capacity : pos + S, pos);
    for (int i = 0; i < L && !hm_ops_status(op); i++)
        layer_forward(c, &st, i, x, only_last && i == L - 1);
    kv->length += S;
    kv->capacity = kv->memory ? kv->capacity : kv->length;
    op->rmsnorm(op, y, only_last ? s->x_last : x, m->norm, only_last ? B : B * S, g->dim, EPS); /* 8  y = norm(x) */
    return only_last ? 1 : S;
}
