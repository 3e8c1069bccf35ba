#include "harness/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness/color.h"

#define MAX_COLUMNS 16
#define GAP 2

struct hm_table {
    int columns, rows, room;
    bool right[MAX_COLUMNS], failed;
    char **cells; /* [rows][columns]; row 0 holds the titles */
};

/* Letters of UTF-8 text: bytes that do not continue one. */
static int letters(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

hm_table *hm_table_new(const char *const *titles)
{
    const char *names[MAX_COLUMNS];
    hm_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    for (; titles[t->columns] && t->columns < MAX_COLUMNS; t->columns++) {
        t->right[t->columns] = titles[t->columns][0] == '>';
        names[t->columns] = titles[t->columns] + t->right[t->columns];
    }
    hm_table_row(t, names);
    return t;
}

void hm_table_row(hm_table *t, const char *const *cells)
{
    if (!t || t->failed)
        return;
    if (t->rows == t->room) {
        int room = t->room ? t->room * 2 : 32;
        char **grown = realloc(t->cells, (size_t)room * (size_t)t->columns * sizeof *grown);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->cells = grown;
        t->room = room;
    }
    for (int c = 0; c < t->columns; c++) {
        char *copy = strdup(cells[c] ? cells[c] : "-");
        t->failed = t->failed || !copy;
        t->cells[(size_t)t->rows * (size_t)t->columns + (size_t)c] = copy;
    }
    t->rows++;
}

static void print_last(FILE *file, const char *text, int indent, int width)
{
    int column = indent;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (width > 0 && column > indent && column + 1 + (int)word > width) {
            fprintf(file, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', file);
            column++;
        }
        fwrite(text, 1, word, file);
        column += (int)word;
        text += word;
        while (*text == ' ')
            text++;
    }
    fputc('\n', file);
}

static void print_row(const hm_table *t, char **cells, const int *widths, FILE *file, int width)
{
    int indent = 0;
    for (int c = 0; c + 1 < t->columns; c++) {
        int pad = widths[c] - letters(cells[c]);
        const char *color = hm_color_of(file, cells[c]);
        fprintf(file, "%*s%s%s%s%*s", t->right[c] ? pad : 0, "", color, cells[c], hm_color_end(color), t->right[c] ? GAP : pad + GAP, "");
        indent += widths[c] + GAP;
    }
    int last = t->columns - 1;
    if (t->right[last])
        fprintf(file, "%*s%s\n", widths[last] - letters(cells[last]), "", cells[last]);
    else
        print_last(file, cells[last], indent, width - indent >= 20 ? width : 0);
}

hm_status hm_table_end(hm_table *t, FILE *file, int width, hm_error *err)
{
    int widths[MAX_COLUMNS] = {0};
    bool failed = !t || t->failed;
    for (int r = 0; !failed && r < t->rows; r++)
        for (int c = 0; c < t->columns; c++) {
            int n = letters(t->cells[(size_t)r * (size_t)t->columns + (size_t)c]);
            widths[c] = n > widths[c] ? n : widths[c];
        }
    for (int r = 0; !failed && r < t->rows; r++)
        print_row(t, t->cells + (size_t)r * (size_t)t->columns, widths, file, width);
    hm_table_drop(t);
    return failed ? hm_fail(err, HM_EABSENT, "no memory for a table") : HM_OK;
}

void hm_table_drop(hm_table *t)
{
    for (int i = 0; t && i < t->rows * t->columns; i++)
        free(t->cells[i]);
    if (t)
        free(t->cells);
    free(t);
}

int hm_terminal_width(void)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) != 1 || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || size.ws_col < 20)
        return 0;
    return size.ws_col;
}
