#include "harness/machine_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/system_files.h"

#define CPU_FOLDER "sys/devices/system/cpu"

enum {
    MAX_PACKAGES = 64 /* what later ones count is left out */
};

/* What a walk over CPUs or sensors gathers. */
typedef struct gather {
    const char *root;
    const char *folder; /* of the entries */
    int64_t sum;
    int64_t packages[MAX_PACKAGES]; /* throttling of each package, by its number */
    int count;
    double hottest;
    char source[64];
} gather;

static bool is_cpu(const char *name)
{
    return name[3] && strspn(name + 3, "0123456789") == strlen(name + 3);
}

static void add_clock(void *self, const char *name)
{
    gather *g = self;
    char folder[128];
    int64_t khz;
    snprintf(folder, sizeof folder, CPU_FOLDER "/%.32s/cpufreq", name);
    if (is_cpu(name) && hm_system_number(g->root, folder, "scaling_cur_freq", &khz) && khz > 0 && khz < 100000000) {
        g->sum += khz;
        g->count++;
    }
}

/* Mean of the lines "cpu MHz : 2445.406". */
static void add_cpuinfo(gather *g)
{
    char line[1024];
    snprintf(line, sizeof line, "%s/proc/cpuinfo", strcmp(g->root, "/") ? g->root : "");
    FILE *f = fopen(line, "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strncmp(line, "cpu MHz", 7) ? NULL : strchr(line, ':');
        double mhz = colon ? atof(colon + 1) : 0;
        if (mhz > 0 && mhz < 100000) {
            g->sum += (int64_t)(mhz * 1000 + 0.5);
            g->count++;
        }
    }
    if (f)
        fclose(f);
}

static gather clocks(const char *root)
{
    gather g = {.root = root};
    hm_system_each(root, CPU_FOLDER, "cpu", add_clock, &g);
    snprintf(g.source, sizeof g.source, "cpufreq");
    if (!g.count) {
        add_cpuinfo(&g);
        snprintf(g.source, sizeof g.source, "/proc/cpuinfo");
    }
    return g;
}

static void take_heat(gather *g, int64_t millidegrees, const char *source)
{
    double c = (double)millidegrees / 1000;
    if (c < -60 || c > 200 || c <= g->hottest) /* sensors that are not there read -128 or 255 */
        return;
    g->hottest = c;
    snprintf(g->source, sizeof g->source, "%.60s", source);
}

static void add_input(void *self, const char *name)
{
    gather *g = self;
    size_t n = strlen(name);
    int64_t value;
    if (n > 6 && !strcmp(name + n - 6, "_input") && hm_system_number(g->root, g->folder, name, &value)) {
        char chip[64];
        if (hm_system_text(g->root, g->folder, "name", chip, sizeof chip))
            take_heat(g, value, chip);
    }
}

static void add_hwmon(void *self, const char *name)
{
    static const char *const of_cpus[] = {"coretemp", "k10temp", "k8temp", "zenpower", "cpu_thermal", "via_cputemp"};
    gather *g = self;
    char folder[128], chip[64];
    snprintf(folder, sizeof folder, "sys/class/hwmon/%.64s", name);
    if (!hm_system_text(g->root, folder, "name", chip, sizeof chip))
        return;
    for (size_t i = 0; i < sizeof of_cpus / sizeof *of_cpus; i++)
        if (!strcmp(chip, of_cpus[i])) {
            g->folder = folder;
            hm_system_each(g->root, folder, "temp", add_input, g);
        }
}

static void add_zone(void *self, const char *name)
{
    gather *g = self;
    char folder[128], type[64];
    int64_t value;
    snprintf(folder, sizeof folder, "sys/class/thermal/%.64s", name);
    if (hm_system_text(g->root, folder, "type", type, sizeof type) && (strstr(type, "x86_pkg_temp") || strstr(type, "cpu")) &&
        hm_system_number(g->root, folder, "temp", &value))
        take_heat(g, value, type);
}

static gather heat(const char *root)
{
    gather g = {.root = root, .hottest = -INFINITY};
    hm_system_each(root, "sys/class/hwmon", "hwmon", add_hwmon, &g);
    if (!isfinite(g.hottest))
        hm_system_each(root, "sys/class/thermal", "thermal_zone", add_zone, &g);
    return g;
}

