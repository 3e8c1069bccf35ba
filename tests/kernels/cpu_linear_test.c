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
    static const int rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 50};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa <= hm_isa_detect(); isa++) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
                for (int t = 0; t < 3; t++)
                    check_dense(&r, types[t], sizes[s][0], sizes[s][1], (s + m) % 2, rows[m], t == 0 && m % 3 == 0);
        rig_close(&r);
    }
}

typedef struct conv {
    int in, taps, dilation, out, M;
} conv;

/* Strided outputs, dilated taps, activation and residual, all at once. */
static void check_conv(rig *r, const conv *c, hm_dtype type, hm_act act, bool residual)
{
    weights k;
    weights_make(&k, type, c->out, c->in, c->taps, c->M % 2, (uint64_t)c->in, false);
    int64_t ldx = c->in + 3, ldy = c->out + 5, tap = c->dilation * ldx;
    size_t nx = (size_t)((c->M + (c->taps - 1) * c->dilation) * ldx), ny = (size_t)(c->M * ldy);
    float *x = random_floats(nx, 3, 1.0f), *y = guarded_alloc(ny), *add = random_floats(ny, 4, 1.0f), *pieces = guarded_alloc(ny);
    hm_linear_args a = {.y = y, .x = x, .w = &k.w, .M = c->M, .ldy = ldy, .ldx = ldx, .tap_stride = tap, .act = act, .slope = 0.25f};
    a.residual = residual ? add : NULL;
    memset(y, 0x7f, ny * sizeof *y);
    memset(pieces, 0x7f, ny * sizeof *y);
    r->op.linear_ex(&r->op, &a);
    for (int m = 0; m < c->M; m++)
        for (int o = 0; o < c->out; o++) {
            double size, z = reference(&k, x + m * ldx, tap, o, &size);
            z = act == HM_ACT_SILU ? z / (1 + exp(-z)) : act == HM_ACT_PRELU && z < 0 ? z * 0.25 : z;
            z += residual ? (double)add[m * ldy + o] : 0;
            assert_near(y[m * ldy + o], z, BOUND * (size + 1), "linear_ex", (size_t)(m * c->out + o));
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
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(add, ny);
    guarded_free(pieces, ny);
    weights_free(&k);
}

static void convolutions_match_double_sums_whole_or_in_pieces(void **state)
{
    static const conv cases[] = {{2, 7, 1, 1, 400}, {2, 7, 3, 2, 211}, {16, 7, 9, 3, 250}, {24, 1, 1, 4, 77}, {64, 7, 5, 64, 260},
                                 {5, 3, 1, 33, 20}, {96, 2, 1, 40, 7}, {37, 7, 2, 9, 193}, {300, 1, 1, 20, 3},
                                 {2, 7, 9, 2, 2300}, {8, 7, 5, 8, 1100}, {4, 2, 1, 6, 999}, {3, 5, 2, 5, 77}, {1, 1, 1, 1, 9}, {8, 30, 3, 7, 64}};
    (void)state;
    for (hm_isa isa = HM_ISA_SCALAR; isa <= hm_isa_detect(); isa++) {
        rig r;
        rig_open(&r, 2, isa);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_conv(&r, &cases[i], types[i % 3], (hm_act)(i % 3), i % 2);
        rig_close(&r);
    }
}

/* Rows side by side, and rows further apart: other loads, the same sums. */
static void check_contiguous(rig *r, int in, int out)
{
    enum { M = 1200, PAD = 3, TAPS = 7 };
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
    for (hm_isa isa = HM_ISA_SCALAR; isa <= hm_isa_detect(); isa++) {
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
    enum { OUT = 203, IN = 331, MOST = 400 };
    (void)state;
    float *x = random_floats((size_t)MOST * IN, 21, 1.0f);
    for (hm_isa isa = HM_ISA_SCALAR; isa <= hm_isa_detect(); isa++)
        for (int t = 0; t < 6; t++) {
            weights k;
            weights_make(&k, types[t % 3], OUT, IN, 1, t >= 3, 17, false);
            float *few = guarded_alloc(8 * OUT), *many = guarded_alloc((size_t)MOST * OUT);
            for (int threads = 1; threads <= 3; threads++) {
                rig r;
                rig_open(&r, threads, isa);
                static const int counts[] = {8, 1, 2, 3, 4, 5, 6, 7};
                for (int i = 0; i < 8; i++) {
                    float *y = threads == 1 && i == 0 ? few : guarded_alloc(8 * OUT);
                    r.op.linear(&r.op, y, x, &k.w, counts[i]);
                    assert_same_bytes(y, few, (size_t)counts[i] * OUT);
                    if (y != few)
                        guarded_free(y, 8 * OUT);
                }
                static const int large[] = {MOST, 9, 13, 97, 200};
                for (int i = 0; i < 5; i++) {
                    float *y = threads == 1 && i == 0 ? many : guarded_alloc((size_t)MOST * OUT);
                    r.op.linear(&r.op, y, x, &k.w, large[i]);
                    assert_same_bytes(y, many, (size_t)large[i] * OUT);
                    if (y != many)
                        guarded_free(y, (size_t)MOST * OUT);
                }
                rig_close(&r);
            }
            guarded_free(few, 8 * OUT);
            guarded_free(many, (size_t)MOST * OUT);
            weights_free(&k);
        }
    guarded_free(x, (size_t)MOST * IN);
}

static void fused_layers_equal_their_parts(void **state)
{
    enum { IN = 77, A = 50, B = 19, C = 131, M_MOST = 20 };
    (void)state;
    float *x = random_floats((size_t)M_MOST * IN, 4, 2.0f);
    for (hm_isa isa = HM_ISA_SCALAR; isa <= hm_isa_detect(); isa++)
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
        cmocka_unit_test(a_contiguous_causal_convolution_equals_its_strided_form),
        cmocka_unit_test(rows_and_threads_do_not_change_a_row),
        cmocka_unit_test(fused_layers_equal_their_parts),
        cmocka_unit_test(counters_say_what_a_layer_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
