/* How fast the machine can be, and how near the kernels come, measured in one process so that the ratio means something. */
#ifndef HM_ENGINE_CPU_BENCH_H
#define HM_ENGINE_CPU_BENCH_H

#include "engine/cpu/cpu.h"

/* Bytes per second of reading memory with all threads of the device, in GB/s: the best of several ways (streams per thread, with
 * and without prefetch) over a block of that many bytes, repeated for about that many seconds in all. */
hm_status hm_cpu_measure_bandwidth(hm_device *dev, size_t bytes, double seconds, double *gb_per_s, hm_error *err);

/* Peak of float32 multiply-adds (2 operations each) of all threads, for the device's instruction set, in GFLOP/s. */
double hm_cpu_measure_flops(hm_device *dev, double seconds);

typedef struct hm_cpu_bench_row {
    const char *kernel; /* "gemv", "gemm", "conv", "attention flash decode", ... */
    const char *shape;  /* "5120x3072 M=2" */
    const char *type;   /* "bf16", "f32" ... */
    const char *unit;   /* "GB/s" or "GFLOP/s" */
    double median_ns;   /* of one call */
    double rate;        /* in unit, at the median */
    double best_rate;   /* of the best call: what compares with the limit, which is a best too */
    double limit;       /* the machine's best, measured just before and after */
    int samples;
} hm_cpu_bench_row;

typedef void (*hm_cpu_bench_sink)(void *self, const hm_cpu_bench_row *row);

/* Runs every case whose "kernel shape type" contains `only` (NULL: all), about `seconds` each, and hands each row over as it is
 * done. Needs about 0.5 GB of memory. HM_EUSAGE when no case matches. */
hm_status hm_cpu_bench(hm_device *dev, const char *only, double seconds, hm_cpu_bench_sink sink, void *self, hm_error *err);

/* Hands over kernel, shape, type and unit of every case, with figures of 0: nothing is run. */
void hm_cpu_bench_list(hm_cpu_bench_sink sink, void *self);

#endif
