/* What computes: a device, and how it fills the table of operations. Rows of hm_backends in engine/session/backends.c. */
#ifndef HM_ENGINE_BACKEND_H
#define HM_ENGINE_BACKEND_H

#include "engine/base/team.h"
#include "engine/ctx.h"

typedef struct hm_device_options {
    int threads;           /* of the CPU: 0: all that this process may use */
    int first_cpu;         /* the team has the CPUs from here on */
    hm_isa isa;            /* of the CPU */
    const char *device;    /* which one: index or UUID; NULL: the first */
    const char *cache_dir; /* for what drivers compile; NULL: none */
    bool timestamps;       /* operations are timed on the device */
    const hm_log *log;
} hm_device_options;

typedef struct hm_device_facts {
    char isa[16];   /* "avx2"; a GPU: its interface, "ze 1.4" */
    char name[128]; /* of the CPU or GPU */
    char driver[64];
    char uuid[48];         /* "": it has none */
    bool software;         /* a GPU that is a program: what it takes says nothing about hardware */
    uint64_t memory_bytes; /* of its own; 0: the host's */
} hm_device_facts;

struct hm_backend {
    const char *name;                          /* "cpu", "ze", "cuda" */
    unsigned bit;                              /* of toggles.def: BACKEND_CPU ... */
    bool reads_host_memory;                    /* weights are used where they are mapped; else they are copied to the device */
    uint64_t own_device_bytes, own_host_bytes; /* what a device takes for itself at least: stages, rings, steps of recorded frames */
    hm_status (*open)(hm_device **out, const hm_device_options *o, hm_error *err); /* HM_EABSENT in one line: what is missing, what to do */
    void (*close)(hm_device **dev);
    void (*facts)(const hm_device *dev, hm_device_facts *out);
    void (*ops_init)(hm_ctx *c);      /* fills c->ops, kernels chosen by the toggles */
    hm_team *(*team)(hm_device *dev); /* its threads; NULL: it has none */
    /* Two devices out of one whose work goes on side by side, over the same memory: *first stays NULL where that is `whole` itself. They are
     * closed before it. */
    hm_status (*split)(hm_device *whole, hm_device **first, hm_device **second, hm_error *err);
};

/* NULL with an error that lists what there is. */
const hm_backend *hm_backend_find(const char *name, hm_error *err);

/* A context's device (name NULL: "cpu"), the host's threads beside it, and its operations. Toggles and probe are set before. */
hm_status hm_backend_open(hm_ctx *c, const char *name, const hm_device_options *o, hm_error *err);
void hm_backend_close(hm_ctx *c);

#endif
