/* Hashes: FNV-1a 64 where a format demands it, XXH3-128 for content. */
#ifndef HM_ENGINE_BASE_HASH_H
#define HM_ENGINE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/error.h"

#define HM_HASH_TEXT 33 /* bytes of a hash as text: 32 hex digits and a NUL */

/* FNV-1a 64 of bytes (hmsynth keys). */
uint64_t hm_fnv1a64(const void *data, size_t size);

/* XXH3-128 of bytes, as 32 lower-case hex digits. */
void hm_hash_text(char out[HM_HASH_TEXT], const void *data, size_t size);

/* The same over a whole file. */
hm_status hm_hash_file(char out[HM_HASH_TEXT], const char *path, hm_error *err);

#endif
