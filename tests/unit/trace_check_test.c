/* `trace check`: each rule broken once, what a broken file is told, and mutated traces that must never do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/mutate.h"
#include "traces/check.h"
#include "traces/reader.h"
#include "traces/summary.h"

#define HEAD "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"clock\":\"CLOCK_MONOTONIC\"},\"traceEvents\":["
#define NAMES                                                                                       \
    "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":1,\"tid\":1,\"args\":{\"name\":\"hmbench\"}}," \
    "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":1,\"args\":{\"name\":\"01 host\"}},"
#define X(name, ts, dur) "{\"ph\":\"X\",\"cat\":\"phase\",\"name\":\"" name "\",\"pid\":1,\"tid\":1,\"ts\":" ts ",\"dur\":" dur "}"
#define PLACED(ph, rest) "{\"ph\":\"" ph "\",\"cat\":\"c\",\"name\":\"n\",\"pid\":1,\"tid\":1," rest "}"

/* Events after the names; event 2 is the first of them. */
typedef struct broken_case {
    const char *title, *events;
    int rule, errors, warnings;
    int64_t first;
    const char *says;
} broken_case;

static const broken_case cases[] = {
    {"a good trace", X("a", "0.000", "10.000") "," X("b", "1.000", "9.000") "," X("c", "10.000", "0.000"), 0, 0, 0, 0, ""},
    {"no object", "[1]", 1, 1, 0, 2, "not an object"},
    {"no ph", "{\"name\":\"x\"}", 1, 1, 0, 2, "no ph"},
    {"an empty object", "{}", 1, 1, 0, 2, "no ph"},
    {"unknown ph", PLACED("Q", "\"ts\":1.000"), 1, 1, 0, 2, "unknown ph"},
    {"null argument", PLACED("X", "\"ts\":1.000,\"dur\":1.000,\"args\":{\"bytes\":null}"), 1, 1, 0, 2, "bytes"},
    {"text time", PLACED("X", "\"ts\":\"1.000\",\"dur\":1.000"), 2, 1, 0, 2, "no number"},
    {"exponent", PLACED("X", "\"ts\":1e3,\"dur\":1.000"), 2, 1, 0, 2, "exponent"},
    {"negative time", PLACED("X", "\"ts\":-1.000,\"dur\":1.000"), 2, 1, 0, 2, "negative"},
    {"no duration", PLACED("X", "\"ts\":1.000"), 2, 1, 0, 2, "without \"dur\""},
    {"epoch", PLACED("X", "\"ts\":1700000000123456.000,\"dur\":1.000"), 2, 1, 0, 2, "beyond"},
    {"late", PLACED("X", "\"ts\":170000000012345.000,\"dur\":1.000"), 2, 1, 0, 2, "trace's start"},
    {"few decimals", PLACED("X", "\"ts\":1.5,\"dur\":1.000"), 2, 0, 1, 2, "1 decimals"},
    {"rounded child", X("a", "0.000", "10.000") "," X("b", "1.000", "9.050"), 3, 1, 0, 3, "0.050 us"},
    {"rounded neighbour", X("a", "0.000", "10.000") "," X("b", "9.999", "5.000"), 3, 1, 0, 3, "0.001 us"},
    {"partial overlap", X("a", "0.000", "10.000") "," X("b", "5.000", "10.000"), 4, 1, 0, 3, "overlaps \"a\" (event 2) by 5.000 us"},
    {"negative duration", X("a", "5.000", "-1.000"), 4, 1, 0, 2, "negative \"dur\""},
    {"B without E", PLACED("B", "\"ts\":1.000"), 5, 1, 0, 2, "no E"},
    {"E without B", PLACED("E", "\"ts\":1.000"), 5, 1, 0, 2, "ends nothing"},
    {"E of another name", PLACED("B", "\"ts\":1.000") ",{\"ph\":\"E\",\"name\":\"m\",\"pid\":1,\"tid\":1,\"ts\":2.000}", 5, 1, 0, 3,
     "another name"},
    {"no scope", PLACED("i", "\"ts\":1.000"), 6, 1, 0, 2, "missing"},
    {"unknown scope", PLACED("i", "\"ts\":1.000,\"s\":\"x\""), 6, 1, 0, 2, "not t, p or g"},
    {"async without id", PLACED("b", "\"ts\":1.000"), 7, 1, 0, 2, "without an id"},
    {"async that never ends", PLACED("b", "\"ts\":1.000,\"id\":1"), 7, 1, 0, 2, "never ends"},
    {"async end alone", PLACED("e", "\"ts\":1.000,\"id2\":{\"local\":\"0x1\"}"), 7, 1, 0, 2, "without a begin"},
    {"async overlap",
     PLACED("b", "\"ts\":1.000,\"id\":1") "," PLACED("b", "\"ts\":2.000,\"id\":1") "," PLACED("e", "\"ts\":3.000,\"id\":1"), 7, 1, 0, 3,
     "is open"},
    {"flow outside spans",
     X("a", "0.000", "10.000") "," PLACED("s", "\"ts\":1.000,\"id\":1") "," PLACED("f", "\"ts\":20.000,\"id\":1,\"bp\":\"e\""), 8, 1, 0, 4,
     "in no span"},
    {"flow without bp", X("a", "0.000", "10.000") "," PLACED("s", "\"ts\":1.000,\"id\":1") "," PLACED("f", "\"ts\":2.000,\"id\":1"), 8, 1,
     0, 4, "bp"},
    {"flow with a text id", X("a", "0.000", "10.000") "," PLACED("s", "\"ts\":1.000,\"id\":\"7\""), 8, 1, 0, 3, "whole number"},
    {"flow without end", X("a", "0.000", "10.000") "," PLACED("s", "\"ts\":1.000,\"id\":1"), 8, 1, 0, 3, "no end"},
    {"flow back in time",
     X("a", "0.000", "10.000") "," PLACED("s", "\"ts\":5.000,\"id\":1") "," PLACED("f", "\"ts\":2.000,\"id\":1,\"bp\":\"e\""), 8, 1, 0, 4,
     "before it starts"},
    {"counter without numbers", PLACED("C", "\"ts\":1.000,\"args\":{\"value\":\"7\"}"), 9, 1, 0, 2, "no number"},
    {"counter without args", PLACED("C", "\"ts\":1.000"), 9, 1, 0, 2, "without an object"},
    {"two counters in one", PLACED("C", "\"ts\":1.000,\"args\":{\"a\":1,\"b\":2}"), 9, 1, 0, 2, "2 values"},
    {"pid is a text", "{\"ph\":\"X\",\"name\":\"n\",\"pid\":\"1\",\"tid\":1,\"ts\":1.000,\"dur\":1.000}", 10, 1, 0, 2, "no whole number"},
    {"tid too large", "{\"ph\":\"X\",\"name\":\"n\",\"pid\":1,\"tid\":4294967296,\"ts\":1.000,\"dur\":1.000}", 10, 1, 0, 2, "out of range"},
    {"no tid", "{\"ph\":\"X\",\"name\":\"n\",\"pid\":1,\"ts\":1.000,\"dur\":1.000}", 10, 1, 0, 2, "missing"},
    {"name is a number", "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":2,\"args\":{\"name\":3}}", 10, 1, 0, 2, "thread_name"},
    {"a track without a name", "{\"ph\":\"X\",\"name\":\"n\",\"pid\":1,\"tid\":2,\"ts\":1.000,\"dur\":1.000}", 10, 0, 1, 2,
     "no thread_name"},
};

