#define HM_VEC_BITS 512
#include "engine/cpu/bench.inc"

const hm_cpu_bench_kernels hm_cpu_bench_avx512 = HM_CPU_BENCH_KERNELS("avx512");
