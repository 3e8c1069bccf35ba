#include "harness/energy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "harness/system_files.h"

#define TREE "sys/class/powercap"

static bool read_counter(const hm_energy *e, int i, int64_t *out)
{
    return hm_system_number(e->root, e->domains[i].folder, "energy_uj", out) && *out >= 0;
}

/* A package: "intel-rapl:0" (AMD's too), named package-N. Its parts ("intel-rapl:0:1") and the second way to it (intel-rapl-mmio) are in it. */
static void add_package(void *self, const char *name)
{
    hm_energy *e = self;
    char folder[48], what[32];
    int64_t range, now;
    if (strchr(name, ':') != strrchr(name, ':') || e->count == HM_ENERGY_DOMAINS)
        return;
    snprintf(folder, sizeof folder, TREE "/%.24s", name);
    if (!hm_system_text(e->root, folder, "name", what, sizeof what) || strncmp(what, "package", 7))
        return;
    memcpy(e->domains[e->count].folder, folder, sizeof folder);
    if (!read_counter(e, e->count, &now)) {
        bool refused = errno == EACCES || errno == EPERM;
        if (!e->source[0])
            snprintf(e->source, sizeof e->source, "/%s/energy_uj: %s%s", folder, strerror(errno ? errno : EINVAL),
                     refused ? "; sudo chmod a+r /" TREE "/*/energy_uj (until the next boot)" : "");
        return;
    }
    if (!hm_system_number(e->root, folder, "max_energy_range_uj", &range) || range <= 0)
        range = 0; /* a wrap cannot be told from a fault then */
    e->domains[e->count].range_uj = range;
    e->count++;
}

void hm_energy_open(hm_energy *e, const char *root)
{
    *e = (hm_energy){.root = root};
    hm_system_each(root, TREE, "intel-rapl:", add_package, e);
    if (e->source[0]) { /* of several packages one could not be read: a part of the energy would look like all of it */
        e->count = 0;
        return;
    }
    if (!e->count) {
        snprintf(e->source, sizeof e->source, "%s",
                 hm_system_exists(root, TREE) ? "no package in /" TREE ": modprobe intel_rapl_msr, or a CPU or virtual machine without RAPL"
                                              : "no /" TREE ": a virtual machine, or a kernel without powercap (modprobe intel_rapl_msr)");
        return;
    }
    size_t used = (size_t)snprintf(e->source, sizeof e->source, "RAPL");
    for (int i = 0; i < e->count && used < sizeof e->source; i++) {
        char what[32];
        hm_system_text(root, e->domains[i].folder, "name", what, sizeof what);
        used += (size_t)snprintf(e->source + used, sizeof e->source - used, "%s %s", i ? "," : "", what);
    }
}

void hm_energy_start(hm_energy *e)
{
    e->total_uj = 0;
    e->broken = false;
    for (int i = 0; i < e->count; i++)
        e->broken = !read_counter(e, i, &e->domains[i].last_uj) || e->broken;
}

void hm_energy_update(hm_energy *e)
{
    for (int i = 0; i < e->count; i++) {
        int64_t now, last = e->domains[i].last_uj, range = e->domains[i].range_uj;
        if (!read_counter(e, i, &now) || (now < last && range < last)) {
            e->broken = true;
            continue;
        }
        e->total_uj += now >= last ? now - last : range - last + now;
        e->domains[i].last_uj = now;
    }
}

void hm_energy_fill(hm_energy *e, hm_sample *s)
{
    hm_energy_update(e);
    bool known = e->count && !e->broken;
    if (known && s->wall_ns < HM_ENERGY_WINDOW_NS)
        snprintf(s->energy_source, sizeof s->energy_source, "%.120s: window under 1 s", e->source);
    else if (e->count && e->broken)
        snprintf(s->energy_source, sizeof s->energy_source, "%.120s: a counter could not be read", e->source);
    else
        memcpy(s->energy_source, e->source, sizeof s->energy_source);
    s->energy_uj = known && s->wall_ns >= HM_ENERGY_WINDOW_NS ? e->total_uj : HM_UNKNOWN;
}

double hm_energy_idle_w(const char *root, const hm_clock *clock)
{
    hm_energy e;
    hm_energy_open(&e, root);
    if (!e.count)
        return NAN;
    hm_energy_start(&e);
    int64_t start = hm_clock_now(clock), took;
    while ((took = hm_clock_now(clock) - start) < HM_ENERGY_WINDOW_NS)
        hm_clock_sleep(clock, HM_ENERGY_WINDOW_NS - took);
    hm_energy_update(&e);
    return e.broken ? NAN : (double)e.total_uj * 1e3 / (double)took;
}

void hm_energy_fill_idle(hm_sample *s, double idle_w)
{
    if (s->energy_uj != HM_UNKNOWN && idle_w >= 0)
        s->energy_idle_uj = (int64_t)(idle_w * (double)s->wall_ns * 1e-3);
}
