/* Products of matrices by cuBLASLt, whose library is opened at run time when the first one is wanted, and need not be there. */
#ifndef HM_ENGINE_CUDA_MATMUL_H
#define HM_ENGINE_CUDA_MATMUL_H

#include "engine/gpu/driver.h"

#define HM_CUDA_MATMUL_WORKSPACE ((size_t)8 << 20) /* bytes of device memory that a call may write to */

/* y [M][out] of float32, ldy floats a row, = (add ? y : 0) + x W^T: x [M][in], W [out][in] of bfloat16, contiguous; 16-byte aligned all. */
typedef struct hm_cuda_matmul_shape {
    int out, M, in;
    int64_t ldy;
} hm_cuda_matmul_shape;

/* Whether the library is there and has a way to do it: once for each shape. false is told to the log, once for each reason, and is no
 * failure. The caller has the device's lock, and nothing is being recorded. */
bool hm_cuda_matmul_ready(hm_gpu *gpu, const hm_cuda_matmul_shape *shape);

/* Arguments of the command HM_K_cuda_matmul, in this order: y, x, W, workspace, out, M, in, ldy, add. Its shape was asked for. */
#define HM_CUDA_MATMUL_VALUES 9

/* What is left of it. */
typedef struct hm_cuda_matmul hm_cuda_matmul;
void hm_cuda_matmul_close(hm_cuda_matmul **m);

#endif
