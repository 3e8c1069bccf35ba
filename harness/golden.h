/* Golden files: outputs of the original implementations, as safetensors of F32 and I32, compared value by value. */
#ifndef HM_HARNESS_GOLDEN_H
#define HM_HARNESS_GOLDEN_H

#include "engine/base/map.h"
#include "engine/base/probe.h"
#include "engine/safetensors.h"

typedef struct hm_golden {
    hm_safetensors file;
    hm_map map;
    void **copies; /* per tensor of the file: its aligned values, once asked for */
} hm_golden;

hm_status hm_golden_open(hm_golden *out, const char *path, hm_error *err);
void hm_golden_close(hm_golden *golden);

/* The tensor "prefix/name" (prefix may be ""), NULL when there is none. */
const hm_safetensors_entry *hm_golden_find(const hm_golden *golden, const char *prefix, const char *name);
int64_t hm_golden_count(const hm_safetensors_entry *entry); /* elements */
/* Its values, valid until close; demands the type. */
hm_status hm_golden_f32(hm_golden *golden, const hm_safetensors_entry *entry, const float **out, hm_error *err);
hm_status hm_golden_i32(hm_golden *golden, const hm_safetensors_entry *entry, const int32_t **out, hm_error *err);
/* "prefix/name" demanded: its values and count. */
hm_status hm_golden_need_f32(hm_golden *golden, const char *prefix, const char *name, const float **out, int64_t *count, hm_error *err);
hm_status hm_golden_need_i32(hm_golden *golden, const char *prefix, const char *name, const int32_t **out, int64_t *count, hm_error *err);

/* How far ours is from one golden tensor. Values may come in parts (batch rows); a part of one row where the golden has several is
 * its last row: variants that compute only needed rows have no others. */
typedef struct hm_golden_diff {
    int64_t compared, expected; /* elements */
    double peak;                /* largest absolute golden value */
    double max_abs, max_rel;    /* relative to the golden value, where that is above a thousandth of the tensor's peak */
    bool exact;                 /* bit for bit so far */
    bool shape_differs;
    bool last_row_only;
} hm_golden_diff;

hm_status hm_golden_compare(hm_golden *golden, const hm_safetensors_entry *entry, const hm_tap_value *ours, hm_golden_diff *diff,
                            hm_error *err);

/* The same for values told as rows: ours are rows of their last dimension, the first of them row batch_row * (rows per batch row) of the
 * golden one. The golden tensor may hold fewer rows, and the first columns of each alone. */
hm_status hm_golden_compare_rows(hm_golden *golden, const hm_safetensors_entry *entry, const hm_tap_value *ours, hm_golden_diff *diff,
                                 hm_error *err);

#endif
