/* The CPU backend: a device is a thread team and an instruction set. */
#ifndef HM_ENGINE_CPU_CPU_H
#define HM_ENGINE_CPU_CPU_H

#include "engine/ops.h"
#include "engine/sampling.h"

/* threads: 0 = all CPUs this process may use. isa: one that hm_isa_has, else HM_EABSENT. */
hm_status hm_cpu_open(hm_device **out, int threads, hm_isa isa, hm_error *err);
/* Beside another device, whose threads have the first `first` CPUs. */
hm_status hm_cpu_open_at(hm_device **out, int threads, int first, hm_isa isa, hm_error *err);
void hm_cpu_close(hm_device **dev);
hm_team *hm_cpu_team(hm_device *dev);
hm_isa hm_cpu_isa(const hm_device *dev);

/* The draw behind hm_ops.sample, for those who bring their own q. scratch: hm_sample_scratch_floats(V). elements: may be NULL. */
int32_t hm_cpu_draw(const hm_device *dev, const hm_sample_input *in, float *scratch, uint64_t *elements);

/* Fills the entries of ops with the plain textbook way for the device's instruction set; dev, count, probe and error are set from the
 * arguments. NULL stay those that cpu_ops_init.c fills, so that a variant links the one it uses: attention, fold_conv, pick,
 * any_at_least. */
void hm_cpu_ops_reference(hm_ops *ops, hm_device *dev, hm_counters *count, const hm_probe *probe, hm_error *error);

/* Kernels that toggles choose between. */
void hm_cpu_attention_scores(const hm_ops *op, const hm_attention_args *args);
void hm_cpu_attention_flash(const hm_ops *op, const hm_attention_args *args);

#endif
