/* Recordings that follow from a formula: plucked notes of a seeded melody over a little noise. What suites have transcribed, and what the
 * golden files of Whisper were made of (tests/goldens/whisper/README.md). */
#ifndef HM_HARNESS_FORMULA_AUDIO_H
#define HM_HARNESS_FORMULA_AUDIO_H

#include <stdint.h>

#include "engine/base/error.h"

/* planar [channels][samples], samples = rate * seconds, malloc'ed. A note lasts 0.4 s; computed in double and rounded once. HM_EUSAGE: nothing
 * to make, or more than a day. */
hm_status hm_formula_audio(float **planar, int64_t *samples, const char *name, int channels, int rate_hz, double seconds, uint64_t seed,
                           hm_error *err);

#endif
