/* What the operations of engine/gpu stand on: kernels by name, their arguments, and launches in order on one device of one driver.
 *
 * Everything on a device happens in the order in which it is asked for, as if on one queue; only hm_gpu_wait and downloads wait for it.
 *
 * Frames that are replayed. With the toggle `launch` = recorded, launches and device-to-device copies between hm_ops.frame's marks are
 * recorded the first time and replayed afterwards: the forward runs again and asks for the same things, and what it asks is compared, not
 * done. Arguments that differ from frame to frame (positions, counters, places in arrays of codes) must be `steps`: whole numbers which a
 * kernel reads from a slot in device memory when it runs. When anything else differs, or what must wait comes in between, the recording
 * ends there, what was recorded up to it is replayed, and the rest is done anew (counters tell). */
#ifndef HM_ENGINE_GPU_GPU_H
#define HM_ENGINE_GPU_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/ops.h"

/* One row per kernel in engine/gpu/kernels.def, then those of engine/cuda/kernels.def; the number of an entry is its place in the table. */
typedef enum hm_gpu_kernel {
#define HM_KERNEL(name, group, file) HM_K_##name,
#include "engine/gpu/kernels.def"
#undef HM_KERNEL
    HM_GPU_SHARED_KERNELS, /* how many every driver has */
    HM_GPU_BEFORE_CUDA = HM_GPU_SHARED_KERNELS - 1,
#define HM_CUDA_KERNEL(name, group, file, shared, cluster, early) HM_K_cuda_##name,
#define HM_CUDA_CALL(name, function) HM_K_cuda_##name,
#include "engine/cuda/kernels.def"
#undef HM_CUDA_KERNEL
#undef HM_CUDA_CALL
    HM_GPU_KERNELS
} hm_gpu_kernel;

typedef struct hm_gpu_kernel_row {
    const char *name; /* of the entry point: "hm_" or "hm_cuda_", and the row's name */
    int group;        /* work items of a group, in one dimension */
    const char *file; /* the source that holds it, without its suffix: one module of the device each; NULL: work of a library */
} hm_gpu_kernel_row;

extern const hm_gpu_kernel_row hm_gpu_kernel_table[HM_GPU_KERNELS];

typedef enum hm_gpu_value_kind {
    HM_GPU_POINTER, /* device memory, or NULL */
    HM_GPU_I32,
    HM_GPU_I64,
    HM_GPU_F32,
    HM_GPU_STEP /* takes two parameters of the kernel: STEP(name) in engine/gpu/compat.inc */
} hm_gpu_value_kind;

typedef struct hm_gpu_value {
    hm_gpu_value_kind kind;
    union {
        const void *pointer;
        int32_t i32;
        int64_t i64; /* of HM_GPU_STEP, too */
        float f32;
    };
} hm_gpu_value;

#define HM_GPU_VALUES 32 /* most arguments of a launch */

static inline hm_gpu_value hm_gpu_pointer(const void *p)
{
    return (hm_gpu_value){.kind = HM_GPU_POINTER, .pointer = p};
}

static inline hm_gpu_value hm_gpu_i32(int v)
{
    return (hm_gpu_value){.kind = HM_GPU_I32, .i32 = v};
}

static inline hm_gpu_value hm_gpu_i64(int64_t v)
{
    return (hm_gpu_value){.kind = HM_GPU_I64, .i64 = v};
}

static inline hm_gpu_value hm_gpu_f32(float v)
{
    return (hm_gpu_value){.kind = HM_GPU_F32, .f32 = v};
}

static inline hm_gpu_value hm_gpu_step(int64_t v)
{
    return (hm_gpu_value){.kind = HM_GPU_STEP, .i64 = v};
}

/* A pointer that may differ from frame to frame, as two arguments: the start of the allocation it lies in, and a step of bytes from there.
 * For kernels that take (GLOBAL char *name, STEP(name_at)). */
hm_gpu_value hm_gpu_base(const hm_ops *op, const void *p);
hm_gpu_value hm_gpu_offset(const hm_ops *op, const void *p);

