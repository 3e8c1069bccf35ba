#include "harness/machine.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/base/isa.h"
#include "engine/base/team.h"

/* First line of a small file without its newline; false when it cannot be read. */
static bool first_line(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    out[0] = 0;
    if (!f)
        return false;
    bool good = fgets(out, (int)size, f);
    fclose(f);
    out[strcspn(out, "\n")] = 0;
    return good;
}

/* Text after "key<spaces>:<spaces>" (or "key=") in a file of such lines. */
static bool find_value(const char *path, const char *key, char *out, size_t size)
{
    char line[1024];
    size_t n = strlen(key);
    bool found = false;
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n))
            continue;
        char *p = line + n + strspn(line + n, " \t");
        if (*p != ':' && *p != '=')
            continue;
        p += 1 + strspn(p + 1, " \t\"");
        p[strcspn(p, "\n\"")] = 0;
        snprintf(out, size, "%s", p);
        found = true;
    }
    fclose(f);
    return found;
}

static int64_t meminfo_bytes(const char *key)
{
    char text[64];
    return find_value("/proc/meminfo", key, text, sizeof text) ? strtoll(text, NULL, 10) * 1024 : HM_UNKNOWN;
}

/* Folder of this process in cgroup v2, "" when there is none. */
static void cgroup_folder(char *out, size_t size)
{
    char line[512];
    out[0] = 0;
    if (access("/sys/fs/cgroup/cgroup.controllers", R_OK) || !first_line("/proc/self/cgroup", line, sizeof line) || strncmp(line, "0::", 3))
        return;
    snprintf(out, size, "/sys/fs/cgroup%s", line + 3);
    if (access(out, R_OK)) /* a namespace shows the path of outside */
        snprintf(out, size, "/sys/fs/cgroup");
}

static bool cgroup_line(const char *name, char *out, size_t size)
{
    char folder[600], path[700];
    cgroup_folder(folder, sizeof folder);
    if (!folder[0])
        return false;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return first_line(path, out, size);
}

/* A count of bytes, HM_UNKNOWN for "max" and for none. */
static int64_t cgroup_bytes(const char *name)
{
    char text[64], *end;
    if (!cgroup_line(name, text, sizeof text))
        return HM_UNKNOWN;
    int64_t value = strtoll(text, &end, 10);
    return end != text ? value : HM_UNKNOWN;
}

int64_t hm_memory_available(void)
{
    int64_t available = meminfo_bytes("MemAvailable"), limit = cgroup_bytes("memory.max"), used = cgroup_bytes("memory.current");
    if (limit != HM_UNKNOWN && used != HM_UNKNOWN) {
        int64_t left = limit > used ? limit - used : 0;
        if (available == HM_UNKNOWN || left < available)
            available = left;
    }
    return available;
}

static void read_cpu(hm_machine_record *m)
{
    char text[256];
    hm_cpu_name(m->cpu_model, sizeof m->cpu_model);
    m->cpus = hm_cpu_available();
    m->cpus_online = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (find_value("/proc/cpuinfo", "cpu cores", text, sizeof text) &&
        find_value("/proc/cpuinfo", "siblings", m->governor, sizeof m->governor)) {
        int per_socket = atoi(text), siblings = atoi(m->governor);
        m->cores = per_socket > 0 && siblings > 0 ? m->cpus_online * per_socket / siblings : 0;
    }
    m->smt = first_line("/sys/devices/system/cpu/smt/active", text, sizeof text) ? atoi(text) : -1;
    if (!first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", m->governor, sizeof m->governor))
        m->governor[0] = 0;
    snprintf(m->isa, sizeof m->isa, "%s", hm_isa_name(hm_isa_detect()));
    double quota = hm_cpu_quota("");
    m->cpu_quota = quota > 0 ? quota : NAN;
}

static void read_system(hm_machine_record *m)
{
    struct utsname u;
    char id[256] = "", flags[1024];
    m->memory_bytes = meminfo_bytes("MemTotal");
    m->memory_bytes = m->memory_bytes == HM_UNKNOWN ? 0 : m->memory_bytes;
    m->memory_limit_bytes = cgroup_bytes("memory.max");
    uname(&u);
    snprintf(m->kernel, sizeof m->kernel, "%s %s", u.sysname, u.release);
    if (!find_value("/etc/os-release", "PRETTY_NAME", m->os, sizeof m->os))
        snprintf(m->os, sizeof m->os, "%s", u.sysname);
    if (!first_line("/etc/machine-id", id, sizeof id) || !id[0])
        snprintf(id, sizeof id, "%s", u.nodename);
    hm_hash_text(m->host_id, id, strlen(id));
    if (!access("/.dockerenv", F_OK))
        snprintf(m->container, sizeof m->container, "docker");
    else if (!access("/run/.containerenv", F_OK))
        snprintf(m->container, sizeof m->container, "podman");
    else if (find_value("/proc/cpuinfo", "flags", flags, sizeof flags) && strstr(flags, " hypervisor"))
        snprintf(m->container, sizeof m->container, "virtual machine");
}

/* XXH3-128 of a formatted text, cut at 4 KB. */
__attribute__((format(printf, 2, 3))) static void hash_format(char out[HM_HASH_TEXT], const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    hm_hash_text(out, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void hm_machine_read(hm_machine_record *m)
{
    memset(m, 0, sizeof *m);
    read_cpu(m);
    read_system(m);
    hash_format(m->id, "%s\n%s\n%d %d %d %d %s %g\n%lld %lld\n%s\n%s\n%s\n%s", m->host_id, m->cpu_model, m->cpus, m->cpus_online, m->cores,
                m->smt, m->isa, isnan(m->cpu_quota) ? 0 : m->cpu_quota, (long long)m->memory_bytes, (long long)m->memory_limit_bytes,
                m->governor, m->kernel, m->os, m->container);
}

/* Whether a path of /proc/self/smaps, with its newline, is the file, or lies in the folder. */
static bool lies_below(const char *path, const char *folder)
{
    size_t n = folder ? strlen(folder) : 0;
    return n && !strncmp(path, folder, n) && (path[n] == '/' || path[n] == '\n' || folder[n - 1] == '/');
}

/* Resident bytes of the mappings in /proc/self/smaps whose file lies below one of both. */
static int64_t mapped_below(const char *model, const char *packs)
{
    char line[4400];
    int64_t total = 0;
    bool inside = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    if (!f)
        return HM_UNKNOWN;
    while (fgets(line, sizeof line, f)) {
        unsigned long long from, to;
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2) {
            const char *path = strchr(line, '/');
            inside = path && (lies_below(path, model) || lies_below(path, packs));
        } else if (inside && !strncmp(line, "Rss:", 4)) {
            total += strtoll(line + 4, NULL, 10) * 1024;
        }
    }
    fclose(f);
    return total;
}

void hm_memory_of_self(const char *model, const char *packs, int64_t *peak_rss_bytes, int64_t *mapped_bytes)
{
    char text[64];
    *peak_rss_bytes = find_value("/proc/self/status", "VmHWM", text, sizeof text) ? strtoll(text, NULL, 10) * 1024 : HM_UNKNOWN;
    *mapped_bytes = model || packs ? mapped_below(model, packs) : 0;
}
