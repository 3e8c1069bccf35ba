/* Weights of the talker and its code predictor, and what a frame costs (qwen3_tts.md sections 1, 2 and 10). */
#include <stdlib.h>
#include <string.h>

#include "engine/models/qwen3_tts_impl.h"

static const hm_transformer_names names = {HM_TRANSFORMER_HF_NAMES, HM_TRANSFORMER_HF_GATED, .q_norm = "self_attn.q_norm.weight",
                                           .k_norm = "self_attn.k_norm.weight"};

static hm_transformer_config stack(const hm_tts_stack *s, int positions)
{
    return (hm_transformer_config){.layers = (int)s->layers,
                                   .heads = (int)s->heads,
                                   .kv_heads = (int)s->kv_heads,
                                   .dim = (int)s->width,
                                   .head_dim = (int)s->head_dim,
                                   .ffn_dim = (int)s->hidden,
                                   .max_positions = positions,
                                   .eps = (float)s->eps,
                                   .half_rope = true,
                                   .typed_kv = true,
                                   .names = &names};
}

hm_transformer_config hm_talker_stack(const hm_talker_shape *g, int positions)
{
    return stack(&g->talker, positions);
}

hm_transformer_config hm_predictor_stack(const hm_talker_shape *g)
{
    return stack(&g->predictor, (int)g->groups);
}

/* Embeddings as they are stored: rows are converted as they are gathered. All of codes in one type, so that they can be summed at once. */
static hm_status bind_embeddings(const hm_binder *b, hm_talker *m)
{
    hm_binder stored = *b;
    stored.f32 = false;
    hm_status st = hm_bind_tensor(&stored, &m->text_embedding, &m->text_type, NULL, "talker.model.text_embedding.weight");
    if (!st)
        st = hm_bind_tensor(&stored, &m->codec_embedding, &m->codec_type, NULL, "talker.model.codec_embedding.weight");
    m->group_embedding[0] = m->codec_embedding;
    m->group_type = m->codec_type;
    for (int g = 1; g < (int)m->shape.groups && !st; g++) {
        hm_dtype type = m->codec_type;
        st = hm_bind_tensor(&stored, &m->group_embedding[g], &type, NULL, "talker.code_predictor.model.codec_embedding.%d.weight", g - 1);
        if (!st && type != m->codec_type)
            st = hm_fail(b->err, HM_EFORMAT,
                         "talker.code_predictor.model.codec_embedding.%d.weight: expected the type of talker.model.codec_embedding.weight, "
                         "%s, found %s; store both alike",
                         g - 1, hm_dtype_name(m->codec_type), hm_dtype_name(type));
    }
    return st;
}

/* Of panels only the first rows are a matrix. */
static hm_linear head_rows(const hm_linear *head, int64_t first, int64_t rows)
{
    hm_linear part = *head;
    part.w = (const uint8_t *)head->w + (size_t)first * (size_t)head->in * hm_dtype_bytes(head->type);
    part.out = (int)rows;
    return part;
}

static hm_status bind_heads(const hm_binder *heads, const hm_binder *predictor, hm_talker *m)
{
    const hm_talker_shape *g = &m->shape;
    int64_t live = g->code_vocab - HM_TALKER_SUPPRESSED;
    hm_status st = hm_bind_linear(heads, &m->codec_head, "talker.codec_head.weight");
    if (st)
        return st;
    m->live_head = head_rows(&m->codec_head, 0, live);
    if (g->codec_eos >= live && heads->pack)
        st = hm_bind_linear_rows(heads, &m->eos_head, (int)g->codec_eos, 1, "talker.codec_head.weight");
    else if (g->codec_eos >= live)
        m->eos_head = head_rows(&m->codec_head, g->codec_eos, 1);
    for (int i = 1; i < (int)g->groups && !st; i++)
        st = hm_bind_linear(heads, &m->group_head[i], "talker.code_predictor.lm_head.%d.weight", i - 1);
    if (!st && g->talker.width != g->predictor.width)
        st = hm_bind_biased(predictor, &m->projection, "talker.code_predictor.small_to_mtp_projection");
    return st;
}

/* Device memory of a step of loading, and ids 0, 1, 2 ... of it. */
struct loading {
    float *rows;
    int32_t *ids;
};

