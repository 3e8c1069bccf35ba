/* A draw by one block of CUDA's own (draw.cu) is the textbook's, without exception: sizes on both sides of a kernel's, ties, infinities, no
 * numbers, penalties, dead indices. */
#define HM_TEST_CUDA
#include "tests/gpu/gpu_case.h"

#include "engine/sampling.h"

static void logits_make(float *x, int V, int kind)
{
    for (int j = 0; j < V; j++)
        switch (kind) {
        case 1: /* ties */
            x[j] = rintf(x[j]);
            break;
        case 2: /* hardly anything allowed, far apart */
            x[j] = j % 5 ? -INFINITY : x[j] * 20;
            break;
        case 3: /* all alike */
            x[j] = 1;
            break;
        case 4:
            x[j] = j % 3 ? -INFINITY : NAN; /* nothing can be drawn */
            break;
        }
}

static void check_draw(gpu_case *c, hm_sample_args a, const float *there, const uint32_t *seen_there, int32_t *token)
{
    hm_sample_input in = {.logits = a.logits,
                          .V = a.V,
                          .topk = a.topk,
                          .temperature = a.temperature,
                          .top_p = a.top_p,
                          .greedy = a.greedy,
                          .seen = a.seen,
                          .penalty = a.penalty,
                          .live = a.live,
                          .spared = a.spared,
                          .forbidden = a.forbidden,
                          .seed = a.seed,
                          .frame = a.frame,
                          .codebook = a.codebook};
    float *scratch = malloc(hm_sample_scratch_floats(a.V) * sizeof *scratch);
    int32_t found, expected = hm_sample_reference(&in, NULL, scratch, NULL);
    hm_ops op = c->gpu.op;
    free(scratch);
    a.logits = there;
    a.seen = a.seen ? seen_there : NULL;
    a.token = token;
    hm_cuda_draw_ops(&op);
    op.sample(&op, &a);
    op.download(&op, &found, token, sizeof found);
    if (found != expected)
        fail_msg("V %d, topk %d, top_p %g, greedy %d, frame %u: %d is drawn, the textbook draws %d", a.V, a.topk, (double)a.top_p, a.greedy,
                 a.frame, found, expected);
}

static void check_size(gpu_case *c, int V, int kinds)
{
    static const int tops[] = {50, 1, 2, 0};
    static const float nuclei[] = {0, 0.9f};
    uint32_t seen[(9300 + 31) / 32];
    int32_t none = -1, *token = gpu_put(c, &none, sizeof none);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        seen[i] = (uint32_t)i * 2654435761u;
    uint32_t *seen_there = gpu_put(c, seen, sizeof seen);
    for (int kind = 0; kind < kinds; kind++) {
        float *x = random_floats((size_t)V, (uint64_t)(V + kind), 6);
        logits_make(x, V, kind);
        float *there = gpu_put_floats(c, x, (size_t)V);
        for (int i = 0; i < 8; i++) {
            hm_sample_args a = {.logits = x, .V = V, .topk = tops[i % 4], .top_p = nuclei[i / 4], .temperature = i % 2 ? 0.7f : 1.0f};
            a.seed = 0x1234567890abcdefull * (uint64_t)(i + 1);
            a.frame = (uint32_t)i;
            a.codebook = (uint32_t)(i % 8);
            a.greedy = i == 5;
            a.seen = i & 1 ? seen : NULL;
            a.penalty = 1.3f;
            a.live = i & 2 ? V * 3 / 4 : 0;
            a.spared = V - 1;
            a.forbidden = i & 4 ? V / 3 : -1;
            check_draw(c, a, there, seen_there, token);
        }
        guarded_free(x, (size_t)V);
    }
    gpu_give_back(c);
}

static void draws_are_the_textbooks(void **state)
{
    static const int sizes[] = {1, 2, 5, 33, 300, 2051, 3072};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_size(*state, sizes[i], i % 2 ? 5 : 2);
}

static void draws_from_great_vocabularies_are_the_textbooks(void **state)
{
    check_size(*state, 8197, 2);
    check_size(*state, 9217, 1); /* more than a block keeps */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(draws_are_the_textbooks),
                                       cmocka_unit_test(draws_from_great_vocabularies_are_the_textbooks)};
    return cmocka_run_group_tests(tests, gpu_case_open, gpu_case_close);
}
