/* Linear layers of a norm, and whole steps of attention, by CUDA's own kernels, against sums in double.
 * With n the normed inputs: |error| <= 4e-6 * sum of |w n| + 1e-6 * |bias|, for weights of float types; quantised ones meet inputs that are
 * rounded to 127 steps of the greatest of their group, which adds at most half a step (and a hundredth) of each. silu is at most 1.1 steep.
 * Steps: within 2e-5 of the greatest value attended over. */
#define HM_TEST_CUDA
#include "engine/cuda/cuda_ops.h"
#include "tests/gpu/gpu_case.h"

#define EPS 1e-5f

typedef struct layer {
    hm_linear w; /* on the device */
    void *panels;
    float *bias;
} layer;

static layer layer_make(gpu_case *c, hm_format format, int out, int in, uint64_t seed, bool biased)
{
    int64_t bad;
    size_t bytes = hm_panels_bytes(format, out, in, 1), n = (size_t)out * (size_t)in;
    float *source = random_floats(n, seed, 0.5f);
    layer l = {.panels = aligned_alloc(64, bytes), .bias = biased ? random_floats((size_t)out, seed + 1, 1) : NULL};
    assert_non_null(l.panels);
    assert_true(
        hm_panels_pack(l.panels, format, &(hm_panel_source){.w = source, .type = HM_F32, .out = out, .in = in, .taps = 1}, NULL, &bad));
    guarded_free(source, n);
    l.w = (hm_linear){.w = gpu_put(c, l.panels, bytes), .panels = format, .out = out, .in = in, .taps = 1};
    l.w.bias = biased ? gpu_put_floats(c, l.bias, (size_t)out) : NULL;
    return l;
}

static void layer_free(layer *l)
{
    if (l->bias)
        guarded_free(l->bias, (size_t)l->w.out);
    free(l->panels);
}

static void norm_in_double(double *n, const float *x, const float *weight, int in)
{
    double squares = 0;
    for (int i = 0; i < in; i++)
        squares += (double)x[i] * (double)x[i];
    for (int i = 0; i < in; i++)
        n[i] = (double)x[i] / sqrt(squares / in + (double)EPS) * (double)weight[i];
}

/* Output o for inputs n; *bound: how far off it may be. */
static double output_in_double(const layer *l, const double *n, int o, double *bound)
{
    double sum = l->bias ? (double)l->bias[o] : 0, size = 0, rounded = 0;
    for (int first = 0; first < l->w.in; first += HM_PANEL_GROUP) {
        double most = 0, weights = 0;
        for (int i = first; i < first + HM_PANEL_GROUP && i < l->w.in; i++) {
            double w = (double)hm_panel_value(l->panels, l->w.panels, l->w.in, 1, o, 0, i);
            sum += w * n[i];
            size += fabs(w * n[i]);
            weights += fabs(w);
            most = fmax(most, fabs(n[i]));
        }
        rounded += weights * most * 0.51 / 127;
    }
    *bound = 4e-6 * size + (l->bias ? 1e-6 * fabs((double)l->bias[o]) : 0) + (hm_format_quantised(l->w.panels) ? rounded : 0) + 1e-30;
    return sum;
}

typedef struct inputs {
    int M, in;
    float *x, *weight, *gx, *gweight, *gn;
    double *n; /* [M][in] */
} inputs;

static inputs inputs_make(gpu_case *c, int M, int in)
{
    size_t count = (size_t)M * (size_t)in;
    inputs a = {.M = M, .in = in, .x = random_floats(count, 3, 4), .weight = random_floats((size_t)in, 4, 2)};
    a.gx = gpu_put_floats(c, a.x, count);
    a.gweight = gpu_put_floats(c, a.weight, (size_t)in);
    a.gn = gpu_put_floats(c, a.x, count);
    a.n = malloc(count * sizeof *a.n);
    assert_non_null(a.n);
    for (int m = 0; m < M; m++)
        norm_in_double(a.n + (size_t)m * (size_t)in, a.x + (size_t)m * (size_t)in, a.weight, in);
    return a;
}

static void inputs_free(inputs *a)
{
    guarded_free(a->x, (size_t)a->M * (size_t)a->in);
    guarded_free(a->weight, (size_t)a->in);
    free(a->n);
}

