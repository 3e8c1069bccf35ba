/* NVIDIA's GPUs through the driver API of CUDA: what there is, without opening any. The driver itself is hm_cuda_driver
 * (engine/gpu/driver.h). Nothing of CUDA is needed to include this. */
#ifndef HM_ENGINE_CUDA_CUDA_H
#define HM_ENGINE_CUDA_CUDA_H

#include "engine/gpu/driver.h"

/* Whether this build has the backend at all (cuda.h and nvcc were found). */
extern const bool hm_cuda_built;

/* What kernels are chosen by, of an open device of hm_cuda_driver. */
typedef struct hm_cuda_limits {
    int major, minor; /* compute capability */
    int sms;
    size_t shared_bytes; /* most of a block, dynamic and static together */
    size_t l2_bytes;
} hm_cuda_limits;
const hm_cuda_limits *hm_cuda_limits_of(const hm_gpu *gpu);
/* The same of the device of a table of operations. */
const hm_cuda_limits *hm_cuda_device_limits(const hm_device *dev);

/* HM_GPU_LAUNCH with dynamic shared memory, of a row of engine/cuda/kernels.def: HM_CUDA_LAUNCH(op, "o", gemv, bytes, x, y, z, values...). */
#define HM_CUDA_LAUNCH(op, what, name, bytes, x, y, z, ...)                                      \
    hm_gpu_launch(op, what,                                                                      \
                  &(hm_gpu_launch_args){.kernel = HM_K_cuda_##name,                              \
                                        .groups = {(uint32_t)(x), (uint32_t)(y), (uint32_t)(z)}, \
                                        .shared = (uint32_t)(bytes),                             \
                                        .values = (const hm_gpu_value[]){__VA_ARGS__},           \
                                        .count = (int)(sizeof((const hm_gpu_value[]){__VA_ARGS__}) / sizeof(hm_gpu_value))})

#endif
