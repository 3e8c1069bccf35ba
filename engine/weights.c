#define _GNU_SOURCE
#include "engine/weights.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/base/json.h"
#include "engine/synth.h"
#include "engine/weights_impl.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; an older one refuses and pages come on first use */
#endif

#define HUGE_BYTES ((size_t)2 << 20)

enum {
    SAMPLE = 64
}; /* elements hashed at the start, the middle and the end of a tensor */

const json_t *hm_weights_config(const hm_weights *weights)
{
    return weights->config;
}

const char *hm_weights_metadata(const hm_weights *weights, const char *key)
{
    for (int i = 0; i < weights->part_count; i++) {
        const char *text = json_string_value(json_object_get(weights->parts[i].file.metadata, key));
        if (text)
            return text;
    }
    return NULL;
}

const char *hm_weights_path(const hm_weights *weights)
{
    return weights->path;
}

int hm_weights_count(const hm_weights *weights)
{
    return weights->count;
}

const hm_tensor *hm_weights_at(const hm_weights *weights, int i)
{
    return &weights->entries[i].t;
}

const char *hm_weights_type_name(const hm_weights *weights, int i)
{
    return weights->entries[i].type_name;
}

int hm_weights_file_count(const hm_weights *weights)
{
    return weights->part_count;
}

const char *hm_weights_file(const hm_weights *weights, int i, uint64_t *bytes)
{
    *bytes = weights->parts[i].file.file_bytes;
    return weights->parts[i].file.path;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const weights_entry *)a)->t.name, ((const weights_entry *)b)->t.name);
}

hm_status hm_weights_sort(hm_weights *weights, hm_error *err)
{
    weights_entry *e = weights->entries;
    qsort(e, (size_t)weights->count, sizeof *e, by_name);
    for (int i = 1; i < weights->count; i++)
        if (!strcmp(e[i].t.name, e[i - 1].t.name))
            return hm_fail(err, HM_EFORMAT, "%s: tensor %s is there twice%s%s", weights->path, e[i].t.name,
                           e[i].part >= 0 ? ", again in " : "", e[i].part >= 0 ? weights->parts[e[i].part].file.path : "");
    return HM_OK;
}

static weights_entry *entry_of(const hm_weights *weights, const char *name)
{
    weights_entry key = {.t.name = name};
    return weights->count ? bsearch(&key, weights->entries, (size_t)weights->count, sizeof key, by_name) : NULL;
}

const hm_tensor *hm_weights_peek(const hm_weights *weights, const char *name)
{
    const weights_entry *e = entry_of(weights, name);
    return e ? &e->t : NULL;
}

/* Where messages place a tensor: its file, or the manifest. */
static const char *place_of(const hm_weights *w, const weights_entry *e)
{
    return e->part >= 0 ? w->parts[e->part].file.path : w->path;
}

static hm_status read_part(const char *path, void *out, size_t bytes, uint64_t at, hm_error *err)
{
    uint8_t *p = out;
    size_t left = bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return hm_fail(err, errno == ENOENT ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    while (left) {
        ssize_t n = pread(fd, p, left, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int saved = errno;
            close(fd);
            return hm_fail(err, HM_EIO, "%s: read stopped after %zu of %zu bytes: %s", path, bytes - left, bytes,
                           n ? strerror(saved) : "the file shrank after it was opened");
        }
        p += n;
        at += (uint64_t)n;
        left -= (size_t)n;
    }
    close(fd);
    return HM_OK;
}

/* Cache-line aligned; from 2 MiB up on huge pages where the system gives them. */
static void *take_bytes(size_t bytes, const char *what, hm_error *err)
{
    void *p = NULL;
    size_t align = bytes >= HUGE_BYTES ? HUGE_BYTES : 64;
    if (posix_memalign(&p, align, bytes ? bytes : 1)) {
        hm_fail(err, HM_EABSENT, "tensor %s: no memory for %zu bytes", what, bytes);
        return NULL;
    }
    if (bytes >= HUGE_BYTES)
        madvise(p, bytes, MADV_HUGEPAGE);
    return p;
}

static void make_elements(const hm_weights *w, const weights_entry *e, void *out, uint64_t first, uint64_t count)
{
    if (e->t.type == HM_BOOL)
        memset(out, 1, (size_t)count);
    else
        hm_synth_fill(out, e->t.type, e->t.name, w->seed, first, count, e->offset, e->scale, count > SAMPLE ? w->team : NULL);
}

static hm_status map_entry(hm_weights *w, weights_entry *e, hm_error *err)
{
    weights_part *part = &w->parts[e->part];
    if (!part->map.data) {
        hm_status st = hm_map_open(&part->map, part->file.path, err);
        if (st)
            return st;
    }
    const void *p = hm_map_at(&part->map, e->at, e->t.bytes);
    if (!p)
        return hm_fail(err, HM_EIO, "%s: tensor %s lies outside the file, which shrank after it was opened", part->file.path, e->t.name);
    if ((uintptr_t)p % hm_dtype_bytes(e->t.type) == 0)
        e->t.data = p;
    return HM_OK;
}

/* Gives e its data: mapped, read, copied because the file does not align it, or synthesised. */
static hm_status load_entry(hm_weights *w, weights_entry *e, hm_counters *count, hm_error *err)
{
    hm_status st = HM_OK;
    if (e->part >= 0 && w->load == HM_LOAD_MAP)
        st = map_entry(w, e, err);
    if (st || e->t.data)
        return st;
    void *p = take_bytes(e->t.bytes, e->t.name, err);
    if (!p)
        return HM_EABSENT;
    if (e->part < 0)
        make_elements(w, e, p, 0, e->t.bytes / hm_dtype_bytes(e->t.type));
    else if (w->load == HM_LOAD_MAP)
        memcpy(p, hm_map_at(&w->parts[e->part].map, e->at, e->t.bytes), e->t.bytes);
    else
        st = read_part(place_of(w, e), p, e->t.bytes, e->at, err);
    if (st) {
        free(p);
        hm_fail_within(err, "tensor %s", e->t.name);
        return st;
    }
    if (count)
        count->load_copied_bytes += e->t.bytes;
    e->t.data = e->owned = p;
    return HM_OK;
}

static bool shape_fits(const hm_tensor *t, int rank, const int64_t *shape)
{
    if (t->rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (shape[i] >= 0 && shape[i] != t->shape[i])
            return false;
    return true;
}

/* The entry called `name`, when it has that shape and a type to compute with. */
static hm_status look(const hm_weights *weights, const char *name, int rank, const int64_t *shape, weights_entry **out, hm_error *err)
{
    char want[160], found[160];
    weights_entry *e = entry_of(weights, name);
    if (!e)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s is missing among its %d: the checkpoint is incomplete or of another model",
                       weights->path, name, weights->count);
    if (!shape_fits(&e->t, rank, shape))
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: expected shape %s, found %s", place_of(weights, e), name,
                       hm_shape_text(want, sizeof want, rank, shape), hm_shape_text(found, sizeof found, e->t.rank, e->t.shape));
    if (e->t.type != HM_F32 && e->t.type != HM_BF16 && e->t.type != HM_F16)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: expected type F32, BF16 or F16, found %s", place_of(weights, e), name,
                       e->type_name);
    *out = e;
    return HM_OK;
}

