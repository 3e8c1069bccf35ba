/* Sizes and ids of Whisper as its configs tell them, and the list of tensors that follows (docs/models.md). */
#ifndef HM_ENGINE_SHAPES_WHISPER_H
#define HM_ENGINE_SHAPES_WHISPER_H

#include "engine/shapes.h"

enum {
    HM_WHISPER_LANGUAGES = 128,         /* at most */
    HM_WHISPER_RELEASED_LANGUAGES = 100 /* of large-v3, in the order of their ids; other released models lack the last */
};

/* config.json. */
typedef struct hm_whisper_shape {
    int64_t width, mels, encoder_layers, decoder_layers, encoder_heads, decoder_heads, encoder_hidden, decoder_hidden;
    int64_t source_positions, target_positions, vocab; /* 1500, 448 in released models; mel frames = 2 source_positions */
    int64_t start, end, pad;                           /* decoder_start_token_id, eos_token_id, pad_token_id */
    bool tied;                                         /* tie_word_embeddings: no proj_out.weight need be there */
} hm_whisper_shape;

typedef struct hm_whisper_language {
    char code[12]; /* "en" of "<|en|>" */
    int32_t id;
} hm_whisper_language;

/* generation_config.json: ids of the prompt, and what decoding is bound by. Ids that a file lacks are -1. */
typedef struct hm_whisper_generation {
    int32_t start, end, pad, no_timestamps, timestamp0, previous; /* timestamp0: id of <|0.00|>; without no_timestamps: vocab + 1 */
    int32_t transcribe, translate;
    int32_t max_initial_timestamp; /* -1: not bounded */
    int max_length;                /* of prompt and text together */
    bool multilingual;
    hm_whisper_language *languages; /* in the file's order */
    int32_t *suppress, *begin_suppress,
        *forced; /* forced: (position, id) pairs of forced_decoder_ids, of the config if the generation config has none */
    int language_count, suppress_count, begin_suppress_count, forced_count;
    int beams, topk; /* num_beams, top_k (0: all) */
    double length_penalty, top_p;
    bool has_max_length; /* max_length was in the file: max_new_tokens of the pipeline does not apply by default */
} hm_whisper_generation;

/* Checked: present where required, bounded, heads divide the width, ids inside the vocabulary. */
hm_status hm_whisper_shape_read(hm_whisper_shape *out, const json_t *config, const char *where, hm_error *err);
/* config: parsed generation_config.json, or NULL; model: parsed config.json, or NULL. Free with hm_whisper_generation_close. */
hm_status hm_whisper_generation_read(hm_whisper_generation *out, const json_t *config, const json_t *model, const hm_whisper_shape *shape,
                                     const char *where, hm_error *err);
void hm_whisper_generation_close(hm_whisper_generation *generation);
/* Id of a language given as "en", "<|en|>" or "english"; -1: the model has none of this name. */
int32_t hm_whisper_language_id(const hm_whisper_generation *generation, const char *name);
/* Code of a released language by index; NULL: there is no such. */
const char *hm_whisper_language_code(int index);
/* preprocessor_config.json, or NULL: demands what the front end computes (16 kHz, 400-point windows every 160 samples, 30 s) and the mels. */
hm_status hm_whisper_preprocessor_check(const json_t *config, const hm_whisper_shape *shape, const char *where, hm_error *err);

/* Whether a top-level key of config.json means something here, or is known to mean nothing for running the model. */
bool hm_whisper_shape_knows(const char *key);

/* All tensors by name, of one type; proj_out.weight is tied and absent. Filled by the rules of docs/models.md. Free with
 * hm_tensor_table_close. */
hm_status hm_whisper_table(hm_tensor_table *out, const hm_whisper_shape *shape, hm_dtype type, hm_error *err);

/* config.json of a shape. New reference; NULL without memory. */
json_t *hm_whisper_shape_config(const hm_whisper_shape *shape);

#endif
