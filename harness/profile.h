/* Inside of `hmbench profile`: one case run with and without tracing, in turns, and what is made of it. */
#ifndef HM_HARNESS_PROFILE_H
#define HM_HARNESS_PROFILE_H

#include "engine/cpu/bench.h"
#include "harness/case.h"
#include "harness/device_watch.h"
#include "harness/engine_open.h"
#include "harness/memory_sampler.h"
#include "harness/probe.h"
#include "harness/progress.h"
#include "harness/recording.h"
#include "reports/stats.h"
#include "harness/settings.h"
#include "suites/suite.h"
#include "traces/chrome.h"

#define HM_PROFILE_RUNS 16

typedef struct hm_profile_args {
    hm_engine_choice engine;
    const char *name, *trace, *window, *trace_max;
    double seconds;
    int64_t repeat;
    bool quiet, limits;
    /* worked out of the above */
    int64_t window_from, window_to, max_bytes;
} hm_profile_args;

/* One timed generation. */
typedef struct hm_profile_run {
    int64_t start_ns, wall_ns, prefill_ns, generate_ns, decode_ns, overlapped_ns, frames;
    hm_work work[3];                               /* prefill, generate, decode */
    bool integers[3];                              /* some of their weights are quantised */
    uint64_t step_weight_bytes;                    /* of a frame, each pass anew, or of a transcript's step */
    uint64_t distinct_weight_bytes, step_kv_bytes; /* a transcript's step reads keys and values, too */
    int64_t encode_ns;                             /* of prefill, of a transcript */
} hm_profile_run;

/* What the machine can do at most with the threads of the run; NaN: not known. */
typedef struct hm_profile_limits {
    double memory_gb_s, cache_gb_s, gflop_s, int8_gop_s;
    int64_t cache_bytes; /* block that the last level of caches was measured with */
    const char *source;  /* "not measured", "measured just before and after" */
} hm_profile_limits;

/* A run whose frames take turns with readings of memory: means of the same moments. */
typedef struct hm_profile_turns {
    hm_probe probe; /* the recorder's inner one: progress, and in such a run a reading at every frame's end */
    hm_progress *progress;
    hm_cpu_reader *reader; /* NULL: no such run */
    int64_t begun_ns, frames, frames_ns, reads_ns;
} hm_profile_turns;

/* What tracing costs. */
typedef struct hm_profile_cost {
    double span_ns, total_ns;                 /* of one span that is kept, or in totals alone, in a loop */
    double frame_ns;                          /* without tracing */
    double phase_spans, part_spans, op_spans; /* per frame: phases and frames; parts; operations and waits of frames in the window */
    double phase_share, part_share, op_share; /* of a frame's time; NaN: there are none */
    hm_interval paired;                       /* traced / plain, Hodges-Lehmann with its 95 % interval; low and high NaN below 6 pairs */
    int pairs;
} hm_profile_cost;

typedef struct hm_profile {
    const hm_settings *settings; /* of the case; NULL: its own */
    const hm_profile_args *args;
    hm_suite *suite;
    const hm_suite_case *kase;
    float *reference;        /* of the voice to clone */
    hm_case_record listened; /* the case, with what it listens to */
    hm_recording recording;
    hm_singer singer;
    char recording_path[HM_MODEL_PATH];
    hm_request request;
    hm_engine_opened opened;
    bool timestamps;                /* its operations are timed on the device */
    hm_recorder *recorder, *beside; /* beside: of the decoder's thread; NULL: it has none */
    hm_memory_sampler *sampler;
    hm_device_watch *device; /* NULL: no GPU */
    hm_profile_run plain[HM_PROFILE_RUNS], traced[HM_PROFILE_RUNS];
    int plain_count, traced_count;
    uint64_t kv_bytes;
    int64_t epoch_ns; /* time of day at the start of the last traced run */
    hm_profile_limits machine;
    hm_profile_turns turns;
    hm_profile_cost cost;
} hm_profile;

/* For a moment, with the engine's threads: the better of this time and those before. Nothing is measured when args->limits is off. */
hm_status hm_profile_measure_limits(hm_profile *p, hm_error *err);

/* The probe that the recorder passes on to; `progress` outlives the engine. */
void hm_profile_turns_init(hm_profile_turns *t, hm_progress *progress);
/* Whether generate of the run reads from memory, and is alone with it: what turns are for. The limits have been measured. */
bool hm_profile_turns_wanted(const hm_profile *p, const hm_profile_run *run);
/* A run whose frames take turns, of a song's or utterance's first HM_PROFILE_TURNS frames. */
hm_status hm_profile_take_turns(hm_profile *p, hm_error *err);
/* GB/s in the mean of the readings; NaN: there were none. */
double hm_profile_turns_gb_s(const hm_profile_turns *t);
#define HM_PROFILE_TURNS 100

/* After the runs. */
hm_status hm_profile_find_cost(hm_profile *p, hm_error *err);

/* "+0.4 % [-0.3, +1.1], 95 %, n=6", or "+0.4 %, n=2, no interval". Returns out. */
const char *hm_profile_paired_text(const hm_profile_cost *cost, char *out, size_t size);

/* A phase (0 prefill, 1 generate, 2 decode) of the run against the machine's limits; NaN: not known. Of generate GB/s are those of the
 * frames that took turns with readings, if any did, and its limit is what those read. */
typedef struct hm_profile_rate {
    double bytes, gb_s, read_share, flops, gflop_s, flop_share;
    const char *read_limit; /* "memory", "cache" */
    bool again;             /* frames read some weights several times, which caches may give in part: the share may be beyond 1 */
} hm_profile_rate;
hm_profile_rate hm_profile_rate_of(const hm_profile *p, const hm_profile_run *run, int phase);
/* The share of reading as hm_limit_share_text has it, or "108 %, some of it from caches". Returns out. */
const char *hm_profile_read_text(const hm_profile_rate *rate, char *out, size_t size);

const char *hm_profile_kind(hm_span_kind kind); /* category in traces */

/* The last traced run as a trace. */
hm_status hm_profile_write(const hm_profile *p, int64_t *events, hm_error *err);

/* What people read. */
hm_status hm_profile_print(const hm_profile *p, int64_t events, hm_error *err);

/* Frames of generate in the trace's window, and their time. */
int64_t hm_profile_window_frames(const hm_profile *p, int64_t *ns);
/* The same, from the first one's begin to the last one's end. */
int64_t hm_profile_window_time(const hm_profile *p, int64_t *from_ns, int64_t *to_ns);

/* Tracks and counters of devices with a clock of their own; pid: of the host. */
hm_status hm_profile_write_devices(const hm_profile *p, hm_trace *trace, uint32_t pid, hm_error *err);
/* How busy such a device was in the window's frames, and with what. */
hm_status hm_profile_print_device(const hm_profile *p, hm_error *err);

#endif
