/* The worth of each toggle of a variant, as tables and a picture. Plain structs in, text out. */
#ifndef HM_REPORTS_ABLATION_H
#define HM_REPORTS_ABLATION_H

#include <stdio.h>

#include "reports/document.h"
#include "reports/stats.h"

/* Speed ratios: above 1 is faster with the toggle. From six pairs on with their two-sided 95 % interval, else low and high are NaN. */
typedef struct hm_worth {
    int n;
    double ratio, low, high; /* NaN: not measured */
} hm_worth;

typedef struct hm_ablation_row {
    char toggle[32], value[32], kind[16];
    hm_worth alone;        /* put onto the base, against the base */
    hm_worth left_out;     /* the whole against the whole without it */
    char needs[128];       /* other toggles that had to be put on before; empty: none */
    char takes_along[128]; /* other toggles that had to be left out with it; empty: none */
} hm_ablation_row;

typedef struct hm_ablation {
    char label[128], model[128], base[192], whole[192];
    hm_ablation_row *rows; /* by what leaving out costs, most first; freed by the owner */
    int count;
    bool part;            /* of the toggles in which base and whole differ: others were not asked for */
    char unhealthy[300];  /* an arm whose output is bad, which has no worth, with its reasons; empty: none */
    hm_worth total;       /* the whole against the base */
    hm_worth product;     /* of all `alone` */
    hm_worth interaction; /* total / product, none of a part: what the toggles gain (above 1) or lose (below) by being together */
} hm_ablation;

hm_document *hm_ablation_document(const hm_ablation *ablations, int count);

/* A gnuplot script: both worths of every toggle with their intervals, case by case. HM_EMISSING: nothing to show. */
hm_status hm_ablation_plot(const hm_ablation *ablations, int count, const char *output, FILE *script, hm_error *err);

#endif
