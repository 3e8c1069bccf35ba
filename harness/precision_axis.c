#include "harness/precision_axis.h"

#include <stdio.h>
#include <string.h>

#include "harness/precision.h"

static const char *const ladder[] = {"stored", "bf16", "f16", "fp8", "int8", "int4", "fp4"};

enum {
    STEPS = sizeof ladder / sizeof *ladder
};

/* One value, "part=format+part=format" or a format. */
static hm_status add(hm_precision_axis *out, const char *value, hm_error *err)
{
    char text[sizeof out->label[0]];
    hm_precision p = {.text = text};
    const char *variant = "x";
    if ((size_t)snprintf(text, sizeof text, "%s", value) >= sizeof text)
        return hm_fail(err, HM_EUSAGE, "--axis precision: \"%.40s...\" is longer than %zu letters", value, sizeof text - 1);
    for (int i = 0; i < out->count; i++)
        if (!strcmp(out->label[i], value))
            return HM_OK;
    if (out->count == HM_AXIS_VALUES)
        return hm_fail(err, HM_EUSAGE, "--axis precision: more than %d values", HM_AXIS_VALUES);
    for (char *plus = text; (plus = strchr(plus, '+'));)
        *plus = ',';
    hm_status st = hm_precision_apply(&p, &variant, err);
    if (st)
        return hm_fail_within(err, "--axis precision");
    snprintf(out->label[out->count], sizeof out->label[0], "%s", value);
    snprintf(out->settings[out->count++], sizeof out->settings[0], "%s", variant + 2);
    return HM_OK;
}

static hm_status add_word(hm_precision_axis *out, const char *value, hm_error *err)
{
    hm_status st = HM_OK;
    char one[64];
    if (!strcmp(value, "ladder"))
        for (int i = 0; i < STEPS && !st; i++)
            st = add(out, ladder[i], err);
    else if (!strncmp(value, "each=", 5))
        for (int i = 0; i < HM_PRECISION_PARTS && !st; i++) {
            snprintf(one, sizeof one, "%s=%.40s", hm_precision_parts[i], value + 5);
            st = add(out, one, err);
        }
    else
        st = add(out, value, err);
    return st;
}

hm_status hm_precision_axis_read(hm_precision_axis *out, const char *text, hm_error *err)
{
    hm_axis values;
    out->count = 0;
    hm_status st = hm_axis_parse(&values, "--axis precision", text, false, err);
    for (int i = 0; i < values.count && !st; i++)
        st = add_word(out, values.items[i], err);
    hm_axis_free(&values);
    return st;
}
