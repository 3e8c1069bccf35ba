/* Inside of pack files, for pack.c (one checkpoint's) and pack_dir.c (the folder). */
#ifndef HM_ENGINE_PACK_IMPL_H
#define HM_ENGINE_PACK_IMPL_H

#include "engine/pack.h"

#define HM_PACK_SUFFIX ".pack"
#define HM_PACK_MAGIC 0x4B434150484D4248u /* "HBMHPACK" */

/* First in the file; little-endian, as the panels are. The rest of its HM_PACK_ALIGN bytes is zero. */
typedef struct hm_pack_header {
    uint64_t magic;
    uint32_t version, format;
    char fingerprint[40], label[HM_PACK_LABEL];
    uint64_t file_bytes, table_at, table_bytes, layers;
    uint64_t table_check; /* XXH3-64 */
    uint64_t check;       /* of the header up to here */
} hm_pack_header;

/* A row of the table, rows in name order. */
typedef struct hm_pack_row {
    char name[200];
    int32_t out, in, taps, unused;
    uint64_t at, bytes;
    uint64_t check; /* hm_pack_sample */
} hm_pack_row;

/* XXH3-64. */
uint64_t hm_pack_check(const void *data, uint64_t bytes);
/* The same over the first, middle and last bytes of panels. */
uint64_t hm_pack_sample(const uint8_t *panels, uint64_t bytes);
uint64_t hm_pack_header_check(const hm_pack_header *header);

/* A file that is mapped, checked, locked against removal. */
typedef struct hm_pack_map {
    int fd; /* -1: not open */
    const uint8_t *data;
    uint64_t bytes;
    const hm_pack_header *header;
    const hm_pack_row *rows;
} hm_pack_map;

/* Maps a file and checks header and table. HM_EMISSING: there is none; HM_EFORMAT: why it cannot be used. */
hm_status hm_pack_map_open(hm_pack_map *out, const char *path, hm_error *err);
void hm_pack_map_close(hm_pack_map *map);

/* DIR/<fingerprint>-<format>-<version>.pack */
hm_status hm_pack_path(char out[HM_PACK_PATH], const char *dir, const char *fingerprint, hm_format format, hm_error *err);

#endif
