#include "engine/models/transformer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hm_rope_theta(float *theta, int head_dim, double base)
{
    for (int j = 0; j < head_dim / 2; j++)
        theta[j] = 1.0f / (float)pow(base, (double)((float)(2 * j) / (float)head_dim));
}

/* A vector under a name that the model may not have. */
static hm_status bind_optional(const hm_binder *b, float **out, const char *prefix, int i, const char *name)
{
    *out = NULL;
    return name ? hm_bind_f32(b, out, "%s.layers.%d.%s", prefix, i, name) : HM_OK;
}

static hm_status bind_layer(const hm_binder *b, hm_transformer_layer *l, const hm_transformer_names *n, const char *prefix, int i)
{
    const struct {
        hm_linear *to;
        const char *name;
    } linears[] = {{&l->q, n->q}, {&l->k, n->k}, {&l->v, n->v}, {&l->o, n->o}, {&l->gate, n->gate}, {&l->up, n->up}, {&l->down, n->down}};
    const struct {
        float **to;
        const char *name;
    } vectors[] = {{&l->attn_norm, n->attn_norm},         {&l->mlp_norm, n->mlp_norm},  {&l->attn_norm_bias, n->attn_norm_bias},
                   {&l->mlp_norm_bias, n->mlp_norm_bias}, {&l->q_norm, n->q_norm},      {&l->k_norm, n->k_norm},
                   {&l->attn_scale, n->attn_scale},       {&l->mlp_scale, n->mlp_scale}};
    hm_status st = HM_OK;
    for (size_t j = 0; j < sizeof linears / sizeof *linears && !st; j++)
        if (linears[j].name)
            st = hm_bind_linear(b, linears[j].to, "%s.layers.%d.%s", prefix, i, linears[j].name);
    for (size_t j = 0; j < sizeof vectors / sizeof *vectors && !st; j++)
        st = bind_optional(b, vectors[j].to, prefix, i, vectors[j].name);
    return st;
}

hm_status hm_transformer_bind(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, const float *theta,
                              const char *prefix)
{
    hm_ctx *c = b->c;
    size_t bytes = (size_t)config->head_dim / 2 * sizeof *theta;
    hm_status st = HM_OK;
    *m = (hm_transformer){.config = *config};
    m->layers = hm_calloc((size_t)config->layers, sizeof *m->layers, "layers", b->err);
    m->theta = hm_bind_alloc(c, bytes, b->err);
    if (!m->layers || !m->theta)
        return HM_EABSENT;
    hm_counters before = c->counters; /* loading is not a transfer of the song's */
    c->ops.upload(&c->ops, m->theta, theta, bytes);
    c->counters = before;
    for (int i = 0; i < config->layers && !st; i++)
        st = bind_layer(b, &m->layers[i], config->names, prefix, i);
    return st || !config->names->norm ? st : hm_bind_f32(b, &m->norm, "%s.%s", prefix, config->names->norm);
}

hm_status hm_transformer_bind_rope(const hm_binder *b, hm_transformer *m, const hm_transformer_config *config, double base,
                                   const char *prefix)
{
    float *theta = hm_calloc((size_t)config->head_dim / 2, sizeof *theta, "rotation table", b->err);
    if (!theta)
        return HM_EABSENT;
    hm_rope_theta(theta, config->head_dim, base);
    hm_status st = hm_transformer_bind(b, m, config, theta, prefix);
    free(theta);
    return st;
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
                   (l->gate.w ? hm_linear_bytes(&l->gate) : 0) + hm_linear_bytes(&l->up) + hm_linear_bytes(&l->down) +
                   8u * (uint64_t)m->config.dim;
    return one * (uint64_t)m->config.layers;
}

void hm_transformer_formats(const hm_transformer *m, hm_formats *formats)
{
    const hm_transformer_layer *l = m->layers; /* all are alike */
    const hm_linear *const linears[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++)
        if (linears[i]->w)
            hm_formats_add(formats, linears[i]);
}

/* --- forward --- */

void hm_transformer_layout(const hm_ctx *c, hm_layout *l, hm_transformer_scratch *s, const hm_transformer_config *g, int rows, int batch,
                           int positions)
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

/* What all layers of one forward share. */
struct step {
    const hm_transformer *m;
    hm_transformer_scratch *s;
    hm_kv_cache *const *kv; /* [n] */
    const hm_transformer_pass *pass;
    int n, B, S, rows; /* sequences, batch rows of each, positions; rows of x */
    bool alike;        /* the last batch row has one position for all */
};