static float *room(gpu_case *c, int M, int out)
{
    float *y = guarded_alloc((size_t)M * (size_t)out), *there = gpu_put_floats(c, y, (size_t)M * (size_t)out);
    guarded_free(y, (size_t)M * (size_t)out);
    return there;
}

static const hm_format formats[] = {HM_FORMAT_F32,  HM_FORMAT_BF16, HM_FORMAT_F16, HM_FORMAT_FP8,
                                    HM_FORMAT_INT8, HM_FORMAT_INT4, HM_FORMAT_FP4};
static const int sizes[][2] = {{64, 5}, {192, 48}, {70, 33}, {1027, 17}}; /* inputs, outputs of the first layer */
static const int row_counts[] = {1, 2, 3, 8};

/* Three layers of one norm are one launch. */
static void check_multi(gpu_case *c, hm_format format, int in, int out, int M)
{
    hm_ops op = c->gpu.op;
    hm_cuda_decode_ops(&op);
    inputs a = inputs_make(c, M, in);
    layer l[3] = {layer_make(c, format, out, in, 5, true), layer_make(c, format, out + 16, in, 7, false),
                  layer_make(c, format, 3, in, 9, false)};
    float *y[3];
    const hm_linear *w[3];
    for (int i = 0; i < 3; i++) {
        y[i] = room(c, M, l[i].w.out);
        w[i] = &l[i].w;
    }
    *op.count = (hm_counters){0};
    op.linear_multi_norm(&op, 3, y, a.gx, a.gweight, EPS, a.gn, w, M);
    assert_int_equal(op.count->launches, 1);
    for (int i = 0; i < 3; i++) {
        size_t count = (size_t)M * (size_t)l[i].w.out;
        float *found = guarded_alloc(count);
        gpu_get(c, found, y[i]);
        for (size_t k = 0; k < count; k++) {
            double bound,
                wanted = output_in_double(&l[i], a.n + k / (size_t)l[i].w.out * (size_t)in, (int)(k % (size_t)l[i].w.out), &bound);
            assert_near(found[k], wanted, bound, hm_format_name(format), k);
        }
        guarded_free(found, count);
        layer_free(&l[i]);
    }
    inputs_free(&a);
    gpu_give_back(c);
}

static void layers_of_a_norm_are_sums_in_double(void **state)
{
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t m = 0; m < sizeof row_counts / sizeof *row_counts; m++)
                check_multi(*state, formats[f], sizes[s][0], sizes[s][1], row_counts[m]);
}

static void check_swiglu(gpu_case *c, hm_format format, int in, int out, int M)
{
    hm_ops op = c->gpu.op;
    hm_cuda_decode_ops(&op);
    inputs a = inputs_make(c, M, in);
    layer gate = layer_make(c, format, out, in, 5, false), up = layer_make(c, format, out, in, 7, false);
    size_t count = (size_t)M * (size_t)out;
    float *y = room(c, M, out), *found = guarded_alloc(count);
    *op.count = (hm_counters){0};
    op.linear_swiglu_norm(&op, y, a.gx, a.gweight, EPS, a.gn, &gate.w, &up.w, M);
    assert_int_equal(op.count->launches, 1);
    gpu_get(c, found, y);
    for (size_t k = 0; k < count; k++) {
        const double *n = a.n + k / (size_t)out * (size_t)in;
        double gate_bound, up_bound, g = output_in_double(&gate, n, (int)(k % (size_t)out), &gate_bound),
                                     u = output_in_double(&up, n, (int)(k % (size_t)out), &up_bound), s = g / (1 + exp(-g));
        assert_near(found[k], s * u, 1.1 * gate_bound * (fabs(u) + up_bound) + fabs(s) * up_bound + 1e-5 * fabs(s * u),
                    hm_format_name(format), k);
    }
    guarded_free(found, count);
    layer_free(&gate);
    layer_free(&up);
    inputs_free(&a);
    gpu_give_back(c);
}

