/* Times of commands by CUPTI, which also knows those within a graph without anything added to it. Where it cannot trace, by events: one before
 * and one after each. The host's clock and the device's meet at an event of its own then, which the host waits for on an idle stream. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/cuda/cuda_impl.h"

#define READINGS 5               /* of both clocks, of which the quickest counts */
#define BASE_EVERY_NS 1000000000 /* how old the meeting of the clocks may be: times since then are float32 milliseconds */

static hm_status get_event(hm_gpu *gpu, CUevent *out, hm_error *err)
{
    hm_cuda_times *t = &gpu->times;
    if (t->idle_count) {
        *out = t->idle[--t->idle_count];
        return HM_OK;
    }
    hm_status st = hm_grow(&t->all, &t->all_room, t->all_count, sizeof *t->all, "events", err);
    while (!st && t->idle_room <= t->all_count) /* so that giving back never fails */
        st = hm_grow(&t->idle, &t->idle_room, t->idle_room, sizeof *t->idle, "events", err);
    if (!st)
        st = HM_CUDA(gpu, err, cuEventCreate, &t->all[t->all_count], CU_EVENT_DEFAULT);
    if (!st)
        *out = t->all[t->all_count++];
    return st;
}

static void put_event(hm_gpu *gpu, CUevent event)
{
    if (event)
        gpu->times.idle[gpu->times.idle_count++] = event;
}

/* Nothing is on the stream: the event happens between the two readings of the host's clock. */
static hm_status read_clock(hm_gpu *gpu, hm_error *err)
{
    hm_cuda_times *t = &gpu->times;
    int64_t best = INT64_MAX;
    hm_status st = HM_OK;
    for (int i = 0; i < READINGS && !st; i++) {
        CUevent event;
        st = get_event(gpu, &event, err);
        if (st)
            return st;
        int64_t before = hm_now_ns();
        st = HM_CUDA(gpu, err, cuEventRecord, event, gpu->now);
        if (!st)
            st = HM_CUDA(gpu, err, cuEventSynchronize, event);
        int64_t took = hm_now_ns() - before;
        if (!st && took < best) {
            CUevent older = t->base;
            best = took;
            t->base = event;
            t->base_ns = before + took / 2;
            event = older;
        }
        put_event(gpu, event);
    }
    return st;
}

hm_status hm_cuda_times_open(hm_gpu *gpu, hm_error *err)
{
    hm_error why;
    hm_status st = hm_activity_open(&gpu->times.activity, gpu->log, &why);
    if (!st)
        return HM_OK;
    hm_log_write(gpu->log, gpu->id.facts.software ? HM_LOG_INFO : HM_LOG_WARNING, "%s; commands are timed by events", why.text);
    return read_clock(gpu, err);
}

void hm_cuda_times_close(hm_gpu *gpu)
{
    hm_cuda_times *t = &gpu->times;
    hm_activity_close(&t->activity);
    for (int i = 0; i < t->all_count; i++)
        HM_CUDA_GIVE_BACK(gpu, cuEventDestroy_v2, t->all[i]);
    free(t->all);
    free(t->idle);
    free(t->asked.items);
    free(t->told);
    memset(t, 0, sizeof *t);
}

static hm_status mark(hm_gpu *gpu, const hm_cuda_timed *timed, CUevent event, hm_error *err)
{
    return timed->recording ? HM_CUDA(gpu, err, cuEventRecordWithFlags, event, gpu->side, CU_EVENT_RECORD_EXTERNAL)
                            : HM_CUDA(gpu, err, cuEventRecord, event, gpu->now);
}

static hm_status add(hm_cuda_timed_list *list, const hm_cuda_timed *timed, hm_error *err)
{
    hm_status st = hm_grow(&list->items, &list->room, list->count, sizeof *list->items, "times", err);
    if (!st)
        list->items[list->count++] = *timed;
    return st;
}

hm_status hm_cuda_time_begin(hm_gpu *gpu, hm_cuda_timed *timed, hm_error *err)
{
    if (!gpu->timestamps)
        return HM_OK;
    if (gpu->times.activity) {
        if (timed->recording)
            gpu->recording->tag = timed->time.tag;
        else
            hm_activity_begin(gpu->times.activity, &(hm_activity_call){.tag = timed->time.tag});
        return HM_OK;
    }
    hm_status st = get_event(gpu, &timed->begin, err);
    if (!st)
        st = get_event(gpu, &timed->end, err);
    if (!st)
        st = mark(gpu, timed, timed->begin, err);
    if (st)
        hm_cuda_time_drop(gpu, timed);
    return st;
}

hm_status hm_cuda_time_end(hm_gpu *gpu, const hm_cuda_timed *timed, hm_error *err)
{
    if (!gpu->timestamps)
        return HM_OK;
    if (gpu->times.activity) {
        hm_activity_end(gpu->times.activity);
        return HM_OK;
    }
    hm_status st = mark(gpu, timed, timed->end, err);
    if (!st)
        st = add(timed->recording ? &gpu->recording->timed : &gpu->times.asked, timed, err);
    if (st)
        hm_cuda_time_drop(gpu, timed);
    return st;
}

