/* Norms, elementwise operations, positions, caches and embeddings of the CPU backend, for every instruction set the machine has.
 * Elementwise operations have one right answer to the bit; norms are within 2e-6 of double, exp within 2 ulp. */
#include "tests/kernels/kernel_check.h"

#include "engine/cpu/device.h"
#include "engine/sampling.h"

static void check_exp(rig *r)
{
    static const float points[] = {0.0f, -0.0f, 1.0f, 88.72283f, 88.7229f, 1e30f, INFINITY, -87.4f, -103.9f, -104.1f, -1e30f, -INFINITY};
    enum {
        N = 100003
    };
    float *x = random_floats(N, 6, 104.0f), *y = guarded_alloc(N);
    memcpy(x, points, sizeof points);
    r->dev->k->exp(y, x, N);
    for (int i = 0; i < N; i++) {
        double e = exp((double)x[i]), bound = e > FLT_MAX ? 0 : (double)(nextafterf((float)e, INFINITY) - (float)e) * 2;
        float portable = hm_exp_portable(x[i]);
        if (isinf(x[i]) || e > 3.4028235677973366e38)
            assert_true(y[i] == (float)e);
        else
            assert_near(y[i], e, bound, "exp", (size_t)i);
        assert_memory_equal(&portable, &y[i], 4);
    }
    x[0] = NAN;
    r->dev->k->exp(y, x, 1);
    assert_true(isnan(y[0]) && isnan(hm_exp_portable(NAN)));
    guarded_free(x, N);
    guarded_free(y, N);
}

static void exp_is_within_two_ulp_and_one_for_all(void **state)
{
    (void)state;
    for_each_isa(check_exp);
}

static void check_silu(rig *r)
{
    static const float points[] = {0.0f, -0.0f, 1e30f, -1e30f, 3e38f, -3e38f, 88.8f, -88.8f, -104.0f, 1e-40f};
    for (size_t n = 10; n < 90000; n = n * 7 + 3) {
        float *y = random_floats(n, n, 20.0f), *x = guarded_alloc(n), *up = random_floats(n, 2, 1.0f), *z = guarded_alloc(n);
        memcpy(y, points, sizeof points);
        memcpy(x, y, n * sizeof *x);
        r->op.activate(&r->op, y, HM_ACT_SILU, 0.0f, n);
        r->op.silu_mul(&r->op, z, x, up, n);
        for (size_t i = 0; i < n; i++) {
            double e = (double)x[i] / (1 + exp(-(double)x[i]));
            assert_near(y[i], e, 5e-7 * fabs(e) + 1e-36, "silu", i);
            assert_true(z[i] == y[i] * up[i]);
        }
        r->op.silu_mul(&r->op, x, x, up, n);
        assert_same_bytes(x, z, n);
        guarded_free(x, n);
        guarded_free(y, n);
        guarded_free(up, n);
        guarded_free(z, n);
    }
}

static void silu_is_right_and_finite_at_extremes(void **state)
{
    (void)state;
    for_each_isa(check_silu);
}

/* Relative to the result: 6e-7 for gelu, which has most roundings, 4e-7 elsewhere. */
static void check_activations(rig *r)
{
    static const float points[] = {0.0f,   -0.0f,  1e30f,   -1e30f,   88.8f,    -88.8f, -104.0f, 1e-40f, -1e-30f, 0.35f,
                                   -0.35f, 0.625f, -0.625f, 0.62499f, -0.3499f, 5.0f,   -5.0f,   11.0f,  -13.0f,  -14.5f};
    static const float ranges[] = {0.1f, 1.0f, 6.0f, 30.0f};
    enum {
        N = 20011,
        POINTS = sizeof points / sizeof *points
    };
    float *x = guarded_alloc(N), *y = guarded_alloc(N);
    for (hm_act act = HM_ACT_NONE; act < HM_ACT_SNAKE; act++)
        for (int range = 0; range < 4; range++) {
            uint64_t seed = (uint64_t)range;
            for (int i = 0; i < N; i++)
                x[i] = next_float(&seed) * ranges[range];
            memcpy(x, points, sizeof points);
            memcpy(x + N - POINTS, points, sizeof points); /* in whole vectors and in parts */
            memcpy(y, x, N * sizeof *y);
            r->op.activate(&r->op, y, act, 0.1f, N);
            for (size_t i = 0; i < N; i++) {
                double e = activated_in_double(act, (double)x[i], (double)0.1f, 0, 0);
                assert_near(y[i], e, (act == HM_ACT_GELU ? 6e-7 : 4e-7) * fabs(e) + 1e-36, "activation", i);
            }
        }
    for (hm_act act = HM_ACT_NONE; act < HM_ACT_SNAKE; act++) {
        x[0] = NAN;
        r->op.activate(&r->op, x, act, 0.1f, 1);
        assert_true(isnan(x[0]));
    }
    guarded_free(x, N);
    guarded_free(y, N);
}

