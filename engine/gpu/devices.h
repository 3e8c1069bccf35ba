/* What drivers of GPUs do alike: which device is meant, and the allocations of an open one. */
#ifndef HM_ENGINE_GPU_DEVICES_H
#define HM_ENGINE_GPU_DEVICES_H

#include "engine/gpu/driver.h"

/* "86800ba0-5690-0000-..." of 16 bytes. */
void hm_gpu_uuid_text(char out[40], const void *uuid);

/* Whether a device's name is one of what computes without hardware. */
bool hm_gpu_says_software(const char *name);

/* Where the texts of the facts lie depends on where the struct does: after it was copied. */
void hm_gpu_device_point(hm_gpu_device *d);

/* The one that `wanted` names (hm_gpu_options.device) of `count` that lie `stride` bytes apart, as its place among them. */
hm_status hm_gpu_choose(int *chosen, const char *backend, const hm_gpu_device *devices, size_t stride, int count, const char *wanted,
                        hm_error *err);

typedef struct hm_gpu_allocation {
    char *at;
    size_t bytes;
    hm_gpu_memory kind;
} hm_gpu_allocation;

/* Sorted by address. */
typedef struct hm_gpu_allocations {
    hm_gpu_allocation *items;
    int count, room;
} hm_gpu_allocations;

/* Room is made first, so that what was allocated is never lost. */
hm_status hm_gpu_allocations_reserve(hm_gpu_allocations *all, hm_error *err);
void hm_gpu_allocations_add(hm_gpu_allocations *all, void *p, size_t bytes, hm_gpu_memory kind);
/* The last one that begins at p or before; NULL: none. */
const hm_gpu_allocation *hm_gpu_allocations_before(const hm_gpu_allocations *all, const void *p);
/* The one that p lies in; NULL: none. */
const hm_gpu_allocation *hm_gpu_allocations_of(const hm_gpu_allocations *all, const void *p);
/* *out is the one that begins at p, which is forgotten; false: none does. */
bool hm_gpu_allocations_take(hm_gpu_allocations *all, const void *p, hm_gpu_allocation *out);
/* Whether `bytes` from p on lie in one allocation; *ours: p begins in one. `where` as in errors. */
hm_status hm_gpu_allocations_check(const hm_gpu_allocations *all, const char *where, const void *p, size_t bytes, bool *ours,
                                   hm_error *err);

#endif
