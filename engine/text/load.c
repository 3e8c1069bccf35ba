/* tokenizer.json to tables. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/text/internal.h"

#define WHERE_BYTES 300

/* The "type" of a part. */
static hm_status part_type(const json_t *part, const char **type, const char *where, hm_error *err)
{
    return hm_json_string(part, "type", true, type, where, err);
}

static hm_status refuse_type(const char *where, const char *part, const char *found, const char *expected, hm_error *err)
{
    char quote[HM_QUOTE_BYTES];
    return hm_fail(err, HM_EFORMAT, "%s: %s of type \"%s\" is not supported, expected %s", where, part,
                   hm_text_quote(quote, found, strlen(found)), expected);
}

/* A boolean that must have one value. */
static hm_status expect_bool(const json_t *object, const char *key, bool required, bool expected, const char *where, hm_error *err)
{
    bool value = expected;
    hm_status st = hm_json_bool(object, key, required, &value, where, err);
    if (!st && value != expected)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\" %s is not supported, expected %s", where, key, value ? "true" : "false",
                       expected ? "true" : "false");
    return st;
}

/* Calls one() for the parts of a Sequence in order, or for the part itself. */
typedef hm_status one_part(hm_tokenizer *t, const json_t *part, const char *type, const char *where, hm_error *err);
static hm_status each_part(hm_tokenizer *t, const json_t *part, const char *list_key, one_part *one, const char *where, hm_error *err)
{
    const char *type;
    json_t *list, *child;
    size_t i;
    hm_status st = part_type(part, &type, where, err);
    if (st)
        return st;
    if (strcmp(type, "Sequence"))
        return one(t, part, type, where, err);
    if ((st = hm_json_child(part, list_key, JSON_ARRAY, true, &list, where, err)))
        return st;
    json_array_foreach(list, i, child) if ((st = each_part(t, child, list_key, one, where, err))) return st;
    return HM_OK;
}

static hm_status normalizer_part(hm_tokenizer *t, const json_t *part, const char *type, const char *where, hm_error *err)
{
    (void)part;
    if (strcmp(type, "NFC"))
        return refuse_type(where, "a normalizer", type, "NFC", err);
    t->nfc = true;
    return HM_OK;
}

static hm_status load_split(hm_tokenizer *t, const json_t *part, const char *where, hm_error *err)
{
    json_t *pattern;
    const char *regex, *behavior;
    hm_status st;
    if (t->split)
        return hm_fail(err, HM_EFORMAT, "%s: a second Split is not supported, expected one", where);
    if ((st = hm_json_child(part, "pattern", JSON_OBJECT, true, &pattern, where, err)) ||
        (st = hm_json_string(part, "behavior", true, &behavior, where, err)) ||
        (st = expect_bool(part, "invert", false, false, where, err)) || (st = hm_json_string(pattern, "Regex", true, &regex, where, err)))
        return st;
    if (strcmp(behavior, "Isolated"))
        return refuse_type(where, "a Split behavior", behavior, "Isolated", err);
    return hm_split_open(&t->split, regex, where, err);
}

static hm_status load_byte_level(hm_tokenizer *t, const json_t *part, const char *where, hm_error *err)
{
    bool regex = true;
    hm_status st = expect_bool(part, "add_prefix_space", true, false, where, err);
    if (!st)
        st = hm_json_bool(part, "use_regex", false, &regex, where, err);
    if (st || !regex)
        return st;
    if (t->split)
        return hm_fail(err, HM_EFORMAT, "%s: ByteLevel with \"use_regex\" true after a Split is not supported, expected false", where);
    return hm_split_open(&t->split, HM_GPT2_SPLIT, where, err);
}

/* [Split] and ByteLevel, in this order. */
static hm_status load_pre_tokenizer(hm_tokenizer *t, const json_t *root, const char *where, hm_error *err)
{
    json_t *part, *list = NULL;
    const char *type;
    hm_status st;
    if ((st = hm_json_child(root, "pre_tokenizer", JSON_OBJECT, true, &part, where, err)) || (st = part_type(part, &type, where, err)))
        return st;
    if (!strcmp(type, "Sequence") && (st = hm_json_child(part, "pretokenizers", JSON_ARRAY, true, &list, where, err)))
        return st;
    size_t count = list ? json_array_size(list) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *child = list ? json_array_get(list, i) : part;
        bool last = i + 1 == count;
        if ((st = part_type(child, &type, where, err)))
            return st;
        if (!last && !strcmp(type, "Split"))
            st = load_split(t, child, where, err);
        else if (!last || strcmp(type, "ByteLevel"))
            return refuse_type(where, "a pre_tokenizer", type, "Split, and ByteLevel as the last", err);
        else
            st = load_byte_level(t, child, where, err);
        if (st)
            return st;
    }
    return count ? HM_OK : hm_fail(err, HM_EFORMAT, "%s: the sequence of pre_tokenizers is empty, expected ByteLevel as the last", where);
}

