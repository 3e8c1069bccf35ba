#define _GNU_SOURCE /* vasprintf, asprintf */
#include "reports/sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "reports/sheet_write.h"

/* Whether rows of documents begin with it, so that no column is called so. */
static bool is_reserved(const char *key, int length)
{
    static const char *const names[] = {"schema_version", "kind", "table"};
    for (int i = 0; i < 3; i++)
        if ((int)strlen(names[i]) == length && !strncmp(names[i], key, (size_t)length))
            return true;
    return false;
}

hm_sheet *hm_sheet_new(const char *const *titles)
{
    hm_sheet *s = calloc(1, sizeof *s);
    for (int i = 0; s && titles[i] && i < HM_SHEET_COLUMNS; i++) {
        s->right[i] = titles[i][0] == '>';
        const char *title = titles[i] + s->right[i];
        size_t key = strspn(title, "abcdefghijklmnopqrstuvwxyz0123456789_");
        const char *bar = key && title[key] == '|' ? title + key : NULL;
        int length = bar ? (int)(bar - title) : (int)strlen(title);
        if (asprintf(&s->keys[i], "%.*s%s", length, title, is_reserved(title, length) ? "_" : "") < 0)
            s->keys[i] = NULL;
        s->titles[i] = strdup(bar ? bar + 1 : title);
        s->failed = s->failed || !s->titles[i] || !s->keys[i];
        s->columns = i + 1;
    }
    return s;
}

/* Takes both texts; either may be NULL. */
static void add(hm_sheet *s, char *text, char *exact, bool is_text)
{
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        hm_sheet_item *cells = realloc(s->cells, room * sizeof *cells);
        if (!cells) {
            free(text);
            free(exact);
            s->failed = true;
            return;
        }
        s->cells = cells;
        s->room = room;
    }
    s->cells[s->count++] = (hm_sheet_item){text, exact, is_text};
}

char *hm_sheet_format_text(const char *format, va_list ap)
{
    char *text = NULL;
    return vasprintf(&text, format, ap) < 0 ? NULL : text;
}

void hm_sheet_cell(hm_sheet *s, const char *format, ...)
{
    va_list ap;
    if (!s || s->failed)
        return;
    va_start(ap, format);
    char *text = hm_sheet_format_text(format, ap);
    va_end(ap);
    s->failed = !text;
    if (text)
        add(s, text, NULL, false);
}

void hm_sheet_none(hm_sheet *s)
{
    if (s && !s->failed)
        add(s, NULL, NULL, false);
}

void hm_sheet_string(hm_sheet *s, const char *text)
{
    if (!text || !*text) {
        hm_sheet_none(s);
        return;
    }
    char *copy = s && !s->failed ? strdup(text) : NULL;
    if (copy)
        add(s, copy, NULL, true);
    else if (s)
        s->failed = true;
}

/* The shortest digits that are this value again. */
static char *exact_of(double value)
{
    char digits[40];
    for (int n = 15; n <= 17; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    return strdup(digits);
}

void hm_sheet_value(hm_sheet *s, double value, const char *format, ...)
{
    va_list ap;
    if (!s || s->failed)
        return;
    if (!isfinite(value)) {
        hm_sheet_none(s);
        return;
    }
    va_start(ap, format);
    char *text = hm_sheet_format_text(format, ap), *exact = exact_of(value);
    va_end(ap);
    s->failed = !text || !exact;
    if (!s->failed) {
        add(s, text, exact, false);
        return;
    }
    free(text);
    free(exact);
}

void hm_sheet_number(hm_sheet *s, double value, int decimals)
{
    hm_sheet_value(s, value, "%.*f", decimals, value);
}

int hm_sheet_rows(const hm_sheet *s)
{
    return s && s->columns ? (int)(s->count / (size_t)s->columns) : 0;
}

static const hm_sheet_item *item(const hm_sheet *s, int row, int column)
{
    return &s->cells[(size_t)row * (size_t)s->columns + (size_t)column];
}

const char *hm_sheet_text(const hm_sheet *s, int row, int column)
{
    return item(s, row, column)->text;
}

bool hm_sheet_is_text(const hm_sheet *s, int row, int column)
{
    return item(s, row, column)->is_text;
}

/* Whether text is a number as JSON writes it, without exponent. */
static bool is_number(const char *p)
{
    size_t n;
    p += *p == '-';
    n = strspn(p, "0123456789");
    if (!n || (*p == '0' && n > 1))
        return false;
    p += n;
    if (*p == '.') {
        n = strspn(p + 1, "0123456789");
        if (!n)
            return false;
        p += n + 1;
    }
    return !*p;
}

const char *hm_sheet_exact(const hm_sheet *s, int row, int column, bool *number)
{
    const hm_sheet_item *i = item(s, row, column);
    *number = i->exact || (i->text && !i->is_text && is_number(i->text));
    return i->exact ? i->exact : i->text;
}

hm_status hm_sheet_check(const hm_sheet *s, hm_error *err)
{
    if (!s || s->failed)
        return hm_fail(err, HM_EABSENT, "report: no memory for a table");
    if (!s->columns || s->count % (size_t)s->columns)
        return hm_fail(err, HM_EBUG, "report: a table of %d columns has %zu cells", s->columns, s->count);
    return HM_OK;
}

hm_status hm_sheet_write(const hm_sheet *s, hm_sheet_format format, FILE *file, hm_error *err)
{
    const hm_sheet_head head = {NULL, NULL, true}, lines = {NULL, NULL, false};
    hm_status st = hm_sheet_check(s, err);
    if (st)
        return st;
    switch (format) {
    case HM_SHEET_CSV:
        hm_sheet_write_csv(s, &head, true, file);
        break;
    case HM_SHEET_JSON:
        fputc('[', file);
        hm_sheet_write_json(s, 0, file);
        fputs("]\n", file);
        break;
    case HM_SHEET_JSONL:
        hm_sheet_write_jsonl(s, &lines, file);
        break;
    case HM_SHEET_SQL:
        hm_sheet_write_sql(s, "figures", true, file);
        break;
    case HM_SHEET_HTML:
        hm_sheet_write_html(s, file);
        break;
    case HM_SHEET_MARKDOWN:
        hm_sheet_write_markdown(s, file);
        break;
    }
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
    for (int i = 0; i < s->columns; i++) {
        free(s->titles[i]);
        free(s->keys[i]);
    }
    for (size_t i = 0; i < s->count; i++) {
        free(s->cells[i].text);
        free(s->cells[i].exact);
    }
    free(s->cells);
    free(s);
}
