/* A Level Zero driver over OpenCL on the CPU, for tests: the real loader takes it when ZE_ENABLE_ALT_DRIVERS names its file. It computes
 * what a device would and looks for what a device would not tell of: handles of nothing, wrong structures, memory of nobody, missing waits.
 *
 * Environment, read when the driver is loaded and by hm_soft_reload:
 *   HM_SOFT_DEFER=1          appended commands run late, on a thread of the device, and in reverse between barriers unless a list is in
 *                            order
 *   HM_SOFT_GUARD=1          device memory is poisoned, ends at a page that faults, and is out of the host's reach unless a command runs
 *   HM_SOFT_FAIL=E:N[:R],... the N-th call of entry E (0: every one) answers R: a number; else out of device memory or "unknown error"
 *   HM_SOFT_LOST=N           the device is lost at the N-th command
 *   HM_SOFT_MEMORY_MB=N      memory of a device (2048)
 *   HM_SOFT_DEVICES=N        one or two (1)
 *   HM_SOFT_TIMER_BITS=N     valid bits of timestamps (32); HM_SOFT_TIMER_NS=N: ns of a tick (52)
 *   HM_SOFT_API_MINOR=N      minor version of the interface that the driver says it has (4): from 9 on lists can keep their order
 *   HM_SOFT_SYSMAN=all|none  whether it has Sysman (all)
 *   HM_SOFT_TIMEOUT_S=N      a wait that long ends in "device lost" (20)
 *   HM_SOFT_REPORT=FILE      calls, leaks and misuse, as JSON, when the driver is unloaded; HM_SOFT_TRACE=FILE: every call, a line each
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
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SOFT_EXPORT __attribute__((visibility("default")))
#define SOFT_VENDOR 0x686d /* "hm": nobody's */
#define SOFT_NAME "hmbench software device"
#define SOFT_MAX_DEVICES 2

/* --- entries: soft_fail.c --- */

typedef enum soft_entry {
#define SOFT_ENTRY(name, lost) SOFT_##name,
#include "tests/ze_soft/entries.def"
#undef SOFT_ENTRY
    SOFT_ENTRIES
} soft_entry;

/* Counts and notes the call; anything but success is what the entry answers at once. */
ze_result_t hm_soft_enter(soft_entry entry);
#define ENTER(name)                                      \
    do {                                                 \
        ze_result_t early_ = hm_soft_enter(SOFT_##name); \
        if (early_)                                      \
            return early_;                               \
    } while (0)

/* Notes what the caller did wrong, with the entry it is in; returns ZE_RESULT_ERROR_INVALID_ARGUMENT. */
ze_result_t hm_soft_misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

typedef struct soft_settings {
    bool defer, guard, sysman;
    int devices, timer_bits, timeout_s, api_minor;
    uint64_t timer_ns, memory_bytes, lost_at;
} soft_settings;

extern soft_settings hm_soft_settings;
void hm_soft_settings_once(void);

/* For tests, by dlsym on the loaded file: settings anew and counts from zero; how often an entry was called; misuse so far and its first
 * sentence; handles and allocations that live. */
SOFT_EXPORT void hm_soft_reload(void);
SOFT_EXPORT uint64_t hm_soft_calls(const char *entry);
SOFT_EXPORT uint64_t hm_soft_misuses(const char **first);
SOFT_EXPORT uint64_t hm_soft_alive(void);

/* --- handles: soft_object.c --- */

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

/* First member of whatever a handle is of. What is destroyed is kept for a while, so that its use shows. */
typedef struct soft_object {
    uint32_t magic;
    soft_kind kind;
    bool alive;
} soft_object;

void *hm_soft_new(soft_kind kind, size_t bytes); /* zeroed, but the header; NULL: no memory */
void hm_soft_retire(void *object);
ze_result_t hm_soft_take(void **out, const void *handle, soft_kind kind);
#define TAKE(out, handle, kind)                                           \
    do {                                                                  \
        ze_result_t taken_ = hm_soft_take((void **)&(out), handle, kind); \
        if (taken_)                                                       \
            return taken_;                                                \
    } while (0)
uint64_t hm_soft_objects_alive(soft_kind kind);
const char *hm_soft_kind_name(soft_kind kind);

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
uint64_t hm_soft_now_ns(void);
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

/* --- memory: soft_memory.c --- */

typedef struct soft_memory {
    char *start, *map;
    size_t bytes, map_bytes;
    ze_memory_type_t type;
    soft_context *context;
    soft_device *device; /* NULL: of the host */
    uint64_t id;
} soft_memory;

const soft_memory *hm_soft_memory_find(const void *p); /* the allocation in which p lies, or NULL */
uint64_t hm_soft_memory_freed(void);                   /* how many allocations were freed so far */
uint64_t hm_soft_memory_alive(void);
void hm_soft_memory_open(void); /* device memory is within reach until the same number of hm_soft_memory_close */
void hm_soft_memory_close(void);
void hm_soft_memory_hold(void); /* between commands, too, until let go */
void hm_soft_memory_let_go(void);
void hm_soft_memory_watch(void); /* who touches guarded memory when it should not is told */

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

/* What kernels of a name did, for the report. */
typedef struct soft_spent {
    char name[96];
    uint64_t launches, ns;
} soft_spent;

soft_spent *hm_soft_spent_of(const char *name); /* lives as long as the driver; NULL: there are too many */
const soft_spent *hm_soft_spent_all(int *count);

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
const char *hm_soft_command_now(void);                     /* the name of what runs, or NULL */
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
void hm_soft_lanes_abandon(void);               /* nothing of what waits will run: the device is lost */
void hm_soft_lanes_kick(void);                  /* something was signalled: what waits for it may run */
void hm_soft_lanes_freed(const soft_memory *m); /* misuse when a command that waits uses it */
bool hm_soft_lost(void);
uint64_t hm_soft_commands_run(void);
void hm_soft_commands_reset(void);
/* Commands are counted from zero, the device is not lost, and this is done while nothing runs. */
void hm_soft_lanes_reset(void (*with)(void));

/* --- tables --- */

void hm_soft_driver_tables(ze_driver_dditable_t *driver, ze_device_dditable_t *device, ze_context_dditable_t *context);
void hm_soft_memory_table(ze_mem_dditable_t *t);
void hm_soft_module_tables(ze_module_dditable_t *module, ze_module_build_log_dditable_t *log, ze_kernel_dditable_t *kernel);
void hm_soft_event_tables(ze_event_pool_dditable_t *pool, ze_event_dditable_t *event);
void hm_soft_list_table(ze_command_list_dditable_t *t);
void hm_soft_queue_tables(ze_command_queue_dditable_t *queue, ze_fence_dditable_t *fence);

#endif
