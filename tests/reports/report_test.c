/* A database in which everything was measured, through the program: journal, its tables as data, the page, the line. */
#define _GNU_SOURCE /* pipe2 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "reports/report.h"
#include "tests/cli_case.h"
#include "tests/planted_case.h"

static char *db;

static int setup(void **state)
{
    (void)state;
    if (make_case_folder())
        return 1;
    db = strdup(in_folder("planted.db"));
    plant_session(db);
    return 0;
}

static int teardown(void **state)
{
    free(db);
    return remove_folder(state);
}

static char *output_of(hm_run run)
{
    char *text = strdup(run.out);
    if (run.code)
        fail_msg("exit code %d: %s", run.code, run.err);
    run_free(&run);
    return text;
}

/* However wide the columns are: runs of spaces count as one. */
static void has(const char *text, const char *part)
{
    char *one = malloc(strlen(text) + 1), *o = one;
    for (const char *p = text; *p; p++)
        if (*p != ' ' || p[1] != ' ')
            *o++ = *p;
    *o = 0;
    bool found = strstr(one, part) != NULL;
    free(one);
    if (!found)
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

/* ---- journal ---- */

static void the_journal_tells_everything_that_was_measured(void **state)
{
    (void)state;
    char *text = output_of(run_program("journal", "--db", db)), *again = output_of(run_program("journal", "--db", db));
    assert_string_equal(text, again);
    has(text, "Tags: `branch=main`.");
    hm_run all = run_program("journal", "--db", db, "--session", "%");
    assert_int_equal(all.code, 66); /* no wildcard */
    run_free(&all);
    has(text, "| 0.1003 | ok |"); /* best, in its own table */
    has(text, "| backbone=cpu, codec=disk |");
    has(text, "| cpu |");
    has(text, "0.0503 bad"); /* beside the RTF, where arms stand together */
    has(text, "An arm whose audio was judged bad does not rank");
    has(text, "### Verdicts");
    has(text, "| short/plain | int8 | naive | wall | 8 | +3.1% | +2.1% to +4.2% | 2.0% | 1.5% | fail | slower than the margin |");
    has(text, "### Calibration");
    has(text, "| 8 | 1.25% | -20.00% | 0.440 |"); /* stored as ln 0.8 */
    has(text, "### Fidelity");
    has(text, " 97.00 | 0.0031 | 0.125 | 21.5 |");
    has(text, "| 3 | 125 | 96.00 | 0.0042 |");
    has(text, "### Cold and warm");
    has(text, "| cold | 400.0 | 40.0 | 10.00x |");
    has(text, "### Memory ledger (MB)");
    has(text, "| 100.0 (90.0) | 8.0 (8.0) | 4.0 (5.0) | (77.0) |");
    has(text, "200.0 (180.0) | 1.11 |");
    has(text, "### Along a song: short/plain");
    has(text, "### Energy and counters");
    has(text, "| 50.00 | 30.00 |");
    has(text, "Counters: cache_misses: no such counter on this machine");
    free(text);
    free(again);
}

static void what_was_not_measured_is_a_dash_or_nothing(void **state)
{
    (void)state;
    char *empty = strdup(in_folder("empty.db"));
    hm_store *store = NULL;
    hm_error err = {0};
    plant_session(empty);
    GOOD(hm_store_open(&store, empty, HM_STORE_WRITE, &err));
    GOOD(hm_store_exec(
        store,
        "DELETE FROM fidelity; DELETE FROM fidelity_codebook; DELETE FROM verdict; DELETE FROM calibration; DELETE FROM "
        "frame_time; DELETE FROM machine_figure; UPDATE sample SET cold = NULL, health = NULL, places = NULL, energy_uj = NULL, "
        "energy_source = NULL, counter_note = NULL, cycles = NULL, instructions = NULL, context_switches = NULL, clock_khz = NULL, "
        "held_weight_bytes = NULL, kv_bytes = NULL, load_peak_bytes = NULL, predicted_total_bytes = NULL",
        &err));
    hm_store_close(&store);
    char *text = output_of(run_program("journal", "--db", empty));
    static const char *const gone[] = {
        "### Verdicts", "### Calibration", "### Cold and warm", "### Memory ledger", "### Along a song", "### Energy and counters", "nan",
        "inf"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        if (strstr(text, gone[i]))
            fail_msg("\"%s\" stands in a journal without it", gone[i]);
    has(text, "| 0.1003 | - |"); /* no verdict on the audio */
    has(text, "0.1003 ?");
    free(text);
    free(empty);
}

/* ---- formats ---- */

static json_t *load(const char *name)
{
    json_error_t error;
    json_t *j = json_load_file(in_folder(name), 0, &error);
    if (!j)
        fail_msg("%s: %s", name, error.text);
    return j;
}

static const json_t *row_of(const json_t *rows, const char *variant)
{
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) if (!strcmp(json_string_value(json_object_get(row, "variant")), variant)) return row;
    fail_msg("no row of %s", variant);
    return NULL;
}

static void near(const json_t *row, const char *key, double value)
{
    const json_t *found = json_object_get(row, key);
    if (!json_is_number(found) || fabs(json_number_value(found) - value) > 1e-9 * fabs(value) + 1e-12)
        fail_msg("%s is %g, expected %g", key, json_number_value(found), value);
}

static void tables_are_data_in_every_format(void **state)
{
    (void)state;
    char options[4][300];
    static const char *const names[] = {"json", "jsonl", "csv", "sql"};
    for (int i = 0; i < 4; i++)
        snprintf(options[i], sizeof options[i], "%s:%s", names[i], in_folder(names[i]));
    free(output_of(run_program("journal", "--db", db, "-O", options[0], "-O", options[1], "-O", options[2], "-O", options[3])));
    json_t *j = load("json"), *tables = json_object_get(j, "tables");
    assert_int_equal(json_integer_value(json_object_get(j, "schema_version")), HM_EXPORT_SCHEMA_VERSION);
    const json_t *best = row_of(json_object_get(tables, "arms"), "best"),
                 *hostile = row_of(json_object_get(tables, "arms"), PLANTED_HOSTILE);
    near(best, "rtf", (1000 + 2.625) / 10000); /* (4 round) mod 7 over 8 rounds: 21 / 8 */
    near(best, "n", PLANTED_ROUNDS);
    assert_string_equal(json_string_value(json_object_get(hostile, "health")), "bad");
    near(row_of(json_object_get(tables, "ledger"), "int8"), "predicted_mb", 180);
    near(row_of(json_object_get(tables, "fidelity"), "int8"), "mean_kl", 0.0031);
    assert_true(
        json_is_null(json_object_get(row_of(json_object_get(tables, "fidelity"), PLANTED_HOSTILE), "speed_up"))); /* it does not rank */
    near(row_of(json_object_get(tables, "verdicts"), "int8"), "high", 1.042);
    size_t rows = 0, lines = 0;
    const char *key;
    json_t *table;
    json_object_foreach(tables, key, table) rows += json_array_size(table);
    json_decref(j);
    FILE *f = fopen(in_folder("jsonl"), "r");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, f) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        assert_non_null(json_string_value(json_object_get(o, "table")));
        assert_int_equal(json_integer_value(json_object_get(o, "schema_version")), HM_EXPORT_SCHEMA_VERSION);
        json_decref(o);
        lines++;
    }
    free(line);
    fclose(f);
    assert_int_equal(lines, rows);
}

