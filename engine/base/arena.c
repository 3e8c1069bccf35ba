#define _GNU_SOURCE
#include "engine/base/arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

hm_status hm_arena_open(hm_arena *out, size_t size, int prefault, hm_error *err)
{
    size_t page = (size_t)2 << 20;
    if (size > SIZE_MAX - page)
        return hm_fail(err, HM_EABSENT, "scratch memory: no room for %zu MiB", size >> 20);
    size = size ? (size + page - 1) / page * page : page;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return hm_fail(err, HM_EABSENT, "scratch memory: no room for %zu MiB: %s", size >> 20, strerror(errno));
    madvise(p, size, MADV_HUGEPAGE);
    if (prefault)
        memset(p, 0, size);
    *out = (hm_arena){.base = p, .size = size};
    return HM_OK;
}

void hm_arena_close(hm_arena *arena)
{
    if (arena->base)
        munmap(arena->base, arena->size);
    *arena = (hm_arena){0};
}

void *hm_arena_take(hm_arena *arena, size_t bytes)
{
    size_t need = (bytes + HM_ARENA_ALIGN - 1) / HM_ARENA_ALIGN * HM_ARENA_ALIGN;
    if (need < bytes || need > arena->size - arena->used)
        return NULL;
    void *p = arena->base + arena->used;
    arena->used += need;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return p;
}
