/* The op table of GPUs for a set of toggles. */
#ifndef HM_ENGINE_GPU_GPU_OPS_INIT_H
#define HM_ENGINE_GPU_GPU_OPS_INIT_H

#include "engine/ctx.h"

/* Fills c->ops for c->dev, whatever its driver; the only place that picks kernels. */
void hm_gpu_ops_init(hm_ctx *c);

#endif
