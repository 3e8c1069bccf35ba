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
#include "engine/base/part.h"
#include "engine/base/place.h"
#include "engine/base/probe.h"
#include "engine/text/transcript.h"
#include "variants/toggles.h"

/* What program and module must agree on: changed by hand when a meaning changes, by itself when a struct they share changes its size. */
#define HM_ENGINE_ABI                                                                                                               \
    ((uint32_t)(11 + 31 * sizeof(hm_engine_options) + 37 * sizeof(hm_request) + 41 * sizeof(hm_result) + 43 * sizeof(hm_counters) + \
                47 * sizeof(hm_probe) + 53 * sizeof(hm_engine_facts) + 59 * sizeof(hm_check) + 61 * sizeof(hm_memory_estimate) +    \
                67 * sizeof(hm_engine_api)))

typedef struct hm_engine hm_engine;

/* Where the weights come from: a folder, or golden manifests synthesised in memory (verification). */
typedef struct hm_engine_source {
    const char *dir;     /* model folder or file; or NULL and */
    json_t *lm_manifest; /* manifests of the parts (either may be NULL), borrowed during open */
    json_t *codec_manifest;
    const char *tokenizer; /* with manifests: tokenizer.json, or NULL */
    uint64_t seed;         /* of hmsynth */
} hm_engine_source;

typedef struct hm_engine_options {
    hm_engine_source source;
    const char *backend;       /* "cpu", "ze": a name of engine/backend.h */
    const char *device;        /* which one of it: index ("0"), UUID or its beginning; NULL: the first */
    const char *driver_cache;  /* folder of what drivers compile; NULL: nothing is kept */
    bool timestamps;           /* operations are timed on the device */
    int threads;               /* 0: all CPUs this process may use */
    const char *isa;           /* a name of engine/base/isa.h, as "avx2", or NULL: the best here */
    const hm_toggles *toggles; /* runtime build: required; fixed build: NULL, or equal to its own (else HM_EUSAGE) */
    bool need_lm, need_codec;  /* parts that must be there; other parts are not loaded */
    bool need_transcriber;     /* the Whisper of the folder, whatever model lies beside it */
    bool need_encoders;        /* what cloning a voice from audio takes, of a model that can */
    bool local_split;          /* Qwen3-TTS: text is cut as the original cuts it for a model in a local folder (docs/models.md) */
    const char *pack_dir;      /* folder of packed weights (engine/pack.h); NULL: they are packed into memory */
    const hm_probe *probe;     /* must outlive the engine; may be NULL */
    const hm_log *log;
} hm_engine_options;

/* What a model makes. */
typedef enum hm_task {
    HM_TASK_MUSIC,
    HM_TASK_SPEECH,
    HM_TASK_TRANSCRIPT
} hm_task;

/* A song. Text is UTF-8; NULL styles are not given. */
typedef struct hm_music_input {
    const char *tags, *lyrics;
    const char *intro_style, *verse_style, *chorus_style; /* per section, see docs/models.md "Section styles" */
    double cfg_scale;                                     /* > 1: guidance on */
    int flow_steps;                                       /* 1..100; 0: as the variant says */
    double flow_guidance;                                 /* 1.25 in the original; <= 1: off */
} hm_music_input;

/* An utterance. Text is UTF-8. What the model's kind has no use for is HM_EUSAGE, not ignored. */
typedef struct hm_speech_input {
    const char *text;
    const char *speaker;    /* CustomVoice: a name of its table */
    const char *language;   /* a name of its table; NULL or "auto": none */
    const char *instruct;   /* how to speak (CustomVoice), or the voice itself (VoiceDesign); NULL: none */
    const float *reference; /* Base: mono samples at the model's rate of the voice to clone */
    int64_t reference_samples;
    const char *reference_text; /* what is said in them: in-context cloning; NULL: by the x-vector alone */
    int streaming_text;         /* 1: one token a step, 0: all of it in the prompt, -1: as the model's kind does by default */
    double top_p, repetition_penalty, sub_temperature, sub_top_p; /* negative: the model's own */
    int sub_topk;                                                 /* 0: all, negative: the model's own */
} hm_speech_input;