static void exported_sql_makes_tables_of_their_own(void **state)
{
    (void)state;
    char option[300];
    hm_map sql = {0};
    hm_error err = {0};
    sqlite3 *plain = NULL;
    sqlite3_stmt *stmt = NULL;
    snprintf(option, sizeof option, "sql:%s", in_folder("again.sql"));
    free(output_of(run_program("journal", "--db", db, "-O", option)));
    GOOD(hm_map_read(&sql, in_folder("again.sql"), 1 << 20, &err));
    assert_int_equal(sqlite3_open(":memory:", &plain), SQLITE_OK);
    assert_int_equal(sqlite3_exec(plain, (const char *)sql.data, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(plain, "SELECT count(*), max(typeof(rtf)), max(variant) FROM journal_arms WHERE schema_version = 1",
                                        -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), PLANTED_ARMS);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 1), "real");
    assert_string_equal((const char *)sqlite3_column_text(stmt, 2), "naive");
    sqlite3_finalize(stmt);
    sqlite3_close(plain);
    hm_map_close(&sql);
}

static void formats_and_files_are_checked_before_any_work(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        int code;
        const char *words;
    } cases[] = {{"jsn:x", 64, "did you mean \"json\""},
                 {"json", 64, "FORMAT:FILE"},
                 {"json:-", 64, "-o json"},
                 {"csv:/nowhere/x.csv", 73, "/nowhere/x.csv"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_run run = run_program("journal", "--db", "/nowhere/there.db", "-O", (char *)(uintptr_t)cases[i].option);
        assert_int_equal(run.code, cases[i].code);
        has(run.err, cases[i].words);
        run_free(&run);
    }
    assert_int_equal(files("csv."), 0);
}

