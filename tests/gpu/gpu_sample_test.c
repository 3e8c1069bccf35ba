/* Draws on a GPU are the CPU's: the token of hm_sample_reference of the same logits, whatever they are, without exception. */
#include "tests/gpu/gpu_case.h"

#define WAITING 512 /* draws that are asked for before any is fetched */

/* Draws asked for, and what the textbook says of them. */
typedef struct draws {
    gpu_case *c;
    int32_t *tokens, expected[WAITING]; /* tokens: device */
    hm_sample_args asked[WAITING];
    int count;
    long all;
} draws;

static void draws_open(draws *d, gpu_case *c)
{
    memset(d, 0, sizeof *d);
    d->c = c;
    d->tokens = c->gpu.op.alloc(&c->gpu.op, sizeof(int32_t[WAITING]));
    assert_non_null(d->tokens);
}

static void draws_check(draws *d)
{
    int32_t found[WAITING];
    d->c->gpu.op.download(&d->c->gpu.op, found, d->tokens, sizeof found);
    assert_int_equal(d->c->gpu.error.status, HM_OK);
    for (int i = 0; i < d->count; i++) {
        const hm_sample_args *a = &d->asked[i];
        if (found[i] != d->expected[i])
            fail_msg("V %d, topk %d, top_p %g, temperature %g, greedy %d, seed %u, frame %u, live %d: the device draws %d, the textbook %d",
                     a->V, a->topk, (double)a->top_p, (double)a->temperature, a->greedy, (unsigned)a->seed, a->frame, a->live, found[i],
                     d->expected[i]);
    }
    d->all += d->count;
    d->count = 0;
}

/* The draw, and what was put on the device for it, is looked at and given back. */
static void draws_finish(draws *d)
{
    draws_check(d);
    gpu_give_back(d->c);
}

static void draws_close(draws *d)
{
    draws_finish(d);
    d->c->gpu.op.free(&d->c->gpu.op, d->tokens);
}

/* a has the host's logits and seen; beside them those of the device. */
static void ask(draws *d, const hm_sample_args *a, const float *logits, const uint32_t *seen)
{
    hm_sample_input in = {.logits = a->logits,
                          .V = a->V,
                          .topk = a->topk,
                          .temperature = a->temperature,
                          .top_p = a->top_p,
                          .greedy = a->greedy,
                          .seen = a->seen,
                          .penalty = a->penalty,
                          .live = a->live,
                          .spared = a->spared,
                          .forbidden = a->forbidden,
                          .seed = a->seed,
                          .frame = a->frame,
                          .codebook = a->codebook};
    float *scratch = malloc(hm_sample_scratch_floats(a->V) * sizeof *scratch);
    assert_non_null(scratch);
    d->expected[d->count] = hm_sample_reference(&in, NULL, scratch, NULL);
    free(scratch);
    hm_sample_args there = *a;
    there.logits = logits;
    there.seen = a->seen ? seen : NULL;
    there.token = d->tokens + d->count;
    d->asked[d->count] = *a;
    d->c->gpu.op.sample(&d->c->gpu.op, &there);
    if (++d->count == WAITING)
        draws_check(d);
}

static void ten_thousand_draws_of_many_settings_are_the_textbooks(void **state)
{
    static const int sizes[] = {8197, 3072, 2051, 1152, 300, 69, 5, 2, 1}, frames[] = {15, 30, 45, 60, 250, 300, 200, 100, 30};
    static const int tops[] = {50, 1, 2, 500, 0};
    static const float nuclei[] = {0, 0.9f}, temperatures[] = {1.0f, 0.7f};
    draws d;
    draws_open(&d, *state);
    for (int s = 0; s < 9; s++)
        for (int k = 0; k < 5; k++)
            for (int p = 0; p < 2; p++) {
                int V = sizes[s];
                float *x = random_floats((size_t)V, (uint64_t)(s * 31 + k), 6.0f), *there = gpu_put_floats(*state, x, (size_t)V);
                for (int f = 0; f < frames[s]; f++)
                    ask(&d,
                        &(hm_sample_args){.logits = x,
                                          .V = V,
                                          .topk = tops[k],
                                          .top_p = nuclei[p],
                                          .temperature = temperatures[f % 2],
                                          .seed = 0x1234567890abcdefull * (uint64_t)(k + 1),
                                          .frame = (uint32_t)f,
                                          .codebook = (uint32_t)f % 8},
                        there, NULL);
                draws_finish(&d);
                guarded_free(x, (size_t)V);
            }
    assert_true(d.all >= 10000);
    draws_close(&d);
}

