/* What the files of the CPU backend share: the device, the jobs given to threads, and the table of kernels per instruction set. */
#ifndef HM_ENGINE_CPU_DEVICE_H
#define HM_ENGINE_CPU_DEVICE_H

#include <stdatomic.h>

#include "engine/base/arena.h"
#include "engine/cpu/cpu.h"
#include "engine/sampling.h"

#define HM_CPU_WORK_BYTES ((size_t)1 << 20)  /* scratch of each thread: packed panels and tiles */
#define HM_CPU_GEMV_MAX_ROWS 16              /* linear layers of up to this many rows read W once, in its stored order */
#define HM_CPU_PANEL_MAX_IN (1 << 18)        /* most inputs of a row that quantised fit a thread's scratch */
#define HM_CPU_GEMV_BLOCK 64                 /* outputs finished together; threads split at this grain or finer */
#define HM_CPU_GEMV_COLUMNS 4224             /* the same for input-major W: long runs of each row; half of 8197 codes fits */
#define HM_CPU_GEMM_ROWS 192                 /* rows of a GEMM tile: multiple of every micro kernel's height */
#define HM_CPU_GEMM_COLS 256                 /* most columns of a GEMM tile: multiple of every micro kernel's width */
#define HM_CPU_GEMM_DEPTH 256                /* inputs summed in registers before they join the sum in memory */
#define HM_CPU_PANEL_TILE_ROWS 96            /* rows of a GEMM tile over panels: multiple of every micro kernel's height */
#define HM_CPU_PANEL_TILE_COLS 256           /* most columns of one ... */
#define HM_CPU_PANEL_COPY_COLS 1024          /* ... whose inputs are copied, once for all of them ... */
#define HM_CPU_PANEL_QUANT_COLS 512          /* ... of quantised weights */
#define HM_CPU_QUANTISED_BYTES (16 << 20)    /* most of inputs that are quantised once for all tiles */
#define HM_CPU_PANEL_GRAIN_ROWS 12           /* what tiles are multiples of: strips of rows ... */
#define HM_CPU_PANEL_GRAIN_COLS 32           /* ... and of columns */
#define HM_CPU_THIN_COLS 4                   /* a GEMM of so few outputs is done as dot products ... */
#define HM_CPU_THIN_DEPTH 16384              /* ... of up to this many inputs */
#define HM_CPU_THIN_GRAIN_ROWS 16            /* rows of its tiles: whole vectors of them */
#define HM_CPU_NARROW 8                      /* a row convolution of so few inputs and outputs is done by vectors of rows ... */
#define HM_CPU_NARROW_REACH 1024             /* ... when its taps lie whole rows apart, together at most so many */
#define HM_CPU_NARROW_ROWS 1024              /* rows of its tiles: multiple of two vectors */
#define HM_CPU_COLUMNS 64                    /* columns that operations over columns take at a time */
#define HM_CPU_DEPTHWISE_TAPS 256            /* most taps of a depthwise convolution */
#define HM_CPU_ATTN_ROWS 96                  /* query rows of an attention task; half of them where heads are large ... */
#define HM_CPU_ATTN_MANY_ROWS 768            /* ... and at most so many where keys and values are brought into panels for each task */
#define HM_CPU_ATTN_WIDE_HEAD 256            /* heads up to here are not large */
#define HM_CPU_ATTN_SLOTS HM_ATTENTION_BLOCK /* slots per block */
#define HM_CPU_ATTN_MAX_HEAD 1024            /* largest head */

/* What happens to finished sums z[0..n) on their way to y. */
typedef struct hm_cpu_finish {
    const float *bias;
    hm_act act;
    float slope;
    const float *snake_a, *snake_b; /* [out], with HM_ACT_SNAKE */
    bool residual;                  /* y = act(z) + r */
    bool multiply;                  /* y = act(z) * y */
} hm_cpu_finish;

typedef struct hm_cpu_gemv_part {
    const hm_linear *w;
    float *y;
    int64_t ldy;
} hm_cpu_gemv_part;

