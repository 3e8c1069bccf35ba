/* A Level Zero driver over OpenCL on the CPU, for tests: the real loader takes it when ZE_ENABLE_ALT_DRIVERS names its file. It computes
 * what a device would and looks for what a device would not tell of: handles of nothing, wrong structures, memory of nobody, missing waits.
 *
 * Environment, beside that of tests/soft/soft_common.h:
 *   HM_SOFT_DEFER=1          and in reverse between barriers unless a list is in order
 *   HM_SOFT_TIMER_BITS=N     valid bits of timestamps (32); HM_SOFT_TIMER_NS=N: ns of a tick (52)
 *   HM_SOFT_API_MINOR=N      minor version of the interface that the driver says it has (4): from 9 on lists can keep their order
 *   HM_SOFT_SYSMAN=all|none  whether it has Sysman (all)
 * PoCL's kernels are kept in POCL_CACHE_DIR, a folder of the build unless it is set; POCL_DEVICES is "basic" unless it is set. */
#ifndef HM_TESTS_ZE_SOFT_SOFT_H
#define HM_TESTS_ZE_SOFT_SOFT_H

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 300
#endif
#include <CL/cl.h>
#include <level_zero/ze_api.h>
#include <level_zero/ze_ddi.h>
#include <level_zero/zes_api.h>
#include <level_zero/zes_ddi.h>

#include "tests/soft/soft_common.h"

#define SOFT_VENDOR 0x686d /* "hm": nobody's */
#define SOFT_NAME "hmbench software device"

/* --- entries --- */

typedef enum soft_entry {
#define SOFT_ENTRY(name, lost) SOFT_##name,
#include "tests/ze_soft/entries.def"
#undef SOFT_ENTRY
    SOFT_ENTRIES
} soft_entry;