void hm_transformer_tap(hm_ctx *c, const char *name, const float *value, const hm_transformer_pass *pass, int B, int S, int width)
{
    const hm_ops *op = &c->ops;
    size_t whole = (size_t)((B - 1) * S) * (size_t)width;
    if (!hm_tapping(c))
        return;
    if (!pass->alike || S == 1) {
        hm_tap(c, name, value, pass->batch_row, B, S, width, false);
        return;
    }
    float *repeated = op->alloc(op, (size_t)S * (size_t)width * sizeof *repeated);
    if (!repeated)
        return;
    hm_counters before = c->counters; /* telling must not count */
    op->copy_2d(op, repeated, width, value + whole, 0, width, S);
    c->counters = before;
    if (B > 1)
        hm_tap(c, name, value, pass->batch_row, B - 1, S, width, false);
    hm_tap(c, name, repeated, pass->batch_row + B - 1, 1, S, width, false);
    op->free(op, repeated);
}

static void tap_layer(hm_ctx *c, const struct step *st, int layer, const char *what, const float *value, int rows)
{
    char name[96];
    if (!hm_tapping(c))
        return;
    if (st->pass->first_out && !layer && rows == st->S && !strcmp(what, "out") && !st->alike)
        hm_tap(c, st->pass->first_out, value, st->pass->batch_row, st->n * st->B * rows, 1, st->m->config.dim, false);
    if (!st->pass->tap)
        return;
    snprintf(name, sizeof name, "%s.layer%d.%s", st->pass->tap, layer, what);
    hm_transformer_tap(c, name, value, st->pass, st->n * st->B, rows, st->m->config.dim);
}

/* y = W x (+ b), in the way the config asks for. */
static void project(hm_ctx *c, const struct step *st, float *y, const float *x, const hm_linear *w, int M)
{
    if (st->m->config.cut_free)
        c->ops.linear_ex(&c->ops, &(hm_linear_args){.y = y, .x = x, .w = w, .M = M});
    else
        c->ops.linear(&c->ops, y, x, w, M);
}

static void normalise(hm_ctx *c, const struct step *st, float *y, const float *x, const float *weight, const float *bias, int M)
{
    const hm_transformer_config *g = &st->m->config;
    if (g->names->attn_norm_bias)
        c->ops.layernorm(&c->ops, y, x, weight, bias, M, g->dim, g->eps);
    else
        c->ops.rmsnorm(&c->ops, y, x, weight, M, g->dim, g->eps);
}

/* Whether a norm is done by whoever multiplies next. */
static bool norm_joins(const hm_ctx *c, const struct step *st)
{
    const hm_transformer_config *g = &st->m->config;
    return hm_t(c)->fuse == HM_FUSE_ALL && c->ops.linear_multi_norm && !g->cut_free && !g->names->attn_norm_bias;
}

/* Steps 1 and 2: q, k, v = W norm(x). */
static void qkv_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, const float *x)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    int M = st->rows;
    float *const y[] = {s->q, s->k, s->v};
    const hm_linear *const w[] = {&l->q, &l->k, &l->v};
    if (norm_joins(c, st)) {
        op->linear_multi_norm(op, 3, y, x, l->attn_norm, g->eps, s->n, w, M);
        return;
    }
    normalise(c, st, s->n, x, l->attn_norm, l->attn_norm_bias, M);
    if (hm_t(c)->fuse == HM_FUSE_ALL && !g->cut_free)
        op->linear_multi(op, 3, y, s->n, w, M);
    else
        for (int i = 0; i < 3; i++)
            project(c, st, y[i], s->n, w[i], M);
}

/* Queries and keys normalised over every head, where the model has that. */
static void norm_heads(hm_ctx *c, const struct step *st, const hm_transformer_layer *l)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    int M = st->rows;
    if (l->q_norm)
        op->rmsnorm(op, st->s->q, st->s->q, l->q_norm, M * g->heads, g->head_dim, g->eps);
    if (l->k_norm)
        op->rmsnorm(op, st->s->k, st->s->k, l->k_norm, M * g->kv_heads, g->head_dim, g->eps);
}

/* Row of the rotation tables that sequence i's first position has: all positions are there, or those of this call one after the other. */
static size_t table_row(const hm_ctx *c, const struct step *st, int i)
{
    size_t half = (size_t)st->m->config.head_dim / 2;
    return half * (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE ? (size_t)st->kv[i]->length : (size_t)(i * st->S));
}

/* Slots that a row of sequence i attends over, and the mask of its rows, where masks are built. */
static int mask_slots(const hm_ctx *c, const struct step *st, int i)
{
    return hm_t(c)->attn == HM_ATTN_ALL_SLOTS ? st->kv[i]->capacity : st->kv[i]->length + st->S;
}

