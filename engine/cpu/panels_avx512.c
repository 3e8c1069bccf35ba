/* Panels for AVX-512. */
#define HM_VEC_BITS 512
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_avx512 = HM_CPU_PANEL_KERNELS;
