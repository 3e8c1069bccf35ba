/* What a module exports: the engine as one table. */
#include <stdlib.h>

#include "engine/session/session.h"

#ifdef HM_FIXED_VARIANT
#define FIXED true
#else
#define FIXED false
#endif

static const hm_engine_facts *facts(const hm_engine *engine)
{
    return &engine->facts;
}

__attribute__((visibility("default"))) const hm_engine_api hm_engine_module = {
    .abi = HM_ENGINE_ABI,
    .variant = HM_VARIANT_NAME,
    .fixed = FIXED,
#ifdef HM_FIXED_VARIANT
#define HM_VARIANT(name, title, what, ...) .toggles = {__VA_ARGS__},
#include HM_VARIANT_ROW
#undef HM_VARIANT
#endif
    .open = hm_session_open,
    .close = hm_session_close,
    .facts = facts,
    .generate = hm_session_generate,
    .generate_many = hm_session_generate_many,
    .decode = hm_session_decode,
    .result_free = hm_session_result_free,
    .estimate = hm_session_estimate,
    .check = hm_session_check,
};
