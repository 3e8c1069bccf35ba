/* What --model means: a folder or file, or the name of a preset that is made on first use. */
#ifndef HM_HARNESS_MODEL_H
#define HM_HARNESS_MODEL_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/error.h"
#include "engine/base/model_kind.h"

#define HM_MODEL_DEFAULT "heartmula-mini"
#define HM_MODEL_PATH 4096 /* bytes of a path with its NUL */

/* model: the name of a preset (heartmula-mini ...): its folder in the cache, made on first use by hm_preset_write (seed 1) with
 * progress on stderr, under a lock, so that two processes never make it at once; anything else: a folder or file, as it is
 * (HM_EMISSING when there is none, with the nearest preset). NULL: HM_MODEL_DEFAULT. *synthetic (may be NULL): it is a preset, or a
 * folder that synth wrote. HM_ECREATE when the disk has too little room, with the figures. */
hm_status hm_model_resolve(const char *model, char path[HM_MODEL_PATH], bool *synthetic, hm_error *err);

/* What a model makes, told without loading it. */
typedef struct hm_model_look {
    hm_model_kind family;
    const char *task; /* "music", "speech", "transcript" */
    const char *kind; /* of speech: "custom_voice", "voice_design", "base"; "" otherwise */
} hm_model_look;

/* Of a preset, whether it is made or not, or of the folder or file. HM_EMISSING: there is none, or nothing known in it. */
hm_status hm_model_look_at(hm_model_look *out, const char *model, hm_error *err);

/* Whether such a case is one for it; kind is that of a speech case. */
bool hm_model_makes(const hm_model_look *look, const char *task, const char *kind);

/* The preset that is taken when none is named: HM_MODEL_DEFAULT for music, the mini one of its kind for speech, whisper-mini for transcripts. */
const char *hm_model_default(const char *task, const char *kind);

/* The cache: $HMBENCH_CACHE, else $XDG_CACHE_HOME/hmbench, else ~/.cache/hmbench. Not made. HM_EMISSING when none is set. */
hm_status hm_cache_path(char *out, size_t size, hm_error *err);

/* Folder of packed weights in the cache (engine/pack.h). Not made. */
hm_status hm_cache_packs(char *out, size_t size, hm_error *err);

/* Folder of what drivers of GPUs compile, per device and driver. Not made. */
hm_status hm_cache_compiled(char *out, size_t size, hm_error *err);

/* Folder of a preset in the cache; whether it is there or not. */
hm_status hm_model_cache_path(const char *preset, char *out, size_t size, hm_error *err);

/* Makes a folder and those above it. HM_ECREATE. */
hm_status hm_make_folders(const char *path, hm_error *err);

/* What a model's folder is called among people: its last part; for a preset in the cache the preset's name. */
void hm_model_name(const char *path, char *out, size_t size);

#endif
