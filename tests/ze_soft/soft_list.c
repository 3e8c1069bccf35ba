/* Command lists, immediate and recorded. */
#include "tests/ze_soft/soft.h"

#include <stdlib.h>
#include <string.h>

#define LIST_IN_ORDER 0x8 /* bits of later versions of the interface */
#define QUEUE_IN_ORDER 0x2
#define MOST_WAITS 64

/* --- lists --- */

static ze_result_t list_make(ze_context_handle_t context, ze_device_handle_t device, ze_command_list_handle_t *out, soft_list **made)
{
    soft_context *c = NULL;
    soft_device *d = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    ze_result_t st = hm_soft_device(&d, device);
    if (st)
        return st;
    NEED(out);
    soft_list *list = hm_soft_new(SOFT_LIST, sizeof *list);
    if (!list)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    list->context = c;
    list->device = d;
    *made = list;
    *out = (ze_command_list_handle_t)list;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t list_create(ze_context_handle_t context, ze_device_handle_t device, const ze_command_list_desc_t *desc,
                               ze_command_list_handle_t *out)
{
    ENTER(zeCommandListCreate);
    STYPE(desc, ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC, "desc");
    soft_list *list = NULL;
    ze_result_t st = list_make(context, device, out, &list);
    if (!st)
        list->in_order = desc->flags & LIST_IN_ORDER;
    return st;
}

static ze_result_t list_create_immediate(ze_context_handle_t context, ze_device_handle_t device, const ze_command_queue_desc_t *desc,
                                         ze_command_list_handle_t *out)
{
    ENTER(zeCommandListCreateImmediate);
    STYPE(desc, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, "desc");
    if (desc->ordinal || desc->index)
        return hm_soft_misuse("queue %u of group %u: there is one", desc->index, desc->ordinal);
    soft_list *list = NULL;
    ze_result_t st = list_make(context, device, out, &list);
    if (st)
        return st;
    list->immediate = true;
    list->lane.device = list->device;
    list->lane.in_order = desc->flags & QUEUE_IN_ORDER;
    list->lane.synchronous = desc->mode == ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS;
    hm_soft_lane_open(&list->lane);
    return ZE_RESULT_SUCCESS;
}

static void forget(soft_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->commands[i]);
    list->count = 0;
}

static ze_result_t check_idle(const soft_list *list, const char *what)
{
    int pending = atomic_load(&list->pending);
    return pending && !hm_soft_lost() ? hm_soft_misuse("the list is %s while %d of its commands wait", what, pending) : ZE_RESULT_SUCCESS;
}

