/* What the machine does at a moment: clock, heat, throttling, time that the host took away. Read before and after a timed call, never
 * within. */
#ifndef HM_HARNESS_MACHINE_STATE_H
#define HM_HARNESS_MACHINE_STATE_H

#include <stddef.h>

#include "harness/sample.h"

typedef struct hm_machine_state {
    int64_t clock_khz;    /* mean over CPUs (cpufreq, else /proc/cpuinfo) */
    double temperature_c; /* hottest sensor of a CPU (hwmon, else thermal zones) */
    int64_t throttled;    /* events so far: those of cores, and those of packages */
    int64_t steal_ns;     /* CPU time so far that the host gave to others, all CPUs */
} hm_machine_state;

/* Files below root ("/"; a folder in tests). What the system does not show is HM_UNKNOWN or NaN. */
void hm_machine_state_read(const char *root, hm_machine_state *out);

/* Degrees Celsius of the hottest CPU sensor; NaN: none. */
double hm_cpu_temperature_c(const char *root);

/* Clock: mean of both; temperature: after; throttled and steal_ns: what came between. */
void hm_machine_state_fill(hm_sample *sample, const hm_machine_state *before, const hm_machine_state *after);

/* Where the clock and the heat come from, for people: "cpufreq of 8 CPUs", or why there is none. Returns out. */
const char *hm_clock_source(const char *root, char *out, size_t size);
const char *hm_temperature_source(const char *root, char *out, size_t size);
const char *hm_throttle_source(const char *root, char *out, size_t size);

#endif
