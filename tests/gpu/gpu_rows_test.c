/* Norms, elementwise operations, embeddings and operations on codes of the GPU backends on the software device, against plain C on the CPU.
 * What is rounded product by product has the CPU's bytes. Norms: |error| <= 4e-6 * (1 + size of what is scaled), their sums of up to 5000
 * elements being in another order. Activations: 3e-7 * (1 + |result|). */
#include "tests/gpu/gpu_case.h"

/* Both sides' copies of an array. */
typedef struct pair {
    float *cpu, *gpu;
    size_t n;
} pair;

static pair put(gpu_case *c, float *host, size_t n)
{
    return (pair){host, gpu_put_floats(c, host, n), n};
}

static pair put_random(gpu_case *c, size_t n, uint64_t seed, float scale)
{
    return put(c, random_floats(n, seed, scale), n);
}

static pair put_hostile(gpu_case *c, size_t n, uint64_t seed)
{
    return put(c, hostile_floats(n, seed), n);
}

static void drop(pair p)
{
    guarded_free(p.cpu, p.n);
}

static void check_bytes(gpu_case *c, pair y)
{
    float *found = guarded_alloc(y.n);
    gpu_get(c, found, y.gpu);
    for (size_t i = 0; i < y.n; i++)
        if (memcmp(found + i, y.cpu + i, sizeof *found) && !(isnan(found[i]) && isnan(y.cpu[i])))
            fail_msg("element %zu of %zu: %.9g, the CPU has %.9g", i, y.n, (double)found[i], (double)y.cpu[i]);
    guarded_free(found, y.n);
}

static void check_near(gpu_case *c, pair y, const float *size, double bound, const char *what)
{
    float *found = guarded_alloc(y.n);
    gpu_get(c, found, y.gpu);
    for (size_t i = 0; i < y.n; i++)
        if (memcmp(found + i, y.cpu + i, sizeof *found))
            assert_near(found[i], (double)y.cpu[i], bound * (1 + fabs((double)(size ? size[i] : y.cpu[i]))), what, i);
    guarded_free(found, y.n);
}

static void finish(gpu_case *c)
{
    assert_same_counts(c);
    gpu_give_back(c);
}

static const int widths[] = {1, 3, 64, 127, 128, 300, 5000};
#define WIDTHS (sizeof widths / sizeof *widths)

static void norms_are_the_cpus(void **state)
{
    gpu_case *c = *state;
    for (size_t w = 0; w < WIDTHS; w++)
        for (int M = 1; M < 8; M += 3)
            for (int weighted = 0; weighted < 2; weighted++) {
                int D = widths[w];
                size_t n = (size_t)(M * D), d = (size_t)D;
                pair x = put_random(c, n, 3, 2.0f), y = put_random(c, n, 4, 1.0f), z = put_random(c, n, 5, 1.0f),
                     weight = put_random(c, d, 6, 2.0f), bias = put_random(c, d, 7, 1.0f);
                c->cpu.op.rmsnorm(&c->cpu.op, y.cpu, x.cpu, weighted ? weight.cpu : NULL, M, D, 1e-5f);
                c->gpu.op.rmsnorm(&c->gpu.op, y.gpu, x.gpu, weighted ? weight.gpu : NULL, M, D, 1e-5f);
                check_near(c, y, NULL, 4e-6, "rmsnorm");
                c->cpu.op.layernorm(&c->cpu.op, z.cpu, x.cpu, weighted ? weight.cpu : NULL, weighted ? bias.cpu : NULL, M, D, 1e-2f);
                c->gpu.op.layernorm(&c->gpu.op, z.gpu, x.gpu, weighted ? weight.gpu : NULL, weighted ? bias.gpu : NULL, M, D, 1e-2f);
                check_near(c, z, NULL, D == 1 ? 1e-4 : 2e-5, "layernorm"); /* of one element all is rounding, against eps */
                c->cpu.op.rmsnorm(&c->cpu.op, x.cpu, x.cpu, NULL, M, D, 1e-5f);
                c->gpu.op.rmsnorm(&c->gpu.op, x.gpu, x.gpu, NULL, M, D, 1e-5f);
                check_near(c, x, NULL, 4e-6, "rmsnorm in place");
                finish(c);
                drop(x);
                drop(y);
                drop(z);
                drop(weight);
                drop(bias);
            }
}

