#include "engine/gpu/modules.h"

#include <string.h>

#include "engine/gpu/gpu.h"

const hm_gpu_kernel_row hm_gpu_kernel_table[HM_GPU_KERNELS] = {
#define HM_KERNEL(name, group, file) {"hm_" #name, group, #file},
#include "engine/gpu/kernels.def"
#undef HM_KERNEL
#define HM_CUDA_KERNEL(name, group, file, shared, cluster, early) {"hm_cuda_" #name, group, #file},
#define HM_CUDA_CALL(name, function) {"hm_cuda_" #name, 0, NULL},
#include "engine/cuda/kernels.def"
#undef HM_CUDA_KERNEL
#undef HM_CUDA_CALL
};

const hm_gpu_module *hm_gpu_module_find(const char *file)
{
    for (const hm_gpu_module *m = hm_gpu_modules; m->file; m++)
        if (!strcmp(m->file, file))
            return m;
    return NULL;
}
