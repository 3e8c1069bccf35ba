#include "reports/ablation.h"

#include <math.h>
#include <string.h>

#include "reports/plot_parts.h"

static void put_worth(hm_sheet *sheet, const hm_worth *w)
{
    const double values[] = {w->ratio, w->low, w->high};
    for (int i = 0; i < 3; i++)
        hm_sheet_number(sheet, values[i], 3);
}

static hm_sheet *toggle_sheet(const hm_ablation *a)
{
    static const char *const titles[] = {"case|",
                                         "model|",
                                         "toggle|toggle",
                                         "value|value",
                                         "toggle_kind|kind",
                                         ">left_out|worth in the whole",
                                         ">left_out_low|low",
                                         ">left_out_high|high",
                                         ">alone|worth alone",
                                         ">alone_low|low ",
                                         ">alone_high|high ",
                                         ">pairs|n",
                                         "needs|put on first",
                                         "takes_along|left out with it",
                                         NULL};
    hm_sheet *sheet = hm_sheet_new(titles);
    for (int i = 0; i < a->count; i++) {
        const hm_ablation_row *r = &a->rows[i];
        hm_sheet_string(sheet, a->label);
        hm_sheet_string(sheet, a->model);
        hm_sheet_string(sheet, r->toggle);
        hm_sheet_string(sheet, r->value);
        hm_sheet_string(sheet, r->kind);
        put_worth(sheet, &r->left_out);
        put_worth(sheet, &r->alone);
        hm_sheet_cell(sheet, "%d", r->left_out.n);
        hm_sheet_string(sheet, r->needs);
        hm_sheet_string(sheet, r->takes_along);
    }
    return sheet;
}

static hm_sheet *total_sheet(const hm_ablation *a)
{
    static const char *const titles[] = {"case|", "model|", "what|of", ">ratio|speed-up", ">low|low", ">high|high", ">pairs|n", NULL};
    const struct {
        const char *name;
        const hm_worth *worth;
    } rows[] = {{"the whole against the base", &a->total},
                {"product of the toggles alone", &a->product},
                {"interaction: the first divided by the second", &a->interaction}};
    hm_sheet *sheet = hm_sheet_new(titles);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hm_sheet_string(sheet, a->label);
        hm_sheet_string(sheet, a->model);
        hm_sheet_string(sheet, rows[i].name);
        put_worth(sheet, rows[i].worth);
        hm_sheet_cell(sheet, "%d", rows[i].worth->n);
    }
    return sheet;
}

hm_document *hm_ablation_document(const hm_ablation *ablations, int count)
{
    hm_document *d = hm_document_new("ablation");
    hm_document_heading(d, 1, "What each toggle is worth");
    for (int i = 0; i < count; i++) {
        const hm_ablation *a = &ablations[i];
        hm_document_heading(d, 2, "%s on %s", a->label, a->model);
        hm_document_text(
            d,
            "From %s (base) to %s (whole). Speed ratios, above 1: faster with the toggle. *Worth in the whole*: the whole against "
            "the whole without it; *worth alone*: put onto the base. low, high: 95 %% interval of the paired rounds "
            "(Hodges-Lehmann; from 6 rounds on), an interval that holds 1 shows nothing.",
            a->base, a->whole);
        hm_document_sheet(d, "toggles", toggle_sheet(a));
        hm_document_sheet(d, "totals", total_sheet(a));
        if (a->unhealthy[0])
            hm_document_text(d, "Not ranked, nor what rests on it: the output of %s.", a->unhealthy);
        hm_document_text(d, "%s",
                         a->part
                             ? "Only some of the toggles in which the two differ: the whole has others too, so no interaction can be told."
                             : "An interaction below 1: some toggles save the same time twice, or need each other (put on first, left out "
                               "with it).");
    }
    return d;
}

/* --- picture --- */

enum {
    ROW_PIXELS = 22,
    HEAD_PIXELS = 150,
    WIDTH = 830
};

