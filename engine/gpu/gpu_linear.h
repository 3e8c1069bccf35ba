/* Products of many rows and streamed attention, as gpu_linear.c and gpu_kv.c hand them on: to kernels of engine/gpu, or to a driver's own. */
#ifndef HM_ENGINE_GPU_GPU_LINEAR_H
#define HM_ENGINE_GPU_GPU_LINEAR_H

#include "engine/gpu/gpu.h"

/* Rows of x as quantised weights meet them. Row m's tap t is row m*row_step + t*tap_step. */
typedef struct hm_gpu_quantised {
    const void *values;
    const float *scales;
    int in; /* bytes of a tap: the layer's inputs, up to whole blocks */
    int64_t row_step, tap_step;
} hm_gpu_quantised;

typedef struct hm_gpu_many {
    const hm_linear *w;
    float *y;
    const float *x, *residual;
    int M;
    int64_t ldy, ldx, tap_stride;
    hm_act act;
    float slope;
    const float *snake_a, *snake_b;
    bool multiply; /* y = act(z) * y */
    bool dense;    /* of linear and its relatives: M may decide what is done; else the bytes of a row are the same whatever M is */
} hm_gpu_many;

/* x quantised when q is not NULL. No stride is 0. Counted already. */
typedef void hm_gpu_launch_many(const hm_ops *op, const char *what, const hm_gpu_many *g, const hm_gpu_quantised *q);

/* Who multiplies many rows on this device; NULL: linear.cl. */
void hm_gpu_many_by(hm_device *dev, hm_gpu_launch_many *launch);

/* A kernel of streamed attention: what attention_stream of attention.cl is given, blocks (tile of `rows` rows of a stored head, pair). */
typedef struct hm_gpu_attend_way {
    hm_gpu_kernel kernel;
    int rows;
    uint32_t shared; /* bytes */
} hm_gpu_attend_way;

/* Whether the device has a way of its own for this call; the calls are checked and counted already. */
typedef bool hm_gpu_attend(const hm_ops *op, const hm_attention_args *a, hm_gpu_attend_way *way);

/* Who attends on this device; NULL: attention.cl. */
void hm_gpu_attend_by(hm_device *dev, hm_gpu_attend *attend);

#endif
