#include "reports/sheet.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "reports/sheet_write.h"

hm_sheet *hm_sheet_new(const char *const *titles)
{
    hm_sheet *s = calloc(1, sizeof *s);
    for (int i = 0; s && titles[i] && i < HM_SHEET_COLUMNS; i++) {
        s->right[i] = titles[i][0] == '>';
        s->titles[i] = strdup(titles[i] + s->right[i]);
        s->failed = s->failed || !s->titles[i];
        s->columns = i + 1;
    }
    return s;
}

static void add(hm_sheet *s, char *text)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        char **cells = realloc(s->cells, room * sizeof *cells);
        if (!cells) {
            free(text);
            s->failed = true;
            return;
        }
        s->cells = cells;
        s->room = room;
    }
    s->cells[s->count++] = text;
}

void hm_sheet_cell(hm_sheet *s, const char *format, ...)
{
    va_list ap;
    if (!s || s->failed)
        return;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : malloc((size_t)n + 1);
    if (!text) {
        s->failed = true;
        return;
    }
    va_start(ap, format);
    vsnprintf(text, (size_t)n + 1, format, ap);
    va_end(ap);
    add(s, text);
}

void hm_sheet_none(hm_sheet *s)
{
    if (s && !s->failed)
        add(s, NULL);
}

int hm_sheet_rows(const hm_sheet *s)
{
    return s && s->columns ? (int)(s->count / (size_t)s->columns) : 0;
}

const char *hm_sheet_text(const hm_sheet *s, int row, int column)
{
    return s->cells[(size_t)row * (size_t)s->columns + (size_t)column];
}

hm_status hm_sheet_write(const hm_sheet *s, hm_sheet_format format, FILE *file, hm_error *err)
{
    if (!s || s->failed)
        return hm_fail(err, HM_EABSENT, "report: no memory for a table");
    if (!s->columns || s->count % (size_t)s->columns)
        return hm_fail(err, HM_EBUG, "report: a table of %d columns has %zu cells", s->columns, s->count);
    if (format == HM_SHEET_CSV)
        hm_sheet_write_csv(s, file);
    else if (format == HM_SHEET_JSON)
        hm_sheet_write_json(s, file);
    else
        hm_sheet_write_markdown(s, file);
    return HM_OK;
}

hm_status hm_sheet_end(hm_sheet *sheet, hm_sheet_format format, FILE *file, hm_error *err)
{
    hm_status st = hm_sheet_write(sheet, format, file, err);
    hm_sheet_free(sheet);
    return st;
}

void hm_sheet_free(hm_sheet *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->columns; i++)
        free(s->titles[i]);
    for (size_t i = 0; i < s->count; i++)
        free(s->cells[i]);
    free(s->cells);
    free(s);
}
