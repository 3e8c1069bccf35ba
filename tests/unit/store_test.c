/* The database: what goes in comes out, and what is not ours is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "harness/store.h"
#include "harness/store_internal.h"
#include "tests/store_case.h"

static char folder[64], path[128];

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hm_store_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/deep/er/test.db", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static hm_store *open_store(hm_store_mode mode)
{
    hm_error err = {0};
    hm_store *store = NULL;
    hm_status st = hm_store_open(&store, path, mode, &err);
    if (st)
        fail_msg("%s", err.text);
    return store;
}

typedef struct cells {
    char text[1024]; /* rows joined by '\n', columns by '|' */
} cells;

static hm_status take_names(void *self, int columns, const char *const *names, hm_error *err)
{
    (void)self, (void)columns, (void)names, (void)err;
    return HM_OK;
}

static hm_status take_row(void *self, int columns, const char *const *values, const bool *numeric, hm_error *err)
{
    cells *c = self;
    (void)numeric, (void)err;
    for (int i = 0; i < columns; i++) {
        size_t used = strlen(c->text);
        snprintf(c->text + used, sizeof c->text - used, "%s%s", i ? "|" : used ? "\n" : "", values[i] ? values[i] : "NULL");
    }
    return HM_OK;
}

static hm_status ask(hm_store *store, const char *sql, cells *out, hm_error *err)
{
    hm_store_reader reader = {out, take_names, take_row};
    out->text[0] = 0;
    return hm_store_ask(store, sql, &reader, err);
}

static void expect(hm_store *store, const char *sql, const char *wanted)
{
    hm_error err = {0};
    cells out;
    if (ask(store, sql, &out, &err))
        fail_msg("%s: %s", sql, err.text);
    assert_string_equal(out.text, wanted);
}

/* A machine, a build, a case, a session with two arms and one good run of the first. */
static void fill(hm_store *store, hm_session_record *session, hm_arm_record arms[2])
{
    hm_error err = {0};
    put_store_facts(store, "la", UINT64_MAX);
    GOOD(hm_store_put_machine(store, &store_machine, &err)); /* again: the same one */
    *session = (hm_session_record){.machine_id = "m1",
                                   .build_id = "b1",
                                   .command_line = "hmbench suite short",
                                   .options = "{}",
                                   .order_seed = 1ull << 63,
                                   .rounds = 3};
    hm_uuid_text(session->id);
    for (int i = 0; i < 2; i++) {
        arms[i] = (hm_arm_record){.position = i,
                                  .name = i ? "best" : "naive",
                                  .variant = i ? "best" : "naive",
                                  .toggles = i ? "kv=1" : "kv=0",
                                  .backend = "cpu",
                                  .model = "/m"};
        hm_uuid_text(arms[i].id);
    }
    GOOD(hm_store_put_session(store, session, arms, 2, &err));
}

static hm_status put_run(hm_store *store, const hm_session_record *session, const hm_arm_record *arm, int round, int64_t wall_ns,
                         hm_error *err)
{
    static hm_sample sample;
    hm_sample_init(&sample);
    sample.wall_ns = wall_ns;
    sample.prefill_ns = wall_ns / 10;
    sample.generate_ns = wall_ns / 2;
    sample.decode_ns = wall_ns / 4;
    sample.frames = 125;
    sample.codebooks = 8;
    sample.audio_s = 10;
    strcpy(sample.codes_hash, "c0de");
    sample.spans[0] = (hm_span_total){"backbone", 125, 1000, 900};
    sample.span_count = 1;
    sample.counts[0] = (hm_named_count){"launches", false, 42};
    sample.counts[1] = (hm_named_count){"launches", true, 7};
    sample.count_count = 2;
    sample.output =
        (hm_output_comparison){.compared = true, .codes_equal = 0, .first_frame = 3, .differing_codes = 9, .max_logit_difference = 0.5};
    hm_artifact_record artifact = {.kind = "audio", .path = "a.wav", .bytes = 12};
    hm_run_record run = {.session_id = session->id,
                         .arm_id = arm->id,
                         .case_id = "c1",
                         .model_id = "w1",
                         .round = round,
                         .slot = 0,
                         .status = HM_RUN_OK,
                         .started_utc = "2000-01-01T00:00:00Z",
                         .duration_ns = wall_ns + 5,
                         .warmup = "first",
                         .memory_available_bytes = 99,
                         .samples = &sample,
                         .sample_count = 1,
                         .artifacts = &artifact,
                         .artifact_count = 1};
    hm_uuid_text(run.id);
    return hm_store_put_run(store, &run, err);
}

