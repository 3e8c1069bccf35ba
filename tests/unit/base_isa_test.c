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
    static const char *const names[] = {"scalar", "avx2", "avx512"};
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
    int avx2 = 0, avx512 = 0;
    FILE *f = fopen("/proc/cpuinfo", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "flags", 5))
            continue;
        line[strcspn(line, "\n")] = ' ';
        avx2 = has_flag(line, "avx2") && has_flag(line, "fma") && has_flag(line, "f16c");
        avx512 =
            avx2 && has_flag(line, "avx512f") && has_flag(line, "avx512bw") && has_flag(line, "avx512dq") && has_flag(line, "avx512vl");
        break;
    }
    fclose(f);
    assert_int_equal(hm_isa_detect(), avx512 ? HM_ISA_AVX512 : avx2 ? HM_ISA_AVX2 : HM_ISA_SCALAR);
    assert_int_equal(hm_isa_detect(), hm_isa_detect());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(detection_agrees_with_the_flags_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
