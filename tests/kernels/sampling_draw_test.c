/* The draw of every instruction set gives the token of the textbook's passes, on random and hostile logits; so does the operation. */
#include "tests/kernels/kernel_check.h"

static void for_each_isa_once(void (*check)(rig *r))
{
    for (hm_isa isa = HM_ISA_SCALAR; isa < HM_ISA_COUNT; isa = hm_isa_next(isa)) {
        rig r;
        rig_open(&r, 1, isa);
        check(&r);
        rig_close(&r);
    }
}

static void check(rig *r, const float *logits, int V, int topk, float temperature, const float *q, uint64_t seed)
{
    float *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch);
    hm_sample_input in = {.logits = logits, .V = V, .topk = topk, .temperature = temperature, .q = q, .seed = seed};
    in.frame = (uint32_t)seed * 3;
    in.codebook = (uint32_t)seed % 8;
    uint64_t plain = 0, fused = 0;
    int32_t token = hm_sample_reference(&in, NULL, scratch, &plain), found = hm_cpu_draw(r->dev, &in, scratch, &fused);
    if (token != found)
        fail_msg("V %d, topk %d, seed %u: passes draw %d, the kernel %d", V, topk, (unsigned)seed, token, found);
    assert_in_range(token, 0, V - 1);
    assert_true(plain >= 10 * (uint64_t)V && fused <= 2 * (uint64_t)V);
    if (!q) {
        int32_t drawn = -1;
        hm_sample_args a = {.logits = logits, .V = V, .topk = topk, .temperature = temperature, .seed = seed, .token = &drawn};
        a.frame = in.frame;
        a.codebook = in.codebook;
        r->op.sample(&r->op, &a);
        assert_int_equal(drawn, token);
    }
    free(scratch);
}

static void check_sizes(rig *r)
{
    static const int sizes[] = {1, 2, 5, 69, 1000, 8197}, tops[] = {1, 2, 50, 500, 9000};
    for (int s = 0; s < 6; s++)
        for (int k = 0; k < 5; k++)
            for (uint64_t seed = 0; seed < 18; seed++) {
                int V = sizes[s];
                float *x = random_floats((size_t)V, seed, seed % 3 == 0 ? 1.0f : 8.0f);
                if (seed % 4 == 1) /* ties by the dozen */
                    for (int j = 0; j < V; j++)
                        x[j] = rintf(x[j]);
                if (seed % 4 == 2) /* hardly anything allowed */
                    for (int j = 0; j < V; j++)
                        x[j] = j % 17 ? -INFINITY : x[j];
                if (seed % 4 == 3) /* far apart: exponentials vanish */
                    for (int j = 0; j < V; j++)
                        x[j] *= j % 2 ? 1e30f : 1e-40f;
                for (int j = 0; seed >= 12 && j < V; j++) /* quotients that overflow, vanish, or are equal for unequal logits */
                    x[j] = seed % 3 == 0 ? x[j] * 1e37f : seed % 3 == 1 ? x[j] * 1e-38f : 5.0f + (float)(j * 7 % V) * 0x1p-21f;
                float temperature = seed >= 12 && seed % 3 < 2 ? (seed % 3 ? 1e3f : 1e-3f) : seed % 2 ? 0.7f : 1.0f;
                check(r, x, V, tops[k], temperature, NULL, seed);
                guarded_free(x, (size_t)V);
            }
}

static void the_kernel_and_the_textbook_draw_the_same_token(void **state)
{
    (void)state;
    for_each_isa_once(check_sizes);
}

