/* `trace check`: does a trace keep the rules that make viewers show what was measured? docs/traces.md gives them in full. */
#ifndef HM_TRACES_CHECK_H
#define HM_TRACES_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

/* Number, what is demanded. */
#define HM_TRACE_RULES(X)                                                                              \
    X(1, FORM, "object form, every event an object with a known ph and no nulls")                      \
    X(2, TIME, "ts and dur: numbers in microseconds, 3 decimals, from 0, no exponent")                 \
    X(3, ROUNDING, "neighbours and parents touch without overlaps of less than 1 us")                  \
    X(4, NESTING, "spans of a track nest or are disjoint, none is negative or nested deeper than 512") \
    X(5, PAIRS, "B and E come in pairs of the same name")                                              \
    X(6, INSTANT, "instants have a scope: t, p or g")                                                  \
    X(7, ASYNC, "async spans have cat and id, begin and end once, ids do not overlap")                 \
    X(8, FLOW, "flows start and end inside spans, have one number, and do not go back in time")        \
    X(9, COUNTER, "counters hold one number each")                                                     \
    X(10, TRACK, "pid and tid are unsigned 32-bit numbers, tracks have names")

enum {
#define HM_TRACE_RULE_ENUM(number, name, text) HM_TRACE_##name = number,
    HM_TRACE_RULES(HM_TRACE_RULE_ENUM)
#undef HM_TRACE_RULE_ENUM
    HM_TRACE_RULE_END
};

typedef struct hm_trace_finding {
    int64_t checked;          /* things that the rule was held against */
    int64_t errors, warnings; /* warnings: viewers cope */
    int64_t first_event;      /* the first offender (an error, else a warning); -1: the file as a whole, or none */
    char first[200];          /* what is wrong with it; empty when nothing is */
} hm_trace_finding;

typedef struct hm_trace_report {
    int64_t events, errors, warnings;
    hm_trace_finding rules[HM_TRACE_RULE_END]; /* by number; 0 unused */
} hm_trace_report;

/* Reads and judges. Errors in the trace are in the report (and the status is HM_OK); a file that is no trace or broken JSON is a
 * failure: see hm_trace_read. */
hm_status hm_trace_check(const char *path, hm_trace_report *out, hm_error *err);
hm_status hm_trace_check_text(const char *text, size_t size, const char *where, hm_trace_report *out, hm_error *err);

const char *hm_trace_rule_text(int rule);

#endif
