#define _GNU_SOURCE
#include "engine/cuda/activity_impl.h"

#include <cuda.h>
#include <cupti.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/time.h"

#define BUFFER_BYTES ((size_t)1 << 20)
#define BUFFER_ALIGN 64 /* and what is before its first record */
#define READINGS 5      /* of both clocks, of which the quickest counts */
#define PATIENCE 5      /* times that records are waited for ... */
#define PATIENCE_NS 200000

#define LIBRARY "libcupti.so.%d"
#define SERIES (CUDA_VERSION / 1000) /* of the toolkit whose headers these are */

#define ENTRIES(X)                            \
    X(cuptiGetVersion)                        \
    X(cuptiGetResultString)                   \
    X(cuptiGetTimestamp)                      \
    X(cuptiActivityRegisterCallbacks)         \
    X(cuptiActivityEnable)                    \
    X(cuptiActivityDisable)                   \
    X(cuptiActivityEnableDriverApi)           \
    X(cuptiActivityFlushAll)                  \
    X(cuptiActivityGetNextRecord)             \
    X(cuptiActivityGetNumDroppedRecords)      \
    X(cuptiActivityPushExternalCorrelationId) \
    X(cuptiActivityPopExternalCorrelationId)

typedef struct cupti_api {
    void *library;
#define ENTRY(name) __typeof__(name) *name;
    ENTRIES(ENTRY)
#undef ENTRY
} cupti_api;

struct hm_activity_trace {
    cupti_api cupti;
    hm_activity_calls *calls;
    hm_gpu_clock clock;
    const hm_log *log;
    hm_error failure; /* of a call: told when records are collected */
    bool failed, pushed, impatient;
    int64_t missing, strangers;
};

/* CUPTI's callbacks know no context, so the buffers are the process's. */
typedef struct buffer {
    struct buffer *next;
    size_t valid_bytes;
} buffer;

static struct {
    pthread_mutex_t lock;
    bool taken;           /* a trace is open */
    buffer *done, **last; /* in the order in which they came */
} handed = {.lock = PTHREAD_MUTEX_INITIALIZER, .last = &handed.done};

static void CUPTIAPI on_request(uint8_t **out, size_t *bytes, size_t *most_records)
{
    buffer *b = aligned_alloc(BUFFER_ALIGN, BUFFER_ALIGN + BUFFER_BYTES);
    *out = b ? (uint8_t *)b + BUFFER_ALIGN : NULL;
    *bytes = b ? BUFFER_BYTES : 0;
    *most_records = 0;
}

static void CUPTIAPI on_done(CUcontext context, uint32_t stream, uint8_t *records, size_t bytes, size_t valid_bytes)
{
    (void)context;
    (void)stream;
    (void)bytes;
    if (!records)
        return;
    buffer *b = (buffer *)(void *)(records - BUFFER_ALIGN);
    *b = (buffer){NULL, valid_bytes};
    pthread_mutex_lock(&handed.lock);
    *handed.last = b;
    handed.last = &b->next;
    pthread_mutex_unlock(&handed.lock);
}

static buffer *take_buffers(void)
{
    pthread_mutex_lock(&handed.lock);
    buffer *all = handed.done;
    handed.done = NULL;
    handed.last = &handed.done;
    pthread_mutex_unlock(&handed.lock);
    return all;
}

/* --- the library --- */

static hm_status refused(const cupti_api *cupti, const char *call, CUptiResult result, hm_error *err)
{
    const char *name = NULL;
    if (cupti->cuptiGetResultString(result, &name) || !name)
        name = "unknown result";
    return hm_fail(err, HM_EABSENT,
                   "tracing not available: %s: %s (%d); it needs NVIDIA's driver, a right to profile, and no other profiler", call, name,
                   (int)result);
}

static hm_status load(cupti_api *cupti, hm_error *err)
{
    static const char *const places[] = {"", "/usr/local/cuda/lib64/", "/usr/local/cuda/extras/CUPTI/lib64/"};
    char path[96];
    uint32_t version = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places && !cupti->library; i++) {
        snprintf(path, sizeof path, "%s" LIBRARY, places[i], SERIES);
        cupti->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE); /* it has threads, and keeps what it allocated */
    }
    if (!cupti->library)
        return hm_fail(err, HM_EABSENT, "tracing not available: " LIBRARY " is not found; it comes with the CUDA toolkit (LD_LIBRARY_PATH)",
                       SERIES);
