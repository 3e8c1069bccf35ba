/* Attention of the CPU backend, both ways, against softmax in double, over every layout and type of keys and values, for every instruction
 * set the machine has. Bound, for |v| < 1: 3e-6 for the weighted sum, and 1e-6 of the greatest sum of |q k| * scale for the rounding of
 * scores; what is stored is what counts, so that it is the same bound for all types. */
#include "tests/kernels/kernel_check.h"

/* How keys and values lie. */
typedef enum layout {
    ROWS,      /* [B][heads][slots][Dh] */
    ROWS_SLOT, /* [B][slots][heads][Dh] */
    PANELS,
    PANELS_BF16,
    PANELS_INT8,
    LAYOUTS
} layout;

static const hm_dtype layout_type[LAYOUTS] = {HM_F32, HM_F32, HM_F32, HM_BF16, HM_I8};

typedef struct shape {
    int B, S, H, heads, Dh, slots, pos;
    bool causal;
    layout layout;
    int window;
} shape;

typedef struct problem {
    shape s;
    float *q, *k, *v; /* of k and v what is stored, in the layout */
    float *k_scale, *v_scale;
    size_t n_q, n_kv, n_scale;
    hm_attention_args a;
} problem;

static hm_kv_view view_of(const shape *s)
{
    int64_t Dh = s->Dh, panels = (s->slots + 31) / 32;
    hm_kv_view kv = {.type = layout_type[s->layout], .heads = s->heads};
    kv.panels = s->layout >= PANELS;
    kv.slot = kv.panels ? (Dh + 15) / 16 * 16 : s->layout == ROWS ? Dh : s->heads * Dh;
    kv.head = kv.panels ? panels * 32 * kv.slot : s->layout == ROWS ? s->slots * Dh : Dh;
    kv.batch = s->layout == ROWS_SLOT ? s->slots * kv.slot : s->heads * kv.head;
    return kv;
}

/* Element i of a slot as it is stored, by what engine/ops.h says of the layouts. */
static double element(const hm_kv_view *kv, bool value, int b, int h, int slot, int i)
{
    int64_t at = b * kv->batch + h * kv->head, scale = at / kv->slot + slot;
    const void *p = value ? kv->v : kv->k;
    if (!kv->panels)
        return (double)((const float *)p)[at + slot * kv->slot + i];
    at += slot / 32 * 32 * kv->slot + (value ? i / 16 * 512 + slot % 32 * 16 + i % 16 : i * 32 + slot % 32);
    if (kv->type == HM_BF16)
        return (double)hm_bf16_to_f32(((const uint16_t *)p)[at]);
    if (kv->type == HM_I8)
        return (double)((const int8_t *)p)[at] * (double)(value ? kv->v_scale : kv->k_scale)[scale];
    return (double)((const float *)p)[at];
}

/* Rows of all slots, [B][slots][heads][Dh]. */
static float *rows_of(const shape *s, uint64_t seed, float size)
{
    return random_floats((size_t)(s->B * s->slots * s->heads * s->Dh), seed, size);
}

/* Keys k and values v, rows of all slots, into the problem's cache. They are released. */
static void problem_fill(rig *r, problem *p, float *k, float *v)
{
    const shape *s = &p->s;
    hm_kv_view *kv = &p->a.kv;
    size_t rows = (size_t)(s->B * s->slots * s->heads * s->Dh);
    *kv = view_of(s);
    p->n_kv = (size_t)(s->B * kv->batch) * hm_dtype_bytes(kv->type) / sizeof(float);
    p->n_scale = (size_t)(s->B * kv->batch / kv->slot);
    kv->k = p->k = guarded_alloc(p->n_kv);
    kv->v = p->v = guarded_alloc(p->n_kv);
    if (kv->type == HM_I8) {
        kv->k_scale = p->k_scale = guarded_alloc(p->n_scale);
        kv->v_scale = p->v_scale = guarded_alloc(p->n_scale);
    }
    r->op.kv_put(&r->op, kv, k, v, s->B, s->slots, s->heads, s->Dh, 0);
    guarded_free(k, rows);
    guarded_free(v, rows);
}

