#include "harness/clock.h"

#include <stdio.h>
#include <time.h>

#include "engine/base/time.h"

static int64_t real_now(void *self)
{
    (void)self;
    return hm_now_ns();
}

static void real_sleep(void *self, int64_t duration_ns)
{
    (void)self;
    if (duration_ns <= 0)
        return;
    struct timespec t = {.tv_sec = duration_ns / 1000000000, .tv_nsec = duration_ns % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

const hm_clock *hm_clock_real(void)
{
    static const hm_clock real = {.now_ns = real_now, .sleep_ns = real_sleep};
    return &real;
}

static int64_t fake_now(void *self)
{
    return ((hm_fake_clock *)self)->now;
}

static void fake_sleep(void *self, int64_t duration_ns)
{
    ((hm_fake_clock *)self)->now += duration_ns > 0 ? duration_ns : 0;
}

void hm_fake_clock_init(hm_fake_clock *fake, int64_t now_ns)
{
    *fake = (hm_fake_clock){.clock = {.self = fake, .now_ns = fake_now, .sleep_ns = fake_sleep}, .now = now_ns};
}

void hm_utc_text(char out[HM_UTC_TEXT])
{
    struct timespec t;
    struct tm utc;
    char day[24];
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out, HM_UTC_TEXT, "%s.%03dZ", day, (int)(t.tv_nsec / 1000000));
}
