/* Linear layers of few rows over panels, for every format and every instruction set the machine has.
 * Bounds, with size = sum of |w x| (and |bias|):
 *   2e-6 * size + 1e-37 against sums in double over the very inputs that the weights meet (quantised ones for quantised formats);
 *   and for those also, against the inputs as they were, what half a step of each group's scale can make: sum of |w| * scale / 2. */
#include "tests/kernels/panel_check.h"

#define BOUND 2e-6
#define ROWS HM_FEW_ROWS

typedef struct expected {
    double z[ROWS], size[ROWS], loose[ROWS]; /* of one output: sum over what is met, its magnitude, and room around the true sum */
    double exact[ROWS];
} expected;

static void expect_output(expected *e, const panels *k, const float *x, const float *met, const float *error, int o)
{
    size_t in = (size_t)k->w.in;
    for (size_t m = 0; m < ROWS; m++) {
        double bias = k->w.bias ? (double)k->w.bias[o] : 0;
        e->z[m] = e->exact[m] = bias;
        e->size[m] = fabs(bias);
        e->loose[m] = 0;
        for (size_t i = 0; i < in; i++) {
            double w = (double)k->values[(size_t)o * in + i];
            e->z[m] += w * (double)met[m * in + i];
            e->exact[m] += w * (double)x[m * in + i];
            e->size[m] += fabs(w * (double)met[m * in + i]);
            e->loose[m] += fabs(w) * (double)error[m * in + i];
        }
    }
}

/* All rows against double sums; fewer rows have the bytes of the first ones. y of all rows is left in `y`. */
static void check_linear(rig *r, const panels *k, const float *x, float *y)
{
    size_t in = (size_t)k->w.in, out = (size_t)k->w.out;
    bool quantised = hm_format_quantised(k->w.panels);
    float *met = guarded_alloc(ROWS * in), *error = guarded_alloc(ROWS * in), *few = guarded_alloc(ROWS * out);
    memcpy(met, x, ROWS * in * sizeof *x);
    memset(error, 0, ROWS * in * sizeof *x);
    for (size_t m = 0; quantised && m < ROWS; m++)
        quantised_inputs(met + m * in, error + m * in, x + m * in, k->w.in);
    r->op.linear(&r->op, y, x, &k->w, ROWS);
    for (size_t o = 0; o < out; o++) {
        expected e;
        expect_output(&e, k, x, met, error, (int)o);
        for (size_t m = 0; m < ROWS; m++) {
            double room = BOUND * e.size[m] + 1e-37;
            assert_near(y[m * out + o], e.z[m], room, hm_format_name(k->w.panels), m * out + o);
            assert_near(y[m * out + o], e.exact[m], e.loose[m] + room, "quantised inputs", m * out + o);
        }
    }
    for (int M = 1; M < ROWS; M++) {
        memset(few, 0x7f, ROWS * out * sizeof *few);
        r->op.linear(&r->op, few, x, &k->w, M);
        assert_same_bytes(few, y, (size_t)M * out);
    }
    guarded_free(met, ROWS * in);
    guarded_free(error, ROWS * in);
    guarded_free(few, ROWS * out);
}

/* On every instruction set, with one to three threads: the same bytes for any number of them, and of quantised formats for any set. */
static void check_size(hm_format format, int out, int in, bool hostile)
{
    panels k;
    size_t nx = ROWS * (size_t)in, ny = ROWS * (size_t)out;
    float *x = hostile ? hostile_floats(nx, 5) : random_floats(nx, 5, 1.0f), *first = guarded_alloc(ny), *y = guarded_alloc(ny);
    panels_make(&k, format, out, in, 1, (uint64_t)(out * 31 + in), hostile);
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa))
        for (int threads = 1; threads <= 3; threads++) {
            rig r;
            rig_open(&r, threads, isa);
            if (threads == 1) {
                check_linear(&r, &k, x, y);
            } else {
                memset(y, 0x7f, ny * sizeof *y);
                r.op.linear(&r.op, y, x, &k.w, ROWS);
            }
            if (threads > 1 || (isa != HM_ISA_SCALAR && hm_format_quantised(format)))
                assert_same_bytes(y, first, ny);
            memcpy(first, y, ny * sizeof *y);
            rig_close(&r);
        }
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(first, ny);
    panels_free(&k);
}

static void panels_match_double_sums_at_odd_sizes(void **state)
{
    static const int outs[] = {1, 15, 16, 17, 33, 100}, ins[] = {1, 31, 32, 63, 64, 65, 200};
    (void)state;
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++)
            for (size_t i = 0; i < sizeof ins / sizeof *ins; i++)
                check_size(all_formats[f], outs[o], ins[i], (o + i) % 2);
}

static void panels_match_double_sums_of_long_rows_and_many_outputs(void **state)
{
    (void)state;
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++) {
        check_size(all_formats[f], 2051, 33, false); /* more outputs than threads split evenly */
        check_size(all_formats[f], 35, 3001, false); /* several blocks of a sum */
    }
}