static ze_result_t list_destroy(ze_command_list_handle_t handle)
{
    ENTER(zeCommandListDestroy);
    soft_list *list = NULL;
    TAKE(list, handle, SOFT_LIST);
    ze_result_t st = check_idle(list, "destroyed");
    if (st)
        return st;
    if (list->immediate)
        hm_soft_lane_close(&list->lane);
    forget(list);
    free(list->commands);
    list->commands = NULL;
    hm_soft_retire(list);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t list_close(ze_command_list_handle_t handle)
{
    ENTER(zeCommandListClose);
    soft_list *list = NULL;
    TAKE(list, handle, SOFT_LIST);
    if (list->closed)
        return hm_soft_misuse("the list is closed");
    list->closed = !list->immediate;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t list_reset(ze_command_list_handle_t handle)
{
    ENTER(zeCommandListReset);
    soft_list *list = NULL;
    TAKE(list, handle, SOFT_LIST);
    ze_result_t st = check_idle(list, "reset");
    if (st)
        return st;
    forget(list);
    list->closed = false;
    return ZE_RESULT_SUCCESS;
}

#ifdef HM_SOFT_NEWER
static ze_result_t list_wait(ze_command_list_handle_t handle, uint64_t timeout_ns)
{
    ENTER(zeCommandListHostSynchronize);
    soft_list *list = NULL;
    TAKE(list, handle, SOFT_LIST);
    if (!list->immediate)
        return hm_soft_misuse("the list is not immediate");
    return hm_soft_lane_wait(&list->lane, timeout_ns);
}
#endif

/* --- appending --- */

static ze_result_t record(soft_list *list, soft_command *c)
{
    if (list->closed)
        return hm_soft_misuse("a %s for a closed list", hm_soft_command_name(c));
    ze_result_t st = hm_soft_command_check(c);
    if (st)
        return st;
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 64;
        soft_command **commands = realloc(list->commands, room * sizeof(soft_command *));
        if (!commands)
            return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
        list->commands = commands;
        list->room = room;
    }
    soft_command *copy = hm_soft_command_copy(c);
    if (!copy)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    list->commands[list->count++] = copy;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t append(ze_command_list_handle_t handle, soft_command *c, ze_event_handle_t signal, uint32_t waits,
                          ze_event_handle_t *wait)
{
    soft_list *list = NULL;
    soft_event *events[MOST_WAITS];
    TAKE(list, handle, SOFT_LIST);
    if (signal)
        TAKE(c->signal, signal, SOFT_EVENT);
    if (waits > MOST_WAITS || (waits && !wait))
        return hm_soft_misuse("%u events to wait for", waits);
    for (uint32_t i = 0; i < waits; i++)
        TAKE(events[i], wait[i], SOFT_EVENT);
    c->waits = waits;
    c->wait = events;
    c->device = list->device;
    return list->immediate ? hm_soft_submit(&list->lane, c) : record(list, c);
}

static ze_result_t append_stamp(ze_command_list_handle_t list, uint64_t *to, ze_event_handle_t signal, uint32_t waits,
                                ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendWriteGlobalTimestamp);
    return append(list, &(soft_command){.what = SOFT_STAMP, .to = to, .bytes = sizeof *to}, signal, waits, wait);
}

static ze_result_t append_barrier(ze_command_list_handle_t list, ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendBarrier);
    return append(list, &(soft_command){.what = SOFT_BARRIER}, signal, waits, wait);
}

static ze_result_t append_ranges_barrier(ze_command_list_handle_t list, uint32_t count, const size_t *bytes, const void **ranges,
                                         ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendMemoryRangesBarrier);
    NEED(!count || (bytes && ranges));
    return append(list, &(soft_command){.what = SOFT_BARRIER}, signal, waits, wait);
}

static ze_result_t append_copy(ze_command_list_handle_t list, void *to, const void *from, size_t bytes, ze_event_handle_t signal,
                               uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendMemoryCopy);
    return append(list, &(soft_command){.what = SOFT_COPY, .to = to, .from = from, .bytes = bytes}, signal, waits, wait);
}

static ze_result_t append_fill(ze_command_list_handle_t list, void *to, const void *pattern, size_t pattern_bytes, size_t bytes,
                               ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendMemoryFill);
    NEED(pattern);
    soft_command c = {.what = SOFT_FILL, .to = to, .bytes = bytes, .pattern_bytes = pattern_bytes};
    memcpy(c.pattern, pattern, pattern_bytes <= sizeof c.pattern ? pattern_bytes : 0);
    return append(list, &c, signal, waits, wait);
}

static ze_result_t append_hint(ze_command_list_handle_t handle, const void *p, size_t bytes)
{
    soft_list *list = NULL;
    TAKE(list, handle, SOFT_LIST);
    const soft_memory *m = hm_soft_memory_find(p);
    bool inside = m && bytes <= m->bytes - (size_t)((const char *)p - m->start);
    return inside ? ZE_RESULT_SUCCESS : hm_soft_misuse("%zu bytes at %p lie in no allocation", bytes, p);
}

static ze_result_t append_prefetch(ze_command_list_handle_t list, const void *p, size_t bytes)
{
    ENTER(zeCommandListAppendMemoryPrefetch);
    return append_hint(list, p, bytes);
}

