#define _GNU_SOURCE
#include "harness/env_profile.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/words.h"

#define FORK "HeartMuLa XPU guide, variables of run_optimized.sh"
#define SPEC "Level Zero specification, environment variables"
#define LOADER "Level Zero loader, README"
#define NEO "Intel compute-runtime, programmers guide: compiler cache"

const char *const hm_env_profiles[] = {"none", "xpu-launcher", "level-zero", "validate", NULL};

static const char *const texts[] = {
    "nothing is set",
    "what the launcher of the XPU fork sets, for arms that are such programs: our engine reads none of it",
    "one device per tile, numbered by their slot, and programs kept by Intel's driver, whatever its defaults are",
    "every Level Zero call is checked by the loader's layer: right for tests, wrong for timing",
};

const hm_env_variable hm_env_variables[] = {
    {"xpu-launcher", "SYCL_PI_LEVEL_ZERO_USE_IMMEDIATE_COMMANDLISTS", "1",
     "SYCL runtimes; the engine uses immediate lists, or recorded ones (launch)", FORK},
    {"xpu-launcher", "SYCL_CACHE_PERSISTENT", "1", "SYCL runtimes; the engine keeps its compiled modules in the cache folder", FORK},
    {"xpu-launcher", "SYCL_PI_LEVEL_ZERO_USE_COPY_ENGINE", "1", "SYCL runtimes; the engine copies in the order of its kernels", FORK},
    {"xpu-launcher", "IPEX_XPU_ONEDNN_LAYOUT_OPT", "1",
     "PyTorch with oneDNN (the guide writes \"Native PyTorch XPU_XPU_ONEDNN_LAYOUT_OPT\", which no program can be given); here panels=packed",
     FORK},
    {"xpu-launcher", "OMP_NUM_THREADS", "8", "OpenMP; here --threads 8", FORK},
    {"xpu-launcher", "MKL_NUM_THREADS", "8", "MKL; here --threads 8", FORK},
    {"level-zero", "ZE_FLAT_DEVICE_HIERARCHY", "FLAT", "Level Zero drivers: a tile is a device", SPEC},
    {"level-zero", "ZE_ENABLE_PCI_ID_DEVICE_ORDER", "1", "Level Zero drivers: device 0 stays device 0", SPEC},
    {"level-zero", "NEO_CACHE_PERSISTENT", "1", "Intel's driver: what it compiles is kept", NEO},
    {"validate", "ZE_ENABLE_VALIDATION_LAYER", "1", "the Level Zero loader", LOADER},
    {"validate", "ZE_ENABLE_PARAMETER_VALIDATION", "1", "its validation layer", LOADER},
    {"validate", "ZE_ENABLE_HANDLE_LIFETIME", "1", "its validation layer", LOADER},
    {NULL, NULL, NULL, NULL, NULL},
};

/* Others that change what a device does or which one is seen, when the user has set them. */
static const char *const others[] = {"ZE_AFFINITY_MASK",
                                     "ZE_ENABLE_ALT_DRIVERS",
                                     "ZE_ENABLE_TRACING_LAYER",
                                     "ZES_ENABLE_SYSMAN",
                                     "NEO_CACHE_DIR",
                                     "ONEAPI_DEVICE_SELECTOR",
                                     "UR_L0_USE_IMMEDIATE_COMMANDLISTS",
                                     "POCL_DEVICES",
                                     "POCL_MAX_PTHREAD_COUNT",
                                     "CUDA_VISIBLE_DEVICES",
                                     "CUDA_LAUNCH_BLOCKING",
                                     "LD_PRELOAD",
                                     NULL};

static bool is_none(const char *profile)
{
    return !profile || !*profile || !strcmp(profile, hm_env_profiles[0]);
}

const char *hm_env_profile_text(const char *profile)
{
    for (int i = 0; hm_env_profiles[i]; i++)
        if (!strcmp(hm_env_profiles[i], profile))
            return texts[i];
    return "";
}

hm_status hm_env_profile_check(const char *profile, hm_error *err)
{
    char near[HM_SUGGESTION];
    if (is_none(profile) || *hm_env_profile_text(profile))
        return HM_OK;
    return hm_fail(err, HM_EUSAGE, "--env-profile \"%.60s\": no profile has this name%s (hmbench list env-profiles)", profile,
                   hm_did_you_mean(near, profile, hm_env_profiles));
}

int hm_env_profile_words(const char *profile, const char *out[HM_ENV_MOST + 1], char room[HM_ENV_TEXT])
{
    int n = 0;
    size_t used = 0;
    for (const hm_env_variable *v = hm_env_variables; v->name && !is_none(profile) && n < HM_ENV_MOST; v++) {
        size_t size = strlen(v->name) + strlen(v->value) + 2;
        if (strcmp(v->profile, profile) || used + size > HM_ENV_TEXT)
            continue;
        out[n++] = room + used;
        used += (size_t)sprintf(room + used, "%s=%s", v->name, v->value) + 1;
    }
    out[n] = NULL;
    return n;
}

/* A line of values: blanks within one would make another variable of it. */
static size_t add(char *out, size_t size, size_t used, const char *name, const char *value)
{
    if (used >= size)
        return used;
    int n = snprintf(out + used, size - used, "%s%s=", used ? " " : "", name);
    used += (size_t)n;
    for (; *value && used + 1 < size; value++)
        out[used++] = *value > ' ' && *value < 127 ? *value : '_';
    if (used < size)
        out[used] = 0;
    return used;
}

const char *hm_env_text(const char *profile, char *out, size_t size)
{
    size_t used = 0;
    *out = 0;
    for (const hm_env_variable *v = hm_env_variables; v->name; v++) {
        const char *said = getenv(v->name);
        bool ours = !is_none(profile) && !strcmp(v->profile, profile);
        if (ours || said)
            used = add(out, size, used, v->name, ours ? v->value : said);
    }
    for (int i = 0; others[i]; i++)
        if (getenv(others[i]))
            used = add(out, size, used, others[i], getenv(others[i]));
    return out;
}