#define HM_TEMPERATURES 8

/* A recording to be written down. Codes are token ids here; max_frames of the request is max_new_tokens of a window, topk and seed are those
 * of draws at temperatures above 0. Thresholds that are NAN do not apply. */
typedef struct hm_transcript_input {
    const float *audio; /* mono at 16 kHz */
    int64_t samples;
    double chunk_s; /* windows of up to 30 s that share a sixth with each neighbour; 0: one after the other, cut at timestamps */
    int batch;      /* windows side by side */
    int beams;      /* at temperature 0; 0: as the model's generation config says */
    const char *language, *task; /* "en", "<|en|>", "english", NULL: detected; "transcribe", "translate", NULL: as section 6 says */
    bool timestamps;
    double temperatures[HM_TEMPERATURES];
    int temperature_count; /* 0: temperature 0 alone */
    double ratio_threshold, logprob_threshold, no_speech_threshold;
} hm_transcript_input;

/* What became of a window: ids without the end, in hm_result.codes; where timestamps cut it, those before the cut (of a forced length with
 * chunk_s 0 all). */
typedef struct hm_transcript_window {
    int64_t start, samples, left, right; /* of the recording; left and right: what it shares with its neighbours */
    int first, count;                    /* codes[first .. first+count-1] */
    int32_t language;                    /* id; -1: none */
    char language_code[12];              /* "en"; "" */
    bool skipped;                        /* no speech: its ids do not count */
    int tries;                           /* temperatures that were tried */
    double temperature, avg_logprob, ratio, no_speech_prob;
} hm_transcript_window;

/* Where audio goes while it is being made, in order. */
typedef struct hm_audio_sink {
    void *self;
    /* pcm [channels][samples], ready at at_ns of CLOCK_MONOTONIC. Non-zero asks the engine to stop (HM_EINTERRUPTED). Called from one
     * thread at a time, which need not be generate's. */
    int (*write)(void *self, const float *pcm, int channels, int64_t samples, int64_t at_ns);
    int first_frames, next_frames; /* speech: of the first piece and of those after it; 0: the engine's choice */
} hm_audio_sink;

typedef struct hm_request {
    hm_task task;
    hm_music_input music;   /* of HM_TASK_MUSIC */
    hm_speech_input speech; /* of HM_TASK_SPEECH */
    hm_transcript_input transcript;
    int max_frames;     /* >= 1; 80 ms each, or ids of a window */
    bool force_length;  /* exactly max_frames: the model's own end is not applied */
    int topk;           /* >= 1; 1: always the likeliest. Speech: 0: all, negative: the model's own */
    double temperature; /* > 0. Speech: negative: the model's own */
    uint64_t seed;
    /* [frames][codebooks] fed back in place of the drawn ones, or NULL; frames = max_frames, of every window of a transcript */
    const int32_t *stored_codes;
    int stored_frames;           /* that are there: of a transcript with chunk_s 0, where they tell how many windows there are */
    bool skip_codec;             /* codes only */
    const hm_audio_sink *sink;   /* NULL: all audio at the end. Takes a variant with decode=stream or overlap */
    const hm_logit_sink *logits; /* NULL: nobody looks, and nothing is done for it */
    int batch, prompt_rows;      /* for `estimate` alone: requests side by side (0: one); positions that the prompt takes, where they are
                                   known (0: told from the lengths of the texts) */
} hm_request;

#define HM_SEAMS 64

/* What a phase had to do: floating-point operations, and bytes of weights that its operations had to read. */
typedef struct hm_work {
    uint64_t flops, weight_bytes;
} hm_work;