/* Ties, hardly anything allowed, exponentials that vanish, quotients that overflow, vanish or are equal for unequal logits, no numbers. */
static void hostile(float *x, int V, int kind)
{
    for (int j = 0; j < V; j++)
        switch (kind) {
        case 0:
            x[j] = rintf(x[j]);
            break;
        case 1:
            x[j] = j % 17 ? -INFINITY : x[j];
            break;
        case 2:
            x[j] *= j % 2 ? 1e30f : 1e-40f;
            break;
        case 3:
            x[j] *= 1e37f;
            break;
        case 4:
            x[j] *= 1e-38f;
            break;
        case 5:
            x[j] = 5.0f + (float)(j * 7 % V) * 0x1p-21f;
            break;
        case 6:
            x[j] = j == V / 2 ? -3.0f : -INFINITY;
            break;
        case 7:
            x[j] = 1.0f;
            break;
        case 8:
            x[j] = j % 3 ? -0.0f : 0.0f;
            break;
        case 9: /* nothing at all */
            x[j] = -INFINITY;
            break;
        case 10:
            x[j] = j % 50 == 3 ? INFINITY : x[j];
            break;
        }
}
#define HOSTILE 11

static void hostile_logits_draw_the_textbooks_tokens(void **state)
{
    static const int sizes[] = {1, 2, 37, 300, 2051}, tops[] = {0, 1, 3, 50};
    static const float nuclei[] = {0, 0.5f, 0.01f, 0.999f};
    draws d;
    draws_open(&d, *state);
    for (int kind = 0; kind < HOSTILE; kind++)
        for (int s = 0; s < 5; s++) {
            int V = sizes[s];
            float *x = random_floats((size_t)V, (uint64_t)(kind * 7 + s), 8.0f);
            hostile(x, V, kind);
            float *there = gpu_put_floats(*state, x, (size_t)V);
            for (int k = 0; k < 4; k++)
                for (int p = 0; p < 4; p++)
                    ask(&d,
                        &(hm_sample_args){.logits = x,
                                          .V = V,
                                          .topk = tops[k],
                                          .top_p = nuclei[p],
                                          .temperature = kind == 3   ? 1e-3f
                                                         : kind == 4 ? 1e3f
                                                                     : 0.9f,
                                          .seed = (uint64_t)(kind + 100 * s),
                                          .frame = (uint32_t)p,
                                          .codebook = (uint32_t)k},
                        there, NULL);
            draws_finish(&d);
            guarded_free(x, (size_t)V);
        }
    draws_close(&d);
}

/* What is no number is out of the draw, as in the CPU's kernels (to sort it, as the textbook does, has no one answer). */
static void what_is_no_number_is_never_drawn(void **state)
{
    enum {
        V = 500
    };
    gpu_case *c = *state;
    float *x = random_floats(V, 3, 5.0f), *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch);
    for (int j = 0; j < V; j++)
        x[j] = j % 3 == 1 ? x[j] : j % 2 ? NAN : -NAN;
    float *there = gpu_put_floats(c, x, V);
    int32_t drawn = -1, *token = gpu_put(c, &drawn, sizeof drawn);
    for (int i = 0; i < 60; i++) {
        hm_sample_input in = {.logits = x, .V = V, .topk = i % 3 * 40, .temperature = 1.1f, .seed = (uint64_t)i, .greedy = i % 7 == 0};
        in.top_p = i % 2 ? 0.8f : 0;
        int32_t expected = hm_cpu_draw(c->cpu.dev, &in, scratch, NULL);
        c->gpu.op.sample(&c->gpu.op, &(hm_sample_args){.logits = there,
                                                       .V = V,
                                                       .topk = in.topk,
                                                       .temperature = in.temperature,
                                                       .top_p = in.top_p,
                                                       .seed = in.seed,
                                                       .greedy = in.greedy,
                                                       .token = token});
        gpu_get(c, &drawn, token);
        assert_int_equal(drawn, expected);
        assert_int_equal(drawn % 3, 1);
    }
    gpu_give_back(c);
    guarded_free(x, V);
    free(scratch);
}

/* Bits of a third of V indices, set on the device one by one and looked at. */
static uint32_t *marked(gpu_case *c, int V, uint64_t random, uint32_t **there)
{
    size_t words = (size_t)V / 32 + 1, bytes = words * sizeof(uint32_t);
    uint32_t *seen = calloc(words, sizeof *seen), *found = calloc(words, sizeof *found);
    int32_t *ids = calloc((size_t)V, sizeof *ids), *ids_there;
    for (int i = 0; i < V; i++)
        ids[i] = (int32_t)(next_random(&random) % (uint32_t)V);
    *there = gpu_put(c, found, bytes);
    ids_there = gpu_put(c, ids, (size_t)V * sizeof *ids);
    for (int i = 0; i < V / 3; i++) {
        c->cpu.op.mark_seen(&c->cpu.op, seen, ids + i);
        c->gpu.op.mark_seen(&c->gpu.op, *there, ids_there + i);
    }
    gpu_get(c, found, *there);
    assert_memory_equal(found, seen, bytes);
    free(found);
    free(ids);
    return seen;
}

