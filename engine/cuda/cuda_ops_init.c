#include "engine/cuda/cuda_ops_init.h"

#include "engine/cuda/cuda_many.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/gpu/gpu_ops_init.h"

void hm_cuda_ops_init(hm_ctx *c)
{
    hm_gpu_ops_init(c);
    hm_cuda_many_ops(&c->ops);
    if (hm_t(c)->panels == HM_PANELS_PACKED)
        hm_cuda_decode_ops(&c->ops);
    if (hm_t(c)->attn == HM_ATTN_FLASH)
        hm_cuda_attend_ops(&c->ops);
    if (hm_t(c)->sampling == HM_SAMPLING_FUSED)
        hm_cuda_draw_ops(&c->ops);
}
