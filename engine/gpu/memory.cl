/* Copies and fills that a driver's own commands do not do. */
#include "engine/gpu/compat.inc"

/* y[0..n) = value */
KERNEL(fill, 64)(GLOBAL float *y, const float value, const long n)
{
    long i = GROUP(0) * 64 + ITEM;
    if (i < n)
        y[i] = value;
}

/* Rows of `width` 32-bit words, `ldy` and `ldx` apart: y[r][i] = x[r][i] */
KERNEL(copy_rows, 64)(GLOBAL char *y, STEP(y_at), const long ldy, GLOBAL const char *x, STEP(x_at), const long ldx, const int width,
                      const int rows)
{
    long i = GROUP(0) * 64 + ITEM, r = i / width, at = i % width;
    GLOBAL uint *to = (GLOBAL uint *)(y + STEP_OF(y_at));
    GLOBAL const uint *from = (GLOBAL const uint *)(x + STEP_OF(x_at));
    if (r < rows)
        to[r * ldy + at] = from[r * ldx + at];
}
