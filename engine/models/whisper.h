/* Whisper (HeartTranscriptor): windows of log-mel to token ids. Steps as numbered in whisper.md. What goes over a recording (chunks, the seek
 * loop, thresholds and temperatures) is in engine/session: it fills a work with encoded windows and decodes them as often as it likes. */
#ifndef HM_ENGINE_MODELS_WHISPER_H
#define HM_ENGINE_MODELS_WHISPER_H

#include "engine/ctx.h"
#include "engine/shapes_whisper.h"

enum {
    HM_WHISPER_PROMPT = 8,    /* ids that hm_whisper_prompt writes at most */
    HM_WHISPER_MAX_BEAMS = 16 /* of a window */
};

typedef struct hm_whisper hm_whisper;
typedef struct hm_whisper_work hm_whisper_work;

/* generation is taken over, also on failure. */
hm_status hm_whisper_bind(hm_ctx *c, hm_whisper **out, const hm_whisper_shape *shape, hm_whisper_generation *generation, hm_weights *w,
                          hm_error *err);
void hm_whisper_release(hm_whisper **whisper);
const hm_whisper_shape *hm_whisper_shape_of(const hm_whisper *m);
const hm_whisper_generation *hm_whisper_generation_of(const hm_whisper *m);

/* Room for `windows` windows side by side, each decoded with up to `beams` beams to at most `positions` positions (prompt and text). */
hm_status hm_whisper_work_open(hm_ctx *c, hm_whisper_work **out, const hm_whisper *m, int windows, int beams, int positions, hm_error *err);
void hm_whisper_work_close(hm_ctx *c, hm_whisper_work **work);
/* What was done so far. */
typedef struct hm_whisper_passes {
    int64_t groups; /* of windows that were encoded together */
    int64_t steps;  /* of all windows and beams: a token each */
    int64_t again;  /* of them, those whose tokens went through the decoder again, in one pass */
} hm_whisper_passes;
hm_whisper_passes hm_whisper_work_passes(const hm_whisper_work *work);
/* What it takes: caches of both kinds, and everything else. */
void hm_whisper_estimate(const hm_ctx *c, const hm_whisper_shape *shape, int windows, int beams, int positions, uint64_t *kv_bytes,
                         uint64_t *scratch_bytes);

/* A window's log-mel: rows of [mels] floats on the host (hm_whisper_mel); rows that are missing to 2 * source_positions are 0. */
typedef struct hm_whisper_window {
    const float *mel;
    int frames;
} hm_whisper_window;

/* Windows 0 .. count-1 of the work from now on: encoded, with the keys and values that the decoder reads of them. Spans encoder, cross_kv.
 * Progress "encode" in windows. Taps enc.embed, enc.layerI, enc.out. */
hm_status hm_whisper_encode(hm_ctx *c, hm_whisper_work *work, const hm_whisper_window *windows, int count, hm_error *err);

/* The likeliest language of each listed window: ids; margins (may be NULL): its logit less the second best. Tap dec.sot_logits. */
hm_status hm_whisper_detect(hm_ctx *c, hm_whisper_work *work, const int *windows, int count, int32_t *languages, float *margins,
                            hm_error *err);

typedef enum hm_whisper_task {
    HM_WHISPER_NO_TASK,
    HM_WHISPER_TRANSCRIBE,
    HM_WHISPER_TRANSLATE
} hm_whisper_task;

/* [SOT, language, task, NOTS] as whisper.md step 6 has it: language -1: none (the model knows none); returns how many. */
int hm_whisper_prompt(const hm_whisper_generation *g, int32_t language, hm_whisper_task task, bool timestamps,
                      int32_t ids[HM_WHISPER_PROMPT]);

typedef struct hm_whisper_request {
    int window; /* of the work; at most one request of a call for each window */
    const int32_t *prompt;
    int prompt_count;      /* 1 to HM_WHISPER_PROMPT, the same in all requests of a call */
    int max_tokens;        /* 1 and more; with the prompt at most the work's positions */
    int beams;             /* the same in all requests of a call; 1: greedy, or draws when temperature is above 0; more: temperature is 0 */
    double temperature;    /* 0, or what logits are divided by before one of the topk greatest is drawn */
    int topk;              /* 0: all */
    double length_penalty; /* of beams */
    bool timestamps;       /* the rules of timestamps apply */
    bool force_length;     /* exactly max_tokens: the end is suppressed */
    bool no_speech;        /* no_speech_prob is wanted */
    const hm_logit_sink *logits; /* one beam at temperature 0: the logits of each step, rules included. NULL: nobody looks */
    const int32_t *stored;       /* [max_tokens] ids that go on in place of those drawn; one beam. NULL: none */
    uint64_t seed;               /* of draws: (seed, step, stream) */
    uint32_t stream;             /* the number of the window in its recording, say */
} hm_whisper_request;

/* tokens, margins and logits are malloc'ed: hm_whisper_text_close. */
typedef struct hm_whisper_text {
    int32_t *tokens; /* [count] as drawn, the end included where it was reached */
    float *margins;  /* [count] best less second best processed logit; one beam; else NULL */
    float *logits;   /* [count] raw logit of the id that went on; one beam; else NULL */
    int count;
    bool ended;
    double avg_logprob;    /* the measure of the fallback (whisper.md step 12) */
    double no_speech_prob; /* 0 when it was not wanted */
    double score;          /* beams: log-probability over length^penalty */
} hm_whisper_text;

/* Requests side by side; results [count] are written on success. Span text_step per step, progress "decode" in tokens of the longest.
 * Taps dec.first_logits, dec.hiddenI of the last prompt position. */
hm_status hm_whisper_decode(hm_ctx *c, hm_whisper_work *work, const hm_whisper_request *requests, int count, hm_whisper_text *results,
                            hm_error *err);
void hm_whisper_text_close(hm_whisper_text *text);

/* Weights at work, as parts of a result: backbone (encoder and cross keys and values), decoder, heads; passes of each within `parts`. */
void hm_whisper_formats(const hm_whisper *m, hm_formats *encoder, hm_formats *decoder, hm_formats *head);
/* Bytes of weights that one decoder step reads, and that one window's encoding reads. */
void hm_whisper_pass_bytes(const hm_whisper *m, uint64_t *step, uint64_t *window);
/* Keys and values that the next token of a window reads: those of the encoder once, and the `positions` of each beam. */
uint64_t hm_whisper_token_kv_bytes(const hm_ctx *c, const hm_whisper_shape *shape, int beams, int positions);

#endif
