/* Inside of a sheet, for its writers only. */
#ifndef HM_REPORTS_SHEET_WRITE_H
#define HM_REPORTS_SHEET_WRITE_H

#include <stdarg.h>
#include <stddef.h>

#include "reports/sheet.h"

typedef struct hm_sheet_item {
    char *text;  /* for people; NULL: not measured */
    char *exact; /* for programs, as JSON and SQL write a number; NULL: as the text */
    bool is_text;
} hm_sheet_item;

struct hm_sheet {
    char *titles[HM_SHEET_COLUMNS], *keys[HM_SHEET_COLUMNS];
    bool right[HM_SHEET_COLUMNS], failed; /* an empty title: for programs alone */
    int columns;
    hm_sheet_item *cells;
    size_t count, room;
};

/* What every row begins with for programs. */
typedef struct hm_sheet_head {
    const char *kind, *table; /* NULL: left out */
    bool plain;               /* no schema_version either: something around the rows has it */
} hm_sheet_head;

/* NULL: not measured. */
const char *hm_sheet_text(const hm_sheet *sheet, int row, int column);

/* Whether it came by hm_sheet_string: no markup. */
bool hm_sheet_is_text(const hm_sheet *sheet, int row, int column);

/* For programs: NULL when not measured; *number: to be written as such. */
const char *hm_sheet_exact(const hm_sheet *sheet, int row, int column, bool *number);

/* malloc'ed; NULL without memory. */
char *hm_sheet_format_text(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));

/* HM_EABSENT, HM_EBUG: it cannot be written. */
hm_status hm_sheet_check(const hm_sheet *sheet, hm_error *err);

void hm_sheet_write_markdown(const hm_sheet *sheet, FILE *file);
void hm_sheet_write_html(const hm_sheet *sheet, FILE *file);
void hm_sheet_write_csv(const hm_sheet *sheet, const hm_sheet_head *head, bool titles, FILE *file);
/* Objects with commas between; `count`: how many the array has already. */
void hm_sheet_write_json(const hm_sheet *sheet, int count, FILE *file);
void hm_sheet_write_jsonl(const hm_sheet *sheet, const hm_sheet_head *head, FILE *file);
void hm_sheet_write_sql(const hm_sheet *sheet, const char *table, bool create, FILE *file);

/* A field of CSV (RFC 4180), in quotes where it needs them. */
void hm_csv_put(const char *text, FILE *file);

/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void hm_json_put(const char *text, FILE *file);

/* Text within HTML, also in attributes. */
void hm_html_put(const char *text, FILE *file);

/* The same, `code` and **bold** as such. */
void hm_html_put_words(const char *text, FILE *file);

#endif
