/* Panels for AVX2 with AVX-VNNI. */
#define HM_VEC_BITS 256
#define HM_VEC_VNNI
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_avx2vnni = HM_CPU_PANEL_KERNELS;
