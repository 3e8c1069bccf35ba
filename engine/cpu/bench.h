/* How fast the machine can be, and how near the kernels come, measured in one process so that the ratio means something. */
#ifndef HM_ENGINE_CPU_BENCH_H
#define HM_ENGINE_CPU_BENCH_H

#include "engine/cpu/cpu.h"

/* Bytes per second of reading memory with all threads of the device, in GB/s: the best of several ways (streams per thread, with
 * and without prefetch) over a block of that many bytes, repeated for about that many seconds in all; the best stretch of 32 MiB when the
 * block is larger than eight of them. Each thread has a part for itself. */
hm_status hm_cpu_measure_bandwidth(hm_device *dev, size_t bytes, double seconds, double *gb_per_s, hm_error *err);

/* Reads memory in turn with other work, so that both meet the same memory: what neighbours leave of it changes from moment to moment. */
typedef struct hm_cpu_reader hm_cpu_reader;

#define HM_CPU_READER_BYTES ((size_t)32 << 20) /* of a reading */

/* Makes a block of 512 MiB and finds, within about that many seconds, which of the ways reads it fastest in the mean. HM_EABSENT without
 * memory. The device outlives the reader. */
hm_status hm_cpu_reader_open(hm_cpu_reader **out, hm_device *dev, double seconds, hm_error *err);
/* Time in ns of reading the next HM_CPU_READER_BYTES with all threads, which some bytes before have awakened. */
int64_t hm_cpu_reader_read(hm_cpu_reader *reader);
void hm_cpu_reader_close(hm_cpu_reader **reader);

/* One way of multiplying and adding numbers of a type. */
typedef struct hm_cpu_way {
    const char *type;          /* "f32", "bf16", "int8" */
    const char *isa;           /* "scalar", "avx2", "avx512", or an extension: "avx512_bf16", "avx512_vnni", "avx_vnni" */
    const char *how;           /* with which instructions, or as what */
    double operations;         /* of one round, 2 per multiply-add */
    float (*run)(long rounds); /* what is returned must be used */
} hm_cpu_way;

enum {
    HM_CPU_WAYS = 8
};

/* Every way of the device's instruction set that this CPU can execute, f32 first; returns how many. A type without instructions of its
 * own is widened, and `how` says so. */
int hm_cpu_ways(const hm_device *dev, hm_cpu_way out[HM_CPU_WAYS]);

/* Its peak with all threads of the device, in GFLOP/s (int8: 10^9 operations per second). */
double hm_cpu_measure_way(hm_device *dev, const hm_cpu_way *way, double seconds);

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

/* Whether "kernel shape type" has all the words, which spaces separate; NULL: none are asked for. */
bool hm_cpu_bench_matches(const char *kernel, const char *shape, const char *type, const char *words);

/* Runs every case that hm_cpu_bench_matches `only` (NULL: all), about `seconds` each, and hands each row over as it is
 * done. Needs about 0.5 GB of memory. HM_EUSAGE when no case matches. */
hm_status hm_cpu_bench(hm_device *dev, const char *only, double seconds, hm_cpu_bench_sink sink, void *self, hm_error *err);

/* Hands over kernel, shape, type and unit of every case, with figures of 0: nothing is run. */
void hm_cpu_bench_list(hm_cpu_bench_sink sink, void *self);

#endif
