/* What the files of Qwen3-TTS share. */
#ifndef HM_ENGINE_MODELS_QWEN3_TTS_IMPL_H
#define HM_ENGINE_MODELS_QWEN3_TTS_IMPL_H

#include "engine/models/qwen3_tts.h"

#define HM_TALKER_SUPPRESSED 1024            /* the last rows of the codec vocabulary are never drawn, codec_eos apart */
#define HM_PREDICTOR_BATCH (HM_FEW_ROWS / 2) /* utterances of one predictor pass: its first one has two rows of each */
#define HM_TEXT_CHUNK 64                     /* text rows projected together */
#define HM_TEXT_CACHE 384                    /* projected text rows kept */

/* What a row of a prompt is the sum of: P(text) and a row of codec width. */
enum {
    HM_ROW_PAD = -1,
    HM_ROW_BOS = -2,
    HM_ROW_EOS = -3
}; /* text: below 0, one of the three special rows */
enum {
    HM_ROW_NONE = -1,
    HM_ROW_SPEAKER = -2,
    HM_ROW_REFERENCE = -3
}; /* codec: frame t of the reference is HM_ROW_REFERENCE - t */
typedef struct hm_row_source {
    int32_t text, codec;
} hm_row_source;

/* The rows of a prompt, then those of the trailing text; rows NULL: counted alone. Returns the prompt's. */
int hm_talker_plan(const hm_talker_shape *g, const hm_talker_request *r, hm_row_source *rows, int *trailing);

struct hm_utterance {
    const hm_talker *m;
    hm_talker_work *work;
    hm_talker_request request;
    int prompt_rows, trailing, frames; /* L, R, frames made */
    hm_kv_cache kv;
    void *memory;                   /* device */
    float *z, *logits;              /* of the last step: [H], [V] */
    float *trailing_text;           /* [R][H] */
    float *special;                 /* [3][H]: pad, bos, eos, where they are projected per request */
    float *picked;                  /* [max_frames+1][G] logits of the codes that went on */
    int32_t *codes, *fed;           /* [max_frames+1][G] as drawn and as they went on: fed is codes unless others are stored */
    uint32_t *seen;                 /* [V] bits */
    hm_row_source *rows;            /* host, [L+R] */
    int32_t *host_codes, *host_fed; /* [max_frames+1][G], as far as the host knows them */
    float *host_picked;
    uint32_t *host_seen;
};

struct hm_talker_work {
    const hm_talker *m;
    int batch, rows, positions;
    hm_transformer_config talker, predictor; /* with the positions that there are room for */
    hm_transformer_scratch talker_scratch, predictor_scratch;
    hm_kv_cache predictor_kv;
    void *memory; /* device scratch */
    uint64_t scratch_bytes;
    float *x, *y, *t;          /* [max(rows, batch)][H] */
    float *row_logits;         /* [rows or batch][V] */
    float *hidden;             /* [layers][rows][H], where every layer's hidden states are kept */
    float *text_in, *text_mid; /* [HM_TEXT_CHUNK][Ht] */
    float *text_cache;         /* [HM_TEXT_CACHE][H] */
    float *pass_in;            /* [2*HM_PREDICTOR_BATCH][H] predictor inputs before their projection */
    float *pass_x, *pass_y;    /* [2*HM_PREDICTOR_BATCH][Hc] */
    float *pass_logits;        /* [G-1][utterances][Vc] */
    float *pair_logits;        /* [2*HM_PREDICTOR_BATCH][Vc] */
    float *processed, *mask;   /* [V] */
    int32_t *ids;              /* [id_room] */
    int id_room;
    /* host */
    int32_t *host_ids, *text_slot; /* [id_room]; [text_vocab] row of the cache plus 1, 0: none */
    int text_used;
    float *host_logits, *host_masked, *host_mask, *host_scratch;
    uint32_t *host_seen;
    /* the last prompt, where equal beginnings are used again */
    hm_kv_cache prefix_kv;
    hm_row_source *prefix_rows; /* [rows], prefix_count of them known */
    int prefix_count;
    float *prefix_speaker; /* [H] */
    int32_t *prefix_codes; /* [rows][G] */
};

/* Configs of the two stacks for up to `positions` positions of the talker. */
hm_transformer_config hm_talker_stack(const hm_talker_shape *g, int positions);
hm_transformer_config hm_predictor_stack(const hm_talker_shape *g);

/* Section 5.2: out [n][H] = P(ids), ids [n] on the device; in_mid: two buffers of [n][Ht]. A row's bytes do not depend on n. */
void hm_talker_project_text(hm_ctx *c, const hm_talker *m, float *out, float *in, float *mid, const int32_t *ids, int n);
/* Section 5.4: the prompt's rows into work->x [L][H], the trailing text into the utterance. */
void hm_utterance_embed(hm_ctx *c, hm_talker_work *w, hm_utterance *u);
/* How many rows the last prompt began with as well; and this prompt becomes the last one. */
int hm_talker_common_rows(const hm_talker_work *w, const hm_utterance *u);
void hm_talker_remember_prompt(hm_ctx *c, hm_talker_work *w, const hm_utterance *u);

/* The first failure of an operation so far, told to the caller. */
static inline hm_status hm_talker_status(const hm_ctx *c, hm_error *err)
{
    return c->error.status ? hm_fail(err, c->error.status, "%s", c->error.text) : HM_OK;
}

static inline const float *hm_utterance_special(const hm_utterance *u, int32_t which)
{
    const hm_talker *m = u->m;
    const float *made[] = {m->text_pad, m->text_bos, m->text_eos};
    return u->special ? u->special + (size_t)(HM_ROW_PAD - which) * (size_t)m->shape.talker.width : made[HM_ROW_PAD - which];
}

#endif
