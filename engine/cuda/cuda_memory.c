#include <stdlib.h>

#include "engine/cuda/cuda_impl.h"

static const char *const kind_names[] = {"the device", "the host", "shared memory"};

static hm_status call_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    CUdeviceptr p = 0;
    hm_status st;
    switch (kind) {
    case HM_GPU_HOST: /* one address for host and device */
        return HM_CUDA(gpu, err, cuMemHostAlloc, out, bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP);
    case HM_GPU_SHARED:
        st = HM_CUDA(gpu, err, cuMemAllocManaged, &p, bytes, CU_MEM_ATTACH_GLOBAL);
        break;
    default:
        st = HM_CUDA(gpu, err, cuMemAlloc_v2, &p, bytes);
    }
    *out = (void *)(uintptr_t)p;
    return st;
}

static void give_back(hm_gpu *gpu, const hm_gpu_allocation *a)
{
    if (a->kind == HM_GPU_HOST)
        HM_CUDA_GIVE_BACK(gpu, cuMemFreeHost, a->at);
    else
        HM_CUDA_GIVE_BACK(gpu, cuMemFree_v2, (CUdeviceptr)(uintptr_t)a->at);
}

hm_status hm_cuda_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    void *p = NULL;
    hm_status st = hm_cuda_alive(gpu, err);
    bytes = bytes ? bytes : 64;
    if (!st)
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

void hm_cuda_free(hm_gpu *gpu, void *p)
{
    hm_gpu_allocation a;
    if (!p)
        return;
    if (!hm_gpu_allocations_take(&gpu->memory, p, &a)) {
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s: an address is given back that was not allocated", gpu->where);
        return;
    }
    HM_CUDA_GIVE_BACK(gpu, cuCtxSetCurrent, gpu->context);
    hm_cuda_settle(gpu);
    give_back(gpu, &a);
}

void hm_cuda_memory_close(hm_gpu *gpu)
{
    for (int i = 0; i < gpu->memory.count; i++)
        give_back(gpu, &gpu->memory.items[i]);
    free(gpu->memory.items);
    gpu->memory = (hm_gpu_allocations){0};
}
