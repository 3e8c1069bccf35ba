/* Memory of a call that is set aside before its frames are timed. */
#include <stdlib.h>
#include <string.h>

#include "engine/ctx.h"

/* Like every source outside the variants, this one must not depend on the toggles in the context. */

hm_status hm_call_reserve(hm_ctx *c, size_t bytes, int pieces, hm_error *err)
{
    size_t size = hm_reserve_bytes(bytes) + (size_t)pieces * HM_RESERVE_ALIGN;
    hm_call_release(c);
    void *base = size < bytes ? NULL : c->ops.alloc(&c->ops, size);
    if (!base)
        return hm_fail(err, HM_EABSENT, "decoder: no memory for the %zu MiB that it will need", bytes >> 20);
    c->reserve = (hm_reserve){.base = base, .size = size};
    c->ops.reserve = &c->reserve;
    return HM_OK;
}

void hm_call_release(hm_ctx *c)
{
    void *base = c->reserve.base;
    c->ops.reserve = NULL;
    c->reserve = (hm_reserve){0};
    if (base)
        c->ops.free(&c->ops, base);
}

void hm_call_timed(hm_ctx *c, bool timed)
{
    c->ops.timed = timed;
}

void *hm_call_calloc(hm_ctx *c, size_t count, size_t size, const char *what, hm_error *err)
{
    size_t bytes;
    bool none = c->ops.apart || __builtin_mul_overflow(count, size, &bytes);
    void *p = none ? NULL : hm_reserve_take(c->ops.reserve, bytes);
    if (p)
        return memset(p, 0, bytes);
    c->counters.timed_allocations += c->ops.timed;
    return hm_calloc(count, size, what, err);
}

void hm_call_free(hm_ctx *c, void *p)
{
    if (p && (c->ops.apart || !hm_reserve_give(c->ops.reserve, p)))
        free(p);
}