/* Every combination of penalty, dead indices, nucleus and greedy choice, the operation included. */
static void check_rules(rig *r, const float *logits, int V, int topk, float top_p, int rules, uint64_t seed)
{
    float *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch), *probs = guarded_alloc((size_t)V);
    uint32_t *seen = calloc((size_t)V / 32 + 1, sizeof *seen);
    uint64_t state = seed, plain = 0;
    for (int i = 0; i < V / 3; i++) {
        int32_t token = (int32_t)(next_random(&state) % (uint32_t)V);
        r->op.mark_seen(&r->op, seen, &token);
    }
    hm_sample_input in = {.logits = logits, .V = V, .topk = topk, .temperature = 0.8f, .top_p = top_p, .seed = seed, .codebook = 5};
    in.seen = rules & 1 ? seen : NULL;
    in.penalty = 1.3f;
    in.live = rules & 2 ? (V + 1) / 2 : 0;
    in.spared = V - 1;
    in.forbidden = rules & 4 ? (int)(seed % (uint64_t)V) : -1;
    in.greedy = rules & 8;
    int32_t token = hm_sample_reference(&in, probs, scratch, &plain), found = hm_cpu_draw(r->dev, &in, scratch, NULL), drawn = -1;
    double sum = 0;
    for (int j = 0; j < V; j++) {
        sum += (double)probs[j];
        assert_true(V < 3 || probs[j] == 0 || !hm_sample_dead(&in, j)); /* of two, both may be dead */
    }
    if (V > 2)
        assert_near((float)sum, 1, 1e-5, "sum of probabilities", 0);
    hm_sample_args a = {.logits = logits, .V = V, .topk = topk, .temperature = 0.8f, .top_p = top_p, .greedy = in.greedy, .seen = in.seen};
    a.penalty = in.penalty;
    a.live = in.live;
    a.spared = in.spared;
    a.forbidden = in.forbidden;
    a.seed = seed;
    a.codebook = 5;
    a.token = &drawn;
    r->op.sample(&r->op, &a);
    if (token != found || token != drawn)
        fail_msg("V %d, topk %d, top_p %g, rules %d, seed %u: passes draw %d, the kernel %d, operation %d", V, topk, (double)top_p, rules,
                 (unsigned)seed, token, found, drawn);
    assert_true(V < 3 || probs[token] > 0);
    free(scratch);
    free(seen);
    guarded_free(probs, (size_t)V);
}

static void check_all_rules(rig *r)
{
    static const int sizes[] = {1, 2, 37, 1152, 3072}, tops[] = {0, 1, 50};
    static const float nuclei[] = {0.0f, 1.0f, 0.95f, 0.5f, 0.01f};
    for (int s = 0; s < 5; s++)
        for (int k = 0; k < 3; k++)
            for (int p = 0; p < 5; p++)
                for (int rules = 0; rules < 16; rules++)
                    for (uint64_t seed = 0; seed < 2; seed++) {
                        int V = sizes[s];
                        float *x = random_floats((size_t)V, seed + (uint64_t)(rules * 7), 6.0f);
                        for (int j = 0; seed && j < V; j++) /* ties by the dozen */
                            x[j] = rintf(x[j]);
                        check_rules(r, x, V, tops[k], nuclei[p], rules, seed + 3 * (uint64_t)rules);
                        guarded_free(x, (size_t)V);
                    }
}

static void every_rule_draws_the_same_token_either_way(void **state)
{
    (void)state;
    for_each_isa_once(check_all_rules);
}

/* With the best instruction set here. */
static int32_t drawn(const hm_sample_input *in, float *scratch)
{
    rig r;
    rig_open(&r, 1, hm_isa_detect());
    int32_t token = hm_cpu_draw(r.dev, in, scratch, NULL);
    rig_close(&r);
    return token;
}

/* Probabilities by hand: logits are logarithms of them. */
static void each_rule_leaves_the_probabilities_it_should(void **state)
{
    const float x[6] = {logf(0.1f), logf(0.3f), logf(0.1f), logf(0.2f), logf(0.1f), logf(0.2f)};
    float scratch[4 * 10], probs[6];
    (void)state;
    hm_sample_input in = {.logits = x, .V = 6, .temperature = 1.0f, .top_p = 0.75f}; /* 0.1, 0.1 go; the third would pass 0.25 */
    static const double nucleus[6] = {0, 0.375, 0, 0.25, 0.125, 0.25};
    hm_sample_reference(&in, probs, scratch, NULL);
    for (size_t j = 0; j < 6; j++)
        assert_near(probs[j], nucleus[j], 1e-6, "nucleus, the lower of equals first", j);
    in.top_p = 1e-6f;
    hm_sample_reference(&in, probs, scratch, NULL);
    assert_true(probs[1] == 1.0f && probs[3] == 0);
    in.top_p = 0;
    in.topk = 2; /* the edge is a tie */
    static const double top[6] = {0, 3.0 / 7, 0, 2.0 / 7, 0, 2.0 / 7};
    hm_sample_reference(&in, probs, scratch, NULL);
    for (size_t j = 0; j < 6; j++)
        assert_near(probs[j], top[j], 1e-6, "topk keeps ties", j);
    in.topk = 0;
    in.live = 3;
    in.spared = 5;
    in.forbidden = 1;
    static const double live[6] = {0.25, 0, 0.25, 0, 0, 0.5};
    hm_sample_reference(&in, probs, scratch, NULL);
    for (size_t j = 0; j < 6; j++)
        assert_near(probs[j], live[j], 1e-6, "live, spared, forbidden", j);
    in.live = 0;
    in.seen = (const uint32_t[]){1u << 1 | 1u << 3};
    in.penalty = 2.0f; /* negative logits double: p becomes p^2 */
    static const double weights[6] = {0.1, 0.09, 0.1, 0.04, 0.1, 0.2};
    hm_sample_reference(&in, probs, scratch, NULL);
    for (size_t j = 0; j < 6; j++)
        assert_near(probs[j], weights[j] / 0.63, 1e-6, "penalty", j);
    in.greedy = true;
    assert_int_equal(hm_sample_reference(&in, probs, scratch, NULL), 5);
    assert_true(probs[5] == 1.0f && probs[0] == 0);
    in.seen = NULL;
    assert_int_equal(drawn(&in, scratch), 1);
    assert_true(hm_sample_penalized(3.0f, 2.0f) == 1.5f && hm_sample_penalized(-3.0f, 2.0f) == -6.0f);
}

