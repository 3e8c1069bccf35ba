#include <stdio.h>
#include <stdlib.h>

#include "engine/cuda/cuda_impl.h"

typedef struct attribute_row {
    CUdevice_attribute name;
    int *value;
} attribute_row;

static hm_status check_at(CUresult result, const char *where, const char *call, hm_error *err)
{
    return result ? hm_cuda_fail(where, result, call, err) : HM_OK;
}

static hm_status read_attributes(const hm_cuda_api *api, CUdevice device, const char *where, const attribute_row *rows, int count,
                                 hm_error *err)
{
    hm_status st = HM_OK;
    for (int i = 0; i < count && !st; i++)
        st = check_at(api->cuDeviceGetAttribute(rows[i].value, rows[i].name, device), where, "cuDeviceGetAttribute", err);
    return st;
}

#define ATTRIBUTES(api, device, where, rows, err) read_attributes(api, device, where, rows, (int)(sizeof(rows) / sizeof *(rows)), err)

static hm_status device_facts(const hm_cuda_api *api, hm_cuda_found *f, int version, hm_error *err)
{
    hm_gpu_device *id = &f->id;
    int major = 0, sms = 0, khz = 0, integrated = 0, warp = 0;
    const attribute_row rows[] = {{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &major},
                                  {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &sms},
                                  {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, &khz},
                                  {CU_DEVICE_ATTRIBUTE_INTEGRATED, &integrated},
                                  {CU_DEVICE_ATTRIBUTE_WARP_SIZE, &warp}};
    CUuuid uuid;
    size_t bytes = 0;
    char where[32];
    snprintf(where, sizeof where, "cuda %d", id->index);
    hm_status st = check_at(api->cuDeviceGet(&f->device, id->index), where, "cuDeviceGet", err);
    if (!st)
        st = check_at(api->cuDeviceGetName(id->name, sizeof id->name, f->device), where, "cuDeviceGetName", err);
    if (!st)
        st = check_at(api->cuDeviceGetUuid_v2(&uuid, f->device), where, "cuDeviceGetUuid_v2", err);
    if (!st)
        st = check_at(api->cuDeviceTotalMem_v2(&bytes, f->device), where, "cuDeviceTotalMem_v2", err);
    if (!st)
        st = ATTRIBUTES(api, f->device, where, rows, err);
    if (st)
        return st;
    id->name[sizeof id->name - 1] = 0;
    hm_gpu_uuid_text(id->uuid, &uuid);
    snprintf(id->driver, sizeof id->driver, "CUDA %d.%d", version / 1000, version % 1000 / 10);
    snprintf(id->api, sizeof id->api, "%d.%d", version / 1000, version % 1000 / 10);
    id->gpu = major >= 8;
    id->facts = (hm_gpu_facts){.backend = "cuda",
                               .software = hm_gpu_says_software(id->name),
                               .integrated = integrated,
                               .memory_bytes = bytes,
                               .max_alloc_bytes = bytes,
                               .compute_units = (uint32_t)sms,
                               .clock_mhz = (uint32_t)khz / 1000,
                               .sub_group = (uint32_t)warp,
                               .timer_hz = 2000000}; /* events: about half a microsecond */
    return HM_OK;
}

/* items: [HM_GPU_DEVICES] */
static hm_status enumerate(const hm_cuda_api *api, hm_cuda_found *items, int *count, hm_error *err)
{
    int version = 0;
    *count = 0;
    hm_status st = check_at(api->cuDriverGetVersion(&version), "cuda", "cuDriverGetVersion", err);
    if (!st)
        st = check_at(api->cuDeviceGetCount(count), "cuda", "cuDeviceGetCount", err);
    if (!st && *count < 1)
        st = hm_cuda_fail("cuda", CUDA_ERROR_NO_DEVICE, "cuDeviceGetCount", err);
    *count = *count > HM_GPU_DEVICES ? HM_GPU_DEVICES : *count;
    for (int i = 0; !st && i < *count; i++) {
        items[i].id.index = i;
        st = device_facts(api, &items[i], version, err);
    }
    return st;
}

hm_status hm_cuda_choose(const hm_cuda_api *api, hm_cuda_found *found, const char *wanted, hm_error *err)
{
    int chosen = 0, count;
    hm_cuda_found *all = hm_calloc(HM_GPU_DEVICES, sizeof *all, "cuda: devices", err);
    hm_status st = all ? enumerate(api, all, &count, err) : HM_EABSENT;
    if (!st)
        st = hm_gpu_choose(&chosen, "cuda", &all[0].id, sizeof *all, count, wanted, err);
    if (!st) {
        *found = all[chosen];
        hm_gpu_device_point(&found->id);
    }
    free(all);
    return st;
}

hm_status hm_cuda_list(hm_gpu_device *out, int room, int *count, hm_error *err)
{
    const hm_cuda_api *api;
    int there = 0;
    hm_status st = hm_cuda_load(&api, err);
    hm_cuda_found *all = st ? NULL : hm_calloc(HM_GPU_DEVICES, sizeof *all, "cuda: devices", err);
    if (!st)
        st = all ? enumerate(api, all, &there, err) : HM_EABSENT;
    for (int i = 0; !st && i < there && i < room; i++) {
        out[i] = all[i].id;
        hm_gpu_device_point(&out[i]);
    }
    *count = st ? 0 : there;
    free(all);
    return st;
}

hm_status hm_cuda_identify(hm_gpu *gpu, const hm_cuda_found *found, hm_error *err)
{
    hm_cuda_limits *l = &gpu->limits;
    int shared = 0, l2 = 0, groups[3] = {0};
    const attribute_row rows[] = {{CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, &l->major},
                                  {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, &l->minor},
                                  {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, &l->sms},
                                  {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, &shared},
                                  {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, &l2},
                                  {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, &groups[0]},
                                  {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, &groups[1]},
                                  {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, &groups[2]}};
    gpu->device = found->device;
    gpu->id = found->id;
    hm_gpu_device_point(&gpu->id);
    snprintf(gpu->where, sizeof gpu->where, "cuda %d (%s)", gpu->id.index, gpu->id.name);
    hm_status st = ATTRIBUTES(gpu->api, gpu->device, gpu->where, rows, err);
    if (st)
        return st;
    if (!gpu->id.gpu)
        return hm_fail(err, HM_EABSENT,
                       "%s: its compute capability is %d.%d, kernels of this build need 8.0 or later: choose another device", gpu->where,
                       l->major, l->minor);
    l->shared_bytes = (size_t)shared;
    l->l2_bytes = (size_t)l2;
    for (int d = 0; d < 3; d++)
        gpu->most_groups[d] = (uint32_t)groups[d];
    return HM_OK;
}