/* Everything is malloc'ed by the engine and freed by result_free, which leaves zeros. Times in ns of CLOCK_MONOTONIC. */
typedef struct hm_result {
    int frames, codebooks;
    int32_t *codes; /* [frames][codebooks] as drawn */
    float *logits;  /* [frames][codebooks] guided logit of the code that went on (stored or drawn) */
    bool ended;     /* by the model's own rule, not by the cap */
    int prompt_tokens;
    float *audio; /* [channels][samples], raw; NULL with skip_codec */
    int channels, sample_rate_hz;
    int64_t samples;                                     /* per channel */
    int64_t non_finite;                                  /* samples that are NaN or infinite */
    int64_t prefill_ns, generate_ns, decode_ns, wall_ns; /* wall = the whole call; other = wall - the three; decode: after generate */
    int64_t overlapped_ns;                               /* decoding done before the last frame was made */
    int64_t reference_ns;                                /* of prefill: encoding the voice to clone */
    hm_transcript_window *windows;                       /* of a transcript, in order; codes hold their ids one after the other */
    int window_count;
    hm_transcript transcript;                       /* its text; all NULL where the model has no tokenizer */
    int64_t mel_ns, encode_ns;                      /* of prefill, of a transcript; generate is its decoding */
    hm_counters counters;                           /* of this call */
    hm_counters frame_counters;                     /* of drawing its frames alone, until their codes are here; zero: of generate_many */
    hm_work prefill_work, generate_work;            /* of it; decoding did the rest. Zero: not told apart (generate_many) */
    uint64_t weight_bytes, kv_bytes, scratch_bytes; /* held: weights in use, caches at their largest, scratch at its largest */
    uint64_t frame_weight_bytes;                    /* weights that one frame of generate has to read, each pass anew */
    uint64_t distinct_weight_bytes;                 /* the same, each weight once; of a transcript those of a step, of all windows */
    uint64_t frame_kv_bytes;                        /* keys and values that a token of a transcript has to read; 0: another task */
    double frame_flops;
    double codec_frame_flops;        /* of decoding one frame; 0: not known */
    uint64_t codec_bytes;            /* weights that one call of the decoder reads */
    hm_place places[HM_PLACE_PARTS]; /* where each part ran; of generate_many: all requests together */
    int place_count;
    hm_parts parts;          /* weights of the model's parts that were at work */
    int64_t seams[HM_SEAMS]; /* samples at which separately decoded stretches of the audio meet, in order; the first ones */
    int seam_count;
} hm_result;

/* Several requests in one process: at most `batch` at a time, the next joins when one ends. results [count], each as generate gives it
 * (its phases: prefill its own, generate from its first frame to its last); codes are those it gets alone. */
typedef struct hm_many {
    const hm_request *requests;
    int count, batch;
    hm_result *results;
    int64_t wall_ns;          /* out: all of it */
    int64_t steps, step_rows; /* out: frames computed together, and utterances in them summed up */
} hm_many;

/* What a model would need, from shapes alone. */
typedef struct hm_memory_estimate {
    uint64_t weights_bytes;                        /* heap copies (0 when mapped); of a device apart, with load=lazy, of the larger stage */
    uint64_t mapped_bytes;                         /* mapped, reclaimable; with load=lazy those of the larger stage */
    uint64_t kv_bytes, scratch_bytes, codec_bytes; /* peaks */
    uint64_t encoder_bytes;                        /* of a voice to clone: both encoders run before anything else is there */
    uint64_t latents_bytes, vocoder_bytes,
        audio_bytes; /* what codec_bytes is made of: codes to latents (flow), latents to audio, the audio */
    uint64_t prefill_bytes, generate_bytes, decode_bytes; /* at work in each phase beside the weights */
    uint64_t total_bytes;       /* the host's largest sum at any time, mapped pages left out: weights and the largest phase */
    bool apart;                 /* the backend's device has memory of its own, where all of the above is but for the audio ... */
    uint64_t device_bytes;      /* ... its largest sum */
    uint64_t host_weight_bytes; /* ... and what load=read keeps in the host's besides */
    int most_frames;            /* that the model's positions leave to this prompt; 0: not known */
} hm_memory_estimate;

