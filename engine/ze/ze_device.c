#include "engine/ze/ze_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRIVERS 8 /* most that are looked at */

typedef struct devices {
    hm_ze_found *items; /* [HM_ZE_DEVICES] */
    int count;
} devices;

/* Versions of Intel's driver: 8 bits major, 8 bits minor, 16 bits build; others as a number. */
static void driver_text(char *out, size_t size, uint32_t version, uint32_t vendor)
{
    if (vendor == 0x8086 && version >> 24)
        snprintf(out, size, "%u.%u.%u", version >> 24, version >> 16 & 0xff, version & 0xffff);
    else
        snprintf(out, size, "%u", version);
}

static hm_status check_at(ze_result_t result, const char *where, const char *call, hm_error *err)
{
    return result ? hm_ze_fail(where, result, call, err) : HM_OK;
}

/* The timer's rate is asked in ticks a second where the driver knows that form, else in ns a tick. */
static hm_status read_properties(const hm_ze_api *api, hm_ze_found *f, const char *where, hm_error *err)
{
    bool hz = f->api >= (ze_api_version_t)ZE_MAKE_VERSION(1, 2);
    f->properties.stype = hz ? ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES_1_2 : ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
    hm_status st = check_at(api->zeDeviceGetProperties(f->device, &f->properties), where, "zeDeviceGetProperties", err);
    uint64_t *timer = &f->properties.timerResolution;
    if (!st && !hz && *timer)
        *timer = 1000000000u / *timer;
    f->properties.name[sizeof f->properties.name - 1] = 0;
    return st;
}

static hm_status memory_facts(const hm_ze_api *api, hm_ze_found *f, const char *where, hm_error *err)
{
    ze_device_memory_properties_t memories[8];
    uint32_t count = 0;
    hm_status st = check_at(api->zeDeviceGetMemoryProperties(f->device, &count, NULL), where, "zeDeviceGetMemoryProperties", err);
    if (st || !count)
        return st;
    count = count > 8 ? 8 : count;
    memset(memories, 0, sizeof memories);
    for (int i = 0; i < 8; i++)
        memories[i].stype = ZE_STRUCTURE_TYPE_DEVICE_MEMORY_PROPERTIES;
    st = check_at(api->zeDeviceGetMemoryProperties(f->device, &count, memories), where, "zeDeviceGetMemoryProperties", err);
    for (uint32_t i = 0; !st && i < count && i < 8; i++)
        f->id.facts.memory_bytes += memories[i].totalSize;
    return st;
}

static hm_status device_facts(const hm_ze_api *api, hm_ze_found *f, hm_error *err)
{
    ze_driver_properties_t driver = {.stype = ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES};
    ze_device_compute_properties_t compute = {.stype = ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES};
    const ze_device_properties_t *p = &f->properties;
    hm_ze_device *id = &f->id;
    char where[32];
    snprintf(where, sizeof where, "ze %d", id->index);
    hm_status st = read_properties(api, f, where, err);
    if (!st)
        st = check_at(api->zeDriverGetProperties(f->driver, &driver), where, "zeDriverGetProperties", err);
    if (!st)
        st = check_at(api->zeDeviceGetComputeProperties(f->device, &compute), where, "zeDeviceGetComputeProperties", err);
    if (!st)
        st = memory_facts(api, f, where, err);
    if (st)
        return st;
    snprintf(id->name, sizeof id->name, "%s", p->name);
    hm_gpu_uuid_text(id->uuid, p->uuid.id);
    driver_text(id->driver, sizeof id->driver, driver.driverVersion, p->vendorId);
    snprintf(id->api, sizeof id->api, "%u.%u", (unsigned)ZE_MAJOR_VERSION(f->api), (unsigned)ZE_MINOR_VERSION(f->api));
    id->gpu = p->type == ZE_DEVICE_TYPE_GPU;
    id->facts.backend = "ze";
    id->facts.software = p->type == ZE_DEVICE_TYPE_CPU || hm_gpu_says_software(p->name);
    id->facts.integrated = p->flags & ZE_DEVICE_PROPERTY_FLAG_INTEGRATED;
    id->facts.max_alloc_bytes = p->maxMemAllocSize;
    id->facts.compute_units = p->numSlices * p->numSubslicesPerSlice * p->numEUsPerSubslice;
    id->facts.clock_mhz = p->coreClockRate;
    for (uint32_t i = 0; i < compute.numSubGroupSizes && i < ZE_SUBGROUPSIZE_COUNT; i++)
        if (compute.subGroupSizes[i] > id->facts.sub_group)
            id->facts.sub_group = compute.subGroupSizes[i];
    id->facts.timer_hz = p->timerResolution;
    return HM_OK;
}

static hm_status add_devices(const hm_ze_api *api, ze_driver_handle_t driver, devices *all, hm_error *err)
{
    ze_device_handle_t handles[HM_ZE_DEVICES];
    ze_api_version_t version = ZE_API_VERSION_1_0;
    uint32_t count = 0;
    hm_status st = check_at(api->zeDriverGetApiVersion(driver, &version), "ze", "zeDriverGetApiVersion", err);
    if (!st)
        st = check_at(api->zeDeviceGet(driver, &count, NULL), "ze", "zeDeviceGet", err);
    if (st || !count)
        return st;
    count = count > HM_ZE_DEVICES ? HM_ZE_DEVICES : count;
    st = check_at(api->zeDeviceGet(driver, &count, handles), "ze", "zeDeviceGet", err);
    for (uint32_t i = 0; !st && i < count && i < HM_ZE_DEVICES && all->count < HM_ZE_DEVICES; i++) {
        hm_ze_found *f = &all->items[all->count];
        f->driver = driver;
        f->device = handles[i];
        f->api = version;
        f->id.index = all->count;
        st = device_facts(api, f, err);
        all->count++;
    }
    return st;
}

