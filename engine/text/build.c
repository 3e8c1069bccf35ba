/* Steps that tokenizer.json and the Qwen2 folder share. */
#include <stdlib.h>
#include <string.h>

#include "engine/text/internal.h"

static hm_status find_bytes(hm_tokenizer *t, const char *where, hm_error *err)
{
    for (int byte = 0; byte < 256; byte++) {
        char in = (char)byte, symbol[2];
        const hm_token *token = hm_vocab_find(&t->vocab, symbol, hm_bytes_to_symbols(symbol, &in, 1), HM_TOKEN_VOCAB);
        if (!token)
            return hm_fail(err, HM_EFORMAT,
                           "%s: the vocabulary of %zu tokens has none for byte 0x%02X (U+%04X), expected one for every byte", where,
                           t->vocab.count, (unsigned)byte, (unsigned)hm_byte_to_symbol((uint8_t)byte));
        t->byte_id[byte] = token->id;
    }
    return HM_OK;
}

hm_status hm_tokenizer_add_vocab(hm_tokenizer *t, const json_t *vocab, const char *where, hm_error *err)
{
    json_t *object = (json_t *)vocab; /* jansson iterates over mutable objects only */
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *text = json_object_iter_key(i);
        const json_t *id = json_object_iter_value(i);
        char quote[HM_QUOTE_BYTES];
        if (!json_is_integer(id))
            return hm_fail(err, HM_EFORMAT, "%s: token \"%s\": expected an integer id, found %s", where,
                           hm_text_quote(quote, text, strlen(text)), hm_json_kind(id));
        hm_status st = hm_vocab_add(&t->vocab, text, strlen(text), json_integer_value(id), HM_TOKEN_VOCAB, where, err);
        if (st)
            return st;
    }
    return find_bytes(t, where, err);
}

hm_status hm_tokenizer_add_token(hm_tokenizer *t, const json_t *token, int64_t id, const char *where, hm_error *err)
{
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    const char *content;
    bool special = false, normalized = false, flag;
    hm_status st;
    if ((st = hm_json_string(token, "content", true, &content, where, err)) ||
        (st = hm_json_bool(token, "special", false, &special, where, err)))
        return st;
    normalized = !special; /* what the reference takes when the key is not there */
    if ((st = hm_json_bool(token, "normalized", false, &normalized, where, err)))
        return st;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        flag = false;
        if ((st = hm_json_bool(token, refused[i], false, &flag, where, err)))
            return st;
        if (flag)
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\" true is not supported, expected false", where, refused[i]);
    }
    uint8_t kinds = HM_TOKEN_ADDED | (special ? HM_TOKEN_SPECIAL : 0) | (normalized ? HM_TOKEN_NORMALIZED : 0);
    return hm_vocab_add(&t->vocab, content, strlen(content), id, kinds, where, err);
}

static hm_status merge_token(const hm_tokenizer *t, const char *text, size_t size, int32_t rank, const char *what, const hm_token **out,
                             const char *where, hm_error *err)
{
    char quote[HM_QUOTE_BYTES];
    *out = hm_vocab_find(&t->vocab, text, size, HM_TOKEN_VOCAB);
    if (!*out)
        return hm_fail(err, HM_EFORMAT, "%s: merge %d: %s \"%s\" is not in the vocabulary", where, (int)rank, what,
                       hm_text_quote(quote, text, size));
    return HM_OK;
}

hm_status hm_tokenizer_add_merge(hm_tokenizer *t, const char *left, size_t left_size, const char *right, size_t right_size, int32_t rank,
                                 const char *where, hm_error *err)
{
    const hm_token *a, *b, *whole;
    hm_status st;
    if ((st = merge_token(t, left, left_size, rank, "token", &a, where, err)) ||
        (st = merge_token(t, right, right_size, rank, "token", &b, where, err)))
        return st;
    char *text = hm_calloc(left_size + right_size, 1, where, err);
    if (!text)
        return HM_EABSENT;
    memcpy(text, left, left_size);
    memcpy(text + left_size, right, right_size);
    st = merge_token(t, text, left_size + right_size, rank, "the merged token", &whole, where, err);
    if (!st)
        hm_pairs_put(&t->merges, a->id, b->id, (hm_pair_value){.rank = rank, .id = whole->id});
    free(text);
    return st;
}

hm_status hm_tokenizer_add_merge_line(hm_tokenizer *t, const char *line, size_t size, int32_t rank, const char *where, hm_error *err)
{
    char quote[HM_QUOTE_BYTES];
    const char *space = size ? memchr(line, ' ', size) : NULL;
    size_t left = space ? (size_t)(space - line) : 0;
    if (!left || left + 1 == size || memchr(space + 1, ' ', size - left - 1))
        return hm_fail(err, HM_EFORMAT, "%s: merge %d: expected two tokens with one space between, found \"%s\"", where, (int)rank,
                       hm_text_quote(quote, line, size));
    return hm_tokenizer_add_merge(t, line, left, space + 1, size - left - 1, rank, where, err);
}

hm_status hm_tokenizer_finish(hm_tokenizer *t, const char *where, hm_error *err)
{
    hm_status st = hm_added_open(&t->raw, &t->vocab, false, false, where, err);
    return st ? st : hm_added_open(&t->normalized, &t->vocab, true, t->nfc, where, err);
}
