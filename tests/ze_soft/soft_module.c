/* Modules and kernels: SPIR-V, or a binary of ours around it; arguments as they are set. */
#define _GNU_SOURCE
#include "tests/ze_soft/soft.h"

#include <stdlib.h>
#include <string.h>

typedef struct build_log {
    soft_object object;
    char *text;
} build_log;

/* The native format: this, then the SPIR-V. */
typedef struct native_header {
    char magic[8];
    uint64_t bytes, sum;
} native_header;

static const char native_magic[8] = "hmsoft1";

static uint64_t sum_of(const unsigned char *p, size_t bytes)
{
    uint64_t sum = 1469598103934665603u;
    for (size_t i = 0; i < bytes; i++)
        sum = (sum ^ p[i]) * 1099511628211u;
    return sum;
}

/* --- modules --- */

static ze_result_t take_source(const ze_module_desc_t *desc, const void **spirv, size_t *bytes)
{
    *spirv = desc->pInputModule;
    *bytes = desc->inputSize;
    if (desc->format == ZE_MODULE_FORMAT_IL_SPIRV)
        return ZE_RESULT_SUCCESS;
    if (desc->format != ZE_MODULE_FORMAT_NATIVE)
        return ZE_RESULT_ERROR_UNSUPPORTED_ENUMERATION;
    native_header h;
    if (desc->inputSize <= sizeof h)
        return ZE_RESULT_ERROR_INVALID_NATIVE_BINARY;
    memcpy(&h, desc->pInputModule, sizeof h);
    *spirv = desc->pInputModule + sizeof h;
    *bytes = desc->inputSize - sizeof h;
    bool good = !memcmp(h.magic, native_magic, sizeof h.magic) && h.bytes == *bytes && h.sum == sum_of(*spirv, *bytes);
    return good ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_INVALID_NATIVE_BINARY;
}

static ze_result_t give_log(ze_module_build_log_handle_t *out, char *text)
{
    build_log *log = out ? hm_soft_new(SOFT_BUILD_LOG, sizeof *log) : NULL;
    if (log)
        log->text = text;
    else
        free(text);
    if (!out)
        return ZE_RESULT_SUCCESS;
    *out = (ze_module_build_log_handle_t)log;
    return log ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
}

static ze_result_t module_make(soft_module *m, const void *spirv, size_t bytes, char **text)
{
    m->entries = hm_soft_spirv_read(spirv, bytes, &m->count);
    if (!m->entries) {
        *text = strdup("not SPIR-V of kernels");
        return ZE_RESULT_ERROR_MODULE_BUILD_FAILURE;
    }
    m->program = hm_soft_cl_program(spirv, bytes, text);
    if (!m->program)
        return ZE_RESULT_ERROR_MODULE_BUILD_FAILURE;
    m->spirv = malloc(bytes);
    if (!m->spirv)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    memcpy(m->spirv, spirv, bytes);
    m->bytes = bytes;
    return ZE_RESULT_SUCCESS;
}

static void module_unmake(soft_module *m)
{
    if (m->program)
        clReleaseProgram(m->program);
    free(m->entries);
    free(m->spirv);
    hm_soft_retire(m);
}

static ze_result_t module_create(ze_context_handle_t context, ze_device_handle_t device, const ze_module_desc_t *desc,
                                 ze_module_handle_t *out, ze_module_build_log_handle_t *log)
{
    ENTER(zeModuleCreate);
    soft_context *c = NULL;
    soft_device *d = NULL;
    TAKE(c, context, SOFT_CONTEXT);
    ze_result_t st = hm_soft_device(&d, device);
    if (st)
        return st;
    STYPE(desc, ZE_STRUCTURE_TYPE_MODULE_DESC, "desc");
    NEED(out);
    NEED(desc->pInputModule);
    const void *spirv = NULL;
    size_t bytes = 0;
    char *text = NULL;
    soft_module *m = NULL;
    st = take_source(desc, &spirv, &bytes);
    if (!st && !(m = hm_soft_new(SOFT_MODULE, sizeof *m)))
        st = ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    if (!st) {
        m->context = c;
        m->device = d;
        st = module_make(m, spirv, bytes, &text);
    }
    if (st && m)
        module_unmake(m);
    ze_result_t logged = give_log(log, text);
    if (!st && logged)
        module_unmake(m);
    st = st ? st : logged;
    if (!st)
        *out = (ze_module_handle_t)m;
    return st;
}

