/* What CUPTI tells of a device's work: kernels (those in graphs as well), copies, fills, waits and its own overhead. Its buffers are decoded
 * by a function of (buffer, bytes) alone. Nothing of CUPTI is linked. */
#ifndef HM_ENGINE_CUDA_ACTIVITY_H
#define HM_ENGINE_CUDA_ACTIVITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/gpu/driver.h"

/* A record of CUPTI, as far as it is used. */
typedef struct hm_activity {
    enum {
        HM_ACTIVITY_WORK,  /* of the device: a kernel, copy or fill */
        HM_ACTIVITY_ASIDE, /* a wait of the host, or what tracing itself took */
        HM_ACTIVITY_LINK   /* the call with this correlation was made for the command `command` */
    } what;
    hm_device_span_kind kind; /* of work and what is aside */
    const char *name;         /* static text; of a kernel CUPTI's, as long as the library is open */
    int64_t begin_ns, end_ns; /* 0, 0: CUPTI has none */
    uint32_t correlation;     /* of the call that asked for it, one for all of a graph's nodes */
    uint32_t stream;          /* CUPTI's number */
    uint64_t graph_node;      /* 0: none */
    uint64_t bytes, command;
} hm_activity;

/* cuptiActivityGetNextRecord. */
typedef int (*hm_activity_next)(uint8_t *buffer, size_t valid_bytes, void **record);

/* Tells of each record in the buffer that is known; others are passed over. Returns how many were told; < 0: -1 - the result of `next`
 * that is no end of the buffer. */
int hm_activity_decode(uint8_t *buffer, size_t valid_bytes, hm_activity_next next, void (*tell)(void *self, const hm_activity *activity),
                       void *self);

/* --- collecting --- */

/* One at a time in a process. */
typedef struct hm_activity_trace hm_activity_trace;

/* Before the device's context is made. HM_EABSENT with one line "tracing not available: ..."; nothing is traced then. */
hm_status hm_activity_open(hm_activity_trace **out, const hm_log *log, hm_error *err);
/* After the context is gone, or at least idle. Names in times live until then. */
void hm_activity_close(hm_activity_trace **trace);

/* Around a call of the driver that asks for work: one launch, copy or fill, or a graph of `commands` nodes (replayed). */
typedef struct hm_activity_call {
    uint32_t tag;  /* of what it asks for (hm_gpu_time) */
    bool replayed; /* a graph */
    int commands;  /* 1, or the graph's nodes */
} hm_activity_call;
void hm_activity_begin(hm_activity_trace *trace, const hm_activity_call *call);
void hm_activity_end(hm_activity_trace *trace);

/* After the device was waited for: takes over what CUPTI has of all calls so far. */
hm_status hm_activity_collect(hm_activity_trace *trace, hm_error *err);

/* As hm_gpu_driver.take_times. Waits and overhead go to whoever takes first. */
int hm_activity_take(hm_activity_trace *trace, uint32_t tag, hm_gpu_time *out, int room);

#endif