static void activations_are_right_near_zero_and_far_out(void **state)
{
    (void)state;
    for_each_isa(check_activations);
}

static void check_norms(rig *r)
{
    static const int sizes[][2] = {{1, 1}, {3, 7}, {5, 64}, {2, 257}, {300, 131}, {1, 3072}};
    for (size_t c = 0; c < 6; c++) {
        int M = sizes[c][0], D = sizes[c][1];
        size_t n = (size_t)M * (size_t)D, d = (size_t)D;
        float *x = random_floats(n, 3, 5.0f), *w = random_floats(d, 4, 1.0f), *y = guarded_alloc(n), *z = guarded_alloc(n);
        for (size_t i = 0; i < n; i++)
            x[i] += 2.0f;
        r->op.rmsnorm(&r->op, y, x, c % 2 ? w : NULL, M, D, 1e-5f);
        r->op.layernorm(&r->op, z, x, NULL, NULL, M, D, 1e-6f);
        uint64_t read = r->count.weight_bytes;
        float *affine = guarded_alloc(n), *bias = random_floats(d, 9, 1.0f);
        r->op.layernorm(&r->op, affine, x, w, bias, M, D, 1e-6f);
        assert_int_equal(r->count.weight_bytes - read, 8 * d);
        for (size_t i = 0; i < n; i++) {
            float product = z[i] * w[i % d];
            assert_true(affine[i] == product + bias[i % d]);
        }
        guarded_free(affine, n);
        guarded_free(bias, d);
        for (int m = 0; m < M; m++) {
            const float *row = x + m * D;
            double square = 0, mean = 0, var = 0;
            for (int i = 0; i < D; i++) {
                square += (double)row[i] * (double)row[i] / D;
                mean += (double)row[i] / D;
            }
            for (int i = 0; i < D; i++)
                var += ((double)row[i] - mean) * ((double)row[i] - mean) / D;
            for (int i = 0; i < D; i++) {
                double e = (double)row[i] / sqrt(square + 1e-5) * (c % 2 ? (double)w[i] : 1);
                assert_near(y[m * D + i], e, 2e-6 * (fabs(e) + 1e-30), "rmsnorm", (size_t)i);
                if (D > 1)
                    assert_near(z[m * D + i], ((double)row[i] - mean) / sqrt(var + 1e-6), 8e-6, "layernorm", (size_t)i);
            }
        }
        memcpy(z, x, n * sizeof *z); /* in place */
        r->op.rmsnorm(&r->op, z, z, c % 2 ? w : NULL, M, D, 1e-5f);
        assert_same_bytes(z, y, n);
        guarded_free(x, n);
        guarded_free(w, d);
        guarded_free(y, n);
        guarded_free(z, n);
    }
}

static void norms_match_double_and_fuse_without_a_change(void **state)
{
    (void)state;
    for_each_isa(check_norms);
}

