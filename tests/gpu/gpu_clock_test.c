/* The device's timer told in ns of the host: wrap-around, drift, clocks that stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/gpu/device_clock.h"

#define MS 1000000

static void a_value_is_unwrapped_from_the_least_it_can_be(void **state)
{
    (void)state;
    assert_int_equal(hm_gpu_unwrap(5, 8, 0), 5);
    assert_int_equal(hm_gpu_unwrap(5, 8, 5), 5);
    assert_int_equal(hm_gpu_unwrap(5, 8, 6), 256 + 5);
    assert_int_equal(hm_gpu_unwrap(255, 8, 0x1234), 0x12ff);
    assert_int_equal(hm_gpu_unwrap(0x33, 8, 0x1234), 0x1333);
    assert_int_equal(hm_gpu_unwrap(0xfff33, 8, 0x1234), 0x1333); /* bits that are not valid */
    assert_true(hm_gpu_unwrap(UINT64_MAX, 64, 7) == UINT64_MAX);
    assert_int_equal(hm_gpu_unwrap(3, 32, UINT64_C(0x1fffffff0)), UINT64_C(0x200000003));
}

/* A timer of `hz` whose counter is `bits` wide and was `start` at ns = 0. */
typedef struct timer {
    double hz;
    unsigned bits;
    uint64_t start;
} timer;

static uint64_t raw_at(const timer *t, int64_t ns)
{
    uint64_t ticks = t->start + (uint64_t)((double)ns * 1e-9 * t->hz);
    return t->bits >= 64 ? ticks : ticks & (((uint64_t)1 << t->bits) - 1);
}

static void assert_near(int64_t found, int64_t expected, int64_t within)
{
    if (llabs(found - expected) > within)
        fail_msg("found %lld, expected %lld within %lld", (long long)found, (long long)expected, (long long)within);
}

static void commands_are_found_again_through_many_wraps_of_any_width(void **state)
{
    (void)state;
    static const unsigned widths[] = {20, 24, 32, 36, 56, 63, 64};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const timer t = {19200000, widths[w], UINT64_C(0xfffffffffff0)}; /* 20 bits: wraps every 54.6 ms */
        hm_gpu_clock clock;
        hm_gpu_clock_init(&clock, 19200000, t.bits);
        for (int64_t now = 100 * MS; now < 60000 * (int64_t)MS; now += 517 * MS) {
            hm_gpu_clock_read(&clock, now, raw_at(&t, now));
            for (int64_t begin = now - 500 * MS; begin < now; begin += 33 * MS) {
                int64_t found_begin, found_end;
                if (begin < 0)
                    continue;
                hm_gpu_clock_span(&clock, t.bits, raw_at(&t, begin), raw_at(&t, begin + 3 * MS), begin - MS, &found_begin, &found_end);
                assert_near(found_begin, begin, 200);
                assert_near(found_end, begin + 3 * MS, 200);
            }
        }
    }
}

static void stamps_may_be_narrower_or_wider_than_the_timer(void **state)
{
    (void)state;
    static const unsigned widths[][2] = {{36, 32}, {32, 64}, {64, 32}, {64, 20}};
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const timer global = {12500000, widths[w][0], UINT64_C(0x123456789abcd)},
                    stamp = {12500000, widths[w][1], UINT64_C(0x123456789abcd)};
        hm_gpu_clock clock;
        int64_t begin, end;
        hm_gpu_clock_init(&clock, 12500000, global.bits);
        hm_gpu_clock_read(&clock, 1000 * MS, raw_at(&global, 1000 * MS));
        hm_gpu_clock_read(&clock, 4000 * (int64_t)MS, raw_at(&global, 4000 * (int64_t)MS));
        hm_gpu_clock_span(&clock, stamp.bits, raw_at(&stamp, 2000 * (int64_t)MS), raw_at(&stamp, 2005 * (int64_t)MS), 1999 * (int64_t)MS,
                          &begin, &end);
        assert_near(begin, 2000 * (int64_t)MS, 200);
        assert_near(end, 2005 * (int64_t)MS, 200);
    }
}

