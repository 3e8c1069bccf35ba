/* hmbench suite and db from the outside: rounds with fake workers, failures, interruption, resumption, bad input. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/map.h"
#include "tests/fake_worker.h"
#include "tests/run_program.h"

static char folder[64], db[96], suite[96];

static int setup(void **state)
{
    (void)state;
    static const char text[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10}\n  - {name: b, tags: t, lyrics: m, frames: 5}\n";
    hm_error err = {0};
    snprintf(folder, sizeof folder, "/tmp/hm_suite_XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(db, sizeof db, "%s/out/test.db", folder);
    snprintf(suite, sizeof suite, "%s/tiny.yaml", folder);
    return hm_file_write(suite, text, sizeof text - 1, &err);
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

#define suite_run(...) run_program("suite", suite, "--variant", "none", "--db", db, __VA_ARGS__)

#define expect_sql(sql, wanted) expect_sql_of(db, sql, wanted)

static void rounds_of_two_programs_are_stored_whole(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "good"), "--arm", (char *)fake_arm("two", "drift"), "--seed", "9");
    assert_non_null(strstr(run.out, "tiny/a"));
    assert_non_null(strstr(run.err, db));
    expect_code(&run, 0, "drawn once by one");
    expect_sql("SELECT count(*), count(DISTINCT round), sum(status = 'ok') FROM run", "12,3,12\r\n");
    expect_sql("SELECT a.name, min(o.codes_equal), max(o.first_frame), max(o.max_logit_difference) FROM output o JOIN sample s ON s.id = "
               "o.sample_id "
               "JOIN run r ON r.id = s.run_id JOIN arm a ON a.id = r.arm_id GROUP BY a.name",
               "one,1,,0.0\r\ntwo,0,3,0.25\r\n");
    expect_sql("SELECT state, rounds, order_seed, interrupted FROM session", "done,3,9,0\r\n");
    expect_sql("SELECT count(*), min(made_by) FROM stored_codes", "2,one\r\n");
    expect_sql("SELECT fed_codes, count(*) FROM sample GROUP BY fed_codes", "1,12\r\n");
    expect_sql("SELECT count(*) FROM (SELECT 1 FROM run GROUP BY case_id, round HAVING count(DISTINCT slot) = 2)", "6\r\n");
    run = suite_run("--arm", (char *)fake_arm("one", "good"), "-n", "1");
    assert_null(strstr(run.err, "drawn once")); /* the codes are there */
    expect_code(&run, 0, NULL);
}

static void failed_arms_are_recorded_and_the_others_go_on(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", (char *)fake_arm("good", "good"), "--arm", (char *)fake_arm("bad", "crash"), "--arm",
                           (char *)fake_arm("slow", "hang"), "--arm", (char *)fake_arm("liar", "boast"), "--rounds", "1", "--timeout", "1",
                           "--filter", "/a$");
    expect_code(&run, 6, "3 runs failed");
    expect_sql("SELECT a.name, r.status, r.reason IS NULL, (SELECT count(*) FROM sample s WHERE s.run_id = r.id) FROM run r "
               "JOIN arm a ON a.id = r.arm_id ORDER BY a.name",
               "bad,crash,0,0\r\ngood,ok,1,1\r\nliar,garbage,0,0\r\nslow,timeout,0,0\r\n");
    expect_sql("SELECT state FROM session", "done\r\n");
}

static void an_interrupted_session_keeps_its_runs_and_goes_on(void **state)
{
    (void)state;
    char *argv[] = {(char *)HM_PROGRAM, "suite", suite, "--variant", "none", "--db", db, "--arm", (char *)fake_arm("one", "slow"),
                    "--seed",           "3",     NULL};
    hm_run run = run_interrupted(argv, run_had_a_turn);
    expect_code(&run, 130, "hmbench suite --resume --db");
    expect_sql("SELECT state, interrupted FROM session", "interrupted,1\r\n");
    expect_sql("SELECT count(*) < 6, sum(status <> 'ok') IS NOT 1 FROM run", "1,1\r\n");
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 0, NULL);
    expect_sql("SELECT state, interrupted FROM session", "done,1\r\n");
    expect_sql("SELECT count(*), count(DISTINCT round || case_id), sum(status = 'ok') FROM run", "6,6,6\r\n");
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 66, "no session to go on with");
}

static void time_that_runs_out_leaves_whole_rounds_that_resume_adds_to(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "slow"), "--max-time", "1", "-n", "4", "--no-trace");
    expect_code(&run, 0, "of 4 rounds fit");
    expect_sql("SELECT state FROM session", "partial\r\n");
    expect_sql("SELECT json_extract(options, '$.trace') FROM session", "0\r\n");
    expect_sql("SELECT count(*) % 2, count(*) < 8 FROM run", "0,1\r\n");
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 0, NULL);
    expect_sql("SELECT (SELECT state FROM session), count(*) FROM run", "done,8\r\n");
}

