/* Why nothing is computed: the time of every track that lies in no operation, by what it is spent on (docs/traces.md, "Waits and idle"). */
#ifndef HM_TRACES_IDLE_H
#define HM_TRACES_IDLE_H

#include <stdbool.h>

#include "traces/slices.h"

#define HM_IDLE_CAUSES(X)                   \
    X(TEAM, "waiting for workers")          \
    X(CODEC, "codec wait")                  \
    X(SAMPLING, "sampling")                 \
    X(HOST, "host work between operations") \
    X(UNKNOWN, "unknown")

typedef enum hm_idle_cause {
#define HM_IDLE_ENUM(name, text) HM_IDLE_##name,
    HM_IDLE_CAUSES(HM_IDLE_ENUM)
#undef HM_IDLE_ENUM
    HM_IDLE_COUNT
} hm_idle_cause;

const char *hm_idle_text(hm_idle_cause cause);

typedef struct hm_idle {
    int64_t gaps, total_ns, longest_ns;
    int64_t in_frames_ns; /* within frames whose operations are there */
} hm_idle;

typedef struct hm_idle_track {
    uint32_t pid, tid;
    char name[64];   /* of the thread; "pid 1 tid 2" without one */
    int64_t span_ns; /* from its first span to its last end */
    int64_t busy_ns; /* in operations, and in spans that nothing finer was recorded in */
    hm_idle idle[HM_IDLE_COUNT];
} hm_idle_track;

typedef struct hm_idle_report {
    hm_idle_track *tracks; /* by pid and tid */
    int count;
    int64_t frames, frames_ns; /* those whose operations are there */
} hm_idle_report;

/* After hm_slices_nest. HM_EABSENT without memory. */
hm_status hm_idle_find(const hm_slices *slices, hm_idle_report *out, hm_error *err);
void hm_idle_free(hm_idle_report *report);

#endif
