/* An opened engine: weights bound to a device, ready for songs. */
#ifndef HM_ENGINE_SESSION_SESSION_H
#define HM_ENGINE_SESSION_SESSION_H

#include "engine/backend.h"
#include "engine/checkpoint.h"
#include "engine/hm_engine.h"
#include "engine/models/heartcodec.h"
#include "engine/models/heartmula.h"
#include "engine/models/whisper.h"
#include "engine/text/tokenizer.h"

/* A family of models behind the engine's interface. */
typedef struct hm_family {
    const char *model;
    hm_task task;
    hm_status (*open)(hm_engine *e, const hm_engine_options *options, hm_error *err); /* the parts that are needed */
    /* A part's weights again, whose device memory was given back: 0, of what draws frames; 1, of what makes audio. NULL: they always stay. */
    hm_status (*bind)(hm_engine *e, int part, hm_error *err);
    void (*release)(hm_engine *e);
    void (*facts)(const hm_engine *e, hm_engine_facts *facts);
    hm_status (*estimate)(hm_ctx *c, const hm_checkpoint *checkpoint, const hm_engine_options *options, const hm_request *request,
                          hm_memory_estimate *out, hm_error *err);
    hm_status (*generate)(hm_engine *e, const hm_request *request, hm_result *result, hm_error *err);
    hm_status (*generate_many)(hm_engine *e, hm_many *many, hm_error *err);
    hm_status (*decode)(hm_engine *e, const int32_t *codes, int frames, const hm_request *request, hm_result *result, hm_error *err);
    hm_status (*check)(hm_engine *e, const hm_check *check, hm_error *err);
    void (*parts)(const hm_engine *e, hm_result *result); /* what a call read of the weights; its places and counters are there */
} hm_family;

extern const hm_family hm_heart_family, hm_qwen_family, hm_whisper_family;

/* Whose weights are at hand: of what draws frames, of what makes audio of them, of both. */
typedef enum hm_stage {
    HM_STAGE_NONE,
    HM_STAGE_LM,
    HM_STAGE_CODEC,
    HM_STAGE_BOTH
} hm_stage;

struct hm_engine {
    hm_ctx ctx;
    const hm_family *family;
    hm_engine_facts facts;
    hm_checkpoint checkpoint;
    hm_weights *lm_weights, *codec_weights;
    hm_pack *lm_pack, *codec_pack;                  /* panels=packed */
    char lm_fingerprint[33], codec_fingerprint[33]; /* "": not known yet */
    hm_mula mula;                                   /* HeartMuLa */
    hm_codec codec;
    struct hm_qwen *qwen;       /* Qwen3-TTS: engine/session/qwen.h */
    struct hm_whisper *whisper; /* Whisper: engine/models/whisper.h */
    hm_whisper_passes heard;    /* of its last call */
    bool has_lm, has_codec;
    uint64_t weight_bytes;   /* held when it was opened */
    hm_stage stage;          /* load=lazy */
    hm_tokenizer *tokenizer; /* NULL with synthesised manifests */
    uint64_t synth_seed;     /* of manifests */
    hm_device_facts device;
};

/* open.c: what does not depend on the family. */
hm_status hm_session_open(hm_engine **out, const hm_engine_options *options, hm_error *err);
void hm_session_close(hm_engine **engine);
hm_status hm_session_estimate(const hm_engine_options *options, const hm_request *request, hm_memory_estimate *out, hm_error *err);
hm_status hm_session_generate(hm_engine *e, const hm_request *request, hm_result *result, hm_error *err);
hm_status hm_session_generate_many(hm_engine *e, hm_many *many, hm_error *err);
hm_status hm_session_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *request, hm_result *result, hm_error *err);
hm_status hm_session_check(hm_engine *e, const hm_check *check, hm_error *err);
void hm_session_result_free(hm_result *result);

/* A part's weights, from its path or its manifest; its config. */
hm_status hm_session_weights(hm_engine *e, const hm_engine_options *o, hm_weights **out, const char *path, json_t *manifest,
                             const char *what, hm_error *err);
hm_status hm_session_config(const hm_weights *w, const json_t **config, hm_error *err);
/* What binding does with a tensor, for estimates. */
typedef struct hm_session_tensors {
    bool (*is_converted)(const hm_ctx *c, const hm_tensor *t); /* makes a float32 copy of it */
    int (*precision)(const hm_ctx *c, const hm_tensor *t);     /* of its panels, where there are any; -1: it never has some */
} hm_session_tensors;

/* Estimates: the tensors but those that begin with `skip` (may be NULL), as stored, and what is converted besides; or their panels. */
void hm_session_add_weights(const hm_ctx *c, const hm_weights *w, const char *skip, const hm_session_tensors *kinds,
                            hm_memory_estimate *out);
