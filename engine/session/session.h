/* An opened engine: weights bound to a device, ready for songs. */
#ifndef HM_ENGINE_SESSION_SESSION_H
#define HM_ENGINE_SESSION_SESSION_H

#include "engine/checkpoint.h"
#include "engine/hm_engine.h"
#include "engine/models/heartcodec.h"
#include "engine/models/heartmula.h"
#include "engine/text/tokenizer.h"

#define HM_SEGMENT_SECONDS 29.76 /* the original's codec segment */

struct hm_engine {
    hm_ctx ctx;
    hm_engine_facts facts;
    hm_checkpoint checkpoint;
    hm_weights *lm_weights, *codec_weights;
    hm_mula mula;
    hm_codec codec;
    bool has_lm, has_codec;
    hm_tokenizer *tokenizer; /* NULL with synthesised manifests */
    uint64_t synth_seed;     /* of manifests */
    char device_name[64];
};

/* open.c */
hm_status hm_session_open(hm_engine **out, const hm_engine_options *options, hm_error *err);
void hm_session_close(hm_engine **engine);
hm_status hm_session_estimate(const hm_engine_options *options, const hm_music_request *request, hm_memory_estimate *out, hm_error *err);

/* prompt.c: tags, lyrics and styles to ids (heartmula.md section 6). *ids malloc'ed: tags, one free slot at *slot, lyrics. */
hm_status hm_session_prompt(const hm_engine *e, const hm_music_request *request, int32_t **ids, int *count, int *slot, hm_error *err);

/* music.c */
hm_status hm_session_generate(hm_engine *e, const hm_music_request *request, hm_music_result *result, hm_error *err);
hm_status hm_session_decode(hm_engine *e, const int32_t *codes, int frames, const hm_music_request *request, hm_music_result *result,
                            hm_error *err);
void hm_session_result_free(hm_music_result *result);
/* Steps that the variant's toggle stands for. */
int hm_session_flow_steps(const hm_ctx *c);

/* check.c */
hm_status hm_session_check(hm_engine *e, const hm_check *check, hm_error *err);

/* The first failure of an operation, if any, as the caller's error. */
hm_status hm_session_status(const hm_ctx *c, hm_error *err);

#endif
