/* The trace writer: exact times, object form, compression, limits, crash safety, and that its own checker accepts what it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <zlib.h>

#include "traces/check.h"
#include "traces/chrome.h"

#define PATH "chrome_test.json"
#define BASE ((int64_t)7123456789012345)

static const hm_trace_track host = {10, 11}, stream = {HM_TRACE_DEVICE_PID, 7 * HM_TRACE_LANES};

static hm_trace *open_trace(const char *path, int64_t max_bytes)
{
    hm_trace *t = NULL;
    hm_error err;
    hm_trace_options o = {.base_ns = BASE, .epoch_ns = 1700000000123456789, .max_bytes = max_bytes};
    assert_int_equal(hm_trace_open(&t, path, &o, &err), HM_OK);
    hm_trace_name_process(t, host.pid, "hmbench");
    hm_trace_name_thread(t, host, "01 host");
    return t;
}

static void add(hm_trace *t, hm_trace_track track, const char *name, int64_t from_ns, int64_t to_ns)
{
    hm_trace_span_add(t, &(hm_trace_span){track, "phase", name, BASE + from_ns, BASE + to_ns, NULL});
}

static char *slurp(const char *path)
{
    char *text = calloc(1, 1 << 20);
    gzFile f = gzopen(path, "rb");
    assert_non_null(f);
    assert_true(gzread(f, text, (1 << 20) - 1) >= 0);
    gzclose(f);
    return text;
}

static json_t *load(const char *path)
{
    char *text = slurp(path);
    json_error_t e;
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &e);
    assert_non_null(v);
    free(text);
    return v;
}

static void expect_clean(const char *path)
{
    hm_trace_report report;
    hm_error err;
    assert_int_equal(hm_trace_check(path, &report, &err), HM_OK);
    for (int i = 1; i < HM_TRACE_RULE_END; i++)
        if (report.rules[i].first[0])
            fail_msg("rule %d: %s", i, report.rules[i].first);
}

static void close_clean(hm_trace **t, const char *path)
{
    hm_error err;
    assert_int_equal(hm_trace_close(t, &err), HM_OK);
    assert_null(*t);
    expect_clean(path);
}

static void times_are_microseconds_with_exact_nanoseconds(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 0);
    add(t, host, "generate", 0, 1000000007);
    add(t, host, "frame", 1, 1000);
    add(t, host, "frame", 1000, 1001999);
    close_clean(&t, PATH);
    char *text = slurp(PATH);
    assert_non_null(strstr(text, "\"ts\":0.000,\"dur\":1000000.007"));
    assert_non_null(strstr(text, "\"ts\":0.001,\"dur\":0.999"));
    assert_non_null(strstr(text, "\"ts\":1.000,\"dur\":1000.999"));
    free(text);
}

static void the_finished_file_is_an_object_with_what_is_known_of_the_run(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 0);
    hm_trace_other(t, "command line", "profile \"short\" \\ x");
    hm_trace_other(t, "variant", "naive");
    hm_trace_other(t, "variant", "best");
    add(t, host, "generate", 0, 10);
    close_clean(&t, PATH);
    json_t *v = load(PATH), *other = json_object_get(v, "otherData");
    assert_string_equal(json_string_value(json_object_get(v, "displayTimeUnit")), "ms");
    assert_string_equal(json_string_value(json_object_get(other, "variant")), "best");
    assert_string_equal(json_string_value(json_object_get(other, "command line")), "profile \"short\" \\ x");
    assert_string_equal(json_string_value(json_object_get(other, "baseTimeNanoseconds")), "1700000000123456789");
    assert_string_equal(json_string_value(json_object_get(other, "events")), "3");
    assert_int_equal(json_array_size(json_object_get(v, "traceEvents")), 3);
    assert_int_not_equal(access(PATH ".part", F_OK), 0);
    json_decref(v);
}

static void a_name_ending_in_gz_is_compressed(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH ".gz", 0);
    for (int i = 0; i < 1000; i++)
        add(t, host, "frame", 10 * i, 10 * i + 9);
    close_clean(&t, PATH ".gz");
    unsigned char magic[2];
    FILE *f = fopen(PATH ".gz", "rb");
    assert_int_equal(fread(magic, 1, 2, f), 2);
    fclose(f);
    assert_int_equal(magic[0], 0x1f);
    assert_int_equal(magic[1], 0x8b);
    json_t *v = load(PATH ".gz");
    assert_int_equal(json_array_size(json_object_get(v, "traceEvents")), 1002);
    json_decref(v);
}

static void an_unfinished_trace_is_an_array_that_viewers_can_open(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH ".gone", 0);
    for (int i = 0; i < 2000; i++)
        add(t, host, "frame", 10 * i, 10 * i + 9);
    hm_trace_report report;
    hm_error err;
    assert_int_equal(hm_trace_check(PATH ".gone.part", &report, &err), HM_OK); /* what has reached the disk so far */
    assert_true(report.events > 100);
    assert_int_equal(report.errors, 1); /* the form: nothing else */
    assert_int_equal(report.rules[HM_TRACE_FORM].errors, 1);
    hm_trace_abandon(&t);
    assert_int_not_equal(access(PATH ".gone.part", F_OK), 0);
    assert_int_not_equal(access(PATH ".gone", F_OK), 0);
}

