#include "engine/ze/ze_impl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/hash.h"
#include "engine/base/map.h"

#define MAGIC "hmbench ze 1\n"
#define MOST_BYTES ((size_t)256 << 20)

/* A file: MAGIC, the key, a NUL, the hash of the binary as text with its NUL, the binary. */

void hm_ze_cache_key_of(const hm_gpu *gpu, hm_ze_cache_key *key, const void *spirv, size_t bytes, const char *flags)
{
    char hash[HM_HASH_TEXT];
    hm_hash_text(hash, spirv, bytes);
    snprintf(key->text, sizeof key->text, "%s driver %s spirv %s flags %s", gpu->id.uuid, gpu->id.driver, hash, flags);
}

static bool path_of(const hm_gpu *gpu, const hm_ze_cache_key *key, char path[PATH_MAX])
{
    char hash[HM_HASH_TEXT];
    hm_hash_text(hash, key->text, strlen(key->text));
    return snprintf(path, PATH_MAX, "%s/%s.ze", gpu->cache, hash) < PATH_MAX;
}

/* Where the binary begins in a file that is whole and of this key, else 0. */
static size_t check_file(const hm_map *map, const hm_ze_cache_key *key)
{
    const size_t magic = strlen(MAGIC), name = strlen(key->text) + 1, head = magic + name + HM_HASH_TEXT;
    char hash[HM_HASH_TEXT];
    if (map->size <= head || memcmp(map->data, MAGIC, magic) || memcmp(map->data + magic, key->text, name))
        return 0;
    hm_hash_text(hash, map->data + head, map->size - head);
    return memcmp(hash, map->data + magic + name, HM_HASH_TEXT) ? 0 : head;
}

void hm_ze_cache_get(hm_gpu *gpu, const hm_ze_cache_key *key, uint8_t **data, size_t *bytes)
{
    char path[PATH_MAX];
    hm_map map = {0};
    hm_error err;
    *bytes = 0;
    if (!path_of(gpu, key, path))
        return;
    hm_status st = hm_map_read(&map, path, MOST_BYTES, &err);
    if (st) {
        if (st != HM_EMISSING)
            hm_log_write(gpu->log, HM_LOG_WARNING, "%s; kernels are compiled again", err.text);
        return;
    }
    size_t head = check_file(&map, key);
    if (!head)
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s: is no whole file of compiled kernels; they are compiled again", path);
    else if ((*data = malloc(map.size - head))) {
        *bytes = map.size - head;
        memcpy(*data, map.data + head, *bytes);
    }
    hm_map_close(&map);
}

void hm_ze_cache_put(hm_gpu *gpu, const hm_ze_cache_key *key, const uint8_t *data, size_t bytes)
{
    const size_t magic = strlen(MAGIC), name = strlen(key->text) + 1, head = magic + name + HM_HASH_TEXT;
    char path[PATH_MAX], hash[HM_HASH_TEXT];
    hm_error err = {0};
    char *file = bytes < MOST_BYTES - head ? malloc(head + bytes) : NULL;
    if (!file || !path_of(gpu, key, path)) {
        free(file);
        return;
    }
    memcpy(file, MAGIC, magic);
    memcpy(file + magic, key->text, name);
    hm_hash_text(hash, data, bytes);
    memcpy(file + magic + name, hash, HM_HASH_TEXT);
    memcpy(file + head, data, bytes);
    if (mkdir(gpu->cache, 0777) && errno != EEXIST)
        hm_fail(&err, HM_ECREATE, "%s: cannot create: %s", gpu->cache, strerror(errno));
    else
        hm_file_write(path, file, head + bytes, &err);
    free(file);
    if (err.status && !gpu->cache_told)
        hm_log_write(gpu->log, HM_LOG_WARNING, "%s; kernels are compiled again the next time", err.text);
    gpu->cache_told = gpu->cache_told || err.status;
}
