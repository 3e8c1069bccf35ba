#include "engine/cuda/cuda_loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

/* One per process, as the library itself: filled once, read afterwards. */
static struct {
    pthread_once_t once;
    hm_cuda_api api;
    hm_error error;
} loaded = {.once = PTHREAD_ONCE_INIT};

typedef struct result_row {
    CUresult value;
    const char *name;
    hm_status status;
    bool lost;
    const char *advice;
} result_row;

#define ROW(value, status, lost, advice)    \
    {                                       \
        value, #value, status, lost, advice \
    }
#define DRIVER_BUG "an error of this program or of the driver: please report it with this line"
#define KERNEL_BUG "a kernel went wrong, and the device does nothing more for this process: please report it with this line"
#define HARDWARE "the device failed (the kernel's log tells: dmesg, NVRM Xid): start again, and see to the card if it comes back"
#define NEWER "install a newer driver of NVIDIA"
static const result_row results[] = {
    ROW(CUDA_ERROR_INVALID_VALUE, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_OUT_OF_MEMORY, HM_EABSENT, false,
        "memory ran out: close other programs that use the device (nvidia-smi), or take a smaller model, precision or length"),
    ROW(CUDA_ERROR_NOT_INITIALIZED, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_DEINITIALIZED, HM_EBUG, true, "the driver is shutting down"),
    ROW(CUDA_ERROR_STUB_LIBRARY, HM_EABSENT, false, "the toolkit's stub was found instead of the driver: install NVIDIA's driver"),
    ROW(CUDA_ERROR_DEVICE_UNAVAILABLE, HM_EABSENT, false, "in use by another program alone (compute mode), or not ready: nvidia-smi tells"),
    ROW(CUDA_ERROR_NO_DEVICE, HM_EABSENT, false, "no device that may be used: see nvidia-smi, /dev/nvidia* and CUDA_VISIBLE_DEVICES"),
    ROW(CUDA_ERROR_INVALID_DEVICE, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_DEVICE_NOT_LICENSED, HM_EABSENT, false, "the virtual GPU has no licence"),
    ROW(CUDA_ERROR_INVALID_IMAGE, HM_EBUG, false, "the driver does not take the kernels of this build"),
    ROW(CUDA_ERROR_INVALID_CONTEXT, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_NO_BINARY_FOR_GPU, HM_EABSENT, false,
        "this build has no kernels for this GPU: expected compute capability 8.0 or later"),
    ROW(CUDA_ERROR_ECC_UNCORRECTABLE, HM_EABSENT, true, HARDWARE),
    ROW(CUDA_ERROR_UNSUPPORTED_LIMIT, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_INVALID_PTX, HM_EABSENT, false, NEWER " that knows what this build's compiler wrote"),
    ROW(CUDA_ERROR_NVLINK_UNCORRECTABLE, HM_EABSENT, true, HARDWARE),
    ROW(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, HM_EABSENT, false, "the driver's compiler (libnvidia-ptxjitcompiler) is missing: install it"),
    ROW(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, HM_EABSENT, false, NEWER ", or build with an older toolkit"),
    ROW(CUDA_ERROR_JIT_COMPILATION_DISABLED, HM_EABSENT, false, "CUDA_DISABLE_PTX_JIT is set, and this GPU needs it unset"),
    ROW(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, HM_EABSENT, false, "the driver's installation is not whole: install it again"),
    ROW(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, HM_EABSENT, false, "the driver's installation is not whole: install it again"),
    ROW(CUDA_ERROR_OPERATING_SYSTEM, HM_EABSENT, false, "the operating system refused: see that /dev/nvidia* may be read and written"),
    ROW(CUDA_ERROR_INVALID_HANDLE, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_ILLEGAL_STATE, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_NOT_FOUND, HM_EBUG, false, "the kernel is not in its module: build again from a clean tree"),
    ROW(CUDA_ERROR_NOT_READY, HM_EBUG, false, "something was asked for before it was done"),
    ROW(CUDA_ERROR_ILLEGAL_ADDRESS, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, HM_EABSENT, false, "a kernel needs more registers or shared memory than this GPU has"),
    ROW(CUDA_ERROR_LAUNCH_TIMEOUT, HM_EABSENT, true,
        "a kernel took longer than a GPU with a display allows: take another GPU, or end the display"),
    ROW(CUDA_ERROR_CONTEXT_IS_DESTROYED, HM_EBUG, true, DRIVER_BUG),
    ROW(CUDA_ERROR_ASSERT, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_HARDWARE_STACK_ERROR, HM_EABSENT, true, HARDWARE),
    ROW(CUDA_ERROR_ILLEGAL_INSTRUCTION, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_MISALIGNED_ADDRESS, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_INVALID_ADDRESS_SPACE, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_INVALID_PC, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_LAUNCH_FAILED, HM_EBUG, true, KERNEL_BUG),
    ROW(CUDA_ERROR_NOT_PERMITTED, HM_EABSENT, false, "not allowed: ask the administrator"),
    ROW(CUDA_ERROR_NOT_SUPPORTED, HM_EABSENT, false, "this GPU or its driver does not have this"),
    ROW(CUDA_ERROR_SYSTEM_NOT_READY, HM_EABSENT, false, "the system is not ready: on servers with NVSwitch start nvidia-fabricmanager"),
    ROW(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, HM_EABSENT, false,
        "the kernel's driver and libcuda.so.1 are of different versions: install both from the same release, then restart"),
    ROW(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, HM_EABSENT, false,
        "the compatibility libcuda.so.1 does not serve this GPU: take the driver's own"),
    ROW(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, HM_EBUG, false, "what was recorded failed before"),
    ROW(CUDA_ERROR_TIMEOUT, HM_EIO, false, "the driver waited too long"),
    ROW(CUDA_ERROR_EXTERNAL_DEVICE, HM_EABSENT, true, HARDWARE),
    ROW(CUDA_ERROR_INVALID_CLUSTER_SIZE, HM_EBUG, false, DRIVER_BUG),
    ROW(CUDA_ERROR_UNKNOWN, HM_EABSENT, true,
        "the driver does not say why (dmesg may): is the kernel module nvidia_uvm loaded (`nvidia-modprobe -u`)?"),
};

