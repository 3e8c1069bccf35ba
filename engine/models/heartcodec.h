/* HeartCodec: codes to 48 kHz stereo. RVQ and conditioning, flow matching with a diffusion transformer, and a convolutional
 * waveform decoder. Steps as numbered in heartcodec.md. */
#ifndef HM_ENGINE_MODELS_HEARTCODEC_H
#define HM_ENGINE_MODELS_HEARTCODEC_H

#include "engine/models/conv.h"
#include "engine/shapes.h"

#define HM_CODEC_MAX_STEPS 100
#define HM_CODES_PER_SECOND 12.5
#define HM_LATENTS_PER_CODE 2
#define HM_DETOK_SECONDS 29.76      /* the original's segment */
#define HM_DETOK_FIRST_SECONDS 7.44 /* a short first segment: the shortest there can be */
#define HM_CODEC_UNITS 5            /* residual units per stage */

typedef struct hm_dit_block {
    hm_linear q, k, v, o, gate, up, down;
    float *attn_norm, *mlp_norm; /* [D] */
    float *scale_shift;          /* [6][D] */
} hm_dit_block;

/* One of the two stacks of the estimator. */
typedef struct hm_dit_stack {
    int layers, heads, head_dim, dim, ffn_dim;
    hm_dit_block *blocks;
    float *scale_shift;                   /* [2][D] of the output norm */
    hm_linear time_1, time_2, modulation; /* 512 -> D, D -> D, D -> 6D */
    float *theta;                         /* [head_dim/2] */
} hm_dit_stack;

/* Convolution of kernel 3, times 3^-1/2, then a linear layer. Of the first two it is a sum of convolutions over ranges of inputs, always
 * added in the order fixed + state + inner, so that a sum that is there already has the bytes of one that is made again. */
typedef struct hm_project {
    hm_conv fixed; /* context | mu, biased: the same in all steps of a segment */
    hm_conv state; /* x, the same in both guidance rows */
    hm_conv inner; /* rows of a stack; biased where it stands alone */
    hm_linear linear;
} hm_project;

/* What the time of a step comes to: [steps][layers][6][D] for blocks, [steps][2][D] for the norm after them. And rotations of positions
 * 0 .. frames-1. Per stack. */
typedef struct hm_dit_tables {
    int steps, frames;
    float *block_mod[2], *norm_mod[2], *cos[2], *sin[2];
} hm_dit_tables;

typedef struct hm_dit {
    hm_dit_stack stack[2];
    hm_project proj_in, connection, proj_out; /* connection has all three parts, proj_in no inner one, proj_out nothing else */
    int in, out;                              /* I, O */
    hm_dit_tables kept;                       /* precompute=once: made at load, of the variant's steps and the original's segments */
} hm_dit;

typedef struct hm_residual_unit {
    hm_conv conv1, conv2;
    float slope1, slope2;
    int dilation;
} hm_residual_unit;

typedef struct hm_decoder_stage {
    hm_conv up;
    hm_residual_unit unit[HM_CODEC_UNITS];
} hm_decoder_stage;

typedef struct hm_scalar_model {
    int stages, latent, repeat;  /* n, Z, r */
    hm_conv input, post, output; /* post: of repeated rows (rows=needed), or of rows that are written r times */
    float post_slope;
    hm_decoder_stage *stage;
    int rate; /* samples per latent frame: prod(u)*r */
} hm_scalar_model;

typedef struct hm_codec {
    hm_codec_shape shape;
    const void *embed[64]; /* per quantizer [V][d] */
    hm_dtype embed_type;
    hm_linear project_out, cond; /* project_out.w NULL when d = C */
    hm_dit dit;
    hm_scalar_model decoder;
} hm_codec;

hm_status hm_codec_bind(hm_ctx *c, hm_codec *m, const hm_codec_shape *shape, hm_weights *w, hm_error *err);
void hm_codec_release(hm_codec *m);
/* Of the estimator's blocks; of the waveform decoder's stages. */
void hm_codec_formats(const hm_codec *m, hm_formats *dit, hm_formats *wave);
/* Sizes alone, without weights: for estimates. Released like a bound one. */
hm_status hm_codec_describe(hm_codec *m, const hm_codec_shape *shape, hm_error *err);
/* Bytes of folded convolution weights that binding allocates. */
uint64_t hm_codec_folded_bytes(const hm_codec *m);
/* What the toggles make of described sizes; returns the bytes of tables that binding makes. */
uint64_t hm_codec_as_bound(const hm_ctx *c, hm_codec *m);

/* --- dit.c: the estimator and the solver --- */