static void problem_open(rig *r, problem *p, const shape *s, float size)
{
    *p = (problem){.s = *s, .n_q = (size_t)(s->B * s->S * s->H * s->Dh)};
    p->q = random_floats(p->n_q, 1, size);
    p->a = (hm_attention_args){.q = p->q, .B = s->B, .S = s->S, .H = s->H, .Dh = s->Dh, .slots = s->slots};
    p->a.pos = s->pos;
    p->a.causal = s->causal;
    p->a.window = s->window;
    p->a.scale = 1.0f / sqrtf((float)s->Dh);
    problem_fill(r, p, rows_of(s, 2, size), rows_of(s, 3, 1.0f));
}

static void problem_close(problem *p)
{
    guarded_free(p->q, p->n_q);
    guarded_free(p->k, p->n_kv);
    guarded_free(p->v, p->n_kv);
    if (p->k_scale) {
        guarded_free(p->k_scale, p->n_scale);
        guarded_free(p->v_scale, p->n_scale);
    }
}

/* out[Dh] in double; returns the error bound of float32. */
static double reference(const problem *p, int b, int s, int h, double *out)
{
    const hm_attention_args *a = &p->a;
    const float *q = p->q + ((size_t)(b * a->S + s) * (size_t)a->H + (size_t)h) * (size_t)a->Dh;
    int stored = h / (a->H / a->kv.heads);
    int seen = a->causal && a->pos + s + 1 < a->slots ? a->pos + s + 1 : a->slots;
    int begin = a->causal && a->window && a->pos + s + 1 > a->window ? a->pos + s + 1 - a->window : 0;
    double *score = calloc((size_t)seen, sizeof *score), top = -INFINITY, sum = 0, magnitude = 0;
    for (int j = begin; j < seen; j++) {
        double m = 0;
        for (int d = 0; d < a->Dh; d++) {
            double term = (double)q[d] * element(&a->kv, false, b, stored, j, d);
            score[j] += term;
            m += fabs(term);
        }
        score[j] = score[j] * (double)a->scale + (a->mask ? (double)a->mask[s * a->slots + j] : 0);
        magnitude = fmax(magnitude, m * (double)a->scale);
        top = fmax(top, score[j]);
    }
    for (int j = begin; j < seen; j++)
        sum += score[j] = exp(score[j] - top);
    for (int d = 0; d < a->Dh; d++) {
        out[d] = 0;
        for (int j = begin; j < seen; j++)
            out[d] += score[j] / sum * element(&a->kv, true, b, stored, j, d);
    }
    free(score);
    return 3e-6 + 1e-6 * magnitude;
}

static void check_against_double(rig *r, problem *p, const char *what)
{
    double expected[1024];
    p->a.out = guarded_alloc(p->n_q);
    r->op.attention(&r->op, &p->a);
    for (int b = 0; b < p->s.B; b++)
        for (int s = 0; s < p->s.S; s++)
            for (int h = 0; h < p->s.H; h++) {
                double bound = reference(p, b, s, h, expected);
                size_t at = ((size_t)(b * p->s.S + s) * (size_t)p->s.H + (size_t)h) * (size_t)p->s.Dh;
                for (int d = 0; d < p->s.Dh; d++)
                    assert_near(p->a.out[at + (size_t)d], expected[d], bound, what, at + (size_t)d);
            }
    guarded_free(p->a.out, p->n_q);
}

