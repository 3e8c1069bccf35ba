/* Folders of the Qwen2 and Whisper kinds: vocab.json, merges.txt and the files that list added tokens. The pattern is implied by the
 * tokenizer's class. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/map.h"
#include "engine/text/internal.h"

typedef struct class
{
    const char *name, *fast; /* tokenizer_class */
    bool nfc;
} class;
static const class qwen2 = {"Qwen2Tokenizer", "Qwen2TokenizerFast", true}, whisper = {"WhisperTokenizer", "WhisperTokenizerFast", false};

/* By hm_qwen2_split. */
static const char *const patterns[] = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|"
    "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

/* The files of one folder; a path is for messages too. */
typedef struct folder {
    char vocab_path[PATH_MAX], merges_path[PATH_MAX], config_path[PATH_MAX], added_path[PATH_MAX];
    json_t *vocab, *config, *added; /* config, added: NULL when there is no such file */
    hm_map merges;
} folder;

static hm_status file_path(char path[PATH_MAX], const char *dir, const char *name, hm_error *err)
{
    if ((size_t)snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
        return hm_fail(err, HM_EFORMAT, "%.200s...: the path is too long, expected less than %d bytes", dir, PATH_MAX);
    return HM_OK;
}

static hm_status load_if_there(json_t **out, const char *path, hm_error *err)
{
    return access(path, F_OK) && errno == ENOENT ? HM_OK : hm_json_load(out, path, err);
}

static hm_status folder_open(folder *f, const char *dir, hm_error *err)
{
    hm_status st;
    if ((st = file_path(f->vocab_path, dir, "vocab.json", err)) || (st = file_path(f->merges_path, dir, "merges.txt", err)) ||
        (st = file_path(f->config_path, dir, "tokenizer_config.json", err)) ||
        (st = file_path(f->added_path, dir, "added_tokens.json", err)) || (st = hm_json_load(&f->vocab, f->vocab_path, err)) ||
        (st = hm_map_read(&f->merges, f->merges_path, HM_JSON_MAX_BYTES, err)) || (st = load_if_there(&f->config, f->config_path, err)))
        return st;
    return load_if_there(&f->added, f->added_path, err);
}

static void folder_close(folder *f)
{
    json_decref(f->vocab);
    json_decref(f->config);
    json_decref(f->added);
    hm_map_close(&f->merges);
}

static hm_status check_config(const folder *f, const class *k, hm_error *err)
{
    const char *name = k->name;
    bool prefix_space = false, bos = false;
    hm_status st;
    if (!f->config)
        return HM_OK;
    if ((st = hm_json_string(f->config, "tokenizer_class", false, &name, f->config_path, err)) ||
        (st = hm_json_bool(f->config, "add_prefix_space", false, &prefix_space, f->config_path, err)) ||
        (st = hm_json_bool(f->config, "add_bos_token", false, &bos, f->config_path, err)))
        return st;
    if (strcmp(name, k->name) && strcmp(name, k->fast))
        return hm_fail(err, HM_EFORMAT, "%s: tokenizer_class \"%.64s\" is not supported, expected %s", f->config_path, name, k->name);
    if (prefix_space || bos)
        return hm_fail(err, HM_EFORMAT, "%s: \"%s\" true is not supported, expected false", f->config_path,
                       prefix_space ? "add_prefix_space" : "add_bos_token");
    return HM_OK;
}

/* added_tokens_decoder: {"id": {content, special, ...}}. */
static hm_status add_decoder_tokens(hm_tokenizer *t, json_t *tokens, const char *path, hm_error *err)
{
    for (void *i = json_object_iter(tokens); i; i = json_object_iter_next(tokens, i)) {
        const char *key = json_object_iter_key(i);
        char where[PATH_MAX + 64], *end;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        if (key[0] < '0' || key[0] > '9' || *end || errno || id > HM_TOKEN_ID_MAX)
            return hm_fail(err, HM_EFORMAT, "%s: added_tokens_decoder: expected ids from 0 to %d, found \"%.64s\"", path, HM_TOKEN_ID_MAX,
                           key);
        snprintf(where, sizeof where, "%s: added_tokens_decoder: %lld", path, id);
        hm_status st = hm_tokenizer_add_token(t, json_object_iter_value(i), id, where, err);
        if (st)
            return st;
    }
    return HM_OK;
}

static bool text_is(const json_t *value, const char *content)
{
    const json_t *text = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(text) && !strcmp(json_string_value(text), content);
}

/* added_tokens.json does not say which tokens are special: the configuration does, by their roles. */
static bool is_special(const json_t *config, const char *content)
{
    static const char *const roles[] = {"bos_token", "eos_token", "unk_token", "pad_token"};
    const json_t *list = json_object_get(config, "additional_special_tokens"), *value;
    size_t i;
    for (i = 0; i < sizeof roles / sizeof *roles; i++)
        if (text_is(json_object_get(config, roles[i]), content))
            return true;
    json_array_foreach(list, i, value) if (text_is(value, content)) return true;
    return false;
}

/* added_tokens.json: {content: id}. */
static hm_status add_listed_tokens(hm_tokenizer *t, const folder *f, hm_error *err)
{
    for (void *i = json_object_iter(f->added); i; i = json_object_iter_next(f->added, i)) {
        const char *content = json_object_iter_key(i);
        const json_t *id = json_object_iter_value(i);
        if (!json_is_integer(id))
            return hm_fail(err, HM_EFORMAT, "%s: \"%.64s\": expected an integer id, found %s", f->added_path, content, hm_json_kind(id));
        uint8_t kinds = HM_TOKEN_ADDED | (is_special(f->config, content) ? HM_TOKEN_SPECIAL : 0);
        hm_status st = hm_vocab_add(&t->vocab, content, strlen(content), json_integer_value(id), kinds, f->added_path, err);
        if (st)
            return st;
    }
    return HM_OK;
}

/* The first line may be a comment; tokens may begin with # too, so no other is. Blank lines have no rank. */
static hm_status add_merges(hm_tokenizer *t, const folder *f, hm_error *err)
{
    const char *text = (const char *)f->merges.data, *end = text + f->merges.size, *next;
    size_t lines = 1;
    int32_t rank = 0;
    for (const char *p = text; p < end; p++)
        lines += *p == '\n';
    hm_status st = hm_pairs_open(&t->merges, lines, f->merges_path, err);
    for (const char *line = text; !st && line < end; line = next) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        next = stop ? stop + 1 : end;
        size_t size = (size_t)((stop ? stop : end) - line);
        size -= size && line[size - 1] == '\r';
        if (!size || (line == text && size >= 8 && !memcmp(line, "#version", 8)))
            continue;
        st = hm_tokenizer_add_merge_line(t, line, size, rank++, f->merges_path, err);
    }
    return st;
}

