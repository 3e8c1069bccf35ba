#include "engine/ze/ze_impl.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"

/* Of spec 1.9: commands of a list are done in its order. */
#define QUEUE_IN_ORDER ((ze_command_queue_flags_t)1 << 1)

static hm_status make_event(hm_gpu *gpu, ze_event_handle_t *out, hm_error *err)
{
    const ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC,
                                  .index = (uint32_t)gpu->events_count,
                                  .signal = ZE_EVENT_SCOPE_FLAG_HOST,
                                  .wait = ZE_EVENT_SCOPE_FLAG_HOST};
    hm_status st = HM_ZE(gpu, err, zeEventCreate, gpu->pool, &desc, out);
    if (st)
        *out = NULL;
    else
        gpu->events_made[gpu->events_count++] = *out;
    return st;
}

/* The library's validation layer may be older than the driver and not know the flag: then barriers keep the order. */
static hm_status open_now(hm_gpu *gpu, ze_command_queue_desc_t desc, hm_error *err)
{
    desc.flags = gpu->in_order ? QUEUE_IN_ORDER : 0;
    ze_result_t result = gpu->api->zeCommandListCreateImmediate(gpu->context, gpu->device, &desc, &gpu->now);
    if (gpu->in_order && result == ZE_RESULT_ERROR_INVALID_ENUMERATION) {
        gpu->in_order = false;
        desc.flags = 0;
        result = gpu->api->zeCommandListCreateImmediate(gpu->context, gpu->device, &desc, &gpu->now);
    }
    if (result)
        gpu->now = NULL;
    return hm_ze_check(gpu, result, "zeCommandListCreateImmediate", err);
}

hm_status hm_ze_lists_open(hm_gpu *gpu, hm_error *err)
{
    ze_command_queue_desc_t desc = {
        .stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, .ordinal = gpu->ordinal, .mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS};
    const ze_event_pool_desc_t pool = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, .flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE, .count = 6};
    ze_event_handle_t *const events[] = {&gpu->done, &gpu->last, &gpu->begin, &gpu->end, &gpu->halves[0].free, &gpu->halves[1].free};
    hm_status st = HM_ZE(gpu, err, zeCommandQueueCreate, gpu->context, gpu->device, &desc, &gpu->queue);
    if (st) {
        gpu->queue = NULL;
        return st;
    }
    st = open_now(gpu, desc, err);
    if (st)
        return st;
    st = HM_ZE(gpu, err, zeEventPoolCreate, gpu->context, &pool, 1, &gpu->device, &gpu->pool);
    if (st)
        gpu->pool = NULL;
    for (size_t i = 0; !st && i < sizeof events / sizeof *events; i++)
        st = make_event(gpu, events[i], err);
    return st;
}

hm_status hm_ze_signal(hm_gpu *gpu, ze_event_handle_t event, hm_error *err)
{
    return HM_ZE(gpu, err, zeCommandListAppendBarrier, gpu->now, event, 0, NULL);
}

hm_status hm_ze_wait_event(hm_gpu *gpu, ze_event_handle_t event, hm_error *err)
{
    ze_result_t result;
    while ((result = gpu->api->zeEventHostSynchronize(event, HM_ZE_SLICE_NS)) == ZE_RESULT_NOT_READY) {
        hm_status st = HM_ZE(gpu, err, zeContextGetStatus, gpu->context);
        if (st)
            return st;
    }
    hm_status st = hm_ze_check(gpu, result, "zeEventHostSynchronize", err);
    return st ? st : HM_ZE(gpu, err, zeEventHostReset, event);
}

/* Also in the middle of a recording, whose commands are not among those waited for. */
static hm_status wait_now(hm_gpu *gpu, hm_error *err)
{
    hm_error why;
    hm_status st = hm_ze_signal(gpu, gpu->done, &why);
    if (!st)
        st = hm_ze_wait_event(gpu, gpu->done, &why);
    if (st) {
        hm_ze_give_up(gpu, &why); /* nobody knows what is done */
        return hm_fail(err, st, "%s", why.text);
    }
    gpu->pending = false;
    st = hm_ze_stages_done(gpu, err);
    return st ? st : hm_ze_times_done(gpu, err);
}

hm_status hm_ze_wait(hm_gpu *gpu, hm_error *err)
{
    hm_status st = hm_ze_alive(gpu, err);
    if (st)
        return st;
    if (gpu->recording)
        return hm_fail(err, HM_EBUG, "%s: a wait among commands that are recorded", gpu->where);
    return gpu->pending ? wait_now(gpu, err) : HM_OK;
}

void hm_ze_settle(hm_gpu *gpu)
{
    if (!gpu->pending)
        return;
    if (!gpu->dead.status)
        wait_now(gpu, NULL); /* what it fails with is told by whatever is asked for next */
    if (gpu->pending) {
        gpu->api->zeCommandQueueSynchronize(gpu->queue, HM_ZE_CLOSE_NS);
        if (!gpu->api->zeCommandListAppendBarrier(gpu->now, gpu->last, 0, NULL))
            gpu->api->zeEventHostSynchronize(gpu->last, HM_ZE_CLOSE_NS);
    }
    gpu->pending = false;
}