static const shape shapes[] = {
    {1, 1, 3, 1, 8, 1, 0, true, ROWS, 0},          {2, 1, 6, 2, 128, 300, 299, true, ROWS, 0},
    {1, 5, 4, 4, 17, 40, 20, true, ROWS, 0},       {2, 3, 8, 4, 384, 260, 10, true, ROWS, 0},
    {1, 70, 4, 2, 31, 70, 0, true, ROWS, 0},       {2, 61, 2, 2, 64, 61, 0, false, ROWS, 0},
    {1, 9, 24, 8, 12, 520, 511, true, ROWS, 0},    {1, 40, 5, 1, 33, 300, 0, true, ROWS, 0},
    {1, 2, 1, 1, 1, 7, 5, true, ROWS, 0},          {1, 1, 60, 1, 16, 33, 32, true, ROWS, 0},
    {1, 30, 4, 2, 6, 30, 0, true, ROWS, 7},        {2, 5, 4, 4, 24, 700, 690, true, ROWS, 72},
    {1, 300, 2, 2, 8, 600, 300, true, ROWS, 250},  {1, 1, 16, 8, 128, 900, 899, true, ROWS, 1},
    {1, 130, 3, 1, 20, 800, 670, true, ROWS, 300}, {1, 4, 2, 1, 9, 50, 46, true, ROWS, 64},
    {1, 1, 2, 1, 40, 1290, 1289, true, ROWS, 0},   {1, 2, 7, 7, 1024, 35, 31, true, ROWS, 0},
    {1, 1, 11, 1, 48, 770, 769, true, ROWS, 700},  {1, 3, 2, 2, 1000, 300, 297, true, ROWS, 0},
    {1, 9, 2, 1, 272, 290, 281, true, ROWS, 0},    {1, 9, 2, 1, 260, 600, 590, true, ROWS, 45},
    {1, 100, 1, 1, 64, 560, 0, false, ROWS, 0},    {1, 25, 1, 1, 40, 515, 490, true, ROWS, 3},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void both_ways_match_softmax_in_double(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < SHAPES * LAYOUTS; i++)
            for (int size = 0; size < 2; size++) {
                problem p;
                shape s = shapes[i / LAYOUTS];
                s.layout = (layout)(i % LAYOUTS);
                problem_open(&r, &p, &s, size ? 12.0f : 1.0f);
                r.op.attention = hm_cpu_attention_scores;
                check_against_double(&r, &p, "scores");
                r.op.attention = hm_cpu_attention_flash;
                check_against_double(&r, &p, "flash");
                problem_close(&p);
            }
        rig_close(&r);
    }
}

/* A row sees a score of 0, whose value is 0, and one of x, whose value is 1: e^x / (1 + e^x) comes out. Bound, of it: 5e-7, and what
 * rounding x takes. */
static void weights_are_exponentials_over_their_whole_range(void **state)
{
    enum {
        ROWS_N = 4200
    };
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2; way++) {
            rig r;
            float *q = guarded_alloc(ROWS_N), *k = guarded_alloc(2 * ROWS_N), *v = guarded_alloc(2 * ROWS_N), *out = guarded_alloc(ROWS_N);
            hm_attention_args a = {.out = out, .q = q, .B = ROWS_N, .S = 1, .H = 1, .Dh = 1, .slots = 2, .scale = 1.0f};
            a.kv = (hm_kv_view){.k = k, .v = v, .type = HM_F32, .heads = 1, .batch = 2, .head = 2, .slot = 1};
            for (int i = 0; i < ROWS_N; i++) {
                q[i] = 1;
                k[2 * i] = v[2 * i] = 0;
                k[2 * i + 1] = (float)i * -0.025f;
                v[2 * i + 1] = 1;
            }
            rig_open(&r, 2, isa);
            r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            r.op.attention(&r.op, &a);
            for (int i = 0; i < ROWS_N; i++) {
                double x = (double)k[2 * i + 1], w = exp(x) / (1 + exp(x));
                assert_near(out[i], w, x < -87 ? 2e-38 : w * (5e-7 - 1.3e-7 * x), "weight", (size_t)i);
            }
            guarded_free(q, ROWS_N);
            guarded_free(k, 2 * ROWS_N);
            guarded_free(v, 2 * ROWS_N);
            guarded_free(out, ROWS_N);
            rig_close(&r);
        }
}

static void windows_do_not_read_blocks_out_of_sight(void **state)
{
    static const layout layouts[] = {ROWS, PANELS};
    shape s = {1, 3, 4, 2, 24, 1100, 1097, true, ROWS, 60};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 4; way++) {
            rig r;
            problem p;
            rig_open(&r, 2, isa);
            r.op.attention = way % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            s.layout = layouts[way / 2];
            problem_open(&r, &p, &s, 2.0f);
            for (int h = 0; h < 2; h++)
                for (int64_t i = 0; i < (1097 - 59) / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK * p.a.kv.slot; i++)
                    p.k[h * p.a.kv.head + i] = p.v[h * p.a.kv.head + i] = NAN;
            check_against_double(&r, &p, "window");
            assert_int_equal(r.count.attn_scores, 3 * 4 * 60);
            problem_close(&p);
            rig_close(&r);
        }
}

