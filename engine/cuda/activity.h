/* What CUPTI tells of a device's work: kernels (those in graphs as well), copies, fills, waits and its own overhead. Nothing of CUPTI is
 * linked. Each call that asks for work is marked with a number of ours, CUPTI links that number to the call's correlation, and all that the
 * call asked for has this correlation: one launch, or every node of a graph. */
#ifndef HM_ENGINE_CUDA_ACTIVITY_H
#define HM_ENGINE_CUDA_ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/gpu/driver.h"

/* One at a time in a process. */
typedef struct hm_activity_trace hm_activity_trace;

/* Before the device's context is made. HM_EABSENT with one line "tracing not available: ..."; nothing is traced then. */
hm_status hm_activity_open(hm_activity_trace **out, const hm_log *log, hm_error *err);
/* When the device is idle. Names in times live until then. */
void hm_activity_close(hm_activity_trace **trace);

/* Around a call that asks the driver for work. Failures come out of hm_activity_collect. */
typedef struct hm_activity_call {
    uint32_t tag;  /* of what it asks for (hm_gpu_time) */
    bool replayed; /* a graph */
    int commands;  /* how many it asks for: 1, or the graph's nodes; 0: not known (of a library) */
} hm_activity_call;
void hm_activity_begin(hm_activity_trace *trace, const hm_activity_call *call);
void hm_activity_end(hm_activity_trace *trace);

/* After the device was waited for: takes over what CUPTI has of all calls so far. */
hm_status hm_activity_collect(hm_activity_trace *trace, hm_error *err);

/* As hm_gpu_driver.take_times. Waits and overhead go to whoever takes first. */
int hm_activity_take(hm_activity_trace *trace, uint32_t tag, hm_gpu_time *out, int room);

#endif
