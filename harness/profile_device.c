/* What a profile tells of a device with a clock of its own: its tracks, what it tells of itself, and where its time goes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/device_trace.h"
#include "harness/profile.h"
#include "harness/table.h"

#define MAX_KERNELS 64

/* Counters of the device's process, in the units that people read. */
static void write_readings(const hm_profile *p, hm_trace *t)
{
    static const struct {
        hm_gpu_quantity quantity;
        double factor;
        const char *name;
    } counters[] = {
        {HM_GPU_memory_used_bytes, 1.0 / 1048576, "device memory MiB"},
        {HM_GPU_power_w, 1, "power W"},
        {HM_GPU_frequency_mhz, 1, "clock MHz"},
        {HM_GPU_memory_clock_mhz, 1, "memory clock MHz"},
        {HM_GPU_held_down, 1, "clocks held down (1 power, 2 heat, 4 else)"},
        {HM_GPU_temperature_c, 1, "temperature C"},
        {HM_GPU_busy_share, 100, "engines busy %"},
    };
    int count;
    const hm_device_reading *r = hm_device_watch_readings(p->device, &count);
    for (int i = 0; i < count; i++)
        for (size_t k = 0; k < sizeof counters / sizeof *counters; k++)
            if (isfinite(r[i].of[counters[k].quantity]))
                hm_trace_counter(t, HM_TRACE_DEVICE_PID, counters[k].name, r[i].at_ns, r[i].of[counters[k].quantity] * counters[k].factor);
}

/* Commands of the engine's device, and of the decoder's where it has one of its own. */
hm_status hm_profile_write_devices(const hm_profile *p, hm_trace *t, uint32_t pid, hm_error *err)
{
    const hm_recorder *const recorders[] = {p->recorder, p->beside};
    uint64_t flow = 1;
    hm_status st = HM_OK;
    for (int i = 0; i < 2 && recorders[i] && !st; i++) {
        size_t n;
        int64_t backwards;
        char text[32];
        const hm_device_span *spans = hm_recorder_device_spans(recorders[i], &n);
        if (!n)
            continue;
        hm_trace_track host = {pid, hm_recorder_thread(recorders[i])};
        st = hm_device_trace(t, p->opened.facts->device, i, host, spans, n, &flow, &backwards, err);
        snprintf(text, sizeof text, "%" PRId64, backwards);
        hm_trace_other(t, i ? "decoder's commands that began before they were asked for" : "commands that began before they were asked for",
                       text);
    }
    write_readings(p, t);
    return st;
}

typedef struct kernel_row {
    const char *name;
    int64_t count, total_ns;
} kernel_row;

static int longest_first(const void *a, const void *b)
{
    const kernel_row *x = a, *y = b;
    return x->total_ns < y->total_ns ? 1 : x->total_ns > y->total_ns ? -1 : strcmp(x->name, y->name);
}

/* Commands by name, or what is none: waits and overhead. */
static int collect(const hm_device_span *spans, size_t n, int64_t from_ns, int64_t to_ns, bool commands, kernel_row rows[MAX_KERNELS])
{
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        int at = 0;
        if (spans[i].begin_ns < from_ns || spans[i].begin_ns >= to_ns || hm_device_works(&spans[i]) != commands)
            continue;
        while (at < count && strcmp(rows[at].name, spans[i].name))
            at++;
        if (at == MAX_KERNELS)
            continue;
        if (at == count)
            rows[count++] = (kernel_row){.name = spans[i].name};
        rows[at].count++;
        rows[at].total_ns += spans[i].end_ns - spans[i].begin_ns;
    }
    qsort(rows, (size_t)count, sizeof *rows, longest_first);
    return count;
}

/* Waits of the host and what timing took, where the driver tells of them. */
static hm_status print_aside(const hm_device_span *spans, size_t n, int64_t from_ns, int64_t to_ns, int64_t frames, hm_error *err)
{
    kernel_row rows[MAX_KERNELS];
    char calls[24], time[24];
    int count = collect(spans, n, from_ns, to_ns, false, rows);
    if (!count)
        return HM_OK;
    printf("\n");
    hm_table *t = hm_table_new((const char *const[]){"waits of the host, overhead of tracing", ">calls/frame", ">ms/frame", NULL});
    for (int i = 0; i < count; i++) {
        snprintf(calls, sizeof calls, "%.1f", (double)rows[i].count / (double)frames);
        snprintf(time, sizeof time, "%.4f", (double)rows[i].total_ns / 1e6 / (double)frames);
        hm_table_row(t, (const char *const[]){rows[i].name, calls, time});
    }
    return hm_table_end(t, stdout, 0, err);
}

hm_status hm_profile_print_device(const hm_profile *p, hm_error *err)
{
    size_t n;
    int64_t from_ns, to_ns, busy_ns;
    kernel_row rows[MAX_KERNELS];
    char calls[24], time[24], share[24];
    const hm_device_span *spans = hm_recorder_device_spans(p->recorder, &n);
    int64_t frames = hm_profile_window_time(p, &from_ns, &to_ns);
    if (!n || !frames)
        return HM_OK;
    hm_status st = hm_device_busy(spans, n, from_ns, to_ns, &busy_ns, err);
    if (st)
        return st;
    printf("\n%s had work for %.1f %% of the time of frames %" PRId64 " to %" PRId64 "%s\n\n", p->opened.facts->device,
           100.0 * (double)busy_ns / (double)(to_ns - from_ns), p->args->window_from, p->args->window_from + frames - 1,
           p->opened.facts->software ? " (a software device: its times say nothing about hardware)" : "");
    hm_table *t =
        hm_table_new((const char *const[]){"command of the device", ">calls/frame", ">ms/frame", ">% of the device's time", NULL});
    for (int i = 0, count = collect(spans, n, from_ns, to_ns, true, rows); i < count; i++) {
        snprintf(calls, sizeof calls, "%.1f", (double)rows[i].count / (double)frames);
        snprintf(time, sizeof time, "%.4f", (double)rows[i].total_ns / 1e6 / (double)frames);
        snprintf(share, sizeof share, "%.1f", busy_ns ? 100.0 * (double)rows[i].total_ns / (double)busy_ns : 0);
        hm_table_row(t, (const char *const[]){rows[i].name, calls, time, share});
    }
    st = hm_table_end(t, stdout, 0, err);
    return st ? st : print_aside(spans, n, from_ns, to_ns, frames, err);
}
