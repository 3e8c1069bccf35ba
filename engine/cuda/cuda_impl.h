/* The state of an open device, and what the files of engine/cuda do for one another. */
#ifndef HM_ENGINE_CUDA_CUDA_IMPL_H
#define HM_ENGINE_CUDA_CUDA_IMPL_H

#include "engine/cuda/activity.h"
#include "engine/cuda/cuda.h"
#include "engine/cuda/cuda_calls.h"
#include "engine/cuda/cuda_loader.h"
#include "engine/cuda/matmul.h"
#include "engine/gpu/devices.h"

#define HM_CUDA_LANES 2

typedef struct hm_cuda_kernel {
    CUfunction handle;
    int arguments;      /* -1: the driver does not tell */
    uint8_t widths[64]; /* bytes of each */
} hm_cuda_kernel;

/* How a kernel of engine/cuda/kernels.def is launched; the shared ones have none of it. */
typedef struct hm_cuda_row {
    uint32_t shared, cluster;
    bool early;
    hm_cuda_call *call; /* instead of a kernel */
} hm_cuda_row;
const hm_cuda_row *hm_cuda_row_of(hm_gpu_kernel kernel);

/* A command that is timed: events before and after it. */
typedef struct hm_cuda_timed {
    hm_gpu_time time; /* but for begin and end */
    CUevent begin, end;
    const hm_gpu_recording *recording; /* whose events they are; NULL: they go back to the idle ones */
} hm_cuda_timed;

typedef struct hm_cuda_timed_list {
    hm_cuda_timed *items;
    int count, room;
} hm_cuda_timed_list;

struct hm_gpu_recording {
    hm_gpu_recording *next;
    CUgraphExec exec; /* NULL: of nothing */
    int commands;
    size_t nodes;
    hm_cuda_timed_list timed; /* its commands, with timestamps of events */
    uint32_t tag;             /* of its commands */
    bool untold;              /* of its latest replay the times are not told yet */
};

typedef struct hm_cuda_times {
    hm_activity_trace *activity; /* CUPTI's; NULL: times are those of events */
    CUevent base;                /* an event, and when it happened */
    int64_t base_ns;
    CUevent *idle; /* events that no command has */
    int idle_count, idle_room;
    CUevent *all; /* every event made */
    int all_count, all_room;
    hm_cuda_timed_list asked; /* oldest first */
    hm_gpu_time *told;
    int told_count, told_room;
    int64_t last_end_ns;
} hm_cuda_times;

struct hm_gpu {
    const hm_cuda_api *api;
    const hm_log *log;
    hm_gpu_device id;
    char where[304]; /* "cuda 0 (name)", for errors */
    hm_cuda_limits limits;
    uint32_t most_groups[3];
    CUdevice device;
    CUcontext context; /* the process's one of this device, which libraries take as well */
    bool timestamps;
    hm_error dead; /* why nothing more can be done; status 0 while all is well */
    hm_gpu_allocations memory;

    CUmodule *modules; /* as hm_cuda_modules */
    hm_cuda_kernel kernels[HM_GPU_KERNELS];

    CUstream lanes[HM_CUDA_LANES];  /* commands, in the order of each; where they are timed by events, all are on the first */
    uint64_t asked[HM_CUDA_LANES];  /* of each so far ... */
    uint64_t waited[HM_CUDA_LANES]; /* ... and when it was waited for */
    int lane;                       /* named last ... */
    CUstream now;                   /* ... its stream */
    CUstream side;                  /* is only ever captured */
    hm_gpu_recording *recording;    /* between record and keep */
    hm_gpu_recording *kept;

    hm_cuda_times times;
    hm_cuda_matmul *matmul; /* NULL: none was wanted */
};

/* Checks a result: `HM_CUDA(gpu, err, cuMemFree_v2, p)` is a status. A device that is lost stays so. */
#define HM_CUDA(gpu, err, entry, ...) hm_cuda_check(gpu, (gpu)->api->entry(__VA_ARGS__), #entry, err)
hm_status hm_cuda_check(hm_gpu *gpu, CUresult result, const char *call, hm_error *err);

