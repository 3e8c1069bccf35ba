/* Intel GPUs through Level Zero: what there is, without opening any. The driver itself is hm_ze_driver (engine/gpu/driver.h). */
#ifndef HM_ENGINE_ZE_ZE_H
#define HM_ENGINE_ZE_ZE_H

#include "engine/gpu/driver.h"

typedef hm_gpu_device hm_ze_device;
#define HM_ZE_DEVICES HM_GPU_DEVICES

/* Fills up to `room` devices and tells how many there are. HM_EABSENT in one line, with what to install: no library, driver or device. */
hm_status hm_ze_list(hm_ze_device *out, int room, int *count, hm_error *err);

/* Whether this build has the backend at all (level_zero/ze_api.h was found). */
extern const bool hm_ze_built;

#endif
