/* Kernels that do what the software device is to tell of, and those whose results show what its words mean (tests/cuda/cuda_soft_test.c). */
#include "engine/cuda/kernel.inc"

/* Half of the block waits for the other. */
CUDA_KERNEL(soft_divergent, 64)(float *y)
{
    if (ITEM < 32)
        __syncthreads();
    y[ITEM] = 1;
}

/* Right only when threads run one after another, the first one first. */
CUDA_KERNEL(soft_no_barrier, 64)(float *y)
{
    SHARED(float, space, 64);
    space[ITEM] = (float)ITEM;
    y[ITEM] = ITEM ? space[ITEM - 1] : -1.0f;
}

/* What nobody has written. */
CUDA_KERNEL(soft_unset, 64)(float *y)
{
    SHARED(float, space, 64);
    DYNAMIC_SHARED(float, more);
    y[ITEM] = space[ITEM];
    y[64 + ITEM] = more[ITEM];
}

/* y[word][thread] */
CUDA_KERNEL(soft_words, 64)(int *y)
{
    const int lane = ITEM & 31;
    const uint low = 0x0000FFFFu, mask = lane < 16 ? low : ~low;
    y[ITEM] = __shfl_xor_sync(0xFFFFFFFFu, ITEM, 5);
    y[64 + ITEM] = __shfl_down_sync(0xFFFFFFFFu, ITEM, 30u);
    y[128 + ITEM] = (int)__ballot_sync(0xFFFFFFFFu, lane % 3 == 0);
    y[192 + ITEM] = __reduce_add_sync(mask, lane);
    y[256 + ITEM] = __syncthreads_count(ITEM < 40);
    y[320 + ITEM] = __shfl_sync(0xFFFFFFFFu, ITEM, 3, 8);
    if (lane == 0)
        atomicAdd(&y[384], 1);
}