static void every_kind_of_event_keeps_the_rules(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 0);
    hm_trace_name_process(t, stream.pid, "device 0");
    hm_trace_name_thread(t, stream, "10 stream 7");
    add(t, host, "launch", 100, 200);
    add(t, stream, "gemv", 250, 900);
    hm_trace_flow(t, "kernel", "launch", 42, host, BASE + 150, stream, BASE + 250);
    hm_trace_instant(t, host, "sync", "wait", BASE + 201);
    hm_trace_counter(t, host.pid, "RSS MiB", BASE, 1.5);
    hm_trace_counter(t, host.pid, "RSS MiB", BASE + 50, 1.5);
    hm_trace_counter(t, host.pid, "RSS MiB", BASE + 60, -2.0625);
    hm_trace_counter(t, host.pid, "RSS MiB", BASE + 70, 0.0 / 0.0);
    hm_trace_async(t, host.pid, "request", "song", 1, BASE + 5, BASE + 800);
    hm_trace_async(t, host.pid, "request", "song", 2, BASE + 6, BASE + 700);
    hm_trace_span_add(t, &(hm_trace_span){host, "op", "linear", BASE + 210, BASE + 220,
                                          (hm_trace_arg[]){{.key = "rows", .number = 8}, {.key = "dtype", .text = "bf16"}, {0}}});
    close_clean(&t, PATH);
    json_t *v = load(PATH), *e;
    size_t i, counters = 0;
    json_array_foreach(json_object_get(v, "traceEvents"), i, e)
    {
        counters += !strcmp(json_string_value(json_object_get(e, "ph")), "C");
    }
    assert_int_equal(counters, 3); /* on change, and the last value at the end */
    json_decref(v);
    char *text = slurp(PATH);
    assert_non_null(strstr(text, "\"name\":\"RSS\",\"pid\":10,\"tid\":10,\"ts\":0.060,\"args\":{\"MiB\":-2.063}"));
    assert_non_null(strstr(text, "\"args\":{\"rows\":8,\"dtype\":\"bf16\"}"));
    assert_non_null(strstr(text, "\"bp\":\"e\""));
    free(text);
}

static void names_with_quotes_controls_and_broken_utf8_stay_valid_json(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 0);
    add(t, host, "a\"b\\c\nd\x01 \xff \xc3\xa4 \xed\xa0\x80", 0, 10);
    close_clean(&t, PATH);
    json_t *v = load(PATH), *e = json_array_get(json_object_get(v, "traceEvents"), 2);
    assert_string_equal(json_string_value(json_object_get(e, "name")),
                        "a\"b\\c\nd\x01 \xef\xbf\xbd \xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    json_decref(v);
}

