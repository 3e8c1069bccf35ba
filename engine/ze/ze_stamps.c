#include "engine/ze/ze_impl.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"

#define POOL_EVENTS 256
#define READINGS 5             /* of both clocks, of which the quickest counts */
#define READ_EVERY_NS 50000000 /* drift: how old a reading may be */

/* A reading of both clocks lies between two readings of ours; the closer they are, the better it is known where. The host's time that the
 * driver gives along with it may be of another clock (CLOCK_MONOTONIC_RAW) and is not used. */
static hm_status read_clock(hm_gpu *gpu, hm_error *err)
{
    int64_t best = INT64_MAX, at = 0;
    uint64_t ticks = 0;
    for (int i = 0; i < READINGS; i++) {
        uint64_t host, device;
        int64_t before = hm_now_ns();
        hm_status st = HM_ZE(gpu, err, zeDeviceGetGlobalTimestamps, gpu->device, &host, &device);
        int64_t after = hm_now_ns();
        if (st)
            return st;
        if (after - before < best) {
            best = after - before;
            at = before + best / 2;
            ticks = device;
        }
    }
    hm_gpu_clock_read(&gpu->times.clock, at, ticks);
    return HM_OK;
}

hm_status hm_ze_times_open(hm_gpu *gpu, const hm_ze_found *found, hm_error *err)
{
    const ze_device_properties_t *p = &found->properties;
    if (!p->timerResolution || !p->timestampValidBits || !p->kernelTimestampValidBits)
        return hm_fail(err, HM_EABSENT, "%s: commands cannot be timed: the driver tells no rate or width of the device's timer",
                       gpu->where);
    hm_gpu_clock_init(&gpu->times.clock, p->timerResolution, p->timestampValidBits);
    gpu->times.kernel_bits = p->kernelTimestampValidBits;
    return read_clock(gpu, err);
}

void hm_ze_times_close(hm_gpu *gpu)
{
    hm_ze_times *t = &gpu->times;
    for (int i = 0; i < t->all_count; i++)
        HM_ZE_GIVE_BACK(gpu, zeEventDestroy, t->all[i]);
    for (int i = 0; i < t->pools_count; i++)
        HM_ZE_GIVE_BACK(gpu, zeEventPoolDestroy, t->pools[i]);
    free(t->all);
    free(t->pools);
    free(t->idle);
    free(t->asked);
    free(t->told);
    memset(t, 0, sizeof *t);
}

static hm_status add_pool(hm_gpu *gpu, hm_error *err)
{
    hm_ze_times *t = &gpu->times;
    const ze_event_pool_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC,
                                       .flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE | ZE_EVENT_POOL_FLAG_KERNEL_TIMESTAMP,
                                       .count = POOL_EVENTS};
    hm_status st = hm_grow(&t->pools, &t->pools_room, t->pools_count, sizeof *t->pools, "event pools", err);
    if (!st)
        st = HM_ZE(gpu, err, zeEventPoolCreate, gpu->context, &desc, 1, &gpu->device, &t->pools[t->pools_count]);
    if (!st)
        t->pools_count++;
    return st;
}

hm_status hm_ze_event_get(hm_gpu *gpu, ze_event_handle_t *out, hm_error *err)
{
    hm_ze_times *t = &gpu->times;
    if (t->idle_count) {
        *out = t->idle[--t->idle_count];
        return HM_OK;
    }
    hm_status st = t->all_count < t->pools_count * POOL_EVENTS ? HM_OK : add_pool(gpu, err);
    if (!st)
        st = hm_grow(&t->all, &t->all_room, t->all_count, sizeof *t->all, "events", err);
    while (!st && t->idle_room <= t->all_count) /* so that giving back never fails */
        st = hm_grow(&t->idle, &t->idle_room, t->idle_room, sizeof *t->idle, "events", err);
    if (st)
        return st;
    const ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC,
                                  .index = (uint32_t)(t->all_count % POOL_EVENTS),
                                  .signal = ZE_EVENT_SCOPE_FLAG_HOST,
                                  .wait = ZE_EVENT_SCOPE_FLAG_HOST};
    st = HM_ZE(gpu, err, zeEventCreate, t->pools[t->pools_count - 1], &desc, &t->all[t->all_count]);
    if (!st)
        *out = t->all[t->all_count++];
    return st;
}

void hm_ze_event_put(hm_gpu *gpu, ze_event_handle_t event)
{
    gpu->times.idle[gpu->times.idle_count++] = event;
}

