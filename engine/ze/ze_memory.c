#include "engine/ze/ze_impl.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"the device", "the host", "shared memory"};

/* How many blocks begin at or below p. */
static int blocks_below(const hm_gpu *gpu, const char *p)
{
    int low = 0, high = gpu->blocks_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (gpu->blocks[middle].at <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const hm_ze_block *hm_ze_block_of(const hm_gpu *gpu, const void *p)
{
    int below = blocks_below(gpu, p);
    const hm_ze_block *b = below ? &gpu->blocks[below - 1] : NULL;
    return b && (size_t)((const char *)p - b->at) < b->bytes ? b : NULL;
}

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
    st = hm_ze_grow(&gpu->blocks, &gpu->blocks_room, gpu->blocks_count, sizeof *gpu->blocks, "allocations", err);
    if (st)
        return st;
    st = call_alloc(gpu, &p, bytes, kind, err);
    if (st) {
        hm_fail_within(err, "%zu bytes of %s", bytes, kind_names[kind]);
        return st;
    }
    int at = blocks_below(gpu, p);
    memmove(gpu->blocks + at + 1, gpu->blocks + at, (size_t)(gpu->blocks_count - at) * sizeof *gpu->blocks);
    gpu->blocks[at] = (hm_ze_block){.at = p, .bytes = bytes, .kind = kind};
    gpu->blocks_count++;
    *out = p;
    return HM_OK;
}

void hm_ze_free(hm_gpu *gpu, void *p)
{
    if (!p)
        return;
    int at = blocks_below(gpu, p) - 1;
    if (at < 0 || gpu->blocks[at].at != p) {
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s: an address is given back that was not allocated", gpu->where);
        return;
    }
    hm_ze_settle(gpu);
    HM_ZE_GIVE_BACK(gpu, zeMemFree, gpu->context, p);
    gpu->blocks_count--;
    memmove(gpu->blocks + at, gpu->blocks + at + 1, (size_t)(gpu->blocks_count - at) * sizeof *gpu->blocks);
}

void hm_ze_memory_close(hm_gpu *gpu)
{
    for (int i = 0; i < gpu->blocks_count; i++)
        HM_ZE_GIVE_BACK(gpu, zeMemFree, gpu->context, gpu->blocks[i].at);
    free(gpu->blocks);
    free(gpu->downloads);
    gpu->blocks = NULL;
    gpu->downloads = NULL;
    gpu->blocks_count = gpu->downloads_count = 0;
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
    hm_status st = hm_ze_grow(&gpu->downloads, &gpu->downloads_room, gpu->downloads_count, sizeof *gpu->downloads, "downloads", err);
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
