#include <string.h>

#include "reports/sheet_write.h"

static void put_field(const char *text, FILE *file)
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

void hm_sheet_write_csv(const hm_sheet *s, FILE *file)
{
    for (int r = -1; r < hm_sheet_rows(s); r++) {
        for (int c = 0; c < s->columns; c++) {
            const char *text = r < 0 ? s->titles[c] : hm_sheet_text(s, r, c);
            if (c)
                fputc(',', file);
            put_field(text ? text : "", file);
        }
        fputs("\r\n", file);
    }
}
