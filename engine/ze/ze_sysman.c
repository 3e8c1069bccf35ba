#include "engine/ze/ze_sysman.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/ze/ze_impl.h"

#define HANDLES 16 /* most of a kind that are looked at */
#define WHY HM_GPU_WHY

typedef struct counter {
    uint64_t sum, timestamp; /* in us */
    bool known;
} counter;

struct hm_gpu_sensors {
    const hm_ze_api *api;
    zes_device_handle_t device;
    char all[WHY]; /* why there is nothing at all */
    char why[HM_GPU_QUANTITIES][WHY];
    zes_mem_handle_t memories[HANDLES];
    zes_temp_handle_t sensors[HANDLES];
    uint32_t memories_count, sensors_count;
    zes_pwr_handle_t power; /* each NULL: none */
    zes_freq_handle_t clock, memory_clock;
    zes_engine_handle_t engine;
    counter energy, activity; /* of the reading before */
};

static void say_result(char out[WHY], const char *call, ze_result_t result)
{
    char name[HM_ZE_RESULT_TEXT];
    const char *more = result == ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS ? " (as root it may be given)" : "";
    snprintf(out, WHY, "%s: %s%s", call, hm_ze_result_name(name, result), more);
}

/* Why none of the quantities from first to last is there: the result of a call, or a sentence where the call succeeded. */
static void none(hm_gpu_sensors *s, hm_gpu_quantity first, hm_gpu_quantity last, const char *call, ze_result_t result, const char *sentence)
{
    char text[WHY];
    if (result)
        say_result(text, call, result);
    hm_gpu_reading_none(s->why, first, last, result ? text : sentence);
}

/* handles[0..count) of a kind, at most HANDLES. */
#define ENUMERATE(s, entry, handles, count, result)                       \
    do {                                                                  \
        (count) = 0;                                                      \
        (result) = (s)->api->entry((s)->device, &(count), NULL);          \
        (count) = (count) > HANDLES ? HANDLES : (count);                  \
        if (!(result) && (count))                                         \
            (result) = (s)->api->entry((s)->device, &(count), (handles)); \
        (count) = (result) ? 0 : (count) > HANDLES ? HANDLES : (count);   \
    } while (0)

static void find_memory(hm_gpu_sensors *s)
{
    zes_mem_handle_t all[HANDLES];
    uint32_t count;
    ze_result_t result;
    ENUMERATE(s, zesDeviceEnumMemoryModules, all, count, result);
    for (uint32_t i = 0; i < count && !result; i++) {
        zes_mem_properties_t p = {.stype = ZES_STRUCTURE_TYPE_MEM_PROPERTIES};
        result = s->api->zesMemoryGetProperties(all[i], &p);
        if (!result && p.location == ZES_MEM_LOC_DEVICE)
            s->memories[s->memories_count++] = all[i];
    }
    if (!s->memories_count)
        none(s, HM_GPU_memory_used_bytes, HM_GPU_memory_free_bytes, "zesDeviceEnumMemoryModules", result,
             "the device has no memory of its own, or its driver tells of none");
}

static void find_power(hm_gpu_sensors *s)
{
    zes_pwr_handle_t all[HANDLES];
    uint32_t count;
    ze_result_t result;
    ENUMERATE(s, zesDeviceEnumPowerDomains, all, count, result);
    for (uint32_t i = 0; i < count && !result && !s->power; i++) {
        zes_power_properties_t p = {.stype = ZES_STRUCTURE_TYPE_POWER_PROPERTIES};
        result = s->api->zesPowerGetProperties(all[i], &p);
        if (!result && !p.onSubdevice)
            s->power = all[i];
    }
    if (!s->power)
        none(s, HM_GPU_energy_uj, HM_GPU_power_w, "zesDeviceEnumPowerDomains", result,
             "the driver tells of no power domain of the whole device");
}