static void events_beyond_the_limit_are_counted_and_marked(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 2000);
    for (int i = 0; i < 100; i++)
        add(t, host, "frame", 10 * i, 10 * i + 9);
    hm_trace_flow(t, "kernel", "launch", 1, host, BASE + 5, host, BASE + 15);
    int64_t dropped = hm_trace_dropped(t);
    assert_in_range(dropped, 70, 99);
    close_clean(&t, PATH);
    json_t *v = load(PATH);
    char expected[32];
    snprintf(expected, sizeof expected, "%lld", (long long)dropped);
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "otherData"), "droppedEvents")), expected);
    json_decref(v);
    char *text = slurp(PATH), *mark = strstr(text, "trace limit reached");
    assert_non_null(mark);
    assert_null(strstr(mark + 1, "trace limit reached"));
    free(text);
}

static void times_before_the_start_and_negative_lengths_are_mended_and_counted(void **state)
{
    (void)state;
    hm_trace *t = open_trace(PATH, 0);
    add(t, host, "early", -500, 100);
    add(t, host, "backwards", 300, 200);
    close_clean(&t, PATH);
    char *text = slurp(PATH);
    assert_non_null(strstr(text, "\"eventsBeforeStart\":\"1\""));
    assert_non_null(strstr(text, "\"negativeDurations\":\"1\""));
    assert_non_null(strstr(text, "\"ts\":0.000,\"dur\":0.100"));
    free(text);
}

static void overlapping_spans_of_a_stream_get_lanes_of_their_own(void **state)
{
    (void)state;
    int64_t busy[HM_TRACE_LANES] = {0};
    static const int64_t in[5][2] = {{0, 100}, {50, 80}, {60, 200}, {90, 95}, {100, 120}};
    static const int lanes[5] = {0, 1, 2, 1, 0};
    for (int i = 0; i < 5; i++) {
        int64_t a = in[i][0], b = in[i][1];
        assert_int_equal(hm_trace_lane(busy, &a, &b), lanes[i]);
    }
    for (int i = 0; i < HM_TRACE_LANES; i++)
        busy[i] = 1000;
    int64_t a = 10, b = 20;
    assert_int_equal(hm_trace_lane(busy, &a, &b), HM_TRACE_LANES - 1);
    assert_int_equal(a, 1000);
    assert_int_equal(b, 1000);
}

static void a_place_that_cannot_be_written_is_one_clear_error(void **state)
{
    (void)state;
    hm_trace *t = NULL;
    hm_error err;
    hm_trace_options o = {0};
    assert_int_equal(hm_trace_open(&t, "no/such/folder/t.json", &o, &err), HM_ECREATE);
    assert_non_null(strstr(err.text, "no/such/folder/t.json.part"));
    assert_null(t);
    t = open_trace("chrome_folder", 0);
    assert_int_equal(system("mkdir -p chrome_folder/in_the_way"), 0); /* renaming over it fails */
    add(t, host, "generate", 0, 10);
    assert_int_equal(hm_trace_close(&t, &err), HM_EIO);
    assert_non_null(strstr(err.text, "chrome_folder"));
    assert_int_not_equal(access("chrome_folder.part", F_OK), 0);
    assert_int_not_equal(access("chrome_folder.tmp", F_OK), 0);
    assert_int_equal(system("rm -r chrome_folder"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_microseconds_with_exact_nanoseconds),
        cmocka_unit_test(the_finished_file_is_an_object_with_what_is_known_of_the_run),
        cmocka_unit_test(a_name_ending_in_gz_is_compressed),
        cmocka_unit_test(an_unfinished_trace_is_an_array_that_viewers_can_open),
        cmocka_unit_test(every_kind_of_event_keeps_the_rules),
        cmocka_unit_test(names_with_quotes_controls_and_broken_utf8_stay_valid_json),
        cmocka_unit_test(events_beyond_the_limit_are_counted_and_marked),
        cmocka_unit_test(times_before_the_start_and_negative_lengths_are_mended_and_counted),
        cmocka_unit_test(overlapping_spans_of_a_stream_get_lanes_of_their_own),
        cmocka_unit_test(a_place_that_cannot_be_written_is_one_clear_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