static void check_modulation(rig *r)
{
    enum {
        B = 2,
        ROWS = 37,
        D = 45,
        N = B * ROWS * D,
        STRIDE = 100
    };
    float *x = random_floats(N, 1, 3.0f), *v = random_floats(B * STRIDE, 2, 1.0f), *y = guarded_alloc(N), *z = guarded_alloc(N);
    for (int64_t stride = 0; stride <= STRIDE; stride += STRIDE) {
        r->op.modulate(&r->op, y, x, v, v + 50, B, ROWS, D, stride);
        memcpy(z, x, N * sizeof *z);
        r->op.gate_add(&r->op, z, y, v, B, ROWS, D, stride);
        for (int i = 0; i < N; i++) {
            const float *row = v + i / (ROWS * D) * stride;
            float product = x[i] * (1.0f + row[50 + i % D]), gated = row[i % D] * y[i];
            assert_true(y[i] == product + row[i % D]);
            assert_true(z[i] == x[i] + gated);
        }
        r->op.rmsnorm(&r->op, y, x, v + 20, B * ROWS, D, 1e-6f);
        r->op.modulate(&r->op, y, y, v, v + 50, B, ROWS, D, stride);
        r->op.rmsnorm_modulate(&r->op, z, x, v + 20, v, v + 50, B, ROWS, D, stride, 1e-6f);
        assert_same_bytes(y, z, N);
    }
    guarded_free(x, N);
    guarded_free(v, B * STRIDE);
    guarded_free(y, N);
    guarded_free(z, N);
}

static void modulation_uses_the_vectors_of_its_batch_row(void **state)
{
    (void)state;
    for_each_isa(check_modulation);
}

static void check_elementwise(rig *r)
{
    for (size_t n = 1; n < 90000; n = n * 9 + 5) {
        float *x = hostile_floats(n, n), *u = hostile_floats(n, n + 1), *y = guarded_alloc(n), *z = guarded_alloc(n);
        hm_ops *op = &r->op;
        op->copy(op, y, x, n * sizeof *y);
        op->add(op, y, u, n);
        op->copy(op, z, y, n * sizeof *y);
        op->axpy(op, y, 0.3f, u, n);
        for (size_t i = 0; i < n; i++) {
            float product = 0.3f * u[i];
            assert_true(z[i] == x[i] + u[i]);
            assert_true(y[i] == z[i] + product);
        }
        op->copy(op, z, y, n * sizeof *y);
        op->scale(op, y, 1.7f, n);
        for (size_t i = 0; i < n; i++)
            assert_true(y[i] == z[i] * 1.7f);
        op->guide(op, y, x, u, 1.5f, n);
        op->round9(op, z, x, n);
        for (size_t i = 0; i < n; i++) {
            float step = (x[i] - u[i]) * 1.5f;
            assert_true(y[i] == u[i] + step);
            assert_true(z[i] == rintf(x[i] * 9.0f) / 9.0f);
        }
        op->copy(op, z, x, n * sizeof *z);
        op->activate(op, z, HM_ACT_PRELU, 0.1f, n);
        op->guide(op, x, x, u, 1.5f, n);
        assert_same_bytes(x, y, n);
        op->copy(op, z, u, n * sizeof *z);
        op->clamp(op, z, -0.5f, 0.25f, n);
        for (size_t i = 0; i < n; i++)
            assert_true(z[i] == (u[i] < -0.5f ? -0.5f : u[i] > 0.25f ? 0.25f : u[i]));
        op->fill(op, y, -2.5f, n);
        for (size_t i = 0; i < n; i++)
            assert_true(y[i] == -2.5f);
        guarded_free(x, n);
        guarded_free(u, n);
        guarded_free(y, n);
        guarded_free(z, n);
    }
    float ties[6] = {0.5f / 9, 1.5f / 9, -0.5f / 9, 2.5f / 9, -3.0f, 7.25f}, signs[4] = {-2.0f, -0.0f, 0.0f, 4.0f};
    r->op.round9(&r->op, ties, ties, 6);
    for (int i = 0; i < 6; i++)
        assert_true(ties[i] * 9 == rintf(ties[i] * 9));
    r->op.activate(&r->op, signs, HM_ACT_PRELU, 0.5f, 4);
    assert_true(signs[0] == -1.0f && signs[1] == 0 && signs[2] == 0 && signs[3] == 4.0f);
}

static void elementwise_operations_round_as_written(void **state)
{
    (void)state;
    for_each_isa(check_elementwise);
}

