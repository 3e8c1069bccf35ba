/* Linear layers and row convolutions of the CPU backend against sums in double, for every instruction set the machine has.
 * Bound: |error| <= 2e-6 * sum of |w x| + 1e-37, far above the rounding of float32 sums of these lengths, far below a wrong term. */
#include "tests/kernels/kernel_check.h"

#define BOUND 2e-6

typedef struct weights {
    hm_linear w;
    void *block;   /* heap block that holds w.w at an odd element offset */
    float *values; /* what they are in float32 */
    float *bias;
} weights;

static void weights_make(weights *k, hm_dtype type, int out, int in, int taps, bool in_out, uint64_t seed, bool hostile)
{
    size_t n = (size_t)out * (size_t)in * (size_t)taps, size = hm_dtype_bytes(type);
    float *source = hostile ? hostile_floats(n, seed) : random_floats(n, seed, 1.0f);
    k->block = malloc((n + 1) * size);
    k->values = random_floats(n, 1, 0);
    k->bias = random_floats((size_t)out, seed + 7, 1.0f);
    char *p = (char *)k->block + size; /* element-aligned only */
    for (size_t i = 0; i < n; i++) {
        uint16_t half = type == HM_BF16 ? hm_f32_to_bf16(source[i]) : hm_f32_to_f16(fabsf(source[i]) > 6e4f ? 6e4f : source[i]);
        memcpy(p + i * size, type == HM_F32 ? (void *)&source[i] : (void *)&half, size);
    }
    hm_to_f32(k->values, p, type, n);
    guarded_free(source, n);
    k->w = (hm_linear){.w = p, .bias = k->bias, .type = type, .out = out, .in = in, .taps = taps, .in_out = in_out};
}

static void weights_free(weights *k)
{
    guarded_free(k->values, (size_t)k->w.out * (size_t)k->w.in * (size_t)k->w.taps);
    guarded_free(k->bias, (size_t)k->w.out);
    free(k->block);
}

/* z = bias + sum in double; *size = sum of magnitudes. */
static double reference(const weights *k, const float *x, int64_t tap_stride, int o, double *size)
{
    const hm_linear *w = &k->w;
    double z = w->bias ? (double)w->bias[o] : 0;
    *size = fabs(z);
    for (int j = 0; j < w->taps; j++)
        for (int i = 0; i < w->in; i++) {
            size_t depth = (size_t)j * (size_t)w->in + (size_t)i;
            size_t at = w->in_out ? depth * (size_t)w->out + (size_t)o : (size_t)o * (size_t)w->in * (size_t)w->taps + depth;
            double term = (double)k->values[at] * (double)x[j * tap_stride + i];
            z += term;
            *size += fabs(term);
        }
    return z;
}

static void check_dense(rig *r, hm_dtype type, int out, int in, bool in_out, int M, bool hostile)
{
    weights k;
    weights_make(&k, type, out, in, 1, in_out, (uint64_t)(out * 31 + in), hostile);
    size_t n = (size_t)M * (size_t)out;
    float *x = hostile ? hostile_floats((size_t)M * (size_t)in, 5) : random_floats((size_t)M * (size_t)in, 5, 1.0f), *y = guarded_alloc(n);
    float *sum = random_floats(n, 9, 1.0f);
    r->op.linear(&r->op, y, x, &k.w, M);
    for (int m = 0; m < M; m++)
        for (int o = 0; o < out; o++) {
            double size, z = reference(&k, x + (size_t)m * (size_t)in, 0, o, &size);
            assert_near(y[m * out + o], z, BOUND * size + 1e-37, "linear", (size_t)(m * out + o));
        }
    float *expected = guarded_alloc(n);
    for (size_t i = 0; i < n; i++)
        expected[i] = y[i] + sum[i];
    r->op.linear_add(&r->op, sum, x, &k.w, M);
    assert_same_bytes(sum, expected, n);
    guarded_free(expected, n);
    guarded_free(sum, n);
    guarded_free(x, (size_t)M * (size_t)in);
    guarded_free(y, n);
    weights_free(&k);
}

