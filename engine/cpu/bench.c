#define _GNU_SOURCE
#include "engine/cpu/bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/time.h"
#include "engine/cpu/bench_kernels.h"
#include "engine/cpu/device.h"

#define ARENA_BYTES ((size_t)384 << 20) /* weights walk through it, so that none is still in a cache when its turn comes again */
#define SAMPLES 1000                    /* most of them: what disturbs calls of microseconds lasts milliseconds */
#define STEP_BYTES HM_CPU_READER_BYTES  /* of a block that no cache holds, timed by itself */
#define READ_BYTES ((size_t)8 << 20)    /* read by one call of all threads at least: starting them takes microseconds */

static const hm_cpu_bench_kernels *bench_kernels_of(hm_isa isa)
{
#if defined(__x86_64__)
    if (hm_isa_vectors(isa) == HM_ISA_AVX512)
        return &hm_cpu_bench_avx512;
    if (hm_isa_vectors(isa) == HM_ISA_AVX2)
        return &hm_cpu_bench_avx2;
#endif
    (void)isa;
    return &hm_cpu_bench_scalar;
}

static double now_s(void)
{
    return (double)hm_now_ns() * 1e-9;
}

/* The limits. */

typedef struct limit_job {
    const hm_cpu_bench_kernels *k;
    const float *p;
    size_t n;
    int streams;
    bool prefetch;
    int repeats; /* of reading: small blocks are over before threads have begun */
    const hm_cpu_way *way;
    long rounds;
} limit_job;

static void read_part(void *arg, int index, int count)
{
    const limit_job *j = arg;
    size_t first, last;
    hm_team_range(j->n, 1024, index, count, &first, &last);
    volatile float sink; /* what is computed must be used */
    for (int i = 0; i < j->repeats; i++)
        sink = j->k->read(j->p + first, last - first, j->streams, j->prefetch);
    (void)sink;
}

enum {
    READ_WAYS = 8
};

static void choose_way(limit_job *j, int way)
{
    j->streams = 1 << way % 4;
    j->prefetch = way >= 4;
}

static void multiply_part(void *arg, int index, int count)
{
    const limit_job *j = arg;
    (void)index, (void)count;
    volatile float sink = j->way->run(j->rounds);
    (void)sink;
}

/* Best step of all ways of reading n floats at p, step by step, in GB/s. Long reads never go without being interrupted on a machine that
 * others use as well: a step is as long as what is held against the limit. A short one that is all there is is read several times; what
 * walks takes longer ones, as it would find in a cache what it reads again. */
static double read_rate(hm_device *dev, const float *p, size_t n, size_t step, double seconds)
{
    size_t least = step < n ? READ_BYTES / 4 : 0;
    limit_job j = {.k = bench_kernels_of(dev->isa), .n = step >= n ? n : step > least ? step : least};
    double best = 0, end = now_s() + seconds;
    j.repeats = step < n ? 1 : 1 + (int)(READ_BYTES / (j.n * 4));
    for (int round = 0; round < 2 || now_s() < end; round++)
        for (int way = 0; way < READ_WAYS; way++) {
            choose_way(&j, way);
            for (size_t at = 0; at + j.n <= n; at += j.n) {
                double start = now_s();
                j.p = p + at;
                hm_team_run(dev->team, read_part, &j);
                best = fmax(best, (double)j.n * j.repeats * 4e-9 / (now_s() - start));
            }
        }
    return best;
}

static float *arena_make(const hm_ops *op, size_t bytes)
{
    float *p = op->alloc(op, bytes);
    if (p)
        op->fill(op, p, 0.01f, bytes / 4);
    return p;
}

hm_status hm_cpu_measure_bandwidth(hm_device *dev, size_t bytes, double seconds, double *gb_per_s, hm_error *err)
{
    hm_counters count = {0};
    hm_error own = {0}, *e = err ? err : &own;
    hm_ops op;
    hm_cpu_ops_reference(&op, dev, &count, NULL, e);
    e->status = HM_OK;
    float *p = arena_make(&op, bytes);
    if (!p)
        return e->status;
    *gb_per_s = read_rate(dev, p, bytes / 4, bytes > 8 * STEP_BYTES ? STEP_BYTES / 4 : bytes / 4, seconds);
    op.free(&op, p);
    return HM_OK;
}

struct hm_cpu_reader {
    hm_device *dev;
    hm_counters count;
    hm_ops op;
    float *block;
    size_t at; /* bytes from its begin */
    limit_job job;
};

