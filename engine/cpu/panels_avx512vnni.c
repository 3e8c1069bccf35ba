/* Panels for AVX-512 with VNNI. */
#define HM_VEC_BITS 512
#define HM_VEC_VNNI
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_avx512vnni = HM_CPU_PANEL_KERNELS;
