#include "engine/cuda/cuda_impl.h"

#include "engine/base/time.h"

void hm_cuda_use_lane(hm_gpu *gpu, int lane)
{
    gpu->lane = gpu->timestamps ? 0 : lane;
    gpu->now = gpu->lanes[gpu->lane];
}

/* What the wait for the lane that is named came to, when `asked` commands were on it. */
static hm_status waited(hm_gpu *gpu, CUresult result, uint64_t asked, hm_error *err)
{
    hm_error why;
    hm_status st = hm_cuda_check(gpu, result, "cuStreamSynchronize", &why);
    if (st) {
        hm_cuda_give_up(gpu, &why); /* nobody knows what is done */
        return hm_fail(err, st, "%s", why.text);
    }
    gpu->waited[gpu->lane] = asked;
    return hm_cuda_times_done(gpu, err);
}

/* Also in the middle of a recording, whose commands are not among those waited for. */
static hm_status wait_now(hm_gpu *gpu, hm_error *err)
{
    return waited(gpu, gpu->api->cuStreamSynchronize(gpu->now), gpu->asked[gpu->lane], err);
}

static bool pending(const hm_gpu *gpu)
{
    return gpu->asked[gpu->lane] > gpu->waited[gpu->lane];
}

static hm_status may_wait(hm_gpu *gpu, hm_error *err)
{
    hm_status st = hm_cuda_alive(gpu, err);
    if (!st && gpu->recording)
        st = hm_fail(err, HM_EBUG, "%s: a wait among commands that are recorded", gpu->where);
    return st;
}

hm_status hm_cuda_wait(hm_gpu *gpu, hm_error *err)
{
    hm_status st = may_wait(gpu, err);
    return st || !pending(gpu) ? st : wait_now(gpu, err);
}

hm_status hm_cuda_wait_lane(hm_gpu *gpu, int lane, pthread_mutex_t *lock, hm_error *err)
{
    hm_cuda_use_lane(gpu, lane);
    hm_status st = may_wait(gpu, err);
    if (st || !pending(gpu))
        return st;
    const uint64_t asked = gpu->asked[gpu->lane];
    CUstream stream = gpu->now;
    pthread_mutex_unlock(lock);
    CUresult result = gpu->api->cuStreamSynchronize(stream);
    pthread_mutex_lock(lock);
    hm_cuda_use_lane(gpu, lane);
    return waited(gpu, result, asked, err);
}

void hm_cuda_settle(hm_gpu *gpu)
{
    int before = gpu->lane;
    for (int lane = 0; lane < HM_CUDA_LANES; lane++) {
        hm_cuda_use_lane(gpu, lane);
        if (!pending(gpu))
            continue;
        if (gpu->dead.status)
            gpu->api->cuStreamSynchronize(gpu->now); /* what a failure left behind; a device that is lost says so at once */
        else
            wait_now(gpu, NULL); /* what it fails with is told by whatever is asked for next */
        gpu->waited[gpu->lane] = gpu->asked[gpu->lane];
    }
    hm_cuda_use_lane(gpu, before);
}

/* --- one command --- */

typedef struct command {
    hm_gpu_time time;             /* what is known of it before it is done */
    const hm_gpu_command *launch; /* NULL: a copy, or a fill */
    void *to;
    const void *from; /* NULL: a fill */
    bool to_ours, from_ours;
    size_t bytes;
    uint32_t pattern;
} command;

/* Pointers to the values, as the driver takes them: it copies what they point to. */
static void point_values(const hm_gpu_command *c, const void **out)
{
    for (int i = 0; i < c->count; i++) {
        const hm_gpu_value *v = &c->values[i];
        out[i] = v->kind == HM_GPU_POINTER ? (const void *)&v->pointer
                 : v->kind == HM_GPU_I32   ? (const void *)&v->i32
                 : v->kind == HM_GPU_F32   ? (const void *)&v->f32
                                           : (const void *)&v->i64;
    }
}

