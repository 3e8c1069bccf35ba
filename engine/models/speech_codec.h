/* The speech tokenizer of Qwen3-TTS, decoding half: codes to 24 kHz mono. Everything in it is causal, so a stream of frames decoded in
 * pieces with carried state gives the bytes of one whole pass. Steps as numbered in speech_codec.md. */
#ifndef HM_ENGINE_MODELS_SPEECH_CODEC_H
#define HM_ENGINE_MODELS_SPEECH_CODEC_H

#include "engine/models/transformer.h"
#include "engine/shapes_tts.h"

typedef struct hm_speech_codec hm_speech_codec; /* bound weights, folded tables */

hm_status hm_speech_codec_bind(hm_ctx *c, hm_speech_codec **out, const hm_speech_codec_shape *shape, hm_weights *w, hm_error *err);
void hm_speech_codec_release(hm_speech_codec **codec);
const hm_speech_codec_shape *hm_speech_codec_shape_of(const hm_speech_codec *m);
/* Bytes of weights that one call reads; floating-point operations per frame (spec: 4.96 GFLOP at the real sizes). */
uint64_t hm_speech_codec_bytes(const hm_speech_codec *m);
/* Of the transformer and what leads to its rows; of all convolutions behind them. */
void hm_speech_codec_formats(const hm_speech_codec *m, hm_formats *latents, hm_formats *vocoder);
double hm_speech_codec_frame_flops(const hm_speech_codec_shape *g);

/* A stream of frames: carried rows of every convolution, keys and values of the window. */
typedef struct hm_speech_stream hm_speech_stream;

/* max_frames: of one call of push. HM_EABSENT without memory. Starts at frame 0. */
hm_status hm_speech_stream_open(hm_ctx *c, hm_speech_stream **out, const hm_speech_codec *m, int max_frames, hm_error *err);
void hm_speech_stream_close(hm_ctx *c, hm_speech_stream **stream);
/* Back to frame 0. */
void hm_speech_stream_reset(hm_ctx *c, hm_speech_stream *s);
uint64_t hm_speech_stream_bytes(const hm_speech_stream *s);
/* Scratch of a stream, without making it. */
uint64_t hm_speech_stream_estimate(const hm_ctx *c, const hm_speech_codec_shape *g, int max_frames);
/* The part of it that makes audio of latents. */
uint64_t hm_speech_vocoder_estimate(const hm_ctx *c, const hm_speech_codec_shape *g, int max_frames);

/* The next `frames` <= max_frames frames, codes [frames][G] on the host (negative: 0; at or beyond the codebook: clamped and counted), to
 * pcm [frames*rate] on the host. */
void hm_speech_stream_push(hm_ctx *c, hm_speech_stream *s, const int32_t *codes, int frames, float *pcm);

/* All frames: in one pass (decode=whole; memory grows with the length), in pieces with carried state (decode=stream and overlap, the same
 * bytes), or, with chunks=original, as the original: pieces of `chunk` frames that see `context` frames before them, each from a fresh
 * state (300 and 25 there). audio: host, [frames*rate]. */
hm_status hm_speech_decode(hm_ctx *c, const hm_speech_codec *m, const int32_t *codes, int frames, int chunk, int context, float *audio,
                           uint64_t *scratch_bytes, hm_error *err);

/* Frames of `frames` that hm_speech_decode pushes at once. */
int hm_speech_piece_frames(const hm_ctx *c, const hm_speech_codec_shape *g, int frames);

/* Samples that in-context cloning drops from the front: floor(reference / total * samples), division first, in double. */
int64_t hm_speech_reference_cut(int reference_frames, int total_frames, int64_t samples);

#endif
