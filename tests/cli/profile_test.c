/* hmbench profile, trace, journal and plot from the outside: a real timeline of a tiny model, and what they refuse. */
#define _GNU_SOURCE
#include "engine/audio/audio.h"
#include "tests/cli_case.h"

/* Half a second of a voice that is none: a buzz that comes and goes. */
static int write_voice(void)
{
    enum {
        N = 12000
    };
    static float pcm[N];
    hm_error err;
    for (int i = 0; i < N; i++)
        pcm[i] = 0.3f * (float)(i % 160) / 160 * (float)(1 + i / 1000 % 3) / 3;
    return hm_audio_write(in_folder("voice.wav"), pcm, 1, N, 24000, &err);
}

static int setup(void **state)
{
    (void)state;
    static const char text[] = "suite: tiny\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 10, flow_steps: 1}\n  - {name: b, tags: t, "
                               "lyrics: m, frames: 5, flow_steps: 1}\n";
    static const char mixed[] = "suite: mixed\ncases:\n  - {name: song, tags: t, lyrics: l, frames: 5, flow_steps: 1}\n"
                                "  - {name: said, task: speech, text: hello there, speaker: ryan, language: english, frames: 7}\n"
                                "  - {name: cloned, task: speech, text: hello there, reference: voice.wav, frames: 4}\n";
    hm_error err;
    if (make_case_folder_and_cache())
        return 1;
    return hm_file_write(in_folder("tiny.yaml"), text, sizeof text - 1, &err) ||
           hm_file_write(in_folder("mixed.yaml"), mixed, sizeof mixed - 1, &err) || write_voice();
}

static void expect(hm_run run, int code, const char *in_out, const char *in_err)
{
    if (run.code != code || (in_out && !strstr(run.out, in_out)) || (in_err && !strstr(run.err, in_err)))
        fail_msg("expected exit code %d, \"%s\", \"%s\"; got %d:\n%s%s", code, in_out ? in_out : "", in_err ? in_err : "", run.code,
                 run.out, run.err);
    run_free(&run);
}

#define PROFILE(...) run_program("profile", "--no-limits", "--model", "heartmula-tiny", __VA_ARGS__)

static int events_of(const json_t *trace, const char *category, const char *name)
{
    size_t i;
    json_t *e;
    int n = 0;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e)
    {
        const char *cat = json_string_value(json_object_get(e, "cat"));
        n += cat && !strcmp(cat, category) && (!name || !strcmp(json_string_value(json_object_get(e, "name")), name));
    }
    return n;
}

static void a_profile_is_a_trace_that_keeps_the_rules(void **state)
{
    (void)state;
    char *path = in_folder("t.json");
    expect(PROFILE(in_folder("tiny.yaml"), "--trace", path, "--trace-window", "frames=2:4", "--repeat", "1"), 0, "% of frame", NULL);
    expect(run_program("trace", "check", path), 0, " 0 errors, 0 warnings", NULL);
    expect(run_program("trace", "stats", path), 0, "backbone", NULL);
    expect(run_program("trace", "diff", path, path), 0, "1.000", NULL);
    json_error_t e;
    json_t *trace = json_load_file(path, 0, &e);
    assert_non_null(trace);
    assert_int_equal(events_of(trace, "step", "frame"), 10);
    assert_int_equal(events_of(trace, "phase", NULL), 3);
    assert_true(events_of(trace, "op", NULL) > 20);
    const json_t *other = json_object_get(trace, "otherData");
    assert_string_equal(json_string_value(json_object_get(other, "weights")), "synthetic");
    assert_string_equal(json_string_value(json_object_get(other, "limits")), "not measured");
    assert_non_null(json_object_get(other, "tracing % of a frame, phases and frames"));
    assert_non_null(strstr(json_string_value(json_object_get(other, "tracing paired")), "n=1, no interval"));
    json_decref(trace);
    assert_int_not_equal(access(in_folder("t.json.part"), F_OK), 0);
}