#define READER_BYTES ((size_t)512 << 20)
#define AWAKENING_BYTES (STEP_BYTES / 8)

/* ns of reading the next bytes. */
static int64_t read_next(hm_cpu_reader *r, size_t bytes)
{
    int64_t start = hm_now_ns();
    r->job.p = r->block + r->at / sizeof *r->block;
    r->job.n = bytes / sizeof *r->block;
    hm_team_run(r->dev->team, read_part, &r->job);
    r->at = (r->at + STEP_BYTES) % READER_BYTES;
    return hm_now_ns() - start;
}

static void find_fastest(hm_cpu_reader *r, double seconds)
{
    int64_t ns[READ_WAYS] = {0};
    int fastest = 0;
    double end = now_s() + seconds;
    do {
        for (int way = 0; way < READ_WAYS; way++) {
            choose_way(&r->job, way);
            for (size_t i = 0; i < READER_BYTES / STEP_BYTES; i++)
                ns[way] += read_next(r, STEP_BYTES);
        }
    } while (now_s() < end);
    for (int way = 1; way < READ_WAYS; way++)
        if (ns[way] < ns[fastest])
            fastest = way;
    choose_way(&r->job, fastest);
}

hm_status hm_cpu_reader_open(hm_cpu_reader **out, hm_device *dev, double seconds, hm_error *err)
{
    hm_cpu_reader *r = hm_calloc(1, sizeof *r, "reader of memory", err);
    if (!r)
        return HM_EABSENT;
    r->dev = dev;
    r->job = (limit_job){.k = bench_kernels_of(dev->isa), .repeats = 1};
    hm_cpu_ops_reference(&r->op, dev, &r->count, NULL, err);
    r->block = arena_make(&r->op, READER_BYTES);
    if (!r->block) {
        free(r);
        return HM_EABSENT;
    }
    find_fastest(r, seconds);
    *out = r;
    return HM_OK;
}

int64_t hm_cpu_reader_read(hm_cpu_reader *r)
{
    read_next(r, AWAKENING_BYTES);
    return read_next(r, STEP_BYTES);
}

void hm_cpu_reader_close(hm_cpu_reader **reader)
{
    hm_cpu_reader *r = *reader;
    if (!r)
        return;
    r->op.free(&r->op, r->block);
    free(r);
    *reader = NULL;
}

int hm_cpu_ways(const hm_device *dev, hm_cpu_way out[HM_CPU_WAYS])
{
    memcpy(out, bench_kernels_of(dev->isa)->ways, sizeof bench_kernels_of(dev->isa)->ways);
    return HM_CPU_BENCH_TYPES + hm_cpu_bench_dot_ways(dev->isa, out + HM_CPU_BENCH_TYPES, HM_CPU_WAYS - HM_CPU_BENCH_TYPES);
}

double hm_cpu_measure_way(hm_device *dev, const hm_cpu_way *way, double seconds)
{
    limit_job j = {.way = way, .rounds = 100000};
    double best = 0, end = now_s() + seconds;
    do {
        double start = now_s();
        hm_team_run(dev->team, multiply_part, &j);
        best = fmax(best, way->operations * (double)j.rounds * dev->threads * 1e-9 / (now_s() - start));
    } while (now_s() < end);
    return best;
}

/* The cases. */

typedef enum case_kind {
    CASE_GEMV,
    CASE_GEMM,
    CASE_CONV,
    CASE_SCORES,
    CASE_FLASH,
    CASE_RMSNORM,
    CASE_SNAKE,
    CASE_SAMPLE,
    CASE_TEAM, /* a phase that reads a block: by all threads ... */
    CASE_ALONE /* ... and by the caller */
} case_kind;

static const char *const case_names[] = {"gemv",  "gemm",   "conv", "attention scores", "attention flash", "rmsnorm",
                                         "snake", "sample", "team", "team of one"};

typedef struct bench_case {
    case_kind kind;
    hm_dtype type;
    int out, in, M;        /* linear: W [out][in], M rows; conv: channels out and in, M rows */
    int taps, dilation;    /* conv */
    int heads, stored, Dh; /* attention: M query rows against `in` slots */
    int window;            /* of causal attention; 0: none */
    bool in_out;
    hm_format panels; /* of packed weights; ROWS: type says what they are */
    bool cached;      /* every call reads the same weights: from whatever cache holds them */
    int batch;        /* rows that attend side by side */
    bool snake;       /* conv: SnakeBeta and onto a residual, instead of PReLU */
    bool kv_rows;     /* keys and values as the flow-matching transformer has them; else in panels of `type`, as caches are */
    bool whole;       /* every row sees all slots, as in Whisper's encoder */
} bench_case;

