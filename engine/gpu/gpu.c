#include "engine/gpu/gpu_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hm_gpu_lock(hm_device *dev)
{
    hm_gpu_shared *s = dev->shared;
    if (dev->holding)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->driver->use_lane)
        s->driver->use_lane(s->gpu, dev->lane);
}

void hm_gpu_unlock(hm_device *dev)
{
    if (!dev->holding)
        pthread_mutex_unlock(&dev->shared->lock);
}

/* --- memory of the driver --- */

hm_status hm_gpu_take_memory(hm_device *dev, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    hm_gpu_shared *s = dev->shared;
    void *p = NULL;
    hm_gpu_lock(dev);
    hm_status st = hm_gpu_allocations_reserve(&s->memory, err);
    if (!st)
        st = s->driver->alloc(s->gpu, &p, bytes ? bytes : 64, kind, err);
    if (!st)
        hm_gpu_allocations_add(&s->memory, p, bytes ? bytes : 64, kind);
    hm_gpu_unlock(dev);
    *out = st ? NULL : p;
    return st;
}

void hm_gpu_give_memory(hm_device *dev, void *p)
{
    hm_gpu_shared *s = dev->shared;
    hm_gpu_allocation gone;
    if (!p)
        return;
    hm_gpu_lock(dev);
    hm_gpu_allocations_take(&s->memory, p, &gone);
    s->driver->free(s->gpu, p);
    hm_gpu_unlock(dev);
}

size_t hm_gpu_block_bytes(hm_device *dev, const void *p)
{
    hm_gpu_shared *s = dev->shared;
    hm_gpu_lock(dev);
    const hm_gpu_allocation *a = hm_gpu_allocations_before(&s->memory, p);
    size_t bytes = a && a->at == p ? a->bytes : 0;
    hm_gpu_unlock(dev);
    return bytes;
}

/* The block that p lies in, or one past the end of; NULL with op->error set when there is none. */
static char *base_of(const hm_ops *op, const void *p)
{
    hm_gpu_shared *s = op->dev->shared;
    hm_gpu_lock(op->dev);
    const hm_gpu_allocation *a = hm_gpu_allocations_before(&s->memory, p);
    char *base = a && (const char *)p <= a->at + a->bytes ? a->at : NULL;
    hm_gpu_unlock(op->dev);
    if (!base && hm_gpu_ready(op))
        hm_fail(op->error, HM_EBUG, "%s: a pointer that is not in device memory was given to an operation", s->driver->backend);
    return base;
}

hm_gpu_value hm_gpu_base(const hm_ops *op, const void *p)
{
    return hm_gpu_pointer(p ? base_of(op, p) : NULL);
}

hm_gpu_value hm_gpu_offset(const hm_ops *op, const void *p)
{
    const char *base = p ? base_of(op, p) : NULL;
    return hm_gpu_step(base ? (const char *)p - base : 0);
}

/* --- waiting --- */

/* What nothing uses any more. */
static void settle(hm_device *dev)
{
    hm_gpu_shared *s = dev->shared;
    dev->pending = false;
    dev->stage.used = 0;
    while (dev->stale_count)
        hm_gpu_give_memory(dev, dev->stale[--dev->stale_count]);
    dev->stale_bytes = 0;
    hm_gpu_lock(dev);
    while (dev->dropped_count)
        s->driver->drop(s->gpu, &dev->dropped[--dev->dropped_count]);
    hm_gpu_unlock(dev);
}

/* Nobody else is held up where the device has a queue of its own. */
static hm_status wait_for(hm_device *dev, hm_error *err)
{
    hm_gpu_shared *s = dev->shared;
    hm_gpu_lock(dev);
    hm_status st =
        s->driver->wait_lane && !dev->holding ? s->driver->wait_lane(s->gpu, dev->lane, &s->lock, err) : s->driver->wait(s->gpu, err);
    hm_gpu_unlock(dev);
    return st;
}

