/* Linear layers and row convolutions of the GPU backends on the software device.
 * Against plain C on the CPU: |error| <= 2e-6 * s * sum of |w x| + 1e-37, s the steepest slope of the activation; for quantised weights the
 * inputs are quantised alike, so the same bound holds. Weights in panels have, without an activation, the bytes of plain C, whose products are
 * rounded too (MADD of compat.inc). */
#include "tests/gpu/gpu_case.h"

#define BOUND 2e-6

/* Weights on both sides. values: what they are, [out][taps*in]. */
typedef struct weights {
    hm_linear cpu, gpu;
    void *block;
    size_t bytes, odd; /* of the block; where the weights begin in it */
    float *values, *bias;
} weights;

static const char *storage_name(const hm_linear *w)
{
    return w->panels ? hm_format_name(w->panels) : hm_dtype_name(w->type);
}

static void rows_make(weights *k, hm_dtype type, bool in_out, int out, int depth, const float *source)
{
    size_t n = (size_t)out * (size_t)depth, size = hm_dtype_bytes(type);
    k->odd = size; /* element-aligned only */
    k->bytes = (n + 1) * size;
    k->block = calloc(1, k->bytes);
    char *p = (char *)k->block + size;
    for (size_t o = 0; o < (size_t)out; o++)
        for (size_t i = 0; i < (size_t)depth; i++) {
            size_t at = in_out ? i * (size_t)out + o : o * (size_t)depth + i;
            float v = source[o * (size_t)depth + i];
            uint16_t half = type == HM_BF16 ? hm_f32_to_bf16(v) : hm_f32_to_f16(fmaxf(-6e4f, fminf(v, 6e4f)));
            memcpy(p + at * size, type == HM_F32 ? (void *)&v : (void *)&half, size);
            hm_to_f32(k->values + o * (size_t)depth + i, p + at * size, type, 1);
        }
}

static void panels_make(weights *k, hm_format format, int out, int in, int taps, float *source)
{
    int64_t bad;
    size_t n = (size_t)out * (size_t)in * (size_t)taps;
    float room = format == HM_FORMAT_F32 || format == HM_FORMAT_BF16 ? FLT_MAX : 6e4f;
    for (size_t i = 0; i < n; i++)
        source[i] = fmaxf(-room, fminf(source[i], room));
    k->bytes = hm_panels_bytes(format, out, in, taps);
    k->block = aligned_alloc(64, k->bytes);
    assert_true(
        hm_panels_pack(k->block, format, &(hm_panel_source){.w = source, .type = HM_F32, .out = out, .in = in, .taps = taps}, NULL, &bad));
    for (int o = 0; o < out; o++)
        for (int t = 0; t < taps; t++)
            for (int i = 0; i < in; i++)
                k->values[((size_t)o * (size_t)taps + (size_t)t) * (size_t)in + (size_t)i] =
                    hm_panel_value(k->block, format, in, taps, o, t, i);
}

/* like: type and in_out, or panels. */
static void weights_make(gpu_case *c, weights *k, hm_linear like, int out, int in, int taps, uint64_t seed, bool hostile, bool biased)
{
    size_t n = (size_t)out * (size_t)in * (size_t)taps;
    float *source = hostile ? hostile_floats(n, seed) : random_floats(n, seed, 1.0f);
    *k = (weights){.values = guarded_alloc(n), .bias = random_floats((size_t)out, seed + 7, 1.0f)};
    if (like.panels)
        panels_make(k, like.panels, out, in, taps, source);
    else
        rows_make(k, like.type, like.in_out, out, in * taps, source);
    guarded_free(source, n);
    k->cpu = k->gpu = (hm_linear){.type = like.type, .in_out = like.in_out, .panels = like.panels, .out = out, .in = in, .taps = taps};
    k->cpu.w = (char *)k->block + k->odd;
    k->gpu.w = (char *)gpu_put(c, k->block, k->bytes) + k->odd;
    k->cpu.bias = biased ? k->bias : NULL;
    k->gpu.bias = biased ? gpu_put_floats(c, k->bias, (size_t)out) : NULL;
}

