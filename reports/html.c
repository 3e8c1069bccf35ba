#include <string.h>

#include "reports/sheet_write.h"

#define LONG_CELL 48 /* letters from which on it may be broken */

void hm_html_put(const char *text, FILE *file)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '&')
            fputs("&amp;", file);
        else if (c == '<')
            fputs("&lt;", file);
        else if (c == '>')
            fputs("&gt;", file);
        else if (c == '"')
            fputs("&quot;", file);
        else if (c == '\'')
            fputs("&#39;", file);
        else if (c < 0x20 && c != '\n' && c != '\t')
            fputs("&#xFFFD;", file);
        else
            fputc(c, file);
    }
}

void hm_html_put_words(const char *text, FILE *file)
{
    bool bold = false, code = false;
    for (const char *p = text; *p;) {
        if (*p == '`') {
            code = !code;
            fputs(code ? "<code>" : "</code>", file);
            p++;
        } else if (!code && p[0] == '*' && p[1] == '*') {
            bold = !bold;
            fputs(bold ? "<strong>" : "</strong>", file);
            p += 2;
        } else {
            char one[2] = {*p++, 0};
            hm_html_put(one, file);
        }
    }
    fputs(code ? "</code>" : "", file);
    fputs(bold ? "</strong>" : "", file);
}

void hm_sheet_write_html(const hm_sheet *s, FILE *file)
{
    fputs("<div class=\"scroll\"><table>\n<thead><tr>", file);
    for (int c = 0; c < s->columns; c++) {
        if (!*s->titles[c])
            continue;
        fprintf(file, "<th scope=\"col\"%s>", s->right[c] ? " class=\"n\"" : "");
        hm_html_put(s->titles[c], file);
        fputs("</th>", file);
    }
    fputs("</tr></thead>\n<tbody>\n", file);
    for (int r = 0; r < hm_sheet_rows(s); r++) {
        fputs("<tr>", file);
        for (int c = 0; c < s->columns; c++) {
            bool number;
            const char *text = hm_sheet_text(s, r, c), *exact = hm_sheet_exact(s, r, c, &number);
            if (!*s->titles[c])
                continue;
            fprintf(file, "<td%s", s->right[c] ? " class=\"n\"" : text && strlen(text) > LONG_CELL ? " class=\"w\"" : "");
            if (number)
                fprintf(file, " data-v=\"%s\"", exact);
            fputc('>', file);
            if (hm_sheet_is_text(s, r, c))
                hm_html_put(text, file);
            else
                hm_html_put_words(text ? text : "-", file);
            fputs("</td>", file);
        }
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
}