static ze_result_t append_advise(ze_command_list_handle_t list, ze_device_handle_t device, const void *p, size_t bytes,
                                 ze_memory_advice_t advice)
{
    ENTER(zeCommandListAppendMemAdvise);
    soft_device *d = NULL;
    (void)advice;
    ze_result_t st = hm_soft_device(&d, device);
    return st ? st : append_hint(list, p, bytes);
}

static ze_result_t append_signal(ze_command_list_handle_t list, ze_event_handle_t event)
{
    ENTER(zeCommandListAppendSignalEvent);
    NEED(event);
    return append(list, &(soft_command){.what = SOFT_SIGNAL}, event, 0, NULL);
}

static ze_result_t append_wait(ze_command_list_handle_t list, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendWaitOnEvents);
    return append(list, &(soft_command){.what = SOFT_WAIT}, NULL, waits, wait);
}

static ze_result_t append_reset(ze_command_list_handle_t list, ze_event_handle_t handle)
{
    ENTER(zeCommandListAppendEventReset);
    soft_event *event = NULL;
    TAKE(event, handle, SOFT_EVENT);
    return append(list, &(soft_command){.what = SOFT_RESET, .stamps = &event, .stamp_count = 1}, NULL, 0, NULL);
}

static ze_result_t append_query(ze_command_list_handle_t list, uint32_t count, ze_event_handle_t *handles, void *to, const size_t *offsets,
                                ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendQueryKernelTimestamps);
    soft_event *events[MOST_WAITS];
    NEED(handles && to);
    if (offsets || count > MOST_WAITS)
        return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    for (uint32_t i = 0; i < count; i++) {
        TAKE(events[i], handles[i], SOFT_EVENT);
        if (!(events[i]->pool->flags & ZE_EVENT_POOL_FLAG_KERNEL_TIMESTAMP))
            return hm_soft_misuse("event %u is not of a pool with timestamps", events[i]->index);
    }
    soft_command c = {.what = SOFT_STAMPS, .to = to, .bytes = count * sizeof(ze_kernel_timestamp_result_t)};
    c.stamps = events;
    c.stamp_count = count;
    return append(list, &c, signal, waits, wait);
}

static ze_result_t append_launch(ze_command_list_handle_t list, ze_kernel_handle_t handle, const ze_group_count_t *groups,
                                 ze_event_handle_t signal, uint32_t waits, ze_event_handle_t *wait)
{
    ENTER(zeCommandListAppendLaunchKernel);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    NEED(groups);
    soft_command c = {.what = SOFT_LAUNCH, .kernel = k, .values = k->values};
    memcpy(c.group, k->group, sizeof c.group);
    c.groups[0] = groups->groupCountX;
    c.groups[1] = groups->groupCountY;
    c.groups[2] = groups->groupCountZ;
    return append(list, &c, signal, waits, wait);
}

void hm_soft_list_table(ze_command_list_dditable_t *t)
{
    t->pfnCreate = list_create;
    t->pfnCreateImmediate = list_create_immediate;
    t->pfnDestroy = list_destroy;
    t->pfnClose = list_close;
    t->pfnReset = list_reset;
#ifdef HM_SOFT_NEWER
    t->pfnHostSynchronize = list_wait;
#endif
    t->pfnAppendWriteGlobalTimestamp = append_stamp;
    t->pfnAppendBarrier = append_barrier;
    t->pfnAppendMemoryRangesBarrier = append_ranges_barrier;
    t->pfnAppendMemoryCopy = append_copy;
    t->pfnAppendMemoryFill = append_fill;
    t->pfnAppendMemoryPrefetch = append_prefetch;
    t->pfnAppendMemAdvise = append_advise;
    t->pfnAppendSignalEvent = append_signal;
    t->pfnAppendWaitOnEvents = append_wait;
    t->pfnAppendEventReset = append_reset;
    t->pfnAppendQueryKernelTimestamps = append_query;
    t->pfnAppendLaunchKernel = append_launch;
}
