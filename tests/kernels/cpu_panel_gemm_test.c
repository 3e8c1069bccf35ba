/* Products of many rows and convolutions over panels, for every format and every instruction set the machine has.
 * Bound, with size = sum of |w x| and |bias| over the very inputs that the weights meet (quantised ones for quantised formats):
 * 2e-6 * (size * s + 1), s the steepest slope of the activation; without one and with hostile values 2e-6 * size + 1e-37, and for
 * quantised formats also, against the inputs as they were, what half a step of each group's scale can make (panel_check.h). */
#include "tests/kernels/panel_check.h"

#define BOUND 2e-6

/* stride: rows of x that a row of y moves on, which then lie side by side; 0: one, with room between rows. */
typedef struct conv {
    int in, taps, dilation, out, M, stride;
} conv;

/* Sum in double of one output over the inputs met, which start at row x; loose: see above. */
typedef struct expected {
    double z, exact, size, loose;
} expected;

static expected expect(const panels *k, const float *x, int64_t tap_stride, int o)
{
    const int in = k->w.in;
    float *met = random_floats((size_t)in, 1, 0), *error = random_floats((size_t)in, 1, 0);
    expected e = {.z = (double)k->bias[o], .exact = (double)k->bias[o], .size = fabs((double)k->bias[o])};
    for (int t = 0; t < k->w.taps; t++) {
        const float *row = x + t * tap_stride, *w = k->values + ((size_t)o * (size_t)k->w.taps + (size_t)t) * (size_t)in;
        if (hm_format_quantised(k->w.panels))
            quantised_inputs(met, error, row, in);
        else
            memcpy(met, row, (size_t)in * sizeof *met);
        for (int i = 0; i < in; i++) {
            e.z += (double)w[i] * (double)met[i];
            e.exact += (double)w[i] * (double)row[i];
            e.size += fabs((double)w[i] * (double)met[i]);
            e.loose += fabs((double)w[i]) * (double)error[i];
        }
    }
    guarded_free(met, (size_t)in);
    guarded_free(error, (size_t)in);
    return e;
}

/* Some of the rows, the first and the last among them. */
static bool looked_at(int m, int M)
{
    return m < 3 || m >= M - 2 || m % 17 == 0;
}

static void check_sums(const panels *k, const hm_linear_args *a, const float *y, const float *residual)
{
    for (int m = 0; m < a->M; m++)
        for (int o = 0; o < k->w.out && looked_at(m, a->M); o++) {
            expected e = expect(k, a->x + m * a->ldx, a->tap_stride, o);
            double steepest = a->act == HM_ACT_SNAKE ? 7 : 1.2; /* 1 + |a b| for snake */
            double z =
                activated_in_double(a->act, e.z, 0.25, a->snake_a ? (double)a->snake_a[o] : 0, a->snake_b ? (double)a->snake_b[o] : 0);
            z += residual ? (double)residual[m * a->ldy + o] : 0;
            assert_near(y[m * a->ldy + o], z, BOUND * (e.size * steepest + 1), hm_format_name(k->w.panels), (size_t)(m * k->w.out + o));
        }
}

/* Any cut of the rows into calls gives the bytes of one call. */
static void check_pieces(rig *r, const hm_linear_args *a, const float *y, size_t ny)
{
    float *pieces = guarded_alloc(ny);
    memset(pieces, 0x7f, ny * sizeof *pieces);
    for (int m = 0, n; m < a->M; m += n) {
        n = a->M - m < 1 + m % 23 ? a->M - m : 1 + m % 23;
        hm_linear_args part = *a;
        part.M = n;
        part.x = a->x + m * a->ldx;
        part.y = pieces + m * a->ldy;
        part.residual = a->residual ? a->residual + m * a->ldy : NULL;
        r->op.linear_ex(&r->op, &part);
    }
    assert_same_bytes(pieces, y, ny); /* columns between the rows included: untouched */
    guarded_free(pieces, ny);
}

