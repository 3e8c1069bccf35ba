#include "harness/engine_open.h"

#include <string.h>

const char *const hm_isa_choices[] = {"scalar", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "neon", NULL};
const char *const hm_backend_choices[] = {"cpu", "ze", "cuda", NULL};

const char *hm_backend_choice(const char *name, hm_error *err)
{
    char near[HM_SUGGESTION], names[64] = "";
    for (int i = 0; hm_backend_choices[i]; i++)
        if (!strcmp(name, hm_backend_choices[i]))
            return hm_backend_choices[i];
    for (int i = 0; hm_backend_choices[i]; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", hm_backend_choices[i]);
    hm_fail(err, HM_EUSAGE, "--backend \"%.40s\": expected one of %s%s", name, names, hm_did_you_mean(near, name, hm_backend_choices));
    return NULL;
}

unsigned hm_backend_bit(const char *backend)
{
    return !strcmp(backend, "cpu")    ? HM_BACKEND_CPU
           : !strcmp(backend, "ze")   ? HM_BACKEND_ZE
           : !strcmp(backend, "cuda") ? HM_BACKEND_CUDA
                                      : 0;
}

hm_status hm_device_alone(const char *device, hm_error *err)
{
    return hm_fail(err, HM_EUSAGE, "--device %.60s: the CPU is one device; name a backend with several, as in --backend ze", device);
}

hm_status hm_engine_choice_settle(hm_engine_choice *choice, hm_error *err)
{
    if (choice->device && (!choice->backend || !strcmp(choice->backend, "cpu")))
        return hm_device_alone(choice->device, err);
    return hm_precision_apply(&choice->precision, &choice->variant, err);
}

hm_engine_options hm_engine_options_of(const hm_engine_choice *choice, const hm_module *module, const char *path)
{
    return (hm_engine_options){
        .source = {.dir = path},
        .backend = choice->backend,
        .device = choice->device,
        .timestamps = choice->timestamps,
        .threads = (int)choice->threads,
        .isa = choice->isa,
        .toggles = hm_module_option(module),
        .need_lm = choice->need_lm,
        .need_codec = choice->need_codec,
        .need_encoders = choice->need_encoders,
        .need_transcriber = choice->need_transcriber,
        .local_split = choice->local_split,
        .probe = choice->probe,
        .log = choice->log,
    };
}

/* Where packed weights are kept; NULL without a cache, so that they stay in memory. */
static const char *pack_folder(char path[HM_MODEL_PATH])
{
    if (hm_cache_packs(path, HM_MODEL_PATH, NULL))
        return NULL;
    hm_make_folders(path, NULL); /* the engine says what comes of a folder that cannot be written */
    return path;
}

const char *hm_compiled_folder(char path[HM_MODEL_PATH])
{
    return hm_cache_compiled(path, HM_MODEL_PATH, NULL) || hm_make_folders(path, NULL) ? NULL : path;
}

hm_status hm_engine_open_chosen(hm_engine_opened *out, const hm_engine_choice *choice, hm_error *err)
{
    hm_engine_opened o = {.model = choice->model ? choice->model : HM_MODEL_DEFAULT};
    hm_engine_options options;
    char packs[HM_MODEL_PATH], compiled[HM_MODEL_PATH];
    hm_status st = hm_module_open(&o.module, choice->variant, err);
    if (!st)
        st = hm_model_resolve(choice->model, o.path, &o.synthetic, err);
    if (st)
        goto fail;
    o.api = hm_module_api(o.module);
    options = hm_engine_options_of(choice, o.module, o.path);
    options.pack_dir = pack_folder(packs);
    options.driver_cache = hm_compiled_folder(compiled);
    st = hm_nvtx_open(&o.nvtx, choice->probe, err);
    if (st)
        goto fail;
    if (o.nvtx)
        options.probe = hm_nvtx_probe(o.nvtx);
    st = o.api->open(&o.engine, &options, err);
    if (st)
        goto fail;
    o.facts = o.api->facts(o.engine);
    o.synthetic = o.synthetic || o.facts->synthetic;
    *out = o;
    return HM_OK;
fail:
    hm_engine_close_chosen(&o);
    return st;
}

void hm_engine_close_chosen(hm_engine_opened *opened)
{
    if (opened->engine)
        opened->api->close(&opened->engine);
    hm_nvtx_close(&opened->nvtx);
    hm_module_close(&opened->module);
    memset(opened, 0, sizeof *opened);
}
