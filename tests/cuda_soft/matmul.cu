/* What the software cuBLASLt (tests/cublas_soft) computes with: y = alpha * W^T x + beta * y down columns, in double. */
#include "engine/cuda/kernel.inc"

CUDA_KERNEL(soft_matmul, 64)
(float *y, const ushort *w, const ushort *x, const int rows, const int columns, const int inner, const long ldw, const long ldx,
 const long ldy, const float alpha, const float beta)
{
    const long i = (long)blockIdx.x * 64 + ITEM, row = i % rows, column = i / rows;
    if (column < columns) {
        double sum = 0;
        for (int k = 0; k < inner; k++)
            sum += (double)bf16_f32(w[row * ldw + k]) * (double)bf16_f32(x[column * ldx + k]);
        float *at = y + column * ldy + row;
        *at = (float)((double)alpha * sum + (beta != 0 ? (double)beta * (double)*at : 0));
    }
}
