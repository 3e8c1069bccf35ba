/* The device's timer told in ns of CLOCK_MONOTONIC. Pure functions; readings come from whoever has a device. */
#ifndef HM_ENGINE_GPU_DEVICE_CLOCK_H
#define HM_ENGINE_GPU_DEVICE_CLOCK_H

#include <stdint.h>

/* Ticks are counted from the first reading on in 64 bits, however few of them the timer itself has. Between two readings of both clocks
 * time is interpolated, beyond them it goes on at the timer's nominal rate: no jump where a reading is, no drift that adds up. */
typedef struct hm_gpu_clock {
    unsigned bits; /* valid in what the timer gives */
    double tick_ns;
    int readings;
    struct {
        int64_t ns;     /* CLOCK_MONOTONIC */
        uint64_t ticks; /* unwrapped */
    } before, last;     /* the two latest */
} hm_gpu_clock;

/* The smallest value from `least` on whose lowest `bits` bits are those of raw. */
uint64_t hm_gpu_unwrap(uint64_t raw, unsigned bits, uint64_t least);

/* hz: ticks a second, not 0. */
void hm_gpu_clock_init(hm_gpu_clock *clock, uint64_t hz, unsigned bits);

/* Both clocks at one moment. Readings may be further apart than the timer's range: ns tells how often it wrapped around. A reading that
 * the rate since the one before contradicts by more than a twentieth (the timer stopped or was set) starts anew. */
void hm_gpu_clock_read(hm_gpu_clock *clock, int64_t ns, uint64_t raw);

/* After the first reading. */
int64_t hm_gpu_clock_ns(const hm_gpu_clock *clock, uint64_t ticks);
uint64_t hm_gpu_clock_ticks(const hm_gpu_clock *clock, int64_t ns);

/* Begin and end of a command by its raw stamps of `bits` valid bits. It did not begin before `earliest_ns`, give or take what the two
 * clocks disagree by (2 ms, or a quarter of the timer's range where that is less); what lasts longer than the range is told too short. */
void hm_gpu_clock_span(const hm_gpu_clock *clock, unsigned bits, uint64_t raw_begin, uint64_t raw_end, int64_t earliest_ns,
                       int64_t *begin_ns, int64_t *end_ns);

#endif
