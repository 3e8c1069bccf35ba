/* What cloning needs: the speaker encoder (mel and ECAPA-TDNN, of a Base model's main file) and the encoding half of the speech
 * tokenizer (Mimi). Steps as numbered in voice_encoder.md. */
#ifndef HM_ENGINE_MODELS_VOICE_ENCODER_H
#define HM_ENGINE_MODELS_VOICE_ENCODER_H

#include "engine/audio/mel.h"
#include "engine/models/transformer.h"
#include "engine/shapes_tts.h"

typedef struct hm_speaker_encoder hm_speaker_encoder;
typedef struct hm_speech_encoder hm_speech_encoder;

hm_status hm_speaker_encoder_bind(hm_ctx *c, hm_speaker_encoder **out, const hm_talker_shape *shape, hm_weights *w, hm_error *err);
void hm_speaker_encoder_release(hm_speaker_encoder **encoder);

/* mel [frames][mel] (host) to the x-vector [width] (host). Taps block0, block1, ..., mfa, asp, embedding, as the golden files name them. */
hm_status hm_speaker_embed(hm_ctx *c, const hm_speaker_encoder *m, const float *mel, int frames, float *embedding, hm_error *err);

/* Bytes that it takes for so many samples of a voice. */
uint64_t hm_speaker_embed_estimate(const hm_ctx *c, const hm_speaker_encoder_shape *shape, int64_t samples);

hm_status hm_speech_encoder_bind(hm_ctx *c, hm_speech_encoder **out, const hm_speech_codec_shape *shape, hm_weights *w, hm_error *err);
void hm_speech_encoder_release(hm_speech_encoder **encoder);
/* Mono samples at the codec's rate to codes [frames][groups], malloc'ed; frames = ceil(count / encode_rate). Taps seanet, transformer,
 * downsample. */
hm_status hm_speech_encode(hm_ctx *c, const hm_speech_encoder *m, const float *samples, int64_t count, int32_t **codes, int *frames,
                           hm_error *err);
/* Bytes that it takes, but for the carried rows of convolutions (kilobytes). */
uint64_t hm_speech_encode_estimate(const hm_ctx *c, const hm_speech_codec_shape *shape, int64_t count);

#endif