static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};

static void linear_matches_double_sums_at_odd_sizes(void **state)
{
    static const int sizes[][2] = {{1, 1}, {3, 5}, {9, 33}, {17, 64}, {70, 100}, {33, 300}, {65, 517}, {130, 31}};
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 16, 17, 50};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
                for (int t = 0; t < 3; t++)
                    check_dense(&r, types[t], sizes[s][0], sizes[s][1], (s + m) % 2, rows[m], t == 0 && m % 3 == 0);
        rig_close(&r);
    }
}

/* stride: rows of x that a row of y moves on, which then lie side by side, as an odd number of rows of y does; 0: one, with room between rows. */
typedef struct conv {
    int in, taps, dilation, out, M, stride;
} conv;

/* Strided outputs, dilated taps, activation and residual, all at once. */
static void check_conv(rig *r, const conv *c, hm_dtype type, hm_act act, bool residual)
{
    weights k;
    weights_make(&k, type, c->out, c->in, c->taps, c->M % 2, (uint64_t)c->in, false);
    int64_t row = c->stride ? c->in : c->in + 3, ldx = c->stride ? c->stride * row : row, tap = c->dilation * row;
    int64_t ldy = c->stride && c->M % 2 ? c->out : c->out + 5;
    size_t nx = (size_t)((c->M - 1) * ldx + (c->taps - 1) * tap + row), ny = (size_t)(c->M * ldy), n_out = (size_t)c->out;
    float *a_snake = random_floats(n_out, 6, 3.0f), *b_snake = random_floats(n_out, 7, 2.0f);
    float *x = random_floats(nx, 3, 1.0f), *y = guarded_alloc(ny), *add = random_floats(ny, 4, 1.0f), *pieces = guarded_alloc(ny);
    hm_linear_args a = {.y = y, .x = x, .w = &k.w, .M = c->M, .ldy = ldy, .ldx = ldx, .tap_stride = tap, .act = act, .slope = 0.25f};
    a.residual = residual ? add : NULL;
    a.snake_a = act == HM_ACT_SNAKE ? a_snake : NULL;
    a.snake_b = act == HM_ACT_SNAKE ? b_snake : NULL;
    memset(y, 0x7f, ny * sizeof *y);
    memset(pieces, 0x7f, ny * sizeof *y);
    r->op.linear_ex(&r->op, &a);
    for (int m = 0; m < c->M; m++)
        for (int o = 0; o < c->out; o++) {
            double size, z = reference(&k, x + m * ldx, tap, o, &size);
            double steepest = act == HM_ACT_SNAKE ? 7 : 1.2; /* of the activation: 1 + |a b| for snake */
            z = activated_in_double(act, z, 0.25, (double)a_snake[o], (double)b_snake[o]);
            z += residual ? (double)add[m * ldy + o] : 0;
            assert_near(y[m * ldy + o], z, BOUND * (size * steepest + 1), "linear_ex", (size_t)(m * c->out + o));
        }
    for (int m = 0, n; m < c->M; m += n) { /* any cut of the rows gives the same bytes */
        n = c->M - m < 1 + m % 23 ? c->M - m : 1 + m % 23;
        hm_linear_args part = a;
        part.M = n;
        part.x = x + m * ldx;
        part.y = pieces + m * ldy;
        part.residual = residual ? add + m * ldy : NULL;
        r->op.linear_ex(&r->op, &part);
    }
    assert_same_bytes(pieces, y, ny); /* columns between the rows included: untouched */
    guarded_free(a_snake, n_out);
    guarded_free(b_snake, n_out);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(add, ny);
    guarded_free(pieces, ny);
    weights_free(&k);
}

