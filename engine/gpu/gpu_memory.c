/* Memory of the device, and what goes to it and comes from it. */
#include <string.h>

#include "engine/gpu/gpu_impl.h"

static void *gpu_alloc(const hm_ops *op, size_t bytes)
{
    void *p = hm_gpu_ready(op) ? hm_reserve_take(op->reserve, bytes) : NULL;
    if (p || !hm_gpu_ready(op))
        return p;
    hm_error first = {0};
    op->count->timed_allocations += op->timed;
    if (!hm_gpu_take_memory(op->dev, &p, bytes, HM_GPU_DEVICE, &first))
        return p;
    if (!op->dev->stale_count) {
        *op->error = first;
        return NULL;
    }
    hm_gpu_wait(op); /* what was freed is the device's again */
    return hm_gpu_ready(op) && !hm_gpu_take_memory(op->dev, &p, bytes, HM_GPU_DEVICE, op->error) ? p : NULL;
}

/* Commands that are on their way may use it: it is given back when the device is waited for next. */
static void gpu_free(const hm_ops *op, void *p)
{
    hm_device *dev = op->dev;
    if (!p || hm_reserve_give(op->reserve, p))
        return;
    dev->stale_bytes += hm_gpu_block_bytes(dev, p);
    dev->stale[dev->stale_count++] = p;
    if (dev->stale_count < HM_GPU_STALE && dev->stale_bytes < HM_GPU_STALE_BYTES)
        return;
    hm_gpu_break(op);
    hm_gpu_settle(op);
}

/* --- copies --- */

static bool words(const void *p)
{
    return (uintptr_t)p % sizeof(uint32_t) == 0;
}

/* Rows of 32-bit words by a kernel: where they lie may differ from frame to frame. */
static void copy_rows(const hm_ops *op, const char *what, void *y, int64_t ldy, const void *x, int64_t ldx, int width, int rows)
{
    int64_t groups = ((int64_t)width * rows + 63) / 64;
    if (groups > UINT32_MAX / 64)
        hm_fail(op->error, HM_EBUG, "copy: %d rows of %d are too many", rows, width);
    else
        HM_GPU_LAUNCH(op, what, copy_rows, groups, 1, 1, hm_gpu_base(op, y), hm_gpu_offset(op, y), hm_gpu_i64(ldy), hm_gpu_base(op, x),
                      hm_gpu_offset(op, x), hm_gpu_i64(ldx), hm_gpu_i32(width), hm_gpu_i32(rows));
}

static void gpu_copy(const hm_ops *op, void *dst, const void *src, size_t bytes)
{
    if (!hm_gpu_ready(op) || !bytes)
        return;
    if (op->dev->in_frame && words(dst) && words(src) && bytes % sizeof(uint32_t) == 0 && bytes <= INT32_MAX)
        copy_rows(op, "copy", dst, 0, src, 0, (int)(bytes / sizeof(uint32_t)), 1);
    else
        hm_gpu_start(op, "copy", &(hm_gpu_asked){.kind = HM_GPU_COPIED, .to = dst, .from = src, .bytes = bytes}, NULL);
}

static void gpu_copy_2d(const hm_ops *op, float *y, int64_t ldy, const float *x, int64_t ldx, int width, int rows)
{
    if (hm_gpu_ready(op) && width > 0 && rows > 0)
        copy_rows(op, "copy_2d", y, ldy, x, ldx, width, rows);
}

static void gpu_fill(const hm_ops *op, float *dst, float value, size_t count)
{
    hm_gpu_asked asked = {.kind = HM_GPU_FILLED, .to = dst, .bytes = count * sizeof value};
    if (!hm_gpu_ready(op) || !count)
        return;
    memcpy(&asked.pattern, &value, sizeof value);
    hm_gpu_start(op, "fill", &asked, NULL);
}

/* --- between host and device --- */

static void gpu_upload(const hm_ops *op, void *dst, const void *host, size_t bytes)
{
    if (!hm_gpu_ready(op))
        return;
    hm_gpu_break(op);
    op->count->to_device_transfers++;
    hm_span_begin(op->probe, HM_SPAN_OP, "upload", -1);
    for (size_t at = 0; at < bytes && hm_gpu_ready(op);) {
        size_t n = bytes - at < HM_GPU_STAGE ? bytes - at : HM_GPU_STAGE;
        hm_gpu_send(op, (char *)dst + at, (const char *)host + at, n);
        at += n;
    }
    hm_span_end(op->probe, HM_SPAN_OP, "upload");
}

static void gpu_download(const hm_ops *op, void *host, const void *src, size_t bytes)
{
    hm_device *dev = op->dev;
    if (!hm_gpu_ready(op))
        return;
    hm_gpu_break(op);
    op->count->to_host_transfers++;
    op->count->to_host_bytes += bytes;
    hm_span_begin(op->probe, HM_SPAN_OP, "download", -1);
    for (size_t at = 0; at < bytes && hm_gpu_ready(op);) {
        size_t n = bytes - at < HM_GPU_LAND ? bytes - at : HM_GPU_LAND;
        hm_gpu_watch(op);
        hm_gpu_lock(dev);
        dev->shared->driver->copy(dev->shared->gpu, dev->land.base, (const char *)src + at, n, dev->tag, op->error);
        hm_gpu_unlock(dev);
        dev->pending = true;
        hm_gpu_wait_all(op);
        if (hm_gpu_ready(op))
            memcpy((char *)host + at, dev->land.base, n);
        at += n;
    }
    hm_span_end(op->probe, HM_SPAN_OP, "download");
}

void hm_gpu_memory_ops(hm_ops *ops)
{
    ops->alloc = gpu_alloc;
    ops->free = gpu_free;
    ops->copy = gpu_copy;
    ops->copy_2d = gpu_copy_2d;
    ops->fill = gpu_fill;
    ops->upload = gpu_upload;
    ops->download = gpu_download;
    ops->sync = hm_gpu_wait;
    ops->frame = hm_gpu_frame;
}
