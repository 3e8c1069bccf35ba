/* Loops that do nothing but read or multiply, per instruction set. */
#ifndef HM_ENGINE_CPU_BENCH_KERNELS_H
#define HM_ENGINE_CPU_BENCH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/cpu/bench.h"

enum {
    HM_CPU_BENCH_TYPES = 3
};

typedef struct hm_cpu_bench_kernels {
    float (*read)(const float *p, size_t n, int streams, bool prefetch); /* reads n floats as 1, 2, 4 or 8 streams; returns their sum */
    hm_cpu_way ways[HM_CPU_BENCH_TYPES];                                 /* f32, bf16, int8 */
} hm_cpu_bench_kernels;

extern const hm_cpu_bench_kernels hm_cpu_bench_scalar, hm_cpu_bench_avx2, hm_cpu_bench_avx512;

/* Ways by instructions that not every CPU of an instruction set has; those that this one can execute, at most `room`. */
int hm_cpu_bench_dot_ways(hm_isa isa, hm_cpu_way *out, int room);

#endif
