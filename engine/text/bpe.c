/* Byte pair encoding of one piece: the adjacent pair with the lowest rank is merged, leftmost first, until none applies. Pairs wait in
 * a heap by (rank, position), symbols hang in a list, so that a piece of n bytes takes O(n log n). */
#include <stdlib.h>

#include "engine/text/internal.h"

hm_status hm_ids_push(hm_ids *ids, int32_t id, hm_error *err)
{
    if (ids->count == ids->room) {
        size_t room = 2 * ids->room + 64;
        int32_t *p = realloc(ids->ids, room * sizeof *p);
        if (!p)
            return hm_fail(err, HM_EABSENT, "token ids: no memory for %zu of them", room);
        ids->ids = p;
        ids->room = room;
    }
    ids->ids[ids->count++] = id;
    return HM_OK;
}

void hm_bpe_scratch_close(hm_bpe_scratch *scratch)
{
    free(scratch->symbols);
    free(scratch->heap);
    *scratch = (hm_bpe_scratch){0};
}

static hm_status reserve(hm_bpe_scratch *scratch, size_t size, hm_error *err)
{
    if (size <= scratch->room)
        return HM_OK;
    size_t room = size < 256 ? 256 : size + size / 2;
    hm_bpe_scratch_close(scratch);
    scratch->symbols = hm_calloc(room, sizeof *scratch->symbols, "byte pair encoding", err);
    scratch->heap = scratch->symbols ? hm_calloc(2 * room, sizeof *scratch->heap, "byte pair encoding", err) : NULL;
    if (!scratch->heap)
        return HM_EABSENT;
    scratch->room = room;
    return HM_OK;
}

static void heap_push(uint64_t *heap, size_t *count, uint64_t key)
{
    size_t at = (*count)++;
    for (; at && heap[(at - 1) / 2] > key; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *count)
{
    uint64_t top = heap[0], last = heap[--*count];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < *count) {
        if (child + 1 < *count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= last)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* The merge of the symbol at `at` with the next one, if there is any. */
static const hm_pair_value *merge_at(const hm_tokenizer *t, const hm_bpe_symbol *symbols, int32_t at)
{
    const hm_bpe_symbol *s = &symbols[at];
    return s->id >= 0 && s->next >= 0 ? hm_pairs_find(&t->merges, s->id, symbols[s->next].id) : NULL;
}

static void offer(const hm_tokenizer *t, hm_bpe_scratch *scratch, size_t *waiting, int32_t at)
{
    const hm_pair_value *merge = at >= 0 ? merge_at(t, scratch->symbols, at) : NULL;
    if (merge)
        heap_push(scratch->heap, waiting, (uint64_t)(uint32_t)merge->rank << 32 | (uint32_t)at);
}

hm_status hm_bpe_piece(const hm_tokenizer *t, hm_bpe_scratch *scratch, const char *piece, size_t size, hm_ids *ids, hm_error *err)
{
    size_t waiting = 0; /* at most one pair per byte, and one more per merge: below 2 * size */
    int32_t n = (int32_t)size;
    hm_status st = reserve(scratch, size, err);
    if (st)
        return st;
    hm_bpe_symbol *s = scratch->symbols;
    for (int32_t i = 0; i < n; i++)
        s[i] = (hm_bpe_symbol){.id = t->byte_id[(uint8_t)piece[i]], .prev = i - 1, .next = i + 1 < n ? i + 1 : -1};
    for (int32_t i = 0; i + 1 < n; i++)
        offer(t, scratch, &waiting, i);
    while (waiting) {
        uint64_t key = heap_pop(scratch->heap, &waiting);
        int32_t at = (int32_t)(uint32_t)key;
        const hm_pair_value *merge = merge_at(t, s, at);
        if (!merge || (uint32_t)merge->rank != key >> 32) /* one of the two was merged with another since */
            continue;
        int32_t gone = s[at].next, next = s[gone].next;
        s[at].id = merge->id;
        s[at].next = next;
        s[gone].id = -1;
        if (next >= 0)
            s[next].prev = at;
        offer(t, scratch, &waiting, s[at].prev);
        offer(t, scratch, &waiting, at);
    }
    for (int32_t i = 0; i >= 0; i = s[i].next)
        if ((st = hm_ids_push(ids, s[i].id, err)))
            return st;
    return HM_OK;
}