static hm_status loading_open(hm_ctx *c, struct loading *l, size_t floats, const int32_t *ids, size_t count, hm_error *err)
{
    const hm_ops *op = &c->ops;
    l->rows = op->alloc(op, floats * sizeof(float));
    l->ids = op->alloc(op, count * sizeof(int32_t));
    if (!l->rows || !l->ids)
        return hm_fail(err, HM_EABSENT, "weights: no memory for %zu bytes", floats * sizeof(float) + count * sizeof(int32_t));
    op->upload(op, l->ids, ids, count * sizeof(int32_t));
    return HM_OK;
}

static void loading_close(hm_ctx *c, struct loading *l)
{
    if (l->rows)
        c->ops.free(&c->ops, l->rows);
    if (l->ids)
        c->ops.free(&c->ops, l->ids);
}

/* P of the three special ids. */
static hm_status make_special_rows(hm_ctx *c, hm_talker *m, hm_error *err)
{
    const int32_t ids[3] = {(int32_t)m->shape.tts_pad, (int32_t)m->shape.tts_bos, (int32_t)m->shape.tts_eos};
    size_t H = (size_t)m->shape.talker.width, Ht = (size_t)m->shape.text_width;
    struct loading l = {0};
    m->text_pad = hm_bind_alloc(c, 3 * H * sizeof(float), err);
    hm_status st = m->text_pad ? loading_open(c, &l, 6 * Ht, ids, 3, err) : HM_EABSENT;
    if (!st) {
        m->text_bos = m->text_pad + H;
        m->text_eos = m->text_bos + H;
        hm_talker_project_text(c, m, m->text_pad, l.rows, l.rows + 3 * Ht, l.ids, 3);
    }
    loading_close(c, &l);
    return st ? st : hm_talker_status(c, err);
}

/* The projection of every row that the predictor looks up (Q14), in the sums that a looked-up row gets. */
static hm_status fold_tables(hm_ctx *c, hm_talker *m, hm_error *err)
{
    const hm_ops *op = &c->ops;
    const hm_talker_shape *g = &m->shape;
    int H = (int)g->talker.width, Hc = (int)g->predictor.width, V = (int)g->code_vocab, Vc = (int)g->codebook;
    struct loading l = {0};
    int32_t *ids = hm_calloc((size_t)V, sizeof *ids, "ids", err);
    for (int i = 0; ids && i < V; i++)
        ids[i] = i;
    hm_status st = ids ? loading_open(c, &l, (size_t)HM_FEW_ROWS * (size_t)H, ids, (size_t)V, err) : HM_EABSENT;
    for (int k = 0; k < (int)g->groups - 1 && !st; k++) {
        int rows = k ? Vc : V;
        m->folded[k] = hm_bind_alloc(c, (size_t)rows * (size_t)Hc * sizeof(float), err);
        if (!m->folded[k])
            st = HM_EABSENT;
        for (int i = 0; i < rows && !st; i += HM_FEW_ROWS) {
            int n = rows - i < HM_FEW_ROWS ? rows - i : HM_FEW_ROWS;
            op->gather(op, l.rows, m->group_embedding[k], m->group_type, H, l.ids + i, n);
            op->linear(op, m->folded[k] + (size_t)i * (size_t)Hc, l.rows, &m->projection, n);
        }
        c->counters.table_values += (uint64_t)rows * (uint64_t)Hc;
    }
    loading_close(c, &l);
    free(ids);
    return st ? st : hm_talker_status(c, err);
}

