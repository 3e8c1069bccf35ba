/* Keys and values that a decoder stack keeps from one call to the next. Preallocated ones lie in panels (engine/ops.h), float32 or narrower;
 * those that grow by concatenation are rows of float32. */
#ifndef HM_ENGINE_MODELS_KV_CACHE_H
#define HM_ENGINE_MODELS_KV_CACHE_H

#include "engine/ctx.h"

typedef struct hm_transformer_config hm_transformer_config;

/* Keys and values of all layers for B batch rows. */
typedef struct hm_kv_cache {
    hm_kv_view *layer; /* [layers] */
    int layers, heads, head_dim, batch;
    int capacity; /* slots per head that fit (prealloc), or that there are (concat) */
    int length;   /* slots filled */
    int base;     /* position of slot 0: earlier ones were dropped. Tables made once begin there */
    void *memory; /* prealloc: one block */
    uint64_t peak_bytes;
} hm_kv_cache;

/* prealloc: room for `slots` per head at once. concat: nothing yet. zero: slots are read before they are written. */
hm_status hm_kv_open(hm_ctx *c, hm_kv_cache *kv, const hm_transformer_config *config, int batch, int slots, bool zero, hm_error *err);
void hm_kv_close(hm_ctx *c, hm_kv_cache *kv);
/* concat: one layer's cache gets S empty slots behind those it has: new memory, old slots copied. prealloc: nothing. */
void hm_kv_grow(hm_ctx *c, hm_kv_cache *kv, int layer, int S);
/* Drops the first `slots` of them, at most kv->length: the rest moves to the front. A multiple of HM_ATTENTION_BLOCK keeps the bytes of
 * what follows, when no later row sees the dropped ones; panels move as a whole. */
void hm_kv_drop(hm_ctx *c, hm_kv_cache *kv, int slots);
/* Forgets all slots; concat frees them. */
void hm_kv_reset(hm_ctx *c, hm_kv_cache *kv);
/* kv, of the same heads and empty, gets the first `slots` slots that `from` has. Counted as kv_copied_bytes. */
void hm_kv_take(hm_ctx *c, hm_kv_cache *kv, const hm_kv_cache *from, int slots);
/* Batch row `to` gets the first `slots` slots of batch row `from`. Counted as kv_copied_bytes. */
void hm_kv_copy_row(hm_ctx *c, hm_kv_cache *kv, int to, int from, int slots);
uint64_t hm_kv_bytes(const hm_ctx *c, const hm_transformer_config *config, int batch, int slots);

#endif
