#define _GNU_SOURCE
#include "engine/cpu/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)
#define PAGE_BYTES ((size_t)4096)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; an older one refuses and pages come on first use */
#endif
#define SCRATCH_BYTES ((size_t)256 << 10) /* to begin with: what a frame needs is there before the first one */
#define SMALL_WORK 30000 /* multiply-adds or elements: a few microseconds, what waking the team costs */

static const hm_cpu_kernels *kernels_of(hm_isa isa)
{
#if defined(__x86_64__)
    if (hm_isa_vectors(isa) == HM_ISA_AVX512)
        return &hm_cpu_kernels_avx512;
    if (hm_isa_vectors(isa) == HM_ISA_AVX2)
        return &hm_cpu_kernels_avx2;
#elif defined(__aarch64__)
    if (isa == HM_ISA_NEON)
        return &hm_cpu_kernels_neon;
#endif
    (void)isa;
    return &hm_cpu_kernels_scalar;
}

static const hm_cpu_panel_kernels *panels_of(hm_isa isa)
{
#if defined(__x86_64__)
    if (isa == HM_ISA_AVX512_VNNI)
        return &hm_cpu_panels_avx512vnni;
    if (isa == HM_ISA_AVX512)
        return &hm_cpu_panels_avx512;
    if (isa == HM_ISA_AVX2_VNNI)
        return &hm_cpu_panels_avx2vnni;
    if (isa == HM_ISA_AVX2)
        return &hm_cpu_panels_avx2;
#elif defined(__aarch64__)
    if (isa == HM_ISA_NEON)
        return &hm_cpu_panels_neon;
#endif
    (void)isa;
    return &hm_cpu_panels_scalar;
}

/* Large blocks get huge pages: a gigabyte of weights or cache otherwise spends a tenth of its time on address translation. */
static void *block_alloc(size_t bytes)
{
    void *p = NULL;
    size_t align = bytes >= 2 * HUGE_BYTES ? HUGE_BYTES : 64;
    if (bytes > PTRDIFF_MAX || posix_memalign(&p, align, bytes ? bytes : 64))
        return NULL;
    if (align == HUGE_BYTES)
        madvise(p, bytes / HUGE_BYTES * HUGE_BYTES, MADV_HUGEPAGE);
    size_t before = (PAGE_BYTES - (uintptr_t)p % PAGE_BYTES) % PAGE_BYTES;
    if (bytes >= 2 * PAGE_BYTES) /* its pages come now, not under the frame that is the first to touch them */
        madvise((char *)p + before, (bytes - before) / PAGE_BYTES * PAGE_BYTES, MADV_POPULATE_WRITE);
    return p;
}

hm_status hm_cpu_open(hm_device **out, int threads, hm_isa isa, hm_error *err)
{
    return hm_cpu_open_at(out, threads, 0, isa, err);
}

hm_status hm_cpu_open_at(hm_device **out, int threads, int first, hm_isa isa, hm_error *err)
{
    if (!hm_isa_has(isa))
        return hm_fail(err, HM_EABSENT, "CPU device: instruction set %s asked for, which this machine has not; its best is %s",
                       hm_isa_name(isa), hm_isa_name(hm_isa_detect()));
    hm_device *dev = hm_calloc(1, sizeof *dev, "CPU device", err);
    if (!dev)
        return HM_EABSENT;
    hm_status st = hm_team_open_at(&dev->team, threads, first, err);
    if (st) {
        hm_cpu_close(&dev);
        return st;
    }
    dev->isa = isa;
    dev->k = kernels_of(isa);
    dev->p = panels_of(isa);
    snprintf(dev->place, sizeof dev->place, "cpu:%s", hm_isa_name(isa));
    dev->threads = hm_team_size(dev->team);
    st = hm_arena_open(&dev->arena, (size_t)dev->threads * HM_CPU_WORK_BYTES, 1, err);
    if (st) {
        hm_cpu_close(&dev);
        return st;
    }
    dev->work = hm_arena_take(&dev->arena, (size_t)dev->threads * HM_CPU_WORK_BYTES);
    dev->scratch = block_alloc(SCRATCH_BYTES);
    dev->scratch_bytes = dev->scratch ? SCRATCH_BYTES : 0;
    *out = dev;
    return HM_OK;
}

void hm_cpu_close(hm_device **dev)
{
    hm_device *d = *dev;
    if (!d)
        return;
    hm_team_close(&d->team);
    hm_arena_close(&d->arena);
    free(d->scratch);
    free(d);
    *dev = NULL;
}

hm_team *hm_cpu_team(hm_device *dev)
{
    return dev->team;
}

hm_isa hm_cpu_isa(const hm_device *dev)
{
    return dev->isa;
}

void hm_cpu_run(const hm_ops *op, hm_team_fn fn, void *arg, double work)
{
    if (work < SMALL_WORK)
        fn(arg, 0, 1);
    else
        hm_team_run_told(op->dev->team, fn, arg, op->probe);
}

