/* The safetensors format: an 8-byte little-endian header size, a JSON header, the bytes of the tensors. Only the header is read here. */
#ifndef HM_ENGINE_SAFETENSORS_H
#define HM_ENGINE_SAFETENSORS_H

#include <jansson.h>
#include <stdbool.h>

#include "engine/base/dtype.h"
#include "engine/base/error.h"

#define HM_SAFETENSORS_MAX_RANK 8
#define HM_SAFETENSORS_MAX_HEADER ((uint64_t)100000000) /* bytes; the limit of the reference implementation */

typedef struct hm_safetensors_entry {
    const char *name;      /* valid as long as the file's header is kept */
    const char *type_name; /* as written in the file */
    hm_dtype type;         /* HM_DTYPE_COUNT: a type that is listed but cannot be used (F8_E4M3, I16 ...) */
    int rank;
    int64_t shape[HM_SAFETENSORS_MAX_RANK];
    uint64_t offset, bytes; /* place in the file, from its first byte */
} hm_safetensors_entry;

typedef struct hm_safetensors {
    char *path; /* for messages, and for reading the data */
    uint64_t file_bytes;
    json_t *header;         /* owns names */
    const json_t *metadata; /* object of texts; NULL when the file has none */
    int count;
    hm_safetensors_entry *entries; /* in the order of their place in the file */
} hm_safetensors;

/* Reads and checks the header of a file. Refused with HM_EFORMAT naming file and tensor: a header that does not fit the file or is not
 * JSON, duplicate names, a shape that is negative, of rank > 8 or overflows, offsets outside the file or unlike shape x type, overlapping
 * tensors, bytes after the last tensor. Gaps between tensors are accepted: some writers align, and nothing reads them. */
hm_status hm_safetensors_open(hm_safetensors *out, const char *path, hm_error *err);

/* The same over the first bytes of a file (`have` of file_bytes; at least the header must be among them). */
hm_status hm_safetensors_parse(hm_safetensors *out, const void *data, size_t have, uint64_t file_bytes, const char *where, hm_error *err);

/* Accepts a zeroed one; leaves it zeroed. */
void hm_safetensors_close(hm_safetensors *file);

/* Product of a shape times type_bytes; 0 and false when it overflows or a size is negative. */
bool hm_shape_bytes(int rank, const int64_t *shape, size_t type_bytes, uint64_t *bytes);

/* "[7, 64, 69]" of a shape, cut to size; returns out. */
const char *hm_shape_text(char *out, size_t size, int rank, const int64_t *shape);

#endif