static void weights_free(weights *k)
{
    guarded_free(k->values, (size_t)k->cpu.out * (size_t)k->cpu.in * (size_t)k->cpu.taps);
    guarded_free(k->bias, (size_t)k->cpu.out);
    free(k->block);
}

/* Sum of |w x| of output o over the inputs from x on. */
static double size_of(const weights *k, const float *x, int64_t tap_stride, int o)
{
    int in = k->cpu.in, taps = k->cpu.taps;
    double size = k->cpu.bias ? fabs((double)k->bias[o]) : 0;
    for (int t = 0; t < taps; t++)
        for (int i = 0; i < in; i++)
            size +=
                fabs((double)k->values[((size_t)o * (size_t)taps + (size_t)t) * (size_t)in + (size_t)i] * (double)x[t * tap_stride + i]);
    return size;
}

static void check_dense(const weights *k, const float *gpu, const float *cpu, const float *x, int M, double slope)
{
    for (int m = 0; m < M; m++)
        for (int o = 0; o < k->cpu.out; o++) {
            size_t at = (size_t)m * (size_t)k->cpu.out + (size_t)o;
            double size = size_of(k, x + (size_t)m * (size_t)k->cpu.in, k->cpu.in, o);
            assert_near(gpu[at], (double)cpu[at], BOUND * slope * size + 1e-37, storage_name(&k->cpu), at);
        }
}

/* linear and linear_add of M rows. */
static void check_linear(gpu_case *c, hm_linear like, int out, int in, int M, bool hostile)
{
    weights k;
    weights_make(c, &k, like, out, in, 1, (uint64_t)(out * 31 + in), hostile, true);
    size_t nx = (size_t)M * (size_t)in, ny = (size_t)M * (size_t)out;
    float *x = hostile ? hostile_floats(nx, 5) : random_floats(nx, 5, 1.0f), *y = guarded_alloc(ny), *found = guarded_alloc(ny);
    float *gx = gpu_put_floats(c, x, nx), *gy = gpu_put_floats(c, y, ny);
    c->cpu.op.linear(&c->cpu.op, y, x, &k.cpu, M);
    c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, M);
    gpu_get(c, found, gy);
    check_dense(&k, found, y, x, M, 1);
    memcpy(y, found, ny * sizeof *y);
    c->cpu.op.linear_add(&c->cpu.op, y, x, &k.cpu, M);
    c->gpu.op.linear_add(&c->gpu.op, gy, gx, &k.gpu, M);
    gpu_get(c, found, gy);
    check_dense(&k, found, y, x, M, 2);
    assert_same_counts(c);
    gpu_give_back(c);
    weights_free(&k);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(found, ny);
}

static const hm_linear all_storages[] = {{.type = HM_F32},
                                         {.type = HM_BF16},
                                         {.type = HM_F16},
                                         {.type = HM_F32, .in_out = true},
                                         {.type = HM_BF16, .in_out = true},
                                         {.type = HM_F16, .in_out = true},
                                         {.panels = HM_FORMAT_F32},
                                         {.panels = HM_FORMAT_BF16},
                                         {.panels = HM_FORMAT_F16},
                                         {.panels = HM_FORMAT_FP8},
                                         {.panels = HM_FORMAT_INT8},
                                         {.panels = HM_FORMAT_INT4},
                                         {.panels = HM_FORMAT_FP4}};
#define STORAGES (sizeof all_storages / sizeof *all_storages)

static void linear_layers_of_every_storage_are_the_cpus_at_odd_sizes(void **state)
{
    static const int sizes[][2] = {{1, 1}, {5, 3}, {17, 33}, {33, 300}, {70, 65}, {16, 4200}};
    static const int rows[] = {1, 2, 3, 7, 16, 17, 65};
    for (size_t s = 0; s < STORAGES; s++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t m = 0; m < sizeof rows / sizeof *rows; m++)
                if (sizes[i][1] < 1000 || rows[m] < 4)
                    check_linear(*state, all_storages[s], sizes[i][0], sizes[i][1], rows[m], false);
}