static hm_status give_launch(hm_gpu *gpu, CUstream stream, const hm_gpu_command *c, hm_error *err)
{
    const hm_cuda_row *row = hm_cuda_row_of(c->kernel);
    const hm_cuda_kernel *kernel;
    const void *values[2 * HM_GPU_VALUES];
    CUlaunchAttribute attributes[2];
    CUlaunchConfig config = {.gridDimX = c->groups[0],
                             .gridDimY = c->groups[1],
                             .gridDimZ = c->groups[2],
                             .blockDimX = (unsigned)hm_gpu_kernel_table[c->kernel].group,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .sharedMemBytes = c->shared,
                             .hStream = stream,
                             .attrs = attributes};
    if (row->call)
        return row->call(gpu, stream, c, err);
    hm_status st = hm_cuda_kernel_get(gpu, c->kernel, &kernel, err);
    if (st)
        return st;
    if (row->cluster > 1)
        attributes[config.numAttrs++] =
            (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, .value.clusterDim = {row->cluster, 1, 1}};
    if (row->early && c->early)
        attributes[config.numAttrs++] = (CUlaunchAttribute){.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                                                            .value.programmaticStreamSerializationAllowed = 1};
    point_values(c, values);
    return HM_CUDA(gpu, err, cuLaunchKernelEx, &config, kernel->handle, (void **)values, NULL);
}

static CUdeviceptr device_pointer(const void *p)
{
    return (CUdeviceptr)(uintptr_t)p;
}

static hm_status give_copy(hm_gpu *gpu, CUstream stream, const command *c, hm_error *err)
{
    if (!c->from_ours)
        return HM_CUDA(gpu, err, cuMemcpyHtoDAsync_v2, device_pointer(c->to), c->from, c->bytes, stream);
    if (!c->to_ours)
        return HM_CUDA(gpu, err, cuMemcpyDtoHAsync_v2, c->to, device_pointer(c->from), c->bytes, stream);
    return HM_CUDA(gpu, err, cuMemcpyAsync, device_pointer(c->to), device_pointer(c->from), c->bytes, stream);
}

/* To the device, or into the recording that is made. */
static hm_status give(hm_gpu *gpu, const command *c, hm_error *err)
{
    CUstream stream = gpu->recording ? gpu->side : gpu->now;
    hm_cuda_timed timed = {.time = c->time, .recording = gpu->recording};
    timed.time.asked_ns = gpu->timestamps ? hm_now_ns() : 0;
    hm_status st = hm_cuda_time_begin(gpu, &timed, err);
    if (st)
        return st;
    if (gpu->recording)
        gpu->recording->commands++;
    else
        gpu->asked[gpu->lane]++;
    if (c->launch)
        st = give_launch(gpu, stream, c->launch, err);
    else if (c->from)
        st = give_copy(gpu, stream, c, err);
    else
        st = HM_CUDA(gpu, err, cuMemsetD32Async, device_pointer(c->to), c->pattern, c->bytes / sizeof c->pattern, stream);
    if (st) {
        if (c->launch)
            hm_fail_within(err, "%s", hm_gpu_kernel_table[c->launch->kernel].name);
        hm_cuda_time_drop(gpu, &timed);
        return st;
    }
    return hm_cuda_time_end(gpu, &timed, err);
}

/* --- launches --- */

static int width_of(const hm_gpu_value *v)
{
    return v->kind == HM_GPU_I32 || v->kind == HM_GPU_F32 ? 4 : 8;
}

static hm_status check_values(const hm_gpu *gpu, const hm_gpu_command *c, const hm_cuda_kernel *kernel, hm_error *err)
{
    const char *name = hm_gpu_kernel_table[c->kernel].name;
    if (c->count < 0 || c->count > 2 * HM_GPU_VALUES || (kernel && kernel->arguments >= 0 && c->count != kernel->arguments))
        return hm_fail(err, HM_EBUG, "%s: %s takes %d arguments, found %d", gpu->where, name,
                       kernel ? kernel->arguments : 2 * HM_GPU_VALUES, c->count);
    for (int i = 0; i < c->count; i++) {
        const hm_gpu_value *v = &c->values[i];
        if (v->kind == HM_GPU_STEP)
            return hm_fail(err, HM_EBUG, "%s: %s: argument %d is a step, which only hm_gpu_launch knows", gpu->where, name, i);
        if (v->kind == HM_GPU_POINTER && v->pointer && !hm_gpu_allocations_of(&gpu->memory, v->pointer))
            return hm_fail(err, HM_EBUG, "%s: %s: argument %d is no address of this device", gpu->where, name, i);
        if (kernel && kernel->arguments >= 0 && kernel->widths[i] != width_of(v))
            return hm_fail(err, HM_EBUG, "%s: %s: argument %d has %d bytes, the kernel takes %d", gpu->where, name, i, width_of(v),
                           kernel->widths[i]);
    }
    return HM_OK;
}

