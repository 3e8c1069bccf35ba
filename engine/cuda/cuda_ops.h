/* Operations that CUDA's own kernels do, over those of engine/gpu. Each fills entries of a table that hm_gpu_ops_reference has filled; an entry
 * leaves what does not suit it to the entry of engine/gpu, so that counts are the same either way. */
#ifndef HM_ENGINE_CUDA_CUDA_OPS_H
#define HM_ENGINE_CUDA_CUDA_OPS_H

#include "engine/cuda/cuda.h"

/* cuda_ops_decode.c: linear, linear_add, linear_multi, linear_swiglu of at most HM_FEW_ROWS rows over panels, and the last two of normalised
 * rows. */
void hm_cuda_decode_ops(hm_ops *ops);
/* cuda_ops_attend.c: attention of few rows over heads of at most 128, causal, without a mask or a window; step. */
void hm_cuda_attend_ops(hm_ops *ops);
/* cuda_ops_draw.c: sample. */
void hm_cuda_draw_ops(hm_ops *ops);

#endif