static float *attend(rig *r, problem *p)
{
    p->a.out = guarded_alloc(p->n_q);
    r->op.attention(&r->op, &p->a);
    return p->a.out;
}

static void a_causal_mask_gives_the_bytes_of_the_implicit_one(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < SHAPES * 2; i++) {
            problem p;
            shape s = shapes[i / 2];
            s.layout = i % 2 ? PANELS_INT8 : ROWS;
            problem_open(&r, &p, &s, 3.0f);
            size_t n_mask = (size_t)(p.s.S * p.s.slots);
            float *mask = guarded_alloc(n_mask);
            r.op.causal_mask(&r.op, mask, p.s.S, p.s.slots, p.s.pos, p.s.window);
            for (int way = 0; way < 2; way++) {
                r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
                p.a.causal = true;
                p.a.mask = NULL;
                float *implicit = attend(&r, &p);
                p.a.causal = false;
                p.a.mask = mask;
                float *masked = attend(&r, &p);
                assert_same_bytes(masked, implicit, p.n_q);
                guarded_free(implicit, p.n_q);
                guarded_free(masked, p.n_q);
            }
            guarded_free(mask, n_mask);
            problem_close(&p);
        }
        rig_close(&r);
    }
}

static void threads_and_pieces_of_a_prompt_do_not_change_a_row(void **state)
{
    static const shape ones[] = {{2, 130, 6, 2, 40, 400, 270, true, ROWS, 0}, {1, 40, 4, 1, 40, 1400, 1360, true, ROWS, 0}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 4 * LAYOUTS; way++) {
            problem p;
            shape s = ones[way / 2 % 2];
            int row = s.H * s.Dh;
            float *whole = NULL;
            s.layout = (layout)(way / 4);
            for (int threads = 1; threads <= 3; threads++) {
                rig r;
                rig_open(&r, threads, isa);
                r.op.attention = way % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
                if (!whole)
                    problem_open(&r, &p, &s, 2.0f);
                float *y = attend(&r, &p);
                if (whole) {
                    assert_same_bytes(y, whole, p.n_q);
                    guarded_free(y, p.n_q);
                } else {
                    whole = y;
                }
                problem part = p; /* row by row, as in generation, of the first batch row */
                part.a.B = part.a.S = 1;
                for (int i = 0; i < s.S; i += 7) {
                    float one[6 * 40];
                    part.a.out = one;
                    part.a.q = p.q + i * row;
                    part.a.pos = s.pos + i;
                    part.a.slots = s.pos + i + 1;
                    r.op.attention(&r.op, &part.a);
                    assert_same_bytes(one, whole + i * row, (size_t)row);
                }
                rig_close(&r);
            }
            guarded_free(whole, p.n_q);
            problem_close(&p);
        }
}

/* Rows one by one over a cache that was moved down by whole blocks, against the whole pass. */
static void a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass(void **state)
{
    shape s = {1, 620, 4, 2, 20, 620, 0, true, ROWS, 300};
    enum {
        ROW = 4 * 20,
        MOST = 300 + HM_ATTENTION_BLOCK
    };
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2 * LAYOUTS; way++) {
            rig r;
            problem p;
            rig_open(&r, 2, isa);
            r.op.attention = way % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            s.layout = (layout)(way / 2);
            problem_open(&r, &p, &s, 3.0f);
            float *whole = attend(&r, &p), *rows = guarded_alloc(ROW * 7);
            for (int at = 0, n; at < s.S; at += n) {
                n = 1 + at % 7 < s.S - at ? 1 + at % 7 : s.S - at;
                int first = at + 1 - s.window, gone = first > 0 ? first / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK : 0;
                hm_attention_args a = p.a;
                a.kv = hm_kv_from(&a.kv, 0, gone);
                a.S = n;
                a.pos = at - gone;
                a.slots = at + n - gone;
                a.q = p.q + at * ROW;
                a.out = rows;
                assert_true(a.slots <= MOST + 7);
                r.op.attention(&r.op, &a);
                assert_same_bytes(rows, whole + at * ROW, (size_t)n * ROW);
            }
            guarded_free(whole, p.n_q);
            guarded_free(rows, ROW * 7);
            problem_close(&p);
            rig_close(&r);
        }
}

