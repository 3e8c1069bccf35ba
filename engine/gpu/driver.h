/* What a driver of GPUs (engine/ze, engine/cuda) gives to engine/gpu: one device, memory, and commands in order. */
#ifndef HM_ENGINE_GPU_DRIVER_H
#define HM_ENGINE_GPU_DRIVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/gpu/gpu.h"
#include "engine/gpu/readings.h"

typedef struct hm_gpu hm_gpu;                     /* the driver's state of an open device */
typedef struct hm_gpu_recording hm_gpu_recording; /* commands to be replayed */

typedef struct hm_gpu_options {
    const char *device; /* index ("0"), UUID (or enough of its beginning), or NULL: the first one that is a GPU */
    const char *cache;  /* folder of compiled modules; NULL: none are kept */
    bool timestamps;    /* each command is timed on the device (take_times) */
    const hm_log *log;
} hm_gpu_options;

typedef enum hm_gpu_memory {
    HM_GPU_DEVICE,
    HM_GPU_HOST,  /* of the host, read and written by both */
    HM_GPU_SHARED /* moves between them */
} hm_gpu_memory;

/* What a device is. Text lives as long as the device is open. What is not known is 0 or "". */
typedef struct hm_gpu_facts {
    const char *backend;              /* "ze", "cuda" */
    const char *name, *uuid, *driver; /* "Intel(R) Arc(TM) A770", "8680a056-...", "1.3.24931" */
    const char *api;                  /* version of the interface: "1.4" */
    bool software;                    /* computes on the CPU: times mean nothing */
    bool integrated;
    uint64_t memory_bytes, max_alloc_bytes;
    uint32_t compute_units, clock_mhz, sub_group;
    uint64_t timer_hz;
} hm_gpu_facts;

/* A device and its texts; `facts` points into the struct, so it is filled in place and not copied. */
typedef struct hm_gpu_device {
    hm_gpu_facts facts;
    int index; /* among all devices of the driver: what options.device takes */
    bool gpu;  /* of the kind that runs kernels; others (neural processors) are listed only */
    char name[256], uuid[40], driver[32], api[16];
} hm_gpu_device;

#define HM_GPU_DEVICES 32 /* most that are looked at */

/* A command with fixed arguments: what a step's two parameters get is up to the caller (HM_GPU_I64 and HM_GPU_POINTER). */
typedef struct hm_gpu_command {
    hm_gpu_kernel kernel;
    uint32_t groups[3];
    const hm_gpu_value *values;
    int count;
    uint32_t shared; /* as in hm_gpu_launch_args */
    bool early;      /* a kernel that may begin before the command before it ends does (hm_gpu_begin_early) */
} hm_gpu_command;

/* Times of a command on the device, in ns of CLOCK_MONOTONIC, aligned by pairs of readings of both clocks. */
typedef struct hm_gpu_time {
    hm_device_span_kind kind;
    const char *name; /* of the kernel, "copy", "fill"; as long as the device is open */
    uint32_t tag;     /* what the call that asked for it gave */
    bool replayed;    /* with other commands of a recording ... */
    int64_t asked_ns; /* ... and when that was asked for, or the command itself: CLOCK_MONOTONIC */
    int64_t begin_ns, end_ns;
    uint64_t bytes; /* of copies and fills */
    int stream;     /* queue, from 0 on */
} hm_gpu_time;

/* Every entry is set, but for lanes; of a backend that this build lacks only `backend`, `list`, `open` and `sensors`, which fail. What returns hm_status says why through
 * err; after a device was lost all others fail likewise. */
typedef struct hm_gpu_driver {
    const char *backend;
    /* Fills up to `room` devices and tells how many there are. HM_EABSENT in one line, with what to install: no library, driver or device. */
    hm_status (*list)(hm_gpu_device *out, int room, int *count, hm_error *err);
    hm_status (*open)(hm_gpu **out, const hm_gpu_options *o, hm_error *err); /* HM_EABSENT: no loader, driver or device, in one line */
    void (*close)(hm_gpu **gpu);                                             /* waits first; gives everything back */
    const hm_gpu_facts *(*facts)(const hm_gpu *gpu);

    hm_status (*alloc)(hm_gpu *gpu, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err); /* 64-byte aligned at least */
    void (*free)(hm_gpu *gpu, void *p);                                                           /* after what uses it is done */

    /* In order. tag: the caller's own number for take_times. */
    hm_status (*launch)(hm_gpu *gpu, const hm_gpu_command *command, uint32_t tag, hm_error *err);
    hm_status (*copy)(hm_gpu *gpu, void *to, const void *from, size_t bytes, uint32_t tag,
                      hm_error *err); /* host memory must live until it is done */
    hm_status (*fill)(hm_gpu *gpu, void *to, uint32_t pattern, size_t bytes, uint32_t tag, hm_error *err); /* bytes: a multiple of 4 */
    hm_status (*wait)(hm_gpu *gpu, hm_error *err);                                                         /* for all so far */

    /* Commands from record on are kept instead of done, until keep; then replay does them all, in order, as one command. drop waits first. */
    hm_status (*record)(hm_gpu *gpu, hm_error *err);
    hm_status (*keep)(hm_gpu *gpu, hm_gpu_recording **out, hm_error *err);
    hm_status (*replay)(hm_gpu *gpu, hm_gpu_recording *recording, hm_error *err);
    void (*drop)(hm_gpu *gpu, hm_gpu_recording **recording);

    /* Up to `room` times of commands of this tag that are complete and were not taken yet, in order; with `timestamps` only. */
    int (*take_times)(hm_gpu *gpu, uint32_t tag, hm_gpu_time *out, int room);

    /* Queues whose commands go on side by side, two of them; NULL: there is one. Commands are for the queue (0, 1) that was named last, and in
     * order with those of the same queue alone. wait_lane waits for one, and lets go of the lock, which the caller holds, meanwhile; free and
     * drop wait for both. */
    void (*use_lane)(hm_gpu *gpu, int lane);
    hm_status (*wait_lane)(hm_gpu *gpu, int lane, pthread_mutex_t *lock, hm_error *err);

    const hm_gpu_sensors_entries *sensors; /* nothing has to be open for them; set in every build */
} hm_gpu_driver;

/* engine/ze. The library is looked for when a device is opened, never before. */
extern const hm_gpu_driver hm_ze_driver;
/* engine/cuda, likewise. */
extern const hm_gpu_driver hm_cuda_driver;

/* A device for hm_ops: launches, steps, frames that are replayed. */
hm_status hm_gpu_open(hm_device **out, const hm_gpu_driver *driver, const hm_gpu_options *o, hm_error *err);
/* Another one over the same driver's device and memory, on a thread of its own; its commands have a queue of their own where the driver has
 * two, else they take turns with those of `dev`. What was asked of `dev` so far is done first. */
hm_status hm_gpu_open_beside(hm_device **out, hm_device *dev, hm_error *err);
void hm_gpu_close(hm_device **dev);
/* Whether frames (hm_ops.frame) are recorded and replayed. */
void hm_gpu_record_frames(hm_device *dev, bool record);
/* Whether kernels begin early that can (column `early` of engine/cuda/kernels.def). */
void hm_gpu_begin_early(hm_device *dev, bool early);
const hm_gpu_facts *hm_gpu_device_facts(const hm_device *dev);
/* Fills the whole table; attention, fused entries and recording as gpu_ops_init.c then chooses. */
void hm_gpu_ops_reference(hm_ops *ops, hm_device *dev, hm_counters *count, const hm_probe *probe, hm_error *error);

#endif