static void a_run_comes_back_as_figures(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_session_record session;
    hm_arm_record arms[2];
    hm_store *store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    GOOD(put_run(store, &session, &arms[0], 0, 1000000000, &err));
    GOOD(put_run(store, &session, &arms[0], 1, 3000000000, &err));
    expect(store, "SELECT round, rtf, tok_s, gen_tok_s, codes_s, other_ms FROM figure ORDER BY round",
           "0|0.1|125.0|250.0|2000.0|150.0\n1|0.3|41.6666666666667|83.3333333333333|666.666666666667|450.0");
    expect(store, "SELECT n, wall_ms, round(wall_sd_ms, 3), wall_min_ms FROM arm_figure", "2|2000.0|1414.214|1000.0");
    expect(store, "SELECT name, load, value FROM count GROUP BY name, load", "launches|0|42\nlaunches|1|7");
    expect(store, "SELECT codes_equal, first_frame, differing_codes, max_logit_difference FROM output LIMIT 1", "0|3|9|0.5");
    expect(store, "SELECT peak_rss_bytes, health FROM sample LIMIT 1", "NULL|NULL");
    expect(store, "SELECT cores, smt, cpu_quota, memory_limit_bytes FROM machine", "NULL|NULL|NULL|NULL");
    expect(store, "SELECT seed FROM suite_case", "-1");
    expect(store, "SELECT count(*), sum(bytes) FROM artifact", "2|24");
    hm_store_close(&store);
    store = open_store(HM_STORE_READ);
    expect(store, "SELECT count(*) FROM run", "2");
    hm_store_close(&store);
}

static void speech_is_kept_with_all_it_was_told(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_session_record session;
    hm_arm_record arms[2];
    hm_case_record c = {.id = "c2",
                        .request_hash = "q2",
                        .suite_hash = "s1",
                        .suite = "short",
                        .name = "speech",
                        .task = "speech",
                        .frames = 46,
                        .words = 13,
                        .temperature = 0.9,
                        .seed = 5,
                        .kind = "base",
                        .text = "hello",
                        .speaker = "ryan",
                        .language = "english",
                        .instruct = "sadly",
                        .reference = "/v.wav",
                        .reference_text = "before",
                        .streaming_text = -1,
                        .sub_topk = 7,
                        .top_p = 0.8,
                        .repetition_penalty = 1.05,
                        .sub_temperature = 0.7,
                        .sub_top_p = 0.6};
    hm_model_record model = {.id = "w2", .kind = "qwen3-tts", .name = "mini", .path = "/q", .speech_kind = "base", .size = "0b6"};
    hm_store *store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    GOOD(hm_store_put_case(store, &c, &err));
    GOOD(hm_store_put_model(store, &model, &err));
    expect(store,
           "SELECT words, kind, text, speaker, language, instruct, reference, reference_text, streaming_text, top_p, repetition_penalty, "
           "sub_temperature, sub_topk, sub_top_p, tags, lyrics FROM suite_case WHERE id = 'c2'",
           "13|base|hello|ryan|english|sadly|/v.wav|before|-1|0.8|1.05|0.7|7|0.6||");
    expect(store, "SELECT words, kind, text, streaming_text, top_p, sub_topk FROM suite_case WHERE id = 'c1'",
           "NULL|NULL|NULL|NULL|NULL|NULL");
    expect(store, "SELECT id, speech_kind, size FROM model ORDER BY id", "w1|NULL|NULL\nw2|base|0b6");
    hm_store_close(&store);
}