static void find_range(const hm_ablation *a, int count, double *low, double *high)
{
    *low = 0.95;
    *high = 1.05;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < a[i].count; k++) {
            const hm_worth *list[] = {&a[i].rows[k].left_out, &a[i].rows[k].alone};
            for (int w = 0; w < 2; w++) {
                double from = isfinite(list[w]->low) ? list[w]->low : list[w]->ratio;
                double to = isfinite(list[w]->high) ? list[w]->high : list[w]->ratio;
                *low = from < *low ? from : *low;
                *high = to > *high ? to : *high;
            }
        }
    *low /= 1.02;
    *high *= 1.02;
}

static void put_points(FILE *f, const hm_ablation *a, int count, bool left_out)
{
    int row = 0;
    fprintf(f, "$%s << EOD\n", left_out ? "whole" : "alone");
    for (int i = 0; i < count; i++, row++)
        for (int k = 0; k < a[i].count; k++, row++) {
            const hm_worth *w = left_out ? &a[i].rows[k].left_out : &a[i].rows[k].alone;
            double y = row + 1 + (left_out ? -0.16 : 0.16);
            if (isfinite(w->ratio))
                fprintf(f, "%.6g %.6g %.6g %.3f\n", w->ratio, isfinite(w->low) ? w->low : w->ratio, isfinite(w->high) ? w->high : w->ratio,
                        y);
            else
                fprintf(f, "NaN NaN NaN %.3f\n", y);
        }
    fputs("EOD\n", f);
}

static void put_names(FILE *f, const hm_ablation *a, int count)
{
    int row = 0;
    fputs("set ytics (", f);
    for (int i = 0; i < count; i++, row++)
        for (int k = 0; k < a[i].count; k++, row++) {
            char text[80];
            snprintf(text, sizeof text, "%s=%s", a[i].rows[k].toggle, a[i].rows[k].value);
            fputs(row ? ", " : "", f);
            hm_plot_quoted(f, text);
            fprintf(f, " %d", row + 1);
        }
    fputs(")\n", f);
}

/* The case above its rows. */
static void put_heads(FILE *f, const hm_ablation *a, int count)
{
    int row = 0;
    for (int i = 0; i < count; row += a[i].count + 1, i++) {
        char text[960];
        int n = snprintf(text, sizeof text, "%s on %s: %s against %s", a[i].label, a[i].model, a[i].whole, a[i].base);
        if (isfinite(a[i].total.ratio))
            snprintf(text + n, sizeof text - (size_t)n, " %.2fx", a[i].total.ratio);
        fputs("set label ", f);
        hm_plot_quoted(f, text);
        fprintf(f, " at graph 0.01, first %d left tc rgb '#444444'\n", row);
    }
}

hm_status hm_ablation_plot(const hm_ablation *ablations, int count, const char *output, FILE *f, hm_error *err)
{
    int rows = 0;
    double low, high;
    for (int i = 0; i < count; i++)
        rows += ablations[i].count + 1;
    if (!rows)
        return hm_fail(err, HM_EMISSING, "ablation: nothing to show");
    find_range(ablations, count, &low, &high);
    hm_plot_head(f, output, WIDTH, HEAD_PIXELS + ROW_PIXELS * rows, "What each toggle is worth",
                 "speed with it / speed without it, 95 % interval; right of 1: faster");
    put_points(f, ablations, count, true);
    put_points(f, ablations, count, false);
    put_names(f, ablations, count);
    put_heads(f, ablations, count);
    hm_plot_ratio_tics(f, low, high);
    fprintf(f,
            "set logscale x\nset xrange [%.6g:%.6g]\nset yrange [%d:-1]\n"
            "set xlabel 'speed ratio (logarithmic)'\nset arrow from 1, graph 0 to 1, graph 1 nohead lw 1 lc rgb '#888888' back\n"
            "set key outside bottom center horizontal\nset lmargin 24\n"
            "plot $whole using 1:4:2:3 with xerrorbars pt 7 ps 0.7 lw 1.5 lc rgb '%s' title 'left out of the whole', "
            "$alone using 1:4:2:3 with xerrorbars pt 6 ps 0.7 lw 1.5 lc rgb '%s' title 'put on alone'\n",
            low, high, rows, hm_plot_colour(0), hm_plot_colour(1));
    return HM_OK;
}
