/* Memory of devices and host, as Level Zero asks for it. */
#include "tests/ze_soft/soft.h"

static const ze_memory_type_t types[] = {
    [SOFT_OF_HOST] = ZE_MEMORY_TYPE_HOST, [SOFT_OF_DEVICE] = ZE_MEMORY_TYPE_DEVICE, [SOFT_OF_BOTH] = ZE_MEMORY_TYPE_SHARED};

soft_device *hm_soft_device_of(const soft_memory *m)
{
    for (int i = 0; i < SOFT_MAX_DEVICES; i++)
        if (m->used_bytes == &hm_soft_devices[i].used_bytes)
            return &hm_soft_devices[i];
    return NULL;
}

static ze_result_t check_request(size_t bytes, size_t alignment, void **out)
{
    NEED(out);
    if (!bytes) {
        hm_soft_misuse("0 bytes are asked for");
        return ZE_RESULT_ERROR_UNSUPPORTED_SIZE;
    }
    if (alignment & (alignment - 1) || alignment > SOFT_PAGE) {
        hm_soft_misuse("alignment %zu is no power of two up to %zu", alignment, SOFT_PAGE);
        return ZE_RESULT_ERROR_UNSUPPORTED_ALIGNMENT;
    }
    return ZE_RESULT_SUCCESS;
}

static ze_result_t allocate(ze_context_handle_t context, ze_device_handle_t device, soft_memory_type type, size_t bytes, size_t alignment,
                            void **out)
{
    soft_context *c = NULL;
    soft_device *d = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    ze_result_t st = device ? hm_soft_device(&d, device) : ZE_RESULT_SUCCESS;
    if (!st)
        st = check_request(bytes, alignment, out);
    if (st)
        return st;
    const soft_memory *m = hm_soft_memory_new(type, bytes, alignment, c, d ? &d->used_bytes : NULL);
    if (!m)
        return d ? ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    *out = m->start;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t alloc_device(ze_context_handle_t context, const ze_device_mem_alloc_desc_t *desc, size_t bytes, size_t alignment,
                                ze_device_handle_t device, void **out)
{
    ENTER(zeMemAllocDevice);
    STYPE(desc, ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC, "desc");
    NEED(device);
    return allocate(context, device, SOFT_OF_DEVICE, bytes, alignment, out);
}

static ze_result_t alloc_host(ze_context_handle_t context, const ze_host_mem_alloc_desc_t *desc, size_t bytes, size_t alignment, void **out)
{
    ENTER(zeMemAllocHost);
    STYPE(desc, ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC, "desc");
    return allocate(context, NULL, SOFT_OF_HOST, bytes, alignment, out);
}

static ze_result_t alloc_shared(ze_context_handle_t context, const ze_device_mem_alloc_desc_t *desc, const ze_host_mem_alloc_desc_t *host,
                                size_t bytes, size_t alignment, ze_device_handle_t device, void **out)
{
    ENTER(zeMemAllocShared);
    STYPE(desc, ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC, "desc");
    STYPE(host, ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC, "the host's desc");
    return allocate(context, device, SOFT_OF_BOTH, bytes, alignment, out);
}

static ze_result_t free_it(ze_context_handle_t context, void *p)
{
    ENTER(zeMemFree);
    soft_context *c = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    NEED(p);
    return hm_soft_memory_free(c, p);
}

static ze_result_t alloc_properties(ze_context_handle_t context, const void *p, ze_memory_allocation_properties_t *out,
                                    ze_device_handle_t *device)
{
    ENTER(zeMemGetAllocProperties);
    soft_context *c = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    STYPE(out, ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES, "the properties");
    const soft_memory *m = hm_soft_memory_find(p);
    out->type = m ? types[m->type] : ZE_MEMORY_TYPE_UNKNOWN;
    out->id = m ? m->id : 0;
    out->pageSize = SOFT_PAGE;
    if (device)
        *device = m ? (ze_device_handle_t)hm_soft_device_of(m) : NULL;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t address_range(ze_context_handle_t context, const void *p, void **start, size_t *bytes)
{
    ENTER(zeMemGetAddressRange);
    soft_context *c = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    const soft_memory *m = hm_soft_memory_find(p);
    if (!m)
        return hm_soft_misuse("%p lies in no allocation", p);
    if (start)
        *start = m->start;
    if (bytes)
        *bytes = m->bytes;
    return ZE_RESULT_SUCCESS;
}

void hm_soft_memory_table(ze_mem_dditable_t *t)
{
    t->pfnAllocDevice = alloc_device;
    t->pfnAllocHost = alloc_host;
    t->pfnAllocShared = alloc_shared;
    t->pfnFree = free_it;
    t->pfnGetAllocProperties = alloc_properties;
    t->pfnGetAddressRange = address_range;
}
