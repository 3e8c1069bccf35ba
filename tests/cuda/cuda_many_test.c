/* Many rows on NVIDIA's GPUs (engine/cuda/many.cu, many_quantised.cu, cuBLASLt): the cases of the shared kernels with the bound they have
 * there, |error| <= 2e-6 * sum of |w x|, which split products must keep though tensor cores cut off what they add; then tiles of both sizes,
 * segments that several blocks sum, and the library. */
#ifndef HM_TEST_CUDA
#define HM_TEST_CUDA
#endif
#define main shared_cases
int shared_cases(void);
#include "tests/gpu/gpu_linear_test.c"
#undef main

#include "engine/cuda/cuda_many.h"
#include "tests/cublas_soft/cublas_soft.h"

static const cublas_soft_state *(*look)(void);

/* The software cuBLASLt is the one that is found from here on. */
static int many_open(void **state)
{
#ifdef HM_CUBLAS_SOFT
    int st = gpu_case_open(state);
    gpu_case *c = *state;
    void *library = dlopen(HM_CUBLAS_SOFT, RTLD_NOW);
    if (!library)
        fail_msg("%s", dlerror());
    *(void **)&look = dlsym(library, "cublas_soft_look");
    assert_non_null(look);
    hm_cuda_many_ops(&c->gpu.op);
    return st;
#else
    (void)state;
    fprintf(stderr, "skipped: no software device was built (tests/cuda_soft/CMakeLists.txt tells what it needs)\n");
    exit(77);
#endif
}

static int many_close(void **state)
{
    int st = gpu_case_close(state);
    assert_int_equal(look()->handles, 0);
    assert_int_equal(look()->objects, 0);
    assert_string_equal(look()->complaint, "");
    return st;
}

/* --- tiles --- */

/* A call of many rows takes wide tiles, its pieces narrow ones and blocks for each segment. */
static void tiles_and_segments_change_no_byte(void **state)
{
    static const conv cases[] = {{560, 1, 1, 129, 260, 0}, {80, 7, 3, 129, 260, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t s = i; s < STORAGES; s += 3)
            check_conv(*state, &cases[i], all_storages[s], HM_ACT_SILU, i == 1);
}

/* All of one sign: what tensor cores cut off adds up. */
static void sums_of_one_sign_keep_the_bound(void **state)
{
    gpu_case *c = *state;
    enum {
        out = 12,
        in = 2048,
        M = 17
    };
    for (size_t s = 0; s < STORAGES && !hm_format_quantised(all_storages[s].panels); s++) {
        weights k;
        float *x = random_floats(M * in, 5, 1.0f), *y = guarded_alloc(M * out);
        weights_make(c, &k, all_storages[s], out, in, 1, 3, false, false);
        for (int i = 0; i < M * in; i++) /* of the sign that the first output's weights have */
            x[i] = copysignf(x[i], k.values[i % in]);
        float *gx = gpu_put_floats(c, x, M * in), *gy = gpu_put_floats(c, y, M * out);
        c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, M);
        gpu_get(c, y, gy);
        for (int at = 0; at < M * out; at++) {
            const float *row = x + at / out * in;
            double sum = 0;
            for (int i = 0; i < in; i++)
                sum += (double)k.values[(size_t)(at % out) * in + (size_t)i] * (double)row[i];
            assert_near(y[at], sum, BOUND * size_of(&k, row, in, at % out), storage_name(&k.cpu), (size_t)at);
        }
        gpu_give_back(c);
        weights_free(&k);
        guarded_free(x, M * in);
        guarded_free(y, M * out);
    }
    c->gpu.count = (hm_counters){0};
}

/* --- the library --- */

typedef struct product {
    weights k[2];
    float *x, *y, *gx, *gy;
    size_t nx, ny;
    int M;
} product;

/* Weights of bf16 whose rows begin at multiples of 16 bytes. */
static void product_make(gpu_case *c, product *p, int out, int in, int M, bool biased)
{
    p->M = M;
    p->nx = (size_t)M * (size_t)in;
    p->ny = (size_t)M * (size_t)out;
    for (int i = 0; i < 2; i++) {
        weights *k = &p->k[i];
        weights_make(c, k, (hm_linear){.type = HM_BF16}, out, in, 1, (uint64_t)i, false, biased);
        k->gpu.w = gpu_put(c, (char *)k->block + k->odd, k->bytes - k->odd);
    }
    p->x = random_floats(p->nx, 5, 1.0f);
    p->y = random_floats(p->ny, 6, 1.0f);
    p->gx = gpu_put_floats(c, p->x, p->nx);
    p->gy = gpu_put_floats(c, p->y, p->ny);
}

