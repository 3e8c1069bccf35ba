/* Log-mel spectrograms: of speech, as the speaker encoder of Qwen3-TTS reads them (voice_encoder.md section 1), and as Whisper does. */
#ifndef HM_ENGINE_AUDIO_MEL_H
#define HM_ENGINE_AUDIO_MEL_H

#include <stdint.h>

#include "engine/base/team.h"

#define HM_MEL_HOP 256
#define HM_SPEAKER_MIN_SAMPLES 1280 /* five mel frames: what reflect padding needs */

/* Log-mel of mono samples at the rate: [frames][mels] malloc'ed, frames = count / 256. HM_EUSAGE below HM_SPEAKER_MIN_SAMPLES; HM_EINVALID:
 * a sample is not finite. */
hm_status hm_speech_mel(float **out, int *frames, const float *samples, int64_t count, int mels, int sample_rate_hz, hm_error *err);

#define HM_WHISPER_RATE 16000
#define HM_WHISPER_HOP 160
#define HM_WHISPER_BINS 201
#define HM_WHISPER_WINDOW_SAMPLES 480000 /* 30 s */

/* Whisper's log-mel of mono samples at 16 kHz: [frames][mels] malloc'ed (the reference has [mels][frames]).
 * padded > 0: the signal is cut or filled up with zeros to so many samples, of which a frame comes every 160; 0: it is taken whole.
 * x = log10(max(mel power, 1e-10)), raised to the greatest of this call less 8; (x + 4) / 4. team may be NULL. HM_EUSAGE: a whole
 * signal of 200 samples or fewer; HM_EINVALID: a sample is not finite. */
hm_status hm_whisper_mel(float **out, int *frames, const float *samples, int64_t count, int64_t padded, int mels, hm_team *team,
                         hm_error *err);
/* The bank that it uses, [HM_WHISPER_BINS][mels]. */
hm_status hm_whisper_mel_filters(float *out, int mels, hm_error *err);

#endif
