#define HM_VEC_BITS 128
#include "engine/cpu/bench.inc"

const hm_cpu_bench_kernels hm_cpu_bench_scalar = HM_CPU_BENCH_KERNELS("scalar");
