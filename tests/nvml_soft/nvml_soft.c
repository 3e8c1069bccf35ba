/* A libnvidia-ml.so.1 for tests: fixed readings of any device, each other than the rest. HM_NVML_FAIL names the entry that fails. */
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    NOT_SUPPORTED = 3
};

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT const char *nvmlErrorString(int result);
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **out);
EXPORT int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out);
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out);
EXPORT int nvmlDeviceGetPowerUsage(void *device, unsigned *out);
EXPORT int nvmlDeviceGetClockInfo(void *device, int which, unsigned *out);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out);
EXPORT int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out);
EXPORT int nvmlDeviceGetUtilizationRates(void *device, unsigned *out);

static char a_device;
static unsigned long long energy_mj = 1000000;

static int answer(const char *entry, const void *device)
{
    const char *failing = getenv("HM_NVML_FAIL");
    return device != &a_device || (failing && !strcmp(failing, entry)) ? NOT_SUPPORTED : 0;
}

int nvmlInit_v2(void)
{
    return answer("nvmlInit_v2", &a_device);
}

int nvmlShutdown(void)
{
    return 0;
}

const char *nvmlErrorString(int result)
{
    return result == NOT_SUPPORTED ? "Not Supported" : "Success";
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
    *out = &a_device;
    return strncmp(uuid, "GPU-", 4) || strlen(uuid) != 40 ? NOT_SUPPORTED : answer("nvmlDeviceGetHandleByUUID", &a_device);
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *out)
{
    out[0] = 1000;
    out[1] = 600;
    out[2] = 400;
    return answer("nvmlDeviceGetMemoryInfo", device);
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *out)
{
    *out = energy_mj += 250;
    return answer("nvmlDeviceGetTotalEnergyConsumption", device);
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *out)
{
    *out = 123500;
    return answer("nvmlDeviceGetPowerUsage", device);
}

int nvmlDeviceGetClockInfo(void *device, int which, unsigned *out)
{
    *out = which == 1 ? 1980 : which == 2 ? 3201 : 7;
    return answer("nvmlDeviceGetClockInfo", device);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *out)
{
    *out = 0x1 | 0x4 | 0x40; /* idle, power cap, heat */
    return answer("nvmlDeviceGetCurrentClocksThrottleReasons", device);
}

int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *out)
{
    *out = sensor ? 200 : 61;
    return answer("nvmlDeviceGetTemperature", device);
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned *out)
{
    out[0] = 75;
    out[1] = 20;
    return answer("nvmlDeviceGetUtilizationRates", device);
}
