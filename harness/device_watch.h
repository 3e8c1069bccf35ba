/* What a GPU tells of itself while something runs on it: a thread that reads its memory, energy, clock, temperature and engines. */
#ifndef HM_HARNESS_DEVICE_WATCH_H
#define HM_HARNESS_DEVICE_WATCH_H

#include "engine/gpu/readings.h"
#include "harness/sample.h"

#define HM_DEVICE_WATCH_NS 50000000 /* between readings at first; doubled whenever the buffer is full */
#define HM_DEVICE_READINGS 2048

typedef struct hm_device_watch hm_device_watch;

/* backend and device as the engine is asked for them. A backend without a GPU: *out is NULL, which all others take. What cannot be read is
 * told by hm_device_watch_fill, it fails nothing. HM_EABSENT: no memory. */
hm_status hm_device_watch_open(hm_device_watch **out, const char *backend, const char *device, hm_error *err);
void hm_device_watch_close(hm_device_watch **watch); /* stops it, too */

/* Forgets earlier readings; the first one is taken at once. */
void hm_device_watch_start(hm_device_watch *watch);
void hm_device_watch_stop(hm_device_watch *watch); /* with a last reading */

/* After stop. In order of time; a value that is not finite was not told. */
typedef struct hm_device_reading {
    int64_t at_ns; /* CLOCK_MONOTONIC */
    double of[HM_GPU_QUANTITIES];
} hm_device_reading;
const hm_device_reading *hm_device_watch_readings(const hm_device_watch *watch, int *count);

/* After stop, into device_*: largest memory, energy and busy share from first to last reading, mean power and clock, highest temperature; and why
 * some are not known. */
void hm_device_watch_fill(const hm_device_watch *watch, hm_sample *sample);

#endif
