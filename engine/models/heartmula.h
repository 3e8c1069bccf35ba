/* HeartMuLa: the music language model. Prompt ids in, frames of codes out. Steps as numbered in heartmula.md. */
#ifndef HM_ENGINE_MODELS_HEARTMULA_H
#define HM_ENGINE_MODELS_HEARTMULA_H

#include <jansson.h>

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
    hm_linear audio_head[HM_MULA_MAX_CODEBOOKS]; /* K-1, stored [in][out] */
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
double hm_mula_frame_flops(const hm_mula_config *g, int rows, int pos);

typedef struct hm_mula_request {
    const int32_t *text_ids; /* [n] text column; entry `slot` is the continuous vector's */
    int n, slot;
    const float *muq;        /* [Q], or NULL: zeros */
    int max_frames;
    double cfg_scale;        /* > 1: guidance */
    int topk;
    float temperature;
    uint64_t seed;
    const int32_t *stored;   /* [max_frames][K] fed back, or NULL */
} hm_mula_request;

/* State of one song: caches, buffers, codes. Sized by hm_mula_begin, nothing is allocated afterwards (except by kv=concat). */
typedef struct hm_mula_song {
    const hm_mula *m;
    hm_mula_request request;
    int rows, passes, pass_rows; /* batch rows in all (2 with guidance), passes, rows per pass */
    hm_kv_cache backbone_kv[2], decoder_kv[2];
    hm_transformer_scratch backbone_scratch, decoder_scratch;
    void *memory;                /* device scratch */
    uint64_t scratch_bytes;
    float *h, *y, *last;         /* [rows*n][Db], [rows*n][Db], [rows][Db] */
    float *columns, *column_mask;/* embeddings to sum: [rows*n][K+1][Db], [rows*n][K+1] */
    float *dec_in, *dec_x, *dec_y; /* [rows*2+1][Db], [rows*2][Dd], [rows*2][Dd] */
    float *logits, *row_logits, *guided; /* [rows][V], [rows*n][V], [V] */
    float *picked;               /* [max_frames][K] guided logits of the codes that went on */
    float *muq_in, *muq_out;
    int32_t *ids, *offsets, *zeros, *codes, *stored, *flag; /* device: [rows*n*K], [K], [rows*n], [max_frames][K], [max_frames][K], [1] */
    int32_t *host_codes;         /* [max_frames][K] as drawn */
    int32_t *host_fed;           /* [max_frames][K] as they went on, where the host knows them */
    float *host_logits, *host_picked, *host_floats;
    int32_t *host_ids;
    float *host_scratch;         /* of the sampling passes */
} hm_mula_song;

/* Sizes and allocates. HM_EUSAGE when prompt and frames do not fit the positions. */
hm_status hm_mula_begin(hm_ctx *c, hm_mula_song *s, const hm_mula *m, const hm_mula_request *request, hm_error *err);
void hm_mula_end(hm_ctx *c, hm_mula_song *s);
/* Bytes begin would take: caches (at their largest) and scratch. */
void hm_mula_estimate(const hm_ctx *c, const hm_mula_config *g, const hm_mula_request *request, uint64_t *kv_bytes, uint64_t *scratch_bytes);

/* The prompt through the backbone; then the codes of frame 0, 1, ... *ended: the end-of-song rule met (never in frame 0). */
void hm_mula_prefill(hm_ctx *c, hm_mula_song *s);
void hm_mula_frame(hm_ctx *c, hm_mula_song *s, int frame, bool *ended);
/* Frame `frame` goes on: its codes through the backbone, ready for the next. */
void hm_mula_advance(hm_ctx *c, hm_mula_song *s, int frame);
/* Codes of `frames` frames from `first` on as drawn, to the host: [frames][K]. */
void hm_mula_codes(hm_ctx *c, hm_mula_song *s, int first, int frames, int32_t *codes);
/* Codes and picked logits of `frames` frames on the host: codes [frames][K], logits [frames][K]. */
void hm_mula_collect(hm_ctx *c, hm_mula_song *s, int frames, int32_t *codes, float *logits);

#endif
