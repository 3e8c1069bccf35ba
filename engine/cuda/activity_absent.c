/* In a build without CUPTI's headers, or with others than activity_decode.c reads. */
#include "engine/cuda/activity.h"

hm_status hm_activity_open(hm_activity_trace **out, const hm_log *log, hm_error *err)
{
    (void)log;
    *out = NULL;
    return hm_fail(err, HM_EABSENT, "tracing not available: this build was made without the headers of CUPTI (CUDA toolkit 13)");
}

void hm_activity_close(hm_activity_trace **trace)
{
    *trace = NULL;
}

void hm_activity_begin(hm_activity_trace *trace, const hm_activity_call *call)
{
    (void)trace;
    (void)call;
}

void hm_activity_end(hm_activity_trace *trace)
{
    (void)trace;
}

hm_status hm_activity_collect(hm_activity_trace *trace, hm_error *err)
{
    (void)trace;
    (void)err;
    return HM_OK;
}

int hm_activity_take(hm_activity_trace *trace, uint32_t tag, hm_gpu_time *out, int room)
{
    (void)trace;
    (void)tag;
    (void)out;
    (void)room;
    return 0;
}
