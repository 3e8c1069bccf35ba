/* Is what came out a song, or speech, at all? A fast run of garbage must not rank. docs/health.md has the thresholds and where they come
 * from. */
#ifndef HM_HARNESS_HEALTH_H
#define HM_HARNESS_HEALTH_H

#include "engine/audio/audio.h"
#include "engine/hm_engine.h"
#include "harness/sound.h"

typedef enum hm_verdict {
    HM_HEALTH_OK,      /* nothing noticed */
    HM_HEALTH_SUSPECT, /* worth listening to before believing the figures */
    HM_HEALTH_BAD      /* broken: not finite, constant, silent, stuck, or of the wrong length */
} hm_verdict;

#define HM_HEALTH_REASONS 12

typedef struct hm_health {
    hm_verdict verdict;
    bool ended;           /* by the model's own rule; false: by the cap, or forced */
    bool sound_judged;    /* false: made weights, of which no plausible sound can be expected */
    int identical_frames; /* longest run of one frame repeated */
    double expected_s;    /* duration that the frames should give */
    int count;            /* reasons; the worst first */
    char reasons[HM_HEALTH_REASONS][120];
    hm_verdict weights[HM_HEALTH_REASONS]; /* of each reason; HM_HEALTH_OK: a remark */
} hm_health;

/* What is judged. */
typedef struct hm_health_case {
    const hm_result *result; /* codes, frames, ended, counters, samples */
    const hm_request *request;
    const hm_audio_facts *facts; /* of the audio before conversion; NULL: there is none */
    const hm_sound *sound;       /* of the same; NULL: not measured */
    double frame_seconds;        /* of one frame */
    bool synthetic; /* made weights: what is about the sound itself (silence, loudness, clipping, repetition, noise, drift, pace) is left
                     * out of the verdict and sound_judged says so; what is about correct computing is judged on any weights */
    int pieces;     /* streamed: of audio; 0: it was not */
    int64_t piece_samples; /* streamed: samples per channel that the pieces had in all */
    bool pieces_differ;    /* streamed: other bytes than the whole */
} hm_health_case;

void hm_health_judge(hm_health *out, const hm_health_case *what);

/* A word for how a sample was judged, as it is stored, that keeps it out of rankings and gates. */
bool hm_health_ranks(const char *health /* NULL or "": not judged */);

/* "ok", "suspect", "bad". */
const char *hm_verdict_name(hm_verdict verdict);

/* The reasons in one line, "; " between, into out; returns out. Empty when there are none. */
const char *hm_health_text(const hm_health *health, char *out, size_t size);

#endif