#define ENTRY(name)                                          \
    *(void **)(&cupti->name) = dlsym(cupti->library, #name); \
    if (!cupti->name)                                        \
        return hm_fail(err, HM_EABSENT, "tracing not available: " LIBRARY " has no " #name, SERIES);
    ENTRIES(ENTRY)
#undef ENTRY
    if (cupti->cuptiGetVersion(&version) || version < CUPTI_API_VERSION || version / 10000 != CUPTI_API_VERSION / 10000)
        return hm_fail(err, HM_EABSENT,
                       "tracing not available: " LIBRARY " has records of version %" PRIu32
                       ", this program reads those of %d and later ones of the same series",
                       SERIES, version, CUPTI_API_VERSION);
    return HM_OK;
}

/* CUPTI may call back as long as the process lives: this code must not go away with its module. */
static void stay(void)
{
    Dl_info here;
    if (dladdr((void *)&handed, &here) && here.dli_fname) {
        void *self = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
        if (self)
            dlclose(self);
    }
}

/* --- what is traced --- */

static const CUpti_ActivityKind kinds[] = {
    CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION, CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET,
    CUPTI_ACTIVITY_KIND_SYNCHRONIZATION,      CUPTI_ACTIVITY_KIND_OVERHEAD};
#define KINDS (sizeof kinds / sizeof *kinds)

/* Links are made for calls that have records: those that ask for work, of ours and of libraries. */
static const CUpti_CallbackId driver_calls[] = {
    CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel,
    CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx,
    CUPTI_DRIVER_TRACE_CBID_cuLaunchKernelEx_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuLaunchCooperativeKernel,
    CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch,
    CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyAsync,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyAsync_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyHtoDAsync_v2,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyHtoDAsync_v2_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyDtoHAsync_v2,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyDtoHAsync_v2_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyDtoDAsync_v2,
    CUPTI_DRIVER_TRACE_CBID_cuMemcpyDtoDAsync_v2_ptsz,
    CUPTI_DRIVER_TRACE_CBID_cuMemsetD32Async,
    CUPTI_DRIVER_TRACE_CBID_cuMemsetD32Async_ptsz,
};

static hm_status enable(const cupti_api *cupti, hm_error *err)
{
    CUptiResult result = cupti->cuptiActivityRegisterCallbacks(on_request, on_done);
    if (result)
        return refused(cupti, "cuptiActivityRegisterCallbacks", result, err);
    for (size_t i = 0; i < KINDS && !result; i++)
        result = cupti->cuptiActivityEnable(kinds[i]);
    if (result)
        return refused(cupti, "cuptiActivityEnable", result, err);
    for (size_t i = 0; i < sizeof driver_calls / sizeof *driver_calls && !result; i++)
        result = cupti->cuptiActivityEnableDriverApi(driver_calls[i], 1);
    return result ? refused(cupti, "cuptiActivityEnableDriverApi", result, err) : HM_OK;
}

static void disable(const cupti_api *cupti)
{
    for (size_t i = 0; i < sizeof driver_calls / sizeof *driver_calls; i++)
        cupti->cuptiActivityEnableDriverApi(driver_calls[i], 0);
    for (size_t i = 0; i < KINDS; i++)
        cupti->cuptiActivityDisable(kinds[i]);
}

/* CUPTI's clock is the time of day, which is set now and then; ours is not. */
static hm_status read_clock(hm_activity_trace *t, hm_error *err)
{
    int64_t best = INT64_MAX, at = 0;
    uint64_t theirs = 0;
    for (int i = 0; i < READINGS; i++) {
        uint64_t now = 0;
        int64_t before = hm_now_ns();
        CUptiResult result = t->cupti.cuptiGetTimestamp(&now);
        int64_t after = hm_now_ns();
        if (result)
            return refused(&t->cupti, "cuptiGetTimestamp", result, err);
        if (after - before < best) {
            best = after - before;
            at = before + best / 2;
            theirs = now;
        }
    }
    hm_gpu_clock_read(&t->clock, at, theirs);
    return HM_OK;
}

static hm_status open_trace(hm_activity_trace *t, hm_error *err)
{
    hm_status st = load(&t->cupti, err);
    if (!st)
        st = hm_activity_calls_open(&t->calls, err);
    if (st)
        return st;
    hm_gpu_clock_init(&t->clock, 1000000000, 64);
    st = read_clock(t, err);
    if (st)
        return st;
    stay();
    st = enable(&t->cupti, err);
    if (st)
        disable(&t->cupti);
    return st;
}

static void give_up_turn(void)
{
    pthread_mutex_lock(&handed.lock);
    handed.taken = false;
    pthread_mutex_unlock(&handed.lock);
}

static void release(hm_activity_trace *t)
{
    hm_activity_calls_close(&t->calls);
    for (buffer *b = take_buffers(), *next; b; b = next) {
        next = b->next;
        free(b);
    }
    if (t->cupti.library)
        dlclose(t->cupti.library);
    free(t);
    give_up_turn();
}

hm_status hm_activity_open(hm_activity_trace **out, const hm_log *log, hm_error *err)
{
    *out = NULL;
    pthread_mutex_lock(&handed.lock);
    bool busy = handed.taken;
    handed.taken = true;
    pthread_mutex_unlock(&handed.lock);
    if (busy)
        return hm_fail(err, HM_EABSENT, "tracing not available: another device of this process is traced, and CUPTI traces all at once");
    hm_activity_trace *t = hm_calloc(1, sizeof *t, "tracing", err);
    if (!t) {
        give_up_turn();
        return HM_EABSENT;
    }
    t->log = log;
    hm_status st = open_trace(t, err);
    if (st)
        release(t);
    else
        *out = t;
    return st;
}

void hm_activity_close(hm_activity_trace **trace)
{
    hm_activity_trace *t = *trace;
    size_t lost = 0;
    if (!t)
        return;
    *trace = NULL;
    t->cupti.cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    disable(&t->cupti);
    t->cupti.cuptiActivityGetNumDroppedRecords(NULL, 0, &lost);
    if (t->missing || t->strangers || lost)
        hm_log_write(t->log, HM_LOG_WARNING,
                     "tracing: %" PRId64 " commands have no times, %" PRId64 " times are of no command, CUPTI dropped %zu records",
                     t->missing, t->strangers, lost);
    release(t);
}

/* --- calls --- */

static void keep_failure(hm_activity_trace *t, hm_status st)
{
    t->failed = t->failed || st;
}

void hm_activity_begin(hm_activity_trace *t, const hm_activity_call *call)
{
    if (t->failed)
        return;
    hm_activity_end(t); /* of a call that failed */
    uint64_t number = hm_activity_calls_add(t->calls, call, hm_now_ns(), &t->failure);
    keep_failure(t, number ? HM_OK : HM_EABSENT);
    if (t->failed)
        return;
    CUptiResult result = t->cupti.cuptiActivityPushExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, number);
    if (result)
        keep_failure(t, refused(&t->cupti, "cuptiActivityPushExternalCorrelationId", result, &t->failure));
    t->pushed = !result;
}

