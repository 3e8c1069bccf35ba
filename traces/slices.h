/* The spans of a trace as a table: sorted by track and time, with parents found. Shared by the checks and the figures. */
#ifndef HM_TRACES_SLICES_H
#define HM_TRACES_SLICES_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

typedef struct hm_slice {
    uint32_t pid, tid;
    int64_t start_ns, end_ns;
    int64_t number; /* of its event in the file */
    int32_t name;   /* in names */
    int32_t parent; /* slice, -1: none; known after hm_slices_nest */
    int32_t depth;
} hm_slice;

typedef struct hm_slice_name {
    char *name, *category;
} hm_slice_name;

typedef struct hm_slices {
    hm_slice *items;
    size_t count, room;
    hm_slice_name *names; /* name and category, each pair once */
    int name_count, name_room;
    int32_t *hash; /* of names, open addressing, -1 empty */
    int hash_size;
} hm_slices;

/* Zeroed to start with. Both return HM_EABSENT without memory. */
hm_status hm_slices_add(hm_slices *slices, hm_slice slice, const char *name, const char *category, hm_error *err);

/* Sorts by pid, tid, start, longest first, file order, and finds parents. A slice that overlaps an earlier one partly is told and becomes
 * its sibling. */
void hm_slices_nest(hm_slices *slices, void (*overlap)(void *self, const hm_slice *earlier, const hm_slice *later), void *self);

/* The innermost slice of the track that holds the time (its ends included), -1 when there is none. After hm_slices_nest. */
int64_t hm_slices_find(const hm_slices *slices, uint32_t pid, uint32_t tid, int64_t at_ns);

void hm_slices_free(hm_slices *slices);

#endif
