/* A recorder of the engine's spans: totals per place in the call tree, and single spans in a buffer for traces. It allocates when it is
 * opened and never while it records; what does not fit is counted. One recorder belongs to one engine thread. */
#ifndef HM_HARNESS_PROBE_H
#define HM_HARNESS_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/probe.h"
#include "harness/clock.h"
#include "harness/sample.h"

typedef struct hm_recorder hm_recorder;

#define HM_RECORDER_NAME 48    /* bytes of a span's name, longer ones are cut */
#define HM_RECORDER_DEPTH 64   /* deepest nesting recorded */
#define HM_RECORDER_NODES 1024 /* different places in the call tree */
#define HM_RECORDER_WINDOWS 4

/* Inside spans of this name (not operations) whose index is in [from, to), the kinds of `window_kinds` are recorded as well. Phases have
 * the index -1. */
typedef struct hm_recorder_window {
    const char *span;
    int64_t from, to;
} hm_recorder_window;

typedef struct hm_recorder_options {
    unsigned kinds;                                  /* kinds with totals, everywhere; 0: phases, steps and parts */
    unsigned span_kinds;                             /* those of `kinds` whose single spans are kept everywhere */
    unsigned window_kinds;                           /* kinds that are measured and kept inside windows */
    hm_recorder_window windows[HM_RECORDER_WINDOWS]; /* unused ones have a NULL span */
    size_t capacity;                                 /* single spans kept; 0: totals only */
    size_t device_capacity;                          /* commands of devices kept; 0: none is asked for */
    const hm_clock *clock;                           /* NULL: hm_clock_real() */
    const hm_probe *inner;                           /* tap, progress, and of the recorded spans those it wants are passed on; NULL: none */
    hm_recorder *beside;                             /* has the spans of the engine's decoder thread; lives longer; may be NULL */
} hm_recorder_options;

/* One place in the call tree: this name under that parent. */
typedef struct hm_recorder_node {
    char name[HM_RECORDER_NAME];
    hm_span_kind kind;
    int parent;       /* node, -1 at the top; always smaller than the node's own number */
    int64_t count;    /* spans that ended */
    int64_t total_ns; /* their time */
    int64_t self_ns;  /* without the time in recorded spans below */
    int64_t min_ns, max_ns;
} hm_recorder_node;

/* One span. Parents lie before their children. end_ns is -1 when it never ended (the engine failed inside). */
typedef struct hm_span {
    int64_t start_ns, end_ns;
    int64_t index; /* of the frame, step ... or -1 */
    int32_t node;
    int32_t depth; /* 0 at the top */
} hm_span;

hm_status hm_recorder_open(hm_recorder **out, const hm_recorder_options *options, hm_error *err);
void hm_recorder_close(hm_recorder **recorder);

/* What the engine is given; valid until close. Its `wanted` changes while windows open and close. */
const hm_probe *hm_recorder_probe(hm_recorder *recorder);

/* Nothing is asked of the engine while it is paused: what an untraced run costs. Not inside a span. */
void hm_recorder_pause(hm_recorder *recorder, bool pause);

/* Forgets what was recorded (after warm-up); not inside a span. */
void hm_recorder_clear(hm_recorder *recorder);

const hm_recorder_node *hm_recorder_nodes(const hm_recorder *recorder, int *count);
const hm_span *hm_recorder_spans(const hm_recorder *recorder, size_t *count);

/* Commands of devices, as they were told; those that did not fit are among the dropped. */
const hm_device_span *hm_recorder_device_spans(const hm_recorder *recorder, size_t *count);

/* The kernel's number of the thread that told the first span; 0: none was told. */
uint32_t hm_recorder_thread(const hm_recorder *recorder);

/* Single spans that did not fit; spans nested too deep or with too many different names (those are in no total either). */
uint64_t hm_recorder_dropped(const hm_recorder *recorder);
uint64_t hm_recorder_lost(const hm_recorder *recorder);

/* Ends that matched no begin: a mistake of the engine. */
uint64_t hm_recorder_unmatched(const hm_recorder *recorder);

/* "generate/frame/backbone". Cut when it does not fit. */
void hm_recorder_path(const hm_recorder *recorder, int node, char *out, size_t size);

/* Totals with paths as names, in the order of first appearance; returns how many there are, of which at most `room` are written. */
int hm_recorder_totals(const hm_recorder *recorder, hm_span_total *out, int room);

/* How long frames took along the song: times of the steps "frame" by index, in stretches of equal length (a power of two; the last one may
 * be shorter), at most HM_FRAME_TIMES. Returns how many are written. */
int hm_recorder_frame_times(const hm_recorder *recorder, hm_frame_time out[HM_FRAME_TIMES]);

/* ns that telling and recording one span takes here: begin and end in a loop inside a frame, kept or in totals alone; the least of a few
 * tries. HM_EABSENT without memory. */
hm_status hm_recorder_cost(const hm_clock *clock, bool kept, double *span_ns, hm_error *err);

/* The node of a path, -1 when nothing was recorded there. */
int hm_recorder_find(const hm_recorder *recorder, const char *path);

#endif
