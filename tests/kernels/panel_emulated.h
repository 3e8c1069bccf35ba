/* Kernels whose instructions this machine may not have, emulated, against those of another instruction set: the same bytes. */
#ifndef HM_TESTS_KERNELS_PANEL_EMULATED_H
#define HM_TESTS_KERNELS_PANEL_EMULATED_H

#include "engine/cpu/device.h"
#include "tests/kernels/panel_check.h"

static inline void same_gemv(const hm_cpu_panel_kernels *emulated, const hm_cpu_panel_kernels *plain, hm_format format, int out, int in,
                             int M, float *work)
{
    panels k;
    size_t nx = (size_t)(M * in), ny = (size_t)(M * out);
    float *x = hostile_floats(nx, 5), *y = guarded_alloc(ny), *expected = guarded_alloc(ny);
    panels_make(&k, format, out, in, 1, 3, M % 2);
    hm_cpu_gemv job = {.part = {{&k.w, y, out}}, .parts = 1, .x = x, .M = M};
    for (int part = 0; part < 2; part++)
        emulated->gemv(&job, work, part, 2);
    job.part[0].y = expected;
    plain->gemv(&job, work, 0, 1);
    assert_same_bytes(y, expected, ny);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(expected, ny);
    panels_free(&k);
}

/* A dilated convolution of M rows, in tiles of odd sizes. */
static inline void same_gemm(const hm_cpu_panel_kernels *emulated, const hm_cpu_panel_kernels *plain, hm_format format, int out, int in,
                             int taps, int M, float *work)
{
    panels k;
    size_t nx = (size_t)((M + 2 * (taps - 1)) * in), ny = (size_t)(M * out);
    float *x = hostile_floats(nx, 5), *y = guarded_alloc(ny), *expected = guarded_alloc(ny);
    panels_make(&k, format, out, in, taps, 3, M % 2);
    hm_cpu_gemm g = {.w = &k.w, .y = y, .x = x, .M = M, .in = in, .taps = taps, .depth = in * taps, .ldy = out, .ldx = in};
    g.tap_stride = 2 * in;
    g.tile_rows = HM_CPU_PANEL_GRAIN_ROWS * (1 + M % 4);
    g.tile_cols = HM_CPU_PANEL_GRAIN_COLS * (1 + M % 3);
    g.tiles_m = (M + g.tile_rows - 1) / g.tile_rows;
    g.tiles = g.tiles_m * ((out + g.tile_cols - 1) / g.tile_cols);
    emulated->gemm(&g, work);
    g.y = expected;
    atomic_store(&g.next, 0);
    plain->gemm(&g, work);
    assert_same_bytes(y, expected, ny);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(expected, ny);
    panels_free(&k);
}

/* Odd and even sizes, few rows and many, of formats from `first` on: of a quantised one, of those alone. */
static inline void same_bytes_as(const hm_cpu_panel_kernels *emulated, const hm_cpu_panel_kernels *plain, hm_format first)
{
    static const int sizes[][2] = {{1, 1}, {16, 64}, {17, 65}, {33, 31}, {50, 130}, {100, 600}, {70, 33}};
    float *work = aligned_alloc(64, HM_CPU_WORK_BYTES);
    assert_non_null(work);
    for (hm_format format = first; format < (hm_format_quantised(first) ? HM_FORMAT_FP4 + 1 : HM_FORMAT_COUNT); format++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            for (int M = 1; M <= HM_FEW_ROWS; M++)
                same_gemv(emulated, plain, format, sizes[s][0], sizes[s][1], M, work);
            for (int M = 1; M < 60; M += 1 + M / 5)
                same_gemm(emulated, plain, format, sizes[s][0], sizes[s][1], 1 + M % 3, M, work);
        }
    free(work);
}

#endif
