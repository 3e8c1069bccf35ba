#define _GNU_SOURCE
#include "engine/base/cpus.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* A hierarchy of control groups: where it is mounted, and which of its groups is mounted there. */
typedef struct hierarchy {
    bool second; /* version 2 */
    char mount[PATH_BYTES], root[PATH_BYTES];
} hierarchy;

/* Whether `item` is one of a list separated by commas. */
static bool listed(const char *list, const char *item)
{
    size_t n = strlen(item);
    for (const char *at = list; (at = strstr(at, item)); at += n)
        if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ',' || at[n] == '\n'))
            return true;
    return false;
}

/* One line of mountinfo: id, parent, device, root, mount point, options ..., "-", type, source, options of the file system. */
static bool read_mount(char *line, hierarchy *h)
{
    char *rest = strstr(line, " - "), *save = NULL, *field = strtok_r(line, " ", &save);
    char type[32], options[256] = "";
    if (!rest || sscanf(rest, " - %31s %*s %255s", type, options) < 1)
        return false;
    h->second = !strcmp(type, "cgroup2");
    if (!h->second && (strcmp(type, "cgroup") != 0 || !listed(options, "cpu")))
        return false;
    for (int i = 0; i < 3 && field; i++)
        field = strtok_r(NULL, " ", &save);
    if (!field)
        return false;
    snprintf(h->root, sizeof h->root, "%s", field);
    field = strtok_r(NULL, " ", &save);
    if (field)
        snprintf(h->mount, sizeof h->mount, "%s", field);
    return field != NULL;
}

/* The group of this process in the hierarchy, from /proc/self/cgroup: "number:controllers:path". */
static bool own_group(const char *root, const hierarchy *h, char *path)
{
    char name[PATH_BYTES], *line = NULL;
    size_t room = 0;
    bool found = false;
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *f = fopen(name, "re");
    while (f && !found && getline(&line, &room, f) > 0) {
        char *controllers = strchr(line, ':'), *at = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!at)
            continue;
        *at++ = 0;
        at[strcspn(at, "\n")] = 0;
        found = h->second ? !controllers[1] : listed(controllers + 1, "cpu");
        snprintf(path, PATH_BYTES, "%s", at);
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

/* CPUs' worth of one group; 0: no bound. */
static double quota_of(const char *folder, bool second)
{
    char name[3 * PATH_BYTES + 32];
    long long quota = 0, period = 0;
    snprintf(name, sizeof name, second ? "%s/cpu.max" : "%s/cpu.cfs_quota_us", folder);
    FILE *f = fopen(name, "re");
    if (!f)
        return 0;
    int read = second ? fscanf(f, "%lld %lld", &quota, &period) == 2 : fscanf(f, "%lld", &quota) == 1;
    fclose(f);
    snprintf(name, sizeof name, "%s/cpu.cfs_period_us", folder);
    if (read && !second && (f = fopen(name, "re"))) {
        read = fscanf(f, "%lld", &period) == 1;
        fclose(f);
    }
    return read && quota > 0 && period > 0 ? (double)quota / (double)period : 0;
}

static double lesser(double a, double b)
{
    return a > 0 && (b <= 0 || a < b) ? a : b;
}

/* The least bound from the process's own group up to what is mounted. */
static double hierarchy_quota(const char *root, const hierarchy *h)
{
    char group[PATH_BYTES], folder[3 * PATH_BYTES];
    size_t mounted = strlen(h->root);
    double least = 0;
    if (!own_group(root, h, group))
        return 0;
    const char *below = group;
    if (strcmp(h->root, "/") != 0) { /* only a part of the tree is mounted, as in containers */
        bool inside = !strncmp(group, h->root, mounted) && (group[mounted] == '/' || !group[mounted]);
        below = inside ? group + mounted : "";
    }
    int stem = snprintf(folder, sizeof folder, "%s%s", root, h->mount);
    snprintf(folder + stem, sizeof folder - (size_t)stem, "%s", below);
    for (;;) {
        least = lesser(quota_of(folder, h->second), least);
        char *last = strrchr(folder + stem, '/');
        if (!last)
            return least;
        *last = 0;
    }
}

double hm_cpu_quota(const char *root)
{
    char name[PATH_BYTES], *line = NULL;
    size_t room = 0;
    double least = 0;
    hierarchy *h = malloc(sizeof *h);
    snprintf(name, sizeof name, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(name, "re");
    while (h && f && getline(&line, &room, f) > 0)
        if (read_mount(line, h))
            least = lesser(hierarchy_quota(root, h), least);
    free(line);
    free(h);
    if (f)
        fclose(f);
    return least;
}

int hm_cpu_available(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&set);
    double quota = hm_cpu_quota("");
    if (quota > 0 && quota < n)
        n = (int)quota + (quota > (double)(int)quota);
    return n < 1 ? 1 : n;
}
