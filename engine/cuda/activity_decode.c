#include "engine/cuda/activity_impl.h"

#include <cupti.h>
#include <string.h>

/* Records grow with CUPTI. These are those of CUDA 13; with headers whose records differ the build takes activity_absent.c. */
_Static_assert(CUPTI_API_VERSION >= 130000, "records of another CUPTI");
_Static_assert(sizeof(CUpti_ActivityKernel10) == 216 && offsetof(CUpti_ActivityKernel10, graphNodeId) == 144, "kernel");
_Static_assert(sizeof(CUpti_ActivityMemcpy6) == 96 && offsetof(CUpti_ActivityMemcpy6, graphNodeId) == 64, "copy");
_Static_assert(sizeof(CUpti_ActivityMemset4) == 88 && offsetof(CUpti_ActivityMemset4, graphNodeId) == 64, "fill");
_Static_assert(offsetof(CUpti_ActivitySynchronization2, correlationId) == 24, "synchronisation");
_Static_assert(offsetof(CUpti_ActivityOverhead3, correlationId) == 40, "overhead");
_Static_assert(sizeof(CUpti_ActivityExternalCorrelation) == 24, "external correlation");

static hm_activity kernel(const CUpti_ActivityKernel10 *r)
{
    return (hm_activity){.kind = HM_DEVICE_KERNEL,
                         .name = r->name ? r->name : "kernel",
                         .begin = r->start,
                         .end = r->end,
                         .correlation = r->correlationId,
                         .stream = r->streamId,
                         .graph_node = r->graphNodeId};
}

static hm_activity copy(const CUpti_ActivityMemcpy6 *r)
{
    return (hm_activity){.kind = HM_DEVICE_COPY,
                         .name = "copy",
                         .begin = r->start,
                         .end = r->end,
                         .correlation = r->correlationId,
                         .stream = r->streamId,
                         .graph_node = r->graphNodeId,
                         .bytes = r->bytes};
}

static hm_activity fill(const CUpti_ActivityMemset4 *r)
{
    return (hm_activity){.kind = HM_DEVICE_FILL,
                         .name = "fill",
                         .begin = r->start,
                         .end = r->end,
                         .correlation = r->correlationId,
                         .stream = r->streamId,
                         .graph_node = r->graphNodeId,
                         .bytes = r->bytes};
}

static hm_activity wait(const CUpti_ActivitySynchronization2 *r)
{
    const char *name = r->type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE     ? "wait for event"
                       : r->type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT   ? "stream waits for event"
                       : r->type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE  ? "wait for stream"
                       : r->type == CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE ? "wait for context"
                                                                                            : "wait";
    return (hm_activity){.what = HM_ACTIVITY_ASIDE,
                         .kind = HM_DEVICE_WAIT,
                         .name = name,
                         .begin = r->start,
                         .end = r->end,
                         .correlation = r->correlationId,
                         .stream = r->streamId};
}

static const char *overhead_name(CUpti_ActivityOverheadKind kind)
{
    switch ((unsigned)kind) {
    case CUPTI_ACTIVITY_OVERHEAD_DRIVER_COMPILER:
        return "compiler of the driver";
    case CUPTI_ACTIVITY_OVERHEAD_CUPTI_BUFFER_FLUSH:
        return "CUPTI: flush of buffers";
    case CUPTI_ACTIVITY_OVERHEAD_CUPTI_INSTRUMENTATION:
        return "CUPTI: instrumentation";
    case CUPTI_ACTIVITY_OVERHEAD_CUPTI_RESOURCE:
        return "CUPTI: resources";
    case CUPTI_ACTIVITY_OVERHEAD_RUNTIME_TRIGGERED_MODULE_LOADING:
        return "loading of modules";
    case CUPTI_ACTIVITY_OVERHEAD_LAZY_FUNCTION_LOADING:
        return "lazy loading of functions";
    case CUPTI_ACTIVITY_OVERHEAD_COMMAND_BUFFER_FULL:
        return "command buffer full";
    case CUPTI_ACTIVITY_OVERHEAD_ACTIVITY_BUFFER_REQUEST:
        return "CUPTI: request of buffers";
    default:
        return "overhead";
    }
}

static hm_activity overhead(const CUpti_ActivityOverhead3 *r)
{
    return (hm_activity){.what = HM_ACTIVITY_ASIDE,
                         .kind = HM_DEVICE_OVERHEAD,
                         .name = overhead_name(r->overheadKind),
                         .begin = r->start,
                         .end = r->end,
                         .correlation = r->correlationId};
}

/* False: a kind that is not used. */
static bool decode_one(const CUpti_Activity *record, hm_activity *out)
{
    const CUpti_ActivityExternalCorrelation *link = (const void *)record;
    switch ((unsigned)record->kind) {
    case CUPTI_ACTIVITY_KIND_KERNEL:
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
        *out = kernel((const void *)record);
        return true;
    case CUPTI_ACTIVITY_KIND_MEMCPY:
        *out = copy((const void *)record);
        return true;
    case CUPTI_ACTIVITY_KIND_MEMSET:
        *out = fill((const void *)record);
        return true;
    case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION:
        *out = wait((const void *)record);
        return true;
    case CUPTI_ACTIVITY_KIND_OVERHEAD:
        *out = overhead((const void *)record);
        return true;
    case CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION:
        *out = (hm_activity){.what = HM_ACTIVITY_LINK, .correlation = link->correlationId, .call = link->externalId};
        return link->externalKind == CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
    default:
        return false;
    }
}

hm_status hm_activity_decode(uint8_t *buffer, size_t valid_bytes, const hm_activity_reader *reader, hm_error *err)
{
    void *record = NULL;
    int result;
    while (!(result = reader->next(reader->self, buffer, valid_bytes, &record))) {
        hm_activity a;
        hm_status st = decode_one(record, &a) ? reader->tell(reader->self, &a, err) : HM_OK;
        if (st)
            return st;
    }
    if (result == CUPTI_ERROR_MAX_LIMIT_REACHED)
        return HM_OK;
    return hm_fail(err, HM_EABSENT, "tracing: CUPTI cannot read a buffer of %zu bytes: result %d, expected records and their end",
                   valid_bytes, result);
}
