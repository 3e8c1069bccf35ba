#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/text/internal.h"

#define NO_KEY UINT64_MAX

/* A power of two at least twice count: half of the table stays free, so that probing is short. */
static size_t table_size(size_t count)
{
    size_t size = 16;
    while (size < 2 * count)
        size *= 2;
    return size;
}

static uint64_t pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t pair_slot(const hm_pairs *pairs, uint64_t key)
{
    uint64_t h = key * 0x9E3779B97F4A7C15u;
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93u;
    size_t slot = (size_t)(h ^ h >> 32) & pairs->mask;
    while (pairs->keys[slot] != key && pairs->keys[slot] != NO_KEY)
        slot = (slot + 1) & pairs->mask;
    return slot;
}

hm_status hm_pairs_open(hm_pairs *pairs, size_t count, const char *what, hm_error *err)
{
    size_t size = table_size(count);
    pairs->keys = hm_calloc(size, sizeof *pairs->keys, what, err);
    pairs->values = pairs->keys ? hm_calloc(size, sizeof *pairs->values, what, err) : NULL;
    if (!pairs->values) {
        hm_pairs_close(pairs);
        return HM_EABSENT;
    }
    memset(pairs->keys, 0xFF, size * sizeof *pairs->keys);
    pairs->mask = size - 1;
    return HM_OK;
}

void hm_pairs_close(hm_pairs *pairs)
{
    free(pairs->keys);
    free(pairs->values);
    *pairs = (hm_pairs){0};
}

void hm_pairs_put(hm_pairs *pairs, int32_t left, int32_t right, hm_pair_value value)
{
    uint64_t key = pair_key(left, right);
    size_t slot = pair_slot(pairs, key);
    pairs->keys[slot] = key;
    pairs->values[slot] = value;
}

const hm_pair_value *hm_pairs_find(const hm_pairs *pairs, int32_t left, int32_t right)
{
    uint64_t key = pair_key(left, right);
    size_t slot = pair_slot(pairs, key);
    return pairs->keys[slot] == key ? &pairs->values[slot] : NULL;
}

hm_status hm_vocab_open(hm_vocab *vocab, size_t room, const char *where, hm_error *err)
{
    size_t slots = table_size(room);
    if (room > HM_TOKEN_ID_MAX)
        return hm_fail(err, HM_EFORMAT, "%s: expected at most %d tokens, found %zu", where, HM_TOKEN_ID_MAX, room);
    *vocab = (hm_vocab){.room = room, .mask = slots - 1};
    vocab->tokens = hm_calloc(room, sizeof *vocab->tokens, where, err);
    vocab->slots = vocab->tokens ? hm_calloc(slots, sizeof *vocab->slots, where, err) : NULL;
    if (vocab->slots)
        return HM_OK;
    hm_vocab_close(vocab);
    return HM_EABSENT;
}

void hm_vocab_close(hm_vocab *vocab)
{
    free(vocab->text);
    free(vocab->tokens);
    free(vocab->slots);
    free(vocab->by_id);
    *vocab = (hm_vocab){0};
}

/* The slot that holds the text, or the free one where it belongs. */
static size_t text_slot(const hm_vocab *vocab, const char *text, size_t size, uint64_t hash)
{
    size_t slot = (size_t)(hash >> 20) & vocab->mask;
    for (; vocab->slots[slot]; slot = (slot + 1) & vocab->mask) {
        const hm_token *t = &vocab->tokens[vocab->slots[slot] - 1];
        if (t->hash == (uint32_t)hash && t->size == size && !memcmp(vocab->text + t->offset, text, size))
            break;
    }
    return slot;
}