static void expanded_heads_give_the_bytes_of_shared_ones(void **state)
{
    static const uint64_t element_bytes[LAYOUTS] = {4, 4, 4, 2, 1};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2 * LAYOUTS; way++) {
            rig r;
            rig_open(&r, 2, isa);
            r.op.attention = way % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            shape direct = {2, 20, 6, 2, 24, 50, 30, true, (layout)(way / 2), 0}, expanded = direct;
            expanded.heads = direct.H;
            problem p, e;
            problem_open(&r, &p, &direct, 2.0f);
            problem_open(&r, &e, &expanded, 2.0f);
            uint64_t one = 24 * element_bytes[way / 2] + (way / 2 == PANELS_INT8 ? 4 : 0);
            size_t n_rows = 2 * 50 * 2 * 24;
            float *k = random_floats(n_rows, 8, 2.0f), *v = random_floats(n_rows, 9, 1.0f);
            r.count.kv_written_bytes = 0;
            r.op.kv_put(&r.op, &p.a.kv, k, v, 2, 50, 2, 24, 0);
            assert_int_equal(r.count.kv_written_bytes, 2 * 2 * 50 * 2 * one);
            r.op.kv_put(&r.op, &e.a.kv, k, v, 2, 50, 2, 24, 0);
            assert_int_equal(r.count.kv_written_bytes, 2 * 2 * 50 * (2 + 6) * one);
            float *a = attend(&r, &p), *b = attend(&r, &e);
            assert_same_bytes(a, b, p.n_q);
            guarded_free(a, p.n_q);
            guarded_free(b, p.n_q);
            guarded_free(k, n_rows);
            guarded_free(v, n_rows);
            problem_close(&p);
            problem_close(&e);
            rig_close(&r);
        }
}

/* Slots that come in pieces lie where slots that come at once do, and as what they were. */
static void slots_in_pieces_lie_where_all_at_once_do(void **state)
{
    static const int cuts[] = {0, 1, 3, 14, 15, 16, 40, 50}; /* of one slot, of parts of four, of several fours and panels */
    (void)state;
    for (int l = 0; l < LAYOUTS; l++)
        for (int Dh = 6; Dh <= 70; Dh += 16) {
            rig r;
            problem p;
            rig_open(&r, 2, HM_ISA_SCALAR);
            shape s = {2, 1, 6, 3, Dh, 50, 49, true, (layout)l, 0};
            size_t n = 2 * 50 * 3 * (size_t)Dh, row = 3 * (size_t)Dh;
            float *k = random_floats(n, 8, 2.0f), *v = random_floats(n, 9, 1.0f);
            problem_open(&r, &p, &s, 2.0f);
            for (size_t c = 0; c + 1 < sizeof cuts / sizeof *cuts; c++) {
                size_t S = (size_t)(cuts[c + 1] - cuts[c]);
                float *some_k = random_floats(2 * S * row, 1, 1.0f), *some_v = random_floats(2 * S * row, 1, 1.0f);
                for (size_t b = 0; b < 2; b++) {
                    memcpy(some_k + b * S * row, k + (b * 50 + (size_t)cuts[c]) * row, S * row * sizeof *k);
                    memcpy(some_v + b * S * row, v + (b * 50 + (size_t)cuts[c]) * row, S * row * sizeof *v);
                }
                r.op.kv_put(&r.op, &p.a.kv, some_k, some_v, 2, (int)S, 3, Dh, cuts[c]);
                guarded_free(some_k, 2 * S * row);
                guarded_free(some_v, 2 * S * row);
            }
            double bound = l == PANELS_INT8 ? 2.0 / 127 : l == PANELS_BF16 ? 2.0 / 256 : 0;
            for (int b = 0; b < 2; b++)
                for (int slot = 0; slot < 50; slot++)
                    for (int h = 0; h < 3; h++)
                        for (int i = 0; i < Dh; i++) {
                            size_t at = ((size_t)b * 50 + (size_t)slot) * row + (size_t)(h * Dh + i);
                            assert_true(fabs(element(&p.a.kv, false, b, h, slot, i) - (double)k[at]) <= bound);
                            assert_true(fabs(element(&p.a.kv, true, b, h, slot, i) - (double)v[at]) <= bound);
                        }
            guarded_free(k, n);
            guarded_free(v, n);
            problem_close(&p);
            rig_close(&r);
        }
}

