/* What a gate prints for machines: XML that is well-formed whatever the texts hold, lines that GitHub takes as one command each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "engine/base/map.h"
#include "harness/gate_report.h"
#include "harness/gate_session.h"

static void expect_xml(const char *text, const char *wanted)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    assert_non_null(file);
    hm_xml_text(text, file);
    fclose(file);
    assert_string_equal(out, wanted);
    free(out);
}

static void xml_holds_any_text(void **state)
{
    (void)state;
    expect_xml("a < b && \"c\" > 'd'", "a &lt; b &amp;&amp; &quot;c&quot; &gt; &apos;d&apos;");
    expect_xml("tab\tline\n", "tab\tline\n");
    expect_xml("\x01\x1b[31m\x7f", "??[31m?");
    expect_xml("Gr\xc3\xbc\xc3\x9f"
               "e \xe2\x82\xac \xf0\x9f\x8e\xb5",
               "Gr\xc3\xbc\xc3\x9f"
               "e \xe2\x82\xac \xf0\x9f\x8e\xb5");
    expect_xml("\xff\xc3", "??");                /* no UTF-8, and cut off */
    expect_xml("\xc0\xaf\xe0\x80\xaf", "?????"); /* longer than need be */
    expect_xml("\xed\xa0\x80", "???");           /* half of a pair */
    expect_xml("\xef\xbf\xbe"
               "x",
               "???x");                     /* U+FFFE */
    expect_xml("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
}

static hm_gate_row row(const char *label, const char *verdict, const char *reason)
{
    hm_gate_row r = {.ratio = 1.05, .low = 1.01, .high = 1.1, .rounds = 10, .margin = 0.02, .mde = NAN, .verdict = verdict};
    snprintf(r.label, sizeof r.label, "%s", label);
    snprintf(r.base, sizeof r.base, "best program=base");
    snprintf(r.arm, sizeof r.arm, "best");
    snprintf(r.reason, sizeof r.reason, "%s", reason);
    return r;
}

static char *written(void (*write)(const hm_gate_report *report, FILE *file), const hm_gate_report *report)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    assert_non_null(file);
    write(report, file);
    fclose(file);
    return out;
}

static void a_command_for_github_stays_on_its_line(void **state)
{
    (void)state;
    hm_gate_row rows[] = {row("a,b/c:d", "fail", "5 % worse\nor more"), row("s/ok", "pass", ""), row("s/open", "inconclusive", "undecided"),
                          row("s/fast", "improved", "faster"), row("s/bad", "invalid", "noise")};
    hm_gate_report report = {.verdict = "FAIL", .rows = rows, .row_count = 5};
    snprintf(rows[0].next, sizeof rows[0].next, "hmbench profile c");
    char *out = written(hm_gate_github, &report);
    assert_string_equal(out, "::error title=a%2Cb/c%3Ad FAIL::5 %25 worse%0Aor more; next: hmbench profile c\n"
                             "::warning title=s/open INCONCLUSIVE::undecided\n::error title=s/bad INVALID::noise\n");
    free(out);
}

static void junit_counts_what_it_holds(void **state)
{
    (void)state;
    char path[] = "/tmp/hm_junit_XXXXXX";
    hm_map map = {0};
    hm_error err = {0};
    hm_gate_row rows[] = {row("s/a", "fail", "<b> & \"c\""), row("s/b", "pass", ""), row("s/c", "inconclusive", "undecided"),
                          row("s/d", "invalid", "noise"), row("s/e", "differs", "audio")};
    hm_gate_report report = {.verdict = "FAIL", .rows = rows, .row_count = 5};
    snprintf(rows[0].next, sizeof rows[0].next, "x && y");
    close(mkstemp(path));
    assert_int_equal(hm_gate_junit(&report, path, &err), HM_OK);
    assert_int_equal(hm_map_open(&map, path, &err), HM_OK);
    char *text = strndup((const char *)map.data, map.size);
    hm_map_close(&map);
    assert_string_equal(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                              "<testsuite name=\"hmbench gate\" tests=\"5\" failures=\"2\" errors=\"1\" skipped=\"1\">\n"
                              "  <testcase classname=\"hmbench.gate.s\" name=\"a\">\n"
                              "    <failure message=\"&lt;b&gt; &amp; &quot;c&quot;\">x &amp;&amp; y</failure>\n  </testcase>\n"
                              "  <testcase classname=\"hmbench.gate.s\" name=\"b\">\n  </testcase>\n"
                              "  <testcase classname=\"hmbench.gate.s\" name=\"c\">\n    <skipped message=\"undecided\"/>\n  </testcase>\n"
                              "  <testcase classname=\"hmbench.gate.s\" name=\"d\">\n    <error message=\"noise\"/>\n  </testcase>\n"
                              "  <testcase classname=\"hmbench.gate.s\" name=\"e\">\n    <failure message=\"audio\"/>\n  </testcase>\n"
                              "</testsuite>\n");
    free(text);
    unlink(path);
    assert_int_equal(hm_gate_junit(&report, "/nowhere/j.xml", &err), HM_ECREATE);
}

static void memory_may_grow_by_a_hundredth_or_sixteen_mebibytes(void **state)
{
    (void)state;
    char reason[200];
    double mib = 1024 * 1024;
    assert_false(hm_gate_memory_fails(100 * mib, 116 * mib, reason, sizeof reason));
    assert_true(hm_gate_memory_fails(100 * mib, 116.1 * mib, reason, sizeof reason));
    assert_non_null(strstr(reason, "peak memory 121.7 MB against 104.9 MB"));
    assert_false(hm_gate_memory_fails(4000 * mib, 4040 * mib, reason, sizeof reason));
    assert_true(hm_gate_memory_fails(4000 * mib, 4041 * mib, reason, sizeof reason));
    assert_false(hm_gate_memory_fails(4000 * mib, 100 * mib, reason, sizeof reason));
    assert_false(hm_gate_memory_fails(NAN, 4000 * mib, reason, sizeof reason)); /* not measured */
}

static void tolerances_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"launches", "=1%", "launches=", "launches=x", "launches=-1%", "launches=1%%"};
    hm_strings good = {{"launches=1%", "span generate/frame=2.5%"}, 2};
    hm_error err = {0};
    double share;
    assert_int_equal(hm_gate_tolerance(&good, "span generate/frame", &share, &err), HM_OK);
    assert_true(fabs(share - 0.025) < 1e-12);
    assert_int_equal(hm_gate_tolerance(&good, "rows", &share, &err), HM_OK);
    assert_true(share == 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        hm_strings one = {{bad[i]}, 1};
        assert_int_equal(hm_gate_tolerance(&one, "rows", &share, &err), HM_EUSAGE);
        assert_non_null(strstr(err.text, bad[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xml_holds_any_text),
        cmocka_unit_test(a_command_for_github_stays_on_its_line),
        cmocka_unit_test(junit_counts_what_it_holds),
        cmocka_unit_test(memory_may_grow_by_a_hundredth_or_sixteen_mebibytes),
        cmocka_unit_test(tolerances_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
