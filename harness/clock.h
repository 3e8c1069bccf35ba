/* A clock is an interface: the machine's own, and one that tests turn by hand. */
#ifndef HM_HARNESS_CLOCK_H
#define HM_HARNESS_CLOCK_H

#include <stdint.h>

typedef struct hm_clock {
    void *self;
    int64_t (*now_ns)(void *self);                     /* never goes back; its zero means nothing */
    void (*sleep_ns)(void *self, int64_t duration_ns); /* at least that long, unless a signal comes */
} hm_clock;

/* CLOCK_MONOTONIC, the clock of the engine's phase times. */
const hm_clock *hm_clock_real(void);

/* A clock that stands still until someone sleeps on it or adds to now. Not for use by several threads. */
typedef struct hm_fake_clock {
    hm_clock clock;
    int64_t now; /* ns */
} hm_fake_clock;

void hm_fake_clock_init(hm_fake_clock *fake, int64_t now_ns);

static inline int64_t hm_clock_now(const hm_clock *clock)
{
    return clock->now_ns(clock->self);
}

static inline void hm_clock_sleep(const hm_clock *clock, int64_t duration_ns)
{
    clock->sleep_ns(clock->self, duration_ns);
}

/* The time of day in UTC as "2006-01-02T15:04:05.678Z". */
#define HM_UTC_TEXT 32
void hm_utc_text(char out[HM_UTC_TEXT]);

#endif
