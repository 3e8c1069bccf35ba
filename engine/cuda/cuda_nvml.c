/* Readings of a GPU by NVML, which comes with NVIDIA's driver. It has no header in the toolkit: what is called of it is declared here, as its
 * manual does; the library keeps that interface. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/time.h"
#include "engine/cuda/cuda_impl.h"

typedef void *nvml_device;
typedef struct nvml_memory {
    unsigned long long total, free, used;
} nvml_memory;
typedef struct nvml_utilisation {
    unsigned gpu, memory; /* percent of the last moments */
} nvml_utilisation;
enum {
    NVML_CLOCK_SM = 1,
    NVML_CLOCK_MEMORY = 2,
    NVML_TEMPERATURE_GPU = 0
};

/* Field, symbol, arguments. All return 0 or a number of an error. */
#define ENTRIES(X)                                                                                            \
    X(init, "nvmlInit_v2", (void))                                                                            \
    X(shutdown, "nvmlShutdown", (void))                                                                       \
    X(by_uuid, "nvmlDeviceGetHandleByUUID", (const char *uuid, nvml_device *out))                             \
    X(memory, "nvmlDeviceGetMemoryInfo", (nvml_device device, nvml_memory * out))                             \
    X(energy, "nvmlDeviceGetTotalEnergyConsumption", (nvml_device device, unsigned long long *out))           \
    X(power, "nvmlDeviceGetPowerUsage", (nvml_device device, unsigned *out))                                  \
    X(clock, "nvmlDeviceGetClockInfo", (nvml_device device, int which, unsigned *out))                        \
    X(held_down, "nvmlDeviceGetCurrentClocksThrottleReasons", (nvml_device device, unsigned long long *bits)) \
    X(temperature, "nvmlDeviceGetTemperature", (nvml_device device, int sensor, unsigned *out))               \
    X(utilisation, "nvmlDeviceGetUtilizationRates", (nvml_device device, nvml_utilisation * out))

struct hm_gpu_sensors {
    void *library;
    struct {
#define ENTRY(field, symbol, arguments) int(*field) arguments;
        ENTRIES(ENTRY)
#undef ENTRY
        const char *(*error)(int result);
    } nvml;
    nvml_device device; /* NULL: `all` says why */
    char all[HM_GPU_WHY], why[HM_GPU_QUANTITIES][HM_GPU_WHY];
};

#define LIBRARY "libnvidia-ml.so.1"

static void say(const hm_gpu_sensors *s, char out[HM_GPU_WHY], const char *call, int result)
{
    const char *text = s->nvml.error ? s->nvml.error(result) : NULL;
    snprintf(out, HM_GPU_WHY, "%s: %s (%d)", call, text ? text : "failed", result);
}

/* Calls an entry that may not be there; what went wrong is why the quantities from first to last are none. */
#define READ(s, first, last, field, symbol, ...) \
    ((s)->nvml.field ? told((s), first, last, symbol, (s)->nvml.field((s)->device, __VA_ARGS__)) : told((s), first, last, symbol, -1))
static bool told(hm_gpu_sensors *s, hm_gpu_quantity first, hm_gpu_quantity last, const char *symbol, int result)
{
    char text[HM_GPU_WHY];
    if (!result)
        return true;
    if (result < 0)
        snprintf(text, sizeof text, LIBRARY " has no %s", symbol);
    else
        say(s, text, symbol, result);
    hm_gpu_reading_none(s->why, first, last, text);
    return false;
}

static void find_device(hm_gpu_sensors *s, const hm_cuda_found *found)
{
    char uuid[48];
    s->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!s->library) {
        snprintf(s->all, sizeof s->all, "no " LIBRARY " here: it comes with NVIDIA's driver");
        return;
    }
#define ENTRY(field, symbol, arguments) *(void **)&s->nvml.field = dlsym(s->library, symbol);
    ENTRIES(ENTRY)
#undef ENTRY
    *(void **)&s->nvml.error = dlsym(s->library, "nvmlErrorString");
    if (!s->nvml.init || !s->nvml.shutdown || !s->nvml.by_uuid) {
        snprintf(s->all, sizeof s->all, LIBRARY " has no nvmlInit_v2, nvmlShutdown or nvmlDeviceGetHandleByUUID");
        return;
    }
    int result = s->nvml.init();
    if (result) {
        say(s, s->all, "nvmlInit_v2", result);
        return;
    }
    snprintf(uuid, sizeof uuid, "GPU-%s", found->id.uuid);
    result = s->nvml.by_uuid(uuid, &s->device);
    if (!result)
        return;
    say(s, s->all, "nvmlDeviceGetHandleByUUID", result);
    s->device = NULL;
    s->nvml.shutdown();
}