/* clang-format off */
#define LINEAR(k, t, o, i, m) .kind = k, .type = t, .out = o, .in = i, .M = m, .taps = 1, .dilation = 1
#define GEMV(t, o, i) {LINEAR(CASE_GEMV, t, o, i, 1)}, {LINEAR(CASE_GEMV, t, o, i, 2)}
#define GEMM(t, m) {LINEAR(CASE_GEMM, t, 3072, 3072, m)}
#define CONV(o, i, m, k, d) .kind = CASE_CONV, .type = HM_F32, .out = o, .in = i, .M = m, .taps = k, .dilation = d
/* Products of many rows: over rows as they are stored, then over panels in every format. */
#define PACKED_GEMM(f, o, i, m) {LINEAR(CASE_GEMM, HM_F32, o, i, m), .panels = f}
#define GEMM_BESIDE(o, i, m) {LINEAR(CASE_GEMM, HM_F32, o, i, m)}, PACKED_GEMM(HM_FORMAT_F32, o, i, m)
#define GEMM_FORMATS(o, i, m) GEMM_BESIDE(o, i, m), PACKED_GEMM(HM_FORMAT_BF16, o, i, m), PACKED_GEMM(HM_FORMAT_F16, o, i, m), \
    PACKED_GEMM(HM_FORMAT_FP8, o, i, m), PACKED_GEMM(HM_FORMAT_INT8, o, i, m), PACKED_GEMM(HM_FORMAT_INT4, o, i, m), PACKED_GEMM(HM_FORMAT_FP4, o, i, m)
/* Convolutions over panels, one of a kind beside the same over rows: a decoder's first one and upsampling (their taps side by side, so that
 * d = 1), and residual units of HeartCodec and of the speech decoder. */
#define PACKED_CONV(o, i, m, k, d) {CONV(o, i, m, k, d), .panels = HM_FORMAT_F32}
#define CONV_BESIDE(o, i, m, k, d) {CONV(o, i, m, k, d)}, PACKED_CONV(o, i, m, k, d)
#define HEART_UNITS(c, m) CONV_BESIDE(c, c, m, 7, 1), PACKED_CONV(c, c, m, 7, 3), PACKED_CONV(c, c, m, 7, 5), \
    PACKED_CONV(c, c, m, 7, 7), PACKED_CONV(c, c, m, 7, 9), CONV_BESIDE(c, c, m, 1, 1)
#define SPEECH_CONV(c, m, k, d) {CONV(c, c, m, k, d), .panels = HM_FORMAT_F32, .snake = true}
#define SPEECH_UNITS(c, m) {CONV(c, c, m, 7, 1), .snake = true}, SPEECH_CONV(c, m, 7, 1), SPEECH_CONV(c, m, 7, 3), \
    SPEECH_CONV(c, m, 7, 9), \
    SPEECH_CONV(c, m, 1, 1)
/* One of a unit's convolutions in formats other than float32. */
#define SPEECH_FORMAT(f, c, m) {CONV(c, c, m, 7, 3), .panels = f, .snake = true}
#define SPEECH_FORMATS(c, m) SPEECH_FORMAT(HM_FORMAT_F16, c, m), SPEECH_FORMAT(HM_FORMAT_INT8, c, m), SPEECH_FORMAT(HM_FORMAT_INT4, c, m)
#define ATTENTION(k, t, b, s, slots, h, kept, d) \
    .kind = k, .type = t, .in = slots, .M = s, .taps = 1, .dilation = 1, .heads = h, .stored = kept, .Dh = d, .batch = b
