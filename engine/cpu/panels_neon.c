/* Panels for NEON with dot products. */
#define HM_VEC_BITS 128
#define HM_VEC_NEON
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_neon = HM_CPU_PANEL_KERNELS;
