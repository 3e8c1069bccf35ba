#include "engine/gpu/readings.h"

#include <stdio.h>

static const struct {
    const char *name, *unit, *text;
} quantities[HM_GPU_QUANTITIES] = {
#define HM_GPU_QUANTITY_ROW(name, unit, text) {#name, unit, text},
    HM_GPU_QUANTITY_LIST(HM_GPU_QUANTITY_ROW)
#undef HM_GPU_QUANTITY_ROW
};

const char *hm_gpu_quantity_name(hm_gpu_quantity q)
{
    return quantities[q].name;
}

const char *hm_gpu_quantity_unit(hm_gpu_quantity q)
{
    return quantities[q].unit;
}

const char *hm_gpu_quantity_text(hm_gpu_quantity q)
{
    return quantities[q].text;
}

void hm_gpu_reading_none(char why[HM_GPU_QUANTITIES][HM_GPU_WHY], hm_gpu_quantity first, hm_gpu_quantity last, const char *text)
{
    for (int q = (int)first; q <= (int)last; q++)
        snprintf(why[q], HM_GPU_WHY, "%s", text);
}

void hm_gpu_reading_set(hm_gpu_reading *out, hm_gpu_quantity q, double value)
{
    out->of[q].there = true;
    out->of[q].value = value;
}

void hm_gpu_reading_why(hm_gpu_reading *out, const char *all, char why[HM_GPU_QUANTITIES][HM_GPU_WHY])
{
    for (int q = 0; q < HM_GPU_QUANTITIES; q++)
        if (!out->of[q].there)
            out->of[q].why = all[0] ? all : why[q];
}
