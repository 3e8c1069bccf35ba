/* What tests of operations on a GPU share: a software device (soft_case.h) beside the CPU, and memory on it between guards. */
#ifndef HM_TESTS_GPU_GPU_CASE_H
#define HM_TESTS_GPU_GPU_CASE_H

#include "engine/cpu/fold.h"
#include "engine/cuda/cuda_ops.h"
#include "engine/gpu/driver.h"
#include "tests/kernels/kernel_check.h"
#include "tests/soft_case.h"

#define GPU_GUARD ((size_t)256) /* bytes on either side of what a test keeps on the device */
#define GPU_HELD 64

typedef struct gpu_block {
    char *at;
    size_t bytes;
} gpu_block;

/* The device of a test program, opened once; and the CPU's with plain C, whose results it is held against. */
typedef struct gpu_case {
    rig gpu, cpu;
    gpu_block held[GPU_HELD];
    int count;
} gpu_case;

/* 77, which skips a test, with the reason on stderr, where there is no software device. As a group's setup: *state is the case. */
static inline int gpu_case_open(void **state)
{
    static gpu_case c;
    memset(&c, 0, sizeof c);
    if (!soft_there())
        exit(77);
    hm_status st = hm_gpu_open(&c.gpu.dev, SOFT_DRIVER, &(hm_gpu_options){0}, &c.gpu.error);
    if (st)
        fprintf(stderr, "%s\n", c.gpu.error.text);
    assert_int_equal(st, HM_OK);
    hm_gpu_ops_reference(&c.gpu.op, c.gpu.dev, &c.gpu.count, NULL, &c.gpu.error);
#ifdef HM_TEST_CUDA_OWN
    hm_cuda_decode_ops(&c.gpu.op);
#endif
    rig_open(&c.cpu, 1, HM_ISA_SCALAR);
    c.cpu.op.pick = hm_cpu_pick;
    c.cpu.op.any_at_least = hm_cpu_any_at_least;
    c.cpu.op.fold_conv = hm_cpu_fold_conv;
    *state = &c;
    return 0;
}

static inline int gpu_case_close(void **state)
{
    gpu_case *c = *state;
    if (c->gpu.error.status)
        fprintf(stderr, "%s\n", c->gpu.error.text);
    assert_int_equal(c->count, 0);
    assert_int_equal(c->gpu.error.status, HM_OK);
    hm_gpu_close(&c->gpu.dev);
    rig_close(&c->cpu);
    return 0;
}

static inline const gpu_block *gpu_find(const gpu_case *c, const void *p)
{
    for (int i = 0; i < c->count; i++)
        if (c->held[i].at == p)
            return &c->held[i];
    fail_msg("not what the test keeps on the device");
    return NULL;
}

/* A copy of host memory on the device, between guards; gpu_give_back gives all of them back. */
static inline void *gpu_put(gpu_case *c, const void *host, size_t bytes)
{
    size_t all = bytes + 2 * GPU_GUARD;
    uint8_t *guarded = malloc(all);
    assert_non_null(guarded);
    memset(guarded, 0xc7, all);
    memcpy(guarded + GPU_GUARD, host, bytes);
    char *p = c->gpu.op.alloc(&c->gpu.op, all);
    c->gpu.op.upload(&c->gpu.op, p, guarded, all);
    free(guarded);
    if (c->gpu.error.status)
        fail_msg("%s", c->gpu.error.text);
    assert_true(c->count < GPU_HELD);
    c->held[c->count++] = (gpu_block){p + GPU_GUARD, bytes};
    return p + GPU_GUARD;
}

static inline void *gpu_put_floats(gpu_case *c, const float *host, size_t n)
{
    return gpu_put(c, host, n * sizeof *host);
}

/* What is there now; the guards are looked at. */
static inline void gpu_get(gpu_case *c, void *host, const void *p)
{
    const gpu_block *b = gpu_find(c, p);
    uint8_t *all = malloc(b->bytes + 2 * GPU_GUARD);
    assert_non_null(all);
    c->gpu.op.download(&c->gpu.op, all, b->at - GPU_GUARD, b->bytes + 2 * GPU_GUARD);
    if (c->gpu.error.status)
        fail_msg("%s", c->gpu.error.text);
    for (size_t i = 0; i < GPU_GUARD; i++)
        if (all[i] != 0xc7 || all[GPU_GUARD + b->bytes + i] != 0xc7)
            fail_msg("bytes outside of %zu were written", b->bytes);
    memcpy(host, all + GPU_GUARD, b->bytes);
    free(all);
}

static inline void gpu_give_back(gpu_case *c)
{
    for (; c->count > 0; c->count--)
        c->gpu.op.free(&c->gpu.op, c->held[c->count - 1].at - GPU_GUARD);
}

/* Counts of what operations do, which no backend may count in another way. */
static inline void assert_same_counts(gpu_case *c)
{
#define SAME(field)                               \
    if (c->gpu.count.field != c->cpu.count.field) \
    fail_msg(#field ": %llu on the device, %llu on the CPU", (unsigned long long)c->gpu.count.field, (unsigned long long)c->cpu.count.field)
    SAME(linear_rows);
    SAME(flops);
    SAME(weight_bytes);
    SAME(panel_bytes);
    SAME(embedding_rows);
    SAME(table_values);
    SAME(kv_written_bytes);
    SAME(mask_bytes);
    SAME(attn_scores);
    SAME(score_bytes);
    SAME(sampling_elements);
#undef SAME
}

#endif
