/* What the CPU can execute, found at run time. */
#ifndef HM_ENGINE_BASE_ISA_H
#define HM_ENGINE_BASE_ISA_H

#include <stddef.h>

/* Ordered: a later one includes the earlier ones on the same architecture. */
typedef enum hm_isa {
    HM_ISA_SCALAR, /* plain C */
    HM_ISA_AVX2,   /* AVX2 + FMA + F16C */
    HM_ISA_AVX512, /* AVX-512 F, BW, DQ, VL (and what AVX2 has) */
    HM_ISA_COUNT
} hm_isa;

/* The best one this CPU and operating system can run. */
hm_isa hm_isa_detect(void);

/* What the machine calls its CPU ("AMD EPYC"), "unknown" when it does not say. */
void hm_cpu_name(char *out, size_t size);

/* "scalar", "avx2", "avx512"; and back (-1 when unknown). */
const char *hm_isa_name(hm_isa isa);
int hm_isa_parse(const char *name);

#endif
