/* Tokenizer and lower-casing cases. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/json.h"
#include "engine/text/tokenizer.h"
#include "harness/verify_bench.h"

/* A list of expected ids, and the tokenizer that gives them: a tokenizer.json, or a Qwen2 folder with either split. */
static const struct id_list {
    const char *key, *file;
    bool special;
    hm_qwen2_split split; /* of a folder */
} lists[] = {
    {"ids", "tokenizer.json", true, 0},
    {"ids_no_special", "tokenizer.json", false, 0},
    {"ids_pairs", "tokenizer_pairs.json", true, 0},
    {"ids_qwen2", "qwen2_tokenizer.json", true, 0},
    {"ids", "tokenizer", false, HM_QWEN2_SPLIT_PLAIN},
    {"ids_compat", "tokenizer", false, HM_QWEN2_SPLIT_COMPAT},
};
/* Lists of expected pieces, from the folder "tokenizer". */
static const struct {
    const char *key;
    hm_qwen2_split split;
} piece_lists[] = {{"pieces", HM_QWEN2_SPLIT_PLAIN}, {"pieces_compat", HM_QWEN2_SPLIT_COMPAT}};

static bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

static hm_status same_ids(const hm_tokenizer *t, const json_t *one, const struct id_list *list, bool *same, hm_error *err)
{
    const json_t *want = json_object_get(one, list->key), *text = json_object_get(one, "text");
    int32_t *ids = NULL;
    size_t n = 0;
    if (!json_is_array(want) || !json_is_string(text))
        return hm_fail(err, HM_EFORMAT, "a case has no \"text\" or no \"%s\"", list->key);
    hm_status st = hm_tokenizer_encode(t, json_string_value(text), json_string_length(text), list->special, &ids, &n, err);
    *same = !st && n == json_array_size(want);
    for (size_t i = 0; i < n && *same; i++)
        *same = json_integer_value(json_array_get(want, i)) == ids[i];
    free(ids);
    return st;
}

static void report(hm_verify *v, const char *file, const char *what, size_t same, size_t all)
{
    char shape[32];
    snprintf(shape, sizeof shape, "%zu of %zu", same, all);
    hm_verify_report(v, &(hm_verify_row){.file = file,
                                         .tensor = what,
                                         .shape = shape,
                                         .tolerance = -1,
                                         .outcome = same == all ? HM_VERIFY_OK : HM_VERIFY_MISS,
                                         .text = same == all ? "exact" : "differs"});
}

static hm_status verify_list(hm_verify *v, const char *dir, const char *file, const json_t *cases, const struct id_list *list,
                             hm_error *err)
{
    char path[4096], folder[4096];
    hm_tokenizer *t = NULL;
    size_t same = 0;
    bool equal = false, qwen2 = !strcmp(list->file, "tokenizer");
    snprintf(folder, sizeof folder, "%s/tokenizer", dir);
    if (!json_object_get(json_array_get(cases, 0), list->key) || qwen2 != is_folder(folder))
        return HM_OK;
    snprintf(path, sizeof path, "%s/%s", dir, list->file);
    hm_status st = qwen2 ? hm_tokenizer_open_qwen2(&t, path, list->split, err) : hm_tokenizer_open(&t, path, err);
    for (size_t i = 0; i < json_array_size(cases) && !st; i++) {
        st = same_ids(t, json_array_get(cases, i), list, &equal, err);
        same += !st && equal;
    }
    hm_tokenizer_close(&t);
    if (!st)
        report(v, file, list->key, same, json_array_size(cases));
    return st;
}

/* Walks along a list of expected pieces. */
struct piece_walk {
    const json_t *want;
    size_t at;
    bool same;
};

static void next_piece(void *self, const char *piece, size_t size)
{
    struct piece_walk *w = self;
    const json_t *want = json_array_get(w->want, w->at++);
    w->same = w->same && want && json_string_length(want) == size && !memcmp(json_string_value(want), piece, size);
}

