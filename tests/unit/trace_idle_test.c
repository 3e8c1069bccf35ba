/* Waits and idle by cause: every nanosecond of a track is busy or has a cause, worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "traces/summary.h"

#define HEAD                                                                                                                    \
    "{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":1," \
    "\"args\":{\"name\":\"01 engine\"}}"
#define SPAN(tid, cat, name, from, length) \
    ",{\"ph\":\"X\",\"name\":\"" name "\",\"cat\":\"" cat "\",\"pid\":1,\"tid\":" #tid ",\"ts\":" #from ".000,\"dur\":" #length ".000}"
#define US INT64_C(1000)

static hm_trace_summary summary_of(const char *text)
{
    hm_trace_summary s;
    hm_error err = {0};
    if (hm_trace_summarise_text(text, strlen(text), "t.json", &s, &err))
        fail_msg("%s", err.text);
    return s;
}

/* Two frames of 100 us. The first has nothing finer. In the second: 10 idle, an operation of 30 whose last 8 wait for the team, 5 idle, a
 * sampling of 40 with an operation of 25 in it, 15 idle. */
static const char frames[] = HEAD SPAN(1, "phase", "generate", 0, 220) SPAN(1, "step", "frame", 10, 100) SPAN(1, "step", "frame", 110, 100)
    SPAN(1, "op", "linear", 120, 30) SPAN(1, "sync", "wait for team", 142, 8) SPAN(1, "part", "sampling", 155, 40)
        SPAN(1, "op", "topk", 160, 25) SPAN(1, "phase", "decode", 230, 50) SPAN(1, "sync", "wait for decoder", 230, 20) "]}";

static void every_gap_has_the_cause_of_the_span_around_it(void **state)
{
    (void)state;
    hm_trace_summary s = summary_of(frames);
    assert_int_equal(s.idle.count, 1);
    const hm_idle_track *t = &s.idle.tracks[0];
    assert_string_equal(t->name, "01 engine");
    assert_int_equal(t->span_ns, 280 * US);
    assert_int_equal(t->idle[HM_IDLE_TEAM].total_ns, 8 * US);
    assert_int_equal(t->idle[HM_IDLE_CODEC].total_ns, 20 * US);
    assert_int_equal(t->idle[HM_IDLE_SAMPLING].total_ns, 15 * US); /* 5 before its operation, 10 behind */
    assert_int_equal(t->idle[HM_IDLE_SAMPLING].gaps, 2);
    /* generate: 10 before the first frame and 10 behind the last; the frame: 10, 5, 15; decode: 30 behind the wait */
    assert_int_equal(t->idle[HM_IDLE_HOST].total_ns, (20 + 30 + 30) * US);
    assert_int_equal(t->idle[HM_IDLE_HOST].longest_ns, 30 * US);
    assert_int_equal(t->idle[HM_IDLE_UNKNOWN].total_ns, 10 * US); /* between the phases */
    assert_int_equal(t->busy_ns, (100 + 22 + 25) * US);           /* the frame without operations counts as busy */
    int64_t sum = t->busy_ns;
    for (int i = 0; i < HM_IDLE_COUNT; i++)
        sum += t->idle[i].total_ns;
    assert_int_equal(sum, t->span_ns);
    hm_trace_summary_free(&s);
}

static void per_frame_only_frames_whose_operations_are_there_count(void **state)
{
    (void)state;
    hm_trace_summary s = summary_of(frames);
    assert_int_equal(s.frames, 2);
    assert_int_equal(s.idle.frames, 1);
    assert_int_equal(s.idle.frames_ns, 100 * US);
    assert_int_equal(s.idle.tracks[0].idle[HM_IDLE_HOST].in_frames_ns, 30 * US);
    assert_int_equal(s.idle.tracks[0].idle[HM_IDLE_TEAM].in_frames_ns, 8 * US);
    const hm_trace_row *wait = hm_trace_summary_find(&s, "wait for team", "sync");
    assert_non_null(wait);
    assert_int_equal(wait->in_frames, 1);
    assert_int_equal(wait->in_frames_ns, 8 * US);
    hm_trace_summary_free(&s);
}

static void tracks_are_apart_and_unknown_waits_have_no_made_up_cause(void **state)
{
    (void)state;
    hm_trace_summary s = summary_of(HEAD SPAN(1, "phase", "generate", 0, 50) SPAN(2, "sync", "wait for frames", 0, 30) SPAN(
        2, "step", "segment", 30, 60) SPAN(2, "op", "conv", 35, 50) SPAN(2, "sync", "cuStreamSynchronize", 100, 5) "]}");
    assert_int_equal(s.idle.count, 2);
    const hm_idle_track *decoder = &s.idle.tracks[1];
    assert_string_equal(decoder->name, "pid 1 tid 2");
    assert_int_equal(s.idle.tracks[0].busy_ns, 50 * US);
    assert_int_equal(decoder->idle[HM_IDLE_CODEC].total_ns, 30 * US);
    assert_int_equal(decoder->idle[HM_IDLE_HOST].total_ns, 10 * US);
    assert_int_equal(decoder->idle[HM_IDLE_UNKNOWN].total_ns, (10 + 5) * US);
    assert_int_equal(decoder->busy_ns, 50 * US);
    hm_trace_summary_free(&s);
}

static void no_spans_are_no_tracks(void **state)
{
    (void)state;
    hm_trace_summary s = summary_of(HEAD "]}");
    assert_int_equal(s.idle.count, 0);
    assert_int_equal(s.idle.frames, 0);
    hm_trace_summary_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gap_has_the_cause_of_the_span_around_it),
        cmocka_unit_test(per_frame_only_frames_whose_operations_are_there_count),
        cmocka_unit_test(tracks_are_apart_and_unknown_waits_have_no_made_up_cause),
        cmocka_unit_test(no_spans_are_no_tracks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
