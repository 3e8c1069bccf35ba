/* Packed weights kept in a file: made once per checkpoint and format, mapped ever after.
 *
 * One file holds the panels (engine/panel.h) of some layers of one checkpoint in one format, found by name:
 * DIR/<fingerprint of the weights>-<format>-<version>.pack. A header with sizes and a checksum stands first, then panels at multiples of
 * HM_PACK_ALIGN, then the table of layers with a checksum. Every offset and size is checked on opening, a layer's bytes by samples when it is
 * looked up; what fails is made anew. A new file is written beside the old one, holds its layers too, and is renamed when it is whole and on
 * disk, so that other processes see all of it or nothing. Whoever uses a file holds a shared lock (flock) on it: it is not removed, and
 * its time of modification is the last time that somebody began to use it. */
#ifndef HM_ENGINE_PACK_H
#define HM_ENGINE_PACK_H

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/probe.h"
#include "engine/panel.h"

#define HM_PACK_VERSION 1                         /* of the layout of file and panels: another one is another file */
#define HM_PACK_ALIGN 4096                        /* of a layer's panels in the file */
#define HM_PACK_BOUND ((uint64_t)40 * 1000000000) /* bytes of a folder, unless asked for another bound */
#define HM_PACK_LABEL 256
#define HM_PACK_PATH 4096

typedef struct hm_pack hm_pack;

typedef struct hm_pack_layer {
    const char *name;
    hm_format format;
    int out, in, taps;
} hm_pack_layer;

/* Packs of the weights with this fingerprint; label: what people call them. dir NULL: panels are kept in memory (verification, tests).
 * Layers are packed on the team (NULL: this thread). Nothing is read yet. */
hm_status hm_pack_open(hm_pack **out, const char *dir, const char *fingerprint, const char *label, hm_team *team, const hm_log *log,
                       hm_error *err);

/* The panels of a layer, mapped and read in; NULL: no file has them. Valid until hm_pack_close, as those of hm_pack_make. */
const void *hm_pack_find(hm_pack *pack, const hm_pack_layer *layer);

/* Packs a layer now; the file gets it when the pack is finished. Where the folder cannot be written (the log is told once),
 * panels stay in memory. HM_EFORMAT: a weight that the format cannot hold; HM_EABSENT: no room on the disk or in memory, with what to do.
 * Counts packed_bytes. */
hm_status hm_pack_make(hm_pack *pack, const void **panels, const hm_pack_layer *layer, const hm_panel_source *source, hm_counters *count,
                       hm_error *err);

/* Writes what was made; least recently used packs of other weights are removed while the folder holds more than HM_PACK_BOUND. A file that
 * cannot be finished is a line in the log: it is made anew the next time. */
hm_status hm_pack_finish(hm_pack *pack, hm_error *err);
void hm_pack_close(hm_pack **pack);

/* From now on panels are mapped when they are found, and not read in before all of them are. */
void hm_pack_lazy(hm_pack *pack);
void hm_pack_read_in(hm_pack *pack);
/* Pages of files are no longer this process's until they are read again; what is in memory alone stays. Returns the bytes mapped. */
uint64_t hm_pack_give_back(hm_pack *pack);

/* Bytes of panels handed out; whether its folder turned out not to be writable, which the log was told. NULL: 0, false. */
uint64_t hm_pack_bytes(const hm_pack *pack);
bool hm_pack_refused(const hm_pack *pack);

/* --- the folder --- */

typedef struct hm_pack_file {
    char path[HM_PACK_PATH], label[HM_PACK_LABEL], fingerprint[33];
    hm_format format; /* HM_FORMAT_ROWS: not a whole pack of this version, or one that is being made */
    int layers;
    uint64_t bytes; /* on the disk */
    int64_t used_s; /* last use, seconds since 1970 */
    bool in_use;
} hm_pack_file;

/* Calls `each` for every pack in dir, the last used one first; none when there is no such folder. */
hm_status hm_pack_list(const char *dir, void (*each)(void *self, const hm_pack_file *file), void *self, hm_error *err);

/* Removes least recently used packs, and what was left unfinished, until at most `bound` bytes are left; never one in use. Calls
 * `removed` (may be NULL) for each. */
hm_status hm_pack_prune(const char *dir, uint64_t bound, void (*removed)(void *self, const hm_pack_file *file), void *self, hm_error *err);

#endif
