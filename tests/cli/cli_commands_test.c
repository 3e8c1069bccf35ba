#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "tests/cli_case.h"

static hm_run shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A shell command with the program as $P and the test's folder as $D. */
static hm_run shell(const char *format, ...)
{
    char command[4096];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    return run_command((char *const[]){(char *)"/bin/bash", (char *)"-c", command, NULL}, NULL, 300, 0);
}

static void assert_works(hm_run run)
{
    if (run.code)
        print_error("exit %d: %s", run.code, run.err);
    assert_int_equal(run.code, 0);
    run_free(&run);
}

/* Names of all commands, from the program itself. */
static int command_names(char names[64][32])
{
    hm_run run = run_program("help");
    char *line = strstr(run.out, "\ncommands:\n");
    int n = 0;
    assert_int_equal(run.code, 0);
    assert_non_null(line);
    for (line += strlen("\ncommands:\n"); *line == ' '; line = strchr(line, '\n') + 1)
        assert_int_equal(sscanf(line, " %31s", names[n++]), 1);
    run_free(&run);
    return n;
}

static void every_command_explains_itself(void **state)
{
    char names[64][32];
    int n = command_names(names);
    (void)state;
    assert_true(n >= 8);
    for (int i = 0; i < n; i++) {
        hm_run run = run_program(names[i], "--help");
        assert_int_equal(run.code, 0);
        assert_string_equal(run.err, "");
        if (!strstr(run.out, "\nusage:\n  hmbench ") || !strstr(run.out, "\noptions:\n") || !strstr(run.out, "\nexamples:\n  "))
            fail_msg("%s --help lacks usage, options or examples:\n%s", names[i], run.out);
        run_free(&run);
        run = run_program(names[i], "--list-options");
        assert_int_equal(run.code, 0);
        assert_non_null(strstr(run.out, "--help\t"));
        run_free(&run);
        run = run_program(names[i], "--nonsense-xyzzy");
        assert_int_equal(run.code, 64);
        assert_non_null(strstr(run.err, "unknown option --nonsense-xyzzy"));
        run_free(&run);
    }
}

static void help_is_there_without_and_with_a_name(void **state)
{
    (void)state;
    hm_run plain = run_program("help"), dashes = run_program("--help"), one = run_program("help", "generate"),
           same = run_program("generate", "--help"), nothing = run_command((char *const[]){(char *)HM_PROGRAM, NULL}, NULL, 300, 0);
    assert_string_equal(plain.out, dashes.out);
    assert_string_equal(one.out, same.out);
    assert_non_null(strstr(one.out, "(0.08 to 3600; default 120)"));
    assert_int_equal(nothing.code, 64);
    assert_string_equal(nothing.err, plain.out);
    assert_string_equal(nothing.out, "");
    run_free(&plain);
    run_free(&dashes);
    run_free(&one);
    run_free(&same);
    run_free(&nothing);
    assert_fails(run_program("help", "nosuch"), 64, "nosuch");
    assert_works(run_program("--version"));
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    assert_fails(run_program("frobnicate"), 64, "unknown command \"frobnicate\" (hmbench help)");
    assert_fails(run_program("list"), 64, "list: what?");
    assert_fails(run_program("inspect", "/no/such/folder"), 66, "/no/such/folder");
    assert_fails(run_program("completion", "cmd"), 64, "bash, zsh or fish");
    assert_fails(run_program("completion"), 64, "bash, zsh or fish");
}

static void lists_are_json_tables_and_names(void **state)
{
    static const char *const lists[] = {"suites", "variants", "toggles", "models", "devices", "metrics"};
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        hm_run table = run_program("list", (char *)lists[i]), json = run_program("list", (char *)lists[i], "--json"),
               names = run_program("list", (char *)lists[i], "--names");
        json_t *array = json_loads(json.out, 0, NULL);
        assert_true(!table.code && !json.code && !names.code);
        assert_true(json_is_array(array) && json_array_size(array) >= 1);
        assert_int_equal(run_lines(names.out), json_array_size(array));
        assert_int_equal(run_lines(table.out), json_array_size(array) + 1); /* and the titles */
        const char *first = json_string_value(json_object_iter_value(json_object_iter(json_array_get(array, 0))));
        assert_non_null(first);
        assert_int_equal(strncmp(names.out, first, strlen(first)), 0);
        json_decref(array);
        run_free(&table);
        run_free(&json);
        run_free(&names);
    }
}