/* Vectors of each batch row, or the same for all. */
static void check_modulated(gpu_case *c, int B, int rows, int D, int64_t stride)
{
    size_t n = (size_t)(B * rows * D), v = (size_t)(stride * (B - 1) + D);
    pair x = put_random(c, n, 3, 2.0f), y = put_random(c, n, 4, 1.0f), shift = put_random(c, v, 5, 1.0f), scale = put_random(c, v, 6, 1.0f),
         weight = put_random(c, (size_t)D, 7, 1.0f);
    c->cpu.op.modulate(&c->cpu.op, y.cpu, x.cpu, shift.cpu, scale.cpu, B, rows, D, stride);
    c->gpu.op.modulate(&c->gpu.op, y.gpu, x.gpu, shift.gpu, scale.gpu, B, rows, D, stride);
    check_bytes(c, y);
    c->cpu.op.gate_add(&c->cpu.op, y.cpu, x.cpu, scale.cpu, B, rows, D, stride);
    c->gpu.op.gate_add(&c->gpu.op, y.gpu, x.gpu, scale.gpu, B, rows, D, stride);
    check_bytes(c, y);
    for (int weighted = 0; weighted < 2; weighted++) {
        c->cpu.op.rmsnorm_modulate(&c->cpu.op, y.cpu, x.cpu, weighted ? weight.cpu : NULL, shift.cpu, scale.cpu, B, rows, D, stride, 1e-6f);
        c->gpu.op.rmsnorm_modulate(&c->gpu.op, y.gpu, x.gpu, weighted ? weight.gpu : NULL, shift.gpu, scale.gpu, B, rows, D, stride, 1e-6f);
        check_near(c, y, NULL, 8e-6, "rmsnorm_modulate");
    }
    finish(c);
    drop(x);
    drop(y);
    drop(shift);
    drop(scale);
    drop(weight);
}

static void rows_are_modulated_by_the_vectors_of_their_batch_row(void **state)
{
    for (size_t w = 0; w < WIDTHS; w++) {
        check_modulated(*state, 3, 2, widths[w], widths[w] + 5);
        check_modulated(*state, 2, 3, widths[w], 0);
        check_modulated(*state, 1, 1, widths[w], widths[w]);
    }
}

/* A fused norm has the bytes of the norm and the modulation one after the other. */
static void a_fused_norm_has_the_bytes_of_its_parts(void **state)
{
    gpu_case *c = *state;
    enum {
        D = 300,
        M = 5
    };
    pair x = put_random(c, D * M, 3, 2.0f), a = put_random(c, D * M, 4, 1.0f), b = put_random(c, D * M, 4, 1.0f),
         v = put_random(c, D, 5, 1.0f), w = put_random(c, D, 6, 1.0f);
    float *fused = guarded_alloc(D * M), *apart = guarded_alloc(D * M);
    c->gpu.op.rmsnorm_modulate(&c->gpu.op, a.gpu, x.gpu, w.gpu, v.gpu, v.gpu, 1, M, D, 0, 1e-6f);
    c->gpu.op.rmsnorm(&c->gpu.op, b.gpu, x.gpu, w.gpu, M, D, 1e-6f);
    c->gpu.op.modulate(&c->gpu.op, b.gpu, b.gpu, v.gpu, v.gpu, 1, M, D, 0);
    gpu_get(c, fused, a.gpu);
    gpu_get(c, apart, b.gpu);
    assert_same_bytes(fused, apart, D * M);
    c->gpu.count = c->cpu.count = (hm_counters){0};
    finish(c);
    guarded_free(fused, D * M);
    guarded_free(apart, D * M);
    drop(x);
    drop(a);
    drop(b);
    drop(v);
    drop(w);
}

