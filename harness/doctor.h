/* What `hmbench doctor` finds: a list of findings, filled by area. What reads /proc, /sys and /dev takes a root, so that tests have machines
 * of their own. */
#ifndef HM_HARNESS_DOCTOR_H
#define HM_HARNESS_DOCTOR_H

#include <stdbool.h>

#include "engine/base/error.h"

typedef enum hm_finding_state {
    HM_FINE,
    HM_NOTE,   /* worth knowing, or absent and not needed */
    HM_MISSING /* something that this machine should do does not work */
} hm_finding_state;

enum {
    HM_FINDINGS = 96
};

typedef struct hm_finding {
    char area[12]; /* "hmbench", "machine", "watched", "gpu", "tools" */
    char name[32];
    hm_finding_state state;
    char version[64]; /* "": it has none, or it is not told */
    char value[400];
    char advice[300]; /* what to do; "": nothing */
} hm_finding;

typedef struct hm_doctor {
    hm_finding items[HM_FINDINGS];
    int count;
    const char *area; /* of what is added next */
    bool missing;
} hm_doctor;

/* value: a format; version and advice may be NULL. */
void hm_doctor_add(hm_doctor *d, const char *name, hm_finding_state state, const char *version, const char *advice, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
const hm_finding *hm_doctor_find(const hm_doctor *d, const char *name); /* the first of this name, or NULL */

/* GPUs as the kernel shows them below root. */
typedef struct hm_gpu_node {
    char node[32];   /* "renderD128" */
    char vendor[16]; /* "0x8086" */
    char device[16]; /* "0x56a0" */
    char driver[32]; /* "i915", "xe", "nvidia"; "": none is bound */
    bool usable;     /* this process may read and write /dev/dri/<node> */
} hm_gpu_node;
int hm_gpu_nodes(const char *root, hm_gpu_node *out, int room);

/* doctor_gpu.c: kernel driver, permissions, the loader; ze and cuda. With root "/" the devices are opened, run a kernel and are checked. */
void hm_doctor_gpus(hm_doctor *d, const char *root);
/* doctor_tools.c: profilers, gnuplot, what watching needs. */
void hm_doctor_tools(hm_doctor *d, const char *root);
/* doctor_peers.c: environments of other people's engines (harness/peers.h). */
void hm_doctor_peers(hm_doctor *d);
/* A kernel of the engine on the CPU, against plain sums. */
void hm_doctor_cpu(hm_doctor *d);

#endif
