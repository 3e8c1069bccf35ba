#define _GNU_SOURCE
#include "engine/gpu/devices.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- which device --- */

void hm_gpu_uuid_text(char out[40], const void *uuid)
{
    const unsigned char *id = uuid;
    char *p = out;
    for (int i = 0; i < 16; i++)
        p += sprintf(p, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
}

bool hm_gpu_says_software(const char *name)
{
    static const char *const words[] = {"software", "emulat", "simulat", "pocl", "llvmpipe"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

void hm_gpu_device_point(hm_gpu_device *d)
{
    d->facts.name = d->name;
    d->facts.uuid = d->uuid;
    d->facts.driver = d->driver;
    d->facts.api = d->api;
}

typedef struct device_list {
    const char *devices;
    size_t stride;
    int count;
} device_list;

static const hm_gpu_device *device_at(const device_list *all, int i)
{
    return (const void *)(all->devices + (size_t)i * all->stride);
}

/* "0: name, 1: name" of all devices, as far as they fit. */
static const char *names_of(const device_list *all, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < all->count && used < size; i++) {
        int n = snprintf(out + used, size - used, "%s%d: %s", i ? ", " : "", i, device_at(all, i)->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return out;
}

/* Whether a UUID as text begins with the digits of `part`; dashes, capitals and NVIDIA's "GPU-" do not count. */
static bool uuid_begins(const char *uuid, const char *part)
{
    for (part += strncasecmp(part, "gpu-", 4) ? 0 : 4; *part; part++) {
        if (*part == '-')
            continue;
        if (*uuid == '-')
            uuid++;
        if (tolower((unsigned char)*part) != *uuid++)
            return false;
    }
    return true;
}

static bool is_index(const char *text)
{
    size_t n = strlen(text);
    return n && n <= 3 && strspn(text, "0123456789") == n;
}

hm_status hm_gpu_choose(int *chosen, const char *backend, const hm_gpu_device *devices, size_t stride, int count, const char *wanted,
                        hm_error *err)
{
    const device_list all = {(const char *)devices, stride, count};
    char names[256];
    *chosen = -1;
    if (!wanted || !*wanted) {
        for (int i = 0; i < count && *chosen < 0; i++)
            if (device_at(&all, i)->gpu)
                *chosen = i;
        return *chosen >= 0 ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no device is a GPU (%s)", backend, names_of(&all, names, sizeof names));
    }
    if (is_index(wanted)) {
        if (atoi(wanted) < count)
            *chosen = atoi(wanted);
    } else {
        for (int i = 0; i < count; i++) {
            if (!uuid_begins(device_at(&all, i)->uuid, wanted))
                continue;
            if (*chosen >= 0)
                return hm_fail(err, HM_EUSAGE, "%s: the UUIDs of devices %d and %d both begin with %s: give more of it, or the number",
                               backend, *chosen, i, wanted);
            *chosen = i;
        }
    }
    if (*chosen < 0)
        return hm_fail(err, HM_EABSENT, "%s: no device %s: expected a number or the beginning of a UUID of what is there (%s)", backend,
                       wanted, names_of(&all, names, sizeof names));
    return HM_OK;
}

/* --- allocations --- */

/* How many begin at or below p. */
static int below(const hm_gpu_allocations *all, const char *p)
{
    int low = 0, high = all->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (all->items[middle].at <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

hm_status hm_gpu_allocations_reserve(hm_gpu_allocations *all, hm_error *err)
{
    return hm_grow(&all->items, &all->room, all->count, sizeof *all->items, "allocations", err);
}

void hm_gpu_allocations_add(hm_gpu_allocations *all, void *p, size_t bytes, hm_gpu_memory kind)
{
    int at = below(all, p);
    memmove(all->items + at + 1, all->items + at, (size_t)(all->count - at) * sizeof *all->items);
    all->items[at] = (hm_gpu_allocation){.at = p, .bytes = bytes, .kind = kind};
    all->count++;
}

const hm_gpu_allocation *hm_gpu_allocations_before(const hm_gpu_allocations *all, const void *p)
{
    int at = below(all, p);
    return at ? &all->items[at - 1] : NULL;
}

const hm_gpu_allocation *hm_gpu_allocations_of(const hm_gpu_allocations *all, const void *p)
{
    const hm_gpu_allocation *a = hm_gpu_allocations_before(all, p);
    return a && (size_t)((const char *)p - a->at) < a->bytes ? a : NULL;
}

bool hm_gpu_allocations_take(hm_gpu_allocations *all, const void *p, hm_gpu_allocation *out)
{
    int at = below(all, p) - 1;
    if (at < 0 || all->items[at].at != p)
        return false;
    *out = all->items[at];
    all->count--;
    memmove(all->items + at, all->items + at + 1, (size_t)(all->count - at) * sizeof *all->items);
    return true;
}

hm_status hm_gpu_allocations_check(const hm_gpu_allocations *all, const char *where, const void *p, size_t bytes, bool *ours, hm_error *err)
{
    const hm_gpu_allocation *a = hm_gpu_allocations_of(all, p);
    *ours = a;
    if (a && bytes > a->bytes - (size_t)((const char *)p - a->at))
        return hm_fail(err, HM_EBUG, "%s: %zu bytes from byte %zu of an allocation of %zu", where, bytes, (size_t)((const char *)p - a->at),
                       a->bytes);
    return HM_OK;
}
