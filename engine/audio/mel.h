/* Log-mel spectrograms of speech, as the speaker encoder of Qwen3-TTS reads them (voice_encoder.md section 1). */
#ifndef HM_ENGINE_AUDIO_MEL_H
#define HM_ENGINE_AUDIO_MEL_H

#include <stdint.h>

#include "engine/base/error.h"

#define HM_MEL_HOP 256
#define HM_SPEAKER_MIN_SAMPLES 1280 /* five mel frames: what reflect padding needs */

/* Log-mel of mono samples at the rate: [frames][mels] malloc'ed, frames = count / 256. HM_EUSAGE below HM_SPEAKER_MIN_SAMPLES; HM_EINVALID:
 * a sample is not finite. */
hm_status hm_speech_mel(float **out, int *frames, const float *samples, int64_t count, int mels, int sample_rate_hz, hm_error *err);

#endif
