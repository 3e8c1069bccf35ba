/* The worker protocol as it is published: what both sides say keeps to docs/schema/worker-protocol.schema.json, and `hmbench peers check` finds
 * who does not keep to docs/worker-protocol.md. */
#define _GNU_SOURCE /* pipe2 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "harness/process.h"
#include "harness/protocol.h"
#include "tests/cli_case.h"
#include "tests/schema_case.h"

#define SCHEMA HM_TEST_DATA "/../docs/schema/worker-protocol.schema.json"
#define TINY "python3 '" HM_TEST_DATA "/cli/tiny_worker.py' "

static int setup(void **state)
{
    json_error_t error;
    (void)state;
    schema = json_load_file(SCHEMA, JSON_REJECT_DUPLICATES, &error);
    return !schema || make_case_folder_and_cache();
}

static int teardown(void **state)
{
    json_decref(schema);
    return remove_folder(state);
}

static const json_t *rule_of(const char *name)
{
    const json_t *rule = json_object_get(json_object_get(schema, "$defs"), name);
    assert_non_null(rule);
    return rule;
}

static void assert_keeps(const json_t *message, const char *name)
{
    if (keeps(message, rule_of(name)))
        return;
    char *text = json_dumps(message, JSON_COMPACT);
    fail_msg("no message \"%s\": %.2000s", name, text);
}