static void elements_have_the_bytes_of_the_cpu(void **state)
{
    static const size_t lengths[] = {1, 63, 256, 257, 5000};
    gpu_case *c = *state;
    const hm_ops *cpu = &c->cpu.op, *gpu = &c->gpu.op;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        size_t n = lengths[l];
        pair x = put_hostile(c, n, 3), u = put_hostile(c, n, 4), y = put_hostile(c, n, 5);
        cpu->add(cpu, y.cpu, x.cpu, n);
        gpu->add(gpu, y.gpu, x.gpu, n);
        check_bytes(c, y);
        cpu->axpy(cpu, y.cpu, 0.3f, u.cpu, n);
        gpu->axpy(gpu, y.gpu, 0.3f, u.gpu, n);
        check_bytes(c, y);
        cpu->scale(cpu, y.cpu, -0.7f, n);
        gpu->scale(gpu, y.gpu, -0.7f, n);
        check_bytes(c, y);
        cpu->clamp(cpu, y.cpu, -0.25f, 0.5f, n);
        gpu->clamp(gpu, y.gpu, -0.25f, 0.5f, n);
        check_bytes(c, y);
        cpu->guide(cpu, y.cpu, x.cpu, u.cpu, 1.5f, n);
        gpu->guide(gpu, y.gpu, x.gpu, u.gpu, 1.5f, n);
        check_bytes(c, y);
        cpu->guide(cpu, x.cpu, x.cpu, u.cpu, 2.5f, n);
        gpu->guide(gpu, x.gpu, x.gpu, u.gpu, 2.5f, n);
        check_bytes(c, x);
        cpu->round9(cpu, y.cpu, u.cpu, n);
        gpu->round9(gpu, y.gpu, u.gpu, n);
        check_bytes(c, y);
        finish(c);
        drop(x);
        drop(u);
        drop(y);
    }
}

static void halves_are_rounded_to_even(void **state)
{
    gpu_case *c = *state;
    enum {
        n = 64
    };
    float *x = guarded_alloc(n);
    for (int i = 0; i < n; i++)
        x[i] = ((float)i - 32 + 0.5f) / 9.0f;
    pair y = put(c, x, n);
    c->cpu.op.round9(&c->cpu.op, y.cpu, y.cpu, n);
    c->gpu.op.round9(&c->gpu.op, y.gpu, y.gpu, n);
    check_bytes(c, y);
    finish(c);
    drop(y);
}

static void values_that_are_no_numbers_stay_what_they_are(void **state)
{
    gpu_case *c = *state;
    enum {
        n = 5
    };
    float *x = guarded_alloc(n);
    memcpy(x, (float[n]){NAN, INFINITY, -INFINITY, 0.0f, -0.0f}, n * sizeof *x);
    pair y = put(c, x, n);
    c->cpu.op.clamp(&c->cpu.op, y.cpu, -1, 1, n);
    c->gpu.op.clamp(&c->gpu.op, y.gpu, -1, 1, n);
    check_bytes(c, y);
    finish(c);
    drop(y);
}

static void activations_are_the_cpus(void **state)
{
    gpu_case *c = *state;
    enum {
        n = 3000
    };
    for (int act = HM_ACT_NONE; act < HM_ACT_SNAKE; act++)
        for (int hostile = 0; hostile < 2; hostile++) {
            pair y = hostile ? put_hostile(c, n, 3) : put_random(c, n, 3, 12.0f);
            for (int i = 0; hostile && i < n; i++) /* infinite exponentials are the CPU's own */
                y.cpu[i] = fmaxf(-80, fminf(y.cpu[i], 80));
            c->gpu.op.upload(&c->gpu.op, y.gpu, y.cpu, n * sizeof *y.cpu);
            c->cpu.op.activate(&c->cpu.op, y.cpu, (hm_act)act, 0.25f, n);
            c->gpu.op.activate(&c->gpu.op, y.gpu, (hm_act)act, 0.25f, n);
            check_near(c, y, NULL, 3e-7, "activate");
            drop(y);
            gpu_give_back(c);
        }
    pair y = put_random(c, n, 3, 9.0f), gate = put_random(c, n, 4, 9.0f), up = put_random(c, n, 5, 2.0f);
    c->cpu.op.silu_mul(&c->cpu.op, y.cpu, gate.cpu, up.cpu, n);
    c->gpu.op.silu_mul(&c->gpu.op, y.gpu, gate.gpu, up.gpu, n);
    check_near(c, y, NULL, 6e-7, "silu_mul");
    c->cpu.op.silu_mul(&c->cpu.op, gate.cpu, gate.cpu, up.cpu, n);
    c->gpu.op.silu_mul(&c->gpu.op, gate.gpu, gate.gpu, up.gpu, n);
    check_near(c, gate, NULL, 6e-7, "silu_mul in place");
    finish(c);
    drop(y);
    drop(gate);
    drop(up);
}