void hm_activity_end(hm_activity_trace *t)
{
    uint64_t ignored;
    if (t->pushed)
        t->cupti.cuptiActivityPopExternalCorrelationId(CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0, &ignored);
    t->pushed = false;
}

static hm_status on_record(void *self, const hm_activity *activity, hm_error *err)
{
    hm_activity_trace *t = self;
    return hm_activity_calls_record(t->calls, activity, &t->clock, err);
}

static int next_record(void *self, uint8_t *records, size_t valid_bytes, void **record)
{
    const hm_activity_trace *t = self;
    CUpti_Activity *at = *record;
    CUptiResult result = t->cupti.cuptiActivityGetNextRecord(records, valid_bytes, &at);
    *record = at;
    return (int)result;
}

/* Takes over what CUPTI gives out now. */
static hm_status flush(hm_activity_trace *t, uint32_t flag, int64_t *missing, hm_error *err)
{
    const hm_activity_reader reader = {t, next_record, on_record};
    CUptiResult result = t->cupti.cuptiActivityFlushAll(flag);
    hm_status st = result ? refused(&t->cupti, "cuptiActivityFlushAll", result, err) : HM_OK;
    for (buffer *b = take_buffers(), *next; b; b = next) {
        next = b->next;
        if (!st)
            st = hm_activity_decode((uint8_t *)b + BUFFER_ALIGN, b->valid_bytes, &reader, err);
        free(b);
    }
    return st ? st : hm_activity_calls_match(t->calls, missing, err);
}

hm_status hm_activity_collect(hm_activity_trace *t, hm_error *err)
{
    const struct timespec a_while = {.tv_nsec = PATIENCE_NS};
    int64_t missing = 0;
    if (t->failed) {
        *err = t->failure;
        return HM_EABSENT;
    }
    hm_status st = read_clock(t, err);
    if (!st)
        st = flush(t, 0, &missing, err);
    for (int i = 0; i < PATIENCE && !st && missing && !t->impatient; i++) { /* the device is done, CUPTI may not be yet */
        nanosleep(&a_while, NULL);
        st = flush(t, i == PATIENCE - 1 ? CUPTI_ACTIVITY_FLAG_FLUSH_FORCED : 0, &missing, err);
    }
    t->impatient = t->impatient || missing;
    t->missing += missing;
    t->strangers += hm_activity_calls_forget(t->calls);
    return st;
}

int hm_activity_take(hm_activity_trace *t, uint32_t tag, hm_gpu_time *out, int room)
{
    return hm_activity_calls_take(t->calls, tag, out, room);
}