#define DECODE(t, b, slots, h, kept) {ATTENTION(CASE_FLASH, t, b, 1, slots, h, kept, 128)}
/* In every type of cache; 16/8 heads are those of a talker, 24/8 of a song's backbone. */
#define DECODE_TYPES(b, slots, h, kept) DECODE(HM_F32, b, slots, h, kept), DECODE(HM_BF16, b, slots, h, kept), DECODE(HM_I8, b, slots, h, kept)
#define PREFILL(t, s) {ATTENTION(CASE_FLASH, t, 1, s, s, 24, 8, 128)}
/* What a step of Whisper's decoder reads of a window, in every type of cache. */
#define CROSS(t, h, c) {ATTENTION(CASE_FLASH, t, 1, 1, 1500, h, h, 64), .whole = true, .cached = c}
#define CROSS_TYPES(h, c) CROSS(HM_F32, h, c), CROSS(HM_BF16, h, c), CROSS(HM_I8, h, c)
#define ROWS(k, i, m) {.kind = k, .type = HM_F32, .in = i, .M = m, .taps = 1, .dilation = 1}
/* What a team makes of a phase of so many floats, beside what one thread does. */
#define PHASE(n) ROWS(CASE_TEAM, n, 1), ROWS(CASE_ALONE, n, 1)
/* Packed weights in the formats that are used, one and two rows; and all formats with up to eight. */
#define PACKED(f, o, i, m, c) {LINEAR(CASE_GEMV, HM_F32, o, i, m), .panels = f, .cached = c}
#define PACKED_FEW(f, o, i, c) PACKED(f, o, i, 1, c), PACKED(f, o, i, 2, c)
#define PACKED_USED(o, i, c) PACKED_FEW(HM_FORMAT_BF16, o, i, c), PACKED_FEW(HM_FORMAT_FP8, o, i, c), \
    PACKED_FEW(HM_FORMAT_INT8, o, i, c), PACKED_FEW(HM_FORMAT_INT4, o, i, c)
#define PACKED_MANY(f, o, i) PACKED_FEW(f, o, i, false), PACKED(f, o, i, 4, false), PACKED(f, o, i, 8, false)
/* clang-format on */