#define ENTER(name)                              \
    do {                                         \
        int early_ = hm_soft_enter(SOFT_##name); \
        if (early_)                              \
            return (ze_result_t)early_;          \
    } while (0)

typedef struct soft_own {
    bool sysman;
    int timer_bits, api_minor;
    uint64_t timer_ns;
} soft_own;

extern soft_own hm_soft_own;

/* --- handles --- */

typedef enum soft_kind {
    SOFT_CONTEXT,
    SOFT_MODULE,
    SOFT_BUILD_LOG,
    SOFT_KERNEL,
    SOFT_EVENT_POOL,
    SOFT_EVENT,
    SOFT_LIST,
    SOFT_QUEUE,
    SOFT_FENCE,
    SOFT_KINDS
} soft_kind;

#define TAKE(out, handle, kind)                                   \
    do {                                                          \
        int taken_ = hm_soft_take((void **)&(out), handle, kind); \
        if (taken_)                                               \
            return (ze_result_t)taken_;                           \
    } while (0)

/* A structure's stype must be what it is: the first member, whatever the structure. */
ze_result_t hm_soft_stype(const void *structure, int expected, const char *what);
#define STYPE(structure, expected, what)                                      \
    do {                                                                      \
        ze_result_t typed_ = hm_soft_stype(structure, (int)(expected), what); \
        if (typed_)                                                           \
            return typed_;                                                    \
    } while (0)
#define NEED(pointer)                                    \
    do {                                                 \
        if (!(pointer)) {                                \
            hm_soft_misuse("%s is NULL", #pointer);      \
            return ZE_RESULT_ERROR_INVALID_NULL_POINTER; \
        }                                                \
    } while (0)

/* --- devices: soft_driver.c --- */

typedef struct soft_device {
    int index;
    uint64_t used_bytes, busy_ns;
} soft_device;

typedef struct soft_context {
    soft_object object;
} soft_context;

extern soft_device hm_soft_devices[SOFT_MAX_DEVICES];
ze_result_t hm_soft_device(soft_device **out, const void *handle);
uint64_t hm_soft_ticks(uint64_t ns);
/* How enumerations answer: how many there are, and as many of them as were asked for. */
uint32_t hm_soft_count(uint32_t *count, uint32_t have);

/* --- OpenCL: soft_opencl.c --- */

typedef struct soft_opencl {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    bool takes_spirv;
    char name[200], cache[400];
} soft_opencl;

extern soft_opencl hm_soft_cl;
bool hm_soft_cl_open(void);                                                      /* once; false: there is no OpenCL on a CPU */
cl_program hm_soft_cl_program(const void *spirv, size_t bytes, char **log_text); /* built; NULL: log_text says why; caller frees */

soft_device *hm_soft_device_of(const soft_memory *m); /* NULL: of the host */

/* --- modules and kernels: soft_spirv.c, soft_module.c --- */

#define SOFT_ARGUMENTS 64
#define SOFT_VALUE_BYTES 16

typedef enum soft_argument_kind {
    SOFT_BY_VALUE,
    SOFT_GLOBAL,
    SOFT_LOCAL
} soft_argument_kind;

typedef struct soft_argument {
    soft_argument_kind kind;
    uint32_t bytes; /* 0: not known */
} soft_argument;

/* An entry point of a SPIR-V module. */
typedef struct soft_entry_point {
    char name[96];
    uint32_t function;
    uint32_t required[3]; /* group size; 0: any */
    int count;
    soft_argument arguments[SOFT_ARGUMENTS];
} soft_entry_point;

/* All of a module's; NULL: not SPIR-V of kernels, or too many arguments. Caller frees. */
soft_entry_point *hm_soft_spirv_read(const void *spirv, size_t bytes, int *count);

typedef struct soft_module {
    soft_object object;
    soft_context *context;
    soft_device *device;
    cl_program program;
    soft_entry_point *entries;
    int count, kernels; /* entry points; kernels alive */
    void *spirv;
    size_t bytes;
} soft_module;

typedef struct soft_value {
    uint32_t bytes;
    bool set, known; /* known: hm_soft_memory_find found the pointer when `freed` were freed */
    uint64_t freed;
    unsigned char data[SOFT_VALUE_BYTES];
} soft_value;

typedef struct soft_kernel {
    soft_object object;
    soft_spent *spent;
    soft_module *module;
    const soft_entry_point *entry;
    cl_kernel kernel;
    atomic_int pending; /* launches that wait */
    uint32_t group[3];
    ze_kernel_indirect_access_flags_t indirect;
    soft_value values[SOFT_ARGUMENTS];
    soft_value given[SOFT_ARGUMENTS]; /* what OpenCL has */
} soft_kernel;

/* --- events: soft_event.c --- */

typedef struct soft_event_pool {
    soft_object object;
    soft_context *context;
    ze_event_pool_flags_t flags;
    uint32_t count, alive;
    bool *used;
} soft_event_pool;

typedef struct soft_event {
    soft_object object;
    soft_event_pool *pool;
    uint32_t index;
    atomic_bool signalled;
    atomic_int pending; /* commands that will signal it or wait for it */
    uint64_t begin_ns, end_ns;
} soft_event;

/* --- commands: soft_command.c runs them, soft_lane.c orders them --- */

typedef enum soft_what {
    SOFT_COPY,
    SOFT_FILL,
    SOFT_LAUNCH,
    SOFT_BARRIER,
    SOFT_SIGNAL,
    SOFT_WAIT,
    SOFT_RESET,
    SOFT_STAMP,
    SOFT_STAMPS,
    SOFT_FENCE_SIGNAL
} soft_what;

typedef struct soft_fence soft_fence;

typedef struct soft_command {
    soft_what what;
    soft_device *device;
    void *to;
    const void *from;
    bool to_ours, from_ours; /* in allocations, when it was appended */
    size_t bytes, pattern_bytes;
    unsigned char pattern[128];
    soft_kernel *kernel;
    uint32_t group[3], groups[3];
    soft_value *values;
    soft_event *signal;
    soft_fence *fence;
    soft_event **wait;
    uint32_t waits;
    soft_event **stamps; /* of SOFT_STAMPS */
    uint32_t stamp_count;
} soft_command;

ze_result_t hm_soft_command_check(soft_command *c); /* when it is appended: memory, arguments */
ze_result_t hm_soft_command_run(const soft_command *c);
void hm_soft_command_signal(const soft_command *c);        /* then: events and fence */
soft_command *hm_soft_command_copy(const soft_command *c); /* one block: free() */
bool hm_soft_command_ready(const soft_command *c);         /* the events it waits for are signalled */
void hm_soft_command_pend(const soft_command *c, int by);
bool hm_soft_command_uses(const soft_command *c, const soft_memory *m, char *what, size_t room);
const char *hm_soft_command_name(const soft_command *c);

typedef struct soft_list soft_list;

typedef struct soft_step {
    soft_command *command;
    soft_list *list; /* whose recording it is; NULL: it is the lane's own */
    bool in_order;
} soft_step;

/* Where commands queue up: an immediate list, or a queue. */
typedef struct soft_lane {
    struct soft_lane *next;
    soft_device *device;
    bool in_order, synchronous;
    soft_step *steps; /* [first, count) wait */
    size_t first, count, room;
} soft_lane;

struct soft_list {
    soft_object object;
    soft_context *context;
    soft_device *device;
    bool immediate, closed, in_order;
    soft_lane lane; /* of an immediate list */
    soft_command **commands;
    size_t count, room;
    atomic_int pending; /* steps of it that wait in lanes */
};

typedef struct soft_queue {
    soft_object object;
    soft_lane lane;
    int fences;
} soft_queue;

struct soft_fence {
    soft_object object;
    soft_queue *queue;
    atomic_bool signalled;
    atomic_int pending;
};

void hm_soft_lane_open(soft_lane *lane);
void hm_soft_lane_close(soft_lane *lane); /* what waits in it is dropped, and noted as misuse */
ze_result_t hm_soft_submit(soft_lane *lane, soft_command *c);
ze_result_t hm_soft_submit_list(soft_lane *lane, soft_list *list);
ze_result_t hm_soft_lane_wait(soft_lane *lane, uint64_t timeout_ns);
ze_result_t hm_soft_flag_wait(const atomic_bool *flag, const char *what, uint64_t timeout_ns);
void hm_soft_lanes_kick(void); /* something was signalled: what waits for it may run */
void hm_soft_commands_reset(void);

/* --- tables --- */

void hm_soft_driver_tables(ze_driver_dditable_t *driver, ze_device_dditable_t *device, ze_context_dditable_t *context);
void hm_soft_memory_table(ze_mem_dditable_t *t);
void hm_soft_module_tables(ze_module_dditable_t *module, ze_module_build_log_dditable_t *log, ze_kernel_dditable_t *kernel);
void hm_soft_event_tables(ze_event_pool_dditable_t *pool, ze_event_dditable_t *event);
void hm_soft_list_table(ze_command_list_dditable_t *t);
void hm_soft_queue_tables(ze_command_queue_dditable_t *queue, ze_fence_dditable_t *fence);

#endif