void hm_gpu_wait_all(const hm_ops *op)
{
    hm_device *dev = op->dev;
    if (!dev->pending || !hm_gpu_ready(op))
        return;
    op->count->device_waits++;
    hm_span_begin(op->probe, HM_SPAN_WAIT, "wait for device", -1);
    hm_status st = wait_for(dev, op->error);
    hm_span_end(op->probe, HM_SPAN_WAIT, "wait for device");
    if (st)
        return;
    hm_gpu_tell_times(op);
    settle(dev);
}

void hm_gpu_settle(const hm_ops *op)
{
    hm_device *dev = op->dev;
    hm_error ignored = {0};
    op->count->device_waits += dev->pending;
    hm_gpu_lock(dev);
    dev->shared->driver->wait(dev->shared->gpu, hm_gpu_ready(op) ? op->error : &ignored);
    hm_gpu_unlock(dev);
    hm_gpu_tell_times(op);
    settle(dev);
}

void hm_gpu_wait(const hm_ops *op)
{
    hm_gpu_break(op);
    if (!op->dev->pending)
        settle(op->dev);
    hm_gpu_wait_all(op);
}

/* --- small memory --- */

void *hm_gpu_stage(const hm_ops *op, size_t bytes)
{
    hm_gpu_ring *r = &op->dev->stage;
    size_t need = (bytes + 63) / 64 * 64;
    if (need > r->size - r->used)
        hm_gpu_wait_all(op); /* all of it is free then */
    if (!hm_gpu_ready(op) || need > r->size - r->used)
        return NULL;
    char *p = r->base + r->used;
    r->used += need;
    return p;
}

/* A larger ring; what uses the old one ends first. */
static bool grow_scratch(const hm_ops *op, size_t need)
{
    hm_device *dev = op->dev;
    hm_gpu_ring *r = &dev->scratch;
    void *base;
    hm_gpu_break(op);
    hm_gpu_wait_all(op);
    if (!hm_gpu_ready(op))
        return false;
    hm_gpu_give_memory(dev, r->base);
    *r = (hm_gpu_ring){0};
    size_t size = 4 * need < (size_t)4 << 20 ? (size_t)4 << 20 : need < (size_t)16 << 20 ? 4 * need : 2 * need;
    if (hm_gpu_take_memory(dev, &base, size, HM_GPU_DEVICE, op->error))
        return false;
    *r = (hm_gpu_ring){.base = base, .size = size};
    op->count->timed_allocations += op->timed;
    return true;
}

void *hm_gpu_scratch(const hm_ops *op, size_t bytes)
{
    hm_gpu_ring *r = &op->dev->scratch;
    size_t need = (bytes + 255) / 256 * 256;
    if (!hm_gpu_ready(op))
        return NULL;
    if (bytes > HM_GPU_SCRATCH) {
        hm_fail(op->error, HM_EABSENT, "%s: an operation needs %zu MiB of scratch, at most %zu are given", op->dev->shared->driver->backend,
                bytes >> 20, HM_GPU_SCRATCH >> 20);
        return NULL;
    }
    if (2 * need > r->size && !grow_scratch(op, need))
        return NULL;
    if (need > r->size - r->used)
        r->used = 0; /* commands are done in order: whatever lies there was read before this one writes */
    char *p = r->base + r->used;
    r->used += need;
    return p;
}

void hm_gpu_send(const hm_ops *op, void *to, const void *host, size_t bytes)
{
    hm_device *dev = op->dev;
    void *staged = hm_gpu_stage(op, bytes);
    if (!staged)
        return;
    memcpy(staged, host, bytes);
    op->count->to_device_bytes += bytes;
    dev->pending = true;
    hm_gpu_watch(op);
    hm_gpu_lock(dev);
    dev->shared->driver->copy(dev->shared->gpu, to, staged, bytes, dev->tag, op->error);
    hm_gpu_unlock(dev);
}

