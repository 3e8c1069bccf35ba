#include "engine/base/words.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t hm_edit_distance(const char *a, const char *b)
{
    size_t row[HM_WORD_MAX + 1], n = strlen(b);
    if (strlen(a) > HM_WORD_MAX || n > HM_WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t least = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < least)
                least = row[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = least;
        }
    }
    return row[n];
}

const char *hm_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    size_t length = strlen(word), least = length / 3 + 2; /* one edit in three letters, and one more, is still a slip */
    if (length > HM_WORD_MAX)
        return NULL;
    for (; *names; names++) {
        size_t n = strlen(*names), d;
        if (n > HM_WORD_MAX)
            continue;
        d = length >= 3 && !strncmp(word, *names, length) ? 1 : hm_edit_distance(word, *names);
        if (d < least && d < n) {
            least = d;
            best = *names;
        }
    }
    return best;
}

const char *hm_did_you_mean(char out[HM_SUGGESTION], const char *word, const char *const *names)
{
    const char *near = hm_nearest(word, names);
    *out = 0;
    if (near && strcmp(near, word))
        snprintf(out, HM_SUGGESTION, "; did you mean \"%s\"?", near);
    return out;
}
