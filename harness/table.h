/* Aligned columns of text for people. */
#ifndef HM_HARNESS_TABLE_H
#define HM_HARNESS_TABLE_H

#include <stdio.h>

#include "engine/base/error.h"

typedef struct hm_table hm_table;

/* titles: of the columns, NULL-terminated, copied. A title that starts with '>' (left out when printed) makes its column
 * right-aligned. NULL without memory; all functions accept that. */
hm_table *hm_table_new(const char *const *titles);
/* One row: as many texts as there are columns, copied; NULL prints as "-". */
void hm_table_row(hm_table *table, const char *const *cells);
/* Prints and frees. The last column is broken at spaces to `width` columns (0: not broken). HM_EABSENT when memory ran out. */
hm_status hm_table_end(hm_table *table, FILE *file, int width, hm_error *err);

/* Frees without printing; NULL is fine. */
void hm_table_drop(hm_table *table);

/* Columns of the terminal on stdout; 0 when it is none. */
int hm_terminal_width(void);

#endif
