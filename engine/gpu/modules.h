/* The kernels of engine/gpu as this build compiled them: SPIR-V, one module per source file. */
#ifndef HM_ENGINE_GPU_MODULES_H
#define HM_ENGINE_GPU_MODULES_H

#include <stddef.h>
#include <stdint.h>

/* 16-byte aligned; of static storage. */
typedef struct hm_gpu_module {
    const char *file;              /* "linear" of engine/gpu/linear.cl, as in hm_gpu_kernel_row */
    const uint8_t *spirv;          /* for every device */
    const uint8_t *spirv_subgroup; /* the same entry points for devices with sub-groups (OpenCL C's cl_khr_subgroups) */
    size_t bytes, subgroup_bytes;
} hm_gpu_module;

/* Ends with a row whose file is NULL; has no other row in a build that found no compiler of SPIR-V. */
extern const hm_gpu_module hm_gpu_modules[];

/* NULL: this build has no such module. */
const hm_gpu_module *hm_gpu_module_find(const char *file);

#endif
