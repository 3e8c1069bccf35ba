/* Panels for AVX2. */
#define HM_VEC_BITS 256
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_avx2 = HM_CPU_PANEL_KERNELS;