/* For what is destroyed: a failure is told to the log, and what it left behind is the driver's. */
#define HM_CUDA_GIVE_BACK(gpu, entry, ...) hm_cuda_given_back(gpu, (gpu)->api->entry(__VA_ARGS__), #entry)
void hm_cuda_given_back(hm_gpu *gpu, CUresult result, const char *call);

/* HM_OK while commands can be given; the device is the calling thread's then. */
hm_status hm_cuda_alive(hm_gpu *gpu, hm_error *err);

/* What was half done cannot be undone: all later calls fail with this error. Returns its status. */
hm_status hm_cuda_give_up(hm_gpu *gpu, const hm_error *why);

/* cuda_device.c */
typedef struct hm_cuda_found {
    CUdevice device;
    hm_gpu_device id;
} hm_cuda_found;
/* The one that `wanted` names (hm_gpu_options.device). `found` is filled in place. */
hm_status hm_cuda_choose(const hm_cuda_api *api, hm_cuda_found *found, const char *wanted, hm_error *err);
hm_status hm_cuda_list(hm_gpu_device *out, int room, int *count, hm_error *err);
/* Fills what gpu has to know of its device: facts, limits. */
hm_status hm_cuda_identify(hm_gpu *gpu, const hm_cuda_found *found, hm_error *err);

/* cuda_memory.c */
hm_status hm_cuda_alloc(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err);
void hm_cuda_free(hm_gpu *gpu, void *p);
void hm_cuda_memory_close(hm_gpu *gpu);

/* cuda_module.c */
hm_status hm_cuda_kernel_get(hm_gpu *gpu, hm_gpu_kernel kernel, const hm_cuda_kernel **out, hm_error *err);
void hm_cuda_modules_close(hm_gpu *gpu);

/* cuda_stream.c */
hm_status hm_cuda_launch(hm_gpu *gpu, const hm_gpu_command *command, uint32_t tag, hm_error *err);
hm_status hm_cuda_copy(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag, hm_error *err);
hm_status hm_cuda_fill(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err);
hm_status hm_cuda_wait(hm_gpu *gpu, hm_error *err);
void hm_cuda_use_lane(hm_gpu *gpu, int lane);
hm_status hm_cuda_wait_lane(hm_gpu *gpu, int lane, pthread_mutex_t *lock, hm_error *err);
/* Waits as well as can be before something is taken away. */
void hm_cuda_settle(hm_gpu *gpu);

/* cuda_record.c */
hm_status hm_cuda_record(hm_gpu *gpu, hm_error *err);
hm_status hm_cuda_keep(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err);
hm_status hm_cuda_replay(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err);
void hm_cuda_drop(hm_gpu *gpu, hm_gpu_recording **recording);
void hm_cuda_recordings_close(hm_gpu *gpu);

/* cuda_nvml.c */
extern const hm_gpu_sensors_entries hm_cuda_sensors;

/* cuda_times.c: times of commands. All do nothing without timestamps. */
hm_status hm_cuda_times_open(hm_gpu *gpu, hm_error *err);
void hm_cuda_times_close(hm_gpu *gpu);
/* Around a command: its begin is marked on the stream, then its end; or, when it could not be given, it is forgotten. In a recording the
 * marks are those of every replay. */
hm_status hm_cuda_time_begin(hm_gpu *gpu, hm_cuda_timed *timed, hm_error *err);
hm_status hm_cuda_time_end(hm_gpu *gpu, const hm_cuda_timed *timed, hm_error *err);
void hm_cuda_time_drop(hm_gpu *gpu, const hm_cuda_timed *timed);
/* Before a replay: the times of the one before are told. After it: they will be. */
hm_status hm_cuda_times_ready(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err);
hm_status hm_cuda_times_replayed(hm_gpu *gpu, hm_gpu_recording *recording, int64_t asked_ns, hm_error *err);
hm_status hm_cuda_times_done(hm_gpu *gpu, hm_error *err);            /* after a wait: all asked for is told */
void hm_cuda_times_forget(hm_gpu *gpu, hm_gpu_recording *recording); /* which is dropped: its events are idle */
int hm_cuda_take_times(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room);

#endif
