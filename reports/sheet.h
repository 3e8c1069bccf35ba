/* Rows and columns of text, written as markdown, CSV or JSON. */
#ifndef HM_REPORTS_SHEET_H
#define HM_REPORTS_SHEET_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/error.h"

#define HM_SHEET_COLUMNS 64

typedef struct hm_sheet hm_sheet;

typedef enum hm_sheet_format { HM_SHEET_MARKDOWN, HM_SHEET_CSV, HM_SHEET_JSON } hm_sheet_format;

/* titles: NULL-terminated, copied. A title that starts with '>' (left out when written) makes its column right-aligned. NULL without
 * memory; the other functions accept that. */
hm_sheet *hm_sheet_new(const char *const *titles);

/* The next cell, row by row; what is not measured is hm_sheet_none. */
void hm_sheet_cell(hm_sheet *sheet, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hm_sheet_none(hm_sheet *sheet);

int hm_sheet_rows(const hm_sheet *sheet); /* whole ones */

/* Markdown: a table with aligned columns, "-" for none. CSV (RFC 4180): a line of titles, none is empty. JSON: an array of objects by
 * title; cells that are numbers are written as such, none is null. Fails when memory ran out while it was filled, or a row is not whole
 * (HM_EBUG). Failed writes are left to whoever closes the file. */
hm_status hm_sheet_write(const hm_sheet *sheet, hm_sheet_format format, FILE *file, hm_error *err);

/* Writes and frees. */
hm_status hm_sheet_end(hm_sheet *sheet, hm_sheet_format format, FILE *file, hm_error *err);
void hm_sheet_free(hm_sheet *sheet);

#endif
