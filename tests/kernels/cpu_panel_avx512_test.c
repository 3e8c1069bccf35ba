/* The kernels over panels for AVX-512, whose instructions are put together from those of AVX2: they give the bytes of AVX2. */
#if defined(__x86_64__)
#pragma GCC target("avx2,fma,f16c")
#define HM_VEC_BITS 512
#define HM_VEC_EMULATE
#include "tests/kernels/emulate_avx512.h"

#include "engine/cpu/panels.inc"
#endif

#include "tests/kernels/panel_emulated.h"

static void all_formats_have_the_bytes_of_avx2(void **state)
{
    (void)state;
#if defined(__x86_64__)
    static const hm_cpu_panel_kernels emulated = HM_CPU_PANEL_KERNELS;
    if (hm_isa_has(HM_ISA_AVX2)) {
        same_bytes_as(&emulated, &hm_cpu_panels_avx2, HM_FORMAT_F32);
        return;
    }
#endif
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_formats_have_the_bytes_of_avx2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