void hm_ze_lists_close(hm_gpu *gpu)
{
    hm_ze_settle(gpu);
    hm_ze_recording_free(gpu, gpu->recording);
    while (gpu->kept) {
        hm_gpu_recording *next = gpu->kept->next;
        hm_ze_recording_free(gpu, gpu->kept);
        gpu->kept = next;
    }
    if (gpu->now)
        HM_ZE_GIVE_BACK(gpu, zeCommandListDestroy, gpu->now);
    if (gpu->queue)
        HM_ZE_GIVE_BACK(gpu, zeCommandQueueDestroy, gpu->queue);
    for (int i = 0; i < gpu->events_count; i++)
        HM_ZE_GIVE_BACK(gpu, zeEventDestroy, gpu->events_made[i]);
    if (gpu->pool)
        HM_ZE_GIVE_BACK(gpu, zeEventPoolDestroy, gpu->pool);
    gpu->recording = NULL;
    gpu->now = NULL;
    gpu->queue = NULL;
    gpu->pool = NULL;
    gpu->events_count = 0;
}

static hm_status set_argument(hm_gpu *gpu, ze_kernel_handle_t kernel, uint32_t i, const hm_gpu_value *v, hm_error *err)
{
    switch (v->kind) {
    case HM_GPU_POINTER:
        return HM_ZE(gpu, err, zeKernelSetArgumentValue, kernel, i, sizeof v->pointer, v->pointer ? &v->pointer : NULL);
    case HM_GPU_I32:
        return HM_ZE(gpu, err, zeKernelSetArgumentValue, kernel, i, sizeof v->i32, &v->i32);
    case HM_GPU_F32:
        return HM_ZE(gpu, err, zeKernelSetArgumentValue, kernel, i, sizeof v->f32, &v->f32);
    default:
        return HM_ZE(gpu, err, zeKernelSetArgumentValue, kernel, i, sizeof v->i64, &v->i64);
    }
}

static hm_status append_launch(hm_gpu *gpu, ze_command_list_handle_t list, const hm_ze_command *c, const hm_gpu_value *values,
                               ze_event_handle_t signal, hm_error *err)
{
    const hm_ze_kernel *kernel;
    const ze_group_count_t groups = {c->groups[0], c->groups[1], c->groups[2]};
    hm_status st = hm_ze_kernel_get(gpu, c->kernel, &kernel, err);
    for (int i = 0; i < c->count && !st; i++)
        st = set_argument(gpu, kernel->handle, (uint32_t)i, &values[c->first + i], err);
    if (!st)
        st = HM_ZE(gpu, err, zeCommandListAppendLaunchKernel, list, kernel->handle, &groups, signal, 0, NULL);
    if (st)
        hm_fail_within(err, "%s", hm_gpu_kernel_table[c->kernel].name);
    return st;
}

hm_status hm_ze_append(hm_gpu *gpu, ze_command_list_handle_t list, const hm_ze_command *c, const hm_gpu_value *values,
                       ze_event_handle_t signal, hm_error *err)
{
    switch (c->what) {
    case HM_ZE_LAUNCH:
        return append_launch(gpu, list, c, values, signal, err);
    case HM_ZE_COPY:
        return HM_ZE(gpu, err, zeCommandListAppendMemoryCopy, list, c->to, c->from, c->bytes, signal, 0, NULL);
    default:
        return HM_ZE(gpu, err, zeCommandListAppendMemoryFill, list, c->to, &c->pattern, sizeof c->pattern, c->bytes, signal, 0, NULL);
    }
}

hm_status hm_ze_order(hm_gpu *gpu, ze_command_list_handle_t list, hm_error *err)
{
    return gpu->in_order ? HM_OK : HM_ZE(gpu, err, zeCommandListAppendBarrier, list, NULL, 0, NULL);
}

/* Does a command, or remembers it while a recording is made. */
static hm_status give(hm_gpu *gpu, const hm_ze_command *c, const hm_gpu_value *values, hm_error *err)
{
    ze_event_handle_t event = NULL;
    if (gpu->recording)
        return hm_ze_remember(gpu, c, values, err);
    hm_status st = gpu->timestamps ? hm_ze_event_get(gpu, &event, err) : HM_OK;
    if (st)
        return st;
    const int64_t asked_ns = event ? hm_now_ns() : 0;
    gpu->pending = true;
    st = hm_ze_append(gpu, gpu->now, c, values, event, err);
    if (st) {
        if (event)
            hm_ze_event_put(gpu, event);
        return st;
    }
    hm_error why;
    st = hm_ze_order(gpu, gpu->now, &why);
    if (st) {
        hm_ze_give_up(gpu, &why); /* what follows would not wait for it */
        return hm_fail(err, st, "%s", why.text);
    }
    return event ? hm_ze_time_later(gpu, c, asked_ns, event, NULL, err) : HM_OK;
}

