#include "harness/precision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/plan.h"

const char *const hm_precision_parts[] = {"backbone", "decoder", "heads", "dit", "codec", "lm", "all", NULL};
const char *const hm_precision_formats[] = {"stored", "f32", "bf16", "f16", "int8", "int4", "fp4", "fp8", NULL};

enum {
    PACKED_FROM = 2, /* formats that only panels have */
    LM_PARTS = 3
};

static int index_of(const char *const *names, const char *word, size_t length)
{
    for (int i = 0; names[i]; i++)
        if (strlen(names[i]) == length && !strncmp(names[i], word, length))
            return i;
    return -1;
}

static hm_status unknown(const char *what, const char *word, size_t length, const char *const *names, hm_error *err)
{
    char found[HM_WORD_MAX + 2], near[HM_SUGGESTION], all[160] = "";
    snprintf(found, sizeof found, "%.*s", length > HM_WORD_MAX ? HM_WORD_MAX + 1 : (int)length, word);
    for (int i = 0; names[i]; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? ", " : "", names[i]);
    return hm_fail(err, HM_EUSAGE, "--precision: no %s \"%s\"%s (one of %s)", what, found, hm_did_you_mean(near, found, names), all);
}

/* One "part=format", or a format alone. */
static hm_status parse_one(const char *text, size_t length, int chosen[HM_PRECISION_PARTS], hm_error *err)
{
    const char *equals = memchr(text, '=', length);
    const char *word = equals ? equals + 1 : text;
    size_t part_length = equals ? (size_t)(equals - text) : 3, word_length = length - (size_t)(word - text);
    int part = index_of(hm_precision_parts, equals ? text : "all", part_length), format = index_of(hm_precision_formats, word, word_length);
    if (part < 0)
        return unknown("part", text, part_length, hm_precision_parts, err);
    if (format < 0)
        return unknown("format", word, word_length, hm_precision_formats, err);
    int first = part < HM_PRECISION_PARTS ? part : 0, last = part < HM_PRECISION_PARTS    ? part + 1
                                                             : part == HM_PRECISION_PARTS ? LM_PARTS
                                                                                          : HM_PRECISION_PARTS;
    for (int i = first; i < last; i++)
        chosen[i] = format;
    return HM_OK;
}

/* "panels=packed,precompute=once,precision_backbone=int8" */
static hm_status settings_of(const char *text, char *out, size_t size, hm_error *err)
{
    int chosen[HM_PRECISION_PARTS] = {-1, -1, -1, -1, -1};
    bool packed = false;
    for (const char *p = text; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        hm_status st = parse_one(p, strcspn(p, ","), chosen, err);
        if (st)
            return st;
    }
    for (int i = 0; i < HM_PRECISION_PARTS; i++)
        packed = packed || chosen[i] >= PACKED_FROM;
    snprintf(out, size, "%s", packed ? "panels=packed,precompute=once" : "");
    for (int i = 0; i < HM_PRECISION_PARTS; i++)
        if (chosen[i] >= 0)
            snprintf(out + strlen(out), size - strlen(out), "%sprecision_%s=%s", *out ? "," : "", hm_precision_parts[i],
                     hm_precision_formats[chosen[i]]);
    return HM_OK;
}

/* Writes a variant with its settings at *used of p->items. */
static hm_status add_variant(hm_precision *p, size_t *used, const char *variant, const char *settings, hm_error *err)
{
    size_t n = strlen(variant), room = sizeof p->items - *used;
    const char *joint = !strchr(variant, ':') ? ":" : variant[n - 1] == ':' ? "" : ",";
    int length = snprintf(p->items + *used, room, "%s%s%s", variant, joint, settings);
    if ((size_t)length >= room)
        return hm_fail(err, HM_EUSAGE, "--precision: the variants with their settings are longer than %zu bytes", sizeof p->items - 1);
    *used += (size_t)length;
    return HM_OK;
}

hm_status hm_precision_apply_each(hm_precision *p, hm_strings *variants, hm_error *err)
{
    char settings[400];
    size_t used = 0;
    hm_status st = p->text ? settings_of(p->text, settings, sizeof settings, err) : HM_OK;
    for (int i = 0; p->text && i < variants->count && !st; i++) {
        const char *at = p->items + used;
        st = add_variant(p, &used, variants->items[i], settings, err);
        variants->items[i] = at;
        used++; /* its NUL */
    }
    return st;
}

hm_status hm_precision_apply(hm_precision *p, const char **variant, hm_error *err)
{
    hm_strings one = {{*variant}, 1};
    hm_status st = hm_precision_apply_each(p, &one, err);
    *variant = one.items[0];
    return st;
}

hm_status hm_precision_apply_list(hm_precision *p, hm_strings *variants, const char *otherwise, hm_error *err)
{
    char settings[400];
    size_t used = 0;
    if (!p->text)
        return HM_OK;
    hm_status st = settings_of(p->text, settings, sizeof settings, err);
    if (!variants->count)
        *variants = (hm_strings){{otherwise}, 1};
    for (int i = 0; i < variants->count && !st; i++) {
        char *buffer = NULL;
        hm_strings pieces = {0};
        st = hm_plan_split(variants->items[i], &buffer, &pieces, err);
        for (int k = 0; k < pieces.count && !st; k++) {
            bool many = !strcmp(pieces.items[k], "all") || !strcmp(pieces.items[k], "none");
            st = many ? hm_fail(err, HM_EUSAGE, "--precision with --variant %s: name the variants that get it", pieces.items[k])
                      : add_variant(p, &used, pieces.items[k], settings, err);
            if (!st && used + 1 < sizeof p->items) {
                p->items[used++] = ',';
                p->items[used] = 0;
            }
        }
        free(buffer);
    }
    if (used)
        p->items[used - 1] = 0; /* the last comma */
    if (!st)
        *variants = (hm_strings){{p->items}, 1};
    return st;
}
