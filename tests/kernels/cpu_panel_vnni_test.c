/* The kernels that sum products of bytes in one instruction, with that instruction written in C: so they can be tried on machines
 * without it. They give the bytes of plain C. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#define HM_VEC_BITS 256
#define HM_VEC_VNNI
#define HM_VEC_EMULATE
#include "engine/cpu/panels.inc"
#endif

#include "tests/kernels/panel_emulated.h"

static void quantised_formats_have_the_bytes_of_plain_c(void **state)
{
    (void)state;
#if defined(__x86_64__)
    static const hm_cpu_panel_kernels emulated = HM_CPU_PANEL_KERNELS;
    if (hm_isa_has(HM_ISA_AVX2)) {
        same_bytes_as(&emulated, &hm_cpu_panels_scalar, HM_FORMAT_INT8);
        return;
    }
#endif
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantised_formats_have_the_bytes_of_plain_c),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
