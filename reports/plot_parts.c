#include "reports/plot_parts.h"

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