const void *hm_gpu_constants(const hm_ops *op, const void *host, size_t bytes)
{
    hm_gpu_ring *r = &op->dev->constants;
    size_t need = (bytes + 63) / 64 * 64;
    uint8_t *shadow;
    char *there;
    if (!hm_gpu_ready(op))
        return NULL;
    if (need > HM_GPU_INPUTS / 2) {
        hm_fail(op->error, HM_EBUG, "%s: %zu bytes of constants", op->dev->shared->driver->backend, bytes);
        return NULL;
    }
    if (hm_gpu_input(op, bytes, &shadow, &there)) {
        memcpy(shadow, host, bytes);
        return there;
    }
    if (need > r->size - r->used)
        r->used = 0;
    there = r->base + r->used;
    r->used += need;
    op->count->to_device_transfers++;
    hm_gpu_send(op, there, host, bytes);
    return there;
}

/* --- commands --- */

void hm_gpu_issue(const hm_ops *op, const hm_gpu_asked *a, const hm_gpu_value *values, const int32_t *places, char *inputs)
{
    hm_device *dev = op->dev;
    const hm_gpu_driver *driver = dev->shared->driver;
    hm_gpu *gpu = dev->shared->gpu;
    hm_gpu_value all[2 * HM_GPU_VALUES];
    int count = 0;
    for (int i = 0; a->kind == HM_GPU_LAUNCHED && i < a->count; i++) {
        const hm_gpu_value *v = &values[i];
        if (v->kind != HM_GPU_STEP) {
            all[count++] = *v;
            continue;
        }
        all[count++] = hm_gpu_i64(places ? 0 : v->i64);
        all[count++] = hm_gpu_pointer(places ? inputs + places[i] : dev->zero);
    }
    op->count->launches++;
    dev->pending = true;
    hm_gpu_watch(op);
    hm_gpu_lock(dev);
    if (a->kind == HM_GPU_LAUNCHED) {
        hm_gpu_command command = {a->kernel, {a->groups[0], a->groups[1], a->groups[2]}, all, count, a->shared, dev->early};
        driver->launch(gpu, &command, dev->tag, op->error);
    } else if (a->kind == HM_GPU_COPIED)
        driver->copy(gpu, a->to, a->from, a->bytes, dev->tag, op->error);
    else
        driver->fill(gpu, a->to, a->pattern, a->bytes, dev->tag, op->error);
    hm_gpu_unlock(dev);
}

void hm_gpu_start(const hm_ops *op, const char *what, const hm_gpu_asked *asked, const hm_gpu_value *values)
{
    if (!hm_gpu_ready(op))
        return;
    hm_places_note(op->places, op->dev->place);
    hm_span_begin(op->probe, HM_SPAN_OP, what, -1);
    hm_gpu_ask(op, asked, values);
    hm_span_end(op->probe, HM_SPAN_OP, what);
}

void hm_gpu_launch(const hm_ops *op, const char *what, const hm_gpu_launch_args *args)
{
    hm_gpu_asked asked = {.kind = HM_GPU_LAUNCHED, .kernel = args->kernel, .count = args->count, .shared = args->shared};
    if (!args->groups[0] || !args->groups[1] || !args->groups[2])
        return;
    if (args->count > HM_GPU_VALUES) {
        hm_fail(op->error, HM_EBUG, "%s: %d arguments of %s, at most %d are passed", op->dev->shared->driver->backend, args->count, what,
                HM_GPU_VALUES);
        return;
    }
    memcpy(asked.groups, args->groups, sizeof asked.groups);
    hm_gpu_start(op, what, &asked, args->values);
}

/* --- the device --- */

static void close_device(hm_device *dev)
{
    hm_gpu_shared *s = dev->shared;
    hm_error ignored = {0};
    hm_gpu_ring *const rings[] = {&dev->stage, &dev->land, &dev->constants, &dev->scratch};
    hm_gpu_lock(dev);
    s->driver->wait(s->gpu, &ignored);
    hm_gpu_unlock(dev);
    settle(dev);
    hm_gpu_segments_close(dev);
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++)
        hm_gpu_give_memory(dev, rings[i]->base);
    hm_gpu_give_memory(dev, dev->zero);
    free(dev);
}

