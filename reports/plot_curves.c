#include "reports/plot_curves.h"

#include <stdbool.h>

#include "reports/plot.h"
#include "reports/plot_parts.h"

static const int points[] = {7, 5, 9, 13, 11, 1, 2, 3}; /* told apart without colour, too */

static void panel(const char *label, int column, const hm_gate_curve *curves, int count, FILE *f)
{
    fprintf(f, "set ylabel '%s'\nplot ", label);
    for (int i = 0; i < count; i++) {
        fprintf(f, "%s$curve%d using 1:%d with linespoints lw 2 pt %d ps 0.7 lc rgb '%s' title ", i ? ", " : "", i, column, points[i],
                hm_plot_colour(i));
        hm_plot_quoted(f, curves[i].name);
    }
    fputc('\n', f);
}

/* A dashed line at the margin of all, or one in the colour of each curve. */
static void margins(const hm_gate_curve *curves, int count, FILE *f)
{
    bool same = true;
    for (int i = 1; i < count; i++)
        same = same && curves[i].margin == curves[0].margin;
    for (int i = 0; i < (same ? 1 : count); i++)
        fprintf(f, "set arrow from first %g, graph 0 to first %g, graph 1 nohead dt 2 lw 1.2 lc rgb '%s' back\n", curves[i].margin,
                curves[i].margin, same ? "#666666" : hm_plot_colour(i));
    if (same)
        fprintf(f, "set label 'margin' at first %g, graph 1.03 center tc rgb '#666666'\n", curves[0].margin);
}

hm_status hm_plot_gate_curves(const char *title, const char *detail, const hm_gate_curve *curves, int count, const char *output, FILE *f,
                              hm_error *err)
{
    double most = 1;
    hm_status st = hm_plot_check_path(output, err);
    if (st)
        return st;
    if (count < 1 || count > HM_GATE_CURVES)
        return hm_fail(err, HM_EMISSING, "plot %s: %d curves, expected 1 to %d", output, count, HM_GATE_CURVES);
    hm_plot_head(f, output, 1000, 500, title, detail);
    for (int i = 0; i < count; i++) {
        fprintf(f, "$curve%d << EOD\n", i);
        for (int j = 0; j < curves[i].count; j++)
            fprintf(f, "%.6g %.6g %.6g\n", curves[i].slowdown[j], curves[i].fail[j], curves[i].pass[j]);
        most = curves[i].count && curves[i].slowdown[curves[i].count - 1] > most ? curves[i].slowdown[curves[i].count - 1] : most;
        fputs("EOD\n", f);
    }
    fprintf(f, "set xrange [-0.2:%.3g]\n", most + 0.2);
    fputs("set xlabel 'true slowdown of one case (%)'\nset yrange [-2:102]\nset ytics 20\nset xtics 1\n"
          "set grid xtics lc rgb '#eeeeee' lt 1 lw 0.7\nset tmargin 2\nset bmargin 6.5\n"
          "set key at screen 0.5, screen 0.02 center bottom horizontal reverse Left samplen 2 width 1 maxrows 1\n",
          f);
    margins(curves, count, f);
    fputs("set multiplot layout 1,2 title title\nunset title\n", f);
    panel("gates that FAIL (%)", 2, curves, count, f);
    fputs("unset key\n", f);
    panel("gates that PASS (%)", 3, curves, count, f);
    fputs("unset multiplot\n", f);
    return HM_OK;
}
