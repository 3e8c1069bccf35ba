/* The engine's public interface. An engine module (one variant) exports one symbol, hm_engine_module; the runtime build takes
 * any toggles. Everything the harness needs of a model goes through this table; it never sees a model's insides. */
#ifndef HM_ENGINE_HM_ENGINE_H
#define HM_ENGINE_HM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/probe.h"
#include "variants/toggles.h"

#define HM_ENGINE_ABI 1

typedef struct hm_engine hm_engine;

/* Where the weights come from: a folder, or golden manifests synthesised in memory (verification). */
typedef struct hm_engine_source {
    const char *dir;            /* model folder or file; or NULL and */
    json_t *lm_manifest;        /* manifests of the parts (either may be NULL), borrowed during open */
    json_t *codec_manifest;
    const char *tokenizer;      /* with manifests: tokenizer.json, or NULL */
    uint64_t seed;              /* of hmsynth */
} hm_engine_source;

typedef struct hm_engine_options {
    hm_engine_source source;
    const char *backend;        /* "cpu" */
    int threads;                /* 0: all CPUs this process may use */
    const char *isa;            /* "scalar", "avx2", "avx512", or NULL: the best here */
    const hm_toggles *toggles;  /* runtime build: required; fixed build: NULL, or equal to its own (else HM_EUSAGE) */
    bool need_lm, need_codec;   /* parts that must be there; other parts are not loaded */
    const hm_probe *probe;      /* must outlive the engine; may be NULL */
    const hm_log *log;
} hm_engine_options;

/* A song. Text is UTF-8; NULL styles are not given. */
typedef struct hm_music_request {
    const char *tags, *lyrics;
    const char *intro_style, *verse_style, *chorus_style; /* per section, see docs/models.md "Section styles" */
    int max_frames;             /* >= 1; 80 ms each */
    bool force_length;          /* exactly max_frames: the end-of-song rule is not applied */
    double cfg_scale;           /* > 1: guidance on */
    int topk;                   /* >= 1 */
    double temperature;         /* > 0 */
    uint64_t seed;
    int flow_steps;             /* 1..100; 0: as the variant says */
    double flow_guidance;       /* 1.25 in the original; <= 1: off */
    const int32_t *stored_codes; /* [frames][codebooks] fed back in place of the drawn ones, or NULL; frames = max_frames */
    bool skip_codec;            /* codes only */
} hm_music_request;

/* Everything is malloc'ed by the engine and freed by result_free, which leaves zeros. Times in ns of CLOCK_MONOTONIC. */
typedef struct hm_music_result {
    int frames, codebooks;
    int32_t *codes;             /* [frames][codebooks] as drawn */
    float *logits;              /* [frames][codebooks] guided logit of the code that went on (stored or drawn) */
    bool ended;                 /* by the end-of-song rule, not by the cap */
    int prompt_tokens;
    float *audio;               /* [channels][samples], raw; NULL with skip_codec */
    int channels, sample_rate_hz;
    int64_t samples;            /* per channel */
    int64_t non_finite;         /* samples that are NaN or infinite */
    int64_t prefill_ns, generate_ns, decode_ns, wall_ns; /* wall = the whole call; other = wall - the three */
    hm_counters counters;       /* of this call */
    uint64_t weight_bytes, kv_bytes, scratch_bytes; /* held: weights in use, caches at their largest, scratch at its largest */
    uint64_t frame_weight_bytes; /* weights that one frame of generate has to read */
    double frame_flops;
} hm_music_result;

/* What a model would need, from shapes alone. */
typedef struct hm_memory_estimate {
    uint64_t weights_bytes;     /* heap copies (0 when mapped) */
    uint64_t mapped_bytes;      /* mapped, reclaimable */
    uint64_t kv_bytes, scratch_bytes, codec_bytes; /* peaks */
    uint64_t total_bytes;       /* largest sum at any time, mapped pages left out */
} hm_memory_estimate;

