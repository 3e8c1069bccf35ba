#include "reports/sheet_write.h"

/* Characters of UTF-8 text as a markdown cell: bars are escaped. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80 ? 1 + (*text == '|') : 0;
    return n;
}

static void put_spaces(int n, FILE *file)
{
    while (n-- > 0)
        fputc(' ', file);
}

static void put_cell(const char *text, int width, bool right, FILE *file)
{
    fputs("| ", file);
    if (right)
        put_spaces(width - width_of(text), file);
    for (const char *p = text; *p; p++) {
        if (*p == '|')
            fputc('\\', file);
        fputc(*p == '\n' || *p == '\r' || *p == '\t' ? ' ' : *p, file);
    }
    if (!right)
        put_spaces(width - width_of(text), file);
    fputc(' ', file);
}

void hm_sheet_write_markdown(const hm_sheet *s, FILE *file)
{
    int width[HM_SHEET_COLUMNS], rows = hm_sheet_rows(s);
    for (int c = 0; c < s->columns; c++) {
        width[c] = width_of(s->titles[c]) > 3 ? width_of(s->titles[c]) : 3;
        for (int r = 0; r < rows; r++) {
            const char *text = hm_sheet_text(s, r, c);
            width[c] = text && width_of(text) > width[c] ? width_of(text) : width[c];
        }
    }
    for (int c = 0; c < s->columns; c++)
        if (*s->titles[c])
            put_cell(s->titles[c], width[c], s->right[c], file);
    fputs("|\n", file);
    for (int c = 0; c < s->columns; c++) {
        if (!*s->titles[c])
            continue;
        fputs("| ", file);
        for (int i = 0; i < width[c]; i++)
            fputc(s->right[c] && i == width[c] - 1 ? ':' : '-', file);
        fputc(' ', file);
    }
    fputs("|\n", file);
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < s->columns; c++) {
            const char *text = hm_sheet_text(s, r, c);
            if (*s->titles[c])
                put_cell(text ? text : "-", width[c], s->right[c], file);
        }
        fputs("|\n", file);
    }
}
