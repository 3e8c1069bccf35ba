/* Performance counters of all threads of this process. A counter that cannot be had is a note, never a failure. */
#ifndef HM_HARNESS_PERF_COUNTERS_H
#define HM_HARNESS_PERF_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/sample.h"

typedef enum hm_perf_event {
    HM_PERF_CYCLES,
    HM_PERF_INSTRUCTIONS,
    HM_PERF_CACHE_MISSES, /* last level */
    HM_PERF_CONTEXT_SWITCHES,
    HM_PERF_PAGE_FAULTS,
    HM_PERF_EVENTS
} hm_perf_event;

/* As the kernel answers: the count, and for how long it was wanted and was running (several events may share a unit). */
typedef struct hm_perf_reading {
    uint64_t value, enabled_ns, running_ns;
} hm_perf_reading;

/* The kernel's side; tests bring their own. */
typedef struct hm_perf_system {
    void *self;
    int (*open)(void *self, hm_perf_event event); /* a handle, stopped; or -errno */
    void (*run)(void *self, int handle, bool on);
    bool (*read)(void *self, int handle, hm_perf_reading *out);
    void (*close)(void *self, int handle);
    bool (*paranoid)(void *self, int *level);                      /* kernel.perf_event_paranoid; false: not there */
    bool (*usage)(void *self, int64_t *switches, int64_t *faults); /* of the process so far (getrusage) */
} hm_perf_system;

/* perf_event_open: this process in user mode with every thread it makes from now on (context switches are the kernel's). */
const hm_perf_system *hm_perf_real(void);

typedef struct hm_perf_counters {
    const hm_perf_system *system;
    int handles[HM_PERF_EVENTS]; /* -1: none */
    hm_perf_reading before[HM_PERF_EVENTS];
    int64_t switches, faults; /* of usage, before */
    bool usage;
    char note[160]; /* what is missing, why, what to do; "": all are there */
} hm_perf_counters;

/* Before the threads are made that are to be counted. */
void hm_perf_open(hm_perf_counters *p, const hm_perf_system *system);
void hm_perf_close(hm_perf_counters *p); /* accepts a closed one */

void hm_perf_start(hm_perf_counters *p);
/* Fills cycles, instructions, cache_misses, context_switches, page_faults and counter_note with what came since hm_perf_start. Counts of
 * an event that ran a part of the time are scaled to all of it, and the note says so. */
void hm_perf_fill(hm_perf_counters *p, hm_sample *sample);

#endif