/* y_i = finish(W_i x) for up to three matrices; with swiglu: y_0 = silu(W_0 x) * (W_1 x). */
typedef struct hm_cpu_gemv {
    hm_cpu_gemv_part part[3];
    int parts;
    bool swiglu;
    const float *x; /* [M][in] */
    int M;
    hm_cpu_finish finish;
} hm_cpu_gemv;

typedef struct hm_cpu_gemm {
    const hm_linear *w;
    float *y;
    const float *x, *residual;
    int M, in, taps, depth; /* depth = taps*in; in and taps are 1 tap when the taps are contiguous */
    int64_t ldy, ldx, tap_stride;
    hm_cpu_finish finish;
    bool thin;       /* tiles by dot products */
    bool narrow;     /* tiles by vectors of rows */
    bool in_place;   /* tiles over panels read inputs where they lie */
    void *quantised; /* inputs of all rows; NULL: every tile quantises its own */
    int tile_rows, tile_cols, tiles_m, tiles;
    atomic_int next; /* tile to take */
} hm_cpu_gemm;

/* Row s sees slots begin .. end-1. */
static inline int hm_cpu_slots_end(const hm_attention_args *a, int s)
{
    return a->causal && a->pos + s + 1 < a->slots ? a->pos + s + 1 : a->slots;
}

static inline int hm_cpu_slots_begin(const hm_attention_args *a, int s)
{
    int begin = a->causal && a->window > 0 ? a->pos + s + 1 - a->window : 0, end = hm_cpu_slots_end(a, s);
    return begin < 0 ? 0 : begin < end ? begin : end;
}

typedef struct hm_cpu_attention {
    const hm_attention_args *a;
    float *scores;        /* [B*kv.heads][S*group][score_stride], or NULL when streamed */
    int64_t score_stride; /* floats */
    int group, blocks;    /* query heads per stored head; tasks per (b, stored head) */
    int rows;             /* of a task */
    int splits;           /* parts that the slots of a task are cut into */
    float *parts;         /* with splits > 1: what the blocks of slots are, [tasks][part_blocks][rows][padded head + HM_KV_LANES] */
    int part_blocks;
    atomic_int *arrived; /* with splits > 1: parts done of each task */
    atomic_int next;
} hm_cpu_attention;

/* Kernels of one instruction set. `work` is the calling thread's scratch. */
typedef struct hm_cpu_kernels {
    int lanes;
    void (*gemv)(const hm_cpu_gemv *job, float *work, int index, int count);
    void (*gemm)(hm_cpu_gemm *job, float *work);
    void (*rmsnorm_row)(float *y, const float *x, const float *weight, int D, float eps);
    void (*layernorm_row)(float *y, const float *x, const float *weight, const float *bias, int D, float eps);
    void (*modulate_row)(float *y, const float *x, const float *shift, const float *scale, int D);
    void (*gate_add_row)(float *x, const float *delta, const float *gate, int D);
    void (*add)(float *y, const float *x, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);
    void (*scale)(float *y, float a, size_t n);
    void (*activate)(float *y, hm_act act, float slope, size_t n);
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);
    void (*clamp)(float *y, float low, float high, size_t n);
    void (*guide)(float *y, const float *cond, const float *uncond, float scale, size_t n);
    void (*round9)(float *y, const float *x, size_t n);
    void (*rope_row)(float *x, const float *cos, const float *sin, int heads, int Dh, bool half);
    void (*gather_row)(float *y, const void *row, hm_dtype type, int D, bool add);
    void (*exp)(float *y, const float *x, size_t n);
    void (*multiply_row)(float *y, const float *x, const float *s, int D);
    void (*divide_row)(float *y, const float *x, float divisor, int D);
    void (*snake_row)(float *y, const float *x, const float *a, const float *b, int C);
    /* What reads columns takes up to HM_CPU_COLUMNS of them, pointers at the first; rows are C floats apart. */
    void (*depthwise)(float *y, const float *x, const float *w, const float *bias, int columns, int M, int64_t C, int taps, int step);
    void (*moments)(float *mean, float *std, const float *x, const float *weights, int columns, int M, int64_t C, float floor);
    void (*softmax_columns)(float *y, int columns, int M, int64_t C);
    void (*nearest)(int32_t *ids, const float *x, const float *table, int M, int V, int D);
    int32_t (*sample)(const hm_sample_input *in, float *scratch, uint64_t *elements);
} hm_cpu_kernels;

