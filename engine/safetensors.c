#define _GNU_SOURCE
#include "engine/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/json.h"

/* Types of the format that nothing here computes with: listed with their size so that their place in the file is still checked. */
static const struct {
    const char *name;
    size_t bytes;
} unused_types[] = {
    {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2}, {"U64", 8}, {"C64", 8},
};

bool hm_shape_bytes(int rank, const int64_t *shape, size_t type_bytes, uint64_t *bytes)
{
    uint64_t n = type_bytes;
    bool zero = false;
    *bytes = 0;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return false;
        zero |= shape[i] == 0;
        if (shape[i] && __builtin_mul_overflow(n, (uint64_t)shape[i], &n))
            return false;
    }
    if (n > INT64_MAX)
        return false;
    *bytes = zero ? 0 : n;
    return true;
}

const char *hm_shape_text(char *out, size_t size, int rank, const int64_t *shape)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < rank && at < size; i++) {
        int n = shape[i] < 0 ? snprintf(out + at, size - at, "%sany", i ? ", " : "")
                             : snprintf(out + at, size - at, "%s%" PRId64, i ? ", " : "", shape[i]);
        at += (size_t)n;
    }
    if (at + 1 < size)
        snprintf(out + at, size - at, "]");
    return out;
}

static size_t type_bytes_of(hm_safetensors_entry *e)
{
    int type = hm_dtype_parse(e->type_name);
    e->type = type < 0 ? HM_DTYPE_COUNT : (hm_dtype)type;
    if (type >= 0)
        return hm_dtype_bytes(e->type);
    for (size_t i = 0; i < sizeof unused_types / sizeof *unused_types; i++)
        if (!strcmp(e->type_name, unused_types[i].name))
            return unused_types[i].bytes;
    return 0;
}

static hm_status parse_shape(hm_safetensors_entry *e, const json_t *shape, const char *where, hm_error *err)
{
    size_t rank = json_array_size(shape);
    if (rank > HM_SAFETENSORS_MAX_RANK)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: rank %zu, expected at most %d", where, e->name, rank, HM_SAFETENSORS_MAX_RANK);
    e->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        const json_t *v = json_array_get(shape, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return hm_fail(err, HM_EFORMAT, "%s: tensor %s: size %zu of its shape: expected an integer of 0 or more, found %s", where,
                           e->name, i, json_is_integer(v) ? "a negative one" : hm_json_kind(v));
        e->shape[i] = json_integer_value(v);
    }
    return HM_OK;
}

/* data: bytes of the file after the header. */
static hm_status parse_offsets(hm_safetensors_entry *e, const json_t *offsets, uint64_t data, const char *where, hm_error *err)
{
    const json_t *b = json_array_get(offsets, 0), *t = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(t))
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: data_offsets: expected two integers", where, e->name);
    int64_t begin = json_integer_value(b), end = json_integer_value(t);
    if (begin < 0 || end < begin)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: data_offsets [%" PRId64 ", %" PRId64 "]: expected 0 <= begin <= end", where,
                       e->name, begin, end);
    if ((uint64_t)end > data)
        return hm_fail(err, HM_EFORMAT,
                       "%s: tensor %s: ends at byte %" PRId64 " of the data, but the file has only %" PRIu64
                       ": it is truncated; fetch it again",
                       where, e->name, end, data);
    e->offset = (uint64_t)begin;
    e->bytes = (uint64_t)(end - begin);
    return HM_OK;
}

static hm_status parse_entry(hm_safetensors_entry *e, const json_t *value, uint64_t data, const char *where, hm_error *err)
{
    json_t *shape, *offsets;
    char place[256], text[160];
    snprintf(place, sizeof place, "%s: tensor %s", where, e->name);
    hm_status st = hm_json_string(value, "dtype", true, &e->type_name, place, err);
    if (!st)
        st = hm_json_child(value, "shape", JSON_ARRAY, true, &shape, place, err);
    if (!st)
        st = hm_json_child(value, "data_offsets", JSON_ARRAY, true, &offsets, place, err);
    if (!st)
        st = parse_shape(e, shape, where, err);
    if (!st)
        st = parse_offsets(e, offsets, data, where, err);
    if (st)
        return st;
    size_t type_bytes = type_bytes_of(e);
    uint64_t want;
    hm_shape_text(text, sizeof text, e->rank, e->shape);
    if (!hm_shape_bytes(e->rank, e->shape, type_bytes ? type_bytes : 1, &want))
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: shape %s is too large to be true", where, e->name, text);
    if (type_bytes && want != e->bytes)
        return hm_fail(err, HM_EFORMAT, "%s: tensor %s: %s of %s takes %" PRIu64 " bytes, its data_offsets span %" PRIu64, where, e->name,
                       text, e->type_name, want, e->bytes);
    return HM_OK;
}

static int by_offset(const void *a, const void *b)
{
    const hm_safetensors_entry *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : strcmp(x->name, y->name);
}

/* Sorts by place, refuses overlaps and bytes that belong to no tensor at the end, and makes offsets absolute. */
static hm_status check_layout(hm_safetensors *f, uint64_t data_at, uint64_t data, hm_error *err)
{
    uint64_t end = 0;
    const char *last = "";
    qsort(f->entries, (size_t)f->count, sizeof *f->entries, by_offset);
    for (int i = 0; i < f->count; i++) {
        hm_safetensors_entry *e = &f->entries[i];
        if (e->bytes && e->offset < end)
            return hm_fail(err, HM_EFORMAT, "%s: tensors %s and %s overlap", f->path, last, e->name);
        if (e->bytes) {
            end = e->offset + e->bytes;
            last = e->name;
        }
        e->offset += data_at;
    }
    if (end < data)
        return hm_fail(err, HM_EFORMAT,
                       "%s: %" PRIu64 " bytes after the last tensor: the file is longer than its header says; fetch it again", f->path,
                       data - end);
    return HM_OK;
}

