/* Suites that transcribe, end to end: the same tokens in every arm, the parts of the time, music that is made first, axes of cases. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "harness/store.h"
#include "tests/cli_case.h"

static char db[256], suite[256];

/* A model that may draw timestamps, and a recording that it writes down window after window. */
#define SEEK_TOKENS 12
#define SEEKS "--model", in_folder("stamps"), "--db", db, "--no-trace", "--no-limits", "-n", "1"

static void make_seeking(void)
{
    static const char text[] = "suite: sought\ncases:\n"
                               "  - {name: seek, task: transcript, seconds: 75, chunk: 0, tokens: 12, seed: 3}\n"
                               "  - {name: chunks, task: transcript, seconds: 35, tokens: 3, seed: 3}\n";
    char from[300], to[300];
    put("sought.yaml", text, sizeof text - 1);
    hm_run run = run_program("synth", "whisper-test", in_folder("stamps"), "--seed", "1");
    assert_int_equal(run.code, 0);
    run_free(&run);
    snprintf(from, sizeof from, "%s", in_folder("stamps/HeartTranscriptor-oss/generation_config_ts.json"));
    snprintf(to, sizeof to, "%s", in_folder("stamps/HeartTranscriptor-oss/generation_config.json"));
    assert_int_equal(rename(from, to), 0);
}

static int setup(void **state)
{
    static const char text[] = "suite: heard\ncases:\n"
                               "  - {name: voice, task: transcript, seconds: 35, tokens: 5, batch: 1, seed: 3}\n"
                               "  - {name: beams, task: transcript, seconds: 4, tokens: 5, beams: 3, language: en}\n"
                               "  - {name: song, task: transcript, seconds: 2, tokens: 4, recording: music, tags: pop, lyrics: la}\n";
    (void)state;
    if (make_case_folder_and_cache())
        return -1;
    snprintf(db, sizeof db, "%s", in_folder("x.db"));
    snprintf(suite, sizeof suite, "%s", in_folder("heard.yaml"));
    put("heard.yaml", text, sizeof text - 1);
    make_seeking();
    return 0;
}

static int empty(void **state)
{
    (void)state;
    unlink(db);
    return 0;
}

#define TINY "--model", "whisper-test", "--db", db, "--no-trace", "--no-limits"
#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

/* The parts of the time: which of them there are. */
static void expect_parts(const char *wanted)
{
    expect_sql(
        "SELECT case_name, min(audio_ms > 0), min(mel_ms > 0), min(encode_ms > mel_ms / 1000), min(text_ms > 0), min(music_ms > 0), "
        "min(music_ms IS NULL), min(wall_ms >= audio_ms + mel_ms + encode_ms + text_ms - 0.001), max(audio_s) FROM transcript_figure "
        "GROUP BY case_name ORDER BY case_name",
        wanted);
}