/* Step 5 for query rows q [n*B*rows] that end at the last position of their sequence. */
static void attention_forward(hm_ctx *c, const struct step *st, int layer, float *out, const float *q, int rows)
{
    const hm_transformer_config *g = &st->m->config;
    bool built = hm_t(c)->mask == HM_MASK_BUILT;
    size_t Q = (size_t)g->heads * (size_t)g->head_dim;
    const float *mask = st->s->mask;
    hm_attention_args a = {.S = rows, .H = g->heads, .Dh = g->head_dim, .scale = 1.0f / sqrtf((float)g->head_dim)};
    for (int i = 0; i < st->n; i++) {
        size_t at = (size_t)i * (size_t)st->B * (size_t)rows * Q;
        a.out = out + at;
        a.q = q + at;
        a.kv = st->kv[i]->layer[layer];
        a.B = st->B - st->alike;
        a.slots = mask_slots(c, st, i);
        a.pos = st->kv[i]->length + st->S - rows;
        a.causal = !built;
        a.window = built ? 0 : g->window;
        a.mask = built ? mask + (size_t)(st->S - rows) * (size_t)a.slots : NULL;
        if (a.B)
            c->ops.attention(&c->ops, &a);
        if (built)
            mask += (size_t)st->S * (size_t)a.slots;
    }
    if (!st->alike)
        return;
    size_t one = (size_t)((st->B - 1) * rows) * Q; /* over its own slot alone: whatever the weights, their mean is this value */
    a = (hm_attention_args){.out = out + one, .q = q + one, .B = 1, .S = 1, .H = a.H, .Dh = a.Dh, .scale = a.scale, .slots = 1};
    a.kv = hm_kv_from(&st->kv[0]->layer[layer], st->B - 1, 0);
    a.causal = true;
    c->ops.attention(&c->ops, &a);
}

/* x += scale * (W y): what a sublayer adds. */
static void add_projected(hm_ctx *c, const struct step *st, float *x, const float *y, const hm_linear *w, const float *scale, int M)
{
    const hm_ops *op = &c->ops;
    int D = st->m->config.dim;
    if (scale) {
        project(c, st, st->s->t, y, w, M);
        op->gate_add(op, x, st->s->t, scale, 1, M, D, 0);
    } else if (hm_t(c)->fuse == HM_FUSE_NONE) {
        project(c, st, st->s->t, y, w, M);
        op->add(op, x, st->s->t, (size_t)M * (size_t)D);
    } else if (st->m->config.cut_free)
        op->linear_ex(op, &(hm_linear_args){.y = x, .x = y, .w = w, .M = M, .residual = x});
    else
        op->linear_add(op, x, y, w, M);
}

/* Step 7: x += W2(silu(W1 n) * W3 n) with n = norm(x), or W2(gelu(W3 n)). */
static void ffn_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, float *x, int M)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    size_t count = (size_t)M * (size_t)g->ffn_dim;
    if (!g->plain_mlp && norm_joins(c, st)) {
        op->linear_swiglu_norm(op, s->gate, x, l->mlp_norm, g->eps, s->n, &l->gate, &l->up, M);
        add_projected(c, st, x, s->gate, &l->down, l->mlp_scale, M);
        return;
    }
    normalise(c, st, s->n, x, l->mlp_norm, l->mlp_norm_bias, M);
    if (g->plain_mlp) {
        project(c, st, s->gate, s->n, &l->up, M);
        op->activate(op, s->gate, HM_ACT_GELU, 0, count);
    } else if (hm_t(c)->fuse == HM_FUSE_ALL && !g->cut_free)
        op->linear_swiglu(op, s->gate, s->n, &l->gate, &l->up, M);
    else {
        project(c, st, s->gate, s->n, &l->gate, M);
        project(c, st, s->up, s->n, &l->up, M);
        op->silu_mul(op, s->gate, s->gate, s->up, count);
    }
    add_projected(c, st, x, s->gate, &l->down, l->mlp_scale, M);
}

/* Step 6: x += Wo a. */
static void output_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, int layer, float *x, const float *a, int rows)
{
    int M = rows == st->S ? st->rows : st->n * st->B;
    if (hm_tapping(c) && st->pass->tap) {
        project(c, st, st->s->t, a, &l->o, M);
        tap_layer(c, st, layer, "attn.out", st->s->t, rows);
    }
    add_projected(c, st, x, a, &l->o, l->attn_scale, M);
}