/* Appends the ids of one SpecialToken piece of a template. */
static hm_status template_token(hm_tokenizer *t, const json_t *part, const json_t *piece, hm_ids *out, const char *where, hm_error *err)
{
    json_t *tokens, *token, *ids, *id;
    const char *name;
    size_t i;
    hm_status st;
    if ((st = hm_json_string(piece, "id", true, &name, where, err)) ||
        (st = hm_json_child(part, "special_tokens", JSON_OBJECT, true, &tokens, where, err)) ||
        (st = hm_json_child(tokens, name, JSON_OBJECT, true, &token, where, err)) ||
        (st = hm_json_child(token, "ids", JSON_ARRAY, true, &ids, where, err)))
        return st;
    json_array_foreach(ids, i, id)
    {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value > HM_TOKEN_ID_MAX || !hm_vocab_at(&t->vocab, (int32_t)value))
            return hm_fail(err, HM_EFORMAT, "%s: special token \"%s\": expected ids of tokens, found %s %lld that is none", where, name,
                           hm_json_kind(id), (long long)json_integer_value(id));
        if ((st = hm_ids_push(out, (int32_t)value, err)))
            return st;
    }
    return HM_OK;
}

/* Puts what a later template wraps around outside of what is there: before = new before + before, after = after + new after. */
static hm_status wrap(hm_tokenizer *t, hm_ids *before, const hm_ids *after, hm_error *err)
{
    hm_status st;
    for (size_t i = 0; i < t->before.count; i++)
        if ((st = hm_ids_push(before, t->before.ids[i], err)))
            return st;
    for (size_t i = 0; i < after->count; i++)
        if ((st = hm_ids_push(&t->after, after->ids[i], err)))
            return st;
    hm_ids old = t->before;
    t->before = *before;
    *before = old;
    return HM_OK;
}

static hm_status load_template(hm_tokenizer *t, const json_t *part, const char *where, hm_error *err)
{
    json_t *single, *piece, *body;
    hm_ids sides[2] = {{0}, {0}}; /* before and after the text */
    int side = 0;
    size_t i;
    const char *name;
    hm_status st = hm_json_child(part, "single", JSON_ARRAY, true, &single, where, err);
    if (st)
        return st;
    json_array_foreach(single, i, piece)
    {
        body = NULL;
        if ((st = hm_json_child(piece, "SpecialToken", JSON_OBJECT, false, &body, where, err)))
            goto done;
        if (body) {
            if ((st = template_token(t, part, body, &sides[side], where, err)))
                goto done;
            continue;
        }
        if ((st = hm_json_child(piece, "Sequence", JSON_OBJECT, true, &body, where, err)) ||
            (st = hm_json_string(body, "id", true, &name, where, err)))
            goto done;
        if (strcmp(name, "A") || side++) {
            st = hm_fail(err, HM_EFORMAT, "%s: TemplateProcessing: \"single\" must hold sequence A once and no other", where);
            goto done;
        }
    }
    if (!side)
        st = hm_fail(err, HM_EFORMAT, "%s: TemplateProcessing: \"single\" does not hold sequence A", where);
    else
        st = wrap(t, &sides[0], &sides[1], err);
done:
    free(sides[0].ids);
    free(sides[1].ids);
    return st;
}

static hm_status post_processor_part(hm_tokenizer *t, const json_t *part, const char *type, const char *where, hm_error *err)
{
    if (!strcmp(type, "TemplateProcessing"))
        return load_template(t, part, where, err);
    return strcmp(type, "ByteLevel") ? refuse_type(where, "a post_processor", type, "ByteLevel or TemplateProcessing", err) : HM_OK;
}

/* Model options that change the algorithm must be off. */
static hm_status check_model_options(const json_t *model, const char *where, hm_error *err)
{
    static const char *const texts[] = {"unk_token", "continuing_subword_prefix", "end_of_word_suffix"};
    const char *type, *text;
    double dropout = 0;
    hm_status st = part_type(model, &type, where, err);
    if (st)
        return st;
    if (strcmp(type, "BPE"))
        return refuse_type(where, "a model", type, "BPE", err);
    if ((st = hm_json_double(model, "dropout", false, &dropout, where, err)) ||
        (st = expect_bool(model, "byte_fallback", false, false, where, err)))
        return st;
    if (dropout != 0)
        return hm_fail(err, HM_EFORMAT, "%s: \"dropout\" %g is not supported, expected null", where, dropout);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        text = "";
        if ((st = hm_json_string(model, texts[i], false, &text, where, err)))
            return st;
        if (*text)
            return hm_fail(err, HM_EFORMAT, "%s: \"%s\" \"%.64s\" is not supported, expected null", where, texts[i], text);
    }
    return HM_OK;
}