static void check_text(const char *text, hm_trace_report *report)
{
    hm_error err = {0};
    if (hm_trace_check_text(text, strlen(text), "test.json", report, &err))
        fail_msg("%s", err.text);
}

static void every_rule_names_its_first_offender(void **state)
{
    (void)state;
    static char text[8192];
    bool seen[HM_TRACE_RULE_END] = {false};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const broken_case *c = &cases[i];
        hm_trace_report r;
        snprintf(text, sizeof text, HEAD NAMES "%s]}", c->events);
        check_text(text, &r);
        if (r.errors != c->errors || r.warnings != c->warnings)
            for (int k = 1; k < HM_TRACE_RULE_END; k++)
                if (r.rules[k].first[0])
                    print_message("%s: rule %d: %s\n", c->title, k, r.rules[k].first);
        if (r.errors != c->errors || r.warnings != c->warnings)
            fail_msg("%s: %d errors, %d warnings", c->title, (int)r.errors, (int)r.warnings);
        if (!c->rule)
            continue;
        const hm_trace_finding *f = &r.rules[c->rule];
        seen[c->rule] = true;
        if (f->errors != c->errors || f->first_event != c->first || !strstr(f->first, c->says))
            fail_msg("%s: event %d: %s", c->title, (int)f->first_event, f->first);
    }
    for (int k = 1; k < HM_TRACE_RULE_END; k++)
        assert_true(seen[k] && *hm_trace_rule_text(k));
}