static void product_free(gpu_case *c, product *p)
{
    gpu_give_back(c);
    for (int i = 0; i < 2; i++)
        weights_free(&p->k[i]);
    guarded_free(p->x, p->nx);
    guarded_free(p->y, p->ny);
    c->cpu.count = c->gpu.count = (hm_counters){0};
}

/* How many products the library was asked for by linear, linear_add and linear_swiglu, which are the CPU's whoever makes them. */
static int check_product(gpu_case *c, int out, int in, int M, bool biased)
{
    product p;
    int before = look()->products;
    product_make(c, &p, out, in, M, biased);
    const weights *k = p.k;
    float *found = guarded_alloc(p.ny);
    c->cpu.op.linear(&c->cpu.op, p.y, p.x, &k[0].cpu, M);
    c->gpu.op.linear(&c->gpu.op, p.gy, p.gx, &k[0].gpu, M);
    gpu_get(c, found, p.gy);
    check_dense(&k[0], found, p.y, p.x, M, 1);
    memcpy(p.y, found, p.ny * sizeof *found);
    c->cpu.op.linear_add(&c->cpu.op, p.y, p.x, &k[1].cpu, M);
    c->gpu.op.linear_add(&c->gpu.op, p.gy, p.gx, &k[1].gpu, M);
    gpu_get(c, found, p.gy);
    for (size_t at = 0; at < p.ny; at++) {
        double size = size_of(&k[1], p.x + at / (size_t)out * (size_t)in, in, (int)(at % (size_t)out));
        assert_near(found[at], (double)p.y[at], BOUND * 2 * (size + fabs((double)p.y[at])), "added", at);
    }
    c->cpu.op.linear_swiglu(&c->cpu.op, p.y, p.x, &k[0].cpu, &k[1].cpu, M);
    c->gpu.op.linear_swiglu(&c->gpu.op, p.gy, p.gx, &k[0].gpu, &k[1].gpu, M);
    gpu_get(c, found, p.gy);
    for (size_t at = 0; at < p.ny; at++) {
        const float *x = p.x + at / (size_t)out * (size_t)in;
        double g = size_of(&k[0], x, in, (int)(at % (size_t)out)), u = size_of(&k[1], x, in, (int)(at % (size_t)out));
        assert_near(found[at], (double)p.y[at], BOUND * 2.2 * g * u, "gated", at);
    }
    assert_same_counts(c);
    guarded_free(found, p.ny);
    product_free(c, &p);
    return look()->products - before;
}

static void layers_of_many_rows_are_the_librarys(void **state)
{
    assert_int_equal(check_product(*state, 36, 72, 64, false), 12);
    assert_int_equal(check_product(*state, 36, 72, 64, true), 12);
    assert_int_equal(check_product(*state, 100, 136, 131, false), 12);
}

static void what_the_library_does_not_suit_is_a_kernels(void **state)
{
    assert_int_equal(check_product(*state, 36, 72, 63, false), 0); /* few rows */
    assert_int_equal(check_product(*state, 36, 76, 70, false), 0); /* rows of inputs that begin anywhere */
    assert_int_equal(check_product(*state, 37, 72, 70, false), 0); /* so do rows of outputs */
}

/* A shape is planned once, and its products have the same bytes every time. */
static void a_shape_is_planned_once(void **state)
{
    gpu_case *c = *state;
    product p;
    product_make(c, &p, 52, 88, 77, false);
    float *first = guarded_alloc(p.ny), *again = guarded_alloc(p.ny);
    int heuristics = look()->heuristics;
    c->gpu.op.linear(&c->gpu.op, p.gy, p.gx, &p.k[0].gpu, p.M);
    gpu_get(c, first, p.gy);
    assert_int_equal(look()->heuristics, heuristics + 1);
    c->gpu.op.linear(&c->gpu.op, p.gy, p.gx, &p.k[0].gpu, p.M);
    gpu_get(c, again, p.gy);
    assert_int_equal(look()->heuristics, heuristics + 1);
    assert_same_bytes(again, first, p.ny);
    guarded_free(first, p.ny);
    guarded_free(again, p.ny);
    product_free(c, &p);
}

/* In frames, which may be recorded, kernels of the program do it. */
static void frames_ask_nothing_of_the_library(void **state)
{
    gpu_case *c = *state;
    int products = look()->products;
    product p;
    product_make(c, &p, 36, 72, 70, false);
    c->gpu.op.frame(&c->gpu.op, true);
    c->gpu.op.linear(&c->gpu.op, p.gy, p.gx, &p.k[0].gpu, p.M);
    c->gpu.op.frame(&c->gpu.op, false);
    c->gpu.op.sync(&c->gpu.op);
    assert_int_equal(look()->products, products);
    product_free(c, &p);
}

