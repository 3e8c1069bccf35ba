/* Memory, and what moves it. */
#include "tests/cuda_soft/soft.h"

#define ALIGNMENT 256

static CUresult allocate(CUdeviceptr *out, soft_memory_type type, size_t bytes)
{
    soft_context *c = NULL;
    CONTEXT(c);
    NEED(out);
    if (!bytes)
        return (CUresult)hm_soft_misuse("0 bytes are asked for");
    CUresult busy = hm_soft_uncaptured();
    if (busy)
        return busy;
    const soft_memory *m = hm_soft_memory_new(type, bytes, ALIGNMENT, c, type == SOFT_OF_HOST ? NULL : &c->device->used_bytes);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *out = (CUdeviceptr)(uintptr_t)m->start;
    return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr *out, size_t bytes)
{
    ENTER(cuMemAlloc_v2);
    return allocate(out, SOFT_OF_DEVICE, bytes);
}

CUresult cuMemAllocManaged(CUdeviceptr *out, size_t bytes, unsigned flags)
{
    ENTER(cuMemAllocManaged);
    if (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)
        return (CUresult)hm_soft_misuse("flags %#x", flags);
    return allocate(out, SOFT_OF_BOTH, bytes);
}

CUresult cuMemHostAlloc(void **out, size_t bytes, unsigned flags)
{
    CUdeviceptr p = 0;
    ENTER(cuMemHostAlloc);
    (void)flags;
    NEED(out);
    CUresult result = allocate(&p, SOFT_OF_HOST, bytes);
    if (!result)
        *out = (void *)(uintptr_t)p;
    return result;
}

static CUresult give_back(void *p, bool host)
{
    soft_context *c = NULL;
    CONTEXT(c);
    if (!p)
        return CUDA_SUCCESS;
    const soft_memory *m = hm_soft_memory_find(p);
    if (m && (m->type == SOFT_OF_HOST) != host)
        return (CUresult)hm_soft_misuse("this is memory of the %s", host ? "device" : "host");
    CUresult result = hm_soft_uncaptured();
    if (!result)
        result = (CUresult)hm_soft_memory_free(c, p);
    return result ? result : LAST_RESULT;
}

CUresult cuMemFree_v2(CUdeviceptr p)
{
    ENTER_LAST(cuMemFree_v2);
    return give_back((void *)(uintptr_t)p, false);
}

CUresult cuMemFreeHost(void *p)
{
    ENTER_LAST(cuMemFreeHost);
    return give_back(p, true);
}

/* --- what moves it --- */

static CUresult check_range(const void *p, size_t bytes, bool must, const char *which)
{
    const soft_memory *m = hm_soft_memory_find(p);
    size_t left = m ? m->bytes - (size_t)((const char *)p - m->start) : 0;
    if (!p || (must && !m))
        return (CUresult)hm_soft_misuse("the %s lies in no allocation", which);
    if (m && bytes > left)
        return (CUresult)hm_soft_misuse("%zu bytes at the %s, of which %zu are in its allocation", bytes, which, left);
    return CUDA_SUCCESS;
}

/* Host memory that the driver does not know is copied before the call returns; what is copied to such memory comes late. */
static CUresult copy(void *to, bool to_must, const void *from, bool from_must, size_t bytes, CUstream stream)
{
    soft_stream *s = NULL;
    soft_context *c = NULL;
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    CUresult result = check_range(to, bytes, to_must, "destination");
    if (!result)
        result = check_range(from, bytes, from_must, "source");
    if (result)
        return result;
    bool pageable = !hm_soft_memory_find(from);
    if (s->captured && (pageable || !hm_soft_memory_find(to)))
        return (CUresult)hm_soft_misuse("a copy with host memory that the driver does not know is captured");
    return hm_soft_submit(s, &(soft_command){.what = SOFT_COPY, .to = to, .from = from, .bytes = bytes}, pageable ? bytes : 0);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER(cuMemcpyAsync);
    return copy((void *)(uintptr_t)to, false, (const void *)(uintptr_t)from, false, bytes, stream);
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    ENTER(cuMemcpyHtoDAsync_v2);
    return copy((void *)(uintptr_t)to, true, from, false, bytes, stream);
}

CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    ENTER(cuMemcpyDtoHAsync_v2);
    return copy(to, false, (const void *)(uintptr_t)from, true, bytes, stream);
}

CUresult cuMemsetD32Async(CUdeviceptr to, unsigned pattern, size_t count, CUstream stream)
{
    soft_stream *s = NULL;
    soft_context *c = NULL;
    ENTER(cuMemsetD32Async);
    CONTEXT(c);
    TAKE(s, stream, SOFT_STREAM);
    if (to % sizeof pattern)
        return (CUresult)hm_soft_misuse("%#llx is no multiple of 4", (unsigned long long)to);
    CUresult result = check_range((void *)(uintptr_t)to, count * sizeof pattern, true, "destination");
    if (result)
        return result;
    return hm_soft_submit(
        s, &(soft_command){.what = SOFT_FILL, .to = (void *)(uintptr_t)to, .bytes = count * sizeof pattern, .pattern = pattern}, 0);
}
