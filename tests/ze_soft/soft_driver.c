/* The driver, its devices, contexts, and the tables that the loader asks for. */
#include "tests/ze_soft/soft.h"

#include <level_zero/zet_api.h>
#include <level_zero/zet_ddi.h>
#include <stdlib.h>
#include <string.h>

static int the_driver; /* its address is the handle */
soft_device hm_soft_devices[SOFT_MAX_DEVICES] = {{.index = 0}, {.index = 1}};

/* --- what the common part asks for --- */

const soft_is hm_soft_is = {.name = "ze_soft",
                            .entries = SOFT_ENTRIES,
                            .kinds = SOFT_KINDS,
                            .bad_argument = ZE_RESULT_ERROR_INVALID_ARGUMENT,
                            .null_handle = ZE_RESULT_ERROR_INVALID_NULL_HANDLE};
_Static_assert((int)SOFT_ENTRIES <= SOFT_MOST_ENTRIES && (int)SOFT_KINDS <= SOFT_MOST_KINDS, "tables of tests/soft");

const soft_entry_row hm_soft_entries[] = {
#define SOFT_ENTRY(name, lost) {#name, lost},
#include "tests/ze_soft/entries.def"
#undef SOFT_ENTRY
};

const char *const hm_soft_kind_names[] = {
    [SOFT_CONTEXT] = "context", [SOFT_MODULE] = "module",         [SOFT_BUILD_LOG] = "build log",
    [SOFT_KERNEL] = "kernel",   [SOFT_EVENT_POOL] = "event pool", [SOFT_EVENT] = "event",
    [SOFT_LIST] = "list",       [SOFT_QUEUE] = "queue",           [SOFT_FENCE] = "fence",
};

int hm_soft_lost_result(void)
{
    return ZE_RESULT_ERROR_DEVICE_LOST;
}

int hm_soft_usual_failure(const char *entry)
{
    if (!strcmp(entry, "zeMemAllocHost"))
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    return strncmp(entry, "zeMemAlloc", 10) ? ZE_RESULT_ERROR_UNKNOWN : ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY;
}

soft_own hm_soft_own;

void hm_soft_settings_own(void)
{
    soft_own *s = &hm_soft_own;
    s->timer_bits = (int)hm_soft_number("HM_SOFT_TIMER_BITS", 32);
    if (s->timer_bits < 1 || s->timer_bits > 64)
        s->timer_bits = 64;
    s->timer_ns = hm_soft_number("HM_SOFT_TIMER_NS", 52);
    s->timer_ns += !s->timer_ns;
    s->api_minor = (int)hm_soft_number("HM_SOFT_API_MINOR", ZE_MINOR_VERSION(ZE_API_VERSION_CURRENT));
    const char *sysman = getenv("HM_SOFT_SYSMAN");
    s->sysman = !sysman || strcmp(sysman, "none");
}

ze_result_t hm_soft_stype(const void *structure, int expected, const char *what)
{
    if (!structure) {
        hm_soft_misuse("%s is NULL", what);
        return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
    }
    int stype = *(const int *)structure;
    return stype == expected ? ZE_RESULT_SUCCESS : hm_soft_misuse("stype of %s is 0x%x, not 0x%x", what, stype, expected);
}

/* --- small things --- */

static uint64_t timer_mask(void)
{
    int bits = hm_soft_own.timer_bits;
    return bits >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
}

uint64_t hm_soft_ticks(uint64_t ns)
{
    return ns / hm_soft_own.timer_ns & timer_mask();
}

uint32_t hm_soft_count(uint32_t *count, uint32_t have)
{
    if (!*count || *count > have)
        *count = have;
    return *count;
}

ze_result_t hm_soft_device(soft_device **out, const void *handle)
{
    for (int i = 0; i < hm_soft_settings.devices; i++)
        if (handle == &hm_soft_devices[i]) {
            *out = &hm_soft_devices[i];
            return ZE_RESULT_SUCCESS;
        }
    if (handle)
        return hm_soft_misuse("%p is no handle of a device", handle);
    hm_soft_misuse("the handle of a device is NULL");
    return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
}

