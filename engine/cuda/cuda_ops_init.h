/* The op table of backend "cuda" for a set of toggles. */
#ifndef HM_ENGINE_CUDA_CUDA_OPS_INIT_H
#define HM_ENGINE_CUDA_CUDA_OPS_INIT_H

#include "engine/ctx.h"

/* Fills c->ops for c->dev, a device of hm_cuda_driver: that of engine/gpu, then what engine/cuda does in ways of its own. */
void hm_cuda_ops_init(hm_ctx *c);

#endif
