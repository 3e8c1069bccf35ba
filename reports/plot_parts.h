/* What all plots share: colours, texts, the head of a gnuplot script. */
#ifndef HM_REPORTS_PLOT_PARTS_H
#define HM_REPORTS_PLOT_PARTS_H

#include <stdio.h>

/* Okabe-Ito: told apart with any colour vision. Index modulo their number. */
const char *hm_plot_colour(int index);

/* A text in gnuplot's double quotes: none of it is markup or an escape. */
void hm_plot_quoted(FILE *script, const char *text);

/* Terminal by the suffix of output, size in pixels, the output, a title of two lines, border, tics and grid. */
void hm_plot_head(FILE *script, const char *output, int width, int height, const char *title, const char *detail);

/* Tics of a logarithmic x axis of ratios, none so near to another that their texts touch; 1 always. */
void hm_plot_ratio_tics(FILE *script, double low, double high);

#endif