/* A file as an older program left it: the first migrations alone, with a row in each table that has grown since. */
static void write_old(int version)
{
    sqlite3 *db = NULL;
    char sql[128];
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < version; i++)
        for (int k = 0; k < 2 && hm_migrations[i].sql[k]; k++)
            assert_int_equal(sqlite3_exec(db, hm_migrations[i].sql[k], NULL, NULL, NULL), SQLITE_OK);
    static const char rows[] =
        "INSERT INTO machine VALUES('m1','h','CPU',2,2,NULL,NULL,'avx2',NULL,1,NULL,NULL,'6','Debian',NULL,'2000');"
        "INSERT INTO build VALUES('b1','0',NULL,0,'gcc','-O2','Release',NULL,'x','2000');"
        "INSERT INTO model(id, kind, name, path, synthetic, codebooks, code_vocabulary, sample_rate_hz, channels, max_positions, frame_s, seen_utc) "
        "VALUES('w1','heartmula','mini','/m',1,8,NULL,48000,2,NULL,0.08,'2000');"
        "INSERT INTO suite_case(id, request_hash, suite_hash, suite, name, task, tags, lyrics, frames, topk, cfg_scale, temperature, seed, "
        "flow_steps, flow_guidance) VALUES('c1','q1','s1','short','plain','music','pop','[Verse] la la',125,50,1.5,1,3,0,1.25);"
        "INSERT INTO session(id, machine_id, build_id, created_utc, ended_utc, state, interrupted, command_line, options, order_seed, rounds) "
        "VALUES('e1','m1','b1','2000','2000','done',0,'x','{}',1,1);"
        "INSERT INTO arm(id, session_id, position, name, variant, toggles, coincides, backend, isa, threads, precision, model, command) "
        "VALUES('a1','e1',0,'best','best','kv=1',NULL,'cpu',NULL,0,NULL,'/m',NULL);"
        "INSERT INTO run(id, session_id, arm_id, case_id, model_id, round, slot, status, reason, started_utc, duration_ns, "
        "memory_available_bytes, warmup, isa, threads) VALUES('r1','e1','a1','c1','w1',0,0,'ok',NULL,'2000',9,NULL,'first',NULL,NULL);"
        "INSERT INTO sample(id, run_id, ordinal, warmup, wall_ns, frames, audio_s, device) VALUES('x1','r1',0,0,1000000000,125,10,'CPU');";
    assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
    snprintf(sql, sizeof sql, "PRAGMA application_id = %d; PRAGMA user_version = %d", 0x686D6264, version);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void older_files_grow_and_keep_what_they_hold(void **state)
{
    (void)state;
    for (int version = 1; version < hm_store_schema_version(); version++) {
        hm_error err = {0};
        hm_session_record session;
        hm_arm_record arms[2];
        hm_store *store = NULL;
        char old[160];
        int64_t rows;
        snprintf(path, sizeof path, "%s/old%d.db", folder, version);
        write_old(version);
        assert_int_equal(hm_store_open(&store, path, HM_STORE_READ, &err), HM_EIO);
        assert_non_null(strstr(err.text, "hmbench db info"));
        store = open_store(HM_STORE_WRITE);
        expect(store, "SELECT words, lyrics, kind FROM suite_case", "NULL|[Verse] la la|NULL");
        expect(store, "SELECT kind, speech_kind FROM model", "heartmula|NULL");
        expect(store, "SELECT wall_ns, device, overlapped_ns, ttfa_ns FROM sample", "1000000000|CPU|NULL|NULL");
        expect(store, "SELECT rtf FROM arm_figure", "0.1");
        expect(store, "SELECT count(*) FROM stream_figure", "0");
        hm_store_close(&store);
        snprintf(old, sizeof old, "%s", path);
        snprintf(path, sizeof path, "%s/new%d.db", folder, version);
        store = open_store(HM_STORE_CREATE); /* columns are in the same order in both */
        fill(store, &session, arms);
        GOOD(put_run(store, &session, &arms[0], 0, 5000, &err));
        assert_int_equal(hm_store_merge(store, old, &rows, &err), HM_OK);
        expect(store, "SELECT wall_ns, device, ttfa_ns FROM sample ORDER BY wall_ns", "5000|NULL|NULL\n1000000000|CPU|NULL");
        hm_store_close(&store);
    }
}

static void streams_have_figures_of_their_own(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_session_record session;
    hm_arm_record arms[2];
    hm_store *store = open_store(HM_STORE_CREATE);
    static hm_sample sample;
    fill(store, &session, arms);
    GOOD(put_run(store, &session, &arms[0], 0, 1000, &err));
    hm_sample_init(&sample);
    sample.wall_ns = 2000000000;
    sample.frames = 125;
    sample.audio_s = 10;
    sample.ttfa_raw_ns = 80000000;
    sample.stall_max_ns = 60000000;
    sample.stall_total_ns = 90000000;
    sample.buffer_ns = 90000000;
    sample.stalls = 2;
    sample.pieces = 9;
    sample.overlapped_ns = 7;
    sample.codec_bytes = 11;
    sample.codec_frame_flops = 1.5;
    hm_run_record run = {.session_id = session.id,
                         .arm_id = arms[1].id,
                         .case_id = "c1",
                         .status = HM_RUN_OK,
                         .started_utc = "2000-01-01T00:00:00Z",
                         .warmup = "first",
                         .samples = &sample,
                         .sample_count = 1};
    hm_uuid_text(run.id);
    GOOD(hm_store_put_run(store, &run, &err));
    expect(
        store,
        "SELECT arm, ttfa_raw_ms, ttfa_ms, stall_max_ms, stall_total_ms, stalls, pieces, buffer_ms, c50, c100, c200, rtf FROM stream_figure",
        "best|80.0|NULL|60.0|90.0|2|9|90.0|0|1|1|0.2");
    expect(store, "SELECT overlapped_ns, reference_ns, codec_bytes, codec_frame_flops FROM sample WHERE stalls = 2", "7|NULL|11|1.5");
    hm_store_close(&store);
}