/* Linear layers whose weights are in panels (engine/panel.h). A table of its own: here instruction sets differ in more than width.
 * Activations meet quantised weights quantised themselves: int8 with one float32 scale per row and HM_PANEL_GROUP inputs,
 * scale = max|x| / 127, value = rint(x * (127 / max|x|)); products of a group are summed exactly in integers. */
typedef struct hm_cpu_panel_kernels {
    void (*gemv)(const hm_cpu_gemv *job, float *work, int index, int count); /* up to HM_CPU_GEMV_MAX_ROWS rows: W is read once */
    void (*gemm)(hm_cpu_gemm *job, float *work);                             /* many rows, and convolutions over rows */
    /* Before it, for weights that meet quantised inputs: all these into job->quantised, of so many bytes. 0: taps share no rows. */
    size_t (*quantised_bytes)(const hm_cpu_gemm *job);
    void (*quantise)(const hm_cpu_gemm *job, int index, int count);
} hm_cpu_panel_kernels;

extern const hm_cpu_kernels hm_cpu_kernels_scalar, hm_cpu_kernels_avx2, hm_cpu_kernels_avx512, hm_cpu_kernels_neon;
extern const hm_cpu_panel_kernels hm_cpu_panels_scalar, hm_cpu_panels_avx2, hm_cpu_panels_avx2vnni, hm_cpu_panels_avx512,
    hm_cpu_panels_avx512vnni, hm_cpu_panels_neon;

/* Attention stands outside the table, so that a build holds only the way it uses. */
void hm_cpu_scores_scalar(hm_cpu_attention *job, float *work);
void hm_cpu_scores_avx2(hm_cpu_attention *job, float *work);
void hm_cpu_scores_avx512(hm_cpu_attention *job, float *work);
void hm_cpu_scores_neon(hm_cpu_attention *job, float *work);
void hm_cpu_flash_scalar(hm_cpu_attention *job, float *work);
void hm_cpu_flash_avx2(hm_cpu_attention *job, float *work);
void hm_cpu_flash_avx512(hm_cpu_attention *job, float *work);
void hm_cpu_flash_neon(hm_cpu_attention *job, float *work);

struct hm_device {
    hm_team *team;
    hm_isa isa;
    const hm_cpu_kernels *k;
    const hm_cpu_panel_kernels *p;
    char place[24]; /* "cpu:avx2": what its operations note */
    int threads;
    hm_arena arena;
    uint8_t *work; /* HM_CPU_WORK_BYTES per thread, in the arena */
    void *scratch; /* grows at need: attention scores, sampling */
    size_t scratch_bytes;
};

static inline float *hm_cpu_work(const hm_device *dev, int index)
{
    return (float *)(dev->work + (size_t)index * HM_CPU_WORK_BYTES);
}

/* Runs fn on the team, or on the calling thread alone when the work (about one unit per multiply-add or element) is too small
 * to pay for waking the others. Either gives the same bytes. */
void hm_cpu_run(const hm_ops *op, hm_team_fn fn, void *arg, double work);

/* Scratch of at least that many bytes, 64-byte aligned, contents undefined; NULL with op->error set. */
void *hm_cpu_scratch(const hm_ops *op, size_t bytes, const char *what);

/* Starts an operation: false when an earlier one failed. Counts a launch and opens the span that hm_cpu_end closes. */
bool hm_cpu_begin(const hm_ops *op, const char *name);
void hm_cpu_end(const hm_ops *op, const char *name);

/* Entries of the table by family; each file fills in its own. */
void hm_cpu_fill_linear(hm_ops *ops);
void hm_cpu_fill_rows(hm_ops *ops);
void hm_cpu_fill_kv(hm_ops *ops);
void hm_cpu_fill_audio(hm_ops *ops);
void hm_cpu_fill_sample(hm_ops *ops);

#endif
