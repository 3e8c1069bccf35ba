#include "harness/steady.h"

#include <stdio.h>
#include <stdlib.h>

#include "reports/stats.h"

hm_steady_turn hm_steady_of(const hm_sample *samples, int count, int threads)
{
    hm_steady_turn t = {NAN, NAN, NAN};
    double steal = 0, wall = 0;
    for (int i = 0; i < count; i++) {
        const hm_sample *s = &samples[i];
        if (s->warmup)
            continue;
        if (s->clock_khz != HM_UNKNOWN && s->clock_khz > 0 && !((double)s->clock_khz > t.clock_khz))
            t.clock_khz = (double)s->clock_khz;
        if (s->throttled != HM_UNKNOWN)
            t.throttled = (isnan(t.throttled) ? 0 : t.throttled) + (double)s->throttled;
        if (s->steal_ns != HM_UNKNOWN) {
            steal += (double)s->steal_ns;
            wall += (double)s->wall_ns;
        }
    }
    if (wall > 0)
        t.steal_share = steal < HM_STEADY_TICKS_NS ? 0 : steal / wall / (threads > 0 ? threads : 1);
    return t;
}

/* Of those that are known; NaN when there are too few. */
static double median_of(const double *x, int n)
{
    double *known = malloc((size_t)(n > 0 ? n : 1) * sizeof *known), median = NAN;
    int count = 0;
    for (int i = 0; i < n && known; i++)
        if (!isnan(x[i]))
            known[count++] = x[i];
    if (count >= HM_STEADY_LEAST)
        median = hm_median(known, count);
    free(known);
    return median;
}

bool hm_steady_spoilt(const hm_steady_turn *turn, const double *clocks, const double *steals, int n, char *reason, size_t size)
{
    double clock = median_of(clocks, n), steal = median_of(steals, n);
    if (turn->throttled > 0) {
        snprintf(reason, size, "a CPU was throttled %.0f time%s", turn->throttled, turn->throttled > 1 ? "s" : "");
        return true;
    }
    if (turn->clock_khz < HM_STEADY_CLOCK * clock) {
        snprintf(reason, size, "the CPU clock was %.2f GHz, below %.0f %% of this arm's median of %.2f GHz", turn->clock_khz * 1e-6,
                 100 * HM_STEADY_CLOCK, clock * 1e-6);
        return true;
    }
    if (turn->steal_share > steal + HM_STEADY_STEAL) {
        snprintf(reason, size, "the host took %.0f %% of the CPU time, this arm's median is %.0f %%", 100 * turn->steal_share, 100 * steal);
        return true;
    }
    return false;
}

int64_t hm_settle_wait(hm_settle *s, bool first_round, bool (*stop)(void))
{
    const int64_t step = 250000000, start = hm_clock_now(s->clock);
    int64_t waited = 0;
    if (!s->longest_ns || !s->temperature)
        return 0;
    double now = s->temperature(s->self);
    if (first_round) {
        if (!isnan(now) && !(now < s->hottest))
            s->hottest = now;
        return 0;
    }
    while (now > s->hottest + HM_STEADY_WARMER_C && waited < s->longest_ns && !(stop && stop())) {
        hm_clock_sleep(s->clock, step);
        now = s->temperature(s->self);
        waited = hm_clock_now(s->clock) - start;
    }
    return waited;
}