#define DEVICE(out, handle)                                  \
    do {                                                     \
        ze_result_t found_ = hm_soft_device(&(out), handle); \
        if (found_)                                          \
            return found_;                                   \
    } while (0)
#define DRIVER(handle)                                                              \
    do {                                                                            \
        if ((void *)(handle) != (void *)&the_driver)                                \
            return hm_soft_misuse("%p is no handle of a driver", (void *)(handle)); \
    } while (0)

/* --- driver --- */

static ze_result_t init(ze_init_flags_t flags)
{
    hm_soft_settings_once();
    ENTER(zeInit);
    (void)flags;
    return hm_soft_cl_open() ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_UNINITIALIZED;
}

static ze_result_t driver_get(uint32_t *count, ze_driver_handle_t *out)
{
    ENTER(zeDriverGet);
    NEED(count);
    hm_soft_count(count, 1);
    if (out)
        out[0] = (ze_driver_handle_t)(void *)&the_driver;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t driver_api(ze_driver_handle_t handle, ze_api_version_t *out)
{
    ENTER(zeDriverGetApiVersion);
    DRIVER(handle);
    NEED(out);
    *out = (ze_api_version_t)ZE_MAKE_VERSION(1, hm_soft_own.api_minor);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t driver_properties(ze_driver_handle_t handle, ze_driver_properties_t *out)
{
    ENTER(zeDriverGetProperties);
    DRIVER(handle);
    STYPE(out, ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES, "the properties");
    memcpy(out->uuid.id, "hmsoft driver   ", sizeof out->uuid.id);
    out->driverVersion = 1;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t driver_ipc(ze_driver_handle_t handle, ze_driver_ipc_properties_t *out)
{
    ENTER(zeDriverGetIpcProperties);
    DRIVER(handle);
    STYPE(out, ZE_STRUCTURE_TYPE_DRIVER_IPC_PROPERTIES, "the properties");
    out->flags = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t driver_extensions(ze_driver_handle_t handle, uint32_t *count, ze_driver_extension_properties_t *out)
{
    ENTER(zeDriverGetExtensionProperties);
    DRIVER(handle);
    NEED(count);
    (void)out;
    *count = 0;
    return ZE_RESULT_SUCCESS;
}

/* --- devices --- */

static ze_result_t device_get(ze_driver_handle_t handle, uint32_t *count, ze_device_handle_t *out)
{
    ENTER(zeDeviceGet);
    DRIVER(handle);
    NEED(count);
    uint32_t some = hm_soft_count(count, (uint32_t)hm_soft_settings.devices);
    for (uint32_t i = 0; out && i < some; i++)
        out[i] = (ze_device_handle_t)&hm_soft_devices[i];
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_sub(ze_device_handle_t handle, uint32_t *count, ze_device_handle_t *out)
{
    ENTER(zeDeviceGetSubDevices);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(count);
    (void)out;
    *count = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_properties(ze_device_handle_t handle, ze_device_properties_t *out)
{
    ENTER(zeDeviceGetProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(out);
    bool newer = out->stype == ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES_1_2;
    if (!newer)
        STYPE(out, ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES, "the properties");
    cl_uint units = 1;
    clGetDeviceInfo(hm_soft_cl.device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    out->type = ZE_DEVICE_TYPE_GPU;
    out->vendorId = SOFT_VENDOR;
    out->deviceId = (uint32_t)d->index;
    out->flags = ZE_DEVICE_PROPERTY_FLAG_INTEGRATED;
    out->subdeviceId = 0;
    out->coreClockRate = 1000;
    out->maxMemAllocSize = hm_soft_settings.memory_bytes;
    out->maxHardwareContexts = 1;
    out->maxCommandQueuePriority = 0;
    out->numThreadsPerEU = out->physicalEUSimdWidth = out->numEUsPerSubslice = out->numSubslicesPerSlice = 1;
    out->numSlices = units;
    out->timerResolution = newer ? 1000000000u / hm_soft_own.timer_ns : hm_soft_own.timer_ns;
    out->timestampValidBits = out->kernelTimestampValidBits = (uint32_t)hm_soft_own.timer_bits;
    memcpy(out->uuid.id, "hmsoft device  0", sizeof out->uuid.id);
    out->uuid.id[15] = (uint8_t)('0' + d->index);
    snprintf(out->name, sizeof out->name, "%s (%.180s)", SOFT_NAME, hm_soft_cl.name);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_compute(ze_device_handle_t handle, ze_device_compute_properties_t *out)
{
    ENTER(zeDeviceGetComputeProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    STYPE(out, ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES, "the properties");
    out->maxTotalGroupSize = out->maxGroupSizeX = out->maxGroupSizeY = out->maxGroupSizeZ = 1024;
    out->maxGroupCountX = out->maxGroupCountY = out->maxGroupCountZ = 1u << 30;
    out->maxSharedLocalMemory = 64 << 10;
    out->numSubGroupSizes = 0; /* PoCL has no sub-groups */
    memset(out->subGroupSizes, 0, sizeof out->subGroupSizes);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_module(ze_device_handle_t handle, ze_device_module_properties_t *out)
{
    ENTER(zeDeviceGetModuleProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    STYPE(out, ZE_STRUCTURE_TYPE_DEVICE_MODULE_PROPERTIES, "the properties");
    out->spirvVersionSupported = ZE_MAKE_VERSION(1, 2);
    out->flags = ZE_DEVICE_MODULE_FLAG_FP64 | ZE_DEVICE_MODULE_FLAG_INT64_ATOMICS;
    out->fp16flags = 0;
    out->fp32flags = out->fp64flags = ZE_DEVICE_FP_FLAG_DENORM | ZE_DEVICE_FP_FLAG_INF_NAN | ZE_DEVICE_FP_FLAG_ROUND_TO_NEAREST;
    out->maxArgumentsSize = SOFT_ARGUMENTS * SOFT_VALUE_BYTES;
    out->printfBufferSize = 0;
    memset(&out->nativeKernelSupported, 0, sizeof out->nativeKernelSupported);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_queue_groups(ze_device_handle_t handle, uint32_t *count, ze_command_queue_group_properties_t *out)
{
    ENTER(zeDeviceGetCommandQueueGroupProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(count);
    hm_soft_count(count, 1);
    if (!out)
        return ZE_RESULT_SUCCESS;
    STYPE(out, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_GROUP_PROPERTIES, "the properties");
    out->flags = ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COMPUTE | ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COPY;
    out->maxMemoryFillPatternSize = 128;
    out->numQueues = 1;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_memory(ze_device_handle_t handle, uint32_t *count, ze_device_memory_properties_t *out)
{
    ENTER(zeDeviceGetMemoryProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(count);
    hm_soft_count(count, 1);
    if (!out)
        return ZE_RESULT_SUCCESS;
    STYPE(out, ZE_STRUCTURE_TYPE_DEVICE_MEMORY_PROPERTIES, "the properties");
    out->flags = 0;
    out->maxClockRate = 1600;
    out->maxBusWidth = 64;
    out->totalSize = hm_soft_settings.memory_bytes;
    snprintf(out->name, sizeof out->name, "memory of the host");
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_memory_access(ze_device_handle_t handle, ze_device_memory_access_properties_t *out)
{
    ENTER(zeDeviceGetMemoryAccessProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    STYPE(out, ZE_STRUCTURE_TYPE_DEVICE_MEMORY_ACCESS_PROPERTIES, "the properties");
    ze_memory_access_cap_flags_t can = ZE_MEMORY_ACCESS_CAP_FLAG_RW | ZE_MEMORY_ACCESS_CAP_FLAG_CONCURRENT;
    out->hostAllocCapabilities = out->deviceAllocCapabilities = out->sharedSingleDeviceAllocCapabilities = can;
    out->sharedCrossDeviceAllocCapabilities = out->sharedSystemAllocCapabilities = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_cache(ze_device_handle_t handle, uint32_t *count, ze_device_cache_properties_t *out)
{
    ENTER(zeDeviceGetCacheProperties);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(count);
    (void)out;
    *count = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_peer(ze_device_handle_t handle, ze_device_handle_t peer, ze_bool_t *out)
{
    ENTER(zeDeviceCanAccessPeer);
    soft_device *d = NULL, *other = NULL;
    DEVICE(d, handle);
    DEVICE(other, peer);
    NEED(out);
    *out = d == other;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_status(ze_device_handle_t handle)
{
    ENTER(zeDeviceGetStatus);
    soft_device *d = NULL;
    DEVICE(d, handle);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t device_timestamps(ze_device_handle_t handle, uint64_t *host, uint64_t *device)
{
    ENTER(zeDeviceGetGlobalTimestamps);
    soft_device *d = NULL;
    DEVICE(d, handle);
    NEED(host && device);
    *host = hm_soft_now_ns();
    *device = hm_soft_ticks(*host);
    return ZE_RESULT_SUCCESS;
}

/* --- contexts --- */

static ze_result_t context_create(ze_driver_handle_t handle, const ze_context_desc_t *desc, ze_context_handle_t *out)
{
    ENTER(zeContextCreate);
    DRIVER(handle);
    STYPE(desc, ZE_STRUCTURE_TYPE_CONTEXT_DESC, "desc");
    NEED(out);
    soft_context *c = hm_soft_new(SOFT_CONTEXT, sizeof *c);
    *out = (ze_context_handle_t)c;
    return c ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
}

static ze_result_t context_destroy(ze_context_handle_t handle)
{
    ENTER(zeContextDestroy);
    soft_context *c = NULL;
    TAKE(c, handle, SOFT_CONTEXT);
    hm_soft_retire(c);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t context_status(ze_context_handle_t handle)
{
    ENTER(zeContextGetStatus);
    soft_context *c = NULL;
    TAKE(c, handle, SOFT_CONTEXT);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t residency(ze_context_handle_t context, ze_device_handle_t device, const void *p)
{
    soft_context *c = NULL;
    soft_device *d = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    DEVICE(d, device);
    return hm_soft_memory_find(p) ? ZE_RESULT_SUCCESS : hm_soft_misuse("%p lies in no allocation", p);
}

static ze_result_t make_resident(ze_context_handle_t context, ze_device_handle_t device, void *p, size_t bytes)
{
    ENTER(zeContextMakeMemoryResident);
    (void)bytes;
    return residency(context, device, p);
}

static ze_result_t evict(ze_context_handle_t context, ze_device_handle_t device, void *p, size_t bytes)
{
    ENTER(zeContextEvictMemory);
    (void)bytes;
    return residency(context, device, p);
}

static void driver_table(ze_driver_dditable_t *t)
{
    t->pfnGet = driver_get;
    t->pfnGetApiVersion = driver_api;
    t->pfnGetProperties = driver_properties;
    t->pfnGetIpcProperties = driver_ipc;
    t->pfnGetExtensionProperties = driver_extensions;
}

static void device_table(ze_device_dditable_t *t)
{
    t->pfnGet = device_get;
    t->pfnGetSubDevices = device_sub;
    t->pfnGetProperties = device_properties;
    t->pfnGetComputeProperties = device_compute;
    t->pfnGetModuleProperties = device_module;
    t->pfnGetCommandQueueGroupProperties = device_queue_groups;
    t->pfnGetMemoryProperties = device_memory;
    t->pfnGetMemoryAccessProperties = device_memory_access;
    t->pfnGetCacheProperties = device_cache;
    t->pfnCanAccessPeer = device_peer;
    t->pfnGetStatus = device_status;
    t->pfnGetGlobalTimestamps = device_timestamps;
}

static void context_table(ze_context_dditable_t *t)
{
    t->pfnCreate = context_create;
    t->pfnDestroy = context_destroy;
    t->pfnGetStatus = context_status;
    t->pfnMakeMemoryResident = make_resident;
    t->pfnEvictMemory = evict;
}

/* --- tables: each is a function that the loader looks up by name. What is left out of one answers "unsupported" in the loader, but it
 * insists on all of them --- */

#define TABLE(function, type, fill)                                                \
    SOFT_EXPORT ze_result_t ZE_APICALL function(ze_api_version_t version, type *t) \
    {                                                                              \
        if (!t)                                                                    \
            return ZE_RESULT_ERROR_INVALID_NULL_POINTER;                           \
        (void)version;                                                             \
        hm_soft_settings_once();                                                   \
        fill;                                                                      \
        return ZE_RESULT_SUCCESS;                                                  \
    }

TABLE(zeGetGlobalProcAddrTable, ze_global_dditable_t, t->pfnInit = init)
TABLE(zeGetDriverProcAddrTable, ze_driver_dditable_t, driver_table(t))
TABLE(zeGetDeviceProcAddrTable, ze_device_dditable_t, device_table(t))
TABLE(zeGetContextProcAddrTable, ze_context_dditable_t, context_table(t))
TABLE(zeGetMemProcAddrTable, ze_mem_dditable_t, hm_soft_memory_table(t))
TABLE(zeGetModuleProcAddrTable, ze_module_dditable_t, hm_soft_module_tables(t, NULL, NULL))
TABLE(zeGetModuleBuildLogProcAddrTable, ze_module_build_log_dditable_t, hm_soft_module_tables(NULL, t, NULL))
TABLE(zeGetKernelProcAddrTable, ze_kernel_dditable_t, hm_soft_module_tables(NULL, NULL, t))
TABLE(zeGetEventPoolProcAddrTable, ze_event_pool_dditable_t, hm_soft_event_tables(t, NULL))
TABLE(zeGetEventProcAddrTable, ze_event_dditable_t, hm_soft_event_tables(NULL, t))
TABLE(zeGetCommandListProcAddrTable, ze_command_list_dditable_t, hm_soft_list_table(t))
TABLE(zeGetCommandQueueProcAddrTable, ze_command_queue_dditable_t, hm_soft_queue_tables(t, NULL))
TABLE(zeGetFenceProcAddrTable, ze_fence_dditable_t, hm_soft_queue_tables(NULL, t))

#define EMPTY(function, type) TABLE(function, type, (void)t)
EMPTY(zeGetImageProcAddrTable, ze_image_dditable_t)
EMPTY(zeGetSamplerProcAddrTable, ze_sampler_dditable_t)
EMPTY(zeGetPhysicalMemProcAddrTable, ze_physical_mem_dditable_t)
EMPTY(zeGetVirtualMemProcAddrTable, ze_virtual_mem_dditable_t)
EMPTY(zetGetDeviceProcAddrTable, zet_device_dditable_t)
EMPTY(zetGetContextProcAddrTable, zet_context_dditable_t)
EMPTY(zetGetCommandListProcAddrTable, zet_command_list_dditable_t)
EMPTY(zetGetDebugProcAddrTable, zet_debug_dditable_t)
EMPTY(zetGetKernelProcAddrTable, zet_kernel_dditable_t)
EMPTY(zetGetMetricProcAddrTable, zet_metric_dditable_t)
EMPTY(zetGetMetricGroupProcAddrTable, zet_metric_group_dditable_t)
EMPTY(zetGetMetricQueryProcAddrTable, zet_metric_query_dditable_t)
EMPTY(zetGetMetricQueryPoolProcAddrTable, zet_metric_query_pool_dditable_t)
EMPTY(zetGetMetricStreamerProcAddrTable, zet_metric_streamer_dditable_t)
EMPTY(zetGetModuleProcAddrTable, zet_module_dditable_t)
EMPTY(zetGetTracerExpProcAddrTable, zet_tracer_exp_dditable_t)