typedef struct hm_gpu_launch_args {
    hm_gpu_kernel kernel;
    uint32_t groups[3]; /* of work items; 0 in any: nothing is launched */
    const hm_gpu_value *values;
    int count;
    uint32_t shared; /* bytes of dynamic shared memory; of kernels of CUDA only */
} hm_gpu_launch_args;

/* Counted as a launch; noted in op->places and as a span of `what` (HM_SPAN_OP). Failures go to op->error. `groups`: how many of the kernel's groups. */
void hm_gpu_launch(const hm_ops *op, const char *what, const hm_gpu_launch_args *args);
#define HM_GPU_LAUNCH(op, what, name, x, y, z, ...)                                                                \
    hm_gpu_launch(op, what,                                                                                        \
                  &(hm_gpu_launch_args){HM_K_##name,                                                               \
                                        {(uint32_t)(x), (uint32_t)(y), (uint32_t)(z)},                             \
                                        (const hm_gpu_value[]){__VA_ARGS__},                                       \
                                        (int)(sizeof((const hm_gpu_value[]){__VA_ARGS__}) / sizeof(hm_gpu_value)), \
                                        0})

/* Whether more can be asked of the device: false after the first failure. Operations ask first. */
static inline bool hm_gpu_ready(const hm_ops *op)
{
    return !hm_ops_status(op);
}

/* Scratch that lives until the operation's launches are done, from a ring of the device: at most HM_GPU_SCRATCH bytes a call, 256-byte
 * aligned, the same addresses from frame to frame. NULL after a failure. */
#define HM_GPU_SCRATCH ((size_t)64 << 20)
void *hm_gpu_scratch(const hm_ops *op, size_t bytes);

/* Small host data that kernels of this operation read (lists of pointers, ids): copied at once, lives until they are done. */
const void *hm_gpu_constants(const hm_ops *op, const void *host, size_t bytes);

/* Entries of the table, by file. Each fills what it has; NULL stay none. `attention` and `fuse` are chosen in gpu_ops_init.c. */
void hm_gpu_memory_ops(hm_ops *ops); /* gpu_memory.c: alloc, free, copy, fill, upload, download, sync, frame, copy_2d */
void hm_gpu_linear_ops(hm_ops *ops); /* gpu_linear.c: linear*, fold_conv, depthwise */
void hm_gpu_rows_ops(hm_ops *ops);   /* gpu_rows.c: norms, elementwise, gather*, ids_add, any_at_least, pick, masked_sum ... */
void hm_gpu_kv_ops(hm_ops *ops);     /* gpu_kv.c: rope_table, rope, kv_put, causal_mask, attention */
void hm_gpu_sample_ops(hm_ops *ops); /* gpu_sample.c: sample, mark_seen, penalize_ids */
void hm_gpu_audio_ops(hm_ops *ops);  /* gpu_audio.c: snake*, pad_reflect, moments, *_columns, nearest, divide_rows, crossfade */
void hm_gpu_attention_scores(const hm_ops *op, const hm_attention_args *args);
void hm_gpu_attention_flash(const hm_ops *op, const hm_attention_args *args);

/* Entries that a driver's own (engine/cuda/cuda_ops.h) leave to when what they are asked for does not suit them; these count. */
void hm_gpu_linear(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M);
void hm_gpu_linear_add(const hm_ops *op, float *y, const float *x, const hm_linear *w, int M);
void hm_gpu_linear_ex(const hm_ops *op, const hm_linear_args *args);
void hm_gpu_linear_multi(const hm_ops *op, int n, float *const y[], const float *x, const hm_linear *const w[], int M);
void hm_gpu_linear_swiglu(const hm_ops *op, float *y, const float *x, const hm_linear *gate, const hm_linear *up, int M);
void hm_gpu_sample(const hm_ops *op, const hm_sample_args *args);
void hm_gpu_count_sample(const hm_ops *op, const hm_sample_args *args);              /* what a draw counts, whoever draws */
void hm_gpu_count_put(const hm_ops *op, const hm_kv_view *kv, int B, int S, int Dh); /* what kv_put counts */
bool hm_gpu_attention_open(const hm_ops *op, const hm_attention_args *args); /* checks and counts: false when nothing is to be launched */

#endif
