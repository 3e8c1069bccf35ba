#include "engine/base/probe.h"

#include <stddef.h>

static const struct {
    const char *name, *text;
} rows[] = {
#define HM_COUNTER_ROW(name, text) {#name, text},
    HM_COUNTER_LIST(HM_COUNTER_ROW)
#undef HM_COUNTER_ROW
};

_Static_assert(sizeof(hm_counters) == sizeof(uint64_t) * HM_COUNTER_COUNT, "hm_counters must be an array of uint64_t");

const char *hm_counter_name(int i)
{
    return i >= 0 && i < HM_COUNTER_COUNT ? rows[i].name : NULL;
}

const char *hm_counter_text(int i)
{
    return i >= 0 && i < HM_COUNTER_COUNT ? rows[i].text : NULL;
}
