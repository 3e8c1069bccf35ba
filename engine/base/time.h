/* The clock of everything that is timed inside the engine. */
#ifndef HM_ENGINE_BASE_TIME_H
#define HM_ENGINE_BASE_TIME_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in ns: what progress, phases and limits are measured with. */
static inline int64_t hm_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#endif
