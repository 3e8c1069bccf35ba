#include "traces/slices.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hash.h"

static uint64_t hash_of(const char *name, const char *category)
{
    return hm_fnv1a64(name, strlen(name)) * 31 + hm_fnv1a64(category, strlen(category));
}

static void place(hm_slices *s, int name)
{
    uint64_t at = hash_of(s->names[name].name, s->names[name].category);
    while (s->hash[at & (unsigned)(s->hash_size - 1)] >= 0)
        at++;
    s->hash[at & (unsigned)(s->hash_size - 1)] = name;
}

static hm_status grow_names(hm_slices *s, hm_error *err)
{
    int room = s->name_room ? 2 * s->name_room : 64;
    hm_slice_name *names = realloc(s->names, (size_t)room * sizeof *names);
    if (names)
        s->names = names;
    int32_t *hash = malloc((size_t)room * 2 * sizeof *hash);
    if (!names || !hash) {
        free(hash);
        return hm_fail(err, HM_EABSENT, "trace: no memory for %d names of spans", room);
    }
    free(s->hash);
    s->hash = hash;
    s->name_room = room;
    s->hash_size = 2 * room;
    memset(hash, 0xff, (size_t)s->hash_size * sizeof *hash);
    for (int i = 0; i < s->name_count; i++)
        place(s, i);
    return HM_OK;
}

/* Number of a name, added when it is new; -1 without memory. */
static int intern(hm_slices *s, const char *name, const char *category, hm_error *err)
{
    if (s->name_count == s->name_room && grow_names(s, err))
        return -1;
    for (uint64_t at = hash_of(name, category);; at++) {
        int i = s->hash[at & (unsigned)(s->hash_size - 1)];
        if (i < 0)
            break;
        if (!strcmp(s->names[i].name, name) && !strcmp(s->names[i].category, category))
            return i;
    }
    hm_slice_name new = {strdup(name), strdup(category)};
    if (!new.name || !new.category) {
        free(new.name);
        free(new.category);
        hm_fail(err, HM_EABSENT, "trace: no memory for the names of spans");
        return -1;
    }
    s->names[s->name_count] = new;
    place(s, s->name_count);
    return s->name_count++;
}

hm_status hm_slices_add(hm_slices *s, hm_slice slice, const char *name, const char *category, hm_error *err)
{
    slice.name = intern(s, name, category, err);
    if (slice.name < 0)
        return HM_EABSENT;
    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 1024;
        hm_slice *items = room > INT32_MAX ? NULL : realloc(s->items, room * sizeof *items);
        if (!items)
            return hm_fail(err, HM_EABSENT, "trace: no memory for %zu spans", room);
        s->items = items;
        s->room = room;
    }
    slice.parent = -1;
    s->items[s->count++] = slice;
    return HM_OK;
}

static int compare(const void *pa, const void *pb)
{
    const hm_slice *a = pa, *b = pb;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    if (a->tid != b->tid)
        return a->tid < b->tid ? -1 : 1;
    if (a->start_ns != b->start_ns)
        return a->start_ns < b->start_ns ? -1 : 1;
    if (a->end_ns != b->end_ns)
        return a->end_ns > b->end_ns ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

void hm_slices_nest(hm_slices *s, void (*overlap)(void *self, const hm_slice *earlier, const hm_slice *later), void *self)
{
    int32_t top = -1; /* innermost open slice: the stack is the chain of parents */
    if (s->count)
        qsort(s->items, s->count, sizeof *s->items, compare);
    for (size_t i = 0; i < s->count; i++) {
        hm_slice *now = &s->items[i];
        if (i && (now[-1].pid != now->pid || now[-1].tid != now->tid))
            top = -1;
        while (top >= 0 && s->items[top].end_ns <= now->start_ns &&
               !(s->items[top].end_ns == now->start_ns && now->end_ns == now->start_ns)) /* an empty one at the end lies inside */
            top = s->items[top].parent;
        while (top >= 0 && s->items[top].end_ns < now->end_ns) {
            if (overlap)
                overlap(self, &s->items[top], now);
            top = s->items[top].parent;
        }
        now->parent = top;
        now->depth = top >= 0 ? s->items[top].depth + 1 : 0;
        top = (int32_t)i;
    }
}

int64_t hm_slices_find(const hm_slices *s, uint32_t pid, uint32_t tid, int64_t at_ns)
{
    size_t low = 0, high = s->count; /* the first slice behind (pid, tid, at_ns) */
    while (low < high) {
        size_t middle = (low + high) / 2;
        const hm_slice *m = &s->items[middle];
        if (m->pid < pid || (m->pid == pid && (m->tid < tid || (m->tid == tid && m->start_ns <= at_ns))))
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || s->items[low - 1].pid != pid || s->items[low - 1].tid != tid)
        return -1;
    int64_t at = (int64_t)low - 1;
    while (at >= 0 && s->items[at].end_ns < at_ns)
        at = s->items[at].parent;
    return at;
}

void hm_slices_free(hm_slices *s)
{
    for (int i = 0; i < s->name_count; i++) {
        free(s->names[i].name);
        free(s->names[i].category);
    }
    free(s->names);
    free(s->hash);
    free(s->items);
    *s = (hm_slices){0};
}
