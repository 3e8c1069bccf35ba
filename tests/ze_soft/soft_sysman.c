/* Sysman: memory, power, frequency, temperature and activity of a device, from what it did. */
#include "tests/ze_soft/soft.h"

#include <string.h>

#define IDLE_MHZ 300.0
#define BUSY_MHZ 1000.0
#define BUSY_WATTS 100

/* Handles of its parts are their devices'. */
static ze_result_t part(soft_device **out, const void *handle)
{
    return hm_soft_device(out, handle);
}

#define PART(out, handle)                          \
    do {                                           \
        ze_result_t found_ = part(&(out), handle); \
        if (found_)                                \
            return found_;                         \
    } while (0)

/* One of everything, or, with HM_SOFT_SYSMAN=none, nothing. */
static ze_result_t enumerate(const void *handle, uint32_t *count, void **out)
{
    soft_device *d = NULL;
    PART(d, handle);
    NEED(count);
    if (!hm_soft_own.sysman)
        return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
    hm_soft_count(count, 1);
    if (out)
        out[0] = d;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t properties(zes_device_handle_t handle, zes_device_properties_t *out)
{
    ENTER(zesDeviceGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_DEVICE_PROPERTIES, "the properties");
    out->numSubdevices = 0;
    snprintf((char *)out->serialNumber, sizeof out->serialNumber, "%d", d->index);
    snprintf((char *)out->boardNumber, sizeof out->boardNumber, "unknown");
    snprintf((char *)out->brandName, sizeof out->brandName, "%s", SOFT_NAME);
    snprintf((char *)out->modelName, sizeof out->modelName, "%s", SOFT_NAME);
    snprintf((char *)out->vendorName, sizeof out->vendorName, "hmbench");
    snprintf((char *)out->driverVersion, sizeof out->driverVersion, "1");
    return ZE_RESULT_SUCCESS;
}

static ze_result_t pci_properties(zes_device_handle_t handle, zes_pci_properties_t *out)
{
    ENTER(zesDevicePciGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_PCI_PROPERTIES, "the properties");
    out->address = (zes_pci_address_t){.bus = 0xf0 + (uint32_t)d->index};
    out->maxSpeed = (zes_pci_speed_t){.gen = -1, .width = -1, .maxBandwidth = -1};
    return ZE_RESULT_SUCCESS;
}

/* --- memory --- */

static ze_result_t enum_memory(zes_device_handle_t handle, uint32_t *count, zes_mem_handle_t *out)
{
    ENTER(zesDeviceEnumMemoryModules);
    return enumerate(handle, count, (void **)out);
}

static ze_result_t memory_properties(zes_mem_handle_t handle, zes_mem_properties_t *out)
{
    ENTER(zesMemoryGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_MEM_PROPERTIES, "the properties");
    out->type = ZES_MEM_TYPE_DDR;
    out->onSubdevice = 0;
    out->subdeviceId = 0;
    out->location = ZES_MEM_LOC_DEVICE;
    out->physicalSize = hm_soft_settings.memory_bytes;
    out->busWidth = out->numChannels = -1;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t memory_state(zes_mem_handle_t handle, zes_mem_state_t *out)
{
    ENTER(zesMemoryGetState);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_MEM_STATE, "the state");
    out->health = ZES_MEM_HEALTH_OK;
    out->size = hm_soft_settings.memory_bytes;
    out->free = out->size - d->used_bytes;
    return ZE_RESULT_SUCCESS;
}

/* --- power, frequency, temperature, activity --- */

static ze_result_t enum_power(zes_device_handle_t handle, uint32_t *count, zes_pwr_handle_t *out)
{
    ENTER(zesDeviceEnumPowerDomains);
    return enumerate(handle, count, (void **)out);
}

static ze_result_t power_properties(zes_pwr_handle_t handle, zes_power_properties_t *out)
{
    ENTER(zesPowerGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_POWER_PROPERTIES, "the properties");
    out->onSubdevice = out->canControl = out->isEnergyThresholdSupported = 0;
    out->subdeviceId = 0;
    out->defaultLimit = out->minLimit = out->maxLimit = -1;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t energy(zes_pwr_handle_t handle, zes_power_energy_counter_t *out)
{
    ENTER(zesPowerGetEnergyCounter);
    soft_device *d = NULL;
    PART(d, handle);
    NEED(out);
    out->energy = d->busy_ns / 1000 * BUSY_WATTS; /* microjoules */
    out->timestamp = hm_soft_now_ns() / 1000;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t enum_engines(zes_device_handle_t handle, uint32_t *count, zes_engine_handle_t *out)
{
    ENTER(zesDeviceEnumEngineGroups);
    return enumerate(handle, count, (void **)out);
}

static ze_result_t engine_properties(zes_engine_handle_t handle, zes_engine_properties_t *out)
{
    ENTER(zesEngineGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_ENGINE_PROPERTIES, "the properties");
    out->type = ZES_ENGINE_GROUP_COMPUTE_ALL;
    out->onSubdevice = 0;
    out->subdeviceId = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t engine_activity(zes_engine_handle_t handle, zes_engine_stats_t *out)
{
    ENTER(zesEngineGetActivity);
    soft_device *d = NULL;
    PART(d, handle);
    NEED(out);
    out->activeTime = d->busy_ns / 1000;
    out->timestamp = hm_soft_now_ns() / 1000;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t enum_frequencies(zes_device_handle_t handle, uint32_t *count, zes_freq_handle_t *out)
{
    ENTER(zesDeviceEnumFrequencyDomains);
    return enumerate(handle, count, (void **)out);
}

static ze_result_t frequency_properties(zes_freq_handle_t handle, zes_freq_properties_t *out)
{
    ENTER(zesFrequencyGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_FREQ_PROPERTIES, "the properties");
    out->type = ZES_FREQ_DOMAIN_GPU;
    out->onSubdevice = out->canControl = out->isThrottleEventSupported = 0;
    out->subdeviceId = 0;
    out->min = IDLE_MHZ;
    out->max = BUSY_MHZ;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t frequency_state(zes_freq_handle_t handle, zes_freq_state_t *out)
{
    ENTER(zesFrequencyGetState);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_FREQ_STATE, "the state");
    out->currentVoltage = -1;
    out->request = out->tdp = out->actual = d->busy_ns ? BUSY_MHZ : IDLE_MHZ;
    out->efficient = IDLE_MHZ;
    out->throttleReasons = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t enum_temperatures(zes_device_handle_t handle, uint32_t *count, zes_temp_handle_t *out)
{
    ENTER(zesDeviceEnumTemperatureSensors);
    return enumerate(handle, count, (void **)out);
}

static ze_result_t temperature_properties(zes_temp_handle_t handle, zes_temp_properties_t *out)
{
    ENTER(zesTemperatureGetProperties);
    soft_device *d = NULL;
    PART(d, handle);
    STYPE(out, ZES_STRUCTURE_TYPE_TEMP_PROPERTIES, "the properties");
    out->type = ZES_TEMP_SENSORS_GPU;
    out->onSubdevice = 0;
    out->subdeviceId = 0;
    out->maxTemperature = 100;
    out->isCriticalTempSupported = out->isThreshold1Supported = out->isThreshold2Supported = 0;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t temperature_state(zes_temp_handle_t handle, double *out)
{
    ENTER(zesTemperatureGetState);
    soft_device *d = NULL;
    PART(d, handle);
    NEED(out);
    *out = d->busy_ns ? 55.5 : 40.0;
    return ZE_RESULT_SUCCESS;
}

/* --- entries of later versions, where the headers have them --- */

#ifdef HM_SOFT_NEWER
static ze_result_t newer_init(zes_init_flags_t flags)
{
    ENTER(zesInit);
    (void)flags;
    return hm_soft_cl_open() ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_UNINITIALIZED;
}

static ze_result_t newer_drivers(uint32_t *count, zes_driver_handle_t *out)
{
    ENTER(zesDriverGet);
    NEED(count);
    hm_soft_count(count, 1);
    if (out)
        out[0] = (zes_driver_handle_t)hm_soft_devices;
    return ZE_RESULT_SUCCESS;
}

static ze_result_t newer_devices(zes_driver_handle_t driver, uint32_t *count, zes_device_handle_t *out)
{
    ENTER(zesDeviceGet);
    NEED(count);
    if ((void *)driver != (void *)hm_soft_devices)
        return hm_soft_misuse("%p is no handle of a driver", (void *)driver);
    uint32_t some = hm_soft_count(count, (uint32_t)hm_soft_settings.devices);
    for (uint32_t i = 0; out && i < some; i++)
        out[i] = (zes_device_handle_t)&hm_soft_devices[i];
    return ZE_RESULT_SUCCESS;
}
#endif

/* --- tables --- */

static void driver_table(zes_driver_dditable_t *t)
{
#ifdef HM_SOFT_NEWER
    t->pfnGet = newer_drivers;
#else
    (void)t;
#endif
}

static void device_table(zes_device_dditable_t *t)
{
    t->pfnGetProperties = properties;
#ifdef HM_SOFT_NEWER
    t->pfnGet = newer_devices;
#endif
    t->pfnPciGetProperties = pci_properties;
    t->pfnEnumMemoryModules = enum_memory;
    t->pfnEnumPowerDomains = enum_power;
    t->pfnEnumEngineGroups = enum_engines;
    t->pfnEnumFrequencyDomains = enum_frequencies;
    t->pfnEnumTemperatureSensors = enum_temperatures;
}

static void memory_table(zes_memory_dditable_t *t)
{
    t->pfnGetProperties = memory_properties;
    t->pfnGetState = memory_state;
}

static void power_table(zes_power_dditable_t *t)
{
    t->pfnGetProperties = power_properties;
    t->pfnGetEnergyCounter = energy;
}

static void engine_table(zes_engine_dditable_t *t)
{
    t->pfnGetProperties = engine_properties;
    t->pfnGetActivity = engine_activity;
}

static void frequency_table(zes_frequency_dditable_t *t)
{
    t->pfnGetProperties = frequency_properties;
    t->pfnGetState = frequency_state;
}

static void temperature_table(zes_temperature_dditable_t *t)
{
    t->pfnGetProperties = temperature_properties;
    t->pfnGetState = temperature_state;
}

#define TABLE(function, type, fill)                                                \
    SOFT_EXPORT ze_result_t ZE_APICALL function(ze_api_version_t version, type *t) \
    {                                                                              \
        if (!t)                                                                    \
            return ZE_RESULT_ERROR_INVALID_NULL_POINTER;                           \
        (void)version;                                                             \
        fill;                                                                      \
        return ZE_RESULT_SUCCESS;                                                  \
    }

TABLE(zesGetDeviceProcAddrTable, zes_device_dditable_t, device_table(t))
TABLE(zesGetMemoryProcAddrTable, zes_memory_dditable_t, memory_table(t))
TABLE(zesGetPowerProcAddrTable, zes_power_dditable_t, power_table(t))
TABLE(zesGetEngineProcAddrTable, zes_engine_dditable_t, engine_table(t))
TABLE(zesGetFrequencyProcAddrTable, zes_frequency_dditable_t, frequency_table(t))
TABLE(zesGetTemperatureProcAddrTable, zes_temperature_dditable_t, temperature_table(t))

TABLE(zesGetDriverProcAddrTable, zes_driver_dditable_t, driver_table(t))
#ifdef HM_SOFT_NEWER
TABLE(zesGetGlobalProcAddrTable, zes_global_dditable_t, t->pfnInit = newer_init)
#endif

#define EMPTY(function, type) TABLE(function, type, (void)t)
EMPTY(zesGetSchedulerProcAddrTable, zes_scheduler_dditable_t)
EMPTY(zesGetPerformanceFactorProcAddrTable, zes_performance_factor_dditable_t)
EMPTY(zesGetStandbyProcAddrTable, zes_standby_dditable_t)
EMPTY(zesGetFirmwareProcAddrTable, zes_firmware_dditable_t)
EMPTY(zesGetFabricPortProcAddrTable, zes_fabric_port_dditable_t)
EMPTY(zesGetFanProcAddrTable, zes_fan_dditable_t)
EMPTY(zesGetLedProcAddrTable, zes_led_dditable_t)
EMPTY(zesGetPsuProcAddrTable, zes_psu_dditable_t)
EMPTY(zesGetRasProcAddrTable, zes_ras_dditable_t)
EMPTY(zesGetDiagnosticsProcAddrTable, zes_diagnostics_dditable_t)