static void pairs_of_b_and_e_count_as_spans_for_flows(void **state)
{
    (void)state;
    hm_trace_report r;
    check_text(HEAD NAMES PLACED("B", "\"ts\":0.000") "," PLACED("s", "\"ts\":1.000,\"id\":1") "," PLACED("E", "\"ts\":2.000") "," X(
                   "k", "3.000", "1.000") "," PLACED("f", "\"ts\":3.000,\"id\":1,\"bp\":\"e\"") "]}",
               &r);
    assert_int_equal(r.errors, 0);
    assert_int_equal(r.rules[HM_TRACE_FLOW].checked, 2);
}

static void nesting_deeper_than_viewers_show_is_an_error(void **state)
{
    (void)state;
    char *text = calloc(1, 200000);
    size_t at = (size_t)sprintf(text, HEAD NAMES);
    for (int i = 0; i <= 512; i++)
        at += (size_t)sprintf(text + at, "%s{\"ph\":\"X\",\"name\":\"n\",\"pid\":1,\"tid\":1,\"ts\":%d.000,\"dur\":%d.000}", i ? "," : "",
                              i, 2000 - i);
    sprintf(text + at, "]}");
    hm_trace_report r;
    check_text(text, &r);
    assert_int_equal(r.rules[HM_TRACE_NESTING].errors, 1);
    free(text);
}

static void forms_other_than_the_object_are_told(void **state)
{
    (void)state;
    hm_trace_report r;
    check_text("[" X("a", "0.000", "1.000") "]", &r);
    assert_non_null(strstr(r.rules[1].first, "array form"));
    check_text("[" X("a", "0.000", "1.000") ",", &r);
    assert_int_equal(r.events, 1);
    assert_non_null(strstr(r.rules[1].first, "without an end"));
    check_text("[" X("a", "0.000", "1.000") ",{\"ph\":\"X\",\"na", &r);
    assert_int_equal(r.events, 1);
    check_text("{\"displayTimeUnit\":\"ms\",\"otherData\":{}}", &r);
    assert_non_null(strstr(r.rules[1].first, "traceEvents"));
    check_text("{\"displayTimeUnit\":\"hours\",\"otherData\":{\"a\":1},\"traceEvents\":[]}", &r);
    assert_int_equal(r.errors, 1);
    assert_int_equal(r.warnings, 1);
    check_text("{\"traceEvents\":[]}", &r);
    assert_int_equal(r.errors, 0);
    assert_int_equal(r.warnings, 2);
}

