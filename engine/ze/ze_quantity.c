#include "engine/ze/ze_sysman.h"

static const struct {
    const char *name, *unit, *text;
} quantities[HM_ZE_QUANTITIES] = {
#define HM_ZE_QUANTITY_ROW(name, unit, text) {#name, unit, text},
    HM_ZE_QUANTITY_LIST(HM_ZE_QUANTITY_ROW)
#undef HM_ZE_QUANTITY_ROW
};

const char *hm_ze_quantity_name(hm_ze_quantity q)
{
    return quantities[q].name;
}

const char *hm_ze_quantity_unit(hm_ze_quantity q)
{
    return quantities[q].unit;
}

const char *hm_ze_quantity_text(hm_ze_quantity q)
{
    return quantities[q].text;
}
