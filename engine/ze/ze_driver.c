#include "engine/ze/ze_impl.h"
#include "engine/ze/ze_sysman.h"

#include <stdlib.h>
#include <string.h>

const bool hm_ze_built = true;

hm_status hm_ze_check(hm_gpu *gpu, ze_result_t result, const char *call, hm_error *err)
{
    hm_error why;
    if (result == ZE_RESULT_SUCCESS)
        return HM_OK;
    hm_status st = hm_ze_fail(gpu->where, result, call, &why);
    if (hm_ze_is_lost(result))
        hm_ze_give_up(gpu, &why);
    return hm_fail(err, st, "%s", why.text);
}

void hm_ze_given_back(hm_gpu *gpu, ze_result_t result, const char *call)
{
    hm_error why;
    if (result == ZE_RESULT_SUCCESS)
        return;
    hm_ze_fail(gpu->where, result, call, &why);
    hm_log_write(gpu->log, HM_LOG_WARNING, "%s", why.text);
}

hm_status hm_ze_give_up(hm_gpu *gpu, const hm_error *why)
{
    if (!gpu->dead.status)
        gpu->dead = *why;
    return why->status;
}

hm_status hm_ze_alive(hm_gpu *gpu, hm_error *err)
{
    return gpu->dead.status ? hm_fail(err, gpu->dead.status, "%s", gpu->dead.text) : HM_OK;
}

static void close_gpu(hm_gpu **gpu)
{
    hm_gpu *g = *gpu;
    if (!g)
        return;
    if (g->context) {
        hm_ze_lists_close(g);
        hm_ze_times_close(g);
        hm_ze_modules_close(g);
        hm_ze_memory_close(g);
        HM_ZE_GIVE_BACK(g, zeContextDestroy, g->context);
    }
    free(g->cache);
    free(g);
    *gpu = NULL;
}

/* Newer drivers keep the order of commands by themselves when they are asked to. */
static bool keeps_order(ze_api_version_t api)
{
    return api >= (ze_api_version_t)ZE_MAKE_VERSION(1, 9);
}

static hm_status open_context(hm_gpu *g, const hm_ze_found *found, hm_error *err)
{
    const ze_context_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
    hm_status st = HM_ZE(g, err, zeContextCreate, g->driver, &desc, &g->context);
    if (st)
        g->context = NULL;
    if (!st)
        st = hm_ze_lists_open(g, err);
    if (!st)
        st = hm_ze_stages_open(g, err);
    if (!st && g->timestamps)
        st = hm_ze_times_open(g, found, err);
    return st;
}

static hm_status open_gpu(hm_gpu **out, const hm_gpu_options *o, hm_error *err)
{
    const hm_ze_api *api;
    hm_status st = hm_ze_load(&api, err);
    if (st)
        return st;
    hm_ze_found *found = hm_calloc(1, sizeof *found, "ze: a device", err);
    hm_gpu *g = hm_calloc(1, sizeof *g, "ze: a device", err);
    st = found && g ? hm_ze_choose(api, found, o->device, err) : HM_EABSENT;
    if (st)
        goto done;
    g->api = api;
    g->log = o->log;
    g->timestamps = o->timestamps;
    g->driver = found->driver;
    g->device = found->device;
    g->in_order = keeps_order(found->api);
    st = hm_ze_identify(g, found, err);
    if (!st && o->cache && !(g->cache = strdup(o->cache)))
        st = hm_fail(err, HM_EABSENT, "%s: no memory for a path", g->where);
    if (!st)
        st = open_context(g, found, err);
done:
    free(found);
    if (st)
        close_gpu(&g);
    else
        *out = g;
    return st;
}

static const hm_gpu_facts *facts(const hm_gpu *gpu)
{
    return &gpu->id.facts;
}

const hm_gpu_driver hm_ze_driver = {
    .backend = "ze",
    .list = hm_ze_list,
    .open = open_gpu,
    .close = close_gpu,
    .facts = facts,
    .alloc = hm_ze_alloc,
    .free = hm_ze_free,
    .launch = hm_ze_launch,
    .copy = hm_ze_copy,
    .fill = hm_ze_fill,
    .wait = hm_ze_wait,
    .record = hm_ze_record,
    .keep = hm_ze_keep,
    .replay = hm_ze_replay,
    .drop = hm_ze_drop,
    .take_times = hm_ze_take_times,
    .sensors = &hm_ze_sensors,
};
