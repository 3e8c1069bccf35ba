/* How far a mistyped word is from the one that was meant. */
#ifndef HM_ENGINE_BASE_WORDS_H
#define HM_ENGINE_BASE_WORDS_H

#include <stddef.h>

#define HM_WORD_MAX 64 /* bytes; longer words are no slip of anything */

/* Bytes to insert, remove or replace to turn a into b (Levenshtein); SIZE_MAX when either is longer than HM_WORD_MAX. */
size_t hm_edit_distance(const char *a, const char *b);

#endif