/* Fills all->items, which the caller frees. */
static hm_status enumerate(const hm_ze_api *api, devices *all, hm_error *err)
{
    ze_driver_handle_t drivers[DRIVERS];
    uint32_t count = 0;
    all->items = hm_calloc(HM_ZE_DEVICES, sizeof *all->items, "ze: devices", err);
    if (!all->items)
        return HM_EABSENT;
    hm_status st = check_at(api->zeDriverGet(&count, NULL), "ze", "zeDriverGet", err);
    count = count > DRIVERS ? DRIVERS : count;
    if (!st && count)
        st = check_at(api->zeDriverGet(&count, drivers), "ze", "zeDriverGet", err);
    for (uint32_t i = 0; !st && i < count && i < DRIVERS; i++)
        st = add_devices(api, drivers[i], all, err);
    if (!st && !all->count)
        st = hm_fail(
            err, HM_EABSENT,
            "ze: %u driver%s of Level Zero and no device: see that /dev/dri/renderD* exists and may be read and written (group render)",
            count, count == 1 ? "" : "s");
    return st;
}

hm_status hm_ze_choose(const hm_ze_api *api, hm_ze_found *found, const char *wanted, hm_error *err)
{
    devices all = {0};
    int chosen;
    hm_status st = enumerate(api, &all, err);
    if (!st)
        st = hm_gpu_choose(&chosen, "ze", &all.items[0].id, sizeof *all.items, all.count, wanted, err);
    if (!st) {
        *found = all.items[chosen];
        hm_gpu_device_point(&found->id);
    }
    free(all.items);
    return st;
}

hm_status hm_ze_list(hm_ze_device *out, int room, int *count, hm_error *err)
{
    const hm_ze_api *api;
    devices all = {0};
    hm_status st = hm_ze_load(&api, err);
    if (!st)
        st = enumerate(api, &all, err);
    for (int i = 0; !st && i < all.count && i < room; i++) {
        out[i] = all.items[i].id;
        hm_gpu_device_point(&out[i]);
    }
    *count = st ? 0 : all.count;
    free(all.items);
    return st;
}

static hm_status find_queue_group(hm_gpu *gpu, hm_error *err)
{
    ze_command_queue_group_properties_t groups[16];
    uint32_t count = 0;
    hm_status st = HM_ZE(gpu, err, zeDeviceGetCommandQueueGroupProperties, gpu->device, &count, NULL);
    if (st)
        return st;
    count = count > 16 ? 16 : count;
    memset(groups, 0, sizeof groups);
    for (int i = 0; i < 16; i++)
        groups[i].stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_GROUP_PROPERTIES;
    if (count)
        st = HM_ZE(gpu, err, zeDeviceGetCommandQueueGroupProperties, gpu->device, &count, groups);
    for (uint32_t i = 0; !st && i < count && i < 16; i++)
        if (groups[i].flags & ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COMPUTE && groups[i].numQueues) {
            gpu->ordinal = i;
            return HM_OK;
        }
    return st ? st : hm_fail(err, HM_EABSENT, "%s: none of its %u queue groups runs kernels: choose another device", gpu->where, count);
}

static hm_status find_extensions(hm_gpu *gpu, hm_error *err)
{
    uint32_t count = 0;
    hm_status st = HM_ZE(gpu, err, zeDriverGetExtensionProperties, gpu->driver, &count, NULL);
    if (st || !count)
        return st;
    ze_driver_extension_properties_t *list = hm_calloc(count, sizeof *list, "ze: extensions", err);
    if (!list)
        return HM_EABSENT;
    st = HM_ZE(gpu, err, zeDriverGetExtensionProperties, gpu->driver, &count, list);
    for (uint32_t i = 0; !st && i < count; i++)
        if (!strncmp(list[i].name, ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME, sizeof list[i].name))
            gpu->relaxed = true;
    free(list);
    return st;
}

hm_status hm_ze_identify(hm_gpu *gpu, const hm_ze_found *found, hm_error *err)
{
    ze_device_compute_properties_t compute = {.stype = ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES};
    gpu->id = found->id;
    hm_gpu_device_point(&gpu->id);
    snprintf(gpu->where, sizeof gpu->where, "ze %d (%s)", gpu->id.index, gpu->id.name);
    if (!gpu->id.gpu)
        return hm_fail(err, HM_EABSENT, "%s: is no GPU: choose another device", gpu->where);
    hm_status st = HM_ZE(gpu, err, zeDeviceGetComputeProperties, gpu->device, &compute);
    if (!st) {
        gpu->most_groups[0] = compute.maxGroupCountX;
        gpu->most_groups[1] = compute.maxGroupCountY;
        gpu->most_groups[2] = compute.maxGroupCountZ;
        st = find_queue_group(gpu, err);
    }
    return st ? st : find_extensions(gpu, err);
}
