/* What each toggle of a variant is worth: put on alone, and left out of the whole. harness/cmd_ablate.c measures, this plans and judges. */
#ifndef HM_HARNESS_ABLATE_H
#define HM_HARNESS_ABLATE_H

#include "harness/options.h"
#include "harness/series.h"
#include "reports/ablation.h"
#include "variants/variants.h"

/* One toggle that base and whole differ in, and the sets that tell its worth. Where a set would be impossible (a value requires another
 * toggle), the least that makes it possible goes with it. */
typedef struct hm_ablate_step {
    const hm_toggle_info *toggle;
    hm_toggles before, alone; /* alone: before and this toggle; before: the base and what the toggle requires */
    hm_toggles left_out;      /* the whole without it and without what requires it */
} hm_ablate_step;

enum {
    HM_ABLATE_STEPS = 64
};

/* only: names, all when empty (HM_EUSAGE: unknown, or base and whole agree in it). Returns in the table's order. HM_EUSAGE: base and whole
 * are the same. */
hm_status hm_ablate_plan(const hm_toggles *base, const hm_toggles *whole, const hm_strings *only, hm_ablate_step *out, int *count,
                         hm_error *err);

/* Every set of the steps as --variant takes it, base and whole first. out points into malloc'ed *buffer. HM_EUSAGE: too many. */
hm_status hm_ablate_variants(const char *base, const char *whole, const hm_ablate_step *steps, int count, char **buffer, hm_strings *out,
                             hm_error *err);

/* A session of kind "ablate" as ablations, one per case and model; the first arm of each is the base, the second the whole. only: as above.
 * HM_EFORMAT: it is no such session. hm_ablations_free. */
typedef struct hm_ablations {
    hm_ablation *items;
    int count;
} hm_ablations;
hm_status hm_ablate_judge(const hm_series_set *set, const hm_strings *only, hm_ablations *out, hm_error *err);
void hm_ablations_free(hm_ablations *ablations);

#endif