typedef struct hm_engine_facts {
    const char *model;          /* "heartmula" */
    const char *backend, *isa, *device; /* "cpu", "avx2", the CPU's name */
    int threads;
    int codebooks, code_vocabulary, sample_rate_hz, channels;
    double frame_seconds;       /* 0.08 */
    int max_positions;
    char fingerprint[33];       /* of the weights */
    bool synthetic;             /* made by synth */
    int64_t load_ns;
    hm_counters load_counters;
} hm_engine_facts;

/* One golden computation (verification): inputs by field, outputs through probe->tap under the names of the golden files. */
typedef enum hm_check_kind {
    HM_CHECK_LM,      /* prompt ids or text, cfg_scale, frames greedy; taps backbone.in ... tokens, margins, tags_ids, lyrics_ids */
    HM_CHECK_EST,     /* x, t: intermediates and out */
    HM_CHECK_SOLVE,   /* codes, noise, context latents: rvq_out, cond_feature_emb, result */
    HM_CHECK_DECODE,  /* latents: decoder.i.out, wave */
    HM_CHECK_DETOK,   /* codes, noise_salt, duration: latents, wave */
    HM_CHECK_ROPE,    /* positions: theta, cos, sin of the scaled rotation of `head_dim` */
    HM_CHECK_SAMPLE   /* logits, q, topk, temperature: probs, token */
} hm_check_kind;

typedef struct hm_check {
    hm_check_kind kind;
    const int32_t *tags_ids, *lyrics_ids; /* complete, with BOS and EOS */
    int tags_count, lyrics_count;
    const char *tags, *lyrics;          /* or as text, through the source's tokenizer */
    double cfg_scale;
    int frames;
    bool stop_at_eos;                   /* the pipeline's rule */
    const float *muq;                   /* [muq_dim], or NULL: zeros */
    const int32_t *codes;               /* [codebooks][n] */
    int n;                              /* codes per codebook, latent frames, rows of x (per batch row), or positions */
    int batch;                          /* rows of x and t */
    const float *x, *t, *noise, *context, *latents;
    int context_frames, steps;
    double guidance, duration_s;
    const char *noise_salt;             /* DETOK: segment k's noise is hmsynth noise("noise.{salt}.seg{k}") under the source's seed */
    const int32_t *positions;
    int head_dim;
    const float *logits, *q;            /* [batch][n] */
    int topk;
    double temperature;
} hm_check;

typedef struct hm_engine_api {
    uint32_t abi;                       /* HM_ENGINE_ABI */
    const char *variant;                /* "best", "custom" ... */
    bool fixed;
    hm_toggles toggles;                 /* of a fixed build */

    hm_status (*open)(hm_engine **out, const hm_engine_options *options, hm_error *err);
    void (*close)(hm_engine **engine);
    const hm_engine_facts *(*facts)(const hm_engine *engine);

    /* Validates, draws frames, decodes. HM_EUSAGE: bad request; HM_EINTERRUPTED: probe->progress asked; HM_EINVALID: not finite. */
    hm_status (*generate)(hm_engine *engine, const hm_music_request *request, hm_music_result *result, hm_error *err);
    /* Codes [frames][codebooks] to audio; uses seed, flow_steps, flow_guidance of the request. */
    hm_status (*decode)(hm_engine *engine, const int32_t *codes, int frames, const hm_music_request *request, hm_music_result *result,
                        hm_error *err);
    void (*result_free)(hm_music_result *result);

    /* Memory from config.json and tensor shapes only: nothing is loaded. */
    hm_status (*estimate)(const hm_engine_options *options, const hm_music_request *request, hm_memory_estimate *out, hm_error *err);

    hm_status (*check)(hm_engine *engine, const hm_check *check, hm_error *err);
} hm_engine_api;

/* The module's one exported symbol. */
extern const hm_engine_api hm_engine_module;
#define HM_ENGINE_SYMBOL "hm_engine_module"

#endif