static void write_mixed(void)
{
    static const char mixed[] = "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: \"[Verse]\\nla la\", frames: 10}\n"
                                "  - {name: s, task: speech, text: one two three, speaker: ryan, language: english, frames: 5, seed: 4}\n"
                                "  - {name: d, task: speech, text: one, design: deep, frames: 5}\n";
    hm_error err = {0};
    assert_int_equal(hm_file_write(suite, mixed, sizeof mixed - 1, &err), HM_OK);
}

static void songs_and_speech_are_measured_side_by_side(void **state)
{
    (void)state;
    write_mixed();
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "good"), "--arm", (char *)fake_arm("two", "good"), "-n", "2");
    assert_non_null(strstr(run.err, "one model=heartmula-mini"));
    assert_non_null(strstr(run.err, "two model=qwen3-tts-mini"));
    expect_code(&run, 0, "left out, as no model here makes them: tiny/d (voice_design: --model qwen3-tts-mini-voice-design)");
    expect_sql("SELECT c.name, min(a.name), max(a.name), count(*), count(DISTINCT r.slot), max(r.slot) FROM run r JOIN arm a ON "
               "a.id = r.arm_id JOIN suite_case c ON c.id = r.case_id GROUP BY c.name ORDER BY c.name",
               "a,one model=heartmula-mini,two model=heartmula-mini,4,2,1\r\n"
               "s,one model=qwen3-tts-mini,two model=qwen3-tts-mini,4,2,1\r\n");
    expect_sql("SELECT name, task, words, kind, text, speaker, language, instruct, streaming_text, temperature, top_p, repetition_penalty, "
               "sub_topk FROM suite_case ORDER BY name",
               "a,music,2,,,,,,,1.0,,,\r\ns,speech,3,custom_voice,one two three,ryan,english,,-1,0.9,1.0,1.05,50\r\n");
    expect_sql("SELECT made_by FROM stored_codes ORDER BY made_by", "one model=heartmula-mini\r\none model=qwen3-tts-mini\r\n");
    expect_sql("SELECT count(*) FROM stream_figure", "0\r\n");
    run = run_program("suite", suite, "--variant", "none", "--db", db, "--arm", (char *)fake_arm("one", "good"), "-n", "1", "--model",
                      "qwen3-tts-mini-base");
    expect_code(&run, 64, "makes speech of kind base");
    run = run_program("journal", "--db", db);
    assert_non_null(strstr(run.out, "tiny/s"));
    expect_code(&run, 0, NULL);
}

static void a_mixed_session_goes_on_where_it_stood(void **state)
{
    (void)state;
    write_mixed();
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "slow"), "--max-time", "1", "-n", "4", "--stream");
    expect_code(&run, 0, "of 4 rounds fit");
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 0, NULL);
    expect_sql("SELECT (SELECT state FROM session), count(*), count(DISTINCT round) FROM run", "done,8,4\r\n");
    expect_sql("SELECT count(*) FROM stream_figure", "8\r\n");
}

static void streams_are_stored_as_a_player_meets_them(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "good"), "-n", "1", "-f", "/a$", "--stream");
    expect_code(&run, 0, NULL);
    expect_sql("SELECT ttfa_raw_ms, ttfa_ms, stall_max_ms, stall_total_ms, stalls, pieces, buffer_ms, c50, c100, c200 FROM stream_figure",
               "1.0,1.0,60.0,60.0,1,2,60.0,0,1,1\r\n");
}

static void a_changed_suite_cannot_be_resumed(void **state)
{
    (void)state;
    static const char other[] =
        "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 11}\n  - {name: b, tags: t, lyrics: m, frames: 5}\n";
    hm_error err = {0};
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "slow"), "--max-time", "1", "-n", "9");
    expect_code(&run, 0, NULL);
    assert_int_equal(hm_file_write(suite, other, sizeof other - 1, &err), HM_OK);
    run = run_program("suite", "--resume", "--db", db);
    expect_code(&run, 4, "changed since");
}