static void convolutions_match_double_sums_whole_or_in_pieces(void **state)
{
    static const conv cases[] = {{2, 7, 1, 1, 400, 0},   {2, 7, 3, 2, 211, 0},  {16, 7, 9, 3, 250, 0}, {24, 1, 1, 4, 77, 0},
                                 {64, 7, 5, 64, 260, 0}, {5, 3, 1, 33, 20, 0},  {96, 2, 1, 40, 7, 0},  {37, 7, 2, 9, 193, 0},
                                 {300, 1, 1, 20, 3, 0},  {2, 7, 9, 2, 2300, 0}, {8, 7, 5, 8, 1100, 0}, {4, 2, 1, 6, 999, 0},
                                 {3, 5, 2, 5, 77, 0},    {1, 1, 1, 1, 9, 0},    {8, 30, 3, 7, 64, 0}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (hm_act act = (hm_act)(i % 3); act <= HM_ACT_SNAKE; act += 3)
                check_conv(&r, &cases[i], types[i % 3], act, (i + act) % 2);
        rig_close(&r);
    }
}

/* Downsampling layers: rows of y start some rows of x apart, taps lie side by side or dilated, kernels are even and odd. */
static void strided_convolutions_match_double_sums(void **state)
{
    static const conv cases[] = {{1, 8, 1, 64, 100, 4}, {64, 10, 1, 33, 41, 5}, {24, 12, 1, 17, 30, 6}, {37, 16, 1, 40, 23, 8},
                                 {64, 4, 1, 64, 50, 2}, {6, 3, 2, 9, 60, 2},    {5, 5, 3, 8, 77, 3},    {7, 1, 1, 3, 90, 2},
                                 {4, 4, 1, 4, 300, 2},  {8, 3, 4, 2, 200, 2},   {2, 4, 1, 1, 120, 2},   {16, 2, 1, 4, 63, 1},
                                 {96, 7, 1, 1, 250, 1}, {32, 7, 1, 1, 1401, 1}, {64, 7, 1, 1, 5, 1},    {20, 7, 1, 1, 333, 1},
                                 {64, 7, 1, 1, 333, 1}, {96, 7, 1, 1, 1001, 1}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_conv(&r, &cases[i], types[i % 3], i % 2 ? HM_ACT_ELU : HM_ACT_NONE, i % 3 == 0);
        rig_close(&r);
    }
}

/* Rows side by side, and rows further apart: other loads, the same sums. */
static void check_contiguous(rig *r, int in, int out)
{
    enum {
        M = 1200,
        PAD = 3,
        TAPS = 7
    };
    weights k;
    weights_make(&k, HM_F32, out, in, TAPS, false, 11, false);
    size_t rows = M + TAPS - 1, ny = (size_t)M * (size_t)out;
    float *x = random_floats(rows * (size_t)in, 2, 1.0f), *wide = guarded_alloc(rows * (size_t)(in + PAD)), *y = guarded_alloc(ny);
    float *z = guarded_alloc(ny);
    r->op.copy_2d(&r->op, wide, in + PAD, x, in, in, (int)rows);
    r->op.linear_ex(&r->op, &(hm_linear_args){.y = y, .x = x, .w = &k.w, .M = M});
    r->op.linear_ex(&r->op, &(hm_linear_args){.y = z, .x = wide, .w = &k.w, .M = M, .ldx = in + PAD, .tap_stride = in + PAD});
    assert_same_bytes(y, z, ny);
    guarded_free(x, rows * (size_t)in);
    guarded_free(wide, rows * (size_t)(in + PAD));
    guarded_free(y, ny);
    guarded_free(z, ny);
    weights_free(&k);
}

static void a_contiguous_causal_convolution_equals_its_strided_form(void **state)
{
    static const int shapes[][2] = {{20, 30}, {2, 2}, {4, 4}, {8, 8}, {8, 2}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_contiguous(&r, shapes[i][0], shapes[i][1]);
        rig_close(&r);
    }
}

