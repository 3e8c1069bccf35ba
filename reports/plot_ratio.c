/* Speed of every arm against the first one, case by case, with its interval. */
#include <math.h>
#include <string.h>

#include "reports/plot_session.h"

#define MAX_ROWS 60

/* The ends of the axis: 1, all points and intervals, and some air. */
static void find_range(const hm_journal_session *s, double *low, double *high)
{
    *low = *high = 1;
    for (int c = 0; c < s->case_count; c++)
        for (int a = 1; a < s->arm_count; a++) {
            hm_speed_up up = hm_journal_speed_up(s, 0, a, c);
            double from = isfinite(up.low) ? up.low : up.ratio, to = isfinite(up.high) ? up.high : up.ratio;
            if (!up.n)
                continue;
            *low = from < *low ? from : *low;
            *high = to > *high ? to : *high;
        }
    double air = pow(*high / *low, 0.06);
    air = air < 1.01 ? 1.01 : air;
    *low /= air;
    *high *= air;
}

static void put_row(const hm_journal_session *s, int arm, int kase, int row, FILE *f)
{
    hm_speed_up up = hm_journal_speed_up(s, 0, arm, kase);
    if (!up.n) {
        fprintf(f, "NaN NaN NaN %d\n", row);
        return;
    }
    fprintf(f, "%.6g %.6g %.6g %d\n", up.ratio, isfinite(up.low) ? up.low : up.ratio, isfinite(up.high) ? up.high : up.ratio, row);
}

/* "3.98x (3.91 to 4.05)" to the right of the row. */
static void put_figure(const hm_journal_session *s, int arm, int kase, int row, FILE *f)
{
    hm_speed_up up = hm_journal_speed_up(s, 0, arm, kase);
    const hm_journal_result *base = hm_journal_at(s, 0, kase), *r = hm_journal_at(s, arm, kase);
    char text[80];
    if (up.n && isfinite(up.low))
        snprintf(text, sizeof text, "%.2fx (%.2f to %.2f)", up.ratio, up.low, up.high);
    else if (up.n)
        snprintf(text, sizeof text, "%.2fx", up.ratio);
    else
        snprintf(text, sizeof text,
                 r->software || base->software               ? "software device"
                 : hm_journal_bad(r) || hm_journal_bad(base) ? "audio judged bad"
                                                             : "not measured");
    fputs("set label ", f);
    hm_plot_quoted(f, text);
    fprintf(f, " at graph 1.015, first %d left tc rgb '#444444'\n", row);
}

hm_status hm_plot_ratio(const hm_journal_session *s, const char *output, FILE *f, hm_error *err)
{
    int per_case = s->arm_count, rows = per_case * s->case_count, known = 0;
    double low, high;
    char detail[300], title[300];
    for (int c = 0; c < s->case_count; c++)
        for (int a = 1; a < s->arm_count; a++)
            known += hm_journal_speed_up(s, 0, a, c).n > 0;
    if (!known)
        return hm_fail(err, HM_EMISSING,
                       "plot ratio: session %.8s has no two arms to hold against each other; measure some with --variant naive,best",
                       s->id);
    if (rows > MAX_ROWS)
        return hm_fail(err, HM_EUSAGE, "plot ratio: %d arms and %d cases make %d rows, at most %d can be read; measure fewer with --filter",
                       s->arm_count - 1, s->case_count, rows, MAX_ROWS);
    find_range(s, &low, &high);
    snprintf(detail, sizeof detail, "right of 1x is faster, %s", s->rounds < 6 ? "no intervals below 6 rounds" : "bars: 95 % intervals");
    snprintf(title, sizeof title, "Speed against %s", s->arms[0].name);
    hm_plot_session_head(s, output, title, detail, HM_PLOT_WIDTH, 150 + 24 * rows, f);
    fprintf(f, "set logscale x\nset xrange [%.6g:%.6g]\nset yrange [%d.6:-0.6]\nset xlabel ", low, high, rows - 1);
    snprintf(title, sizeof title, "speed relative to %s (logarithmic)", s->arms[0].name);
    hm_plot_quoted(f, title);
    fputc('\n', f);
    hm_plot_ratio_tics(f, low, high);
    fputs("set grid noytics xtics lc rgb '#dddddd' lt 1 lw 0.7\nunset key\nset rmargin 24\nset bars 0.6\nset ytics scale 0\nset ytics (",
          f);
    for (int c = 0; c < s->case_count; c++)
        for (int i = 0; i < per_case; i++) {
            char text[300];
            snprintf(text, sizeof text, i ? "%s" : "%s:", i ? s->arms[i].name : s->cases[c].label);
            fputs(c + i ? ", " : "", f);
            hm_plot_quoted(f, text);
            fprintf(f, " %d", c * per_case + i);
        }
    fputs(")\n", f);
    for (int c = 0; c < s->case_count; c++)
        for (int a = 1; a < s->arm_count; a++)
            put_figure(s, a, c, c * per_case + a, f);
    fputs("$data << EOD\n", f);
    for (int c = 0; c < s->case_count; c++)
        for (int a = 1; a < s->arm_count; a++)
            put_row(s, a, c, c * per_case + a, f);
    fprintf(f,
            "EOD\nset arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#222222' lw 1.4 dt 2\n"
            "plot $data using 1:4:2:3 with xerrorbars lw 2 pt 7 ps 0.9 lc rgb '%s'\n",
            hm_plot_colour(0));
    return HM_OK;
}