static void a_command_that_seems_to_begin_before_it_was_asked_for_is_not_a_whole_range_late(void **state)
{
    (void)state;
    const timer t = {19200000, 32, 0};
    hm_gpu_clock clock;
    int64_t begin, end;
    hm_gpu_clock_init(&clock, 19200000, 32);
    hm_gpu_clock_read(&clock, 100 * MS, raw_at(&t, 100 * MS));
    hm_gpu_clock_span(&clock, 32, raw_at(&t, 50 * MS), raw_at(&t, 51 * MS), 51 * MS, &begin, &end); /* a millisecond before */
    assert_near(begin, 50 * MS, 200);
    assert_near(end, 51 * MS, 200);
}

static void drift_does_not_add_up_and_time_never_goes_back(void **state)
{
    (void)state;
    const timer t = {19200000 * 1.0003, 32, 99}; /* 300 millionths fast: 0.3 ms a second */
    hm_gpu_clock clock;
    int64_t last = 0;
    hm_gpu_clock_init(&clock, 19200000, 32);
    for (int64_t now = MS; now < 20000 * (int64_t)MS; now += 100 * MS) {
        hm_gpu_clock_read(&clock, now, raw_at(&t, now));
        for (int64_t begin = now - 99 * MS; begin < now; begin += MS) {
            int64_t found, end;
            if (begin < MS)
                continue;
            hm_gpu_clock_span(&clock, 32, raw_at(&t, begin), raw_at(&t, begin), begin, &found, &end);
            assert_near(found, begin, 500);
            assert_true(found >= last);
            last = found;
        }
    }
}

static void a_timer_that_was_stopped_starts_anew(void **state)
{
    (void)state;
    hm_gpu_clock clock;
    hm_gpu_clock_init(&clock, 1000000, 64);
    hm_gpu_clock_read(&clock, 0, 1000);
    hm_gpu_clock_read(&clock, 1000 * MS, 1000 + 1000000); /* a second, a million ticks */
    assert_near(hm_gpu_clock_ns(&clock, clock.last.ticks), 1000 * MS, 0);
    hm_gpu_clock_read(&clock, 3000 * (int64_t)MS, 1000 + 1000000 + 500000); /* two seconds, half a million: it slept */
    assert_near(hm_gpu_clock_ns(&clock, clock.last.ticks), 3000 * (int64_t)MS, 0);
    assert_near(hm_gpu_clock_ns(&clock, clock.last.ticks - 1000), 2999 * (int64_t)MS, 0);
    assert_near(hm_gpu_clock_ns(&clock, clock.last.ticks + 1000), 3001 * (int64_t)MS, 0);
}

static void ticks_and_ns_are_each_others_inverse(void **state)
{
    (void)state;
    hm_gpu_clock clock;
    const timer t = {19190000, 32, 5};
    hm_gpu_clock_init(&clock, 19200000, 32);
    hm_gpu_clock_read(&clock, 10000 * (int64_t)MS, raw_at(&t, 10000 * (int64_t)MS));
    hm_gpu_clock_read(&clock, 10100 * (int64_t)MS, raw_at(&t, 10100 * (int64_t)MS));
    for (int64_t ns = 9900 * (int64_t)MS; ns < 10300 * (int64_t)MS; ns += 7 * MS)
        assert_near(hm_gpu_clock_ns(&clock, hm_gpu_clock_ticks(&clock, ns)), ns, 110); /* two ticks */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_unwrapped_from_the_least_it_can_be),
        cmocka_unit_test(commands_are_found_again_through_many_wraps_of_any_width),
        cmocka_unit_test(stamps_may_be_narrower_or_wider_than_the_timer),
        cmocka_unit_test(a_command_that_seems_to_begin_before_it_was_asked_for_is_not_a_whole_range_late),
        cmocka_unit_test(drift_does_not_add_up_and_time_never_goes_back),
        cmocka_unit_test(a_timer_that_was_stopped_starts_anew),
        cmocka_unit_test(ticks_and_ns_are_each_others_inverse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
