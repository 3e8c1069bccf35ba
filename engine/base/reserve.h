/* Memory set aside for later: what a call's decoder will need is there before its frames are timed, and until then serves those who draw them.
 * Pieces are handed out front to back; when all have been given back it begins anew. */
#ifndef HM_ENGINE_BASE_RESERVE_H
#define HM_ENGINE_BASE_RESERVE_H

#include <stddef.h>
#include <stdint.h>

#define HM_RESERVE_ALIGN 64 /* bytes; every piece starts on a cache line */

typedef struct hm_reserve {
    uint8_t *base; /* NULL: nothing is set aside */
    size_t size, used;
    int pieces; /* that are not given back */
} hm_reserve;

/* Bytes that a piece takes. */
static inline size_t hm_reserve_bytes(size_t bytes)
{
    return (bytes + HM_RESERVE_ALIGN - 1) / HM_RESERVE_ALIGN * HM_RESERVE_ALIGN;
}

/* A piece, contents undefined; NULL when there is no room for it. */
static inline void *hm_reserve_take(hm_reserve *r, size_t bytes)
{
    size_t need = hm_reserve_bytes(bytes ? bytes : 1);
    if (!r || need < bytes || need > r->size - r->used)
        return NULL;
    void *p = r->base + r->used;
    r->used += need;
    r->pieces++;
    return p;
}

/* Whether p was a piece of it, which is given back now. */
static inline int hm_reserve_give(hm_reserve *r, const void *p)
{
    if (!r || !r->base || (uintptr_t)p < (uintptr_t)r->base || (uintptr_t)p >= (uintptr_t)r->base + r->size)
        return 0;
    if (!--r->pieces)
        r->used = 0;
    return 1;
}

#endif