static void every_arm_writes_down_the_same_tokens(void **state)
{
    (void)state;
    hm_run run = run_program("suite", suite, TINY, "-V", "naive,best:panels=rows,naive:codec_len=needed", "-n", "2", "-f", "voice|beams");
    if (run.code)
        fail_msg("%s", run.err);
    assert_non_null(strstr(run.err, "drawn once by naive"));
    run_free(&run);
    expect_sql("SELECT count(*), sum(status = 'ok'), count(DISTINCT arm_id) FROM run", "8,8,2\r\n"); /* of codec_len nothing is heard */
    expect_sql("SELECT max(coincides) FROM arm", "naive:codec_len=needed\r\n");
    expect_sql(
        "SELECT c.name, max(s.frames), max(s.windows), max(s.codebooks), min(s.fed_codes), max(s.health) FROM sample s JOIN run r ON "
        "r.id = s.run_id JOIN suite_case c ON c.id = r.case_id WHERE NOT s.warmup GROUP BY c.name ORDER BY c.name",
        "beams,5,1,1,0,ok\r\nvoice,10,2,1,1,ok\r\n");
    expect_sql("SELECT min(o.codes_equal) FROM output o JOIN sample s ON s.id = o.sample_id JOIN run r ON r.id = s.run_id JOIN arm a ON "
               "a.id = r.arm_id WHERE a.name LIKE 'naive%'",
               "1\r\n");
    expect_parts("beams,1,1,1,1,,1,1,4.0\r\nvoice,1,1,1,1,,1,1,35.0\r\n");
    expect_sql("SELECT min(abs(f.rtf - f.wall_ms / 35000) < 1e-9), min(abs(f.tok_s - 10000 / f.wall_ms) < 1e-6) FROM transcript_figure f "
               "WHERE case_name = 'voice'",
               "1,1\r\n");
    expect_sql("SELECT min(p.frame_passes) FROM sample_part p WHERE span = 'text_step'",
               "0.75\r\n"); /* the prompt's pass makes the first */
    /* of both layers K and V of 64 numbers in panels of 32 slots: 1504 slots of the window, and 32 of each beam's text */
    expect_sql(
        "SELECT c.name, max(s.frame_kv_bytes) FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN "
        "arm a ON a.id = r.arm_id WHERE a.name LIKE 'best%' GROUP BY c.name ORDER BY c.name",
        "beams,1638400\r\nvoice,1572864\r\n");
    expect_sql("SELECT recording, audio_s, chunk_s, batch, window_tokens, beams, language FROM suite_case ORDER BY name",
               "voice,4.0,30.0,16,5,3,en\r\nvoice,35.0,30.0,1,5,1,\r\n");
    run = run_program("journal", "--db", db);
    assert_non_null(strstr(run.out, "### Transcription"));
    assert_non_null(strstr(run.out, "Encode (ms) | % of FLOPs | Decode (ms) | % of reading"));
    assert_null(strstr(run.out, "audio differs"));
    expect_code(&run, 0, NULL);
    run = run_program("report", "--db", db, "-o", in_folder("report.html"));
    expect_code(&run, 0, NULL);
    run = run_program("plot", "positions", "--db", db, "-o", in_folder("p.svg"), "--script"); /* ten steps: five of each window */
    if (!strstr(run.out, "a step of the decoder") || !strstr(run.out, "9.5 "))
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

static void music_is_made_and_then_written_down(void **state)
{
    (void)state;
    hm_run run = run_program("suite", suite, TINY, "-V", "best", "-n", "1", "-f", "song");
    expect_code(&run, 0, NULL);
    expect_sql("SELECT s.frames, s.windows, s.fed_codes, s.health, s.music_ns < s.wall_ns FROM sample s WHERE NOT s.warmup",
               "4,1,1,ok,1\r\n");
    expect_parts("song,1,1,1,1,1,0,1,2.0\r\n");
    expect_sql(
        "SELECT min(p.total_ns > 0), count(*), count(DISTINCT p.name) FROM span p JOIN sample s ON s.id = p.sample_id WHERE NOT s.warmup "
        "AND p.name LIKE 'music%'",
        "1,4,4\r\n");
    expect_sql("SELECT name, kind FROM model", "whisper-test,whisper\r\n");
}

static void windows_are_swept(void **state)
{
    (void)state;
    hm_run run = run_program("suite", suite, TINY, "-V", "best:panels=rows", "-n", "1", "-f", "voice", "-a", "batch-size=1:2", "-a",
                             "chunk-length=20,30");
    expect_code(&run, 0, NULL);
    expect_sql(
        "SELECT c.name, c.batch, c.chunk_s, max(s.windows), max(s.frames), max(c.frames) FROM sample s JOIN run r ON r.id = s.run_id "
        "JOIN suite_case c ON c.id = r.case_id WHERE NOT s.warmup GROUP BY c.name ORDER BY c.name",
        "\"voice@batch-size=1,chunk-length=20\",1,20.0,3,15,15\r\n\"voice@batch-size=1,chunk-length=30\",1,30.0,2,10,10\r\n"
        "\"voice@batch-size=2,chunk-length=20\",2,20.0,3,15,15\r\n\"voice@batch-size=2,chunk-length=30\",2,30.0,2,10,10\r\n");
    /* how many windows lie side by side changes no token, nor which are stored; weights are read once for all of them */
    expect_sql("SELECT count(*) FROM stored_codes", "2\r\n");
    expect_sql("SELECT c.chunk_s, count(DISTINCT s.codes_hash) FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = "
               "r.case_id WHERE NOT s.warmup GROUP BY c.chunk_s",
               "20.0,1\r\n30.0,1\r\n");
    expect_sql("SELECT c.batch, p.frame_passes FROM sample_part p JOIN sample s ON s.id = p.sample_id JOIN run r ON r.id = s.run_id JOIN "
               "suite_case c ON c.id = r.case_id WHERE NOT s.warmup AND p.span = 'text_step' AND c.chunk_s = 30 ORDER BY 1",
               "1,0.8\r\n2,0.4\r\n");
    static const char *const wrong[][2] = {{"batch-size=0", "whole numbers from 1"},
                                           {"batch-size=1.5", "whole numbers"},
                                           {"chunk-length=31", "from 1 to 30"},
                                           {"chunk_length=30", "chunk-length"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        run = run_program("suite", suite, TINY, "--dry-run", "-a", (char *)wrong[i][0]);
        expect_code(&run, 64, wrong[i][1]);
    }
    run = run_program("suite", "short", "--dry-run", "--db", db, "-a", "batch-size=2");
    expect_code(&run, 64, "no case here transcribes");
}

/* int4 draws other timestamps, and is fed those of naive: it hears the same windows. */
static void windows_that_follow_timestamps_are_the_same_in_every_arm(void **state)
{
    (void)state;
    hm_run run =
        run_program("suite", in_folder("sought.yaml"), SEEKS, "-V", "naive,best:panels=rows,best:precision_backbone=int4", "-f", "seek");
    if (run.code)
        fail_msg("%s", run.err);
    run_free(&run);
    expect_sql("SELECT chunk_s, batch, beams, frames FROM suite_case", "0.0,1,1,36\r\n"); /* three windows at least */
    expect_sql(
        "SELECT count(*), min(s.fed_codes), max(s.health), count(DISTINCT s.windows), min(s.windows) > 3, min(s.frames = 12 * s.windows), "
        "min(s.frames = (SELECT frames FROM stored_codes)) FROM sample s WHERE NOT s.warmup",
        "3,1,ok,1,1,1,1\r\n");
    expect_sql(
        "SELECT a.name LIKE '%int4', o.codes_equal FROM output o JOIN sample s ON s.id = o.sample_id JOIN run r ON r.id = s.run_id JOIN "
        "arm a ON a.id = r.arm_id WHERE NOT s.warmup AND (a.name = 'naive' OR a.name LIKE '%int4') ORDER BY 1",
        "0,1\r\n1,0\r\n");
    expect_sql("SELECT min(encode_ms > 0), max(audio_s), max(tokens > 36) FROM transcript_figure", "1,75.0,1\r\n");
    run = run_program("suite", in_folder("sought.yaml"), SEEKS, "-V", "best", "-a", "batch-size=1,2", "--dry-run");
    if (!strstr(run.out, "chunks@batch-size=2") || strstr(run.out, "seek@")) /* there are no windows side by side */
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

/* Stored tokens by which the windows lie elsewhere than theirs did. */
static void store_other(const char *hash, const char *model, int windows, bool far)
{
    int32_t ids[4 * SEEK_TOKENS];
    hm_store *store = NULL;
    hm_error err;
    hm_model_record m = {.kind = "whisper"};
    hm_stored_codes codes = {.frames = windows * SEEK_TOKENS, .codebooks = 1, .codes = ids};
    for (int i = 0; i < 4 * SEEK_TOKENS; i++) /* text, or text between 0.00 and a pair of 1.00 */
        ids[i] = far ? 5 : i % SEEK_TOKENS == 0 ? 513 : i % SEEK_TOKENS == 2 || i % SEEK_TOKENS == 3 ? 513 + 50 : 5;
    snprintf(m.id, sizeof m.id, "%s", model);
    snprintf(m.name, sizeof m.name, "stamps");
    if (hm_store_open(&store, db, HM_STORE_CREATE, &err) || hm_store_put_model(store, &m, &err) ||
        hm_store_put_codes(store, hash, model, 3, &codes, &err))
        fail_msg("%s", err.text);
    hm_store_close(&store);
}

static void tokens_of_other_windows_are_refused(void **state)
{
    (void)state;
    char hash[64] = "", model[64] = "";
    hm_run run = run_program("suite", in_folder("sought.yaml"), SEEKS, "-V", "naive", "-f", "seek");
    expect_code(&run, 0, NULL);
    run = run_program("db", "sql", "SELECT request_hash, model_id FROM stored_codes", "-o", "csv", "--db", db);
    const char *row = strchr(run.out, '\n');
    assert_true(row && sscanf(row + 1, "%63[^,],%63[^\r\n]", hash, model) == 2);
    run_free(&run);
    for (int far = 0; far < 2; far++) {
        unlink(db);
        store_other(hash, model, 4, far);
        run = run_program("suite", in_folder("sought.yaml"), SEEKS, "-V", "naive", "-f", "seek");
        expect_code(&run, 6, far ? "made 36 frames, expected 48" : "stored tokens: 48 of 12 a window end at 4.00 s of 75.00 s");
    }
}

/* Along the stored tokens, of the first window; beams have none. */
static void formats_tell_what_they_lose(void **state)
{
    (void)state;
    hm_run run = run_program("suite", suite, TINY, "-V", "best", "-a", "precision=f32,f16,int8", "-n", "1", "-f", "voice|beams",
                             "--logit-frames", "4");
    assert_null(strstr(run.err, "not known"));
    expect_code(&run, 0, NULL);
    expect_sql(
        "SELECT c.name, a.name, f.top1 IS NOT NULL, f.relative_rms > 0.0001, f.relative_rms > 0.005, f.relative_rms < 0.2 FROM fidelity f "
        "JOIN suite_case c ON c.id = f.case_id JOIN arm a ON a.id = f.arm_id WHERE "
        "f.top1 IS NOT NULL AND a.name LIKE '%precision%' ORDER BY a.position",
        "voice,best precision=f16,1,1,0,1\r\nvoice,best precision=int8,1,1,1,1\r\n");
}

static void transcripts_are_profiled_and_batched(void **state)
{
    (void)state;
    char name[300];
    snprintf(name, sizeof name, "%s/song", suite);
    hm_run run = run_program("profile", name, "--model", "whisper-test", "-V", "best:panels=rows", "--trace", in_folder("t.json"),
                             "--no-limits", "--seconds", "2");
    if (!strstr(run.out, "text_step"))
        fail_msg("%s%s", run.out, run.err);
    expect_code(&run, 0, NULL);
    run = run_program("batch", suite, "--model", "whisper-test", "-V", "best:panels=rows", "-f", "voice|beams", "-b", "1,2", "-n", "1");
    expect_code(&run, 0, NULL);
    run = run_program("batch", suite, "--model", "whisper-test", "-V", "best:panels=rows", "-b", "1");
    expect_code(&run, 64, "--filter");
    run = run_program("suite", suite, "--model", "heartmula-mini", "--dry-run", "--db", db, "-f", "voice");
    expect_code(&run, 64, "makes music, and no case here asks for that (the first asks for transcript)");
    run = run_program("suite", suite, "--model", "heartmula-mini", "--dry-run", "--db", db);
    expect_code(&run, 64, "no arms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(every_arm_writes_down_the_same_tokens, empty),
                                       cmocka_unit_test_teardown(music_is_made_and_then_written_down, empty),
                                       cmocka_unit_test_teardown(windows_are_swept, empty),
                                       cmocka_unit_test_teardown(windows_that_follow_timestamps_are_the_same_in_every_arm, empty),
                                       cmocka_unit_test_teardown(tokens_of_other_windows_are_refused, empty),
                                       cmocka_unit_test(formats_tell_what_they_lose),
                                       cmocka_unit_test(transcripts_are_profiled_and_batched)};
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
