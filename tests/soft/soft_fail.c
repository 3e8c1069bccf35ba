/* Settings, what is counted of calls, forced failures, misuse, and the report at the end. */
#define _GNU_SOURCE
#include "tests/soft/soft_common.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RULES 16
#define NOTES 32

static struct {
    pthread_mutex_t lock;
    atomic_ulong calls[SOFT_MOST_ENTRIES];
    struct {
        int entry;
        unsigned long at;
        int result;
    } rules[RULES];
    int rule_count;
    char *notes[NOTES];
    uint64_t note_count;
    FILE *trace;
    char report[1024];
    bool read;
} fails = {.lock = PTHREAD_MUTEX_INITIALIZER};

soft_settings hm_soft_settings;
static _Thread_local int here;

/* --- settings --- */

uint64_t hm_soft_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* "zeMemAllocDevice:3:0x70000003,zeEventCreate:1" */
static void read_rules(const char *text)
{
    fails.rule_count = 0;
    while (text && *text && fails.rule_count < RULES) {
        size_t name = strcspn(text, ":,");
        int entry = 0;
        while (entry < hm_soft_is.entries &&
               (strlen(hm_soft_entries[entry].name) != name || strncmp(hm_soft_entries[entry].name, text, name)))
            entry++;
        if (entry == hm_soft_is.entries)
            fprintf(stderr, "%s: HM_SOFT_FAIL names %.*s, which is no entry of it\n", hm_soft_is.name, (int)name, text);
        text += name;
        char *end = (char *)text;
        unsigned long at = *text == ':' ? strtoul(text + 1, &end, 0) : 1;
        int result = entry < hm_soft_is.entries ? hm_soft_usual_failure(hm_soft_entries[entry].name) : 0;
        if (*end == ':')
            result = (int)strtoul(end + 1, &end, 0);
        if (entry < hm_soft_is.entries) {
            fails.rules[fails.rule_count].entry = entry;
            fails.rules[fails.rule_count].at = at;
            fails.rules[fails.rule_count++].result = result;
        }
        text = end + strcspn(end, ",");
        text += *text == ',';
    }
}

static void settings_read(void)
{
    soft_settings *s = &hm_soft_settings;
    s->defer = hm_soft_number("HM_SOFT_DEFER", 0) != 0;
    s->guard = hm_soft_number("HM_SOFT_GUARD", 0) != 0;
    if (s->guard)
        hm_soft_memory_watch();
    s->devices = hm_soft_number("HM_SOFT_DEVICES", 1) > 1 ? 2 : 1;
    s->memory_bytes = hm_soft_number("HM_SOFT_MEMORY_MB", 2048) << 20;
    s->lost_at = hm_soft_number("HM_SOFT_LOST", 0);
    s->timeout_s = (int)hm_soft_number("HM_SOFT_TIMEOUT_S", 120);
    hm_soft_settings_own();
    read_rules(getenv("HM_SOFT_FAIL"));
    const char *report = getenv("HM_SOFT_REPORT"), *trace = getenv("HM_SOFT_TRACE");
    snprintf(fails.report, sizeof fails.report, "%s", report ? report : "");
    if (fails.trace)
        fclose(fails.trace);
    fails.trace = trace && *trace ? fopen(trace, "a") : NULL;
}

void hm_soft_settings_once(void)
{
    pthread_mutex_lock(&fails.lock);
    if (!fails.read)
        settings_read();
    fails.read = true;
    pthread_mutex_unlock(&fails.lock);
}

static void begin_anew(void)
{
    pthread_mutex_lock(&fails.lock);
    settings_read();
    fails.read = true;
    for (int i = 0; i < hm_soft_is.entries; i++)
        atomic_store(&fails.calls[i], 0);
    for (uint64_t i = 0; i < fails.note_count && i < NOTES; i++)
        free(fails.notes[i]);
    fails.note_count = 0;
    pthread_mutex_unlock(&fails.lock);
}

void hm_soft_reload(void)
{
    hm_soft_lanes_reset(begin_anew);
}

/* --- calls --- */

uint64_t hm_soft_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void trace_call(int entry)
{
    pthread_mutex_lock(&fails.lock);
    if (fails.trace) {
        fprintf(fails.trace, "%llu %ld %s\n", (unsigned long long)hm_soft_now_ns(), (long)syscall(SYS_gettid), hm_soft_entries[entry].name);
        fflush(fails.trace);
    }
    pthread_mutex_unlock(&fails.lock);
}

int hm_soft_enter(int entry)
{
    here = entry;
    if (hm_soft_lost())
        hm_soft_lanes_abandon();
    unsigned long call = atomic_fetch_add(&fails.calls[entry], 1) + 1;
    if (fails.trace)
        trace_call(entry);
    for (int i = 0; i < fails.rule_count; i++)
        if (fails.rules[i].entry == entry && (!fails.rules[i].at || fails.rules[i].at == call))
            return fails.rules[i].result;
    return hm_soft_entries[entry].lost && hm_soft_lost() ? hm_soft_lost_result() : 0;
}

