/* What the machine can do at most, measured: what figures of the engine are held against. */
#ifndef HM_HARNESS_LIMITS_H
#define HM_HARNESS_LIMITS_H

#include "engine/cpu/cpu.h"
#include "harness/progress.h"

#define HM_LIMIT_CACHE_BYTES ((size_t)8 << 20)    /* block that caches hold */
#define HM_LIMIT_MEMORY_BYTES ((size_t)512 << 20) /* block that none does */

typedef struct hm_limits {
    double cache_gb_s, memory_gb_s; /* reading with all threads of the device, blocks as above */
    double gflop_s;                 /* float32 multiply-adds, 2 operations each */
    int threads;
    const char *isa;
} hm_limits;

/* About `seconds` for each of the three; progress may be NULL. */
hm_status hm_limits_measure(hm_limits *out, hm_device *dev, double seconds, hm_progress *progress, hm_error *err);

#endif