static void a_run_of_an_unknown_arm_leaves_nothing_behind(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_session_record session;
    hm_arm_record arms[2];
    hm_store *store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    strcpy(arms[1].id, "nobody");
    assert_int_equal(put_run(store, &session, &arms[1], 0, 1000, &err), HM_EIO);
    assert_non_null(strstr(err.text, "FOREIGN KEY"));
    expect(store, "SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM sample), (SELECT count(*) FROM count)", "0|0|0");
    GOOD(put_run(store, &session, &arms[0], 0, 1000, &err));
    hm_store_close(&store);
}

static void stored_codes_stay_what_they_were(void **state)
{
    (void)state;
    hm_error err = {0};
    bool found;
    int32_t codes[6] = {1, 2, 3, 4, 5, 6}, others[6] = {0};
    float logits[6] = {0.5f, -1, 2, 3, 4, 5};
    hm_stored_codes in = {.frames = 3, .codebooks = 2, .codes = codes, .logits = logits, .made_by = "naive"}, out;
    hm_store *store = open_store(HM_STORE_CREATE);
    assert_int_equal(hm_store_get_codes(store, "q", "w", 7, &out, &found, &err), HM_OK);
    assert_false(found);
    GOOD(hm_store_put_codes(store, "q", "w", 7, &in, &err));
    in.codes = others;
    in.logits = NULL;
    GOOD(hm_store_put_codes(store, "q", "w", 7, &in, &err));
    assert_int_equal(hm_store_get_codes(store, "q", "w", 7, &out, &found, &err), HM_OK);
    assert_true(found);
    assert_int_equal(out.frames, 3);
    assert_memory_equal(out.codes, codes, sizeof codes);
    assert_memory_equal(out.logits, logits, sizeof logits);
    assert_string_equal(out.made_by, "naive");
    hm_stored_codes_free(&out);
    GOOD(hm_store_put_codes(store, "q", "w", 8, &in, &err));
    assert_int_equal(hm_store_get_codes(store, "q", "w", 8, &out, &found, &err), HM_OK);
    assert_true(found && !out.logits);
    hm_stored_codes_free(&out);
    hm_store_close(&store);
}

static void the_newest_unfinished_session_is_found(void **state)
{
    (void)state;
    hm_error err = {0};
    bool found;
    hm_session_info info;
    hm_session_record session;
    hm_arm_record arms[2];
    hm_store *store = open_store(HM_STORE_CREATE);
    assert_int_equal(hm_store_get_session(store, NULL, "suite", &info, &found, &err), HM_OK);
    assert_false(found);
    fill(store, &session, arms);
    assert_int_equal(hm_store_end_session(store, session.id, "interrupted", &err), HM_OK);
    assert_int_equal(hm_store_get_session(store, NULL, "suite", &info, &found, &err), HM_OK);
    assert_true(found);
    assert_string_equal(info.kind, "suite");
    hm_session_info_free(&info);
    assert_int_equal(hm_store_get_session(store, NULL, "gate", &info, &found, &err), HM_OK);
    assert_false(found); /* one of another kind does not go on with it */
    assert_int_equal(hm_store_get_session(store, NULL, NULL, &info, &found, &err), HM_OK);
    assert_true(found);
    assert_string_equal(info.id, session.id);
    assert_true(info.order_seed == 1ull << 63);
    assert_int_equal(info.arm_count, 2);
    assert_string_equal(info.arm_ids[1], arms[1].id);
    hm_session_info_free(&info);
    expect(store, "SELECT interrupted, ended_utc IS NULL FROM session", "1|0");
    assert_int_equal(hm_store_end_session(store, session.id, "done", &err), HM_OK);
    assert_int_equal(hm_store_get_session(store, NULL, "suite", &info, &found, &err), HM_OK);
    assert_false(found);
    hm_store_close(&store);
}