static void linear_layers_take_denormals_zeros_and_great_values(void **state)
{
    for (size_t s = 0; s < STORAGES; s++) {
        check_linear(*state, all_storages[s], 21, 130, 2, true);
        check_linear(*state, all_storages[s], 21, 130, 20, true);
    }
}

/* What several requests do side by side has the bytes that each has alone. */
static void rows_have_the_same_bytes_however_many_there_are(void **state)
{
    gpu_case *c = *state;
    enum {
        out = 37,
        in = 600
    };
    for (size_t s = 0; s < STORAGES; s++) {
        weights k;
        weights_make(c, &k, all_storages[s], out, in, 1, 3, false, true);
        float *x = random_floats(HM_FEW_ROWS * in, 5, 1.0f), *all = guarded_alloc(HM_FEW_ROWS * out),
              *one = guarded_alloc(HM_FEW_ROWS * out);
        float *gx = gpu_put_floats(c, x, HM_FEW_ROWS * in), *gy = gpu_put_floats(c, all, HM_FEW_ROWS * out);
        c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, HM_FEW_ROWS);
        gpu_get(c, all, gy);
        for (int rows = 1; rows <= 5; rows += 2) {
            for (int m = 0; m < HM_FEW_ROWS; m += rows)
                c->gpu.op.linear(&c->gpu.op, gy + m * out, gx + m * in, &k.gpu, HM_FEW_ROWS - m < rows ? HM_FEW_ROWS - m : rows);
            gpu_get(c, one, gy);
            assert_same_bytes(one, all, HM_FEW_ROWS * out);
        }
        gpu_give_back(c);
        weights_free(&k);
        guarded_free(x, HM_FEW_ROWS * in);
        guarded_free(all, HM_FEW_ROWS * out);
        guarded_free(one, HM_FEW_ROWS * out);
    }
    c->cpu.count = c->gpu.count = (hm_counters){0};
}

#ifndef HM_TEST_CUDA /* whose products and sums are fused, which plain C on the CPU does not do */
static void panels_have_the_bytes_of_the_cpu(void **state)
{
    gpu_case *c = *state;
    enum {
        out = 37,
        in = 1300,
        most = 70
    };
    for (size_t s = 0; s < STORAGES; s++)
        for (int M = 1; M <= most && all_storages[s].panels; M += 23) {
            weights k;
            weights_make(c, &k, all_storages[s], out, in, 1, 3, false, true);
            float *x = random_floats(most * in, 5, 1.0f), *y = guarded_alloc(most * out), *found = guarded_alloc(most * out);
            memset(y, 0, most * out * sizeof *y);
            float *gx = gpu_put_floats(c, x, most * in), *gy = gpu_put_floats(c, y, most * out);
            c->cpu.op.linear(&c->cpu.op, y, x, &k.cpu, M);
            c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, M);
            gpu_get(c, found, gy);
            assert_same_bytes(found, y, most * out);
            gpu_give_back(c);
            weights_free(&k);
            guarded_free(x, most * in);
            guarded_free(y, most * out);
            guarded_free(found, most * out);
        }
    c->cpu.count = c->gpu.count = (hm_counters){0};
}
#endif

/* linear_multi of three layers, of which the last may be stored in another way, and linear_swiglu. */
static void check_several(gpu_case *c, hm_linear like, hm_linear last, int M)
{
    enum {
        in = 130,
        outs = 3
    };
    static const int out[outs] = {37, 5, 64};
    weights k[outs];
    const hm_linear *cpu_w[outs], *gpu_w[outs];
    float *x = random_floats((size_t)M * in, 5, 1.0f), *gx = gpu_put_floats(c, x, (size_t)M * in), *y[outs], *gy[outs];
    for (int i = 0; i < outs; i++) {
        weights_make(c, &k[i], i < 2 ? like : last, out[i], in, 1, (uint64_t)i, false, i != 1);
        cpu_w[i] = &k[i].cpu;
        gpu_w[i] = &k[i].gpu;
        y[i] = random_floats((size_t)M * (size_t)out[i], 3, 1);
        gy[i] = gpu_put_floats(c, y[i], (size_t)M * (size_t)out[i]);
    }
    for (int n = 1; n <= outs; n++) {
        c->cpu.op.linear_multi(&c->cpu.op, n, y, x, cpu_w, M);
        c->gpu.op.linear_multi(&c->gpu.op, n, gy, gx, gpu_w, M);
    }
    for (int i = 0; i < outs; i++) {
        float *found = guarded_alloc((size_t)M * (size_t)out[i]);
        gpu_get(c, found, gy[i]);
        check_dense(&k[i], found, y[i], x, M, 1);
        guarded_free(found, (size_t)M * (size_t)out[i]);
        guarded_free(y[i], (size_t)M * (size_t)out[i]);
        weights_free(&k[i]);
    }
    assert_same_counts(c);
    gpu_give_back(c);
    guarded_free(x, (size_t)M * in);
}

