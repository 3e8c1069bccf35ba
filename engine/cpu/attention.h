/* What the two ways of attention share. */
#ifndef HM_ENGINE_CPU_ATTENTION_H
#define HM_ENGINE_CPU_ATTENTION_H

#include "engine/cpu/device.h"

/* Checks the arguments, counts, and cuts the work into tasks: false with op->error set. */
bool hm_cpu_attention_open(const hm_ops *op, const hm_attention_args *args, hm_cpu_attention *job);
void hm_cpu_attention_run(const hm_ops *op, hm_cpu_attention *job, void (*kernel)(hm_cpu_attention *job, float *work));

#endif
