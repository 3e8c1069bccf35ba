/* Commands of a device as tracks of a trace, and how much of the time it was at work. */
#ifndef HM_HARNESS_DEVICE_TRACE_H
#define HM_HARNESS_DEVICE_TRACE_H

#include <stdbool.h>

#include "engine/base/probe.h"
#include "traces/chrome.h"

/* Whether it is a command; else a wait of the host or overhead, which no time of the device goes to. */
bool hm_device_works(const hm_device_span *span);

/* Time in [from_ns, to_ns) in which at least one of the commands ran, whatever their order and overlap. HM_EABSENT without memory. */
hm_status hm_device_busy(const hm_device_span *spans, size_t count, int64_t from_ns, int64_t to_ns, int64_t *busy_ns, hm_error *err);

/* Device `ordinal` as a process of its own: a track per stream, lanes where commands overlap, tracks for waits and overhead, an arrow from where the host asked
 * (on `host`) to each command or to the first of those asked for together. flow_id: the first free one; moved on. A command that by the two
 * clocks began before it was asked for gets no arrow; *backwards counts them. */
hm_status hm_device_trace(hm_trace *trace, const char *device, int ordinal, hm_trace_track host, const hm_device_span *spans, size_t count,
                          uint64_t *flow_id, int64_t *backwards, hm_error *err);

#endif