static void several_layers_read_the_same_inputs(void **state)
{
    for (size_t s = 0; s < STORAGES; s++)
        for (int M = 1; M < 20; M += 6) {
            check_several(*state, all_storages[s], all_storages[s], M);
            check_several(*state, all_storages[s], all_storages[(s + 5) % STORAGES], M);
        }
}

static void check_swiglu(gpu_case *c, hm_linear like, hm_linear other, int M)
{
    enum {
        in = 300,
        F = 45
    };
    weights gate, up;
    weights_make(c, &gate, like, F, in, 1, 8, false, false);
    weights_make(c, &up, other, F, in, 1, 9, false, false);
    size_t ny = (size_t)M * F;
    float *x = random_floats((size_t)M * in, 5, 0.3f), *y = random_floats(ny, 3, 1), *found = guarded_alloc(ny);
    float *gx = gpu_put_floats(c, x, (size_t)M * in), *gy = gpu_put_floats(c, y, ny);
    c->cpu.op.linear_swiglu(&c->cpu.op, y, x, &gate.cpu, &up.cpu, M);
    c->gpu.op.linear_swiglu(&c->gpu.op, gy, gx, &gate.gpu, &up.gpu, M);
    gpu_get(c, found, gy);
    for (size_t at = 0; at < ny; at++) { /* silu is no steeper than 1.1 and no greater than its argument */
        double g = size_of(&gate, x + at / F * in, in, (int)(at % F)), u = size_of(&up, x + at / F * in, in, (int)(at % F));
        assert_near(found[at], (double)y[at], BOUND * 2.2 * g * u, storage_name(&gate.cpu), at);
    }
    assert_same_counts(c);
    gpu_give_back(c);
    weights_free(&gate);
    weights_free(&up);
    guarded_free(x, (size_t)M * in);
    guarded_free(y, ny);
    guarded_free(found, ny);
}

static void gated_layers_are_the_cpus(void **state)
{
    for (size_t s = 0; s < STORAGES; s++)
        for (int M = 1; M < 40; M += 9) {
            check_swiglu(*state, all_storages[s], all_storages[s], M);
            check_swiglu(*state, all_storages[s], all_storages[(s + 7) % STORAGES], M);
        }
}

/* stride: rows of x that a row of y moves on, which then lie side by side; 0: one, with room between rows. */
typedef struct conv {
    int in, taps, dilation, out, M, stride;
} conv;

/* Any cut of the rows into calls gives the bytes of one call. */
static void check_pieces(gpu_case *c, const hm_linear_args *a, float *gy, const float *whole, size_t ny)
{
    float *pieces = guarded_alloc(ny);
    for (int m = 0, n; m < a->M; m += n) {
        n = a->M - m < 1 + m % 23 ? a->M - m : 1 + m % 23;
        hm_linear_args part = *a;
        part.M = n;
        part.x = a->x + m * a->ldx;
        part.y = gy + m * a->ldy;
        part.residual = a->residual ? a->residual + m * a->ldy : NULL;
        c->gpu.op.linear_ex(&c->gpu.op, &part);
    }
    gpu_get(c, pieces, gy);
    assert_same_bytes(pieces, whole, ny);
    guarded_free(pieces, ny);
}

