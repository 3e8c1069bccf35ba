/* Databases of every older version, exports, imports, merges: what is kept, what is refused, what is left alone. */
#include "tests/transfer_case.h"

#include "harness/metrics.h"

static char *export_text(const char *path, const char *session, hm_export_format format)
{
    char *text = NULL;
    size_t size;
    hm_error err = {0};
    FILE *f = open_memstream(&text, &size);
    if (hm_store_export(path, session, format, f, &err))
        fail_msg("%s", err.text);
    fclose(f);
    return text;
}

/* What every fixture holds, whatever its version. */
static void expect_content(hm_store *store)
{
    static const struct {
        const char *sql, *wanted;
    } facts[] = {
        {"SELECT group_concat(cpu_model || cores || cpu_quota || coalesce(container, '-')) FROM machine", "A CPU21.5-"},
        {"SELECT lyrics || '|' || tags || '|' || seed FROM suite_case WHERE id = 'c1'", "[Verse]\nla; la\n-- no comment|pop, it's|-1"},
        {"SELECT group_concat(state || interrupted || order_seed || kind) FROM (SELECT * FROM session ORDER BY id)",
         "done1-5suite,running06suite"},
        {"SELECT group_concat(name || coalesce(toggles, '-') || coalesce(program, '-')) FROM (SELECT * FROM arm ORDER BY id)",
         "naivekv=0-,bestkv=1-,other--"},
        {"SELECT count(*) || max(coalesce(reason, '')) || sum(dropped_reason IS NULL) FROM run", "5signal 65"},
        {"SELECT count(*) || ' ' || sum(wall_ns) || ' ' || sum(frame_flops) || ' ' || max(health_reasons) FROM sample",
         "4 7000000000 8002.0 a long silence"},
        {"SELECT group_concat(wall_ms) FROM (SELECT * FROM figure ORDER BY run_id)", "1000.0,2000.0,1500.0,2500.0"},
        {"SELECT group_concat(arm || n || ' ' || wall_ms || ' ' || round(rtf, 3) || ' ' || round(wall_sd_ms, 3)) FROM (SELECT * FROM arm_figure ORDER "
         "BY arm_position)",
         "naive2 1250.0 5.208 353.553,best2 2250.0 9.375 353.553"},
        {"SELECT sum(value) FROM count", "196"},
        {"SELECT count(*) || max(self_ns) FROM span", "4900"},
        {"SELECT sum(codes_equal) || ' ' || max(logit_diff) || ' ' || max(first_diff) FROM figure", "2 0.25 2"},
        {"SELECT length(codes) || hex(substr(codes, 90, 3)) FROM stored_codes", "96595A5B"},
        {"SELECT count(*) || max(path) FROM artifact", "2j.md"},
        {"SELECT sum(energy_j IS NULL AND clock_mhz IS NULL AND cold IS NULL) FROM figure", "4"},
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        expect(store, facts[i].sql, facts[i].wanted);
}

static void expect_content_of(hm_store *store, int version)
{
    expect_content(store);
    expect(store, "SELECT coalesce(max(snr_db) > 1e300 AND min(snr_db) = 30.5 AND max(relative_rms) IS NULL, 'none') FROM fidelity",
           version < 2 ? "none" : "1");
    expect(store, "SELECT count(*) || coalesce(max(text), '') || coalesce(max(top_p), '') FROM suite_case",
           version < 3 ? "1" : "2hello there0.8");
    expect(store, "SELECT count(*) || coalesce(max(ttfa_ms), '') || coalesce(max(c50), '') FROM stream_figure",
           version < 3 ? "0" : "481.00");
    expect(store, "SELECT group_concat(name || type || value) FROM (SELECT * FROM machine_figure ORDER BY name)",
           version < 4 ? "NULL" : "cachebytes100.5,flopsf32300.0,memorybytes20.25");
    expect(store, "SELECT coalesce(max(top1) || ' ' || max(mean_kl), 'none') FROM fidelity", version < 5 ? "none" : "0.75 0.5");
    expect(store, "SELECT count(*) || coalesce(max(max_logit_difference), '') FROM fidelity_codebook", version < 5 ? "0" : "12.5");
    expect(store, "SELECT coalesce(max(windows) || ' ' || max(encode_ns), 'none') FROM sample", version < 8 ? "none" : "3 2500000");
    expect(store, "SELECT count(*) || coalesce(max(total_ns), '') FROM frame_time", version < 5 ? "0" : "19000");
    expect(store, "SELECT count(*) || coalesce(max(reason), '') FROM verdict", version < 5 ? "0" : "1slower");
    expect(store, "SELECT count(*) || coalesce(sum(pass_bytes), '') FROM sample_part", version < 6 ? "0" : "21200");
    expect(store, "SELECT count(*) FROM fidelity_codebook WHERE relative_rms = 0.0625", version < 6 ? "0" : "1");
    expect(store, "SELECT sum(device IS NULL AND software IS NULL) FROM run", "5");
    expect(store, "SELECT sum(device IS NULL AND env_profile IS NULL AND environment IS NULL) FROM arm", "3");
    expect(store, "SELECT count(*) FROM pragma_foreign_key_check", "0");
    expect(store, "PRAGMA integrity_check", "ok");
}

static void every_older_version_grows_with_all_it_holds(void **state)
{
    (void)state;
    for (int version = 1; version < hm_store_schema_version(); version++) {
        hm_error err = {0};
        hm_store *store = NULL;
        char path[160];
        snprintf(path, sizeof path, "%s", in_folder("old.db"));
        write_old(path, version);
        assert_int_equal(hm_store_open(&store, path, HM_STORE_READ, &err), HM_EIO); /* a reader changes nothing */
        assert_non_null(strstr(err.text, "hmbench db info"));
        store = open_store(path, HM_STORE_WRITE);
        expect_content_of(store, version);
        GOOD(hm_store_check_schema(store, hm_store_schema_version(), &err));
        GOOD(hm_store_check_values(store, &err));
        hm_store_close(&store);
        store = open_store(path, HM_STORE_READ);
        expect_content_of(store, version);
        hm_store_close(&store);
        unlink(path);
    }
}

static int count_commit(void *self)
{
    ++*(int *)self;
    return 0;
}

static void nobody_sees_a_file_between_two_versions(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_store *store = NULL;
    int commits = 0;
    write_old(in_folder("old.db"), 1);
    GOOD(hm_store_open_raw(&store, in_folder("old.db"), HM_STORE_WRITE, &err));
    sqlite3_commit_hook(store->db, count_commit, &commits);
    GOOD(hm_store_migrate(store, hm_store_schema_version(), &err));
    assert_int_equal(commits, 1);
    GOOD(hm_store_migrate(store, hm_store_schema_version(), &err)); /* nothing is due */
    assert_int_equal(commits, 1);
    expect_content_of(store, 1);
    hm_store_close(&store);
}

static void an_older_file_is_merged_and_stays_as_it_was(void **state)
{
    (void)state;
    for (int version = 1; version < hm_store_schema_version(); version++) {
        hm_error err = {0};
        char old[160], before[HM_HASH_TEXT], after[HM_HASH_TEXT];
        int64_t rows = 0;
        snprintf(old, sizeof old, "%s", in_folder("old.db"));
        write_old(old, version);
        GOOD(hm_hash_file(before, old, &err));
        hm_store *store = open_store(in_folder("new.db"), HM_STORE_CREATE);
        GOOD(hm_store_merge(store, old, &rows, &err));
        assert_true(rows > 30);
        expect_content_of(store, version);
        GOOD(hm_store_merge(store, old, &rows, &err));
        assert_int_equal(rows, 0);
        hm_store_close(&store);
        GOOD(hm_hash_file(after, old, &err));
        assert_string_equal(before, after);
        unlink(old);
        unlink(in_folder("new.db"));
    }
}

static void a_dump_of_every_older_version_is_imported(void **state)
{
    (void)state;
    for (int version = 1; version < hm_store_schema_version(); version++) {
        hm_error err = {0};
        int64_t rows = 0;
        char *text = fixture(version);
        hm_store *store = open_store(in_folder("new.db"), HM_STORE_CREATE);
        GOOD(import_text(store, text, &rows, &err));
        expect_content_of(store, version);
        GOOD(import_text(store, text, &rows, &err));
        assert_int_equal(rows, 0);
        hm_store_close(&store);
        unlink(in_folder("new.db"));
        free(text);
    }
}

static void the_list_of_tables_is_whole_and_in_order(void **state)
{
    (void)state;
    hm_store *store = open_store(in_folder("a.db"), HM_STORE_CREATE);
    char number[16];
    int n = 0;
    for (; hm_store_tables[n]; n++) {
        char sql[300];
        snprintf(sql, sizeof sql, "SELECT group_concat(\"table\") FROM pragma_foreign_key_list('%s')", hm_store_tables[n]);
        for (int later = n + 1; hm_store_tables[later]; later++) {
            char parents[600], wanted[80];
            snprintf(parents, sizeof parents, ",%s,", cell(store, sql));
            snprintf(wanted, sizeof wanted, ",%s,", hm_store_tables[later]);
            assert_null(strstr(parents, wanted));
        }
    }
    snprintf(number, sizeof number, "%d", n);
    expect(store, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'", number);
    hm_store_close(&store);
}

static void every_metric_has_its_column(void **state)
{
    (void)state;
    hm_store *store = full_store(in_folder("a.db"));
    for (const hm_metric *m = hm_metrics; m->name; m++) {
        char sql[200];
        if (!m->column)
            continue;
        snprintf(sql, sizeof sql, "SELECT coalesce(max(typeof(%s) NOT IN ('integer', 'real', 'null')), 0) FROM figure", m->column);
        if (strcmp(cell(store, sql), "0"))
            fail_msg("metric %s: figure.%s is no number", m->name, m->column);
        assert_ptr_equal(hm_metric_find(m->name), m);
    }
    assert_null(hm_metric_find("warp"));
    expect(store, "SELECT energy_j || ' ' || clock_mhz || ' ' || generate_gflop_s || ' ' || kv_mb FROM figure WHERE sample_id = 'x1'",
           "1.5 3000.0 1.2003e-05 1.1e-05");
    hm_store_close(&store);
}

static void what_is_exported_comes_back_the_same(void **state)
{
    (void)state;
    char first[160], second[160];
    full_file(first, "a.db");
    snprintf(second, sizeof second, "%s", in_folder("b.db"));
    char *sql = export_text(first, NULL, HM_EXPORT_SQL);
    for (int format = HM_EXPORT_JSON; format <= HM_EXPORT_SQL; format++) {
        hm_error err = {0};
        int64_t rows = 0;
        char *text = export_text(first, NULL, (hm_export_format)format), *again;
        hm_store *store = open_store(second, HM_STORE_CREATE);
        GOOD(import_text(store, text, &rows, &err));
        assert_true(rows > 40);
        GOOD(import_text(store, text, &rows, &err));
        assert_int_equal(rows, 0);
        hm_store_close(&store);
        again = export_text(second, NULL, HM_EXPORT_SQL);
        assert_string_equal(again, sql);
        free(again);
        free(text);
        unlink(second);
    }
    change_file(second, sql); /* and for sqlite3 itself */
    char *again = export_text(second, NULL, HM_EXPORT_SQL);
    assert_string_equal(again, sql);
    free(again);
    free(sql);
}

static void one_session_is_exported_with_what_it_rests_on_and_no_more(void **state)
{
    (void)state;
    hm_error err = {0};
    int64_t rows = 0;
    char path[160];
    full_file(path, "a.db");
    char *text = export_text(path, "e2", HM_EXPORT_JSONL);
    hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
    GOOD(import_text(store, text, &rows, &err));
    expect(store, "SELECT (SELECT group_concat(id) FROM session) || (SELECT group_concat(id) FROM run) || (SELECT count(*) FROM sample)",
           "e2r90");
    expect(store, "SELECT (SELECT count(*) FROM baseline) + (SELECT count(*) FROM verdict) + (SELECT count(*) FROM model)", "0");
    hm_store_close(&store);
    free(text);
    FILE *f = fopen("/dev/null", "w");
    assert_int_equal(hm_store_export(path, "zz", HM_EXPORT_SQL, f, &err), HM_EMISSING);
    assert_int_equal(hm_store_export(path, "e", HM_EXPORT_SQL, f, &err), HM_EUSAGE);
    fclose(f);
}

/* text with the first `from` replaced by `to`. malloc'ed. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *out = malloc(size);
    assert_non_null(at);
    snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static void refused(hm_store *store, const char *text, const char *why)
{
    hm_error err = {0};
    int64_t rows = 0;
    hm_status st = import_text(store, text, &rows, &err);
    if (st != HM_EFORMAT || !strstr(err.text, why))
        fail_msg("expected a refusal with \"%s\"; found %d: %s", why, (int)st, err.text);
    expect(store, "SELECT count(*) FROM session", "0");
    expect(store, "SELECT count(*) FROM machine", "0");
}

static void a_hostile_dump_does_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *why;
    } changes[] = {
        {"INSERT INTO machine(", "DROP TABLE machine;\nINSERT INTO machine(", "expected an INSERT"},
        {"INSERT INTO machine(", "ATTACH '/tmp/x.db' AS x;\nINSERT INTO machine(", "expected an INSERT"},
        {"INSERT INTO machine(", "PRAGMA writable_schema = ON;\nINSERT INTO machine(", "expected an INSERT"},
        {"INSERT INTO machine(", "INSERT INTO sqlite_schema VALUES('table','x','x',0,'');\nINSERT INTO machine(", "anything but values"},
        {"INSERT INTO machine(", "INSERT INTO session_tag SELECT 'e1', 'k', sql FROM sqlite_schema;\nINSERT INTO machine(",
         "anything but values"},
        {"INSERT INTO machine(", "INSERT INTO session_tag VALUES('e1', 'k', hex(zeroblob(1000000000)));\nINSERT INTO machine(",
         "not authorized"},
        {"INSERT INTO machine(", "INSERT INTO session_tag VALUES('e1', 'k', load_extension('x'));\nINSERT INTO machine(", "not authorized"},
        {"INSERT INTO machine(", "INSERT INTO session_tag VALUES('e1', 'k', (SELECT 1));\nINSERT INTO machine(", "anything but values"},
        {"INSERT INTO machine(",
         "INSERT INTO session_tag VALUES('e1', 'k', 'v') ON CONFLICT DO UPDATE SET value = 'x';\nINSERT INTO machine(",
         "anything but values"},
        {"INSERT INTO machine(", "INSERT INTO nothing VALUES(1);\nINSERT INTO machine(", "nothing"},
        {"CREATE TABLE machine(", "CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END;\nCREATE TABLE machine(",
         "its tables are not"},
        {"CREATE VIEW arm_figure", "CREATE VIEW arm_figures", "its tables are not"},
        {"schema version 5", "schema version 99", "knows 1 to"},
        {"schema version 5", "schema version 4", "its tables are not"},
        {"COMMIT;\n", "", "expected an INSERT"},
        {"COMMIT;\n", "COMMIT;\nDROP TABLE run;\n", "expected an INSERT"},
        {"'A CPU'", "'A CPU", "import"},
        {"'A CPU'", "X'00'", "import"},
        {"'e1','a1','c1'", "'e1','a9','c1'", "refers to a arm"},
        {"1000000000,5,100000000", "-1,5,100000000", "times or sizes cannot be"},
        {"X'0001", "X'00", "not their shape's"},
    };
    char path[160];
    full_file(path, "a.db");
    char *good = export_text(path, NULL, HM_EXPORT_SQL), version[32];
    hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *from = changes[i].from;
        if (strstr(from, "schema version")) {
            snprintf(version, sizeof version, "schema version %d", hm_store_schema_version());
            from = version;
        }
        char *bad = replaced(good, from, changes[i].to);
        refused(store, bad, strstr(changes[i].why, "not their shape's") ? "stored codes whose size" : changes[i].why);
        free(bad);
    }
    hm_store_close(&store);
    free(good);
}

static void hostile_json_does_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *why;
    } changes[] = {
        {"\"schema_version\":1", "\"schema_version\":2", "expected schema_version"},
        {"\"kind\":\"run\"", "\"kind\":\"virus\"", "expected a run or a row"},
        {"\"kind\":\"run\"", "\"kind\":\"run\",\"more\":1", "has no \"more\""},
        {"\"cpu_model\":", "\"cpu_modle\":", "did you mean \"cpu_model\""},
        {"\"cpu_model\":", "\"id) VALUES(1);--\":", "has no"},
        {"\"cpus\":2", "\"cpus\":\"2\"", "cpus: expected a whole number"},
        {"\"cpus\":2", "\"cpus\":2.5", "cpus: expected a whole number"},
        {"\"cpus\":2", "\"cpus\":null", "NOT NULL"},
        {"\"cpus\":2", "\"cpus\":99999999999999999999", "JSON"},
        {"\"cpus\":2", "\"cpus\":2,\"cpus\":3", "duplicate"},
        {"\"cpu_model\":\"A CPU\"", "\"cpu_model\":\"A\\u0000CPU\"", "JSON"},
        {"\"cpu_quota\":1.5", "\"cpu_quota\":\"NaN\"", "cpu_quota: expected a number"},
        {"\"status\":\"ok\"", "\"status\":\"fine\"", "CHECK"},
        {"\"round\":0", "\"round\":-1", "round, turn or time cannot be"},
        {"\"round\":0", "\"round\":4611686018427387904", "round, turn or time cannot be"},
        {"\"table\":\"artifact\"", "\"table\":\"sqlite_schema\"", "no table"},
        {"\"table\":\"artifact\"", "\"table\":\"figure\"", "no table"},
        {"\"codes\":\"00", "\"codes\":\"0", "pairs of hexadecimal"},
        {"\"codes\":\"00", "\"codes\":\"0g", "pairs of hexadecimal"},
        {"\"codes\":\"00", "\"codes\":\"", "stored codes whose size"},
        {"\"arm_id\":\"a1\"", "\"arm_id\":\"a7\"", "refers to a arm"},
        {"\"samples\":[", "\"samples\":3,\"sample\":[", "has no \"sample\""},
        {"{\"schema", "\n{\"schema", ""},
        {"}\n", "\n", "JSON"},
    };
    char path[160];
    full_file(path, "a.db");
    char *good = export_text(path, NULL, HM_EXPORT_JSONL);
    hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        char *bad = replaced(good, changes[i].from, changes[i].to);
        if (*changes[i].why)
            refused(store, bad, changes[i].why);
        free(bad);
    }
    char deep[20000] = "";
    memset(deep, '[', sizeof deep - 1);
    refused(store, deep, "JSON");
    refused(store, "", "nothing that");
    refused(store, "hello", "nothing that");
    refused(store, "SQLite format 3\nxxxxxxxx", "db merge");
    /* one bad line: the good ones before it do not come either */
    size_t n = strlen(good);
    char *longer = malloc(n + 8);
    memcpy(longer, good, n);
    strcpy(longer + n, "{}\n");
    refused(store, longer, "schema_version");
    free(longer);
    free(good);
    hm_store_close(&store);
}

static void of_several_files_all_come_or_none(void **state)
{
    (void)state;
    hm_error err = {0};
    int64_t rows = 0;
    char path[160];
    full_file(path, "a.db");
    char *one = export_text(path, "e1", HM_EXPORT_SQL), *two = export_text(path, "e2", HM_EXPORT_JSON);
    const char *paths[] = {in_folder("one.sql"), in_folder("two.json"), in_folder("bad.json")};
    put_text(paths[0], one);
    put_text(paths[1], two);
    put_text(paths[2], "[{}]");
    hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
    assert_int_equal(hm_store_import(store, paths, 3, &rows, &err), HM_EFORMAT);
    expect(store, "SELECT count(*) FROM session", "0");
    GOOD(hm_store_import(store, paths, 2, &rows, &err));
    expect(store, "SELECT count(*) FROM session", "2");
    expect(store, "SELECT count(*) FROM run", "5");
    hm_store_close(&store);
    free(one);
    free(two);
}

static void a_session_that_went_on_is_brought_up_to_date(void **state)
{
    (void)state;
    hm_error err = {0};
    int64_t rows = 0;
    char path[160];
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *from = full_store(path), *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
    GOOD(hm_store_merge(store, path, &rows, &err));
    GOOD(hm_store_end_session(from, "e2", "done", &err));
    GOOD(hm_store_exec(from, "UPDATE run SET dropped_reason = 'hot' WHERE id = 'r9'", &err));
    GOOD(hm_store_merge(store, path, &rows, &err));
    assert_int_equal(rows, 2);
    expect(store, "SELECT state || (ended_utc IS NULL) FROM session WHERE id = 'e2'", "done0");
    expect(store, "SELECT dropped_reason FROM run WHERE id = 'r9'", "hot");
    GOOD(hm_store_merge(store, path, &rows, &err));
    assert_int_equal(rows, 0);
    GOOD(hm_store_merge(from, in_folder("b.db"), &rows, &err)); /* an older state never wins */
    assert_int_equal(rows, 0);
    hm_store_close(&from);
    hm_store_close(&store);
}

static void a_file_that_is_not_what_it_says_is_not_merged(void **state)
{
    (void)state;
    static const char *const harm[] = {"CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END",
                                       "DROP VIEW figure; CREATE VIEW figure AS SELECT 1",
                                       "ALTER TABLE run ADD COLUMN more TEXT",
                                       "PRAGMA foreign_keys = OFF; DELETE FROM machine",
                                       "UPDATE sample SET frames = -5",
                                       "UPDATE session SET options = '{'"};
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        hm_error err = {0};
        int64_t rows = 0;
        char path[160];
        full_file(path, "a.db");
        change_file(path, harm[i]);
        hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
        if (hm_store_merge(store, path, &rows, &err) != HM_EFORMAT)
            fail_msg("%s: merged; %s", harm[i], err.text);
        expect(store, "SELECT count(*) FROM session", "0");
        hm_store_close(&store);
        unlink(path);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(every_older_version_grows_with_all_it_holds),
                                       CASE(nobody_sees_a_file_between_two_versions),
                                       CASE(an_older_file_is_merged_and_stays_as_it_was),
                                       CASE(a_dump_of_every_older_version_is_imported),
                                       CASE(the_list_of_tables_is_whole_and_in_order),
                                       CASE(every_metric_has_its_column),
                                       CASE(what_is_exported_comes_back_the_same),
                                       CASE(one_session_is_exported_with_what_it_rests_on_and_no_more),
                                       CASE(a_hostile_dump_does_nothing),
                                       CASE(hostile_json_does_nothing),
                                       CASE(of_several_files_all_come_or_none),
                                       CASE(a_session_that_went_on_is_brought_up_to_date),
                                       CASE(a_file_that_is_not_what_it_says_is_not_merged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
