/* The player model: audio that comes while it is played. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "harness/player.h"

enum {
    RATE = 24000,
    FRAME = 1920 /* 80 ms */
};
#define MS INT64_C(1000000)

/* Chunks of one frame each, at these ms. */
static hm_player play(const int *at_ms, int n)
{
    hm_player p;
    hm_player_init(&p, 1000 * MS);
    for (int i = 0; i < n; i++)
        hm_player_chunk(&p, (1000 + at_ms[i]) * MS, FRAME, RATE, i < 2);
    return p;
}

static void audio_in_time_has_no_stalls(void **state)
{
    (void)state;
    hm_player p = play((const int[]){30, 110, 150, 270}, 4); /* the second and the last one just in time */
    assert_int_equal(p.ttfa_raw_ns, 30 * MS);
    assert_int_equal(p.ttfa_ns, 150 * MS); /* two silent chunks first */
    assert_int_equal(p.chunks, 4);
    assert_int_equal(p.stalls, 0);
    assert_int_equal(p.stall_total_ns, 0);
    assert_int_equal(p.stall_max_ns, 0);
    assert_int_equal(p.buffer_ns, 0);
    assert_true(hm_player_smooth(&p, 0));
}

static void late_chunks_stall_and_later_ones_are_due_later(void **state)
{
    (void)state;
    /* due 0, 80, 160: 60 late; then due 220 + 80 = 300, in time; due 380: 20 late */
    hm_player p = play((const int[]){0, 80, 220, 300, 400}, 5);
    assert_int_equal(p.stalls, 2);
    assert_int_equal(p.stall_max_ns, 60 * MS);
    assert_int_equal(p.stall_total_ns, 80 * MS);
    assert_int_equal(p.buffer_ns, 80 * MS);
    assert_false(hm_player_smooth(&p, 50));
    assert_false(hm_player_smooth(&p, 79));
    assert_true(hm_player_smooth(&p, 80));
    assert_true(hm_player_smooth(&p, 100));
}

static void a_buffer_covers_what_faster_chunks_make_up_for(void **state)
{
    (void)state;
    hm_player p = play((const int[]){0, 130, 140, 150, 360}, 5); /* 50 late, then ahead, then in time but for the stall before */
    assert_int_equal(p.stalls, 1);
    assert_int_equal(p.stall_total_ns, 50 * MS);
    assert_int_equal(p.buffer_ns, 50 * MS);
    assert_true(hm_player_smooth(&p, 50));
}

static void nothing_played_is_no_success(void **state)
{
    (void)state;
    hm_player p;
    hm_player_init(&p, 5);
    hm_player_chunk(&p, 7, 0, RATE, false);
    assert_int_equal(p.chunks, 0);
    assert_int_equal(p.ttfa_raw_ns, -1);
    assert_int_equal(p.ttfa_ns, -1);
    assert_false(hm_player_smooth(&p, 200));
    hm_player_chunk(&p, 8, 10, RATE, true);
    assert_int_equal(p.ttfa_raw_ns, 3);
    assert_int_equal(p.ttfa_ns, -1);
}

static void odd_lengths_do_not_add_up_to_drift(void **state)
{
    (void)state;
    hm_player p;
    hm_player_init(&p, 0);
    for (int64_t i = 0; i < 100000; i++) /* 7 samples at 44.1 kHz: no whole number of ns */
        hm_player_chunk(&p, i * 7 * INT64_C(1000000000) / 44100, 7, 44100, false);
    assert_int_equal(p.stalls, 0);
    assert_int_equal(p.buffer_ns, 0);
}

static void silence_is_all_channels_at_or_below_a_thousandth(void **state)
{
    (void)state;
    float pcm[6] = {0, 0.001f, -0.001f, 0, 0, 0};
    assert_true(hm_player_silent(pcm, 2, 3));
    pcm[5] = -0.0011f;
    assert_false(hm_player_silent(pcm, 2, 3));
    assert_true(hm_player_silent(pcm, 1, 3));
    pcm[0] = NAN;
    assert_false(hm_player_silent(pcm, 1, 3));
    assert_true(hm_player_silent(pcm, 2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(audio_in_time_has_no_stalls),
                                       cmocka_unit_test(late_chunks_stall_and_later_ones_are_due_later),
                                       cmocka_unit_test(a_buffer_covers_what_faster_chunks_make_up_for),
                                       cmocka_unit_test(nothing_played_is_no_success),
                                       cmocka_unit_test(odd_lengths_do_not_add_up_to_drift),
                                       cmocka_unit_test(silence_is_all_channels_at_or_below_a_thousandth)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
