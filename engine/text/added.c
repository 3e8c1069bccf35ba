#include <stdlib.h>

#include "engine/text/internal.h"

static bool belongs(const hm_token *token, bool normalized)
{
    return (token->kinds & HM_TOKEN_ADDED) && !(token->kinds & HM_TOKEN_NORMALIZED) == !normalized;
}

static void put(hm_added *added, const char *text, size_t size, int32_t id)
{
    int32_t node = 0;
    for (size_t i = 0; i < size; i++) {
        const hm_pair_value *edge = hm_pairs_find(&added->edges, node, (uint8_t)text[i]);
        if (!edge) {
            hm_pairs_put(&added->edges, node, (uint8_t)text[i], (hm_pair_value){.id = added->nodes});
            added->ids[added->nodes] = -1;
            node = added->nodes++;
        } else {
            node = edge->id;
        }
    }
    if (added->ids[node] < 0) /* two texts with one normal form: the first has it */
        added->ids[node] = id;
}

hm_status hm_added_open(hm_added *added, const hm_vocab *vocab, bool normalized, bool nfc, const char *where, hm_error *err)
{
    size_t bytes = 0, size;
    for (size_t i = 0; i < vocab->count; i++)
        if (belongs(&vocab->tokens[i], normalized))
            bytes += (nfc ? 3 : 1) * (size_t)vocab->tokens[i].size; /* NFC makes UTF-8 at most three times as long */
    if (!bytes)
        return HM_OK;
    if (bytes >= INT32_MAX)
        return hm_fail(err, HM_EFORMAT, "%s: expected less than %d bytes of added tokens, found %zu", where, INT32_MAX, bytes);
    hm_status st = hm_pairs_open(&added->edges, bytes, where, err);
    if (st)
        return st;
    added->ids = hm_calloc(bytes + 1, sizeof *added->ids, where, err);
    if (!added->ids)
        return HM_EABSENT;
    added->ids[0] = -1;
    added->nodes = 1;
    for (size_t i = 0; i < vocab->count; i++) {
        const hm_token *t = &vocab->tokens[i];
        const char *text = vocab->text + t->offset;
        char *changed = NULL;
        if (!belongs(t, normalized))
            continue;
        size = t->size;
        if (nfc && (st = hm_text_nfc(&changed, &size, text, size, where, err)))
            return st;
        put(added, changed ? changed : text, size, t->id);
        free(changed);
    }
    return HM_OK;
}

void hm_added_close(hm_added *added)
{
    hm_pairs_close(&added->edges);
    free(added->ids);
    *added = (hm_added){0};
}

bool hm_added_find(const hm_added *added, const char *text, size_t size, size_t from, size_t *begin, size_t *end, int32_t *id)
{
    const hm_pair_value *edge;
    if (!added->nodes)
        return false;
    for (size_t start = from; start < size; start++) {
        bool found = false;
        int32_t node = 0;
        for (size_t at = start; at < size && (edge = hm_pairs_find(&added->edges, node, (uint8_t)text[at])); at++) {
            node = edge->id;
            if (added->ids[node] < 0)
                continue;
            found = true;
            *begin = start, *end = at + 1, *id = added->ids[node];
        }
        if (found)
            return true;
    }
    return false;
}
