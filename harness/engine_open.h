/* From what users choose (variant, model, threads ...) to an open engine. */
#ifndef HM_HARNESS_ENGINE_OPEN_H
#define HM_HARNESS_ENGINE_OPEN_H

#include "harness/model.h"
#include "harness/module.h"
#include "harness/nvtx.h"
#include "harness/options.h"
#include "harness/precision.h"

typedef struct hm_engine_choice {
    const char *variant, *model, *backend, *isa; /* isa NULL: the best here; model NULL: HM_MODEL_DEFAULT */
    const char *device;                          /* of the backend: index or UUID; NULL: the first */
    bool timestamps;                             /* operations are timed on the device */
    int64_t threads;                             /* 0: all CPUs this process may use */
    bool need_lm, need_codec, need_encoders;
    bool need_transcriber; /* as in hm_engine_options */
    bool local_split;      /* as in hm_engine_options */
    const hm_probe *probe; /* must outlive the engine */
    const hm_log *log;
    hm_precision precision; /* of the variant, before hm_engine_choice_settle */
} hm_engine_choice;

/* After options are read: the variant gets its precision. Its text then lies in the choice. */
hm_status hm_engine_choice_settle(hm_engine_choice *choice, hm_error *err);

typedef struct hm_engine_opened {
    hm_module *module;
    const hm_engine_api *api;
    hm_engine *engine;
    hm_nvtx *nvtx; /* NULL: no profiler takes ranges */
    const hm_engine_facts *facts;
    char path[HM_MODEL_PATH];
    const char *model; /* as asked for, or the default's name */
    bool synthetic;
} hm_engine_opened;

/* HM_EUSAGE: variant, ISA; HM_EMISSING: model; and what opening the engine says. */
hm_status hm_engine_open_chosen(hm_engine_opened *out, const hm_engine_choice *choice, hm_error *err);
void hm_engine_close_chosen(hm_engine_opened *opened);

/* The same engine options, for estimates: module must be open, path resolved. */
hm_engine_options hm_engine_options_of(const hm_engine_choice *choice, const hm_module *module, const char *path);

/* Where drivers' compiled modules are kept; NULL: nowhere. */
const char *hm_compiled_folder(char path[HM_MODEL_PATH]);

extern const char *const hm_isa_choices[], *const hm_backend_choices[];
/* The name as the table has it; NULL: HM_EUSAGE with those there are. */
const char *hm_backend_choice(const char *name, hm_error *err);
/* HM_BACKEND_* of toggles; 0: another program. */
unsigned hm_backend_bit(const char *backend);
/* HM_EUSAGE: a device was asked for, and the backend has one only. */
hm_status hm_device_alone(const char *device, hm_error *err);

#define HM_DEVICE_OPTION(d)                                                                                        \
    {                                                                                                              \
        "device", 0, HM_OPT_STRING, d, "DEVICE",                                                                   \
            "which GPU of the backend: index or UUID, or enough of its beginning (default: the first)", 0, 0, NULL \
    }
/* For commands whose plan may have several. */
#define HM_PLAN_DEVICE_OPTIONS(p)                                                                                                     \
    {                                                                                                                                 \
        "backend", 0, HM_OPT_STRING, &(p)->backend, "LIST", "where to compute, as in cpu,ze (default: cpu; hmbench list devices)",    \
        0,         0, NULL},                                                                                                          \
    {                                                                                                                                 \
        "device", 0, HM_OPT_STRING, &(p)->device, "LIST", "which GPUs of the backend: index or UUID (default: the first)", 0, 0, NULL \
    }
/* For those whose arms are worker processes. */
#define HM_ENV_PROFILE_OPTION(p)                                                                                                          \
    {                                                                                                                                     \
        "env-profile", 0, HM_OPT_STRING, &(p)->env_profile, "LIST", "environment of the worker processes (hmbench list env-profiles)", 0, \
            0, NULL                                                                                                                       \
    }

/* Rows for option tables that fill an hm_engine_choice called `c`. */
#define HM_ENGINE_CHOICE_OPTIONS(c)                                                                                                        \
    {"variant", 'V', HM_OPT_STRING, &(c).variant, "NAME", "way of computing (hmbench list variants), with changes as in best:attn=scores", \
     0,         0,   NULL},                                                                                                                \
        HM_PRECISION_OPTION(&(c).precision),                                                                                               \
        {"model", 'm', HM_OPT_STRING, &(c).model, "DIR", "folder of weights, or a preset (hmbench list models)", 0, 0, NULL},              \
        {"backend", 0, HM_OPT_STRING, &(c).backend, "NAME", "where to compute", 0, 0, hm_backend_choices}, HM_DEVICE_OPTION(&(c).device),  \
        {"threads", 't', HM_OPT_INT, &(c).threads, "N", "threads; 0: all CPUs this process may use", 0, 1024, NULL},                       \
    {                                                                                                                                      \
        "isa", 0, HM_OPT_STRING, &(c).isa, "NAME", "instruction set at most (the best here if not given)", 0, 0, hm_isa_choices            \
    }

#endif
