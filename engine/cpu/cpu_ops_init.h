/* The op table of the CPU backend for a set of toggles. */
#ifndef HM_ENGINE_CPU_CPU_OPS_INIT_H
#define HM_ENGINE_CPU_CPU_OPS_INIT_H

#include "engine/ctx.h"

/* Fills c->ops for c->dev; the only place that picks kernels. */
void hm_cpu_ops_init(hm_ctx *c);

#endif
