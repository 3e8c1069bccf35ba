/* Toggles: named choices of how to compute. A zeroed struct is the variant `naive`. */
#ifndef HM_VARIANTS_TOGGLES_H
#define HM_VARIANTS_TOGGLES_H

#include <stdint.h>

#define HM_REQUIRES(field, value, other, other_value, why)
#define HM_REQUIRES_NOT(field, value, other, barred, other_value, why)

#define HM_TOGGLE(field, kind, models, backends, counter, names, text, ...) \
    enum {                                                                  \
        __VA_ARGS__                                                         \
    };
#include "variants/toggles.def"
#undef HM_TOGGLE

typedef struct hm_toggles {
#define HM_TOGGLE(field, kind, models, backends, counter, names, text, ...) uint8_t field;
#include "variants/toggles.def"
#undef HM_TOGGLE
} hm_toggles;

#undef HM_REQUIRES
#undef HM_REQUIRES_NOT

#define HM_CAT_(a, b) a##b
#define HM_CAT(a, b) HM_CAT_(a, b)

/* hm_t(ctx): the toggles in force. In a fixed build a constant that the compiler folds; in the runtime build ctx->toggles. */
#ifdef HM_FIXED_VARIANT
#define HM_VARIANT(name, title, what, ...) __attribute__((unused)) static const hm_toggles hm_fixed_##name = {__VA_ARGS__};
#include HM_VARIANT_ROW
#undef HM_VARIANT
#define hm_t(ctx) ((void)(ctx), &HM_CAT(hm_fixed_, HM_FIXED_VARIANT))
#else
#define hm_t(ctx) (&(ctx)->toggles)
#endif

#endif
