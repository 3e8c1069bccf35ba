#include "reports/notes.h"

#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static char *trimmed(const char *from, const char *to)
{
    while (from < to && is_space(*from))
        from++;
    while (to > from && is_space(to[-1]))
        to--;
    return strndup(from, (size_t)(to - from));
}

static hm_status add(hm_notes *n, char *key, char *text, const char *where, hm_error *err)
{
    hm_note *grown = key && text ? realloc(n->items, (size_t)(n->count + 1) * sizeof *grown) : NULL;
    if (grown)
        n->items = grown;
    bool twice = false;
    for (int i = 0; i < n->count && grown; i++)
        twice = twice || !strcmp(n->items[i].key, key);
    if (grown && !twice && *text) {
        n->items[n->count++] = (hm_note){key, text, false};
        return HM_OK;
    }
    hm_status st = !grown  ? hm_fail(err, HM_EABSENT, "%s: no memory for notes", where)
                   : twice ? hm_fail(err, HM_EFORMAT, "%s: the heading \"## %s\" comes twice", where, key)
                           : HM_OK;
    free(key);
    free(text);
    return st;
}

hm_status hm_notes_parse(hm_notes *out, const char *text, size_t size, const char *where, hm_error *err)
{
    hm_notes n = {0};
    const char *end = text + size, *line = text, *body = text;
    char *key = strdup("journal");
    hm_status st = size && memchr(text, 0, size) ? hm_fail(err, HM_EFORMAT, "%s: notes are text, this holds a NUL", where) : HM_OK;
    while (line < end && !st) {
        const char *newline = memchr(line, '\n', (size_t)(end - line)), *next = newline ? newline + 1 : end;
        if (end - line > 3 && !strncmp(line, "## ", 3)) {
            st = add(&n, key, trimmed(body, line), where, err);
            key = trimmed(line + 3, newline ? newline : end);
            body = next;
        }
        line = next;
    }
    if (st)
        free(key);
    else
        st = add(&n, key, trimmed(body, end), where, err);
    if (st)
        hm_notes_free(&n);
    *out = n;
    return st;
}

void hm_notes_free(hm_notes *notes)
{
    for (int i = 0; i < notes->count; i++) {
        free(notes->items[i].key);
        free(notes->items[i].text);
    }
    free(notes->items);
    *notes = (hm_notes){0};
}

const char *hm_notes_find(const hm_notes *notes, const char *key)
{
    for (int i = 0; notes && i < notes->count; i++)
        if (!strcmp(notes->items[i].key, key)) {
            notes->items[i].used = true;
            return notes->items[i].text;
        }
    return NULL;
}

const char *hm_notes_unused(const hm_notes *notes)
{
    for (int i = 0; notes && i < notes->count; i++)
        if (!notes->items[i].used)
            return notes->items[i].key;
    return NULL;
}