/* Keys and types of a message's figures. */
static void the_schema_has_the_fields_of_a_sample(void **state)
{
    (void)state;
    json_t *properties = json_object_get(rule_of("sample"), "properties"), *required = json_object_get(rule_of("sample"), "required");
    size_t fields = 0, needed = 0;
#define EXPECT(name, is) \
    fields++;            \
    assert_string_equal(json_string_value(json_object_get(json_object_get(properties, #name), "type")), is);
#define EXPECT_I(name, must, meaning) EXPECT(name, "integer") needed += must;
#define EXPECT_R(name, meaning) EXPECT(name, "number")
#define EXPECT_T(name, bytes, meaning) EXPECT(name, "string")
    HM_SAMPLE_FIELDS(EXPECT_I, EXPECT_R, EXPECT_T)
    assert_int_equal(json_object_size(properties), fields + 8); /* type, warmup, spans, counts, frame_times, parts, codes, logits */
    assert_int_equal(json_array_size(required), needed + 1);    /* type */
}

static hm_case_record song(void)
{
    return (hm_case_record){.task = "music",
                            .suite = "t",
                            .name = "t",
                            .tags = "folk",
                            .lyrics = "[Verse]\nmorning\n",
                            .verse_style = "slow",
                            .frames = 6,
                            .seed = UINT64_MAX,
                            .topk = 50,
                            .cfg_scale = 1.5,
                            .temperature = 1,
                            .flow_guidance = 1.25};
}

static void what_the_harness_says_keeps_to_the_schema(void **state)
{
    (void)state;
    int32_t codes[12] = {0};
    const hm_stored_codes fed = {.frames = 6, .codebooks = 2, .codes = codes};
    hm_case_record c = song();
    hm_open_order open = {.variant = "best", .model = "/m", .backend = "cpu", .isa = "avx2", .device = "0", .timestamps = true};
    hm_run_order run = {.c = c, .warmup = "full", .iterations = 3, .audio = "/a.flac", .want_codes = true, .logits = "/l", .codes = &fed};
    hm_case_record speech = {
        .task = "speech", .kind = "base", .text = "t", .speaker = "s", .language = "l", .instruct = "i", .reference = "r", .frames = 1};
    json_t *said[] = {hm_proto_hello(), hm_proto_open(&open, "open", NULL), hm_proto_open(&open, "estimate", &speech), hm_proto_run(&run)};
    static const char *const names[] = {"hello", "open", "estimate", "run"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        assert_keeps(said[i], names[i]);
        assert_keeps(said[i], "to_worker");
        json_decref(said[i]);
    }
}

/* Says it, and takes answers until one is of the type; each has to keep to the schema. */
static void ask(hm_process *p, json_t *message, const char *until)
{
    const char *line;
    size_t size;
    hm_error err;
    char *text = json_dumps(message, JSON_COMPACT);
    assert_int_equal(hm_process_send(p, text, strlen(text), &err), HM_OK);
    free(text);
    json_decref(message);
    for (bool last = false; !last;) {
        json_t *answer = NULL;
        assert_int_equal(hm_process_read(p, hm_clock_now(hm_clock_real()) + INT64_C(120000000000), NULL, &line, &size), HM_READ_LINE);
        assert_int_equal(hm_proto_parse(&answer, line, size, &err), HM_OK);
        const char *type = hm_proto_type(answer), *name = type;
        last = !strcmp(type, until);
        if (!strcmp(type, "hello") || !strcmp(type, "estimate"))
            name = !strcmp(type, "hello") ? "hello_answer" : "estimate_answer";
        assert_keeps(answer, name);
        json_decref(answer);
    }
}

static void converse(const char *command, const char *model)
{
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)command, NULL};
    hm_process *p = NULL;
    hm_error err;
    int code;
    hm_case_record c = song();
    hm_open_order open = {.model = model, .backend = "cpu", .threads = 1};
    hm_run_order run = {.c = c, .warmup = "first", .iterations = 2, .want_codes = true};
    assert_int_equal(hm_process_start(&p, argv, &err), HM_OK);
    ask(p, hm_proto_hello(), "hello");
    ask(p, hm_proto_open(&open, "estimate", &c), "estimate");
    ask(p, json_pack("{s:s}", "type", "?"), "error");
    ask(p, hm_proto_open(&open, "open", NULL), "opened");
    ask(p, hm_proto_run(&run), "done");
    hm_process_send(p, "{\"type\":\"close\"}", 16, &err);
    hm_process_end(&p, INT64_C(10000000000), &code);
    assert_int_equal(code, 0);
}

static void what_workers_say_keeps_to_the_schema(void **state)
{
    (void)state;
    char model[256];
    hm_run made = run_program("synth", "heartmula-tiny", in_folder("model"));
    assert_int_equal(made.code, 0);
    run_free(&made);
    snprintf(model, sizeof model, "%s", in_folder("model"));
    converse("exec '" HM_PROGRAM "' worker", model);
    converse("exec " TINY, model);
}

static hm_run check(const char *command)
{
    return run_program("peers", "check", (char *)(uintptr_t)command, "--model", in_folder("model"), "--timeout", "60");
}

static void a_program_that_keeps_to_it_passes(void **state)
{
    (void)state;
    static const char *const commands[] = {"exec '" HM_PROGRAM "' worker", "exec " TINY};
    for (int i = 0; i < 2; i++) {
        hm_run run = check(commands[i]);
        if (run.code || strstr(run.out, "FAIL") || !strstr(run.out, "goes on with the codes") ||
            !strstr(run.out, "ends when it is told to"))
            fail_msg("exit code %d\n%s%s", run.code, run.out, run.err);
        run_free(&run);
    }
}

static void what_a_program_does_wrong_is_named(void **state)
{
    (void)state;
    static const char *const wrongs[][2] = {{TINY "version", "protocol 3, expected 2"},
                                            {TINY "task", "makes speech alone, the model makes music"},
                                            {TINY "frames", "made 5 frames, expected 4"},
                                            {TINY "fed", "\"fed_codes\" of the sample is not 1"},
                                            {TINY "flood", "2 timed samples, one was asked for"},
                                            {TINY "dies", "RuntimeError: the weights are gone"},
                                            {TINY "stays", "still there after 5 s"},
                                            {"echo hello", "FAIL  greets"},
                                            {"exec /there/is/no/program", "FAIL  greets"}};
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++) {
        hm_run run = check(wrongs[i][0]);
        if (run.code != 1 && !strstr(run.out, wrongs[i][1]))
            fail_msg("%s: exit code %d\n%s%s", wrongs[i][0], run.code, run.out, run.err);
        assert_int_equal(run.code, 1);
        if (!strstr(run.out, wrongs[i][1]))
            fail_msg("%s: %s", wrongs[i][0], run.out);
        run_free(&run);
    }
}

/* Beside a stand-in that has heartlib's interface. */
static void heartlib_of_a_checkout_passes(void **state)
{
    static const char *const interfaces[] = {"new", "old"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        setenv("HEARTLIB_STANDIN", interfaces[i], 1);
        hm_run run = check("peer:heartlib --heartlib '" HM_TEST_DATA "/cli/heartlib_standin'");
        if (run.code || strstr(run.out, "FAIL") || !strstr(run.out, "goes on with the codes"))
            fail_msg("%s: exit code %d\n%s%s", interfaces[i], run.code, run.out, run.err);
        run_free(&run);
    }
    unsetenv("HEARTLIB_STANDIN");
}

static void put_file_of_checkout(const char *name, const char *text)
{
    char path[120];
    snprintf(path, sizeof path, "checkout/src/%s", name);
    put(path, text, strlen(text));
}

static void heartlib_without_a_checkout_is_told(void **state)
{
    (void)state;
    hm_run run = check("heartlib");
    assert_int_equal(run.code, 1);
    assert_non_null(strstr(run.out, "the following arguments are required: --heartlib"));
    run_free(&run);
}

static void a_checkout_that_is_none_or_lacks_packages_is_told(void **state)
{
    static const struct {
        const char *init, *words;
    } checkouts[] = {{NULL, "is no checkout of heartlib: there is no src/heartlib in it"},
                     {"import torchtune_of_nowhere\n", "No module named 'torchtune_of_nowhere'; give it an environment of its own"},
                     {"HeartMuLaGenPipeline = None\n", "has no sample_topk"}};
    char command[500];
    (void)state;
    snprintf(command, sizeof command, "mkdir -p '%s/src/heartlib/heartcodec' '%s/src/heartlib/heartmula' && cp '%s'/torch*.py '%s/src'",
             in_folder("checkout"), in_folder("checkout"), HM_TEST_DATA "/cli/heartlib_standin/src", in_folder("checkout"));
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "peer:heartlib --heartlib '%s'", in_folder("checkout"));
    for (size_t i = 0; i < sizeof checkouts / sizeof *checkouts; i++) {
        if (checkouts[i].init) {
            put_file_of_checkout("heartlib/__init__.py", checkouts[i].init);
            put_file_of_checkout("heartlib/heartcodec/modeling_heartcodec.py", "");
            put_file_of_checkout("heartlib/heartmula/modeling_heartmula.py", "");
        }
        hm_run run = check(command);
        assert_int_equal(run.code, 1);
        if (!strstr(run.out, checkouts[i].words))
            fail_msg("no \"%s\" in\n%s%s", checkouts[i].words, run.out, run.err);
        run_free(&run);
    }
}