static const bench_case cases[] = {
    GEMV(HM_BF16, 5120, 3072),
    GEMV(HM_BF16, 3072, 3072),
    GEMV(HM_BF16, 16384, 3072),
    GEMV(HM_BF16, 3072, 8192),
    GEMV(HM_F16, 5120, 3072),
    GEMV(HM_F16, 3072, 3072),
    GEMV(HM_F16, 16384, 3072),
    GEMV(HM_F16, 3072, 8192),
    GEMV(HM_F32, 5120, 3072),
    GEMV(HM_F32, 3072, 3072),
    GEMV(HM_F32, 16384, 3072),
    GEMV(HM_F32, 3072, 8192),
    {LINEAR(CASE_GEMV, HM_BF16, 16384, 3072, 8)},
    {LINEAR(CASE_GEMV, HM_BF16, 8197, 3072, 1), .in_out = true},
    {LINEAR(CASE_GEMV, HM_BF16, 8197, 3072, 2), .in_out = true},
    PACKED_MANY(HM_FORMAT_F32, 16384, 3072),
    PACKED_MANY(HM_FORMAT_BF16, 16384, 3072),
    PACKED_MANY(HM_FORMAT_F16, 16384, 3072),
    PACKED_MANY(HM_FORMAT_FP8, 16384, 3072),
    PACKED_MANY(HM_FORMAT_INT8, 16384, 3072),
    PACKED_MANY(HM_FORMAT_INT4, 16384, 3072),
    PACKED_MANY(HM_FORMAT_FP4, 16384, 3072),
    PACKED(HM_FORMAT_F16, 1024, 1024, 1, false),
    PACKED(HM_FORMAT_F16, 4096, 1024, 1, false),
    PACKED(HM_FORMAT_F16, 1024, 4096, 1, false),
    PACKED_USED(3072, 3072, false),
    PACKED_USED(3072, 8192, false),
    PACKED_USED(8197, 3072, false),
    PACKED_USED(6144, 1024, true),
    PACKED_USED(1024, 3072, true),
    PACKED_USED(2048, 1024, true),
    GEMM(HM_F32, 64),
    GEMM(HM_F32, 256),
    GEMM(HM_F32, 1496),
    GEMM(HM_BF16, 16),
    GEMM(HM_BF16, 64),
    GEMM(HM_BF16, 256),
    GEMM(HM_BF16, 1496),
    GEMM(HM_F16, 256),
    GEMM_FORMATS(5120, 3072, 64),
    GEMM_FORMATS(5120, 3072, 256),
    GEMM_FORMATS(5120, 3072, 1500),
    GEMM_BESIDE(4096, 1536, 1500),
    GEMM_BESIDE(3072, 8192, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 256, 256, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 1024, 256, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 256, 1024, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 1024, 1024, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 4096, 1024, 1500),
    PACKED_GEMM(HM_FORMAT_F16, 1024, 4096, 1500),
    {CONV(8, 8, 96000, 7, 1)},
    CONV_BESIDE(2048, 128, 125, 5, 1),
    CONV_BESIDE(5120, 2048, 50, 2, 1),
    HEART_UNITS(1024, 256),
    CONV_BESIDE(2048, 1024, 128, 2, 1),
    HEART_UNITS(512, 512),
    CONV_BESIDE(1024, 512, 256, 2, 1),
    HEART_UNITS(256, 1024),
    CONV_BESIDE(512, 256, 512, 2, 1),
    HEART_UNITS(128, 2048),
    CONV_BESIDE(192, 128, 1365, 2, 1),
    HEART_UNITS(64, 4096),
    CONV_BESIDE(1, 64, 4096, 7, 1),
    CONV_BESIDE(1024, 512, 32, 3, 1),
    CONV_BESIDE(2048, 1024, 64, 1, 1),
    CONV_BESIDE(1536, 1024, 128, 7, 1),
    CONV_BESIDE(6144, 1536, 43, 2, 1),
    SPEECH_UNITS(768, 341),
    SPEECH_FORMATS(768, 341),
    CONV_BESIDE(1920, 768, 136, 2, 1),
    SPEECH_UNITS(384, 682),
    SPEECH_FORMATS(384, 682),
    CONV_BESIDE(768, 384, 341, 2, 1),
    SPEECH_UNITS(192, 1365),
    SPEECH_FORMATS(192, 1365),
    CONV_BESIDE(288, 192, 910, 2, 1),
    SPEECH_UNITS(96, 2730),
    SPEECH_FORMATS(96, 2730),
    CONV_BESIDE(1, 96, 2730, 7, 1),
    DECODE_TYPES(2, 1000, 24, 8),
    DECODE_TYPES(2, 3000, 24, 8),
    DECODE_TYPES(1, 256, 16, 8),
    DECODE_TYPES(1, 1000, 16, 8),
    DECODE_TYPES(1, 4096, 32, 8),
    {ATTENTION(CASE_FLASH, HM_F32, 1, 1, 1000, 16, 8, 64)},
    {ATTENTION(CASE_FLASH, HM_BF16, 1, 1, 1000, 16, 8, 64)},
    {ATTENTION(CASE_FLASH, HM_I8, 1, 1, 1000, 16, 8, 64)},
    {ATTENTION(CASE_SCORES, HM_F32, 2, 1, 1000, 24, 8, 128)},
    PREFILL(HM_F32, 64),
    PREFILL(HM_F32, 256),
    PREFILL(HM_F32, 1000),
    PREFILL(HM_BF16, 1000),
    PREFILL(HM_I8, 1000),
    {ATTENTION(CASE_FLASH, HM_F32, 1, 256, 256, 16, 8, 128)},
    {ATTENTION(CASE_FLASH, HM_F32, 1, 1000, 1000, 16, 8, 64)},
    {ATTENTION(CASE_SCORES, HM_F32, 1, 1000, 1000, 24, 8, 128)},
    {ATTENTION(CASE_FLASH, HM_F32, 1, 1500, 1500, 16, 16, 64), .whole = true},
    CROSS_TYPES(16, false),
    CROSS_TYPES(4, true),
    {ATTENTION(CASE_SCORES, HM_F32, 1, 744, 744, 24, 24, 64), .kv_rows = true},
    {ATTENTION(CASE_FLASH, HM_F32, 1, 744, 744, 24, 24, 64), .kv_rows = true},
    {ATTENTION(CASE_SCORES, HM_F32, 1, 512, 2048, 16, 16, 64), .window = 72},
    {ATTENTION(CASE_FLASH, HM_F32, 1, 512, 2048, 16, 16, 64), .window = 72},
    ROWS(CASE_SNAKE, 768, 3072),
    ROWS(CASE_SNAKE, 96, 30720),
    ROWS(CASE_RMSNORM, 3072, 2),
    ROWS(CASE_RMSNORM, 3072, 1488),
    ROWS(CASE_SAMPLE, 8197, 1),
    PHASE(1 << 16),
    PHASE(1 << 18),
    PHASE(1 << 20),
    PHASE(12 << 20),
};

typedef struct bench {
    hm_device *dev;
    hm_ops op;
    hm_counters count;
    float *arena, *x, *y;
    size_t at, x_floats, y_floats; /* where the next call takes its weights, bytes */
} bench;

/* A place in the arena for so many bytes, other than the last ones. */
static void *next_place(bench *b, size_t bytes)
{
    size_t step = (bytes + 4095) / 4096 * 4096;
    if (b->at + step > ARENA_BYTES)
        b->at = 0;
    void *p = (char *)b->arena + b->at;
    b->at += step;
    return p;
}

