#include "engine/base/isa.h"

#include <stdio.h>
#include <string.h>

static const char *const names[HM_ISA_COUNT] = {"scalar", "avx2", "avx512"};

hm_isa hm_isa_detect(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return HM_ISA_AVX512;
    if (avx2)
        return HM_ISA_AVX2;
#endif
    return HM_ISA_SCALAR;
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
