#include "engine/ze/ze_impl.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"

/* Of spec 1.9: commands of a list are done in its order. */
#define LIST_IN_ORDER ((ze_command_list_flags_t)1 << 3)

#define RUNS 4 /* most lists of a recording */

hm_status hm_ze_record(hm_gpu *gpu, hm_error *err)
{
    hm_status st = hm_ze_alive(gpu, err);
    if (st)
        return st;
    if (gpu->recording)
        return hm_fail(err, HM_EBUG, "%s: a recording within a recording", gpu->where);
    gpu->recording = hm_calloc(1, sizeof *gpu->recording, "ze: a recording", err);
    return gpu->recording ? HM_OK : HM_EABSENT;
}

hm_status hm_ze_remember(hm_gpu *gpu, const hm_ze_command *command, const hm_gpu_value *values, hm_error *err)
{
    hm_gpu_recording *r = gpu->recording;
    hm_status st = hm_grow(&r->commands, &r->room, r->count, sizeof *r->commands, "recorded commands", err);
    for (int i = 0; i < command->count && !st; i++) {
        st = hm_grow(&r->values, &r->values_room, r->values_count + i, sizeof *r->values, "recorded arguments", err);
        if (!st)
            r->values[r->values_count + i] = values[i];
    }
    if (st)
        return st;
    r->commands[r->count] = *command;
    r->commands[r->count++].first = r->values_count;
    r->values_count += command->count;
    return HM_OK;
}

static void free_run(hm_gpu *gpu, const hm_gpu_recording *r, hm_ze_run *run)
{
    if (run->busy) /* its last signal comes a little before its end */
        gpu->api->zeFenceHostSynchronize(run->fence, HM_ZE_CLOSE_NS);
    for (int i = 0; run->events && i < r->count; i++)
        if (run->events[i])
            hm_ze_event_put(gpu, run->events[i]);
    if (run->fence)
        HM_ZE_GIVE_BACK(gpu, zeFenceDestroy, run->fence);
    if (run->handle)
        HM_ZE_GIVE_BACK(gpu, zeCommandListDestroy, run->handle);
    free(run->events);
    free(run);
}

void hm_ze_recording_free(hm_gpu *gpu, hm_gpu_recording *r)
{
    if (!r)
        return;
    while (r->runs) {
        hm_ze_run *next = r->runs->next;
        free_run(gpu, r, r->runs);
        r->runs = next;
    }
    free(r->commands);
    free(r->values);
    free(r);
}

/* What a recording does, between the signal that what was asked for before it is done, and the one that it is. */
static hm_status fill_list(hm_gpu *gpu, const hm_gpu_recording *r, hm_ze_run *run, hm_error *err)
{
    ze_command_list_handle_t list = run->handle;
    hm_status st = HM_ZE(gpu, err, zeCommandListAppendWaitOnEvents, list, 1, &gpu->begin);
    if (!st)
        st = HM_ZE(gpu, err, zeCommandListAppendEventReset, list, gpu->begin);
    if (!st)
        st = hm_ze_order(gpu, list, err);
    for (int i = 0; i < r->count && !st; i++) {
        if (run->events)
            st = hm_ze_event_get(gpu, &run->events[i], err);
        if (!st)
            st = hm_ze_append(gpu, list, &r->commands[i], r->values, run->events ? run->events[i] : NULL, err);
        if (!st)
            st = hm_ze_order(gpu, list, err);
    }
    if (!st)
        st = HM_ZE(gpu, err, zeCommandListAppendSignalEvent, list, gpu->end);
    return st ? st : HM_ZE(gpu, err, zeCommandListClose, list);
}

static hm_status make_run(hm_gpu *gpu, hm_gpu_recording *r, hm_ze_run **out, hm_error *err)
{
    const ze_command_list_desc_t desc = {
        .stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC, .commandQueueGroupOrdinal = gpu->ordinal, .flags = gpu->in_order ? LIST_IN_ORDER : 0};
    const ze_fence_desc_t fence = {.stype = ZE_STRUCTURE_TYPE_FENCE_DESC};
    hm_status st = HM_OK;
    hm_ze_run *run = hm_calloc(1, sizeof *run, "ze: a recording", err);
    if (!run)
        return HM_EABSENT;
    if (gpu->timestamps && !(run->events = hm_calloc((size_t)r->count, sizeof *run->events, "ze: events of a recording", err)))
        st = HM_EABSENT;
    if (!st && (st = HM_ZE(gpu, err, zeCommandListCreate, gpu->context, gpu->device, &desc, &run->handle)))
        run->handle = NULL;
    if (!st && (st = HM_ZE(gpu, err, zeFenceCreate, gpu->queue, &fence, &run->fence)))
        run->fence = NULL;
    if (!st)
        st = fill_list(gpu, r, run, err);
    if (st) {
        free_run(gpu, r, run);
        return st;
    }
    run->next = r->runs;
    r->runs = run;
    *out = run;
    return HM_OK;
}

