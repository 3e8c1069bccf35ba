/* The picture of a history. */
#include <math.h>
#include <stdlib.h>

#include "reports/history.h"
#include "reports/plot.h"
#include "reports/plot_parts.h"

enum {
    PANEL_HEIGHT = 330,
    MOST_NAMES = 28
}; /* commits named below a panel */

static const char *const point_colour = "#0072B2", *const median_colour = "#009E73", *const worse_colour = "#D55E00";

static double median_of(const hm_history_series *s)
{
    double *x = s->count ? malloc((size_t)s->count * sizeof *x) : NULL, out;
    for (int i = 0; x && i < s->count; i++)
        x[i] = s->points[i].value;
    out = x ? hm_median(x, s->count) : NAN;
    free(x);
    return out;
}

static void write_data(const hm_history_series *s, int panel, FILE *f)
{
    int step = (s->count + MOST_NAMES - 1) / MOST_NAMES;
    fprintf(f, "$points%d << EOD\n", panel);
    for (int i = 0; i < s->count; i++) {
        char name[16];
        snprintf(name, sizeof name, "%.7s%s", *s->points[i].commit ? s->points[i].commit : "unknown", s->points[i].dirty ? "+" : "");
        fprintf(f, "%d %.9g ", i, s->points[i].value);
        hm_plot_quoted(f, i % step ? "" : name);
        fputc('\n', f);
    }
    fprintf(f, "EOD\n$medians%d << EOD\n", panel);
    for (int c = 0; c <= s->change_count; c++) { /* a line per stretch, an empty line between */
        int from = c ? s->changes[c - 1].at : 0, to = c < s->change_count ? s->changes[c].at : s->count;
        double median = c < s->change_count ? exp(s->changes[c].before) : s->change_count ? exp(s->changes[c - 1].after) : median_of(s);
        fprintf(f, "%g %.9g\n%g %.9g\n\n", from - 0.4, median, to - 0.6, median);
    }
    fputs("EOD\n", f);
}

/* At least 5 % to both sides of the median, so that noise does not look like news. */
static void write_range(const hm_history_series *s, FILE *f)
{
    double middle = median_of(s), reach = 0.05 * fabs(middle), low = middle - reach, high = middle + reach;
    for (int i = 0; i < s->count; i++) {
        low = s->points[i].value < low ? s->points[i].value : low;
        high = s->points[i].value > high ? s->points[i].value : high;
    }
    if (high > low)
        fprintf(f, "set yrange [%.9g:%.9g]\n", low - 0.06 * (high - low), high + 0.16 * (high - low));
}

static void panel(const hm_history *h, int i, FILE *f)
{
    const hm_history_series *s = &h->series[i];
    char text[700];
    snprintf(text, sizeof text, "%s: %s, %s", s->label, s->arm, s->model);
    fputs("unset arrow\nunset label\nset title ", f);
    hm_plot_quoted(f, text);
    fputs(" offset 0,-0.4\nset ylabel ", f);
    snprintf(text, sizeof text, "%s (%s)", h->metric, s->unit);
    hm_plot_quoted(f, text);
    fprintf(f, "\nset xrange [-0.7:%g]\n", s->count - 0.3);
    write_range(s, f);
    for (int c = 0; c < s->change_count; c++) {
        const hm_change *x = &s->changes[c];
        bool worse = (x->after - x->before) * s->direction > 0;
        fprintf(f, "set arrow from first %g, graph 0 to first %g, graph 1 nohead dt 2 lw 1.4 lc rgb '%s' back\n", x->at - 0.5, x->at - 0.5,
                worse ? worse_colour : median_colour);
        fprintf(f, "set label '%+.1f %% %s' at first %g, graph 0.94 left offset 0.4,0 tc rgb '%s'\n", hm_history_change_percent(x),
                worse ? "worse" : "better", x->at - 0.5, worse ? worse_colour : median_colour);
    }
    fprintf(f,
            "plot $medians%d using 1:2 with lines lw 3 lc rgb '%s' title 'median between changes', $points%d using 1:2:xtic(3) with points "
            "pt 7 ps 1 lc rgb '%s' title 'a commit'\n",
            i, median_colour, i, point_colour);
}

hm_status hm_history_plot(const hm_history *h, const char *output, FILE *f, hm_error *err)
{
    char title[160], detail[300];
    int points = 0;
    hm_status st = hm_plot_check_path(output, err);
    if (st)
        return st;
    for (int i = 0; i < h->count; i++)
        points += h->series[i].count;
    if (!points)
        return hm_fail(err, HM_EMISSING, "plot history: no points to show");
    if (h->count > HM_HISTORY_PANELS)
        return hm_fail(err, HM_EUSAGE,
                       "plot history: %d cases and arms in one picture, at most %d can be read: choose with --arm or a full case name",
                       h->count, HM_HISTORY_PANELS);
    snprintf(title, sizeof title, "History of %s by commit", h->metric);
    snprintf(detail, sizeof detail, "%s; median over the rounds of all sessions of a commit", h->machine);
    hm_plot_head(f, output, 1000, 70 + PANEL_HEIGHT * h->count, title, detail);
    for (int i = 0; i < h->count; i++)
        write_data(&h->series[i], i, f);
    fputs("set xtics rotate by 40 right font ',10'\nset key outside bottom right horizontal "
          "samplen 2\n",
          f);
    fprintf(f, "set multiplot layout %d,1 title title\n", h->count);
    for (int i = 0; i < h->count; i++)
        panel(h, i, f);
    fputs("unset multiplot\n", f);
    return HM_OK;
}
