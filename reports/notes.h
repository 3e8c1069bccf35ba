/* What people add to a journal: paragraphs by key, from a markdown file whose "## key" lines start them. */
#ifndef HM_REPORTS_NOTES_H
#define HM_REPORTS_NOTES_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"

typedef struct hm_note {
    char *key, *text; /* text: without blank lines around it */
    bool used;        /* set by hm_notes_find */
} hm_note;

typedef struct hm_notes {
    hm_note *items;
    int count;
} hm_notes;

/* Text before the first "## " belongs to the key "journal". HM_EFORMAT: a key comes twice, or a NUL. */
hm_status hm_notes_parse(hm_notes *out, const char *text, size_t size, const char *where, hm_error *err);
void hm_notes_free(hm_notes *notes);

/* NULL when nothing is noted (or notes is NULL). */
const char *hm_notes_find(const hm_notes *notes, const char *key);

/* The first key that was never asked for, NULL when all were: a spelling mistake to tell. */
const char *hm_notes_unused(const hm_notes *notes);

#endif
