/* Functions of one number, for every instruction set: errors against double precision over the whole range, every exponent of either sign
 * and random bits besides, within the bounds that engine/cpu/vec.h states. */
#include "tests/kernels/kernel_check.h"

#include "engine/cpu/device.h"

#define MANTISSAS 256
#define RANDOM 200000

typedef struct function {
    const char *name;
    hm_act act;   /* HM_ACT_NONE: exp */
    double ulp;   /* of the result, or */
    double least; /* an error of so much: where the result, or what it is made of, is no normal number */
} function;

static const function functions[] = {
    {"exp", HM_ACT_NONE, 1, 0},    {"silu", HM_ACT_SILU, 2.5, 3e-37}, {"sigmoid", HM_ACT_SIGMOID, 2.5, 3e-39},
    {"tanh", HM_ACT_TANH, 1.5, 0}, {"gelu", HM_ACT_GELU, 7, 3e-42},   {"elu", HM_ACT_ELU, 1.5, 0},
};

/* Every exponent of either sign, evenly spread mantissas and random ones, and random bits; infinities and NaN are left out. */
static float *whole_range(size_t *count)
{
    const size_t n = (size_t)2 * 255 * MANTISSAS + RANDOM;
    float *x = guarded_alloc(n);
    uint64_t random = 5;
    size_t at = 0;
    for (uint32_t top = 0; top < 2 * 256; top++)
        for (uint32_t m = 0; m < MANTISSAS && top % 256 < 255; m++, at++) {
            uint32_t bits = top << 23 | m << 15 | (m % 2 ? next_random(&random) & 0x7FFF : 0);
            memcpy(&x[at], &bits, sizeof bits);
        }
    while (at < n) {
        uint32_t bits = next_random(&random);
        memcpy(&x[at], &bits, sizeof bits);
        at += isfinite(x[at]) != 0;
    }
    *count = n;
    return x;
}

/* The distance of floats at a value. */
static double ulp_of(double value)
{
    int exponent;
    frexp(value, &exponent);
    return ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void run_function(rig *r, const function *f, float *y, const float *x, size_t n)
{
    if (f->act == HM_ACT_NONE) {
        r->dev->k->exp(y, x, n);
        return;
    }
    memcpy(y, x, n * sizeof *y);
    r->dev->k->activate(y, f->act, 0, n);
}

static double in_double(const function *f, double x)
{
    return f->act == HM_ACT_NONE ? exp(x) : activated_in_double(f->act, x, 0, 0, 0);
}

static void check_function(rig *r, const function *f, const float *x, size_t n)
{
    float *y = guarded_alloc(n);
    double worst = 0;
    size_t at = 0;
    run_function(r, f, y, x, n);
    for (size_t i = 0; i < n; i++) {
        double exact = in_double(f, (double)x[i]), error = fabs((double)y[i] - exact);
        if (fabs(exact) > (double)FLT_MAX && isinf(y[i]))
            continue;
        if (!(error <= f->least) && !(error / ulp_of(exact) <= worst)) {
            worst = error / ulp_of(exact);
            at = i;
        }
    }
    if (!(worst <= f->ulp))
        fail_msg("%s, %s: %.9g becomes %.9g, expected %.9g within %g ulp: it is %.2f", hm_isa_name(r->dev->isa), f->name, (double)x[at],
                 (double)y[at], in_double(f, (double)x[at]), f->ulp, worst);
    guarded_free(y, n);
}

/* Infinities and NaN give what the function tends to. */
static void check_edges(rig *r, const function *f)
{
    const float x[3] = {INFINITY, -INFINITY, NAN};
    float y[3];
    bool bounded = f->act == HM_ACT_SIGMOID || f->act == HM_ACT_TANH;
    double least = f->act == HM_ACT_TANH || f->act == HM_ACT_ELU ? -1 : 0;
    run_function(r, f, y, x, 3);
    assert_true(bounded ? y[0] == 1.0f : isinf(y[0]) && y[0] > 0);
    if (f->act == HM_ACT_SILU) /* infinity by infinity */
        assert_true(isnan(y[1]));
    else
        assert_true((double)y[1] == least);
    assert_true(isnan(y[2]));
}

/* For each instruction set, with one thread: these are kernels. */
static void for_each_vector(void (*check)(rig *r))
{
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 1, isa);
        check(&r);
        rig_close(&r);
    }
}

static void check_range(rig *r)
{
    size_t n;
    float *x = whole_range(&n);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        check_function(r, &functions[i], x, n);
        check_edges(r, &functions[i]);
    }
    guarded_free(x, n);
}

static void functions_are_within_their_bounds_over_the_whole_range(void **state)
{
    (void)state;
    for_each_vector(check_range);
}

/* sin^2 by way of snake: y = z + b sin(a z)^2. */
static void check_sine(rig *r)
{
    enum {
        N = 1 << 18
    };
    float *t = guarded_alloc(N), *z = guarded_alloc(N), *b = guarded_alloc(N), *y = guarded_alloc(N);
    uint64_t random = 9;
    for (int i = 0; i < N; i++) {
        z[i] = 0x1p-40f; /* a z is exact, and z is nothing beside the square */
        b[i] = 1;
        t[i] = next_float(&random) * (i % 3 ? 10000.0f : i % 2 ? 1.0f : 100.0f) * 0x1p40f;
    }
    r->dev->k->snake_row(y, z, t, b, N);
    for (int i = 0; i < N; i++) {
        double s = fabs(sin((double)t[i] * 0x1p-40)), error = fabs((double)y[i] - 0x1p-40 - s * s);
        if (!(error <= s * 4e-7 + 4e-14 + s * s * 1.2e-7)) /* 2e-7 of the sine, and the roundings of square and sum */
            fail_msg("%s: sin^2 %.9g is %.9g, expected %.9g", hm_isa_name(r->dev->isa), (double)t[i] * 0x1p-40, (double)y[i] - 0x1p-40,
                     s * s);
    }
    for (int i = 0; i < N; i++) /* beyond its range it stays a square of a sine */
        t[i] = next_float(&random) * 3e38f, z[i] = 1;
    r->dev->k->snake_row(y, z, t, b, N);
    for (int i = 0; i < N; i++)
        assert_true(y[i] >= 1 && y[i] <= 2.0001f);
    guarded_free(t, N);
    guarded_free(z, N);
    guarded_free(b, N);
    guarded_free(y, N);
}

static void the_sine_is_within_its_bound(void **state)
{
    (void)state;
    for_each_vector(check_sine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_within_their_bounds_over_the_whole_range),
        cmocka_unit_test(the_sine_is_within_its_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
