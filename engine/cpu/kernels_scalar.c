/* The kernels for plain C. */
#define HM_VEC_BITS 128
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_scalar = HM_CPU_KERNELS;