static hm_status open_sensors(hm_gpu_sensors **out, const char *device, hm_error *err)
{
    const hm_cuda_api *api;
    hm_status st = hm_cuda_load(&api, err);
    if (st)
        return st;
    hm_cuda_found *found = hm_calloc(1, sizeof *found, "cuda: a device", err);
    hm_gpu_sensors *s = hm_calloc(1, sizeof *s, "cuda: NVML", err);
    st = found && s ? hm_cuda_choose(api, found, device, err) : HM_EABSENT;
    if (st)
        free(s);
    else {
        find_device(s, found);
        *out = s;
    }
    free(found);
    return st;
}

static void close_sensors(hm_gpu_sensors **sensors)
{
    hm_gpu_sensors *s = *sensors;
    if (s && s->device)
        s->nvml.shutdown();
    if (s && s->library)
        dlclose(s->library);
    free(s);
    *sensors = NULL;
}

/* NVML's reasons as ours: power, heat, something else; that nothing runs, or that a user set the clocks, holds nothing down. */
static double held_down_by(unsigned long long bits)
{
    const unsigned long long idle = 0x1 | 0x2 | 0x100, power = 0x4 | 0x80, heat = 0x20 | 0x40;
    return (bits & power ? 1 : 0) + (bits & heat ? 2 : 0) + (bits & ~(idle | power | heat) ? 4 : 0);
}

static void read_all(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    nvml_memory memory;
    nvml_utilisation busy;
    unsigned long long wide;
    unsigned value;
    *out = (hm_gpu_reading){.at_ns = hm_now_ns()};
    if (s->device) {
        if (READ(s, HM_GPU_memory_used_bytes, HM_GPU_memory_free_bytes, memory, "nvmlDeviceGetMemoryInfo", &memory)) {
            hm_gpu_reading_set(out, HM_GPU_memory_used_bytes, (double)memory.used);
            hm_gpu_reading_set(out, HM_GPU_memory_free_bytes, (double)memory.free);
        }
        if (READ(s, HM_GPU_energy_uj, HM_GPU_energy_uj, energy, "nvmlDeviceGetTotalEnergyConsumption", &wide))
            hm_gpu_reading_set(out, HM_GPU_energy_uj, (double)wide * 1000);
        if (READ(s, HM_GPU_power_w, HM_GPU_power_w, power, "nvmlDeviceGetPowerUsage", &value))
            hm_gpu_reading_set(out, HM_GPU_power_w, value / 1000.0);
        if (READ(s, HM_GPU_frequency_mhz, HM_GPU_frequency_mhz, clock, "nvmlDeviceGetClockInfo", NVML_CLOCK_SM, &value))
            hm_gpu_reading_set(out, HM_GPU_frequency_mhz, value);
        if (READ(s, HM_GPU_memory_clock_mhz, HM_GPU_memory_clock_mhz, clock, "nvmlDeviceGetClockInfo", NVML_CLOCK_MEMORY, &value))
            hm_gpu_reading_set(out, HM_GPU_memory_clock_mhz, value);
        if (READ(s, HM_GPU_held_down, HM_GPU_held_down, held_down, "nvmlDeviceGetCurrentClocksThrottleReasons", &wide))
            hm_gpu_reading_set(out, HM_GPU_held_down, held_down_by(wide));
        if (READ(s, HM_GPU_temperature_c, HM_GPU_temperature_c, temperature, "nvmlDeviceGetTemperature", NVML_TEMPERATURE_GPU, &value))
            hm_gpu_reading_set(out, HM_GPU_temperature_c, value);
        if (READ(s, HM_GPU_busy_share, HM_GPU_busy_share, utilisation, "nvmlDeviceGetUtilizationRates", &busy))
            hm_gpu_reading_set(out, HM_GPU_busy_share, busy.gpu / 100.0);
        hm_gpu_reading_none(s->why, HM_GPU_busy_us, HM_GPU_busy_us, "NVML tells the share of the last moments only");
    }
    hm_gpu_reading_why(out, s->all, s->why);
}

const hm_gpu_sensors_entries hm_cuda_sensors = {.open = open_sensors, .close = close_sensors, .read = read_all};
