#include "harness/device_trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITS 98 /* tracks, behind all streams */
#define OVERHEAD 99

/* What is no command has tracks of its own behind those of the streams. */
static int track_of(const hm_device_span *s)
{
    return s->kind == HM_DEVICE_WAIT ? WAITS : s->kind == HM_DEVICE_OVERHEAD ? OVERHEAD : s->stream;
}

static int by_begin(const void *a, const void *b)
{
    const hm_device_span *x = a, *y = b;
    int streams[] = {track_of(x), track_of(y)};
    int64_t first = streams[0] != streams[1] ? streams[0] : x->begin_ns, second = streams[0] != streams[1] ? streams[1] : y->begin_ns;
    return first < second ? -1 : first > second;
}

static int by_time(const void *a, const void *b)
{
    const hm_device_span *x = a, *y = b;
    return x->begin_ns < y->begin_ns ? -1 : x->begin_ns > y->begin_ns;
}

static hm_status sorted(const hm_device_span *spans, size_t count, int (*order)(const void *, const void *), hm_device_span **out,
                        hm_error *err)
{
    *out = hm_calloc(count + 1, sizeof **out, "a device's commands", err);
    if (!*out)
        return HM_EABSENT;
    if (count)
        memcpy(*out, spans, count * sizeof **out);
    qsort(*out, count, sizeof **out, order);
    return HM_OK;
}

bool hm_device_works(const hm_device_span *s)
{
    return s->kind != HM_DEVICE_WAIT && s->kind != HM_DEVICE_OVERHEAD;
}

hm_status hm_device_busy(const hm_device_span *spans, size_t count, int64_t from_ns, int64_t to_ns, int64_t *busy_ns, hm_error *err)
{
    hm_device_span *s;
    int64_t until = from_ns, busy = 0;
    hm_status st = sorted(spans, count, by_time, &s, err);
    if (st)
        return st;
    for (size_t i = 0; i < count; i++) {
        int64_t begin = s[i].begin_ns > until ? s[i].begin_ns : until, end = s[i].end_ns < to_ns ? s[i].end_ns : to_ns;
        if (end <= begin || !hm_device_works(&s[i]))
            continue;
        busy += end - begin;
        until = end;
    }
    free(s);
    *busy_ns = busy;
    return HM_OK;
}

/* By hm_device_span_kind. */
static const char *const categories[] = {"kernel", "memcpy", "memset", "sync", "overhead"};

static void name_lane(hm_trace *trace, hm_trace_track track, int stream, int lane)
{
    char text[64];
    if (stream >= WAITS)
        snprintf(text, sizeof text, "%02d %s", stream, stream == WAITS ? "waits of the host" : "overhead of tracing");
    else if (lane)
        snprintf(text, sizeof text, "%02d stream %d, beside others %d", 10 + stream, stream, lane);
    else
        snprintf(text, sizeof text, "%02d stream %d", 10 + stream, stream);
    hm_trace_name_thread(trace, track, text);
}

hm_status hm_device_trace(hm_trace *trace, const char *device, int ordinal, hm_trace_track host, const hm_device_span *spans, size_t count,
                          uint64_t *flow_id, int64_t *backwards, hm_error *err)
{
    uint32_t pid = HM_TRACE_DEVICE_PID + (uint32_t)ordinal;
    int64_t busy_until[HM_TRACE_LANES] = {0};
    char name[160];
    int lanes = 0; /* of this stream that have their name */
    hm_device_span *s;
    *backwards = 0;
    hm_status st = sorted(spans, count, by_begin, &s, err);
    if (st)
        return st;
    snprintf(name, sizeof name, "device %s", device);
    hm_trace_name_process(trace, pid, name);
    for (size_t i = 0; i < count; i++) {
        int64_t begin = s[i].begin_ns, end = s[i].end_ns;
        int stream = track_of(&s[i]);
        if (!i || stream != track_of(&s[i - 1])) {
            memset(busy_until, 0, sizeof busy_until);
            lanes = 0;
        }
        int lane = hm_trace_lane(busy_until, &begin, &end);
        hm_trace_track track = {pid, (uint32_t)(stream * HM_TRACE_LANES + lane)};
        if (lane == lanes)
            name_lane(trace, track, stream, lanes++);
        hm_trace_arg args[] = {{.key = s[i].bytes ? "bytes" : NULL, .number = (int64_t)s[i].bytes}, {0}};
        hm_trace_span_add(trace, &(hm_trace_span){track, categories[s[i].kind], s[i].name, begin, end, args});
        if (s[i].asked_ns < 0)
            continue;
        if (s[i].asked_ns <= begin)
            hm_trace_flow(trace, "launch", s[i].name, (*flow_id)++, host, s[i].asked_ns, track, begin);
        else
            ++*backwards;
    }
    free(s);
    return HM_OK;
}
