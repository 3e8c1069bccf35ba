/* Is what came out a song at all? A fast run of garbage must not rank. */
#ifndef HM_HARNESS_HEALTH_H
#define HM_HARNESS_HEALTH_H

#include "engine/audio/audio.h"
#include "engine/hm_engine.h"

typedef enum hm_verdict {
    HM_HEALTH_OK,      /* nothing noticed */
    HM_HEALTH_SUSPECT, /* worth listening to before believing the figures */
    HM_HEALTH_BAD      /* broken: not finite, constant, silent, stuck, or of the wrong length */
} hm_verdict;

#define HM_HEALTH_REASONS 12

typedef struct hm_health {
    hm_verdict verdict;
    bool ended;           /* by the end-of-song rule; false: by the cap, or forced */
    bool sound_judged;    /* false: made weights, of which no plausible sound can be expected */
    int identical_frames; /* longest run of one frame repeated */
    double expected_s;    /* duration that the frames should give */
    int count;            /* reasons; the worst first */
    char reasons[HM_HEALTH_REASONS][120];
    hm_verdict weights[HM_HEALTH_REASONS]; /* of each reason; HM_HEALTH_OK: a remark */
} hm_health;

/* From the result (codes, frames, ended, counters), the audio's facts before conversion (NULL: there is no audio) and the request.
 * frame_seconds: of one frame. synthetic: made weights: what is about the sound itself (silence, loudness, clipping, repetition) is
 * then left out of the verdict and sound_judged says so; what is about correct computing is judged on any weights. */
void hm_health_judge(hm_health *out, const hm_result *result, const hm_audio_facts *facts, const hm_request *request,
                     double frame_seconds, bool synthetic);

/* "ok", "suspect", "bad". */
const char *hm_verdict_name(hm_verdict verdict);

/* The reasons in one line, "; " between, into out; returns out. Empty when there are none. */
const char *hm_health_text(const hm_health *health, char *out, size_t size);

#endif
