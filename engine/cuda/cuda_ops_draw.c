/* One draw from logits by one block (draw.cu), of as many logits as its threads keep. */
#include "engine/cuda/cuda_ops.h"

#include <string.h>

#include "engine/sampling.h"

#define THREADS 1024
#define LOGIT_BYTES 10 /* of shared memory */
#define FEW 4          /* logits of a thread: kernels draw_4 and draw_9 */
#define MOST 9

static void cuda_sample(const hm_ops *op, const hm_sample_args *a)
{
    bool nucleus = !a->greedy && a->top_p > 0 && a->top_p < 1, few = a->V <= FEW * THREADS;
    double limit = 1.0 - (double)a->top_p;
    int64_t room = 1, bits;
    if (a->V < 1 || a->V > MOST * THREADS) {
        hm_gpu_sample(op, a);
        return;
    }
    while (room < a->V)
        room *= 2;
    uint32_t *scratch = nucleus ? hm_gpu_scratch(op, 2 * (size_t)room * sizeof *scratch) : NULL;
    if (!hm_gpu_ready(op))
        return;
    memcpy(&bits, &limit, sizeof bits);
    hm_gpu_count_sample(op, a);
    const hm_gpu_value values[] = {hm_gpu_pointer(a->logits),
                                   hm_gpu_pointer(scratch),
                                   hm_gpu_i32((int)room),
                                   hm_gpu_i32(a->V),
                                   hm_gpu_i32(hm_sample_clamp(a->topk, a->V)),
                                   hm_gpu_f32(a->temperature),
                                   hm_gpu_i32(nucleus),
                                   hm_gpu_i64(bits),
                                   hm_gpu_i32(a->greedy),
                                   hm_gpu_pointer(a->seen),
                                   hm_gpu_f32(a->penalty),
                                   hm_gpu_i32(a->live),
                                   hm_gpu_i32(a->spared),
                                   hm_gpu_step(a->forbidden),
                                   hm_gpu_i64((int64_t)a->seed),
                                   hm_gpu_step(a->frame),
                                   hm_gpu_i32((int)a->codebook),
                                   hm_gpu_base(op, a->token),
                                   hm_gpu_offset(op, a->token)};
    hm_gpu_launch(op, "sample",
                  &(hm_gpu_launch_args){.kernel = few ? HM_K_cuda_draw_4 : HM_K_cuda_draw_9,
                                        .groups = {1, 1, 1},
                                        .shared = (few ? FEW : MOST) * THREADS * LOGIT_BYTES,
                                        .values = values,
                                        .count = (int)(sizeof values / sizeof *values)});
}

void hm_cuda_draw_ops(hm_ops *ops)
{
    ops->sample = cuda_sample;
}
