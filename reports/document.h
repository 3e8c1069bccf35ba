/* What a command prints: paragraphs and named sheets, for people (markdown, HTML) or for programs (every other format, sheets alone). */
#ifndef HM_REPORTS_DOCUMENT_H
#define HM_REPORTS_DOCUMENT_H

#include "reports/sheet.h"

typedef struct hm_document hm_document;

/* kind: "compare", "gate": what programs find as `kind`. NULL without memory; the other functions accept that. */
hm_document *hm_document_new(const char *kind);
void hm_document_free(hm_document **document);

/* A paragraph of markdown; printed between empty lines. On pages `code` and **bold** are kept, everything else is text. */
void hm_document_text(hm_document *document, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A heading of level 1 (of the whole) to 4. */
void hm_document_heading(hm_document *document, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* An SVG picture, copied, on pages (HTML) alone; what it shows in words. */
void hm_document_picture(hm_document *document, const char *svg, const char *words);

/* The next sheet, which the document frees (may be NULL: memory ran out). name: for programs, [a-z_]; sheets of one name have to have the
 * same columns and become one table. */
void hm_document_sheet(hm_document *document, const char *name, hm_sheet *sheet);

/* Markdown: text and tables in their order. JSON: {"schema_version": 1, "kind": K, "tables": {NAME: [{...}, ...], ...}}. JSON lines: an
 * object per row, {"schema_version": 1, "kind": K, "table": NAME, ...}. CSV: the columns schema_version and table first; an empty line
 * and a new head between tables. SQL: tables KIND_NAME (KIND alone when they are equal) with a column schema_version.
 * HTML: the inside of a page; its headings begin at the level h1 and have the ids s1, s2 ... */
hm_status hm_document_write(const hm_document *document, hm_sheet_format format, FILE *file, hm_error *err);

#endif
