/* What a case of transcription listens to: a voice that is made here, or a song that a model makes first. */
#ifndef HM_HARNESS_RECORDING_H
#define HM_HARNESS_RECORDING_H

#include "harness/engine_open.h"
#include "harness/store.h"

/* A voice that says nothing: syllables of a gliding pitch under moving resonances, hissing beginnings, pauses. The same samples for the same
 * seed, mono at 16 kHz, on the grid of 16 bits. malloc'ed; NULL without memory. */
float *hm_recording_voice(int64_t samples, uint64_t seed);

/* Its file in the cache; whether it is there or not. */
hm_status hm_recording_path(char *out, size_t size, double audio_s, uint64_t seed, hm_error *err);
/* Makes the file of such a case (c->recording_path) unless it is there; of any other case nothing. */
hm_status hm_recording_prepare(const hm_case_record *c, hm_error *err);

/* The model that makes the songs of a process. */
typedef struct hm_singer {
    hm_engine_opened opened;
    bool is_open;
} hm_singer;

/* choice: of the engine that will listen; the model is another one. */
hm_status hm_singer_open(hm_singer *s, const hm_engine_choice *choice, const char *model, hm_error *err);
void hm_singer_close(hm_singer *s);

/* samples: mono at 16 kHz, malloc'ed. */
typedef struct hm_recording {
    float *samples;
    int64_t count;
    int64_t audio_ns;                                             /* of reading, resampling and mixing */
    int64_t music_ns, prefill_ns, generate_ns, decode_ns, frames; /* of a song: making it, and its phases; else 0 */
} hm_recording;

/* What the case has been given to listen to. short_song: four frames of it, for a warm-up. HM_EUSAGE: the recording is not as long as the case
 * says. */
hm_status hm_recording_open(hm_recording *out, const hm_case_record *c, hm_singer *singer, bool short_song, hm_error *err);
void hm_recording_close(hm_recording *r);

#endif
