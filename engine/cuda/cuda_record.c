/* Recordings are graphs: commands are captured on a stream that executes nothing, so the other one may be waited for meanwhile. */
#include <stdlib.h>

#include "engine/base/time.h"
#include "engine/cuda/cuda_impl.h"

hm_status hm_cuda_record(hm_gpu *gpu, hm_error *err)
{
    hm_status st = hm_cuda_alive(gpu, err);
    if (st)
        return st;
    if (gpu->recording)
        return hm_fail(err, HM_EBUG, "%s: a recording within a recording", gpu->where);
    hm_gpu_recording *r = hm_calloc(1, sizeof *r, "cuda: a recording", err);
    if (!r)
        return HM_EABSENT;
    /* Relaxed: kernels are loaded when they are first asked for, also in the middle of a recording. */
    st = HM_CUDA(gpu, err, cuStreamBeginCapture_v2, gpu->side, CU_STREAM_CAPTURE_MODE_RELAXED);
    if (st)
        free(r);
    else
        gpu->recording = r;
    return st;
}

/* Ends a capture that comes to nothing, however that failed before. */
static void abandon(hm_gpu *gpu)
{
    CUgraph graph = NULL;
    gpu->api->cuStreamEndCapture(gpu->side, &graph);
    if (graph)
        HM_CUDA_GIVE_BACK(gpu, cuGraphDestroy, graph);
}

static void free_recording(hm_gpu *gpu, hm_gpu_recording *r)
{
    hm_cuda_times_forget(gpu, r);
    if (r->exec)
        HM_CUDA_GIVE_BACK(gpu, cuGraphExecDestroy, r->exec);
    free(r);
}

/* What was captured, as something that can be launched. */
static hm_status instantiate(hm_gpu *gpu, hm_gpu_recording *r, CUgraph graph, hm_error *err)
{
    hm_status st = HM_CUDA(gpu, err, cuGraphGetNodes, graph, NULL, &r->nodes);
    if (st || !r->nodes)
        return st;
    st = HM_CUDA(gpu, err, cuGraphInstantiateWithFlags, &r->exec, graph, 0);
    if (st)
        r->exec = NULL;
    else
        hm_log_write(gpu->log, HM_LOG_INFO, "%s: a graph of %zu nodes for %d commands", gpu->where, r->nodes, r->commands);
    return st;
}

hm_status hm_cuda_keep(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err)
{
    hm_gpu_recording *r = gpu->recording;
    CUgraph graph = NULL;
    if (!r)
        return hm_fail(err, HM_EBUG, "%s: nothing is being recorded", gpu->where);
    gpu->recording = NULL;
    hm_status st = hm_cuda_alive(gpu, err);
    if (!st)
        st = HM_CUDA(gpu, err, cuStreamEndCapture, gpu->side, &graph);
    if (st)
        abandon(gpu);
    else
        st = instantiate(gpu, r, graph, err);
    if (graph)
        HM_CUDA_GIVE_BACK(gpu, cuGraphDestroy, graph);
    if (st) {
        free_recording(gpu, r);
        return st;
    }
    r->next = gpu->kept;
    gpu->kept = r;
    *out = r;
    return HM_OK;
}

hm_status hm_cuda_replay(hm_gpu *gpu, hm_gpu_recording *r, hm_error *err)
{
    hm_status st = hm_cuda_alive(gpu, err);
    if (st || !r->exec)
        return st;
    if (gpu->recording)
        return hm_fail(err, HM_EBUG, "%s: a replay among commands that are recorded", gpu->where);
    st = hm_cuda_times_ready(gpu, r, err);
    if (st)
        return st;
    const int64_t asked_ns = gpu->timestamps ? hm_now_ns() : 0;
    gpu->asked[gpu->lane]++;
    st = HM_CUDA(gpu, err, cuGraphLaunch, r->exec, gpu->now);
    if (st && gpu->times.activity)
        hm_activity_end(gpu->times.activity);
    return st ? st : hm_cuda_times_replayed(gpu, r, asked_ns, err);
}

void hm_cuda_drop(hm_gpu *gpu, hm_gpu_recording **recording)
{
    hm_gpu_recording *r = *recording;
    if (!r)
        return;
    HM_CUDA_GIVE_BACK(gpu, cuCtxSetCurrent, gpu->context);
    hm_cuda_settle(gpu);
    for (hm_gpu_recording **at = &gpu->kept; *at; at = &(*at)->next)
        if (*at == r) {
            *at = r->next;
            break;
        }
    free_recording(gpu, r);
    *recording = NULL;
}

void hm_cuda_recordings_close(hm_gpu *gpu)
{
    if (gpu->recording) {
        abandon(gpu);
        free_recording(gpu, gpu->recording);
        gpu->recording = NULL;
    }
    while (gpu->kept) {
        hm_gpu_recording *next = gpu->kept->next;
        free_recording(gpu, gpu->kept);
        gpu->kept = next;
    }
}
