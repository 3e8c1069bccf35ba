/* Work of libraries as commands of the device: rows HM_CUDA_CALL of engine/cuda/kernels.def. They are launched as kernels are (hm_gpu_launch),
 * so they are counted, timed, recorded and compared likewise. */
#ifndef HM_ENGINE_CUDA_CUDA_CALLS_H
#define HM_ENGINE_CUDA_CUDA_CALLS_H

#include "engine/cuda/cuda_loader.h"
#include "engine/gpu/driver.h"

/* Puts the command's work on `stream` and neither waits nor allocates: the stream may be recording. The device's context is current. */
typedef hm_status hm_cuda_call(hm_gpu *gpu, CUstream stream, const hm_gpu_command *command, hm_error *err);

#define HM_CUDA_KERNEL(name, group, file, shared, cluster, early)
#define HM_CUDA_CALL(name, function) hm_cuda_call function;
#include "engine/cuda/kernels.def"
#undef HM_CUDA_KERNEL
#undef HM_CUDA_CALL

#endif
