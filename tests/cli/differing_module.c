/* An engine module that is wrong on purpose: the real one of variant best, at $HM_REAL_MODULE, but that songs side by side get another seed.
 * For the test that batch finds such a thing. */
#include <dlfcn.h>
#include <stdlib.h>

#include "engine/hm_engine.h"
#include "variants/best.h"

/* Only after open, which fails without it. */
static const hm_engine_api *real(void)
{
    const char *path = getenv("HM_REAL_MODULE");
    void *handle = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL; /* stays loaded */
    return handle ? dlsym(handle, HM_ENGINE_SYMBOL) : NULL;
}

static hm_status open_real(hm_engine **out, const hm_engine_options *options, hm_error *err)
{
    return real() ? real()->open(out, options, err) : HM_EABSENT;
}

static void close_real(hm_engine **engine)
{
    real()->close(engine);
}

static const hm_engine_facts *facts(const hm_engine *engine)
{
    return real()->facts(engine);
}

static hm_status generate(hm_engine *engine, const hm_request *request, hm_result *result, hm_error *err)
{
    return real()->generate(engine, request, result, err);
}

static hm_status generate_many(hm_engine *engine, hm_many *many, hm_error *err)
{
    ((hm_request *)many->requests)[many->count - 1].seed++;
    return real()->generate_many(engine, many, err);
}

static void result_free(hm_result *result)
{
    real()->result_free(result);
}

__attribute__((visibility("default"))) const hm_engine_api hm_engine_module = {
    .abi = HM_ENGINE_ABI,
    .variant = "best",
    .fixed = true,
    .toggles = {HM_BEST},
    .open = open_real,
    .close = close_real,
    .facts = facts,
    .generate = generate,
    .generate_many = generate_many,
    .result_free = result_free,
};
