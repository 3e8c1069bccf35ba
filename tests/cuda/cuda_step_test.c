/* Attention of few rows by CUDA's own kernels, and whole steps, against engine/gpu's operations one by one on the same device: outputs within
 * 4e-5 of the greatest value attended over; a step leaves the bytes that its operations leave, in caches and, with CUDA's attention, in
 * outputs. */
#define HM_TEST_CUDA
#include "engine/cuda/cuda_ops.h"
#include "tests/gpu/gpu_case.h"

typedef struct shape {
    hm_dtype type;
    int B, S, H, heads, Dh, pos;
    bool half, norms;
} shape;

/* Two caches of the same contents up to pos, full of NaN beyond, and the rows of a step. */
typedef struct step_case {
    gpu_case *c;
    shape s;
    hm_kv_view kv[2];
    size_t bytes, scales; /* of one of keys and values; scales of one */
    float *q, *k, *v, *q_norm, *k_norm, *cos, *sin, *out[2];
    size_t n_q, n_k;
} step_case;

static float *put_random(gpu_case *c, size_t n, uint64_t seed, float size)
{
    float *x = random_floats(n, seed, size), *there = gpu_put_floats(c, x, n);
    guarded_free(x, n);
    return there;
}

static void *put_nan(gpu_case *c, size_t bytes)
{
    uint8_t *host = malloc(bytes);
    assert_non_null(host);
    memset(host, 0xff, bytes);
    void *there = gpu_put(c, host, bytes);
    free(host);
    return there;
}

static void caches_make(step_case *t, bool panels)
{
    const shape *s = &t->s;
    const hm_ops *op = &t->c->gpu.op;
    int64_t padded = panels ? hm_kv_padded(s->Dh) : s->Dh, slots = (s->pos + s->S + 31) / 32 * 32;
    size_t n = (size_t)(s->B * s->heads * slots * padded), filled = (size_t)(s->B * s->pos * s->heads * s->Dh);
    t->bytes = n * hm_dtype_bytes(s->type);
    t->scales = (size_t)(s->B * s->heads * slots);
    for (int i = 0; i < 2; i++) {
        t->kv[i] = (hm_kv_view){.k = put_nan(t->c, t->bytes), .v = put_nan(t->c, t->bytes), .type = s->type, .panels = panels};
        t->kv[i].heads = s->heads;
        t->kv[i].slot = padded;
        t->kv[i].head = slots * padded;
        t->kv[i].batch = s->heads * slots * padded;
        t->kv[i].k_scale = s->type == HM_I8 ? put_nan(t->c, t->scales * sizeof(float)) : NULL;
        t->kv[i].v_scale = s->type == HM_I8 ? put_nan(t->c, t->scales * sizeof(float)) : NULL;
        if (filled)
            op->kv_put(op, &t->kv[i], put_random(t->c, filled, 3, 1), put_random(t->c, filled, 4, 1), s->B, s->pos, s->heads, s->Dh, 0);
    }
}

static void case_make(step_case *t, gpu_case *c, const shape *s, bool panels)
{
    *t = (step_case){.c = c, .s = *s};
    size_t rows = (size_t)(s->B * s->S), angles = (size_t)(s->S * (s->Dh / 2));
    t->n_q = rows * (size_t)(s->H * s->Dh);
    t->n_k = rows * (size_t)(s->heads * s->Dh);
    caches_make(t, panels);
    t->q = put_random(c, t->n_q, 5, 2);
    t->k = put_random(c, t->n_k, 6, 2);
    t->v = put_random(c, t->n_k, 7, 1);
    t->q_norm = s->norms ? put_random(c, (size_t)s->Dh, 8, 2) : NULL;
    t->k_norm = s->norms ? put_random(c, (size_t)s->Dh, 9, 2) : NULL;
    t->cos = put_random(c, angles ? angles : 1, 10, 1);
    t->sin = put_random(c, angles ? angles : 1, 11, 1);
    for (int i = 0; i < 2; i++)
        t->out[i] = put_nan(c, t->n_q * sizeof(float));
}

