/* Where the tensors of a checkpoint lie: one file, a folder, or shards under an index. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/json.h"
#include "engine/dialect.h"
#include "engine/weights_impl.h"

#define SUFFIX ".safetensors"
#define INDEX_SUFFIX ".safetensors.index.json"

enum {
    MAX_PARTS = 1000
};

static bool ends_with(const char *text, const char *tail)
{
    size_t n = strlen(text), m = strlen(tail);
    return n >= m && !strcmp(text + n - m, tail);
}

static hm_status join(char out[PATH_MAX], const char *folder, const char *name, hm_error *err)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        return hm_fail(err, HM_EMISSING, "%s/%s: path too long", folder, name);
    return HM_OK;
}

static bool is_file(const char *folder, const char *name, char path[PATH_MAX])
{
    struct stat st;
    return !join(path, folder, name, NULL) && !stat(path, &st) && S_ISREG(st.st_mode);
}

static void folder_of(char out[PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(out, PATH_MAX, ".");
    else
        snprintf(out, PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static hm_status add_part(hm_weights *w, const char *path, hm_error *err)
{
    hm_dialect dialect = hm_dialect_of_file(path);
    if (dialect)
        return hm_dialect_refuse(dialect, path, NULL, err);
    hm_status st = hm_safetensors_open(&w->parts[w->part_count].file, path, err);
    if (!st)
        w->part_count++;
    return st;
}

/* All tensors of the parts that `owner` gives to them (NULL: all) become entries. owner: tensor name -> part + 1 as an integer. */
static hm_status gather_entries(hm_weights *w, const json_t *owner, hm_error *err)
{
    size_t total = 0;
    for (int i = 0; i < w->part_count; i++)
        total += (size_t)w->parts[i].file.count;
    if (!total)
        return hm_fail(err, HM_EFORMAT, "%s: holds no tensors", w->path);
    if (total > INT_MAX / 2)
        return hm_fail(err, HM_EFORMAT, "%s: %zu tensors are too many to be true", w->path, total);
    w->entries = hm_calloc(total, sizeof *w->entries, w->path, err);
    if (!w->entries)
        return HM_EABSENT;
    for (int i = 0; i < w->part_count; i++) {
        const hm_safetensors *f = &w->parts[i].file;
        for (int k = 0; k < f->count; k++) {
            const hm_safetensors_entry *from = &f->entries[k];
            const json_t *mapped = json_object_get(owner, from->name);
            if (mapped && json_integer_value(mapped) != i)
                continue; /* the index takes this one from another shard */
            weights_entry *e = &w->entries[w->count++];
            *e = (weights_entry){.type_name = from->type_name, .part = i, .at = from->offset};
            e->t = (hm_tensor){.name = from->name, .type = from->type, .rank = from->rank, .bytes = (size_t)from->bytes};
            memcpy(e->t.shape, from->shape, sizeof e->t.shape);
        }
    }
    return hm_weights_sort(w, err);
}

/* A shard name of the index must stay in its folder: no absolute path, no "..". */
static hm_status check_shard_name(const char *name, const char *index_path, hm_error *err)
{
    const char *at = name;
    bool bad = *name == '\0' || *name == '/' || strlen(name) > 512;
    while (!bad && at) {
        const char *slash = strchr(at, '/');
        size_t n = slash ? (size_t)(slash - at) : strlen(at);
        bad = n == 0 || (n == 2 && !memcmp(at, "..", 2));
        at = slash ? slash + 1 : NULL;
    }
    if (bad)
        return hm_fail(err, HM_EFORMAT, "%s: weight_map: \"%.100s\": expected a file inside the folder of the index", index_path, name);
    return HM_OK;
}

