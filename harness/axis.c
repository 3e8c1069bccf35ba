#include "harness/axis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000000000L

void hm_axis_free(hm_axis *axis)
{
    free(axis->buffer);
    axis->buffer = NULL;
    axis->count = 0;
}

static hm_status full(const char *what, hm_error *err)
{
    return hm_fail(err, HM_EUSAGE, "%s: more than %d values", what, HM_AXIS_VALUES);
}

/* A number at *text, which goes on behind it. False: there is none, or it is too large. */
static bool number(const char **text, long *out)
{
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtol(*text, &end, 10);
    *text = end;
    return *out <= MOST;
}

static hm_status add_range(hm_axis *a, const char *what, const char *text, hm_error *err)
{
    const char *p = text;
    long first, last, step = 1;
    bool factor = false, good = number(&p, &first) && *p++ == ':' && number(&p, &last);
    if (good && *p == ':') {
        factor = *++p == 'x';
        p += factor;
        good = number(&p, &step);
    }
    if (!good || *p || first > last || step < 1 + factor || (factor && !first))
        return hm_fail(err, HM_EUSAGE, "%s \"%.60s\": expected FIRST:LAST, FIRST:LAST:STEP or FIRST:LAST:xFACTOR, as in 5:20:5 or 1:16:x2",
                       what, text);
    for (long v = first; v <= last; v = factor ? v * step : v + step) {
        if (a->count == HM_AXIS_VALUES)
            return full(what, err);
        snprintf(a->numbers[a->count], sizeof a->numbers[0], "%ld", v);
        a->items[a->count] = a->numbers[a->count];
        a->from_range[a->count++] = true;
    }
    return HM_OK;
}

hm_status hm_axis_parse(hm_axis *a, const char *what, const char *text, bool ranges, hm_error *err)
{
    hm_status st = HM_OK;
    memset(a, 0, sizeof *a);
    a->buffer = strdup(text);
    if (!a->buffer)
        return hm_fail(err, HM_EABSENT, "%s: out of memory", what);
    for (char *p = a->buffer, *next; p && !st; p = next) {
        char *comma = strchr(p, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = 0;
        if (!*p)
            return hm_fail(err, HM_EUSAGE, "%s \"%.100s\": expected values with commas between", what, text);
        if (ranges && strchr(p, ':'))
            st = add_range(a, what, p, err);
        else if (a->count == HM_AXIS_VALUES)
            st = full(what, err);
        else
            a->items[a->count++] = p;
    }
    return st;
}