/* A row's bytes depend neither on the rows beside it nor on the threads. */
static void rows_and_threads_do_not_change_a_row(void **state)
{
    enum {
        OUT = 203,
        IN = 331,
        MOST = 400
    };
    (void)state;
    float *x = random_floats((size_t)MOST * IN, 21, 1.0f);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int t = 0; t < 6; t++) {
            weights k;
            weights_make(&k, types[t % 3], OUT, IN, 1, t >= 3, 17, false);
            float *few = guarded_alloc(16 * OUT), *many = guarded_alloc((size_t)MOST * OUT);
            for (int threads = 1; threads <= 3; threads++) {
                rig r;
                rig_open(&r, threads, isa);
                static const int counts[] = {16, 1, 2, 3, 5, 8, 11, 15};
                for (int i = 0; i < 8; i++) {
                    float *y = threads == 1 && i == 0 ? few : guarded_alloc(16 * OUT);
                    r.op.linear(&r.op, y, x, &k.w, counts[i]);
                    assert_same_bytes(y, few, (size_t)counts[i] * OUT);
                    if (y != few)
                        guarded_free(y, 16 * OUT);
                }
                static const int large[] = {MOST, 17, 19, 97, 200};
                for (int i = 0; i < 5; i++) {
                    float *y = threads == 1 && i == 0 ? many : guarded_alloc((size_t)MOST * OUT);
                    r.op.linear(&r.op, y, x, &k.w, large[i]);
                    assert_same_bytes(y, many, (size_t)large[i] * OUT);
                    if (y != many)
                        guarded_free(y, (size_t)MOST * OUT);
                }
                rig_close(&r);
            }
            guarded_free(few, 16 * OUT);
            guarded_free(many, (size_t)MOST * OUT);
            weights_free(&k);
        }
    guarded_free(x, (size_t)MOST * IN);
}

static void fused_layers_equal_their_parts(void **state)
{
    enum {
        IN = 77,
        A = 50,
        B = 19,
        C = 131,
        M_MOST = 31
    };
    (void)state;
    float *x = random_floats((size_t)M_MOST * IN, 4, 2.0f);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int M = 1; M <= M_MOST; M += M < 9 ? 1 : 11) {
            rig r;
            rig_open(&r, 2, isa);
            const int outs[3] = {A, B, C};
            weights k[3];
            float *fused[3], *parts[3];
            for (int i = 0; i < 3; i++) {
                weights_make(&k[i], types[i], outs[i], IN, 1, false, (uint64_t)i + 40, false);
                fused[i] = guarded_alloc((size_t)M * (size_t)outs[i]);
                parts[i] = guarded_alloc((size_t)M * (size_t)outs[i]);
                r.op.linear(&r.op, parts[i], x, &k[i].w, M);
            }
            r.op.linear_multi(&r.op, 3, fused, x, (const hm_linear *const[]){&k[0].w, &k[1].w, &k[2].w}, M);
            for (int i = 0; i < 3; i++)
                assert_same_bytes(fused[i], parts[i], (size_t)M * (size_t)outs[i]);
            weights up;
            weights_make(&up, HM_BF16, C, IN, 1, false, 99, false);
            hm_linear gate = k[2].w;
            gate.bias = up.w.bias = NULL;
            float *u = guarded_alloc((size_t)M * C);
            r.op.linear_swiglu(&r.op, fused[2], x, &gate, &up.w, M);
            r.op.linear(&r.op, parts[2], x, &gate, M);
            r.op.linear(&r.op, u, x, &up.w, M);
            r.op.silu_mul(&r.op, parts[2], parts[2], u, (size_t)M * C);
            assert_same_bytes(fused[2], parts[2], (size_t)M * C);
            guarded_free(u, (size_t)M * C);
            weights_free(&up);
            for (int i = 0; i < 3; i++) {
                guarded_free(fused[i], (size_t)M * (size_t)outs[i]);
                guarded_free(parts[i], (size_t)M * (size_t)outs[i]);
                weights_free(&k[i]);
            }
            rig_close(&r);
        }
    guarded_free(x, (size_t)M_MOST * IN);
}

enum {
    FEW = 16,
    FEW_IN = 203,
    FEW_OUT = 75
};