static void find_clock(hm_gpu_sensors *s)
{
    zes_freq_handle_t all[HANDLES];
    uint32_t count;
    ze_result_t result;
    ENUMERATE(s, zesDeviceEnumFrequencyDomains, all, count, result);
    for (uint32_t i = 0; i < count && !result; i++) {
        zes_freq_properties_t p = {.stype = ZES_STRUCTURE_TYPE_FREQ_PROPERTIES};
        result = s->api->zesFrequencyGetProperties(all[i], &p);
        if (!result && p.type == ZES_FREQ_DOMAIN_GPU && !s->clock)
            s->clock = all[i];
        if (!result && p.type == ZES_FREQ_DOMAIN_MEMORY && !s->memory_clock)
            s->memory_clock = all[i];
    }
    if (!s->clock) {
        none(s, HM_GPU_frequency_mhz, HM_GPU_frequency_mhz, "zesDeviceEnumFrequencyDomains", result,
             "the driver tells of no clock of the compute engines");
        none(s, HM_GPU_held_down, HM_GPU_held_down, "zesDeviceEnumFrequencyDomains", result,
             "the driver tells of no clock of the compute engines");
    }
    if (!s->memory_clock)
        none(s, HM_GPU_memory_clock_mhz, HM_GPU_memory_clock_mhz, "zesDeviceEnumFrequencyDomains", result,
             "the driver tells of no clock of the memory");
}

static void find_sensors(hm_gpu_sensors *s)
{
    zes_temp_handle_t all[HANDLES];
    uint32_t count;
    ze_result_t result;
    ENUMERATE(s, zesDeviceEnumTemperatureSensors, all, count, result);
    for (uint32_t i = 0; i < count && !result; i++) {
        zes_temp_properties_t p = {.stype = ZES_STRUCTURE_TYPE_TEMP_PROPERTIES};
        result = s->api->zesTemperatureGetProperties(all[i], &p);
        if (!result && (p.type == ZES_TEMP_SENSORS_GLOBAL || p.type == ZES_TEMP_SENSORS_GPU || p.type == ZES_TEMP_SENSORS_MEMORY))
            s->sensors[s->sensors_count++] = all[i];
    }
    if (!s->sensors_count)
        none(s, HM_GPU_temperature_c, HM_GPU_temperature_c, "zesDeviceEnumTemperatureSensors", result,
             "the driver tells of no temperature sensor");
}

/* The group that says most about compute, the larger the better: 0 for what says nothing. */
static int worth(const zes_engine_properties_t *p)
{
    if (p->onSubdevice)
        return 0;
    switch (p->type) {
    case ZES_ENGINE_GROUP_COMPUTE_ALL:
        return 3;
    case ZES_ENGINE_GROUP_3D_RENDER_COMPUTE_ALL:
        return 2;
    case ZES_ENGINE_GROUP_ALL:
        return 1;
    default:
        return 0;
    }
}

static void find_engine(hm_gpu_sensors *s)
{
    zes_engine_handle_t all[HANDLES];
    uint32_t count;
    int best = 0;
    ze_result_t result;
    ENUMERATE(s, zesDeviceEnumEngineGroups, all, count, result);
    for (uint32_t i = 0; i < count && !result; i++) {
        zes_engine_properties_t p = {.stype = ZES_STRUCTURE_TYPE_ENGINE_PROPERTIES};
        result = s->api->zesEngineGetProperties(all[i], &p);
        if (!result && worth(&p) > best) {
            best = worth(&p);
            s->engine = all[i];
        }
    }
    if (!s->engine)
        none(s, HM_GPU_busy_us, HM_GPU_busy_share, "zesDeviceEnumEngineGroups", result, "the driver tells of no group of compute engines");
}