static hm_status check_launch(hm_gpu *gpu, const hm_gpu_command *c, hm_error *err)
{
    const hm_ze_kernel *kernel;
    if ((unsigned)c->kernel >= HM_GPU_SHARED_KERNELS)
        return hm_fail(err, HM_EBUG, "%s: there is no kernel %d", gpu->where, (int)c->kernel);
    const char *name = hm_gpu_kernel_table[c->kernel].name;
    hm_status st = hm_ze_kernel_get(gpu, c->kernel, &kernel, err);
    if (st)
        return st;
    if (c->count < 0 || (uint32_t)c->count != kernel->arguments)
        return hm_fail(err, HM_EBUG, "%s: %s takes %u arguments, found %d", gpu->where, name, kernel->arguments, c->count);
    for (int d = 0; d < 3; d++)
        if (c->groups[d] > gpu->most_groups[d])
            return hm_fail(err, HM_EBUG, "%s: %s: %u groups in dimension %d, the device takes at most %u", gpu->where, name, c->groups[d],
                           d, gpu->most_groups[d]);
    for (int i = 0; i < c->count; i++) {
        const hm_gpu_value *v = &c->values[i];
        if (v->kind == HM_GPU_STEP)
            return hm_fail(err, HM_EBUG, "%s: %s: argument %d is a step, which only hm_gpu_launch knows", gpu->where, name, i);
        if (v->kind == HM_GPU_POINTER && v->pointer && !hm_gpu_allocations_of(&gpu->memory, v->pointer))
            return hm_fail(err, HM_EBUG, "%s: %s: argument %d is no address of this device", gpu->where, name, i);
    }
    return HM_OK;
}

hm_status hm_ze_launch(hm_gpu *gpu, const hm_gpu_command *command, uint32_t tag, hm_error *err)
{
    const uint32_t *g = command->groups;
    hm_status st = hm_ze_alive(gpu, err);
    if (!st)
        st = check_launch(gpu, command, err);
    if (st || !g[0] || !g[1] || !g[2])
        return st;
    const hm_ze_command c = {
        .what = HM_ZE_LAUNCH, .tag = tag, .kernel = command->kernel, .groups = {g[0], g[1], g[2]}, .count = command->count};
    return give(gpu, &c, command->values, err);
}

/* Through the staging memory in pieces. Uploads are read at once, downloads are there after the next wait. */
static hm_status copy_staged(hm_gpu *gpu, char *to, const char *from, size_t bytes, bool upload, uint32_t tag, hm_error *err)
{
    hm_status st = HM_OK;
    for (size_t done = 0; done < bytes && !st;) {
        size_t part = bytes - done < HM_ZE_STAGE ? bytes - done : HM_ZE_STAGE;
        hm_ze_command c = {.what = HM_ZE_COPY, .tag = tag, .bytes = part};
        char *at;
        st = hm_ze_stage(gpu, part, &at, err);
        if (st)
            return st;
        if (upload)
            memcpy(at, from + done, part);
        c.to = upload ? to + done : at;
        c.from = upload ? at : from + done;
        st = give(gpu, &c, NULL, err);
        if (!st && !upload)
            st = hm_ze_download_later(gpu, to + done, at, part, err);
        done += part;
    }
    return st;
}

hm_status hm_ze_copy(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag, hm_error *err)
{
    bool to_ours, from_ours;
    hm_status st = hm_ze_alive(gpu, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, to, bytes, &to_ours, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, from, bytes, &from_ours, err);
    if (st || !bytes)
        return st;
    if (!to_ours && !from_ours)
        return hm_fail(err, HM_EBUG, "%s: a copy of %zu bytes between two addresses that are not of this device", gpu->where, bytes);
    if (gpu->recording && !(to_ours && from_ours))
        return hm_fail(err, HM_EBUG, "%s: a copy of %zu bytes from or to the host cannot be recorded", gpu->where, bytes);
    if (!to_ours || !from_ours)
        return copy_staged(gpu, to, from, bytes, from_ours ? false : true, tag, err);
    const hm_ze_command c = {.what = HM_ZE_COPY, .tag = tag, .to = to, .from = from, .bytes = bytes};
    return give(gpu, &c, NULL, err);
}

hm_status hm_ze_fill(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err)
{
    bool ours;
    hm_status st = hm_ze_alive(gpu, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, to, bytes, &ours, err);
    if (st || !bytes)
        return st;
    if (!ours || bytes % sizeof pattern)
        return hm_fail(err, HM_EBUG, "%s: a fill of %zu bytes: expected a multiple of 4 in memory of this device", gpu->where, bytes);
    const hm_ze_command c = {.what = HM_ZE_FILL, .tag = tag, .to = to, .bytes = bytes, .pattern = pattern};
    return give(gpu, &c, NULL, err);
}