/* Strided outputs, dilated taps, activation and residual, all at once; on every instruction set, with one to three threads. */
static void check_conv(const conv *c, hm_format format, hm_act act, bool residual)
{
    panels k;
    panels_make(&k, format, c->out, c->in, c->taps, (uint64_t)(c->in + c->out), false);
    int64_t row = c->stride ? c->in : c->in + 3, ldx = c->stride ? c->stride * row : row, ldy = c->out + 5, tap = c->dilation * row;
    size_t nx = (size_t)((c->M - 1) * ldx + (c->taps - 1) * tap + row), ny = (size_t)(c->M * ldy), n_out = (size_t)c->out;
    float *a_snake = random_floats(n_out, 6, 3.0f), *b_snake = random_floats(n_out, 7, 2.0f);
    float *x = random_floats(nx, 3, 1.0f), *y = guarded_alloc(ny), *add = random_floats(ny, 4, 1.0f), *first = guarded_alloc(ny);
    hm_linear_args a = {.y = y, .x = x, .w = &k.w, .M = c->M, .ldy = ldy, .ldx = ldx, .tap_stride = tap, .act = act, .slope = 0.25f};
    a.residual = residual ? add : NULL;
    a.snake_a = act == HM_ACT_SNAKE ? a_snake : NULL;
    a.snake_b = act == HM_ACT_SNAKE ? b_snake : NULL;
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int threads = 1; threads <= 3; threads++) {
            rig r;
            rig_open(&r, threads, isa);
            memset(y, 0x7f, ny * sizeof *y);
            r.op.linear_ex(&r.op, &a);
            if (threads == 1)
                check_sums(&k, &a, y, a.residual);
            else
                assert_same_bytes(y, first, ny);
            memcpy(first, y, ny * sizeof *y);
            if (threads == 2)
                check_pieces(&r, &a, y, ny);
            rig_close(&r);
        }
    guarded_free(a_snake, n_out);
    guarded_free(b_snake, n_out);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(add, ny);
    guarded_free(first, ny);
    panels_free(&k);
}

static void check_convs(const conv *cases, size_t n)
{
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
        for (size_t i = 0; i < n; i++)
            check_conv(&cases[i], all_formats[f], (hm_act)((i + f) % (HM_ACT_SNAKE + 1)), (i + f) % 2);
}

static void convolutions_match_double_sums_whole_or_in_pieces(void **state)
{
    static const conv cases[] = {{2, 7, 1, 1, 200, 0},   {2, 7, 3, 2, 211, 0}, {16, 7, 9, 3, 150, 0},  {24, 1, 1, 4, 77, 0},
                                 {64, 7, 5, 64, 130, 0}, {5, 3, 1, 33, 20, 0}, {96, 2, 1, 40, 7, 0},   {37, 7, 2, 9, 193, 0},
                                 {300, 1, 1, 20, 3, 0},  {8, 7, 5, 8, 600, 0}, {33, 3, 4, 129, 41, 0}, {96, 7, 9, 50, 61, 0}};
    (void)state;
    check_convs(cases, sizeof cases / sizeof *cases);
}

/* Rows of y start some rows of x apart, taps lie side by side or dilated, kernels are even and odd. */
static void strided_convolutions_match_double_sums(void **state)
{
    static const conv cases[] = {{1, 8, 1, 64, 50, 4},  {64, 10, 1, 33, 41, 5}, {24, 12, 1, 17, 30, 6}, {64, 4, 1, 64, 50, 2},
                                 {6, 3, 2, 9, 60, 2},   {5, 5, 3, 8, 77, 3},    {7, 1, 1, 3, 90, 2},    {130, 3, 3, 21, 30, 2},
                                 {16, 2, 1, 40, 63, 1}, {65, 2, 1, 33, 29, 1},  {96, 7, 1, 1, 250, 1},  {48, 7, 1, 1, 9, 1}};
    (void)state;
    check_convs(cases, sizeof cases / sizeof *cases);
}

/* A dense layer: hostile values, several blocks of a sum, rows that fill strips and tiles and rows that do not. Every row has the bytes
 * that it has among few rows; quantised formats have the same on every instruction set. */
