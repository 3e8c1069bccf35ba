/* Modules, their functions, launches. */
#include "tests/cuda_soft/soft.h"

#include <stdlib.h>
#include <string.h>

#define USUAL_SHARED 49152u
#define MOST_SHARED 232448u /* of a block, where a function was told so */

/* A fat binary, a cubin or PTX. */
static bool is_image(const void *image)
{
    uint32_t magic;
    memcpy(&magic, image, sizeof magic);
    return magic == 0xba55ed50u || magic == 0x466243b1u || !memcmp(image, "\177ELF", 4) || !memcmp(image, "//", 2);
}

CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned count, CUjit_option *options, void **values)
{
    soft_context *c = NULL;
    ENTER(cuModuleLoadDataEx);
    CONTEXT(c);
    NEED(out);
    NEED(image);
    (void)options;
    (void)values;
    (void)count;
    CUresult busy = hm_soft_uncaptured();
    if (busy)
        return busy;
    if (!is_image(image))
        return CUDA_ERROR_INVALID_IMAGE;
    *out = hm_soft_new(SOFT_MODULE, sizeof(soft_module));
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuModuleUnload(CUmodule handle)
{
    soft_context *c = NULL;
    soft_module *m = NULL;
    ENTER_LAST(cuModuleUnload);
    CONTEXT(c);
    TAKE(m, handle, SOFT_MODULE);
    hm_soft_retire(m);
    return LAST_RESULT;
}

/* Functions live as long as the library. */
static soft_function *all_functions;

__attribute__((destructor)) static void forget(void)
{
    for (soft_function *f = all_functions, *next; f; f = next) {
        next = f->next;
        free(f);
    }
}

static pthread_mutex_t functions = PTHREAD_MUTEX_INITIALIZER;

CUresult cuModuleGetFunction(CUfunction *out, CUmodule handle, const char *name)
{
    soft_context *c = NULL;
    soft_module *m = NULL;
    ENTER(cuModuleGetFunction);
    CONTEXT(c);
    TAKE(m, handle, SOFT_MODULE);
    NEED(out);
    NEED(name);
    const hc_entry *entry = hc_find(name);
    soft_function *f = entry ? calloc(1, sizeof *f) : NULL;
    if (!f)
        return entry ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_ERROR_NOT_FOUND;
    *f = (soft_function){.module = m, .entry = entry, .spent = hm_soft_spent_of(name), .most_shared = USUAL_SHARED};
    pthread_mutex_lock(&functions);
    f->next = all_functions;
    all_functions = f;
    pthread_mutex_unlock(&functions);
    *out = (CUfunction)f;
    return CUDA_SUCCESS;
}

static CUresult take_function(soft_function **out, CUfunction handle)
{
    pthread_mutex_lock(&functions);
    soft_function *f = all_functions;
    while (f && (void *)f != (void *)handle)
        f = f->next;
    pthread_mutex_unlock(&functions);
    *out = f;
    if (!f || !f->module->object.alive)
        return (CUresult)hm_soft_misuse(f ? "%s: its module was unloaded" : "a function of nothing", f ? f->entry->name : "");
    return CUDA_SUCCESS;
}
#define FUNCTION(out, handle)                            \
    do {                                                 \
        CUresult taken_ = take_function(&(out), handle); \
        if (taken_)                                      \
            return taken_;                               \
    } while (0)

CUresult cuFuncGetAttribute(int *out, CUfunction_attribute name, CUfunction handle)
{
    soft_function *f;
    ENTER(cuFuncGetAttribute);
    FUNCTION(f, handle);
    NEED(out);
    *out = name == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK           ? (int)(f->entry->most_threads ? f->entry->most_threads : 1024)
           : name == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES ? (int)f->most_shared
                                                                     : 0;
    return CUDA_SUCCESS;
}

CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute name, int value)
{
    soft_function *f;
    ENTER(cuFuncSetAttribute);
    FUNCTION(f, handle);
    if (name != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
        return CUDA_SUCCESS;
    if (value < 0 || (unsigned)value > MOST_SHARED)
        return (CUresult)hm_soft_misuse("%s: %d bytes of shared memory, a block has %u at most", f->entry->name, value, MOST_SHARED);
    f->most_shared = (uint32_t)value;
    return CUDA_SUCCESS;
}

CUresult cuFuncGetParamInfo(CUfunction handle, size_t index, size_t *offset, size_t *bytes)
{
    soft_function *f;
    ENTER(cuFuncGetParamInfo);
    FUNCTION(f, handle);
    if (index >= f->entry->count)
        return CUDA_ERROR_INVALID_VALUE;
    size_t at = 0, size = 0;
    for (size_t i = 0; i <= index; i++) {
        at += size;
        size = f->entry->sizes[i];
        at = size > 4 ? (at + 7) / 8 * 8 : at;
    }
    if (offset)
        *offset = at;
    if (bytes)
        *bytes = size;
    return CUDA_SUCCESS;
}

static CUresult check_attributes(const CUlaunchConfig *c, const char *name)
{
    for (unsigned i = 0; i < c->numAttrs; i++) {
        const CUlaunchAttribute *a = &c->attrs[i];
        if (a->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION && a->value.clusterDim.x * a->value.clusterDim.y * a->value.clusterDim.z != 1)
            return (CUresult)hm_soft_misuse("%s: clusters are not what this device has", name);
        if (a->id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE && a->value.cooperative)
            return (CUresult)hm_soft_misuse("%s: blocks that wait for one another are not what this device has", name);
        if (a->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION && hm_soft_own.capability < 90)
            return (CUresult)hm_soft_misuse("%s: only from compute capability 9.0 on kernels begin early", name);
    }
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction handle, void **values, void **extra)
{
    soft_context *c = NULL;
    soft_stream *s = NULL;
    soft_function *f;
    ENTER(cuLaunchKernelEx);
    CONTEXT(c);
    NEED(config);
    TAKE(s, config->hStream, SOFT_STREAM);
    FUNCTION(f, handle);
    if (f->entry->count && (!values || extra))
        return (CUresult)hm_soft_misuse("%s: no arguments", f->entry->name);
    const hc_size grid = {config->gridDimX, config->gridDimY, config->gridDimZ},
                  block = {config->blockDimX, config->blockDimY, config->blockDimZ};
    uint64_t threads = (uint64_t)block.x * block.y * block.z, most = f->entry->most_threads ? f->entry->most_threads : 1024;
    if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || !threads || threads > most)
        return (CUresult)hm_soft_misuse("%s: %u x %u x %u blocks of %llu threads; %llu at most", f->entry->name, grid.x, grid.y, grid.z,
                                        (unsigned long long)threads, (unsigned long long)most);
    if (config->sharedMemBytes > f->most_shared)
        return (CUresult)hm_soft_misuse("%s: %u bytes of shared memory, it was told of %u", f->entry->name, config->sharedMemBytes,
                                        f->most_shared);
    for (uint32_t i = 0; i < f->entry->count; i++)
        if (!values[i])
            return (CUresult)hm_soft_misuse("%s: argument %u is NULL", f->entry->name, i);
    CUresult result = check_attributes(config, f->entry->name);
    if (result)
        return result;
    return hm_soft_submit(
        s,
        &(soft_command){
            .what = SOFT_LAUNCH, .function = f, .grid = grid, .block = block, .shared = config->sharedMemBytes, .values = values},
        0);
}