void *hm_cpu_scratch(const hm_ops *op, size_t bytes, const char *what)
{
    hm_device *dev = op->dev;
    if (bytes > dev->scratch_bytes) {
        free(dev->scratch);
        op->count->timed_allocations += op->timed;
        dev->scratch_bytes = 0;
        dev->scratch = block_alloc(bytes);
        if (!dev->scratch) {
            hm_fail(op->error, HM_EABSENT, "CPU device: no memory for %zu MiB of %s", bytes >> 20, what);
            return NULL;
        }
        dev->scratch_bytes = bytes;
    }
    return dev->scratch;
}

bool hm_cpu_begin(const hm_ops *op, const char *name)
{
    if (op->error->status)
        return false;
    op->count->launches++;
    hm_places_note(op->places, op->dev->place);
    hm_span_begin(op->probe, HM_SPAN_OP, name, -1);
    return true;
}

void hm_cpu_end(const hm_ops *op, const char *name)
{
    hm_span_end(op->probe, HM_SPAN_OP, name);
}

static void *cpu_alloc(const hm_ops *op, size_t bytes)
{
    void *p = op->error->status ? NULL : hm_reserve_take(op->reserve, bytes);
    if (p)
        return p;
    op->count->timed_allocations += op->timed;
    p = op->error->status ? NULL : block_alloc(bytes);
    if (!p && !op->error->status)
        hm_fail(op->error, HM_EABSENT, "CPU device: no memory for %zu MiB", bytes >> 20);
    return p;
}

static void cpu_free(const hm_ops *op, void *p)
{
    if (!hm_reserve_give(op->reserve, p))
        free(p);
}

typedef struct copy_job {
    char *dst;
    const char *src;
    float value;
    size_t count; /* bytes, or floats to fill */
} copy_job;

static void copy_part(void *arg, int index, int count)
{
    const copy_job *j = arg;
    size_t first, last;
    hm_team_range(j->count, 4096, index, count, &first, &last);
    if (last > first)
        memcpy(j->dst + first, j->src + first, last - first);
}

static void fill_part(void *arg, int index, int count)
{
    const copy_job *j = arg;
    float *dst = (float *)j->dst;
    size_t first, last;
    hm_team_range(j->count, 1024, index, count, &first, &last);
    for (size_t i = first; i < last; i++)
        dst[i] = j->value;
}

static void copy_bytes(const hm_ops *op, const char *name, void *dst, const void *src, size_t bytes)
{
    copy_job j = {.dst = dst, .src = src, .count = bytes};
    hm_span_begin(op->probe, HM_SPAN_OP, name, -1);
    hm_cpu_run(op, copy_part, &j, (double)bytes / 8);
    hm_cpu_end(op, name);
}

static void cpu_copy(const hm_ops *op, void *dst, const void *src, size_t bytes)
{
    if (op->error->status)
        return;
    op->count->launches++;
    hm_places_note(op->places, op->dev->place);
    copy_bytes(op, "copy", dst, src, bytes);
}

static void cpu_fill(const hm_ops *op, float *dst, float value, size_t count)
{
    copy_job j = {.dst = (char *)dst, .value = value, .count = count};
    if (!hm_cpu_begin(op, "fill"))
        return;
    hm_cpu_run(op, fill_part, &j, (double)count / 2);
    hm_cpu_end(op, "fill");
}

static void cpu_upload(const hm_ops *op, void *dst, const void *host, size_t bytes)
{
    if (op->error->status)
        return;
    op->count->to_device_transfers++;
    op->count->to_device_bytes += bytes;
    copy_bytes(op, "upload", dst, host, bytes);
}

static void cpu_download(const hm_ops *op, void *host, const void *src, size_t bytes)
{
    if (op->error->status)
        return;
    op->count->to_host_transfers++;
    op->count->to_host_bytes += bytes;
    copy_bytes(op, "download", host, src, bytes);
}

/* Every operation has finished when it returns. */
static void cpu_sync(const hm_ops *op)
{
    (void)op;
}

/* Starting an operation costs nothing that recording it would save. */
static void cpu_frame(const hm_ops *op, bool begins)
{
    (void)op;
    (void)begins;
}

void hm_cpu_ops_reference(hm_ops *ops, hm_device *dev, hm_counters *count, const hm_probe *probe, hm_error *error)
{
    *ops = (hm_ops){.dev = dev,
                    .count = count,
                    .probe = probe,
                    .error = error,
                    .alloc = cpu_alloc,
                    .free = cpu_free,
                    .copy = cpu_copy,
                    .fill = cpu_fill,
                    .upload = cpu_upload,
                    .download = cpu_download,
                    .sync = cpu_sync,
                    .frame = cpu_frame};
    hm_cpu_fill_linear(ops);
    hm_cpu_fill_rows(ops);
    hm_cpu_fill_kv(ops);
    hm_cpu_fill_audio(ops);
    hm_cpu_fill_sample(ops);
}