static size_t weight_bytes(const bench_case *c)
{
    return c->panels ? hm_panels_bytes(c->panels, c->out, c->in, c->taps)
                     : (size_t)c->out * (size_t)c->in * (size_t)c->taps * hm_dtype_bytes(c->type);
}

static void run_linear(bench *b, const bench_case *c)
{
    hm_linear w = {.type = c->type, .out = c->out, .in = c->in, .taps = c->taps, .in_out = c->in_out, .panels = c->panels};
    w.w = c->cached ? b->arena : next_place(b, weight_bytes(c));
    if (c->kind == CASE_CONV) {
        hm_linear_args a = {.y = b->y, .x = b->x, .w = &w, .M = c->M, .tap_stride = (int64_t)c->dilation * c->in, .act = HM_ACT_PRELU};
        a.slope = 0.25f;
        if (c->snake) {
            a.act = HM_ACT_SNAKE;
            a.snake_a = b->x;
            a.snake_b = b->x + c->out;
            a.residual = b->y;
        }
        b->op.linear_ex(&b->op, &a);
    } else {
        b->op.linear(&b->op, b->y, b->x, &w, c->M);
    }
}

/* The view without pointers: strides. */
static hm_kv_view kv_of(const bench_case *c)
{
    int64_t room = (c->in + HM_KV_PANEL - 1) / HM_KV_PANEL * HM_KV_PANEL;
    hm_kv_view kv = {.type = c->type, .panels = !c->kv_rows, .heads = c->stored};
    kv.slot = c->kv_rows ? (int64_t)c->stored * c->Dh : hm_kv_padded(c->Dh);
    kv.head = c->kv_rows ? c->Dh : room * kv.slot;
    kv.batch = c->kv_rows ? c->in * kv.slot : c->stored * kv.head;
    return kv;
}

static void run_attention(bench *b, const bench_case *c)
{
    hm_attention_args a = {.out = b->y, .q = b->x, .B = c->batch, .S = c->M, .H = c->heads, .Dh = c->Dh, .slots = c->in};
    a.causal = !c->whole;
    a.kv = kv_of(c);
    size_t elements = (size_t)(c->batch * a.kv.batch), half = elements * hm_dtype_bytes(c->type);
    size_t scales = c->type == HM_I8 ? elements / (size_t)a.kv.slot : 0;
    char *kv = c->cached ? (char *)b->arena : next_place(b, 2 * (half + scales * sizeof(float)));
    a.kv.k = kv;
    a.kv.v = kv + half;
    a.kv.k_scale = scales ? (float *)(void *)(kv + 2 * half) : NULL;
    a.kv.v_scale = scales ? a.kv.k_scale + scales : NULL;
    a.pos = c->in - c->M;
    a.window = c->window;
    a.scale = 0.1f;
    if (c->kind == CASE_SCORES)
        hm_cpu_attention_scores(&b->op, &a);
    else
        hm_cpu_attention_flash(&b->op, &a);
}

static void run_phase(bench *b, const bench_case *c)
{
    limit_job j = {.k = bench_kernels_of(b->dev->isa), .p = b->arena, .n = (size_t)c->in, .streams = 4, .prefetch = true, .repeats = 1};
    if (c->kind == CASE_TEAM)
        hm_team_run(b->dev->team, read_part, &j);
    else
        read_part(&j, 0, 1);
}

static void run_case(bench *b, const bench_case *c)
{
    int32_t token;
    if (c->kind >= CASE_TEAM) {
        run_phase(b, c);
        return;
    }
    if (c->kind <= CASE_CONV)
        run_linear(b, c);
    else if (c->kind <= CASE_FLASH)
        run_attention(b, c);
    else if (c->kind == CASE_SNAKE)
        b->op.snake(&b->op, b->y, next_place(b, (size_t)c->in * (size_t)c->M * 4), b->x, b->x + c->in, c->M, c->in);
    else if (c->kind == CASE_RMSNORM)
        b->op.rmsnorm(&b->op, b->y, next_place(b, (size_t)c->in * (size_t)c->M * 4), b->x, c->M, c->in, 1e-5f);
    else
        b->op.sample(&b->op, &(hm_sample_args){.logits = b->x, .V = c->in, .topk = 50, .temperature = 1.0f, .token = &token});
}