/* Row m of every entry with M rows, against the entry with this row alone. */
static void check_few_rows(rig *r, const weights *k, const float *x, int M)
{
    const hm_linear *a = &k[0].w, *b = &k[1].w;
    hm_linear gate = *a, up = *b;
    gate.bias = up.bias = NULL;
    size_t n = (size_t)M * FEW_OUT;
    float *y = guarded_alloc(n), *sum = random_floats(n, 3, 1.0f), *first = guarded_alloc(n), *second = guarded_alloc(n);
    float *gated = guarded_alloc(n), *add = random_floats(n, 3, 1.0f), one[FEW_OUT], two[FEW_OUT];
    r->op.linear(&r->op, y, x, a, M);
    r->op.linear_add(&r->op, sum, x, a, M);
    r->op.linear_multi(&r->op, 2, (float *const[]){first, second}, x, (const hm_linear *const[]){a, b}, M);
    r->op.linear_swiglu(&r->op, gated, x, &gate, &up, M);
    for (int m = 0; m < M; m++) {
        const float *row = x + m * FEW_IN;
        size_t at = (size_t)m * FEW_OUT;
        r->op.linear(&r->op, one, row, a, 1);
        assert_same_bytes(y + at, one, FEW_OUT);
        r->op.linear_add(&r->op, add + at, row, a, 1);
        assert_same_bytes(sum + at, add + at, FEW_OUT);
        r->op.linear_multi(&r->op, 2, (float *const[]){one, two}, row, (const hm_linear *const[]){a, b}, 1);
        assert_same_bytes(first + at, one, FEW_OUT);
        assert_same_bytes(second + at, two, FEW_OUT);
        r->op.linear_swiglu(&r->op, one, row, &gate, &up, 1);
        assert_same_bytes(gated + at, one, FEW_OUT);
    }
    float *const all[] = {y, sum, first, second, gated, add};
    for (int i = 0; i < 6; i++)
        guarded_free(all[i], n);
}

static void rows_of_a_small_batch_have_the_bytes_of_a_row_alone(void **state)
{
    (void)state;
    float *x = random_floats((size_t)FEW * FEW_IN, 21, 1.0f);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int t = 0; t < 6; t++) {
            weights k[2];
            for (int i = 0; i < 2; i++)
                weights_make(&k[i], types[t % 3], FEW_OUT, FEW_IN, 1, t >= 3, (uint64_t)(17 + i), false);
            rig r;
            rig_open(&r, 1 + t % 3, isa);
            for (int M = 1; M <= FEW; M++)
                check_few_rows(&r, k, x, M);
            rig_close(&r);
            for (int i = 0; i < 2; i++)
                weights_free(&k[i]);
        }
    guarded_free(x, (size_t)FEW * FEW_IN);
}

static void counters_say_what_a_layer_cost(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    weights k;
    weights_make(&k, HM_BF16, 10, 20, 1, false, 1, false);
    float x[40] = {0}, y[20];
    r.op.linear(&r.op, y, x, &k.w, 2);
    assert_int_equal(r.count.launches, 1);
    assert_int_equal(r.count.linear_rows, 2);
    assert_int_equal(r.count.flops, 2 * 10 * 20 * 2);
    assert_int_equal(r.count.weight_bytes, 10 * 20 * 2 + 10 * 4);
    weights_free(&k);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_matches_double_sums_at_odd_sizes),
        cmocka_unit_test(convolutions_match_double_sums_whole_or_in_pieces),
        cmocka_unit_test(strided_convolutions_match_double_sums),
        cmocka_unit_test(a_contiguous_causal_convolution_equals_its_strided_form),
        cmocka_unit_test(rows_and_threads_do_not_change_a_row),
        cmocka_unit_test(rows_of_a_small_batch_have_the_bytes_of_a_row_alone),
        cmocka_unit_test(fused_layers_equal_their_parts),
        cmocka_unit_test(counters_say_what_a_layer_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