hm_status hm_talker_bind(hm_ctx *c, hm_talker *m, const hm_talker_shape *g, hm_weights *w, hm_error *err)
{
    hm_tensor_table table = {0};
    hm_binder talker = hm_binder_at(c, w, &table, hm_t(c)->precision_backbone, err);
    hm_binder predictor = hm_binder_at(c, w, &table, hm_t(c)->precision_decoder, err);
    hm_binder heads = hm_binder_at(c, w, &table, hm_t(c)->precision_heads, err);
    hm_transformer_config big = hm_talker_stack(g, (int)g->talker.positions), small = hm_predictor_stack(g);
    *m = (hm_talker){.shape = *g};
    hm_status st = hm_talker_table(&table, g, err);
    if (!st)
        st = hm_transformer_bind_rope(&talker, &m->talker, &big, g->talker.rope_theta, "talker.model");
    if (!st)
        st = hm_transformer_bind_rope(&predictor, &m->predictor, &small, g->predictor.rope_theta, "talker.code_predictor.model");
    if (!st)
        st = bind_embeddings(&talker, m);
    if (!st)
        st = hm_bind_biased(&talker, &m->fc1, "talker.text_projection.linear_fc1");
    if (!st)
        st = hm_bind_biased(&talker, &m->fc2, "talker.text_projection.linear_fc2");
    if (!st)
        st = bind_heads(&heads, &predictor, m);
    hm_tensor_table_close(&table);
    if (hm_t(c)->precompute == HM_PRECOMPUTE_ONCE) {
        if (!st)
            st = make_special_rows(c, m, err);
        if (!st && m->projection.w)
            st = fold_tables(c, m, err);
    }
    return st;
}

void hm_talker_release(hm_talker *m)
{
    hm_transformer_release(&m->talker);
    hm_transformer_release(&m->predictor);
}

/* Section 10: the talker once, the predictor `passes` times. */
static uint64_t weight_bytes(const hm_talker *m, int passes)
{
    uint64_t once = hm_transformer_pass_bytes(&m->predictor) + (m->projection.w ? hm_linear_bytes(&m->projection) : 0);
    uint64_t bytes = hm_transformer_pass_bytes(&m->talker) + hm_linear_bytes(&m->codec_head) + once * (uint64_t)passes;
    for (int g = 1; g < (int)m->shape.groups; g++)
        bytes += hm_linear_bytes(&m->group_head[g]);
    return bytes;
}

uint64_t hm_talker_frame_bytes(const hm_talker *m)
{
    return weight_bytes(m, (int)m->shape.groups - 1);
}

uint64_t hm_talker_distinct_bytes(const hm_talker *m)
{
    return weight_bytes(m, 1);
}

void hm_talker_parts(const hm_talker *m, hm_parts *parts)
{
    const hm_linear *head = &m->group_head[1];
    hm_formats deep = {0}, shallow = {0}, first = {0}, others = {0};
    uint64_t c0 = hm_linear_bytes(&m->codec_head), one = hm_linear_bytes(head), talker = hm_transformer_pass_bytes(&m->talker);
    uint64_t pass = hm_transformer_pass_bytes(&m->predictor) + (m->projection.w ? hm_linear_bytes(&m->projection) : 0);
    int passes = (int)m->shape.groups - 1;
    hm_transformer_formats(&m->talker, &deep);
    hm_transformer_formats(&m->predictor, &shallow);
    hm_formats_add(&first, &m->codec_head);
    hm_formats_add(&others, head);
    hm_formats_part(parts, &deep, &(hm_part_weights){"backbone", "talker_step", "", talker, talker, 1});
    hm_formats_part(parts, &first, &(hm_part_weights){"heads", "talker_step", "", c0, c0, 1});
    hm_formats_part(parts, &shallow, &(hm_part_weights){"decoder", "code_predictor", "", pass, pass, passes});
    hm_formats_part(parts, &others, &(hm_part_weights){"heads", "code_predictor", "", one, one * (uint64_t)passes, passes});
}

/* Multiply-adds of one row through all layers. */
static double stack_macs(const hm_tts_stack *s)
{
    double H = (double)s->width, q = (double)(s->heads * s->head_dim), kv = (double)(s->kv_heads * s->head_dim), I = (double)s->hidden;
    return (double)s->layers * (2 * H * q + 2 * H * kv + 3 * H * I);
}

double hm_talker_frame_flops(const hm_talker_shape *g, int context)
{
    double H = (double)g->talker.width, Hc = (double)g->predictor.width, G = (double)g->groups;
    double projection = H != Hc ? H * Hc : 0;
    double dense = stack_macs(&g->talker) + (double)g->code_vocab * H + G * (stack_macs(&g->predictor) + projection) +
                   (G - 1) * (double)g->codebook * Hc;
    return 2 * dense + 4 * (double)(g->talker.layers * g->talker.heads * g->talker.head_dim) * context;
}