static void past_runs_tell_how_long_the_next_will_take(void **state)
{
    (void)state;
    hm_error err = {0};
    bool found;
    int64_t ns = 0;
    hm_session_record session;
    hm_arm_record arms[2];
    hm_store *store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    GOOD(put_run(store, &session, &arms[0], 0, 1000, &err));
    GOOD(put_run(store, &session, &arms[0], 1, 2000, &err));
    assert_int_equal(hm_store_expected_ns(store, "m1", "c1", "kv=0", 0, NULL, "/m", NULL, NULL, "cpu", NULL, &ns, &found, &err), HM_OK);
    assert_true(found);
    assert_int_equal(ns, 1505);
    assert_int_equal(hm_store_expected_ns(store, "m1", "c1", "kv=1", 0, NULL, "/m", NULL, NULL, "cpu", NULL, &ns, &found, &err), HM_OK);
    assert_false(found);
    assert_int_equal(hm_store_expected_ns(store, "m1", "c1", "kv=0", 0, NULL, "/m", "/other/hmbench", NULL, "cpu", NULL, &ns, &found, &err),
                     HM_OK);
    assert_false(found); /* another program's time is its own */
    GOOD(hm_store_exec(store, "UPDATE arm SET program = '/other/hmbench' WHERE toggles = 'kv=0'", &err));
    assert_int_equal(hm_store_expected_ns(store, "m1", "c1", "kv=0", 0, NULL, "/m", "/other/hmbench", NULL, "cpu", NULL, &ns, &found, &err),
                     HM_OK);
    assert_true(found);
    GOOD(hm_store_exec(store, "UPDATE arm SET program = NULL, toggles = NULL, command = './x' WHERE toggles = 'kv=0'", &err));
    assert_int_equal(hm_store_expected_ns(store, "m1", "c1", NULL, 0, NULL, "/m", NULL, "./x", "cpu", NULL, &ns, &found, &err), HM_OK);
    assert_true(found);
    hm_store_close(&store);
}

static void the_users_sql_can_only_read(void **state)
{
    (void)state;
    static const char *const refused[] = {"DELETE FROM run",
                                          "DROP TABLE run",
                                          "ATTACH '/tmp/x.db' AS x",
                                          "PRAGMA user_version = 9",
                                          "SELECT 1; SELECT 2",
                                          "SELECT nothing",
                                          "",
                                          "VACUUM",
                                          "CREATE TABLE t(a)",
                                          "SELECT load_extension('x')"};
    hm_error err;
    cells out;
    hm_store *store = open_store(HM_STORE_CREATE);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        err = (hm_error){0};
        if (ask(store, refused[i], &out, &err) != HM_EUSAGE)
            fail_msg("\"%s\" was not refused: %s", refused[i], err.text);
        assert_true(strlen(err.text) > 0);
    }
    expect(store, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(i) FROM n;  ", "6");
    hm_store_close(&store);
}

static void a_file_of_another_program_is_refused_and_untouched(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_store *store = NULL;
    char command[256];
    snprintf(path, sizeof path, "%s/foreign.db", folder);
    snprintf(command, sizeof command, "%s", path);
    static const char text[] =
        "SQLite no, this is a letter to a friend, long enough to have the size of a header of a database file, or nearly so. ...";
    assert_int_equal(hm_file_write(path, text, sizeof text, &err), HM_OK);
    assert_int_equal(hm_store_open(&store, path, HM_STORE_CREATE, &err), HM_EFORMAT);
    hm_map map;
    assert_int_equal(hm_map_read(&map, path, 4096, &err), HM_OK);
    assert_memory_equal(map.data, text, sizeof text);
    hm_map_close(&map);
    assert_int_equal(hm_store_open(&store, folder, HM_STORE_CREATE, &err), HM_EFORMAT);
    snprintf(path, sizeof path, "%s/missing.db", folder);
    assert_int_equal(hm_store_open(&store, path, HM_STORE_READ, &err), HM_EMISSING);
    assert_int_equal(hm_store_open(&store, "/proc/nowhere/x.db", HM_STORE_CREATE, &err), HM_ECREATE);
    assert_null(store);
}

/* Sets bytes of the header: user_version lies at 60, application_id at 68, big-endian. */
static void patch_header(long offset, unsigned value)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    uint8_t bytes[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, 4, f), 4);
    fclose(f);
}