static void seen_tokens_are_penalised_once_however_often_they_occur(void **state)
{
    enum {
        V = 300,
        N = 90
    };
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    uint32_t *seen = calloc(10, sizeof *seen);
    int32_t ids[N];
    float *x = random_floats(V, 1, 5.0f), *y = guarded_alloc(V), *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch);
    uint64_t random = 2;
    memcpy(y, x, V * sizeof *y);
    for (int i = 0; i < N; i++) {
        ids[i] = i < 3 ? i * 149 : (int32_t)(next_random(&random) % 40);
        r.op.mark_seen(&r.op, seen, &ids[i]);
    }
    r.op.penalize_ids(&r.op, y, x, ids, N, 1.05f);
    for (int j = 0; j < V; j++) {
        bool listed = false;
        for (int i = 0; i < N; i++)
            listed = listed || ids[i] == j;
        assert_int_equal(seen[j / 32] >> j % 32 & 1, listed);
        assert_true(y[j] == (listed ? hm_sample_penalized(x[j], 1.05f) : x[j]));
    }
    for (uint64_t seed = 0; seed < 50; seed++) { /* the list and the bitmap lead to the same draws */
        hm_sample_input list = {.logits = y, .V = V, .topk = 50, .temperature = 0.9f, .seed = seed}, bits = list;
        bits.logits = x;
        bits.seen = seen;
        bits.penalty = 1.05f;
        assert_int_equal(drawn(&list, scratch), drawn(&bits, scratch));
    }
    guarded_free(x, V);
    guarded_free(y, V);
    free(seen);
    free(scratch);
    rig_close(&r);
}

static void equal_chances_go_to_the_lowest_index(void **state)
{
    enum {
        V = 40
    };
    float x[V], q[V], scratch[4 * (V + 4)];
    (void)state;
    for (int j = 0; j < V; j++) {
        x[j] = j % 10 == 7 ? 2.0f : 1.0f;
        q[j] = 0.5f;
    }
    hm_sample_input in = {.logits = x, .V = V, .topk = 3, .temperature = 1.0f, .q = q};
    assert_int_equal(hm_sample_reference(&in, NULL, scratch, NULL), 7);
    assert_int_equal(drawn(&in, scratch), 7);
}

/* With three logits of known probabilities, draws come as often as they should: 5 sigma of a binomial of 4000. */
static void draws_follow_the_probabilities(void **state)
{
    const float x[3] = {0.0f, 1.0f, -1.0f};
    float scratch[4 * 7];
    double e[3] = {1, exp(1), exp(-1)};
    int hits[3] = {0};
    (void)state;
    rig r;
    rig_open(&r, 1, hm_isa_detect());
    for (uint32_t frame = 0; frame < 4000; frame++) {
        hm_sample_input in = {.logits = x, .V = 3, .topk = 3, .temperature = 1.0f, .seed = 42, .frame = frame};
        hits[hm_cpu_draw(r.dev, &in, scratch, NULL)]++;
    }
    for (int j = 0; j < 3; j++) {
        double p = e[j] / (e[0] + e[1] + e[2]);
        assert_true(fabs(hits[j] / 4000.0 - p) < 5 * sqrt(p * (1 - p) / 4000));
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_and_the_textbook_draw_the_same_token),
        cmocka_unit_test(every_rule_draws_the_same_token_either_way),
        cmocka_unit_test(each_rule_leaves_the_probabilities_it_should),
        cmocka_unit_test(seen_tokens_are_penalised_once_however_often_they_occur),
        cmocka_unit_test(equal_chances_go_to_the_lowest_index),
        cmocka_unit_test(draws_follow_the_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