/* linear_add, parts in one launch and swiglu have the sums of linear. */
static void check_relatives(rig *r)
{
    static const int outs[3] = {77, 16, 33}, in = 130;
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++) {
        panels k[3];
        const hm_linear *w[3];
        float *y[3], *alone[3], *x = random_floats((size_t)(ROWS * in), 3, 1.0f);
        for (int i = 0; i < 3; i++) {
            panels_make(&k[i], all_formats[(f + (i == 2)) % FORMATS], outs[i], in, 1, (uint64_t)i + 1, false);
            w[i] = &k[i].w;
            y[i] = guarded_alloc((size_t)(ROWS * outs[i]));
            alone[i] = guarded_alloc((size_t)(ROWS * outs[i]));
        }
        for (int M = 1; M <= ROWS; M += M < 5 ? 1 : 5) {
            r->op.linear_multi(&r->op, 3, y, x, w, M);
            for (int i = 0; i < 3; i++) {
                r->op.linear(&r->op, alone[i], x, w[i], M);
                assert_same_bytes(y[i], alone[i], (size_t)(M * outs[i]));
                for (int j = 0; j < M * outs[i]; j++) {
                    alone[i][j] = 0.25f * (float)j;
                    y[i][j] += alone[i][j];
                }
                r->op.linear_add(&r->op, alone[i], x, w[i], M);
                assert_same_bytes(y[i], alone[i], (size_t)(M * outs[i]));
            }
        }
        for (int i = 0; i < 3; i++) {
            guarded_free(y[i], (size_t)(ROWS * outs[i]));
            guarded_free(alone[i], (size_t)(ROWS * outs[i]));
            panels_free(&k[i]);
        }
        guarded_free(x, (size_t)(ROWS * in));
    }
}

static void parts_in_one_launch_and_sums_onto_others_are_those_of_linear(void **state)
{
    (void)state;
    for_each_isa(check_relatives);
}

static void check_swiglu(rig *r)
{
    static const int sizes[][2] = {{1, 64}, {16, 31}, {47, 200}, {130, 65}};
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            panels gate, up;
            int out = sizes[s][0], in = sizes[s][1];
            size_t n = ROWS * (size_t)out;
            float *x = random_floats(ROWS * (size_t)in, 3, 2.0f), *g = guarded_alloc(n), *u = guarded_alloc(n), *y = guarded_alloc(n);
            panels_make(&gate, all_formats[f], out, in, 1, 1, false);
            panels_make(&up, all_formats[f], out, in, 1, 2, false);
            gate.w.bias = up.w.bias = NULL;
            for (int M = 1; M <= ROWS; M += M < 5 ? 1 : 5) {
                r->op.linear_swiglu(&r->op, y, x, &gate.w, &up.w, M);
                r->op.linear(&r->op, g, x, &gate.w, M);
                r->op.linear(&r->op, u, x, &up.w, M);
                for (int i = 0; i < M * out; i++) {
                    double z = activated_in_double(HM_ACT_SILU, (double)g[i], 0, 0, 0) * (double)u[i];
                    assert_near(y[i], z, 1e-6 * fabs(z) + 1e-37, "swiglu", (size_t)i);
                }
            }
            guarded_free(x, ROWS * (size_t)in);
            guarded_free(g, n);
            guarded_free(u, n);
            guarded_free(y, n);
            panels_free(&gate);
            panels_free(&up);
        }
}

static void swiglu_is_the_product_of_both_layers(void **state)
{
    (void)state;
    for_each_isa(check_swiglu);
}

/* What is not finite never becomes a number, and stays in its row. */
static void check_not_finite(rig *r)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t f = 0; f < sizeof all_formats / sizeof *all_formats; f++)
        for (size_t b = 0; b < 3; b++)
            for (int at = 0; at < 70; at += 23) {
                panels k;
                float *x = random_floats(3 * 70, 3, 1.0f), y[3 * 20], z[3 * 20];
                panels_make(&k, all_formats[f], 20, 70, 1, 1, false);
                r->op.linear(&r->op, z, x, &k.w, 3);
                x[70 + at] = bad[b];
                r->op.linear(&r->op, y, x, &k.w, 3);
                assert_same_bytes(y, z, 20);
                assert_same_bytes(y + 40, z + 40, 20);
                for (int o = 20; o < 40; o++)
                    assert_false(isfinite(y[o]));
                guarded_free(x, 3 * 70);
                panels_free(&k);
            }
}

static void what_is_not_finite_stays_so_in_its_row_alone(void **state)
{
    (void)state;
    for_each_isa(check_not_finite);
}

static void bytes_of_panels_are_counted(void **state)
{
    rig r;
    panels k;
    float *x = random_floats(70, 3, 1.0f), y[20];
    (void)state;
    rig_open(&r, 1, HM_ISA_SCALAR);
    panels_make(&k, HM_FORMAT_INT4, 20, 70, 1, 1, false);
    r.op.linear(&r.op, y, x, &k.w, 1);
    assert_int_equal(r.count.panel_bytes, 2 * 2 * HM_PANEL_INT4_BYTES);
    assert_int_equal(r.count.weight_bytes, 2 * 2 * HM_PANEL_INT4_BYTES + 20 * 4);
    assert_int_equal(r.count.flops, 2 * 20 * 70);
    guarded_free(x, 70);
    panels_free(&k);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_match_double_sums_at_odd_sizes),
        cmocka_unit_test(panels_match_double_sums_of_long_rows_and_many_outputs),
        cmocka_unit_test(parts_in_one_launch_and_sums_onto_others_are_those_of_linear),
        cmocka_unit_test(swiglu_is_the_product_of_both_layers),
        cmocka_unit_test(what_is_not_finite_stays_so_in_its_row_alone),
        cmocka_unit_test(bytes_of_panels_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
