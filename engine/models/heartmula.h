/* HeartMuLa: the music language model. Prompt ids in, frames of codes out. Steps as numbered in heartmula.md. */
#ifndef HM_ENGINE_MODELS_HEARTMULA_H
#define HM_ENGINE_MODELS_HEARTMULA_H

#include <jansson.h>

#include "engine/base/part.h"
#include "engine/checkpoint.h"
#include "engine/models/transformer.h"

#define HM_MULA_MAX_CODEBOOKS 32

typedef struct hm_mula_config {
    hm_lm_shape shape; /* what the table of tensors follows from */
    hm_transformer_config backbone, decoder;
    int text_vocabulary; /* TV: rows of the text embedding */
    int code_vocabulary; /* V: rows per codebook, specials included */
    int codebooks;       /* K */
    int muq_dim;         /* Q: width of the continuous conditioning vector */
    int text_bos, text_eos, audio_eos, empty_id;
} hm_mula_config;

typedef struct hm_mula {
    hm_mula_config config;
    hm_transformer backbone, decoder;
    hm_linear projection, c0_head, muq;
    hm_linear audio_head[HM_MULA_MAX_CODEBOOKS];                    /* K-1, stored [in][out] */
    const void *text_embeddings, *audio_embeddings, *unconditional; /* tables */
    hm_dtype text_type, audio_type, unconditional_type;
} hm_mula;

/* From config.json (flavors by name, or dims inline); special ids from gen, or, when NULL, from the config itself. */
hm_status hm_mula_config_read(hm_mula_config *out, const json_t *config, const hm_gen_config *gen, const char *where, hm_error *err);
hm_status hm_mula_bind(hm_ctx *c, hm_mula *m, const hm_mula_config *config, hm_weights *w, hm_error *err);
void hm_mula_release(hm_mula *m);
/* theta_j, j < half, of the scaled rotation (heartmula.md section 3), bit-equal to the original. Host memory. */
void hm_mula_theta(float *theta, int head_dim);
/* Weights that one frame must read at least, bytes; and floating-point operations of one frame at position pos (heartmula.md section 9). */
uint64_t hm_mula_frame_bytes(const hm_mula *m);
uint64_t hm_mula_distinct_bytes(const hm_mula *m); /* the same, weights that are read again counted once */
/* Backbone, decoder, and the heads within each, added to parts. */
void hm_mula_parts(const hm_mula *m, hm_parts *parts);
double hm_mula_frame_flops(const hm_mula_config *g, int rows, int pos);

typedef struct hm_mula_request {
    const int32_t *text_ids; /* [n] text column; entry `slot` is the continuous vector's */
    int n, slot;
    const float *muq; /* [Q], or NULL: zeros */
    int max_frames;
    double cfg_scale; /* > 1: guidance */
    int topk;
    float temperature;
    uint64_t seed;
    const int32_t *stored;       /* [max_frames][K] fed back, or NULL */
    bool forced;                 /* the end-of-song rule is not asked for */
    bool meanwhile;              /* what becomes of frames waits for them: none runs ahead */
    const hm_logit_sink *logits; /* NULL: nobody looks */
} hm_mula_request;

#define HM_MULA_AHEAD 8  /* frames that are made before the first of them is looked at */
#define HM_MULA_BATCH 16 /* songs that go side by side at most */

/* Buffers of forwards, shared by the songs that are at work. What lies side by side in them goes pass by pass, in a pass song by song, of
 * a song its rows in that pass. Nothing is kept here from one call to the next. */
