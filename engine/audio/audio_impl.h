/* What the sources of this folder share about libsndfile. */
#ifndef HM_ENGINE_AUDIO_AUDIO_IMPL_H
#define HM_ENGINE_AUDIO_AUDIO_IMPL_H

#include <sndfile.h>

#include "engine/base/error.h"

#define HM_AUDIO_CHUNK 16384 /* samples per channel that are interleaved at a time */

/* Opens a regular file whose format, channels and rate can be used; sf_close it. */
hm_status hm_audio_open_file(SNDFILE **file, SF_INFO *info, const char *path, hm_error *err);

#endif
