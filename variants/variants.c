#include "variants/variants.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/words.h"
#include "variants/best.h"

#define MODEL_HEARTMULA HM_MODEL_HEARTMULA
#define MODEL_QWEN3_TTS HM_MODEL_QWEN3_TTS
#define MODEL_WHISPER HM_MODEL_WHISPER
#define BACKEND_CPU HM_BACKEND_CPU
#define BACKEND_GPU (HM_BACKEND_ZE | HM_BACKEND_CUDA)
#define BACKEND_ALL (HM_BACKEND_CPU | BACKEND_GPU)
#define BITWISE HM_KIND_BITWISE
#define ROUNDING HM_KIND_ROUNDING
#define APPROX HM_KIND_APPROX

#define HM_REQUIRES(field, value, other, other_value, why)
#define HM_REQUIRES_NOT(field, value, other, barred, other_value, why)
static const hm_toggle_info toggles[] = {
#define HM_TOGGLE(field, kind, models, backends, counter, names, text, ...) \
    {#field, kind, models, backends, #counter, names, text, offsetof(hm_toggles, field)},
#include "variants/toggles.def"
#undef HM_TOGGLE
};
#undef HM_REQUIRES
#undef HM_REQUIRES_NOT

static const hm_variant_info variants[] = {
#define HM_VARIANT(identifier, name, text, ...) {name, text, {__VA_ARGS__}},
#include "variants/variants.def"
#undef HM_VARIANT
};

#define TOGGLES ((int)(sizeof toggles / sizeof *toggles))
#define VARIANTS ((int)(sizeof variants / sizeof *variants))

static const struct requirement {
    size_t offset;
    int value;
    size_t other_offset;
    int other_value;
    int barred; /* -1: all but other_value */
    const char *why;
} requirements[] = {
#define HM_TOGGLE(field, kind, models, backends, counter, names, text, ...)
#define HM_REQUIRES(field, value, other, other_value, why) \
    {offsetof(hm_toggles, field), value, offsetof(hm_toggles, other), other_value, -1, why},
#define HM_REQUIRES_NOT(field, value, other, barred, other_value, why) \
    {offsetof(hm_toggles, field), value, offsetof(hm_toggles, other), other_value, barred, why},
#include "variants/toggles.def"
#undef HM_TOGGLE
#undef HM_REQUIRES
#undef HM_REQUIRES_NOT
};

const hm_toggle_info *hm_toggle_list(int *count)
{
    *count = TOGGLES;
    return toggles;
}

const hm_variant_info *hm_variant_list(int *count)
{
    *count = VARIANTS;
    return variants;
}

const hm_variant_info *hm_variant_find(const char *name)
{
    for (int i = 0; i < VARIANTS; i++)
        if (!strcmp(name, variants[i].name))
            return &variants[i];
    return NULL;
}

static const hm_toggle_info *toggle_at(size_t offset)
{
    for (int i = 0; i < TOGGLES; i++)
        if (toggles[i].offset == offset)
            return &toggles[i];
    return NULL;
}

int hm_toggle_values(const hm_toggle_info *toggle)
{
    int n = 1;
    for (const char *p = toggle->names; *p; p++)
        n += *p == ',';
    return n;
}

void hm_toggle_value_name(const hm_toggle_info *toggle, int value, char *out, size_t size)
{
    const char *p = toggle->names;
    for (; value > 0 && p; value--)
        if ((p = strchr(p, ',')))
            p++;
    snprintf(out, size, "%.*s", p ? (int)strcspn(p, ",") : 0, p ? p : "");
}

const char *hm_toggle_suggest(char out[HM_SUGGESTION], const hm_toggle_info *toggle, const char *word)
{
    enum {
        MOST = 16
    };
    char values[MOST][64];
    const char *names[MOST + 1] = {0};
    for (int i = 0; i < hm_toggle_values(toggle) && i < MOST; i++) {
        hm_toggle_value_name(toggle, i, values[i], sizeof values[i]);
        names[i] = values[i];
    }
    return hm_did_you_mean(out, word, names);
}

int hm_toggle_get(const hm_toggles *set, const hm_toggle_info *toggle)
{
    return ((const uint8_t *)set)[toggle->offset];
}

const char *hm_toggle_kind_name(hm_toggle_kind kind)
{
    return kind == HM_KIND_BITWISE ? "bitwise" : kind == HM_KIND_ROUNDING ? "rounding" : "approx";
}

/* Index of the value called text[0..length), -1 when there is none. */
static int value_index(const hm_toggle_info *toggle, const char *text, size_t length)
{
    char name[64];
    for (int i = 0, n = hm_toggle_values(toggle); i < n; i++) {
        hm_toggle_value_name(toggle, i, name, sizeof name);
        if (strlen(name) == length && !strncmp(name, text, length))
            return i;
    }
    return -1;
}

static hm_status unknown_variant(const char *name, hm_error *err)
{
    const char *names[VARIANTS + 2] = {"custom"};
    char near[HM_SUGGESTION];
    for (int i = 0; i < VARIANTS; i++)
        names[i + 1] = variants[i].name;
    return hm_fail(err, HM_EUSAGE, "variant \"%s\": unknown%s (hmbench list variants)", name, hm_did_you_mean(near, name, names));
}

static hm_status unknown_toggle(const char *name, hm_error *err)
{
    const char *names[TOGGLES + 1] = {0};
    char near[HM_SUGGESTION];
    for (int i = 0; i < TOGGLES; i++)
        names[i] = toggles[i].name;
    return hm_fail(err, HM_EUSAGE, "toggle \"%s\": unknown%s (hmbench list toggles)", name, hm_did_you_mean(near, name, names));
}

static hm_status unknown_value(const hm_toggle_info *toggle, const char *text, size_t length, hm_error *err)
{
    char word[HM_WORD_MAX + 2], near[HM_SUGGESTION];
    snprintf(word, sizeof word, "%.*s", length > HM_WORD_MAX ? HM_WORD_MAX + 1 : (int)length, text);
    return hm_fail(err, HM_EUSAGE, "toggle %s: no value \"%s\"%s (one of %s)", toggle->name, word, hm_toggle_suggest(near, toggle, word),
                   toggle->names);
}

/* One "toggle=value" of length bytes. */
static hm_status parse_setting(const char *text, size_t length, hm_toggles *out, hm_error *err)
{
    const char *equals = memchr(text, '=', length);
    if (!equals)
        return hm_fail(err, HM_EUSAGE, "variant: \"%.*s\": expected toggle=value", (int)length, text);
    char name[65];
    snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
    const hm_toggle_info *toggle = NULL;
    for (int i = 0; i < TOGGLES; i++)
        if (!strcmp(name, toggles[i].name))
            toggle = &toggles[i];
    if (!toggle)
        return unknown_toggle(name, err);
    size_t value_length = length - (size_t)(equals + 1 - text);
    int value = value_index(toggle, equals + 1, value_length);
    if (value < 0)
        return unknown_value(toggle, equals + 1, value_length, err);
    ((uint8_t *)out)[toggle->offset] = (uint8_t)value;
    return HM_OK;
}

hm_status hm_toggles_check(const hm_toggles *set, hm_error *err)
{
    const uint8_t *bytes = (const uint8_t *)set;
    for (size_t i = 0; i < sizeof requirements / sizeof *requirements; i++) {
        const struct requirement *r = &requirements[i];
        int other = bytes[r->other_offset];
        if (bytes[r->offset] != r->value || (r->barred < 0 ? other == r->other_value : other != r->barred))
            continue;
        const hm_toggle_info *a = toggle_at(r->offset), *b = toggle_at(r->other_offset);
        char value[64], wanted[64], found[64];
        hm_toggle_value_name(a, r->value, value, sizeof value);
        hm_toggle_value_name(b, r->other_value, wanted, sizeof wanted);
        hm_toggle_value_name(b, other, found, sizeof found);
        return hm_fail(err, HM_EUSAGE, "%s=%s needs %s=%s, found %s=%s: %s", a->name, value, b->name, wanted, b->name, found, r->why);
    }
    return HM_OK;
}

hm_status hm_variant_parse(const char *text, hm_toggles *out, const hm_variant_info **fixed, hm_error *err)
{
    size_t name_length = strcspn(text, ":");
    char name[65];
    hm_toggles set = {0};
    snprintf(name, sizeof name, "%.*s", (int)name_length, text);
    if (name_length > 64)
        return hm_fail(err, HM_EUSAGE, "variant: the name \"%s...\" is too long (hmbench list variants)", name);
    const hm_variant_info *info = hm_variant_find(name);
    if (info)
        set = info->toggles;
    else if (strcmp(name, "custom"))
        return unknown_variant(name, err);
    for (const char *p = text + name_length; *p && strcmp(p, ":");) { /* "best:" is best in the runtime build */
        p++;
        size_t length = strcspn(p, ",");
        hm_status st = parse_setting(p, length, &set, err);
        if (st)
            return st;
        p += length;
    }
    hm_status st = hm_toggles_check(&set, err);
    if (st)
        return st;
    *out = set;
    if (fixed)
        *fixed = text[name_length] ? NULL : info;
    return HM_OK;
}

hm_status hm_toggles_parse(const char *settings, hm_toggles *out, hm_error *err)
{
    char text[2 * HM_VARIANT_SPEC];
    if (!settings)
        return hm_fail(err, HM_EFORMAT, "toggles: there are none: it is another program");
    int length = snprintf(text, sizeof text, "custom%s%s", *settings ? ":" : "", settings);
    return (size_t)length < sizeof text
               ? hm_variant_parse(text, out, NULL, err)
               : hm_fail(err, HM_EFORMAT, "toggles: expected at most %zu letters, found %d", sizeof text - 1, length);
}

void hm_toggles_print(const hm_toggles *set, char *out, size_t size)
{
    for (int i = 0; i < VARIANTS; i++)
        if (!memcmp(set, &variants[i].toggles, sizeof *set)) {
            snprintf(out, size, "%s", variants[i].name);
            return;
        }
    size_t used = (size_t)snprintf(out, size, "custom");
    char separator = ':';
    for (int i = 0; i < TOGGLES && used < size; i++) {
        int value = hm_toggle_get(set, &toggles[i]);
        char name[64];
        if (!value)
            continue;
        hm_toggle_value_name(&toggles[i], value, name, sizeof name);
        used += (size_t)snprintf(out + used, size - used, "%c%s=%s", separator, toggles[i].name, name);
        separator = ',';
    }
}

hm_toggle_kind hm_toggles_distance(const hm_toggles *a, const hm_toggles *b)
{
    hm_toggle_kind kind = HM_KIND_BITWISE;
    for (int i = 0; i < TOGGLES; i++)
        if (hm_toggle_get(a, &toggles[i]) != hm_toggle_get(b, &toggles[i]) && toggles[i].kind > kind)
            kind = toggles[i].kind;
    return kind;
}
