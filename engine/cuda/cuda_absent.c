/* Backend cuda of a build that found no CUDA toolkit: it says so when it is opened. */
#include "engine/cuda/cuda.h"
#include "engine/cuda/matmul.h"

const bool hm_cuda_built = false;

static hm_status absent(hm_error *err)
{
    return hm_fail(err, HM_EABSENT, "cuda: this build was made without the CUDA toolkit: install it (nvcc and cuda.h) and build again");
}

static hm_status no_list(hm_gpu_device *out, int room, int *count, hm_error *err)
{
    (void)out;
    (void)room;
    *count = 0;
    return absent(err);
}

const hm_cuda_limits *hm_cuda_limits_of(const hm_gpu *gpu)
{
    static const hm_cuda_limits none = {0};
    (void)gpu;
    return &none;
}

const hm_cuda_limits *hm_cuda_device_limits(const hm_device *dev)
{
    (void)dev;
    return hm_cuda_limits_of(NULL);
}

bool hm_cuda_matmul_ready(hm_gpu *gpu, const hm_cuda_matmul_shape *shape)
{
    (void)gpu;
    (void)shape;
    return false;
}

static hm_status no_open(hm_gpu **out, const hm_gpu_options *o, hm_error *err)
{
    (void)out;
    (void)o;
    return absent(err);
}

static hm_status no_sensors(hm_gpu_sensors **out, const char *device, hm_error *err)
{
    (void)out;
    (void)device;
    return absent(err);
}

static const hm_gpu_sensors_entries sensors = {.open = no_sensors};

const hm_gpu_driver hm_cuda_driver = {.backend = "cuda", .list = no_list, .open = no_open, .sensors = &sensors};