static void check_conv(gpu_case *c, const conv *v, hm_linear like, hm_act act, bool residual)
{
    weights k;
    weights_make(c, &k, like, v->out, v->in, v->taps, (uint64_t)(v->in + v->out), false, true);
    int64_t row = v->stride ? v->in : v->in + 3, ldx = v->stride ? v->stride * row : row, ldy = v->out + 5, tap = v->dilation * row;
    size_t nx = (size_t)((v->M - 1) * ldx + (v->taps - 1) * tap + row), ny = (size_t)(v->M * ldy), out = (size_t)v->out;
    float *x = random_floats(nx, 3, 1.0f), *y = random_floats(ny, 5, 1.0f), *add = random_floats(ny, 4, 1.0f), *found = guarded_alloc(ny);
    float *a_snake = random_floats(out, 6, 3.0f), *b_snake = random_floats(out, 7, 2.0f);
    float *gy = gpu_put_floats(c, y, ny);
    hm_linear_args cpu = {.y = y, .x = x, .w = &k.cpu, .M = v->M, .ldy = ldy, .ldx = ldx, .tap_stride = tap, .act = act, .slope = 0.25f};
    cpu.residual = residual ? add : NULL;
    cpu.snake_a = act == HM_ACT_SNAKE ? a_snake : NULL;
    cpu.snake_b = act == HM_ACT_SNAKE ? b_snake : NULL;
    hm_linear_args gpu = cpu;
    gpu.y = gy;
    gpu.x = gpu_put_floats(c, x, nx);
    gpu.w = &k.gpu;
    gpu.residual = residual ? gpu_put_floats(c, add, ny) : NULL;
    gpu.snake_a = cpu.snake_a ? gpu_put_floats(c, a_snake, out) : NULL;
    gpu.snake_b = cpu.snake_b ? gpu_put_floats(c, b_snake, out) : NULL;
    c->cpu.op.linear_ex(&c->cpu.op, &cpu);
    c->gpu.op.linear_ex(&c->gpu.op, &gpu);
    gpu_get(c, found, gy);
    for (int m = 0; m < v->M; m++)
        for (int64_t o = 0; o < ldy; o++) {
            size_t at = (size_t)(m * ldy + o);
            double size = o < v->out ? size_of(&k, x + m * ldx, tap, (int)o) : 0, slope = act == HM_ACT_SNAKE ? 7 : 1.2;
            assert_near(found[at], (double)y[at], o < v->out ? BOUND * (size * slope + 1) : 0, storage_name(&k.cpu), at);
        }
    assert_same_counts(c);
    check_pieces(c, &gpu, gy, found, ny);
    c->cpu.count = c->gpu.count = (hm_counters){0};
    gpu_give_back(c);
    weights_free(&k);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(add, ny);
    guarded_free(found, ny);
    guarded_free(a_snake, out);
    guarded_free(b_snake, out);
}

static void convolutions_over_rows_are_the_cpus(void **state)
{
    static const conv cases[] = {{1, 1, 1, 1, 1, 0},    {3, 7, 1, 1, 70, 0},   {2, 7, 9, 3, 90, 0},   {33, 3, 2, 17, 40, 0},
                                 {65, 4, 1, 20, 20, 2}, {12, 16, 1, 70, 9, 8}, {70, 2, 3, 90, 70, 0}, {31, 5, 1, 16, 3, 3}};
    for (size_t s = 0; s < STORAGES; s++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            check_conv(*state, &cases[i], all_storages[s], (hm_act)((i + s) % (HM_ACT_SNAKE + 1)), i % 2);
}

static void every_activation_ends_a_convolution(void **state)
{
    for (int act = HM_ACT_NONE; act <= HM_ACT_SNAKE; act++)
        check_conv(*state, &(conv){20, 3, 1, 30, 33, 0}, (hm_linear){.type = HM_F32}, (hm_act)act, act % 2);
}

/* More rows than scratch has room for are quantised part by part. */
static void rows_beyond_scratch_are_quantised_in_parts(void **state)
{
    gpu_case *c = *state;
    enum {
        in = 8192,
        M = 9000,
        out = 3
    };
    weights k;
    weights_make(c, &k, (hm_linear){.panels = HM_FORMAT_INT8}, out, in, 1, 3, false, true);
    size_t nx = (size_t)M * in, ny = (size_t)M * out;
    float *x = random_floats(nx, 5, 1.0f), *y = guarded_alloc(ny), *found = guarded_alloc(ny);
    float *gx = gpu_put_floats(c, x, nx), *gy = gpu_put_floats(c, y, ny);
    rig fast;
    rig_open(&fast, 1, hm_isa_detect());
    fast.op.linear(&fast.op, y, x, &k.cpu, M);
    rig_close(&fast);
    c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, M);
    gpu_get(c, found, gy);
    assert_same_bytes(found, y, ny);
    gpu_give_back(c);
    weights_free(&k);
    guarded_free(x, nx);
    guarded_free(y, ny);
    guarded_free(found, ny);
    c->cpu.count = c->gpu.count = (hm_counters){0};
}

