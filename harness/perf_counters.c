#define _GNU_SOURCE
#include "harness/perf_counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/system_files.h"

/* --- the kernel --- */

static int real_open(void *self, hm_perf_event event)
{
    static const struct {
        uint32_t type;
        uint64_t config;
    } events[HM_PERF_EVENTS] = {{PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
                                {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
                                {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
                                {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES},
                                {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS}};
    struct perf_event_attr attr = {.size = sizeof attr, .type = events[event].type, .config = events[event].config};
    (void)self;
    attr.disabled = 1;
    attr.inherit = 1;
    attr.exclude_hv = 1;
    attr.exclude_kernel = event != HM_PERF_CONTEXT_SWITCHES; /* a switch happens in the kernel */
    attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    return fd >= 0 ? (int)fd : -errno;
}

static void real_run(void *self, int handle, bool on)
{
    (void)self;
    ioctl(handle, on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

static bool real_read(void *self, int handle, hm_perf_reading *out)
{
    (void)self;
    return read(handle, out, sizeof *out) == (ssize_t)sizeof *out;
}

static void real_close(void *self, int handle)
{
    (void)self;
    close(handle);
}

static bool real_paranoid(void *self, int *level)
{
    int64_t value;
    (void)self;
    if (!hm_system_number("/", "proc/sys/kernel", "perf_event_paranoid", &value))
        return false;
    *level = (int)value;
    return true;
}

static bool real_usage(void *self, int64_t *switches, int64_t *faults)
{
    struct rusage u;
    (void)self;
    if (getrusage(RUSAGE_SELF, &u))
        return false;
    *switches = u.ru_nvcsw + u.ru_nivcsw;
    *faults = u.ru_minflt + u.ru_majflt;
    return true;
}

const hm_perf_system *hm_perf_real(void)
{
    static const hm_perf_system real = {NULL, real_open, real_run, real_read, real_close, real_paranoid, real_usage};
    return &real;
}

/* --- what is made of it --- */

static const char *const names[HM_PERF_EVENTS] = {"cycles", "instructions", "cache misses", "context switches", "page faults"};

static void say(char *note, size_t size, const char *text)
{
    size_t used = strlen(note);
    snprintf(note + used, size - used, "%s%s", used ? "; " : "", text);
}

/* Why an event was refused and what helps, after the names of all that were refused so. */
static void explain(hm_perf_counters *p, const char *which, int code)
{
    char text[160], why[120];
    int level = 0;
    bool known = p->system->paranoid(p->system->self, &level), refused = code == EACCES || code == EPERM;
    int wanted = strstr(which, "cycles") ? 2 : 1; /* the kernel's own events take one more step */
    if (refused && known && level > wanted)
        snprintf(why, sizeof why, "perf_event_paranoid is %d: sysctl kernel.perf_event_paranoid=%d", level, wanted);
    else if (refused)
        snprintf(why, sizeof why, "refused (a container's seccomp?): run with CAP_PERFMON");
    else if (code == ENOENT || code == EOPNOTSUPP || code == ENODEV)
        snprintf(why, sizeof why, "no counters in this CPU or virtual machine");
    else
        snprintf(why, sizeof why, "%s", code == ENOSYS ? "this kernel has no perf events" : strerror(code));
    snprintf(text, sizeof text, "no %.70s: %.80s", which, why);
    say(p->note, sizeof p->note, text);
}

/* One sentence per reason. */
static void explain_all(hm_perf_counters *p, const int codes[HM_PERF_EVENTS])
{
    bool said[HM_PERF_EVENTS] = {false};
    for (int i = 0; i < HM_PERF_EVENTS; i++) {
        char which[100] = "";
        if (!codes[i] || said[i])
            continue;
        for (int k = i; k < HM_PERF_EVENTS; k++)
            if (codes[k] == codes[i]) {
                size_t used = strlen(which);
                snprintf(which + used, sizeof which - used, "%s%s", used ? ", " : "", names[k]);
                said[k] = true;
            }
        explain(p, which, codes[i]);
    }
}

void hm_perf_open(hm_perf_counters *p, const hm_perf_system *system)
{
    int codes[HM_PERF_EVENTS] = {0};
    *p = (hm_perf_counters){.system = system};
    for (int i = 0; i < HM_PERF_EVENTS; i++) {
        p->handles[i] = system->open(system->self, (hm_perf_event)i);
        if (p->handles[i] >= 0)
            continue;
        codes[i] = -p->handles[i];
        p->handles[i] = -1;
        int64_t switches, faults;
        if (i >= HM_PERF_CONTEXT_SWITCHES && system->usage(system->self, &switches, &faults)) {
            p->usage = true;
            codes[i] = 0; /* counted another way */
        }
    }
    explain_all(p, codes);
}

void hm_perf_close(hm_perf_counters *p)
{
    for (int i = 0; i < HM_PERF_EVENTS && p->system; i++)
        if (p->handles[i] >= 0)
            p->system->close(p->system->self, p->handles[i]);
    *p = (hm_perf_counters){0};
}

void hm_perf_start(hm_perf_counters *p)
{
    const hm_perf_system *y = p->system;
    if (p->usage && !y->usage(y->self, &p->switches, &p->faults))
        p->switches = p->faults = HM_UNKNOWN;
    for (int i = 0; i < HM_PERF_EVENTS; i++)
        if (p->handles[i] >= 0 && !y->read(y->self, p->handles[i], &p->before[i])) {
            y->close(y->self, p->handles[i]);
            p->handles[i] = -1;
        }
    for (int i = 0; i < HM_PERF_EVENTS; i++)
        if (p->handles[i] >= 0)
            y->run(y->self, p->handles[i], true);
}

/* Since `before`; scaled when it ran a part of the time; HM_UNKNOWN when it never did. */
static int64_t count_since(const hm_perf_reading *before, const hm_perf_reading *now, bool *scaled)
{
    double value = (double)(now->value - before->value);
    double enabled = (double)(now->enabled_ns - before->enabled_ns), running = (double)(now->running_ns - before->running_ns);
    if (now->value < before->value || now->running_ns < before->running_ns || !(running > 0))
        return enabled > 0 ? HM_UNKNOWN : 0;
    if (enabled > running * 1.0001) {
        *scaled = true;
        value *= enabled / running;
    }
    return value < 9e18 ? (int64_t)(value + 0.5) : HM_UNKNOWN;
}

void hm_perf_fill(hm_perf_counters *p, hm_sample *s)
{
    const hm_perf_system *y = p->system;
    int64_t *const out[HM_PERF_EVENTS] = {&s->cycles, &s->instructions, &s->cache_misses, &s->context_switches, &s->page_faults};
    hm_perf_reading now;
    bool scaled = false;
    int64_t switches, faults;
    snprintf(s->counter_note, sizeof s->counter_note, "%s", p->note);
    for (int i = 0; i < HM_PERF_EVENTS; i++)
        if (p->handles[i] >= 0)
            y->run(y->self, p->handles[i], false);
    for (int i = 0; i < HM_PERF_EVENTS; i++)
        *out[i] = p->handles[i] >= 0 && y->read(y->self, p->handles[i], &now) ? count_since(&p->before[i], &now, &scaled) : HM_UNKNOWN;
    if (p->usage && p->switches != HM_UNKNOWN && y->usage(y->self, &switches, &faults)) {
        if (p->handles[HM_PERF_CONTEXT_SWITCHES] < 0)
            s->context_switches = switches - p->switches;
        if (p->handles[HM_PERF_PAGE_FAULTS] < 0)
            s->page_faults = faults - p->faults;
    }
    if (scaled)
        say(s->counter_note, sizeof s->counter_note, "counters shared a unit: scaled");
}
