#include "harness/gpu_drivers.h"

#include <string.h>

const hm_gpu_driver *const hm_gpu_drivers[] = {&hm_ze_driver, &hm_cuda_driver, NULL};

const hm_gpu_driver *hm_gpu_driver_of(const char *backend)
{
    for (int i = 0; hm_gpu_drivers[i]; i++)
        if (!strcmp(hm_gpu_drivers[i]->backend, backend))
            return hm_gpu_drivers[i];
    return NULL;
}
