#include "harness/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool measured(double value)
{
    return isfinite(value) && value > 0;
}

int hm_series_log_ratios(const hm_series_set *set, const hm_series *base, const hm_series *arm, double *y)
{
    int n = 0;
    for (int r = 0; r < set->rounds; r++)
        if (measured(base->value[r]) && measured(arm->value[r]))
            y[n++] = log(arm->value[r] / base->value[r]) * set->direction;
    return n;
}

int hm_series_values(const hm_series_set *set, const hm_series *series, double *x)
{
    int n = 0;
    for (int r = 0; r < set->rounds; r++)
        if (isfinite(series->value[r]))
            x[n++] = series->value[r];
    return n;
}

hm_status hm_series_check_hardware(const hm_series_set *set, const hm_series *s, hm_error *err)
{
    if (!set->timed || !s || !s->software)
        return HM_OK;
    return hm_fail(
        err, HM_EINVALID,
        "%.80s: %.80s ran on a software device, whose times say nothing about hardware; exact counts (gate --counts-only, compare "
        "--metric launches), codes and fidelity are sound",
        s->label, s->arm);
}

const hm_series *hm_series_find(const hm_series_set *set, const char *case_id, const char *arm_id)
{
    for (int i = 0; i < set->count; i++)
        if (!strcmp(set->items[i].case_id, case_id) && !strcmp(set->items[i].arm_id, arm_id))
            return &set->items[i];
    return NULL;
}
