#include "reports/document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "reports/sheet_write.h"

typedef enum part_kind {
    PARAGRAPH,
    HEADING,
    SHEET,
    PICTURE
} part_kind;

typedef struct part {
    part_kind kind;
    int level;  /* of a heading */
    char *text; /* a paragraph, a heading, the name of the sheet, the words of a picture */
    char *svg;
    hm_sheet *sheet;
} part;

struct hm_document {
    char *kind;
    part *parts;
    int count, room;
    bool failed;
};

hm_document *hm_document_new(const char *kind)
{
    hm_document *d = calloc(1, sizeof *d);
    if (d)
        d->kind = strdup(kind);
    if (d)
        d->failed = !d->kind;
    return d;
}

void hm_document_free(hm_document **document)
{
    hm_document *d = *document;
    for (int i = 0; d && i < d->count; i++) {
        free(d->parts[i].text);
        free(d->parts[i].svg);
        hm_sheet_free(d->parts[i].sheet);
    }
    if (d) {
        free(d->parts);
        free(d->kind);
    }
    free(d);
    *document = NULL;
}

/* Takes what p points at. */
static void add(hm_document *d, part p)
{
    bool room = d && d->count < d->room;
    if (d && !room) {
        part *parts = realloc(d->parts, (size_t)(2 * d->room + 16) * sizeof *parts);
        room = parts != NULL;
        d->parts = parts ? parts : d->parts;
        d->room = parts ? 2 * d->room + 16 : d->room;
    }
    if (room && p.text && (p.kind != SHEET || p.sheet) && (p.kind != PICTURE || p.svg)) {
        d->parts[d->count++] = p;
        return;
    }
    if (d)
        d->failed = true;
    free(p.text);
    free(p.svg);
    hm_sheet_free(p.sheet);
}

void hm_document_text(hm_document *d, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(d, (part){.kind = PARAGRAPH, .text = hm_sheet_format_text(format, ap)});
    va_end(ap);
}

void hm_document_heading(hm_document *d, int level, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    add(d, (part){.kind = HEADING, .level = level, .text = hm_sheet_format_text(format, ap)});
    va_end(ap);
}

void hm_document_picture(hm_document *d, const char *svg, const char *words)
{
    add(d, (part){.kind = PICTURE, .text = strdup(words), .svg = strdup(svg)});
}

void hm_document_sheet(hm_document *d, const char *name, hm_sheet *sheet)
{
    add(d, (part){.kind = SHEET, .text = strdup(name), .sheet = sheet});
}

/* The first sheet of this name, which says what the columns are. */
static bool is_first(const hm_document *d, int at)
{
    for (int i = 0; i < at; i++)
        if (d->parts[i].sheet && !strcmp(d->parts[i].text, d->parts[at].text))
            return false;
    return true;
}

static hm_status check(const hm_document *d, hm_error *err)
{
    hm_status st = d && !d->failed ? HM_OK : hm_fail(err, HM_EABSENT, "report: no memory for its tables");
    for (int i = 0; !st && i < d->count; i++)
        if (d->parts[i].sheet)
            st = hm_sheet_check(d->parts[i].sheet, err);
    return st;
}

static void write_markdown(const hm_document *d, FILE *file)
{
    bool any = false;
    for (int i = 0; i < d->count; i++) {
        const part *p = &d->parts[i];
        if (p->kind == PICTURE)
            continue;
        fputs(any ? "\n" : "", file);
        any = true;
        if (p->sheet)
            hm_sheet_write_markdown(p->sheet, file);
        else
            fprintf(file, "%.*s%s%s\n", p->kind == HEADING ? p->level : 0, "######", p->kind == HEADING ? " " : "", p->text);
    }
}

static void write_html(const hm_document *d, FILE *file)
{
    for (int i = 0, headings = 0; i < d->count; i++) {
        const part *p = &d->parts[i];
        if (p->kind == PICTURE) {
            fprintf(file, "<figure>\n%s\n<figcaption>", p->svg);
            hm_html_put_words(p->text, file);
            fputs("</figcaption></figure>\n", file);
        } else if (p->sheet) {
            hm_sheet_write_html(p->sheet, file);
        } else {
            if (p->kind == HEADING)
                fprintf(file, "<h%d id=\"s%d\">", p->level, ++headings);
            else
                fputs("<p>", file);
            hm_html_put_words(p->text, file);
            if (p->kind == HEADING)
                fprintf(file, "</h%d>\n", p->level);
            else
                fputs("</p>\n", file);
        }
    }
}

static void write_json(const hm_document *d, FILE *file)
{
    bool any = false;
    fprintf(file, "{\"schema_version\": %d, \"kind\": ", HM_EXPORT_SCHEMA_VERSION);
    hm_json_put(d->kind, file);
    fputs(", \"tables\": {", file);
    for (int i = 0; i < d->count; i++) {
        if (!d->parts[i].sheet || !is_first(d, i))
            continue;
        fputs(any ? ",\n" : "\n", file);
        any = true;
        hm_json_put(d->parts[i].text, file);
        fputs(": [", file);
        int rows = 0;
        for (int j = i; j < d->count; j++)
            if (d->parts[j].sheet && !strcmp(d->parts[j].text, d->parts[i].text)) {
                hm_sheet_write_json(d->parts[j].sheet, rows, file);
                rows += hm_sheet_rows(d->parts[j].sheet);
            }
        fputc(']', file);
    }
    fputs(any ? "\n}}\n" : "}}\n", file);
}

static void write_rows(const hm_document *d, hm_sheet_format format, FILE *file)
{
    const char *last = NULL;
    for (int i = 0; i < d->count; i++) {
        const hm_sheet *s = d->parts[i].sheet;
        const char *name = d->parts[i].text;
        hm_sheet_head head = {d->kind, name, false};
        if (!s)
            continue;
        if (format == HM_SHEET_JSONL) {
            hm_sheet_write_jsonl(s, &head, file);
        } else if (format == HM_SHEET_CSV) {
            bool titles = !last || strcmp(last, name);
            fputs(last && titles ? "\r\n" : "", file);
            hm_sheet_write_csv(s, &head, titles, file);
        } else {
            char table[128];
            snprintf(table, sizeof table, strcmp(d->kind, name) ? "%s_%s" : "%s", d->kind, name);
            hm_sheet_write_sql(s, table, is_first(d, i), file);
        }
        last = name;
    }
}

hm_status hm_document_write(const hm_document *d, hm_sheet_format format, FILE *file, hm_error *err)
{
    hm_status st = check(d, err);
    if (st)
        return st;
    if (format == HM_SHEET_MARKDOWN)
        write_markdown(d, file);
    else if (format == HM_SHEET_JSON)
        write_json(d, file);
    else if (format == HM_SHEET_HTML)
        write_html(d, file);
    else
        write_rows(d, format, file);
    return HM_OK;
}
