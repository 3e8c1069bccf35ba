#include "engine/base/hash.h"

#include <stdio.h>
#include <xxhash.h>

#include "engine/base/map.h"

uint64_t hm_fnv1a64(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

void hm_hash_text(char out[HM_HASH_TEXT], const void *data, size_t size)
{
    XXH128_hash_t h = XXH3_128bits(data, size);
    snprintf(out, HM_HASH_TEXT, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

hm_status hm_hash_file(char out[HM_HASH_TEXT], const char *path, hm_error *err)
{
    hm_map map = {0};
    hm_status st = hm_map_open(&map, path, err);
    if (st)
        return st;
    hm_hash_text(out, map.data, map.size);
    hm_map_close(&map);
    return HM_OK;
}
