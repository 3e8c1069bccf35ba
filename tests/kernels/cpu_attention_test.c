/* Attention of the CPU backend, both ways, against softmax in double, for every instruction set the machine has.
 * Bound, for |v| < 1: 3e-6 for the weighted sum, and 1e-6 of the greatest sum of |q k| * scale for the rounding of scores. */
#include "tests/kernels/kernel_check.h"

typedef struct shape {
    int B, S, H, heads, Dh, slots, pos;
    bool causal, head_major; /* cache [B][heads][slots][Dh], else [B][slots][heads][Dh] */
    int window;
} shape;

typedef struct problem {
    shape s;
    float *q, *k, *v;
    size_t n_q, n_kv;
    hm_attention_args a;
} problem;

static hm_kv_view view_of(const shape *s, float *k, float *v)
{
    int64_t Dh = s->Dh;
    hm_kv_view kv = {.k = k, .v = v, .heads = s->heads, .batch = s->slots * s->heads * Dh, .head = s->slots * Dh, .slot = Dh};
    if (!s->head_major) {
        kv.head = Dh;
        kv.slot = s->heads * Dh;
    }
    return kv;
}

static void problem_open(problem *p, const shape *s, float size)
{
    p->s = *s;
    p->n_q = (size_t)(s->B * s->S * s->H * s->Dh);
    p->n_kv = (size_t)(s->B * s->slots * s->heads * s->Dh);
    p->q = random_floats(p->n_q, 1, size);
    p->k = random_floats(p->n_kv, 2, size);
    p->v = random_floats(p->n_kv, 3, 1.0f);
    p->a = (hm_attention_args){.q = p->q, .kv = view_of(s, p->k, p->v), .B = s->B, .S = s->S, .H = s->H, .Dh = s->Dh, .slots = s->slots};
    p->a.pos = s->pos;
    p->a.causal = s->causal;
    p->a.window = s->window;
    p->a.scale = 1.0f / sqrtf((float)s->Dh);
}

static void problem_close(problem *p)
{
    guarded_free(p->q, p->n_q);
    guarded_free(p->k, p->n_kv);
    guarded_free(p->v, p->n_kv);
}

/* out[Dh] in double; returns the error bound of float32. */
static double reference(const problem *p, int b, int s, int h, double *out)
{
    const hm_attention_args *a = &p->a;
    const float *q = p->q + ((size_t)(b * a->S + s) * (size_t)a->H + (size_t)h) * (size_t)a->Dh;
    int64_t base = b * a->kv.batch + h / (a->H / a->kv.heads) * a->kv.head;
    int seen = a->causal && a->pos + s + 1 < a->slots ? a->pos + s + 1 : a->slots;
    int begin = a->causal && a->window && a->pos + s + 1 > a->window ? a->pos + s + 1 - a->window : 0;
    double *score = calloc((size_t)seen, sizeof *score), top = -INFINITY, sum = 0, magnitude = 0;
    for (int j = begin; j < seen; j++) {
        double m = 0;
        for (int d = 0; d < a->Dh; d++) {
            double term = (double)q[d] * (double)p->k[base + j * a->kv.slot + d];
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
            out[d] += score[j] / sum * (double)p->v[base + j * a->kv.slot + d];
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
    {1, 1, 3, 1, 8, 1, 0, true, true, 0},          {2, 1, 6, 2, 128, 300, 299, true, false, 0},
    {1, 5, 4, 4, 17, 40, 20, true, true, 0},       {2, 3, 8, 4, 384, 260, 10, true, false, 0},
    {1, 70, 4, 2, 31, 70, 0, true, true, 0},       {2, 61, 2, 2, 64, 61, 0, false, false, 0},
    {1, 9, 24, 8, 12, 520, 511, true, true, 0},    {1, 40, 5, 1, 33, 300, 0, true, false, 0},
    {1, 2, 1, 1, 1, 7, 5, true, true, 0},          {1, 1, 60, 1, 16, 33, 32, true, true, 0},
    {1, 30, 4, 2, 6, 30, 0, true, true, 7},        {2, 5, 4, 4, 24, 700, 690, true, false, 72},
    {1, 300, 2, 2, 8, 600, 300, true, true, 250},  {1, 1, 16, 8, 128, 900, 899, true, true, 1},
    {1, 130, 3, 1, 20, 800, 670, true, true, 300}, {1, 4, 2, 1, 9, 50, 46, true, true, 64},
};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void both_ways_match_softmax_in_double(void **state)
{
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < SHAPES; i++)
            for (int size = 0; size < 2; size++) {
                problem p;
                problem_open(&p, &shapes[i], size ? 12.0f : 1.0f);
                r.op.attention = hm_cpu_attention_scores;
                check_against_double(&r, &p, "scores");
                r.op.attention = hm_cpu_attention_flash;
                check_against_double(&r, &p, "flash");
                problem_close(&p);
            }
        rig_close(&r);
    }
}