static void gate_and_up_of_a_norm_are_sums_in_double(void **state)
{
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (size_t m = 0; m < sizeof row_counts / sizeof *row_counts; m++)
                check_swiglu(*state, formats[f], sizes[s][0], sizes[s][1], row_counts[m]);
}

/* --- steps --- */

typedef struct step_shape {
    int B, S, H, heads, Dh, pos;
    bool half, norms;
} step_shape;

/* A head of a row, normed and rotated. */
static void turn_in_double(double *to, const float *from, const float *norm, const float *cosines, const float *sines, int Dh, bool half)
{
    double one[256], squares = 0;
    for (int i = 0; i < Dh; i++)
        squares += (double)from[i] * (double)from[i];
    for (int i = 0; i < Dh; i++)
        one[i] = norm ? (double)from[i] / sqrt(squares / Dh + (double)EPS) * (double)norm[i] : (double)from[i];
    for (int j = 0; j < Dh / 2; j++) {
        int first = half ? j : 2 * j, second = half ? j + Dh / 2 : 2 * j + 1;
        to[first] = one[first] * (double)cosines[j] - one[second] * (double)sines[j];
        to[second] = one[second] * (double)cosines[j] + one[first] * (double)sines[j];
    }
}

/* What a head attends over: keys and values of slots 0 .. count-1, as rows of doubles. */
static void attend_in_double(double *out, const double *q, const double *keys, const double *values, int count, int Dh)
{
    double sum = 0, most = -INFINITY, *weights = malloc((size_t)count * sizeof *weights);
    assert_non_null(weights);
    for (int j = 0; j < count; j++) {
        weights[j] = 0;
        for (int i = 0; i < Dh; i++)
            weights[j] += q[i] * keys[(size_t)j * (size_t)Dh + (size_t)i] / sqrt((double)Dh);
        most = fmax(most, weights[j]);
    }
    for (int i = 0; i < Dh; i++)
        out[i] = 0;
    for (int j = 0; j < count; j++)
        sum += weights[j] = exp(weights[j] - most);
    for (int j = 0; j < count; j++)
        for (int i = 0; i < Dh; i++)
            out[i] += weights[j] / sum * values[(size_t)j * (size_t)Dh + (size_t)i];
    free(weights);
}

/* Host copies of all that a step reads: rows [B*pos] before it and [B*S] of its own. */
typedef struct step_host {
    float *k_before, *v_before, *q, *k, *v, *q_norm, *k_norm, *cosines, *sines;
} step_host;

static void check_outputs(const step_shape *s, const step_host *h, const float *found)
{
    size_t Dh = (size_t)s->Dh, slots = (size_t)(s->pos + s->S);
    double *keys = malloc(slots * Dh * sizeof *keys), *values = malloc(slots * Dh * sizeof *values), q[256], out[256];
    assert_true(keys && values);
    for (int b = 0; b < s->B; b++)
        for (int head = 0; head < s->H; head++) {
            int shared = head / (s->H / s->heads);
            for (int j = 0; j < s->pos + s->S; j++) {
                bool before = j < s->pos;
                size_t row = (size_t)(before ? b * s->pos + j : b * s->S + j - s->pos), at = (row * (size_t)s->heads + (size_t)shared) * Dh;
                for (size_t i = 0; i < Dh; i++) {
                    keys[(size_t)j * Dh + i] = before ? (double)h->k_before[at + i] : 0;
                    values[(size_t)j * Dh + i] = (double)(before ? h->v_before : h->v)[at + i];
                }
                size_t angle = before ? 0 : (size_t)(j - s->pos) * Dh / 2;
                if (!before)
                    turn_in_double(keys + (size_t)j * Dh, h->k + at, h->k_norm, h->cosines + angle, h->sines + angle, s->Dh, s->half);
            }
            for (int r = 0; r < s->S; r++) {
                size_t at = ((size_t)(b * s->S + r) * (size_t)s->H + (size_t)head) * Dh, angle = (size_t)r * Dh / 2;
                turn_in_double(q, h->q + at, h->q_norm, h->cosines + angle, h->sines + angle, s->Dh, s->half);
                attend_in_double(out, q, keys, values, s->pos + r + 1, s->Dh);
                for (size_t i = 0; i < Dh; i++)
                    assert_near(found[at + i], out[i], 2e-5, "step", at + i);
            }
        }
    free(keys);
    free(values);
}

