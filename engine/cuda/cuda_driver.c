#include <stdlib.h>
#include <string.h>

#include "engine/cuda/cuda_impl.h"
#include "engine/gpu/gpu_impl.h"

const bool hm_cuda_built = true;

hm_status hm_cuda_check(hm_gpu *gpu, CUresult result, const char *call, hm_error *err)
{
    hm_error why;
    if (result == CUDA_SUCCESS)
        return HM_OK;
    hm_status st = hm_cuda_fail(gpu->where, result, call, &why);
    if (hm_cuda_is_lost(result))
        hm_cuda_give_up(gpu, &why);
    return hm_fail(err, st, "%s", why.text);
}

void hm_cuda_given_back(hm_gpu *gpu, CUresult result, const char *call)
{
    hm_error why;
    if (result == CUDA_SUCCESS)
        return;
    hm_cuda_fail(gpu->where, result, call, &why);
    hm_log_write(gpu->log, HM_LOG_WARNING, "%s", why.text);
}

hm_status hm_cuda_give_up(hm_gpu *gpu, const hm_error *why)
{
    if (!gpu->dead.status)
        gpu->dead = *why;
    return why->status;
}

hm_status hm_cuda_alive(hm_gpu *gpu, hm_error *err)
{
    if (gpu->dead.status)
        return hm_fail(err, gpu->dead.status, "%s", gpu->dead.text);
    return HM_CUDA(gpu, err, cuCtxSetCurrent, gpu->context);
}

static void close_gpu(hm_gpu **gpu)
{
    hm_gpu *g = *gpu;
    if (!g)
        return;
    if (g->context) {
        HM_CUDA_GIVE_BACK(g, cuCtxSetCurrent, g->context);
        hm_cuda_settle(g);
        hm_cuda_recordings_close(g);
        hm_cuda_times_close(g);
        hm_cuda_matmul_close(&g->matmul);
        hm_cuda_modules_close(g);
        hm_cuda_memory_close(g);
        for (int i = 0; i < HM_CUDA_LANES; i++)
            if (g->lanes[i])
                HM_CUDA_GIVE_BACK(g, cuStreamDestroy_v2, g->lanes[i]);
        if (g->side)
            HM_CUDA_GIVE_BACK(g, cuStreamDestroy_v2, g->side);
        HM_CUDA_GIVE_BACK(g, cuCtxSetCurrent, NULL);
        HM_CUDA_GIVE_BACK(g, cuDevicePrimaryCtxRelease_v2, g->device);
    }
    free(g);
    *gpu = NULL;
}

static hm_status open_context(hm_gpu *g, hm_error *err)
{
    hm_status st = HM_CUDA(g, err, cuDevicePrimaryCtxRetain, &g->context, g->device);
    if (st) {
        g->context = NULL;
        return st;
    }
    st = HM_CUDA(g, err, cuCtxSetCurrent, g->context);
    for (int i = 0; i < HM_CUDA_LANES && !st; i++)
        if ((st = HM_CUDA(g, err, cuStreamCreate, &g->lanes[i], CU_STREAM_NON_BLOCKING)))
            g->lanes[i] = NULL;
    g->now = g->lanes[0];
    if (!st && (st = HM_CUDA(g, err, cuStreamCreate, &g->side, CU_STREAM_NON_BLOCKING)))
        g->side = NULL;
    return !st && g->timestamps ? hm_cuda_times_open(g, err) : st;
}

static hm_status open_gpu(hm_gpu **out, const hm_gpu_options *o, hm_error *err)
{
    const hm_cuda_api *api;
    hm_status st = hm_cuda_load(&api, err);
    if (st)
        return st;
    hm_cuda_found *found = hm_calloc(1, sizeof *found, "cuda: a device", err);
    hm_gpu *g = hm_calloc(1, sizeof *g, "cuda: a device", err);
    st = found && g ? hm_cuda_choose(api, found, o->device, err) : HM_EABSENT;
    if (st)
        goto done;
    g->api = api;
    g->log = o->log;
    g->timestamps = o->timestamps;
    st = hm_cuda_identify(g, found, err);
    if (!st)
        st = open_context(g, err);
done:
    free(found);
    if (st)
        close_gpu(&g);
    else
        *out = g;
    return st;
}

static const hm_gpu_facts *facts(const hm_gpu *gpu)
{
    return &gpu->id.facts;
}

const hm_cuda_limits *hm_cuda_limits_of(const hm_gpu *gpu)
{
    return &gpu->limits;
}

const hm_cuda_limits *hm_cuda_device_limits(const hm_device *dev)
{
    return &dev->shared->gpu->limits;
}

const hm_gpu_driver hm_cuda_driver = {
    .backend = "cuda",
    .list = hm_cuda_list,
    .open = open_gpu,
    .close = close_gpu,
    .facts = facts,
    .alloc = hm_cuda_alloc,
    .free = hm_cuda_free,
    .launch = hm_cuda_launch,
    .copy = hm_cuda_copy,
    .fill = hm_cuda_fill,
    .wait = hm_cuda_wait,
    .use_lane = hm_cuda_use_lane,
    .wait_lane = hm_cuda_wait_lane,
    .record = hm_cuda_record,
    .keep = hm_cuda_keep,
    .replay = hm_cuda_replay,
    .drop = hm_cuda_drop,
    .take_times = hm_cuda_take_times,
    .sensors = &hm_cuda_sensors,
};
