/* Presets from the inside: their sizes, and the pieces that writing them needs. The public side is engine/synth.h. */
#ifndef HM_ENGINE_PRESET_H
#define HM_ENGINE_PRESET_H

#include <jansson.h>

#include "engine/shapes.h"
#include "engine/synth.h"

typedef enum hm_preset_part { HM_PRESET_LM, HM_PRESET_CODEC } hm_preset_part;

/* Special ids of a preset's gen_config.json; first_special is where its tokenizer puts <|begin_of_text|> and those after it. */
typedef struct hm_preset_ids {
    int64_t bos, eos, audio_eos, empty, first_special;
} hm_preset_ids;

typedef struct hm_preset_sizes {
    const char *name;
    const char *lm_folder, *codec_folder;
    hm_lm_shape lm;
    hm_codec_shape codec;
    hm_preset_ids ids;
} hm_preset_sizes;

/* The row behind a preset of the list; NULL for one that is not of the list. */
const hm_preset_sizes *hm_preset_sizes_of(const hm_preset *preset);

/* {"config", "tensors"} as in a golden manifest, for hm_weights_synth. New reference. */
hm_status hm_preset_manifest(json_t **out, const hm_preset *preset, hm_preset_part part, hm_error *err);

/* tokenizer.json and gen_config.json of a preset. New references. */
hm_status hm_preset_tokenizer(json_t **out, const hm_preset *preset, hm_error *err);
hm_status hm_preset_gen_config(json_t **out, const hm_preset *preset, hm_error *err);

/* The tokenizer of all presets, its special tokens at 960 and up. */
extern const char hm_preset_tokenizer_text[];

#define HM_PRESET_HASH 9 /* bytes: 8 hex digits and a NUL */

/* Of everything that its weights follow from: another release's preset of the same name has another one. */
hm_status hm_preset_hash(const hm_preset *preset, char out[HM_PRESET_HASH], hm_error *err);

/* Key of the safetensors metadata that marks synthetic weights; its value names preset and seed. */
#define HM_PRESET_METADATA "hmsynth"

#endif