hm_status hm_weights_look(const hm_weights *weights, const char *name, int rank, const int64_t *shape, const hm_tensor **out, hm_error *err)
{
    weights_entry *e;
    hm_status st = look(weights, name, rank, shape, &e, err);
    if (!st)
        *out = &e->t;
    return st;
}

hm_status hm_weights_find(hm_weights *weights, const char *name, int rank, const int64_t *shape, hm_counters *count, const hm_tensor **out,
                          hm_error *err)
{
    weights_entry *e;
    hm_status st = look(weights, name, rank, shape, &e, err);
    if (!st && !e->t.data)
        st = load_entry(weights, e, count, err);
    if (!st)
        *out = &e->t;
    return st;
}

/* Elements first .. first+count-1 as stored, into out; false when the file does not give them. */
static bool peek_elements(const hm_weights *w, const weights_entry *e, size_t size, uint64_t first, uint64_t count, void *out)
{
    if (e->part < 0)
        make_elements(w, e, out, first, count);
    else if (e->t.data)
        memcpy(out, (const uint8_t *)e->t.data + first * size, (size_t)count * size);
    else
        return !read_part(place_of(w, e), out, (size_t)count * size, e->at + first * size, NULL);
    return true;
}

static void hash_entry(XXH3_state_t *state, const hm_weights *w, const weights_entry *e)
{
    uint8_t sample[SAMPLE * 8];
    size_t size = e->t.type < HM_DTYPE_COUNT ? hm_dtype_bytes(e->t.type) : 1;
    uint64_t n = e->t.bytes / size, take = n < SAMPLE ? n : SAMPLE;
    uint64_t places[3] = {0, n / 2 <= n - take ? n / 2 : n - take, n - take};
    XXH3_128bits_update(state, e->t.name, strlen(e->t.name) + 1);
    XXH3_128bits_update(state, e->type_name, strlen(e->type_name) + 1);
    XXH3_128bits_update(state, e->t.shape, (size_t)e->t.rank * sizeof *e->t.shape);
    for (int i = 0; i < 3; i++) {
        if (peek_elements(w, e, size, places[i], take, sample))
            XXH3_128bits_update(state, sample, (size_t)take * size);
        else
            XXH3_128bits_update(state, "unreadable", 10);
    }
}

void hm_weights_fingerprint(const hm_weights *weights, char out[33])
{
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t h = {0};
    if (state) {
        XXH3_128bits_reset(state);
        for (int i = 0; i < weights->count; i++)
            hash_entry(state, weights, &weights->entries[i]);
        h = XXH3_128bits_digest(state);
    }
    XXH3_freeState(state);
    snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
}