/* What one call must move or compute: bytes when the case is bound by reading, else operations. */
static double case_amount(const bench_case *c, bool *bytes)
{
    double weights = (double)c->out * c->in * c->taps;
    *bytes = c->kind == CASE_GEMV || c->kind >= CASE_RMSNORM || (c->kind >= CASE_SCORES && c->M == 1);
    if (c->kind == CASE_GEMV)
        return (double)weight_bytes(c);
    if (c->kind <= CASE_CONV)
        return 2 * weights * c->M;
    if (c->kind >= CASE_RMSNORM)
        return 4.0 * c->in * c->M;
    if (c->M == 1) /* keys and values, and their scales */
        return 2.0 * c->batch * c->in * c->stored * (c->Dh * (double)hm_dtype_bytes(c->type) + (c->type == HM_I8 ? 4 : 0));
    double seen = c->window ? c->window : c->whole ? c->in : c->in - (c->M - 1) / 2.0; /* windows: all rows have them whole */
    return 4.0 * c->heads * c->Dh * c->M * seen;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Multiply-adds of float32, or of 8 bits where those are faster and the weights are quantised. */
static double arithmetic_limit(hm_device *dev, bool quantised)
{
    hm_cpu_way ways[HM_CPU_WAYS];
    double best = 0;
    for (int i = 0, n = hm_cpu_ways(dev, ways); i < n; i++)
        if (!strcmp(ways[i].type, "f32") || (quantised && !strcmp(ways[i].type, "int8")))
            best = fmax(best, hm_cpu_measure_way(dev, &ways[i], 0.05));
    return best;
}

/* Weights and caches come from memory, as they walk through the arena; what cached cases, norms and samplers read is the same in every
 * call, and stays in whatever cache holds so much. A convolution to few channels does so little with each input that reading them, from
 * whatever cache holds them, may take longer than multiplying. */
static double limit_of(bench *b, const bench_case *c, bool bytes, double amount)
{
    size_t step = amount < ARENA_BYTES ? (size_t)amount / 4 : ARENA_BYTES / 4,
           all = c->cached || c->kind >= CASE_RMSNORM ? step : ARENA_BYTES / 4;
    if (bytes)
        return read_rate(b->dev, b->arena, all, step, 0);
    double multiplying = arithmetic_limit(b->dev, hm_format_quantised(c->panels));
    size_t inputs = (size_t)c->in * (size_t)c->M;
    if (c->kind != CASE_CONV || c->out >= HM_PANEL_ROWS)
        return multiplying;
    return fmin(multiplying, read_rate(b->dev, b->x, inputs, inputs, 0) * amount / (4.0 * (double)inputs));
}

static const char *case_kernel(const bench_case *c)
{
    static const char *const packed[] = {"gemv packed", "gemm packed", "conv packed"};
    return c->panels ? packed[c->kind] : case_names[c->kind];
}

static const char *case_type(const bench_case *c)
{
    if (c->type == HM_I8)
        return hm_format_name(HM_FORMAT_INT8);
    return hm_format_name(c->panels ? c->panels : hm_format_of(c->type));
}

static void measure_case(bench *b, const bench_case *c, const char *shape, double seconds, hm_cpu_bench_sink sink, void *self)
{
    double samples[SAMPLES], end;
    int n = 0;
    bool bytes;
    double amount = case_amount(c, &bytes);
    double limit = limit_of(b, c, bytes, amount);
    run_case(b, c);
    for (end = now_s() + seconds; n < 5 || (n < SAMPLES && now_s() < end); n++) {
        double start = now_s();
        run_case(b, c);
        samples[n] = now_s() - start;
    }
    qsort(samples, (size_t)n, sizeof *samples, compare);
    double median = samples[n / 2];
    hm_cpu_bench_row row = {.kernel = case_kernel(c), .shape = shape, .type = case_type(c), .median_ns = median * 1e9};
    row.unit = bytes ? "GB/s" : "GFLOP/s";
    row.rate = amount * 1e-9 / median;
    row.best_rate = amount * 1e-9 / samples[0];
    row.limit = fmax(limit, limit_of(b, c, bytes, amount)); /* neighbours slow the machine by moments: the better of before and after */
    row.samples = n;
    sink(self, &row);
}

static void case_shape(const bench_case *c, char *text, size_t size)
{
    if (c->kind <= CASE_GEMM)
        snprintf(text, size, "%dx%d%s M=%d%s", c->out, c->in, c->in_out ? " in-out" : "", c->M, c->cached ? " cached" : "");
    else if (c->kind == CASE_CONV)
        snprintf(text, size, "%dx%d k=%d d=%d M=%d", c->out, c->in, c->taps, c->dilation, c->M);
    else if (c->kind <= CASE_FLASH && c->batch > 1)
        snprintf(text, size, "B=%d H=%d/%d Dh=%d S=%d slots=%d", c->batch, c->heads, c->stored, c->Dh, c->M, c->in);
    else if (c->kind <= CASE_FLASH && c->window)
        snprintf(text, size, "H=%d/%d Dh=%d S=%d slots=%d window=%d", c->heads, c->stored, c->Dh, c->M, c->in, c->window);
    else if (c->kind <= CASE_FLASH)
        snprintf(text, size, "H=%d/%d Dh=%d S=%d slots=%d%s%s", c->heads, c->stored, c->Dh, c->M, c->in, c->whole ? " whole" : "",
                 c->cached ? " cached" : "");
    else if (c->kind >= CASE_TEAM)
        snprintf(text, size, "%d KiB", c->in / 256);
    else
        snprintf(text, size, "%dx%d", c->M, c->in);
}

/* The largest inputs and outputs of any case: convolutions reach (taps-1)*dilation rows further. */
static void buffer_sizes(bench *b)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const bench_case *c = &cases[i];
        if (c->kind >= CASE_TEAM)
            continue; /* they read the arena */
        size_t rows = (size_t)(c->M + (c->taps - 1) * c->dilation),
               heads = (size_t)c->batch * (size_t)c->M * (size_t)c->heads * (size_t)c->Dh;
        size_t x = rows * (size_t)c->in > heads ? rows * (size_t)c->in : heads;
        size_t y = (size_t)c->M * (size_t)c->out > x ? (size_t)c->M * (size_t)c->out : x;
        b->x_floats = x > b->x_floats ? x : b->x_floats;
        b->y_floats = y > b->y_floats ? y : b->y_floats;
    }
}

