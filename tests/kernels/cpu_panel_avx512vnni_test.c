/* The same with the instruction for sums of products of bytes. */
#define HM_VEC_VNNI
#include "tests/kernels/cpu_panel_avx512_test.c"