static hm_status load(hm_tokenizer *t, const folder *f, const class *k, const char *pattern, const char *dir, hm_error *err)
{
    json_t *tokens = NULL;
    hm_status st = check_config(f, k, err);
    if (st)
        return st;
    if (!json_is_object(f->vocab) || (f->added && !json_is_object(f->added)))
        return hm_fail(err, HM_EFORMAT, "%s: expected an object of tokens and ids",
                       json_is_object(f->vocab) ? f->added_path : f->vocab_path);
    if (f->config && (st = hm_json_child(f->config, "added_tokens_decoder", JSON_OBJECT, false, &tokens, f->config_path, err)))
        return st;
    if (!tokens && !f->added)
        return hm_fail(err, HM_EMISSING,
                       "%s: no added tokens: expected tokenizer_config.json with added_tokens_decoder, or added_tokens.json", dir);
    size_t added = tokens ? json_object_size(tokens) : json_object_size(f->added);
    t->nfc = k->nfc;
    if (k == &whisper)
        json_object_del(f->vocab, ""); /* the released files give an id to no text */
    if ((st = hm_vocab_open(&t->vocab, json_object_size(f->vocab) + added, f->vocab_path, err)) ||
        (st = hm_tokenizer_add_vocab(t, f->vocab, f->vocab_path, err)) ||
        (st = tokens ? add_decoder_tokens(t, tokens, f->config_path, err) : add_listed_tokens(t, f, err)) || (st = add_merges(t, f, err)) ||
        (st = hm_split_open(&t->split, pattern, dir, err)))
        return st;
    return hm_tokenizer_finish(t, f->vocab_path, err);
}

static hm_status open_folder(hm_tokenizer **out, const char *dir, const class *k, const char *pattern, hm_error *err)
{
    folder f = {0};
    hm_tokenizer *t = hm_calloc(1, sizeof *t, dir, err);
    if (!t)
        return HM_EABSENT;
    hm_status st = folder_open(&f, dir, err);
    if (!st)
        st = load(t, &f, k, pattern, dir, err);
    folder_close(&f);
    if (st)
        hm_tokenizer_close(&t);
    else
        *out = t;
    return st;
}

hm_status hm_tokenizer_open_qwen2(hm_tokenizer **out, const char *dir, hm_qwen2_split split, hm_error *err)
{
    return open_folder(out, dir, &qwen2, patterns[split], err);
}

hm_status hm_tokenizer_open_whisper(hm_tokenizer **out, const char *dir, hm_error *err)
{
    char vocab[PATH_MAX], json[PATH_MAX];
    hm_status st = file_path(vocab, dir, "vocab.json", err);
    if (!st)
        st = file_path(json, dir, "tokenizer.json", err);
    if (st)
        return st;
    if (access(vocab, F_OK) && !access(json, F_OK))
        return hm_tokenizer_open(out, json, err);
    return open_folder(out, dir, &whisper, HM_GPT2_SPLIT, err);
}