static void every_rule_draws_the_textbooks_token(void **state)
{
    static const int sizes[] = {1, 2, 37, 600, 3072}, tops[] = {0, 1, 50};
    static const float nuclei[] = {0.0f, 1.0f, 0.95f, 0.01f};
    draws d;
    draws_open(&d, *state);
    for (int s = 0; s < 5; s++)
        for (int rules = 0; rules < 16; rules++) {
            int V = sizes[s];
            float *x = random_floats((size_t)V, (uint64_t)(rules * 7 + s), 6.0f), *there;
            for (int j = 0; rules % 3 == 0 && j < V; j++) /* ties by the dozen */
                x[j] = rintf(x[j]);
            uint32_t *seen_there, *seen = marked(*state, V, (uint64_t)rules, &seen_there);
            there = gpu_put_floats(*state, x, (size_t)V);
            for (int k = 0; k < 3; k++)
                for (int p = 0; p < 4; p++)
                    ask(&d,
                        &(hm_sample_args){.logits = x,
                                          .V = V,
                                          .topk = tops[k],
                                          .temperature = 0.8f,
                                          .top_p = nuclei[p],
                                          .greedy = rules & 8,
                                          .seen = rules & 1 ? seen : NULL,
                                          .penalty = 1.3f,
                                          .live = rules & 2 ? (V + 1) / 2 : 0,
                                          .spared = V - 1,
                                          .forbidden = rules & 4 ? rules * 5 % V : -1,
                                          .seed = (uint64_t)(rules + 40 * k),
                                          .codebook = 5},
                        there, seen_there);
            draws_finish(&d);
            free(seen);
            guarded_free(x, (size_t)V);
        }
    draws_close(&d);
}

static void listed_ids_are_penalised_once_however_often_they_occur(void **state)
{
    enum {
        V = 300,
        N = 90
    };
    gpu_case *c = *state;
    int32_t ids[N];
    float *x = random_floats(V, 1, 5.0f), *expected = guarded_alloc(V), found[V];
    uint64_t random = 2;
    for (int i = 0; i < N; i++)
        ids[i] = i < 3 ? i * 149 : (int32_t)(next_random(&random) % 40);
    memcpy(expected, x, V * sizeof *x);
    float *x_there = gpu_put_floats(c, x, V), *y_there = gpu_put_floats(c, x, V);
    int32_t *ids_there = gpu_put(c, ids, sizeof ids);
    c->cpu.op.penalize_ids(&c->cpu.op, expected, x, ids, N, 1.05f);
    c->gpu.op.penalize_ids(&c->gpu.op, y_there, x_there, ids_there, N, 1.05f);
    c->gpu.op.penalize_ids(&c->gpu.op, y_there, x_there, ids_there, 0, 1.05f); /* none: nothing to do */
    gpu_get(c, found, y_there);
    assert_same_bytes(found, expected, V);
    gpu_give_back(c);
    guarded_free(x, V);
    guarded_free(expected, V);
}

/* Of logits without ties; what survives ties the device alone knows. */
static void a_draw_counts_what_the_cpus_counts(void **state)
{
    enum {
        V = 200
    };
    gpu_case *c = *state;
    float *x = random_floats(V, 1, 5.0f), *there = gpu_put_floats(c, x, V);
    int32_t drawn = 0, *token = gpu_put(c, &drawn, sizeof drawn);
    c->gpu.count = c->cpu.count = (hm_counters){0};
    for (int i = 0; i < 64; i++) {
        hm_sample_args a = {.logits = x, .V = V, .topk = i % 4 * 30, .temperature = 1, .greedy = i % 16 == 3, .token = &drawn};
        a.live = i / 4 % 3 * 100;
        a.spared = i / 12 % 2 ? V - 1 : 0;
        a.forbidden = i / 24 % 2 ? V - 1 : i % 5 ? -1 : 7;
        c->cpu.op.sample(&c->cpu.op, &a);
        a.logits = there;
        a.token = token;
        c->gpu.op.sample(&c->gpu.op, &a);
        assert_same_counts(c);
        assert_int_equal(c->gpu.count.launches, i + 1);
    }
    gpu_give_back(c);
    guarded_free(x, V);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_draws_of_many_settings_are_the_textbooks),
        cmocka_unit_test(hostile_logits_draw_the_textbooks_tokens),
        cmocka_unit_test(what_is_no_number_is_never_drawn),
        cmocka_unit_test(every_rule_draws_the_textbooks_token),
        cmocka_unit_test(listed_ids_are_penalised_once_however_often_they_occur),
        cmocka_unit_test(a_draw_counts_what_the_cpus_counts),
    };
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
