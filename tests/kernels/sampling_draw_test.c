/* The fused draw gives the token of the textbook's passes, on random and hostile logits; the operation gives the same. */
#include "tests/kernels/kernel_check.h"

#include "engine/sampling.h"

static void check(rig *r, const float *logits, int V, int topk, float temperature, const float *q, uint64_t seed)
{
    float *scratch = malloc(hm_sample_scratch_floats(V) * sizeof *scratch);
    hm_sample_input in = {.logits = logits, .V = V, .topk = topk, .temperature = temperature, .q = q, .seed = seed};
    in.frame = (uint32_t)seed * 3;
    in.codebook = (uint32_t)seed % 8;
    uint64_t plain = 0, fused = 0;
    int32_t token = hm_sample_reference(&in, NULL, scratch, &plain), found = hm_sample_fused(&in, scratch, &fused);
    if (token != found)
        fail_msg("V %d, topk %d, seed %u: passes draw %d, fused %d", V, topk, (unsigned)seed, token, found);
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

static void fused_and_textbook_draw_the_same_token(void **state)
{
    static const int sizes[] = {1, 2, 5, 69, 1000, 8197}, tops[] = {1, 2, 50, 500, 9000};
    (void)state;
    rig r;
    rig_open(&r, 1, HM_ISA_SCALAR);
    for (int s = 0; s < 6; s++)
        for (int k = 0; k < 5; k++)
            for (uint64_t seed = 0; seed < 12; seed++) {
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
                check(&r, x, V, tops[k], seed % 2 ? 0.7f : 1.0f, NULL, seed);
                guarded_free(x, (size_t)V);
            }
    rig_close(&r);
}

static void equal_chances_go_to_the_lowest_index(void **state)
{
    enum { V = 40 };
    float x[V], q[V], scratch[4 * (V + 4)];
    (void)state;
    for (int j = 0; j < V; j++) {
        x[j] = j % 10 == 7 ? 2.0f : 1.0f;
        q[j] = 0.5f;
    }
    hm_sample_input in = {.logits = x, .V = V, .topk = 3, .temperature = 1.0f, .q = q};
    assert_int_equal(hm_sample_reference(&in, NULL, scratch, NULL), 7);
    assert_int_equal(hm_sample_fused(&in, scratch, NULL), 7);
}

/* With three logits of known probabilities, draws come as often as they should: 5 sigma of a binomial of 4000. */
static void draws_follow_the_probabilities(void **state)
{
    const float x[3] = {0.0f, 1.0f, -1.0f};
    float scratch[4 * 7];
    double e[3] = {1, exp(1), exp(-1)};
    int hits[3] = {0};
    (void)state;
    for (uint32_t frame = 0; frame < 4000; frame++) {
        hm_sample_input in = {.logits = x, .V = 3, .topk = 3, .temperature = 1.0f, .seed = 42, .frame = frame};
        hits[hm_sample_fused(&in, scratch, NULL)]++;
    }
    for (int j = 0; j < 3; j++) {
        double p = e[j] / (e[0] + e[1] + e[2]);
        assert_true(fabs(hits[j] / 4000.0 - p) < 5 * sqrt(p * (1 - p) / 4000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fused_and_textbook_draw_the_same_token),
        cmocka_unit_test(equal_chances_go_to_the_lowest_index),
        cmocka_unit_test(draws_follow_the_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
