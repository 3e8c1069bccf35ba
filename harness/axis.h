/* One axis of a plan: a name and its values, "threads=1,2", "flow_steps=5:20:5", "threads=1:16:x2". */
#ifndef HM_HARNESS_AXIS_H
#define HM_HARNESS_AXIS_H

#include <stdbool.h>

#include "engine/base/error.h"

enum {
    HM_AXIS_VALUES = 64
};

typedef struct hm_axis {
    char *buffer; /* owns the texts; NULL: none */
    const char *items[HM_AXIS_VALUES];
    bool from_range[HM_AXIS_VALUES]; /* not named by the user: may be left out where it does not exist */
    int count;
    char numbers[HM_AXIS_VALUES][12]; /* those of ranges */
} hm_axis;

/* Values with commas between. A value first:last, first:last:step or first:last:xfactor of whole numbers from 0 stands for all of them;
 * ranges: it may. `what` ("--threads") is for sentences. HM_EUSAGE. */
hm_status hm_axis_parse(hm_axis *out, const char *what, const char *text, bool ranges, hm_error *err);
void hm_axis_free(hm_axis *axis);

#endif
