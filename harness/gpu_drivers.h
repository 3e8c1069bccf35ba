/* The drivers of backends with GPUs. */
#ifndef HM_HARNESS_GPU_DRIVERS_H
#define HM_HARNESS_GPU_DRIVERS_H

#include "engine/gpu/driver.h"

/* Ends with NULL. */
extern const hm_gpu_driver *const hm_gpu_drivers[];

/* NULL: the backend has no GPUs. */
const hm_gpu_driver *hm_gpu_driver_of(const char *backend);

#endif
