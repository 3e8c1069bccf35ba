/* Toggles and variants as data: list them, look them up, parse what users type. */
#ifndef HM_VARIANTS_VARIANTS_H
#define HM_VARIANTS_VARIANTS_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"
#include "engine/base/model_kind.h"
#include "engine/base/words.h"
#include "variants/toggles.h"

typedef enum hm_toggle_kind {
    HM_KIND_BITWISE,
    HM_KIND_ROUNDING,
    HM_KIND_APPROX
} hm_toggle_kind;

enum {
    HM_BACKEND_CPU = 1,
    HM_BACKEND_ZE = 2,
    HM_BACKEND_CUDA = 4
}; /* bits */

typedef struct hm_toggle_info {
    const char *name;
    hm_toggle_kind kind;
    unsigned models, backends; /* bits of hm_model_kind; of HM_BACKEND_* */
    const char *counter;       /* name of the field of hm_counters that shows it at work */
    const char *names;         /* of the values, "concat,prealloc" */
    const char *text;          /* of the values, separated by " | " */
    size_t offset;             /* of its byte in hm_toggles */
} hm_toggle_info;

typedef struct hm_variant_info {
    const char *name; /* "alone-kv" */
    const char *text;
    hm_toggles toggles;
} hm_variant_info;

#define HM_VARIANT_SPEC 1024 /* bytes of a variant as text, all toggles named */

const hm_toggle_info *hm_toggle_list(int *count);
const hm_variant_info *hm_variant_list(int *count);
const hm_variant_info *hm_variant_find(const char *name); /* NULL when there is none */

/* Number of values of a toggle, the name of value i (copied into out), and the value in a set. */
int hm_toggle_values(const hm_toggle_info *toggle);
void hm_toggle_value_name(const hm_toggle_info *toggle, int value, char *out, size_t size);
/* hm_did_you_mean over the values' names. */
const char *hm_toggle_suggest(char out[HM_SUGGESTION], const hm_toggle_info *toggle, const char *word);
int hm_toggle_get(const hm_toggles *toggles, const hm_toggle_info *toggle);
const char *hm_toggle_kind_name(hm_toggle_kind kind);

/* "name", "name:toggle=value,toggle=value", "name:" (the same set in the runtime build) or "custom:toggle=value" (all others 0). *fixed is
 * the variant whose module is this very program, NULL when only the runtime build has it. Unknown names are HM_EUSAGE with the nearest; impossible sets too. */
hm_status hm_variant_parse(const char *text, hm_toggles *out, const hm_variant_info **fixed, hm_error *err);

/* Settings alone, as the database has them of an arm: "kv=prealloc,mask=none", all others 0. NULL (another program) is HM_EFORMAT. */
hm_status hm_toggles_parse(const char *settings, hm_toggles *out, hm_error *err);

/* HM_EUSAGE with the reason when the set is impossible. */
hm_status hm_toggles_check(const hm_toggles *toggles, hm_error *err);

/* The shortest text that hm_variant_parse turns into these toggles: a variant's name, or "custom:...". */
void hm_toggles_print(const hm_toggles *toggles, char *out, size_t size);

/* The coarsest kind among toggles in which a and b differ: BITWISE when they differ in none or bitwise ones only. */
hm_toggle_kind hm_toggles_distance(const hm_toggles *a, const hm_toggles *b);

#endif
