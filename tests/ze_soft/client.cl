/* Kernels of the tests of the software device. */
__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void soft_add(__global const float *a, __global const float *b, __global float *y,
                                                                       const int n)
{
    const int i = (int)get_global_id(0);
    if (i < n)
        y[i] = a[i] + b[i];
}

/* Where each item is, in groups of any size. */
__kernel void soft_place(__global int *y)
{
    const int x = (int)get_global_id(0), z = (int)get_global_id(2), nx = (int)get_global_size(0), ny = (int)get_global_size(1);
    y[(z * ny + (int)get_global_id(1)) * nx + x] = (int)(get_group_id(0) + 100 * get_group_id(1) + 10000 * get_group_id(2));
}

/* The order of two of them shows. */
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void soft_step(__global int *y, const int times, const int plus)
{
    y[0] = y[0] * times + plus;
}

__kernel __attribute__((reqd_work_group_size(64, 1, 1))) void soft_sum(__global const int *x, __global int *y, __local int *scratch)
{
    const int i = (int)get_local_id(0);
    scratch[i] = x[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int width = 32; width > 0; width /= 2) {
        if (i < width)
            scratch[i] += scratch[i + width];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (i == 0)
        y[0] = scratch[0];
}

__kernel void soft_types(__global double *y, const char a, const short b, const int c, const long d, const float e, const double f)
{
    y[0] = a;
    y[1] = b;
    y[2] = c;
    y[3] = (double)d;
    y[4] = e;
    y[5] = f;
}

__kernel void soft_read(__global int *y, __global const int *x, const long at)
{
    y[0] = x ? x[at] : -1;
}
