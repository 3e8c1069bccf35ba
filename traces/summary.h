/* `trace stats` and `trace diff`: figures per span name, from a trace file alone. */
#ifndef HM_TRACES_SUMMARY_H
#define HM_TRACES_SUMMARY_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "traces/idle.h"

/* All spans of one name and category. */
typedef struct hm_trace_row {
    char *name, *category;
    int64_t count, total_ns, self_ns, min_ns, max_ns; /* self: without the spans inside */
    int64_t frames;                                   /* spans "frame" that hold at least one of them */
    int64_t frame_ns;                                 /* length of those frames */
    int64_t in_frames, in_frames_ns;                  /* those that lie in frames, and their time */
} hm_trace_row;

typedef struct hm_trace_summary {
    hm_trace_row *rows; /* by total, longest first */
    int count;
    int64_t total_ns; /* of the spans that lie in no other, over all tracks */
    int64_t frames, frames_ns;
    hm_idle_report idle;
} hm_trace_summary;

/* Statuses as hm_trace_read. Spans that break the rules are counted as far as they make sense; `trace check` tells them. */
hm_status hm_trace_summarise(const char *path, hm_trace_summary *out, hm_error *err);
hm_status hm_trace_summarise_text(const char *text, size_t size, const char *where, hm_trace_summary *out, hm_error *err);
void hm_trace_summary_free(hm_trace_summary *summary);

/* The row of a name and category, NULL when there is none. */
const hm_trace_row *hm_trace_summary_find(const hm_trace_summary *summary, const char *name, const char *category);

#endif
