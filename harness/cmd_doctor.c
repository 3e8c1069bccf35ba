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
#include "harness/color.h"
#include "harness/commands.h"
#include "harness/doctor.h"
#include "harness/machine.h"
#include "harness/model.h"
#include "harness/module.h"
#include "harness/output_options.h"
#include "harness/phase_memory.h"
#include "harness/run_report.h"
#include "harness/watch.h"

#define FINE HM_FINE
#define NOTE HM_NOTE
#define MISSING HM_MISSING
#define add(doctor, name, state, ...) hm_doctor_add(doctor, name, state, NULL, NULL, __VA_ARGS__)

void hm_doctor_add(hm_doctor *d, const char *name, hm_finding_state state, const char *version, const char *advice, const char *format, ...)
{
    va_list ap;
    if (d->count == HM_FINDINGS)
        return;
    hm_finding *f = &d->items[d->count++];
    snprintf(f->area, sizeof f->area, "%s", d->area ? d->area : "");
    snprintf(f->name, sizeof f->name, "%s", name);
    snprintf(f->version, sizeof f->version, "%s", version ? version : "");
    snprintf(f->advice, sizeof f->advice, "%s", advice ? advice : "");
    va_start(ap, format);
    vsnprintf(f->value, sizeof f->value, format, ap);
    va_end(ap);
    f->state = state;
    d->missing = d->missing || state == MISSING;
}

const hm_finding *hm_doctor_find(const hm_doctor *d, const char *name)
{
    for (int i = 0; i < d->count; i++)
        if (!strcmp(d->items[i].name, name))
            return &d->items[i];
    return NULL;
}

static void look_at_build(hm_doctor *r)
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

static void look_at_machine(hm_doctor *r)
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
static void look_at_watched(hm_doctor *r)
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

static void look_at_libraries(hm_doctor *r)
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

static void look_at_modules(hm_doctor *r)
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

static void look_at_cache(hm_doctor *r)
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

static const char *const states[] = {"ok", "note", "MISSING"}, *const json_states[] = {"ok", "note", "missing"};

/* By area, a line each; what to do below it. */
static void print(const hm_doctor *d)
{
    static const char *const areas[][2] = {{"hmbench", "hmbench"},
                                           {"machine", "The machine"},
                                           {"gpu", "GPUs"},
                                           {"watched", "What is watched around a timed call"},
                                           {"tools", "Other programs"}};
    int width = 0;
    for (int i = 0; i < d->count; i++)
        width = (int)strlen(d->items[i].name) > width ? (int)strlen(d->items[i].name) : width;
    for (size_t a = 0; a < sizeof areas / sizeof *areas; a++) {
        printf("%s%s\n", a ? "\n" : "", areas[a][1]);
        for (int i = 0; i < d->count; i++) {
            const hm_finding *f = &d->items[i];
            const char *color = hm_color_of(stdout, states[f->state]);
            if (strcmp(f->area, areas[a][0]))
                continue;
            printf("  %s%-7s%s  %-*s  %s%s%s%s\n", color, states[f->state], hm_color_end(color), width, f->name, f->value,
                   *f->version ? " [" : "", f->version, *f->version ? "]" : "");
            if (*f->advice)
                printf("  %7s  %*s  -> %s\n", "", width, "", f->advice);
        }
    }
}

static json_t *text_or_null(const char *text)
{
    return *text ? json_string(text) : json_null();
}

static hm_status print_json(const hm_doctor *d, hm_error *err)
{
    json_t *list = json_array();
    for (int i = 0; i < d->count; i++) {
        const hm_finding *f = &d->items[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "area", f->area, "name", f->name, "state", json_states[f->state],
                                        "value", f->value, "version", text_or_null(f->version), "advice", text_or_null(f->advice)));
    }
    return hm_json_print(list, err);
}

/* As a document: for -o and -O. */
static hm_document *document_of(const hm_doctor *d)
{
    hm_sheet *t = hm_sheet_new(
        (const char *const[]){"area|Area", "name|What", "state|State", "version|Version", "value|Found", "advice|What to do", NULL});
    hm_document *document = hm_document_new("doctor");
    for (int i = 0; i < d->count; i++) {
        const hm_finding *f = &d->items[i];
        hm_sheet_string(t, f->area);
        hm_sheet_string(t, f->name);
        hm_sheet_string(t, json_states[f->state]);
        hm_sheet_string(t, *f->version ? f->version : NULL);
        hm_sheet_string(t, f->value);
        hm_sheet_string(t, *f->advice ? f->advice : NULL);
    }
    hm_document_sheet(document, "findings", t);
    return document;
}

static hm_status tell(const hm_doctor *d, const hm_output_options *output, bool json, hm_error *err)
{
    hm_document *document = output->format || output->files.count ? document_of(d) : NULL;
    hm_status st = HM_OK;
    if (output->format)
        st = hm_output_write(output, document, err);
    else if (output->files.count)
        st = hm_output_write_files(output, document, err);
    hm_document_free(&document);
    if (st || output->format)
        return st;
    if (json)
        return print_json(d, err);
    print(d);
    return HM_OK;
}

hm_status hm_cmd_doctor(const hm_command *self, int argc, char **argv, hm_error *err)
{
    bool json = false, helped;
    hm_output_options output = {0};
    const hm_option options[] = {
        HM_OUTPUT_OPTIONS(output), {"json", 0, HM_OPT_FLAG, &json, NULL, "one JSON array instead of text", 0, 0, NULL}, {0}};
    hm_status st = hm_options_parse(self, options, argc, argv, NULL, 0, &helped, err);
    if (!st && !helped)
        st = hm_output_options_check(&output, "doctor", err);
    if (st || helped)
        return st;
    hm_doctor *r = hm_calloc(1, sizeof *r, "the report", err);
    if (!r)
        return HM_EABSENT;
    r->area = "hmbench";
    look_at_build(r);
    look_at_libraries(r);
    look_at_modules(r);
    look_at_cache(r);
    r->area = "machine";
    look_at_machine(r);
    hm_doctor_cpu(r);
    r->area = "watched";
    look_at_watched(r);
    hm_doctor_gpus(r, "/");
    hm_doctor_tools(r, "/");
    hm_doctor_peers(r);
    st = tell(r, &output, json, err);
    for (int i = 0, n = 0; i < r->count && !st && r->missing && !n; i++)
        if (r->items[i].state == MISSING && ++n)
            st = hm_fail(err, HM_EABSENT, "doctor: something that this machine needs is missing; the first: %s: %.300s", r->items[i].name,
                         r->items[i].value);
    free(r);
    return st;
}
