/* Colour, for verdict words on a terminal only. */
#ifndef HM_HARNESS_COLOR_H
#define HM_HARNESS_COLOR_H

#include <stdio.h>

/* No colours from now on: --no-color. */
void hm_color_off(void);

/* What goes before and after `word` on this file: escape sequences when it is a terminal, neither NO_COLOR nor --no-color was said, TERM is
 * not "dumb" and the word is a verdict (pass, fail, inconclusive ...); "" otherwise. */
const char *hm_color_of(FILE *file, const char *word);
const char *hm_color_end(const char *begin);

#endif