typedef struct hm_engine_facts {
    hm_task task;
    const char *model;                  /* "heartmula", "qwen3-tts" */
    const char *kind;                   /* of a model that comes in kinds: "custom_voice", "voice_design", "base"; "" */
    const char *size;                   /* "0b6" ...; "" */
    const char *backend, *isa, *device; /* "cpu", "avx2", the CPU's name; "ze", "ze 1.4", the GPU's name */
    const char *driver, *device_uuid;   /* NULL: it has none, as the CPU */
    bool software;                      /* a GPU that is a program: what it takes says nothing about hardware */
    uint64_t device_memory_bytes;       /* of its own; 0: it uses the host's */
    int threads;
    int codebooks, code_vocabulary, sample_rate_hz, channels;
    double frame_seconds; /* 0.08 */
    int max_positions;
    char fingerprint[33]; /* of the weights */
    bool synthetic;       /* made by synth */
    int64_t load_ns;
    hm_counters load_counters;
} hm_engine_facts;

/* "music", "speech", "transcript", as suite files and the database have it. */
static inline const char *hm_task_name(hm_task task)
{
    return task == HM_TASK_SPEECH ? "speech" : task == HM_TASK_TRANSCRIPT ? "transcript" : "music";
}

/* One golden computation (verification): inputs by field, outputs through probe->tap under the names of the golden files. */
typedef enum hm_check_kind {
    HM_CHECK_LM,     /* prompt ids or text, cfg_scale, frames greedy; taps backbone.in ... tokens, margins, tags_ids, lyrics_ids */
    HM_CHECK_EST,    /* x, t: intermediates and out */
    HM_CHECK_SOLVE,  /* codes, noise, context latents: rvq_out, cond_feature_emb, result */
    HM_CHECK_DECODE, /* latents: decoder.i.out, wave */
    HM_CHECK_DETOK,  /* codes, noise_salt, duration: latents, wave */
    HM_CHECK_ROPE,   /* positions: theta, cos, sin of the scaled rotation of `head_dim` */
    HM_CHECK_SAMPLE, /* logits, q, topk, temperature: probs, token */
    /* Qwen3-TTS, inputs in `speech` */
    HM_CHECK_TALK,          /* greedy, or along fed codes: prompt_embeds ... codes, sequence_group0, talker_logits, cp_logits, input_ids */
    HM_CHECK_SPEECH_DECODE, /* codes: quantized ... waveform; in chunks when chunk > 0 */
    HM_CHECK_SPEAKER,       /* audio: mel, block0, block1, mfa, asp, embedding; or mel: all but mel */
    HM_CHECK_SPEECH_ENCODE, /* audio: seanet, transformer, downsample, codes */
    HM_CHECK_SPEECH_SAMPLE, /* logits, draw: probs */
    HM_CHECK_SPEECH_CUT,    /* reference_frames, total_frames, samples: cut (int32) */
    /* Whisper, inputs in `whisper` */
    HM_CHECK_WHISPER /* one window: mel [mels][frames], enc.embed, enc.layer0 ..., enc.out, language (int32), language_margin,
                        dec.sot_logits, dec.hidden0 ..., dec.first_logits, tokens (int32), margins, numbers: avg_logprob,
                        no_speech_prob, score */
} hm_check_kind;

typedef struct hm_whisper_check {
    const float *audio; /* mono at 16 kHz, up to 30 s */
    int64_t samples;
    const char *task; /* NULL: transcribe */
    int max_tokens, beams;
    bool timestamps;
    float *scores; /* [vocabulary], or NULL: nothing is heard, the rules of timestamps alone are applied to them after these ids */
    const int32_t *generated;
    int generated_count;
} hm_whisper_check;

