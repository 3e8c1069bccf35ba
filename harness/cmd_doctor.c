#include <jansson.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/audio/audio.h"
#include "engine/synth.h"
#include "harness/commands.h"
#include "harness/machine.h"
#include "harness/model.h"
#include "harness/module.h"
#include "harness/phase_memory.h"
#include "harness/run_report.h"
#include "harness/table.h"
#include "harness/watch.h"

typedef enum finding {
    FINE,
    NOTE,
    MISSING
} finding; /* MISSING: something does not work without it */

#define MAX_FINDINGS 48

typedef struct report {
    struct {
        const char *name;
        finding state;
        char value[400];
    } items[MAX_FINDINGS];
    int count;
    bool missing;
} report;

static void add(report *r, const char *name, finding state, const char *format, ...) __attribute__((format(printf, 4, 5)));

static void add(report *r, const char *name, finding state, const char *format, ...)
{
    va_list ap;
    if (r->count == MAX_FINDINGS)
        return;
    va_start(ap, format);
    vsnprintf(r->items[r->count].value, sizeof r->items[0].value, format, ap);
    va_end(ap);
    r->items[r->count].name = name;
    r->items[r->count++].state = state;
    r->missing = r->missing || state == MISSING;
}

static void look_at_build(report *r)
{
    hm_build_record b = {0};
    hm_error err;
    if (hm_build_read(&b, &err))
        add(r, "program", NOTE, "%s", err.text);
    else
        add(r, "program", FINE, "%s, commit %.12s%s, %s", b.version, *b.git_commit ? b.git_commit : "unknown",
            b.git_dirty ? " with changes" : "", b.compiler);
    if (*b.sanitizer)
        add(r, "sanitizer", NOTE, "%s: right for tests, wrong for timing", b.sanitizer);
    if (*b.build_type && strcmp(b.build_type, "Release"))
        add(r, "build type", NOTE, "%s: measure with Release", b.build_type);
}

static void look_at_machine(report *r)
{
    hm_machine_record m;
    int64_t available = hm_memory_available();
    hm_machine_read(&m);
    add(r, "cpu", FINE, "%s", m.cpu_model);
    add(r, "cpus", m.cpus < m.cpus_online ? NOTE : FINE, "%d of %d online may be used; cores %d, SMT %s", m.cpus, m.cpus_online, m.cores,
        m.smt < 0 ? "unknown"
        : m.smt   ? "on"
                  : "off");
    if (m.cpu_quota == m.cpu_quota)
        add(r, "cpu quota", NOTE, "%.2f CPUs by the cgroup: timings are throttled beyond it", m.cpu_quota);
    add(r, "instructions", FINE, "%s", m.isa);
    if (*m.governor)
        add(r, "governor", strcmp(m.governor, "performance") ? NOTE : FINE, "%s%s", m.governor,
            strcmp(m.governor, "performance") ? ": clocks vary; `cpupower frequency-set -g performance` steadies them" : "");
    if (*m.container)
        add(r, "container", NOTE, "%s: other tenants may disturb timings", m.container);
    add(r, "memory", FINE, "%.1f GB, %.1f GB available", (double)m.memory_bytes * 1e-9, (double)available * 1e-9);
    if (m.memory_limit_bytes != HM_UNKNOWN)
        add(r, "memory limit", m.memory_limit_bytes < m.memory_bytes ? NOTE : FINE, "%.1f GB by the cgroup",
            (double)m.memory_limit_bytes * 1e-9);
    add(r, "system", FINE, "%s, %s", m.os, m.kernel);
}

/* What is watched around every timed call, and why not. */
static void look_at_watched(report *r)
{
    char text[200];
    hm_machine_state now;
    hm_energy energy;
    hm_perf_counters perf;
    hm_phase_memory memory;
    hm_machine_state_read("/", &now);
    hm_energy_open(&energy, "/");
    hm_perf_open(&perf, hm_perf_real());
    hm_phase_memory_open(&memory, "/");
    add(r, "clock", now.clock_khz != HM_UNKNOWN ? FINE : NOTE, "%s", hm_clock_source("/", text, sizeof text));
    add(r, "temperature", isfinite(now.temperature_c) ? FINE : NOTE, "%s", hm_temperature_source("/", text, sizeof text));
    add(r, "throttling", now.throttled != HM_UNKNOWN ? FINE : NOTE, "%s", hm_throttle_source("/", text, sizeof text));
    add(r, "stolen time", now.steal_ns != HM_UNKNOWN ? FINE : NOTE, "%s", now.steal_ns != HM_UNKNOWN ? "in /proc/stat" : "no /proc/stat");
    add(r, "energy", energy.count ? FINE : NOTE, "%s", energy.source);
    add(r, "counters", perf.note[0] ? NOTE : FINE, "%s%s",
        perf.note[0] ? perf.note : "of cycles, instructions, cache misses, switches, faults",
        perf.usage ? "; switches and faults that the kernel refuses come from getrusage" : "");
    add(r, "memory of phases", memory.set_back ? FINE : NOTE, "%s",
        memory.set_back ? "/proc/self/clear_refs can be written"
                        : "/proc/self/clear_refs cannot be written (a read-only /proc?): only of phases that raise the process's most");
    hm_perf_close(&perf);
}