static void lists_are_data_too(void **state)
{
    (void)state;
    char option[300];
    snprintf(option, sizeof option, "json:%s", in_folder("metrics.json"));
    char *lines = output_of(run_program("list", "toggles", "-o", "jsonl")),
         *people = output_of(run_program("list", "metrics", "-O", option));
    json_t *first = json_loads(lines, JSON_DISABLE_EOF_CHECK, NULL), *metrics = load("metrics.json");
    assert_string_equal(json_string_value(json_object_get(first, "kind")), "list");
    assert_string_equal(json_string_value(json_object_get(first, "kind_")), "bitwise"); /* the toggle's, not the document's */
    assert_true(json_array_size(json_object_get(json_object_get(metrics, "tables"), "metrics")) > 20);
    has(people, "name"); /* the table is printed as well */
    json_decref(first);
    json_decref(metrics);
    free(lines);
    free(people);
}

/* ---- page ---- */

static const char *skip_name(const char *p)
{
    while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == ':' || *p == '_')
        p++;
    return p;
}

/* A reference such as &lt; or &#39; at p; past it, or fails. */
static const char *entity(const char *p)
{
    const char *end = strchr(p, ';');
    if (!end || end - p > 8 || end == p + 1)
        fail_msg("a bare & at: %.60s", p);
    return end + 1;
}

/* Strict: every element closed in order, attributes in quotes and once, no bare < or &. */
static void expect_well_formed(const char *text)
{
    char open[64][24];
    int depth = 0;
    const char *p = text;
    if (!strncmp(p, "<!DOCTYPE html>", 15))
        p += 15;
    while (*p) {
        if (*p == '&') {
            p = entity(p);
        } else if (*p != '<') {
            p++;
        } else if (!strncmp(p, "<!--", 4)) {
            p = strstr(p, "-->");
            assert_non_null(p);
            p += 3;
        } else if (p[1] == '/') {
            const char *end = skip_name(p + 2);
            if (*end != '>' || !depth || strlen(open[depth - 1]) != (size_t)(end - p) - 2 ||
                strncmp(open[depth - 1], p + 2, (size_t)(end - p) - 2))
                fail_msg("<%s> is closed by %.40s", depth ? open[depth - 1] : "nothing", p);
            depth--;
            p = end + 1;
        } else {
            const char *end = skip_name(p + 1);
            if (end == p + 1 || depth == 64)
                fail_msg("no element: %.60s", p);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)(end - p) - 1, p + 1);
            p = end;
            for (;;) {
                p += strspn(p, " \t\r\n");
                if (*p == '>' || (*p == '/' && p[1] == '>'))
                    break;
                const char *name = p;
                p = skip_name(p);
                const char *quoted = p + strspn(p, " =");
                if (p == name || !memchr(p, '=', (size_t)(quoted - p)) || (*quoted != '"' && *quoted != '\''))
                    fail_msg("an attribute at: %.60s", name);
                char quote = *quoted;
                for (p = quoted + 1; *p != quote; p++) {
                    if (*p == '&')
                        entity(p);
                    if (!*p || *p == '<')
                        fail_msg("an attribute that does not end: %.60s", name);
                }
                p++;
            }
            depth -= *p == '/';
            p += 1 + (*p == '/');
        }
    }
    if (depth)
        fail_msg("<%s> is never closed", open[depth - 1]);
}