static void check_step(gpu_case *c, const step_shape *s)
{
    hm_ops op = c->gpu.op;
    hm_cuda_attend_ops(&op);
    size_t Dh = (size_t)s->Dh, rows = (size_t)(s->B * s->S), n_q = rows * (size_t)s->H * Dh, n_k = rows * (size_t)s->heads * Dh,
           before = (size_t)(s->B * s->pos * s->heads) * Dh, angles = (size_t)s->S * Dh / 2;
    int64_t padded = hm_kv_padded(s->Dh), slots = (s->pos + s->S + 31) / 32 * 32;
    step_host h = {.k_before = random_floats(before, 3, 1), .v_before = random_floats(before, 4, 1), .q = random_floats(n_q, 5, 2)};
    h.k = random_floats(n_k, 6, 2);
    h.v = random_floats(n_k, 7, 1);
    h.q_norm = s->norms ? random_floats(Dh, 8, 2) : NULL;
    h.k_norm = s->norms ? random_floats(Dh, 9, 2) : NULL;
    h.cosines = random_floats(angles, 10, 1);
    h.sines = random_floats(angles, 11, 1);
    float *empty = calloc((size_t)(s->B * s->heads * slots * padded), sizeof *empty), *found = guarded_alloc(n_q);
    assert_non_null(empty);
    size_t cache = (size_t)(s->B * s->heads * slots * padded);
    hm_kv_view kv = {.k = gpu_put_floats(c, empty, cache), .v = gpu_put_floats(c, empty, cache), .type = HM_F32, .panels = true};
    kv.heads = s->heads;
    kv.slot = padded;
    kv.head = slots * padded;
    kv.batch = s->heads * slots * padded;
    if (before)
        op.kv_put(&op, &kv, gpu_put_floats(c, h.k_before, before), gpu_put_floats(c, h.v_before, before), s->B, s->pos, s->heads, s->Dh, 0);
    hm_step_args step = {.k = gpu_put_floats(c, h.k, n_k), .v = gpu_put_floats(c, h.v, n_k), .eps = EPS, .half = s->half};
    step.q_norm = s->norms ? gpu_put_floats(c, h.q_norm, Dh) : NULL;
    step.k_norm = s->norms ? gpu_put_floats(c, h.k_norm, Dh) : NULL;
    step.cos = gpu_put_floats(c, h.cosines, angles);
    step.sin = gpu_put_floats(c, h.sines, angles);
    float *out = gpu_put_floats(c, h.q, n_q);
    step.a = (hm_attention_args){.out = out, .q = gpu_put_floats(c, h.q, n_q), .kv = kv, .B = s->B, .S = s->S, .H = s->H, .Dh = s->Dh};
    step.a.slots = s->pos + s->S;
    step.a.pos = s->pos;
    step.a.causal = true;
    step.a.scale = 1.0f / sqrtf((float)s->Dh);
    assert_true(op.step(&op, &step));
    gpu_get(c, found, out);
    check_outputs(s, &h, found);
    gpu_give_back(c);
    float *const all[] = {h.k_before, h.v_before, h.q, h.k, h.v, h.cosines, h.sines, found};
    const size_t counts[] = {before, before, n_q, n_k, n_k, angles, angles, n_q};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        guarded_free(all[i], counts[i]);
    if (s->norms) {
        guarded_free(h.q_norm, Dh);
        guarded_free(h.k_norm, Dh);
    }
    free(empty);
}

static void steps_are_sums_in_double(void **state)
{
    static const step_shape shapes[] = {{1, 1, 16, 8, 128, 130, true, true},
                                        {2, 1, 3, 1, 128, 64, false, false},
                                        {1, 3, 4, 1, 48, 70, true, true},
                                        {2, 2, 6, 2, 64, 63, false, false},
                                        {1, 1, 4, 4, 20, 0, false, true}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_step(*state, &shapes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers_of_a_norm_are_sums_in_double),
                                       cmocka_unit_test(gate_and_up_of_a_norm_are_sums_in_double),
                                       cmocka_unit_test(steps_are_sums_in_double)};
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
