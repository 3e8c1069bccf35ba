/* What a GPU tells of itself while it works: memory, energy, clocks, temperature, how busy its engines are. */
#ifndef HM_ENGINE_GPU_READINGS_H
#define HM_ENGINE_GPU_READINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"

/* Quantity, unit, what it is. Counters grow; what counts is how much from one reading to the next. */
#define HM_GPU_QUANTITY_LIST(X)                                                           \
    X(memory_used_bytes, "bytes", "memory of the device that is in use, by whomever")     \
    X(memory_free_bytes, "bytes", "memory of the device that is free")                    \
    X(energy_uj, "uJ", "energy of the card since some moment: a counter")                 \
    X(power_w, "W", "mean power since the reading before; none at the first")             \
    X(frequency_mhz, "MHz", "clock of the compute engines now")                           \
    X(memory_clock_mhz, "MHz", "clock of the memory now")                                 \
    X(held_down, "bits", "what holds clocks down now: 1 power, 2 heat, 4 something else") \
    X(temperature_c, "degrees C", "the hottest of its sensors")                           \
    X(busy_us, "us", "time that compute engines were busy since some moment: a counter")  \
    X(busy_share, "1", "share of the time since the reading before that they were busy; none at the first")

typedef enum hm_gpu_quantity {
#define HM_GPU_QUANTITY_ENUM(name, unit, text) HM_GPU_##name,
    HM_GPU_QUANTITY_LIST(HM_GPU_QUANTITY_ENUM)
#undef HM_GPU_QUANTITY_ENUM
    HM_GPU_QUANTITIES
} hm_gpu_quantity;

/* "memory_used_bytes", "bytes", what it is. */
const char *hm_gpu_quantity_name(hm_gpu_quantity q);
const char *hm_gpu_quantity_unit(hm_gpu_quantity q);
const char *hm_gpu_quantity_text(hm_gpu_quantity q);

typedef struct hm_gpu_reading {
    int64_t at_ns; /* CLOCK_MONOTONIC */
    struct {
        bool there;
        double value;
        const char *why; /* not there: the exact reason; lives until the next reading */
    } of[HM_GPU_QUANTITIES];
} hm_gpu_reading;

#define HM_GPU_WHY 192

/* Says of the quantities from first to last why they are not there; the text is kept by whoever reads them. */
void hm_gpu_reading_none(char why[HM_GPU_QUANTITIES][HM_GPU_WHY], hm_gpu_quantity first, hm_gpu_quantity last, const char *text);
void hm_gpu_reading_set(hm_gpu_reading *out, hm_gpu_quantity q, double value);
/* After all that is there was set: the reasons of the others. all: of everything, or "". */
void hm_gpu_reading_why(hm_gpu_reading *out, const char *all, char why[HM_GPU_QUANTITIES][HM_GPU_WHY]);

/* Of a driver: who reads them. Its own state. */
typedef struct hm_gpu_sensors hm_gpu_sensors;

typedef struct hm_gpu_sensors_entries {
    /* device: as hm_gpu_options.device. HM_EABSENT in one line: no library, driver or device. A driver that tells nothing opens all the same: its
     * readings say why each quantity is not there. One thread at a time. */
    hm_status (*open)(hm_gpu_sensors **out, const char *device, hm_error *err);
    void (*close)(hm_gpu_sensors **sensors);
    void (*read)(hm_gpu_sensors *sensors, hm_gpu_reading *out);
} hm_gpu_sensors_entries;

#endif
