/* The state of an open device, and what the files of engine/ze do for one another. */
#ifndef HM_ENGINE_ZE_ZE_IMPL_H
#define HM_ENGINE_ZE_ZE_IMPL_H

#include "engine/gpu/devices.h"
#include "engine/ze/ze.h"
#include "engine/ze/ze_loader.h"
#include "engine/gpu/device_clock.h"

/* A module of the device: one per row of hm_gpu_modules. */
typedef struct hm_ze_module {
    ze_module_handle_t handle;
} hm_ze_module;

typedef struct hm_ze_kernel {
    ze_kernel_handle_t handle;
    uint32_t arguments;
} hm_ze_kernel;

typedef enum hm_ze_what {
    HM_ZE_LAUNCH,
    HM_ZE_COPY,
    HM_ZE_FILL
} hm_ze_what;

typedef struct hm_ze_command {
    hm_ze_what what;
    uint32_t tag;
    hm_gpu_kernel kernel; /* of launches */
    uint32_t groups[3];
    int first, count; /* of its values */
    void *to;
    const void *from;
    size_t bytes;
    uint32_t pattern;
} hm_ze_command;

/* A recording as the device takes it: executed again when its last execution is over, and its times are told. */
typedef struct hm_ze_run hm_ze_run;
struct hm_ze_run {
    hm_ze_run *next;
    ze_command_list_handle_t handle;
    ze_fence_handle_t fence;   /* signalled when an execution is over */
    ze_event_handle_t *events; /* one per command, with timestamps */
    bool busy;                 /* was executed, and nobody has seen the end of it */
    uint64_t turn;             /* of the latest execution, among all replays */
};

struct hm_gpu_recording {
    hm_gpu_recording *next;
    hm_ze_command *commands;
    int count, room;
    hm_gpu_value *values; /* of all its commands */
    int values_count, values_room;
    hm_ze_run *runs;
};

/* A command that was timed, until its time is known. */
typedef struct hm_ze_timed {
    hm_device_span_kind kind;
    const char *name;
    uint32_t tag;
    uint64_t bytes;
    int64_t asked_ns;
    ze_event_handle_t event;
    hm_ze_run *run; /* whose event it is; NULL: goes back to the pool */
} hm_ze_timed;

typedef struct hm_ze_times {
    hm_gpu_clock clock;
    unsigned kernel_bits; /* valid in the stamps of commands */
    ze_event_pool_handle_t *pools;
    int pools_count, pools_room;
    ze_event_handle_t *idle; /* events that no command has */
    int idle_count, idle_room;
    ze_event_handle_t *all; /* every event made */
    int all_count, all_room;
    hm_ze_timed *asked; /* oldest first, from `taken` on */
    int asked_first, asked_count, asked_room;
    hm_gpu_time *told;
    int told_count, told_room;
    int64_t last_end_ns;
} hm_ze_times;

/* Host memory that the device reaches: what is copied from or to other host memory goes through it. */
#define HM_ZE_STAGE ((size_t)4 << 20)
typedef struct hm_ze_half {
    char *at;
    size_t used;
    ze_event_handle_t free; /* signalled when all that uses this half is done */
    bool closed;            /* that signal was asked for */
} hm_ze_half;

typedef struct hm_ze_download {
    void *to;
    const char *from;
    size_t bytes;
    int half;
} hm_ze_download;

struct hm_gpu {
    const hm_ze_api *api;
    const hm_log *log;
    hm_ze_device id;
    char where[304]; /* "ze 0 (name)", for errors */
    char *cache;     /* folder of compiled modules, or NULL */
    bool cache_told; /* that it cannot be written */
    ze_driver_handle_t driver;
    ze_device_handle_t device;
    ze_context_handle_t context;
    uint32_t ordinal; /* of the queue group */
    uint32_t most_groups[3];
    bool in_order; /* lists keep the order by themselves (spec 1.9); else a barrier follows every command */
    bool relaxed;  /* allocations over max_alloc_bytes */
    bool timestamps;
    hm_error dead; /* why nothing more can be done; status 0 while all is well */

    hm_gpu_allocations memory;

    hm_ze_module *modules;
    int modules_count;
    hm_ze_kernel kernels[HM_GPU_SHARED_KERNELS];

    ze_command_list_handle_t now;    /* immediate: commands begin as they are appended */
    ze_command_queue_handle_t queue; /* executes recordings */
    ze_event_pool_handle_t pool;
    ze_event_handle_t done, last, begin, end; /* for wait; for the end after a failure; around a replay */
    ze_event_handle_t events_made[8];
    int events_count;
    bool pending; /* something was asked for since the last wait */
    uint64_t turns;
    hm_gpu_recording *recording; /* between record and keep */
    hm_gpu_recording *kept;

    hm_ze_half halves[2];
    int half;
    hm_ze_download *downloads;
    int downloads_count, downloads_room;

    hm_ze_times times;
};

/* Checks a result: `HM_ZE(gpu, err, zeMemFree, context, p)` is a status. A device that is lost stays so. */
#define HM_ZE(gpu, err, entry, ...) hm_ze_check(gpu, (gpu)->api->entry(__VA_ARGS__), #entry, err)
hm_status hm_ze_check(hm_gpu *gpu, ze_result_t result, const char *call, hm_error *err);

/* For what is destroyed: a failure is told to the log, and what it left behind is the driver's. */
#define HM_ZE_GIVE_BACK(gpu, entry, ...) hm_ze_given_back(gpu, (gpu)->api->entry(__VA_ARGS__), #entry)
void hm_ze_given_back(hm_gpu *gpu, ze_result_t result, const char *call);

