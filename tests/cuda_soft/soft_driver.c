/* Entries that ask: the driver, its devices, contexts; and what the common part wants to know. */
#include "tests/cuda_soft/soft.h"

#include <string.h>

const soft_is hm_soft_is = {.name = "cuda_soft",
                            .entries = SOFT_ENTRIES,
                            .kinds = SOFT_KINDS,
                            .bad_argument = CUDA_ERROR_INVALID_VALUE,
                            .null_handle = CUDA_ERROR_INVALID_HANDLE};
_Static_assert((int)SOFT_ENTRIES <= SOFT_MOST_ENTRIES && (int)SOFT_KINDS <= SOFT_MOST_KINDS, "tables of tests/soft");

/* A context that is lost answers nothing but questions about the driver. */
#define LOST(symbol) \
    (strncmp(#symbol, "cuInit", 6) && strncmp(#symbol, "cuD", 3) && strncmp(#symbol, "cuGet", 5) && strncmp(#symbol, "cuCtx", 5))
const soft_entry_row hm_soft_entries[] = {
#define HM_CUDA_ENTRY(symbol, type) {#symbol, LOST(symbol)},
#define HM_CUDA_NEWER(symbol, type) {#symbol, LOST(symbol)},
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER
};

const char *const hm_soft_kind_names[] = {
    [SOFT_CONTEXT] = "context", [SOFT_MODULE] = "module", [SOFT_STREAM] = "stream",
    [SOFT_EVENT] = "event",     [SOFT_GRAPH] = "graph",   [SOFT_GRAPH_EXEC] = "executable graph",
};

int hm_soft_usual_failure(const char *entry)
{
    return strncmp(entry, "cuMemAlloc", 10) && strcmp(entry, "cuMemHostAlloc") ? CUDA_ERROR_UNKNOWN : CUDA_ERROR_OUT_OF_MEMORY;
}

soft_own hm_soft_own;

void hm_soft_settings_own(void)
{
    hm_soft_own = (soft_own){.reverse = hm_soft_number("HM_SOFT_REVERSE", 0) != 0,
                             .capability = (int)hm_soft_number("HM_SOFT_CAPABILITY", 90),
                             .sms = (int)hm_soft_number("HM_SOFT_SMS", 8),
                             .version = (int)hm_soft_number("HM_SOFT_VERSION", CUDA_VERSION)};
}

/* --- the driver --- */

static bool begun;

CUresult cuInit(unsigned flags)
{
    hm_soft_settings_once();
    ENTER(cuInit);
    if (flags)
        return (CUresult)hm_soft_misuse("flags %#x", flags);
    begun = true;
    return hm_soft_settings.devices ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}

CUresult cuDriverGetVersion(int *out)
{
    hm_soft_settings_once();
    ENTER(cuDriverGetVersion);
    NEED(out);
    *out = hm_soft_own.version;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char **out)
{
    ENTER(cuGetErrorName);
    NEED(out);
    *out = result == CUDA_SUCCESS ? "CUDA_SUCCESS" : NULL;
    return *out ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

/* --- devices --- */

soft_device hm_soft_devices[SOFT_MAX_DEVICES] = {{.index = 0}, {.index = 1}};

static CUresult check_device(CUdevice device)
{
    if (!begun)
        return hm_soft_misuse("before cuInit") ? CUDA_ERROR_NOT_INITIALIZED : CUDA_ERROR_NOT_INITIALIZED;
    if (device < 0 || device >= hm_soft_settings.devices) {
        hm_soft_misuse("there is no device %d", device);
        return CUDA_ERROR_INVALID_DEVICE;
    }
    return CUDA_SUCCESS;
}
#define DEVICE(device)                          \
    do {                                        \
        CUresult found_ = check_device(device); \
        if (found_)                             \
            return found_;                      \
    } while (0)

CUresult cuDeviceGetCount(int *out)
{
    ENTER(cuDeviceGetCount);
    DEVICE(0);
    NEED(out);
    *out = hm_soft_settings.devices;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *out, int index)
{
    ENTER(cuDeviceGet);
    DEVICE(index);
    NEED(out);
    *out = index;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *out, int room, CUdevice device)
{
    ENTER(cuDeviceGetName);
    DEVICE(device);
    NEED(out);
    snprintf(out, (size_t)room, "hmbench software device%s", device ? " 2" : "");
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid_v2(CUuuid *out, CUdevice device)
{
    ENTER(cuDeviceGetUuid_v2);
    DEVICE(device);
    NEED(out);
    memcpy(out->bytes, "hmsoft cuda    ", sizeof out->bytes);
    out->bytes[15] = (char)device;
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *out, CUdevice device)
{
    ENTER(cuDeviceTotalMem_v2);
    DEVICE(device);
    NEED(out);
    *out = hm_soft_settings.memory_bytes;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *out, CUdevice_attribute name, CUdevice device)
{
    const struct {
        CUdevice_attribute name;
        int value;
    } rows[] = {
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, hm_soft_own.capability / 10},
        {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, hm_soft_own.capability % 10},
        {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, hm_soft_own.sms},
        {CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 1000000},
        {CU_DEVICE_ATTRIBUTE_INTEGRATED, 0},
        {CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32},
        {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 49152},
        {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 232448},
        {CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 1 << 20},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 2147483647},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 65535},
        {CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535},
        {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 0},
        {CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 1 + device},
        {CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 0},
    };
    ENTER(cuDeviceGetAttribute);
    DEVICE(device);
    NEED(out);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].name == name) {
            *out = rows[i].value;
            return CUDA_SUCCESS;
        }
    return (CUresult)hm_soft_misuse("attribute %d: this device does not know it", (int)name);
}

/* --- contexts --- */

static pthread_mutex_t contexts = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local soft_context *current;

CUresult hm_soft_context(soft_context **out)
{
    soft_context *c = current;
    if (!c) {
        hm_soft_misuse("this thread has no context");
        return CUDA_ERROR_INVALID_CONTEXT;
    }
    TAKE(*out, c, SOFT_CONTEXT);
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *out, CUdevice device)
{
    ENTER(cuDevicePrimaryCtxRetain);
    DEVICE(device);
    NEED(out);
    soft_device *d = &hm_soft_devices[device];
    pthread_mutex_lock(&contexts);
    if (!d->primary && (d->primary = hm_soft_new(SOFT_CONTEXT, sizeof *d->primary)))
        d->primary->device = d;
    d->retained += d->primary != NULL;
    *out = (CUcontext)d->primary;
    pthread_mutex_unlock(&contexts);
    return *out ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device)
{
    ENTER_LAST(cuDevicePrimaryCtxRelease_v2);
    DEVICE(device);
    soft_device *d = &hm_soft_devices[device];
    pthread_mutex_lock(&contexts);
    bool held = d->retained > 0;
    d->retained -= held;
    if (held && !d->retained) {
        hm_soft_retire(d->primary);
        d->primary = NULL;
    }
    pthread_mutex_unlock(&contexts);
    return held ? CUDA_SUCCESS : (CUresult)hm_soft_misuse("the context of device %d is nobody's", device);
}

CUresult cuCtxSetCurrent(CUcontext context)
{
    ENTER(cuCtxSetCurrent);
    soft_context *c = NULL;
    if (context)
        TAKE(c, context, SOFT_CONTEXT);
    current = c;
    return CUDA_SUCCESS;
}
