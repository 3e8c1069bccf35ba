#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cuda/cuda_impl.h"
#include "engine/cuda/modules.h"

#define USUAL_SHARED 49152 /* bytes a block has without being asked for more */

static const hm_cuda_row rows[] = {
#define HM_CUDA_KERNEL(name, group, file, shared, cluster, early) {shared, cluster, early, NULL},
#define HM_CUDA_CALL(name, function) {0, 1, false, function},
#include "engine/cuda/kernels.def"
#undef HM_CUDA_KERNEL
#undef HM_CUDA_CALL
    {0, 1, false, NULL} /* of the shared ones */
};

const hm_cuda_row *hm_cuda_row_of(hm_gpu_kernel kernel)
{
    return kernel < HM_GPU_SHARED_KERNELS ? &rows[sizeof rows / sizeof *rows - 1] : &rows[kernel - HM_GPU_SHARED_KERNELS];
}

static hm_status load(hm_gpu *gpu, const hm_cuda_module *source, CUmodule *out, hm_error *err)
{
    char log[300] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    CUmodule made = NULL;
    CUresult result = gpu->api->cuModuleLoadDataEx(&made, source->fatbin, 2, options, values);
    if (!result) {
        *out = made;
        return HM_OK;
    }
    hm_error why;
    hm_status st = hm_cuda_check(gpu, result, "cuModuleLoadDataEx", &why);
    log[strcspn(log, "\n")] = 0;
    return hm_fail(err, st, "%s (kernels of %s, compute capability %d.%d)%s%s", why.text, source->file, gpu->limits.major,
                   gpu->limits.minor, log[0] ? ": " : "", log);
}

static hm_status module_of(hm_gpu *gpu, const hm_gpu_kernel_row *row, CUmodule *out, hm_error *err)
{
    int count = 0, at = -1;
    for (; hm_cuda_modules[count].file; count++)
        if (!strcmp(hm_cuda_modules[count].file, row->file))
            at = count;
    if (at < 0)
        return hm_fail(err, HM_EBUG, "%s: this build has no kernels of %s: build again from a clean tree", gpu->where, row->file);
    if (!gpu->modules && !(gpu->modules = hm_calloc((size_t)count, sizeof(CUmodule), "cuda: modules", err)))
        return HM_EABSENT;
    hm_status st = gpu->modules[at] ? HM_OK : load(gpu, &hm_cuda_modules[at], &gpu->modules[at], err);
    *out = gpu->modules[at];
    return st;
}

static hm_status attribute(hm_gpu *gpu, CUfunction f, CUfunction_attribute name, int *out, hm_error *err)
{
    return HM_CUDA(gpu, err, cuFuncGetAttribute, out, name, f);
}

/* Whether a block of it fits the device, which is told of more shared memory than blocks usually have. */
static hm_status prepare(hm_gpu *gpu, hm_gpu_kernel kernel, CUfunction f, hm_error *err)
{
    const hm_gpu_kernel_row *row = &hm_gpu_kernel_table[kernel];
    const uint32_t shared = hm_cuda_row_of(kernel)->shared;
    int threads = 0, fixed = 0;
    hm_status st = attribute(gpu, f, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, &threads, err);
    if (!st)
        st = attribute(gpu, f, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, &fixed, err);
    if (st)
        return st;
    if (threads < row->group)
        return hm_fail(err, HM_EBUG, "%s: blocks of at most %d threads, the table of kernels says %d", gpu->where, threads, row->group);
    if ((size_t)fixed + shared > gpu->limits.shared_bytes)
        return hm_fail(err, HM_EABSENT, "%s: it needs %zu bytes of shared memory a block, the device has %zu: choose another device",
                       gpu->where, (size_t)fixed + shared, gpu->limits.shared_bytes);
    if ((size_t)fixed + shared <= USUAL_SHARED)
        return HM_OK;
    return HM_CUDA(gpu, err, cuFuncSetAttribute, f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)shared);
}

/* How wide its arguments are, from drivers that tell. */
static void read_arguments(hm_gpu *gpu, hm_cuda_kernel *k)
{
    size_t at, width;
    k->arguments = -1;
    if (!gpu->api->cuFuncGetParamInfo)
        return;
    int n = 0;
    while (n < (int)sizeof k->widths && !gpu->api->cuFuncGetParamInfo(k->handle, (size_t)n, &at, &width))
        k->widths[n++] = (uint8_t)width;
    k->arguments = n;
}

hm_status hm_cuda_kernel_get(hm_gpu *gpu, hm_gpu_kernel kernel, const hm_cuda_kernel **out, hm_error *err)
{
    hm_cuda_kernel *k = &gpu->kernels[kernel];
    const hm_gpu_kernel_row *row = &hm_gpu_kernel_table[kernel];
    CUmodule module = NULL;
    CUfunction made;
    *out = k;
    if (k->handle)
        return HM_OK;
    hm_status st = module_of(gpu, row, &module, err);
    if (st)
        return st;
    st = HM_CUDA(gpu, err, cuModuleGetFunction, &made, module, row->name);
    if (!st)
        st = prepare(gpu, kernel, made, err);
    if (st) {
        hm_fail_within(err, "%s", row->name);
        return st;
    }
    k->handle = made;
    read_arguments(gpu, k);
    return HM_OK;
}

void hm_cuda_modules_close(hm_gpu *gpu)
{
    for (int i = 0; gpu->modules && hm_cuda_modules[i].file; i++)
        if (gpu->modules[i])
            HM_CUDA_GIVE_BACK(gpu, cuModuleUnload, gpu->modules[i]);
    free(gpu->modules);
    memset(gpu->kernels, 0, sizeof gpu->kernels);
    gpu->modules = NULL;
}
