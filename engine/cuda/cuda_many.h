/* Linear layers, convolutions and attention over many rows on NVIDIA's GPUs.
 *
 * hm_cuda_many_ops fills the entries below and no other; few rows of the first four (HM_FEW_ROWS and fewer, one tap) go to engine/gpu's:
 * whoever has kernels of few rows fills the entries afterwards and gives the others, uncounted, to a table that this function filled.
 *   linear, linear_add, linear_multi, linear_swiglu   what is multiplied how depends on M and the shape
 *   linear_ex                                         on the shape of W alone: the same bytes however rows are cut into calls
 * hm_cuda_attention_many: attention streamed on tensor cores, for any number of rows. Calls with a window or without `causal` must come
 * here whatever their number of rows is: their bytes may not depend on how rows are cut into calls. */
#ifndef HM_ENGINE_CUDA_CUDA_MANY_H
#define HM_ENGINE_CUDA_CUDA_MANY_H

#include "engine/ops.h"

void hm_cuda_many_ops(hm_ops *ops);
void hm_cuda_attention_many(const hm_ops *op, const hm_attention_args *args);

#endif
