/* Inside of the plots of a session: what their files share. */
#ifndef HM_REPORTS_PLOT_SESSION_H
#define HM_REPORTS_PLOT_SESSION_H

#include "reports/journal_parts.h"
#include "reports/plot.h"
#include "reports/plot_parts.h"

#define HM_PLOT_CASES 8   /* groups that stay readable */
#define HM_PLOT_WIDTH 830 /* pixels: as wide as a README shows them */

int hm_plot_point(int index); /* gnuplot's type of point: changes where colours come again */

/* hm_plot_head with a title of three lines: what, on which model; how; where, how often. And the key below. */
void hm_plot_session_head(const hm_journal_session *session, const char *output, const char *title, const char *detail, int width,
                          int height, FILE *script);

/* The key below the name of the x axis, `entries` of them four in a row. */
void hm_plot_key_below(FILE *script, int entries, int height);

/* plot_bars.c */
hm_status hm_plot_ladder(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
hm_status hm_plot_phases(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
/* plot_lines.c */
hm_status hm_plot_steps(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
hm_status hm_plot_positions(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
/* plot_ratio.c, plot_roofline.c, plot_tradeoff.c */
hm_status hm_plot_ratio(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
hm_status hm_plot_roofline(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);
hm_status hm_plot_tradeoff(const hm_journal_session *session, const char *output, FILE *script, hm_error *err);

#endif
