#include "reports/plot_parts.h"

#include <math.h>
#include <stdbool.h>

#include <string.h>

const char *hm_plot_colour(int index)
{
    static const char *const colours[] = {"#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#000000"};
    return colours[(size_t)index % (sizeof colours / sizeof *colours)];
}

void hm_plot_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\' || *text == '`')
            fputc('\\', f);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, f);
    }
    fputc('"', f);
}

/* Inside quotes that are open already. */
static void plain(FILE *f, const char *text)
{
    for (const char *p = text; *p; p++)
        fputc(*p == '"' || *p == '\\' || *p == '`' ? '\'' : (unsigned char)*p < 0x20 ? ' ' : *p, f);
}

void hm_plot_head(FILE *f, const char *output, int width, int height, const char *title, const char *detail)
{
    size_t n = strlen(output);
    if (n > 4 && !strcmp(output + n - 4, ".svg"))
        fprintf(f, "set terminal svg size %d,%d dynamic background rgb 'white' font 'DejaVu Sans,13' noenhanced\n", width, height);
    else
        fprintf(f, "set terminal pngcairo size %d,%d background rgb 'white' font 'DejaVu Sans,11' noenhanced\n", width, height);
    fputs("set encoding utf8\nset output ", f);
    hm_plot_quoted(f, output);
    fputs("\ntitle = \"", f);
    plain(f, title);
    fputs("\\n", f); /* the line break is ours, the rest is not */
    plain(f, detail);
    fputs("\"\nset title title\nset border 3 lc rgb '#444444'\nset tics nomirror tc rgb '#222222'\n"
          "set grid ytics lc rgb '#dddddd' lt 1 lw 0.7\n",
          f);
}

void hm_plot_ratio_tics(FILE *f, double low, double high)
{
    static const double list[] = {1,   0.1, 0.2, 0.5, 2, 5, 10,  20,   50,   100, 0.7, 1.5,  3,    7,    15,   30,   0.8,  0.9,  1.1, 1.2,
                                  1.3, 1.7, 2.5, 4,   6, 8, 0.6, 0.95, 1.05, 0.3, 0.4, 0.97, 1.03, 0.98, 1.02, 0.99, 1.01, 0.85, 1.15};
    double put[sizeof list / sizeof *list];
    int count = 0;
    fputs("set xtics (", f);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        bool free = list[i] >= low && list[i] <= high;
        for (int k = 0; k < count && free; k++)
            free = fabs(log(list[i] / put[k])) > 0.095 * log(high / low);
        if (!free)
            continue;
        fprintf(f, "%s'%gx' %g", count ? ", " : "", list[i], list[i]);
        put[count++] = list[i];
    }
    fputs(")\n", f);
}