static const result_row *find_result(CUresult value)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].value == value)
            return &results[i];
    return NULL;
}

const char *hm_cuda_result_name(char out[HM_CUDA_RESULT_TEXT], CUresult result)
{
    const result_row *row = find_result(result);
    const char *name = NULL;
    if (!row && loaded.api.cuGetErrorName && !loaded.api.cuGetErrorName(result, &name) && name)
        snprintf(out, HM_CUDA_RESULT_TEXT, "%s", name);
    else if (row)
        snprintf(out, HM_CUDA_RESULT_TEXT, "%s", row->name);
    else
        snprintf(out, HM_CUDA_RESULT_TEXT, "result %d", (int)result);
    return out;
}

bool hm_cuda_is_lost(CUresult result)
{
    const result_row *row = find_result(result);
    return row && row->lost;
}

hm_status hm_cuda_fail(const char *where, CUresult result, const char *call, hm_error *err)
{
    char name[HM_CUDA_RESULT_TEXT];
    const result_row *row = find_result(result);
    return hm_fail(err, row ? row->status : HM_EIO, "%s: %s: %s: %s", where, call, hm_cuda_result_name(name, result),
                   row ? row->advice : "this program does not know that result: please report it with this line");
}

#define LIBRARY "libcuda.so.1"

static hm_status find_entries(void *library, hm_cuda_api *api, hm_error *err)
{
#define HM_CUDA_ENTRY(symbol, type)                          \
    if (!(*(void **)&api->symbol = dlsym(library, #symbol))) \
        return hm_fail(err, HM_EABSENT, "cuda: " LIBRARY " has no " #symbol ": install a driver of NVIDIA for CUDA 12 or later");
#define HM_CUDA_NEWER(symbol, type) *(void **)&api->symbol = dlsym(library, #symbol);
#include "engine/cuda/entries.def"
#undef HM_CUDA_ENTRY
#undef HM_CUDA_NEWER
    return HM_OK;
}

/* A driver older than the toolkit's major version takes nothing of what that compiled. */
static hm_status check_version(const hm_cuda_api *api, hm_error *err)
{
    int version = 0;
    CUresult result = api->cuDriverGetVersion(&version);
    if (result)
        return hm_cuda_fail("cuda", result, "cuDriverGetVersion", err);
    if (version / 1000 < CUDA_VERSION / 1000)
        return hm_fail(err, HM_EABSENT,
                       "cuda: the driver is for CUDA %d.%d, this build was made with %d.%d: " NEWER ", or build with an older toolkit",
                       version / 1000, version % 1000 / 10, CUDA_VERSION / 1000, CUDA_VERSION % 1000 / 10);
    return HM_OK;
}

static void load(void)
{
    hm_error *err = &loaded.error;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays open: the driver has threads of its own */
    if (!library) {
        const char *why = dlerror();
        hm_fail(err, HM_EABSENT, "cuda: %.200s: install NVIDIA's driver (in containers: run them with the NVIDIA runtime, --gpus all)",
                why ? why : "no " LIBRARY);
        return;
    }
    if (find_entries(library, &loaded.api, err))
        return;
    CUresult result = loaded.api.cuInit(0);
    if (result)
        hm_cuda_fail("cuda", result, "cuInit", err);
    else
        check_version(&loaded.api, err);
}

hm_status hm_cuda_load(const hm_cuda_api **out, hm_error *err)
{
    pthread_once(&loaded.once, load);
    if (loaded.error.status)
        return hm_fail(err, loaded.error.status, "%s", loaded.error.text);
    *out = &loaded.api;
    return HM_OK;
}