static void synth_writes_what_inspect_reads(void **state)
{
    (void)state;
    assert_works(shell("$P synth heartmula-tiny $D/tiny --seed 3 2>/dev/null"));
    hm_run run = shell("$P inspect $D/tiny --json");
    assert_int_equal(run.code, 0);
    json_t *report = json_loads(run.out, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(report, "parts")), 2);
    assert_true(json_is_object(json_object_get(report, "memory")));
    json_decref(report);
    run_free(&run);
    assert_fails(shell("$P synth heartmula-tiny $D/tiny"), 73, "tiny");
    assert_fails(shell("$P synth heartmula-tiny"), 64, "a preset and a folder");
    assert_fails(shell("$P synth heartmula-tiny /proc/nowhere/x"), 73, "/proc/nowhere");
}

static void speech_models_are_listed_made_and_inspected(void **state)
{
    (void)state;
    hm_run run = run_program("list", "models", "--names");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "qwen3-tts-tiny\n"));
    assert_non_null(strstr(run.out, "qwen3-tts-1.7b-voice-design\n"));
    run_free(&run);
    assert_works(shell("$P synth qwen3-tts-tiny-base $D/speech 2>/dev/null"));
    run = shell("$P inspect $D/speech --json");
    json_t *report = json_loads(run.out, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(report, "model")), "qwen3-tts");
    assert_int_equal(json_array_size(json_object_get(report, "parts")), 2);
    assert_int_equal(json_array_size(json_object_get(report, "missing")), 0);
    json_decref(report);
    run_free(&run);
    run = shell("rm $D/speech/vocab.json; $P inspect $D/speech/speech_tokenizer && $P inspect $D/speech");
    assert_int_equal(run.code, 0);
    assert_non_null(strstr(run.out, "24000 Hz mono, 1920 samples a frame"));
    assert_non_null(strstr(run.out, "MISSING: no tokenizer"));
    run_free(&run);
}

static void presets_are_made_once_and_pruned(void **state)
{
    (void)state;
    hm_run both = shell("export HMBENCH_CACHE=$D/cache; $P inspect heartmula-tiny >$D/one 2>&1 & a=$!; "
                        "HMBENCH_CACHE=$D/cache $P inspect heartmula-tiny >$D/two 2>&1 & b=$!; wait $a && wait $b; "
                        "cat $D/one $D/two | grep -c 'making the synthetic model'");
    assert_int_equal(both.code, 0);
    assert_string_equal(both.out, "1\n"); /* the other one waited */
    run_free(&both);
    hm_run list = shell("HMBENCH_CACHE=$D/cache $P cache list");
    assert_non_null(strstr(list.out, "heartmula-tiny"));
    run_free(&list);
    hm_run prune = shell("touch $D/cache/models/keep; HMBENCH_CACHE=$D/cache $P cache prune && ls $D/cache/models");
    assert_int_equal(prune.code, 0);
    assert_non_null(strstr(prune.out, "removed "));
    assert_non_null(strstr(prune.out, "\nkeep\n")); /* only what hmbench makes goes */
    assert_null(strstr(prune.out, "\nheartmula-tiny\n"));
    run_free(&prune);
    assert_fails(shell("env -u HOME -u XDG_CACHE_HOME -u HMBENCH_CACHE $P cache path"), 66, "HMBENCH_CACHE");
    assert_fails(shell("HMBENCH_CACHE=/proc/nowhere $P inspect heartmula-tiny"), 73, "/proc/nowhere");
}

static void a_lost_output_is_an_error_and_a_closed_pipe_a_quiet_one(void **state)
{
    (void)state;
    assert_fails(shell("$P list toggles >/dev/full"), 74, "standard output");
    assert_fails(shell("$P list toggles --json >/dev/full"), 74, "standard output");
    hm_run run = shell("$P list toggles | true; exit ${PIPESTATUS[0]}");
    assert_true(run.code == 0 || run.code == 74);
    assert_null(strstr(run.err, "standard output"));
    run_free(&run);
}

