/* The axis `precision` of a plan: formats of weights, each value a variant of its own. */
#ifndef HM_HARNESS_PRECISION_AXIS_H
#define HM_HARNESS_PRECISION_AXIS_H

#include "harness/axis.h"

typedef struct hm_precision_axis {
    char label[HM_AXIS_VALUES][64];     /* "int8", "backbone=int8+heads=bf16": what arms are named after */
    char settings[HM_AXIS_VALUES][256]; /* "panels=packed,precompute=once,precision_backbone=int8" */
    int count;
} hm_precision_axis;

/* Values with commas between, in their order, each once:
 *   int8                        all parts in a format, as --precision takes it
 *   backbone=int8+heads=bf16    some parts; the others as the variant has them
 *   each=int8                   every part alone in a format, one after the other
 *   ladder                      stored, bf16, f16, fp8, int8, int4, fp4
 * HM_EUSAGE. */
hm_status hm_precision_axis_read(hm_precision_axis *out, const char *text, hm_error *err);

#endif
