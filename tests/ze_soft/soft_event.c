/* Events and their pools. */
#include "tests/ze_soft/soft.h"

#include <stdlib.h>

static ze_result_t pool_create(ze_context_handle_t context, const ze_event_pool_desc_t *desc, uint32_t count, ze_device_handle_t *devices,
                               ze_event_pool_handle_t *out)
{
    ENTER(zeEventPoolCreate);
    soft_context *c = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    STYPE(desc, ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, "desc");
    NEED(out);
    (void)devices;
    (void)count;
    if (!desc->count)
        return hm_soft_misuse("a pool of 0 events");
    soft_event_pool *p = hm_soft_new(SOFT_EVENT_POOL, sizeof *p);
    bool *used = p ? calloc(desc->count, sizeof *used) : NULL;
    if (!used) {
        if (p)
            hm_soft_retire(p);
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    }
    p->context = c;
    p->flags = desc->flags;
    p->count = desc->count;
    p->used = used;
    *out = (ze_event_pool_handle_t)p;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t pool_destroy(ze_event_pool_handle_t handle)
{
    ENTER(zeEventPoolDestroy);
    soft_event_pool *p = NULL;
    TAKE(p, handle, SOFT_EVENT_POOL);
    if (p->alive)
        return hm_soft_misuse("%u events of the pool live", p->alive);
    free(p->used);
    p->used = NULL;
    hm_soft_retire(p);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t event_create(ze_event_pool_handle_t handle, const ze_event_desc_t *desc, ze_event_handle_t *out)
{
    ENTER(zeEventCreate);
    soft_event_pool *p = NULL;
    TAKE(p, handle, SOFT_EVENT_POOL);
    STYPE(desc, ZE_STRUCTURE_TYPE_EVENT_DESC, "desc");
    NEED(out);
    if (desc->index >= p->count)
        return hm_soft_misuse("event %u of a pool of %u", desc->index, p->count);
    if (p->used[desc->index])
        return hm_soft_misuse("event %u of the pool is in use", desc->index);
    soft_event *e = hm_soft_new(SOFT_EVENT, sizeof *e);
    if (!e)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    e->pool = p;
    e->index = desc->index;
    p->used[e->index] = true;
    p->alive++;
    *out = (ze_event_handle_t)e;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t event_destroy(ze_event_handle_t handle)
{
    ENTER(zeEventDestroy);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    if (atomic_load(&e->pending) && !hm_soft_lost())
        return hm_soft_misuse("event %u is destroyed while %d commands that use it wait", e->index, atomic_load(&e->pending));
    e->pool->used[e->index] = false;
    e->pool->alive--;
    hm_soft_retire(e);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t event_signal(ze_event_handle_t handle)
{
    ENTER(zeEventHostSignal);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    e->begin_ns = e->end_ns = hm_soft_now_ns();
    atomic_store(&e->signalled, true);
    hm_soft_lanes_kick();
    return ZE_RESULT_SUCCESS;
}

static ze_result_t event_reset(ze_event_handle_t handle)
{
    ENTER(zeEventHostReset);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    if (atomic_load(&e->pending))
        return hm_soft_misuse("event %u is reset while %d commands that use it wait", e->index, atomic_load(&e->pending));
    atomic_store(&e->signalled, false);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t seen_by_host(const soft_event *e)
{
    if (e->pool->flags & ZE_EVENT_POOL_FLAG_HOST_VISIBLE)
        return ZE_RESULT_SUCCESS;
    return hm_soft_misuse("event %u is not of a pool that the host sees", e->index);
}

static ze_result_t event_wait(ze_event_handle_t handle, uint64_t timeout_ns)
{
    ENTER(zeEventHostSynchronize);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    ze_result_t st = seen_by_host(e);
    return st ? st : hm_soft_flag_wait(&e->signalled, "an event", timeout_ns);
}

static ze_result_t event_query(ze_event_handle_t handle)
{
    ENTER(zeEventQueryStatus);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    ze_result_t st = seen_by_host(e);
    return st ? st : hm_soft_flag_wait(&e->signalled, "an event", 0);
}

static ze_result_t event_times(ze_event_handle_t handle, ze_kernel_timestamp_result_t *out)
{
    ENTER(zeEventQueryKernelTimestamp);
    soft_event *e = NULL;
    TAKE(e, handle, SOFT_EVENT);
    NEED(out);
    if (!(e->pool->flags & ZE_EVENT_POOL_FLAG_KERNEL_TIMESTAMP))
        return hm_soft_misuse("event %u is not of a pool with timestamps", e->index);
    if (!atomic_load(&e->signalled))
        return ZE_RESULT_NOT_READY;
    ze_kernel_timestamp_data_t t = {hm_soft_ticks(e->begin_ns), hm_soft_ticks(e->end_ns)};
    *out = (ze_kernel_timestamp_result_t){t, t};
    return ZE_RESULT_SUCCESS;
}

void hm_soft_event_tables(ze_event_pool_dditable_t *pool, ze_event_dditable_t *event)
{
    if (pool) {
        pool->pfnCreate = pool_create;
        pool->pfnDestroy = pool_destroy;
    }
    if (event) {
        event->pfnCreate = event_create;
        event->pfnDestroy = event_destroy;
        event->pfnHostSignal = event_signal;
        event->pfnHostSynchronize = event_wait;
        event->pfnQueryStatus = event_query;
        event->pfnHostReset = event_reset;
        event->pfnQueryKernelTimestamp = event_times;
    }
}
