/* Small speech models of the three kinds, what is asked of them, and a voice to clone. */
#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first include: nftw"
#endif
#ifndef HM_TESTS_SPEECH_CASE_H
#define HM_TESTS_SPEECH_CASE_H

#include <math.h>

#include "tests/result_case.h"

#define CASE_GROUPS 16
#define CASE_RATE 1920 /* samples per frame */
#define CASE_REFERENCE_FRAMES 13
#define CASE_REFERENCE_SAMPLES ((CASE_REFERENCE_FRAMES - 1) * CASE_RATE + 700)

static char case_custom[] = "/tmp/hmbench-speech-custom-XXXXXX", case_design[] = "/tmp/hmbench-speech-design-XXXXXX",
            case_base[] = "/tmp/hmbench-speech-base-XXXXXX";
static float case_reference[CASE_REFERENCE_SAMPLES];
static const hm_toggles case_overlap = {HM_BEST_BUT_DECODE, .decode = HM_DECODE_OVERLAP};
static const hm_toggles *const case_sets[] = {&case_naive, &case_best, &case_overlap};
enum {
    CASE_SETS = 3
};

#define CASE_OWN_DRAWS .streaming_text = -1, .top_p = -1, .repetition_penalty = -1, .sub_temperature = -1, .sub_top_p = -1, .sub_topk = -1
static const hm_request case_spoken = {.task = HM_TASK_SPEECH,
                                       .speech = {.text = "One two three.", .speaker = "Vivian", CASE_OWN_DRAWS},
                                       .max_frames = 6,
                                       .force_length = true,
                                       .topk = -1,
                                       .temperature = -1,
                                       .seed = 5,
                                       .skip_codec = true};

/* A voice to clone, with what it says or without. */
static inline hm_request case_cloned(const char *text)
{
    hm_request r = case_spoken;
    r.speech.speaker = NULL;
    r.speech.reference = case_reference;
    r.speech.reference_samples = CASE_REFERENCE_SAMPLES;
    r.speech.reference_text = text;
    return r;
}

static inline hm_engine *case_open_model(const char *dir, const hm_toggles *toggles, const hm_probe *probe)
{
    hm_engine_options options = {.source.dir = dir,
                                 .threads = 2,
                                 .toggles = toggles,
                                 .need_lm = true,
                                 .need_codec = true,
                                 .need_encoders = dir == case_base,
                                 .probe = probe};
    return case_open(case_runtime(), &options);
}

static inline hm_result case_speak(hm_engine *e, const hm_request *request)
{
    return case_generate(case_runtime(), e, request);
}

static inline void case_drop(hm_result *result)
{
    case_runtime()->result_free(result);
}

static inline void case_close(hm_engine *e)
{
    case_runtime()->close(&e);
}

/* The request is refused, and the result holds nothing. */
static inline void case_expect_refused(hm_engine *e, const hm_request *request, hm_status status, const char *text)
{
    hm_result r = {0}, nothing = {0};
    hm_error err = {0};
    case_expect_error(case_runtime()->generate(e, request, &r, &err), &err, status, text);
    assert_memory_equal(&r, &nothing, sizeof r);
}

static inline int case_make_models(void **state)
{
    uint64_t x = 12345;
    (void)state;
    case_model(case_custom, "qwen3-tts-tiny");
    case_model(case_design, "qwen3-tts-tiny-voice-design");
    case_model(case_base, "qwen3-tts-tiny-base");
    for (int i = 0; i < CASE_REFERENCE_SAMPLES; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        case_reference[i] =
            0.3f * sinf((float)i * (0.03f + 0.01f * sinf((float)i * 1e-4f))) + 0.05f * ((float)(x >> 40) / 16777216.0f - 0.5f);
    }
    return 0;
}

static inline int case_remove_models(void **state)
{
    (void)state;
    case_remove(case_custom);
    case_remove(case_design);
    case_remove(case_base);
    return 0;
}

#endif