typedef struct hm_dit_scratch {
    int segments, passes;                         /* solved side by side; guidance rows of each: 1 or 2 */
    int rows, frames, steps;                      /* batch rows of a call, T, M laid out for */
    float *in;                                    /* [rows][T+2][I]: x | context | mu, a zero row on each side */
    float *inner_in, *out_in;                     /* [rows][T+2][D1], [rows][T+2][D2] */
    float *s, *n, *q, *k, *v, *a, *t, *gate, *up; /* [rows*T][widest] */
    float *fixed_sum[2], *state_sum[2];           /* once: [passes*segments][T][D] and [segments][T][D] of proj_in and connection */
    float *velocity;                              /* [2][segments][T][O] */
    float *features, *hidden, *emb[2], *mod[2];   /* [times][512]; [times][D2]; [times][D]; [times][6D] */
    float *block_mod[2], *norm_mod[2];            /* of times that no table has: [rows][6D] of the block at work, [rows][2D] */
    hm_dit_tables own, tables;                    /* room for those that are not kept; those in use */
} hm_dit_scratch;

/* What the estimator is to be laid out for. */
typedef struct hm_dit_extent {
    int segments, passes; /* side by side; guidance rows of each */
    int frames, steps;    /* steps 0: no table of times */
} hm_dit_extent;

void hm_dit_layout(const hm_ctx *c, hm_layout *l, hm_dit_scratch *s, const hm_dit *m, const hm_dit_extent *extent);
/* Rotation tables and the modulation of the steps that are laid out, where they are made once and not kept. */
void hm_dit_prepare(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s);
/* Sizes of the tables that are kept, and their bytes; the tables, in `memory` of so many. */
uint64_t hm_dit_kept_bytes(const hm_ctx *c, hm_dit *m);
hm_status hm_dit_keep(hm_ctx *c, hm_dit *m, void *memory, hm_error *err);
/* Frames and segments of the calls that follow, at most those laid out; clears the rows around them. */
void hm_dit_frames(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, int segments, int frames);

/* One pass of the estimator over s->in filled with rows of [T][I] (see hm_dit_input). */
typedef struct hm_dit_call {
    const float *t; /* [rows], host; the same where step says which */
    int step;       /* of the solver: what its tables and its step 0 left is used (precompute=once). -1: all is computed now */
    int rows;
    int pass;  /* index of the first row's guidance row */
    int known; /* frames whose velocity is not asked for */
} hm_dit_call;

/* velocity [rows][T-known][O]. */
void hm_dit_forward(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_dit_call *call);
/* Puts width columns of src [T][ld] into columns first.. of batch row `row` of s->in. */
void hm_dit_input(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, int row, int first, const float *src, int64_t ld, int width);

typedef struct hm_flow_request {
    const float *mu;      /* [segments][T][C], device; segments and T as told to hm_dit_frames */
    const float *noise;   /* [segments][T][O], device */
    const float *context; /* [context_frames][O], device, of a segment that is alone; NULL when none */
    int context_frames, steps;
    float guidance;                /* <= 1: off */
    float *x;                      /* [segments][T][O], device: the result */
    int steps_before, steps_total; /* of the whole song, for progress */
} hm_flow_request;

/* Steps that the variant's toggle stands for. */
int hm_flow_steps(const hm_ctx *c);
/* t_0 .. t_M as the original's linspace(0, 1, M+1) in float32 (heartcodec.md section 5). */
void hm_flow_times(float *t, int steps);
void hm_flow_solve(hm_ctx *c, const hm_dit *m, hm_dit_scratch *s, const hm_flow_request *r);

/* --- scalar_model.c: latents to waveform --- */

/* Buffers have room for a convolution's history before their first row. */
typedef struct hm_wave_scratch {
    float *head;                             /* output of the input convolution */
    float *level[HM_CODEC_MAX_STAGES];       /* of stage i */
    float *spare[HM_CODEC_MAX_STAGES];       /* fuse=none: as large, free while stage i works */
    float *t;                                /* inside a residual unit */
    float *repeated, *post;                  /* of the post processor; repeated: rows=all */
    float *history;                          /* carried rows of every convolution */
    float *carried[HM_CODEC_MAX_STAGES + 1]; /* those of stage i, and of all after the stages */
    float *latents;                          /* [kd-1+T][Z], rounded, zero rows on both sides */
    /* rows that are taken at once: by the input convolution, by stage i, by what is after them */
    int frames, step[HM_CODEC_MAX_STAGES], last_step;
    int samples[HM_CODEC_MAX_STAGES + 1]; /* per row of stage i's input, and of the last one's output */
    int max_frames;
    bool whole; /* everything at once */
} hm_wave_scratch;

void hm_wave_layout(const hm_ctx *c, hm_layout *l, hm_wave_scratch *s, const hm_scalar_model *m, int frames);
/* latents: Z columns at `latents` with row stride ld (device), `frames` rows -> wave [frames*rate] (device), of which only the first
 * `needed` samples are used by the caller (decode=stream stops there). channel: index for taps. */
