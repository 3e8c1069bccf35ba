#include "engine/base/words.h"

#include <stdint.h>
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
