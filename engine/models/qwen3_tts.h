/* Qwen3-TTS: the talker and its code predictor. Prompt rows in, frames of codes out. Steps as numbered in qwen3_tts.md.
 * Everything works on several utterances at once: a frame of n utterances is one talker step over n rows and G-1 predictor passes over
 * n rows; an utterance's codes are those it gets alone. */
#ifndef HM_ENGINE_MODELS_QWEN3_TTS_H
#define HM_ENGINE_MODELS_QWEN3_TTS_H

#include "engine/base/part.h"
#include "engine/models/transformer.h"
#include "engine/shapes_tts.h"

#define HM_TALKER_BATCH 16 /* utterances that go side by side at most */

typedef struct hm_talker {
    hm_talker_shape shape;
    hm_transformer talker, predictor;
    const void *text_embedding, *codec_embedding;   /* [text_vocab][Ht], [V][H] */
    const void *group_embedding[HM_TTS_MAX_GROUPS]; /* E_g, g = 1 .. G-1 at [g], [Vc][H]; [0] is codec_embedding */
    hm_dtype text_type, codec_type, group_type;
    hm_linear fc1, fc2;                        /* text projection P */
    hm_linear codec_head, live_head, eos_head; /* [V][H]; its rows [0, V-1024), and the one of codec_eos */
    hm_linear group_head[HM_TTS_MAX_GROUPS];   /* lm_head of group g at [g], g >= 1 */
    hm_linear projection;                      /* small_to_mtp_projection; w NULL when H = Hc */
    float *folded[HM_TTS_MAX_GROUPS];          /* precompute: proj(E_g), [Vc][Hc], of groups 0 ([V][Hc]) .. G-2; else NULL */
    float *text_pad, *text_bos, *text_eos;     /* P of the three special ids, [H]; made at load when precompute asks for it */
} hm_talker;

hm_status hm_talker_bind(hm_ctx *c, hm_talker *m, const hm_talker_shape *shape, hm_weights *w, hm_error *err);
void hm_talker_release(hm_talker *m);
/* Weights that one frame must read at least when nothing is reused between passes, bytes; each once, bytes; floating-point operations of
 * one frame at context `context` (section 10). */
uint64_t hm_talker_frame_bytes(const hm_talker *m);
uint64_t hm_talker_distinct_bytes(const hm_talker *m);
/* Talker, code predictor, and the heads within each, added to parts. */
void hm_talker_parts(const hm_talker *m, hm_parts *parts);
double hm_talker_frame_flops(const hm_talker_shape *g, int context);

/* How one code is chosen. */
typedef struct hm_talker_draw {
    bool greedy;
    int topk; /* 0: all */
    float temperature, top_p;
} hm_talker_draw;

/* An utterance as token ids (qwen3_tts.md section 5). All arrays are the caller's and live until the utterance ends. */
typedef struct hm_talker_request {
    const int32_t *text_ids;      /* x: the whole template */
    const int32_t *instruct_ids;  /* y; NULL: none */
    const int32_t *reference_ids; /* r: the template of the reference text; NULL: none */
    int text_count, instruct_count, reference_count;
    const int32_t *reference_codes; /* [reference_frames][G], with reference_ids: in-context cloning */
    int reference_frames;
    const float *speaker_vector; /* [H] x-vector of a Base model; NULL: none */
    int speaker, language;       /* rows of the codec embedding, as qwen3_tts.md section 5.3 decides them; -1: none */
    bool streaming_text;         /* one text token a step, instead of the whole text in the prompt */
    int max_frames;
    bool force_length;             /* codec_eos is never drawn: exactly max_frames */
    int min_frames;                /* frames before codec_eos may come: 2 in the original */
    hm_talker_draw draw, sub_draw; /* group 0; groups 1 .. G-1 */
    float repetition_penalty;      /* 1: off */
    uint64_t seed;
    const int32_t *stored;       /* [max_frames][G] fed back in place of the drawn ones, or NULL */
    const hm_logit_sink *logits; /* NULL: nobody looks */
    bool surplus;                /* the last frame goes through the talker too: for hm_utterance_surplus */
    bool meanwhile;              /* what becomes of frames waits for them: none runs ahead */
} hm_talker_request;

/* Prompt rows that a request makes; 0: its text has no token between the template's. */
int hm_talker_prompt_rows(const hm_talker_shape *g, const hm_talker_request *r);

typedef struct hm_utterance hm_utterance;     /* caches, codes, history, trailing text of one utterance */
typedef struct hm_talker_work hm_talker_work; /* buffers of forwards for up to `batch` utterances, shared by them */

/* batch: utterances at once; rows: the longest prompt; positions: the longest prompt and frames together. */
hm_status hm_talker_work_open(hm_ctx *c, hm_talker_work **out, const hm_talker *m, int batch, int rows, int positions, hm_error *err);
void hm_talker_work_close(hm_ctx *c, hm_talker_work **work);
uint64_t hm_talker_work_bytes(const hm_talker_work *work);

/* HM_EUSAGE when prompt and frames do not fit the positions. Nothing is allocated between begin and end (except by kv=concat). */
hm_status hm_utterance_begin(hm_ctx *c, hm_utterance **out, hm_talker_work *work, const hm_talker_request *request, hm_error *err);
void hm_utterance_end(hm_ctx *c, hm_utterance **utterance);
uint64_t hm_utterance_kv_bytes(const hm_utterance *u);
/* Bytes of `batch` such utterances at once: the talker's caches at their largest; everything else, the code predictor's caches and the
 * remembered prompt among it. known_rows: of the prompt; 0: those that the request's ids make. */
void hm_talker_estimate(const hm_ctx *c, const hm_talker_shape *g, const hm_talker_request *r, int batch, int known_rows,
                        uint64_t *kv_bytes, uint64_t *scratch_bytes);

/* The prompt through the talker (sections 5 and 6). prefix: with the toggle, the rows that the work's last prompt began with as well are
 * not computed again (their keys and values are copied). */
void hm_utterance_prefill(hm_ctx *c, hm_talker_work *work, hm_utterance *u);
#define HM_TALKER_AHEAD 8 /* frames that are made before the first of them is looked at */
/* The next frame of n <= batch utterances (section 7): group 0 is drawn, then the others, then the frame goes through the talker unless it
 * is an utterance's last. ended[i]: codec_eos was drawn, no frame was made. With sync=ahead that is told up to HM_TALKER_AHEAD - 1 frames
 * later, or with the last one of max_frames, and what was made after the end is not counted any more. */
void hm_talker_frame(hm_ctx *c, hm_talker_work *work, hm_utterance *const *u, int n, bool *ended);

/* Frames made so far, and where their codes that go on lie on the device: [frames][G]. */
int hm_utterance_frames(const hm_utterance *u);
const int32_t *hm_utterance_codes(const hm_utterance *u);
/* Codes as drawn and logits of the codes that went on, of `frames` frames from `first` on, to the host: [frames][G] each; either may be
 * NULL. The codes that went on are the stored ones where there are some. */
void hm_utterance_collect(hm_ctx *c, hm_utterance *u, int first, int frames, int32_t *codes, float *logits);
int hm_utterance_prompt_rows(const hm_utterance *u);
/* The code of group 0 that the original draws and throws away: codec_eos, or, with request.surplus, what follows the last frame. -1
 * when there is neither. Call it once, at the end. */
int32_t hm_utterance_surplus(hm_ctx *c, hm_utterance *u);

#endif