/* A way that the heuristic does not find is a kernel's, and is not asked for again. */
static void a_shape_without_a_way_is_a_kernels(void **state)
{
    int heuristics = look()->heuristics;
    setenv("HM_CUBLAS_REFUSE", "1", 1);
    assert_int_equal(check_product(*state, 44, 64, 80, false), 0);
    unsetenv("HM_CUBLAS_REFUSE");
    assert_int_equal(look()->heuristics, heuristics + 1);
    assert_int_equal(check_product(*state, 44, 64, 80, false), 0);
}

/* Every call of the library that plans a shape may fail: nothing is left behind, and a kernel does the layer. */
static void plans_that_fail_leave_nothing_behind(void **state)
{
    static const char *const entries[] = {
        "cublasLtMatmulDescCreate",       "cublasLtMatmulDescSetAttribute",       "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic"};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        int objects = look()->objects;
        setenv("HM_CUBLAS_FAIL", entries[i], 1);
        assert_int_equal(check_product(*state, 40, 64, 90 + (int)i, false), 0);
        unsetenv("HM_CUBLAS_FAIL");
        assert_int_equal(look()->objects, objects);
    }
}

static void a_product_that_fails_is_told(void **state)
{
    gpu_case *c = *state;
    product p;
    product_make(c, &p, 36, 72, 64, false);
    setenv("HM_CUBLAS_FAIL", "cublasLtMatmul", 1);
    c->gpu.op.linear(&c->gpu.op, p.gy, p.gx, &p.k[0].gpu, p.M);
    unsetenv("HM_CUBLAS_FAIL");
    assert_int_equal(c->gpu.error.status, HM_EBUG);
    assert_non_null(strstr(c->gpu.error.text, "cuBLASLt failed (no memory) on 64 rows by [36][72]"));
    c->gpu.error = (hm_error){0};
    product_free(c, &p);
}

/* A device without the library: nothing is asked of it twice. */
static void a_library_that_cannot_be_used_is_left_alone(void **state)
{
    gpu_case *c = *state, other = {.cpu = c->cpu};
    setenv("HM_CUBLAS_FAIL", "cublasLtCreate", 1);
    assert_int_equal(hm_gpu_open(&other.gpu.dev, &hm_cuda_driver, &(hm_gpu_options){0}, &other.gpu.error), HM_OK);
    hm_gpu_ops_reference(&other.gpu.op, other.gpu.dev, &other.gpu.count, NULL, &other.gpu.error);
    hm_cuda_many_ops(&other.gpu.op);
    other.cpu.count = (hm_counters){0};
    other.cpu.op.count = &other.cpu.count;
    other.cpu.op.error = &other.cpu.error;
    assert_int_equal(check_product(&other, 36, 72, 64, false), 0);
    unsetenv("HM_CUBLAS_FAIL");
    assert_int_equal(check_product(&other, 36, 72, 64, false), 0);
    hm_gpu_close(&other.gpu.dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers_of_every_storage_are_the_cpus_at_odd_sizes),
        cmocka_unit_test(linear_layers_take_denormals_zeros_and_great_values),
        cmocka_unit_test(rows_have_the_same_bytes_however_many_there_are),
        cmocka_unit_test(several_layers_read_the_same_inputs),
        cmocka_unit_test(gated_layers_are_the_cpus),
        cmocka_unit_test(convolutions_over_rows_are_the_cpus),
        cmocka_unit_test(every_activation_ends_a_convolution),
        cmocka_unit_test(inputs_that_are_not_finite_make_quantised_sums_that_are_not),
        cmocka_unit_test(tiles_and_segments_change_no_byte),
        cmocka_unit_test(sums_of_one_sign_keep_the_bound),
        cmocka_unit_test(layers_of_many_rows_are_the_librarys),
        cmocka_unit_test(what_the_library_does_not_suit_is_a_kernels),
        cmocka_unit_test(a_shape_is_planned_once),
        cmocka_unit_test(frames_ask_nothing_of_the_library),
        cmocka_unit_test(a_shape_without_a_way_is_a_kernels),
        cmocka_unit_test(plans_that_fail_leave_nothing_behind),
        cmocka_unit_test(a_product_that_fails_is_told),
        cmocka_unit_test(a_library_that_cannot_be_used_is_left_alone),
    };
    return cmocka_run_group_tests(tests, many_open, many_close);
}
