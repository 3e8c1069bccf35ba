/* What a GPU tells of itself while it works: memory, energy, clock, temperature, how busy its engines are (Level Zero Sysman). */
#ifndef HM_ENGINE_ZE_ZE_SYSMAN_H
#define HM_ENGINE_ZE_ZE_SYSMAN_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"

/* Quantity, unit, what it is. Counters grow; what counts is how much from one reading to the next. */
#define HM_ZE_QUANTITY_LIST(X)                                                           \
    X(memory_used_bytes, "bytes", "memory of the device that is in use, by whomever")    \
    X(memory_free_bytes, "bytes", "memory of the device that is free")                   \
    X(energy_uj, "uJ", "energy of the card since some moment: a counter")                \
    X(power_w, "W", "mean power since the reading before; none at the first")            \
    X(frequency_mhz, "MHz", "clock of the compute engines now")                          \
    X(temperature_c, "degrees C", "the hottest of its sensors")                          \
    X(busy_us, "us", "time that compute engines were busy since some moment: a counter") \
    X(busy_share, "1", "share of the time since the reading before that they were busy; none at the first")

typedef enum hm_ze_quantity {
#define HM_ZE_QUANTITY_ENUM(name, unit, text) HM_ZE_##name,
    HM_ZE_QUANTITY_LIST(HM_ZE_QUANTITY_ENUM)
#undef HM_ZE_QUANTITY_ENUM
    HM_ZE_QUANTITIES
} hm_ze_quantity;

/* "memory_used_bytes", "bytes", what it is. */
const char *hm_ze_quantity_name(hm_ze_quantity q);
const char *hm_ze_quantity_unit(hm_ze_quantity q);
const char *hm_ze_quantity_text(hm_ze_quantity q);

typedef struct hm_ze_reading {
    int64_t at_ns; /* CLOCK_MONOTONIC */
    struct {
        bool there;
        double value;
        const char *why; /* not there: the exact reason; lives until the next reading */
    } of[HM_ZE_QUANTITIES];
} hm_ze_reading;

typedef struct hm_ze_sysman hm_ze_sysman;

/* device: as hm_gpu_options.device. HM_EABSENT in one line: no library, driver or device. A driver without Sysman opens: its readings
 * say why each quantity is not there. One thread at a time. */
hm_status hm_ze_sysman_open(hm_ze_sysman **out, const char *device, hm_error *err);
void hm_ze_sysman_close(hm_ze_sysman **sysman);
void hm_ze_sysman_read(hm_ze_sysman *sysman, hm_ze_reading *out);

#endif
