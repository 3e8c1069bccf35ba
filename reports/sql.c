#include <string.h>

#include "reports/sheet_write.h"

static void put_quoted(const char *text, char quote, FILE *file)
{
    fputc(quote, file);
    for (; *text; text++) {
        if (*text == quote)
            fputc(quote, file);
        fputc(*text, file);
    }
    fputc(quote, file);
}

/* Of a column: what all its cells are. */
static const char *type_of(const hm_sheet *s, int column)
{
    bool whole = true, any = false;
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        bool number;
        const char *text = hm_sheet_exact(s, r, column, &number);
        if (!text)
            continue;
        if (!number)
            return "TEXT";
        any = true;
        whole = whole && !text[strcspn(text, ".eE")];
    }
    return !any ? "" : whole ? "INTEGER" : "REAL";
}

static void create_table(const hm_sheet *s, const char *table, FILE *file)
{
    fputs("CREATE TABLE IF NOT EXISTS ", file);
    put_quoted(table, '"', file);
    fputs("(\"schema_version\" INTEGER NOT NULL", file);
    for (int c = 0; c < s->columns; c++) {
        const char *type = type_of(s, c);
        fputs(", ", file);
        put_quoted(s->keys[c], '"', file);
        fprintf(file, "%s%s", *type ? " " : "", type);
    }
    fputs(");\n", file);
}

void hm_sheet_write_sql(const hm_sheet *s, const char *table, bool create, FILE *file)
{
    if (create)
        create_table(s, table, file);
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        fputs("INSERT INTO ", file);
        put_quoted(table, '"', file);
        fprintf(file, " VALUES(%d", HM_EXPORT_SCHEMA_VERSION);
        for (int c = 0; c < s->columns; c++) {
            bool number;
            const char *text = hm_sheet_exact(s, r, c, &number);
            fputs(", ", file);
            if (!text || number)
                fputs(text ? text : "NULL", file);
            else
                put_quoted(text, '\'', file);
        }
        fputs(");\n", file);
    }
}
