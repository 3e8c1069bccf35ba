/* The page cache of a model's files, and of nothing else: emptied for a cold start, and looked at whether it is. */
#ifndef HM_HARNESS_PAGE_CACHE_H
#define HM_HARNESS_PAGE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#define HM_PAGE_CACHE_LEFT 0.01 /* share of the pages that may stay: what the system reads by itself */

typedef struct hm_page_cache {
    int files;
    int64_t bytes;                                        /* of all files */
    int64_t pages, resident_before_pages, resident_pages; /* in memory before, and now */
    bool emptied;
    char note[160]; /* why not; "" when it is */
} hm_page_cache;

/* Writes back and drops the cached pages of every regular file in the folder, and in `packs` (NULL: none; links are followed, subfolders
 * too), then counts those that are still in memory. Never touches the cache of other files. What goes wrong is a note. */
void hm_page_cache_empty(hm_page_cache *out, const char *folder, const char *packs);

#endif