static const char *name_of(const hm_ze_command *c)
{
    static const char *const names[] = {[HM_ZE_COPY] = "copy", [HM_ZE_FILL] = "fill"};
    return c->what == HM_ZE_LAUNCH ? hm_gpu_kernel_table[c->kernel].name : names[c->what];
}

hm_status hm_ze_time_later(hm_gpu *gpu, const hm_ze_command *c, int64_t asked_ns, ze_event_handle_t event, hm_ze_run *run, hm_error *err)
{
    hm_ze_times *t = &gpu->times;
    hm_status st = hm_grow(&t->asked, &t->asked_room, t->asked_count, sizeof *t->asked, "times", err);
    if (st)
        return st;
    static const hm_device_span_kind kinds[] = {
        [HM_ZE_LAUNCH] = HM_DEVICE_KERNEL, [HM_ZE_COPY] = HM_DEVICE_COPY, [HM_ZE_FILL] = HM_DEVICE_FILL};
    t->asked[t->asked_count++] = (hm_ze_timed){
        .kind = kinds[c->what], .name = name_of(c), .tag = c->tag, .bytes = c->bytes, .asked_ns = asked_ns, .event = event, .run = run};
    return HM_OK;
}

/* Turns one command's stamps into a time. They began in order, so the one before it tells how often the timer wrapped around. */
static hm_status tell(hm_gpu *gpu, const hm_ze_timed *timed, hm_error *err)
{
    hm_ze_times *t = &gpu->times;
    ze_kernel_timestamp_result_t stamps;
    hm_gpu_time time = {.kind = timed->kind,
                        .name = timed->name,
                        .tag = timed->tag,
                        .replayed = timed->run != NULL,
                        .asked_ns = timed->asked_ns,
                        .bytes = timed->bytes};
    hm_status st = hm_grow(&t->told, &t->told_room, t->told_count, sizeof *t->told, "times", err);
    if (!st)
        st = HM_ZE(gpu, err, zeEventQueryKernelTimestamp, timed->event, &stamps);
    if (!st)
        st = HM_ZE(gpu, err, zeEventHostReset, timed->event);
    if (st)
        return st;
    int64_t earliest = timed->asked_ns > t->last_end_ns ? timed->asked_ns : t->last_end_ns;
    hm_gpu_clock_span(&t->clock, t->kernel_bits, stamps.global.kernelStart, stamps.global.kernelEnd, earliest, &time.begin_ns,
                      &time.end_ns);
    t->last_end_ns = time.end_ns;
    t->told[t->told_count++] = time;
    if (!timed->run)
        hm_ze_event_put(gpu, timed->event);
    return HM_OK;
}

/* Tells the oldest so many. */
static hm_status tell_first(hm_gpu *gpu, int count, hm_error *err)
{
    hm_ze_times *t = &gpu->times;
    hm_status st = HM_OK;
    if (count && hm_now_ns() - t->clock.last.ns > READ_EVERY_NS)
        st = read_clock(gpu, err);
    for (; count && !st; count--) {
        st = tell(gpu, &t->asked[t->asked_first], err);
        if (!st)
            t->asked_first++;
    }
    if (t->asked_first == t->asked_count)
        t->asked_first = t->asked_count = 0;
    return st;
}

hm_status hm_ze_times_done(hm_gpu *gpu, hm_error *err)
{
    return tell_first(gpu, gpu->times.asked_count - gpu->times.asked_first, err);
}

hm_status hm_ze_times_upto(hm_gpu *gpu, const hm_ze_run *run, hm_error *err)
{
    const hm_ze_times *t = &gpu->times;
    int last = t->asked_count - 1;
    while (last >= t->asked_first && t->asked[last].run != run)
        last--;
    return tell_first(gpu, last + 1 - t->asked_first, err);
}

void hm_ze_times_forget(hm_gpu *gpu, const hm_gpu_recording *recording)
{
    hm_ze_times *t = &gpu->times;
    int left = t->asked_first;
    for (int i = t->asked_first; i < t->asked_count; i++) {
        bool its = false;
        for (const hm_ze_run *run = recording->runs; run; run = run->next)
            its = its || t->asked[i].run == run;
        if (!its)
            t->asked[left++] = t->asked[i];
    }
    t->asked_count = left;
}

int hm_ze_take_times(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room)
{
    hm_ze_times *t = &gpu->times;
    int taken = 0, left = 0;
    for (int i = 0; i < t->told_count; i++)
        if (taken < room && t->told[i].tag == tag)
            out[taken++] = t->told[i];
        else
            t->told[left++] = t->told[i];
    t->told_count = left;
    return taken;
}
