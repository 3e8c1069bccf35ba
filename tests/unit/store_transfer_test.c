/* Databases of every older version, exports, imports, merges, checks, removals: what is kept, what is refused, what is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/hash.h"
#include "engine/base/map.h"
#include "harness/metrics.h"
#include "harness/store.h"
#include "harness/store_internal.h"
#include "tests/store_case.h"

static char folder[64];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hm_transfer_XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static char *in_folder(const char *name)
{
    static char paths[8][160];
    static int next;
    char *out = paths[next++ % 8];
    snprintf(out, sizeof paths[0], "%s/%s", folder, name);
    return out;
}

static char *read_text(const char *path)
{
    hm_map map = {0};
    hm_error err = {0};
    if (hm_map_read(&map, path, 1 << 24, &err))
        fail_msg("%s", err.text);
    char *text = strdup((const char *)map.data);
    hm_map_close(&map);
    return text;
}

static char *fixture(int version)
{
    char path[300];
    snprintf(path, sizeof path, "%s/store/schema%d.sql", HM_TEST_DATA, version);
    return read_text(path);
}

/* A file as an older program left it, from the text of its dump. */
static void write_old(const char *path, int version)
{
    sqlite3 *db = NULL;
    char *text = fixture(version);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL))
        fail_msg("version %d: %s", version, sqlite3_errmsg(db));
    sqlite3_close(db);
    free(text);
}

static hm_store *open_store(const char *path, hm_store_mode mode)
{
    hm_error err = {0};
    hm_store *store = NULL;
    if (hm_store_open(&store, path, mode, &err))
        fail_msg("%s", err.text);
    return store;
}

/* One cell of an answer; the last 8 are kept. */
static const char *cell(hm_store *store, const char *sql)
{
    static char texts[8][512];
    static int next;
    char *out = texts[next++ % 8];
    hm_error err = {0};
    hm_query q;
    hm_query_open(&q, store, sql, &err);
    bool there = hm_query_row(&q);
    const char *text = there ? hm_query_text(&q, 0) : "(no row)";
    snprintf(out, sizeof texts[0], "%s", text ? text : "NULL");
    if (hm_query_close(&q))
        fail_msg("%s: %s", sql, err.text);
    return out;
}

static void expect(hm_store *store, const char *sql, const char *wanted)
{
    const char *found = cell(store, sql);
    if (strcmp(found, wanted))
        fail_msg("%s\nexpected %s\nfound    %s", sql, wanted, found);
}

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

static void put_text(const char *path, const char *text)
{
    hm_error err = {0};
    GOOD(hm_file_write(path, text, strlen(text), &err));
}

static hm_status import_text(hm_store *store, const char *text, int64_t *rows, hm_error *err)
{
    const char *path = in_folder("import.txt");
    put_text(path, text);
    return hm_store_import(store, &path, 1, rows, err);
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
        {"SELECT count(*) FROM frame_time", "0"},
        {"SELECT count(*) FROM verdict", "0"},
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        expect(store, facts[i].sql, facts[i].wanted);
}