static void a_compressed_trace_of_another_case_with_a_limit_says_what_it_left_out(void **state)
{
    (void)state;
    char *path = in_folder("t.json.gz"), name[160];
    snprintf(name, sizeof name, "%s/b", in_folder("tiny.yaml"));
    expect(PROFILE(name, "--trace", path, "--trace-max", "10kB", "--repeat", "1"), 0, "tiny/b", NULL);
    expect(run_program("trace", "check", path), 0, " 0 errors", NULL);
}

static void the_thread_that_decodes_meanwhile_has_a_track_of_its_own(void **state)
{
    (void)state;
    char *path = in_folder("two.json"), name[160];
    snprintf(name, sizeof name, "%s/said", in_folder("mixed.yaml"));
    expect(run_program("profile", name, "--no-limits", "--model", "qwen3-tts-tiny", "--variant", "best:decode=overlap", "--seconds", "2",
                       "--trace", path, "--repeat", "1"),
           0, "n=1, no interval", NULL);
    expect(run_program("trace", "check", path), 0, " 0 errors, 0 warnings", NULL);
    expect(run_program("trace", "stats", path), 0, "02 decoder", NULL);
    json_t *trace = json_load_file(path, 0, NULL), *e;
    uint64_t engine = 0, decoder = 0;
    size_t i;
    assert_non_null(trace);
    assert_int_equal(events_of(trace, "sync", "wait for decoder"), 1);
    assert_true(events_of(trace, "sync", "wait for frames") > 0);
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e)
    {
        const char *of = json_string_value(json_object_get(e, "name"));
        uint64_t tid = (uint64_t)json_integer_value(json_object_get(e, "tid"));
        engine = of && !strcmp(of, "frame") ? tid : engine;
        decoder = of && !strcmp(of, "wait for frames") ? tid : decoder;
    }
    assert_true(engine && decoder && engine != decoder);
    json_decref(trace);
}

static void six_pairs_have_an_interval_and_phases_are_held_against_the_machine(void **state)
{
    (void)state;
    char *path = in_folder("six.json"), name[160];
    snprintf(name, sizeof name, "%s/b", in_folder("tiny.yaml"));
    hm_run run = run_program("profile", name, "--model", "heartmula-tiny", "--trace", path, "--repeat", "6");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "95 %, n=6"));
    assert_non_null(strstr(run.out, "limits: measured just before and after; memory "));
    assert_null(strstr(run.out, "in turn with readings of memory")); /* every cache holds this model */
    assert_non_null(strstr(run.out, "last quarter "));
    run_free(&run);
    json_t *trace = json_load_file(path, 0, NULL), *e;
    size_t i, shares = 0;
    json_array_foreach(json_object_get(trace, "traceEvents"), i, e) shares +=
        json_object_get(json_object_get(e, "args"), "of FLOPs") != NULL;
    assert_int_equal(shares, 3);
    json_decref(trace);
}

static void stats_and_diff_are_there_for_programs(void **state)
{
    (void)state;
    char *path = in_folder("t.json"), file[200];
    expect(PROFILE(in_folder("tiny.yaml"), "--trace", path, "--trace-window", "frames=2:4", "--repeat", "1"), 0, NULL, NULL);
    snprintf(file, sizeof file, "csv:%s", in_folder("stats.csv"));
    hm_run run = run_program("trace", "stats", path, "-o", "json", "-O", file);
    assert_int_equal(run.code, 0);
    json_t *stats = json_loads(run.out, 0, NULL), *tables = json_object_get(stats, "tables");
    assert_string_equal(json_string_value(json_object_get(stats, "kind")), "trace_stats");
    assert_true(json_array_size(json_object_get(tables, "spans")) > 10);
    assert_true(json_array_size(json_object_get(tables, "idle")) > 0);
    assert_non_null(json_object_get(tables, "waits"));
    json_decref(stats);
    run_free(&run);
    assert_int_equal(access(in_folder("stats.csv"), R_OK), 0);
    expect(run_program("trace", "diff", path, path, "-o", "csv"), 0, "host work between operations", NULL);
    expect(run_program("trace", "stats", path, "-o", "xml"), 64, NULL, "xml");
    expect(run_program("trace", "stats", path, "-O", "json"), 64, NULL, "FORMAT:FILE");
    expect(run_program("trace", "check", path, "-o", "json"), 64, NULL, "for stats and diff");
}

