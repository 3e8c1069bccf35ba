/* Packed weights kept in a file: made once per checkpoint and format, mapped ever after.
 *
 * One file holds the panels (engine/panel.h) of some linear layers of one checkpoint in one format, found by name:
 * DIR/<fingerprint of the weights>-<format>-<layout version>.pack. A header with sizes and a checksum of the table stands first; offsets
 * and sizes are checked on opening, and a file that fails is made anew. A new file is written beside it and renamed when it is whole, so
 * that other processes see all of it or nothing. */
#ifndef HM_ENGINE_PACK_H
#define HM_ENGINE_PACK_H

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/probe.h"
#include "engine/panel.h"

#define HM_PACK_VERSION 1 /* of the layout of file and panels: another one is another file */

typedef struct hm_pack hm_pack;

/* Packs of the weights with this fingerprint. dir NULL: panels are kept in memory (verification, tests). Nothing is read yet. */
hm_status hm_pack_open(hm_pack **out, const char *dir, const char *fingerprint, const hm_log *log, hm_error *err);

/* The panels of the layer called `name`: mapped from the format's file, or packed now and written when the pack is finished. Valid until
 * hm_pack_close. Weights that are not finite, no room: HM_EFORMAT, HM_EABSENT, HM_EIO. Counts packed_bytes of what had to be made. */
hm_status hm_pack_get(hm_pack *pack, const void **panels, const char *name, hm_format format, const hm_panel_source *source, hm_team *team,
                      hm_counters *count, hm_error *err);

/* Writes what was made; least recently used packs of other weights are removed while the folder is over its bound. */
hm_status hm_pack_finish(hm_pack *pack, hm_error *err);
void hm_pack_close(hm_pack **pack);

#endif