/* float32 in panels is float32 in rows. */
static void panels_give_the_bytes_of_rows(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (size_t i = 0; i < SHAPES * 2; i++) {
            rig r;
            problem p, rows;
            shape s = shapes[i / 2];
            rig_open(&r, 2, isa);
            r.op.attention = i % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            problem_open(&r, &rows, &s, 2.0f);
            s.layout = PANELS;
            problem_open(&r, &p, &s, 2.0f);
            float *a = attend(&r, &p), *b = attend(&r, &rows);
            assert_same_bytes(a, b, p.n_q);
            guarded_free(a, p.n_q);
            guarded_free(b, p.n_q);
            problem_close(&p);
            problem_close(&rows);
            rig_close(&r);
        }
}

/* What is stored of a value is the nearest bfloat16, or at most half a step of 1/127 of the greatest of its head and slot away. */
static void stored_values_are_as_near_as_their_type_allows(void **state)
{
    static const shape s = {2, 1, 3, 3, 19, 70, 69, true, ROWS, 0};
    (void)state;
    for (int way = 0; way < 2 * LAYOUTS; way++) {
        rig r;
        problem p = {.s = s, .n_q = 1};
        size_t rows = (size_t)(s.B * s.slots * s.heads * s.Dh);
        rig_open(&r, 2, HM_ISA_SCALAR);
        p.s.layout = (layout)(way / 2);
        float *k = way % 2 ? hostile_floats(rows, 5) : rows_of(&s, 5, 3.0f), *copy = guarded_alloc(rows);
        memcpy(copy, k, rows * sizeof *k);
        p.q = guarded_alloc(1);
        problem_fill(&r, &p, k, random_floats(rows, 6, 1.0f));
        for (size_t i = 0; i < rows; i += (size_t)s.Dh) {
            int h = (int)(i / (size_t)s.Dh) % s.heads, slot = (int)(i / (size_t)(s.Dh * s.heads)) % s.slots;
            int b = (int)(i / (size_t)(s.Dh * s.heads * s.slots));
            float most = 0;
            for (int d = 0; d < s.Dh; d++)
                most = fmaxf(most, fabsf(copy[i + (size_t)d]));
            for (int d = 0; d < s.Dh; d++) {
                float x = copy[i + (size_t)d];
                double found = element(&p.a.kv, false, b, h, slot, d), bound = 0;
                if (p.s.layout == PANELS_BF16)
                    bound = fmax(fabs((double)x) / 256, 1e-40);
                if (p.s.layout == PANELS_INT8)
                    bound = (double)most / 127 * 0.50001 + 1e-43;
                assert_near((float)found, (double)x, bound, "stored", i + (size_t)d);
            }
        }
        guarded_free(copy, rows);
        problem_close(&p);
        rig_close(&r);
    }
}

