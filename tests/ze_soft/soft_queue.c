/* Queues that run recorded lists, and fences. */
#include "tests/ze_soft/soft.h"

static ze_result_t queue_create(ze_context_handle_t context, ze_device_handle_t device, const ze_command_queue_desc_t *desc,
                                ze_command_queue_handle_t *out)
{
    ENTER(zeCommandQueueCreate);
    soft_context *c = NULL;
    soft_device *d = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    ze_result_t st = hm_soft_device(&d, device);
    if (st)
        return st;
    STYPE(desc, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, "desc");
    NEED(out);
    if (desc->ordinal || desc->index)
        return hm_soft_misuse("queue %u of group %u: there is one", desc->index, desc->ordinal);
    soft_queue *q = hm_soft_new(SOFT_QUEUE, sizeof *q);
    if (!q)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    q->lane.device = d;
    q->lane.synchronous = desc->mode == ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS;
    hm_soft_lane_open(&q->lane);
    *out = (ze_command_queue_handle_t)q;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t queue_destroy(ze_command_queue_handle_t handle)
{
    ENTER(zeCommandQueueDestroy);
    soft_queue *q = NULL;
    TAKE(q, handle, SOFT_QUEUE);
    if (q->fences)
        return hm_soft_misuse("%d fences of the queue live", q->fences);
    hm_soft_lane_close(&q->lane);
    hm_soft_retire(q);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t queue_execute(ze_command_queue_handle_t handle, uint32_t count, ze_command_list_handle_t *handles,
                                 ze_fence_handle_t fence_handle)
{
    ENTER(zeCommandQueueExecuteCommandLists);
    soft_queue *q = NULL;
    soft_fence *fence = NULL;
    TAKE(q, handle, SOFT_QUEUE);
    NEED(handles);
    if (fence_handle)
        TAKE(fence, fence_handle, SOFT_FENCE);
    if (fence && fence->queue != q)
        return hm_soft_misuse("the fence is of another queue");
    if (fence && atomic_load(&fence->signalled))
        return hm_soft_misuse("the fence was not reset");
    for (uint32_t i = 0; i < count; i++) {
        soft_list *list = NULL;
        TAKE(list, handles[i], SOFT_LIST);
        if (list->immediate || !list->closed)
            return hm_soft_misuse("list %u is %s", i, list->immediate ? "immediate" : "not closed");
        if (list->device != q->lane.device)
            return hm_soft_misuse("list %u is of another device", i);
        if (atomic_load(&list->pending))
            return hm_soft_misuse("list %u still runs", i);
    }
    ze_result_t st = ZE_RESULT_SUCCESS;
    for (uint32_t i = 0; i < count && !st; i++)
        st = hm_soft_submit_list(&q->lane, (soft_list *)handles[i]);
    if (!st && fence)
        st = hm_soft_submit(&q->lane, &(soft_command){.what = SOFT_FENCE_SIGNAL, .fence = fence, .device = q->lane.device});
    return !st && q->lane.synchronous ? hm_soft_lane_wait(&q->lane, UINT64_MAX) : st;
}

static ze_result_t queue_wait(ze_command_queue_handle_t handle, uint64_t timeout_ns)
{
    ENTER(zeCommandQueueSynchronize);
    soft_queue *q = NULL;
    TAKE(q, handle, SOFT_QUEUE);
    return hm_soft_lane_wait(&q->lane, timeout_ns);
}

static ze_result_t fence_create(ze_command_queue_handle_t handle, const ze_fence_desc_t *desc, ze_fence_handle_t *out)
{
    ENTER(zeFenceCreate);
    soft_queue *q = NULL;
    TAKE(q, handle, SOFT_QUEUE);
    STYPE(desc, ZE_STRUCTURE_TYPE_FENCE_DESC, "desc");
    NEED(out);
    soft_fence *f = hm_soft_new(SOFT_FENCE, sizeof *f);
    if (!f)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    f->queue = q;
    atomic_store(&f->signalled, (desc->flags & ZE_FENCE_FLAG_SIGNALED) != 0);
    q->fences++;
    *out = (ze_fence_handle_t)f;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t fence_destroy(ze_fence_handle_t handle)
{
    ENTER(zeFenceDestroy);
    soft_fence *f = NULL;
    TAKE(f, handle, SOFT_FENCE);
    if (atomic_load(&f->pending) && !hm_soft_lost())
        return hm_soft_misuse("the fence is destroyed before it is signalled");
    f->queue->fences--;
    hm_soft_retire(f);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t fence_wait(ze_fence_handle_t handle, uint64_t timeout_ns)
{
    ENTER(zeFenceHostSynchronize);
    soft_fence *f = NULL;
    TAKE(f, handle, SOFT_FENCE);
    return hm_soft_flag_wait(&f->signalled, "a fence", timeout_ns);
}

static ze_result_t fence_query(ze_fence_handle_t handle)
{
    ENTER(zeFenceQueryStatus);
    soft_fence *f = NULL;
    TAKE(f, handle, SOFT_FENCE);
    return hm_soft_flag_wait(&f->signalled, "a fence", 0);
}

static ze_result_t fence_reset(ze_fence_handle_t handle)
{
    ENTER(zeFenceReset);
    soft_fence *f = NULL;
    TAKE(f, handle, SOFT_FENCE);
    if (atomic_load(&f->pending))
        return hm_soft_misuse("the fence is reset before it is signalled");
    atomic_store(&f->signalled, false);
    return ZE_RESULT_SUCCESS;
}

void hm_soft_queue_tables(ze_command_queue_dditable_t *queue, ze_fence_dditable_t *fence)
{
    if (queue) {
        queue->pfnCreate = queue_create;
        queue->pfnDestroy = queue_destroy;
        queue->pfnExecuteCommandLists = queue_execute;
        queue->pfnSynchronize = queue_wait;
    }
    if (fence) {
        fence->pfnCreate = fence_create;
        fence->pfnDestroy = fence_destroy;
        fence->pfnHostSynchronize = fence_wait;
        fence->pfnQueryStatus = fence_query;
        fence->pfnReset = fence_reset;
    }
}