static hm_attention_args attention_of(const step_case *t, int i)
{
    const shape *s = &t->s;
    return (hm_attention_args){.out = t->out[i],
                               .q = t->q,
                               .kv = t->kv[i],
                               .B = s->B,
                               .S = s->S,
                               .H = s->H,
                               .Dh = s->Dh,
                               .slots = s->pos + s->S,
                               .pos = s->pos,
                               .causal = true,
                               .scale = 1.0f / sqrtf((float)s->Dh)};
}

static void outputs_agree(step_case *t, double bound)
{
    float *a = guarded_alloc(t->n_q), *b = guarded_alloc(t->n_q);
    gpu_get(t->c, a, t->out[0]);
    gpu_get(t->c, b, t->out[1]);
    for (size_t i = 0; i < t->n_q; i++)
        assert_near(a[i], (double)b[i], bound, "out", i);
    guarded_free(a, t->n_q);
    guarded_free(b, t->n_q);
}

static void same_bytes(gpu_case *c, const void *one, const void *other, size_t bytes)
{
    uint8_t *a = malloc(bytes), *b = malloc(bytes);
    gpu_get(c, a, one);
    gpu_get(c, b, other);
    assert_memory_equal(a, b, bytes);
    free(a);
    free(b);
}

static void caches_agree(step_case *t)
{
    same_bytes(t->c, t->kv[0].k, t->kv[1].k, t->bytes);
    same_bytes(t->c, t->kv[0].v, t->kv[1].v, t->bytes);
    for (int i = 0; i < 2 && t->s.type == HM_I8; i++)
        same_bytes(t->c, i ? t->kv[0].v_scale : t->kv[0].k_scale, i ? t->kv[1].v_scale : t->kv[1].k_scale, t->scales * sizeof(float));
}

static void check_step(gpu_case *c, const shape *s)
{
    step_case t;
    hm_ops op = c->gpu.op, plain = op;
    hm_counters before;
    case_make(&t, c, s, true);
    hm_cuda_attend_ops(&op);
    hm_step_args step = {.a = attention_of(&t, 0), .k = t.k, .v = t.v, .q_norm = t.q_norm, .k_norm = t.k_norm, .eps = 1e-6f};
    step.cos = t.cos;
    step.sin = t.sin;
    step.half = s->half;
    *op.count = (hm_counters){0};
    assert_true(op.step(&op, &step));
    before = *op.count;
    assert_int_equal(before.launches, 1);
    if (s->norms) {
        plain.rmsnorm(&plain, t.q, t.q, t.q_norm, s->B * s->S * s->H, s->Dh, 1e-6f);
        plain.rmsnorm(&plain, t.k, t.k, t.k_norm, s->B * s->S * s->heads, s->Dh, 1e-6f);
    }
    plain.rope(&plain, t.q, t.cos, t.sin, s->B, s->S, s->H, s->Dh, s->half);
    plain.rope(&plain, t.k, t.cos, t.sin, s->B, s->S, s->heads, s->Dh, s->half);
    plain.kv_put(&plain, &t.kv[1], t.k, t.v, s->B, s->S, s->heads, s->Dh, s->pos);
    hm_attention_args one_by_one = attention_of(&t, 1);
    *op.count = (hm_counters){0};
    plain.count->kv_written_bytes = before.kv_written_bytes;
    hm_gpu_attention_flash(&plain, &one_by_one);
    assert_true(before.kv_written_bytes > 0);
    assert_int_equal(before.attn_scores, plain.count->attn_scores);
    assert_int_equal(before.flops, plain.count->flops);
    caches_agree(&t);
    outputs_agree(&t, 4e-5);
    op.attention(&op, &one_by_one);
    same_bytes(c, t.out[0], t.out[1], t.n_q * sizeof(float));
    gpu_give_back(c);
}