static void windows_do_not_read_blocks_out_of_sight(void **state)
{
    static const shape s = {1, 3, 4, 2, 24, 1100, 1097, true, true, 60};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2; way++) {
            rig r;
            problem p;
            rig_open(&r, 2, isa);
            r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            problem_open(&p, &s, 2.0f);
            for (int h = 0; h < 2; h++)
                for (int i = 0; i < (1097 - 59) / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK * 24; i++)
                    p.k[h * 1100 * 24 + i] = p.v[h * 1100 * 24 + i] = NAN;
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
        for (size_t i = 0; i < SHAPES; i++) {
            problem p;
            problem_open(&p, &shapes[i], 3.0f);
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
    static const shape s = {2, 130, 6, 2, 40, 400, 270, true, true, 0};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2; way++) {
            problem p;
            problem_open(&p, &s, 2.0f);
            float *whole = NULL;
            for (int threads = 1; threads <= 3; threads++) {
                rig r;
                rig_open(&r, threads, isa);
                r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
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
                    part.a.q = p.q + i * 240;
                    part.a.pos = s.pos + i;
                    part.a.slots = s.pos + i + 1;
                    r.op.attention(&r.op, &part.a);
                    assert_same_bytes(one, whole + i * 240, 240);
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
    static const shape s = {1, 620, 4, 2, 20, 620, 0, true, true, 300};
    enum {
        ROW = 4 * 20,
        MOST = 300 + HM_ATTENTION_BLOCK
    };
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2; way++) {
            rig r;
            problem p;
            rig_open(&r, 2, isa);
            r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            problem_open(&p, &s, 3.0f);
            float *whole = attend(&r, &p), *rows = guarded_alloc(ROW * 7);
            for (int at = 0, n; at < s.S; at += n) {
                n = 1 + at % 7 < s.S - at ? 1 + at % 7 : s.S - at;
                int first = at + 1 - s.window, gone = first > 0 ? first / HM_ATTENTION_BLOCK * HM_ATTENTION_BLOCK : 0;
                hm_attention_args a = p.a;
                a.kv.k += gone * a.kv.slot;
                a.kv.v += gone * a.kv.slot;
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
    static const shape direct = {2, 20, 6, 2, 24, 50, 30, true, true, 0};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int way = 0; way < 2; way++) {
            rig r;
            rig_open(&r, 2, isa);
            r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
            shape expanded = direct;
            expanded.heads = direct.H;
            problem p, e;
            problem_open(&p, &direct, 2.0f);
            problem_open(&e, &expanded, 2.0f);
            size_t n_rows = 2 * 50 * 2 * 24;
            float *k = random_floats(n_rows, 8, 2.0f), *v = random_floats(n_rows, 9, 1.0f);
            r.op.kv_put(&r.op, &p.a.kv, k, v, 2, 50, 2, 24, 0);
            r.op.kv_put(&r.op, &e.a.kv, k, v, 2, 50, 2, 24, 0);
            assert_int_equal(r.count.kv_written_bytes, 8 * (n_rows + 3 * n_rows));
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

static void counters_tell_the_ways_apart(void **state)
{
    static const shape s = {2, 10, 4, 2, 16, 30, 20, true, true, 0};
    (void)state;
    problem p;
    problem_open(&p, &s, 1.0f);
    for (int way = 0; way < 2; way++) {
        rig r;
        rig_open(&r, 1, HM_ISA_SCALAR);
        r.op.attention = way ? hm_cpu_attention_flash : hm_cpu_attention_scores;
        float *y = attend(&r, &p);
        uint64_t seen = 0;
        for (int i = 0; i < 10; i++)
            seen += (uint64_t)(21 + i);
        assert_int_equal(r.count.attn_scores, 2 * 4 * seen);
        assert_int_equal(r.count.flops, 2 * 4 * seen * 4 * 16);
        assert_int_equal(r.count.score_bytes, way ? 0 : 4 * 2 * 4 * 10 * 30);
        guarded_free(y, p.n_q);
        rig_close(&r);
    }
    problem_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_match_softmax_in_double),
        cmocka_unit_test(a_causal_mask_gives_the_bytes_of_the_implicit_one),
        cmocka_unit_test(windows_do_not_read_blocks_out_of_sight),
        cmocka_unit_test(a_window_of_moved_slots_gives_the_bytes_of_the_whole_pass),
        cmocka_unit_test(threads_and_pieces_of_a_prompt_do_not_change_a_row),
        cmocka_unit_test(expanded_heads_give_the_bytes_of_shared_ones),
        cmocka_unit_test(counters_tell_the_ways_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
