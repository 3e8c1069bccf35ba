/* How far a mistyped word is from the one that was meant. */
#ifndef HM_ENGINE_BASE_WORDS_H
#define HM_ENGINE_BASE_WORDS_H

#include <stddef.h>

#define HM_WORD_MAX 64 /* bytes; longer words are no slip of anything */

/* Bytes to insert, remove or replace to turn a into b (Levenshtein); SIZE_MAX when either is longer than HM_WORD_MAX. */
size_t hm_edit_distance(const char *a, const char *b);

/* The closest of names (NULL-terminated) by edit distance, or one that begins with the word; NULL when none is near. */
const char *hm_nearest(const char *word, const char *const *names);

#define HM_SUGGESTION (HM_WORD_MAX + 24)

/* The end of a sentence that refuses a word: "; did you mean \"name\"?", empty when none is near or the word is among them. Returns
 * out. */
const char *hm_did_you_mean(char out[HM_SUGGESTION], const char *word, const char *const *names);

#endif