/* What is at work in each phase, and the total, of the parts that are there already. together: what draws frames is held while audio is
 * decoded. */
void hm_session_add_phases(hm_memory_estimate *out, bool together);

/* load=lazy: the weights of a stage are read in, the others are given back. Where the device's memory is apart they are copied there now;
 * giving back never fails. */
hm_status hm_session_stage(hm_engine *e, hm_stage stage, hm_error *err);
/* Frames are drawn: what draws them is given back, unless both are at hand for all of the call. */
hm_status hm_session_stage_over(hm_engine *e, hm_error *err);
/* What there is of both parts' weights at one time: of one what `other` has, of the other what `out` has. together: as below. */
void hm_session_join_weights(const hm_ctx *c, const hm_memory_estimate *other, bool together, hm_memory_estimate *out);

/* A call's result begins empty and ends with counters and wall time; a failed one is freed. */
void hm_session_begin_call(hm_engine *e, hm_result *out);
void hm_session_tell_places(const hm_ctx *c, hm_result *out);
/* Adds a part whose weights were read in `passes` passes within a part of the places. */
void hm_session_add_part(hm_result *out, const char *part, const char *span, const hm_formats *formats, uint64_t passes);
/* Separately decoded audio meets at this sample; the first ones are kept. */
void hm_session_add_seam(hm_result *out, int64_t sample);
hm_status hm_session_end_call(hm_engine *e, int64_t start_ns, hm_result *out, hm_status st);
/* HM_EFORMAT: a stored code outside 0 .. vocabulary-1. */
hm_status hm_session_check_stored(const hm_engine *e, const hm_request *r, int vocabulary, hm_error *err);
/* At the end of a phase that began at start_ns: makes it longer by the share that the toggle `spin` says. For tests of the gate. */
void hm_session_spin(hm_ctx *c, int64_t start_ns);
/* What was done since `before`. */
static inline hm_work hm_session_work(const hm_ctx *c, hm_work before)
{
    return (hm_work){c->counters.flops - before.flops, c->counters.weight_bytes - before.weight_bytes};
}
/* Counts from begin to end, again and again, come together in *sum. */
void hm_session_count_begin(const hm_ctx *c, hm_counters *sum);
void hm_session_count_end(const hm_ctx *c, hm_counters *sum);
/* Room for the codes and logits of a request. */
hm_status hm_session_result_open(const hm_engine *e, const hm_request *r, hm_result *out, hm_error *err);
/* HM_EINVALID: a logit or sample that is not finite makes every later number meaningless. Counts the samples. */
hm_status hm_session_check_result(hm_result *r, hm_error *err);
/* The first failure of an operation, if any, as the caller's error. */
hm_status hm_session_status(const hm_ctx *c, hm_error *err);

/* heart_prompt.c: tags, lyrics and styles to ids (heartmula.md section 6). *ids malloc'ed: tags, one free slot at *slot, lyrics. */
hm_status hm_heart_prompt(const hm_engine *e, const hm_request *request, int32_t **ids, int *count, int *slot, hm_error *err);

/* heart_music.c */
/* A request as the language model takes it, checked; its ids are owned. */
typedef struct hm_heart_prompted {
    hm_mula_request request;
    int32_t *ids;
} hm_heart_prompted;
hm_status hm_heart_prompted_open(hm_engine *e, const hm_request *request, hm_heart_prompted *out, hm_error *err);
void hm_heart_prompted_close(hm_heart_prompted *p);
void hm_heart_collect(hm_engine *e, const hm_mula_work *work, hm_mula_song *song, hm_result *out);
/* All codes of a result to audio, once they are all there. pcm: room for it, from now on its own, or NULL. */
hm_status hm_heart_audio(hm_engine *e, const hm_request *request, float *pcm, hm_result *out, hm_error *err);

hm_status hm_heart_generate(hm_engine *e, const hm_request *request, hm_result *result, hm_error *err);
hm_status hm_heart_decode(hm_engine *e, const int32_t *codes, int frames, const hm_request *request, hm_result *result, hm_error *err);
/* What the variant and the request say about a song's segments; codes and noise are the caller's. */
hm_detok_request hm_heart_detok_request(const hm_ctx *c, const hm_request *request);
/* Whether segments are decoded while frames are drawn. */
bool hm_heart_streams(const hm_ctx *c, const hm_request *request);

/* heart_many.c */
hm_status hm_heart_generate_many(hm_engine *e, hm_many *many, hm_error *err);

/* heart_check.c */
hm_status hm_heart_check(hm_engine *e, const hm_check *check, hm_error *err);

#endif