/* Part of shard `name`, opened when it is new. shards: name -> part. */
static hm_status shard_part(hm_weights *w, json_t *shards, const char *folder, const char *name, const char *index_path, int *part,
                            hm_error *err)
{
    char path[PATH_MAX];
    const json_t *known = json_object_get(shards, name);
    struct stat info;
    if (known) {
        *part = (int)json_integer_value(known);
        return HM_OK;
    }
    hm_status st = check_shard_name(name, index_path, err);
    if (!st)
        st = join(path, folder, name, err);
    if (st)
        return st;
    if (w->part_count == MAX_PARTS)
        return hm_fail(err, HM_EFORMAT, "%s: names more than %d files", index_path, MAX_PARTS);
    if (stat(path, &info))
        return hm_fail(err, HM_EMISSING, "%s: the index names shard %s, which is missing: fetch it", index_path, name);
    *part = w->part_count;
    st = add_part(w, path, err);
    if (!st && json_object_set_new(shards, name, json_integer(*part)))
        st = hm_fail(err, HM_EABSENT, "%s: no memory", index_path);
    return st;
}

/* Opens every shard that the weight map names and checks that it holds what the index says. */
static hm_status open_shards(hm_weights *w, const char *folder, const char *index_path, const json_t *map, json_t *shards, json_t *owner,
                             hm_error *err)
{
    const char *tensor;
    json_t *value;
    hm_status st = HM_OK;
    json_object_foreach((json_t *)map, tensor, value)
    {
        int part = 0;
        const char *name = json_string_value(value);
        if (!name || strlen(name) != json_string_length(value))
            return hm_fail(err, HM_EFORMAT, "%s: weight_map: \"%s\": expected the name of a file, found %s", index_path, tensor,
                           hm_json_kind(value));
        st = shard_part(w, shards, folder, name, index_path, &part, err);
        if (!st && json_object_set_new(owner, tensor, json_integer(part)))
            st = hm_fail(err, HM_EABSENT, "%s: no memory", index_path);
        if (st)
            return st;
    }
    st = gather_entries(w, owner, err);
    json_object_foreach((json_t *)map, tensor, value) if (!st && !hm_weights_peek(w, tensor)) st =
        hm_fail(err, HM_EFORMAT, "%s: tensor %s should be in %s, which does not have it", index_path, tensor, json_string_value(value));
    return st;
}

static hm_status open_index(hm_weights *w, const char *path, hm_error *err)
{
    char folder[PATH_MAX];
    json_t *map;
    w->from_index = true;
    folder_of(folder, path);
    hm_status st = hm_json_load(&w->index, path, err);
    if (!st)
        st = hm_json_child(w->index, "weight_map", JSON_OBJECT, true, &map, path, err);
    if (st)
        return st;
    w->parts = hm_calloc(MAX_PARTS, sizeof *w->parts, path, err);
    if (!w->parts)
        return HM_EABSENT;
    json_t *shards = json_object(), *owner = json_object();
    st = shards && owner ? open_shards(w, folder, path, map, shards, owner, err) : hm_fail(err, HM_EABSENT, "%s: no memory", path);
    json_decref(shards);
    json_decref(owner);
    return st;
}

static hm_status open_file(hm_weights *w, const char *path, hm_error *err)
{
    if (ends_with(path, ".json"))
        return open_index(w, path, err);
    w->parts = hm_calloc(1, sizeof *w->parts, path, err);
    if (!w->parts)
        return HM_EABSENT;
    hm_status st = add_part(w, path, err);
    return st ? st : gather_entries(w, NULL, err);
}

/* What a folder without a standard name holds. */
typedef struct listing {
    int safetensors, indexes;
    char file[NAME_MAX + 1], second[NAME_MAX + 1], index[NAME_MAX + 1], foreign[NAME_MAX + 1];
    hm_dialect dialect;
} listing;

static hm_status list_folder(listing *out, const char *path, hm_error *err)
{
    DIR *d = opendir(path);
    struct dirent *e;
    if (!d)
        return hm_fail(err, errno == ENOENT ? HM_EMISSING : HM_EIO, "%s: cannot list: %s", path, strerror(errno));
    while ((e = readdir(d))) {
        hm_dialect dialect = hm_dialect_of_name(e->d_name);
        if (ends_with(e->d_name, INDEX_SUFFIX)) {
            out->indexes++;
            snprintf(out->index, sizeof out->index, "%s", e->d_name);
        } else if (ends_with(e->d_name, SUFFIX)) {
            snprintf(out->safetensors++ ? out->second : out->file, sizeof out->file, "%s", e->d_name);
        } else if (dialect) {
            out->dialect = dialect;
            snprintf(out->foreign, sizeof out->foreign, "%s", e->d_name);
        }
    }
    closedir(d);
    return HM_OK;
}

