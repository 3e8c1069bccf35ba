/* Phases against the machine's limits: which limit of reading holds, and frames that take turns with readings of memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/isa.h"
#include "harness/profile.h"

static hm_error err;

#define GOOD(call)                    \
    do {                              \
        if (call)                     \
            fail_msg("%s", err.text); \
    } while (0)

static const hm_profile_limits machine = {
    .memory_gb_s = 80, .cache_gb_s = 200, .gflop_s = 400, .int8_gop_s = 1600, .cache_bytes = 16000000};

static void a_frame_that_fits_the_cache_is_held_against_it(void **state)
{
    hm_profile p = {.machine = machine};
    hm_profile_run run = {.generate_ns = 1000000000, .frames = 100, .step_weight_bytes = 1000000000, .distinct_weight_bytes = 16000000};
    (void)state;
    hm_profile_rate r = hm_profile_rate_of(&p, &run, 1);
    assert_string_equal(r.read_limit, "cache");
    assert_true(fabs(r.gb_s - 100) < 1e-9 && fabs(r.read_share - 0.5) < 1e-9);
    assert_false(hm_profile_turns_wanted(&p, &run));
    run.distinct_weight_bytes++;
    r = hm_profile_rate_of(&p, &run, 1);
    assert_string_equal(r.read_limit, "memory");
    assert_true(fabs(r.read_share - 1.25) < 1e-9);
    assert_true(hm_profile_turns_wanted(&p, &run));
    run.overlapped_ns = 1; /* the decoder reads beside it */
    assert_false(hm_profile_turns_wanted(&p, &run));
    run.overlapped_ns = 0;
    p.machine.memory_gb_s = NAN;
    assert_false(hm_profile_turns_wanted(&p, &run));
}

static void frames_that_took_turns_are_held_against_what_was_read(void **state)
{
    /* 20 ms a frame of 0.8 GB: 40 GB/s; 32 MiB in 0.67 ms: 50 GB/s. The traced run was slower, the best moment faster. */
    hm_profile p = {.machine = machine, .turns = {.frames = 10, .frames_ns = 200000000, .reads_ns = 6710886}};
    hm_profile_run run = {.generate_ns = 5000000000,
                          .frames = 100,
                          .step_weight_bytes = 700000000,
                          .distinct_weight_bytes = 700000000,
                          .step_kv_bytes = 100000000};
    char text[64];
    (void)state;
    assert_true(fabs(hm_profile_turns_gb_s(&p.turns) - 50) < 1e-4);
    hm_profile_rate r = hm_profile_rate_of(&p, &run, 1);
    assert_true(fabs(r.gb_s - 40) < 1e-9 && fabs(r.read_share - 0.8) < 1e-5);
    assert_string_equal(hm_profile_read_text(&r, text, sizeof text), "80 %");
    run.distinct_weight_bytes = 1000000; /* with keys and values still beyond the cache */
    assert_string_equal(hm_profile_rate_of(&p, &run, 1).read_limit, "memory");
}

static void what_frames_read_again_may_come_from_caches(void **state)
{
    hm_profile p = {.machine = machine};
    hm_profile_run run = {.generate_ns = 1000000000, .frames = 100, .step_weight_bytes = 900000000, .distinct_weight_bytes = 300000000};
    char text[64];
    (void)state;
    hm_profile_rate r = hm_profile_rate_of(&p, &run, 1);
    assert_string_equal(hm_profile_read_text(&r, text, sizeof text), "112 %, some of it from caches");
    run.distinct_weight_bytes = run.step_weight_bytes;
    r = hm_profile_rate_of(&p, &run, 1);
    assert_non_null(strstr(hm_profile_read_text(&r, text, sizeof text), "a bug of the measurement"));
    run.distinct_weight_bytes = 1000; /* a share of what the cache gives, which is the limit then */
    r = hm_profile_rate_of(&p, &run, 1);
    assert_string_equal(hm_profile_read_text(&r, text, sizeof text), "45 %");
}

/* As an engine tells them; what is no frame, or told in another run, takes no turn. */
static void only_frames_of_such_a_run_take_turns(void **state)
{
    hm_device *dev;
    hm_profile_turns t;
    hm_progress progress;
    (void)state;
    hm_progress_start(&progress, "", true);
    hm_profile_turns_init(&t, &progress);
    hm_span_begin(&t.probe, HM_SPAN_STEP, "frame", 0);
    hm_span_end(&t.probe, HM_SPAN_STEP, "frame");
    assert_int_equal(t.frames, 0);
    assert_true(isnan(hm_profile_turns_gb_s(&t)));
    GOOD(hm_cpu_open(&dev, 2, hm_isa_detect(), &err));
    GOOD(hm_cpu_reader_open(&t.reader, dev, 0, &err));
    for (int i = 0; i < 3; i++) {
        hm_span_begin(&t.probe, HM_SPAN_STEP, "frame", i);
        hm_span_begin(&t.probe, HM_SPAN_STEP, "step", i);
        hm_span_end(&t.probe, HM_SPAN_STEP, "step");
        hm_span_end(&t.probe, HM_SPAN_STEP, "frame");
    }
    assert_int_equal(t.frames, 3);
    assert_true(t.frames_ns > 0 && t.frames_ns < t.reads_ns); /* readings are not a part of frames */
    assert_true(hm_profile_turns_gb_s(&t) > 0);
    hm_cpu_reader_close(&t.reader);
    hm_cpu_close(&dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_that_fits_the_cache_is_held_against_it),
        cmocka_unit_test(frames_that_took_turns_are_held_against_what_was_read),
        cmocka_unit_test(what_frames_read_again_may_come_from_caches),
        cmocka_unit_test(only_frames_of_such_a_run_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
