/* Copies and fills that a driver's own commands do not do. */
#include "engine/gpu/compat.inc"

/* y[0..n) = value */
KERNEL(fill, 64)(GLOBAL float *y, const float value, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n)
        y[i] = value;
}
