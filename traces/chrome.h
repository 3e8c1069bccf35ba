/* Writer of Chrome trace JSON, the format that Perfetto and chrome://tracing open (docs/traces.md has the rules it keeps).
 * Events go to PATH.part as they come, a JSON array that viewers can open even when its end is missing; closing writes PATH in object
 * form and removes PATH.part. PATH ending in .gz is compressed. Failures stay in the writer and come out of hm_trace_close. */
#ifndef HM_TRACES_CHROME_H
#define HM_TRACES_CHROME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

typedef struct hm_trace hm_trace;

typedef struct hm_trace_options {
    int64_t base_ns;   /* of the clock that all events use; earlier events are moved to it and counted */
    int64_t epoch_ns;  /* time of day at base_ns, ns since 1970; 0: not known */
    const char *clock; /* "CLOCK_MONOTONIC" */
    int64_t max_bytes; /* of events, uncompressed; 0: 200 MB. Beyond it spans, flows and counters are left out and counted */
} hm_trace_options;

/* A value beside an event. text wins over number; with is_real `real` is written, with three decimals (left out when it is not finite). */
typedef struct hm_trace_arg {
    const char *key; /* NULL ends a list */
    const char *text;
    int64_t number;
    double real;
    bool is_real;
} hm_trace_arg;

/* Where an event lies: the track. Host: real pid and tid. Devices: HM_TRACE_DEVICE_PID + ordinal, stream * 16 + lane. */
typedef struct hm_trace_track {
    uint32_t pid, tid;
} hm_trace_track;

#define HM_TRACE_DEVICE_PID 1000000u
#define HM_TRACE_LANES 16 /* of one stream */

/* Category: phase, step, part, op, kernel, memcpy, memset, sync, overhead, alloc, request. name: no addresses, no numbers that change. */
typedef struct hm_trace_span {
    hm_trace_track track;
    const char *category, *name;
    int64_t start_ns, end_ns;
    const hm_trace_arg *args; /* ends with a NULL key; may be NULL */
} hm_trace_span;

/* HM_ECREATE when PATH.part cannot be made. */
hm_status hm_trace_open(hm_trace **out, const char *path, const hm_trace_options *options, hm_error *err);

/* A line of otherData: fingerprint, command line, version. Any time before close; a key given again replaces the value. */
void hm_trace_other(hm_trace *trace, const char *key, const char *value);

void hm_trace_name_process(hm_trace *trace, uint32_t pid, const char *name);
void hm_trace_name_thread(hm_trace *trace, hm_trace_track track, const char *name);

/* Spans of one track have to nest or be disjoint; parents come before their children. A negative length is written as 0 and counted. */
void hm_trace_span_add(hm_trace *trace, const hm_trace_span *span);

/* A sync point, an end of song: lies on its own instant of the thread. */
void hm_trace_instant(hm_trace *trace, hm_trace_track track, const char *category, const char *name, int64_t at_ns);

/* One value of a counter of the process; the unit is the end of the name ("RSS MiB"). Thousandths are kept. */
void hm_trace_counter(hm_trace *trace, uint32_t pid, const char *name, int64_t at_ns, double value);

/* An arrow from inside one span to inside another; id: unique in the file, below 2^53. from_ns <= to_ns. */
void hm_trace_flow(hm_trace *trace, const char *category, const char *name, uint64_t id, hm_trace_track from, int64_t from_ns,
                   hm_trace_track to, int64_t to_ns);

/* A span that overlaps others freely (requests, streamed chunks): matched by id within the process. */
void hm_trace_async(hm_trace *trace, uint32_t pid, const char *category, const char *name, uint64_t id, int64_t start_ns, int64_t end_ns);

/* Lane for a span of a stream whose spans may overlap: the lowest one that is free at start_ns (spans in order of start). `busy_until`
 * holds HM_TRACE_LANES times, zeroed before the first span. When all are busy: the last lane, with *start_ns moved to its end. */
int hm_trace_lane(int64_t busy_until[HM_TRACE_LANES], int64_t *start_ns, int64_t *end_ns);

int64_t hm_trace_events(const hm_trace *trace);  /* written so far */
int64_t hm_trace_dropped(const hm_trace *trace); /* left out because of max_bytes */

/* Finishes PATH; on failure neither PATH nor PATH.part stays. *trace becomes NULL. */
hm_status hm_trace_close(hm_trace **trace, hm_error *err);

/* Gives up: PATH.part is removed, PATH is not touched. */
void hm_trace_abandon(hm_trace **trace);

#endif
