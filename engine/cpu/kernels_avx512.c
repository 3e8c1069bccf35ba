/* The kernels for AVX-512. */
#define HM_VEC_BITS 512
#include "engine/cpu/kernels.inc"

const hm_cpu_kernels hm_cpu_kernels_avx512 = HM_CPU_KERNELS;
