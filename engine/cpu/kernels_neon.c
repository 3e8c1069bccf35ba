/* The kernels for NEON. */
#define HM_VEC_BITS 128
#define HM_VEC_NEON
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_neon = HM_CPU_KERNELS;
