/* The backends of this build, and a context's device. */
#include "engine/backend.h"

#include <stdio.h>
#include <string.h>

#include "engine/cpu/cpu.h"
#include "engine/cpu/cpu_ops_init.h"
#include "engine/cuda/cuda_ops_init.h"
#include "engine/gpu/driver.h"
#include "engine/gpu/gpu_ops_init.h"
#include "variants/variants.h"

static hm_status cpu_open(hm_device **out, const hm_device_options *o, hm_error *err)
{
    if (o->device)
        return hm_fail(err, HM_EUSAGE, "device \"%s\": the backend \"cpu\" has one device only; leave it out", o->device);
    return hm_cpu_open_at(out, o->threads, o->first_cpu, o->isa, err);
}

static void cpu_facts(const hm_device *dev, hm_device_facts *out)
{
    *out = (hm_device_facts){0};
    snprintf(out->isa, sizeof out->isa, "%s", hm_isa_name(hm_cpu_isa(dev)));
    hm_cpu_name(out->name, sizeof out->name);
}

/* The first threads draw, the others decode. */
static hm_status cpu_split(hm_device *whole, hm_device **first, hm_device **second, hm_error *err)
{
    hm_isa isa = hm_cpu_isa(whole);
    int threads = hm_team_size(hm_cpu_team(whole)), behind = threads > 1 ? threads / 2 : 1, before = threads - behind;
    hm_status st = hm_cpu_open_at(second, behind, before, isa, err);
    return st || !before ? st : hm_cpu_open_at(first, before, 0, isa, err);
}

static hm_status gpu_open(hm_device **out, const hm_gpu_driver *driver, const hm_device_options *o, hm_error *err)
{
    hm_gpu_options options = {.device = o->device, .cache = o->cache_dir, .timestamps = o->timestamps, .log = o->log};
    return hm_gpu_open(out, driver, &options, err);
}

static hm_status ze_open(hm_device **out, const hm_device_options *o, hm_error *err)
{
    return gpu_open(out, &hm_ze_driver, o, err);
}

static hm_status cuda_open(hm_device **out, const hm_device_options *o, hm_error *err)
{
    return gpu_open(out, &hm_cuda_driver, o, err);
}

static void gpu_facts(const hm_device *dev, hm_device_facts *out)
{
    const hm_gpu_facts *f = hm_gpu_device_facts(dev);
    *out = (hm_device_facts){.software = f->software, .memory_bytes = f->memory_bytes};
    snprintf(out->isa, sizeof out->isa, "%s %s", f->backend, f->api);
    snprintf(out->name, sizeof out->name, "%s", f->name);
    snprintf(out->driver, sizeof out->driver, "%s", f->driver);
    snprintf(out->uuid, sizeof out->uuid, "%s", f->uuid);
}

static hm_team *no_team(hm_device *dev)
{
    (void)dev;
    return NULL;
}

static hm_status gpu_split(hm_device *whole, hm_device **first, hm_device **second, hm_error *err)
{
    *first = NULL;
    return hm_gpu_open_beside(second, whole, err);
}

static const hm_backend backends[] = {
    {.name = "cpu",
     .bit = HM_BACKEND_CPU,
     .reads_host_memory = true,
     .open = cpu_open,
     .close = hm_cpu_close,
     .facts = cpu_facts,
     .ops_init = hm_cpu_ops_init,
     .team = hm_cpu_team,
     .split = cpu_split},
    {.name = "ze",
     .bit = HM_BACKEND_ZE,
     .own_device_bytes = HM_GPU_OWN_DEVICE_BYTES,
     .own_host_bytes = HM_GPU_OWN_HOST_BYTES,
     .open = ze_open,
     .close = hm_gpu_close,
     .facts = gpu_facts,
     .ops_init = hm_gpu_ops_init,
     .team = no_team,
     .split = gpu_split},
    {.name = "cuda",
     .bit = HM_BACKEND_CUDA,
     .own_device_bytes = HM_GPU_OWN_DEVICE_BYTES,
     .own_host_bytes = HM_GPU_OWN_HOST_BYTES,
     .open = cuda_open,
     .close = hm_gpu_close,
     .facts = gpu_facts,
     .ops_init = hm_cuda_ops_init,
     .team = no_team,
     .split = gpu_split},
};

#define BACKENDS ((int)(sizeof backends / sizeof *backends))

const hm_backend *hm_backend_find(const char *name, hm_error *err)
{
    char names[64] = "";
    for (int i = 0; i < BACKENDS; i++) {
        size_t at = strlen(names);
        if (!strcmp(backends[i].name, name))
            return &backends[i];
        snprintf(names + at, sizeof names - at, "%s\"%s\"", i ? ", " : "", backends[i].name);
    }
    hm_fail(err, HM_EABSENT, "backend \"%s\": this build has %s", name, names);
    return NULL;
}

hm_status hm_backend_open(hm_ctx *c, const char *name, const hm_device_options *o, hm_error *err)
{
    c->backend = hm_backend_find(name ? name : "cpu", err);
    hm_status st = c->backend ? c->backend->open(&c->dev, o, err) : HM_EABSENT;
    if (st)
        return st;
    c->team = c->backend->team(c->dev);
    if (!c->team)
        st = hm_team_open_at(&c->own_team, o->threads, o->first_cpu, err);
    c->team = c->team ? c->team : c->own_team;
    if (st) {
        hm_backend_close(c);
        return st;
    }
    c->backend->ops_init(c);
    return HM_OK;
}

void hm_backend_close(hm_ctx *c)
{
    if (c->own_team)
        hm_team_close(&c->own_team);
    if (c->dev)
        c->backend->close(&c->dev);
    c->team = NULL;
}
