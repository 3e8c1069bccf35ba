/* How a figure went from commit to commit, and where it changed. */
#ifndef HM_REPORTS_HISTORY_H
#define HM_REPORTS_HISTORY_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"
#include "reports/document.h"
#include "reports/stats.h"

enum {
    HM_HISTORY_CHANGES = 16,
    HM_HISTORY_PANELS = 8
};

typedef struct hm_history_point {
    char commit[48], first_utc[32]; /* first_utc: of its first session */
    bool dirty;                     /* built with changes that no commit has */
    int sessions, rounds;
    double value; /* median over the rounds of all its sessions */
} hm_history_point;

/* One case of one arm on one machine: the same work by the same toggles on the same weights. */
typedef struct hm_history_series {
    char label[160], suite[96], arm[200], variant[512], model[256], model_path[1024], unit[16];
    int threads;
    double direction; /* 1: less is better, -1: more is better */
    hm_history_point *points;
    int count;
    hm_change changes[HM_HISTORY_CHANGES];
    int change_count;
} hm_history_series;

typedef struct hm_history {
    hm_history_series *series;
    int count;
    char metric[64], machine[160]; /* machine: its CPU and id, as text */
    int other_machines, unhealthy; /* sessions left out: of other machines; arms left out: that did not make sound */
    int software;                  /* arms left out: their times are of a software device */
} hm_history;

void hm_history_free(hm_history *history);

/* Looks for changes of at least `least` (0.02: 2 %) in the logarithms of all series. Values that are not above zero have none: such a
 * series has no changes. */
void hm_history_find_changes(hm_history *history, double least);

/* In percent of the value before; positive is more, not worse. */
double hm_history_change_percent(const hm_change *change);
/* Of all series: changes to the worse. */
int hm_history_worse(const hm_history *history);

/* A table per series, and for each change both commits and the command that confirms it. NULL without memory. */
hm_document *hm_history_document(const hm_history *history);

/* A gnuplot script: a panel per series with its points, the medians of stretches between changes, and the changes. HM_EMISSING: nothing to
 * show; HM_EUSAGE: more panels than can be read. */
hm_status hm_history_plot(const hm_history *history, const char *output, FILE *script, hm_error *err);

#endif