bool hm_cpu_bench_matches(const char *kernel, const char *shape, const char *type, const char *words)
{
    char all[160], word[64];
    snprintf(all, sizeof all, "%s %s %s", kernel, shape, type);
    for (const char *p = words; p && *p; p += strcspn(p, " ")) {
        p += strspn(p, " ");
        snprintf(word, sizeof word, "%.*s", (int)strcspn(p, " "), p);
        if (!strstr(all, word))
            return false;
    }
    return true;
}

static int run_matching(bench *b, const char *only, double seconds, hm_cpu_bench_sink sink, void *self)
{
    int found = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases && !b->op.error->status; i++) {
        char shape[64];
        case_shape(&cases[i], shape, sizeof shape);
        if (!hm_cpu_bench_matches(case_kernel(&cases[i]), shape, case_type(&cases[i]), only))
            continue;
        found++;
        measure_case(b, &cases[i], shape, seconds, sink, self);
    }
    return found;
}

hm_status hm_cpu_bench(hm_device *dev, const char *only, double seconds, hm_cpu_bench_sink sink, void *self, hm_error *err)
{
    hm_error own = {0}, *e = err ? err : &own;
    bench b = {.dev = dev};
    e->status = HM_OK;
    hm_cpu_ops_reference(&b.op, dev, &b.count, NULL, e);
    buffer_sizes(&b);
    b.arena = arena_make(&b.op, ARENA_BYTES);
    b.x = arena_make(&b.op, b.x_floats * 4);
    b.y = arena_make(&b.op, b.y_floats * 4);
    if (!e->status) {
        uint32_t state = 1;
        for (size_t i = 0; i < b.x_floats; i++) {
            state = state * 1664525u + 1013904223u;
            b.x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
        }
        if (!run_matching(&b, only, seconds, sink, self))
            hm_fail(e, HM_EUSAGE, "kernel bench: no case matches \"%s\"; expected a part of a name such as \"gemv\", \"gemm\", \"conv\"",
                    only);
    }
    b.op.free(&b.op, b.arena);
    b.op.free(&b.op, b.x);
    b.op.free(&b.op, b.y);
    return e->status;
}

void hm_cpu_bench_list(hm_cpu_bench_sink sink, void *self)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char shape[64];
        bool bytes;
        case_shape(&cases[i], shape, sizeof shape);
        case_amount(&cases[i], &bytes);
        sink(self, &(hm_cpu_bench_row){
                       .kernel = case_kernel(&cases[i]), .shape = shape, .type = case_type(&cases[i]), .unit = bytes ? "GB/s" : "GFLOP/s"});
    }
}