/* Embeddings of every type; ids begin at an odd place of their array. */
static void check_gathered(gpu_case *c, hm_dtype type, int D, int M, int K)
{
    enum {
        rows = 19,
        most = 11
    };
    size_t n = (size_t)(rows * D), size = hm_dtype_bytes(type), ids_n = (size_t)(M * K) + 3;
    float *values = random_floats(n, 3, 1.0f);
    void *table[most];
    const void *cpu_tables[most], *gpu_tables[most];
    for (int t = 0; t < K; t++) {
        table[t] = malloc(n * size);
        for (size_t i = 0; i < n; i++) {
            float v = values[(i + (size_t)t * 7) % n];
            uint16_t half = type == HM_BF16 ? hm_f32_to_bf16(v) : hm_f32_to_f16(v);
            memcpy((char *)table[t] + i * size, type == HM_F32 ? (void *)&v : (void *)&half, size);
        }
        cpu_tables[t] = table[t];
        gpu_tables[t] = gpu_put(c, table[t], n * size);
    }
    int32_t *ids = malloc(ids_n * sizeof *ids);
    uint64_t seed = 9;
    for (size_t i = 0; i < ids_n; i++)
        ids[i] = (int32_t)(next_random(&seed) % rows);
    const int32_t *gpu_ids = gpu_put(c, ids, ids_n * sizeof *ids);
    pair y = put_random(c, (size_t)(M * D), 4, 1.0f);
    c->cpu.op.gather(&c->cpu.op, y.cpu, table[0], type, D, ids + 1, M);
    c->gpu.op.gather(&c->gpu.op, y.gpu, gpu_tables[0], type, D, gpu_ids + 1, M);
    check_bytes(c, y);
    c->cpu.op.gather_sum(&c->cpu.op, y.cpu, table[0], type, D, ids + 3, M, K);
    c->gpu.op.gather_sum(&c->gpu.op, y.gpu, gpu_tables[0], type, D, gpu_ids + 3, M, K);
    check_bytes(c, y);
    c->cpu.op.gather_tables(&c->cpu.op, y.cpu, cpu_tables, type, D, ids, M, K);
    c->gpu.op.gather_tables(&c->gpu.op, y.gpu, gpu_tables, type, D, gpu_ids, M, K);
    check_bytes(c, y);
    finish(c);
    for (int t = 0; t < K; t++)
        free(table[t]);
    free(ids);
    guarded_free(values, n);
    drop(y);
}

static void embeddings_have_the_bytes_of_the_cpu(void **state)
{
    static const hm_dtype types[] = {HM_F32, HM_BF16, HM_F16};
    for (int t = 0; t < 3; t++) {
        check_gathered(*state, types[t], 1, 1, 1);
        check_gathered(*state, types[t], 33, 7, 4);
        check_gathered(*state, types[t], 300, 2, 8);
        check_gathered(*state, types[t], 64, 3, 11); /* more tables than a launch takes */
    }
}

/* Denormals, the least and greatest numbers, infinities and the kinds of NaN of stored halves. */
static void every_stored_half_is_widened_as_on_the_cpu(void **state)
{
    gpu_case *c = *state;
    enum {
        n = 65536
    };
    uint16_t *table = malloc(n * sizeof *table);
    for (int i = 0; i < n; i++)
        table[i] = (uint16_t)i;
    int32_t id = 0;
    const void *there = gpu_put(c, table, n * sizeof *table);
    const int32_t *gpu_id = gpu_put(c, &id, sizeof id);
    pair y = put_random(c, n, 1, 1);
    for (int t = 0; t < 2; t++) {
        c->cpu.op.gather(&c->cpu.op, y.cpu, table, t ? HM_F16 : HM_BF16, n, &id, 1);
        c->gpu.op.gather(&c->gpu.op, y.gpu, there, t ? HM_F16 : HM_BF16, n, gpu_id, 1);
        check_bytes(c, y);
    }
    finish(c);
    drop(y);
    free(table);
}