static void inputs_that_are_not_finite_make_quantised_sums_that_are_not(void **state)
{
    gpu_case *c = *state;
    enum {
        in = 70,
        out = 20,
        M = 17
    };
    for (int format = HM_FORMAT_INT8; format <= HM_FORMAT_FP4; format++)
        for (int rows = 1; rows <= M; rows += M - 1) {
            weights k;
            weights_make(c, &k, (hm_linear){.panels = (hm_format)format}, out, in, 1, 3, false, true);
            float *x = random_floats(M * in, 5, 1.0f), *found = guarded_alloc(M * out);
            x[3] = NAN;
            x[(rows - 1) * in + 66] = INFINITY;
            float *gx = gpu_put_floats(c, x, M * in), *gy = gpu_put_floats(c, found, M * out);
            c->gpu.op.linear(&c->gpu.op, gy, gx, &k.gpu, rows);
            gpu_get(c, found, gy);
            for (int o = 0; o < out; o++) {
                assert_false(isfinite(found[o]));
                assert_false(isfinite(found[(rows - 1) * out + o]));
                assert_true(rows == 1 || isfinite(found[out + o]));
            }
            gpu_give_back(c);
            weights_free(&k);
            guarded_free(x, M * in);
            guarded_free(found, M * out);
        }
    c->cpu.count = c->gpu.count = (hm_counters){0};
}

static void depthwise_convolutions_have_the_bytes_of_the_cpu(void **state)
{
    gpu_case *c = *state;
    static const int cases[][4] = {{1, 1, 1, 1}, {40, 7, 7, 1}, {9, 130, 3, 4}, {300, 5, 33, 2}}; /* M, C, taps, step */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int M = cases[i][0], C = cases[i][1], taps = cases[i][2], step = cases[i][3];
        size_t nx = (size_t)(M + (taps - 1) * step) * (size_t)C, ny = (size_t)(M * C), nw = (size_t)(C * taps);
        float *x = hostile_floats(nx, 3), *y = guarded_alloc(ny), *found = guarded_alloc(ny), *w = random_floats(nw, 4, 1.0f);
        float *bias = random_floats((size_t)C, 5, 1.0f), *gy = gpu_put_floats(c, y, ny);
        c->cpu.op.depthwise(&c->cpu.op, y, x, w, i % 2 ? bias : NULL, M, C, taps, step);
        c->gpu.op.depthwise(&c->gpu.op, gy, gpu_put_floats(c, x, nx), gpu_put_floats(c, w, nw),
                            i % 2 ? gpu_put_floats(c, bias, (size_t)C) : NULL, M, C, taps, step);
        gpu_get(c, found, gy);
        assert_same_bytes(found, y, ny);
        assert_same_counts(c);
        gpu_give_back(c);
        guarded_free(x, nx);
        guarded_free(y, ny);
        guarded_free(found, ny);
        guarded_free(w, nw);
        guarded_free(bias, (size_t)C);
    }
}