static void profile_refuses_what_it_cannot_do(void **state)
{
    (void)state;
    char *tiny = in_folder("tiny.yaml"), *t = in_folder("x.json"), name[160];
    snprintf(name, sizeof name, "%s/c", tiny);
    expect(PROFILE("--trace", t), 64, NULL, "which case");
    expect(PROFILE(tiny), 64, NULL, "--trace FILE is missing");
    expect(PROFILE(name, "--trace", t), 64, NULL, "has no case \"c\"");
    expect(PROFILE("shrot", "--trace", t), 66, NULL, "shrot");
    expect(PROFILE(tiny, "--trace", t, "--trace-window", "frames=4"), 64, NULL, "frames=FROM:TO");
    expect(PROFILE(tiny, "--trace", t, "--trace-window", "frames=10:12"), 64, NULL, "has 10 frames");
    expect(PROFILE(tiny, "--trace", t, "--trace-max", "many"), 64, NULL, "200MB");
    expect(PROFILE(tiny, "--trace", "/nowhere/x.json"), 73, NULL, "/nowhere/x.json");
    assert_int_not_equal(access(t, F_OK), 0);
}

static void trace_refuses_what_is_no_trace(void **state)
{
    (void)state;
    hm_error err;
    static const char bad[] = "{\"displayTimeUnit\":\"ms\",\"otherData\":{},\"traceEvents\":[{\"ph\":\"X\",\"name\":\"a\",\"pid\":1,"
                              "\"tid\":1,\"ts\":-1.000,\"dur\":1.000}]}";
    assert_int_equal(hm_file_write(in_folder("bad.json"), bad, sizeof bad - 1, &err), HM_OK);
    assert_int_equal(hm_file_write(in_folder("cut.json"), bad, sizeof bad - 9, &err), HM_OK);
    expect(run_program("trace", "check", in_folder("bad.json")), 1, "\"ts\" is negative", "breaks its rules 1 times");
    expect(run_program("trace", "check", in_folder("cut.json")), 65, NULL, "cut.json");
    expect(run_program("trace", "check", in_folder("none.json")), 66, NULL, "none.json");
    expect(run_program("trace", "chekc", in_folder("bad.json")), 64, NULL, "did you mean \"check\"");
    expect(run_program("trace", "diff", in_folder("bad.json")), 64, NULL, "two files");
    expect(run_program("trace"), 64, NULL, "check, stats or diff");
}

static void a_profile_of_speech_shows_its_parts(void **state)
{
    (void)state;
    char *path = in_folder("s.json"), name[160], cloned[160];
    snprintf(name, sizeof name, "%s/said", in_folder("mixed.yaml"));
    snprintf(cloned, sizeof cloned, "%s/cloned", in_folder("mixed.yaml"));
    expect(run_program("profile", name, "--no-limits", "--model", "qwen3-tts-tiny", "--trace", path, "--repeat", "1"), 0, "code_predictor",
           NULL);
    expect(run_program("trace", "check", path), 0, " 0 errors, 0 warnings", NULL);
    json_error_t e;
    json_t *trace = json_load_file(path, 0, &e);
    assert_non_null(trace);
    assert_int_equal(events_of(trace, "step", "frame"), 7);
    assert_int_equal(events_of(trace, "phase", NULL), 3);
    assert_true(events_of(trace, "part", "talker_step") > 0 && events_of(trace, "part", "sampling") > 0);
    json_decref(trace);
    expect(run_program("profile", cloned, "--no-limits", "--model", "qwen3-tts-tiny-base", "--trace", path, "--repeat", "1"), 0,
           "mixed/cloned", NULL);
    expect(run_program("profile", name, "--model", "heartmula-tiny", "--trace", path), 64, NULL, "makes music, mixed/said asks for speech");
    expect(run_program("profile", name, "--model", "qwen3-tts-tiny-base", "--trace", path), 64, NULL, "of kind base");
}

