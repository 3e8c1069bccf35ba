/* A libcuda.so.1 for tests, found through LD_LIBRARY_PATH: the entries of engine/cuda/entries.def over kernels compiled for the CPU
 * (hostcuda.h). It computes what a device would and looks for what a device would not tell of: handles of nothing, memory of nobody,
 * commands without a context, missing waits, barriers that some threads never reach.
 *
 * A stream's commands run in order; with HM_SOFT_DEFER=1 late, the newest stream first, and host memory that is copied to is written then.
 * Kernels are found by name whatever the module's image holds, which need only be one of CUDA.
 *
 * Environment, beside that of tests/soft/soft_common.h:
 *   HM_SOFT_REVERSE=1        threads of a block begin with the last one
 *   HM_SOFT_CAPABILITY=N     compute capability, ten times (90)
 *   HM_SOFT_SMS=N            multiprocessors (8)
 *   HM_SOFT_VERSION=N        what cuDriverGetVersion answers (that of cuda.h) */
#ifndef HM_TESTS_CUDA_SOFT_SOFT_H
#define HM_TESTS_CUDA_SOFT_SOFT_H

#include <cuda.h>
#include <cudaTypedefs.h>

#include "tests/cuda_soft/hc.h"
#include "tests/soft/soft_common.h"

#undef cuEventElapsedTime /* a name of its own, not of its latest version */

/* --- entries --- */

typedef enum soft_entry {
#define HM_CUDA_ENTRY(symbol, type) SOFT_##symbol,
#define HM_CUDA_NEWER(symbol, type) SOFT_##symbol,
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER
    SOFT_ENTRIES
} soft_entry;

#define HM_CUDA_ENTRY(symbol, type) SOFT_EXPORT __typeof__(*(type)0) symbol;
#define HM_CUDA_NEWER(symbol, type) SOFT_EXPORT __typeof__(*(type)0) symbol;
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER

#define ENTER(name)                              \
    do {                                         \
        int early_ = hm_soft_enter(SOFT_##name); \
        if (early_)                              \
            return (CUresult)early_;             \
    } while (0)

/* Of entries that give back: they do so on a device that is lost, too, and then say that it is. */
#define ENTER_LAST(name)                         \
    do {                                         \
        int early_ = hm_soft_enter(SOFT_##name); \
        if (REFUSED(early_))                     \
            return (CUresult)early_;             \
    } while (0)
#define REFUSED(early) ((early) && !(hm_soft_lost() && (early) == hm_soft_lost_result()))
#define LAST_RESULT ((CUresult)(hm_soft_lost() ? hm_soft_lost_result() : CUDA_SUCCESS))

typedef struct soft_own {
    int reverse, capability, sms, version;
} soft_own;

extern soft_own hm_soft_own;

/* --- handles --- */

typedef enum soft_kind {
    SOFT_CONTEXT,
    SOFT_MODULE,
    SOFT_STREAM,
    SOFT_EVENT,
    SOFT_GRAPH,
    SOFT_GRAPH_EXEC,
    SOFT_KINDS
} soft_kind;

#define TAKE(out, handle, kind)                                   \
    do {                                                          \
        int taken_ = hm_soft_take((void **)&(out), handle, kind); \
        if (taken_)                                               \
            return (CUresult)taken_;                              \
    } while (0)
#define NEED(pointer)                                                \
    do {                                                             \
        if (!(pointer))                                              \
            return (CUresult)hm_soft_misuse("%s is NULL", #pointer); \
    } while (0)

typedef struct soft_device {
    int index, retained;
    struct soft_context *primary;
    uint64_t used_bytes;
} soft_device;

typedef struct soft_context {
    soft_object object;
    soft_device *device;
} soft_context;

extern soft_device hm_soft_devices[SOFT_MAX_DEVICES];
/* The calling thread's, in `out`; none is misuse. */
CUresult hm_soft_context(soft_context **out);
#define CONTEXT(out)                               \
    do {                                           \
        CUresult found_ = hm_soft_context(&(out)); \
        if (found_)                                \
            return found_;                         \
    } while (0)

typedef struct soft_module {
    soft_object object;
} soft_module;

/* Of a module: its uses show after that was unloaded. */
typedef struct soft_function {
    struct soft_function *next;
    soft_module *module;
    const hc_entry *entry;
    soft_spent *spent;
    uint32_t most_shared; /* dynamic, of a launch */
} soft_function;

typedef struct soft_event {
    soft_object object;
    bool timed, recorded;
    int pending; /* commands that will record it */
    uint64_t ns;
} soft_event;

/* --- commands --- */

typedef enum soft_what {
    SOFT_COPY,
    SOFT_FILL,
    SOFT_LAUNCH,
    SOFT_RECORD
} soft_what;

typedef struct soft_command {
    struct soft_command *next;
    soft_what what;
    bool gone; /* its memory was freed: it is not done */
    void *to;
    const void *from; /* or the bytes themselves, behind this */
    size_t bytes;
    uint32_t pattern, shared;
    soft_function *function;
    hc_size grid, block;
    void **values;
    soft_event *event;
} soft_command;

typedef struct soft_commands {
    soft_command *first, *last;
    int count;
} soft_commands;

typedef struct soft_graph { /* and its executable form */
    soft_object object;
    soft_commands commands;
} soft_graph;

typedef struct soft_stream {
    soft_object object;
    struct soft_stream *next;
    soft_commands waiting;
    soft_graph *captured; /* NULL: it does what it is told */
    CUstreamCaptureMode mode;
    pthread_t captures; /* who began it */
    bool broken;        /* the capture */
    bool endless;       /* the capture: its end was made to fail */
} soft_stream;

/* Puts a copy of the command on the stream, or into what it captures. `keep`: bytes at c->from that are copied at once; 0: none. */
CUresult hm_soft_submit(soft_stream *s, const soft_command *c, size_t keep);
/* A copy in one piece: free(). NULL: no memory. */
soft_command *hm_soft_command_copy(const soft_command *c, size_t keep);
void hm_soft_commands_add(soft_commands *all, soft_command *c);
void hm_soft_commands_free(soft_commands *all);
CUresult hm_soft_submit_all(soft_stream *s, const soft_commands *all);
/* What must not be called while a stream captures: an error, and that capture is broken. */
CUresult hm_soft_uncaptured(void);

#endif