typedef struct hm_mula_work {
    const hm_mula *m;
    int batch, rows;       /* songs at once, batch rows of each (2 where any has guidance) */
    int prompt, positions; /* longest prompt; longest prompt and frames together */
    hm_transformer_scratch backbone_scratch, decoder_scratch;
    void *memory; /* device scratch */
    uint64_t scratch_bytes;
    float *h, *x, *y;                      /* with R the rows of a prompt, or those of all songs: [R][Db]; x: one pass of several songs */
    float *columns, *column_mask;          /* embeddings to sum: [rows*prompt][K+1][Db], [rows*prompt][K+1] */
    float *dec_in, *dec_x, *dec_y;         /* a pass of the decoder: [few+1][Db], [few+1][Dd] twice */
    float *logits, *row_logits, *guided;   /* of the decoder [rows of all songs][V]; of heads on all rows; [V] */
    float *muq_in;                         /* [Q] */
    int32_t *ids, *offsets, *zeros, *flag; /* device: [prompt*K + prompt], [K], [prompt], [1] */
    float *host_logits, *host_floats, *host_scratch; /* [V], [rows*prompt*(K+1)], of the sampling passes */
    int32_t *host_ids;                               /* [prompt*K + prompt] */
} hm_mula_work;

/* State of one song: caches, codes, and what leads to its next frame. Nothing is allocated between begin and end (except by kv=concat). */
typedef struct hm_mula_song {
    const hm_mula *m;
    hm_mula_request request;
    int frames;                  /* made so far */
    int checked;                 /* of them, those that are known not to end the song (sync=ahead) */
    int rows, passes, pass_rows; /* batch rows in all (2 with guidance), passes, rows per pass */
    hm_kv_cache backbone_kv[2], decoder_kv[2];
    void *memory; /* device */
    uint64_t bytes;
    float *last, *logits;    /* the backbone's last position [rows][Db], and the logits of codebook 0 there [rows][V] */
    float *picked;           /* [max_frames][K] guided logits of the codes that went on */
    int32_t *codes, *stored; /* device: [max_frames][K] each; stored NULL without */
    int32_t *ends;           /* device: [HM_MULA_AHEAD] whether a frame ends the song (sync=ahead) */
    int32_t *host_codes;     /* [max_frames][K] as drawn */
    int32_t *host_fed;       /* [max_frames][K] as they went on, where the host knows them */
    float *host_picked;
} hm_mula_song;

/* batch: songs at once; guided: any of them has guidance; prompt: the longest; positions: the longest prompt and frames together.
 * HM_EUSAGE when these do not fit the model's. */
hm_status hm_mula_work_open(hm_ctx *c, hm_mula_work *w, const hm_mula *m, int batch, bool guided, int prompt, int positions, hm_error *err);
void hm_mula_work_close(hm_ctx *c, hm_mula_work *w);

/* A song within what the work was opened for. */
hm_status hm_mula_begin(hm_ctx *c, hm_mula_song *s, const hm_mula *m, const hm_mula_request *request, hm_error *err);
void hm_mula_end(hm_ctx *c, hm_mula_song *s);
uint64_t hm_mula_kv_bytes(const hm_mula_song *s);
/* Bytes that `batch` such songs at once would take: caches (at their largest) and scratch. */
void hm_mula_estimate(const hm_ctx *c, const hm_mula_config *g, const hm_mula_request *request, int batch, uint64_t *kv_bytes,
                      uint64_t *scratch_bytes);

/* The prompt through the backbone. */
void hm_mula_prefill(hm_ctx *c, hm_mula_work *w, hm_mula_song *s);
/* The next frame of n <= batch songs: the one before goes through the backbone, then the codes are drawn. A song's codes are those it
 * gets alone. ended[i]: the end-of-song rule met (never in frame 0), in the last frame that song->frames counts; the frame is made and
 * counted all the same. With sync=ahead that is told up to HM_MULA_AHEAD - 1 frames later, or with the last one of max_frames, and what was
 * made after the end is not counted any more. */
void hm_mula_frame(hm_ctx *c, hm_mula_work *w, hm_mula_song *const *songs, int n, bool *ended);
/* Codes of `frames` frames from `first` on as drawn, to the host: [frames][K]. */
void hm_mula_codes(hm_ctx *c, hm_mula_song *s, int first, int frames, int32_t *codes);
/* Codes and picked logits of `frames` frames on the host: codes [frames][K], logits [frames][K]. */
void hm_mula_collect(hm_ctx *c, hm_mula_song *s, int frames, int32_t *codes, float *logits);

#endif