static void expect_content_of(hm_store *store, int version)
{
    expect_content(store);
    expect(store, "SELECT coalesce(max(snr_db) > 1e300 AND min(snr_db) = 30.5 AND min(top1) IS NULL, 'none') FROM fidelity",
           version < 2 ? "none" : "1");
    expect(store, "SELECT count(*) || coalesce(max(text), '') || coalesce(max(top_p), '') FROM suite_case",
           version < 3 ? "1" : "2hello there0.8");
    expect(store, "SELECT count(*) || coalesce(max(ttfa_ms), '') || coalesce(max(c50), '') FROM stream_figure",
           version < 3 ? "0" : "481.00");
    expect(store, "SELECT group_concat(name || type || value) FROM (SELECT * FROM machine_figure ORDER BY name)",
           version < 4 ? "NULL" : "cachebytes100.5,flopsf32300.0,memorybytes20.25");
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

/* A database of this version with rows in the tables that no older one has. */
static hm_store *make_full_store(const char *path)
{
    hm_error err = {0};
    char *text = fixture(4);
    int64_t rows;
    hm_store *store = open_store(path, HM_STORE_CREATE);
    GOOD(import_text(store, text, &rows, &err));
    free(text);
    GOOD(hm_store_exec(
        store,
        "INSERT INTO session_tag VALUES('e1', 'branch', 'main');"
        "INSERT INTO fidelity_codebook VALUES('e1', 'a2', 'c1', 0, 3, 0.5, 0.125, 2.5);"
        "INSERT INTO frame_time VALUES('x1', 0, 3, 9000);"
        "INSERT INTO calibration VALUES('e1', 'c1', 'a1', 10, 0.01, 0.001, 0.5);"
        "INSERT INTO baseline VALUES('release', 'e1', '2000-03-01T00:00:00.000Z');"
        "INSERT INTO verdict VALUES('v1', 'e1', NULL, 'a1', 'a2', 'wall', 10, 1.25, 1.0625, 1.5, 0.02, NULL, 'fail', 'slower');"
        "UPDATE run SET dropped_reason = 'throttled' WHERE id IN ('r3', 'r4');"
        "UPDATE sample SET energy_uj = 1500000, clock_khz = 3000000 WHERE id = 'x1'",
        &err));
    for (int i = 0; hm_store_tables[i]; i++) { /* a new table has to have a row here, so that what follows is about it too */
        char sql[80];
        snprintf(sql, sizeof sql, "SELECT count(*) > 0 FROM %s", hm_store_tables[i]);
        if (strcmp(cell(store, sql), "1"))
            fail_msg("no row in %s", hm_store_tables[i]);
    }
    return store;
}

/* It is made once; later ones are its bytes. */
static hm_store *full_store(const char *path)
{
    static uint8_t *bytes;
    static size_t size;
    hm_error err = {0};
    if (bytes) {
        GOOD(hm_file_write(path, bytes, size, &err));
        return open_store(path, HM_STORE_CREATE);
    }
    hm_map map = {0};
    hm_store *store = make_full_store(path);
    hm_store_close(&store);
    GOOD(hm_map_read(&map, path, 1 << 24, &err));
    bytes = malloc(map.size);
    assert_non_null(bytes);
    size = map.size;
    memcpy(bytes, map.data, size);
    hm_map_close(&map);
    return open_store(path, HM_STORE_CREATE);
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
    snprintf(first, sizeof first, "%s", in_folder("a.db"));
    snprintf(second, sizeof second, "%s", in_folder("b.db"));
    hm_store *store = full_store(first);
    hm_store_close(&store);
    char *sql = export_text(first, NULL, HM_EXPORT_SQL);
    for (int format = HM_EXPORT_JSON; format <= HM_EXPORT_SQL; format++) {
        hm_error err = {0};
        int64_t rows = 0;
        char *text = export_text(first, NULL, (hm_export_format)format), *again;
        store = open_store(second, HM_STORE_CREATE);
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
    sqlite3 *db = NULL; /* and for sqlite3 itself */
    assert_int_equal(sqlite3_open(second, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
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
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    char *text = export_text(path, "e2", HM_EXPORT_JSONL);
    store = open_store(in_folder("b.db"), HM_STORE_CREATE);
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
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    char *good = export_text(path, NULL, HM_EXPORT_SQL), version[32];
    store = open_store(in_folder("b.db"), HM_STORE_CREATE);
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
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    char *good = export_text(path, NULL, HM_EXPORT_JSONL);
    store = open_store(in_folder("b.db"), HM_STORE_CREATE);
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
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    char *one = export_text(path, "e1", HM_EXPORT_SQL), *two = export_text(path, "e2", HM_EXPORT_JSON);
    const char *paths[] = {in_folder("one.sql"), in_folder("two.json"), in_folder("bad.json")};
    put_text(paths[0], one);
    put_text(paths[1], two);
    put_text(paths[2], "[{}]");
    store = open_store(in_folder("b.db"), HM_STORE_CREATE);
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
        sqlite3 *db = NULL;
        snprintf(path, sizeof path, "%s", in_folder("a.db"));
        hm_store *store = full_store(path);
        hm_store_close(&store);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, harm[i], NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        store = open_store(in_folder("b.db"), HM_STORE_CREATE);
        if (hm_store_merge(store, path, &rows, &err) != HM_EFORMAT)
            fail_msg("%s: merged; %s", harm[i], err.text);
        expect(store, "SELECT count(*) FROM session", "0");
        hm_store_close(&store);
        unlink(path);
    }
}

/* Bytes of the file are turned over, many places one after the other: it is refused or sound, and nothing crashes. */
static void a_damaged_file_harms_nobody(void **state)
{
    (void)state;
    char path[160], bad[160];
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    snprintf(bad, sizeof bad, "%s", in_folder("bad.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    hm_map map = {0};
    hm_error err = {0};
    GOOD(hm_map_read(&map, path, 1 << 24, &err));
    uint8_t *bytes = malloc(map.size);
    uint64_t random = 12345;
    int refusals = 0;
    for (int i = 0; i < 30; i++) {
        int64_t rows = 0;
        memcpy(bytes, map.data, map.size);
        for (int k = 0; k < 1 + i % 40; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            bytes[(random >> 20) % map.size] ^= (uint8_t)(1u << (random >> 60 & 7));
        }
        size_t size = i % 10 == 9 ? map.size / 2 : map.size;
        GOOD(hm_file_write(bad, bytes, size, &err));
        store = open_store(in_folder("b.db"), HM_STORE_CREATE);
        refusals += hm_store_merge(store, bad, &rows, &err) != HM_OK;
        expect(store, "PRAGMA integrity_check", "ok");
        expect(store, "SELECT count(*) FROM pragma_foreign_key_check", "0");
        hm_store_close(&store);
        unlink(in_folder("b.db"));
    }
    assert_true(refusals > 10);
    free(bytes);
    hm_map_close(&map);
}

typedef struct findings {
    char wrong[1024]; /* checks with something wrong, and what */
    int good;
} findings;

static void take_finding(void *self, const char *check, const char *text)
{
    findings *f = self;
    size_t used = strlen(f->wrong);
    if (text)
        snprintf(f->wrong + used, sizeof f->wrong - used, "%s: %s\n", check, text);
    else
        f->good++;
}

static void a_check_finds_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *harm, *found;
    } cases[] = {
        {"SELECT 1", NULL},
        {"DROP VIEW stream_figure", "tables: "},
        {"PRAGMA foreign_keys = OFF; DELETE FROM arm WHERE id = 'a3'", "references: a row of run refers to a arm"},
        {"PRAGMA foreign_keys = OFF; DELETE FROM output; DELETE FROM frame_time; DELETE FROM count; DELETE FROM span; DELETE FROM sample",
         "runs: 4 good runs without a timed sample"},
        {"UPDATE run SET reason = NULL", "runs: 1 failed runs without a reason"},
        {"UPDATE stored_codes SET frames = 9", "values: 1 stored codes"},
        {"UPDATE session SET state = 'lost'", "values: 2 sessions of an unknown state"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_error err = {0};
        findings f = {.good = 0};
        char path[160], before[HM_HASH_TEXT], after[HM_HASH_TEXT];
        sqlite3 *db = NULL;
        snprintf(path, sizeof path, "%s", in_folder("a.db"));
        hm_store *store = full_store(path);
        hm_store_close(&store);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, cases[i].harm, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(db);
        GOOD(hm_hash_file(before, path, &err));
        GOOD(hm_store_check(path, &(hm_store_findings){&f, take_finding}, &err));
        GOOD(hm_hash_file(after, path, &err));
        assert_string_equal(before, after);
        if (cases[i].found ? !strstr(f.wrong, cases[i].found) : *f.wrong || f.good != 6)
            fail_msg("%s: expected \"%s\", found %d good and:\n%s", cases[i].harm, cases[i].found ? cases[i].found : "nothing", f.good,
                     f.wrong);
        unlink(path);
    }
    write_old(in_folder("old.db"), 1); /* an older one is looked at as it is */
    findings f = {.good = 0};
    hm_error err = {0};
    GOOD(hm_store_check(in_folder("old.db"), &(hm_store_findings){&f, take_finding}, &err));
    assert_string_equal(f.wrong, "");
    assert_int_equal(f.good, 6);
}

static void a_check_knows_files_that_changed(void **state)
{
    (void)state;
    hm_error err = {0};
    findings f = {.good = 0};
    char sql[500], hash[HM_HASH_TEXT], path[160];
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    put_text(in_folder("song.flac"), "la la la");
    GOOD(hm_hash_file(hash, in_folder("song.flac"), &err));
    snprintf(sql, sizeof sql, "UPDATE artifact SET path = '%s', hash = '%s', bytes = 8 WHERE id = 'f1'", in_folder("song.flac"), hash);
    GOOD(hm_store_exec(store, sql, &err));
    hm_store_close(&store);
    GOOD(hm_store_check(path, &(hm_store_findings){&f, take_finding}, &err));
    assert_string_equal(f.wrong, "");
    put_text(in_folder("song.flac"), "la la lo");
    GOOD(hm_store_check(path, &(hm_store_findings){&f, take_finding}, &err));
    assert_non_null(strstr(f.wrong, "song.flac is not what was written"));
}

typedef struct pruned {
    char text[1024];
} pruned;

static void take_session(void *self, const char *id, const char *begun, int64_t runs, const char *kept)
{
    pruned *p = self;
    size_t used = strlen(p->text);
    (void)begun;
    snprintf(p->text + used, sizeof p->text - used, "%s %lld %s;", id, (long long)runs, kept ? kept : "goes");
}

static void take_file(void *self, const char *path, int64_t bytes)
{
    pruned *p = self;
    size_t used = strlen(p->text);
    snprintf(p->text + used, sizeof p->text - used, "%s %lld;", strrchr(path, '/') + 1, (long long)bytes);
}

static void what_is_pruned_goes_whole_and_baselines_stay(void **state)
{
    (void)state;
    hm_error err = {0};
    pruned p = {""};
    const hm_prune_report report = {&p, take_session, take_file};
    char sql[500], hash[HM_HASH_TEXT];
    hm_store *store = full_store(in_folder("a.db"));
    put_text(in_folder("song.flac"), "la la la");
    put_text(in_folder("mine.flac"), "not yours");
    put_text(in_folder("trace-e1.json"), "{}");
    GOOD(hm_hash_file(hash, in_folder("song.flac"), &err));
    snprintf(sql, sizeof sql,
             "UPDATE artifact SET path = '%s', hash = '%s' WHERE id = 'f1'; UPDATE artifact SET path = '%s', hash = '%s' WHERE id = 'f2'",
             in_folder("song.flac"), hash, in_folder("mine.flac"), hash);
    GOOD(hm_store_exec(store, sql, &err));

    GOOD(hm_store_prune(store, &(hm_prune_filter){.before = "2001-01-01"}, true, &report, &err));
    assert_string_equal(p.text, "e1 4 it is the baseline \"release\";e2 1 goes;");
    expect(store, "SELECT count(*) FROM session", "2"); /* dry */

    p.text[0] = 0;
    GOOD(hm_store_prune(store, &(hm_prune_filter){.dropped = true}, false, &report, &err));
    assert_string_equal(p.text, "e1 2 goes;");
    expect(store, "SELECT group_concat(id) FROM (SELECT id FROM run ORDER BY id)", "r1,r2,r9");
    expect(store, "SELECT count(*) FROM sample", "2");

    p.text[0] = 0;
    GOOD(hm_store_prune(store, &(hm_prune_filter){.session = "e2"}, false, &report, &err));
    assert_string_equal(p.text, "e2 1 goes;");
    expect(store, "SELECT group_concat(id) FROM session", "e1");

    GOOD(hm_store_exec(store, "DELETE FROM baseline", &err));
    p.text[0] = 0;
    GOOD(hm_store_prune(store, &(hm_prune_filter){.before = "2000-01-01"}, false, &report, &err));
    assert_string_equal(p.text, "");
    GOOD(hm_store_prune(store, &(hm_prune_filter){.before = "2001-01-01"}, false, &report, &err));
    assert_string_equal(p.text, "e1 2 goes;song.flac 8;trace-e1.json 2;");
    for (int i = 0; hm_store_tables[i]; i++) { /* figures of the machine outlive it, and with them the machine */
        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", hm_store_tables[i]);
        expect(store, sql, !strcmp(hm_store_tables[i], "machine_figure") ? "3" : !strcmp(hm_store_tables[i], "machine") ? "1" : "0");
    }
    expect(store, "PRAGMA integrity_check", "ok");
    assert_int_equal(access(in_folder("song.flac"), F_OK), -1);
    assert_int_equal(access(in_folder("trace-e1.json"), F_OK), -1);
    assert_int_equal(access(in_folder("mine.flac"), F_OK), 0); /* someone has written to it since */
    assert_int_equal(hm_store_prune(store, &(hm_prune_filter){.session = "nobody"}, false, &report, &err), HM_EMISSING);
    hm_store_close(&store);
}

static void what_a_verdict_rests_on_stays(void **state)
{
    (void)state;
    hm_error err = {0};
    pruned p = {""};
    const hm_prune_report report = {&p, take_session, take_file};
    hm_store *store = full_store(in_folder("a.db"));
    GOOD(hm_store_exec(store, "DELETE FROM baseline; UPDATE verdict SET session_id = 'e2', base_arm_id = 'a1', arm_id = 'a3'", &err));
    GOOD(hm_store_prune(store, &(hm_prune_filter){.session = "e1"}, false, &report, &err));
    assert_non_null(strstr(p.text, "a verdict of session e2 rests on it"));
    expect(store, "SELECT count(*) FROM session", "2");
    GOOD(hm_store_prune(store, &(hm_prune_filter){.before = "2001"}, false, &report, &err)); /* both go together */
    expect(store, "SELECT count(*) FROM session", "0");
    hm_store_close(&store);
}

static void reading_leaves_the_file_and_its_folder_alone(void **state)
{
    (void)state;
    hm_error err = {0};
    char path[160], before[HM_HASH_TEXT], after[HM_HASH_TEXT];
    snprintf(path, sizeof path, "%s", in_folder("a.db"));
    hm_store *store = full_store(path);
    hm_store_close(&store);
    GOOD(hm_hash_file(before, path, &err));
    store = open_store(path, HM_STORE_READ);
    expect(store, "SELECT count(*) FROM run", "5");
    assert_int_equal(hm_store_exec(store, "DELETE FROM run", &err), HM_EIO);
    hm_store_close(&store);
    GOOD(hm_hash_file(after, path, &err));
    assert_string_equal(before, after);
    assert_int_equal(access(in_folder("a.db-wal"), F_OK), -1);
    assert_int_equal(access(in_folder("a.db-shm"), F_OK), -1);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(every_older_version_grows_with_all_it_holds),
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
                                       CASE(a_file_that_is_not_what_it_says_is_not_merged),
                                       CASE(a_damaged_file_harms_nobody),
                                       CASE(a_check_finds_what_is_wrong),
                                       CASE(a_check_knows_files_that_changed),
                                       CASE(what_is_pruned_goes_whole_and_baselines_stay),
                                       CASE(what_a_verdict_rests_on_stays),
                                       CASE(reading_leaves_the_file_and_its_folder_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
