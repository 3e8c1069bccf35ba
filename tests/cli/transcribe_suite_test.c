/* Suites that transcribe, end to end: the same tokens in every arm, the parts of the time, music that is made first, axes of cases. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "tests/cli_case.h"

static char db[256], suite[256];

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
                                       cmocka_unit_test_teardown(windows_are_swept, empty), cmocka_unit_test(formats_tell_what_they_lose),
                                       cmocka_unit_test(transcripts_are_profiled_and_batched)};
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
