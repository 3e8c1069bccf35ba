#include "harness/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hm_module {
    void *handle;
    const hm_engine_api *api;
    hm_toggles toggles;
    char path[PATH_MAX];
};

/* Folder of the running program, without a slash at its end; "." when the system does not say. */
static void program_folder(char *out, size_t size)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;
    if (n <= 0) {
        snprintf(out, size, ".");
        return;
    }
    path[n] = 0;
    slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    snprintf(out, size, "%s", path);
}

bool hm_module_folder(int i, char *out, size_t size)
{
    static const char *const below[] = {"variants", "../variants", "../lib/hmbench/variants"};
    const char *set = getenv("HMBENCH_MODULES");
    char program[PATH_MAX];
    if (set && *set && i-- == 0) {
        snprintf(out, size, "%s", set);
        return true;
    }
    if (i < 0 || i >= (int)(sizeof below / sizeof *below))
        return false;
    program_folder(program, sizeof program);
    snprintf(out, size, "%s/%s", program, below[i]);
    return true;
}

/* Path of NAME.so in the first folder that has it. */
static hm_status find_file(const char *name, char *out, size_t size, hm_error *err)
{
    char folder[PATH_MAX];
    for (int i = 0; hm_module_folder(i, folder, sizeof folder); i++)
        if ((size_t)snprintf(out, size, "%s/%s.so", folder, name) < size && !access(out, R_OK))
            return HM_OK;
    hm_module_folder(0, folder, sizeof folder);
    return hm_fail(err, HM_EABSENT,
                   "variant %s: its engine module %s.so is not built (looked in %s and beside the program); "
                   "build it with `cmake --build build --target module_%s`, or set HMBENCH_MODULES to its folder",
                   name, name, folder, name);
}

static hm_status load(hm_module *m, const char *name, hm_error *err)
{
    m->handle = dlopen(m->path, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle)
        return hm_fail(err, HM_EABSENT, "module %s cannot be loaded: %s", m->path, dlerror());
    m->api = dlsym(m->handle, HM_ENGINE_SYMBOL);
    if (!m->api)
        return hm_fail(err, HM_EABSENT, "module %s has no symbol %s: it is no engine module of hmbench", m->path, HM_ENGINE_SYMBOL);
    if (m->api->abi != HM_ENGINE_ABI)
        return hm_fail(err, HM_EABSENT, "module %s has interface %u, expected %u: build the variants again", m->path, (unsigned)m->api->abi,
                       HM_ENGINE_ABI);
    if (!m->api->variant || strcmp(m->api->variant, name))
        return hm_fail(err, HM_EABSENT, "module %s says it is variant \"%s\", expected \"%s\": build the variants again", m->path,
                       m->api->variant ? m->api->variant : "", name);
    if (m->api->fixed && memcmp(&m->api->toggles, &m->toggles, sizeof m->toggles))
        return hm_fail(err, HM_EABSENT, "module %s was built from another row of the variant table: build the variants again", m->path);
    return HM_OK;
}

hm_status hm_module_open(hm_module **out, const char *variant, hm_error *err)
{
    const hm_variant_info *fixed = NULL;
    const char *name;
    hm_status st;
    hm_module *m = hm_calloc(1, sizeof *m, "a module", err);
    if (!m)
        return HM_EABSENT;
    st = hm_variant_parse(variant, &m->toggles, &fixed, err);
    if (st)
        goto fail;
    if (strlen(variant) >= HM_VARIANT_SPEC) {
        st = hm_fail(err, HM_EUSAGE, "variant: the text is %zu bytes, at most %d", strlen(variant), HM_VARIANT_SPEC - 1);
        goto fail;
    }
    name = fixed ? fixed->name : "custom";
    st = find_file(name, m->path, sizeof m->path, err);
    if (!st)
        st = load(m, name, err);
    if (st)
        goto fail;
    *out = m;
    return HM_OK;
fail:
    hm_module_close(&m);
    return st;
}

void hm_module_close(hm_module **module)
{
    if (!*module)
        return;
    if ((*module)->handle)
        dlclose((*module)->handle);
    free(*module);
    *module = NULL;
}

const hm_engine_api *hm_module_api(const hm_module *module)
{
    return module->api;
}

const hm_toggles *hm_module_toggles(const hm_module *module)
{
    return &module->toggles;
}

const hm_toggles *hm_module_option(const hm_module *module)
{
    return module->api->fixed ? NULL : &module->toggles;
}
