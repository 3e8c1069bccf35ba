/* Linear layers, convolutions and attention over many rows on NVIDIA's GPUs.
 *
 * hm_cuda_many_ops: what entries of engine/gpu/gpu_linear.c, and all that fall back on them, multiply over many rows (linear_ex any number)
 * goes to tensor cores (many.cu, many_quantised.cu), or to cuBLASLt where that is open and suits; streamed attention of many rows, and of any
 * number with a window or without `causal`, to flash.cu. Entries stay as they are. */
#ifndef HM_ENGINE_CUDA_CUDA_MANY_H
#define HM_ENGINE_CUDA_CUDA_MANY_H

#include "engine/ops.h"

void hm_cuda_many_ops(hm_ops *ops);

#endif
