/* The kernels that sum products of bytes in one instruction, with that instruction written in C: so they can be tried on machines
 * without it. They give the bytes of plain C. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#define HM_VEC_BITS 256
#define HM_VEC_VNNI
#define HM_VEC_EMULATE
#include "engine/cpu/panels.inc"
#endif

#include "tests/kernels/panel_check.h"

#if defined(__x86_64__)
static const hm_cpu_panel_kernels emulated = HM_CPU_PANEL_KERNELS;

static void check_gemv(hm_format format, int out, int in, int M, float *work)
{
    panels k;
    size_t nx = (size_t)(M * in), ny = (size_t)(M * out);
    float *x = hostile_floats(nx, 5), *y = guarded_alloc(ny), *plain = guarded_alloc(ny);
    panels_make(&k, format, out, in, 1, 3, M % 2);
    hm_cpu_gemv job = {.part = {{&k.w, y, out}}, .parts = 1, .x = x, .M = M};
    for (int part = 0; part < 2; part++)
        emulated.gemv(&job, work, part, 2);
    job.part[0].y = plain;
    hm_cpu_panels_scalar.gemv(&job, work, 0, 1);
    assert_same_bytes(y, plain, ny);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(plain, ny);
    panels_free(&k);
}

static void quantised_formats_have_the_bytes_of_plain_c(void **state)
{
    static const int sizes[][2] = {{1, 1}, {16, 64}, {17, 65}, {50, 130}, {100, 600}};
    float *work = aligned_alloc(64, HM_CPU_WORK_BYTES);
    (void)state;
    if (!hm_isa_has(HM_ISA_AVX2)) {
        free(work);
        skip();
    }
    for (hm_format format = HM_FORMAT_INT8; format < HM_FORMAT_COUNT; format++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int M = 1; M <= HM_FEW_ROWS; M++)
                check_gemv(format, sizes[s][0], sizes[s][1], M, work);
    free(work);
}
#else
static void quantised_formats_have_the_bytes_of_plain_c(void **state)
{
    (void)state;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantised_formats_have_the_bytes_of_plain_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
