/* Rows and columns, written as markdown, CSV, JSON, JSON lines, SQL or HTML. */
#ifndef HM_REPORTS_SHEET_H
#define HM_REPORTS_SHEET_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"

#define HM_SHEET_COLUMNS 96
#define HM_EXPORT_SCHEMA_VERSION 1 /* of what programs read; docs/schema/ */

typedef struct hm_sheet hm_sheet;

typedef enum hm_sheet_format {
    HM_SHEET_MARKDOWN,
    HM_SHEET_CSV,
    HM_SHEET_JSON,
    HM_SHEET_JSONL,
    HM_SHEET_SQL,
    HM_SHEET_HTML /* inside of a page; not among the names */
} hm_sheet_format;

#define HM_SHEET_FORMAT_NAMES "md", "csv", "json", "jsonl", "sql" /* in the order of hm_sheet_format */

/* titles: NULL-terminated, copied. A title that starts with '>' (left out when written) makes its column right-aligned. "key|Title", the
 * key of [a-z0-9_]: what programs call the column and what people read; any other title is both, "key|" is for programs alone. The keys
 * schema_version, kind and table, which rows begin with, get an underscore behind them. NULL without memory; the other functions accept
 * that. */
hm_sheet *hm_sheet_new(const char *const *titles);

/* The next cell, row by row; what is not measured is hm_sheet_none. A cell that reads as a plain number (digits, a point) is one for
 * programs; hm_sheet_string never is. */
void hm_sheet_cell(hm_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hm_sheet_none(hm_sheet *sheet);
void hm_sheet_string(hm_sheet *sheet, const char *text); /* NULL or empty: none */

/* People read `decimals` of it, programs all digits; not finite: none. */
void hm_sheet_number(hm_sheet *sheet, double value, int decimals);

/* People read the text, programs the value (not finite: none): "1.92x" is 1.92. */
void hm_sheet_value(hm_sheet *sheet, double value, const char *format, ...) __attribute__((format(printf, 3, 4)));

int hm_sheet_rows(const hm_sheet *sheet); /* whole ones */

/* Markdown: a table with aligned columns, "-" for none. CSV (RFC 4180): a line of keys, none is empty. JSON: an array of objects by key;
 * numbers are written as such, none is null. JSON lines: the same, an object a line, each beginning with schema_version. SQL: CREATE
 * TABLE IF NOT EXISTS and an INSERT per row for SQLite; its table is called "figures" unless hm_document.h names it. Fails when memory ran
 * out while it was filled, or a row is not whole (HM_EBUG). Failed writes are left to whoever closes the file. */
hm_status hm_sheet_write(const hm_sheet *sheet, hm_sheet_format format, FILE *file, hm_error *err);

/* Writes and frees. */
hm_status hm_sheet_end(hm_sheet *sheet, hm_sheet_format format, FILE *file, hm_error *err);
void hm_sheet_free(hm_sheet *sheet);

#endif