/* One user less; the last one closes the driver's device. */
static void leave(hm_gpu_shared *s)
{
    pthread_mutex_lock(&s->lock);
    int users = --s->users;
    pthread_mutex_unlock(&s->lock);
    if (users)
        return;
    s->driver->close(&s->gpu);
    pthread_mutex_destroy(&s->lock);
    free(s->memory.items);
    free(s);
}

void hm_gpu_close(hm_device **device)
{
    hm_device *dev = *device;
    if (!dev)
        return;
    hm_gpu_shared *s = dev->shared;
    close_device(dev);
    *device = NULL;
    leave(s);
}

static hm_status open_ring(hm_device *dev, hm_gpu_ring *r, size_t bytes, hm_gpu_memory kind, hm_error *err)
{
    void *base = NULL;
    hm_status st = hm_gpu_take_memory(dev, &base, bytes, kind, err);
    *r = (hm_gpu_ring){.base = base, .size = st ? 0 : bytes};
    return st;
}

static hm_status open_device(hm_device **out, hm_gpu_shared *s, int lane, hm_error *err)
{
    hm_device *dev = hm_calloc(1, sizeof *dev, "device", err);
    void *zero = NULL;
    if (!dev)
        return HM_EABSENT;
    dev->shared = s;
    dev->lane = lane;
    pthread_mutex_lock(&s->lock);
    s->users++;
    dev->tag = ++s->tags;
    pthread_mutex_unlock(&s->lock);
    snprintf(dev->place, sizeof dev->place, "%s:%s", s->driver->backend, s->driver->facts(s->gpu)->software ? "software" : "gpu");
    hm_status st = open_ring(dev, &dev->stage, HM_GPU_STAGE, HM_GPU_HOST, err);
    if (!st)
        st = open_ring(dev, &dev->land, HM_GPU_LAND, HM_GPU_HOST, err);
    if (!st)
        st = open_ring(dev, &dev->constants, HM_GPU_CONSTANTS, HM_GPU_DEVICE, err);
    if (!st)
        st = hm_gpu_take_memory(dev, &zero, 64, HM_GPU_DEVICE, err);
    dev->zero = zero;
    if (!st) {
        hm_gpu_lock(dev);
        st = s->driver->fill(s->gpu, zero, 0, 64, dev->tag, err);
        hm_gpu_unlock(dev);
    }
    if (st)
        hm_gpu_close(&dev);
    *out = dev;
    return st;
}

hm_status hm_gpu_open(hm_device **out, const hm_gpu_driver *driver, const hm_gpu_options *o, hm_error *err)
{
    hm_gpu_shared *s = hm_calloc(1, sizeof *s, "device", err);
    *out = NULL;
    if (!s)
        return HM_EABSENT;
    s->driver = driver;
    s->timestamps = o->timestamps;
    hm_status st = driver->open(&s->gpu, o, err);
    if (st) {
        free(s);
        return st;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->users = 1; /* until one of its own is there */
    st = open_device(out, s, 0, err);
    leave(s);
    return st;
}

hm_status hm_gpu_open_beside(hm_device **out, hm_device *dev, hm_error *err)
{
    *out = NULL;
    hm_status st = wait_for(dev, err);
    return st ? st : open_device(out, dev->shared, 1, err);
}

const hm_gpu_facts *hm_gpu_device_facts(const hm_device *dev)
{
    return dev->shared->driver->facts(dev->shared->gpu);
}

void hm_gpu_record_frames(hm_device *dev, bool record)
{
    dev->records = record;
}

void hm_gpu_begin_early(hm_device *dev, bool early)
{
    dev->early = early;
}

void hm_gpu_ops_reference(hm_ops *ops, hm_device *dev, hm_counters *count, const hm_probe *probe, hm_error *error)
{
    *ops = (hm_ops){.dev = dev, .count = count, .probe = probe, .error = error, .apart = true};
    hm_gpu_memory_ops(ops);
    hm_gpu_linear_ops(ops);
    hm_gpu_rows_ops(ops);
    hm_gpu_kv_ops(ops);
    hm_gpu_sample_ops(ops);
    hm_gpu_audio_ops(ops);
}