/* Loaders with zesInit have handles of Sysman of their own: the device is found again by its UUID. */
static bool find_by_uuid(hm_gpu_sensors *s, zes_driver_handle_t driver, const ze_device_uuid_t *uuid)
{
    zes_device_handle_t devices[HM_ZE_DEVICES];
    uint32_t count = HM_ZE_DEVICES;
    if (s->api->sysman_devices(driver, &count, devices))
        return false;
    for (uint32_t i = 0; i < count && i < HM_ZE_DEVICES; i++) {
        zes_device_properties_t p = {.stype = ZES_STRUCTURE_TYPE_DEVICE_PROPERTIES};
        p.core.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
        if (!s->api->zesDeviceGetProperties(devices[i], &p) && !memcmp(p.core.uuid.id, uuid->id, sizeof uuid->id)) {
            s->device = devices[i];
            return true;
        }
    }
    return false;
}

static void find_device(hm_gpu_sensors *s, const hm_ze_found *found)
{
    zes_driver_handle_t drivers[8];
    uint32_t count = 8;
    if (!s->api->sysman_init || !s->api->sysman_drivers || !s->api->sysman_devices) {
        s->device = (zes_device_handle_t)found->device; /* one handle for both, where ZES_ENABLE_SYSMAN was set before zeInit */
        return;
    }
    ze_result_t result = s->api->sysman_init(0);
    if (result) {
        say_result(s->all, "zesInit", result);
        return;
    }
    result = s->api->sysman_drivers(&count, drivers);
    if (result) {
        say_result(s->all, "zesDriverGet", result);
        return;
    }
    for (uint32_t i = 0; i < count && i < 8; i++)
        if (find_by_uuid(s, drivers[i], &found->properties.uuid))
            return;
    snprintf(s->all, WHY, "Sysman does not know a device of the UUID %s", found->id.uuid);
}

static hm_status open_sensors(hm_gpu_sensors **out, const char *device, hm_error *err)
{
    const hm_ze_api *api;
    hm_status st = hm_ze_load(&api, err);
    if (st)
        return st;
    hm_ze_found *found = hm_calloc(1, sizeof *found, "ze: a device", err);
    hm_gpu_sensors *s = hm_calloc(1, sizeof *s, "ze: Sysman", err);
    st = found && s ? hm_ze_choose(api, found, device, err) : HM_EABSENT;
    if (st) {
        free(found);
        free(s);
        return st;
    }
    s->api = api;
    find_device(s, found);
    free(found);
    if (s->device) {
        find_memory(s);
        find_power(s);
        find_clock(s);
        find_sensors(s);
        find_engine(s);
    }
    *out = s;
    return HM_OK;
}

static void close_sensors(hm_gpu_sensors **sysman)
{
    free(*sysman);
    *sysman = NULL;
}

static void read_memory(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    uint64_t size = 0, free_bytes = 0;
    for (uint32_t i = 0; i < s->memories_count; i++) {
        zes_mem_state_t state = {.stype = ZES_STRUCTURE_TYPE_MEM_STATE};
        ze_result_t result = s->api->zesMemoryGetState(s->memories[i], &state);
        if (result || state.free > state.size) {
            none(s, HM_GPU_memory_used_bytes, HM_GPU_memory_free_bytes, "zesMemoryGetState", result,
                 "zesMemoryGetState: more is free than there is");
            return;
        }
        size += state.size;
        free_bytes += state.free;
    }
    if (!s->memories_count)
        return;
    hm_gpu_reading_set(out, HM_GPU_memory_used_bytes, (double)(size - free_bytes));
    hm_gpu_reading_set(out, HM_GPU_memory_free_bytes, (double)free_bytes);
}

/* What was counted, and how much of it in a microsecond since the reading before. */
static void read_counter(hm_gpu_sensors *s, counter *before, counter now, hm_gpu_quantity sum, hm_gpu_quantity rate, const char *what,
                         hm_gpu_reading *out)
{
    hm_gpu_reading_set(out, sum, (double)now.sum);
    if (before->known && now.timestamp > before->timestamp && now.sum >= before->sum)
        hm_gpu_reading_set(out, rate, (double)(now.sum - before->sum) / (double)(now.timestamp - before->timestamp));
    else
        snprintf(s->why[rate], WHY, "the counter of %s was not read before, or did not go on since", what);
    *before = now;
}