void hm_wave_decode(hm_ctx *c, const hm_scalar_model *m, hm_wave_scratch *s, const float *latents, int64_t ld, int frames, float *wave,
                    int64_t needed, int channel);

/* --- heartcodec.c: codes, segments, joining --- */

/* Where a segment's noise comes from: fills z [frames][O] on the host for segment k. */
typedef struct hm_noise_source {
    void *self;
    void (*fill)(void *self, int segment, float *z, int64_t count);
} hm_noise_source;

typedef struct hm_detok_request {
    const int32_t *codes; /* [frames][quantizers], -1: no code; out of range: clamped and counted */
    int frames;
    double duration_s; /* of a segment: 29.76 */
    int steps;
    float guidance;
    bool tiled, lose_tail; /* as the original: whole segments; the last codes of some lengths lost */
    bool short_first;      /* a first segment of HM_DETOK_FIRST_SECONDS */
    bool side_by_side;     /* segments know nothing of each other but the noise where they overlap, and are solved together */
    bool open;             /* frames is the most there can be; how many there are hm_detok_length says. Until then only the codes of the
                             * segments that are made need be there */
    hm_noise_source noise;
    float *audio; /* [channels][samples of the plan], zeros from the heap, begin's from now on; NULL: it makes its own */
} hm_detok_request;

/* What the stages of decoding take, in bytes: codes to latents, latents to audio, and the audio. All is there from begin to end. */
typedef struct hm_detok_memory {
    uint64_t flow, vocoder, audio;
} hm_detok_memory;

/* Segments of one duration: codes, new ones among them, and those shared with the segment after; the same in samples. */
typedef struct hm_detok_cut {
    int ns, hop, overlap;
    int64_t samples, overlap_samples;
} hm_detok_cut;

/* Numbers of a song's segments, in codes unless said (heartcodec.md section 6). */
typedef struct hm_detok_plan {
    hm_detok_cut first, next; /* the first segment, and those after it */
    int segments, last_ns;    /* segments; codes of the last one (needed: may be shorter) */
    int64_t target;           /* samples of the song */
    int lost_codes;
} hm_detok_plan;

/* Of the request's segments, for a song of `frames` codes. */
hm_status hm_detok_plan_make(hm_detok_plan *p, const hm_codec_shape *g, const hm_detok_request *request, int frames, hm_error *err);

/* State of a detokenisation; nothing is allocated after begin. */
typedef struct hm_detok {
    const hm_codec *m;
    hm_detok_request request;
    hm_detok_plan plan;
    void *memory;
    uint64_t scratch_bytes;
    hm_dit_scratch dit;
    hm_wave_scratch wave;
    int side;                                                                  /* most segments solved together */
    int first_solved, solved;                                                  /* segments whose latents are in x: first .. solved-1 */
    float *mu, *noise, *x, *previous, *rvq, *rvq_rows, *rvq_mask, *cond, *pcm; /* device; of the first three [side] */
    float *tail; /* device [channels][tail_room]: of the segment before, what is shared with the next */
    int64_t tail_room;
    int32_t *ids;
    int32_t *codes;                           /* host: of one segment, [quantizers][n] */
    float *host_noise, *host_mask, *host_pcm; /* one segment; between segments host_pcm is free for others */
    float *audio;                             /* host [channels][room] */
    int64_t room;
    int done;        /* segments made */
    int64_t samples; /* per channel so far */
    int64_t final;   /* of them, those that no later segment changes */
} hm_detok;

/* RVQ and conditioning of n codes [quantizers][stride] (host): cond [n][C], and rvq_out before it in `rvq`. */
void hm_codec_condition(hm_ctx *c, hm_detok *d, const int32_t *codes, int64_t stride, int n, float *rvq, float *cond);
hm_status hm_detok_begin(hm_ctx *c, hm_detok *d, const hm_codec *m, const hm_detok_request *request, hm_error *err);
/* Segments whose codes are all among the first `frames`: they are the same however long the song gets. */
int hm_detok_ready(const hm_detok *d, int frames);
/* The length of an open one, at most that of begin and at least 1. */
void hm_detok_length(hm_ctx *c, hm_detok *d, int frames);
/* Codes of segment k into d->codes, clamped, repeated cyclically where the song has ended; returns how many. */
int hm_detok_codes(hm_detok *d, int k);
/* Where segment k > 0 begins to be mixed with the one before: *first, and the first sample that is its alone: *alone. */
void hm_detok_seam(const hm_detok *d, int k, int64_t *first, int64_t *alone);
/* Segment k, in order: solved, decoded, joined. */
void hm_detok_segment(hm_ctx *c, hm_detok *d, int k);
void hm_detok_end(hm_ctx *c, hm_detok *d);
uint64_t hm_detok_estimate(hm_ctx *c, const hm_codec *m, const hm_detok_request *request, hm_detok_memory *parts /* may be NULL */);

#endif
