/* Commands of a device in a trace: tracks, lanes, arrows that hold against the rules, and the time at work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harness/device_trace.h"
#include "traces/check.h"
#include "traces/reader.h"

#define PATH "device_trace_test.json"

static const hm_trace_track host = {77, 77};

static int64_t busy(const hm_device_span *spans, size_t count, int64_t from, int64_t to)
{
    int64_t ns = -1;
    hm_error err;
    assert_int_equal(hm_device_busy(spans, count, from, to, &ns, &err), HM_OK);
    return ns;
}

static void time_at_work_counts_what_overlaps_once_and_what_lies_outside_not(void **state)
{
    (void)state;
    const hm_device_span s[] = {{"b", 300, 400, -1, 0, 1, HM_DEVICE_KERNEL},
                                {"a", 100, 200, -1, 0, 0, HM_DEVICE_KERNEL},
                                {"a", 150, 250, -1, 0, 1, HM_DEVICE_KERNEL},
                                {"c", 390, 500, -1, 0, 0, HM_DEVICE_KERNEL}};
    assert_int_equal(busy(s, 4, 0, 1000), 350);
    assert_int_equal(busy(s, 4, 120, 320), 150);
    assert_int_equal(busy(s, 4, 250, 300), 0);
    assert_int_equal(busy(s, 4, 600, 500), 0);
    assert_int_equal(busy(NULL, 0, 0, 1000), 0);
}

/* Host: an operation of [1000, 2000) us, in which three commands are asked for; a replay of two of them later. */
static int64_t write_trace(const hm_device_span *s, size_t n)
{
    hm_trace *t;
    hm_error err;
    int64_t backwards = -1;
    uint64_t flow = 1;
    assert_int_equal(hm_trace_open(&t, PATH, &(hm_trace_options){.clock = "CLOCK_MONOTONIC"}, &err), HM_OK);
    hm_trace_name_process(t, host.pid, "hmbench");
    hm_trace_name_thread(t, host, "01 engine");
    hm_trace_span_add(t, &(hm_trace_span){host, "op", "linear", 1000000, 2000000, NULL});
    assert_int_equal(hm_device_trace(t, "made-up", 0, host, s, n, &flow, &backwards, &err), HM_OK);
    assert_int_equal(hm_trace_close(&t, &err), HM_OK);
    return backwards;
}

static json_t *events_of_phase(const char *phase)
{
    json_error_t e;
    json_t *file = json_load_file(PATH, 0, &e), *found = json_array(), *event;
    size_t i;
    assert_non_null(file);
    json_array_foreach(json_object_get(file, "traceEvents"), i, event) if (!strcmp(json_string_value(json_object_get(event, "ph")), phase))
        json_array_append(found, event);
    json_decref(file);
    return found;
}

static size_t count_of(const char *phase)
{
    json_t *found = events_of_phase(phase);
    size_t n = json_array_size(found);
    json_decref(found);
    return n;
}

static void a_trace_with_overlapping_streams_and_replays_keeps_all_rules(void **state)
{
    (void)state;
    hm_error err;
    hm_trace_report report;
    const hm_device_span s[] = {
        {"linear", 1100000, 1500000, 1050000, 0, 0, HM_DEVICE_KERNEL},
        {"linear", 1400000, 1600000, 1060000, 0, 0, HM_DEVICE_KERNEL}, /* two engines at once: a lane */
        {"copy", 1200000, 1300000, 1070000, 4096, 1, HM_DEVICE_COPY},
        {"rmsnorm", 1700000, 1800000, 1650000, 0, 0, HM_DEVICE_KERNEL},
        {"linear", 1800000, 1900000, -1, 0, 0, HM_DEVICE_KERNEL}, /* replayed with the one before */
    };
    assert_int_equal(write_trace(s, 5), 0);
    assert_int_equal(hm_trace_check(PATH, &report, &err), HM_OK);
    assert_int_equal(report.errors, 0);
    assert_int_equal(count_of("X"), 6);
    assert_int_equal(count_of("s"), 4);
    assert_int_equal(count_of("f"), 4);
    json_t *names = events_of_phase("M");
    char *text = json_dumps(names, 0);
    assert_non_null(strstr(text, "device made-up"));
    assert_non_null(strstr(text, "10 stream 0\""));
    assert_non_null(strstr(text, "10 stream 0, beside others 1"));
    assert_non_null(strstr(text, "11 stream 1\""));
    free(text);
    json_decref(names);
}

static void a_command_that_began_before_it_was_asked_for_gets_no_arrow(void **state)
{
    (void)state;
    const hm_device_span s[] = {{"linear", 1100000, 1500000, 1200000, 0, 0, HM_DEVICE_KERNEL},
                                {"linear", 1500000, 1600000, 1300000, 0, 0, HM_DEVICE_KERNEL}};
    assert_int_equal(write_trace(s, 2), 1);
    assert_int_equal(count_of("s"), 1);
}

static void waits_and_overhead_have_tracks_of_their_own_and_are_no_work(void **state)
{
    (void)state;
    hm_error err;
    hm_trace_report report;
    const hm_device_span s[] = {{"linear", 1100000, 1500000, 1050000, 0, 0, HM_DEVICE_KERNEL},
                                {"wait for stream", 1060000, 1600000, -1, 0, 0, HM_DEVICE_WAIT},
                                {"buffer flush", 1550000, 1700000, -1, 0, 0, HM_DEVICE_OVERHEAD}};
    assert_int_equal(write_trace(s, 3), 0);
    assert_int_equal(hm_trace_check(PATH, &report, &err), HM_OK);
    assert_int_equal(report.errors, 0);
    assert_int_equal(count_of("s"), 1);
    assert_int_equal(busy(s, 3, 0, 2000000), 400000);
    json_t *spans = events_of_phase("X"), *names = events_of_phase("M");
    char *text = json_dumps(spans, JSON_COMPACT);
    assert_non_null(strstr(text, "\"sync\""));
    assert_non_null(strstr(text, "\"overhead\""));
    free(text);
    text = json_dumps(names, 0);
    assert_non_null(strstr(text, "98 waits of the host"));
    assert_non_null(strstr(text, "99 overhead of tracing"));
    free(text);
    json_decref(spans);
    json_decref(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_at_work_counts_what_overlaps_once_and_what_lies_outside_not),
        cmocka_unit_test(a_trace_with_overlapping_streams_and_replays_keeps_all_rules),
        cmocka_unit_test(a_command_that_began_before_it_was_asked_for_gets_no_arrow),
        cmocka_unit_test(waits_and_overhead_have_tracks_of_their_own_and_are_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
