/* Weights of a part of a model: what a pass reads of them, in which format, how often. */
#ifndef HM_ENGINE_BASE_PART_H
#define HM_ENGINE_BASE_PART_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define HM_PARTS 8
#define HM_PART_FORMAT 16

typedef struct hm_part_weights {
    const char *part;            /* backbone, decoder, heads, dit, codec: as the toggles precision_* call it; static text */
    const char *span;            /* within which it is read: "backbone", "talker_step", "flow" ... */
    char format[HM_PART_FORMAT]; /* of most of its weights: "bf16"; "f32+int8" where others have another one */
    uint64_t pass_bytes;         /* one pass reads */
    uint64_t distinct_bytes;     /* all its passes read, each weight once: what a cache would have to hold */
    double frame_passes;         /* per frame of audio; 0: not known */
} hm_part_weights;

typedef struct hm_parts {
    hm_part_weights items[HM_PARTS];
    int count;
} hm_parts;

/* Whether products with weights of a format, as hm_part_weights has it, may be of 8-bit integers, whose limit is another one: those of
 * hm_format_quantised, alone or beside others. */
static inline bool hm_part_of_integers(const char *format)
{
    return strstr(format, "int8") || strstr(format, "int4") || strstr(format, "fp4");
}

/* Whether a part is at work while codes become sound; the others draw them. */
static inline bool hm_part_decodes(const char *part)
{
    return !strcmp(part, "dit") || !strcmp(part, "codec");
}

/* Parts without weights, and those beyond HM_PARTS, are left out. */
static inline void hm_parts_add(hm_parts *p, const hm_part_weights *part)
{
    if (p->count < HM_PARTS && part->pass_bytes)
        p->items[p->count++] = *part;
}

#endif
