/* Panels for plain C. */
#define HM_VEC_BITS 128
#include "engine/cpu/panels.inc"

const hm_cpu_panel_kernels hm_cpu_panels_scalar = HM_CPU_PANEL_KERNELS;
