/* Records of CUPTI, and how they find the calls that asked for them. Nothing of CUPTI is needed to include this. */
#ifndef HM_ENGINE_CUDA_ACTIVITY_IMPL_H
#define HM_ENGINE_CUDA_ACTIVITY_IMPL_H

#include "engine/cuda/activity.h"
#include "engine/gpu/device_clock.h"

/* --- activity_decode.c --- */

/* A record, as far as it is used. */
typedef struct hm_activity {
    enum {
        HM_ACTIVITY_WORK,  /* of the device: a kernel, copy or fill */
        HM_ACTIVITY_ASIDE, /* a wait of the host, or what tracing itself took */
        HM_ACTIVITY_LINK   /* the call with this correlation is ours, number `call` */
    } what;
    hm_device_span_kind kind; /* of work and what is aside */
    const char *name;         /* static text, or CUPTI's: of a kernel, while CUPTI is open */
    uint64_t begin, end;      /* ns of CUPTI's clock; 0, 0: it has none */
    uint32_t correlation;
    uint32_t stream;     /* CUPTI's number */
    uint64_t graph_node; /* 0: none */
    uint64_t bytes, call;
} hm_activity;

typedef struct hm_activity_reader {
    void *self;
    int (*next)(void *self, uint8_t *buffer, size_t valid_bytes, void **record); /* cuptiActivityGetNextRecord */
    hm_status (*tell)(void *self, const hm_activity *activity, hm_error *err);
} hm_activity_reader;

/* Tells of each record of the buffer that is used, in its order; others are passed over. HM_EABSENT: CUPTI cannot read it. */
hm_status hm_activity_decode(uint8_t *buffer, size_t valid_bytes, const hm_activity_reader *reader, hm_error *err);

/* --- activity_calls.c: pure, and the same whatever CUPTI is --- */

typedef struct hm_activity_calls hm_activity_calls;

hm_status hm_activity_calls_open(hm_activity_calls **out, hm_error *err);
void hm_activity_calls_close(hm_activity_calls **calls);

/* A call's number, from 1 on; 0: no memory. */
uint64_t hm_activity_calls_add(hm_activity_calls *calls, const hm_activity_call *call, int64_t asked_ns, hm_error *err);
/* A record, in any order; the clock tells its times in ns of the host. Names are kept. */
hm_status hm_activity_calls_record(hm_activity_calls *calls, const hm_activity *activity, const hm_gpu_clock *clock, hm_error *err);
/* Links records to calls, as far as they are known. Returns how many commands of the calls so far have none yet. */
hm_status hm_activity_calls_match(hm_activity_calls *calls, int64_t *missing, hm_error *err);
/* All calls so far are done: what was not matched never will be. Returns how many records belonged to no call. */
int64_t hm_activity_calls_forget(hm_activity_calls *calls);
int hm_activity_calls_take(hm_activity_calls *calls, uint32_t tag, hm_gpu_time *out, int room);

#endif