static void masked_sums_have_the_bytes_of_the_cpu(void **state)
{
    gpu_case *c = *state;
    for (int D = 1; D < 400; D += 133) {
        enum {
            M = 5,
            C = 9
        };
        pair x = put_hostile(c, (size_t)(M * C * D), 3), mask = put_random(c, M * C, 4, 1.0f), y = put_random(c, (size_t)(M * D), 5, 1.0f);
        c->cpu.op.masked_sum(&c->cpu.op, y.cpu, x.cpu, mask.cpu, M, C, D);
        c->gpu.op.masked_sum(&c->gpu.op, y.gpu, x.gpu, mask.gpu, M, C, D);
        check_bytes(c, y);
        finish(c);
        drop(x);
        drop(mask);
        drop(y);
    }
}

static void codes_are_joined_compared_and_picked(void **state)
{
    gpu_case *c = *state;
    const hm_ops *cpu = &c->cpu.op, *gpu = &c->gpu.op;
    enum {
        n = 70,
        flags = 8
    };
    int32_t tokens[n], offsets[n], ids[n] = {0}, found[n], flag[flags] = {7, 7, 7, 7, 7, 7, 7, 7}, raised[flags];
    for (int i = 0; i < n; i++) {
        tokens[i] = i * 37 % 101;
        offsets[i] = i * 1000;
    }
    int32_t *gtokens = gpu_put(c, tokens, sizeof tokens), *goffsets = gpu_put(c, offsets, sizeof offsets),
            *gids = gpu_put(c, ids, sizeof ids), *gflag = gpu_put(c, flag, sizeof flag);
    cpu->ids_add(cpu, ids + 2, tokens + 1, offsets + 3, n - 5);
    gpu->ids_add(gpu, gids + 2, gtokens + 1, goffsets + 3, n - 5);
    gpu_get(c, found, gids);
    assert_memory_equal(found, ids, sizeof ids);
    for (int i = 0; i < flags; i++) { /* nothing, one, all; few tokens and more than a group has items */
        int count = i % 2 ? n : 1 + i;
        int32_t limit = i < 3 ? 1000 : i < 6 ? 100 : 0;
        cpu->any_at_least(cpu, flag + i, tokens, count, limit);
        gpu->any_at_least(gpu, gflag + i, gtokens, count, limit);
    }
    gpu_get(c, raised, gflag);
    assert_memory_equal(raised, flag, sizeof flag);
    pair x = put_random(c, 200, 3, 1.0f), y = put_random(c, n, 4, 1.0f);
    for (int i = 0; i < n; i += 23) {
        cpu->pick(cpu, y.cpu + i, x.cpu + 3, tokens + i);
        gpu->pick(gpu, y.gpu + i, x.gpu + 3, gtokens + i);
    }
    check_bytes(c, y);
    finish(c);
    drop(x);
    drop(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_are_the_cpus),
        cmocka_unit_test(rows_are_modulated_by_the_vectors_of_their_batch_row),
        cmocka_unit_test(a_fused_norm_has_the_bytes_of_its_parts),
        cmocka_unit_test(elements_have_the_bytes_of_the_cpu),
        cmocka_unit_test(halves_are_rounded_to_even),
        cmocka_unit_test(values_that_are_no_numbers_stay_what_they_are),
        cmocka_unit_test(activations_are_the_cpus),
        cmocka_unit_test(embeddings_have_the_bytes_of_the_cpu),
        cmocka_unit_test(every_stored_half_is_widened_as_on_the_cpu),
        cmocka_unit_test(masked_sums_have_the_bytes_of_the_cpu),
        cmocka_unit_test(codes_are_joined_compared_and_picked),
    };
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