/* Norms are rounded once on both sides, by different ways to the same sum: the bound is one unit of the last place of the factor. */
static void check_fold(gpu_case *c, hm_fold_args f, bool normed)
{
    size_t n = (size_t)f.d0 * (size_t)f.d1 * (size_t)f.taps, size = hm_dtype_bytes(f.type), ny = n * 4 + 64;
    float *source = random_floats(n, 3, 1.0f), *g = random_floats((size_t)f.d0, 4, 2.0f), *y = random_floats(ny, 9, 0),
          *found = guarded_alloc(ny);
    void *v = malloc(n * size);
    for (size_t i = 0; i < n; i++) {
        uint16_t half = f.type == HM_BF16 ? hm_f32_to_bf16(source[i]) : hm_f32_to_f16(source[i]);
        memcpy((char *)v + i * size, f.type == HM_F32 ? (void *)&source[i] : (void *)&half, size);
    }
    hm_fold_args gpu = f;
    gpu.dst = gpu_put_floats(c, y, ny);
    gpu.v = gpu_put(c, v, n * size);
    gpu.g = normed ? gpu_put_floats(c, g, (size_t)f.d0) : NULL;
    f.dst = y;
    f.v = v;
    f.g = normed ? g : NULL;
    c->cpu.op.fold_conv(&c->cpu.op, &f);
    c->gpu.op.fold_conv(&c->gpu.op, &gpu);
    gpu_get(c, found, gpu.dst);
    for (size_t i = 0; i < ny; i++)
        assert_near(found[i], (double)y[i], normed ? 1.3e-7 * fabs((double)y[i]) : 0, "folded", i);
    assert_same_counts(c);
    gpu_give_back(c);
    guarded_free(source, n);
    guarded_free(g, (size_t)f.d0);
    guarded_free(y, ny);
    guarded_free(found, ny);
    free(v);
}

static void convolution_weights_are_folded_as_on_the_cpu(void **state)
{
    static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};
    for (int i = 0; i < 6; i++) {
        hm_dtype type = types[i % 3];
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 5, .d1 = 7, .taps = 3}, i < 3);
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 5, .d1 = 7, .taps = 1, .first = 2, .columns = 4}, i < 3);
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 6, .d1 = 4, .taps = 8, .stride = 4}, i < 3);
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 3, .d1 = 2, .taps = 5, .stride = 5}, i < 3);
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 4, .d1 = 9, .taps = 7, .repeat = 3}, i < 3);
        check_fold(*state, (hm_fold_args){.type = type, .d0 = 4, .d1 = 9, .taps = 3, .repeat = 2, .first = 3, .columns = 5}, i < 3);
    }
}

static void a_layout_that_nothing_knows_is_refused(void **state)
{
    gpu_case *c = *state;
    c->gpu.op.fold_conv(&c->gpu.op, &(hm_fold_args){.d0 = 2, .d1 = 2, .taps = 5, .stride = 2});
    assert_int_equal(c->gpu.error.status, HM_EBUG);
    assert_non_null(strstr(c->gpu.error.text, "expected a multiple of the stride"));
    c->gpu.error = (hm_error){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers_of_every_storage_are_the_cpus_at_odd_sizes),
        cmocka_unit_test(linear_layers_take_denormals_zeros_and_great_values),
        cmocka_unit_test(rows_have_the_same_bytes_however_many_there_are),
#ifndef HM_TEST_CUDA
        cmocka_unit_test(panels_have_the_bytes_of_the_cpu),
#endif
        cmocka_unit_test(several_layers_read_the_same_inputs),
        cmocka_unit_test(gated_layers_are_the_cpus),
        cmocka_unit_test(convolutions_over_rows_are_the_cpus),
        cmocka_unit_test(every_activation_ends_a_convolution),
        cmocka_unit_test(rows_beyond_scratch_are_quantised_in_parts),
        cmocka_unit_test(inputs_that_are_not_finite_make_quantised_sums_that_are_not),
        cmocka_unit_test(depthwise_convolutions_have_the_bytes_of_the_cpu),
        cmocka_unit_test(convolution_weights_are_folded_as_on_the_cpu),
        cmocka_unit_test(a_layout_that_nothing_knows_is_refused),
    };
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