static void the_page_is_well_formed_and_asks_nobody(void **state)
{
    (void)state;
    static const char *const never[] = {"http:", "https:",  " src=",  "@import", "<script>alert",
                                        "<link", "<iframe", "url(\"", "url('",   "url(//"};
    static const char *const shown[] = {"<h1>hmbench report</h1>",
                                        "95 % interval",
                                        "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#39;|",
                                        "audio ok",
                                        "hmbench suite short -V &#39;a &amp; &lt;b&gt;&#39; --seed 12345",
                                        "Memory ledger",
                                        "Fidelity",
                                        "Content-Security-Policy"};
    char *path = strdup(in_folder("report.html"));
    hm_map page = {0};
    hm_error err = {0};
    free(output_of(run_program("report", "--db", db, "-o", path)));
    GOOD(hm_map_read(&page, path, 8 << 20, &err));
    const char *text = (const char *)page.data;
    expect_well_formed(text);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(text, never[i]))
            fail_msg("the page has \"%s\"", never[i]);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strstr(text, shown[i]))
            fail_msg("the page has no \"%s\"", shown[i]);
    if (!system("command -v gnuplot >/dev/null"))
        assert_true(strstr(text, "<svg") && strstr(text, "id=\"p1-"));
    hm_map_close(&page);
    free(path);
}

static void pictures_become_parts_of_a_page(void **state)
{
    (void)state;
    char *svg = hm_report_embed_svg(
        "<?xml version=\"1.0\"?><!DOCTYPE svg><svg xmlns=\"http://www.w3.org/2000/svg\" "
        "xmlns:xlink=\"http://www.w3.org/1999/xlink\" id=\"a\"><g id='b'/><use xlink:href='#b'/><i f=\"url(#b)\"/></svg>",
        "p7-");
    assert_string_equal(svg, "<svg   id=\"p7-a\"><g id='p7-b'/><use href='#p7-b'/><i f=\"url(#p7-b)\"/></svg>");
    free(svg);
    assert_null(hm_report_embed_svg("no picture", "p1-"));
}

static void a_run_is_a_line_to_paste(void **state)
{
    (void)state;
    char *line = output_of(run_program("report", "--db", db, "--line")),
         *all = output_of(run_program("report", "--db", db, "--line", "--explain", "--variant", "naive"));
    assert_int_equal(run_lines(line), 1);
    has(line, "| A CPU, 2 CPUs | A System | m (synthetic) | best |");
    has(line, "| short/plain | 10.0 | 1.00 ±0.00 | 0.1003 | 9.97x | 4.01 | 5/53/42 |");
    has(line, "| ok | 0.1.0 |");
    has(all, "| naive ");
    has(all, "- RTF: real-time factor, wall / audio: below 1 is faster than real time");
    has(all, "- x real time: the same upside down, audio / wall");
    free(line);
    free(all);
    hm_run run = run_program("report", "--db", db, "--line", "--variant", "nobody");
    assert_int_equal(run.code, 66);
    run_free(&run);
    run = run_program("report", "--db", db, "--explain");
    assert_int_equal(run.code, 64);
    run_free(&run);
    run = run_program("report", "--db", db, "--session", "ffff");
    assert_int_equal(run.code, 66);
    run_free(&run);
    run = run_program("report", "--db", db, "-o", "/nowhere/report.html");
    assert_int_equal(run.code, 73);
    run_free(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_journal_tells_everything_that_was_measured),
        cmocka_unit_test(what_was_not_measured_is_a_dash_or_nothing),
        cmocka_unit_test(tables_are_data_in_every_format),
        cmocka_unit_test(exported_sql_makes_tables_of_their_own),
        cmocka_unit_test(lists_are_data_too),
        cmocka_unit_test(formats_and_files_are_checked_before_any_work),
        cmocka_unit_test(the_page_is_well_formed_and_asks_nobody),
        cmocka_unit_test(pictures_become_parts_of_a_page),
        cmocka_unit_test(a_run_is_a_line_to_paste),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
