/* What the machine can do at most, measured: what figures of the engine are held against. */
#ifndef HM_HARNESS_LIMITS_H
#define HM_HARNESS_LIMITS_H

#include <stdint.h>

#include "engine/cpu/cpu.h"
#include "harness/progress.h"

#define HM_LIMIT_MEMORY_BYTES ((size_t)512 << 20) /* block that no cache holds */
#define HM_LIMIT_COUNT 64

typedef struct hm_limit {
    char name[16]; /* "memory", "cache" (the last level), "l1", "l2" ...: GB/s read; "flops": GFLOP/s, of int8 10^9 operations/s */
    char type[8];  /* "bytes" for reading; "f32", "bf16", "int8" */
    char isa[16];  /* "avx2", or an extension as "avx512_vnni" */
    int threads;   /* that measured */
    double value;
    int64_t block_bytes; /* read again and again; HM_UNKNOWN: not of reading, or not known */
    char how[64];        /* with which instructions; "": not known */
} hm_limit;

typedef struct hm_limits {
    hm_limit items[HM_LIMIT_COUNT];
    int count;
} hm_limits;

enum {
    HM_LIMITS_READING = 1, /* memory and the last level of caches */
    HM_LIMITS_LEVELS = 2,  /* the nearer caches */
    HM_LIMITS_FLOPS = 4    /* every type and instruction that can execute here */
};

/* Adds the chosen limits of the device's threads and instruction set to *out (which the caller has set to zero), about `seconds` for
 * each; progress may be NULL. */
hm_status hm_limits_measure(hm_limits *out, hm_device *dev, unsigned what, double seconds, hm_progress *progress, hm_error *err);

/* value / limit; NaN when either is not known. */
double hm_limit_share(double value, double limit);
/* "83 %"; beyond the limit "104 %, over the limit: a bug of the measurement"; "-" for NaN. Returns out. */
const char *hm_limit_share_text(double share, char *out, size_t size);
#define HM_LIMIT_OVER "over the limit: a bug of the measurement"

/* A cache as the system describes it below `root` ("/" on a machine, a folder with sys/devices/system/cpu in tests). */
typedef struct hm_cache {
    int level, instances; /* instances: how many there are among the CPUs online */
    int64_t bytes;        /* of one */
} hm_cache;

/* Data caches by level, nearest first; returns how many, 0 when the system does not tell. */
int hm_caches_read(const char *root, hm_cache *out, int room);

#endif
