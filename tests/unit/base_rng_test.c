/* Random numbers: Philox against the known answers of Random123, the portable logarithm, and the moments of what is drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/rng.h"

static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        /* kat_vectors of Random123, philox4x32 with 10 rounds */
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        hm_philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
}

static void assert_log_near(uint32_t n)
{
    float u = (float)n * 0x1p-24f, found = hm_log_portable(u);
    double exact = log((double)u), ulp = (double)(nextafterf((float)fabs(exact), INFINITY) - (float)fabs(exact));
    if (!(fabs((double)found - exact) <= 2 * ulp))
        fail_msg("log of %u * 2^-24 is %.9g, expected %.9g: %.2f ulp off", n, (double)found, exact, fabs((double)found - exact) / ulp);
}

static void the_portable_logarithm_is_within_two_ulp(void **state)
{
    (void)state;
    enum {
        TOP = 1 << 24
    };
    assert_true(hm_log_portable(1.0f) == 0.0f);
    for (uint32_t n = 1; n <= 4096; n++) {
        assert_log_near(n);
        assert_log_near(TOP - n);
    }
    for (uint32_t n = 1; n < TOP; n += 97)
        assert_log_near(n);
    for (uint32_t e = 0; e < 24; e++) /* around powers of two and their roots, where the split of u changes */
        for (uint32_t d = 0; d < 64; d++) {
            uint32_t two = 1u << e, root = (uint32_t)(1.4142135 * two);
            assert_log_near(two + d);
            if (two > d)
                assert_log_near(two - d);
            if (root > d && root + d < TOP) {
                assert_log_near(root - d);
                assert_log_near(root + d);
            }
        }
}

static void exponential_draws_are_positive_with_mean_and_variance_one(void **state)
{
    (void)state;
    enum {
        N = 200000
    };
    double sum = 0, square = 0;
    for (uint32_t i = 0; i < N; i += 4) {
        float q[4];
        hm_draw_exp4(42, i / 4096, 3, i % 4096, q);
        for (int j = 0; j < 4; j++) {
            assert_true(q[j] > 0 && q[j] < 16.7f); /* -log(2^-24) = 16.64 */
            sum += (double)q[j];
            square += (double)q[j] * (double)q[j];
        }
    }
    double mean = sum / N, variance = square / N - mean * mean;
    assert_true(fabs(mean - 1) < 5 / sqrt(N));           /* the mean has sd 1/sqrt(N) */
    assert_true(fabs(variance - 1) < 5 * sqrt(8.0 / N)); /* fourth central moment 9 */
}

static void normal_draws_have_mean_zero_and_variance_one(void **state)
{
    (void)state;
    enum {
        N = 200000
    };
    double sum = 0, square = 0, cube = 0, pairs = 0;
    int beyond = 0;
    for (uint32_t i = 0; i < N; i += 4) {
        float z[4];
        hm_draw_normal4(7, 2, i, z);
        for (int j = 0; j < 4; j++) {
            double v = (double)z[j];
            assert_true(fabs(v) < 6.7); /* sqrt(-2 log 2^-32) = 6.66 */
            sum += v;
            square += v * v;
            cube += v * v * v;
            beyond += fabs(v) > 1.959963985;
        }
        pairs += (double)z[0] * (double)z[1] + (double)z[2] * (double)z[3];
    }
    double sd = 1 / sqrt(N);
    assert_true(fabs(sum / N) < 5 * sd);
    assert_true(fabs(square / N - 1) < 5 * sqrt(2.0) * sd);
    assert_true(fabs(cube / N) < 5 * sqrt(15.0) * sd);
    assert_true(fabs(beyond / (double)N - 0.05) < 5 * sqrt(0.05 * 0.95) * sd);
    assert_true(fabs(pairs / (N / 2)) < 5 * sqrt(2.0) * sd); /* sine and cosine of a pair are uncorrelated */
}

/* Four draws of every neighbouring seed, frame, codebook and index differ from those of all others. */
static void neighbouring_streams_share_no_draws(void **state)
{
    (void)state;
    enum {
        N = 7
    };
    float q[N][4];
    hm_draw_exp4(1, 0, 0, 0, q[0]);
    hm_draw_exp4(2, 0, 0, 0, q[1]);
    hm_draw_exp4(1, 1, 0, 0, q[2]);
    hm_draw_exp4(1, 0, 1, 0, q[3]);
    hm_draw_exp4(1, 0, 0, 4, q[4]);
    hm_draw_exp4(1 | (uint64_t)1 << 32, 0, 0, 0, q[5]); /* the upper half of the seed counts */
    hm_draw_normal4(1, 0, 0, q[6]);
    for (int a = 0; a < N; a++)
        for (int b = 0; b < a; b++)
            for (int i = 0; i < 4; i++)
                assert_true(q[a][i] != q[b][i]);
    float again[4];
    hm_draw_exp4(1, 0, 0, 0, again);
    assert_memory_equal(again, q[0], sizeof again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(the_portable_logarithm_is_within_two_ulp),
        cmocka_unit_test(exponential_draws_are_positive_with_mean_and_variance_one),
        cmocka_unit_test(normal_draws_have_mean_zero_and_variance_one),
        cmocka_unit_test(neighbouring_streams_share_no_draws),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
