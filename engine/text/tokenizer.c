#include "engine/text/tokenizer.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/internal.h"

void hm_tokenizer_close(hm_tokenizer **tokenizer)
{
    hm_tokenizer *t = *tokenizer;
    if (!t)
        return;
    hm_vocab_close(&t->vocab);
    hm_pairs_close(&t->merges);
    hm_added_close(&t->raw);
    hm_added_close(&t->normalized);
    hm_split_close(&t->split);
    free(t->before.ids);
    free(t->after.ids);
    free(t);
    *tokenizer = NULL;
}

/* What one call of encode needs; nothing of it outlives the call, so that a tokenizer serves many threads. */
typedef struct encoder {
    const hm_tokenizer *t;
    hm_splitter *splitter;
    hm_bpe_scratch scratch;
    char *symbols; /* room for the longest token */
    hm_ids ids;
    hm_tokenizer_watch watch; /* may be NULL */
    void *watcher;
    hm_error *err;
} encoder;

static hm_status encode_piece(encoder *e, const char *piece, size_t size)
{
    const hm_tokenizer *t = e->t;
    if (e->watch)
        e->watch(e->watcher, piece, size);
    if (t->ignore_merges && size <= t->vocab.longest) {
        const hm_token *whole = hm_vocab_find(&t->vocab, e->symbols, hm_bytes_to_symbols(e->symbols, piece, size), HM_TOKEN_VOCAB);
        if (whole)
            return hm_ids_push(&e->ids, whole->id, e->err);
    }
    return hm_bpe_piece(t, &e->scratch, piece, size, &e->ids, e->err);
}

static hm_status encode_plain(encoder *e, const char *text, size_t size)
{
    hm_status st;
    size_t begin, end;
    if (!size)
        return HM_OK;
    if (!e->splitter)
        return encode_piece(e, text, size);
    hm_splitter_start(e->splitter, text, size);
    while (!(st = hm_splitter_next(e->splitter, &begin, &end, e->err)) && begin < end)
        if ((st = encode_piece(e, text + begin, end - begin)))
            break;
    return st;
}

/* Cuts added tokens out of text; `rest` takes what lies between. */
static hm_status encode_added(encoder *e, const hm_added *added, const char *text, size_t size,
                              hm_status (*rest)(encoder *, const char *, size_t))
{
    hm_status st;
    int32_t id;
    size_t at = 0, begin, end;
    while (hm_added_find(added, text, size, at, &begin, &end, &id)) {
        if ((st = rest(e, text + at, begin - at)) || (st = hm_ids_push(&e->ids, id, e->err)))
            return st;
        at = end;
    }
    return rest(e, text + at, size - at);
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((uint8_t)text[i] >= 0x80)
            return false;
    return true;
}

/* A part of the raw text without added tokens: normalise, then cut out those that are sought in normalised text. */
static hm_status encode_normalized(encoder *e, const char *text, size_t size)
{
    char *changed = NULL;
    hm_status st;
    if (!size)
        return HM_OK;
    if (e->t->nfc && !is_ascii(text, size) && (st = hm_text_nfc(&changed, &size, text, size, "text", e->err)))
        return st;
    st = encode_added(e, &e->t->normalized, changed ? changed : text, size, encode_plain);
    free(changed);
    return st;
}

static hm_status push_all(encoder *e, const hm_ids *ids)
{
    for (size_t i = 0; i < ids->count; i++)
        if (hm_ids_push(&e->ids, ids->ids[i], e->err))
            return HM_EABSENT;
    return HM_OK;
}

static hm_status encode(encoder *e, const char *text, size_t size, bool special)
{
    const hm_tokenizer *tokenizer = e->t;
    hm_error *err = e->err;
    text = text ? text : "";
    hm_status st = hm_utf8_check(text, size, "text", err);
    if (st)
        return st;
    e->symbols = hm_calloc(2 * tokenizer->vocab.longest + 2, 1, "text", err);
    if (!e->symbols)
        return HM_EABSENT;
    if (tokenizer->split && (st = hm_splitter_open(&e->splitter, tokenizer->split, err)))
        goto done;
    if (special && (st = push_all(e, &tokenizer->before)))
        goto done;
    st = encode_added(e, &tokenizer->raw, text, size, encode_normalized);
    if (!st && special)
        st = push_all(e, &tokenizer->after);
done:
    hm_splitter_close(&e->splitter);
    hm_bpe_scratch_close(&e->scratch);
    free(e->symbols);
    return st;
}

