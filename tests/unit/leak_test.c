/* A process that grows is found, one that only wavers is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "harness/leak.h"

enum {
    N = 30
};

/* `leak` bytes per generation on 100 MB, wavering by up to `noise`. */
static void fill(int64_t *bytes, int64_t leak, int64_t noise)
{
    uint64_t state = 5;
    for (int i = 0; i < N; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = 100000000 + i * leak + (noise ? (int64_t)((state >> 33) % (uint64_t)noise) : 0);
    }
}

static void a_steady_growth_is_a_leak(void **state)
{
    int64_t bytes[N];
    (void)state;
    fill(bytes, 100000, 0);
    hm_leak l = hm_leak_slope(bytes, N);
    assert_true(l.leaks && l.bytes_per_generation == 100000 && l.p < 1e-9);
    fill(bytes, 100000, 400000);
    l = hm_leak_slope(bytes, N);
    assert_true(l.leaks && fabs(l.bytes_per_generation - 100000) < 20000);
    bytes[7] = 900000000; /* one outlier moves little */
    l = hm_leak_slope(bytes, N);
    assert_true(l.leaks && fabs(l.bytes_per_generation - 100000) < 20000);
    bytes[9] = INT64_MIN; /* not known */
    assert_true(hm_leak_slope(bytes, N).leaks);
}

static void wavering_is_no_leak(void **state)
{
    int64_t bytes[N];
    (void)state;
    fill(bytes, 0, 0);
    hm_leak l = hm_leak_slope(bytes, N);
    assert_true(!l.leaks && l.bytes_per_generation == 0 && l.p == 1);
    fill(bytes, 0, 400000);
    assert_false(hm_leak_slope(bytes, N).leaks);
    fill(bytes, -100000, 0); /* it shrinks */
    l = hm_leak_slope(bytes, N);
    assert_true(!l.leaks && l.bytes_per_generation == -100000);
    fill(bytes, 100, 0); /* less than a page */
    assert_false(hm_leak_slope(bytes, N).leaks);
}

static void few_generations_say_nothing(void **state)
{
    int64_t bytes[N];
    (void)state;
    fill(bytes, 100000, 0);
    assert_false(hm_leak_slope(bytes, 7).leaks);
    assert_true(hm_leak_slope(bytes, 8).leaks);
    assert_true(isnan(hm_leak_slope(bytes, 1).bytes_per_generation));
    assert_true(isnan(hm_leak_slope(bytes, 0).bytes_per_generation));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_growth_is_a_leak),
        cmocka_unit_test(wavering_is_no_leak),
        cmocka_unit_test(few_generations_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
