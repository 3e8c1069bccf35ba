#include "engine/gpu/device_clock.h"

#include <math.h>
#include <string.h>

static uint64_t mask_of(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

uint64_t hm_gpu_unwrap(uint64_t raw, unsigned bits, uint64_t least)
{
    return least + ((raw - least) & mask_of(bits));
}

void hm_gpu_clock_init(hm_gpu_clock *clock, uint64_t hz, unsigned bits)
{
    memset(clock, 0, sizeof *clock);
    clock->bits = bits;
    clock->tick_ns = 1e9 / (double)hz;
}

void hm_gpu_clock_read(hm_gpu_clock *clock, int64_t ns, uint64_t raw)
{
    const unsigned bits = clock->bits;
    uint64_t ticks;
    if (!clock->readings) {
        ticks = (raw & mask_of(bits)) + (bits < 63 ? (uint64_t)1 << bits : 0); /* so that what came before it has a number, too */
        clock->before.ns = clock->last.ns = ns;
        clock->before.ticks = clock->last.ticks = ticks;
        clock->readings = 1;
        return;
    }
    double expected = (double)(ns - clock->last.ns) / clock->tick_ns;
    uint64_t guess = clock->last.ticks + (uint64_t)(expected > 0 ? expected : 0);
    uint64_t half = bits ? (uint64_t)1 << (bits > 63 ? 63 : bits - 1) : 0;
    ticks = hm_gpu_unwrap(raw, bits, guess > half ? guess - half : 0);
    clock->before = clock->last;
    clock->last.ns = ns;
    clock->last.ticks = ticks;
    clock->readings++;
    double found = (double)(int64_t)(ticks - clock->before.ticks);
    double off = fabs(found - expected) * clock->tick_ns;
    if (off > 0.05 * (double)(ns - clock->before.ns) && off > 1e5) /* 0.1 ms: a reading is never better than the calls around it */
        clock->before = clock->last;
}

/* ns per tick between the two readings, or the nominal rate where they are too close to tell. */
static double rate(const hm_gpu_clock *clock)
{
    int64_t ns = clock->last.ns - clock->before.ns;
    uint64_t ticks = clock->last.ticks - clock->before.ticks;
    return ns > 1000000 && ticks ? (double)ns / (double)ticks : clock->tick_ns;
}

int64_t hm_gpu_clock_ns(const hm_gpu_clock *clock, uint64_t ticks)
{
    if ((int64_t)(ticks - clock->last.ticks) >= 0)
        return clock->last.ns + llround((double)(ticks - clock->last.ticks) * clock->tick_ns);
    if ((int64_t)(ticks - clock->before.ticks) < 0)
        return clock->before.ns - llround((double)(clock->before.ticks - ticks) * clock->tick_ns);
    return clock->before.ns + llround((double)(ticks - clock->before.ticks) * rate(clock));
}

uint64_t hm_gpu_clock_ticks(const hm_gpu_clock *clock, int64_t ns)
{
    if (ns >= clock->last.ns)
        return clock->last.ticks + (uint64_t)((double)(ns - clock->last.ns) / clock->tick_ns);
    if (ns >= clock->before.ns)
        return clock->before.ticks + (uint64_t)((double)(ns - clock->before.ns) / rate(clock));
    uint64_t back = (uint64_t)((double)(clock->before.ns - ns) / clock->tick_ns);
    return back < clock->before.ticks ? clock->before.ticks - back : 0;
}

void hm_gpu_clock_span(const hm_gpu_clock *clock, unsigned bits, uint64_t raw_begin, uint64_t raw_end, int64_t earliest_ns,
                       int64_t *begin_ns, int64_t *end_ns)
{
    const unsigned known = bits < clock->bits ? bits : clock->bits; /* both count the same timer */
    double slack = 2e6 / clock->tick_ns, quarter = known > 2 ? ldexp(1, (int)known - 2) : 0;
    uint64_t least = hm_gpu_clock_ticks(clock, earliest_ns), back = (uint64_t)(slack < quarter ? slack : quarter);
    uint64_t begin = hm_gpu_unwrap(raw_begin, known, least > back ? least - back : 0);
    uint64_t end = hm_gpu_unwrap(raw_end, known, begin);
    *begin_ns = hm_gpu_clock_ns(clock, begin);
    *end_ns = hm_gpu_clock_ns(clock, end);
}
