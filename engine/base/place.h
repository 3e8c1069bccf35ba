/* Where the parts of a model ran. Each operation notes the device that starts it, under the part that is going on: what is told is what
 * happened, not what was asked for. */
#ifndef HM_ENGINE_BASE_PLACE_H
#define HM_ENGINE_BASE_PLACE_H

#include <stdint.h>
#include <string.h>

#define HM_PLACE_PARTS 16
#define HM_PLACE_DEPTH 8
#define HM_PLACE_TEXT 24

typedef struct hm_place {
    char part[HM_PLACE_TEXT];   /* backbone, talker, code_predictor, decoder, flow, vocoder ...; "other": in none of them */
    char device[HM_PLACE_TEXT]; /* of its first operation: "cpu:avx2" */
    uint64_t operations;        /* started */
    uint64_t elsewhere;         /* of them, on another device than the first one */
    uint64_t weight_bytes;      /* of weights that they had to read, inner parts included */
} hm_place;

typedef struct hm_places {
    hm_place items[HM_PLACE_PARTS]; /* in order of their first operation */
    int count;
    const char *open[HM_PLACE_DEPTH]; /* parts that are going on, the innermost last */
    uint64_t read[HM_PLACE_DEPTH];    /* bytes of weights that had been read when they began */
    int depth;
    hm_place *now;      /* of the innermost; NULL: to be looked up */
    const char *device; /* that `now` is on, as it was told: the same text needs no look at its letters */
} hm_places;

static inline void hm_place_copy(char to[HM_PLACE_TEXT], const char *from)
{
    size_t n = strlen(from);
    n = n < HM_PLACE_TEXT ? n : HM_PLACE_TEXT - 1;
    memcpy(to, from, n);
    to[n] = 0;
}

static inline void hm_places_clear(hm_places *p)
{
    *p = (hm_places){0};
}


/* The row of a part; a new one where there is none, the last one where there is no room. */
static inline hm_place *hm_places_row(hm_places *p, const char *part)
{
    for (int i = 0; i < p->count; i++)
        if (!strncmp(p->items[i].part, part, HM_PLACE_TEXT - 1))
            return &p->items[i];
    if (p->count == HM_PLACE_PARTS)
        return &p->items[HM_PLACE_PARTS - 1];
    hm_place *row = &p->items[p->count++];
    hm_place_copy(row->part, part);
    return row;
}

/* Static text. read_bytes: of weights, by all operations so far. */
static inline void hm_places_begin(hm_places *p, const char *part, uint64_t read_bytes)
{
    if (p->depth < HM_PLACE_DEPTH) {
        p->open[p->depth] = part;
        p->read[p->depth] = read_bytes;
    }
    p->depth++;
    p->now = NULL;
    p->device = NULL;
}

static inline void hm_places_end(hm_places *p, uint64_t read_bytes)
{
    p->depth -= p->depth > 0;
    if (p->depth < HM_PLACE_DEPTH && p->open[p->depth] && read_bytes > p->read[p->depth])
        hm_places_row(p, p->open[p->depth])->weight_bytes += read_bytes - p->read[p->depth];
    p->now = NULL;
    p->device = NULL;
}

/* An operation starts on a device. */
static inline void hm_places_note(hm_places *p, const char *device)
{
    if (!p)
        return;
    if (p->device == device) {
        p->now->operations++;
        return;
    }
    if (!p->now)
        p->now = hm_places_row(p, !p->depth ? "other" : p->open[(p->depth < HM_PLACE_DEPTH ? p->depth : HM_PLACE_DEPTH) - 1]);
    hm_place *row = p->now;
    if (!row->operations++)
        hm_place_copy(row->device, device);
    else if (strncmp(row->device, device, HM_PLACE_TEXT - 1)) {
        row->elsewhere++;
        return;
    }
    p->device = device;
}

/* What another thread noted is noted here. */
static inline void hm_places_add(hm_places *p, const hm_places *more)
{
    for (int i = 0; i < more->count; i++) {
        const hm_place *from = &more->items[i];
        hm_place *row = hm_places_row(p, from->part);
        if (!row->operations)
            memcpy(row->device, from->device, sizeof row->device);
        row->elsewhere += strcmp(row->device, from->device) ? from->operations : from->elsewhere;
        row->operations += from->operations;
        row->weight_bytes += from->weight_bytes;
    }
}

#endif