hm_status hm_ze_keep(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err)
{
    hm_ze_run *run;
    hm_gpu_recording *r = gpu->recording;
    if (!r)
        return hm_fail(err, HM_EBUG, "%s: nothing is being recorded", gpu->where);
    gpu->recording = NULL;
    hm_status st = hm_ze_alive(gpu, err);
    if (!st && r->count)
        st = make_run(gpu, r, &run, err);
    if (st) {
        hm_ze_recording_free(gpu, r);
        return st;
    }
    r->next = gpu->kept;
    gpu->kept = r;
    *out = r;
    return HM_OK;
}

/* Looks whether an execution is over, for at most so long; then it can be executed again. */
static hm_status see_end(hm_gpu *gpu, hm_ze_run *run, uint64_t wait_ns, hm_error *err)
{
    ze_result_t result = gpu->api->zeFenceHostSynchronize(run->fence, wait_ns);
    if (result == ZE_RESULT_NOT_READY)
        return HM_OK;
    hm_status st = hm_ze_check(gpu, result, "zeFenceHostSynchronize", err);
    if (!st)
        st = HM_ZE(gpu, err, zeFenceReset, run->fence);
    if (!st && gpu->timestamps)
        st = hm_ze_times_upto(gpu, run, err);
    run->busy = run->busy && st;
    return st;
}

/* One that does not run. A list must not be given to the queue again before it has ended, so where replays follow one another without a
 * wait the same commands are put into a few lists; when all of them run, this waits for the oldest. */
static hm_status idle_run(hm_gpu *gpu, hm_gpu_recording *r, hm_ze_run **out, hm_error *err)
{
    hm_status st = HM_OK;
    int count = 0;
    hm_ze_run *oldest = NULL;
    for (hm_ze_run *run = r->runs; run && !st; run = run->next, count++) {
        if (run->busy)
            st = see_end(gpu, run, 0, err);
        if (!st && !run->busy) {
            *out = run;
            return HM_OK;
        }
        if (!oldest || run->turn < oldest->turn)
            oldest = run;
    }
    if (st || count < RUNS)
        return st ? st : make_run(gpu, r, out, err);
    *out = oldest;
    while (!st && oldest->busy) {
        st = see_end(gpu, oldest, HM_ZE_SLICE_NS, err);
        if (!st && oldest->busy)
            st = HM_ZE(gpu, err, zeContextGetStatus, gpu->context);
    }
    return st;
}

static hm_status tell_later(hm_gpu *gpu, const hm_gpu_recording *r, hm_ze_run *run, int64_t asked_ns, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < r->count && !st; i++)
        st = hm_ze_time_later(gpu, &r->commands[i], asked_ns, run->events[i], run, err);
    return st;
}

/* The immediate list and the queue take turns: the recording begins when `begin` is signalled, what follows it when `end` is. */
static hm_status execute(hm_gpu *gpu, hm_ze_run *run, hm_error *err)
{
    hm_status st = HM_ZE(gpu, err, zeCommandListAppendSignalEvent, gpu->now, gpu->begin);
    if (!st)
        st = HM_ZE(gpu, err, zeCommandQueueExecuteCommandLists, gpu->queue, 1, &run->handle, run->fence);
    if (!st)
        st = HM_ZE(gpu, err, zeCommandListAppendWaitOnEvents, gpu->now, 1, &gpu->end);
    if (!st)
        st = HM_ZE(gpu, err, zeCommandListAppendEventReset, gpu->now, gpu->end);
    return st ? st : hm_ze_order(gpu, gpu->now, err);
}

hm_status hm_ze_replay(hm_gpu *gpu, hm_gpu_recording *r, hm_error *err)
{
    hm_ze_run *run;
    hm_error why;
    hm_status st = hm_ze_alive(gpu, err);
    if (st || !r->count)
        return st;
    if (gpu->recording)
        return hm_fail(err, HM_EBUG, "%s: a replay among commands that are recorded", gpu->where);
    st = idle_run(gpu, r, &run, err);
    if (st)
        return st;
    const int64_t asked_ns = hm_now_ns();
    gpu->pending = true;
    run->busy = true;
    run->turn = gpu->turns++;
    st = execute(gpu, run, &why);
    if (st) {
        hm_ze_give_up(gpu, &why); /* queue and list may wait for each other's signals */
        return hm_fail(err, st, "%s", why.text);
    }
    return gpu->timestamps ? tell_later(gpu, r, run, asked_ns, err) : HM_OK;
}

void hm_ze_drop(hm_gpu *gpu, hm_gpu_recording **recording)
{
    hm_gpu_recording *r = *recording;
    if (!r)
        return;
    hm_ze_settle(gpu);
    hm_ze_times_forget(gpu, r);
    for (hm_gpu_recording **at = &gpu->kept; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    hm_ze_recording_free(gpu, r);
    *recording = NULL;
}
