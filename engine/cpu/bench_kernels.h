/* Loops that do nothing but read or multiply, per instruction set. */
#ifndef HM_ENGINE_CPU_BENCH_KERNELS_H
#define HM_ENGINE_CPU_BENCH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct hm_cpu_bench_kernels {
    float (*read)(const float *p, size_t n, int streams, bool prefetch); /* reads n floats as 1, 2, 4 or 8 streams; returns their sum */
    float (*multiply_add)(long rounds);                                  /* rounds of `operations` floating-point operations */
    double operations;
} hm_cpu_bench_kernels;

extern const hm_cpu_bench_kernels hm_cpu_bench_scalar, hm_cpu_bench_avx2, hm_cpu_bench_avx512;

#endif