static hm_status manifest_shape(weights_entry *e, const json_t *shape, const char *where, hm_error *err)
{
    uint64_t bytes;
    if (json_array_size(shape) > HM_TENSOR_MAX_RANK)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: rank %zu, expected at most %d", where, e->t.name, json_array_size(shape),
                       HM_TENSOR_MAX_RANK);
    e->t.rank = (int)json_array_size(shape);
    for (int i = 0; i < e->t.rank; i++) {
        const json_t *v = json_array_get(shape, (size_t)i);
        if (!json_is_integer(v))
            return hm_fail(err, HM_EFORMAT, "%s: tensor %s: shape: expected integers, found %s", where, e->t.name, hm_json_kind(v));
        e->t.shape[i] = json_integer_value(v);
    }
    if (!hm_shape_bytes(e->t.rank, e->t.shape, hm_dtype_bytes(e->t.type), &bytes))
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: its shape is negative or too large to be true", where, e->t.name);
    e->t.bytes = (size_t)bytes;
    return HM_OK;
}

static hm_status manifest_entry(weights_entry *e, const json_t *row, const char *where, hm_error *err)
{
    json_t *shape;
    double offset, scale;
    e->part = -1;
    hm_status st = hm_json_string(row, "name", true, &e->t.name, where, err);
    if (!st)
        st = hm_json_string(row, "dtype", true, &e->type_name, where, err);
    if (!st)
        st = hm_json_child(row, "shape", JSON_ARRAY, true, &shape, where, err);
    if (st)
        return st;
    int type = hm_dtype_parse(e->type_name);
    if (type != HM_F32 && type != HM_BF16 && type != HM_F16 && type != HM_BOOL)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: cannot make type %s, only F32, BF16, F16 and BOOL", where, e->t.name, e->type_name);
    e->t.type = (hm_dtype)type;
    st = manifest_shape(e, shape, where, err);
    if (st || type == HM_BOOL)
        return st;
    hm_synth_rule(e->t.name, e->t.rank, e->t.shape, &e->offset, &e->scale);
    offset = e->offset;
    scale = e->scale;
    st = hm_json_double(row, "offset", false, &offset, where, err);
    if (!st)
        st = hm_json_double(row, "scale", false, &scale, where, err);
    e->offset = (float)offset;
    e->scale = (float)scale;
    if (!st && !(isfinite(e->offset) && isfinite(e->scale)))
        st = hm_fail(err, HM_EFORMAT, "%s: tensor %s: offset and scale must be finite in float32", where, e->t.name);
    return st;
}

hm_status hm_weights_synth(hm_weights **out, json_t *manifest, uint64_t seed, hm_team *team, const char *where, hm_error *err)
{
    json_t *rows, *config = NULL;
    hm_status st = hm_json_child(manifest, "tensors", JSON_ARRAY, true, &rows, where, err);
    if (!st)
        st = hm_json_child(manifest, "config", JSON_OBJECT, false, &config, where, err);
    if (st)
        return st;
    hm_weights *w = hm_calloc(1, sizeof *w, where, err);
    if (!w)
        return HM_EABSENT;
    *w = (hm_weights){.seed = seed, .team = team, .manifest = json_incref(manifest), .config = json_incref(config), .path = strdup(where)};
    w->entries = hm_calloc(json_array_size(rows) + 1, sizeof *w->entries, where, err);
    if (!w->path || !w->entries)
        st = hm_fail(err, HM_EABSENT, "%s: no memory", where);
    for (size_t i = 0; !st && i < json_array_size(rows); i++) {
        st = manifest_entry(&w->entries[i], json_array_get(rows, i), where, err);
        w->count++;
    }
    if (!st)
        st = hm_weights_sort(w, err);
    if (st) {
        hm_weights_close(&w);
        return st;
    }
    *out = w;
    return HM_OK;
}

uint64_t hm_weights_give_back(hm_weights *weights)
{
    uint64_t bytes = 0;
    for (int i = 0; weights && i < weights->part_count; i++) {
        const hm_map *map = &weights->parts[i].map;
        if (map->data && !map->heap && !madvise((void *)map->data, map->size, MADV_DONTNEED))
            bytes += map->size;
    }
    return bytes;
}

void hm_weights_read_in(const hm_weights *weights)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; weights && i < weights->count; i++) {
        const weights_entry *e = &weights->entries[i];
        if (!e->t.data || e->owned || e->part < 0 || e->t.rank < 2 || strstr(e->t.name, "embed") || weights->parts[e->part].map.heap)
            continue;
        uintptr_t first = (uintptr_t)e->t.data / page * page, end = (uintptr_t)e->t.data + e->t.bytes;
        madvise((void *)first, end - first, MADV_POPULATE_READ);
    }
}

void hm_weights_close(hm_weights **weights)
{
    hm_weights *w = *weights;
    if (!w)
        return;
    for (int i = 0; w->entries && i < w->count; i++)
        free(w->entries[i].owned);
    for (int i = 0; w->parts && i < w->part_count; i++) {
        hm_map_close(&w->parts[i].map);
        hm_safetensors_close(&w->parts[i].file);
    }
    free(w->parts);
    free(w->entries);
    free(w->path);
    json_decref(w->manifest);
    json_decref(w->index);
    json_decref(w->config);
    free(w);
    *weights = NULL;
}