static void read_energy(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    zes_power_energy_counter_t now;
    ze_result_t result = s->power ? s->api->zesPowerGetEnergyCounter(s->power, &now) : ZE_RESULT_SUCCESS;
    if (result)
        none(s, HM_GPU_energy_uj, HM_GPU_power_w, "zesPowerGetEnergyCounter", result, NULL);
    else if (s->power)
        read_counter(s, &s->energy, (counter){now.energy, now.timestamp, true}, HM_GPU_energy_uj, HM_GPU_power_w, "energy", out);
}

/* ze's reasons as ours: power, heat, something else. */
static double held_down_by(zes_freq_throttle_reason_flags_t reasons)
{
    const zes_freq_throttle_reason_flags_t power = ZES_FREQ_THROTTLE_REASON_FLAG_AVE_PWR_CAP | ZES_FREQ_THROTTLE_REASON_FLAG_BURST_PWR_CAP |
                                                   ZES_FREQ_THROTTLE_REASON_FLAG_CURRENT_LIMIT | ZES_FREQ_THROTTLE_REASON_FLAG_PSU_ALERT,
                                           heat = ZES_FREQ_THROTTLE_REASON_FLAG_THERMAL_LIMIT;
    return (reasons & power ? 1 : 0) + (reasons & heat ? 2 : 0) + (reasons & ~(power | heat) ? 4 : 0);
}

static void read_clock_of(hm_gpu_sensors *s, zes_freq_handle_t clock, hm_gpu_quantity q, hm_gpu_reading *out)
{
    zes_freq_state_t state = {.stype = ZES_STRUCTURE_TYPE_FREQ_STATE};
    if (!clock)
        return;
    ze_result_t result = s->api->zesFrequencyGetState(clock, &state);
    if (result || state.actual < 0)
        none(s, q, q, "zesFrequencyGetState", result, "zesFrequencyGetState: the driver does not know it");
    else
        hm_gpu_reading_set(out, q, state.actual);
    if (q != HM_GPU_frequency_mhz)
        return;
    if (result)
        none(s, HM_GPU_held_down, HM_GPU_held_down, "zesFrequencyGetState", result, NULL);
    else
        hm_gpu_reading_set(out, HM_GPU_held_down, held_down_by(state.throttleReasons));
}

static void read_sensors(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    double hottest = 0;
    for (uint32_t i = 0; i < s->sensors_count; i++) {
        double now;
        ze_result_t result = s->api->zesTemperatureGetState(s->sensors[i], &now);
        if (result) {
            none(s, HM_GPU_temperature_c, HM_GPU_temperature_c, "zesTemperatureGetState", result, NULL);
            return;
        }
        hottest = !i || now > hottest ? now : hottest;
    }
    if (s->sensors_count)
        hm_gpu_reading_set(out, HM_GPU_temperature_c, hottest);
}

static void read_activity(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    zes_engine_stats_t now;
    ze_result_t result = s->engine ? s->api->zesEngineGetActivity(s->engine, &now) : ZE_RESULT_SUCCESS;
    if (result)
        none(s, HM_GPU_busy_us, HM_GPU_busy_share, "zesEngineGetActivity", result, NULL);
    else if (s->engine)
        read_counter(s, &s->activity, (counter){now.activeTime, now.timestamp, true}, HM_GPU_busy_us, HM_GPU_busy_share, "activity", out);
}

static void read_sensors_all(hm_gpu_sensors *s, hm_gpu_reading *out)
{
    *out = (hm_gpu_reading){.at_ns = hm_now_ns()};
    read_memory(s, out);
    read_energy(s, out);
    read_clock_of(s, s->clock, HM_GPU_frequency_mhz, out);
    read_clock_of(s, s->memory_clock, HM_GPU_memory_clock_mhz, out);
    read_sensors(s, out);
    read_activity(s, out);
    hm_gpu_reading_why(out, s->all, s->why);
}

const hm_gpu_sensors_entries hm_ze_sensors = {.open = open_sensors, .close = close_sensors, .read = read_sensors_all};