static void check_dense(hm_format format, int out, int in, int M, bool hostile)
{
    panels k;
    size_t nx = (size_t)M * (size_t)in, ny = (size_t)M * (size_t)out;
    float *x = hostile ? hostile_floats(nx, 5) : random_floats(nx, 5, 1.0f), *y = guarded_alloc(ny), *few = guarded_alloc(ny);
    float *first = guarded_alloc(ny);
    panels_make(&k, format, out, in, 1, (uint64_t)(out * 31 + in), hostile);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 1 + M % 3, isa);
        r.op.linear(&r.op, y, x, &k.w, M);
        for (int m = 0; m < M; m++)
            for (int o = 0; o < out && looked_at(m, M); o++) {
                expected e = expect(&k, x + (size_t)m * (size_t)in, 0, o);
                double room = BOUND * e.size + 1e-37;
                assert_near(y[m * out + o], e.z, room, hm_format_name(format), (size_t)(m * out + o));
                assert_near(y[m * out + o], e.exact, e.loose + room + BOUND * e.loose, "quantised inputs", (size_t)(m * out + o));
            }
        for (int m = 0; m < M; m += HM_FEW_ROWS)
            r.op.linear(&r.op, few + m * out, x + m * in, &k.w, M - m < HM_FEW_ROWS ? M - m : HM_FEW_ROWS);
        if (out > 4) /* fewer: dot products when rows are many */
            assert_same_bytes(y, few, ny);
        if (isa != HM_ISA_SCALAR && hm_format_quantised(format))
            assert_same_bytes(y, first, ny);
        memcpy(first, y, ny * sizeof *y);
        rig_close(&r);
    }
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(few, ny);
    guarded_free(first, ny);
    panels_free(&k);
}

static void many_rows_have_the_bytes_of_few(void **state)
{
    static const int sizes[][3] = {{5, 1, 17},   {16, 32, 18},  {17, 33, 25},   {100, 300, 97}, {33, 577, 49},
                                   {7, 64, 193}, {520, 65, 33}, {259, 130, 40}, {48, 1100, 20}, {3, 70, 50}};
    (void)state;
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_dense(all_formats[f], sizes[s][0], sizes[s][1], sizes[s][2], s % 2);
}

/* A number of rows of each size of strip, up to several tiles: threads and cuts do not change a row. */
static void every_number_of_rows_gives_the_same_bytes(void **state)
{
    enum {
        OUT = 37,
        IN = 70,
        MOST = 300
    };
    (void)state;
    float *x = random_floats((size_t)(MOST + 2) * IN, 21, 1.0f), *y = guarded_alloc((size_t)MOST * OUT),
          *all = guarded_alloc((size_t)MOST * OUT);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++) {
            panels k;
            rig r;
            panels_make(&k, all_formats[f], OUT, IN, 3, 17, false);
            rig_open(&r, 2, isa);
            hm_linear_args a = {.y = all, .x = x, .w = &k.w, .M = MOST, .ldx = IN, .tap_stride = IN};
            r.op.linear_ex(&r.op, &a);
            a.y = y;
            for (a.M = 1; a.M < MOST; a.M += a.M < 40 ? 1 : 29) {
                r.op.linear_ex(&r.op, &a);
                assert_same_bytes(y, all, (size_t)a.M * OUT);
            }
            rig_close(&r);
            panels_free(&k);
        }
    guarded_free(x, (size_t)(MOST + 2) * IN);
    guarded_free(y, (size_t)MOST * OUT);
    guarded_free(all, (size_t)MOST * OUT);
}

/* What is not finite among the inputs is not finite in the sums: a broken run does not pass for a good one. */
static void what_is_not_finite_stays_so(void **state)
{
    enum {
        OUT = 20,
        IN = 100,
        M = 30
    };
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    (void)state;
    float *x = random_floats((size_t)M * IN, 2, 1.0f), y[M * OUT];
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
            for (int b = 0; b < 3; b++) {
                panels k;
                rig r;
                panels_make(&k, all_formats[f], OUT, IN, 1, 3, false);
                rig_open(&r, 1, isa);
                x[7 * IN + 40] = bad[b];
                r.op.linear(&r.op, y, x, &k.w, M);
                for (int m = 0; m < M; m++)
                    for (int o = 0; o < OUT; o++)
                        assert_int_equal(isfinite(y[m * OUT + o]) != 0, m != 7);
                rig_close(&r);
                panels_free(&k);
            }
    guarded_free(x, (size_t)M * IN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_match_double_sums_whole_or_in_pieces),
        cmocka_unit_test(strided_convolutions_match_double_sums),
        cmocka_unit_test(many_rows_have_the_bytes_of_few),
        cmocka_unit_test(every_number_of_rows_gives_the_same_bytes),
        cmocka_unit_test(what_is_not_finite_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
