/* Instruction sets: names and back, and a detection that agrees with what the kernel says of the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/isa.h"

static void names_go_there_and_back(void **state)
{
    (void)state;
    static const char *const names[] = {"scalar", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "neon"};
    assert_int_equal(sizeof names / sizeof *names, HM_ISA_COUNT);
    for (int i = 0; i < HM_ISA_COUNT; i++) {
        assert_string_equal(hm_isa_name((hm_isa)i), names[i]);
        assert_int_equal(hm_isa_parse(names[i]), i);
    }
    assert_int_equal(hm_isa_parse("AVX2"), -1);
    assert_int_equal(hm_isa_parse("avx"), -1);
    assert_int_equal(hm_isa_parse(""), -1);
    assert_string_equal(hm_isa_name(HM_ISA_COUNT), "unknown");
    assert_string_equal(hm_isa_name((hm_isa)-1), "unknown");
}

/* Whether the line of flags holds the word. */
static int has_flag(const char *flags, const char *word)
{
    char spaced[32];
    snprintf(spaced, sizeof spaced, " %s ", word);
    return strstr(flags, spaced) != NULL;
}

static void detection_agrees_with_the_flags_of_the_cpu(void **state)
{
    (void)state;
    static char line[8192];
    bool avx2 = false, avx512 = false, vnni256 = false, vnni512 = false;
    FILE *f = fopen("/proc/cpuinfo", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5))
            continue;
        line[strcspn(line, "\n")] = ' ';
        avx2 = has_flag(line, "avx2") && has_flag(line, "fma") && has_flag(line, "f16c");
        avx512 =
            avx2 && has_flag(line, "avx512f") && has_flag(line, "avx512bw") && has_flag(line, "avx512dq") && has_flag(line, "avx512vl");
        vnni256 = avx2 && has_flag(line, "avx_vnni");
        vnni512 = avx512 && has_flag(line, "avx512_vnni");
        break;
    }
    fclose(f);
    assert_true(hm_isa_has(HM_ISA_SCALAR));
    assert_int_equal(hm_isa_has(HM_ISA_AVX2), avx2);
    assert_int_equal(hm_isa_has(HM_ISA_AVX2_VNNI), vnni256);
    assert_int_equal(hm_isa_has(HM_ISA_AVX512), avx512);
    assert_int_equal(hm_isa_has(HM_ISA_AVX512_VNNI), vnni512);
    assert_false(hm_isa_has(HM_ISA_COUNT));
}

static void a_loop_over_instruction_sets_sees_those_of_the_machine_and_ends_at_the_best(void **state)
{
    hm_isa last = HM_ISA_SCALAR;
    int seen = 0, has = 0;
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa), seen++) {
        assert_true(hm_isa_has(isa) && hm_isa_has(hm_isa_vectors(isa)));
        last = isa;
    }
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa++)
        has += hm_isa_has(isa);
    assert_int_equal(seen, has);
    assert_int_equal(last, hm_isa_detect());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(detection_agrees_with_the_flags_of_the_cpu),
        cmocka_unit_test(a_loop_over_instruction_sets_sees_those_of_the_machine_and_ends_at_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
