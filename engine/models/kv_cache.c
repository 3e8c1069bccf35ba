#include "engine/models/kv_cache.h"

#include <stdlib.h>

#include "engine/models/transformer.h"

static int stored_heads(const hm_ctx *c, const hm_transformer_config *g)
{
    return hm_t(c)->gqa == HM_GQA_DIRECT ? g->kv_heads : g->heads;
}

/* What one layer's cache is: the strides of its views, and where keys, values and their scales lie in its memory. */
typedef struct cache_plan {
    hm_kv_view view; /* strides and type; pointers are NULL */
    size_t half;     /* bytes of keys, and of values */
    size_t scales;   /* bytes of the scales of either */
} cache_plan;

static cache_plan plan_of(const hm_ctx *c, const hm_transformer_config *g, int batch, int slots)
{
    static const hm_dtype types[] = {[HM_KV_TYPE_F32] = HM_F32, [HM_KV_TYPE_BF16] = HM_BF16, [HM_KV_TYPE_INT8] = HM_I8};
    bool panels = hm_t(c)->kv == HM_KV_PREALLOC;
    int64_t room = panels ? (slots + HM_KV_PANEL - 1) / HM_KV_PANEL * HM_KV_PANEL : slots;
    cache_plan p = {.view = {.panels = panels, .heads = stored_heads(c, g)}};
    p.view.type = panels && g->typed_kv ? types[hm_t(c)->kv_type] : HM_F32;
    p.view.slot = panels ? hm_kv_padded(g->head_dim) : g->head_dim;
    p.view.head = room * p.view.slot;
    p.view.batch = p.view.head * p.view.heads;
    p.half = (size_t)(batch * p.view.batch) * hm_dtype_bytes(p.view.type);
    p.scales = p.view.type == HM_I8 ? (size_t)(batch * p.view.batch / p.view.slot) * sizeof(float) : 0;
    return p;
}

static uint64_t plan_bytes(const cache_plan *p)
{
    return 2 * (uint64_t)(p->half + p->scales);
}

static hm_kv_view view_at(const cache_plan *p, void *memory)
{
    hm_kv_view v = p->view;
    v.k = memory;
    v.v = (char *)v.k + p->half;
    if (p->scales) {
        v.k_scale = (float *)(void *)((char *)v.v + p->half);
        v.v_scale = v.k_scale + p->scales / sizeof(float);
    }
    return v;
}

uint64_t hm_kv_bytes(const hm_ctx *c, const hm_transformer_config *g, int batch, int slots)
{
    cache_plan p = plan_of(c, g, batch, slots);
    return plan_bytes(&p) * (uint64_t)g->layers;
}

hm_status hm_kv_open(hm_ctx *c, hm_kv_cache *kv, const hm_transformer_config *g, int batch, int slots, bool zero, hm_error *err)
{
    *kv = (hm_kv_cache){.layers = g->layers, .heads = stored_heads(c, g), .head_dim = g->head_dim, .batch = batch};
    kv->layer = hm_call_calloc(c, (size_t)g->layers, sizeof *kv->layer, "caches", err);
    if (!kv->layer)
        return HM_EABSENT;
    if (hm_t(c)->kv == HM_KV_CONCAT)
        return HM_OK;
    cache_plan p = plan_of(c, g, batch, slots);
    kv->peak_bytes = plan_bytes(&p) * (uint64_t)g->layers;
    kv->memory = c->ops.alloc(&c->ops, kv->peak_bytes);
    if (!kv->memory) {
        size_t bytes = kv->peak_bytes;
        hm_call_free(c, kv->layer);
        *kv = (hm_kv_cache){0};
        return hm_fail(err, HM_EABSENT, "caches: no memory for %zu bytes", bytes);
    }
    kv->capacity = slots;
    for (int i = 0; i < g->layers; i++)
        kv->layer[i] = view_at(&p, (char *)kv->memory + (size_t)i * plan_bytes(&p));
    if (zero)
        c->ops.fill(&c->ops, kv->memory, 0.0f, kv->peak_bytes / sizeof(float));
    return HM_OK;
}

