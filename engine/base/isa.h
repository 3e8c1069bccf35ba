/* What the CPU can execute, found at run time. */
#ifndef HM_ENGINE_BASE_ISA_H
#define HM_ENGINE_BASE_ISA_H

#include <stdbool.h>
#include <stddef.h>

/* Of one architecture, later ones are faster; a machine need not have all that stand before its best. */
typedef enum hm_isa {
    HM_ISA_SCALAR,      /* plain C */
    HM_ISA_AVX2,        /* AVX2 + FMA + F16C */
    HM_ISA_AVX2_VNNI,   /* and AVX-VNNI: sums of products of bytes in one instruction */
    HM_ISA_AVX512,      /* AVX-512 F, BW, DQ, VL (and what AVX2 has) */
    HM_ISA_AVX512_VNNI, /* and AVX-512 VNNI */
    HM_ISA_NEON,        /* 64-bit ARM with dot products */
    HM_ISA_COUNT
} hm_isa;

#define HM_ISA_NAMES "scalar, avx2, avx2-vnni, avx512, avx512-vnni or neon" /* for messages */

/* Whether this CPU and operating system can run it; the best one that they can. */
bool hm_isa_has(hm_isa isa);
hm_isa hm_isa_detect(void);
/* The next one that they can, HM_ISA_COUNT after the last: loops over all of them begin at HM_ISA_SCALAR. */
hm_isa hm_isa_next(hm_isa isa);
/* The one whose vectors it has: HM_ISA_SCALAR, HM_ISA_AVX2, HM_ISA_AVX512 or HM_ISA_NEON. */
hm_isa hm_isa_vectors(hm_isa isa);

/* What the machine calls its CPU ("AMD EPYC"), "unknown" when it does not say. */
void hm_cpu_name(char *out, size_t size);

/* "scalar", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "neon"; and back (-1 when unknown). */
const char *hm_isa_name(hm_isa isa);
int hm_isa_parse(const char *name);

#endif
