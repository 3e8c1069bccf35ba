/* Inside of a sheet, for its writers only. */
#ifndef HM_REPORTS_SHEET_WRITE_H
#define HM_REPORTS_SHEET_WRITE_H

#include <stddef.h>

#include "reports/sheet.h"

struct hm_sheet {
    char *titles[HM_SHEET_COLUMNS];
    bool right[HM_SHEET_COLUMNS], failed;
    int columns;
    char **cells; /* NULL: not measured */
    size_t count, room;
};

/* NULL: not measured. */
const char *hm_sheet_text(const hm_sheet *sheet, int row, int column);

void hm_sheet_write_markdown(const hm_sheet *sheet, FILE *file);
void hm_sheet_write_csv(const hm_sheet *sheet, FILE *file);
void hm_sheet_write_json(const hm_sheet *sheet, FILE *file);

#endif