static const shape shapes[] = {{HM_F32, 1, 1, 4, 2, 128, 0, true, true},     {HM_F32, 1, 1, 16, 8, 128, 515, true, true},
                               {HM_F32, 2, 1, 3, 1, 128, 64, false, false},  {HM_F32, 2, 2, 6, 2, 64, 63, false, false},
                               {HM_F32, 1, 3, 4, 1, 48, 130, true, true},    {HM_F32, 1, 4, 4, 2, 20, 31, false, true},
                               {HM_F32, 3, 1, 5, 5, 2, 1, false, false},     {HM_F32, 1, 1, 16, 1, 128, 300, true, false},
                               {HM_BF16, 1, 1, 16, 8, 128, 129, true, true}, {HM_BF16, 2, 2, 6, 2, 128, 65, false, false},
                               {HM_BF16, 1, 1, 2, 2, 24, 33, true, true},    {HM_BF16, 1, 1, 4, 4, 128, 0, true, true},
                               {HM_I8, 1, 1, 16, 8, 128, 129, true, true},   {HM_I8, 2, 2, 6, 2, 128, 65, false, false},
                               {HM_I8, 1, 1, 2, 2, 40, 33, true, true},      {HM_I8, 2, 3, 4, 4, 64, 0, true, true}};

static void steps_are_their_operations_one_by_one(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_step(*state, &shapes[i]);
}

/* Caches that grow are rows; the sums are those over panels, bit for bit. */
static void rows_are_attended_over_with_the_bytes_of_panels(void **state)
{
    gpu_case *c = *state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shape s = shapes[i];
        step_case rows, panels;
        if (s.type != HM_F32)
            continue;
        hm_ops op = c->gpu.op;
        hm_cuda_attend_ops(&op);
        case_make(&rows, c, &s, false);
        op.kv_put(&op, &rows.kv[0], rows.k, rows.v, s.B, s.S, s.heads, s.Dh, s.pos);
        hm_attention_args a = attention_of(&rows, 0);
        op.attention(&op, &a);
        float *first = guarded_alloc(rows.n_q), *second = guarded_alloc(rows.n_q);
        gpu_get(c, first, rows.out[0]);
        gpu_give_back(c);
        case_make(&panels, c, &s, true);
        op.kv_put(&op, &panels.kv[0], panels.k, panels.v, s.B, s.S, s.heads, s.Dh, s.pos);
        a = attention_of(&panels, 0);
        op.attention(&op, &a);
        gpu_get(c, second, panels.out[0]);
        assert_same_bytes(first, second, rows.n_q);
        guarded_free(first, rows.n_q);
        guarded_free(second, rows.n_q);
        gpu_give_back(c);
    }
}

/* A window, a mask, many rows and wide heads are none of theirs. */
static void what_does_not_suit_is_left_to_others(void **state)
{
    gpu_case *c = *state;
    const shape wide = {HM_F32, 1, 1, 2, 2, 144, 5, true, false}, many = {HM_F32, 1, 5, 2, 2, 16, 5, true, false};
    const shape *const both[] = {&wide, &many};
    for (int i = 0; i < 2; i++) {
        step_case t;
        hm_ops op = c->gpu.op;
        hm_cuda_attend_ops(&op);
        case_make(&t, c, both[i], true);
        hm_step_args step = {.a = attention_of(&t, 0), .k = t.k, .v = t.v, .cos = t.cos, .sin = t.sin};
        assert_false(op.step(&op, &step));
        op.kv_put(&op, &t.kv[0], t.k, t.v, 1, both[i]->S, both[i]->heads, both[i]->Dh, both[i]->pos);
        op.attention(&op, &step.a);
        hm_attention_args other = step.a;
        other.out = t.out[1];
        hm_gpu_attention_flash(&op, &other);
        outputs_agree(&t, 4e-5);
        gpu_give_back(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(steps_are_their_operations_one_by_one),
                                       cmocka_unit_test(rows_are_attended_over_with_the_bytes_of_panels),
                                       cmocka_unit_test(what_does_not_suit_is_left_to_others)};
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
