/* The kernels of engine/gpu and engine/cuda as nvcc compiled them: machine code for several GPUs in one, one module per source file. */
#ifndef HM_ENGINE_CUDA_MODULES_H
#define HM_ENGINE_CUDA_MODULES_H

#include <stddef.h>
#include <stdint.h>

/* 16-byte aligned; of static storage. */
typedef struct hm_cuda_module {
    const char *file; /* "linear" of engine/gpu/linear.cl, as in hm_gpu_kernel_row */
    const uint8_t *fatbin;
    size_t bytes;
} hm_cuda_module;

/* Ends with a row whose file is NULL. */
extern const hm_cuda_module hm_cuda_modules[];

#endif
