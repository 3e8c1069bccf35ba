/* One block of memory handed out front to back: scratch that the timed path uses without allocating. */
#ifndef HM_ENGINE_BASE_ARENA_H
#define HM_ENGINE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

#define HM_ARENA_ALIGN 64 /* bytes; every piece starts on a cache line */

typedef struct hm_arena {
    uint8_t *base;
    size_t size, used, peak; /* bytes */
} hm_arena;

/* Reserves size bytes (huge pages advised, prefaulted when prefault is not 0). HM_EABSENT when there is no memory. */
hm_status hm_arena_open(hm_arena *out, size_t size, int prefault, hm_error *err);
void hm_arena_close(hm_arena *arena);

/* Next piece, 64-byte aligned, contents undefined. NULL when full: sizes are computed at open, so that is a bug of ours. */
void *hm_arena_take(hm_arena *arena, size_t bytes);

/* Mark and give back: pieces taken after the mark are free again. */
static inline size_t hm_arena_mark(const hm_arena *arena)
{
    return arena->used;
}
static inline void hm_arena_release(hm_arena *arena, size_t mark)
{
    arena->used = mark;
}

#endif