static void look_at_libraries(report *r)
{
    hm_error err;
    hm_status st = hm_audio_check_path("/tmp/doctor.mp3", &err);
    add(r, "jansson", FINE, "%s", jansson_version_str());
    add(r, "audio files", FINE, "%s", sf_version_string());
    if (st == HM_EABSENT)
        add(r, "mp3", NOTE, "this libsndfile cannot write it; .wav and .flac work");
    else
        add(r, "mp3", FINE, "can be written");
}

/* First program of that name in PATH. */
static bool find_program(const char *name, char *out, size_t size)
{
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t n = strcspn(path, ":");
        snprintf(out, size, "%.*s/%s", (int)n, path, name);
        if (n && !access(out, X_OK))
            return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static void look_at_programs(report *r)
{
    char path[HM_MODEL_PATH];
    bool plots = find_program("gnuplot", path, sizeof path);
    add(r, "gnuplot", plots ? FINE : NOTE, "%s", plots ? path : "not found: `hmbench plot` needs it (apt install gnuplot-nox)");
}

static bool module_there(const char *name, char *path, size_t size)
{
    char folder[HM_MODEL_PATH];
    for (int i = 0; hm_module_folder(i, folder, sizeof folder); i++) {
        snprintf(path, size, "%s/%s.so", folder, name);
        if (!access(path, R_OK))
            return true;
    }
    return false;
}

static void look_at_modules(report *r)
{
    char path[HM_MODEL_PATH + 64], folder[HM_MODEL_PATH] = "", absent[200] = "";
    int count, found = 0;
    size_t used = 0;
    const hm_variant_info *list = hm_variant_list(&count);
    for (int i = 0; i <= count; i++) {
        const char *name = i < count ? list[i].name : "custom";
        if (module_there(name, path, sizeof path)) {
            found++;
            snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
        } else if (used < sizeof absent) {
            used += (size_t)snprintf(absent + used, sizeof absent - used, "%s%s", used ? ", " : "", name);
        }
    }
    if (!found)
        add(r, "variants", MISSING, "no engine module is built: `cmake --build build --target variants`, or set HMBENCH_MODULES");
    else if (found <= count)
        add(r, "variants", NOTE, "%d of %d in %s; not built: %s%s", found, count + 1, folder, absent, used < sizeof absent ? "" : " ...");
    else
        add(r, "variants", FINE, "all %d in %s", found, folder);
}

static void look_at_cache(report *r)
{
    char path[HM_MODEL_PATH], models[512] = "";
    struct statvfs disk;
    hm_error err;
    size_t used = 0;
    if (hm_cache_path(path, sizeof path, &err)) {
        add(r, "cache", MISSING, "%s", err.text);
        return;
    }
    if (hm_make_folders(path, &err) || access(path, W_OK | X_OK))
        add(r, "cache", MISSING, "%s cannot be written: set HMBENCH_CACHE to a folder that can", path);
    else if (!statvfs(path, &disk))
        add(r, "cache", FINE, "%s, %.1f GB free", path, (double)disk.f_bavail * (double)disk.f_frsize * 1e-9);
    for (const hm_preset *p = hm_preset_list(); p->name && used < sizeof models; p++)
        if (!hm_model_cache_path(p->name, path, sizeof path, NULL) && !access(path, F_OK))
            used += (size_t)snprintf(models + used, sizeof models - used, "%s%s", used ? ", " : "", p->name);
    add(r, "models", FINE, "%s", used ? models : "none made yet; presets are made on first use");
}

static hm_status print(const report *r, hm_error *err)
{
    static const char *const states[] = {"ok", "note", "MISSING"};
    hm_table *table = hm_table_new((const char *[]){"what", "state", "found", NULL});
    for (int i = 0; i < r->count; i++)
        hm_table_row(table, (const char *[]){r->items[i].name, states[r->items[i].state], r->items[i].value});
    return hm_table_end(table, stdout, hm_terminal_width(), err);
}

static hm_status print_json(const report *r, hm_error *err)
{
    static const char *const states[] = {"ok", "note", "missing"};
    json_t *list = json_array();
    for (int i = 0; i < r->count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "name", r->items[i].name, "state", states[r->items[i].state], "value", r->items[i].value));
    return hm_json_print(list, err);
}

hm_status hm_cmd_doctor(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool json = false, helped;
    const hm_option options[] = {{"json", 0, HM_OPT_FLAG, &json, NULL, "a JSON array instead of a table", 0, 0, NULL}, {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (st || helped)
        return st;
    report *r = hm_calloc(1, sizeof *r, "the report", err);
    if (!r)
        return HM_EABSENT;
    look_at_build(r);
    look_at_machine(r);
    look_at_watched(r);
    look_at_libraries(r);
    look_at_programs(r);
    look_at_modules(r);
    look_at_cache(r);
    st = json ? print_json(r, err) : print(r, err);
    if (!st && r->missing)
        st = hm_fail(err, HM_EABSENT, "doctor: something that is needed is missing; see the rows above");
    free(r);
    return st;
}
