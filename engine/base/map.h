/* Whole files as bounds-checked bytes: mapped, or read into the heap. */
#ifndef HM_ENGINE_BASE_MAP_H
#define HM_ENGINE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

typedef struct hm_map {
    const uint8_t *data; /* valid until hm_map_close; NULL for an empty file */
    size_t size;         /* bytes */
    bool heap;           /* read into the heap, not mapped */
} hm_map;

/* Maps a regular file read-only. HM_EMISSING when there is none, HM_EIO when it cannot be read. */
hm_status hm_map_open(hm_map *out, const char *path, hm_error *err);

/* Reads a regular file into the heap; refuses more than max_bytes (HM_EFORMAT). data[size] is a NUL that is not counted. */
hm_status hm_map_read(hm_map *out, const char *path, size_t max_bytes, hm_error *err);

/* Accepts a zeroed map; leaves it zeroed. */
void hm_map_close(hm_map *map);

/* data + offset when [offset, offset + bytes) lies inside the map, else NULL; never overflows. */
const void *hm_map_at(const hm_map *map, uint64_t offset, uint64_t bytes);

/* HM_ECREATE: there is something at path that a file must not take the place of, such as /dev/null. */
hm_status hm_file_replaceable(const char *path, hm_error *err);

/* Writes all of data to path through a temporary file in the same folder and a rename: never a half-written file.
 * HM_ECREATE when the file cannot be made, HM_EIO when writing fails. */
hm_status hm_file_write(const char *path, const void *data, size_t size, hm_error *err);

#endif