typedef struct hm_speech_check {
    /* TALK: ids of whole templates, or text through the source's tokenizer where ids are NULL */
    const int32_t *text_ids, *instruct_ids, *reference_ids;
    int text_count, instruct_count, reference_count;
    const char *text, *instruct, *reference_text;
    const char *speaker, *language; /* NULL: none, auto */
    const int32_t *reference_codes; /* [reference_frames][groups] */
    int reference_frames;
    const float *speaker_embedding; /* [width], or NULL */
    bool streaming_text;
    int frames;
    double repetition_penalty;
    const int32_t *fed; /* [frames][groups], or NULL */
    /* SPEECH_DECODE */
    const int32_t *codes; /* [frames][groups] */
    int chunk, context;   /* 0: one pass */
    /* SPEAKER, SPEECH_ENCODE */
    const float *audio; /* mono at the model's rate */
    int64_t samples;
    const float *mel; /* [mel_frames][mel] */
    int mel_frames;
    /* SPEECH_SAMPLE: one row; history as the penalty sees it */
    const float *logits;
    int vocabulary;
    const int32_t *history;
    int history_count;
    bool greedy, suppress; /* suppress: the talker's dead codes */
    int topk, forbidden;   /* forbidden: -1: none */
    double temperature, top_p;
    /* SPEECH_CUT */
    int total_frames;
} hm_speech_check;

typedef struct hm_check {
    hm_check_kind kind;
    const int32_t *tags_ids, *lyrics_ids; /* complete, with BOS and EOS */
    int tags_count, lyrics_count;
    const char *tags, *lyrics; /* or as text, through the source's tokenizer */
    double cfg_scale;
    int frames;
    bool stop_at_eos;     /* the pipeline's rule */
    const float *muq;     /* [muq_dim], or NULL: zeros */
    const int32_t *codes; /* [codebooks][n] */
    int n;                /* codes per codebook, latent frames, rows of x (per batch row), or positions */
    int batch;            /* rows of x and t */
    const float *x, *t, *noise, *context, *latents;
    int context_frames, steps;
    double guidance, duration_s;
    const char *noise_salt; /* DETOK: segment k's noise is hmsynth noise("noise.{salt}.seg{k}") under the source's seed */
    const int32_t *positions;
    int head_dim;
    const float *logits, *q; /* [batch][n] */
    int topk;
    double temperature;
    const hm_speech_check *speech;
    const hm_whisper_check *whisper;
} hm_check;

typedef struct hm_engine_api {
    uint32_t abi;        /* HM_ENGINE_ABI */
    const char *variant; /* "best", "custom" ... */
    bool fixed;
    hm_toggles toggles; /* of a fixed build */

    hm_status (*open)(hm_engine **out, const hm_engine_options *options, hm_error *err);
    void (*close)(hm_engine **engine);
    const hm_engine_facts *(*facts)(const hm_engine *engine);

    /* Validates, draws frames, decodes. HM_EUSAGE: bad request; HM_EINTERRUPTED: probe->progress asked; HM_EINVALID: not finite. */
    hm_status (*generate)(hm_engine *engine, const hm_request *request, hm_result *result, hm_error *err);
    /* As hm_many says; results are written on success only. */
    hm_status (*generate_many)(hm_engine *engine, hm_many *many, hm_error *err);
    /* Codes [frames][codebooks] to audio; uses seed and music.flow_* of the request. */
    hm_status (*decode)(hm_engine *engine, const int32_t *codes, int frames, const hm_request *request, hm_result *result, hm_error *err);
    void (*result_free)(hm_result *result);

    /* Memory from config.json and tensor shapes only: nothing is loaded. */
    hm_status (*estimate)(const hm_engine_options *options, const hm_request *request, hm_memory_estimate *out, hm_error *err);

    hm_status (*check)(hm_engine *engine, const hm_check *check, hm_error *err);
} hm_engine_api;

/* The module's one exported symbol. */
extern const hm_engine_api hm_engine_module;
#define HM_ENGINE_SYMBOL "hm_engine_module"

#endif