/* Steps 3 and 4 for B batch rows of S positions of sequence i, whose q, k and v begin at `row` and go into the view. */
static void cache_rows(hm_ctx *c, const struct step *st, const hm_kv_view *view, int i, int row, int B, bool queries)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    size_t Q = (size_t)g->heads * (size_t)g->head_dim, KV = (size_t)g->kv_heads * (size_t)g->head_dim, table = table_row(c, st, i);
    float *q = s->q + (size_t)row * Q, *k = s->k + (size_t)row * KV, *v = s->v + (size_t)row * KV;
    if (queries)
        op->rope(op, q, s->cos + table, s->sin + table, B, st->S, g->heads, g->head_dim, g->half_rope); /* 3 */
    op->rope(op, k, s->cos + table, s->sin + table, B, st->S, g->kv_heads, g->head_dim, g->half_rope);
    op->kv_put(op, view, k, v, B, st->S, g->kv_heads, g->head_dim, st->kv[i]->length); /* 4 */
}

/* Steps 3 and 4: q and k rotated, k and v joined to the caches. */
static void cache_forward(hm_ctx *c, const struct step *st, int layer)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    int whole = st->B - st->alike, KV = g->kv_heads * g->head_dim;
    for (int i = 0; i < st->n && !hm_ops_status(op); i++) {
        hm_kv_grow(c, st->kv[i], layer, st->S);
        if (!hm_ops_status(op) && whole)
            cache_rows(c, st, &st->kv[i]->layer[layer], i, i * st->B * st->S, whole, true);
    }
    if (!st->alike || hm_ops_status(op))
        return;
    int first = whole * st->S; /* the one position's row, then room for the others */
    hm_kv_view view = hm_kv_from(&st->kv[0]->layer[layer], whole, 0);
    float *k = st->s->k + (size_t)first * (size_t)KV, *v = st->s->v + (size_t)first * (size_t)KV;
    op->copy_2d(op, k + KV, KV, k, 0, KV, st->S - 1);
    op->copy_2d(op, v + KV, KV, v, 0, KV, st->S - 1);
    cache_rows(c, st, &view, 0, first, 1, false);
}

/* Steps 3 to 5 of all sequences as one operation each; false: not here, and nothing was done. */
static bool step_forward(hm_ctx *c, const struct step *st, const hm_transformer_layer *l, int layer)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    size_t Q = (size_t)g->heads * (size_t)g->head_dim, KV = (size_t)g->kv_heads * (size_t)g->head_dim, rows = (size_t)(st->B * st->S);
    if (hm_t(c)->fuse != HM_FUSE_ALL || hm_t(c)->attn != HM_ATTN_FLASH || !op->step || st->alike || g->window)
        return false;
    for (int i = 0; i < st->n && !hm_ops_status(op); i++) {
        size_t row = (size_t)i * rows, table = table_row(c, st, i);
        const hm_kv_cache *kv = st->kv[i];
        hm_step_args a = {.a = {.out = s->a + row * Q,
                                .q = s->q + row * Q,
                                .kv = kv->layer[layer],
                                .B = st->B,
                                .S = st->S,
                                .H = g->heads,
                                .Dh = g->head_dim,
                                .slots = kv->length + st->S,
                                .pos = kv->length,
                                .causal = true,
                                .scale = 1.0f / sqrtf((float)g->head_dim)},
                          .k = s->k + row * KV,
                          .v = s->v + row * KV,
                          .q_norm = l->q_norm,
                          .k_norm = l->k_norm,
                          .eps = g->eps,
                          .cos = s->cos + table,
                          .sin = s->sin + table,
                          .half = g->half_rope};
        if (kv->layer[layer].heads != g->kv_heads || !kv->memory || !op->step(op, &a))
            return false; /* all are done in the other way then: nothing of this one's is in the way */
    }
    return true;
}

/* The rows of each batch row's last position, [n*B][width] to y from x. */
static void last_rows(hm_ctx *c, const struct step *st, float *y, const float *x, int width)
{
    int64_t step = st->alike ? 1 : st->S, first = st->alike && st->B == 1 ? 0 : st->S - 1;
    c->ops.copy_2d(&c->ops, y, width, x + first * width, step * width, width, st->n * st->B);
}

