#include "engine/base/isa.h"

#include <stdio.h>
#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const char *const names[HM_ISA_COUNT] = {"scalar", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "neon"};

bool hm_isa_has(hm_isa isa)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    if (isa == HM_ISA_AVX2)
        return avx2;
    if (isa == HM_ISA_AVX2_VNNI)
        return avx2 && __builtin_cpu_supports("avxvnni");
    if (isa == HM_ISA_AVX512)
        return avx512;
    if (isa == HM_ISA_AVX512_VNNI)
        return avx512 && __builtin_cpu_supports("avx512vnni");
#elif defined(__aarch64__)
    if (isa == HM_ISA_NEON)
        return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#endif
    return isa == HM_ISA_SCALAR;
}

hm_isa hm_isa_detect(void)
{
    hm_isa best = HM_ISA_SCALAR;
    for (hm_isa isa = hm_isa_next(best); isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        best = isa;
    return best;
}

hm_isa hm_isa_next(hm_isa isa)
{
    do
        isa++;
    while (isa < HM_ISA_COUNT && !hm_isa_has(isa));
    return isa;
}

hm_isa hm_isa_vectors(hm_isa isa)
{
    return isa == HM_ISA_AVX2_VNNI ? HM_ISA_AVX2 : isa == HM_ISA_AVX512_VNNI ? HM_ISA_AVX512 : isa;
}

void hm_cpu_name(char *out, size_t size)
{
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strncmp(line, "model name", 10) ? NULL : strchr(line, ':');
        if (colon) {
            snprintf(out, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

const char *hm_isa_name(hm_isa isa)
{
    return (unsigned)isa < HM_ISA_COUNT ? names[isa] : "unknown";
}

int hm_isa_parse(const char *name)
{
    for (int i = 0; i < HM_ISA_COUNT; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}