static void any_such_program_is_an_arm_and_its_end_is_a_failed_row(void **state)
{
    (void)state;
    static const char suite[] = "suite: t\ncases:\n  - {name: a, tags: t, lyrics: l, frames: 5}\n";
    put("t.yaml", suite, sizeof suite - 1);
    hm_run run = run_program("suite", in_folder("t.yaml"), "--variant", "none", "--arm", "tiny=" TINY, "--arm", "dead=" TINY "dies",
                             "--arm", "other=" TINY "task", "--model", in_folder("model"), "-n", "1", "--db", in_folder("t.db"));
    assert_int_equal(run.code, 6);
    run_free(&run);
    run = run_program("db", "sql", "SELECT arm.name, status, coalesce(reason, '') FROM run JOIN arm ON arm.id = arm_id ORDER BY 1", "-o",
                      "csv", "--db", in_folder("t.db"));
    static const char *const rows[] = {"tiny,ok,", "dead,crash,", "RuntimeError: the weights are gone", "other,failed,",
                                       "tiny does speech alone, the case asks for music"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strstr(run.out, rows[i]))
            fail_msg("no \"%s\" in\n%s%s", rows[i], run.out, run.err);
    run_free(&run);
}

static void the_journal_puts_other_programs_beside_ours(void **state)
{
    (void)state;
    hm_run run = run_program("suite", in_folder("t.yaml"), "--variant", "naive", "--arm", "tiny=" TINY, "--arm", "mute=" TINY "no-codec",
                             "--model", in_folder("model"), "-n", "6", "--no-trace", "--settle", "0", "--db", in_folder("others.db"));
    static const char *const words[] = {"### Ours and others", "counter 1.0", "weights none",        "x** |", " to ",
                                        "codes differ",        "| wall ",     "| prefill, generate "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strstr(run.out, words[i]))
            fail_msg("no \"%s\" in\n%s%s", words[i], run.out, run.err);
    if (strstr(run.out, "### Summary"))
        fail_msg("a summary of one arm of ours: %s", run.out);
    run_free(&run);
    run = run_program("journal", "--db", in_folder("others.db"));
    assert_non_null(strstr(run.out, "### Ours and others"));
    run_free(&run);
}

static void what_compiling_needs_and_is_not_here_is_told(void **state)
{
    static char command[] =
        "CXX='no-such-compiler -O9' python3 '" HM_TEST_DATA "/../harness/adapters/music_yardstick.py' --compile --about";
    (void)state;
    hm_run run = run_command((char *const[]){(char *)"/bin/sh", (char *)"-c", command, NULL}, NULL, 60, 0);
    assert_int_equal(run.code, 0);
    if (!strstr(run.out, "torch.compile does not find ") || !strstr(run.out, "the compiler no-such-compiler (Debian: apt install g++)"))
        fail_msg("%s%s", run.out, run.err);
    run_free(&run);
}

static void words_about_peers_are_checked(void **state)
{
    (void)state;
    assert_fails(run_program("peers", "lst"), 64, "did you mean \"list\"");
    assert_fails(run_program("peers", "install"), 64, "which one?");
    assert_fails(run_program("peers", "install", "heartlib"), 64, "--heartlib PATH, a checkout of yours");
    assert_fails(run_program("peers", "check"), 64, "one command in quotes");
    assert_fails(run_program("peers", "check", "peer:nobody --x"), 64, "there is no peer \"nobody\"");
    assert_fails(run_program("suite", "short", "--variant", "none", "--arm", "=x"), 64, "expected NAME=COMMAND");
    assert_fails(run_program("suite", "short", "--variant", "none", "--arm", "x=peer:nobody"), 64, "there is no peer \"nobody\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_schema_has_the_fields_of_a_sample),
        cmocka_unit_test(what_the_harness_says_keeps_to_the_schema),
        cmocka_unit_test(what_workers_say_keeps_to_the_schema),
        cmocka_unit_test(a_program_that_keeps_to_it_passes),
        cmocka_unit_test(what_a_program_does_wrong_is_named),
        cmocka_unit_test(heartlib_of_a_checkout_passes),
        cmocka_unit_test(heartlib_without_a_checkout_is_told),
        cmocka_unit_test(a_checkout_that_is_none_or_lacks_packages_is_told),
        cmocka_unit_test(any_such_program_is_an_arm_and_its_end_is_a_failed_row),
        cmocka_unit_test(the_journal_puts_other_programs_beside_ours),
        cmocka_unit_test(what_compiling_needs_and_is_not_here_is_told),
        cmocka_unit_test(words_about_peers_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