/* Denormals, zeros and great values among queries and keys: scores are finite, and so the bound is of their size. */
static void hostile_keys_are_within_the_bound(void **state)
{
    static const shape ones[] = {{1, 1, 6, 2, 40, 530, 529, true, ROWS, 0}, {2, 70, 4, 4, 24, 90, 20, true, ROWS, 0}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 4 * LAYOUTS; way++) {
            rig r;
            shape s = ones[way % 2];
            problem p = {.s = s, .n_q = (size_t)(s.B * s.S * s.H * s.Dh)};
            rig_open(&r, 2, isa);
            p.s.layout = (layout)(way / 4);
            p.q = hostile_floats(p.n_q, 11);
            p.a = (hm_attention_args){.q = p.q, .B = s.B, .S = s.S, .H = s.H, .Dh = s.Dh, .slots = s.slots, .pos = s.pos, .causal = true};
            p.a.scale = 1e-20f; /* great products are scores of some tens of millions: one slot has all the weight, or they are equal */
            problem_fill(&r, &p, hostile_floats((size_t)(s.B * s.slots * s.heads * s.Dh), 12), rows_of(&s, 13, 1.0f));
            r.op.attention = way / 2 % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            float *y = attend(&r, &p);
            for (size_t i = 0; i < p.n_q; i++)
                assert_true(fabsf(y[i]) <= 1.00001f);
            guarded_free(y, p.n_q);
            p.a.scale = 1e-32f;
            check_against_double(&r, &p, "hostile");
            problem_close(&p);
            rig_close(&r);
        }
}

/* A value that is not finite shows in the rows that see it, and in no other head. */
static void what_is_not_finite_stays_so(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    shape s = {1, 4, 2, 2, 24, 300, 296, true, ROWS, 0};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 6 * LAYOUTS; way++) {
            rig r;
            problem p = {.n_q = 4 * 2 * 24};
            rig_open(&r, 2, isa);
            s.layout = (layout)(way / 6);
            p.s = s;
            p.q = random_floats(p.n_q, 1, 1.0f);
            p.a = (hm_attention_args){.q = p.q, .B = 1, .S = 4, .H = 2, .Dh = 24, .slots = 300, .pos = 296, .causal = true, .scale = 0.2f};
            float *k = rows_of(&s, 2, 1.0f), *v = rows_of(&s, 3, 1.0f);
            v[(298 * 2 + 1) * 24 + 5] = odd[way % 3]; /* seen by the last two positions of head 1 */
            problem_fill(&r, &p, k, v);
            r.op.attention = way / 3 % 2 ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            float *y = attend(&r, &p);
            for (size_t i = 0; i < p.n_q; i++) {
                bool head = i / 24 % 2, seen = head && i / 48 >= 2 && i % 24 == 5;
                assert_true(head || isfinite(y[i]));
                assert_false(seen && isfinite(y[i]));
            }
            guarded_free(y, p.n_q);
            problem_close(&p);
            rig_close(&r);
        }
}

static void counters_tell_the_ways_apart(void **state)
{
    static const shape s = {2, 10, 4, 2, 16, 30, 20, true, ROWS, 0};
    (void)state;
    for (int way = 0; way < 2; way++) {
        rig r;
        problem p;
        rig_open(&r, 1, HM_ISA_SCALAR);
        problem_open(&r, &p, &s, 1.0f);
        r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
        float *y = attend(&r, &p);
        uint64_t seen = 0;
        for (int i = 0; i < 10; i++)
            seen += (uint64_t)(21 + i);
        assert_int_equal(r.count.attn_scores, 2 * 4 * seen);
        assert_int_equal(r.count.flops, 2 * 4 * seen * 4 * 16);
        assert_int_equal(r.count.score_bytes, way ? 0 : 4 * 2 * 4 * 10 * 30);
        guarded_free(y, p.n_q);
        problem_close(&p);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_match_softmax_in_double),
        cmocka_unit_test(weights_are_exponentials_over_their_whole_range),
        cmocka_unit_test(a_causal_mask_gives_the_bytes_of_the_implicit_one),
        cmocka_unit_test(windows_do_not_read_blocks_out_of_sight),
        cmocka_unit_test(a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass),
        cmocka_unit_test(threads_and_pieces_of_a_prompt_do_not_change_a_row),
        cmocka_unit_test(expanded_heads_give_the_bytes_of_shared_ones),
        cmocka_unit_test(slots_in_pieces_lie_where_all_at_once_do),
        cmocka_unit_test(panels_give_the_bytes_of_rows),
        cmocka_unit_test(stored_values_are_as_near_as_their_type_allows),
        cmocka_unit_test(hostile_keys_are_within_the_bound),
        cmocka_unit_test(what_is_not_finite_stays_so),
        cmocka_unit_test(counters_tell_the_ways_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