static void the_manual_page_has_every_command(void **state)
{
    (void)state;
    char names[64][32];
    int n = command_names(names);
    for (int i = 0; i < n; i++)
        assert_works(shell("$P help --man | grep -q '^\\.SS %s$'", names[i]));
    assert_works(shell("$P help --man | grep -q 'keep.*days'")); /* options of sub-words too */
    assert_works(shell("! $P help --man | grep -v '^\\.\\(TH\\|SH\\|SS\\|TP\\|PP\\|B\\|I\\|nf\\|fi\\)' | grep '^[.]'"));
    assert_works(shell("! command -v groff >/dev/null || [ -z \"$($P help --man | groff -z -ww -man 2>&1)\" ]"));
}

static void colours_are_for_terminals_alone(void **state)
{
    (void)state;
    assert_works(shell("! $P doctor --no-color | grep -q $'\\033' && ! $P doctor | grep -q $'\\033'"));
    assert_works(shell("! command -v script >/dev/null || TERM=xterm script -qec \"$P doctor\" /dev/null | grep -q $'\\033\\[3'"));
    assert_works(
        shell("! command -v script >/dev/null || ! NO_COLOR=1 TERM=xterm script -qec \"$P doctor\" /dev/null | grep -q $'\\033\\[3'"));
    assert_works(
        shell("! command -v script >/dev/null || ! TERM=xterm script -qec \"$P doctor --no-color\" /dev/null | grep -q $'\\033\\[3'"));
}

static void the_version_is_json_too(void **state)
{
    (void)state;
    hm_run run = run_program("--version", "--json");
    json_t *o = result_of(&run);
    assert_string_equal(json_string_value(json_object_get(o, "program")), "hmbench");
    assert_true(json_is_string(json_object_get(o, "version")) && json_is_integer(json_object_get(o, "database_version")));
    json_decref(o);
    run_free(&run);
    assert_fails(run_program("--version", "--jsn"), 64, "--json");
}

static void the_doctor_lists_what_it_found(void **state)
{
    static const char *const wanted[] = {"cpu",         "memory", "instructions", "audio files",      "gnuplot",
                                         "variants",    "cache",  "clock",        "temperature",      "throttling",
                                         "stolen time", "energy", "counters",     "memory of phases", "peers: torch"};
    (void)state;
    hm_run run = shell("HMBENCH_CACHE=$D/doctor $P doctor --json");
    json_t *list = json_loads(run.out, 0, NULL);
    assert_true(run.code == 0 || run.code == 69);
    assert_true(json_is_array(list));
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
        bool found = false;
        size_t i;
        json_t *item;
        json_array_foreach(list, i, item) found = found || !strcmp(json_string_value(json_object_get(item, "name")), wanted[w]);
        if (!found)
            fail_msg("doctor does not say what it found about \"%s\"", wanted[w]);
    }
    json_decref(list);
    run_free(&run);
    run = shell("HMBENCH_CACHE=/proc/nowhere $P doctor");
    assert_int_equal(run.code, 69);
    assert_non_null(strstr(run.out, "MISSING"));
    run_free(&run);
}

static void limits_are_measured(void **state)
{
    (void)state;
    /* The rows of each table, by -o json. */
    hm_run run = shell("$P limits -q --seconds 0.01 --threads 1 --no-save -o json");
    json_t *limits = json_loads(run.out, 0, NULL), *rows = json_object_get(json_object_get(limits, "tables"), "limits"), *row;
    size_t i, reading = 0, types = 0;
    assert_int_equal(run.code, 0);
    json_array_foreach(rows, i, row)
    {
        assert_int_equal(json_integer_value(json_object_get(row, "threads")), 1);
        assert_true(json_number_value(json_object_get(row, "value")) > 0.01);
        reading += !strcmp(json_string_value(json_object_get(row, "unit")), "GB/s");
        types += !strcmp(json_string_value(json_object_get(row, "isa")), "scalar"); /* f32, bf16, int8, on every machine */
    }
    assert_true(reading >= 2 && types >= 3);
    json_decref(limits);
    run_free(&run);
    assert_fails(shell("$P limits --isa mmx"), 64, "mmx");
    assert_fails(shell("HMBENCH_DB=$D/limits.db $P limits --history"), 66, "limits.db");
    assert_works(shell("for i in 1 2; do HMBENCH_DB=$D/limits.db $P limits -q --seconds 0.01 -t 1 --isa scalar; done"));
    run = shell("HMBENCH_DB=$D/limits.db $P limits --history -o json");
    limits = json_loads(run.out, 0, NULL);
    rows = json_object_get(json_object_get(limits, "tables"), "drift");
    assert_true(json_array_size(rows) >= 5);
    json_array_foreach(rows, i, row)
    {
        assert_int_equal(json_integer_value(json_object_get(row, "earlier")), 1);
        double share = json_number_value(json_object_get(row, "value")) / json_number_value(json_object_get(row, "median")) - 1;
        assert_true(fabs(share - json_number_value(json_object_get(row, "change"))) < 1e-6);
        assert_int_equal(!strcmp(json_string_value(json_object_get(row, "flagged")), "no"), fabs(share) <= 0.10);
    }
    json_decref(limits);
    run_free(&run);
}