static ze_result_t module_destroy(ze_module_handle_t handle)
{
    ENTER(zeModuleDestroy);
    soft_module *m = NULL;
    TAKE(m, handle, SOFT_MODULE);
    if (m->kernels)
        return hm_soft_misuse("%d kernels of the module live", m->kernels);
    module_unmake(m);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t module_kernel_names(ze_module_handle_t handle, uint32_t *count, const char **names)
{
    ENTER(zeModuleGetKernelNames);
    soft_module *m = NULL;
    TAKE(m, handle, SOFT_MODULE);
    NEED(count);
    uint32_t some = hm_soft_count(count, (uint32_t)m->count);
    for (uint32_t i = 0; names && i < some; i++)
        names[i] = m->entries[i].name;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t module_native(ze_module_handle_t handle, size_t *bytes, uint8_t *out)
{
    ENTER(zeModuleGetNativeBinary);
    soft_module *m = NULL;
    TAKE(m, handle, SOFT_MODULE);
    NEED(bytes);
    native_header h = {.bytes = m->bytes, .sum = sum_of(m->spirv, m->bytes)};
    memcpy(h.magic, native_magic, sizeof h.magic);
    size_t whole = sizeof h + m->bytes;
    if (out && *bytes < whole)
        return hm_soft_misuse("there is room for %zu bytes of %zu", *bytes, whole);
    *bytes = whole;
    if (out) {
        memcpy(out, &h, sizeof h);
        memcpy(out + sizeof h, m->spirv, m->bytes);
    }
    return ZE_RESULT_SUCCESS;
}

static ze_result_t module_properties(ze_module_handle_t handle, ze_module_properties_t *out)
{
    ENTER(zeModuleGetProperties);
    soft_module *m = NULL;
    TAKE(m, handle, SOFT_MODULE);
    STYPE(out, ZE_STRUCTURE_TYPE_MODULE_PROPERTIES, "the properties");
    out->flags = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t text_out(size_t *bytes, char *out, const char *text)
{
    NEED(bytes);
    size_t whole = strlen(text) + 1;
    if (out && *bytes < whole)
        return hm_soft_misuse("there is room for %zu bytes of %zu", *bytes, whole);
    *bytes = whole;
    if (out)
        memcpy(out, text, whole);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t log_string(ze_module_build_log_handle_t handle, size_t *bytes, char *out)
{
    ENTER(zeModuleBuildLogGetString);
    build_log *log = NULL;
    TAKE(log, handle, SOFT_BUILD_LOG);
    return text_out(bytes, out, log->text ? log->text : "");
}

static ze_result_t log_destroy(ze_module_build_log_handle_t handle)
{
    ENTER(zeModuleBuildLogDestroy);
    build_log *log = NULL;
    TAKE(log, handle, SOFT_BUILD_LOG);
    free(log->text);
    log->text = NULL;
    hm_soft_retire(log);
    return ZE_RESULT_SUCCESS;
}

/* --- kernels --- */

static ze_result_t kernel_create(ze_module_handle_t handle, const ze_kernel_desc_t *desc, ze_kernel_handle_t *out)
{
    ENTER(zeKernelCreate);
    soft_module *m = NULL;
    TAKE(m, handle, SOFT_MODULE);
    STYPE(desc, ZE_STRUCTURE_TYPE_KERNEL_DESC, "desc");
    NEED(desc->pKernelName);
    NEED(out);
    const soft_entry_point *entry = NULL;
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->entries[i].name, desc->pKernelName))
            entry = &m->entries[i];
    if (!entry)
        return ZE_RESULT_ERROR_INVALID_KERNEL_NAME;
    soft_kernel *k = hm_soft_new(SOFT_KERNEL, sizeof *k);
    if (!k)
        return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
    cl_int st = 0;
    k->kernel = clCreateKernel(m->program, desc->pKernelName, &st);
    if (st) {
        hm_soft_retire(k);
        return ZE_RESULT_ERROR_INVALID_KERNEL_NAME;
    }
    k->module = m;
    k->entry = entry;
    k->spent = hm_soft_spent_of(entry->name);
    for (int i = 0; i < 3; i++)
        k->group[i] = 1;
    m->kernels++;
    *out = (ze_kernel_handle_t)k;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_destroy(ze_kernel_handle_t handle)
{
    ENTER(zeKernelDestroy);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    if (k->pending)
        return hm_soft_misuse("%d launches of %s wait", k->pending, k->entry->name);
    clReleaseKernel(k->kernel);
    k->module->kernels--;
    hm_soft_retire(k);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_group_size(ze_kernel_handle_t handle, uint32_t x, uint32_t y, uint32_t z)
{
    ENTER(zeKernelSetGroupSize);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    const uint32_t *need = k->entry->required, size[3] = {x, y, z};
    bool fits = x && y && z && (uint64_t)x * y * z <= 1024;
    if (!fits || (need[0] && memcmp(need, size, sizeof size))) {
        hm_soft_misuse("group %ux%ux%u of %s, which is compiled for %ux%ux%u", x, y, z, k->entry->name, need[0], need[1], need[2]);
        return ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION;
    }
    memcpy(k->group, size, sizeof size);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_suggest(ze_kernel_handle_t handle, uint32_t x, uint32_t y, uint32_t z, uint32_t *group_x, uint32_t *group_y,
                                  uint32_t *group_z)
{
    ENTER(zeKernelSuggestGroupSize);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    NEED(group_x && group_y && group_z);
    (void)y;
    (void)z;
    const uint32_t *need = k->entry->required;
    uint32_t size = 64;
    while (x % size)
        size /= 2;
    *group_x = need[0] ? need[0] : size;
    *group_y = need[1] ? need[1] : 1;
    *group_z = need[2] ? need[2] : 1;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_argument(ze_kernel_handle_t handle, uint32_t index, size_t bytes, const void *data)
{
    ENTER(zeKernelSetArgumentValue);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    if (index >= (uint32_t)k->entry->count) {
        hm_soft_misuse("%s has %d arguments, none is %u", k->entry->name, k->entry->count, index);
        return ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX;
    }
    const soft_argument *a = &k->entry->arguments[index];
    bool fits = a->kind == SOFT_LOCAL ? !data && bytes : bytes && bytes <= SOFT_VALUE_BYTES && (!a->bytes || a->bytes == bytes);
    if (!fits || (a->kind == SOFT_BY_VALUE && !data)) {
        hm_soft_misuse("argument %u of %s takes %u bytes, not %zu", index, k->entry->name, a->bytes, bytes);
        return ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE;
    }
    soft_value *v = &k->values[index];
    if (v->set && v->bytes == bytes && data && !memcmp(v->data, data, bytes))
        return ZE_RESULT_SUCCESS;
    memset(v, 0, sizeof *v);
    v->bytes = (uint32_t)bytes;
    v->set = true;
    if (data)
        memcpy(v->data, data, bytes);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_set_indirect(ze_kernel_handle_t handle, ze_kernel_indirect_access_flags_t flags)
{
    ENTER(zeKernelSetIndirectAccess);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    k->indirect = flags;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_get_indirect(ze_kernel_handle_t handle, ze_kernel_indirect_access_flags_t *flags)
{
    ENTER(zeKernelGetIndirectAccess);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    NEED(flags);
    *flags = k->indirect;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_properties(ze_kernel_handle_t handle, ze_kernel_properties_t *out)
{
    ENTER(zeKernelGetProperties);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    STYPE(out, ZE_STRUCTURE_TYPE_KERNEL_PROPERTIES, "the properties");
    cl_ulong local = 0, private_bytes = 0;
    clGetKernelWorkGroupInfo(k->kernel, hm_soft_cl.device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    clGetKernelWorkGroupInfo(k->kernel, hm_soft_cl.device, CL_KERNEL_PRIVATE_MEM_SIZE, sizeof private_bytes, &private_bytes, NULL);
    out->numKernelArgs = (uint32_t)k->entry->count;
    out->requiredGroupSizeX = k->entry->required[0];
    out->requiredGroupSizeY = k->entry->required[1];
    out->requiredGroupSizeZ = k->entry->required[2];
    out->requiredNumSubGroups = out->requiredSubgroupSize = 0;
    out->maxSubgroupSize = out->maxNumSubgroups = 1;
    out->localMemSize = (uint32_t)local;
    out->privateMemSize = (uint32_t)private_bytes;
    out->spillMemSize = 0;
    memset(&out->uuid, 0, sizeof out->uuid);
    return ZE_RESULT_SUCCESS;
}

static ze_result_t kernel_name(ze_kernel_handle_t handle, size_t *bytes, char *out)
{
    ENTER(zeKernelGetName);
    soft_kernel *k = NULL;
    TAKE(k, handle, SOFT_KERNEL);
    return text_out(bytes, out, k->entry->name);
}

void hm_soft_module_tables(ze_module_dditable_t *module, ze_module_build_log_dditable_t *log, ze_kernel_dditable_t *kernel)
{
    if (module) {
        module->pfnCreate = module_create;
        module->pfnDestroy = module_destroy;
        module->pfnGetKernelNames = module_kernel_names;
        module->pfnGetNativeBinary = module_native;
        module->pfnGetProperties = module_properties;
    }
    if (log) {
        log->pfnGetString = log_string;
        log->pfnDestroy = log_destroy;
    }
    if (kernel) {
        kernel->pfnCreate = kernel_create;
        kernel->pfnDestroy = kernel_destroy;
        kernel->pfnSetGroupSize = kernel_group_size;
        kernel->pfnSuggestGroupSize = kernel_suggest;
        kernel->pfnSetArgumentValue = kernel_argument;
        kernel->pfnSetIndirectAccess = kernel_set_indirect;
        kernel->pfnGetIndirectAccess = kernel_get_indirect;
        kernel->pfnGetProperties = kernel_properties;
        kernel->pfnGetName = kernel_name;
    }
}