static hm_status open_folder(hm_weights *w, const char *folder, hm_error *err)
{
    char path[PATH_MAX];
    listing l = {0};
    if (is_file(folder, "model.safetensors", path))
        return open_file(w, path, err);
    if (is_file(folder, "model" INDEX_SUFFIX, path))
        return open_index(w, path, err);
    hm_status st = list_folder(&l, folder, err);
    if (st)
        return st;
    if (l.indexes == 1)
        return join(path, folder, l.index, err) ? HM_EMISSING : open_index(w, path, err);
    if (l.safetensors == 1)
        return join(path, folder, l.file, err) ? HM_EMISSING : open_file(w, path, err);
    if (l.safetensors > 1)
        return hm_fail(err, HM_EMISSING,
                       "%s: %d *.safetensors files (%s, %s ...) and no model.safetensors.index.json: name the file, or fetch the index",
                       folder, l.safetensors, l.file, l.second);
    if (l.dialect) {
        st = join(path, folder, l.foreign, err);
        return st ? st : hm_dialect_refuse(l.dialect, path, NULL, err);
    }
    return hm_fail(err, HM_EMISSING, "%s: no weights: looked for model.safetensors, model.safetensors.index.json and any *.safetensors",
                   folder);
}

/* The config: for a folder config.json first, for a file its own metadata first (a merged file may lie beside another's config.json). */
static hm_status find_config(hm_weights *w, const char *folder, bool metadata_first, hm_error *err)
{
    char path[PATH_MAX], where[PATH_MAX + 64];
    const char *text = hm_weights_metadata(w, "config");
    if (!text)
        text = hm_weights_metadata(w, "config.json");
    bool beside = is_file(folder, "config.json", path);
    hm_status st;
    if (text && (metadata_first || !beside)) {
        snprintf(where, sizeof where, "%s: config in __metadata__", w->path);
        st = hm_json_parse(&w->config, text, strlen(text), where, err);
    } else if (beside) {
        snprintf(where, sizeof where, "%s", path);
        st = hm_json_load(&w->config, path, err);
    } else {
        return HM_OK;
    }
    if (!st && !json_is_object(w->config))
        st = hm_fail(err, HM_EFORMAT, "%s: expected an object, found %s", where, hm_json_kind(w->config));
    return st;
}

hm_status hm_weights_open_any(hm_weights **out, const char *path, hm_load load, hm_dialect *dialect, hm_error *err)
{
    struct stat info;
    char folder[PATH_MAX];
    const char *example;
    if (strlen(path) >= PATH_MAX)
        return hm_fail(err, HM_EMISSING, "%.100s...: path too long", path);
    if (stat(path, &info))
        return hm_fail(err, errno == ENOENT || errno == ENOTDIR ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    bool is_folder = S_ISDIR(info.st_mode);
    hm_weights *w = hm_calloc(1, sizeof *w, path, err);
    if (!w)
        return HM_EABSENT;
    w->load = load;
    w->path = strdup(path);
    hm_status st = w->path ? HM_OK : hm_fail(err, HM_EABSENT, "%s: no memory", path);
    if (!st)
        st = is_folder ? open_folder(w, path, err) : open_file(w, path, err);
    if (is_folder)
        snprintf(folder, sizeof folder, "%s", path);
    else
        folder_of(folder, path);
    if (!st)
        st = find_config(w, folder, !is_folder && !w->from_index, err);
    if (st) {
        hm_weights_close(&w);
        return st;
    }
    *dialect = hm_dialect_of_weights(w, &example);
    *out = w;
    return HM_OK;
}

hm_status hm_weights_open(hm_weights **out, const char *path, hm_load load, hm_error *err)
{
    hm_dialect dialect;
    hm_weights *w;
    hm_status st = hm_weights_open_any(&w, path, load, &dialect, err);
    if (st)
        return st;
    if (dialect) {
        const char *example;
        hm_dialect_of_weights(w, &example);
        st = hm_dialect_refuse(dialect, path, example, err);
        hm_weights_close(&w);
        return st;
    }
    *out = w;
    return HM_OK;
}
