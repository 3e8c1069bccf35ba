/* Intel GPUs through Level Zero: what there is, without opening any. The driver itself is hm_ze_driver (engine/gpu/driver.h). */
#ifndef HM_ENGINE_ZE_ZE_H
#define HM_ENGINE_ZE_ZE_H

#include "engine/gpu/driver.h"

/* A device and its texts; `facts` points into the struct, so it is filled in place and not copied. */
typedef struct hm_ze_device {
    hm_gpu_facts facts;
    int index; /* among all devices of all drivers, in the loader's order: what options.device takes */
    bool gpu;  /* of the kind that runs kernels; others (neural processors) are listed only */
    char name[256], uuid[40], driver[32], api[16];
} hm_ze_device;

#define HM_ZE_DEVICES 32 /* most that are looked at */

/* Fills up to `room` devices and tells how many there are. HM_EABSENT in one line, with what to install: no library, driver or device. */
hm_status hm_ze_list(hm_ze_device *out, int room, int *count, hm_error *err);

/* Whether this build has the backend at all (level_zero/ze_api.h was found). */
extern const bool hm_ze_built;

#endif
