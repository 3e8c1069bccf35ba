/* What gpu.c, gpu_record.c and gpu_memory.c share: the state of a device of hm_ops. */
#ifndef HM_ENGINE_GPU_GPU_IMPL_H
#define HM_ENGINE_GPU_GPU_IMPL_H

#include <pthread.h>

#include "engine/gpu/devices.h"
#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_linear.h"

#define HM_GPU_STAGE ((size_t)4 << 20)        /* host memory that is on its way to the device */
#define HM_GPU_LAND ((size_t)1 << 20)         /* host memory that comes from it */
#define HM_GPU_CONSTANTS ((size_t)1 << 20)    /* device memory of hm_gpu_constants outside recordings */
#define HM_GPU_INPUTS ((size_t)128 << 10)     /* device memory of a segment's steps and constants */
#define HM_GPU_SEGMENTS 64                    /* of a frame: whatever comes after them is not recorded */
#define HM_GPU_MISSES 4                       /* a segment that differed so often in a row is not recorded ... */
#define HM_GPU_REST 64                        /* ... for so many frames */
#define HM_GPU_STRETCHES 64                   /* of time that are remembered until their commands are done */
#define HM_GPU_STALE 256                      /* blocks that wait to be freed ... */
#define HM_GPU_STALE_BYTES ((size_t)64 << 20) /* ... and their bytes, before the device is waited for */

/* An open device of the driver, and all memory on it. Two hm_devices over it take turns: whoever records keeps the lock until it is done,
 * so that nobody's commands are among those of another. */
typedef struct hm_gpu_shared {
    const hm_gpu_driver *driver;
    hm_gpu *gpu;
    pthread_mutex_t lock; /* of all calls of the driver, and of what follows */
    hm_gpu_allocations memory;
    int users;
    bool timestamps;
    uint32_t tags; /* given to devices so far */
} hm_gpu_shared;

/* A time in which the probe wanted to be told of commands. */
typedef struct hm_gpu_stretch {
    int64_t from_ns, to_ns;
} hm_gpu_stretch;

typedef struct hm_gpu_ring {
    char *base;
    size_t size, used;
} hm_gpu_ring;

/* A command as it was asked for; values of steps are not part of it. */
typedef struct hm_gpu_asked {
    enum {
        HM_GPU_LAUNCHED,
        HM_GPU_COPIED,
        HM_GPU_FILLED
    } kind;
    hm_gpu_kernel kernel;
    uint32_t groups[3], pattern, shared;
    int first, count; /* values */
    void *to;
    const void *from;
    size_t bytes;
} hm_gpu_asked;

/* A stretch of a frame in which nothing waits: recorded, and compared ever after. */
typedef struct hm_gpu_segment {
    hm_gpu_recording *recording; /* NULL: none yet */
    hm_gpu_asked *asked;
    int count, room;
    hm_gpu_value *values; /* of all commands, steps as they were asked for ... */
    int32_t *places;      /* ... and where in `inputs` a step's value goes */
    int values_count, values_room;
    uint8_t *inputs;    /* steps and constants of the frame that is being made ... */
    char *inputs_there; /* ... and where kernels read them */
    size_t inputs_used;
    int misses;
} hm_gpu_segment;

typedef enum hm_gpu_mode {
    HM_GPU_DIRECT,    /* commands go to the device one by one */
    HM_GPU_BEGINNING, /* of a segment: nothing was asked for yet */
    HM_GPU_RECORDING,
    HM_GPU_MATCHING
} hm_gpu_mode;

struct hm_device {
    hm_gpu_shared *shared;
    char place[24];
    int lane;     /* of the driver's queues, where it has two */
    bool holding; /* the lock, while a segment is recorded */
    bool pending; /* something was asked for since the last wait */
    hm_gpu_ring stage, land, constants, scratch;
    char *zero; /* on the device: what a step adds outside recordings */
    void *stale[HM_GPU_STALE];
    int stale_count;
    size_t stale_bytes;
    hm_gpu_recording *dropped[HM_GPU_SEGMENTS]; /* when the device is waited for next */
    int dropped_count;
    /* times */
    uint32_t tag;
    bool watching;
    int stretch; /* the latest one */
    hm_gpu_stretch stretches[HM_GPU_STRETCHES];
    /* frames */
    bool records, in_frame, early;
    hm_gpu_mode mode;
    int index, at; /* of the segment, and of the next command in it */
    hm_gpu_segment segments[HM_GPU_SEGMENTS];
    hm_gpu_launch_many *many; /* NULL: kernels of linear.cl */
    hm_gpu_attend *attend;    /* NULL: those of attention.cl */
    bool between_marks;       /* of a frame, recorded or not */
};

/* gpu.c */
void hm_gpu_lock(hm_device *dev);
void hm_gpu_unlock(hm_device *dev);
/* Memory of the driver, in the table of blocks. */
hm_status hm_gpu_take_memory(hm_device *dev, void **out, size_t bytes, hm_gpu_memory kind, hm_error *err);
void hm_gpu_give_memory(hm_device *dev, void *p);
size_t hm_gpu_block_bytes(hm_device *dev, const void *p);
/* Waits, after a failure as well, and gives back what nothing uses any more. */
void hm_gpu_settle(const hm_ops *op);
/* For all that was asked for, without ending a segment. */
void hm_gpu_wait_all(const hm_ops *op);
/* The same at the end of a segment. */
void hm_gpu_wait(const hm_ops *op);
/* Room for host bytes on their way; NULL after a failure. At most HM_GPU_STAGE. */
void *hm_gpu_stage(const hm_ops *op, size_t bytes);
/* Host bytes to device memory, in order; at most HM_GPU_STAGE. Counts the bytes. */
void hm_gpu_send(const hm_ops *op, void *to, const void *host, size_t bytes);
/* To the device at once; places: of the steps' values in segment memory, or NULL. */
void hm_gpu_issue(const hm_ops *op, const hm_gpu_asked *asked, const hm_gpu_value *values, const int32_t *places, char *inputs);
/* Counts, notes and asks. */
void hm_gpu_start(const hm_ops *op, const char *what, const hm_gpu_asked *asked, const hm_gpu_value *values);

/* gpu_times.c */
/* Before a command is asked for: whether the probe wants to know of it. */
void hm_gpu_watch(const hm_ops *op);
/* After the device was waited for. */
void hm_gpu_tell_times(const hm_ops *op);

/* gpu_record.c */
void hm_gpu_ask(const hm_ops *op, const hm_gpu_asked *asked, const hm_gpu_value *values);
/* The segment ends: what was asked for in it is on its way. */
void hm_gpu_break(const hm_ops *op);
void hm_gpu_frame(const hm_ops *op, bool begins);
/* Room among the inputs of the segment that is being made, host and device addresses; false: there is no such segment. */
bool hm_gpu_input(const hm_ops *op, size_t bytes, uint8_t **host, char **there);
void hm_gpu_segments_close(hm_device *dev);

#endif
