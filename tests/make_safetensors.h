/* Small safetensors files, made by hand for tests: a header text and the data behind it, in a folder of their own. */
#ifndef HM_TESTS_MAKE_SAFETENSORS_H
#define HM_TESTS_MAKE_SAFETENSORS_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/map.h"

/* Bytes of a file: u64 size, header, data. malloc'ed. */
static inline uint8_t *make_safetensors_bytes(const char *header, const void *data, size_t data_bytes, size_t *size)
{
    size_t n = strlen(header);
    uint8_t *p = malloc(8 + n + data_bytes);
    if (!p)
        abort();
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(p + 8, header, n);
    if (data_bytes)
        memcpy(p + 8 + n, data, data_bytes);
    *size = 8 + n + data_bytes;
    return p;
}

/* One tensor of a file to be made. Its data are bytes 1, 2, 3 ... unless data is given. */
typedef struct make_tensor {
    const char *name, *type, *shape; /* "F32", "[2, 3]" */
    size_t bytes;
    const void *data;
} make_tensor;

/* A file with these tensors one after the other; the list ends with name NULL. metadata: inside of __metadata__'s braces, or NULL. */
static inline uint8_t *make_safetensors(const make_tensor *tensors, const char *metadata, size_t *size)
{
    char *header = NULL;
    size_t header_bytes, at = 0;
    FILE *f = open_memstream(&header, &header_bytes);
    if (!f)
        abort();
    fprintf(f, "{");
    if (metadata)
        fprintf(f, "\"__metadata__\":{%s}", metadata);
    for (const make_tensor *t = tensors; t->name; t++) {
        fprintf(f, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}", t != tensors || metadata ? "," : "", t->name,
                t->type, t->shape, at, at + t->bytes);
        at += t->bytes;
    }
    fprintf(f, "}");
    fclose(f);
    uint8_t *data = malloc(at + 1), *out;
    if (!data)
        abort();
    at = 0;
    for (const make_tensor *t = tensors; t->name; t++) {
        for (size_t i = 0; i < t->bytes; i++)
            data[at + i] = t->data ? ((const uint8_t *)t->data)[i] : (uint8_t)(i + 1);
        at += t->bytes;
    }
    out = make_safetensors_bytes(header, data, at, size);
    free(header);
    free(data);
    return out;
}

static inline void make_file(const char *folder, const char *name, const void *data, size_t size)
{
    char path[PATH_MAX];
    hm_error err;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= PATH_MAX)
        abort();
    if (hm_file_write(path, data, size, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

static inline void make_text(const char *folder, const char *name, const char *text)
{
    make_file(folder, name, text, strlen(text));
}

static inline void make_tensors(const char *folder, const char *name, const make_tensor *tensors, const char *metadata)
{
    size_t size;
    uint8_t *p = make_safetensors(tensors, metadata, &size);
    make_file(folder, name, p, size);
    free(p);
}

/* A new empty folder under the current one; out holds its path. */
static inline void make_folder(char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "made.XXXXXX");
    if (!mkdtemp(out))
        abort();
}

static inline void make_subfolder(char out[PATH_MAX], const char *folder, const char *name)
{
    if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX || mkdir(out, 0755))
        abort();
}

/* Removes a folder and what is in it. */
static inline void make_clean(const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[PATH_MAX];
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= PATH_MAX)
            continue;
        if (!lstat(path, &st) && S_ISDIR(st.st_mode))
            make_clean(path);
        else
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(folder);
}

#endif