static json_t *kernel_rows(const char *options)
{
    char command[200];
    snprintf(command, sizeof command, "$P kernels -q -o json %s", options);
    hm_run run = shell(command);
    if (run.code)
        fail_msg("%s: %d %s", command, run.code, run.err);
    json_t *o = json_loads(run.out, 0, NULL), *rows = json_incref(json_object_get(json_object_get(o, "tables"), "kernels"));
    json_decref(o);
    run_free(&run);
    return rows;
}

static void kernels_are_listed_in_groups_and_measured_beside_their_limit(void **state)
{
    (void)state;
    json_t *rows = kernel_rows("--bench --filter 'rmsnorm f32' --seconds 0.01 --threads 1"), *row = json_array_get(rows, 0);
    assert_true(json_array_size(rows) >= 1);
    assert_true(json_number_value(json_object_get(row, "rate")) > 0 && json_number_value(json_object_get(row, "limit")) > 0);
    double share = json_number_value(json_object_get(row, "best_rate")) / json_number_value(json_object_get(row, "limit"));
    assert_true(fabs(json_number_value(json_object_get(row, "limit_percent")) - 100 * share) < 1e-6);
    assert_int_equal(json_integer_value(json_object_get(row, "threads")), 1);
    json_decref(rows);
    /* What is listed is what a filter finds, word by word. */
    json_t *all = kernel_rows(""), *some = kernel_rows("--filter 'int8 gemv M=1'");
    size_t i, found = 0;
    json_array_foreach(all, i, row)
    {
        char text[200];
        snprintf(text, sizeof text, "%s %s %s", json_string_value(json_object_get(row, "kernel")),
                 json_string_value(json_object_get(row, "shape")), json_string_value(json_object_get(row, "type")));
        found += strstr(text, "int8") && strstr(text, "gemv") && strstr(text, "M=1");
    }
    assert_true(found > 0 && found < json_array_size(all));
    assert_int_equal(json_array_size(some), found);
    json_decref(all);
    json_decref(some);
    hm_run run = shell("$P kernels");
    const char *linear = strstr(run.out, "### Linear layers on few rows"), *audio = strstr(run.out, "### Convolutions");
    assert_true(linear && audio && linear < audio);
    assert_null(strstr(run.out, "### Others")); /* every kernel has its group */
    run_free(&run);
    assert_works(shell("$P kernels -q -o csv --filter sample | grep '^1,kernels,sample,'"));
    assert_fails(shell("$P kernels -q --bench --filter nosuchkernel"), 64, "nosuchkernel");
    assert_fails(shell("$P kernels --filter 'gemv nosuchtype'"), 64, "all these words");
}

static int make_folder(void **state)
{
    (void)state;
    if (make_case_folder())
        return -1;
    setenv("P", HM_PROGRAM, 1);
    setenv("D", folder, 1);
    char cache[128];
    snprintf(cache, sizeof cache, "%s/shared-cache", folder);
    setenv("HMBENCH_CACHE", cache, 1);
    setenv("LC_ALL", "C", 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_explains_itself),
        cmocka_unit_test(help_is_there_without_and_with_a_name),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(lists_are_json_tables_and_names),
        cmocka_unit_test(synth_writes_what_inspect_reads),
        cmocka_unit_test(speech_models_are_listed_made_and_inspected),
        cmocka_unit_test(presets_are_made_once_and_pruned),
        cmocka_unit_test(a_lost_output_is_an_error_and_a_closed_pipe_a_quiet_one),
        cmocka_unit_test(the_manual_page_has_every_command),
        cmocka_unit_test(colours_are_for_terminals_alone),
        cmocka_unit_test(the_version_is_json_too),
        cmocka_unit_test(limits_are_measured),
        cmocka_unit_test(kernels_are_listed_in_groups_and_measured_beside_their_limit),
        cmocka_unit_test(the_doctor_lists_what_it_found),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
