#include <string.h>

#include "reports/sheet_write.h"

/* Whether text is a number as JSON writes it. */
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

static void put_string(const char *text, FILE *file)
{
    fputc('"', file);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p == '"' || *p == '\\')
            fprintf(file, "\\%c", *p);
        else if (*p < 0x20)
            fprintf(file, "\\u%04x", *p);
        else
            fputc(*p, file);
    fputc('"', file);
}

void hm_sheet_write_json(const hm_sheet *s, FILE *file)
{
    fputc('[', file);
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        fputs(r ? ",\n {" : "{", file);
        for (int c = 0; c < s->columns; c++) {
            const char *text = hm_sheet_text(s, r, c);
            fputs(c ? ", " : "", file);
            put_string(s->titles[c], file);
            fputs(": ", file);
            if (!text)
                fputs("null", file);
            else if (is_number(text))
                fputs(text, file);
            else
                put_string(text, file);
        }
        fputc('}', file);
    }
    fputs("]\n", file);
}