static void a_suite_measures_songs_and_speech_with_real_workers(void **state)
{
    (void)state;
    char db[128], *mixed = in_folder("mixed.yaml");
    snprintf(db, sizeof db, "%s", in_folder("m.db"));
    expect(run_program("suite", mixed, "--model", "heartmula-tiny,qwen3-tts-tiny,qwen3-tts-tiny-base", "--variant", "naive,best",
                       "--rounds", "1", "--db", db, "--stream", "--no-trace", "--no-limits"),
           0, "mixed/said", NULL);
    expect(run_program("db", "sql",
                       "SELECT c.name, count(*), sum(o.codes_equal), min(m.speech_kind), sum(s.ttfa_ns > 0), sum(s.reference_ns > 0) "
                       "FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN output o ON "
                       "o.sample_id = s.id JOIN model m ON m.id = r.model_id GROUP BY c.name ORDER BY c.name",
                       "--db", db, "-o", "csv"),
           0, "cloned,2,2,base,1,2\r\nsaid,2,2,custom_voice,1,\r\nsong,2,2,,1,\r\n", NULL);
    expect(run_program("db", "sql",
                       "SELECT a.name, c.name, f.snr_db > 40 FROM fidelity f JOIN arm a ON a.id = f.arm_id JOIN suite_case c ON "
                       "c.id = f.case_id ORDER BY c.name",
                       "--db", db, "-o", "csv"),
           0, "best model=qwen3-tts-tiny-base,cloned,1\r\nbest model=qwen3-tts-tiny,said,1\r\nbest model=heartmula-tiny,song,1\r\n", NULL);
    expect(run_program("db", "sql", "SELECT arm, pieces > 0 FROM stream_figure ORDER BY arm", "--db", db, "-o", "csv"), 0,
           "best model=heartmula-tiny,1\r\nbest model=qwen3-tts-tiny,1\r\nbest model=qwen3-tts-tiny-base,1\r\n", NULL);
}

/* One worker, told to open a model and to run a case. */
static void worker_says(const char *model, const char *order, const char *wanted)
{
    char *argv[] = {(char *)HM_PROGRAM, "worker", NULL}, input[1024];
    snprintf(input, sizeof input, "{\"type\":\"open\",\"model\":\"%s\"}\n{\"type\":\"run\",\"warmup\":\"first\",%s}\n", model, order);
    hm_run run = run_command(argv, input, 300, 0);
    if (run.code || !strstr(run.out, wanted))
        fail_msg("to %s: expected %s, got %s%s", input, wanted, run.out, run.err);
    run_free(&run);
}

static void a_worker_refuses_cases_of_another_model_and_runs_its_own(void **state)
{
    (void)state;
    static const char say[] = "\"case\":{\"task\":\"speech\",\"text\":\"hi there\",\"speaker\":\"ryan\",\"frames\":6}";
    worker_says("heartmula-tiny", say, "the case asks for speech, the model (heartmula) makes music");
    worker_says("qwen3-tts-tiny", "\"case\":{\"tags\":\"t\",\"lyrics\":\"l\",\"frames\":3}", "the case asks for music");
    worker_says("qwen3-tts-tiny-base", say, "takes a model of kind custom_voice, this one is base");
    worker_says("qwen3-tts-tiny", "\"case\":{\"task\":\"dance\",\"tags\":\"t\",\"lyrics\":\"l\",\"frames\":3}", "expected music, speech or transcript");
    worker_says("qwen3-tts-tiny", say, "\"type\":\"done\"");
    worker_says("qwen3-tts-tiny", say, "\"kind\":\"custom_voice\"");
}

