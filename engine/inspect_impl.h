/* Between the files of inspect. */
#ifndef HM_ENGINE_INSPECT_IMPL_H
#define HM_ENGINE_INSPECT_IMPL_H

#include <jansson.h>

#include "engine/shapes_tts.h"
#include "engine/shapes_whisper.h"

/* What a part is, in words: lines by title. New references. */
json_t *hm_inspect_talker_facts(const hm_talker_shape *shape);
json_t *hm_inspect_speech_codec_facts(const hm_speech_codec_shape *shape);
json_t *hm_inspect_whisper_facts(const hm_whisper_shape *shape);

/* Settings that hold when a request does not say. New reference. */
json_t *hm_inspect_generation(const hm_tts_generation *settings);
json_t *hm_inspect_whisper_generation(const hm_whisper_generation *settings);

#endif
