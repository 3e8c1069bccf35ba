/* Operating curves of a gate: how often it fails and passes, by how much slower one case truly is. */
#ifndef HM_REPORTS_PLOT_CURVES_H
#define HM_REPORTS_PLOT_CURVES_H

#include <stdio.h>

#include "engine/base/error.h"

enum {
    HM_GATE_CURVES = 8,
    HM_GATE_CURVE_POINTS = 64
};

/* All in percent. margin: where a slowdown begins to count. */
typedef struct hm_gate_curve {
    char name[32];
    int count;
    double slowdown[HM_GATE_CURVE_POINTS], fail[HM_GATE_CURVE_POINTS], pass[HM_GATE_CURVE_POINTS];
    double margin;
} hm_gate_curve;

/* A gnuplot script: shares of FAIL and of PASS side by side; what is neither is undecided. Margins are marked: one line where all curves
 * have the same. */
hm_status hm_plot_gate_curves(const char *title, const char *detail, const hm_gate_curve *curves, int count, const char *output,
                              FILE *script, hm_error *err);

#endif