static void check_rope(rig *r)
{
    enum {
        HALF = 12,
        DH = 2 * HALF,
        S = 70,
        B = 2,
        HEADS = 5,
        FIRST = 8100,
        N = B * S * HEADS * DH
    };
    float theta[HALF], *cos_t = guarded_alloc(S * HALF), *sin_t = guarded_alloc(S * HALF), *x = random_floats(N, 1, 2.0f),
                       *y = guarded_alloc(N);
    for (int j = 0; j < HALF; j++)
        theta[j] = 1.0f / powf(500000.0f, (float)j / HALF);
    r->op.rope_table(&r->op, cos_t, sin_t, theta, HALF, FIRST, S);
    assert_int_equal(r->count.table_values, 2 * S * HALF);
    memcpy(y, x, N * sizeof *x);
    r->op.rope(&r->op, y, cos_t, sin_t, B, S, HEADS, DH, false);
    for (int i = 0; i < N; i += 2) {
        int s = i / (HEADS * DH) % S, j = i % DH / 2;
        float angle = (float)(FIRST + s) * theta[j], c = cos_t[s * HALF + j], n = sin_t[s * HALF + j];
        assert_near(c, cos((double)angle), 6e-8, "cos", (size_t)i);
        assert_near(n, sin((double)angle), 6e-8, "sin", (size_t)i);
        float a = x[i] * c, b = x[i + 1] * n, d = x[i + 1] * c, e = x[i] * n;
        assert_true(y[i] == a - b && y[i + 1] == d + e);
    }
    memcpy(y, x, N * sizeof *x);
    r->op.rope(&r->op, y, cos_t, sin_t, B, S, HEADS, DH, true);
    for (int i = 0; i < N; i++) {
        int s = i / (HEADS * DH) % S, j = i % HALF;
        bool first = i % DH < HALF;
        float a = x[i] * cos_t[s * HALF + j], b = (first ? x[i + HALF] : x[i - HALF]) * sin_t[s * HALF + j];
        assert_true(y[i] == (first ? a - b : a + b));
    }
    guarded_free(cos_t, S * HALF);
    guarded_free(sin_t, S * HALF);
    guarded_free(x, N);
    guarded_free(y, N);
}

static void rope_rotates_pairs_and_halves_at_far_positions(void **state)
{
    (void)state;
    for_each_isa(check_rope);
}

static void check_gather(rig *r)
{
    enum {
        ROWS = 50,
        D = 37,
        M = 300,
        K = 3
    };
    static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};
    int32_t ids[M * K], offsets[M * K], shifted[M * K];
    float *x = random_floats(M * K * D, 2, 1.0f), *mask = guarded_alloc(M * K), *y = guarded_alloc(M * D), *z = guarded_alloc(M * K * D);
    uint64_t seed = 5;
    for (int i = 0; i < M * K; i++) {
        ids[i] = (int32_t)(next_random(&seed) % (ROWS / 2));
        offsets[i] = i % (ROWS / 2);
        mask[i] = (float)(next_random(&seed) % 2);
    }
    r->op.ids_add(&r->op, shifted, ids, offsets, M * K);
    for (int t = 0; t < 3; t++) {
        size_t size = hm_dtype_bytes(types[t]);
        uint16_t *half = malloc((ROWS * D * 2 + 2) * sizeof *half);
        float *table = random_floats(ROWS * D, 1, 1.0f);
        void *stored = types[t] == HM_F32 ? (void *)(half + 2) : (void *)(half + 1);
        for (int i = 0; i < ROWS * D; i++) {
            uint16_t h = types[t] == HM_BF16 ? hm_f32_to_bf16(table[i]) : hm_f32_to_f16(table[i]);
            memcpy((char *)stored + (size_t)i * size, size == 4 ? (void *)&table[i] : (void *)&h, size);
        }
        hm_to_f32(table, stored, types[t], ROWS * D);
        r->op.gather(&r->op, z, stored, types[t], D, shifted, M * K);
        r->op.gather_sum(&r->op, y, stored, types[t], D, shifted, M, K);
        const void *const tables[K] = {stored, (char *)stored + D * size, (char *)stored + 5 * D * size};
        float *apart = guarded_alloc(M * D);
        r->op.gather_tables(&r->op, apart, tables, types[t], D, ids, M, K);
        for (int i = 0; i < M * D; i++) {
            const int32_t *id = ids + i / D * K;
            assert_true(apart[i] == table[id[0] * D + i % D] + table[(id[1] + 1) * D + i % D] + table[(id[2] + 5) * D + i % D]);
        }
        guarded_free(apart, M * D);
        for (int i = 0; i < M * D; i++) {
            const float *row = z + i / D * K * D + i % D;
            for (int k = 0; k < K; k++)
                assert_true(row[k * D] == table[(ids[i / D * K + k] + offsets[i / D * K + k]) * D + i % D]);
            assert_true(y[i] == row[0] + row[D] + row[2 * D]);
        }
        guarded_free(table, ROWS * D);
        free(half);
    }
    r->op.masked_sum(&r->op, y, x, mask, M, K, D);
    for (int i = 0; i < M * D; i++) {
        float sum = 0;
        for (int k = 0; k < K; k++)
            sum += mask[i / D * K + k] * x[(i / D * K + k) * D + i % D];
        assert_true(y[i] == sum);
    }
    assert_int_equal(r->count.embedding_rows, 3 * 3 * M * K);
    guarded_free(x, M * K * D);
    guarded_free(mask, M * K);
    guarded_free(y, M * D);
    guarded_free(z, M * K * D);
}

