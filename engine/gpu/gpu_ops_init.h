/* The op table of GPUs for a set of toggles. */
#ifndef HM_ENGINE_GPU_GPU_OPS_INIT_H
#define HM_ENGINE_GPU_GPU_OPS_INIT_H

#include "engine/ctx.h"

/* What a device takes for itself at least (engine/gpu/gpu_impl.h): of its own memory constants, the smallest ring of scratch and inputs of
 * a few recorded stretches; of the host's what is on its way, here and in the driver. */
#define HM_GPU_OWN_DEVICE_BYTES ((uint64_t)6 << 20)
#define HM_GPU_OWN_HOST_BYTES ((uint64_t)13 << 20)

/* Fills c->ops for c->dev, whatever its driver; the only place that picks kernels. */
void hm_gpu_ops_init(hm_ctx *c);

#endif
