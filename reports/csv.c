#include <string.h>

#include "reports/sheet_write.h"

void hm_csv_put(const char *text, FILE *file)
{
    if (!text[strcspn(text, "\",\r\n")]) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static void begin_row(const hm_sheet_head *head, bool titles, FILE *file)
{
    if (head->plain)
        return;
    if (titles)
        fputs(head->table ? "schema_version,table," : "schema_version,", file);
    else
        fprintf(file, "%d,%s%s", HM_EXPORT_SCHEMA_VERSION, head->table ? head->table : "", head->table ? "," : "");
}

void hm_sheet_write_csv(const hm_sheet *s, const hm_sheet_head *head, bool titles, FILE *file)
{
    for (int r = titles ? -1 : 0; r < hm_sheet_rows(s); r++) {
        begin_row(head, r < 0, file);
        for (int c = 0; c < s->columns; c++) {
            bool number;
            const char *text = r < 0 ? s->keys[c] : hm_sheet_exact(s, r, c, &number);
            if (c)
                fputc(',', file);
            hm_csv_put(text ? text : "", file);
        }
        fputs("\r\n", file);
    }
}