static void embeddings_are_gathered_and_summed_in_order(void **state)
{
    (void)state;
    for_each_isa(check_gather);
}

static void a_failed_allocation_stops_later_operations(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    float y[4] = {1, 2, 3, 4};
    assert_null(r.op.alloc(&r.op, SIZE_MAX));
    assert_int_equal(hm_ops_status(&r.op), HM_EABSENT);
    r.op.scale(&r.op, y, 2.0f, 4);
    assert_true(y[0] == 1.0f && r.count.launches == 0);
    r.error = (hm_error){0};
    void *p = r.op.alloc(&r.op, 5000000);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    r.op.free(&r.op, p);
    rig_close(&r);
}

static void an_absent_instruction_set_is_refused(void **state)
{
    (void)state;
    hm_device *dev = NULL;
    hm_error err = {0};
    assert_int_equal(hm_cpu_open(&dev, 1, HM_ISA_COUNT, &err), HM_EABSENT);
    assert_null(dev);
    assert_non_null(strstr(err.text, "instruction set"));
}

static int spans;

static void span_begin(void *self, hm_span_kind kind, const char *name, int64_t index)
{
    (void)self, (void)index;
    assert_int_equal(kind, HM_SPAN_OP);
    assert_true(name && *name);
    spans += 1000;
}

static void span_end(void *self, hm_span_kind kind, const char *name)
{
    (void)self, (void)kind, (void)name;
    spans -= 999;
}

static void every_operation_is_a_span(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    hm_probe probe = {.wanted = HM_SPAN_OP, .begin = span_begin, .end = span_end};
    r.op.probe = &probe;
    float y[4] = {0}, x[4] = {0};
    r.op.add(&r.op, y, x, 4);
    r.op.upload(&r.op, y, x, sizeof x);
    r.op.rmsnorm(&r.op, y, x, NULL, 1, 4, 1e-5f);
    assert_int_equal(spans, 3);
    assert_int_equal(r.count.launches, 2);
    assert_int_equal(r.count.to_device_bytes, 16);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_two_ulp_and_one_for_all),
        cmocka_unit_test(silu_is_right_and_finite_at_extremes),
        cmocka_unit_test(activations_are_right_near_zero_and_far_out),
        cmocka_unit_test(norms_match_double_and_fuse_without_a_change),
        cmocka_unit_test(modulation_uses_the_vectors_of_its_batch_row),
        cmocka_unit_test(elementwise_operations_round_as_written),
        cmocka_unit_test(rope_rotates_pairs_and_halves_at_far_positions),
        cmocka_unit_test(embeddings_are_gathered_and_summed_in_order),
        cmocka_unit_test(a_failed_allocation_stops_later_operations),
        cmocka_unit_test(an_absent_instruction_set_is_refused),
        cmocka_unit_test(every_operation_is_a_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