static void what_is_no_trace_is_a_malformed_file(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "   ",
                                      "7",
                                      "\"x\"",
                                      "{",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1}x",
                                      "{\"traceEvents\":[",
                                      "[1 2]",
                                      "{\"traceEvents\":[{\"ph\":\"X\"",
                                      "{\"traceEvents\":[{\"ph\":}]}",
                                      "[{\"ph\":\"i\",\"ph\":\"i\"}]",
                                      "[}",
                                      "{\"traceEvents\":[],\"traceEvents\":[]}",
                                      "{\"traceEvents\":[{]}]}",
                                      "[]]",
                                      "{\"a\":nul}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hm_trace_report r;
        hm_error err = {0};
        hm_status st = hm_trace_check_text(bad[i], strlen(bad[i]), "bad.json", &r, &err);
        if (st != HM_EFORMAT || !hm_mutate_sentence_ok(st, &err) || !strstr(err.text, "bad.json"))
            fail_msg("%s: %d %s", bad[i], (int)st, err.text);
    }
}

static void files_that_are_missing_folders_or_cut_short_are_told(void **state)
{
    (void)state;
    hm_trace_report r;
    hm_error err;
    assert_int_equal(hm_trace_check("nowhere.json", &r, &err), HM_EMISSING);
    assert_int_equal(hm_trace_check("/", &r, &err), HM_EMISSING);
    gzFile f = gzopen("check_test.json.gz", "wb");
    gzputs(f, HEAD NAMES);
    for (int i = 0; i < 5000; i++)
        gzprintf(f, "{\"ph\":\"X\",\"name\":\"n\",\"pid\":1,\"tid\":1,\"ts\":%d.%03d,\"dur\":0.500},", 7 * i, i % 313);
    gzputs(f, X("last", "99999.000", "1.000") "]}");
    gzclose(f);
    assert_int_equal(hm_trace_check("check_test.json.gz", &r, &err), HM_OK);
    assert_int_equal(r.events, 5003);
    assert_int_equal(r.errors, 0);
    assert_int_equal(truncate("check_test.json.gz", 9000), 0);
    assert_int_equal(hm_trace_check("check_test.json.gz", &r, &err), HM_EFORMAT);
    assert_true(hm_mutate_sentence_ok(HM_EFORMAT, &err));
}

static void times_are_read_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        hm_trace_time result;
        int64_t ns;
        int decimals;
    } rows[] = {{"0.000", HM_TIME_OK, 0, 3},
                {"12345678901.234", HM_TIME_OK, 12345678901234, 3},
                {"-0.001", HM_TIME_OK, -1, 3},
                {"7", HM_TIME_OK, 7000, 0},
                {"1.5", HM_TIME_OK, 1500, 1},
                {"1.99999", HM_TIME_OK, 1999, 5},
                {"1e3", HM_TIME_EXPONENT, 0, 0},
                {"\"1\"", HM_TIME_NOT_A_NUMBER, 0, 0},
                {"", HM_TIME_NOT_A_NUMBER, 0, 0},
                {"null", HM_TIME_NOT_A_NUMBER, 0, 0},
                {"1234567890123456", HM_TIME_TOO_LARGE, 0, 0},
                {"1.0E5", HM_TIME_EXPONENT, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ns = 0;
        int decimals = 0;
        assert_int_equal(hm_trace_parse_us(rows[i].text, strlen(rows[i].text), &ns, &decimals), rows[i].result);
        assert_int_equal(ns, rows[i].ns);
        assert_int_equal(decimals, rows[i].decimals);
    }
}

/* clang-format off */
static const char full[] = HEAD NAMES
    X("generate", "0.000", "100.000") "," X("frame", "1.000", "9.000") "," X("frame", "10.000", "9.000") ","
    PLACED("s", "\"ts\":2.000,\"id\":1") "," PLACED("f", "\"ts\":11.000,\"id\":1,\"bp\":\"e\"") ","
    PLACED("i", "\"ts\":1.000,\"s\":\"t\"") "," PLACED("b", "\"ts\":1.000,\"id\":1") "," PLACED("e", "\"ts\":2.000,\"id\":1") ","
    PLACED("B", "\"ts\":200.000") "," PLACED("E", "\"ts\":201.000") "," PLACED("C", "\"ts\":1.000,\"args\":{\"value\":1.000}") "]}";
