#define _GNU_SOURCE
#include "engine/ze/ze_loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* One per process, as the library itself: filled once, read afterwards. */
static struct {
    pthread_once_t once;
    hm_ze_api api;
    hm_error error;
} loaded = {.once = PTHREAD_ONCE_INIT};

typedef struct result_row {
    ze_result_t value;
    const char *name;
    hm_status status;
    const char *advice;
} result_row;

#define ROW(value, status, advice)    \
    {                                 \
        value, #value, status, advice \
    }
#define DRIVER_BUG "an error of this program or of the driver: please report it with this line"
static const result_row results[] = {
    ROW(ZE_RESULT_NOT_READY, HM_EBUG, "something was asked for before it was done"),
    ROW(ZE_RESULT_ERROR_DEVICE_LOST, HM_EABSENT,
        "the device was lost: it hung, was reset or removed (the kernel's log tells: dmesg); start again"),
    ROW(ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY, HM_EABSENT, "memory of the host ran out: close other programs, or take a smaller model"),
    ROW(ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY, HM_EABSENT,
        "memory of the device ran out: close other programs that use it, or take a smaller model, precision or length"),
    ROW(ZE_RESULT_ERROR_MODULE_BUILD_FAILURE, HM_EBUG, "the driver's compiler refused a kernel"),
    ROW(ZE_RESULT_ERROR_MODULE_LINK_FAILURE, HM_EBUG, "the driver's compiler refused a kernel"),
    ROW(ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET, HM_EABSENT, "the device must be reset: restart the machine"),
    ROW(ZE_RESULT_ERROR_DEVICE_IN_LOW_POWER_STATE, HM_EABSENT, "the device sleeps: wake it and try again"),
    ROW(ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS, HM_EABSENT, "not allowed: join the groups render and video, or ask the administrator"),
    ROW(ZE_RESULT_ERROR_NOT_AVAILABLE, HM_EABSENT, "in use by another program, or removed"),
    ROW(ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE, HM_EABSENT,
        "a library that the driver needs is missing: install the driver's packages again"),
    ROW(ZE_RESULT_WARNING_DROPPED_DATA, HM_EIO, "the driver lost data"),
    ROW(ZE_RESULT_ERROR_UNINITIALIZED, HM_EABSENT, "the driver is not there or did not start: install it (Debian: intel-opencl-icd)"),
    ROW(ZE_RESULT_ERROR_UNSUPPORTED_VERSION, HM_EABSENT,
        "the driver is too old or too new for the loader: install both from the same release"),
    ROW(ZE_RESULT_ERROR_UNSUPPORTED_FEATURE, HM_EABSENT, "the driver does not have this: install a newer one"),
    ROW(ZE_RESULT_ERROR_INVALID_ARGUMENT, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_NULL_HANDLE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_NULL_POINTER, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_SIZE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_UNSUPPORTED_SIZE, HM_EABSENT, "more at once than the device gives: take a smaller model, precision or length"),
    ROW(ZE_RESULT_ERROR_UNSUPPORTED_ALIGNMENT, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_ENUMERATION, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_UNSUPPORTED_ENUMERATION, HM_EABSENT, "the driver does not have this: install a newer one"),
    ROW(ZE_RESULT_ERROR_INVALID_NATIVE_BINARY, HM_EBUG, "the driver refused a compiled kernel"),
    ROW(ZE_RESULT_ERROR_INVALID_GLOBAL_NAME, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_KERNEL_NAME, HM_EBUG, "the kernel is not in its module: build again from a clean tree"),
    ROW(ZE_RESULT_ERROR_INVALID_FUNCTION_NAME, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_GROUP_SIZE_DIMENSION, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_GLOBAL_WIDTH_DIMENSION, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_INDEX, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_KERNEL_ARGUMENT_SIZE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_KERNEL_ATTRIBUTE_VALUE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_MODULE_UNLINKED, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_OVERLAPPING_REGIONS, HM_EBUG, DRIVER_BUG),
    ROW(ZE_RESULT_ERROR_UNKNOWN, HM_EIO, "the driver does not say why (the kernel's log may: dmesg)"),
};

static const result_row *find_result(ze_result_t value)
{
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        if (results[i].value == value)
            return &results[i];
    return NULL;
}

const char *hm_ze_result_name(char out[HM_ZE_RESULT_TEXT], ze_result_t result)
{
    const result_row *row = find_result(result);
    if (row)
        snprintf(out, HM_ZE_RESULT_TEXT, "%s", row->name);
    else
        snprintf(out, HM_ZE_RESULT_TEXT, "result 0x%x", (unsigned)result);
    return out;
}

bool hm_ze_is_lost(ze_result_t result)
{
    return result == ZE_RESULT_ERROR_DEVICE_LOST || result == ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET;
}

hm_status hm_ze_fail(const char *where, ze_result_t result, const char *call, hm_error *err)
{
    char name[HM_ZE_RESULT_TEXT];
    const result_row *row = find_result(result);
    return hm_fail(err, row ? row->status : HM_EIO, "%s: %s: %s: %s", where, call, hm_ze_result_name(name, result),
                   row ? row->advice : "this program does not know that result: install a driver that matches the loader");
}

#define LIBRARY "libze_loader.so.1"

static hm_status find_entries(void *library, hm_ze_api *api, hm_error *err)
{
#define HM_ZE_FIND(entry)                                  \
    if (!(*(void **)&api->entry = dlsym(library, #entry))) \
        return hm_fail(err, HM_EABSENT, "ze: " LIBRARY " has no " #entry ": install a loader of Level Zero 1.4 or later (Debian: libze1)");
    HM_ZE_ENTRY_LIST(HM_ZE_FIND)
#undef HM_ZE_FIND
#define HM_ZE_FIND(field, entry, type) *(void **)&api->field = dlsym(library, entry);
    HM_ZE_NEWER_LIST(HM_ZE_FIND)
#undef HM_ZE_FIND
    return HM_OK;
}

static void load(void)
{
    hm_error *err = &loaded.error;
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* stays open: drivers have threads of their own */
    if (!library) {
        hm_fail(err, HM_EABSENT,
                "ze: no " LIBRARY " here: install the loader of Level Zero (Debian: libze1) and the GPU's driver (intel-opencl-icd)");
        return;
    }
    if (find_entries(library, &loaded.api, err))
        return;
    if (!loaded.api.sysman_init)
        setenv("ZES_ENABLE_SYSMAN", "1", 0); /* how loaders before zesInit are told that Sysman is wanted */
    ze_result_t result = loaded.api.zeInit(ZE_INIT_FLAG_GPU_ONLY);
    if (result == ZE_RESULT_ERROR_UNINITIALIZED)
        hm_fail(err, HM_EABSENT,
                "ze: no driver with a GPU (zeInit: ZE_RESULT_ERROR_UNINITIALIZED): install it (Debian: intel-opencl-icd), and see that "
                "/dev/dri/renderD* exists and may be read and written (group render)");
    else if (result)
        hm_ze_fail("ze", result, "zeInit", err);
}

hm_status hm_ze_load(const hm_ze_api **out, hm_error *err)
{
    pthread_once(&loaded.once, load);
    if (loaded.error.status)
        return hm_fail(err, loaded.error.status, "%s", loaded.error.text);
    *out = &loaded.api;
    return HM_OK;
}