/* HM_OK while commands can be given. */
hm_status hm_ze_alive(hm_gpu *gpu, hm_error *err);

/* What was half done cannot be undone: all later calls fail with this error. Returns its status. */
hm_status hm_ze_give_up(hm_gpu *gpu, const hm_error *why);

/* ze_device.c */
typedef struct hm_ze_found {
    ze_driver_handle_t driver;
    ze_device_handle_t device;
    ze_api_version_t api;
    ze_device_properties_t properties;
    hm_ze_device id;
} hm_ze_found;
/* The one that `wanted` names (hm_gpu_options.device). `found` is filled in place. */
hm_status hm_ze_choose(const hm_ze_api *api, hm_ze_found *found, const char *wanted, hm_error *err);
/* Fills what gpu has to know of its device: facts, limits, queue group, extensions. */
hm_status hm_ze_identify(hm_gpu *gpu, const hm_ze_found *found, hm_error *err);

/* ze_memory.c */
hm_status hm_ze_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err);
void hm_ze_free(hm_gpu *gpu, void *p);
hm_status hm_ze_stages_open(hm_gpu *gpu, hm_error *err);
/* Through the staging memory: at most HM_ZE_STAGE bytes of it, at *at. `download`: they go to `to` when the device is done. */
hm_status hm_ze_stage(hm_gpu *gpu, size_t bytes, char **at, hm_error *err);
hm_status hm_ze_download_later(hm_gpu *gpu, void *to, const char *from, size_t bytes, hm_error *err);
hm_status hm_ze_stages_done(hm_gpu *gpu, hm_error *err); /* after a wait */
void hm_ze_memory_close(hm_gpu *gpu);

/* ze_module.c */
hm_status hm_ze_kernel_get(hm_gpu *gpu, hm_gpu_kernel kernel, const hm_ze_kernel **out, hm_error *err);
void hm_ze_modules_close(hm_gpu *gpu);

/* ze_cache.c: *bytes is 0 when there is nothing that can be used; the caller frees *data. */
typedef struct hm_ze_cache_key {
    char text[256];
} hm_ze_cache_key;
void hm_ze_cache_key_of(const hm_gpu *gpu, hm_ze_cache_key *key, const void *spirv, size_t bytes, const char *flags);
void hm_ze_cache_get(hm_gpu *gpu, const hm_ze_cache_key *key, uint8_t **data, size_t *bytes);
void hm_ze_cache_put(hm_gpu *gpu, const hm_ze_cache_key *key, const uint8_t *data, size_t bytes);

/* ze_list.c */
#define HM_ZE_CLOSE_NS 2000000000u /* how long is waited at the end for what a failure left behind */
#define HM_ZE_SLICE_NS 1000000000u /* of a wait, between two looks at whether the device is still there */
hm_status hm_ze_lists_open(hm_gpu *gpu, hm_error *err);
void hm_ze_lists_close(hm_gpu *gpu);
hm_status hm_ze_signal(hm_gpu *gpu, ze_event_handle_t event, hm_error *err);     /* after all so far */
hm_status hm_ze_wait_event(hm_gpu *gpu, ze_event_handle_t event, hm_error *err); /* on the host; resets it */
hm_status hm_ze_launch(hm_gpu *gpu, const hm_gpu_command *command, uint32_t tag, hm_error *err);
hm_status hm_ze_copy(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag, hm_error *err);
hm_status hm_ze_fill(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err);
hm_status hm_ze_wait(hm_gpu *gpu, hm_error *err);
/* Waits as well as can be before something is taken away: what a failure left behind is given a moment;
 * a device that is lost says so at once. */
void hm_ze_settle(hm_gpu *gpu);

/* ze_record.c */
hm_status hm_ze_record(hm_gpu *gpu, hm_error *err);
hm_status hm_ze_keep(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err);
hm_status hm_ze_replay(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err);
void hm_ze_drop(hm_gpu *gpu, hm_gpu_recording **recording);
void hm_ze_recording_free(hm_gpu *gpu, hm_gpu_recording *r);
hm_status hm_ze_remember(hm_gpu *gpu, const hm_ze_command *command, const hm_gpu_value *values, hm_error *err);
/* Puts one command into a list. signal: may be NULL. */
hm_status hm_ze_append(hm_gpu *gpu, ze_command_list_handle_t list, const hm_ze_command *command, const hm_gpu_value *values,
                       ze_event_handle_t signal, hm_error *err);
/* What is put into the list from here on waits for what is in it: a barrier, where the list does not see to it. */
hm_status hm_ze_order(hm_gpu *gpu, ze_command_list_handle_t list, hm_error *err);

/* ze_stamps.c: times of commands. All do nothing without timestamps. */
hm_status hm_ze_times_open(hm_gpu *gpu, const hm_ze_found *found, hm_error *err);
void hm_ze_times_close(hm_gpu *gpu);
hm_status hm_ze_event_get(hm_gpu *gpu, ze_event_handle_t *out, hm_error *err); /* reset, of a pool with stamps */
void hm_ze_event_put(hm_gpu *gpu, ze_event_handle_t event);
hm_status hm_ze_time_later(hm_gpu *gpu, const hm_ze_command *command, int64_t asked_ns, ze_event_handle_t event, hm_ze_run *run,
                           hm_error *err);
hm_status hm_ze_times_done(hm_gpu *gpu, hm_error *err);                       /* after a wait: all asked for is told */
hm_status hm_ze_times_upto(hm_gpu *gpu, const hm_ze_run *run, hm_error *err); /* its execution is over: it and all before it are told */
void hm_ze_times_forget(hm_gpu *gpu, const hm_gpu_recording *recording);      /* which is dropped */
int hm_ze_take_times(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room);

#endif
