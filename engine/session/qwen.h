/* Qwen3-TTS behind the engine's interface: what its files share. */
#ifndef HM_ENGINE_SESSION_QWEN_H
#define HM_ENGINE_SESSION_QWEN_H

#include "engine/models/qwen3_tts.h"
#include "engine/models/speech_codec.h"
#include "engine/models/voice_encoder.h"
#include "engine/session/session.h"

#define HM_REFERENCE_SECONDS 300   /* longest voice to clone */
#define HM_REFERENCE_SILENCE 1e-4f /* largest magnitude that is silence: -80 dB */
#define HM_ORIGINAL_CHUNK 300      /* frames that the original decodes at once, */
#define HM_ORIGINAL_CONTEXT 25     /* and those before them that it decodes again */

typedef struct hm_qwen {
    hm_talker talker; /* with has_lm */
    hm_tts_generation generation;
    hm_speech_codec_shape codec_shape;   /* with codec or encoder */
    hm_speech_codec *codec;              /* with has_codec */
    hm_speaker_encoder *speaker_encoder; /* with need_encoders */
    hm_speech_encoder *speech_encoder;
    /* Kept from one call to the next where prompts begin alike (prefix=reused); else NULL. */
    hm_talker_work *work;
    int work_batch, work_rows, work_positions;
} hm_qwen;

/* --- qwen_prompt.c --- */

/* A request as the talker takes it; its arrays are owned. */
typedef struct hm_qwen_prompt {
    hm_talker_request request;
    int32_t *text_ids, *instruct_ids, *reference_ids, *reference_codes;
    float *speaker_vector;
} hm_qwen_prompt;

/* Row of the codec embedding, or -1 for none (NULL, empty, and "auto" of a language). HM_EUSAGE lists the known names. The language is the
 * speaker's dialect where section 5.3 of the specification in docs/models.md says so. */
hm_status hm_qwen_speaker(const hm_engine *e, const char *name, int *row, hm_error *err);
hm_status hm_qwen_language(const hm_engine *e, const char *name, const char *speaker, int *row, hm_error *err);

/* Ids of the templates of section 5.1. *ids malloc'ed. */
typedef enum hm_qwen_template {
    HM_QWEN_TEXT,
    HM_QWEN_INSTRUCT,
    HM_QWEN_REFERENCE
} hm_qwen_template;
hm_status hm_qwen_encode(const hm_engine *e, hm_qwen_template which, const char *text, int32_t **ids, int *count, hm_error *err);

/* Checks the request, settles how codes are drawn, and makes ids of its texts. */
hm_status hm_qwen_prompt_open(hm_engine *e, const hm_request *r, hm_qwen_prompt *out, hm_error *err);
/* The voice to clone: x-vector, and codes when its text is given. */
hm_status hm_qwen_prompt_reference(hm_engine *e, const hm_request *r, hm_qwen_prompt *p, hm_error *err);
void hm_qwen_prompt_close(hm_qwen_prompt *p);

/* --- qwen_speech.c --- */

hm_status hm_qwen_generate(hm_engine *e, const hm_request *r, hm_result *out, hm_error *err);
hm_status hm_qwen_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *r, hm_result *out, hm_error *err);

/* Buffers for `batch` utterances with prompts of `rows` rows and `positions` in all; the kept ones where they are large enough. */
hm_status hm_qwen_work_take(hm_engine *e, int batch, int rows, int positions, hm_talker_work **out, hm_error *err);
void hm_qwen_work_give(hm_engine *e, hm_talker_work **work);
/* Rows of the prompt. HM_EUSAGE: its text has no tokens, or prompt and frames do not fit the model's positions. */
hm_status hm_qwen_prompt_rows(const hm_engine *e, const hm_talker_request *r, int *rows, hm_error *err);
/* The codes and logits of the utterance, and what else the result tells of it. */
void hm_qwen_collect(hm_engine *e, hm_utterance *u, hm_result *out);
/* All codes of a result to audio, once they are all there. pcm: room for it, from now on its own, or NULL. */
hm_status hm_qwen_audio(hm_engine *e, const hm_qwen_prompt *p, const hm_request *r, float *pcm, hm_result *out, hm_error *err);

/* --- qwen_many.c, qwen_check.c --- */

hm_status hm_qwen_generate_many(hm_engine *e, hm_many *many, hm_error *err);
hm_status hm_qwen_check(hm_engine *e, const hm_check *k, hm_error *err);

/* --- qwen_stream.c --- */

/* The audio of one utterance, decoded in pieces while its frames are made: between them (decode=stream, for a sink), or on a thread of its
 * own (decode=overlap). */
typedef struct hm_qwen_stream hm_qwen_stream;

bool hm_qwen_streams(const hm_ctx *c, const hm_request *r);
/* Frames of the first piece and of those after it. */
void hm_qwen_pieces(const hm_request *r, int *first, int *next);
/* Room for all that may come. The codes of a voice to clone are decoded first, their audio is dropped. */
hm_status hm_qwen_stream_open(hm_engine *e, hm_qwen_stream **out, const hm_request *r, const hm_qwen_prompt *p, hm_error *err);
hm_status hm_qwen_stream_start(hm_qwen_stream *s, hm_error *err);
/* `frames` frames are made. */
void hm_qwen_stream_frames(hm_qwen_stream *s, hm_utterance *u, int frames);
/* The rest, after the last frame: out->frames of out->codes. Gives the audio to the result. A call that failed (st) only ends the thread. */
hm_status hm_qwen_stream_finish(hm_qwen_stream *s, hm_result *out, hm_status st, hm_error *err);
void hm_qwen_stream_close(hm_qwen_stream **stream);

#endif