static hm_status check_launch(hm_gpu *gpu, const hm_gpu_command *c, hm_error *err)
{
    const hm_cuda_kernel *kernel = NULL;
    if ((unsigned)c->kernel >= HM_GPU_KERNELS)
        return hm_fail(err, HM_EBUG, "%s: there is no kernel %d", gpu->where, (int)c->kernel);
    const hm_cuda_row *row = hm_cuda_row_of(c->kernel);
    const char *name = hm_gpu_kernel_table[c->kernel].name;
    hm_status st = row->call ? HM_OK : hm_cuda_kernel_get(gpu, c->kernel, &kernel, err);
    if (st)
        return st;
    for (int d = 0; d < 3; d++)
        if (c->groups[d] > gpu->most_groups[d])
            return hm_fail(err, HM_EBUG, "%s: %s: %u groups in dimension %d, the device takes at most %u", gpu->where, name, c->groups[d],
                           d, gpu->most_groups[d]);
    if (c->groups[0] % row->cluster)
        return hm_fail(err, HM_EBUG, "%s: %s: %u groups, expected a multiple of the %u of a cluster", gpu->where, name, c->groups[0],
                       row->cluster);
    if (row->early && c->early && gpu->limits.major < 9)
        return hm_fail(err, HM_EABSENT,
                       "%s: launch=early needs compute capability 9.0 or later, this device has %d.%d: take launch=recorded", gpu->where,
                       gpu->limits.major, gpu->limits.minor);
    if (c->shared > row->shared)
        return hm_fail(err, HM_EBUG, "%s: %s: %u bytes of shared memory, the table of kernels says at most %u", gpu->where, name, c->shared,
                       row->shared);
    return check_values(gpu, c, kernel, err);
}

hm_status hm_cuda_launch(hm_gpu *gpu, const hm_gpu_command *c, uint32_t tag, hm_error *err)
{
    hm_status st = hm_cuda_alive(gpu, err);
    if (!st)
        st = check_launch(gpu, c, err);
    if (st || !c->groups[0] || !c->groups[1] || !c->groups[2])
        return st;
    return give(gpu, &(command){.time = {.kind = HM_DEVICE_KERNEL, .name = hm_gpu_kernel_table[c->kernel].name, .tag = tag}, .launch = c},
                err);
}

/* --- copies and fills --- */

hm_status hm_cuda_copy(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag, hm_error *err)
{
    command c = {.time = {.kind = HM_DEVICE_COPY, .name = "copy", .tag = tag, .bytes = bytes}, .to = to, .from = from, .bytes = bytes};
    hm_status st = hm_cuda_alive(gpu, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, to, bytes, &c.to_ours, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, from, bytes, &c.from_ours, err);
    if (st || !bytes)
        return st;
    if (!c.to_ours && !c.from_ours)
        return hm_fail(err, HM_EBUG, "%s: a copy of %zu bytes between two addresses that are not of this device", gpu->where, bytes);
    if (gpu->recording && !(c.to_ours && c.from_ours))
        return hm_fail(err, HM_EBUG, "%s: a copy of %zu bytes from or to the host cannot be recorded", gpu->where, bytes);
    return give(gpu, &c, err);
}

hm_status hm_cuda_fill(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err)
{
    bool ours;
    hm_status st = hm_cuda_alive(gpu, err);
    if (!st)
        st = hm_gpu_allocations_check(&gpu->memory, gpu->where, to, bytes, &ours, err);
    if (st || !bytes)
        return st;
    if (!ours || bytes % sizeof pattern || (uintptr_t)to % sizeof pattern)
        return hm_fail(err, HM_EBUG, "%s: a fill of %zu bytes: expected a multiple of 4 in memory of this device", gpu->where, bytes);
    return give(
        gpu,
        &(command){
            .time = {.kind = HM_DEVICE_FILL, .name = "fill", .tag = tag, .bytes = bytes}, .to = to, .bytes = bytes, .pattern = pattern},
        err);
}
