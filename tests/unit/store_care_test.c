/* Databases are checked and cleared: what is wrong is found, what goes goes whole, and the rest is left alone. */
#include "tests/transfer_case.h"

/* Bytes of the file are turned over, many places one after the other: it is refused or sound, and nothing crashes. */
static void a_damaged_file_harms_nobody(void **state)
{
    (void)state;
    char path[160], bad[160];
    full_file(path, "a.db");
    snprintf(bad, sizeof bad, "%s", in_folder("bad.db"));
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
        hm_store *store = open_store(in_folder("b.db"), HM_STORE_CREATE);
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
        {"UPDATE sample SET prefill_ns = -5, decode_ns = NULL WHERE id = 'x1'", "values: 1 samples whose times"},
        {"UPDATE session SET state = 'lost'", "values: 2 sessions of an unknown state"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_error err = {0};
        findings f = {.good = 0};
        char path[160], before[HM_HASH_TEXT], after[HM_HASH_TEXT];
        full_file(path, "a.db");
        change_file(path, cases[i].harm);
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
    full_file(path, "a.db");
    GOOD(hm_hash_file(before, path, &err));
    hm_store *store = open_store(path, HM_STORE_READ);
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
    const struct CMUnitTest tests[] = {CASE(a_damaged_file_harms_nobody),      CASE(a_check_finds_what_is_wrong),
                                       CASE(a_check_knows_files_that_changed), CASE(what_is_pruned_goes_whole_and_baselines_stay),
                                       CASE(what_a_verdict_rests_on_stays),    CASE(reading_leaves_the_file_and_its_folder_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