static hm_status check_metadata(hm_safetensors *f, const json_t *metadata, hm_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return hm_fail(err, HM_EFORMAT, "%s: __metadata__: expected an object, found %s", f->path, hm_json_kind(metadata));
    json_object_foreach((json_t *)metadata, key, value) if (!json_is_string(value)) return hm_fail(
        err, HM_EFORMAT, "%s: __metadata__: \"%s\": expected a string, found %s", f->path, key, hm_json_kind(value));
    f->metadata = metadata;
    return HM_OK;
}

static hm_status parse_header(hm_safetensors *f, const uint8_t *text, uint64_t size, hm_error *err)
{
    const char *key;
    json_t *value;
    uint64_t data_at = 8 + size, data = f->file_bytes - data_at;
    hm_status st = hm_json_parse(&f->header, text, (size_t)size, f->path, err);
    if (st)
        return st;
    if (!json_is_object(f->header))
        return hm_fail(err, HM_EFORMAT, "%s: header: expected an object, found %s", f->path, hm_json_kind(f->header));
    f->entries = hm_calloc(json_object_size(f->header) + 1, sizeof *f->entries, f->path, err);
    if (!f->entries)
        return HM_EABSENT;
    json_object_foreach(f->header, key, value)
    {
        if (!strcmp(key, "__metadata__")) {
            st = check_metadata(f, value, err);
        } else {
            f->entries[f->count].name = key;
            st = parse_entry(&f->entries[f->count], value, data, f->path, err);
            f->count++;
        }
        if (st)
            return st;
    }
    return check_layout(f, data_at, data, err);
}

/* Size of the JSON header, checked against the file. */
static hm_status header_size(const uint8_t *data, uint64_t file_bytes, const char *where, uint64_t *size, hm_error *err)
{
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | data[i];
    if (n > HM_SAFETENSORS_MAX_HEADER)
        return hm_fail(err, HM_EFORMAT,
                       "%s: not a safetensors file: its header would take %" PRIu64 " bytes, at most %" PRIu64 " are allowed", where, n,
                       HM_SAFETENSORS_MAX_HEADER);
    if (n > file_bytes - 8)
        return hm_fail(err, HM_EFORMAT, "%s: truncated or not safetensors: a header of %" PRIu64 " bytes in a file of %" PRIu64, where, n,
                       file_bytes);
    *size = n;
    return HM_OK;
}

static hm_status too_short(const char *where, uint64_t file_bytes, hm_error *err)
{
    return hm_fail(err, HM_EFORMAT, "%s: %" PRIu64 " bytes are too few for a safetensors file; fetch it again", where, file_bytes);
}

hm_status hm_safetensors_parse(hm_safetensors *out, const void *data, size_t have, uint64_t file_bytes, const char *where, hm_error *err)
{
    uint64_t size;
    hm_safetensors f = {.file_bytes = file_bytes};
    if (have < 8 || file_bytes < have)
        return too_short(where, file_bytes, err);
    hm_status st = header_size(data, file_bytes, where, &size, err);
    if (st)
        return st;
    if (have - 8 < size)
        return hm_fail(err, HM_EBUG, "%s: %zu bytes given, the header needs %" PRIu64, where, have, size + 8);
    f.path = strdup(where);
    if (!f.path)
        return hm_fail(err, HM_EABSENT, "%s: no memory", where);
    st = parse_header(&f, (const uint8_t *)data + 8, size, err);
    if (st) {
        hm_safetensors_close(&f);
        return st;
    }
    *out = f;
    return HM_OK;
}

static hm_status read_at(int fd, void *out, size_t bytes, off_t at, const char *path, hm_error *err)
{
    uint8_t *p = out;
    while (bytes) {
        ssize_t n = pread(fd, p, bytes, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return hm_fail(err, HM_EIO, "%s: cannot read its header: %s", path, n ? strerror(errno) : "the file shrank");
        p += n;
        at += n;
        bytes -= (size_t)n;
    }
    return HM_OK;
}

static hm_status open_header(hm_safetensors *out, int fd, const char *path, hm_error *err)
{
    struct stat info;
    uint8_t first[8], *text;
    uint64_t size;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode))
        return hm_fail(err, HM_EMISSING, "%s: expected a regular file, found a folder or device", path);
    uint64_t file_bytes = (uint64_t)info.st_size;
    if (file_bytes < 8)
        return too_short(path, file_bytes, err);
    hm_status st = read_at(fd, first, 8, 0, path, err);
    if (!st)
        st = header_size(first, file_bytes, path, &size, err);
    if (st)
        return st;
    text = hm_calloc((size_t)size + 8, 1, path, err);
    if (!text)
        return HM_EABSENT;
    memcpy(text, first, 8);
    st = read_at(fd, text + 8, (size_t)size, 8, path, err);
    if (!st)
        st = hm_safetensors_parse(out, text, (size_t)size + 8, file_bytes, path, err);
    free(text);
    return st;
}

hm_status hm_safetensors_open(hm_safetensors *out, const char *path, hm_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return hm_fail(err, errno == ENOENT || errno == ENOTDIR ? HM_EMISSING : HM_EIO, "%s: cannot open: %s", path, strerror(errno));
    hm_status st = open_header(out, fd, path, err);
    close(fd);
    return st;
}

void hm_safetensors_close(hm_safetensors *file)
{
    free(file->path);
    free(file->entries);
    json_decref(file->header);
    *file = (hm_safetensors){0};
}
