/* What kernel tests share: devices of every instruction set this machine has, random and hostile values, guarded buffers. */
#ifndef HM_TESTS_KERNELS_KERNEL_CHECK_H
#define HM_TESTS_KERNELS_KERNEL_CHECK_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/cpu.h"

#define GUARD 64 /* guard floats on either side of a buffer */
#define GUARD_BITS 0x7FC0DEADu

typedef struct rig {
    hm_device *dev;
    hm_ops op;
    hm_counters count;
    hm_error error;
} rig;

static inline void rig_open(rig *r, int threads, hm_isa isa)
{
    memset(r, 0, sizeof *r);
    assert_int_equal(hm_cpu_open(&r->dev, threads, isa, &r->error), HM_OK);
    hm_cpu_ops_reference(&r->op, r->dev, &r->count, NULL, &r->error);
}

static inline void rig_close(rig *r)
{
    assert_int_equal(r->error.status, HM_OK);
    hm_cpu_close(&r->dev);
    assert_null(r->dev);
}

/* On every instruction set, with one to three threads. */
static inline void for_each_isa(void (*check)(rig *r))
{
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int threads = 1; threads <= 3; threads++) {
            rig r;
            rig_open(&r, threads, isa);
            check(&r);
            rig_close(&r);
        }
}

static inline uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33) << 1 ^ (uint32_t)(*state >> 40);
}

/* In [-1, 1). */
static inline float next_float(uint64_t *state)
{
    return (float)(next_random(state) >> 8) * 0x1p-23f - 1.0f;
}

/* A buffer of n floats between guards; released by guarded_free, which checks them. */
static inline float *guarded_alloc(size_t n)
{
    uint32_t *p = aligned_alloc(64, (n + 2 * GUARD + 15) / 16 * 64);
    assert_non_null(p);
    for (size_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = GUARD_BITS;
    return (float *)p + GUARD;
}

static inline void guarded_free(float *values, size_t n)
{
    uint32_t *p = (uint32_t *)(values - GUARD);
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(p[i], GUARD_BITS);
        assert_int_equal(p[GUARD + n + i], GUARD_BITS);
    }
    free(p);
}

static inline float *random_floats(size_t n, uint64_t seed, float scale)
{
    float *p = guarded_alloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = next_float(&seed) * scale;
    return p;
}

/* Denormals, zeros of either sign, and great and small values among ordinary ones. */
static inline float *hostile_floats(size_t n, uint64_t seed)
{
    static const float odd[] = {0.0f, -0.0f, 1e-40f, -1e-42f, 3e15f, -2e15f, 1e-20f, 1.1754944e-38f};
    float *p = random_floats(n, seed, 1.0f);
    for (size_t i = 0; i < n; i++)
        if (next_random(&seed) % 4 == 0)
            p[i] = odd[next_random(&seed) % 8];
    return p;
}

static inline void assert_same_bytes(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a))
            fail_msg("element %zu of %zu: %.9g and %.9g are not the same bytes", i, n, (double)a[i], (double)b[i]);
}

/* act(z) in double, with the slope of the case and, for snake, factors a and b. */
static inline double activated_in_double(hm_act act, double z, double slope, double a, double b)
{
    switch (act) {
    case HM_ACT_NONE:
        break;
    case HM_ACT_SILU:
        return z / (1 + exp(-z));
    case HM_ACT_PRELU:
        return z >= 0 ? z : z * slope;
    case HM_ACT_GELU:
        return z / 2 * erfc(-z * sqrt(0.5));
    case HM_ACT_RELU:
        return z > 0 ? z : 0;
    case HM_ACT_ELU:
        return z > 0 ? z : expm1(z);
    case HM_ACT_TANH:
        return tanh(z);
    case HM_ACT_SIGMOID:
        return 1 / (1 + exp(-z));
    case HM_ACT_SNAKE:
        return z + b * sin(a * z) * sin(a * z);
    }
    return z;
}

static inline void assert_near(float found, double expected, double bound, const char *what, size_t at)
{
    if (!(fabs((double)found - expected) <= bound))
        fail_msg("%s: element %zu is %.9g, expected %.9g within %.3g", what, at, (double)found, expected, bound);
}

#endif