/* One layer. x [n*B*S][D] in place; with only_last it ends in s->x_last [n*B][D] and earlier rows are not computed beyond K and V. */
static void layer_forward(hm_ctx *c, const struct step *st, int i, float *x, bool only_last)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_layer *l = &st->m->layers[i];
    const hm_transformer_config *g = &st->m->config;
    hm_transformer_scratch *s = st->s;
    int R = st->n * st->B, S = st->S, M = st->rows, D = g->dim, Q = g->heads * g->head_dim;

    qkv_forward(c, st, l, x); /* 1, 2  q, k, v = W norm(x) */
    if (hm_t(c)->sync == HM_SYNC_LAYER)
        op->sync(op);                                        /* heartlib asks the device whether the cache has room (H1) */
    bool attended = !only_last && step_forward(c, st, l, i); /* 3, 4, 5 in one */
    if (!attended) {
        norm_heads(c, st, l);
        cache_forward(c, st, i); /* 3, 4 */
    }
    if (hm_ops_status(op))
        return;
    if (!only_last) {
        if (!attended)
            attention_forward(c, st, i, s->a, s->q, S); /* 5  a = softmax(q k) v */
        output_forward(c, st, l, i, x, s->a, S);        /* 6  x += Wo a */
        ffn_forward(c, st, l, x, M);                    /* 7  x += FFN(norm(x)) */
        tap_layer(c, st, i, "out", x, S);
        return;
    }
    last_rows(c, st, s->x_last, x, D);
    last_rows(c, st, s->q_last, s->q, Q);
    attention_forward(c, st, i, s->a, s->q_last, 1);
    output_forward(c, st, l, i, s->x_last, s->a, 1);
    ffn_forward(c, st, l, s->x_last, R);
    tap_layer(c, st, i, "out", s->x_last, 1);
}

/* What is made anew in every call: rotation of its positions, masks over its slots. */
static void make_tables(hm_ctx *c, const struct step *st)
{
    const hm_ops *op = &c->ops;
    hm_transformer_scratch *s = st->s;
    float *mask = s->mask;
    int half = st->m->config.head_dim / 2, S = st->S;
    for (int i = 0; i < st->n; i++) {
        const hm_kv_cache *kv = st->kv[i];
        int pos = kv->length, slots = mask_slots(c, st, i);
        if (hm_t(c)->precompute == HM_PRECOMPUTE_PER_CALL)
            op->rope_table(op, s->cos + (size_t)(i * S * half), s->sin + (size_t)(i * S * half), st->m->theta, half, kv->base + pos, S);
        if (hm_t(c)->mask == HM_MASK_BUILT) {
            op->causal_mask(op, mask, S, slots, pos, st->m->config.window);
            mask += (size_t)S * (size_t)slots;
        }
    }
}

int hm_transformer_forward(hm_ctx *c, const hm_transformer *m, hm_transformer_scratch *s, hm_kv_cache *const *kv, int n, float *y, float *x,
                           int B, int S, const hm_transformer_pass *pass)
{
    const hm_ops *op = &c->ops;
    const hm_transformer_config *g = &m->config;
    bool alike = pass->alike && S > 1;
    int L = g->layers, R = n * B, M = n * hm_transformer_rows(B, S, alike);
    bool only_last = hm_t(c)->rows == HM_ROWS_NEEDED && S > 1 && !g->cut_free;
    bool told = hm_tapping(c) && pass->first_out && L == 1; /* the only layer's output is wanted whole */
    struct step st = {.m = m, .s = s, .kv = kv, .pass = pass, .n = n, .B = B, .S = S, .rows = M, .alike = alike};
    size_t D = (size_t)g->dim;

    c->counters.forward_passes++;
    make_tables(c, &st);
    for (int i = 0; i < L && !hm_ops_status(op); i++) {
        bool last = only_last && i == L - 1 && !told;
        size_t kept = (size_t)(last ? R : M) * D;
        layer_forward(c, &st, i, x, last);
        if (pass->hidden) {
            op->copy(op, pass->hidden + (size_t)i * (size_t)M * D, last ? s->x_last : x, kept * sizeof *x);
            c->counters.reset_bytes += kept * sizeof *x;
        }
    }
    if (only_last && told)
        last_rows(c, &st, s->x_last, x, g->dim);
    for (int i = 0; i < n; i++) {
        kv[i]->length += S;
        kv[i]->capacity = kv[i]->memory ? kv[i]->capacity : kv[i]->length;
    }
    const float *end = only_last ? s->x_last : x;
    int kept = only_last ? R : M;
    if (m->norm)
        normalise(c, &st, y, end, m->norm, NULL, kept); /* 8  y = norm(x) */
    else
        op->copy(op, y, end, (size_t)kept * D * sizeof *y);
    if (hm_t(c)->sync == HM_SYNC_STEP)
        op->sync(op);
    return only_last ? 1 : S;
}