static void newer_and_foreign_databases_are_refused(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_store *store = open_store(HM_STORE_CREATE);
    hm_store_close(&store);
    patch_header(60, 9999);
    assert_int_equal(hm_store_open(&store, path, HM_STORE_WRITE, &err), HM_EIO);
    assert_non_null(strstr(err.text, "9999"));
    assert_int_equal(hm_store_open(&store, path, HM_STORE_READ, &err), HM_EIO);
    patch_header(60, (unsigned)hm_store_schema_version());
    store = open_store(HM_STORE_READ);
    hm_store_close(&store);
    patch_header(68, 0x12345678);
    assert_int_equal(hm_store_open(&store, path, HM_STORE_WRITE, &err), HM_EFORMAT);
    assert_non_null(strstr(err.text, "another program"));
}

static void two_files_merge_without_doubles(void **state)
{
    (void)state;
    hm_error err = {0};
    hm_session_record session;
    hm_arm_record arms[2];
    int64_t rows = 0;
    char first[128];
    hm_store *store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    GOOD(put_run(store, &session, &arms[0], 0, 1000, &err));
    hm_store_close(&store);
    strcpy(first, path);
    snprintf(path, sizeof path, "%s/second.db", folder);
    store = open_store(HM_STORE_CREATE);
    fill(store, &session, arms);
    GOOD(put_run(store, &session, &arms[1], 0, 1000, &err));
    assert_int_equal(hm_store_merge(store, first, &rows, &err), HM_OK);
    assert_int_equal(rows, 1 + 2 + 1 + 1 + 1 + 2 + 1 + 1); /* session, arms, run, sample, span, counts, output, artifact */
    expect(store, "SELECT (SELECT count(*) FROM session), (SELECT count(*) FROM run), (SELECT count(*) FROM machine)", "2|2|1");
    assert_int_equal(hm_store_merge(store, first, &rows, &err), HM_OK);
    assert_int_equal(rows, 0);
    hm_store_close(&store);
}

static void every_column_says_what_it_is(void **state)
{
    (void)state;
    hm_store *store = open_store(HM_STORE_CREATE);
    /* A column's line in the schema either has a comment, or is a reference to another table. */
    expect(store,
           "WITH RECURSIVE lines(t, line, rest) AS (SELECT name, '', sql || char(10) FROM sqlite_schema WHERE type = 'table' UNION ALL "
           "SELECT t, substr(rest, 1, instr(rest, char(10)) - 1), substr(rest, instr(rest, char(10)) + 1) FROM lines WHERE rest <> '') "
           "SELECT count(*) FROM lines WHERE line LIKE '  %' AND line NOT LIKE '%-- _%' AND line NOT LIKE '%REFERENCES%' "
           "AND line NOT LIKE '  UNIQUE%' AND line NOT LIKE '  PRIMARY%' AND line NOT LIKE '%CHECK(%'",
           "0");
    /* Columns that are added later say so in the statement that adds them: it becomes a part of the table's text. */
    int added = 0;
    for (int i = 0; i < hm_store_schema_version(); i++)
        for (const char *p = hm_migrations[i].sql[0], *end; (p = strstr(p, "ALTER TABLE")); p = end, added++) {
            const char *comment = strstr(p, " /* ");
            end = strstr(p, ";\n");
            assert_true(end && comment && comment < end && !strncmp(end - 3, " */", 3));
        }
    assert_true(added > 20);
    expect(
        store,
        "SELECT sum((length(sql) - length(replace(sql, ' /* ', ''))) / 4) = sum((length(sql) - length(replace(sql, ' */', ''))) / 3) FROM "
        "sqlite_schema WHERE type = 'table'",
        "1");
    expect(store, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%STRICT%'", "0");
    hm_store_close(&store);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(a_run_comes_back_as_figures),
                                       CASE(speech_is_kept_with_all_it_was_told),
                                       CASE(older_files_grow_and_keep_what_they_hold),
                                       CASE(streams_have_figures_of_their_own),
                                       CASE(a_run_of_an_unknown_arm_leaves_nothing_behind),
                                       CASE(stored_codes_stay_what_they_were),
                                       CASE(the_newest_unfinished_session_is_found),
                                       CASE(past_runs_tell_how_long_the_next_will_take),
                                       CASE(the_users_sql_can_only_read),
                                       CASE(a_file_of_another_program_is_refused_and_untouched),
                                       CASE(newer_and_foreign_databases_are_refused),
                                       CASE(two_files_merge_without_doubles),
                                       CASE(every_column_says_what_it_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
