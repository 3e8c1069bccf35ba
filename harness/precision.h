/* What --precision means: formats of weights by part of a model, as settings of each variant that is named. */
#ifndef HM_HARNESS_PRECISION_H
#define HM_HARNESS_PRECISION_H

#include "harness/options.h"

#define HM_PRECISION_TEXT 4096 /* bytes of all variants with their settings */

typedef struct hm_precision {
    const char *text;              /* "lm=int8,codec=bf16"; a format alone: of all parts. NULL: as the variants say */
    char items[HM_PRECISION_TEXT]; /* what the variants become */
} hm_precision;

/* The row of an option table that fills it. */
#define HM_PRECISION_OPTION(p)                                                                                                                  \
    {                                                                                                                                           \
        "precision", 0, HM_OPT_STRING, &(p)->text, "PART=FORMAT,...",                                                                           \
            "packed weights: backbone, decoder, heads, dit, codec, lm (the first three) or all = stored, f32, bf16, f16, int8, int4, fp4, fp8", \
            0, 0, NULL                                                                                                                          \
    }

#define HM_PRECISION_PARTS 5 /* the first of hm_precision_parts: those of one toggle each */

/* Parts and formats, NULL-terminated: for completion. */
extern const char *const hm_precision_parts[], *const hm_precision_formats[];

/* "best" becomes "best:panels=packed,precompute=once,precision_backbone=int8"; the texts lie in p. Without a precision nothing changes.
 * HM_EUSAGE: an unknown part or format, with those there are. */
hm_status hm_precision_apply(hm_precision *p, const char **variant, hm_error *err);
/* The same for several, one in each item. */
hm_status hm_precision_apply_each(hm_precision *p, hm_strings *variants, hm_error *err);
/* The same for lists as --variant takes them in suites; without a list: for those of `otherwise`. */
hm_status hm_precision_apply_list(hm_precision *p, hm_strings *variants, const char *otherwise, hm_error *err);

#endif
