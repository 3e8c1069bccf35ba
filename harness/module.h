/* Engine modules: one shared object per variant, and `custom`, the runtime build that takes any toggles. */
#ifndef HM_HARNESS_MODULE_H
#define HM_HARNESS_MODULE_H

#include "engine/hm_engine.h"
#include "variants/variants.h"

typedef struct hm_module hm_module;

/* Opens the module of `variant` ("best", "best:attn=scores", "custom:..."): the fixed build of a named variant, the runtime build
 * (custom.so) of any other set. Looked for in $HMBENCH_MODULES, then in variants/, ../variants/ and ../lib/hmbench/variants/ of the
 * program's folder. HM_EUSAGE: no such variant, or an impossible set. HM_EABSENT: not built (says how). Never another module. */
hm_status hm_module_open(hm_module **out, const char *variant, hm_error *err);
void hm_module_close(hm_module **module);

/* Valid until hm_module_close. */
const hm_engine_api *hm_module_api(const hm_module *module);

/* What it computes with. */
const hm_toggles *hm_module_toggles(const hm_module *module);

/* For hm_engine_options.toggles: the toggles for the runtime build, NULL for a fixed one. */
const hm_toggles *hm_module_option(const hm_module *module);

/* Folder i of those looked in, into out; false after the last. */
bool hm_module_folder(int i, char *out, size_t size);

#endif
