/* Where the parts of a model lie below a path that a person gave. Told by what the files say, not by how folders are called. */
#ifndef HM_ENGINE_CHECKPOINT_H
#define HM_ENGINE_CHECKPOINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/error.h"
#include "engine/base/model_kind.h"
#include "engine/shapes_tts.h"
#include "engine/shapes_whisper.h"
#include "engine/text/tokenizer.h"
#include "engine/weights.h"

/* LM and CODEC are HeartMuLa's; TALKER (with its code predictor and speaker encoder) and SPEECH_CODEC are Qwen3-TTS's; TRANSCRIBER is Whisper. */
typedef enum hm_part_kind {
    HM_PART_NONE,
    HM_PART_LM,
    HM_PART_CODEC,
    HM_PART_TALKER,
    HM_PART_SPEECH_CODEC,
    HM_PART_TRANSCRIBER
} hm_part_kind;

/* "nothing known", "language model", "codec", "talker", "speech tokenizer", "transcriber". */
const char *hm_part_kind_text(hm_part_kind kind);
/* "nothing known", "heartmula", "qwen3-tts", "whisper". */
const char *hm_model_kind_name(hm_model_kind model);
hm_model_kind hm_model_of_part(hm_part_kind kind);

/* By model_type, architectures, or the fields that only it has. */
hm_part_kind hm_part_of_config(const json_t *config);
/* By config, else by the names of tensors. */
hm_part_kind hm_part_of_weights(const hm_weights *weights);

/* What was found; absent parts are NULL. Paths are what hm_weights_open and hm_tokenizer_open take. Owned by the struct. */
typedef struct hm_checkpoint {
    hm_model_kind model; /* of lm, or of codec alone */
    char *path;          /* as given */
    char *lm, *codec;    /* folder, or a merged file; Qwen3-TTS: talker, and its speech_tokenizer folder; Whisper: lm alone */
    char *tokenizer;     /* tokenizer.json; NULL when there is none, or when it is in the metadata of lm; Qwen3-TTS: the folder that
                                 holds vocab.json; Whisper: its own folder */
    char *gen_config;    /* gen_config.json, likewise; Qwen3-TTS: generation_config.json, NULL: the built-in settings; Whisper: the same */
    char *lm_too, *codec_too; /* a second one: which is meant must be said */
    char *transcriber;        /* a Whisper beside another model, as in the folder of the original: hm_checkpoint_take_transcriber */
    char *transcriber_too;
    char seen[256]; /* other things found there, for messages */
} hm_checkpoint;

/* path: a folder that holds the parts in subfolders; the folder of one part (the others are then looked for inside and beside it);
 * or a file. A codec counts when it is of the language model's family; one inside the language model's folder goes before others. Every
 * part is optional here. HM_EMISSING only when path itself is not there. */
hm_status hm_checkpoint_find(hm_checkpoint *out, const char *path, hm_error *err);
void hm_checkpoint_close(hm_checkpoint *checkpoint);

/* From now on the model is the Whisper that was found, whatever is beside it; nothing happens where there is none, or nothing else. */
hm_status hm_checkpoint_take_transcriber(hm_checkpoint *checkpoint, hm_error *err);

/* HM_EMISSING says what was looked for and where, HM_EUSAGE that there are two. */
hm_status hm_checkpoint_need(const hm_checkpoint *checkpoint, bool lm, bool codec, hm_error *err);

/* Ids of gen_config.json, of the LM's metadata ("gen_config" or "gen_config.json"), or the defaults; unknown keys are ignored. */
typedef struct hm_gen_config {
    int64_t text_bos_id, text_eos_id, audio_eos_id, empty_id;
} hm_gen_config;

/* lm: the opened language model, whose metadata may carry the text; may be NULL. */
hm_status hm_checkpoint_gen_config(hm_gen_config *out, const hm_checkpoint *checkpoint, const hm_weights *lm, hm_error *err);

/* Text of tokenizer.json, from its file or lm's metadata ("tokenizer" or "tokenizer.json"). malloc'ed; *where names its source and lives
 * as long as checkpoint and lm. HM_EMISSING when there is none. */
hm_status hm_checkpoint_tokenizer(char **text, size_t *size, const char **where, const hm_checkpoint *checkpoint, const hm_weights *lm,
                                  hm_error *err);

/* Of Qwen3-TTS: generation_config.json or the built-in settings; the tokenizer of vocab.json and merges.txt (HM_EMISSING says what). */
hm_status hm_checkpoint_generation(hm_tts_generation *out, const hm_checkpoint *checkpoint, hm_error *err);
hm_status hm_checkpoint_qwen2_tokenizer(hm_tokenizer **out, const hm_checkpoint *checkpoint, hm_qwen2_split split, hm_error *err);

/* Of Whisper: generation_config.json, or what config.json has of it; preprocessor_config.json, where there is one, must ask for what is
 * built here. config: of the opened weights. The tokenizer of vocab.json and merges.txt, or of tokenizer.json. */
hm_status hm_checkpoint_whisper_generation(hm_whisper_generation *out, const hm_checkpoint *checkpoint, const json_t *config,
                                           const hm_whisper_shape *shape, hm_error *err);
hm_status hm_checkpoint_whisper_tokenizer(hm_tokenizer **out, const hm_checkpoint *checkpoint, hm_error *err);

#endif
