#include "engine/ze/ze_impl.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"the device", "the host", "shared memory"};

static hm_status call_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    ze_relaxed_allocation_limits_exp_desc_t relaxed = {.stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC,
                                                       .flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE};
    const void *next = bytes > gpu->id.facts.max_alloc_bytes ? &relaxed : NULL;
    ze_device_mem_alloc_desc_t device = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC, .pNext = next};
    ze_host_mem_alloc_desc_t host = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC, .pNext = kind == HM_GPU_HOST ? next : NULL};
    switch (kind) {
    case HM_GPU_HOST:
        return HM_ZE(gpu, err, zeMemAllocHost, gpu->context, &host, bytes, 64, out);
    case HM_GPU_SHARED:
        return HM_ZE(gpu, err, zeMemAllocShared, gpu->context, &device, &host, bytes, 64, gpu->device, out);
    default:
        return HM_ZE(gpu, err, zeMemAllocDevice, gpu->context, &device, bytes, 64, gpu->device, out);
    }
}

hm_status hm_ze_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    void *p = NULL;
    hm_status st = hm_ze_alive(gpu, err);
    if (st)
        return st;
    bytes = bytes ? bytes : 64;
    if (bytes > gpu->id.facts.max_alloc_bytes && !gpu->relaxed)
        return hm_fail(err, HM_EABSENT, "%s: %zu bytes at once, the device gives at most %llu: take a smaller model, precision or length",
                       gpu->where, bytes, (unsigned long long)gpu->id.facts.max_alloc_bytes);
    st = hm_gpu_allocations_reserve(&gpu->memory, err);
    if (st)
        return st;
    st = call_alloc(gpu, &p, bytes, kind, err);
    if (st) {
        hm_fail_within(err, "%zu bytes of %s", bytes, kind_names[kind]);
        return st;
    }
    hm_gpu_allocations_add(&gpu->memory, p, bytes, kind);
    *out = p;
    return HM_OK;
}

void hm_ze_free(hm_gpu *gpu, void *p)
{
    if (!p)
        return;
    hm_gpu_allocation a;
    if (!hm_gpu_allocations_take(&gpu->memory, p, &a)) {
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s: an address is given back that was not allocated", gpu->where);
        return;
    }
    hm_ze_settle(gpu);
    HM_ZE_GIVE_BACK(gpu, zeMemFree, gpu->context, p);
}

void hm_ze_memory_close(hm_gpu *gpu)
{
    for (int i = 0; i < gpu->memory.count; i++)
        HM_ZE_GIVE_BACK(gpu, zeMemFree, gpu->context, gpu->memory.items[i].at);
    free(gpu->memory.items);
    free(gpu->downloads);
    gpu->memory = (hm_gpu_allocations){0};
    gpu->downloads = NULL;
    gpu->downloads_count = 0;
}

hm_status hm_ze_stages_open(hm_gpu *gpu, hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < 2 && !st; i++) {
        void *at;
        st = hm_ze_alloc(gpu, &at, HM_ZE_STAGE, HM_GPU_HOST, err);
        if (!st)
            gpu->halves[i].at = at;
    }
    return st;
}

static void give_downloads(hm_gpu *gpu, int half)
{
    int left = 0;
    for (int i = 0; i < gpu->downloads_count; i++) {
        const hm_ze_download *d = &gpu->downloads[i];
        if (d->half == half)
            memcpy(d->to, d->from, d->bytes);
        else
            gpu->downloads[left++] = *d;
    }
    gpu->downloads_count = left;
}

/* Goes on in the other half as soon as what uses it is done. */
static hm_status change_half(hm_gpu *gpu, hm_error *err)
{
    hm_ze_half *full = &gpu->halves[gpu->half], *next = &gpu->halves[!gpu->half];
    hm_status st = hm_ze_signal(gpu, full->free, err);
    if (st)
        return st;
    full->closed = true;
    if (next->closed) {
        st = hm_ze_wait_event(gpu, next->free, err);
        if (st)
            return st;
        next->closed = false;
    }
    give_downloads(gpu, !gpu->half);
    next->used = 0;
    gpu->half = !gpu->half;
    return HM_OK;
}

hm_status hm_ze_stage(hm_gpu *gpu, size_t bytes, char **at, hm_error *err)
{
    hm_ze_half *h = &gpu->halves[gpu->half];
    if (bytes > HM_ZE_STAGE - h->used) {
        hm_status st = change_half(gpu, err);
        if (st)
            return st;
        h = &gpu->halves[gpu->half];
    }
    *at = h->at + h->used;
    h->used += (bytes + 63) & ~(size_t)63;
    if (h->used > HM_ZE_STAGE)
        h->used = HM_ZE_STAGE;
    return HM_OK;
}

hm_status hm_ze_download_later(hm_gpu *gpu, void *to, const char *from, size_t bytes, hm_error *err)
{
    hm_status st = hm_grow(&gpu->downloads, &gpu->downloads_room, gpu->downloads_count, sizeof *gpu->downloads, "downloads", err);
    if (!st)
        gpu->downloads[gpu->downloads_count++] = (hm_ze_download){.to = to, .from = from, .bytes = bytes, .half = gpu->half};
    return st;
}

hm_status hm_ze_stages_done(hm_gpu *gpu, hm_error *err)
{
    hm_status st = HM_OK;
    give_downloads(gpu, !gpu->half); /* the older ones */
    give_downloads(gpu, gpu->half);
    for (int i = 0; i < 2; i++) {
        hm_ze_half *h = &gpu->halves[i];
        if (h->closed && !st)
            st = HM_ZE(gpu, err, zeEventHostReset, h->free);
        h->closed = h->closed && st;
        h->used = 0;
    }
    return st;
}