/* Every CPU tells the count of its package, which is taken once. */
static void add_throttle(void *self, const char *name)
{
    gather *g = self;
    char folder[128];
    int64_t value, package = 0;
    if (!is_cpu(name))
        return;
    snprintf(folder, sizeof folder, CPU_FOLDER "/%.32s/topology", name);
    if (!hm_system_number(g->root, folder, "physical_package_id", &package) || package < 0)
        package = 0; /* some machines do not number them */
    snprintf(folder, sizeof folder, CPU_FOLDER "/%.32s/thermal_throttle", name);
    if (hm_system_number(g->root, folder, "core_throttle_count", &value)) {
        g->sum += value;
        g->count++;
    }
    if (package < MAX_PACKAGES && hm_system_number(g->root, folder, "package_throttle_count", &value)) {
        g->packages[package] = value > g->packages[package] ? value : g->packages[package];
        g->count++;
    }
}

/* Events of cores and packages so far; HM_UNKNOWN: the system does not count them. */
static int64_t read_throttled(const char *root)
{
    gather g = {.root = root};
    hm_system_each(root, CPU_FOLDER, "cpu", add_throttle, &g);
    for (int i = 0; i < MAX_PACKAGES; i++)
        g.sum += g.packages[i];
    return g.count ? g.sum : HM_UNKNOWN;
}

/* Eighth number of "cpu  user nice system idle iowait irq softirq steal", in ticks. */
static int64_t read_steal_ns(const char *root)
{
    char line[512];
    long long steal;
    long hz = sysconf(_SC_CLK_TCK);
    if (!hm_system_text(root, "proc", "stat", line, sizeof line) || sscanf(line, "cpu %*s %*s %*s %*s %*s %*s %*s %lld", &steal) != 1 ||
        steal < 0 || hz <= 0)
        return HM_UNKNOWN;
    return (int64_t)((double)steal / (double)hz * 1e9);
}

double hm_cpu_temperature_c(const char *root)
{
    gather g = heat(root);
    return isfinite(g.hottest) ? g.hottest : NAN;
}

void hm_machine_state_read(const char *root, hm_machine_state *out)
{
    gather clock = clocks(root);
    out->clock_khz = clock.count ? clock.sum / clock.count : HM_UNKNOWN;
    out->temperature_c = hm_cpu_temperature_c(root);
    out->throttled = read_throttled(root);
    out->steal_ns = read_steal_ns(root);
}

/* Of counts that only grow. */
static int64_t between(int64_t before, int64_t after)
{
    return before != HM_UNKNOWN && after != HM_UNKNOWN && after >= before ? after - before : HM_UNKNOWN;
}

void hm_machine_state_fill(hm_sample *s, const hm_machine_state *before, const hm_machine_state *after)
{
    bool both = before->clock_khz != HM_UNKNOWN && after->clock_khz != HM_UNKNOWN;
    s->clock_khz = both ? (before->clock_khz + after->clock_khz) / 2 : HM_UNKNOWN;
    s->temperature_c = after->temperature_c;
    s->throttled = between(before->throttled, after->throttled);
    s->steal_ns = between(before->steal_ns, after->steal_ns);
}

const char *hm_clock_source(const char *root, char *out, size_t size)
{
    gather g = clocks(root);
    if (g.count)
        snprintf(out, size, "%.2f GHz (%s of %d CPUs)", (double)g.sum / g.count * 1e-6, g.source, g.count);
    else
        snprintf(out, size, "neither cpufreq nor /proc/cpuinfo shows it");
    return out;
}

const char *hm_temperature_source(const char *root, char *out, size_t size)
{
    gather g = heat(root);
    if (isfinite(g.hottest))
        snprintf(out, size, "%.0f C (%s)", g.hottest, g.source);
    else
        snprintf(out, size,
                 "no CPU sensor in /sys/class/hwmon or /sys/class/thermal: usual in virtual machines, else load coretemp or k10temp");
    return out;
}

const char *hm_throttle_source(const char *root, char *out, size_t size)
{
    int64_t times = read_throttled(root);
    if (times != HM_UNKNOWN)
        snprintf(out, size, "%lld times since the start", (long long)times);
    else
        snprintf(out, size, "no thermal_throttle in /sys/devices/system/cpu: AMD, or a virtual machine");
    return out;
}
