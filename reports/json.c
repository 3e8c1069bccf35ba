#include <stdint.h>

#include "reports/sheet_write.h"

/* Bytes of the UTF-8 character at p; 0: none begins there (RFC 3629). */
static int character(const unsigned char *p)
{
    int n = *p < 0x80 ? 1 : *p >= 0xc2 && *p <= 0xdf ? 2 : *p >= 0xe0 && *p <= 0xef ? 3 : *p >= 0xf0 && *p <= 0xf4 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if (n > 2) {
        unsigned lead = *p, next = p[1];
        if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) || (lead == 0xf0 && next < 0x90) ||
            (lead == 0xf4 && next > 0x8f))
            return 0;
    }
    return n;
}

void hm_json_put(const char *text, FILE *file)
{
    fputc('"', file);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int n = character(p);
        if (!n)
            fputs("\\ufffd", file);
        else if (*p == '"' || *p == '\\')
            fprintf(file, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(file, "\\u%04x", *p);
        else
            fwrite(p, 1, (size_t)n, file);
        p += n ? n : 1;
    }
    fputc('"', file);
}

static void put_values(const hm_sheet *s, int row, FILE *file)
{
    for (int c = 0; c < s->columns; c++) {
        bool number;
        const char *text = hm_sheet_exact(s, row, c, &number);
        fputs(c ? ", " : "", file);
        hm_json_put(s->keys[c], file);
        fputs(": ", file);
        if (!text)
            fputs("null", file);
        else if (number)
            fputs(text, file);
        else
            hm_json_put(text, file);
    }
}

void hm_sheet_write_json(const hm_sheet *s, int count, FILE *file)
{
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        fputs(r + count ? ",\n {" : "{", file);
        put_values(s, r, file);
        fputc('}', file);
    }
}

void hm_sheet_write_jsonl(const hm_sheet *s, const hm_sheet_head *head, FILE *file)
{
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        fprintf(file, "{\"schema_version\": %d, ", HM_EXPORT_SCHEMA_VERSION);
        if (head->kind) {
            fputs("\"kind\": ", file);
            hm_json_put(head->kind, file);
            fputs(", ", file);
        }
        if (head->table) {
            fputs("\"table\": ", file);
            hm_json_put(head->table, file);
            fputs(", ", file);
        }
        put_values(s, r, file);
        fputs("}\n", file);
    }
}