/* clang-format on */

static void mutated_traces_are_judged_or_refused_with_a_sentence(void **state)
{
    (void)state;
    hm_mutator m;
    int refused = 0, faulty = 0, clean = 0;
    hm_mutator_open(&m, full, sizeof full - 1, 1);
    for (int i = 0; i < 6000; i++) {
        size_t size;
        const uint8_t *data = hm_mutate(&m, &size);
        hm_trace_report r;
        hm_trace_summary summary = {0};
        hm_error err = {0};
        hm_status st = hm_trace_check_text((const char *)data, size, "mutated.json", &r, &err);
        if (st && !hm_mutate_sentence_ok(st, &err))
            fail_msg("%s: %s", m.last, err.text);
        hm_status again = hm_trace_summarise_text((const char *)data, size, "mutated.json", &summary, &err);
        if (!again != !st)
            fail_msg("%s: check and stats disagree about what can be read: %s", m.last, err.text);
        hm_trace_summary_free(&summary);
        refused += st != HM_OK;
        faulty += !st && r.errors;
        clean += !st && !r.errors;
    }
    hm_mutator_close(&m);
    assert_true(refused > 1000 && faulty > 200 && clean > 100);
}

static const hm_trace_row *row_of(const hm_trace_summary *s, const char *name)
{
    for (int i = 0; i < s->count; i++)
        if (!strcmp(s->rows[i].name, name))
            return &s->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void figures_follow_the_nesting(void **state)
{
    (void)state;
    static const char text[] =
        HEAD NAMES X("generate", "0.000", "100.000") "," X("frame", "0.000", "40.000") "," X("backbone", "5.000", "20.000") "," X(
            "linear", "6.000", "3.000") "," X("linear", "9.000", "4.000") "," X("frame", "40.000",
                                                                                "50.000") "," X("backbone", "41.000",
                                                                                                "30.000") "," X("decode", "100.000",
                                                                                                                "60.000") "]}";
    hm_trace_summary s;
    hm_error err;
    assert_int_equal(hm_trace_summarise_text(text, strlen(text), "t.json", &s, &err), HM_OK);
    assert_int_equal(s.frames, 2);
    assert_int_equal(s.total_ns, 160000);
    const hm_trace_row *frame = row_of(&s, "frame"), *backbone = row_of(&s, "backbone"), *linear = row_of(&s, "linear");
    assert_int_equal(row_of(&s, "generate")->self_ns, 10000);
    assert_int_equal(frame->total_ns, 90000);
    assert_int_equal(frame->self_ns, 40000);
    assert_int_equal(backbone->count, 2);
    assert_int_equal(backbone->min_ns, 20000);
    assert_int_equal(backbone->frames, 2);
    assert_int_equal(backbone->frame_ns, 90000);
    assert_int_equal(linear->count, 2);
    assert_int_equal(linear->frames, 1); /* it was recorded in one frame only */
    assert_int_equal(linear->frame_ns, 40000);
    assert_int_equal(linear->in_frames_ns, 7000);
    assert_int_equal(row_of(&s, "decode")->frames, 0);
    hm_trace_summary_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_names_its_first_offender),
        cmocka_unit_test(pairs_of_b_and_e_count_as_spans_for_flows),
        cmocka_unit_test(nesting_deeper_than_viewers_show_is_an_error),
        cmocka_unit_test(forms_other_than_the_object_are_told),
        cmocka_unit_test(what_is_no_trace_is_a_malformed_file),
        cmocka_unit_test(files_that_are_missing_folders_or_cut_short_are_told),
        cmocka_unit_test(times_are_read_exactly),
        cmocka_unit_test(mutated_traces_are_judged_or_refused_with_a_sentence),
        cmocka_unit_test(figures_follow_the_nesting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