void hm_kv_reset(hm_ctx *c, hm_kv_cache *kv)
{
    kv->length = kv->base = 0;
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
    hm_call_free(c, kv->layer);
    *kv = (hm_kv_cache){0};
}

/* The first `slots` slots of every head of `from` to those of `to`; whole panels. Returns the bytes. */
static uint64_t copy_slots(const hm_ops *op, const hm_kv_view *to, const hm_kv_view *from, int rows, int slots)
{
    int64_t elements = from->slot * (from->panels ? (slots + HM_KV_PANEL - 1) / HM_KV_PANEL * HM_KV_PANEL : slots);
    int64_t each = (int64_t)sizeof(float) / (int64_t)hm_dtype_bytes(from->type); /* elements that a float32 has room for */
    op->copy_2d(op, to->k, to->head / each, from->k, from->head / each, (int)(elements / each), rows);
    op->copy_2d(op, to->v, to->head / each, from->v, from->head / each, (int)(elements / each), rows);
    if (from->type == HM_I8) {
        op->copy_2d(op, to->k_scale, to->head / to->slot, from->k_scale, from->head / from->slot, slots, rows);
        op->copy_2d(op, to->v_scale, to->head / to->slot, from->v_scale, from->head / from->slot, slots, rows);
    }
    return 2 * (uint64_t)rows * ((uint64_t)(elements / each) + (from->type == HM_I8 ? (uint64_t)slots : 0)) * sizeof(float);
}

void hm_kv_drop(hm_ctx *c, hm_kv_cache *kv, int slots)
{
    const hm_ops *op = &c->ops;
    int rows = kv->batch * kv->heads, kept = kv->length - slots;
    for (int i = 0; i < kv->layers && !hm_ops_status(op); i++)
        for (int at = 0; at < kept; at += slots) { /* pieces that do not overlap */
            hm_kv_view to = hm_kv_from(&kv->layer[i], 0, at), from = hm_kv_from(&kv->layer[i], 0, at + slots);
            copy_slots(op, &to, &from, rows, kept - at < slots ? kept - at : slots);
        }
    kv->length = kept;
    kv->base += slots;
}

void hm_kv_grow(hm_ctx *c, hm_kv_cache *kv, int layer, int S)
{
    const hm_ops *op = &c->ops;
    if (kv->memory || hm_ops_status(op))
        return;
    hm_kv_view old = kv->layer[layer], grown = {.heads = kv->heads, .slot = kv->head_dim};
    grown.head = (int64_t)(kv->length + S) * grown.slot;
    grown.batch = grown.head * grown.heads;
    size_t one = (size_t)(kv->batch * grown.batch);
    grown.k = op->alloc(op, 2 * one * sizeof(float));
    if (!grown.k)
        return;
    grown.v = (float *)grown.k + one;
    if (kv->length) {
        c->counters.kv_copied_bytes += copy_slots(op, &grown, &old, kv->batch * kv->heads, kv->length);
        op->free(op, old.k);
    }
    c->counters.kv_grown++;
    kv->layer[layer] = grown;
    uint64_t bytes = 2 * one * sizeof(float) * (uint64_t)kv->layers;
    kv->peak_bytes = bytes > kv->peak_bytes ? bytes : kv->peak_bytes;
}

void hm_kv_take(hm_ctx *c, hm_kv_cache *kv, const hm_kv_cache *from, int slots)
{
    for (int i = 0; i < kv->layers && slots; i++) {
        hm_kv_grow(c, kv, i, slots);
        if (hm_ops_status(&c->ops))
            return;
        c->counters.kv_copied_bytes += copy_slots(&c->ops, &kv->layer[i], &from->layer[i], kv->batch * kv->heads, slots);
    }
    kv->length = slots;
    kv->capacity = kv->memory ? kv->capacity : slots;
}

void hm_kv_copy_row(hm_ctx *c, hm_kv_cache *kv, int to, int from, int slots)
{
    for (int i = 0; i < kv->layers && slots; i++) {
        hm_kv_view target = hm_kv_from(&kv->layer[i], to, 0), source = hm_kv_from(&kv->layer[i], from, 0);
        c->counters.kv_copied_bytes += copy_slots(&c->ops, &target, &source, kv->heads, slots);
    }
}
