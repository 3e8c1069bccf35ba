#include "engine/ze/ze_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/gpu/modules.h"

/* Addresses of more than 32 bits within one allocation, where allocations can be that large. */
static const char *build_flags(const hm_gpu *gpu)
{
    return gpu->id.facts.memory_bytes > (uint64_t)4 << 30 ? "-ze-opt-greater-than-4GB-buffer-required" : "";
}

/* One line of a compiler's output. Takes the log. */
static void read_build_log(hm_gpu *gpu, ze_module_build_log_handle_t log, char *out, size_t size)
{
    size_t bytes = 0;
    char *text = NULL;
    out[0] = 0;
    if (!log)
        return;
    if (!gpu->api->zeModuleBuildLogGetString(log, &bytes, NULL) && bytes && (text = calloc(bytes + 1, 1)) &&
        !gpu->api->zeModuleBuildLogGetString(log, &bytes, text))
        snprintf(out, size, "%s", text);
    free(text);
    HM_ZE_GIVE_BACK(gpu, zeModuleBuildLogDestroy, log);
}

static ze_result_t create(hm_gpu *gpu, ze_module_format_t format, const uint8_t *data, size_t bytes, ze_module_handle_t *out, char *log,
                          size_t size)
{
    const ze_module_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_MODULE_DESC,
                                   .format = format,
                                   .inputSize = bytes,
                                   .pInputModule = data,
                                   .pBuildFlags = build_flags(gpu)};
    ze_module_build_log_handle_t handle = NULL;
    ze_result_t result = gpu->api->zeModuleCreate(gpu->context, gpu->device, &desc, out, &handle);
    read_build_log(gpu, handle, log, size);
    if (result)
        *out = NULL;
    return result;
}

/* What the driver made of it, for the next time. A driver that cannot give it has it made again each time. */
static void keep_binary(hm_gpu *gpu, ze_module_handle_t module, const hm_ze_cache_key *key)
{
    size_t bytes = 0;
    char name[HM_ZE_RESULT_TEXT];
    ze_result_t result = gpu->api->zeModuleGetNativeBinary(module, &bytes, NULL);
    uint8_t *data = !result && bytes ? malloc(bytes) : NULL;
    if (data)
        result = gpu->api->zeModuleGetNativeBinary(module, &bytes, data);
    if (result)
        hm_log_write(gpu->log, HM_LOG_INFO, "%s: compiled kernels are not kept: zeModuleGetNativeBinary: %s", gpu->where,
                     hm_ze_result_name(name, result));
    else if (data)
        hm_ze_cache_put(gpu, key, data, bytes);
    free(data);
}

static bool open_cached(hm_gpu *gpu, const hm_ze_cache_key *key, ze_module_handle_t *out)
{
    uint8_t *data = NULL;
    size_t bytes = 0;
    char log[256], name[HM_ZE_RESULT_TEXT];
    hm_ze_cache_get(gpu, key, &data, &bytes);
    if (!bytes)
        return false;
    ze_result_t result = create(gpu, ZE_MODULE_FORMAT_NATIVE, data, bytes, out, log, sizeof log);
    free(data);
    if (result)
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s: the driver does not take a kept kernel (%s), it is compiled again", gpu->where,
                     hm_ze_result_name(name, result));
    return !result;
}

static hm_status build(hm_gpu *gpu, const hm_gpu_module *source, ze_module_handle_t *out, hm_error *err)
{
    const bool groups = gpu->id.facts.sub_group && source->spirv_subgroup;
    const uint8_t *spirv = groups ? source->spirv_subgroup : source->spirv;
    const size_t bytes = groups ? source->subgroup_bytes : source->bytes;
    char log[300];
    hm_ze_cache_key key;
    if (gpu->cache) {
        hm_ze_cache_key_of(gpu, &key, spirv, bytes, build_flags(gpu));
        if (open_cached(gpu, &key, out))
            return HM_OK;
    }
    ze_result_t result = create(gpu, ZE_MODULE_FORMAT_IL_SPIRV, spirv, bytes, out, log, sizeof log);
    if (result) {
        hm_error why;
        hm_status st = hm_ze_check(gpu, result, "zeModuleCreate", &why);
        return hm_fail(err, st, "%s (kernels of %s.cl)%s%s", why.text, source->file, log[0] ? ": " : "", log);
    }
    if (gpu->cache)
        keep_binary(gpu, *out, &key);
    return HM_OK;
}