static hm_status load_merge(hm_tokenizer *t, const json_t *merge, int32_t rank, const char *where, hm_error *err)
{
    if (json_is_string(merge))
        return hm_tokenizer_add_merge_line(t, json_string_value(merge), json_string_length(merge), rank, where, err);
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return hm_fail(err, HM_EFORMAT, "%s: merge %d: expected \"a b\" or [\"a\", \"b\"], found %s", where, (int)rank,
                       hm_json_kind(merge));
    return hm_tokenizer_add_merge(t, json_string_value(left), json_string_length(left), json_string_value(right), json_string_length(right),
                                  rank, where, err);
}

static hm_status load_added(hm_tokenizer *t, const json_t *list, const char *where, hm_error *err)
{
    const json_t *token;
    size_t i;
    json_array_foreach(list, i, token)
    {
        char place[WHERE_BYTES];
        int64_t id = 0;
        snprintf(place, sizeof place, "%.250s: added_tokens[%zu]", where, i);
        hm_status st = hm_json_int(token, "id", 0, HM_TOKEN_ID_MAX, true, &id, place, err);
        if (st || (st = hm_tokenizer_add_token(t, token, id, place, err)))
            return st;
    }
    return HM_OK;
}

static hm_status load_model(hm_tokenizer *t, const json_t *root, const char *where, hm_error *err)
{
    json_t *model, *vocab, *merges, *added = NULL, *merge;
    size_t i;
    char place[WHERE_BYTES];
    hm_status st;
    snprintf(place, sizeof place, "%.250s: model", where);
    if ((st = hm_json_child(root, "model", JSON_OBJECT, true, &model, where, err)) || (st = check_model_options(model, place, err)) ||
        (st = hm_json_bool(model, "ignore_merges", false, &t->ignore_merges, place, err)) ||
        (st = hm_json_child(model, "vocab", JSON_OBJECT, true, &vocab, place, err)) ||
        (st = hm_json_child(model, "merges", JSON_ARRAY, true, &merges, place, err)) ||
        (st = hm_json_child(root, "added_tokens", JSON_ARRAY, false, &added, where, err)) ||
        (st = hm_vocab_open(&t->vocab, json_object_size(vocab) + json_array_size(added), where, err)) ||
        (st = hm_tokenizer_add_vocab(t, vocab, place, err)) || (st = load_added(t, added, where, err)) ||
        (st = hm_pairs_open(&t->merges, json_array_size(merges), place, err)))
        return st;
    json_array_foreach(merges, i, merge) if ((st = load_merge(t, merge, (int32_t)i, place, err))) return st;
    return HM_OK;
}

/* An optional part of the root, and the name of its place in messages. */
static hm_status root_part(const json_t *root, const char *key, json_t **part, char place[WHERE_BYTES], const char *where, hm_error *err)
{
    *part = NULL;
    snprintf(place, WHERE_BYTES, "%.250s: %s", where, key);
    return hm_json_child(root, key, JSON_OBJECT, false, part, where, err);
}

static hm_status load_decoder(const json_t *root, const char *where, hm_error *err)
{
    json_t *part;
    const char *type;
    hm_status st = hm_json_child(root, "decoder", JSON_OBJECT, true, &part, where, err);
    if (st || (st = part_type(part, &type, where, err)))
        return st;
    return strcmp(type, "ByteLevel") ? refuse_type(where, "a decoder", type, "ByteLevel", err) : HM_OK;
}

static hm_status load(hm_tokenizer *t, const json_t *root, const char *where, hm_error *err)
{
    json_t *part;
    char place[WHERE_BYTES];
    hm_status st;
    if ((st = load_model(t, root, where, err)) || (st = root_part(root, "normalizer", &part, place, where, err)) ||
        (part && (st = each_part(t, part, "normalizers", normalizer_part, place, err))) || (st = load_pre_tokenizer(t, root, where, err)) ||
        (st = root_part(root, "post_processor", &part, place, where, err)) ||
        (part && (st = each_part(t, part, "processors", post_processor_part, place, err))) || (st = load_decoder(root, where, err)))
        return st;
    return hm_tokenizer_finish(t, where, err);
}

static hm_status open_json(hm_tokenizer **out, const json_t *root, const char *where, hm_error *err)
{
    hm_tokenizer *t = hm_calloc(1, sizeof *t, where, err);
    if (!t)
        return HM_EABSENT;
    hm_status st = load(t, root, where, err);
    if (st)
        hm_tokenizer_close(&t);
    else
        *out = t;
    return st;
}

hm_status hm_tokenizer_open(hm_tokenizer **out, const char *path, hm_error *err)
{
    json_t *root;
    hm_status st = hm_json_load(&root, path, err);
    if (st)
        return st;
    st = open_json(out, root, path, err);
    json_decref(root);
    return st;
}

hm_status hm_tokenizer_parse(hm_tokenizer **out, const void *data, size_t size, const char *where, hm_error *err)
{
    json_t *root;
    hm_status st = hm_json_parse(&root, data, size, where, err);
    if (st)
        return st;
    st = open_json(out, root, where, err);
    json_decref(root);
    return st;
}
