/* Weights in panels: the one layout that all instruction sets read at full speed, in every format.
 *
 * A panel is HM_PANEL_ROWS outputs side by side, so that a vector's lanes are outputs, a sum never crosses lanes, and the same bytes serve
 * 128-, 256- and 512-bit vectors. Panels follow each other; outputs beyond the last are zeros. Within a panel inputs come in stored order
 * (tap by tap for convolutions), each tap padded with zeros to a multiple of the format's unit, hm_panel_unit. Every panel begins at a
 * multiple of 64 bytes.
 *
 *   F32    [k][16] float32                              unit 1
 *   BF16   [k/2][16][2]: two inputs side by side        unit 2
 *   F16    [k][16]                                      unit 2 (keeps panels a multiple of 64 bytes)
 *   INT8   blocks of 64 inputs, 1088 bytes: int8 [16 quads][16 outputs][4 inputs], then float16 scales [2 groups][16 outputs]
 *   INT4   blocks of 64 inputs, 576 bytes: [8 quads][16 outputs][4 inputs] of a byte that holds the first group's value in its low and
 *          the second group's in its high nibble, then the scales. A nibble is the value + 8
 *   FP4    as INT4; a nibble is sign << 3 | magnitude of e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6
 *   FP8    [k/2][16][2] e4m3 (hm_e4m3_to_f32), never NaN; behind all inputs float32 scales [16]                unit 4
 *
 * A group is HM_PANEL_GROUP = 32 inputs of one output with one scale, w = scale * value. Scales are rounded to float16 before values are
 * chosen. INT8: scale = max|w| / 127, value = rint(w / scale) in -127 .. 127. INT4: value in -8 .. 7, FP4: e2m1; of a few scales around
 * the one that maps the largest weight onto the largest value, the one with the least squared error. A scale of INT4 may be negative; one
 * of 0 stands for a group of zeros.
 *
 * FP8: w = scale * value with one scale for all inputs of an output, the smallest power of two, from 2^-117 on, under which the largest
 * weight is at most 448. So a weight is exactly a bfloat16, and a sum over values times the scale is the sum over weights. */
#ifndef HM_ENGINE_PANEL_H
#define HM_ENGINE_PANEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/dtype.h"
#include "engine/base/team.h"

#define HM_PANEL_ROWS 16
#define HM_PANEL_GROUP 32 /* inputs that share a scale */
#define HM_PANEL_BLOCK 64 /* inputs of a block of the quantised formats */
#define HM_PANEL_INT8_BYTES 1088
#define HM_PANEL_INT4_BYTES 576
#define HM_PANEL_SCALE_BYTES 64 /* of an FP8 panel, at its end */

/* Of weights in a linear layer. ROWS: not in panels, as hm_linear.type says. */
typedef enum hm_format {
    HM_FORMAT_ROWS,
    HM_FORMAT_F32,
    HM_FORMAT_BF16,
    HM_FORMAT_F16,
    HM_FORMAT_INT8,
    HM_FORMAT_INT4,
    HM_FORMAT_FP4,
    HM_FORMAT_FP8,
    HM_FORMAT_COUNT
} hm_format;

/* Whether inputs are quantised as well, and meet blocks of weights. */
static inline bool hm_format_quantised(hm_format format)
{
    return format >= HM_FORMAT_INT8 && format <= HM_FORMAT_FP4;
}

/* Of 8 bits or fewer. */
static inline bool hm_format_coarse(hm_format format)
{
    return format >= HM_FORMAT_INT8;
}

/* "f32", "bf16", "f16", "int8", "int4", "fp4", "fp8"; "rows". Back: -1 when unknown. */
const char *hm_format_name(hm_format format);
int hm_format_parse(const char *name);
/* The panel format that keeps values of a stored type as they are; HM_FORMAT_ROWS: none does. */
hm_format hm_format_of(hm_dtype type);

/* Inputs of one tap, padded; all taps; bytes of a panel and of all of them. */
int hm_panel_unit(hm_format format);
int64_t hm_panel_depth(hm_format format, int in, int taps);
size_t hm_panel_bytes(hm_format format, int in, int taps);
size_t hm_panels_bytes(hm_format format, int out, int in, int taps);

/* Where weights to pack come from: rows [out][taps*in] of `type`, or [taps*in][out] when in_out. */
typedef struct hm_panel_source {
    const void *w;
    hm_dtype type;
    int out, in, taps;
    bool in_out;
} hm_panel_source;

/* Packs panels into dst (hm_panels_bytes, 64-byte aligned) on the team (NULL: this thread). The bytes do not depend on threads or on the
 * instruction set. Values that are not finite, or too large for the format: false, and *bad is the index (output*taps*in + input) of the first
 * one; nothing is meant by dst. */
bool hm_panels_pack(void *dst, hm_format format, const hm_panel_source *source, hm_team *team, int64_t *bad);
/* The float32 value of weight (output o, tap t, input i): exact for what the panel stands for. */
float hm_panel_value(const void *panels, hm_format format, int in, int taps, int o, int t, int i);

#endif