static hm_status verify_pieces(hm_verify *v, const char *dir, const char *file, const json_t *cases, const char *key, hm_qwen2_split split,
                               hm_error *err)
{
    char path[4096];
    hm_tokenizer *t = NULL;
    size_t same = 0;
    if (!json_object_get(json_array_get(cases, 0), key))
        return HM_OK;
    snprintf(path, sizeof path, "%s/tokenizer", dir);
    hm_status st = hm_tokenizer_open_qwen2(&t, path, split, err);
    for (size_t i = 0; i < json_array_size(cases) && !st; i++) {
        const json_t *one = json_array_get(cases, i);
        struct piece_walk walk = {.want = json_object_get(one, key), .same = true};
        const char *text;
        st = hm_json_string(one, "text", true, &text, file, err);
        if (!st)
            st = hm_tokenizer_pieces(t, text, json_string_length(json_object_get(one, "text")), next_piece, &walk, err);
        same += !st && walk.same && walk.at == json_array_size(walk.want);
    }
    hm_tokenizer_close(&t);
    if (!st)
        report(v, file, key, same, json_array_size(cases));
    return st;
}

/* The array in dir/file, NULL when there is no such file. */
static hm_status load_cases(const char *dir, const char *file, json_t **out, hm_error *err)
{
    char path[4096];
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    if (access(path, F_OK))
        return HM_OK;
    hm_status st = hm_json_load(out, path, err);
    if (!st && !json_is_array(*out)) {
        st = hm_fail(err, HM_EFORMAT, "%s: expected an array of cases, found %s", path, hm_json_kind(*out));
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static hm_status verify_lower(hm_verify *v, const json_t *cases, hm_error *err)
{
    size_t same = 0;
    hm_status st = HM_OK;
    for (size_t i = 0; i < json_array_size(cases) && !st; i++) {
        const char *text, *want;
        char *lower = NULL;
        st = hm_json_string(json_array_get(cases, i), "text", true, &text, "lower_cases.json", err);
        if (!st)
            st = hm_json_string(json_array_get(cases, i), "lower", true, &want, "lower_cases.json", err);
        if (!st)
            st = hm_text_lower(&lower, text, strlen(text), "lower_cases.json", err);
        same += !st && !strcmp(lower, want);
        free(lower);
    }
    if (!st)
        report(v, "lower_cases.json", "lower", same, json_array_size(cases));
    return st;
}

static int is_cases_file(const struct dirent *file)
{
    return hm_begins(file->d_name, "tokenizer_cases") && hm_ends(file->d_name, ".json");
}

hm_status hm_verify_text(hm_verify *v, const char *dir, hm_error *err)
{
    json_t *cases = NULL;
    struct dirent **files;
    int count = scandir(dir, &files, is_cases_file, alphasort);
    hm_status st = count < 0 ? hm_fail(err, HM_EMISSING, "%s: no such folder", dir) : HM_OK;
    for (int f = 0; f < count && !st; f++) {
        st = load_cases(dir, files[f]->d_name, &cases, err);
        for (size_t i = 0; i < sizeof lists / sizeof *lists && cases && !st; i++)
            st = verify_list(v, dir, files[f]->d_name, cases, &lists[i], err);
        for (size_t i = 0; i < sizeof piece_lists / sizeof *piece_lists && cases && !st; i++)
            st = verify_pieces(v, dir, files[f]->d_name, cases, piece_lists[i].key, piece_lists[i].split, err);
        json_decref(cases);
        cases = NULL;
    }
    for (int f = 0; f < count; f++)
        free(files[f]);
    if (count >= 0)
        free(files);
    if (!st)
        st = load_cases(dir, "lower_cases.json", &cases, err);
    if (!st && cases)
        st = verify_lower(v, cases, err);
    json_decref(cases);
    return st;
}
