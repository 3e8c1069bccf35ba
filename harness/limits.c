#include "harness/limits.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/bench.h"
#include "harness/sample.h"
#include "harness/system_files.h"

enum {
    MAX_LEVELS = 5,
    MAX_CPUS = 4096,
    MAX_INDEX = 16
};
static const int64_t CACHE_BYTES_UNKNOWN = (int64_t)8 << 20; /* a block that last levels hold */

/* "32768K", "1M", "512". */
static int64_t size_bytes(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (n <= 0 || n > (1LL << 40))
        return 0;
    return *end == 'K' ? n << 10 : *end == 'M' ? n << 20 : n;
}

static hm_cache *level_of(hm_cache *out, int *count, int room, int level)
{
    for (int i = 0; i < *count; i++)
        if (out[i].level == level)
            return &out[i];
    if (*count == room)
        return NULL;
    out[*count] = (hm_cache){.level = level};
    return &out[(*count)++];
}

static int by_level(const void *a, const void *b)
{
    return ((const hm_cache *)a)->level - ((const hm_cache *)b)->level;
}

/* An instance is counted at the first CPU that shares it. */
int hm_caches_read(const char *root, hm_cache *out, int room)
{
    char text[256], folder[128];
    int count = 0;
    for (int cpu = 0; cpu < MAX_CPUS; cpu++) {
        int i = 0;
        for (; i < MAX_INDEX; i++) {
            snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d/cache/index%d", cpu, i);
            if (!hm_system_text(root, folder, "type", text, sizeof text))
                break;
            int64_t level;
            if (!strcmp(text, "Instruction") || !hm_system_number(root, folder, "level", &level) || level < 1 || level > 9)
                continue;
            int64_t bytes = hm_system_text(root, folder, "size", text, sizeof text) ? size_bytes(text) : 0;
            bool first = !hm_system_text(root, folder, "shared_cpu_list", text, sizeof text) || atoi(text) == cpu;
            hm_cache *c = bytes ? level_of(out, &count, room, (int)level) : NULL;
            if (c) {
                c->bytes = bytes > c->bytes ? bytes : c->bytes;
                c->instances += first;
            }
        }
        snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d", cpu);
        if (!i && cpu && !hm_system_exists(root, folder))
            break;
    }
    qsort(out, (size_t)count, sizeof *out, by_level);
    return count;
}

static void add(hm_limits *out, const hm_limit *limit)
{
    if (out->count < HM_LIMIT_COUNT)
        out->items[out->count++] = *limit;
}

static hm_status go_on(hm_progress *progress, const char *what, const hm_limits *out, hm_error *err)
{
    if (progress)
        hm_progress_update(progress, what, out->count, 0);
    return hm_interrupted() ? hm_fail(err, HM_EINTERRUPTED, "limits: interrupted") : HM_OK;
}

static hm_status read_block(hm_limits *out, hm_device *dev, const char *name, int64_t bytes, double seconds, hm_error *err)
{
    hm_limit l = {.threads = hm_team_size(hm_cpu_team(dev)), .block_bytes = bytes, .type = "bytes"};
    snprintf(l.name, sizeof l.name, "%s", name);
    snprintf(l.isa, sizeof l.isa, "%s", hm_isa_name(hm_cpu_isa(dev)));
    snprintf(l.how, sizeof l.how, "the best of 8 ways of reading");
    hm_status st = hm_cpu_measure_bandwidth(dev, (size_t)bytes, seconds, &l.value, err);
    if (!st)
        add(out, &l);
    return st;
}

/* Half of what the instances of a level hold together that the threads can reach; threads have CPUs of their own. */
static int64_t block_of(const hm_cache *c, int threads)
{
    int reached = threads < c->instances ? threads : c->instances;
    int64_t bytes = c->bytes / 2 * (reached > 1 ? reached : 1);
    return bytes < (int64_t)HM_LIMIT_MEMORY_BYTES / 2 ? bytes : (int64_t)HM_LIMIT_MEMORY_BYTES / 2;
}

static hm_status measure_reading(hm_limits *out, hm_device *dev, unsigned what, double seconds, hm_progress *progress, hm_error *err)
{
    hm_cache caches[MAX_LEVELS];
    int levels = hm_caches_read("/", caches, MAX_LEVELS), threads = hm_team_size(hm_cpu_team(dev));
    hm_status st = HM_OK;
    if (!levels)
        caches[levels++] = (hm_cache){.level = 0, .instances = 1, .bytes = 2 * CACHE_BYTES_UNKNOWN};
    if (what & HM_LIMITS_READING)
        st = read_block(out, dev, "memory", (int64_t)HM_LIMIT_MEMORY_BYTES, seconds, err);
    for (int i = levels - 1; i >= 0 && !st; i--) {
        char name[16];
        bool last = i == levels - 1;
        snprintf(name, sizeof name, last ? "cache" : "l%d", caches[i].level);
        if (what & (last ? HM_LIMITS_READING : HM_LIMITS_LEVELS))
            st = read_block(out, dev, name, block_of(&caches[i], threads), seconds, err);
        if (!st)
            st = go_on(progress, "reading", out, err);
    }
    return st;
}

hm_status hm_limits_measure(hm_limits *out, hm_device *dev, unsigned what, double seconds, hm_progress *progress, hm_error *err)
{
    hm_cpu_way ways[HM_CPU_WAYS];
    hm_status st = measure_reading(out, dev, what, seconds, progress, err);
    int count = what & HM_LIMITS_FLOPS ? hm_cpu_ways(dev, ways) : 0;
    for (int i = 0; i < count && !st; i++) {
        hm_limit l = {.name = "flops", .threads = hm_team_size(hm_cpu_team(dev)), .block_bytes = HM_UNKNOWN};
        snprintf(l.type, sizeof l.type, "%s", ways[i].type);
        snprintf(l.isa, sizeof l.isa, "%s", ways[i].isa);
        snprintf(l.how, sizeof l.how, "%s", ways[i].how);
        l.value = hm_cpu_measure_way(dev, &ways[i], seconds);
        add(out, &l);
        st = go_on(progress, "multiply-adds", out, err);
    }
    return st;
}

double hm_limit_share(double value, double limit)
{
    return limit > 0 ? value / limit : NAN;
}

const char *hm_limit_share_text(double share, char *out, size_t size)
{
    if (!isfinite(share))
        snprintf(out, size, "-");
    else if (share > 1)
        snprintf(out, size, "%.0f %%, " HM_LIMIT_OVER, 100 * share);
    else
        snprintf(out, size, "%.0f %%", 100 * share);
    return out;
}