static hm_status module_of(hm_gpu *gpu, const hm_gpu_kernel_row *row, ze_module_handle_t *out, hm_error *err)
{
    const hm_gpu_module *source = hm_gpu_module_find(row->file);
    if (!source)
        return hm_fail(err, HM_EABSENT, "%s: this build has no kernels for GPUs: install clang-15 and llvm-spirv-15 and build again",
                       gpu->where);
    int at = (int)(source - hm_gpu_modules);
    if (at >= gpu->modules_count) {
        hm_ze_module *grown = realloc(gpu->modules, (size_t)(at + 1) * sizeof *grown);
        if (!grown)
            return hm_fail(err, HM_EABSENT, "%s: no memory for a module", gpu->where);
        memset(grown + gpu->modules_count, 0, (size_t)(at + 1 - gpu->modules_count) * sizeof *grown);
        gpu->modules = grown;
        gpu->modules_count = at + 1;
    }
    hm_status st = gpu->modules[at].handle ? HM_OK : build(gpu, source, &gpu->modules[at].handle, err);
    *out = gpu->modules[at].handle;
    return st;
}

static hm_status prepare(hm_gpu *gpu, const hm_gpu_kernel_row *row, ze_kernel_handle_t kernel, uint32_t *arguments, hm_error *err)
{
    ze_kernel_properties_t p = {.stype = ZE_STRUCTURE_TYPE_KERNEL_PROPERTIES};
    const ze_kernel_indirect_access_flags_t all =
        ZE_KERNEL_INDIRECT_ACCESS_FLAG_HOST | ZE_KERNEL_INDIRECT_ACCESS_FLAG_DEVICE | ZE_KERNEL_INDIRECT_ACCESS_FLAG_SHARED;
    hm_status st = HM_ZE(gpu, err, zeKernelGetProperties, kernel, &p);
    if (st)
        return st;
    if (p.requiredGroupSizeX && p.requiredGroupSizeX != (uint32_t)row->group)
        return hm_fail(err, HM_EBUG, "%s: %s runs in groups of %u, kernels.def says %d", gpu->where, row->name, p.requiredGroupSizeX,
                       row->group);
    *arguments = p.numKernelArgs;
    st = HM_ZE(gpu, err, zeKernelSetGroupSize, kernel, (uint32_t)row->group, 1, 1);
    return st ? st : HM_ZE(gpu, err, zeKernelSetIndirectAccess, kernel, all); /* lists of pointers in memory */
}

hm_status hm_ze_kernel_get(hm_gpu *gpu, hm_gpu_kernel kernel, const hm_ze_kernel **out, hm_error *err)
{
    hm_ze_kernel *k = &gpu->kernels[kernel];
    const hm_gpu_kernel_row *row = &hm_gpu_kernel_table[kernel];
    const ze_kernel_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_KERNEL_DESC, .pKernelName = row->name};
    ze_module_handle_t module = NULL;
    ze_kernel_handle_t made;
    *out = k;
    if (k->handle)
        return HM_OK;
    hm_status st = module_of(gpu, row, &module, err);
    if (st)
        return st;
    st = HM_ZE(gpu, err, zeKernelCreate, module, &desc, &made);
    if (!st) {
        st = prepare(gpu, row, made, &k->arguments, err);
        if (st)
            HM_ZE_GIVE_BACK(gpu, zeKernelDestroy, made);
        else
            k->handle = made;
    }
    if (st)
        hm_fail_within(err, "%s", row->name);
    return st;
}

void hm_ze_modules_close(hm_gpu *gpu)
{
    for (int i = 0; i < HM_GPU_SHARED_KERNELS; i++)
        if (gpu->kernels[i].handle)
            HM_ZE_GIVE_BACK(gpu, zeKernelDestroy, gpu->kernels[i].handle);
    for (int i = 0; i < gpu->modules_count; i++)
        if (gpu->modules[i].handle)
            HM_ZE_GIVE_BACK(gpu, zeModuleDestroy, gpu->modules[i].handle);
    free(gpu->modules);
    memset(gpu->kernels, 0, sizeof gpu->kernels);
    gpu->modules = NULL;
    gpu->modules_count = 0;
}
