/* libze_loader.so.1, opened at run time, and what its results mean. */
#ifndef HM_ENGINE_ZE_ZE_LOADER_H
#define HM_ENGINE_ZE_ZE_LOADER_H

#include <level_zero/ze_api.h>
#include <level_zero/zes_api.h>

#include <stdbool.h>

#include "engine/base/error.h"

/* Entry points of spec 1.0 to 1.4 that are called: the library has them all. */
#define HM_ZE_ENTRY_LIST(X)                   \
    X(zeInit)                                 \
    X(zeDriverGet)                            \
    X(zeDriverGetApiVersion)                  \
    X(zeDriverGetProperties)                  \
    X(zeDriverGetExtensionProperties)         \
    X(zeDeviceGet)                            \
    X(zeDeviceGetProperties)                  \
    X(zeDeviceGetComputeProperties)           \
    X(zeDeviceGetCommandQueueGroupProperties) \
    X(zeDeviceGetMemoryProperties)            \
    X(zeDeviceGetGlobalTimestamps)            \
    X(zeContextCreate)                        \
    X(zeContextDestroy)                       \
    X(zeContextGetStatus)                     \
    X(zeMemAllocDevice)                       \
    X(zeMemAllocHost)                         \
    X(zeMemAllocShared)                       \
    X(zeMemFree)                              \
    X(zeModuleCreate)                         \
    X(zeModuleDestroy)                        \
    X(zeModuleGetNativeBinary)                \
    X(zeModuleBuildLogGetString)              \
    X(zeModuleBuildLogDestroy)                \
    X(zeKernelCreate)                         \
    X(zeKernelDestroy)                        \
    X(zeKernelSetGroupSize)                   \
    X(zeKernelSetArgumentValue)               \
    X(zeKernelSetIndirectAccess)              \
    X(zeKernelGetProperties)                  \
    X(zeEventPoolCreate)                      \
    X(zeEventPoolDestroy)                     \
    X(zeEventCreate)                          \
    X(zeEventDestroy)                         \
    X(zeEventHostSynchronize)                 \
    X(zeEventHostReset)                       \
    X(zeEventQueryStatus)                     \
    X(zeEventQueryKernelTimestamp)            \
    X(zeCommandQueueCreate)                   \
    X(zeCommandQueueDestroy)                  \
    X(zeCommandQueueExecuteCommandLists)      \
    X(zeCommandQueueSynchronize)              \
    X(zeFenceCreate)                          \
    X(zeFenceDestroy)                         \
    X(zeFenceHostSynchronize)                 \
    X(zeFenceReset)                           \
    X(zeCommandListCreate)                    \
    X(zeCommandListCreateImmediate)           \
    X(zeCommandListDestroy)                   \
    X(zeCommandListClose)                     \
    X(zeCommandListAppendLaunchKernel)        \
    X(zeCommandListAppendMemoryCopy)          \
    X(zeCommandListAppendMemoryFill)          \
    X(zeCommandListAppendBarrier)             \
    X(zeCommandListAppendSignalEvent)         \
    X(zeCommandListAppendWaitOnEvents)        \
    X(zeCommandListAppendEventReset)          \
    X(zesDeviceEnumMemoryModules)             \
    X(zesMemoryGetProperties)                 \
    X(zesMemoryGetState)                      \
    X(zesDeviceEnumPowerDomains)              \
    X(zesPowerGetProperties)                  \
    X(zesPowerGetEnergyCounter)               \
    X(zesDeviceEnumFrequencyDomains)          \
    X(zesFrequencyGetProperties)              \
    X(zesFrequencyGetState)                   \
    X(zesDeviceEnumTemperatureSensors)        \
    X(zesTemperatureGetProperties)            \
    X(zesTemperatureGetState)                 \
    X(zesDeviceEnumEngineGroups)              \
    X(zesEngineGetProperties)                 \
    X(zesEngineGetActivity)                   \
    X(zesDeviceGetProperties)

/* Newer than the headers: NULL where the library has none. Field, name in the library, type. */
#define HM_ZE_NEWER_LIST(X)                                                                             \
    X(sysman_init, "zesInit", ze_result_t (*)(uint32_t flags))                                          \
    X(sysman_drivers, "zesDriverGet", ze_result_t (*)(uint32_t * count, zes_driver_handle_t * drivers)) \
    X(sysman_devices, "zesDeviceGet", ze_result_t (*)(zes_driver_handle_t driver, uint32_t * count, zes_device_handle_t * devices))

typedef struct hm_ze_api {
#define HM_ZE_FIELD(name) __typeof__(name) *name;
    HM_ZE_ENTRY_LIST(HM_ZE_FIELD)
#undef HM_ZE_FIELD
#define HM_ZE_FIELD(field, name, type) __typeof__(type) field;
    HM_ZE_NEWER_LIST(HM_ZE_FIELD)
#undef HM_ZE_FIELD
} hm_ze_api;

/* Opens the library and calls zeInit, once per process however often it is asked for. HM_EABSENT in one line: no library, or no driver. */
hm_status hm_ze_load(const hm_ze_api **out, hm_error *err);

/* Fails with one sentence: where ("ze 0 (name)"), the call, the result's name, what to do. `result` is no success. */
hm_status hm_ze_fail(const char *where, ze_result_t result, const char *call, hm_error *err);

/* The device is gone: nothing that is asked of it will succeed any more. */
bool hm_ze_is_lost(ze_result_t result);

#define HM_ZE_RESULT_TEXT 64
/* "ZE_RESULT_ERROR_DEVICE_LOST", or the number of a result that the headers do not know. Returns out. */
const char *hm_ze_result_name(char out[HM_ZE_RESULT_TEXT], ze_result_t result);

#endif
