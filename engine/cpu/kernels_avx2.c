/* The kernels for AVX2. */
#define HM_VEC_BITS 256
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_avx2 = HM_CPU_KERNELS;