int hm_soft_misuse(const char *format, ...)
{
    char *text = NULL, *note = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    if (asprintf(&note, "%s: %s", hm_soft_entries[here].name, text ? text : format) < 0)
        note = NULL;
    free(text);
    fprintf(stderr, "%s: misuse: %s\n", hm_soft_is.name, note ? note : format);
    pthread_mutex_lock(&fails.lock);
    if (fails.note_count < NOTES)
        fails.notes[fails.note_count] = note;
    else
        free(note);
    fails.note_count++;
    pthread_mutex_unlock(&fails.lock);
    return hm_soft_is.bad_argument;
}

uint64_t hm_soft_calls(const char *entry)
{
    for (int i = 0; i < hm_soft_is.entries; i++)
        if (!strcmp(hm_soft_entries[i].name, entry))
            return atomic_load(&fails.calls[i]);
    return 0;
}

uint64_t hm_soft_misuses(const char **first)
{
    pthread_mutex_lock(&fails.lock);
    uint64_t count = fails.note_count;
    if (first)
        *first = count ? fails.notes[0] : NULL;
    pthread_mutex_unlock(&fails.lock);
    return count;
}

uint64_t hm_soft_alive(void)
{
    uint64_t alive = hm_soft_memory_alive();
    for (int kind = 0; kind < hm_soft_is.kinds; kind++)
        alive += hm_soft_objects_alive(kind);
    return alive;
}

/* --- what kernels of a name did --- */

static struct {
    pthread_mutex_t lock;
    soft_spent all[512];
    int count;
} spent = {.lock = PTHREAD_MUTEX_INITIALIZER};

soft_spent *hm_soft_spent_of(const char *name)
{
    soft_spent *found = NULL;
    pthread_mutex_lock(&spent.lock);
    for (int i = 0; i < spent.count && !found; i++)
        found = strcmp(spent.all[i].name, name) ? NULL : &spent.all[i];
    if (!found && spent.count < (int)(sizeof spent.all / sizeof *spent.all)) {
        found = &spent.all[spent.count++];
        snprintf(found->name, sizeof found->name, "%s", name);
    }
    pthread_mutex_unlock(&spent.lock);
    return found;
}

const soft_spent *hm_soft_spent_all(int *count)
{
    *count = spent.count;
    return spent.all;
}

/* --- the end --- */

static void put_json_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; text && *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
    fputc('"', f);
}

static void write_report(FILE *f)
{
    fprintf(f, "{\n  \"calls\": {");
    for (int i = 0, some = 0; i < hm_soft_is.entries; i++)
        if (atomic_load(&fails.calls[i]))
            fprintf(f, "%s\n    \"%s\": %lu", some++ ? "," : "", hm_soft_entries[i].name, (unsigned long)atomic_load(&fails.calls[i]));
    int kernels = 0;
    const soft_spent *of = hm_soft_spent_all(&kernels);
    fprintf(f, "\n  },\n  \"kernels\": {");
    for (int i = 0; i < kernels; i++)
        fprintf(f, "%s\n    \"%s\": {\"launches\": %llu, \"ms\": %.3f}", i ? "," : "", of[i].name, (unsigned long long)of[i].launches,
                (double)of[i].ns * 1e-6);
    fprintf(f, "\n  },\n  \"leaks\": {\n    \"memory\": %llu", (unsigned long long)hm_soft_memory_alive());
    for (int i = 0; i < hm_soft_is.kinds; i++)
        fprintf(f, ",\n    \"%s\": %llu", hm_soft_kind_names[i], (unsigned long long)hm_soft_objects_alive(i));
    fprintf(f, "\n  },\n  \"leaked\": %llu,\n  \"commands\": %llu,\n  \"misuse_count\": %llu,\n  \"misuse\": [",
            (unsigned long long)hm_soft_alive(), (unsigned long long)hm_soft_commands_run(), (unsigned long long)fails.note_count);
    for (uint64_t i = 0; i < fails.note_count && i < NOTES; i++) {
        fputs(i ? ",\n    " : "\n    ", f);
        put_json_text(f, fails.notes[i]);
    }
    fprintf(f, "\n  ]\n}\n");
}

__attribute__((destructor)) static void at_unload(void)
{
    uint64_t alive = hm_soft_alive();
    if (alive) {
        fprintf(stderr, "%s: %llu not given back:", hm_soft_is.name, (unsigned long long)alive);
        if (hm_soft_memory_alive())
            fprintf(stderr, " %llu of memory", (unsigned long long)hm_soft_memory_alive());
        for (int i = 0; i < hm_soft_is.kinds; i++)
            if (hm_soft_objects_alive(i))
                fprintf(stderr, " %llu of %s", (unsigned long long)hm_soft_objects_alive(i), hm_soft_kind_names[i]);
        fputc('\n', stderr);
    }
    FILE *f = *fails.report ? fopen(fails.report, "w") : NULL;
    if (f) {
        write_report(f);
        fclose(f);
    } else if (*fails.report) {
        fprintf(stderr, "%s: no report could be written to %s\n", hm_soft_is.name, fails.report);
    }
    if (fails.trace)
        fclose(fails.trace);
}