static hm_status reserve(hm_vocab *vocab, size_t size, int32_t id, const char *where, hm_error *err)
{
    if (vocab->text_used + size > vocab->text_room) {
        size_t room = 2 * vocab->text_room + size + 4096;
        char *text = realloc(vocab->text, room);
        if (!text)
            return hm_fail(err, HM_EABSENT, "%s: no memory for %zu bytes of token text", where, room);
        vocab->text = text;
        vocab->text_room = room;
    }
    if (id >= vocab->id_room) {
        int32_t room = id < HM_TOKEN_ID_MAX / 2 ? 2 * id + 1024 : HM_TOKEN_ID_MAX + 1;
        uint32_t *by_id = realloc(vocab->by_id, (size_t)room * sizeof *by_id);
        if (!by_id)
            return hm_fail(err, HM_EABSENT, "%s: no memory for %d token ids", where, (int)room);
        memset(by_id + vocab->id_room, 0, (size_t)(room - vocab->id_room) * sizeof *by_id);
        vocab->by_id = by_id;
        vocab->id_room = room;
    }
    return HM_OK;
}

hm_status hm_vocab_add(hm_vocab *vocab, const char *text, size_t size, int64_t id, uint8_t kinds, const char *where, hm_error *err)
{
    char quote[HM_QUOTE_BYTES], other[HM_QUOTE_BYTES];
    if (!size)
        return hm_fail(err, HM_EFORMAT, "%s: id %lld: expected a token, found an empty text", where, (long long)id);
    if (id < 0 || id > HM_TOKEN_ID_MAX)
        return hm_fail(err, HM_EFORMAT, "%s: token \"%s\": expected an id from 0 to %d, found %lld", where,
                       hm_text_quote(quote, text, size), HM_TOKEN_ID_MAX, (long long)id);
    uint64_t hash = XXH3_64bits(text, size);
    size_t slot = text_slot(vocab, text, size, hash);
    if (vocab->slots[slot]) {
        hm_token *t = &vocab->tokens[vocab->slots[slot] - 1];
        if (t->id != id || (t->kinds & kinds))
            return hm_fail(err, HM_EFORMAT, "%s: token \"%s\" is given twice, with ids %d and %lld", where,
                           hm_text_quote(quote, text, size), (int)t->id, (long long)id);
        t->kinds |= kinds;
        return HM_OK;
    }
    const hm_token *holder = hm_vocab_at(vocab, (int32_t)id);
    if (holder)
        return hm_fail(err, HM_EFORMAT, "%s: id %lld is given to two tokens, \"%s\" and \"%s\"", where, (long long)id,
                       hm_text_quote(other, vocab->text + holder->offset, holder->size), hm_text_quote(quote, text, size));
    if (size > UINT32_MAX || vocab->count == vocab->room)
        return hm_fail(err, HM_EBUG, "%s: token table of %zu rows is full", where, vocab->room);
    hm_status st = reserve(vocab, size, (int32_t)id, where, err);
    if (st)
        return st;
    memcpy(vocab->text + vocab->text_used, text, size);
    vocab->tokens[vocab->count] =
        (hm_token){.offset = vocab->text_used, .size = (uint32_t)size, .hash = (uint32_t)hash, .id = (int32_t)id, .kinds = kinds};
    vocab->text_used += size;
    vocab->slots[slot] = vocab->by_id[id] = (uint32_t)++vocab->count;
    vocab->size = vocab->size > id ? vocab->size : (int32_t)id + 1;
    vocab->longest = vocab->longest > size ? vocab->longest : size;
    return HM_OK;
}

const hm_token *hm_vocab_find(const hm_vocab *vocab, const char *text, size_t size, uint8_t kinds)
{
    uint32_t index = vocab->slots[text_slot(vocab, text, size, XXH3_64bits(text, size))];
    return index && (vocab->tokens[index - 1].kinds & kinds) ? &vocab->tokens[index - 1] : NULL;
}

const hm_token *hm_vocab_at(const hm_vocab *vocab, int32_t id)
{
    return id >= 0 && id < vocab->size && vocab->by_id[id] ? &vocab->tokens[vocab->by_id[id] - 1] : NULL;
}
