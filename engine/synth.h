/* hmsynth v1: seeded synthetic weights, bit for bit as its definition; and the presets that are made of them. */
#ifndef HM_ENGINE_SYNTH_H
#define HM_ENGINE_SYNTH_H

#include "engine/base/dtype.h"
#include "engine/base/error.h"
#include "engine/base/probe.h"
#include "engine/base/team.h"

/* Elements first .. first+count-1 of tensor `name` into out, stored as type (F32, BF16, F16):
 *   key = fnv1a64(name) ^ seed*GOLD; z = key + (i+1)*GOLD; splitmix64 finaliser; u = (z>>40)*2^-23 - 1; w = offset + u*scale,
 * one rounded product and one rounded sum. team may be NULL. */
void hm_synth_fill(void *out, hm_dtype type, const char *name, uint64_t seed, uint64_t first, uint64_t count, float offset, float scale,
                   hm_team *team);

/* (offset, scale) that follow from name and shape (default_rule of the definition). */
void hm_synth_rule(const char *name, int rank, const int64_t *shape, float *offset, float *scale);

typedef struct hm_preset {
    const char *name;  /* heartmula-tiny ... heartmula-7b, qwen3-tts-tiny ... qwen3-tts-1.7b-base, whisper-test ... whisper-large-v3 */
    const char *model; /* heartmula, qwen3-tts, whisper */
    const char *text;  /* one line */
} hm_preset;

/* NULL-terminated by name == NULL. */
const hm_preset *hm_preset_list(void);
const hm_preset *hm_preset_find(const char *name);
/* Bytes its folder will take. */
uint64_t hm_preset_bytes(const hm_preset *preset);

/* Writes the real folder layout into dir (made; must be empty or absent, else HM_ECREATE). HeartMuLa: tokenizer.json, gen_config.json,
 * LM and codec folders; Qwen3-TTS: the talker's files and speech_tokenizer; Whisper: HeartTranscriptor-oss. Written beside and renamed: never a half folder. Progress
 * through probe (phase "synth", bytes). */
hm_status hm_preset_write(const hm_preset *preset, const char *dir, uint64_t seed, hm_team *team, const hm_probe *probe, hm_error *err);

/* The same files with holes for weights: names, shapes and sizes for estimates and looking at, of any size on any disk. */
hm_status hm_preset_outline(const hm_preset *preset, const char *dir, hm_error *err);

/* Removes a folder of either kind. */
void hm_preset_remove(const char *dir);

#endif
