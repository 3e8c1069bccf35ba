/* What is read of a whole vocabulary, against sums and comparisons one by one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/models/whisper_impl.h"

#define MOST 71

/* Few values, so that many are equal; -infinity now and then. */
static void scores(float *x, int n, unsigned *state)
{
    for (int i = 0; i < n; i++) {
        *state = *state * 1664525u + 1013904223u;
        unsigned r = *state >> 16;
        x[i] = r % 9 == 0 ? -INFINITY : (float)(r % 7) * 1.7f - 40.0f * (float)(r % 3);
    }
}

static double log_sum_in_double(const float *x, int n)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, (double)x[i]);
    for (int i = 0; i < n && top > -INFINITY; i++)
        sum += exp((double)x[i] - top);
    return top > -INFINITY ? top + log(sum) : top;
}

static void sums_of_exponentials_are_those_in_double(void **state)
{
    float x[MOST];
    unsigned random = 1;
    (void)state;
    for (int n = 1; n <= MOST; n++)
        for (int round = 0; round < 20; round++) {
            scores(x, n, &random);
            double found = hm_whisper_log_sum(x, n), expected = log_sum_in_double(x, n);
            assert_true(found == expected || fabs(found - expected) < 3e-7);
            x[n - 1 - round % n] = NAN;
            if (n > 1 && log_sum_in_double(x, n) > -INFINITY)
                assert_true(isnan(hm_whisper_log_sum(x, n)));
        }
}

static void the_first_of_the_greatest_wins_and_the_next_is_told(void **state)
{
    float x[MOST], second;
    unsigned random = 2;
    (void)state;
    for (int n = 1; n <= MOST; n++)
        for (int round = 0; round < 20; round++) {
            int best = 0;
            float next = -INFINITY;
            scores(x, n, &random);
            for (int i = 1; i < n; i++)
                if (x[i] > x[best]) {
                    next = x[best];
                    best = i;
                } else if (x[i] > next)
                    next = x[i];
            assert_int_equal(hm_whisper_greatest(x, n, &second), best);
            assert_true(second == next);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_exponentials_are_those_in_double),
        cmocka_unit_test(the_first_of_the_greatest_wins_and_the_next_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