hm_status hm_tokenizer_encode(const hm_tokenizer *tokenizer, const char *text, size_t size, bool special, int32_t **ids, size_t *count,
                              hm_error *err)
{
    encoder e = {.t = tokenizer, .err = err};
    hm_status st = encode(&e, text, size, special);
    if (st) {
        free(e.ids.ids);
        return st;
    }
    *ids = e.ids.ids;
    *count = e.ids.count;
    return HM_OK;
}

hm_status hm_tokenizer_pieces(const hm_tokenizer *tokenizer, const char *text, size_t size, hm_tokenizer_watch watch, void *self,
                              hm_error *err)
{
    encoder e = {.t = tokenizer, .watch = watch, .watcher = self, .err = err};
    hm_status st = encode(&e, text, size, false);
    free(e.ids.ids);
    return st;
}

/* Bytes of a token of the vocabulary, at most its size, into out; as it is when it is not byte-mapped text. */
static size_t token_bytes(const hm_vocab *vocab, const hm_token *token, char *out)
{
    const char *text = vocab->text + token->offset;
    size_t n = 0, at = 0;
    while (!(token->kinds & HM_TOKEN_ADDED) && at < token->size) {
        int byte = hm_symbol_to_byte(hm_utf8_next(text, token->size, &at));
        if (byte < 0)
            break;
        out[n++] = (char)byte;
        if (at == token->size)
            return n;
    }
    memcpy(out, text, token->size);
    return token->size;
}

/* UTF-8 with U+FFFD for what is broken; out has room for three times size and a NUL. */
static void repair(char *out, const char *bytes, size_t size)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        size_t start = at;
        bool good = hm_utf8_next(bytes, size, &at) >= 0;
        memcpy(out + n, good ? bytes + start : "\xEF\xBF\xBD", good ? at - start : 3);
        n += good ? at - start : 3;
    }
    out[n] = 0;
}

hm_status hm_tokenizer_decode(const hm_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip_special, char **text,
                              hm_error *err)
{
    const hm_vocab *v = &tokenizer->vocab;
    size_t bound = 0, n = 0;
    for (size_t i = 0; i < count; i++) {
        const hm_token *token = hm_vocab_at(v, ids[i]);
        if (ids[i] < 0 || ids[i] >= v->size)
            return hm_fail(err, HM_EFORMAT, "token ids: position %zu: expected an id from 0 to %d, found %d", i, (int)v->size - 1,
                           (int)ids[i]);
        bound += token ? token->size : 0;
    }
    if (bound >= SIZE_MAX / 8)
        return hm_fail(err, HM_EFORMAT, "token ids: %zu of them make a text of %zu bytes, which is too long", count, bound);
    char *bytes = hm_calloc(bound + 1, 1, "token ids", err), *out = bytes ? hm_calloc(3 * bound + 1, 1, "token ids", err) : NULL;
    if (!out) {
        free(bytes);
        return HM_EABSENT;
    }
    for (size_t i = 0; i < count; i++) {
        const hm_token *token = hm_vocab_at(v, ids[i]); /* NULL: an id between others that no token has; it writes nothing */
        if (token && !(skip_special && (token->kinds & HM_TOKEN_SPECIAL)))
            n += token_bytes(v, token, bytes + n);
    }
    repair(out, bytes, n);
    free(bytes);
    *text = out;
    return HM_OK;
}

int32_t hm_tokenizer_id(const hm_tokenizer *tokenizer, const char *content)
{
    const hm_token *token = hm_vocab_find(&tokenizer->vocab, content, strlen(content), HM_TOKEN_VOCAB | HM_TOKEN_ADDED);
    return token ? token->id : -1;
}

int32_t hm_tokenizer_size(const hm_tokenizer *tokenizer)
{
    return tokenizer->vocab.size;
}
