/* Plots of a session as gnuplot scripts; harness/gnuplot.h runs them. */
#ifndef HM_REPORTS_PLOT_H
#define HM_REPORTS_PLOT_H

#include <stdio.h>

#include "engine/base/error.h"
#include "reports/journal.h"

typedef enum hm_plot_kind {
    HM_PLOT_LADDER,   /* RTF of every arm, side by side per case: lower is better */
    HM_PLOT_PHASES,   /* prefill, generate, decode, other per arm, one bar each: mean over rounds */
    HM_PLOT_STEPS,    /* decode time against solver steps, with the audio's distance where it is known */
    HM_PLOT_RATIO,    /* speed against the first arm per case and arm, with its 95 % interval */
    HM_PLOT_ROOFLINE, /* attained GFLOP/s against operations per byte, under the machine's limits */
    HM_PLOT_TRADEOFF, /* speed against fidelity, a point per arm */
    HM_PLOT_POSITIONS /* time per frame along the longest case */
} hm_plot_kind;

#define HM_PLOT_NAMES "ladder", "phases", "steps", "ratio", "roofline", "tradeoff", "positions"

/* output: .svg or .png, by its suffix (HM_EUSAGE: neither). HM_EMISSING: the session has nothing of that kind to show, and what would. */
hm_status hm_plot_write(const hm_journal_session *session, hm_plot_kind kind, const char *output, FILE *script, hm_error *err);

/* HM_EUSAGE unless output ends in .svg or .png. */
hm_status hm_plot_check_path(const char *output, hm_error *err);

#endif