static void journal_and_plot_follow_a_suite(void **state)
{
    (void)state;
    char db[128], *tiny = in_folder("tiny.yaml");
    hm_map first = {0}, second = {0};
    hm_error err;
    snprintf(db, sizeof db, "%s", in_folder("j.db")); /* names are kept for eight calls only */
    expect(run_program("suite", tiny, "--model", "heartmula-tiny", "--variant", "best", "--threads", "1,2", "--rounds", "1", "--db", db,
                       "--no-trace"),
           0, "Summary: best", NULL);
    expect(run_program("journal", "--db", db, "-o", in_folder("1.md")), 0, NULL, NULL);
    expect(run_program("journal", "--db", db, "-o", in_folder("2.md"), "--session", "last"), 0, NULL, NULL);
    assert_int_equal(hm_map_open(&first, in_folder("1.md"), &err), HM_OK);
    assert_int_equal(hm_map_open(&second, in_folder("2.md"), &err), HM_OK);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    assert_non_null(memmem(first.data, first.size, "tiny/a", 6));
    assert_non_null(memmem(first.data, first.size, "### Frame by frame", 18));
    hm_map_close(&first);
    hm_map_close(&second);
    expect(run_program("plot", "ladder", "--db", db, "-o", in_folder("l.svg"), "--script"), 0, "set terminal svg", NULL);
    expect(run_program("plot", "steps", "--db", db, "-o", in_folder("l.svg")), 66, NULL, "solver steps");
    expect(run_program("plot", "laddr", "--db", db, "-o", in_folder("l.svg")), 64, NULL, "did you mean \"ladder\"");
    expect(run_program("plot", "ladder", "--db", db, "-o", in_folder("l.gif")), 64, NULL, ".svg or .png");
    expect(run_program("plot", "ladder", "--db", db, "-o", "/nowhere/l.svg"), 73, NULL, "/nowhere/l.svg");
    expect(run_program("journal", "--db", db, "--session", "nope"), 66, NULL, "nope");
    expect(run_program("journal", "--db", in_folder("none.db")), 66, NULL, "none.db");
    expect(run_program("journal", "--db", db, "-o", "/nowhere/j.md"), 73, NULL, "/nowhere/j.md");
}

static void notes_are_woven_in_and_unknown_keys_are_told(void **state)
{
    (void)state;
    static const char notes[] = "Hand-written.\n\n## best threads=1\nIt pays.\n\n## bset\nA slip.\n";
    hm_error err;
    assert_int_equal(hm_file_write(in_folder("notes.md"), notes, sizeof notes - 1, &err), HM_OK);
    expect(run_program("journal", "--db", in_folder("j.db"), "--notes", in_folder("notes.md")), 0, "It pays.", "\"## bset\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_is_a_trace_that_keeps_the_rules),
        cmocka_unit_test(a_compressed_trace_of_another_case_with_a_limit_says_what_it_left_out),
        cmocka_unit_test(the_thread_that_decodes_meanwhile_has_a_track_of_its_own),
        cmocka_unit_test(six_pairs_have_an_interval_and_phases_are_held_against_the_machine),
        cmocka_unit_test(stats_and_diff_are_there_for_programs),
        cmocka_unit_test(profile_refuses_what_it_cannot_do),
        cmocka_unit_test(trace_refuses_what_is_no_trace),
        cmocka_unit_test(a_profile_of_speech_shows_its_parts),
        cmocka_unit_test(a_suite_measures_songs_and_speech_with_real_workers),
        cmocka_unit_test(a_worker_refuses_cases_of_another_model_and_runs_its_own),
        cmocka_unit_test(journal_and_plot_follow_a_suite),
        cmocka_unit_test(notes_are_woven_in_and_unknown_keys_are_told),
    };
    return cmocka_run_group_tests(tests, setup, remove_folder);
}