void hm_cuda_time_drop(hm_gpu *gpu, const hm_cuda_timed *timed)
{
    if (gpu->times.activity)
        hm_activity_end(gpu->times.activity);
    put_event(gpu, timed->begin);
    put_event(gpu, timed->end);
}

/* When an event happened. */
static hm_status time_of(hm_gpu *gpu, CUevent event, int64_t *out_ns, hm_error *err)
{
    float ms;
    hm_status st = HM_CUDA(gpu, err, cuEventElapsedTime, &ms, gpu->times.base, event);
    if (!st)
        *out_ns = gpu->times.base_ns + (int64_t)((double)ms * 1e6);
    return st;
}

/* Commands are done in order, so none begins before the one before it ends: float32 milliseconds may say so by their last digit. */
static hm_status tell(hm_gpu *gpu, const hm_cuda_timed *timed, hm_error *err)
{
    hm_cuda_times *t = &gpu->times;
    hm_gpu_time time = timed->time;
    hm_status st = hm_grow(&t->told, &t->told_room, t->told_count, sizeof *t->told, "times", err);
    if (!st)
        st = time_of(gpu, timed->begin, &time.begin_ns, err);
    if (!st)
        st = time_of(gpu, timed->end, &time.end_ns, err);
    if (st)
        return st;
    time.begin_ns = time.begin_ns < t->last_end_ns ? t->last_end_ns : time.begin_ns;
    time.end_ns = time.end_ns < time.begin_ns ? time.begin_ns : time.end_ns;
    t->last_end_ns = time.end_ns;
    t->told[t->told_count++] = time;
    return HM_OK;
}

/* Tells the oldest so many, which are done. */
static hm_status tell_first(hm_gpu *gpu, int count, hm_error *err)
{
    hm_cuda_timed_list *asked = &gpu->times.asked;
    hm_status st = HM_OK;
    int done = 0;
    for (; done < count && !st; done++) {
        const hm_cuda_timed *timed = &asked->items[done];
        st = tell(gpu, timed, err);
        if (!timed->recording)
            hm_cuda_time_drop(gpu, timed);
    }
    asked->count -= done;
    memmove(asked->items, asked->items + done, (size_t)asked->count * sizeof *asked->items);
    return st;
}

hm_status hm_cuda_times_done(hm_gpu *gpu, hm_error *err)
{
    if (!gpu->timestamps)
        return HM_OK;
    if (gpu->times.activity)
        return hm_activity_collect(gpu->times.activity, err);
    hm_status st = tell_first(gpu, gpu->times.asked.count, err);
    for (hm_gpu_recording *r = gpu->kept; r; r = r->next)
        r->untold = false;
    if (!st && hm_now_ns() - gpu->times.base_ns > BASE_EVERY_NS)
        st = read_clock(gpu, err);
    return st;
}

/* The stream is waited for, not the graph's last event, whose state before its node runs is that of an earlier replay. */
hm_status hm_cuda_times_ready(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err)
{
    hm_status st = recording->untold ? HM_CUDA(gpu, err, cuStreamSynchronize, gpu->now) : HM_OK;
    if (!st && recording->untold)
        st = hm_cuda_times_done(gpu, err);
    if (!st && gpu->times.activity)
        hm_activity_begin(gpu->times.activity,
                          &(hm_activity_call){.tag = recording->tag, .replayed = true, .commands = (int)recording->nodes});
    return st;
}

hm_status hm_cuda_times_replayed(hm_gpu *gpu, hm_gpu_recording *recording, int64_t asked_ns, hm_error *err)
{
    hm_status st = HM_OK;
    if (gpu->times.activity)
        hm_activity_end(gpu->times.activity);
    for (int i = 0; i < recording->timed.count && !st; i++) {
        hm_cuda_timed timed = recording->timed.items[i];
        timed.time.replayed = true;
        timed.time.asked_ns = asked_ns;
        st = add(&gpu->times.asked, &timed, err);
    }
    recording->untold = recording->timed.count > 0;
    return st;
}

void hm_cuda_times_forget(hm_gpu *gpu, hm_gpu_recording *recording)
{
    hm_cuda_timed_list *asked = &gpu->times.asked;
    int left = 0;
    for (int i = 0; i < asked->count; i++)
        if (asked->items[i].recording != recording)
            asked->items[left++] = asked->items[i];
    asked->count = left;
    for (int i = 0; i < recording->timed.count; i++)
        hm_cuda_time_drop(gpu, &recording->timed.items[i]);
    free(recording->timed.items);
    recording->timed = (hm_cuda_timed_list){0};
}

int hm_cuda_take_times(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room)
{
    hm_cuda_times *t = &gpu->times;
    int taken = 0, left = 0;
    if (t->activity)
        return hm_activity_take(t->activity, tag, out, room);
    for (int i = 0; i < t->told_count; i++)
        if (taken < room && t->told[i].tag == tag)
            out[taken++] = t->told[i];
        else
            t->told[left++] = t->told[i];
    t->told_count = left;
    return taken;
}
