/* Presets from the inside: their sizes, and the pieces that writing them needs. The public side is engine/synth.h. */
#ifndef HM_ENGINE_PRESET_H
#define HM_ENGINE_PRESET_H

#include <jansson.h>

#include "engine/shapes_tts.h"
#include "engine/shapes_whisper.h"
#include "engine/synth.h"

typedef enum hm_preset_part {
    HM_PRESET_LM,
    HM_PRESET_CODEC
} hm_preset_part;

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

/* The row behind a HeartMuLa preset; NULL for others. */
const hm_preset_sizes *hm_preset_sizes_of(const hm_preset *preset);

/* Shapes of a Qwen3-TTS preset; false, and nothing written, for others. */
bool hm_preset_tts_shapes(const hm_preset *preset, hm_talker_shape *talker, hm_speech_codec_shape *codec);

/* Shape of a Whisper preset and the type of its weights; false, and nothing written, for others. */
bool hm_preset_whisper_shape(const hm_preset *preset, hm_whisper_shape *shape, hm_dtype *type);

/* How many parts it has: of Whisper HM_PRESET_LM alone. */
int hm_preset_parts(const hm_preset *preset);

/* Config and tensors of a part of any preset: HM_PRESET_LM is the language model, talker or Whisper, HM_PRESET_CODEC the codec or speech tokenizer.
 * New reference; the table is closed by the caller. */
hm_status hm_preset_describe(json_t **config, hm_tensor_table *table, const hm_preset *preset, hm_preset_part part, hm_error *err);

/* {"config", "tensors"} as in a golden manifest, for hm_weights_synth. New reference. */
hm_status hm_preset_manifest(json_t **out, const hm_preset *preset, hm_preset_part part, hm_error *err);

/* tokenizer.json and gen_config.json of a HeartMuLa preset. New references. */
hm_status hm_preset_tokenizer(json_t **out, const hm_preset *preset, hm_error *err);
hm_status hm_preset_gen_config(json_t **out, const hm_preset *preset, hm_error *err);

/* generation_config.json and tokenizer_config.json of a Qwen3-TTS preset. New references; NULL without memory. */
json_t *hm_preset_generation_config(void);
json_t *hm_preset_tokenizer_config(const hm_talker_shape *shape);

/* config.json of a Whisper preset, with what others write into it. New reference; NULL without memory. */
json_t *hm_preset_whisper_config(const hm_whisper_shape *shape);

/* The tokenizer of all HeartMuLa presets, its special tokens at 960 and up; vocab.json and merges.txt of all Qwen3-TTS presets. */
extern const char hm_preset_tokenizer_text[];
extern const char hm_preset_vocab_text[], hm_preset_merges_text[];

/* A small file of a preset's folder, by its path in it; text malloc'ed. */
typedef struct hm_preset_text {
    const char *name;
    char *text;
} hm_preset_text;

enum {
    HM_PRESET_TEXTS = 9
};

/* All of them, ended by a row without a name. On failure nothing is left to free. */
hm_status hm_preset_texts(hm_preset_text out[HM_PRESET_TEXTS + 1], const hm_preset *preset, hm_error *err);

/* Those of a Whisper preset; what is written is to be freed, also on failure. */
hm_status hm_preset_whisper_texts(hm_preset_text out[HM_PRESET_TEXTS], const hm_preset *preset, hm_error *err);

#define HM_PRESET_HASH 9 /* bytes: 8 hex digits and a NUL */

/* Of everything that its folder follows from, weights and small files: another release's preset of the same name has another one. */
hm_status hm_preset_hash(const hm_preset *preset, char out[HM_PRESET_HASH], hm_error *err);

/* Key of the safetensors metadata that marks synthetic weights; its value names preset and seed. */
#define HM_PRESET_METADATA "hmsynth"

#endif