static void a_dry_run_runs_nothing(void **state)
{
    (void)state;
    hm_run run = run_program("suite", "short", "--dry-run", "--db", db, "--variant", "naive,best,custom", "--filter", "plain|styles");
    assert_non_null(strstr(run.out, "2 cases x 2 arms x 3 rounds = 12 runs"));
    expect_code(&run, 0, "custom is the same program as naive");
    run = run_program("suite", "short", "--dry-run", "--db", db);
    assert_non_null(strstr(run.out, "3 cases x 4 arms x 3 rounds, each arm with the cases its model makes = 18 runs"));
    assert_non_null(strstr(run.out, "best model=qwen3-tts-mini"));
    expect_code(&run, 0, "left out, as no model here makes them: short/speech-design");
    run = run_program("suite", "short", "--dry-run", "--db", db, "--model", "qwen3-tts-mini,qwen3-tts-mini-voice-design");
    assert_non_null(strstr(run.out, "2 cases x 4 arms x 3 rounds, each arm with the cases its model makes = 12 runs"));
    expect_code(&run, 0, "short/plain (music: --model heartmula-mini)");
    assert_int_equal(access(db, F_OK), -1);
}

static void bad_input_has_its_exit_code_and_one_clear_line(void **state)
{
    (void)state;
    char junk[96];
    hm_error err = {0};
    snprintf(junk, sizeof junk, "%s/junk.db", folder);
    assert_int_equal(hm_file_write(junk, "this is no database at all, just a few words that go on for a while", 66, &err), HM_OK);
    static const struct {
        const char *args[6];
        int code;
        const char *text;
    } cases[] = {{{"suite"}, 64, "no suite"},
                 {{"suite", "shrot"}, 66, "short"},
                 {{"suite", "short", "--variant", "bset"}, 64, "best"},
                 {{"suite", "short", "--variant", "best:attn=flahs"}, 64, "flash"},
                 {{"suite", "short", "--rounds", "0"}, 64, "rounds"},
                 {{"suite", "short", "--runds", "2"}, 64, "rounds"},
                 {{"suite", "short", "--filter", "zzz"}, 64, "matches none"},
                 {{"suite", "short", "--resume"}, 64, "takes no suites"},
                 {{"suite", "short", "--session", "x"}, 64, "--session goes with --resume"},
                 {{"suite", "short", "--max-rounds", "9"}, 64, "go with --stop-at"},
                 {{"suite", "short", "--stop-at", "1", "-n", "4"}, 64, "--max-rounds in place of --rounds"},
                 {{"suite", "short", "--order", "abab"}, 64, "abba"},
                 {{"suite", "short", "-a", "thread=1"}, 64, "did you mean \"threads\"?"},
                 {{"suite", "short", "-a", "threads=2:1"}, 64, "FIRST:LAST:STEP"},
                 {{"suite", "short", "--program", "x=/nowhere/y"}, 66, "/nowhere/y"},
                 {{"suite", "/nowhere/x.yaml"}, 66, "/nowhere/x.yaml"},
                 {{"db", "sql", "SELECT 1", "--db", "/nowhere/x.db"}, 66, "no such file"},
                 {{"db", "slq"}, 64, "sql"},
                 {{"db", "sql"}, 64, "statement"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *argv[8] = {(char *)HM_PROGRAM};
        for (int k = 0; k < 6 && cases[i].args[k]; k++)
            argv[k + 1] = (char *)cases[i].args[k];
        hm_run run = run_command(argv, NULL, 300, 0);
        assert_int_equal(run_lines(run.err), 1);
        expect_code(&run, cases[i].code, cases[i].text);
    }
    hm_run run = run_program("db", "info", "--db", junk);
    expect_code(&run, 65, "not a database");
    run = run_program("suite", suite, "--variant", "none", "--arm", (char *)fake_arm("x", "good"), "--db", "/proc/nowhere/x.db");
    expect_code(&run, 73, "/proc/nowhere");
    run = suite_run("--arm", (char *)fake_arm("x", "good"), "-n", "1");
    expect_code(&run, 0, NULL);
    run = run_program("db", "sql", "DELETE FROM run", "--db", db);
    expect_code(&run, 64, "only reading");
}

static void the_database_answers_as_table_csv_and_json(void **state)
{
    (void)state;
    hm_run run = suite_run("--arm", (char *)fake_arm("a,\"b\"", "good"), "-n", "1", "-f", "/a$");
    expect_code(&run, 0, NULL);
    const char *sql = "SELECT name, position, 0.5 AS half, NULL AS gap FROM arm";
    run = run_program("db", "sql", (char *)sql, "--db", db, "-o", "json");
    assert_string_equal(run.out, "[\n{\"name\":\"a,\\\"b\\\"\",\"position\":0,\"half\":0.5,\"gap\":null}\n]\n");
    run_free(&run);
    run = run_program("db", "sql", (char *)sql, "--db", db, "-o", "csv");
    assert_string_equal(run.out, "name,position,half,gap\r\n\"a,\"\"b\"\"\",0,0.5,\r\n");
    run_free(&run);
    run = run_program("db", "info", "--db", db);
    assert_non_null(strstr(run.out, "samples"));
    expect_code(&run, 0, NULL);
}

/* Lines into a worker, and what it answers. */
static void its_tables_are_data_where_asked_for(void **state)
{
    (void)state;
    char csv[160], lost[160];
    hm_map file = {0};
    hm_error err = {0};
    snprintf(csv, sizeof csv, "csv:%s/figures.csv", folder);
    snprintf(lost, sizeof lost, "json:%s/nowhere/figures.json", folder);
    hm_run run = suite_run("--arm", (char *)fake_arm("one", "good"), "--arm", (char *)fake_arm("two", "good"), "-n", "1", "-f", "/a$", "-o",
                           "jsonl", "-O", csv);
    assert_non_null(strstr(run.out, "{\"schema_version\": 1, \"kind\": \"suite\", \"table\": \"arms\", "));
    assert_non_null(strstr(run.out, "\"table\": \"summary\""));
    assert_null(strstr(run.out, "| Label"));
    expect_code(&run, 0, NULL);
    if (hm_map_read(&file, csv + strlen("csv:"), 1 << 20, &err))
        fail_msg("%s", err.text);
    assert_memory_equal(file.data, "schema_version,table,session,model,variant,case,", 48);
    hm_map_close(&file);
    run = suite_run("--arm", (char *)fake_arm("one", "good"), "-n", "1", "-O", lost);
    expect_code(&run, 73, "nowhere"); /* before anything ran */
    expect_sql("SELECT count(*) FROM session", "1\r\n");
}

static void worker_says(const char *input, const char *wanted)
{
    char *argv[] = {(char *)HM_PROGRAM, "worker", NULL};
    hm_run run = run_command(argv, input, 300, 0);
    if (run.code || !strstr(run.out, wanted))
        fail_msg("to %s: exit code %d, expected %s, got %s%s", input, run.code, wanted, run.out, run.err);
    run_free(&run);
}

static void the_worker_answers_every_line_and_survives_nonsense(void **state)
{
    (void)state;
    worker_says("", "");
    worker_says("{\"type\":\"hello\",\"protocol\":2}\n{\"type\":\"close\"}\n", "\"protocol\":2");
    worker_says("{\"type\":\"hello\",\"protocol\":7}\n", "\"code\":64");
    worker_says("nonsense\n{\"type\":\"hello\",\"protocol\":2}\n", "\"type\":\"hello\"");
    worker_says("[1]\n", "\"code\":65");
    worker_says("{\"type\":\"dance\"}\n", "dance");
    worker_says("{\"type\":\"run\",\"case\":{\"tags\":\"t\",\"lyrics\":\"l\",\"frames\":3}}\n", "before");
    worker_says("{\"type\":\"run\",\"case\":{\"tags\":\"t\",\"lyrics\":\"l\",\"frames\":-3}}\n", "frames");
    worker_says("{\"type\":\"run\",\"case\":{\"tags\":\"t\",\"lyrics\":\"l\",\"frames\":3},\"codes\":\"AA==\",\"codebooks\":8}\n",
                "expected 96");
    worker_says("{\"type\":\"open\",\"model\":\"/nowhere\"}\n", "\"type\":\"error\"");
    worker_says("{\"type\":\"open\",\"model\":7}\n", "\"code\":65");
    worker_says("{\"type\":\"run\",\"case\":{\"task\":\"speech\",\"frames\":3}}\n", "text");
    worker_says("{\"type\":\"run\",\"case\":{\"task\":\"speech\",\"text\":\"t\",\"topk\":0,\"frames\":3}}\n", "before");
    worker_says("{\"type\":\"run\",\"case\":{\"task\":\"speech\",\"text\":\"t\",\"streaming_text\":2,\"frames\":3}}\n", "streaming_text");
    worker_says("{\"type\":\"run\",\"case\":{\"task\":\"speech\",\"text\":\"t\",\"top_p\":\"x\",\"frames\":3}}\n", "top_p");
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--fake"))
        return fake_worker(argv[2]);
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {CASE(rounds_of_two_programs_are_stored_whole),
                                       CASE(failed_arms_are_recorded_and_the_others_go_on),
                                       CASE(an_interrupted_session_keeps_its_runs_and_goes_on),
                                       CASE(time_that_runs_out_leaves_whole_rounds_that_resume_adds_to),
                                       CASE(songs_and_speech_are_measured_side_by_side),
                                       CASE(a_mixed_session_goes_on_where_it_stood),
                                       CASE(streams_are_stored_as_a_player_meets_them),
                                       CASE(a_changed_suite_cannot_be_resumed),
                                       CASE(a_dry_run_runs_nothing),
                                       CASE(bad_input_has_its_exit_code_and_one_clear_line),
                                       CASE(the_database_answers_as_table_csv_and_json),
                                       CASE(its_tables_are_data_where_asked_for),
                                       CASE(the_worker_answers_every_line_and_survives_nonsense)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
