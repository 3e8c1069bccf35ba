/* Engines on small synthetic models: what the tests of variants and sessions share. A case that cannot start fails the test. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_ENGINE_CASE_H
#define HM_TESTS_ENGINE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/hm_engine.h"
#include "engine/preset.h"
#include "harness/module.h"
#include "tests/mutate.h"
#include "variants/best.h"

#define CASE_CODEBOOKS 8

/* --- models --- */

static inline int case_remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void case_remove(const char *dir)
{
    nftw(dir, case_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The preset's folder, made at `dir`, which is a template for mkdtemp. */
static inline void case_model(char *dir, const char *preset)
{
    hm_error err = {0};
    if (!mkdtemp(dir) || hm_preset_write(hm_preset_find(preset), dir, 1, NULL, NULL, &err))
        fail_msg("%s: %s", dir, err.text);
}

static inline json_t *case_manifest(const char *preset, hm_preset_part part)
{
    json_t *manifest = NULL;
    hm_error err = {0};
    if (hm_preset_manifest(&manifest, hm_preset_find(preset), part, &err))
        fail_msg("%s", err.text);
    return manifest;
}

/* --- toggles --- */

typedef struct case_requirement {
    size_t field; /* offsets of bytes of hm_toggles */
    int value;
    size_t other;
    int other_value;
    int barred; /* -1: all but other_value */
} case_requirement;

static const case_requirement case_requirements[] = {
#define HM_TOGGLE(field, kind, models, backends, counter, names, text, ...)
#define HM_REQUIRES(field, value, other, other_value, why) \
    {offsetof(hm_toggles, field), value, offsetof(hm_toggles, other), other_value, -1},
#define HM_REQUIRES_NOT(field, value, other, barred, other_value, why) \
    {offsetof(hm_toggles, field), value, offsetof(hm_toggles, other), other_value, barred},
#include "variants/toggles.def"
#undef HM_TOGGLE
#undef HM_REQUIRES
#undef HM_REQUIRES_NOT
};
enum {
    CASE_REQUIREMENTS = sizeof case_requirements / sizeof *case_requirements
};

static inline uint8_t *case_toggle(hm_toggles *t, size_t offset)
{
    return (uint8_t *)t + offset;
}

static inline bool case_unmet(hm_toggles *t, const case_requirement *r)
{
    int other = *case_toggle(t, r->other);
    return *case_toggle(t, r->field) == r->value && (r->barred < 0 ? other != r->other_value : other == r->barred);
}

/* Gives every toggle that t's values need the value they need. */
static inline void case_satisfy(hm_toggles *t)
{
    for (int round = 0; round < CASE_REQUIREMENTS; round++)
        for (int i = 0; i < CASE_REQUIREMENTS; i++) {
            const case_requirement *r = &case_requirements[i];
            if (case_unmet(t, r))
                *case_toggle(t, r->other) = (uint8_t)r->other_value;
        }
}

/* Puts back to 0 every toggle whose value needs what t no longer has. */
static inline void case_withdraw(hm_toggles *t)
{
    for (int round = 0; round < CASE_REQUIREMENTS; round++)
        for (int i = 0; i < CASE_REQUIREMENTS; i++) {
            const case_requirement *r = &case_requirements[i];
            if (case_unmet(t, r))
                *case_toggle(t, r->field) = 0;
        }
}

static const hm_toggles case_best = {HM_BEST}, case_naive = {0};

/* Naive with one value of a toggle, and what that value needs. */
static inline hm_toggles case_only(const hm_toggle_info *toggle, int value)
{
    hm_toggles t = case_naive;
    *case_toggle(&t, toggle->offset) = (uint8_t)value;
    case_satisfy(&t);
    return t;
}

/* Best without a toggle and those that need it; and what that is to be compared with: best, where what is then no longer bitwise the same
 * is as it is without. */
static inline void case_take_away(const hm_toggle_info *toggle, hm_toggles *with, hm_toggles *without)
{
    int count;
    const hm_toggle_info *list = hm_toggle_list(&count);
    *with = *without = case_best;
    *case_toggle(without, toggle->offset) = 0;
    case_withdraw(without);
    for (int i = 0; i < count; i++)
        if (list[i].kind != HM_KIND_BITWISE)
            *case_toggle(with, list[i].offset) = *case_toggle(without, list[i].offset);
}

/* --- engines --- */

/* The runtime build, opened once and for all. */
static inline const hm_engine_api *case_runtime(void)
{
    static hm_module *module;
    hm_error err = {0};
    if (!module && hm_module_open(&module, "custom", &err))
        fail_msg("%s", err.text);
    return hm_module_api(module);
}

static inline hm_engine *case_open(const hm_engine_api *api, const hm_engine_options *options)
{
    hm_engine *engine = NULL;
    hm_error err = {0};
    if (api->open(&engine, options, &err))
        fail_msg("open: %s", err.text);
    return engine;
}

static inline hm_result case_generate(const hm_engine_api *api, hm_engine *engine, const hm_request *request)
{
    hm_result result = {0};
    hm_error err = {0};
    if (api->generate(engine, request, &result, &err))
        fail_msg("generate: %s", err.text);
    return result;
}

static inline hm_result case_decode(const hm_engine_api *api, hm_engine *engine, const int32_t *codes, int frames,
                                    const hm_request *request)
{
    hm_result result = {0};
    hm_error err = {0};
    if (api->decode(engine, codes, frames, request, &result, &err))
        fail_msg("decode: %s", err.text);
    return result;
}

/* One sentence with the status; and all the text given. */
static inline void case_expect_error(hm_status found, const hm_error *err, hm_status expected, const char *text)
{
    if (found != expected || !hm_mutate_sentence_ok(expected, err) || !strstr(err->text, text))
        fail_msg("expected %s and \"%s\"; found %s: %s", hm_status_name(expected), text, hm_status_name(found), err->text);
}

/* Codes that any codec of the presets has, the same in every run. free(). */
static inline int32_t *case_codes(int frames, int below)
{
    uint64_t state = 12345;
    int32_t *codes = malloc((size_t)frames * CASE_CODEBOOKS * sizeof *codes);
    assert_non_null(codes);
    for (int i = 0; i < frames * CASE_CODEBOOKS; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        codes[i] = (int32_t)((state >> 33) % (uint64_t)below);
    }
    return codes;
}

#endif
